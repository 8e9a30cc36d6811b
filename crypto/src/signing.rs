//! Signing keys. The role of a key is part of its type, so that keys cannot be taken for one another.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;

use minicbor::encode::Write;
use minicbor::{Decode, Decoder, Encode, Encoder};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::codec;
use crate::fingerprint::Fingerprint;
use crate::suite::{Current, POINT_LEN, Primitives, SCALAR_LEN, SIGNATURE_LEN};

mod sealed {
    pub trait Sealed {}
}

/// What a key signs for. Sealed: there are exactly the roles of this module.
pub trait Role: sealed::Sealed + 'static {
    /// What goes into the fingerprints of keys of this role, so that the same point in two roles has two fingerprints.
    const LABEL: &'static str;
}

macro_rules! role {
    ($(#[$doc:meta])* $name:ident, $label:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {}
        impl sealed::Sealed for $name {}
        impl Role for $name {
            const LABEL: &'static str = $label;
        }
    };
}

role!(
    /// A user's identity: certifies the user's devices.
    Identity,
    "sotto/2 identity key"
);
role!(
    /// A device: signs messages and prekeys.
    Device,
    "sotto/2 device key"
);
role!(
    /// A network's policy: signs what clients must not believe the relay about.
    Policy,
    "sotto/2 policy key"
);

role!(
    /// An invite: vouches for the identity of who is invited.
    Invite,
    "sotto/2 invite key"
);

/// A user's identity key.
pub type IdentityKey = SigningKey<Identity>;
/// The public half of a user's identity key.
pub type IdentityPublic = VerifyingKey<Identity>;
/// A device's signing key.
pub type DeviceKey = SigningKey<Device>;
/// The public half of a device's signing key.
pub type DevicePublic = VerifyingKey<Device>;
/// A network's policy key.
pub type PolicyKey = SigningKey<Policy>;
/// The public half of a network's policy key.
pub type PolicyPublic = VerifyingKey<Policy>;

/// An invite's key.
pub type InviteKey = SigningKey<Invite>;
/// The public half of an invite's key.
pub type InvitePublic = VerifyingKey<Invite>;

/// Bytes that are not a key or a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A public key that is not an uncompressed point of the curve.
    #[error("public key: expected the 133 bytes of an uncompressed P-521 point")]
    Public,
    /// A secret key that is not a scalar of the curve.
    #[error("secret key: expected the 66 bytes of a P-521 scalar")]
    Secret,
    /// A secret of another length.
    #[error("key: expected {expected} bytes")]
    Length {
        /// The length it should have.
        expected: usize,
    },
    /// A signature of another length.
    #[error("signature: expected 132 bytes")]
    Signature,
}

/// The signature does not fit the key, the label and the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct SignatureError;

/// A signing key; erased when dropped.
pub struct SigningKey<R: Role> {
    secret: <Current as Primitives>::SigningSecret,
    public: VerifyingKey<R>,
}

impl<R: Role> SigningKey<R> {
    /// Makes a key.
    pub fn generate<G: CryptoRng + ?Sized>(rng: &mut G) -> Self {
        Self::new(Current::signing_generate(rng))
    }

    /// Reads a key that [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: &[u8; SCALAR_LEN] = bytes.try_into().map_err(|_| KeyError::Secret)?;
        Current::signing_from_bytes(bytes).map(Self::new).map_err(|_| KeyError::Secret)
    }

    fn new(secret: <Current as Primitives>::SigningSecret) -> Self {
        let public = VerifyingKey { point: Current::signing_public(&secret), role: PhantomData };
        Self { secret, public }
    }

    /// The secret, to be stored: 66 bytes.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(Current::signing_to_bytes(&self.secret).to_vec())
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey<R> {
        self.public.clone()
    }

    /// Signs `label || 0x00 || message`. A label names one kind of message, and has no zero byte in it.
    ///
    /// # Panics
    /// Never for a key of this type: signing fails only when a nonce or a part of the signature is zero, by a chance of 2^-521.
    #[expect(clippy::expect_used, reason = "signing with a valid key fails with a chance of 2^-521")]
    pub fn sign(&self, label: &str, message: &[u8]) -> Signature {
        let bytes = Current::sign(&self.secret, &[label.as_bytes(), &[0], message]);
        Signature(bytes.expect("signing with a valid key cannot fail"))
    }
}

/// The public half of a signing key: a validated point.
pub struct VerifyingKey<R: Role> {
    point: [u8; POINT_LEN],
    role: PhantomData<fn() -> R>,
}

impl<R: Role> VerifyingKey<R> {
    /// Reads an uncompressed point, and checks that it is on the curve.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let point: [u8; POINT_LEN] = bytes.try_into().map_err(|_| KeyError::Public)?;
        Current::check_point(&point).map_err(|_| KeyError::Public)?;
        Ok(Self { point, role: PhantomData })
    }

    /// The uncompressed point.
    pub fn as_bytes(&self) -> &[u8; POINT_LEN] {
        &self.point
    }

    /// The key's fingerprint, which also covers its role.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(R::LABEL, &self.point)
    }

    /// Verifies a signature over `label || 0x00 || message`.
    pub fn verify(&self, label: &str, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        Current::verify(&self.point, &[label.as_bytes(), &[0], message], &signature.0).map_err(|_| SignatureError)
    }
}

impl<R: Role> Clone for VerifyingKey<R> {
    fn clone(&self) -> Self {
        Self { point: self.point, role: PhantomData }
    }
}

impl<R: Role> PartialEq for VerifyingKey<R> {
    fn eq(&self, other: &Self) -> bool {
        self.point == other.point
    }
}

impl<R: Role> Eq for VerifyingKey<R> {}

impl<R: Role> Hash for VerifyingKey<R> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.point.hash(state);
    }
}

impl<R: Role> fmt::Debug for VerifyingKey<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({}, {})", R::LABEL, self.fingerprint())
    }
}

impl<C, R: Role> Encode<C> for VerifyingKey<R> {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>, _: &mut C) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.bytes(&self.point)?.ok()
    }
}

impl<'b, C, R: Role> Decode<'b, C> for VerifyingKey<R> {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::from_bytes(decoder.bytes()?).map_err(codec::invalid)
    }
}

/// A signature: `r || s`.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature([u8; SIGNATURE_LEN]);

impl Signature {
    /// Reads a signature; whether it fits anything shows when it is verified.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        bytes.try_into().map(Self).map_err(|_| KeyError::Signature)
    }

    /// `r || s`.
    pub fn as_bytes(&self) -> &[u8; SIGNATURE_LEN] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(132 bytes)")
    }
}

impl<C> Encode<C> for Signature {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>, _: &mut C) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Signature {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        codec::fixed(decoder, "signature").map(Self)
    }
}
