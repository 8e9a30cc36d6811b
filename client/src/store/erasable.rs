//! Small keys that are really erased. What must end (secrets of prekeys, what was said) is sealed under a key of its own
//! beside the store's; that key lies in a file of slots and is overwritten in place when its value ends. The database and
//! its log may keep old pages for as long as they like: nothing opens them any more.
//!
//! Every change happens under the file's lock, from the first slot that a transaction takes to the last that it erases
//! after its commit: so no process erases what another one has taken meanwhile. A slot is all zeros when it is free. Overwriting in place is what an ordinary file system does; one that copies on write, snapshots, and
//! the spare blocks of a flash disk may keep the old bytes, as docs/client.md says.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use sotto_crypto::SystemRng;
use sotto_crypto::rand_core::Rng as _;
use zeroize::Zeroizing;

use crate::core::error::StoreError;
use crate::core::platform::fs::{File, FileExt as _, private};

/// Bytes of a slot.
pub(crate) const SLOT: usize = 32;
/// Slots that the file grows by.
const GROWTH: u64 = 64;

/// Number of a slot in the file.
pub(crate) type Slot = i64;

/// A key of one value.
pub(crate) type SlotKey = Zeroizing<[u8; SLOT]>;

/// The file of keys.
pub(crate) struct Erasable {
    file: File,
    /// Slots that were free when the file was last looked through.
    free: Mutex<Vec<Slot>>,
}

impl Erasable {
    /// Opens the file, and makes it where it is not there yet.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = private().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Self { file, free: Mutex::default() })
    }

    /// The key in a slot; `None` where it was erased.
    pub(crate) fn key(&self, slot: Slot) -> Result<Option<SlotKey>, StoreError> {
        let mut key = Zeroizing::new([0; SLOT]);
        match self.file.read_exact_at(key.as_mut_slice(), place(slot)) {
            Ok(()) => Ok((*key != [0; SLOT]).then_some(key)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts a new key into a free slot. On disk only after [`sync`](Self::sync).
    pub(crate) fn take(&self) -> Result<(Slot, SlotKey), StoreError> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = loop {
            match free.pop() {
                // Another process may have taken it since.
                Some(slot) if self.key(slot)?.is_none() => break slot,
                Some(_) => {}
                None => self.find_free(&mut free)?,
            }
        };
        let mut key = Zeroizing::new([0; SLOT]);
        SystemRng.fill_bytes(key.as_mut_slice());
        self.file.write_all_at(key.as_slice(), place(slot))?;
        Ok((slot, key))
    }

    /// Holds the file for this process, waiting for others: after the database's write lock, never before.
    pub(crate) fn lock(&self) -> Result<(), StoreError> {
        Ok(self.file.lock()?)
    }

    /// Lets others to the file.
    pub(crate) fn unlock(&self) -> Result<(), StoreError> {
        Ok(self.file.unlock()?)
    }

    fn find_free(&self, free: &mut Vec<Slot>) -> Result<(), StoreError> {
        let slots = self.slots()?;
        self.each(|slot, is_free| free.extend(is_free.then_some(slot)))?;
        // Few are free: looking through the file for each of them would take longer and longer.
        if free.len() as u64 * 8 < slots || free.is_empty() {
            let grown = slots + GROWTH.max(slots / 8);
            self.file.set_len(grown * SLOT as u64)?;
            free.extend((slots..grown).filter_map(|slot| Slot::try_from(slot).ok()));
        }
        free.reverse();
        Ok(())
    }

    /// Every slot, and whether it is free.
    fn each(&self, mut look: impl FnMut(Slot, bool)) -> Result<(), StoreError> {
        const PAGE: u64 = 1024;
        let (slots, mut first) = (self.slots()?, 0);
        let mut page = Zeroizing::new(vec![0; 1024 * SLOT]);
        while first < slots {
            let some = usize::try_from((slots - first).min(PAGE)).unwrap_or(0);
            let bytes = page.get_mut(..some * SLOT).unwrap_or_default();
            self.file.read_exact_at(bytes, first * SLOT as u64)?;
            for (slot, key) in (first..).zip(bytes.chunks_exact(SLOT)) {
                look(Slot::try_from(slot).unwrap_or(Slot::MAX), key.iter().all(|byte| *byte == 0));
            }
            first += PAGE;
        }
        Ok(())
    }

    fn slots(&self) -> Result<u64, StoreError> {
        Ok(self.file.metadata()?.len() / SLOT as u64)
    }

    /// Erases keys. Gone for every reader at once; gone from the disk after [`sync`](Self::sync).
    pub(crate) fn erase(&self, slots: &[Slot]) -> Result<(), StoreError> {
        for slot in slots {
            self.file.write_all_at(&[0; SLOT], place(*slot))?;
        }
        self.free.lock().unwrap_or_else(PoisonError::into_inner).extend(slots);
        Ok(())
    }

    /// Everything that was written here is on disk.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        Ok(self.file.sync_data()?)
    }

    /// Erases every key but these: what a process has left that ended between the database and this file.
    pub(crate) fn keep_only(&self, used: &[Slot]) -> Result<(), StoreError> {
        let used: std::collections::HashSet<u64> = used.iter().filter_map(|slot| u64::try_from(*slot).ok()).collect();
        let mut erased = Vec::new();
        self.each(|slot, is_free| {
            if !is_free && u64::try_from(slot).is_ok_and(|slot| !used.contains(&slot)) {
                erased.push(slot);
            }
        })?;
        if !erased.is_empty() {
            self.erase(&erased)?;
            self.sync()?;
        }
        Ok(())
    }
}

fn place(slot: Slot) -> u64 {
    u64::try_from(slot).unwrap_or(0) * SLOT as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_there_until_it_is_erased_and_its_slot_is_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let keys = Erasable::open(&path).unwrap();
        let taken: Vec<_> = (0..200).map(|_| keys.take().unwrap()).collect();
        let again = Erasable::open(&path).unwrap();
        assert!(taken.iter().all(|(slot, key)| again.key(*slot).unwrap().as_ref() == Some(key)));
        let mut slots: Vec<_> = taken.iter().map(|(slot, _)| *slot).collect();
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(slots.len(), 200);

        let (erased, secret) = (taken[7].0, taken[7].1.clone());
        again.erase(&[erased]).unwrap();
        assert_eq!(keys.key(erased).unwrap(), None);
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(SLOT).any(|window| window == secret.as_slice()));
        assert_eq!(again.take().unwrap().0, erased);

        // What nobody names any more is erased.
        again.keep_only(&[taken[0].0]).unwrap();
        let left: Vec<_> = taken.iter().filter(|(slot, _)| keys.key(*slot).unwrap().is_some()).collect();
        assert_eq!(left.len(), 1);
        assert_eq!(keys.key(1_000_000).unwrap(), None);
    }

    #[test]
    fn two_processes_never_share_a_slot() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        let (one, other) = (Erasable::open(&path).unwrap(), Erasable::open(&path).unwrap());
        let mut slots: Vec<_> =
            (0..300).map(|n| if n % 2 == 0 { one.take() } else { other.take() }.unwrap().0).collect();
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(slots.len(), 300);
    }
}
