//! Deltas: how git's packs describe an object by another one. Pure.
//!
//! Source: git's documentation, `gitformat-pack`, "Deltified representation".

/// A delta that git would not write, or that does not belong to its base.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a delta that does not fit its base")]
pub(crate) struct Misfit;

/// The first allocation, whatever size a delta promises.
const FIRST_BYTES: usize = 1024 * 1024;

/// Makes an object from its base.
///
/// # Errors
/// [`Misfit`] if the sizes that the delta gives are wrong, or if it names bytes outside of its base.
pub(crate) fn apply(base: &[u8], delta: &[u8]) -> Result<Vec<u8>, Misfit> {
    let mut out = Vec::new();
    apply_into(base, delta, &mut out)?;
    Ok(out)
}

/// Returns the size that a delta promises, in bytes.
pub(crate) fn result_size(delta: &[u8]) -> Result<usize, Misfit> {
    let (_, delta) = size(delta)?;
    Ok(size(delta)?.0)
}

/// Makes an object from its base, in reused memory.
///
/// # Errors
/// As [`apply`].
pub(crate) fn apply_into(base: &[u8], delta: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
    let (base_size, delta) = size(delta)?;
    let (result_size, mut rest) = size(delta)?;
    if base_size != base.len() {
        return Err(Misfit);
    }
    out.clear();
    out.reserve_exact(result_size.min(FIRST_BYTES));
    while let Some((instruction, arguments)) = rest.split_first() {
        rest = match instruction {
            0 => return Err(Misfit),
            copy if copy & 0x80 != 0 => {
                let (from, arguments) = number(copy & 0x0f, arguments)?;
                let (count, arguments) = number((copy >> 4) & 0x07, arguments)?;
                let count = if count == 0 { 0x1_0000 } else { count };
                out.extend_from_slice(base.get(from..from + count).ok_or(Misfit)?);
                arguments
            }
            count => {
                let (literal, arguments) = arguments.split_at_checked(usize::from(*count)).ok_or(Misfit)?;
                out.extend_from_slice(literal);
                arguments
            }
        };
        if out.len() > result_size {
            return Err(Misfit);
        }
    }
    if out.len() == result_size { Ok(()) } else { Err(Misfit) }
}

/// Reads a size: seven bits a byte, the low ones first.
fn size(bytes: &[u8]) -> Result<(usize, &[u8]), Misfit> {
    let mut size = 0usize;
    for (number, byte) in bytes.iter().enumerate() {
        let bits = usize::from(byte & 0x7f);
        let shifted = u32::try_from(7 * number).ok().and_then(|shift| bits.checked_shl(shift)).ok_or(Misfit)?;
        size |= shifted;
        if byte & 0x80 == 0 {
            return Ok((size, &bytes[number + 1..]));
        }
    }
    Err(Misfit)
}

/// Reads a number whose zero bytes are left out: each bit that is set stands for a byte that is written.
fn number(mut present: u8, mut bytes: &[u8]) -> Result<(usize, &[u8]), Misfit> {
    let mut number = 0;
    let mut shift = 0;
    while present > 0 {
        if present & 1 != 0 {
            let (byte, rest) = bytes.split_first().ok_or(Misfit)?;
            number |= usize::from(*byte) << shift;
            bytes = rest;
        }
        present >>= 1;
        shift += 8;
    }
    Ok((number, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn copies_and_literals_make_an_object() {
        // From 4 take 3, then "xy", then 64 KiB from 0 (a size of 0 means that).
        let base = vec![b'a'; 0x1_0000];
        let mut delta = vec![0x80, 0x80, 0x04, 0x85, 0x80, 0x04];
        delta.extend_from_slice(&[0x91, 4, 3, 2, b'x', b'y', 0x80]);
        let object = apply(&base, &delta).unwrap();
        assert_eq!(object.len(), 0x1_0005);
        assert_eq!(&object[..6], b"aaaxya");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for delta in [&b""[..], b"\x02", b"\x02\x02\x00", b"\x02\x02\x91\x01\x02", b"\x02\x01\x02ab", b"\x03\x01\x01a"]
        {
            assert_eq!(apply(b"ab", delta), Err(Misfit), "{delta:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(base in proptest::collection::vec(any::<u8>(), 0..40), delta in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = apply(&base, &delta);
        }
    }
}
