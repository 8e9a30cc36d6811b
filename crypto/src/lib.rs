//! Keys, sealing and opening: no I/O, no clock, no network.
//!
//! A message has its own key and its own ephemeral key pair; the key is wrapped for every recipient device, the sender's
//! device signs inside. Whoever uses this crate pins identities, keeps secrets, and brings the time; what has been verified
//! is a type of its own ([`VerifiedDevice`], [`Recipient`], [`Opened`]), and cannot be made otherwise.
//!
//! ```
//! use sotto_crypto::*;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let now_ms = 1_700_000_000_000;
//! # let next_week_ms = now_ms + 7 * 86_400_000;
//! let rng = &mut SystemRng;
//!
//! // Alice has an identity, a device, and a certificate for it.
//! let alice = Address::parse("alice@chat.acme.example")?;
//! let alice_identity = IdentityKey::generate(rng);
//! let alice_device = DeviceId::generate(rng);
//! let alice_key = DeviceKey::generate(rng);
//! let certificate = DeviceCertificate::new(alice.clone(), alice_device, alice_key.verifying_key(), now_ms);
//! let alice_certificate = Signed::sign(&certificate, &alice_identity);
//!
//! // Bob has the same for a device that has published prekeys, and all of his devices stand in a list that his identity has signed.
//! let bob = Address::parse("bob@chat.acme.example")?;
//! let bob_identity = IdentityKey::generate(rng);
//! let bob_device = DeviceId::generate(rng);
//! let bob_key = DeviceKey::generate(rng);
//! let listed = ListedDevice { device: bob_device, key: bob_key.verifying_key(), since_ms: now_ms };
//! let bob_devices = Signed::sign(&DeviceList::new(bob.clone(), now_ms, next_week_ms, vec![listed]), &bob_identity);
//! let (batch, secrets) =
//!     generate_prekeys(rng, &bob_key, bob_device, PrekeyKind::OneTime, 10, now_ms, next_week_ms);
//! batch.verify(&bob_key.verifying_key())?;
//!
//! // Alice has pinned Bob's identity; the relay gives her the list of his devices and a prekey of each.
//! let devices = verify_devices(&bob_identity.verifying_key(), &bob_devices)?;
//! assert_eq!(devices.address(), &bob);
//! let device = devices.device(bob_device).ok_or("no such device")?;
//! let prekey = batch.prekey(3).ok_or("no such prekey")?;
//! let recipient = device.with_prekey(&prekey, now_ms)?;
//!
//! let sender = Sender {
//!     address: &alice,
//!     device: alice_device,
//!     key: &alice_key,
//!     identity: &alice_identity.verifying_key(),
//!     certificate: &alice_certificate,
//! };
//! let message = MessageId::generate(rng);
//! let sealed = seal(rng, &sender, message, b"hello", &[recipient])?;
//!
//! // Bob gets header, body and his own wrap; he looks up the prekey's secret, and deletes it afterwards.
//! let wrap = &sealed.wraps[0];
//! let secret = &secrets[wrap.prekey.index as usize];
//! let opened = open(&sealed.header, &sealed.body, (&bob, bob_device), wrap.prekey, secret, &wrap.key)?;
//! assert_eq!(opened.content.as_slice(), b"hello");
//! // He compares the identity with the one that he has pinned for the sender.
//! assert_eq!(opened.identity, alice_identity.verifying_key());
//! # Ok(())
//! # }
//! ```

// The tests' helper is shared with the tests in `tests/`, which name the crate from outside.
#[cfg(test)]
extern crate self as sotto_crypto;
#[cfg(test)]
#[path = "../tests/it/common.rs"]
mod common;

mod address;
mod agreement;
mod certificate;
mod code;
mod codec;
mod devices;
mod fingerprint;
mod ids;
mod invite;
mod kem;
mod known;
mod link;
mod listed;
mod merkle;
mod message;
mod open;
mod padding;
mod prekey;
mod recipients;
mod rng;
mod seal;
mod signed;
mod signing;
mod stream;
mod suite;
mod vault;

pub use address::{Address, AddressError, Domain};
pub use agreement::{EphemeralPublic, LinkPublic, LinkSecret, PrekeyPublic, PrekeySecret};
pub use certificate::{
    CertificateError, DeviceCertificate, RetentionCertificate, VerifiedDevice, verify_device, verify_retention,
};
pub use code::{CodeError, LinkCode, RecoveryKey};
pub use codec::{DecodeError, decode_strict, encode};
pub use devices::{DeviceList, ListedDevice, MAX_LISTED_DEVICES, VerifiedDevices, verify_devices};
pub use fingerprint::{Fingerprint, FingerprintError, SafetyNumber, safety_number};
pub use ids::{BatchId, BlobId, DeviceId, IdError, LinkId, MessageId};
pub use invite::{InviteSecret, Voucher, verify_voucher};
pub use known::Known;
pub use link::{HistoryAnswer, LinkError, LinkKeys, LinkOffer, LinkPurpose};
pub use listed::{Listed, NotListed};
pub use merkle::{MerkleTree, Node};
pub use message::{MAX_BODY, MAX_CONTENT, MAX_RECIPIENTS, Opened, Sealed, SealedHeader, Wrap, WrappedKey};
pub use open::{OpenError, open, open_with};
pub use prekey::{
    CLOCK_TOLERANCE_MS, MAX_PREKEYS_PER_BATCH, MEDIUM_TERM_MS, Prekey, PrekeyBatch, PrekeyBatchHeader, PrekeyError,
    PrekeyKind, PrekeyRef, Recipient, VerifiedBatch, generate_prekeys,
};
pub use recipients::{RecipientList, RecipientUser};
pub use rng::SystemRng;
pub use seal::{SealError, Sender, seal};
pub use signed::{Document, Signed, VerifyError};
pub use signing::{
    Device, DeviceKey, DevicePublic, Identity, IdentityKey, IdentityPublic, Invite, InviteKey, InvitePublic, KeyError,
    Policy, PolicyKey, PolicyPublic, Role, Signature, SignatureError, SigningKey, VerifyingKey,
};
pub use stream::{
    AttachmentKey, AttachmentOpener, AttachmentSealer, CHUNK, SEALED_CHUNK, StreamError, open_stream, seal_stream,
    sealed_len,
};
pub use suite::{DIGEST_LEN, KEY_LEN, POINT_LEN, SCALAR_LEN, SIGNATURE_LEN, TAG_LEN};

pub use vault::{VaultError, VaultKey, open_vault, seal_vault};

pub use rand_core;
pub use zeroize;

/// Version of the protocol.
pub const VERSION: u8 = 2;
/// The suite that this crate implements (see `suite.rs`).
pub const SUITE: u16 = 1;

/// Something made for a version or a suite that this build does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("version {version}, suite {suite} is not supported (only version 1, suite 1); update the software")]
pub struct Unsupported {
    /// The version that was asked for.
    pub version: u8,
    /// The suite that was asked for.
    pub suite: u16,
}

/// Checks that something was made for this version and suite.
pub fn check_version(version: u8, suite: u16) -> Result<(), Unsupported> {
    if (version, suite) == (VERSION, SUITE) { Ok(()) } else { Err(Unsupported { version, suite }) }
}

/// SHA-512/256 of some bytes (FIPS 180-4): the digest for everything that is named by its content.
pub fn digest(bytes: &[u8]) -> [u8; DIGEST_LEN] {
    use suite::{Current, Primitives as _};
    Current::short_hash(&[bytes])
}
