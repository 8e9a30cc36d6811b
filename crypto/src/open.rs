//! Opening a message.

use subtle::ConstantTimeEq;

use crate::address::Address;
use crate::agreement::PrekeySecret;
use crate::certificate::VerifiedDevice;
use crate::ids::DeviceId;
use crate::known::Known;
use crate::message::{
    Body, ContentKey, MAX_BODY, MAX_CONTENT, MESSAGE_LABEL, Opened, SealedHeader, WrappedKey, transcript, wrap_info,
};
use crate::prekey::PrekeyRef;
use crate::suite::{Current, NONCE_LEN, Primitives};
use crate::{Unsupported, check_version, codec, kem, padding};

/// A message that cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Made for another version or suite.
    #[error("message: {0}")]
    Unsupported(#[from] Unsupported),
    /// The body is larger than any that is sealed.
    #[error("message: the body has {0} bytes, at most {MAX_BODY} are allowed")]
    TooLarge(usize),
    /// Not sealed to this device and prekey, or changed on the way. Which of them is not said on purpose.
    #[error("message: it was not sealed to this device, or it has been changed")]
    Unopenable,
    /// It opens, but the sender's certificate or signature is not right: somebody who had the key has forged it.
    #[error("message: the sender's certificate or signature does not verify")]
    Forged,
    /// It opens, but this device is not among those that the sender says it was sealed to.
    #[error("message: this device is not in the sender's list of recipients")]
    NotListed,
}

impl From<crate::suite::Failed> for OpenError {
    fn from(_: crate::suite::Failed) -> Self {
        Self::Unopenable
    }
}

/// Opens a message with the secret of the prekey that it was sealed to, and verifies everything that can be verified
/// without knowing the sender. **The caller has to compare [`Opened::identity`] with the identity that it has pinned for
/// `header.sender`.**
pub fn open(
    header: &SealedHeader,
    body: &[u8],
    me: (&Address, DeviceId),
    prekey: PrekeyRef,
    secret: &PrekeySecret,
    wrap: &WrappedKey,
) -> Result<Opened, OpenError> {
    open_with(&mut Known::new(), header, body, me, prekey, secret, wrap)
}

/// As [`open`], but the signature of the sender's certificate is checked the first time only that the certificate comes by.
pub fn open_with(
    known: &mut Known,
    header: &SealedHeader,
    body: &[u8],
    me: (&Address, DeviceId),
    prekey: PrekeyRef,
    secret: &PrekeySecret,
    wrap: &WrappedKey,
) -> Result<Opened, OpenError> {
    check_version(header.version, header.suite)?;
    if body.len() > MAX_BODY {
        return Err(OpenError::TooLarge(body.len()));
    }
    if header.network.as_str() != header.sender.domain_str() {
        return Err(OpenError::Unopenable);
    }
    let (address, device) = me;
    let info = wrap_info(header, address, device, prekey);
    let key = kem::unwrap::<Current>(&secret.0, header.ephemeral.as_bytes(), &info, &wrap.0)?;
    let body = open_body(known, header, body, &ContentKey(key))?;
    let certificate = check_signature(known, header, &body)?;
    known.remember_recipients(header, &body.recipients);
    if !body.recipients.contains(address, device) {
        return Err(OpenError::NotListed);
    }
    let Body { content, recipients, identity, .. } = body;
    Ok(Opened { content, identity, certificate, recipients })
}

fn open_body(known: &Known, header: &SealedHeader, body: &[u8], key: &ContentKey) -> Result<Body, OpenError> {
    if !bool::from(key.commitment()?.ct_eq(&header.commitment)) {
        return Err(OpenError::Unopenable);
    }
    let plain = Current::aead_open(&key.0, &[0; NONCE_LEN], &codec::encode(header), body)?;
    let encoded = padding::unpad(&plain).ok_or(OpenError::Unopenable)?;
    let body = Body::decode(encoded, known.recipients(header)).map_err(|_| OpenError::Unopenable)?;
    if body.content.len() > MAX_CONTENT {
        return Err(OpenError::Unopenable);
    }
    Ok(body)
}

fn check_signature(known: &mut Known, header: &SealedHeader, body: &Body) -> Result<VerifiedDevice, OpenError> {
    let device = known.device(&body.identity, &body.certificate).map_err(|_| OpenError::Forged)?;
    if *device.address() != header.sender || device.device() != header.device {
        return Err(OpenError::Forged);
    }
    let transcript = transcript(header, &body.recipients, &body.content);
    device.key().verify(MESSAGE_LABEL, &transcript, &body.signature).map_err(|_| OpenError::Forged)?;
    Ok(device)
}

#[cfg(test)]
mod tests {
    //! What somebody can make who has the content key: a recipient, or a sender who does not keep to the rules.

