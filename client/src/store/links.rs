//! What the store keeps of links with other devices of the user, until they are over.

use minicbor::{Decode, Encode};
use sotto_crypto::{Address, DeviceId, IdentityPublic, PolicyPublic};
use zeroize::Zeroize as _;

use super::Record;

/// A new device that waits for its approval. One row.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub(crate) struct PendingLink {
    /// As it is shown.
    #[n(0)]
    pub(crate) code: String,
    #[n(1)]
    pub(crate) address: Address,
    #[n(2)]
    pub(crate) policy_key: PolicyPublic,
    /// What has to be handed over.
    #[n(3)]
    pub(crate) identity: IdentityPublic,
    #[n(4)]
    pub(crate) device: DeviceId,
    #[cbor(n(5), with = "minicbor::bytes")]
    pub(crate) device_key: Vec<u8>,
    /// Opens the answer.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub(crate) secret: Vec<u8>,
    #[n(7)]
    pub(crate) label: String,
    /// Sealed, as it is put: a slot is written once.
    #[cbor(n(8), with = "minicbor::bytes")]
    pub(crate) offer: Vec<u8>,
}

impl Drop for PendingLink {
    fn drop(&mut self) {
        self.code.zeroize();
        self.device_key.zeroize();
        self.secret.zeroize();
    }
}

impl Record for PendingLink {
    const TABLE: &'static str = "link";
    fn key(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }
}
