//! Keys, signed documents, certificates and prekeys.

use crate::common::{DAY, NOW, Person, TestRng};
use sotto_crypto::*;

fn retention(policy: &PolicyKey, identity: &IdentityPublic) -> Signed<RetentionCertificate> {
    let certificate = RetentionCertificate {
        version: VERSION,
        suite: SUITE,
        network: Domain::parse("chat.acme.example").unwrap(),
        address: Address::parse("retention@chat.acme.example").unwrap(),
        identity: identity.clone(),
        issued_at_ms: NOW,
        expires_at_ms: NOW + DAY,
    };
    Signed::sign(&certificate, policy)
}

#[test]
fn keys_round_trip_and_bad_ones_are_refused() {
    let mut rng = TestRng(2);
    let key = IdentityKey::generate(&mut rng);
    let secret = key.to_bytes();
    assert_eq!(secret.len(), SCALAR_LEN);
    let again = IdentityKey::from_bytes(&secret).unwrap();
    assert_eq!(again.verifying_key(), key.verifying_key());

    for bad in [vec![], vec![0; 65], vec![0; 66], vec![0xff; 66], vec![1; 67]] {
        assert_eq!(DeviceKey::from_bytes(&bad).err(), Some(KeyError::Secret));
        assert_eq!(PrekeySecret::from_bytes(&bad).err(), Some(KeyError::Secret));
    }

    let point = *key.verifying_key().as_bytes();
    assert_eq!(IdentityPublic::from_bytes(&point).unwrap(), key.verifying_key());
    let mut off_curve = point;
    off_curve[132] ^= 1;
    let mut hybrid = point;
    hybrid[0] = 6 | (point[132] & 1);
    let mut compressed = vec![2 | (point[132] & 1)];
    compressed.extend_from_slice(&point[1..67]);
    let mut beyond_field = point;
    beyond_field[1..67].fill(0xff);
    let (infinity, zeros, short) = (vec![0], vec![0; 133], point[..132].to_vec());
    for bad in [off_curve.to_vec(), hybrid.to_vec(), compressed, beyond_field.to_vec(), infinity, zeros, short] {
        assert_eq!(IdentityPublic::from_bytes(&bad).unwrap_err(), KeyError::Public);
        assert_eq!(PrekeyPublic::from_bytes(&bad).unwrap_err(), KeyError::Public);
        assert_eq!(EphemeralPublic::from_bytes(&bad).unwrap_err(), KeyError::Public);
        assert!(decode_strict::<PrekeyPublic>(&encode(&minicbor::bytes::ByteVec::from(bad))).is_err());
    }
}

#[test]
fn prekey_secrets_round_trip() {
    let person = Person::new(&mut TestRng(3), "alice@a.example");
    for (secret, public) in person.secrets.iter().zip(&person.batch.keys) {
        assert_eq!(&PrekeySecret::from_bytes(&secret.to_bytes()).unwrap().public(), public);
    }
}

#[test]
fn a_signature_is_good_for_its_key_label_and_message_only() {
    let mut rng = TestRng(4);
    let (key, other) = (DeviceKey::generate(&mut rng), DeviceKey::generate(&mut rng));
    let public = key.verifying_key();
    let signature = key.sign("label", b"message");
    assert_eq!(public.verify("label", b"message", &signature), Ok(()));
    assert_eq!(public.verify("label", b"massage", &signature), Err(SignatureError));
    assert_eq!(public.verify("labem", b"message", &signature), Err(SignatureError));
    assert_eq!(public.verify("labe", b"lmessage", &signature), Err(SignatureError));
    assert_eq!(other.verifying_key().verify("label", b"message", &signature), Err(SignatureError));
    for place in [0, 1, 65, 66, 67, 131] {
        let mut bytes = *signature.as_bytes();
        bytes[place] ^= 1;
        let changed = Signature::from_bytes(&bytes).unwrap();
        assert_eq!(public.verify("label", b"message", &changed), Err(SignatureError));
    }
    let zero = Signature::from_bytes(&[0; SIGNATURE_LEN]).unwrap();
    assert_eq!(public.verify("label", b"message", &zero), Err(SignatureError));
    assert_eq!(Signature::from_bytes(&[0; 131]).unwrap_err(), KeyError::Signature);
}

