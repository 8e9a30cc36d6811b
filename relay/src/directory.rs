//! The documents as clients are shown them: those that the newest directory head is over, each with its proof. What has been put since
//! counts for what the relay itself enforces, and is shown with the next head.

use std::sync::{Arc, PoisonError, RwLock};

use sotto_crypto::{DecodeError, Domain, Listed, PolicyPublic, Signed};
use sotto_wire::ErrorCode;
use sotto_wire::directory::{Directory, DirectoryHead};
use sotto_wire::policy::{GroupDocument, MembershipDocument, NetworkDocument, RetentionRule};

use crate::error::{Failure, Reply};
use crate::store::{StoredDirectory, StoredDocuments};

/// The head with all that it is over.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) head: Signed<DirectoryHead>,
    /// Decoded.
    pub(crate) network: NetworkDocument,
    directory: Directory,
}

/// Holds what is shown now.
#[derive(Default)]
pub(crate) struct ShownCell(RwLock<Option<Arc<Shown>>>);

impl ShownCell {
    pub(crate) fn current(&self) -> Reply<Arc<Shown>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(Failure::no_policy)
    }

    pub(crate) fn replace(&self, shown: Option<Shown>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = shown.map(Arc::new);
    }
}

impl Shown {
    /// Of what is stored. It was verified when it was put.
    pub(crate) fn decode(stored: &StoredDirectory) -> Result<Option<Self>, DecodeError> {
        let Some(directory) = directory(&stored.documents)? else { return Ok(None) };
        let head = Signed::from_bytes(&stored.head)?;
        let Some(network) = directory.network() else { return Ok(None) };
        Ok(Some(Self { head, network: network.unverified()?, directory }))
    }

    pub(crate) fn network(&self) -> Reply<Listed<NetworkDocument>> {
        self.directory.network().ok_or_else(Failure::no_policy)
    }

    pub(crate) fn group(&self, name: &str) -> Reply<Listed<GroupDocument>> {
        self.directory.group(name).ok_or_else(Failure::no_policy)
    }

    /// The membership of a user of this network. Who is new is shown with the next head.
    pub(crate) fn membership(&self, local: &str) -> Reply<Listed<MembershipDocument>> {
        self.directory.membership(local).ok_or_else(Failure::no_policy)
    }

    /// The membership of a user, with the document of the group that it names.
    pub(crate) fn membership_and_group(
        &self,
        local: &str,
    ) -> Reply<(Listed<MembershipDocument>, Listed<GroupDocument>)> {
        let membership = self.membership(local)?;
        let group = membership.unverified().map_err(|_| Failure::no_policy())?.group;
        let group = self.group(&group)?;
        Ok((membership, group))
    }

    /// The retention rules that cover any of these groups, once each. Those that clients are shown: they would not seal to others.
    pub(crate) fn retention(&self, groups: &[&str]) -> Vec<&RetentionRule> {
        let covers = |rule: &&RetentionRule| rule.enabled && groups.iter().any(|group| rule.scope.covers(group));
        self.network.retention.iter().filter(covers).collect()
    }
}

/// The directory of documents as they are stored; `None` before there is the network's.
pub(crate) fn directory(stored: &StoredDocuments) -> Result<Option<Directory>, DecodeError> {
    fn named(documents: &[(String, Vec<u8>)]) -> impl Iterator<Item = (&str, &[u8])> {
        documents.iter().map(|(name, signed)| (name.as_str(), signed.as_slice()))
    }
    let Some(network) = &stored.network else { return Ok(None) };
    Directory::new(network, named(&stored.groups), named(&stored.memberships)).map(Some)
}

/// Reads and checks a head as it is put, against the documents that are there.
pub(crate) fn check_head(
    bytes: &[u8],
    key: &PolicyPublic,
    domain: &Domain,
    stored: &StoredDocuments,
) -> Reply<DirectoryHead> {
    let signed = Signed::<DirectoryHead>::from_bytes(bytes).map_err(|e| Failure::invalid(format!("head: {e}")))?;
    let head = signed.verify(key).map_err(|e| {
        Failure::invalid(format!("head: {e}; it must be signed by the policy key of the relay's configuration"))
    })?;
    crate::policy::check_head("head", head.version, &head.domain, domain)?;
    let over = directory(stored).map_err(|_| Failure::new(ErrorCode::DirectoryChanged, UNREADABLE))?;
    if over.is_some_and(|directory| directory.is_of(&head)) {
        return Ok(head);
    }
    Err(Failure::new(
        ErrorCode::DirectoryChanged,
        "head.root: is not over the documents that this relay holds; ask for its state, put what differs, and then a new head",
    ))
}

/// Of a user whom an older version has stored.
const UNREADABLE: &str = "a document that this relay holds cannot be read; put all of them again, and then a new head";
