//! Many issues and pull requests at once, the same ones for the same seed.

use std::io;
use std::path::Path;

use super::changes::Act;
use super::model::{Model, Pull};
use super::store;
use crate::repositories::FullName;

/// Says what [`generate_issues`] makes.
#[derive(Debug, Clone)]
pub struct GenerateIssues {
    /// The full name of a repository that is there.
    pub repository: String,
    /// How many issues.
    pub issues: usize,
    /// How many pull requests.
    pub pulls: usize,
    /// How many comments each has on average.
    pub comments_per_item: usize,
    /// How many reviews each pull request has; each second one comes with a comment on a line.
    pub reviews_per_pull: usize,
    /// Another seed gives other texts, people and dates.
    pub seed: u64,
}

impl Default for GenerateIssues {
    fn default() -> Self {
        let repository = "acme/repository-001".to_owned();
        Self { repository, issues: 50, pulls: 20, comments_per_item: 2, reviews_per_pull: 1, seed: 1 }
    }
}

/// 2024-01-01, when the first issue is opened.
const START: i64 = 1_704_067_200;

/// The number of seconds within which everything is written. Among many issues, several have the same time.
const DURATION: usize = 600 * 24 * 3600;

const PEOPLE: [&str; 8] = ["ada", "barbara", "edsger", "frances", "grace", "john", "ken", "margaret"];
const LABELS: [(&str, &str); 5] =
    [("bug", "d73a4a"), ("docs", "0075ca"), ("feature/ui", "a2eeef"), ("help wanted", "008672"), ("wontfix", "ffffff")];
const MILESTONES: [&str; 3] = ["1.0", "1.1", "2.0"];
const WORDS: [&str; 24] = [
    "the", "server", "answers", "slowly", "when", "a", "cache", "is", "empty", "and", "test", "fails", "on", "Windows",
    "after", "update", "of", "parser", "`main`", "must", "not", "retry", "naïve", "✓",
];

/// Replaces what is written in a repository by generated issues and pull requests, in mixed order.
///
/// # Errors
///
/// The repository must be there.
pub fn generate_issues(folder: &Path, description: &GenerateIssues) -> io::Result<()> {
    let name = FullName::required(&description.repository)?;
    let GenerateIssues { issues, pulls, comments_per_item, reviews_per_pull, seed, .. } = *description;
    let acts = issues * (3 + comments_per_item) + pulls * (4 + comments_per_item + 2 * reviews_per_pull);
    let longest_pause = (2 * DURATION / acts.max(1)).min(1800);
    let model = Generator { chance: Chance(seed), now: START, longest_pause, description }.run()?;
    store::save_new(&name.path(folder), &model)
}

/// The work of one [`generate_issues`].
struct Generator<'a> {
    chance: Chance,
    now: i64,
    longest_pause: usize,
    description: &'a GenerateIssues,
}

impl Generator<'_> {
    fn run(mut self) -> io::Result<Model> {
        let mut model = Model::default();
        for (name, color) in LABELS {
            model.create_label(&self.act(), name, color)?;
        }
        for title in MILESTONES {
            model.create_milestone(&self.act(), title);
        }
        let GenerateIssues { issues, pulls, .. } = *self.description;
        for place in 0..issues + pulls {
            // Pull requests are spread evenly among the issues.
            let is_pull = (place + 1) * pulls / (issues + pulls) > place * pulls / (issues + pulls);
            self.item(&mut model, is_pull)?;
        }
        Ok(model)
    }

    fn item(&mut self, model: &mut Model, is_pull: bool) -> io::Result<()> {
        let pull = is_pull.then(|| {
            let head = format!("topic-{}", self.chance.below(100_000));
            Pull::between(&head, "main", None, None)
        });
        let (title, body) = (self.text(6), self.paragraphs());
        let number = model.open(&self.act(), &title, &body, pull);
        if self.chance.below(3) == 0 {
            let (label, _) = LABELS[self.chance.below(LABELS.len())];
            model.add_label(&self.act(), number, label)?;
        }
        if self.chance.below(6) == 0 {
            let milestone = 1 + self.chance.below(MILESTONES.len()) as u64;
            model.set_milestone(&self.act(), number, Some(milestone))?;
        }
        for _ in 0..self.chance.below(2 * self.description.comments_per_item + 1) {
            let body = self.paragraphs();
            model.comment(&self.act(), number, &body)?;
        }
        if is_pull {
            self.reviews(model, number)?;
        }
        match self.chance.below(10) {
            0 => model.react(number, "+1")?,
            1 if number > 1 => {
                let other = 1 + self.chance.below(usize::try_from(number - 1).unwrap_or(usize::MAX)) as u64;
                model.cross_reference(&self.act(), other, number)?;
            }
            2..=5 if is_pull => model.merge(&self.act(), number)?,
            2..=5 => model.close(&self.act(), number)?,
            _ => {}
        }
        Ok(())
    }

    fn reviews(&mut self, model: &mut Model, number: u64) -> io::Result<()> {
        for place in 0..self.description.reviews_per_pull {
            let body = self.text(12);
            if place % 2 == 0 {
                model.review(&self.act(), number, "APPROVED", &body)?;
                continue;
            }
            let line = 1 + self.chance.below(200) as u64;
            let comment = model.review_comment(&self.act(), number, ("src/main.rs", line), &body)?;
            if self.chance.below(2) == 0 {
                model.resolve_thread(&self.act(), comment)?;
            }
        }
        Ok(())
    }

    /// Returns the next act: some time later, by anybody, at times by an account that is deleted now.
    fn act(&mut self) -> Act {
        self.now += i64::try_from(self.chance.below(self.longest_pause + 1)).expect("a pause is short");
        let author = (self.chance.below(40) > 0).then(|| PEOPLE[self.chance.below(PEOPLE.len())].to_owned());
        Act { author, now: self.now }
    }

    fn paragraphs(&mut self) -> String {
        let paragraphs = 1 + self.chance.below(3);
        let texts: Vec<String> = (0..paragraphs).map(|_| self.text(30)).collect();
        texts.join("\n\n")
    }

    /// Returns a text of at most `words` words, and at least half that many.
    fn text(&mut self, words: usize) -> String {
        let count = words / 2 + self.chance.below(words / 2 + 1);
        let words: Vec<&str> = (0..count).map(|_| WORDS[self.chance.below(WORDS.len())]).collect();
        words.join(" ")
    }
}

/// A stream of numbers that looks like chance (`SplitMix64`).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).expect("it is below a usize")
    }
}