#[test]
fn the_same_point_has_another_fingerprint_in_another_role() {
    let key = IdentityKey::generate(&mut TestRng(5));
    let device = DevicePublic::from_bytes(key.verifying_key().as_bytes()).unwrap();
    assert_ne!(device.fingerprint(), key.verifying_key().fingerprint());
}

#[test]
fn signed_documents_keep_their_bytes_and_verify_under_their_key_only() {
    let mut rng = TestRng(6);
    let (alice, bob) = (Person::new(&mut rng, "alice@a.example"), Person::new(&mut rng, "bob@a.example"));
    let bytes = alice.certificate.to_bytes();
    let again = Signed::<DeviceCertificate>::from_bytes(&bytes).unwrap();
    assert_eq!(again, alice.certificate);
    let certificate = again.verify(&alice.identity_public).unwrap();
    assert_eq!(certificate, again.unverified().unwrap());
    assert_eq!(encode(&certificate), again.payload());
    assert_eq!(again.verify(&bob.identity_public), Err(VerifyError::Signature(SignatureError)));
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        if let Ok(changed) = Signed::<DeviceCertificate>::from_bytes(&changed) {
            assert!(changed.verify(&alice.identity_public).is_err(), "byte {place}");
        }
    }
}

#[test]
fn one_kind_of_document_does_not_pass_for_another() {
    let mut rng = TestRng(7);
    let key = IdentityKey::generate(&mut rng);
    let policy = PolicyKey::from_bytes(&key.to_bytes()).unwrap();
    let signed = retention(&policy, &key.verifying_key());
    // The same secret in two roles: the label still keeps the two kinds apart.
    let other = Signed::<DeviceCertificate>::from_bytes(&signed.to_bytes()).unwrap();
    assert_eq!(other.verify(&key.verifying_key()), Err(VerifyError::Signature(SignatureError)));
}

#[test]
fn device_certificates_of_other_versions_are_refused() {
    let mut rng = TestRng(8);
    let alice = Person::new(&mut rng, "alice@a.example");
    assert_eq!(alice.verified().address(), &alice.address);
    assert_eq!(alice.verified().device(), alice.device);
    assert_eq!(alice.verified().key(), &alice.key.verifying_key());
    assert_eq!(alice.verified().created_at_ms(), NOW);
    let mut certificate = alice.certificate.unverified().unwrap();
    certificate.suite = 7;
    let error = verify_device(&alice.identity_public, &Signed::sign(&certificate, &alice.identity)).unwrap_err();
    assert_eq!(error, CertificateError::Unsupported(Unsupported { version: VERSION, suite: 7 }));
}

#[test]
fn a_list_of_devices_has_one_form_and_counts_under_the_identity_only() {
    let mut rng = TestRng(11);
    let alice = Person::new(&mut rng, "alice@a.example");
    let phone = alice.another_device(&mut rng);
    let listed = |person: &Person| ListedDevice { device: person.device, key: person.key.verifying_key(), since_ms: 5 };
    let list = |devices| DeviceList::new(alice.address.clone(), NOW, NOW + DAY, devices);
    let judge =
        |list: &DeviceList, by: &Person| verify_devices(&alice.identity_public, &Signed::sign(list, &by.identity));

    let both = list(vec![listed(&phone), listed(&alice)]);
    let devices = judge(&both, &alice).unwrap();
    assert_eq!((devices.address(), devices.serial(), devices.expires_at_ms()), (&alice.address, NOW, NOW + DAY));
    for person in [&alice, &phone] {
        assert_eq!(devices.device(person.device).unwrap().key(), &person.key.verifying_key());
    }
    assert_eq!(devices.device(DeviceId::generate(&mut rng)), None);

    let stranger = Person::new(&mut rng, "alice@a.example");
    assert!(matches!(judge(&both, &stranger), Err(CertificateError::Verify(VerifyError::Signature(_)))));
    let mut turned = both.clone();
    turned.devices.reverse();
    let twice = list(vec![listed(&alice), listed(&alice)]);
    let many =
        (0..=MAX_LISTED_DEVICES).map(|_| ListedDevice { device: DeviceId::generate(&mut rng), ..listed(&alice) });
    for wrong in [turned, twice, list(Vec::new()), list(many.collect())] {
        assert_eq!(judge(&wrong, &alice), Err(CertificateError::Devices));
    }
    let other = Unsupported { version: 9, suite: SUITE };
    assert_eq!(judge(&DeviceList { version: 9, ..both }, &alice), Err(CertificateError::Unsupported(other)));
}

