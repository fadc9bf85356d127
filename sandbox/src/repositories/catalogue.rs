//! All owners and repositories in the folder at one moment.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::metadata::{self, Metadata};
use super::names::{FullName, is_safe, stable_id};

/// Two scans at once must not give a new repository two numbers.
static ASSIGNING: Mutex<()> = Mutex::new(());

/// An organisation, or a user if its folder holds a file named `.user`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) id: u64,
    pub(crate) login: String,
    pub(crate) is_user: bool,
}

impl Owner {
    /// Reads what an owner's folder says of it.
    fn read(folder: &Path, login: &str) -> Self {
        if folder.join(".user").exists() { Self::user(login) } else { Self::organisation(login) }
    }

    /// Returns a user who need not have a folder.
    pub(crate) fn user(login: &str) -> Self {
        Self { id: stable_id(&login.to_ascii_lowercase()), login: login.to_owned(), is_user: true }
    }

    /// Returns an organisation.
    pub(crate) fn organisation(login: &str) -> Self {
        Self { is_user: false, ..Self::user(login) }
    }
}

/// A repository, as its bare repository describes it.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    pub(crate) id: u64,
    pub(crate) name: FullName,
    pub(crate) owner: Owner,
    pub(crate) path: PathBuf,
    pub(crate) default_branch: String,
    pub(crate) metadata: Metadata,
}

/// What a full name leads to.
pub(crate) enum Found {
    /// The repository of this name.
    Here(Repository),
    /// The repository that once had this name.
    Moved(Repository),
}

impl Found {
    /// Looks a name up, without reading the whole folder if it is written as the repository's own.
    pub(crate) fn by_name(folder: &Path, name: &FullName) -> io::Result<Option<Self>> {
        if name.path(folder).is_dir() {
            let owner = Owner::read(&folder.join(&name.owner), &name.owner);
            let repository = read(&owner, name.clone(), name.path(folder)).map(Some).or_else(vanished)?;
            return Ok(repository.map(Self::Here));
        }
        Ok(Catalogue::scan(folder)?.find(name))
    }
}

/// Holds the owners and their repositories, ordered by name.
#[derive(Debug)]
pub(crate) struct Catalogue {
    pub(crate) owners: Vec<Owner>,
    pub(crate) repositories: Vec<Repository>,
}

impl Catalogue {
    /// Reads the folder, and writes a number into each repository that has none yet.
    pub(crate) fn scan(folder: &Path) -> io::Result<Self> {
        let _guard = ASSIGNING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut owners = Vec::new();
        let mut repositories = Vec::new();
        for login in names(folder)?.into_iter().filter(|login| is_safe(login)) {
            let folder = folder.join(&login);
            if !folder.is_dir() {
                continue;
            }
            let owner = Owner::read(&folder, &login);
            for file in names(&folder)? {
                let Some(name) = file.strip_suffix(".git").filter(|name| !name.ends_with(".wiki")) else { continue };
                let Some(name) = FullName::new(&login, name) else { continue };
                repositories.extend(read(&owner, name, folder.join(&file)).map(Some).or_else(vanished)?);
            }
            owners.push(owner);
        }
        assign_ids(&mut repositories)?;
        Ok(Self { owners, repositories })
    }

    /// Finds an owner by login; case does not count.
    pub(crate) fn owner(&self, login: &str) -> Option<&Owner> {
        self.owners.iter().find(|owner| owner.login.eq_ignore_ascii_case(login))
    }

    /// Finds a repository by its present name, or else by a former one.
    pub(crate) fn find(&self, name: &FullName) -> Option<Found> {
        let here = self.repositories.iter().find(|repository| repository.name.is(name));
        let moved = || {
            self.repositories
                .iter()
                .find(|repository| repository.metadata.former_names.iter().any(|former| former.is(name)))
        };
        here.cloned().map(Found::Here).or_else(|| moved().cloned().map(Found::Moved))
    }

    /// Finds a repository by its number.
    pub(crate) fn by_id(&self, id: u64) -> Option<&Repository> {
        self.repositories.iter().find(|repository| repository.id == id)
    }
}

/// Returns the names in a folder in order; those that are not text cannot be repositories.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let mut names: Vec<_> = entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    Ok(names)
}

/// Reads one bare repository.
fn read(owner: &Owner, name: FullName, path: PathBuf) -> io::Result<Repository> {
    let metadata = Metadata::read(&path)?;
    let head = fs::read_to_string(path.join("HEAD"))?;
    let default_branch = head.trim().strip_prefix("ref: refs/heads/").unwrap_or("main").to_owned();
    let id = metadata.id.unwrap_or_default();
    Ok(Repository { id, name, owner: owner.clone(), path, default_branch, metadata })
}

/// Takes a repository that was moved or deleted during the scan as absent.
fn vanished(error: io::Error) -> io::Result<Option<Repository>> {
    if error.kind() == ErrorKind::NotFound || error.kind() == ErrorKind::NotADirectory { Ok(None) } else { Err(error) }
}

/// Gives numbers to those without one, and to copies that brought the number of their original along.
fn assign_ids(repositories: &mut [Repository]) -> io::Result<()> {
    let mut taken: HashSet<u64> = repositories.iter().filter_map(|repository| repository.metadata.id).collect();
    let mut seen = HashSet::new();
    for repository in repositories {
        if repository.metadata.id.is_some_and(|id| seen.insert(id)) {
            continue;
        }
        let mut id = stable_id(&repository.name.to_string().to_ascii_lowercase());
        while !taken.insert(id) {
            id += 1;
        }
        seen.insert(id);
        metadata::append(&repository.path, "id", &id.to_string())?;
        repository.id = id;
        repository.metadata.id = Some(id);
    }
    Ok(())
}
