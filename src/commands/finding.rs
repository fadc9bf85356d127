//! Which mirrors a person means by a name: the present one, or one that the repository had before.
//!
//! What a newcomer would get wrong: suggesting the nearest name for a repository whose mirror is lost, or was renamed, leads to
//! another repository, at the worst possible time.

use std::sync::Arc;

use super::{Context, open_store};
use crate::blocking::unblock;
use crate::error::{Error, Exit};
use crate::names::{FullName, RepositoryId, Wanted};
use crate::store::{Index, IndexedMirror, Store, recorded_names, repositories_once_called};
use crate::text::nearest;
use crate::typed::Typed;

/// Finds the mirrors that a person names.
///
/// # Errors
/// [`Error`] if there is none. If there was one it says that the mirror is missing, otherwise it names the nearest one.
pub(crate) fn find_mirrors(
    store: &Store,
    index: &Index,
    wanted: &Wanted,
) -> Result<Vec<(RepositoryId, IndexedMirror)>, Error> {
    let found = index.find(wanted);
    if !found.is_empty() {
        return Ok(found.into_iter().map(|(id, mirror)| (id, mirror.clone())).collect());
    }
    if let Wanted::Name(name) = wanted {
        // Every run reports records that cannot be read.
        let ids = repositories_once_called(store, name).unwrap_or_default();
        let known = |id: RepositoryId| Some((id, index.mirrors.get(&id)?.clone()));
        let found: Vec<_> = ids.iter().filter_map(|id| known(*id)).collect();
        for (id, mirror) in &found {
            tracing::info!("{name} was an earlier name of {}, id {id}", mirror.full_name);
        }
        if !found.is_empty() {
            return Ok(found);
        }
    }
    if let Some(name) = lost(store, index, wanted) {
        return Err(Error::new(
            Exit::Partial,
            format!("the mirror of {name} is missing from the store"),
            format!(
                "look for it in `.ghbk` and in the backups of the file system; if it was removed on purpose: `ghbk forget {name}`"
            ),
        ));
    }
    Err(not_found(index, wanted))
}

/// Returns the names that were typed, and those of ids.
///
/// # Errors
/// [`Error`] if an id has no mirror, or if another repository has its name now.
pub(crate) async fn named(context: &Context, typed: Vec<Typed<Wanted>>) -> Result<Vec<FullName>, Error> {
    let has_ids = typed.iter().any(|it| matches!(it.value, Wanted::Id(_)));
    let opened = if has_ids {
        let config = Arc::clone(&context.config);
        Some(unblock(move || Ok::<_, Error>((open_store(&config)?, Index::current(&open_store(&config)?)?))).await?)
    } else {
        None
    };
    let name = |wanted: &Wanted| match (wanted, &opened) {
        (Wanted::Id(id), Some((store, index))) => match index.mirrors.get(id) {
            Some(mirror) if mirror.is_set_aside() => Err(Error::new(
                Exit::Usage,
                format!("id {id} was {}, and another repository has that name now", mirror.full_name),
                format!("`ghbk restore {id} DEST` restores it; GitHub no longer has it under this name"),
            )),
            Some(mirror) => Ok(mirror.full_name.clone()),
            None => Err(find_mirrors(store, index, wanted).err().unwrap_or_else(|| not_found(index, wanted))),
        },
        (Wanted::Name(name), _) => Ok(name.clone()),
        (Wanted::Id(_), None) => {
            Err(Error::new(Exit::Usage, format!("the store has no mirror of {wanted}"), "name it"))
        }
    };
    typed.iter().map(|it| name(&it.value)).collect()
}

/// Finds the name of a repository that had a mirror and has none any more.
fn lost(store: &Store, index: &Index, wanted: &Wanted) -> Option<FullName> {
    let names = recorded_names(store).ok()?;
    let mut lost = index.lost.keys().filter_map(|id| Some((id, names.get(id)?)));
    let is_meant = |(id, name): &(&RepositoryId, &FullName)| match wanted {
        Wanted::Id(wanted) => wanted == *id,
        Wanted::Name(wanted) => wanted.same_as(name),
    };
    lost.find(is_meant).map(|(_, name)| name.clone())
}

/// Makes the error for a mirror that does not exist, with the nearest name.
pub(super) fn not_found(index: &Index, wanted: &Wanted) -> Error {
    let name = wanted.to_string();
    let names = index.mirrors.values().map(|mirror| mirror.full_name.to_string());
    let hint = match nearest(&name, names) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => "`ghbk status --all` lists the mirrors".to_owned(),
    };
    Error::new(Exit::Usage, format!("the store has no mirror of {wanted}"), hint)
}
