//! The plan: what a run will do, from inventory and store. Pure.
//!
//! Everything goes by id. A name says only where a mirror belongs today, and may belong to another repository
//! tomorrow. What a newcomer would get wrong: two repositories may have swapped names, so no mirror moves to its new
//! place before every mirror has left its old one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;

use crate::github::{Inventory, Known, Repository};
use crate::mirrors::MirrorSet;
use crate::names::{FullName, RepositoryId};
use crate::outcome::{Failure, Renamed, Stage};
use crate::store::{Index, IndexedMirror, layout};

/// Says what a run does with one repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Make a mirror.
    Create,
    /// Bring the mirror up to date.
    Update,
    /// Move the mirror to the new name, then bring it up to date.
    Rename,
    /// Set aside the mirror of another repository that had this name, then make one.
    Replace,
    /// Keep the mirror; GitHub no longer knows the repository.
    Gone,
}

/// Describes one repository's part of the plan.
#[derive(Clone, Debug)]
pub struct Step {
    /// The repository as GitHub lists it.
    pub repository: Repository,
    /// What to do; never [`Action::Gone`].
    pub action: Action,
    /// The mirror, if there is one.
    pub stored: Option<IndexedMirror>,
    /// Whether nothing else is under way beside it, because the last run died while it was fetching it.
    pub is_alone: bool,
    /// The mirrors that it had once and that are missing: they are made anew, and that is reported as a failure.
    pub lost: MirrorSet,
}

/// Describes a mirror that changes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Its repository.
    pub id: RepositoryId,
    /// From where, relative to the root and without suffix.
    pub from: PathBuf,
    /// To where.
    pub to: PathBuf,
    /// Its new name; none when it is only set aside.
    pub new_name: Option<FullName>,
}

/// Holds what a run will do.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Repositories to go through, largest first.
    pub steps: Vec<Step>,
    /// Mirrors to move before that, all at once.
    pub moves: Vec<Move>,
    /// Mirrors whose repository GitHub no longer knows.
    pub gone: Vec<(RepositoryId, FullName)>,
    /// Mirrors whose repository belongs to somebody who is not backed up, with its name there.
    pub moved_away: Vec<(RepositoryId, Renamed)>,
    /// Repositories that cannot be planned.
    pub conflicts: Vec<Failure>,
}

/// Plans a run.
pub fn plan(inventory: &Inventory, index: &Index) -> Plan {
    let mut plan = Plan::default();
    let mut taken: BTreeMap<String, RepositoryId> = BTreeMap::new();
    let mut listed = BTreeSet::new();
    // Where a name is listed twice, it stays with the repository whose mirror lies under it.
    let lives_there = |repository: &&Repository| {
        index.mirrors.get(&repository.id).is_some_and(|known| known.place == layout::place(&repository.full_name))
    };
    let (at_home, others): (Vec<&Repository>, Vec<&Repository>) = inventory.repositories.iter().partition(lives_there);
    for repository in at_home.into_iter().chain(others) {
        listed.insert(repository.id);
        // A rename while the listing was read can show one name twice.
        if taken.insert(repository.full_name.folded(), repository.id).is_some() {
            plan.conflicts.push(Failure {
                repository: repository.full_name.to_string(),
                stage: Stage::Inventory,
                error: format!("GitHub lists another repository under this name, too (id {})", repository.id),
                hint: "run again; a rename was probably under way".to_owned(),
            });
            continue;
        }
        let stored = index.mirrors.get(&repository.id).cloned();
        let action = match &stored {
            None => {
                if let Some(there) = index.may_be_of(repository.id, &repository.full_name) {
                    let hint = there.hint.clone();
                    plan.conflicts.push(unmoved(&repository.full_name, &there.error, hint));
                    continue;
                }
                Action::Create
            }
            Some(stored) if stored.place == layout::place(&repository.full_name) => Action::Update,
            Some(stored) if stored.is_unconfirmed => {
                let what = format!("it is in {}, and something is in the way", stored.place.display());
                let hint = "see what this run says of it at its beginning, then run again".to_owned();
                plan.conflicts.push(unmoved(&repository.full_name, &what, hint));
                continue;
            }
            Some(_) => Action::Rename,
        };
        let lost = index.lost.get(&repository.id).cloned().unwrap_or_default();
        plan.steps.push(Step { repository: repository.clone(), action, stored, is_alone: false, lost });
    }
    move_mirrors(&mut plan, index);
    plan.steps.sort_by_key(|step| std::cmp::Reverse((step.repository.size_kib, step.repository.id)));

    let known = |id: &RepositoryId| listed.contains(id) || inventory.excluded.contains(id);
    for (id, mirror) in &index.mirrors {
        let in_attic = mirror.place.starts_with(layout::OWN_FOLDER);
        let owner = mirror.full_name.folded_owner();
        if known(id) || in_attic {
            continue;
        }
        if let Some(to) = inventory.moved_away.get(id) {
            plan.moved_away.push((*id, Renamed { from: mirror.full_name.clone(), to: to.clone() }));
        } else if inventory.gone.contains(id) || (mirror.gone && inventory.complete_owners.contains(&owner)) {
            plan.gone.push((*id, mirror.full_name.clone()));
        }
    }
    plan
}

