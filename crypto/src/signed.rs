//! Documents with their signature. The payload is kept as the exact bytes that were signed.

use core::fmt;
use core::marker::PhantomData;

use minicbor::encode::Write;
use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::codec::{self, DecodeError};
use crate::signing::{Role, Signature, SignatureError, SigningKey, VerifyingKey};

/// Something that is signed as a whole.
pub trait Document: Encode<()> + for<'b> Decode<'b, ()> {
    /// Names this kind of document in the signature, so that one kind cannot be taken for another.
    const LABEL: &'static str;
    /// Whose keys sign it.
    type Signer: Role;
}

/// A document that does not verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The signature does not fit.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The signature fits, but the payload is not such a document.
    #[error("signed payload: {0}")]
    Payload(#[from] DecodeError),
}

/// A document with its signature over `label || 0x00 || payload`.
pub struct Signed<T> {
    payload: Vec<u8>,
    signature: Signature,
    document: PhantomData<fn() -> T>,
}

impl<T: Document> Signed<T> {
    /// Encodes and signs a document.
    pub fn sign(document: &T, key: &SigningKey<T::Signer>) -> Self {
        let payload = codec::encode(document);
        let signature = key.sign(T::LABEL, &payload);
        Self { payload, signature, document: PhantomData }
    }

    /// Checks the signature, and only then decodes the document.
    pub fn verify(&self, key: &VerifyingKey<T::Signer>) -> Result<T, VerifyError> {
        key.verify(T::LABEL, &self.payload, &self.signature)?;
        Ok(codec::decode_strict(&self.payload)?)
    }

    /// Decodes the document without looking at the signature: for those who only route or index it.
    pub fn unverified(&self) -> Result<T, DecodeError> {
        codec::decode_strict(&self.payload)
    }
}

impl<T> Signed<T> {
    /// The bytes that were signed.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The signature.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Payload and signature as CBOR.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote. Nothing is verified yet.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode_strict(bytes)
    }
}

impl<T> Clone for Signed<T> {
    fn clone(&self) -> Self {
        Self { payload: self.payload.clone(), signature: self.signature.clone(), document: PhantomData }
    }
}

impl<T> PartialEq for Signed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.payload == other.payload && self.signature == other.signature
    }
}

impl<T> Eq for Signed<T> {}

impl<T> fmt::Debug for Signed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signed({} bytes)", self.payload.len())
    }
}

impl<C, T> Encode<C> for Signed<T> {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>, ctx: &mut C) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.array(2)?.bytes(&self.payload)?;
        self.signature.encode(encoder, ctx)
    }
}

impl<'b, C, T> Decode<'b, C> for Signed<T> {
    fn decode(decoder: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        if decoder.array()? != Some(2) {
            return Err(codec::invalid("signed document: expected an array of payload and signature"));
        }
        let payload = decoder.bytes()?.to_vec();
        let signature = Signature::decode(decoder, ctx)?;
        Ok(Self { payload, signature, document: PhantomData })
    }
}
