//! Documents that come along with what the relay answers: those of other networks, and memberships. Verified, and kept.

use sotto_crypto::{Domain, PolicyPublic};
use sotto_wire::api::NetworkInfo;
use sotto_wire::policy::NetworkDocument;

use super::lists::put_list;
use super::pins::put_membership;
use super::policy;
use crate::core::error::{StoreError, TrustError};
use crate::store::{ListRecord, MembershipRecord, PeerRecord, Record as _, Serials, Tx};

/// What was verified, to be kept.
#[derive(Debug, Default)]
pub(crate) struct Learned {
    pub(super) serials: Vec<Serials>,
    pub(super) peers: Vec<PeerRecord>,
    pub(super) memberships: Vec<MembershipRecord>,
    pub(super) lists: Vec<ListRecord>,
}

/// A peer network whose document has been verified.
pub(super) struct Peer<'a> {
    pub(super) document: NetworkDocument,
    pub(super) key: &'a PolicyPublic,
}

impl Learned {
    /// Verifies the documents of peers, each under the key that our own network's document names, and not older than seen.
    pub(super) fn peers<'a>(
        &mut self,
        own: &NetworkDocument,
        seen: &[Serials],
        networks: &'a [NetworkInfo],
    ) -> Result<Vec<Peer<'a>>, TrustError> {
        let verified = networks.iter().map(|info| {
            let claimed = info.document.unverified().map(|d| d.domain).ok();
            let known = seen.iter().find(|s| Some(&s.domain) == claimed.as_ref()).cloned();
            let (document, serials) = policy::peer(own, info, known)?;
            let (domain, policy_key) = (document.domain.clone(), info.policy_key.fingerprint());
            self.serials.push(serials);
            self.peers.push(PeerRecord { domain, policy_key, document: info.document.clone() });
            Ok(Peer { document, key: &info.policy_key })
        });
        verified.collect()
    }

    pub(super) fn put(&self, tx: &Tx<'_>) -> Result<(), StoreError> {
        self.serials.iter().try_for_each(|serials| tx.put(serials))?;
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
    peers.iter().find(|peer| &peer.document.domain == domain).ok_or_else(|| policy::missing(domain))
}