impl Plan {
    /// Puts the repositories that may have killed the previous run last, each alone, so they cost no other its turn. Takes out,
    /// and returns, those that killed a run although they were alone in it, unless they are asked for by name.
    pub fn set_apart(&mut self, suspects: &BTreeMap<RepositoryId, bool>, is_by_name: bool) -> Vec<Step> {
        let mut left_out = Vec::new();
        let mut alone = Vec::new();
        for mut step in std::mem::take(&mut self.steps) {
            match suspects.get(&step.repository.id) {
                None => self.steps.push(step),
                Some(true) if !is_by_name => left_out.push(step),
                Some(_) => {
                    step.is_alone = true;
                    alone.push(step);
                }
            }
        }
        self.steps.append(&mut alone);
        left_out
    }
}

/// Names the mirrors that a listing has to show, or that GitHub has to account for one by one: all but those set aside or gone.
pub fn known(index: &Index) -> Known {
    let counts = |mirror: &IndexedMirror| !mirror.gone && !mirror.place.starts_with(layout::OWN_FOLDER);
    let mirrors = index.mirrors.iter().filter(|(_, mirror)| counts(mirror));
    mirrors.map(|(id, mirror)| (*id, mirror.full_name.clone())).collect()
}

/// Makes the failure for a repository that is left out while something cannot be read.
fn unmoved(name: &FullName, what: &str, hint: String) -> Failure {
    let error = format!("its mirror is neither made nor moved: {what}");
    Failure { repository: name.to_string(), stage: Stage::Recovery, error, hint }
}

/// Finds which mirrors leave their place, and to where.
fn move_mirrors(plan: &mut Plan, index: &Index) {
    let renamed: BTreeSet<RepositoryId> =
        plan.steps.iter().filter(|step| step.action == Action::Rename).map(|step| step.repository.id).collect();
    let occupants: BTreeMap<&PathBuf, (&RepositoryId, &IndexedMirror)> =
        index.mirrors.iter().map(|(id, mirror)| (&mirror.place, (id, mirror))).collect();
    for step in &mut plan.steps {
        if step.action == Action::Update {
            continue;
        }
        let target = layout::place(&step.repository.full_name);
        if let Some((id, occupant)) = occupants.get(&target)
            && **id != step.repository.id
            && !renamed.contains(id)
            && !occupant.is_unconfirmed
        {
            plan.moves.push(Move {
                id: **id,
                from: target.clone(),
                to: layout::attic(&occupant.full_name, **id),
                new_name: None,
            });
            if step.action == Action::Create {
                step.action = Action::Replace;
            }
        }
        if let (Action::Rename, Some(stored)) = (step.action, &step.stored) {
            plan.moves.push(Move {
                id: step.repository.id,
                from: stored.place.clone(),
                to: target,
                new_name: Some(step.repository.full_name.clone()),
            });
        }
    }
    plan.moves.extend(strays(plan, index));
}

