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

/// All documents that are under a directory head, as signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredDocuments {
    /// The network's, once put.
    pub(crate) network: Option<Vec<u8>>,
    /// The groups', by name.
    pub(crate) groups: Vec<(String, Vec<u8>)>,
    /// The memberships, by local part.
    pub(crate) memberships: Vec<(String, Vec<u8>)>,
}

/// The directory head with the documents that it is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredDirectory {
    /// The signed head.
    pub(crate) head: Vec<u8>,
    /// The documents as they were when it was put.
    pub(crate) documents: StoredDocuments,
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
    /// All documents as they are now.
    fn documents(&self) -> Answer<'_, StoredDocuments>;
    /// Stores a head, and with it the documents as they are now: these are what [`Self::directory_as_put`] answers from then on,
    /// whatever is put later. Who calls has compared them, and puts nothing meanwhile.
    fn put_head(&self, head: Vec<u8>, serial: u64) -> Answer<'_, PutDocument>;
    /// The newest head with the documents of then, once one was put.
    fn directory_as_put(&self) -> Answer<'_, Option<StoredDirectory>>;
    /// Removes a group that nobody is in.
    fn delete_group(&self, name: String) -> Answer<'_, DeleteGroup>;
}
