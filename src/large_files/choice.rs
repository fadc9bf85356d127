//! Which of the large files that a mirror lacks are fetched now. Pure.

use bytesize::ByteSize;

use crate::git::pointer::Pointer;

/// The files that a mirror lacks, by what becomes of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// To fetch, smallest first: one that is too large for the store, if only by what its pointer says, keeps no other away.
    pub wanted: Vec<Pointer>,
    /// Larger than the configuration allows.
    pub too_large: Vec<Pointer>,
    /// More than the store has room for beside those that are wanted.
    pub without_room: Vec<Pointer>,
    /// What the wanted ones take with the first of those that have no room, in bytes.
    pub needed_bytes: u64,
}

impl Choice {
    /// Sorts what is lacking.
    pub fn among(lacking: Vec<Pointer>, size_max: Option<ByteSize>, room_bytes: u64) -> Self {
        let is_too_large = |it: &Pointer| size_max.is_some_and(|max| it.size_bytes > max.as_u64());
        let (too_large, mut wanted): (Vec<Pointer>, Vec<Pointer>) = lacking.into_iter().partition(is_too_large);
        wanted.sort_unstable_by_key(|pointer| pointer.size_bytes);
        let mut needed_bytes = 0_u64;
        let first_without_room = wanted.iter().position(|pointer| {
            needed_bytes = needed_bytes.saturating_add(pointer.size_bytes);
            needed_bytes > room_bytes
        });
        let without_room = wanted.split_off(first_without_room.unwrap_or(wanted.len()));
        Self { wanted, too_large, without_room, needed_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::pointer::LfsOid;

    #[test]
    fn what_has_no_room_and_what_is_left_out_keep_no_other_away() {
        let pointer = |size_bytes: u64| Pointer { oid: LfsOid::new([7; 32]), size_bytes };
        let lacking = [7, u64::MAX, 1, 60, 3, 200].map(pointer).to_vec();
        let chosen = Choice::among(lacking.clone(), Some(ByteSize(100)), 12);
        assert_eq!(chosen.wanted, [1, 3, 7].map(pointer));
        assert_eq!(chosen.without_room, [60].map(pointer));
        assert_eq!(chosen.too_large, [u64::MAX, 200].map(pointer));
        assert_eq!(chosen.needed_bytes, 71);
        let all = Choice::among(lacking, None, u64::MAX);
        assert_eq!((all.wanted.len(), all.without_room.len()), (6, 0));
    }
}