    use super::*;
    use crate::agreement::EphemeralSecret;
    use crate::common::{Person, TestRng};
    use crate::recipients::RecipientList;
    use crate::{Domain, MessageId, SUITE, SealedHeader, VERSION};
    use zeroize::Zeroizing;

    struct Forger {
        rng: TestRng,
        alice: Person,
        bob: Person,
        eve: Person,
        key: ContentKey,
        ephemeral: EphemeralSecret,
        header: SealedHeader,
    }

    impl Forger {
        fn new() -> Self {
            let mut rng = TestRng(60);
            let alice = Person::new(&mut rng, "alice@a.example");
            let bob = Person::new(&mut rng, "bob@a.example");
            let eve = Person::new(&mut rng, "eve@a.example");
            let key = ContentKey(Zeroizing::new([9; 32]));
            let ephemeral = EphemeralSecret::generate(&mut rng);
            let header = SealedHeader {
                version: VERSION,
                suite: SUITE,
                network: alice.address.domain(),
                message: MessageId::generate(&mut rng),
                sender: alice.address.clone(),
                device: alice.device,
                ephemeral: ephemeral.public(),
                commitment: key.commitment().unwrap(),
            };
            Self { rng, alice, bob, eve, key, ephemeral, header }
        }

        fn list(people: &[&Person]) -> RecipientList {
            RecipientList::new(people.iter().map(|person| (&person.address, person.device))).unwrap()
        }

        /// An honest body.
        fn body(&self) -> Body {
            let recipients = Self::list(&[&self.bob]);
            let content = Zeroizing::new(b"yes".to_vec());
            let signature = self.alice.key.sign(MESSAGE_LABEL, &transcript(&self.header, &recipients, &content));
            let (identity, certificate) = (self.alice.identity_public.clone(), self.alice.certificate.clone());
            Body { content, recipients, identity, certificate, signature }
        }

        fn open_encoded(&self, encoded: &[u8]) -> Result<Opened, OpenError> {
            self.open_padded(padding::pad(encoded).unwrap())
        }

        /// Seals a padded body to Bob as it is, and lets Bob open it.
        fn open_padded(&self, mut body: Vec<u8>) -> Result<Opened, OpenError> {
            Current::aead_seal(&self.key.0, &[0; NONCE_LEN], &codec::encode(&self.header), &mut body).unwrap();
            let recipient = self.bob.recipient(0);
            let prekey = recipient.prekey();
            let info = wrap_info(&self.header, &self.bob.address, self.bob.device, prekey);
            let enc = self.header.ephemeral.as_bytes();
            let wrap = kem::wrap::<Current>(&self.ephemeral.0, enc, recipient.key.as_bytes(), &info, &self.key.0);
            let me = (&self.bob.address, self.bob.device);
            open(&self.header, &body, me, prekey, &self.bob.secrets[0], &WrappedKey(wrap.unwrap()))
        }

        fn error(&self, body: &Body) -> OpenError {
            self.open_encoded(&codec::encode(body)).unwrap_err()
        }
    }

    #[test]
    fn the_honest_body_opens() {
        let forger = Forger::new();
        assert_eq!(forger.open_encoded(&codec::encode(&forger.body())).unwrap().content.as_slice(), b"yes");
    }

    #[test]
    fn other_recipients_or_content_under_the_old_signature_are_forged() {
        let forger = Forger::new();
        let recipients = Forger::list(&[&forger.bob, &forger.eve]);
        assert_eq!(forger.error(&Body { recipients, ..forger.body() }), OpenError::Forged);
        let content = Zeroizing::new(b"no".to_vec());
        assert_eq!(forger.error(&Body { content, ..forger.body() }), OpenError::Forged);
    }

    #[test]
    fn a_signature_for_another_message_is_forged() {
        let mut forger = Forger::new();
        let body = forger.body();
        forger.header.message = MessageId::generate(&mut forger.rng);
        assert_eq!(forger.error(&body), OpenError::Forged);
        let mut forger = Forger::new();
        let body = forger.body();
        forger.key = ContentKey(Zeroizing::new([8; 32]));
        forger.header.commitment = forger.key.commitment().unwrap();
        assert_eq!(forger.error(&body), OpenError::Forged);
        let mut forger = Forger::new();
        let body = forger.body();
        forger.ephemeral = EphemeralSecret::generate(&mut forger.rng);
        forger.header.ephemeral = forger.ephemeral.public();
        assert_eq!(forger.error(&body), OpenError::Forged);
    }

