//! Keys for key agreement: prekeys, the ephemeral key of a message, and the keys of a link.

use core::fmt;

use minicbor::encode::Write;
use minicbor::{Decode, Decoder, Encode, Encoder};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::codec;
use crate::fingerprint::Fingerprint;
use crate::signing::KeyError;
use crate::suite::{Current, POINT_LEN, Primitives, SCALAR_LEN};

macro_rules! point {
    ($(#[$doc:meta])* $name:ident, $label:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash)]
        pub struct $name([u8; POINT_LEN]);

        impl $name {
            /// Reads an uncompressed point, and checks that it is on the curve.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
                let point: [u8; POINT_LEN] = bytes.try_into().map_err(|_| KeyError::Public)?;
                Current::check_point(&point).map_err(|_| KeyError::Public)?;
                Ok(Self(point))
            }

            /// The uncompressed point.
            pub fn as_bytes(&self) -> &[u8; POINT_LEN] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), Fingerprint::of($label, &self.0))
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: Write>(
                &self,
                encoder: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                encoder.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                Self::from_bytes(decoder.bytes()?).map_err(codec::invalid)
            }
        }
    };
}

point!(
    /// The public half of a prekey: a validated point.
    PrekeyPublic,
    "sotto/2 prekey"
);
point!(
    /// The public half of the ephemeral key of one message: a validated point.
    EphemeralPublic,
    "sotto/2 ephemeral key"
);
point!(
    /// A public key of a link between two devices: a validated point.
    LinkPublic,
    "sotto/2 link key"
);

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident, $public:ident, $generate:vis) => {
        $(#[$doc])*
        pub struct $name(pub(crate) <Current as Primitives>::AgreementSecret);

        impl $name {
            /// Makes a key.
            $generate fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
                Self(Current::agreement_generate(rng))
            }

            /// Reads a key that [`to_bytes`](Self::to_bytes) wrote.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
                let bytes: &[u8; SCALAR_LEN] = bytes.try_into().map_err(|_| KeyError::Secret)?;
                Current::agreement_from_bytes(bytes).map(Self).map_err(|_| KeyError::Secret)
            }

            /// The secret, to be stored for as long as it may be used: 66 bytes.
            pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
                Zeroizing::new(Current::agreement_to_bytes(&self.0).to_vec())
            }

            /// The public half.
            pub fn public(&self) -> $public {
                $public(Current::agreement_public(&self.0))
            }
        }
    };
}

secret!(
    /// The secret with which a device takes what is handed over to it on a link: for one link. Erased when dropped.
    LinkSecret,
    LinkPublic,
    pub
);
secret!(
    /// The secret half of a prekey; erased when dropped.
    PrekeySecret,
    PrekeyPublic,
    pub(crate)
);

/// The ephemeral key of one message. It is not `Clone` and cannot be stored: it lives as long as one call of `seal`.
pub(crate) struct EphemeralSecret(pub(crate) <Current as Primitives>::AgreementSecret);

impl EphemeralSecret {
    pub(crate) fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        Self(Current::agreement_generate(rng))
    }

    pub(crate) fn public(&self) -> EphemeralPublic {
        EphemeralPublic(Current::agreement_public(&self.0))
    }
}
