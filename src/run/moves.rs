//! Moves: mirrors go to where their repositories' names say.

use std::collections::BTreeMap;
use std::path::Path;

use super::session::Session;
use super::tally::Tally;
use crate::names::{FullName, RepositoryId};
use crate::outcome::{Failure, Renamed, Stage};
use crate::plan::{Move, Plan};
use crate::store::{StoreError, layout};

impl Session {
    /// Moves mirrors to their new names and into the attic: all out, then all in.
    pub(super) fn move_mirrors(&mut self, plan: &mut Plan, tally: &mut Tally) {
        let mut failed = Vec::new();
        let names: BTreeMap<RepositoryId, FullName> =
            self.index.mirrors.iter().map(|(id, mirror)| (*id, mirror.full_name.clone())).collect();
        let mut fail = |step: &Move, error: &StoreError, tally: &mut Tally| {
            let name = step.new_name.as_ref().or_else(|| names.get(&step.id));
            let name = name.map_or_else(|| step.from.display().to_string(), ToString::to_string);
            tally.failures.push(Failure {
                repository: name,
                stage: Stage::Move,
                error: error.to_string(),
                hint: error.hint(),
            });
            failed.push(step.id);
        };
        let mut under_way = Vec::new();
        for step in &plan.moves {
            let between = layout::moving(step.id);
            if step.from == between {
                under_way.push(step); // an interrupted run got this far
                continue;
            }
            match self.store.move_mirror(&step.from, &between, None) {
                Ok(()) => {
                    self.set_place(step, &between);
                    under_way.push(step);
                }
                Err(error) => fail(step, &error, tally),
            }
        }
        for step in under_way {
            match self.store.move_mirror(&layout::moving(step.id), &step.to, step.new_name.as_ref()) {
                Ok(()) => self.set_place(step, &step.to),
                Err(error) => fail(step, &error, tally),
            }
        }
        plan.steps.retain(|step| !failed.contains(&step.repository.id));
        // Each step must know where its mirror lies now.
        for step in &mut plan.steps {
            step.stored = self.index.mirrors.get(&step.repository.id).cloned().filter(|_| step.stored.is_some());
        }
        tally.renamed.extend(plan.moves.iter().filter(|step| !failed.contains(&step.id)).filter_map(|step| {
            let from = tally.names_before.get(&step.id)?.clone();
            let to = step.new_name.clone()?;
            (from != to).then_some(Renamed { from, to })
        }));
    }

    pub(super) fn set_place(&mut self, step: &Move, place: &Path) {
        if let Some(mirror) = self.index.mirrors.get_mut(&step.id) {
            place.clone_into(&mut mirror.place);
            if let Some(name) = step.new_name.as_ref().filter(|_| place == step.to) {
                mirror.full_name.clone_from(name);
            }
        }
    }
}
