//! The names of everything that the kernel has asked for, by the numbers that it was given.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fuser::INodeNo;

/// Files and folders below one folder. Nothing is forgotten: a benchmark does not last so long.
pub(crate) struct Nodes {
    root: PathBuf,
    known: Mutex<Known>,
}

struct Known {
    /// The folder that each is in, and its name there. A folder that moves takes along what is in it.
    places: HashMap<u64, (u64, OsString)>,
    numbers: HashMap<(u64, OsString), u64>,
    next: u64,
}

impl Nodes {
    pub(crate) fn below(root: PathBuf) -> Self {
        let known = Known { places: HashMap::new(), numbers: HashMap::new(), next: INodeNo::ROOT.0 + 1 };
        Self { root, known: Mutex::new(known) }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns where something lies.
    pub(crate) fn path(&self, node: INodeNo) -> PathBuf {
        let known = self.known();
        let mut names: Vec<&OsStr> = Vec::new();
        let mut at = node.0;
        while let Some((folder, name)) = known.places.get(&at) {
            names.push(name);
            at = *folder;
        }
        let mut path = self.root.clone();
        path.extend(names.into_iter().rev().map(Path::new));
        path
    }

    /// Returns the number of a name in a folder.
    pub(crate) fn number(&self, folder: INodeNo, name: &OsStr) -> INodeNo {
        let mut known = self.known();
        let key = (folder.0, name.to_owned());
        if let Some(number) = known.numbers.get(&key) {
            return INodeNo(*number);
        }
        let number = known.next;
        known.next += 1;
        known.places.insert(number, key.clone());
        known.numbers.insert(key, number);
        INodeNo(number)
    }

    /// Takes note that a name is gone. What still has it open goes by its handle.
    pub(crate) fn remove(&self, folder: INodeNo, name: &OsStr) {
        self.known().numbers.remove(&(folder.0, name.to_owned()));
    }

    /// Takes note that something has another name.
    pub(crate) fn rename(&self, (folder, name): (INodeNo, &OsStr), (new_folder, new_name): (INodeNo, &OsStr)) {
        let mut known = self.known();
        let Some(number) = known.numbers.remove(&(folder.0, name.to_owned())) else { return };
        let place = (new_folder.0, new_name.to_owned());
        known.numbers.insert(place.clone(), number);
        known.places.insert(number, place);
    }
}
