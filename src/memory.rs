//! The memory that unpacking may take, for all packs of the process together: `limits.memory`.
//!
//! There is one budget for the process, because there is one memory: a run, a verification and a restore share it. A task
//! that needs more than is left waits for the others; one that needs more than there is waits until it is alone. What a
//! newcomer would get wrong: this bounds what can be foreseen (objects that are unpacked, rows of an index), not every
//! allocation.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytesize::ByteSize;
use tokio_util::sync::CancellationToken;

/// The budget that the whole process shares.
static BUDGET: Budget = Budget::new();

/// How long a wait lasts before cancellation is looked at again.
const PAUSE: Duration = Duration::from_millis(100);

/// The limit until a configuration is read.
const DEFAULT_BYTES: u64 = 1024 * 1024 * 1024;
/// Less would unpack nothing.
const LEAST_BYTES: u64 = 64 * 1024 * 1024;

/// Sets what the process may take; none: half of what the machine, or the control group, has.
pub fn set_limit(limit: Option<ByteSize>) {
    let bytes = limit.map_or_else(|| of_machine() / 2, |limit| limit.as_u64());
    BUDGET.lock().limit = bytes.max(LEAST_BYTES);
}

/// Returns what the process may take, in bytes.
pub(crate) fn limit() -> u64 {
    BUDGET.lock().limit
}

/// Takes memory out of the budget as soon as there is enough, in the order of the calls; blocking. Asking for more than there is
/// means all of it.
///
/// Returns `None` if it is cancelled first.
pub(crate) fn reserve(bytes: u64, cancel: &CancellationToken) -> Option<Reservation> {
    BUDGET.reserve(bytes, cancel)
}

/// Memory that is taken; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: &'static Budget,
    bytes: u64,
}

#[derive(Debug)]
struct Budget {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    limit: u64,
    taken: u64,
    /// The tickets that wait, in order.
    waiting: VecDeque<u64>,
    next_ticket: u64,
}

impl Budget {
    const fn new() -> Self {
        let state = State { limit: DEFAULT_BYTES, taken: 0, waiting: VecDeque::new(), next_ticket: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reserve(&'static self, bytes: u64, cancel: &CancellationToken) -> Option<Reservation> {
        let mut state = self.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back(ticket);
        loop {
            let bytes = bytes.min(state.limit);
            let is_first = state.waiting.front() == Some(&ticket);
            if cancel.is_cancelled() || (is_first && state.taken + bytes <= state.limit) {
                state.waiting.retain(|other| *other != ticket);
                let is_granted = !cancel.is_cancelled();
                state.taken += if is_granted { bytes } else { 0 };
                self.changed.notify_all();
                return is_granted.then(|| Reservation { budget: self, bytes });
            }
            let waited = self.changed.wait_timeout(state, PAUSE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.taken = state.taken.saturating_sub(self.bytes);
        self.budget.changed.notify_all();
    }
}

/// Returns how much memory the machine has, or the control group if that has less. Source: cgroups(7), "memory.max".
fn of_machine() -> u64 {
    let machine = rustix::system::sysinfo();
    let total = u64::from(machine.mem_unit) * machine.totalram;
    of_control_group().map_or(total, |group| group.min(total))
}

fn of_control_group() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = std::path::Path::new("/sys/fs/cgroup");
    // Each group above may have a limit of its own.
    let limits = root
        .join(own)
        .ancestors()
        .take_while(|group| group.starts_with(root))
        .filter_map(|group| std::fs::read_to_string(group.join("memory.max")).ok()?.trim().parse::<u64>().ok())
        .collect::<Vec<_>>();
    limits.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_needs_more_than_is_left_waits_for_the_others() {
        static BUDGET: Budget = Budget::new();
        let cancel = CancellationToken::new();
        let large = BUDGET.reserve(DEFAULT_BYTES - 10, &cancel).unwrap();
        let small = BUDGET.reserve(10, &cancel).unwrap();
        std::thread::scope(|scope| {
            let more_than_all = scope.spawn(|| BUDGET.reserve(u64::MAX, &cancel).is_some());
            drop(large);
            std::thread::sleep(PAUSE / 2);
            assert!(!more_than_all.is_finished(), "it waits to be alone");
            drop(small);
            assert!(more_than_all.join().unwrap());
        });
        assert_eq!(BUDGET.lock().taken, 0);
    }

    #[test]
    fn a_wait_that_is_cancelled_takes_nothing_and_lets_the_next_through() {
        static BUDGET: Budget = Budget::new();
        let (cancel, go_on) = (CancellationToken::new(), CancellationToken::new());
        let all = BUDGET.reserve(u64::MAX, &go_on).unwrap();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| BUDGET.reserve(1, &cancel).is_some());
            cancel.cancel();
            assert!(!first.join().unwrap());
            drop(all);
            assert!(BUDGET.reserve(1, &go_on).is_some());
        });
        assert_eq!(BUDGET.lock().taken, 0);
    }

    #[test]
    fn the_machine_says_how_much_it_has() {
        assert!(of_machine() > LEAST_BYTES);
    }
}
