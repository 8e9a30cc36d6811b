//! Links: what two devices of one user say to each other through the relay, when a person has carried a code from one to the
//! other. The code makes sure that they talk to each other and not to the relay: it is the pre-shared key of HPKE's
//! mode_psk (RFC 9180), by which the one hands over the identity key, or the key of its history.
//!
//! The receiving device puts an *offer*, the other one an *answer*; *notes* say how it goes on. What lies where is in
//! `docs/protocol.md`.

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use zeroize::{Zeroize as _, Zeroizing};

use crate::address::Address;
use crate::agreement::{LinkPublic, LinkSecret};
use crate::certificate::{DeviceCertificate, verify_device};
use crate::code::LinkCode;
use crate::ids::{DeviceId, LinkId};
use crate::signed::{Document, Signed};
use crate::signing::{Device, DevicePublic, IdentityKey, IdentityPublic};
use crate::stream::AttachmentKey;
use crate::suite::{Current, DIGEST_LEN, Failed, HASH_LEN, KEY_LEN, NONCE_LEN, Primitives};
use crate::{SUITE, Unsupported, VERSION, check_version, codec, kem};

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum LinkPurpose {
    /// A new device gets the identity key.
    #[n(0)]
    Device,
    /// A device gets the history of another.
    #[n(1)]
    History,
}

impl LinkPurpose {
    /// Salt of the derivation from the code: a code is good for one purpose.
    const fn salt(self) -> &'static [u8] {
        match self {
            Self::Device => b"sotto/2 device link",
            Self::History => b"sotto/2 history link",
        }
    }
}

/// Something that came over a link and is not what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Another code, another receiver, or changed.
    #[error("it does not open: the code is another one, or it was changed on its way")]
    Unopenable,
    /// Made for a version or a suite that this build does not know.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// It opens, and was not made by a device that may.
    #[error("it was not made by a device of this user")]
    Forged,
}

impl From<Failed> for LinkError {
    fn from(_: Failed) -> Self {
        Self::Unopenable
    }
}

impl From<codec::DecodeError> for LinkError {
    fn from(_: codec::DecodeError) -> Self {
        Self::Unopenable
    }
}

/// What the receiving device offers. Signed by its own key, which shows that it has it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct LinkOffer {
    /// Protocol version.
    #[n(0)]
    pub version: u8,
    /// Suite of the keys.
    #[n(1)]
    pub suite: u16,
    /// What for.
    #[n(2)]
    pub purpose: LinkPurpose,
    /// The link.
    #[n(3)]
    pub link: LinkId,
    /// Whose device it is.
    #[n(4)]
    pub address: Address,
    /// The device.
    #[n(5)]
    pub device: DeviceId,
    /// The device's signing key.
    #[n(6)]
    pub key: DevicePublic,
    /// What is handed over is sealed to this: new for each link.
    #[n(7)]
    pub receiver: LinkPublic,
    /// Name of the device for people.
    #[n(8)]
    pub label: String,
    /// The device's certificate, where it has one: a new device has none yet.
    #[n(9)]
    pub certificate: Option<Signed<DeviceCertificate>>,
}

impl Document for LinkOffer {
    const LABEL: &'static str = "sotto/2 link offer";
    type Signer = Device;
}

impl LinkOffer {
    /// Checks that the device is one of the user with this identity.
    pub fn certified(&self, identity: &IdentityPublic) -> Result<(), LinkError> {
        certified(self.certificate.as_ref(), identity, &self.address, self.device, &self.key)
    }
}

fn certified(
    certificate: Option<&Signed<DeviceCertificate>>,
    identity: &IdentityPublic,
    address: &Address,
    device: DeviceId,
    key: &DevicePublic,
) -> Result<(), LinkError> {
    let verified = verify_device(identity, certificate.ok_or(LinkError::Forged)?).map_err(|_| LinkError::Forged)?;
    let same = verified.address() == address && verified.device() == device && verified.key() == key;
    if same { Ok(()) } else { Err(LinkError::Forged) }
}

/// What the sending device says of its history. Signed by its key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct HistoryAnswer {
    /// Protocol version.
    #[n(0)]
    pub version: u8,
    /// Suite of the keys.
    #[n(1)]
    pub suite: u16,
    /// The link.
    #[n(2)]
    pub link: LinkId,
    /// Whose device it is.
    #[n(3)]
    pub address: Address,
    /// The device.
    #[n(4)]
    pub device: DeviceId,
    /// Its certificate.
    #[n(5)]
    pub certificate: Signed<DeviceCertificate>,
    /// Name of the device for people.
    #[n(6)]
    pub label: String,
    /// Bytes of the sealed history.
    #[n(7)]
    pub size: u64,
    /// SHA-512/256 of the sealed history.
    #[cbor(n(8), with = "minicbor::bytes")]
    pub digest: [u8; DIGEST_LEN],
    /// How many records it holds, for people to see how far it is.
    #[n(9)]
    pub records: u64,
}