#[test]
fn retention_certificates_need_the_policy_key_and_the_time() {
    let mut rng = TestRng(9);
    let (policy, other) = (PolicyKey::generate(&mut rng), PolicyKey::generate(&mut rng));
    let identity = IdentityKey::generate(&mut rng).verifying_key();
    let signed = retention(&policy, &identity);
    let policy = policy.verifying_key();
    assert_eq!(verify_retention(&policy, &signed, NOW).unwrap().identity, identity);
    assert!(verify_retention(&policy, &signed, NOW + DAY - 1).is_ok());
    for time in [NOW - 1, NOW + DAY] {
        assert_eq!(verify_retention(&policy, &signed, time), Err(CertificateError::NotNow));
    }
    assert!(matches!(
        verify_retention(&other.verifying_key(), &signed, NOW),
        Err(CertificateError::Verify(VerifyError::Signature(_)))
    ));
}

#[test]
fn a_batch_verifies_as_a_whole_and_key_by_key() {
    let mut rng = TestRng(10);
    let alice = Person::new(&mut rng, "alice@a.example");
    let public = alice.key.verifying_key();
    let (batch, secrets) =
        generate_prekeys(&mut rng, &alice.key, alice.device, PrekeyKind::OneTime, 13, NOW, NOW + DAY);
    let header = batch.verify(&public).unwrap();
    assert_eq!((header.count, header.kind, header.device), (13, PrekeyKind::OneTime, alice.device));
    assert_eq!(secrets.len(), 13);
    let verified = alice.verified().with_batch(&batch.header).unwrap();
    assert_eq!(verified.header(), &header);
    for index in 0..13 {
        let prekey = batch.prekey(index).unwrap();
        let recipient = verified.with_prekey(&prekey, NOW).unwrap();
        assert_eq!(recipient.prekey(), PrekeyRef { batch: header.batch, index });
        assert_eq!(recipient.device(), &alice.verified());
        assert_eq!(recipient, alice.verified().with_prekey(&prekey, NOW).unwrap());
    }
    assert!(batch.prekey(13).is_none());
    let (medium, _) = generate_prekeys(&mut rng, &alice.key, alice.device, PrekeyKind::MediumTerm, 0, NOW, NOW + DAY);
    assert_eq!(medium.verify(&public).unwrap().count, 1);
}

#[test]
fn a_batch_that_is_not_what_was_signed_is_refused() {
    let mut rng = TestRng(11);
    let (alice, bob) = (Person::new(&mut rng, "alice@a.example"), Person::new(&mut rng, "bob@a.example"));
    let public = alice.key.verifying_key();
    assert_eq!(alice.batch.verify(&bob.key.verifying_key()), Err(PrekeyError::Verify(SignatureError.into())));
    let mut fewer = alice.batch.clone();
    fewer.keys.pop();
    assert_eq!(fewer.verify(&public), Err(PrekeyError::Count));
    let mut swapped = alice.batch.clone();
    swapped.keys.swap(0, 1);
    assert_eq!(swapped.verify(&public), Err(PrekeyError::Root));
    let mut replaced = alice.batch.clone();
    replaced.keys[1] = bob.batch.keys[1].clone();
    assert_eq!(replaced.verify(&public), Err(PrekeyError::Root));

    let sign = |change: &dyn Fn(&mut PrekeyBatchHeader)| {
        let mut header = alice.batch.header.unverified().unwrap();
        change(&mut header);
        PrekeyBatch { header: Signed::sign(&header, &alice.key), keys: alice.batch.keys.clone() }
    };
    assert_eq!(sign(&|header| header.count = 0).verify(&public), Err(PrekeyError::Count));
    assert_eq!(sign(&|header| header.count = 5000).verify(&public), Err(PrekeyError::Count));
    assert_eq!(
        sign(&|header| header.version = 9).verify(&public),
        Err(PrekeyError::Unsupported(Unsupported { version: 9, suite: 1 }))
    );
}