    #[test]
    fn a_certificate_that_is_not_the_senders_is_forged() {
        let forger = Forger::new();
        let honest = forger.body();
        let signature = forger.eve.key.sign(MESSAGE_LABEL, &transcript(&forger.header, &honest.recipients, b"yes"));
        // Eve signs in Alice's name: with Alice's certificate, with her own, and with her own under Alice's identity.
        assert_eq!(forger.error(&Body { signature: signature.clone(), ..forger.body() }), OpenError::Forged);
        let (identity, certificate) = (forger.eve.identity_public.clone(), forger.eve.certificate.clone());
        let body = Body { signature: signature.clone(), identity, certificate: certificate.clone(), ..forger.body() };
        assert_eq!(forger.error(&body), OpenError::Forged);
        assert_eq!(forger.error(&Body { certificate, signature, ..forger.body() }), OpenError::Forged);
    }

    #[test]
    fn another_device_of_the_sender_cannot_sign_for_this_one() {
        let mut forger = Forger::new();
        let phone = forger.alice.another_device(&mut forger.rng);
        let honest = forger.body();
        let signature = phone.key.sign(MESSAGE_LABEL, &transcript(&forger.header, &honest.recipients, b"yes"));
        let body = Body { signature, certificate: phone.certificate, ..honest };
        assert_eq!(forger.error(&body), OpenError::Forged);
    }

    #[test]
    fn a_device_that_the_sender_does_not_list_is_told() {
        let forger = Forger::new();
        let recipients = Forger::list(&[&forger.eve]);
        let signature = forger.alice.key.sign(MESSAGE_LABEL, &transcript(&forger.header, &recipients, b"yes"));
        assert_eq!(forger.error(&Body { recipients, signature, ..forger.body() }), OpenError::NotListed);
    }

    #[test]
    fn a_commitment_to_another_key_does_not_open() {
        let mut forger = Forger::new();
        forger.header.commitment = ContentKey(Zeroizing::new([1; 32])).commitment().unwrap();
        let body = forger.body();
        assert_eq!(forger.error(&body), OpenError::Unopenable);
    }

    #[test]
    fn another_network_than_the_senders_does_not_open() {
        let mut forger = Forger::new();
        forger.header.network = Domain::parse("b.example").unwrap();
        let body = forger.body();
        assert_eq!(forger.error(&body), OpenError::Unopenable);
    }

    #[test]
    fn lists_and_bodies_have_one_form() {
        let forger = Forger::new();
        let encoded = codec::encode(&forger.body());
        let mut trailing = encoded.clone();
        trailing.push(0);
        assert_eq!(forger.open_encoded(&trailing).unwrap_err(), OpenError::Unopenable);
        let mut indefinite = encoded.clone();
        indefinite[0] = 0x9f;
        indefinite.push(0xff);
        assert_eq!(forger.open_encoded(&indefinite).unwrap_err(), OpenError::Unopenable);
        assert_eq!(forger.open_encoded(b"").unwrap_err(), OpenError::Unopenable);
        // Padding that is not zero, longer than it should be, or not there.
        let mut padded = padding::pad(&encoded).unwrap();
        assert!(padded.len() > encoded.len() + 4, "the test needs some padding");
        *padded.last_mut().unwrap() = 1;
        assert_eq!(forger.open_padded(padded.clone()).unwrap_err(), OpenError::Unopenable);
        *padded.last_mut().unwrap() = 0;
        padded.push(0);
        assert_eq!(forger.open_padded(padded.clone()).unwrap_err(), OpenError::Unopenable);
        padded.truncate(encoded.len() + 4);
        assert_eq!(forger.open_padded(padded).unwrap_err(), OpenError::Unopenable);

        let (a, b) = (&forger.alice.address, &forger.bob.address);
        let (low, high) = (DeviceId::from_bytes([1; 16]), DeviceId::from_bytes([2; 16]));
        let good = vec![(a.clone(), vec![low, high]), (b.clone(), vec![low])];
        assert!(codec::decode_strict::<RecipientList>(&codec::encode(&good)).is_ok());
        for bad in [
            vec![],
            vec![(a.clone(), vec![])],
            vec![(a.clone(), vec![high, low])],
            vec![(a.clone(), vec![low, low])],
            vec![(b.clone(), vec![low]), (a.clone(), vec![low])],
            vec![(a.clone(), vec![low]), (a.clone(), vec![high])],
        ] {
            assert!(codec::decode_strict::<RecipientList>(&codec::encode(&bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn too_many_recipients_are_refused_on_both_sides() {
        let address = Address::parse("a@a.example").unwrap();
        let device = |number: u32| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            DeviceId::from_bytes(bytes)
        };
        let devices: Vec<_> = (0..2001).map(device).collect();
        let build = |count: usize| RecipientList::new(devices[..count].iter().map(|id| (&address, *id)));
        assert!(build(2000).is_ok());
        assert_eq!(build(2001).err(), Some(crate::recipients::ListError::TooMany));
        let encoded = codec::encode(&vec![(address.clone(), devices.clone())]);
        assert!(codec::decode_strict::<RecipientList>(&encoded).is_err());
    }
}