impl Document for HistoryAnswer {
    const LABEL: &'static str = "sotto/2 history answer";
    type Signer = Device;
}

/// An answer as it is stored: a single-shot HPKE message.
#[derive(Encode, Decode)]
#[cbor(array)]
struct Answer {
    #[n(0)]
    version: u8,
    #[n(1)]
    suite: u16,
    #[n(2)]
    enc: LinkPublic,
    #[cbor(n(3), with = "minicbor::bytes")]
    sealed: Vec<u8>,
}

/// What an answer about a history holds: the key of the sealed history, and what the sender says of it.
#[derive(Encode, Decode)]
#[cbor(array)]
struct HistoryPlain {
    #[cbor(n(0), with = "minicbor::bytes")]
    key: [u8; KEY_LEN],
    #[n(1)]
    answer: Signed<HistoryAnswer>,
}

impl Drop for HistoryPlain {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

/// All that follows from a code; erased when dropped.
pub struct LinkKeys {
    purpose: LinkPurpose,
    prk: Zeroizing<[u8; HASH_LEN]>,
    id: LinkId,
}

impl LinkKeys {
    /// What follows from this code.
    ///
    /// # Panics
    /// When there is no memory left.
    #[expect(clippy::expect_used, reason = "HKDF takes keys of any length")]
    pub fn new(code: &LinkCode, purpose: LinkPurpose) -> Self {
        let prk = Current::extract(purpose.salt(), &[code.characters().as_slice()]).expect("HKDF cannot fail");
        let mut keys = Self { purpose, prk, id: LinkId::from_bytes([0; 16]) };
        keys.id = LinkId::from_bytes(*keys.derive(&[b"id"]));
        keys
    }

    #[expect(clippy::expect_used, reason = "HKDF gives up to 16,320 bytes")]
    fn derive<const N: usize>(&self, info: &[&[u8]]) -> Zeroizing<[u8; N]> {
        let mut output = Zeroizing::new([0; N]);
        Current::expand(&self.prk, info, output.as_mut_slice()).expect("HKDF cannot fail");
        output
    }

    /// The link's name at the relay. It tells nothing of the code.
    pub fn id(&self) -> LinkId {
        self.id
    }

    /// The names of further links, where one does not hold all; `number` counts from 1.
    pub fn further_id(&self, number: u32) -> LinkId {
        LinkId::from_bytes(*self.derive(&[b"more", &number.to_be_bytes()]))
    }

    /// Seals an offer.
    pub fn seal_offer<R: CryptoRng + ?Sized>(&self, rng: &mut R, offer: &Signed<LinkOffer>) -> Vec<u8> {
        self.seal(rng, b"offer", &self.offer_aad(), &codec::encode(offer))
    }

    /// Opens an offer, and checks that it was made by the key that it names, for this link. Whose device it is, is for
    /// the caller to check: by its address, and by [`LinkOffer::certified`] where it must be one already.
    pub fn open_offer(&self, bytes: &[u8]) -> Result<LinkOffer, LinkError> {
        let clear = self.open(b"offer", &self.offer_aad(), bytes)?;
        let signed: Signed<LinkOffer> = codec::decode_strict(&clear)?;
        let offer = signed.unverified()?;
        check_version(offer.version, offer.suite)?;
        signed.verify(&offer.key).map_err(|_| LinkError::Forged)?;
        if (offer.purpose, offer.link) != (self.purpose, self.id) {
            return Err(LinkError::Forged);
        }
        Ok(offer)
    }

    fn offer_aad(&self) -> Vec<u8> {
        codec::encode(&("sotto/2 link offer", self.id))
    }

    /// Hands the identity key over to the device that made the offer.
    pub fn answer_device<R: CryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        offer: &LinkOffer,
        identity: &IdentityKey,
    ) -> Result<Vec<u8>, LinkError> {
        self.answer(rng, offer, &identity.to_bytes())
    }

    /// Takes the identity key, with the secret of the offer. The caller compares it with the identity that it expects.
    pub fn open_device(&self, secret: &LinkSecret, offer: &LinkOffer, bytes: &[u8]) -> Result<IdentityKey, LinkError> {
        IdentityKey::from_bytes(&self.open_answer(secret, offer, bytes)?).map_err(|_| LinkError::Unopenable)
    }

