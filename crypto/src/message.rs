//! The parts of a sealed message.

use core::fmt;

use minicbor::encode::Write;
use minicbor::{Decode, Decoder, Encode, Encoder};
use zeroize::Zeroizing;

use crate::address::{Address, Domain};
use crate::agreement::EphemeralPublic;
use crate::certificate::{DeviceCertificate, VerifiedDevice};
use crate::ids::{DeviceId, MessageId};
use crate::kem::WRAP_LEN;
use crate::prekey::PrekeyRef;
use crate::recipients::RecipientList;
use crate::signed::Signed;
use crate::signing::{IdentityPublic, KeyError, Signature};
use crate::suite::{Current, DIGEST_LEN, KEY_LEN, Primitives};
use crate::{SUITE, codec};

/// The largest content of a message: 64 KiB of text, and what stands around it.
pub const MAX_CONTENT: usize = 64 * 1024 + 4 * 1024;
/// The most devices that one message can be sealed to.
pub const MAX_RECIPIENTS: usize = 2000;
/// The largest sealed body: the largest content, 2,000 recipients with an address each, and padding, rounded up.
pub const MAX_BODY: usize = 1024 * 1024;

pub(crate) const MESSAGE_LABEL: &str = "sotto/2 message";
const WRAP_LABEL: &str = "sotto/2 wrap";
const COMMITMENT_LABEL: &[u8] = b"sotto/2 commitment";

/// What the relay sees of a message besides its wraps; also the body's associated data.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SealedHeader {
    /// Protocol version.
    #[n(0)]
    pub version: u8,
    /// Suite of the message.
    #[n(1)]
    pub suite: u16,
    /// The sender's network.
    #[n(2)]
    pub network: Domain,
    /// The message.
    #[n(3)]
    pub message: MessageId,
    /// The sender.
    #[n(4)]
    pub sender: Address,
    /// The sender's device.
    #[n(5)]
    pub device: DeviceId,
    /// The message's ephemeral key.
    #[n(6)]
    pub ephemeral: EphemeralPublic,
    /// The commitment to the content key, which AES-GCM by itself does not make.
    #[cbor(n(7), with = "minicbor::bytes")]
    pub commitment: [u8; DIGEST_LEN],
}

/// The content key as one device gets it.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey(pub(crate) [u8; WRAP_LEN]);

impl WrappedKey {
    /// Reads a wrapped key; whether it fits shows when the message is opened.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        bytes.try_into().map(Self).map_err(|_| KeyError::Length { expected: WRAP_LEN })
    }

    /// The wrapped key.
    pub fn as_bytes(&self) -> &[u8; WRAP_LEN] {
        &self.0
    }
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrappedKey(48 bytes)")
    }
}

impl<C> Encode<C> for WrappedKey {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>, _: &mut C) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for WrappedKey {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        codec::fixed(decoder, "wrapped key").map(Self)
    }
}

/// The wrapped content key of one recipient device.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Wrap {
    /// Whose device it is.
    #[n(0)]
    pub address: Address,
    /// The device.
    #[n(1)]
    pub device: DeviceId,
    /// The prekey of the device that was used.
    #[n(2)]
    pub prekey: PrekeyRef,
    /// The wrapped content key.
    #[n(3)]
    pub key: WrappedKey,
}

/// A sealed message.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// What the relay sees.
    pub header: SealedHeader,
    /// The sealed body.
    pub body: Vec<u8>,
    /// One for each recipient device, sorted by address and device.
    pub wraps: Vec<Wrap>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("header", &self.header)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .field("wraps", &self.wraps.len())
            .finish()
    }
}

/// An opened message: everything in it has been verified, except that `identity` is the sender's. The caller has to
/// compare it with the identity that it has pinned for `header.sender`.
pub struct Opened {
    /// The content; erased when dropped.
    pub content: Zeroizing<Vec<u8>>,
    /// The identity key that vouches for the sender's device.
    pub identity: IdentityPublic,
    /// The sender's device.
    pub certificate: VerifiedDevice,
    /// Everyone that the message was sealed to.
    pub recipients: RecipientList,
}

impl fmt::Debug for Opened {
    /// Without the content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("identity", &self.identity)
            .field("certificate", &self.certificate)
            .field("recipients", &self.recipients)
            .finish_non_exhaustive()
    }
}

/// The content key of one message; erased when dropped. It seals one body and is then only wrapped.
pub(crate) struct ContentKey(pub(crate) Zeroizing<[u8; KEY_LEN]>);

