//! Keys, sealing and opening: no I/O, no clock, no network.

mod address;
mod agreement;
mod certificate;
mod codec;
mod fingerprint;
mod ids;
mod kem;
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

pub use address::{Address, AddressError, Domain};
pub use agreement::{EphemeralPublic, PrekeyPublic, PrekeySecret};
pub use certificate::{
    CertificateError, DeviceCertificate, RetentionCertificate, VerifiedDevice, verify_device, verify_retention,
};
pub use codec::{DecodeError, decode_strict, encode};
pub use fingerprint::{Fingerprint, FingerprintError, SafetyNumber, safety_number};
pub use ids::{BatchId, BlobId, DeviceId, IdError, MessageId};
pub use message::{MAX_BODY, MAX_CONTENT, MAX_RECIPIENTS, Opened, Sealed, SealedHeader, Wrap, WrappedKey};
pub use open::{OpenError, open};
pub use prekey::{
    MAX_PREKEYS_PER_BATCH, Prekey, PrekeyBatch, PrekeyBatchHeader, PrekeyError, PrekeyKind, PrekeyRef, Recipient,
    VerifiedBatch, generate_prekeys,
};
pub use rng::SystemRng;
pub use seal::{SealError, Sender, seal};
pub use signed::{Document, Signed, VerifyError};
pub use signing::{
    Device, DeviceKey, DevicePublic, Identity, IdentityKey, IdentityPublic, KeyError, Policy, PolicyKey, PolicyPublic,
    Role, Signature, SignatureError, SigningKey, VerifyingKey,
};
pub use stream::{
    AttachmentKey, AttachmentOpener, AttachmentSealer, CHUNK, SEALED_CHUNK, StreamError, open_stream, seal_stream,
    sealed_len,
};
pub use suite::{DIGEST_LEN, KEY_LEN, POINT_LEN, SCALAR_LEN, SIGNATURE_LEN, TAG_LEN};

pub use rand_core;
pub use zeroize;

/// Version of the protocol.
pub const VERSION: u8 = 1;
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
