//! Which of the large files that a mirror lacks are fetched now. Pure.

use bytesize::ByteSize;

use crate::git::pointer::Pointer;

/// The files that a mirror lacks, by what becomes of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// To fetch, smallest first: a file that is too large for the store, if only by what its pointer says, keeps no other away.
    pub wanted: Vec<Pointer>,
    /// Larger than the configuration allows.
    pub too_large: Vec<Pointer>,
    /// Those that the store has no room for beside the wanted ones.
    pub without_room: Vec<Pointer>,
    /// How many bytes the wanted ones and the first one without room take.
    pub needed_bytes: u64,
}

impl Choice {
    /// Sorts what is missing. What GitHub has said it does not have is asked for again, and needs no room until it comes.
    pub fn among(
        lacking: Vec<Pointer>,
        size_max: Option<ByteSize>,
        room_bytes: u64,
        is_absent: impl Fn(&Pointer) -> bool,
    ) -> Self {
        let is_too_large = |it: &Pointer| size_max.is_some_and(|max| it.size_bytes > max.as_u64());
        let (too_large, mut lacking): (Vec<Pointer>, Vec<Pointer>) = lacking.into_iter().partition(is_too_large);
        lacking.sort_unstable_by_key(|pointer| pointer.size_bytes);
        let mut choice = Self { too_large, ..Self::default() };
        for pointer in lacking {
            if is_absent(&pointer) {
                choice.wanted.push(pointer);
            } else if choice.needed_bytes > room_bytes {
                choice.without_room.push(pointer);
            } else {
                choice.needed_bytes = choice.needed_bytes.saturating_add(pointer.size_bytes);
                let has_room = choice.needed_bytes <= room_bytes;
                (if has_room { &mut choice.wanted } else { &mut choice.without_room }).push(pointer);
            }
        }
        choice
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
        let chosen = Choice::among(lacking.clone(), Some(ByteSize(100)), 11, |_| false);
        assert_eq!(chosen.wanted, [1, 3, 7].map(pointer));
        assert_eq!(chosen.without_room, [60].map(pointer));
        assert_eq!(chosen.too_large, [u64::MAX, 200].map(pointer));
        assert_eq!(chosen.needed_bytes, 71);
        // With one byte less, the last has no room.
        assert_eq!(Choice::among(lacking.clone(), Some(ByteSize(100)), 10, |_| false).wanted, [1, 3].map(pointer));
        let all = Choice::among(lacking.clone(), None, u64::MAX, |_| false);
        assert_eq!((all.wanted.len(), all.without_room.len()), (6, 0));
        let absent = Choice::among(lacking, None, 4, |it| it.size_bytes > 50);
        assert_eq!(absent.wanted, [1, 3, 60, 200, u64::MAX].map(pointer));
        assert_eq!(absent.without_room, [7].map(pointer));
    }
}