    /// Hands the key of a sealed history over to the device that made the offer.
    pub fn answer_history<R: CryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        offer: &LinkOffer,
        key: &AttachmentKey,
        answer: Signed<HistoryAnswer>,
    ) -> Result<Vec<u8>, LinkError> {
        let mut plain = HistoryPlain { key: [0; KEY_LEN], answer };
        plain.key.copy_from_slice(&key.to_bytes());
        // The certificate is by far the longest part of it; room for all, so that no copy of the key is left behind.
        let clear = Zeroizing::new(codec::encode_with_room(&plain, 2048));
        self.answer(rng, offer, &clear)
    }

    /// Takes the key of a sealed history, with the secret of the offer. The sender is a device of the same user.
    pub fn open_history(
        &self,
        secret: &LinkSecret,
        offer: &LinkOffer,
        identity: &IdentityPublic,
        bytes: &[u8],
    ) -> Result<(AttachmentKey, HistoryAnswer), LinkError> {
        let clear = self.open_answer(secret, offer, bytes)?;
        let plain: HistoryPlain = codec::decode_strict(&clear)?;
        let answer = plain.answer.unverified()?;
        check_version(answer.version, answer.suite)?;
        let certificate = answer.certificate.unverified()?;
        certified(Some(&answer.certificate), identity, &offer.address, answer.device, &certificate.key)?;
        plain.answer.verify(&certificate.key).map_err(|_| LinkError::Forged)?;
        if answer.link != self.id || answer.address != offer.address {
            return Err(LinkError::Forged);
        }
        let key = AttachmentKey::from_bytes(&plain.key).map_err(|_| LinkError::Unopenable)?;
        Ok((key, answer))
    }

    fn answer<R: CryptoRng + ?Sized>(
        &self,
        rng: &mut R,
        offer: &LinkOffer,
        plain: &[u8],
    ) -> Result<Vec<u8>, LinkError> {
        let ephemeral = LinkSecret::generate(rng);
        let psk = self.derive::<KEY_LEN>(&[b"psk"]);
        let with = (psk.as_slice(), self.id.as_bytes().as_slice());
        let sealed =
            kem::seal_psk::<Current>(&ephemeral.0, offer.receiver.as_bytes(), &self.answer_info(offer), with, plain)?;
        Ok(codec::encode(&Answer { version: VERSION, suite: SUITE, enc: ephemeral.public(), sealed }))
    }

    fn open_answer(
        &self,
        secret: &LinkSecret,
        offer: &LinkOffer,
        bytes: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, LinkError> {
        let answer: Answer = codec::decode_strict(bytes)?;
        check_version(answer.version, answer.suite)?;
        let psk = self.derive::<KEY_LEN>(&[b"psk"]);
        let with = (psk.as_slice(), self.id.as_bytes().as_slice());
        Ok(kem::open_psk::<Current>(&secret.0, answer.enc.as_bytes(), &self.answer_info(offer), with, &answer.sealed)?)
    }

    /// Everything that both know of the link goes into the derivation.
    fn answer_info(&self, offer: &LinkOffer) -> Vec<u8> {
        let digest = minicbor::bytes::ByteArray::from(Current::short_hash(&[&codec::encode(offer)]));
        codec::encode(&("sotto/2 link answer", SUITE, self.purpose, self.id, &offer.address, offer.device, digest))
    }

    /// Seals a note for a slot: one number, whose meaning the slot says.
    pub fn seal_note<R: CryptoRng + ?Sized>(&self, rng: &mut R, slot: u32, note: u64) -> Vec<u8> {
        self.seal(rng, b"note", &self.note_aad(slot), &codec::encode(&note))
    }

    /// Opens the note of a slot.
    pub fn open_note(&self, slot: u32, bytes: &[u8]) -> Result<u64, LinkError> {
        Ok(codec::decode_strict(&self.open(b"note", &self.note_aad(slot), bytes)?)?)
    }

    fn note_aad(&self, slot: u32) -> Vec<u8> {
        codec::encode(&("sotto/2 link note", self.id, slot))
    }

    /// `nonce || AES-256-GCM`, under a key of the code: whoever opens it knows that it was made by somebody who has the
    /// code. The nonce is random, since an offer may be made anew under the same code.
    #[expect(clippy::expect_used, reason = "AES-GCM takes what fits into memory")]
    fn seal<R: CryptoRng + ?Sized>(&self, rng: &mut R, info: &[u8], aad: &[u8], clear: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        let mut buffer = clear.to_vec();
        Current::aead_seal(&self.derive(&[info]), &nonce, aad, &mut buffer).expect("sealing cannot fail");
        [nonce.as_slice(), &buffer].concat()
    }

    fn open(&self, info: &[u8], aad: &[u8], bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, LinkError> {
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>().ok_or(LinkError::Unopenable)?;
        Ok(Current::aead_open(&self.derive(&[info]), nonce, aad, sealed)?)
    }
}
