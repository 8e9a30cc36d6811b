//! What the store keeps of links with other devices of the user, until they are over.

use minicbor::{Decode, Encode};
use sotto_crypto::{Address, DeviceId, Fingerprint, IdentityPublic, PolicyPublic};
use zeroize::Zeroize as _;

use super::records::Record;

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
    const ENDS: bool = true;
    fn key(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }
}

/// The sending side of a history transfer. One row; the sealed history lies beside the store.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub(crate) struct HistoryOut {
    /// As it is shown.
    #[n(0)]
    pub(crate) code: String,
    /// Opens the sealed history.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) key: Vec<u8>,
    #[n(2)]
    pub(crate) size: u64,
    #[cbor(n(3), with = "minicbor::bytes")]
    pub(crate) digest: [u8; 32],
    #[n(4)]
    pub(crate) records: u64,
    /// The answer as it is put, when the user has confirmed: a slot is written once.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub(crate) answered: Option<Vec<u8>>,
    /// Pieces that the relay has had.
    #[n(6)]
    pub(crate) uploaded: u64,
}

impl Drop for HistoryOut {
    fn drop(&mut self) {
        self.code.zeroize();
        self.key.zeroize();
    }
}

impl Record for HistoryOut {
    const TABLE: &'static str = "history out";
    const ENDS: bool = true;
    fn key(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }
}

/// The receiving side of a history transfer. One row; what has come lies beside the store, sealed.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub(crate) struct HistoryIn {
    /// As it is shown.
    #[n(0)]
    pub(crate) code: String,
    /// Opens the answer.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) secret: Vec<u8>,
    /// Sealed, as it is put.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub(crate) offer: Vec<u8>,
    /// What the other device has answered.
    #[n(3)]
    pub(crate) offered: Option<HistoryOffered>,
    /// Whether the user has confirmed.
    #[n(4)]
    pub(crate) accepted: bool,
}

impl Drop for HistoryIn {
    fn drop(&mut self) {
        self.code.zeroize();
        self.secret.zeroize();
    }
}

impl Record for HistoryIn {
    const TABLE: &'static str = "history in";
    const ENDS: bool = true;
    fn key(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }
}

/// A history that another device offers.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub(crate) struct HistoryOffered {
    #[n(0)]
    pub(crate) device: DeviceId,
    #[n(1)]
    pub(crate) label: String,
    #[n(2)]
    pub(crate) fingerprint: Fingerprint,
    /// Opens the sealed history.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub(crate) key: Vec<u8>,
    #[n(4)]
    pub(crate) size: u64,
    #[cbor(n(5), with = "minicbor::bytes")]
    pub(crate) digest: [u8; 32],
    #[n(6)]
    pub(crate) records: u64,
}

impl Drop for HistoryOffered {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}
