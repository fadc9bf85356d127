//! Which objects of a pack are made of which, and which are kept in memory while others are made of them. Pure.

use git2::ObjectType;

/// Stands for "no entry".
pub(crate) const NONE: u32 = u32::MAX;

/// Stands in the list of siblings for an entry that is not a delta.
pub(super) const ROOT: u32 = u32::MAX - 1;

/// How many bytes a thread keeps of the bases before the current one.
pub(crate) const KEPT_BYTES: usize = 16 * 1024 * 1024;

/// Which entries of a pack are made of which, by their numbers in the order of the pack.
pub(crate) struct Deltas {
    /// For each entry, the first delta that is made of it.
    pub(super) first: Vec<u32>,
    /// For each delta, the next one that is made of the same base.
    pub(super) next: Vec<u32>,
}

impl Deltas {
    /// Takes the number of each entry's base, [`NONE`] if it is not a delta.
    ///
    /// Among the deltas of a base, those that are no bases themselves come first: the base is then often finished before the
    /// chain continues, and need not be kept.
    pub(crate) fn new(mut bases: Vec<u32>) -> Self {
        let mut is_base = vec![false; bases.len()];
        for base in &bases {
            if let Some(is_base) = is_base.get_mut(*base as usize) {
                *is_base = true;
            }
        }
        let mut first = vec![NONE; bases.len()];
        for goes_on in [true, false] {
            // From the end: each list then ascends, and the pack is read forwards.
            for number in (0..bases.len()).rev().filter(|number| is_base[*number] == goes_on) {
                bases[number] = match first.get_mut(bases[number] as usize) {
                    Some(first) => std::mem::replace(first, u32::try_from(number).unwrap_or(NONE)),
                    None => ROOT,
                };
            }
        }
        Self { first, next: bases }
    }

    pub(super) fn is_root(&self, number: u32) -> bool {
        self.next[number as usize] == ROOT
    }
}

/// An object that others are made of.
#[derive(Clone)]
pub(super) struct Base {
    pub(super) number: u32,
    pub(super) kind: ObjectType,
    /// `None` if it has to be made again before it is needed.
    pub(super) data: Option<Vec<u8>>,
    /// The next delta to apply to it.
    pub(super) next: u32,
    /// The first delta that is left to another thread; [`NONE`] if none is.
    pub(super) end: u32,
    /// How many deltas it is made of.
    pub(super) depth: usize,
    /// Whether another thread gave it. It cannot be made again, because what it was made of is not known here.
    pub(super) is_given: bool,
}

impl Base {
    pub(super) fn is_done(&self) -> bool {
        self.next == self.end
    }

    /// Returns how many bytes could be freed.
    pub(super) fn spare_bytes(&self) -> usize {
        if self.is_given { 0 } else { self.data.as_ref().map_or(0, Vec::capacity) }
    }

    /// Returns the delta that comes after the next `count` ones.
    pub(super) fn after(&self, count: usize, deltas: &Deltas) -> Option<u32> {
        let mut next = self.next;
        for _ in 0..count {
            if next == self.end {
                return None;
            }
            next = deltas.next[next as usize];
        }
        (next != self.end).then_some(next)
    }

    /// Returns a copy for another thread, which takes over the deltas from `next` on.
    pub(super) fn split_at(&mut self, next: u32) -> Self {
        let rest = Self { next, is_given: true, ..self.clone() };
        self.end = next;
        rest
    }
}

/// Bases, each made of the one before it; the last is the current one.
pub(super) struct Chain {
    pub(super) bases: Vec<Base>,
    /// How many bytes could be freed of those before the last.
    pub(super) kept_bytes: usize,
    /// None before this one has anything to free.
    pub(super) first_kept: usize,
}

impl Chain {
    pub(super) fn new(base: Base) -> Self {
        Self { bases: vec![base], kept_bytes: 0, first_kept: 0 }
    }

    /// Adds a base. The one before it is freed if nothing else is made of it; then others are freed, from the beginning, until
    /// what is kept is within its bound.
    pub(super) fn push(&mut self, base: Base) {
        if let Some(last) = self.bases.last_mut() {
            if last.is_done() && !last.is_given {
                last.data = None;
            }
            self.kept_bytes += last.spare_bytes();
        }
        self.bases.push(base);
        while self.kept_bytes > KEPT_BYTES && self.first_kept + 1 < self.bases.len() {
            let base = &mut self.bases[self.first_kept];
            self.kept_bytes -= base.spare_bytes();
            if !base.is_given {
                base.data = None;
            }
            self.first_kept += 1;
        }
    }

    /// Drops the last base.
    pub(super) fn pop(&mut self) {
        self.bases.pop();
        self.kept_bytes -= self.bases.last().map_or(0, Base::spare_bytes);
        self.first_kept = self.first_kept.min(self.bases.len().saturating_sub(1));
    }

    /// Keeps a base before the last that was made again, if there is room.
    pub(super) fn keep(&mut self, at: usize, data: Vec<u8>) {
        if self.kept_bytes + data.capacity() <= KEPT_BYTES {
            self.kept_bytes += data.capacity();
            self.bases[at].data = Some(data);
            self.first_kept = self.first_kept.min(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(number: u32, next: u32, bytes: usize) -> Base {
        let data = Some(vec![0; bytes]);
        Base { number, kind: ObjectType::Blob, data, next, end: NONE, depth: 0, is_given: false }
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let kept = |chain: &Chain| -> usize {
            let (_, before) = chain.bases.split_last().unwrap();
            before.iter().map(Base::spare_bytes).sum()
        };
        let mut chain = Chain::new(base(0, 1, KEPT_BYTES / 8));
        for number in 1..40 {
            chain.push(base(number, if number % 3 == 0 { NONE } else { 99 }, KEPT_BYTES / 8));
            assert_eq!(kept(&chain), chain.kept_bytes);
            assert!(chain.kept_bytes <= KEPT_BYTES);
        }
        chain.pop();
        chain.keep(5, vec![0; 9]);
        assert!(chain.bases[5].data.is_some() && kept(&chain) == chain.kept_bytes);
        while chain.bases.len() > 1 {
            chain.pop();
            assert_eq!(kept(&chain), chain.kept_bytes);
        }
    }

    #[test]
    fn memory_that_is_reserved_and_not_used_counts() {
        let mut chain = Chain::new(base(0, 1, 1));
        for number in 1..=20 {
            chain.push(Base { data: Some(Vec::with_capacity(KEPT_BYTES / 8)), ..base(number, 99, 0) });
        }
        assert!(chain.bases.iter().filter(|base| base.data.is_some()).count() <= 10);
    }
}