impl ContentKey {
    /// `HKDF-Expand(content key, "sotto/2 commitment", 32)`. The content key is 32 uniformly random bytes; it is
    /// padded with zeros to the length that HKDF-Expand's key has (HMAC does the same to a shorter key).
    pub(crate) fn commitment(&self) -> Result<[u8; DIGEST_LEN], crate::suite::Failed> {
        let mut prk = Zeroizing::new([0; crate::suite::HASH_LEN]);
        prk[..KEY_LEN].copy_from_slice(self.0.as_slice());
        let mut commitment = [0; DIGEST_LEN];
        Current::expand(&prk, &[COMMITMENT_LABEL], &mut commitment)?;
        Ok(commitment)
    }
}

/// What is inside the body, before padding. Erased when dropped.
pub(crate) struct Body {
    pub(crate) content: Zeroizing<Vec<u8>>,
    pub(crate) recipients: RecipientList,
    pub(crate) identity: IdentityPublic,
    pub(crate) certificate: Signed<DeviceCertificate>,
    pub(crate) signature: Signature,
}

impl Body {
    /// At least the length of the encoding.
    pub(crate) fn encoded_bound(&self) -> usize {
        // A certificate has an address, a key and small fields; heads of CBOR have 9 bytes at most.
        const REST: usize = 4096;
        self.content.len() + self.recipients.encoded().len() + REST
    }
}

impl<C> Encode<C> for Body {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>, ctx: &mut C) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.array(5)?.bytes(&self.content)?;
        self.recipients.encode(encoder, ctx)?;
        self.identity.encode(encoder, ctx)?;
        self.certificate.encode(encoder, ctx)?;
        self.signature.encode(encoder, ctx)
    }
}

impl Body {
    /// Decodes a body from its one encoding. The list of recipients may have come with one of the sender's last messages.
    pub(crate) fn decode(bytes: &[u8], known: &[RecipientList]) -> Result<Self, codec::DecodeError> {
        codec::decode_strict_by(bytes, |decoder| {
            if decoder.array()? != Some(5) {
                return Err(codec::invalid("body: expected an array of five"));
            }
            Ok(Self {
                content: Zeroizing::new(decoder.bytes()?.to_vec()),
                recipients: RecipientList::read(decoder, known)?,
                identity: decoder.decode()?,
                certificate: decoder.decode()?,
                signature: decoder.decode()?,
            })
        })
    }
}

/// What a wrap's key is bound to.
#[derive(Encode)]
struct WrapInfo<'a> {
    #[n(0)]
    label: &'a str,
    #[n(1)]
    suite: u16,
    #[n(2)]
    network: &'a Domain,
    #[n(3)]
    message: MessageId,
    #[n(4)]
    sender: &'a Address,
    #[n(5)]
    sender_device: DeviceId,
    #[n(6)]
    recipient: &'a Address,
    #[n(7)]
    recipient_device: DeviceId,
    #[n(8)]
    prekey: PrekeyRef,
}

/// The `info` of a wrap: the message and the recipient, so that a wrap is good for one message and one device.
pub(crate) fn wrap_info(header: &SealedHeader, address: &Address, device: DeviceId, prekey: PrekeyRef) -> Vec<u8> {
    codec::encode(&WrapInfo {
        label: WRAP_LABEL,
        suite: SUITE,
        network: &header.network,
        message: header.message,
        sender: &header.sender,
        sender_device: header.device,
        recipient: address,
        recipient_device: device,
        prekey,
    })
}

/// What the sender's device signs.
#[derive(Encode)]
struct Transcript<'a> {
    #[n(0)]
    suite: u16,
    #[n(1)]
    network: &'a Domain,
    #[n(2)]
    message: MessageId,
    #[n(3)]
    sender: &'a Address,
    #[n(4)]
    device: DeviceId,
    #[n(5)]
    ephemeral: &'a EphemeralPublic,
    #[cbor(n(6), with = "minicbor::bytes")]
    commitment: [u8; DIGEST_LEN],
    #[cbor(n(7), with = "minicbor::bytes")]
    recipients: &'a [u8],
    #[cbor(n(8), with = "minicbor::bytes")]
    content: &'a [u8],
}

/// The signed transcript: the header's fields, and SHA-512 of the recipient list and of the content.
pub(crate) fn transcript(header: &SealedHeader, recipients: &RecipientList, content: &[u8]) -> Vec<u8> {
    codec::encode(&Transcript {
        suite: header.suite,
        network: &header.network,
        message: header.message,
        sender: &header.sender,
        device: header.device,
        ephemeral: &header.ephemeral,
        commitment: header.commitment,
        recipients: recipients.digest(),
        content: &Current::hash(&[content]),
    })
}
