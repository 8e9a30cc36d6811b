//! What the store keeps of the documents under policy keys.

use minicbor::{Decode, Encode};
use sotto_crypto::{Address, Fingerprint, Signed};
use sotto_wire::policy::{GroupDocument, MembershipDocument, NetworkDocument};

use super::Record;

/// Which group somebody is in, by the newest membership document that was seen.
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
