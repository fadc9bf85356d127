//! The plan for people and for scripts.

use serde::Serialize;

use crate::names::{FullName, RepositoryId};
use crate::plan::{Action, Plan};
use crate::store::Index;

/// One line of `ghbk list --json`; a contract with scripts.
#[derive(Debug, Serialize)]
pub struct ListedRepository {
    id: RepositoryId,
    full_name: FullName,
    action: Action,
    /// Unknown for what GitHub no longer lists.
    size_kib: Option<u64>,
    private: Option<bool>,
    fork: Option<bool>,
    archived: Option<bool>,
    /// The name its mirror has now, if it is to be renamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    renamed_from: Option<FullName>,
}

/// Lists a plan by name.
pub fn entries(plan: &Plan, index: &Index) -> Vec<ListedRepository> {
    let mut entries: Vec<ListedRepository> = plan
        .steps
        .iter()
        .map(|step| ListedRepository {
            id: step.repository.id,
            full_name: step.repository.full_name.clone(),
            action: step.action,
            size_kib: Some(step.repository.size_kib),
            private: Some(step.repository.private),
            fork: Some(step.repository.fork),
            archived: Some(step.repository.archived),
            renamed_from: (step.action == Action::Rename)
                .then(|| index.mirrors.get(&step.repository.id).map(|mirror| mirror.full_name.clone()))
                .flatten(),
        })
        .chain(plan.gone.iter().map(|(id, name)| ListedRepository {
            id: *id,
            full_name: name.clone(),
            action: Action::Gone,
            size_kib: None,
            private: None,
            fork: None,
            archived: None,
            renamed_from: None,
        }))
        .collect();
    entries.sort_by(|a, b| a.full_name.cmp(&b.full_name));
    entries
}

/// Formats a plan for a terminal.
pub fn text(entries: &[ListedRepository]) -> String {
    let width = entries.iter().map(|entry| entry.full_name.to_string().len()).max().unwrap_or_default();
    let mut out = String::new();
    for entry in entries {
        let action = serde_json::to_value(entry.action).ok();
        let action = action.as_ref().and_then(|value| value.as_str()).unwrap_or_default();
        let mut notes = Vec::new();
        for (is, label) in [(entry.private, "private"), (entry.fork, "fork"), (entry.archived, "archived")] {
            if is == Some(true) {
                notes.push(label.to_owned());
            }
        }
        if let Some(from) = &entry.renamed_from {
            notes.push(format!("mirror moves from {from}"));
        }
        let size = entry.size_kib.map_or_else(String::new, |kib| super::size(kib * 1024));
        let line = format!("{action:<8} {:<width$} {size:>10}  {}", entry.full_name.to_string(), notes.join(", "));
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
