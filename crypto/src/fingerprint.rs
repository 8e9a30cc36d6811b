//! What people compare: fingerprints of keys, and the safety number of two people.

use core::fmt;
use core::str::FromStr;

use data_encoding::BASE32_NOPAD;
use minicbor::encode::Write;
use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::address::Address;
use crate::codec;
use crate::signing::IdentityPublic;
use crate::suite::{Current, DIGEST_LEN, Primitives};

/// Text that is not a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a fingerprint: expected 52 characters of a-z and 2-7")]
pub struct FingerprintError;

/// The digest of a public key and its role. As text: base32 (RFC 4648) in lower case without padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; DIGEST_LEN]);

impl Fingerprint {
    /// The fingerprint of a point in a role.
    pub(crate) fn of(label: &str, point: &[u8]) -> Self {
        Self(Current::short_hash(&[label.as_bytes(), point]))
    }

    /// The fingerprint with these bytes.
    pub const fn from_bytes(bytes: [u8; DIGEST_LEN]) -> Self {
        Self(bytes)
    }

    /// The digest.
    pub const fn as_bytes(&self) -> &[u8; DIGEST_LEN] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let bytes = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).map_err(|_| FingerprintError)?;
        bytes.try_into().map(Self).map_err(|_| FingerprintError)
    }
}

impl<C> Encode<C> for Fingerprint {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>, _: &mut C) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Fingerprint {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        codec::fixed(decoder, "fingerprint").map(Self)
    }
}

/// What two people read to each other to know that nobody stands between them: 60 digits in groups of 5, the same for
/// both.
#[derive(Clone, PartialEq, Eq)]
pub struct SafetyNumber([u32; 12]);

impl fmt::Display for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, group) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{group:05}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SafetyNumber({self})")
    }
}

/// The safety number of two people: for each, 30 digits from the digest of the address and the identity key; the
/// smaller half comes first, so that the order of the people does not matter.
pub fn safety_number(
    address_a: &Address,
    identity_a: &IdentityPublic,
    address_b: &Address,
    identity_b: &IdentityPublic,
) -> SafetyNumber {
    let a = half(address_a, identity_a);
    let b = half(address_b, identity_b);
    let (first, second) = if a <= b { (a, b) } else { (b, a) };
    let mut groups = [0; 12];
    groups[..6].copy_from_slice(&first);
    groups[6..].copy_from_slice(&second);
    SafetyNumber(groups)
}

fn half(address: &Address, identity: &IdentityPublic) -> [u32; 6] {
    // The key has a fixed length, so that nothing of it can be taken for a part of the address.
    let digest =
        Current::hash(&[b"sotto/2 safety number", &[0], address.as_str().as_bytes(), &[0], identity.as_bytes()]);
    let mut groups = [0; 6];
    for (group, bytes) in groups.iter_mut().zip(digest.chunks_exact(8)) {
        // Of 64 bits modulo 100,000: the bias is below 2^-47.
        let value = bytes.iter().fold(0_u128, |value, byte| value << 8 | u128::from(*byte)) % 100_000;
        *group = u32::try_from(value).unwrap_or_default();
    }
    groups
}
