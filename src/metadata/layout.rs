//! Where the file of an issue or a pull request is, as `docs/metadata.md` describes it: `issues/0123/12345.json`.

/// The folder of the files of issues and pull requests.
pub(super) const ISSUES: &str = "issues";
/// How many numbers share a folder.
const IN_A_FOLDER: u64 = 100;

/// Returns the hundred that a number belongs to.
pub(super) fn hundred_of(number: u64) -> u64 {
    number / IN_A_FOLDER
}

/// Returns the folder of a hundred of numbers.
pub(super) fn folder_of(hundred: u64) -> String {
    format!("{hundred:04}")
}

/// Returns the name of a number's file.
pub(super) fn file_of(number: u64) -> String {
    format!("{number}.json")
}

/// Names the numbers of a hundred. The names of folders are read from disk, so they may be of any size.
pub(super) fn numbers_of(hundred: u64) -> String {
    let first = hundred.saturating_mul(IN_A_FOLDER);
    format!("#{first} to #{}", first.saturating_add(IN_A_FOLDER - 1))
}
