//! The faults in force, and how often each has been met.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::fault::{Action, Fault};
use super::pattern;

/// Keeps the faults in the order in which they were added.
#[derive(Debug, Default)]
pub(crate) struct FaultList(Mutex<Vec<Fault>>);

impl FaultList {
    /// Adds a fault behind those in force.
    pub(crate) fn add(&self, fault: Fault) {
        self.lock().push(fault);
    }

    /// Removes all faults.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// Returns the faults in force; `skip` and `times` say how many requests are left of each.
    pub(crate) fn all(&self) -> Vec<Fault> {
        self.lock().clone()
    }

    /// Counts a request against every fault that means it, and returns what is to happen, in order.
    pub(crate) fn meet(&self, method: &str, path: &str, api_prefix: &str) -> Vec<Action> {
        let without_prefix = path.strip_prefix(api_prefix).unwrap_or(path);
        let mut faults = self.lock();
        faults
            .iter_mut()
            .filter(|fault| fault.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method)))
            .filter(|fault| pattern::matches(&fault.path, path) || pattern::matches(&fault.path, without_prefix))
            .filter_map(Fault::count)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fault {
    /// Counts one request, and returns the action if this request is hit.
    fn count(&mut self) -> Option<Action> {
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        if let Some(times) = &mut self.times {
            *times = times.checked_sub(1)?;
        }
        Some(self.action.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, FaultList};

    #[test]
    fn skip_and_times_count_matching_requests_only() {
        let list = FaultList::default();
        list.add(Fault::on("/user").method("get").skip(1).times(2).status(503));
        let hit = |method, path| !list.meet(method, path, "/api/v3").is_empty();
        assert!(!hit("GET", "/rate_limit"), "another path");
        assert!(!hit("POST", "/user"), "another method");
        assert!(!hit("GET", "/user"), "skipped");
        assert!(hit("GET", "/user"));
        assert!(hit("GET", "/api/v3/user"), "the prefix does not matter");
        assert!(!hit("GET", "/user"), "used up");
    }
}
