//! Deterministic CBOR (RFC 8949, section 4.2): one value, one encoding.

use minicbor::{Decode, Encode};

/// Bytes that are not the one encoding of a value of the expected type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not CBOR, or not of this type.
    #[error("malformed encoding: {0}")]
    Malformed(String),
    /// There are bytes after the value.
    #[error("{0} bytes follow the value; nothing may")]
    TrailingBytes(usize),
    /// The value is well formed, but this is not its deterministic encoding.
    #[error("not the deterministic encoding of the value (RFC 8949, section 4.2)")]
    NotDeterministic,
}

/// Encodes a value. Types of this crate encode to exactly one form.
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    encode_with_room(value, 0)
}

/// Encodes a value into a vector that has this capacity from the start: growing one leaves copies of its content behind,
/// which matters for clear text.
#[expect(clippy::expect_used, reason = "writing to a vector cannot fail, and no encoder here refuses a value")]
pub(crate) fn encode_with_room<T: Encode<()>>(value: &T, capacity: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(capacity);
    minicbor::encode(value, &mut bytes).expect("encoding into memory cannot fail");
    bytes
}

/// Decodes a value, and accepts nothing but the bytes that [`encode`] would make of it.
pub fn decode_strict<T>(bytes: &[u8]) -> Result<T, DecodeError>
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
{
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the method's own type is not general enough")]
    decode_strict_by(bytes, |decoder| decoder.decode())
}

/// As [`decode_strict`], with a decoder that knows more.
pub(crate) fn decode_strict_by<T: Encode<()>>(
    bytes: &[u8],
    decode: impl FnOnce(&mut minicbor::Decoder<'_>) -> Result<T, minicbor::decode::Error>,
) -> Result<T, DecodeError> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let value: T = decode(&mut decoder).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    let trailing = bytes.len().saturating_sub(decoder.position());
    if trailing != 0 {
        return Err(DecodeError::TrailingBytes(trailing));
    }
    // Unknown fields, indefinite lengths and integers that are longer than need be do not survive the round trip.
    let mut expected = Expected(bytes);
    match minicbor::encode(&value, &mut expected) {
        Ok(()) if expected.0.is_empty() => Ok(value),
        _ => Err(DecodeError::NotDeterministic),
    }
}

/// Compares what is written with what is expected, without keeping it: it may be secret, and need not be copied.
struct Expected<'a>(&'a [u8]);

impl minicbor::encode::Write for Expected<'_> {
    type Error = Differs;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Differs> {
        self.0 = self.0.strip_prefix(bytes).ok_or(Differs)?;
        Ok(())
    }
}

/// What is written is not what is expected.
#[derive(Debug)]
struct Differs;

/// A decoding error with a message, for hand-written decoders.
pub(crate) fn invalid(message: impl std::fmt::Display) -> minicbor::decode::Error {
    minicbor::decode::Error::message(message)
}

/// Reads a byte string of a fixed length.
pub(crate) fn fixed<const N: usize>(
    decoder: &mut minicbor::Decoder<'_>,
    what: &'static str,
) -> Result<[u8; N], minicbor::decode::Error> {
    let bytes = decoder.bytes()?;
    bytes.try_into().map_err(|_| invalid(format!("{what}: {} bytes, expected {N}", bytes.len())))
}

/// Field helper for `#[cbor(with = "...")]`: a list of 32-byte strings.
pub(crate) mod digests {
    use minicbor::bytes::ByteArray;
    use minicbor::encode::Write;
    use minicbor::{Decoder, Encoder};

    pub(crate) fn encode<C, W: Write>(
        value: &[[u8; 32]],
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.array(value.len() as u64)?;
        for digest in value {
            encoder.bytes(digest)?;
        }
        Ok(())
    }

    pub(crate) fn decode<C>(decoder: &mut Decoder<'_>, _: &mut C) -> Result<Vec<[u8; 32]>, minicbor::decode::Error> {
        decoder.array_iter::<ByteArray<32>>()?.map(|digest| digest.map(Into::into)).collect()
    }
}
