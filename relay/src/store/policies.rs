//! Documents under the policy key. The store keeps their bytes; it does not read them.

use std::collections::BTreeMap;

use super::Answer;

/// All documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredPolicy {
    /// The network's, once put.
    pub(crate) network: Option<Vec<u8>>,
    /// The groups', by name.
    pub(crate) groups: BTreeMap<String, Vec<u8>>,
}

/// What came of putting a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PutDocument {
    /// It is the current one now, or was already.
    Stored,
    /// There is a newer one, or another one with the same serial.
    Stale,
}

/// What came of deleting a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeleteGroup {
    /// It is gone, or never was.
    Deleted,
    /// There are users in it.
    InUse,
}

/// Operations on documents.
pub(crate) trait Policies {
    /// All documents.
    fn policy(&self) -> Answer<'_, StoredPolicy>;
    /// Stores the network's document.
    fn put_network(&self, document: Vec<u8>, serial: u64) -> Answer<'_, PutDocument>;
    /// Stores a group's document.
    fn put_group(&self, name: String, document: Vec<u8>, serial: u64) -> Answer<'_, PutDocument>;
    /// Removes a group that nobody is in.
    fn delete_group(&self, name: String) -> Answer<'_, DeleteGroup>;
}
