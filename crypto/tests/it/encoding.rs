//! Every encoder and decoder: values round trip, and only the one encoding of a value is accepted.

use std::fmt::Debug;
use std::sync::LazyLock;

use crate::common::{NOW, Person, TestRng};
use minicbor::{Decode, Encode};
use proptest::prelude::*;
use sotto_crypto::*;

/// Keys are slow to make, so that a few serve all cases.
static PEOPLE: LazyLock<Vec<Person>> = LazyLock::new(|| {
    let mut rng = TestRng(40);
    (0..3).map(|number| Person::new(&mut rng, &format!("user{number}@a.example"))).collect()
});

fn round_trip<T: Encode<()> + for<'b> Decode<'b, ()> + PartialEq + Debug>(value: &T) -> Vec<u8> {
    let bytes = encode(value);
    assert_eq!(&decode_strict::<T>(&bytes).unwrap(), value);
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(matches!(decode_strict::<T>(&longer), Err(DecodeError::TrailingBytes(1))));
    bytes
}

/// Whatever decodes has been canonical.
fn canonical_or_refused<T: Encode<()> + for<'b> Decode<'b, ()>>(bytes: &[u8]) {
    if let Ok(value) = decode_strict::<T>(bytes) {
        assert_eq!(encode(&value), bytes);
    }
}

fn every_type(bytes: &[u8]) {
    canonical_or_refused::<Address>(bytes);
    canonical_or_refused::<Domain>(bytes);
    canonical_or_refused::<DeviceId>(bytes);
    canonical_or_refused::<Fingerprint>(bytes);
    canonical_or_refused::<Signature>(bytes);
    canonical_or_refused::<IdentityPublic>(bytes);
    canonical_or_refused::<PrekeyPublic>(bytes);
    canonical_or_refused::<WrappedKey>(bytes);
    canonical_or_refused::<Signed<DeviceCertificate>>(bytes);
    canonical_or_refused::<DeviceCertificate>(bytes);
    canonical_or_refused::<RetentionCertificate>(bytes);
    canonical_or_refused::<PrekeyBatchHeader>(bytes);
    canonical_or_refused::<PrekeyBatch>(bytes);
    canonical_or_refused::<Prekey>(bytes);
    canonical_or_refused::<PrekeyRef>(bytes);
    canonical_or_refused::<PrekeyKind>(bytes);
    canonical_or_refused::<SealedHeader>(bytes);
    canonical_or_refused::<Wrap>(bytes);
}

fn address() -> impl Strategy<Value = Address> {
    ("[a-z0-9_+-][a-z0-9._+-]{0,20}[a-z0-9_+-]", "[a-z0-9]{1,10}(-[a-z0-9]{1,5})?(\\.[a-z]{1,10}){0,3}\\.[a-z]{1,4}")
        .prop_map(|(local, domain)| Address::parse(&format!("{local}@{domain}")).unwrap())
}

fn person() -> impl Strategy<Value = &'static Person> {
    (0..3_usize).prop_map(|number| &PEOPLE[number])
}

fn wrapped_key() -> impl Strategy<Value = WrappedKey> {
    prop::collection::vec(any::<u8>(), 48).prop_map(|bytes| WrappedKey::from_bytes(&bytes).unwrap())
}

fn prekey_ref() -> impl Strategy<Value = PrekeyRef> {
    (any::<[u8; 16]>(), any::<u32>()).prop_map(|(batch, index)| PrekeyRef { batch: BatchId::from_bytes(batch), index })
}

fn header() -> impl Strategy<Value = SealedHeader> {
    (any::<(u8, u16, [u8; 16], [u8; 16], [u8; 32])>(), address(), person()).prop_map(
        |((version, suite, message, device, commitment), sender, person)| SealedHeader {
            version,
            suite,
            network: sender.domain(),
            message: MessageId::from_bytes(message),
            sender,
            device: DeviceId::from_bytes(device),
            ephemeral: EphemeralPublic::from_bytes(person.batch.keys[0].as_bytes()).unwrap(),
            commitment,
        },
    )
}

fn certificate() -> impl Strategy<Value = DeviceCertificate> {
    (any::<(u8, u16, [u8; 16], u64)>(), address(), person()).prop_map(
        |((version, suite, device, created_at_ms), address, person)| DeviceCertificate {
            version,
            suite,
            address,
            device: DeviceId::from_bytes(device),
            key: person.key.verifying_key(),
            created_at_ms,
        },
    )
}

