//! What the store keeps of the documents under policy keys.

use minicbor::{Decode, Encode};
use sotto_crypto::{Address, Domain, Fingerprint, Signed};
use sotto_wire::policy::{GroupDocument, MembershipDocument, NetworkDocument};

use super::records::Record;

/// Which group somebody is in and how people call them, by the newest membership document that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct MembershipRecord {
    #[n(0)]
    pub(crate) address: Address,
    /// The policy key that the serial counts under.
    #[n(1)]
    pub(crate) policy_key: Fingerprint,
    #[n(2)]
    pub(crate) serial: u64,
    /// Name of the security group.
    #[n(3)]
    pub(crate) group: String,
    /// When it was last shown.
    #[n(4)]
    pub(crate) seen_at_ms: u64,
    /// As it is shown.
    #[n(5)]
    pub(crate) name: Option<String>,
}

impl MembershipRecord {
    /// Key of the row of this person.
    pub(crate) fn key_of(address: &Address) -> [Vec<u8>; 1] {
        [address.as_str().as_bytes().to_vec()]
    }
}

impl Record for MembershipRecord {
    const TABLE: &'static str = "membership";
    fn key(&self) -> Vec<Vec<u8>> {
        vec![self.address.as_str().as_bytes().to_vec()]
    }
}

/// The documents that this user obeys, as they were last verified: what is known while the relay cannot be asked. One row.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct PolicyRecord {
    #[n(0)]
    pub(crate) network: Signed<NetworkDocument>,
    #[n(1)]
    pub(crate) group: Signed<GroupDocument>,
    #[n(2)]
    pub(crate) membership: Signed<MembershipDocument>,
}

impl Record for PolicyRecord {
    const TABLE: &'static str = "policy";
    fn key(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }
}

/// The document of another network, as it was last verified under the key that our own network's document names: what is
/// known of its retention before anything is said.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct PeerRecord {
    #[n(0)]
    pub(crate) domain: Domain,
    /// The policy key that it is verified by.
    #[n(1)]
    pub(crate) policy_key: Fingerprint,
    #[n(2)]
    pub(crate) document: Signed<NetworkDocument>,
}

impl Record for PeerRecord {
    const TABLE: &'static str = "peer";
    fn key(&self) -> Vec<Vec<u8>> {
        vec![self.domain.as_str().as_bytes().to_vec()]
    }
}