#[test]
fn a_prekey_that_does_not_belong_is_refused() {
    let mut rng = TestRng(12);
    let (alice, bob) = (Person::new(&mut rng, "alice@a.example"), Person::new(&mut rng, "bob@a.example"));
    let device = alice.verified();
    let good = alice.batch.prekey(1).unwrap();
    let refused = |prekey: &Prekey, now| device.with_prekey(prekey, now).unwrap_err();

    // Of another device: the signature does not fit. Signed by this device for another one: said so.
    assert_eq!(refused(&bob.batch.prekey(1).unwrap(), NOW), PrekeyError::Verify(SignatureError.into()));
    let mut header = alice.batch.header.unverified().unwrap();
    header.device = bob.device;
    let foreign = Prekey { header: Signed::sign(&header, &alice.key), ..good.clone() };
    assert_eq!(refused(&foreign, NOW), PrekeyError::OtherDevice);

    // Another key, another place, a wrong, short or long proof.
    assert_eq!(refused(&Prekey { key: bob.batch.keys[1].clone(), ..good.clone() }, NOW), PrekeyError::Proof);
    for index in [0, 2, 3, u32::MAX] {
        assert_eq!(refused(&Prekey { index, ..good.clone() }, NOW), PrekeyError::Proof);
    }
    let mut wrong = good.clone();
    wrong.proof[0][0] ^= 1;
    assert_eq!(refused(&wrong, NOW), PrekeyError::Proof);
    let mut short = good.clone();
    short.proof.pop();
    assert_eq!(refused(&short, NOW), PrekeyError::Proof);
    let mut long = good.clone();
    long.proof.push([0; 32]);
    assert_eq!(refused(&long, NOW), PrekeyError::Proof);

    assert!(device.with_prekey(&good, NOW + DAY - 1).is_ok());
    assert_eq!(refused(&good, NOW + DAY), PrekeyError::Expired);
}

#[test]
fn a_medium_term_prekey_is_used_in_its_week() {
    let mut rng = TestRng(13);
    let alice = Person::new(&mut rng, "alice@a.example");
    let device = alice.verified();
    let end = NOW + 2 * MEDIUM_TERM_MS + DAY;
    let (batch, _) = generate_prekeys(&mut rng, &alice.key, alice.device, PrekeyKind::MediumTerm, 3, NOW, end);
    let at = |index, now| device.with_prekey(&batch.prekey(index).unwrap(), now).err();
    let week = |n: u64| NOW + n * MEDIUM_TERM_MS;
    // A device whose clock is ahead can be written to all the same.
    for now in [0, NOW, week(1) - 1, week(1) + CLOCK_TOLERANCE_MS - 1] {
        assert_eq!(at(0, now), None);
    }
    assert_eq!(at(0, week(1) + CLOCK_TOLERANCE_MS), Some(PrekeyError::Expired));
    assert_eq!(at(1, week(1) - CLOCK_TOLERANCE_MS - 1), Some(PrekeyError::NotYet));
    for now in [week(1) - CLOCK_TOLERANCE_MS, week(2) - 1] {
        assert_eq!(at(1, now), None);
    }
    assert_eq!((at(2, week(1)), at(2, week(2))), (Some(PrekeyError::NotYet), None));
    assert_eq!(at(2, end + CLOCK_TOLERANCE_MS), Some(PrekeyError::Expired), "with the batch");
}