fn batch_header() -> impl Strategy<Value = PrekeyBatchHeader> {
    (any::<(u8, u16, [u8; 16], [u8; 16], bool, u32, [u8; 32], u64, u64)>()).prop_map(
        |(version, suite, device, batch, one_time, count, root, created_at_ms, expires_at_ms)| PrekeyBatchHeader {
            version,
            suite,
            device: DeviceId::from_bytes(device),
            batch: BatchId::from_bytes(batch),
            kind: if one_time { PrekeyKind::OneTime } else { PrekeyKind::MediumTerm },
            count,
            root,
            created_at_ms,
            expires_at_ms,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn addresses(address in address()) {
        round_trip(&address);
        round_trip(&address.domain());
        prop_assert_eq!(Address::parse(&address.as_str().to_uppercase()).unwrap(), address);
    }

    #[test]
    fn any_text_parses_to_itself_or_not_at_all(text in "\\PC{0,40}") {
        if let Ok(address) = Address::parse(&text) {
            prop_assert_eq!(address.as_str(), text.to_ascii_lowercase());
            prop_assert_eq!(format!("{}@{}", address.local(), address.domain()), address.as_str());
        }
        if let Ok(fingerprint) = text.parse::<Fingerprint>() {
            prop_assert_eq!(fingerprint.to_string(), text.to_ascii_lowercase());
        }
        if let Ok(id) = text.parse::<DeviceId>() {
            prop_assert_eq!(id.to_string(), text);
        }
    }

    #[test]
    fn small_values(id in any::<[u8; 16]>(), digest in any::<[u8; 32]>(), key in wrapped_key(), prekey in prekey_ref()) {
        round_trip(&DeviceId::from_bytes(id));
        round_trip(&MessageId::from_bytes(id));
        round_trip(&BatchId::from_bytes(id));
        round_trip(&BlobId::from_bytes(id));
        let fingerprint = Fingerprint::from_bytes(digest);
        round_trip(&fingerprint);
        prop_assert_eq!(fingerprint.to_string().parse::<Fingerprint>().unwrap(), fingerprint);
        round_trip(&key);
        round_trip(&prekey);
    }

    #[test]
    fn headers_and_wraps(header in header(), key in wrapped_key(), prekey in prekey_ref()) {
        let wrap = Wrap { address: header.sender.clone(), device: header.device, prekey, key };
        round_trip(&header);
        round_trip(&wrap);
    }

    #[test]
    fn documents(certificate in certificate(), batch in batch_header(), person in person()) {
        round_trip(&RetentionCertificate {
            version: certificate.version,
            suite: certificate.suite,
            network: certificate.address.domain(),
            address: certificate.address.clone(),
            identity: person.identity_public.clone(),
            issued_at_ms: batch.created_at_ms,
            expires_at_ms: batch.expires_at_ms,
        });
        round_trip(&certificate);
        round_trip(&batch);
        round_trip(&person.certificate);
        round_trip(&person.identity_public);
        round_trip(&person.batch);
        round_trip(&person.batch.prekey(batch.count % 3).unwrap());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        every_type(&bytes);
    }

    #[test]
    fn changed_encodings_are_refused_or_canonical(
        header in header(),
        certificate in certificate(),
        batch in batch_header(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        kind in 0..4_u8,
    ) {
        let prekey = encode(&PEOPLE[0].batch.prekey(1).unwrap());
        let signed = encode(&PEOPLE[0].certificate);
        for mut bytes in [encode(&header), encode(&certificate), encode(&batch), prekey, signed] {
            let place = place.index(bytes.len());
            match kind {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                2 => drop(bytes.remove(place)),
                _ => bytes.truncate(place),
            }
            every_type(&bytes);
        }
    }

    #[test]
    fn arbitrary_bodies_and_wraps_do_not_open(
        header in header(),
        body in prop::collection::vec(any::<u8>(), 0..300),
        key in wrapped_key(),
        prekey in prekey_ref(),
    ) {
        let me = &PEOPLE[0];
        let header = SealedHeader { version: VERSION, suite: SUITE, ..header };
        let error = open(&header, &body, (&me.address, me.device), prekey, &me.secrets[0], &key).unwrap_err();
        prop_assert_eq!(error, OpenError::Unopenable);
    }
}

#[test]
fn other_encodings_of_the_same_value_are_refused() {
    let prekey = PrekeyRef { batch: BatchId::from_bytes([7; 16]), index: 5 };
    let bytes = round_trip(&prekey);
    let with = |head: &[u8], tail: &[u8]| {
        let mut bytes = head.to_vec();
        bytes.push(0x50);
        bytes.extend_from_slice(&[7; 16]);
        bytes.extend_from_slice(tail);
        bytes
    };
    assert_eq!(with(&[0x82], &[0x05]), bytes);
    for other in [
        // The index in two bytes, the array's length in two, an indefinite array, an unknown third field.
        with(&[0x82], &[0x18, 0x05]),
        with(&[0x98, 0x02], &[0x05]),
        with(&[0x9f], &[0x05, 0xff]),
        with(&[0x83], &[0x05, 0xf6]),
    ] {
        assert_eq!(decode_strict::<PrekeyRef>(&other), Err(DecodeError::NotDeterministic), "{other:02x?}");
    }
    // Too few fields, a negative or too large index, a map.
    for other in [with(&[0x81], &[]), with(&[0x82], &[0x20]), with(&[0x82], &[0x1b, 1, 0, 0, 0, 0, 0, 0, 0])] {
        assert!(matches!(decode_strict::<PrekeyRef>(&other), Err(DecodeError::Malformed(_))), "{other:02x?}");
    }
}

#[test]
fn hostile_nesting_and_lengths_are_harmless() {
    every_type(&vec![0x81; 100_000]);
    every_type(&vec![0x9f; 100_000]);
    every_type(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    every_type(&[0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let mut proof = encode(&PEOPLE[0].batch.prekey(0).unwrap());
    proof.truncate(proof.len() - PEOPLE[0].batch.prekey(0).unwrap().proof.len() * 34 - 1);
    proof.extend_from_slice(&[0x9b, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff]);
    assert!(decode_strict::<Prekey>(&proof).is_err());
    assert_eq!(PEOPLE[0].batch.header.unverified().unwrap().created_at_ms, NOW);
}