/// Finds mirrors that an interrupted run left between two names and that no step of this run takes: they go home, or into
/// the attic if another mirror is there.
fn strays(plan: &Plan, index: &Index) -> Vec<Move> {
    let taken: BTreeSet<RepositoryId> = plan.steps.iter().map(|step| step.repository.id).collect();
    let claimed: BTreeSet<PathBuf> = plan.steps.iter().map(|step| layout::place(&step.repository.full_name)).collect();
    let occupied: BTreeSet<&PathBuf> = index.mirrors.values().map(|mirror| &mirror.place).collect();
    let is_stray = |id: &RepositoryId, mirror: &IndexedMirror| {
        mirror.place == layout::moving(*id) && !taken.contains(id) && !mirror.is_unconfirmed
    };
    let strays = index.mirrors.iter().filter(|(id, mirror)| is_stray(id, mirror));
    strays
        .map(|(id, mirror)| {
            let home = layout::place(&mirror.full_name);
            let is_free = !claimed.contains(&home) && !occupied.contains(&home);
            let to = if is_free { home } else { layout::attic(&mirror.full_name, *id) };
            Move { id: *id, from: mirror.place.clone(), to, new_name: None }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn repository(id: u64, full_name: &str) -> Repository {
        Repository {
            id: RepositoryId(id),
            full_name: full_name.parse().unwrap(),
            size_kib: id,
            private: true,
            fork: false,
            archived: false,
            has_wiki: false,
            default_branch: None,
            node_id: None,
        }
    }

    fn inventory(repositories: &[(u64, &str)]) -> Inventory {
        Inventory {
            repositories: repositories.iter().map(|(id, name)| repository(*id, name)).collect(),
            complete_owners: BTreeSet::from(["acme".to_owned()]),
            ..Inventory::default()
        }
    }

    fn index(mirrors: &[(u64, &str)]) -> Index {
        let mut index = Index::default();
        for (id, name) in mirrors {
            let full_name: FullName = name.parse().unwrap();
            let place = layout::place(&full_name);
            let mirror = IndexedMirror::new(full_name, place);
            index.mirrors.insert(RepositoryId(*id), mirror);
        }
        index
    }

    fn actions(plan: &Plan) -> Vec<(u64, Action)> {
        let mut actions: Vec<_> = plan.steps.iter().map(|step| (step.repository.id.0, step.action)).collect();
        actions.sort_by_key(|(id, _)| *id);
        actions
    }

    #[test]
    fn new_known_and_gone_repositories_are_told_apart_by_id() {
        let mut inventory = inventory(&[(1, "acme/a"), (2, "acme/b")]);
        inventory.gone.insert(RepositoryId(3));
        let plan = plan(&inventory, &index(&[(2, "acme/b"), (3, "acme/c")]));
        assert_eq!(actions(&plan), [(1, Action::Create), (2, Action::Update)]);
        assert_eq!(plan.gone, [(RepositoryId(3), "acme/c".parse().unwrap())]);
        assert!(plan.moves.is_empty());
    }

    #[test]
    fn nothing_is_gone_from_a_listing_that_is_not_whole() {
        let mut inventory = inventory(&[(1, "acme/a")]);
        inventory.complete_owners.clear();
        assert!(plan(&inventory, &index(&[(3, "acme/c")])).gone.is_empty());
    }

    #[test]
    fn nothing_is_gone_before_github_has_said_so_by_its_id() {
        let mut inventory = inventory(&[(1, "acme/a")]);
        let mut index = index(&[(3, "acme/c"), (4, "acme/d"), (5, "acme/e")]);
        index.mirrors.get_mut(&RepositoryId(4)).unwrap().gone = true;
        inventory.moved_away.insert(RepositoryId(5), "other/e".parse().unwrap());
        assert_eq!(known(&index).keys().map(|id| id.0).collect::<Vec<_>>(), [3, 5]);
        let plan = plan(&inventory, &index);
        assert_eq!(plan.gone, [(RepositoryId(4), "acme/d".parse().unwrap())]);
        assert_eq!(plan.moved_away[0].1.to.to_string(), "other/e");
    }

    #[test]
    fn a_filtered_repository_is_not_gone() {
        let mut inventory = inventory(&[]);
        inventory.excluded.insert(RepositoryId(3));
        assert!(plan(&inventory, &index(&[(3, "acme/c")])).gone.is_empty());
    }

    #[test]
    fn a_name_taken_by_a_new_repository_sends_the_old_mirror_to_the_attic() {
        let mut inventory = inventory(&[(2, "acme/a")]);
        inventory.gone.insert(RepositoryId(1));
        let plan = plan(&inventory, &index(&[(1, "acme/a")]));
        assert_eq!(actions(&plan), [(2, Action::Replace)]);
        assert_eq!(plan.moves.len(), 1);
        assert_eq!(plan.moves[0].to, PathBuf::from(".ghbk/attic/acme/a-1"));
        assert_eq!(plan.gone, [(RepositoryId(1), "acme/a".parse().unwrap())]);
    }

    #[test]
    fn swapped_names_move_both_mirrors_and_none_to_the_attic() {
        let plan = plan(&inventory(&[(1, "acme/b"), (2, "acme/a")]), &index(&[(1, "acme/a"), (2, "acme/b")]));
        assert_eq!(actions(&plan), [(1, Action::Rename), (2, Action::Rename)]);
        assert!(plan.moves.iter().all(|step| step.new_name.is_some()));
    }

    #[test]
    fn one_name_listed_twice_is_a_failure_and_not_a_lost_mirror() {
        let plan = plan(&inventory(&[(1, "acme/a"), (2, "Acme/A")]), &index(&[]));
        assert_eq!(plan.steps.len(), 1);
        assert_eq!(plan.conflicts.len(), 1);
    }

    proptest! {
        /// After the moves no two mirrors share a place, and every listed mirror lies where its name says.
        #[test]
        fn moves_lose_nothing(
            stored in proptest::collection::btree_map(1u64..8, 0u8..6, 0..6),
            listed in proptest::collection::btree_map(1u64..8, 0u8..6, 0..6),
        ) {
            let unique = |map: &BTreeMap<u64, u8>| {
                let mut seen = BTreeSet::new();
                map.iter().filter(|(_, name)| seen.insert(**name)).map(|(id, n)| (*id, format!("acme/r{n}"))).collect::<Vec<_>>()
            };
            let (stored, listed) = (unique(&stored), unique(&listed));
            let as_refs = |list: &[(u64, String)]| list.iter().map(|(i, n)| (*i, n.clone())).collect::<Vec<_>>();
            let index = index(&as_refs(&stored).iter().map(|(i, n)| (*i, n.as_str())).collect::<Vec<_>>());
            let inventory = inventory(&as_refs(&listed).iter().map(|(i, n)| (*i, n.as_str())).collect::<Vec<_>>());
            let plan = plan(&inventory, &index);
            let mut places: BTreeMap<RepositoryId, PathBuf> =
                index.mirrors.iter().map(|(id, mirror)| (*id, mirror.place.clone())).collect();
            for step in &plan.moves {
                prop_assert_eq!(places.insert(step.id, step.to.clone()), Some(step.from.clone()), "moved twice");
            }
            for step in &plan.steps {
                if matches!(step.action, Action::Create | Action::Replace) {
                    places.insert(step.repository.id, layout::place(&step.repository.full_name));
                }
                prop_assert_eq!(&places[&step.repository.id], &layout::place(&step.repository.full_name));
            }
            let distinct: BTreeSet<_> = places.values().collect();
            prop_assert_eq!(distinct.len(), places.len(), "two mirrors in one place");
        }
    }
}
