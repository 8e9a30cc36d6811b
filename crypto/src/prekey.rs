//! Prekeys: what a device publishes so that it can be written to while it is away.

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;

use crate::agreement::{PrekeyPublic, PrekeySecret};
use crate::certificate::VerifiedDevice;
use crate::ids::{BatchId, DeviceId};
use crate::merkle::MerkleTree;
use crate::signed::{Document, Signed, VerifyError};
use crate::signing::{Device, DeviceKey, DevicePublic};
use crate::{SUITE, Unsupported, VERSION, check_version, codec, merkle};

/// The most prekeys that one batch may hold.
pub const MAX_PREKEYS_PER_BATCH: u32 = 1024;

/// How long one medium-term prekey is used (milliseconds): a week.
pub const MEDIUM_TERM_MS: u64 = 7 * 24 * 3600 * 1000;
/// So far the clocks of two machines may be apart (milliseconds): five minutes.
pub const CLOCK_TOLERANCE_MS: u64 = 300_000;

/// A prekey or a batch that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrekeyError {
    /// The signature or the form of the header.
    #[error("prekey batch: {0}")]
    Verify(#[from] VerifyError),
    /// Made for another version or suite.
    #[error("prekey batch: {0}")]
    Unsupported(#[from] Unsupported),
    /// The batch was signed for another device.
    #[error("prekey batch: made for another device")]
    OtherDevice,
    /// The count in the header is not that of the keys, or not allowed.
    #[error("prekey batch: 1 to 1,024 keys, as many as the header says")]
    Count,
    /// The keys are not those that were signed.
    #[error("prekey batch: the keys are not those that the header's root was made of")]
    Root,
    /// The key is not one of the batch that was signed.
    #[error("prekey: not a key of the signed batch")]
    Proof,
    /// Its time is over.
    #[error("prekey: expired; the device has to publish a new one")]
    Expired,
    /// Its time has not begun.
    #[error("prekey: not valid yet")]
    NotYet,
}

/// How a prekey is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum PrekeyKind {
    /// Used for one message; the secret is deleted then.
    #[n(0)]
    OneTime,
    /// Used when one-time keys have run out: key n of the batch in the week that begins n weeks after the batch was made.
    #[n(1)]
    MediumTerm,
}

/// What is signed of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PrekeyBatchHeader {
    /// Protocol version.
    #[n(0)]
    pub version: u8,
    /// Suite of the keys.
    #[n(1)]
    pub suite: u16,
    /// Whose keys they are.
    #[n(2)]
    pub device: DeviceId,
    /// The batch.
    #[n(3)]
    pub batch: BatchId,
    /// How the keys are used.
    #[n(4)]
    pub kind: PrekeyKind,
    /// How many keys there are.
    #[n(5)]
    pub count: u32,
    /// Root of the Merkle tree over the keys.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub root: [u8; 32],
    /// When the batch was made, in milliseconds since 1970.
    #[n(7)]
    pub created_at_ms: u64,
    /// Valid until (not including), in milliseconds since 1970.
    #[n(8)]
    pub expires_at_ms: u64,
}

impl Document for PrekeyBatchHeader {
    const LABEL: &'static str = "sotto/2 prekey batch";
    type Signer = Device;
}

impl PrekeyBatchHeader {
    /// When a key of the batch may be used, in milliseconds since 1970: from the first time until before the second. Of a
    /// medium-term batch one key is used after the other, a week each; the first also before, by a clock that is behind the device's.
    pub fn valid(&self, index: u32) -> (u64, u64) {
        let week = |n: u64| self.created_at_ms.saturating_add(MEDIUM_TERM_MS.saturating_mul(n));
        match self.kind {
            PrekeyKind::OneTime => (0, self.expires_at_ms),
            PrekeyKind::MediumTerm => {
                let begin = if index == 0 { 0 } else { week(u64::from(index)) };
                (begin, week(u64::from(index) + 1).min(self.expires_at_ms))
            }
        }
    }

    /// Whether a key of the batch may be used now, by a clock that may be wrong by [`CLOCK_TOLERANCE_MS`].
    fn check_time(&self, index: u32, now_ms: u64) -> Result<(), PrekeyError> {
        let (begin, end) = self.valid(index);
        let tolerance = if self.kind == PrekeyKind::MediumTerm { CLOCK_TOLERANCE_MS } else { 0 };
        if now_ms.saturating_add(tolerance) < begin {
            return Err(PrekeyError::NotYet);
        }
        if now_ms >= end.saturating_add(tolerance) { Err(PrekeyError::Expired) } else { Ok(()) }
    }

    fn verified(signed: &Signed<Self>, device: &DevicePublic) -> Result<Self, PrekeyError> {
        let header = signed.verify(device)?;
        check_version(header.version, header.suite)?;
        if (1..=MAX_PREKEYS_PER_BATCH).contains(&header.count) { Ok(header) } else { Err(PrekeyError::Count) }
    }
}

/// A batch as its device uploads it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PrekeyBatch {
    /// The signed header.
    #[n(0)]
    pub header: Signed<PrekeyBatchHeader>,
    /// The keys, in the order of their indices.
    #[n(1)]
    pub keys: Vec<PrekeyPublic>,
}

