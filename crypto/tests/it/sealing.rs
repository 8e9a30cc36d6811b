//! Sealing and opening, and everything that must not open.

use crate::common::{Person, TestRng};
use sotto_crypto::*;

const TEXT: &[u8] = b"the board meets at nine";

struct Scene {
    alice: Person,
    bob: Person,
    bob_phone: Person,
    carol: Person,
    sealed: Sealed,
    rng: TestRng,
}

fn scene() -> Scene {
    let mut rng = TestRng(1);
    let alice = Person::new(&mut rng, "alice@chat.acme.example");
    let bob = Person::new(&mut rng, "bob@chat.acme.example");
    let bob_phone = bob.another_device(&mut rng);
    let carol = Person::new(&mut rng, "carol@other.example");
    let recipients = [carol.recipient(0), bob_phone.recipient(1), bob.recipient(2)];
    let message = MessageId::generate(&mut rng);
    let sealed = seal(&mut rng, &alice.sender(), message, TEXT, &recipients).unwrap();
    Scene { alice, bob, bob_phone, carol, sealed, rng }
}

#[test]
fn opens_on_each_of_three_devices_and_says_who_and_to_whom() {
    let scene = scene();
    let Sealed { header, body, wraps } = &scene.sealed;
    assert_eq!(wraps.len(), 3);
    assert!(wraps.is_sorted_by(|a, b| (&a.address, a.device) < (&b.address, b.device)));
    let mut bobs = vec![scene.bob.device, scene.bob_phone.device];
    bobs.sort();
    for person in [&scene.bob, &scene.bob_phone, &scene.carol] {
        let opened = person.open(header, body, person.wrap(&scene.sealed)).unwrap();
        assert_eq!(opened.content.as_slice(), TEXT);
        assert_eq!(opened.identity, scene.alice.identity_public);
        assert_eq!(opened.certificate, scene.alice.verified());
        let people: Vec<_> =
            opened.recipients.users().map(|user| (user.address(), user.devices().collect::<Vec<_>>())).collect();
        assert_eq!(
            people,
            [(scene.bob.address.clone(), bobs.clone()), (scene.carol.address.clone(), vec![scene.carol.device])]
        );
    }
}

#[test]
fn opens_on_no_other_device_and_with_no_other_prekey() {
    let mut scene = scene();
    let Sealed { header, body, .. } = &scene.sealed;
    let wrap = scene.bob.wrap(&scene.sealed);
    let secret = &scene.bob.secrets[2];
    let refused = |result: Result<Opened, OpenError>| assert_eq!(result.unwrap_err(), OpenError::Unopenable);

    let eve = Person::new(&mut scene.rng, "eve@chat.acme.example");
    let me = (&scene.bob.address, scene.bob.device);
    // Another device with its own prekey, also of the same user, also under the recipient's name.
    for other in [&eve, &scene.bob_phone, &scene.alice] {
        refused(open(header, body, (&other.address, other.device), wrap.prekey, &other.secrets[2], &wrap.key));
        refused(open(header, body, me, wrap.prekey, &other.secrets[2], &wrap.key));
    }
    // The right secret under another name, device or prekey.
    refused(open(header, body, (&eve.address, scene.bob.device), wrap.prekey, secret, &wrap.key));
    refused(open(header, body, (&scene.bob.address, scene.bob_phone.device), wrap.prekey, secret, &wrap.key));
    let other_index = PrekeyRef { index: 1, ..wrap.prekey };
    refused(open(header, body, me, other_index, secret, &wrap.key));
    let other_batch = PrekeyRef { batch: scene.carol.wrap(&scene.sealed).prekey.batch, ..wrap.prekey };
    refused(open(header, body, me, other_batch, secret, &wrap.key));
    refused(open(header, body, me, wrap.prekey, &scene.bob.secrets[1], &wrap.key));
    // Somebody else's wrap.
    refused(open(header, body, me, wrap.prekey, secret, &scene.carol.wrap(&scene.sealed).key));
    refused(open(header, body, me, wrap.prekey, secret, &scene.bob_phone.wrap(&scene.sealed).key));
}

#[test]
fn parts_of_two_messages_do_not_mix() {
    let mut scene = scene();
    let message = MessageId::generate(&mut scene.rng);
    let recipients = [scene.bob.recipient(2)];
    let second = seal(&mut scene.rng, &scene.alice.sender(), message, TEXT, &recipients).unwrap();
    let (first_wrap, second_wrap) = (scene.bob.wrap(&scene.sealed), scene.bob.wrap(&second));
    assert!(scene.bob.open(&second.header, &second.body, second_wrap).is_ok());
    assert!(scene.bob.open(&scene.sealed.header, &second.body, first_wrap).is_err());
    assert!(scene.bob.open(&second.header, &scene.sealed.body, second_wrap).is_err());
    assert!(scene.bob.open(&second.header, &second.body, first_wrap).is_err());
    // Keys are fresh for each message.
    assert_ne!(second.header.ephemeral, scene.sealed.header.ephemeral);
    assert_ne!(second.header.commitment, scene.sealed.header.commitment);
}

