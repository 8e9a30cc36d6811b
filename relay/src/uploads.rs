//! Attachments on their way in: how much of an owner's quota is promised to them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sotto_wire::limits::MAX_BLOB;

/// Promised bytes by owner.
#[derive(Default)]
pub(crate) struct Uploads(Mutex<HashMap<String, u64>>);

/// A promise; given back when dropped.
pub(crate) struct Underway {
    uploads: Arc<Uploads>,
    owner: String,
    bytes: u64,
}

impl Uploads {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Promises `length` bytes of `room`, less those that are promised already; `None` where there are not as many. A
    /// length that is not known is what is left, up to the largest attachment.
    pub(crate) fn begin(self: &Arc<Self>, owner: &str, length: Option<u64>, room: u64) -> Option<Underway> {
        let mut promised = self.lock();
        let before = promised.get(owner).copied().unwrap_or(0);
        let left = room.checked_sub(before)?;
        let wanted = length.unwrap_or(left.min(MAX_BLOB));
        if wanted > left || left == 0 {
            return None;
        }
        promised.insert(owner.to_owned(), before.saturating_add(wanted));
        Some(Underway { uploads: Arc::clone(self), owner: owner.to_owned(), bytes: wanted })
    }
}

impl Underway {
    /// Bytes that were promised.
    pub(crate) fn limit(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let mut promised = self.uploads.lock();
        let left = promised.get(&self.owner).copied().unwrap_or(0).saturating_sub(self.bytes);
        if left == 0 {
            promised.remove(&self.owner);
        } else {
            promised.insert(self.owner.clone(), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_add_up_and_are_given_back() {
        let uploads = Arc::new(Uploads::default());
        let first = uploads.begin("x", Some(60), 100).unwrap();
        assert!(uploads.begin("x", Some(41), 100).is_none());
        let other = uploads.begin("y", Some(41), 100).unwrap();
        let second = uploads.begin("x", None, 100).unwrap();
        assert_eq!(second.limit(), 40, "what is left");
        assert!(uploads.begin("x", Some(1), 100).is_none() && uploads.begin("x", None, 100).is_none());
        drop(first);
        assert_eq!(uploads.begin("x", Some(60), 100).unwrap().limit(), 60);
        drop((second, other));
        assert!(uploads.lock().is_empty());
        assert_eq!(uploads.begin("x", None, u64::MAX).unwrap().limit(), MAX_BLOB);
        assert!(uploads.begin("x", Some(u64::MAX), 100).is_none());
    }
}