impl PrekeyBatch {
    /// Verifies the header, and that these are the keys that it was made for.
    pub fn verify(&self, device: &DevicePublic) -> Result<PrekeyBatchHeader, PrekeyError> {
        let header = PrekeyBatchHeader::verified(&self.header, device)?;
        if u32::try_from(self.keys.len()) != Ok(header.count) {
            return Err(PrekeyError::Count);
        }
        if tree(&self.keys).root() == header.root { Ok(header) } else { Err(PrekeyError::Root) }
    }

    /// One key of the batch with the proof that it is one.
    pub fn prekey(&self, index: u32) -> Option<Prekey> {
        let key = self.keys.get(usize::try_from(index).ok()?)?.clone();
        let proof = tree(&self.keys).path(index)?;
        Some(Prekey { header: self.header.clone(), index, key, proof })
    }
}

fn tree(keys: &[PrekeyPublic]) -> MerkleTree {
    MerkleTree::new((0..).zip(keys).map(|(index, key)| merkle::leaf(index, key.as_bytes())).collect())
}

/// One prekey as the relay hands it out.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Prekey {
    /// The signed header of the key's batch.
    #[n(0)]
    pub header: Signed<PrekeyBatchHeader>,
    /// The key's place in the batch.
    #[n(1)]
    pub index: u32,
    /// The key.
    #[n(2)]
    pub key: PrekeyPublic,
    /// The path from the key to the root of the batch.
    #[cbor(n(3), with = "codec::digests")]
    pub proof: Vec<[u8; 32]>,
}

/// Names a prekey of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct PrekeyRef {
    /// The batch.
    #[n(0)]
    pub batch: BatchId,
    /// The place in the batch.
    #[n(1)]
    pub index: u32,
}

/// Makes a signed batch and the secrets of its keys, in the order of their indices. `count` is held to
/// 1..=[`MAX_PREKEYS_PER_BATCH`].
pub fn generate_prekeys<R: CryptoRng + ?Sized>(
    rng: &mut R,
    key: &DeviceKey,
    device: DeviceId,
    kind: PrekeyKind,
    count: u32,
    created_at_ms: u64,
    expires_at_ms: u64,
) -> (PrekeyBatch, Vec<PrekeySecret>) {
    let count = count.clamp(1, MAX_PREKEYS_PER_BATCH);
    let secrets: Vec<_> = (0..count).map(|_| PrekeySecret::generate(rng)).collect();
    let keys: Vec<_> = secrets.iter().map(PrekeySecret::public).collect();
    let header = PrekeyBatchHeader {
        version: VERSION,
        suite: SUITE,
        device,
        batch: BatchId::generate(rng),
        kind,
        count,
        root: tree(&keys).root(),
        created_at_ms,
        expires_at_ms,
    };
    (PrekeyBatch { header: Signed::sign(&header, key), keys }, secrets)
}

/// A batch whose header has been verified under its device's key; there is no other way to make one. Worth keeping: the
/// signature is the expensive part, and one batch serves many messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedBatch {
    device: VerifiedDevice,
    header: PrekeyBatchHeader,
}

/// A device that a message can be sealed to: certificate, batch and prekey have been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    pub(crate) device: VerifiedDevice,
    pub(crate) prekey: PrekeyRef,
    pub(crate) key: PrekeyPublic,
}

impl VerifiedDevice {
    /// Verifies a prekey that was handed out for this device.
    pub fn with_prekey(&self, prekey: &Prekey, now_ms: u64) -> Result<Recipient, PrekeyError> {
        self.with_batch(&prekey.header)?.with_prekey(prekey, now_ms)
    }

    /// Verifies the header of a batch, to be kept for the keys of this batch that come later.
    pub fn with_batch(&self, header: &Signed<PrekeyBatchHeader>) -> Result<VerifiedBatch, PrekeyError> {
        let header = PrekeyBatchHeader::verified(header, self.key())?;
        if header.device != self.device() {
            return Err(PrekeyError::OtherDevice);
        }
        Ok(VerifiedBatch { device: self.clone(), header })
    }
}

impl VerifiedBatch {
    /// What was signed.
    pub fn header(&self) -> &PrekeyBatchHeader {
        &self.header
    }

    /// Whether it was made by this device of this user.
    pub(crate) fn is_of(&self, device: &VerifiedDevice) -> bool {
        self.device == *device
    }

    /// Checks that a key is one of this batch, and that it is its time. The signature that comes with the
    /// key is not looked at again: the proof leads to the root that has been verified.
    pub fn with_prekey(&self, prekey: &Prekey, now_ms: u64) -> Result<Recipient, PrekeyError> {
        self.header.check_time(prekey.index, now_ms)?;
        let leaf = merkle::leaf(prekey.index, prekey.key.as_bytes());
        if !merkle::verify(&self.header.root, self.header.count, prekey.index, leaf, &prekey.proof) {
            return Err(PrekeyError::Proof);
        }
        Ok(Recipient {
            device: self.device.clone(),
            prekey: PrekeyRef { batch: self.header.batch, index: prekey.index },
            key: prekey.key.clone(),
        })
    }
}

impl Recipient {
    /// The device.
    pub fn device(&self) -> &VerifiedDevice {
        &self.device
    }

    /// The prekey that will be used.
    pub fn prekey(&self) -> PrekeyRef {
        self.prekey
    }
}
