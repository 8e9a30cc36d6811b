//! What has been verified is remembered, and nothing else is.

use crate::common::{DAY, NOW, Person, TestRng};
use sotto_crypto::*;

#[test]
fn recipients_are_those_that_verifying_gives() {
    let mut rng = TestRng(90);
    let (alice, bob) = (Person::new(&mut rng, "alice@a.example"), Person::new(&mut rng, "bob@b.example"));
    let mut known = Known::new();
    let lists = [(&alice, alice.devices()), (&bob, bob.devices())];
    for round in 0..2 {
        for (person, list) in &lists {
            for index in 0..3 {
                let prekey = person.batch.prekey(index).unwrap();
                let devices = known.devices(&person.identity_public, list).unwrap();
                assert_eq!(*devices, verify_devices(&person.identity_public, list).unwrap());
                let recipient = known.recipient(&devices.devices()[0], &prekey, NOW).unwrap();
                assert_eq!(recipient, person.recipient(index), "round {round}");
            }
        }
    }
    assert_eq!(format!("{known:?}"), "Known(0 devices, 2 users, 2 batches, 0 lists)");
}

#[test]
fn what_does_not_verify_is_refused_again_and_again() {
    let mut rng = TestRng(91);
    let (alice, bob) = (Person::new(&mut rng, "alice@a.example"), Person::new(&mut rng, "bob@b.example"));
    let mut known = Known::new();
    let good = alice.batch.prekey(1).unwrap();
    let (list, device) = (alice.devices(), alice.verified());
    for _ in 0..2 {
        // Under another identity, and a batch of another device.
        let said = known.devices(&bob.identity_public, &list).err();
        assert!(matches!(said, Some(CertificateError::Verify(_))));
        assert!(matches!(known.recipient(&bob.verified(), &good, NOW).err(), Some(PrekeyError::Verify(_))));
        // Of a batch that is known by now: another key, another place, another time.
        assert!(known.devices(&alice.identity_public, &list).is_ok());
        assert_eq!(known.recipient(&device, &good, NOW).err(), None);
        let wrong = Prekey { key: bob.batch.keys[1].clone(), ..good.clone() };
        assert_eq!(known.recipient(&device, &wrong, NOW).err(), Some(PrekeyError::Proof));
        let wrong = Prekey { index: 2, ..good.clone() };
        assert_eq!(known.recipient(&device, &wrong, NOW).err(), Some(PrekeyError::Proof));
        assert_eq!(known.recipient(&device, &good, NOW + DAY).err(), Some(PrekeyError::Expired));
    }
}

#[test]
fn a_batch_is_known_for_one_device_only_even_with_the_same_key() {
    // Two devices that are certified with one key: a batch names its device, and is good for no other.
    let mut rng = TestRng(92);
    let alice = Person::new(&mut rng, "alice@a.example");
    let other = DeviceCertificate { device: DeviceId::generate(&mut rng), ..alice.certificate.unverified().unwrap() };
    let other = verify_device(&alice.identity_public, &Signed::sign(&other, &alice.identity)).unwrap();
    let mut known = Known::new();
    let prekey = alice.batch.prekey(0).unwrap();
    assert!(known.recipient(&alice.verified(), &prekey, NOW).is_ok());
    assert_eq!(known.recipient(&other, &prekey, NOW).err(), Some(PrekeyError::OtherDevice));
}

#[test]
fn opening_with_what_is_known_says_the_same() {
    let mut rng = TestRng(93);
    let (alice, bob) = (Person::new(&mut rng, "alice@a.example"), Person::new(&mut rng, "bob@b.example"));
    let mut known = Known::new();
    for index in 0..3 {
        let message = MessageId::generate(&mut rng);
        let sealed = seal(&mut rng, &alice.sender(), message, b"hello", &[bob.recipient(index)]).unwrap();
        let secret = &bob.secrets[index as usize];
        let wrap = &sealed.wraps[0];
        let me = (&bob.address, bob.device);
        let mut ask = |header: &SealedHeader, body: &[u8]| {
            open_with(&mut known, header, body, me, wrap.prekey, secret, &wrap.key)
        };
        let opened = ask(&sealed.header, &sealed.body).unwrap();
        assert_eq!((opened.content.as_slice(), &opened.identity), (b"hello".as_slice(), &alice.identity_public));
        assert_eq!(opened.certificate, alice.verified());
        let mut changed = sealed.body.clone();
        changed[0] ^= 1;
        assert_eq!(ask(&sealed.header, &changed).unwrap_err(), OpenError::Unopenable);
    }
    assert_eq!(format!("{known:?}"), "Known(1 devices, 0 users, 0 batches, 0 lists)");
}

/// A room's list comes again and again, shorter and longer: what is remembered never stands for another one.
#[test]
fn a_list_that_is_known_is_used_for_itself_only() {
    let mut rng = TestRng(94);
    let alice = Person::new(&mut rng, "alice@a.example");
    let people: Vec<Person> =
        (0..40).map(|n| Person::new(&mut rng, &format!("somebody-with-a-long-name-{n:02}@b.example"))).collect();
    let bob = &people[0];
    let mut known = Known::new();
    for count in [40, 40, 39, 40, 30, 1] {
        let recipients: Vec<_> = people[..count].iter().map(|person| person.recipient(0)).collect();
        let message = MessageId::generate(&mut rng);
        let sealed = seal(&mut rng, &alice.sender(), message, b"hello", &recipients).unwrap();
        let (wrap, secret) = (bob.wrap(&sealed), &bob.secrets[0]);
        let me = (&bob.address, bob.device);
        let with = open_with(&mut known, &sealed.header, &sealed.body, me, wrap.prekey, secret, &wrap.key).unwrap();
        let without = sotto_crypto::open(&sealed.header, &sealed.body, me, wrap.prekey, secret, &wrap.key).unwrap();
        assert_eq!((with.recipients.len(), &with.recipients), (count, &without.recipients));
        let people = |opened: &Opened| -> Vec<_> {
            opened.recipients.users().map(|user| (user.address(), user.devices().collect::<Vec<_>>())).collect()
        };
        assert_eq!(people(&with), people(&without));
    }
    assert_eq!(format!("{known:?}"), "Known(1 devices, 0 users, 0 batches, 3 lists)");
}