#[test]
fn changing_any_byte_of_the_header_is_noticed() {
    let scene = scene();
    let bytes = encode(&scene.sealed.header);
    let wrap = scene.bob.wrap(&scene.sealed);
    let mut decoded = 0;
    for place in 0..bytes.len() {
        for flip in [0x01, 0x02, 0x80] {
            let mut changed = bytes.clone();
            changed[place] ^= flip;
            // Most changes are no header any more; the others must not open.
            if let Ok(header) = decode_strict::<SealedHeader>(&changed) {
                decoded += 1;
                assert!(scene.bob.open(&header, &scene.sealed.body, wrap).is_err(), "byte {place} ^ {flip}");
            }
        }
    }
    assert!(decoded > 100, "only {decoded} changed headers were still headers");
}

#[test]
fn changing_any_byte_of_the_wrap_is_noticed() {
    let scene = scene();
    let wrap = scene.bob.wrap(&scene.sealed);
    for place in 0..wrap.key.as_bytes().len() {
        let mut bytes = *wrap.key.as_bytes();
        bytes[place] ^= 0x10;
        let changed = Wrap { key: WrappedKey::from_bytes(&bytes).unwrap(), ..wrap.clone() };
        let error = scene.bob.open(&scene.sealed.header, &scene.sealed.body, &changed).unwrap_err();
        assert_eq!(error, OpenError::Unopenable, "byte {place}");
    }
}

#[test]
fn changing_any_byte_of_the_body_is_noticed() {
    let scene = scene();
    let wrap = scene.bob.wrap(&scene.sealed);
    let open = |body: &[u8]| scene.bob.open(&scene.sealed.header, body, wrap).map(|_| ()).unwrap_err();
    for place in 0..scene.sealed.body.len() {
        let mut body = scene.sealed.body.clone();
        body[place] ^= 0x01;
        assert_eq!(open(&body), OpenError::Unopenable, "byte {place}");
    }
    let mut longer = scene.sealed.body.clone();
    longer.push(0);
    assert_eq!(open(&longer), OpenError::Unopenable);
    for length in [0, 1, 15, 16, 17, scene.sealed.body.len() - 1] {
        assert_eq!(open(&scene.sealed.body[..length]), OpenError::Unopenable, "cut to {length}");
    }
    assert_eq!(open(&vec![0; MAX_BODY + 1]), OpenError::TooLarge(MAX_BODY + 1));
}

#[test]
fn another_version_or_suite_is_named() {
    let scene = scene();
    let wrap = scene.bob.wrap(&scene.sealed);
    for (version, suite) in [(1, 1), (3, 1), (2, 2)] {
        let header = SealedHeader { version, suite, ..scene.sealed.header.clone() };
        let error = scene.bob.open(&header, &scene.sealed.body, wrap).unwrap_err();
        assert_eq!(error, OpenError::Unsupported(Unsupported { version, suite }));
        assert!(error.to_string().contains(&format!("version {version}, suite {suite}")));
    }
}

#[test]
fn lengths_are_hidden_in_steps() {
    let mut scene = scene();
    let recipients = [scene.bob.recipient(0)];
    let mut lengths = std::collections::BTreeSet::new();
    for length in (0..1000).step_by(10) {
        let message = MessageId::generate(&mut scene.rng);
        let sealed = seal(&mut scene.rng, &scene.alice.sender(), message, &vec![b'x'; length], &recipients).unwrap();
        lengths.insert(sealed.body.len());
    }
    assert!(lengths.len() <= 22, "{lengths:?}");
}

#[test]
fn empty_and_largest_content_go_through() {
    let mut scene = scene();
    for content in [vec![], vec![b'x'; MAX_CONTENT]] {
        let message = MessageId::generate(&mut scene.rng);
        let recipients = [scene.bob.recipient(0)];
        let sealed = seal(&mut scene.rng, &scene.alice.sender(), message, &content, &recipients).unwrap();
        assert!(sealed.body.len() <= MAX_BODY);
        let opened = scene.bob.open(&sealed.header, &sealed.body, &sealed.wraps[0]).unwrap();
        assert_eq!(*opened.content, content);
    }
}

#[test]
fn what_cannot_be_sealed_is_refused_with_a_reason() {
    let mut scene = scene();
    let message = MessageId::generate(&mut scene.rng);
    let bob = scene.bob.recipient(0);
    let rng = &mut scene.rng;
    let sender = scene.alice.sender();
    assert_eq!(seal(rng, &sender, message, TEXT, &[]).unwrap_err(), SealError::NoRecipients);
    let twice = [bob.clone(), scene.bob.recipient(1)];
    assert_eq!(seal(rng, &sender, message, TEXT, &twice).unwrap_err(), SealError::DuplicateRecipient);
    let many = vec![bob.clone(); MAX_RECIPIENTS + 1];
    // The first repetition is met before the limit.
    assert_eq!(seal(rng, &sender, message, TEXT, &many).unwrap_err(), SealError::DuplicateRecipient);
    let large = vec![0; MAX_CONTENT + 1];
    assert_eq!(
        seal(rng, &sender, message, &large, std::slice::from_ref(&bob)).unwrap_err(),
        SealError::ContentTooLarge(MAX_CONTENT + 1)
    );
    for sender in [
        Sender { address: &scene.bob.address, ..sender },
        Sender { device: scene.bob.device, ..sender },
        Sender { key: &scene.bob.key, ..sender },
        Sender { certificate: &scene.bob.certificate, ..sender },
    ] {
        let error = seal(rng, &sender, message, TEXT, std::slice::from_ref(&bob)).unwrap_err();
        assert_eq!(error, SealError::SenderMismatch);
    }
}
