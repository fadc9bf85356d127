//! Cursors: where a listing goes on, by what the last item was and not by how many came before it.
//!
//! So an item that is deleted in mid-walk moves none over the edge of a page, as with GitHub's cursors.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What items are ordered by: a value such as a date, and a serial for those that have the same.
pub(crate) type Key = (i64, u64);

/// Returns the cursor of an item.
pub(crate) fn write((value, serial): Key) -> String {
    STANDARD.encode(format!("cursor:v2:{value}:{serial}"))
}

/// Reads a cursor; `None` if the text is not one.
pub(crate) fn read(cursor: &str) -> Option<Key> {
    let text = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
    let (value, serial) = text.strip_prefix("cursor:v2:")?.split_once(':')?;
    Some((value.parse().ok()?, serial.parse().ok()?))
}
