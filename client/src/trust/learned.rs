//! Documents that come along with what the relay answers: those of other networks, and memberships. Verified, and kept.

use sotto_crypto::{Domain, PolicyPublic, Signed};
use sotto_wire::api::NetworkInfo;
use sotto_wire::directory::DirectoryHead;
use sotto_wire::policy::NetworkDocument;

use super::directory::{Directory, SeenHeads, bad_network, missing_head, missing_network, put_head};
use super::lists::put_list;
use super::pins::put_membership;
use crate::core::error::{StoreError, TrustError};
use crate::store::{DirectoryRecord, ListRecord, MembershipRecord, PeerRecord, Record as _, Tx};

/// What was verified, to be kept.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    pub(super) heads: Vec<DirectoryRecord>,
    pub(super) peers: Vec<PeerRecord>,
    pub(super) memberships: Vec<MembershipRecord>,
    pub(super) lists: Vec<ListRecord>,
}

/// A peer network whose document has been verified.
pub(super) struct Peer<'a> {
    pub(super) document: NetworkDocument,
    pub(super) key: &'a PolicyPublic,
    pub(super) directory: Directory,
}

impl Learned {
    /// Verifies the head that has come with documents of our own network.
    pub(super) fn own(
        &mut self,
        head: Option<&Signed<DirectoryHead>>,
        key: &PolicyPublic,
        domain: &Domain,
        seen: &SeenHeads,
        now_ms: u64,
    ) -> Result<Directory, TrustError> {
        let head = head.ok_or_else(|| missing_head(domain))?;
        let directory = Directory::open(head, key, domain, seen, now_ms)?;
        self.heads.push(directory.record().clone());
        Ok(directory)
    }

    /// Verifies the documents of peers, each by its head under the key that our own network's document names.
    pub(super) fn peers<'a>(
        &mut self,
        own: &NetworkDocument,
        seen: &SeenHeads,
        networks: &'a [NetworkInfo],
        now_ms: u64,
    ) -> Result<Vec<Peer<'a>>, TrustError> {
        networks.iter().map(|info| self.peer(own, seen, info, now_ms)).collect()
    }

    fn peer<'a>(
        &mut self,
        own: &NetworkDocument,
        seen: &SeenHeads,
        info: &'a NetworkInfo,
        now_ms: u64,
    ) -> Result<Peer<'a>, TrustError> {
        let claimed = info.head.unverified().map_err(|e| bad_network(&own.domain, &e.to_string()))?.domain;
        let rule = own
            .peer(&claimed)
            .ok_or_else(|| bad_network(&claimed, "our network's policy does not name this network"))?;
        let policy_key = info.policy_key.fingerprint();
        if policy_key != rule.policy_key {
            let reason = "its policy key is not the one that our network's policy names";
            return Err(bad_network(&claimed, reason));
        }
        let directory = Directory::open(&info.head, &info.policy_key, &claimed, seen, now_ms)?;
        let document = directory.network(&info.document)?;
        self.heads.push(directory.record().clone());
        self.peers.push(PeerRecord { domain: claimed, policy_key, document: document.clone() });
        Ok(Peer { document, key: &info.policy_key, directory })
    }

    pub(super) fn put(&self, tx: &Tx<'_>) -> Result<(), StoreError> {
        self.heads.iter().try_for_each(|head| put_head(tx, head))?;
        self.memberships.iter().try_for_each(|membership| put_membership(tx, membership))?;
        self.lists.iter().try_for_each(|list| put_list(tx, list))?;
        for peer in &self.peers {
            if tx.get(&peer.key())?.as_ref() != Some(peer) {
                tx.put(peer)?;
            }
        }
        Ok(())
    }
}

/// The peer with this domain, which must have come along.
pub(super) fn peer_of<'a, 'b>(peers: &'b [Peer<'a>], domain: &Domain) -> Result<&'b Peer<'a>, TrustError> {
    peers.iter().find(|peer| &peer.document.domain == domain).ok_or_else(|| missing_network(domain))
}
