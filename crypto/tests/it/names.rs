//! Addresses, identifiers, fingerprints and safety numbers: what people read and type.

use crate::common::TestRng;
use sotto_crypto::*;

#[test]
fn addresses_parse_into_one_form() {
    let address = Address::parse("Alice.B_1+x-y@Chat.ACME.example").unwrap();
    assert_eq!(address.as_str(), "alice.b_1+x-y@chat.acme.example");
    assert_eq!(address.local(), "alice.b_1+x-y");
    assert_eq!(address.domain(), Domain::parse("chat.acme.example").unwrap());
    assert_eq!(address.domain_str(), "chat.acme.example");
    assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
    assert_eq!(Address::new("alice.b_1+x-y", &address.domain()).unwrap(), address);
    assert!(Address::parse("a@localhost").is_ok());
    assert!(Address::parse(&format!("{}@{}", "a".repeat(64), "b.example")).is_ok());
    assert!(Address::parse("1@2.3a").is_ok());
}

#[test]
fn bad_addresses_are_refused_for_their_reason() {
    for text in ["", "alice", "a@b@c.example", "@@"] {
        assert_eq!(Address::parse(text), Err(AddressError::Shape), "{text}");
    }
    let long = "a".repeat(65);
    for local in ["", ".a", "a.", "a b", "ä", "a/b", "a\0", "\u{212a}", long.as_str()] {
        assert_eq!(Address::parse(&format!("{local}@a.example")), Err(AddressError::Local), "{local}");
        assert_eq!(Address::new(local, &Domain::parse("a.example").unwrap()), Err(AddressError::Local));
    }
    let label = "a".repeat(64);
    let many = "a.".repeat(126) + "ab";
    for domain in
        ["", ".", "a.", ".a", "a..b", "-a.example", "a-.example", "a_b", "127.0.0.1", "[::1]", "a b", &label, &many]
    {
        assert_eq!(Address::parse(&format!("alice@{domain}")), Err(AddressError::Domain), "{domain}");
        assert_eq!(Domain::parse(domain), Err(AddressError::Domain), "{domain}");
    }
    assert_eq!(Address::new("a@b.example,c", &Domain::parse("a.example").unwrap()), Err(AddressError::Local));
    let domain = "a.".repeat(125) + "ab";
    assert!(Domain::parse(&domain).is_ok());
    assert_eq!(Address::parse(&format!("alice@{domain}")), Err(AddressError::TooLong(258)));
}

#[test]
fn capitals_are_for_people_and_not_for_the_wire() {
    assert!(decode_strict::<Address>(&encode(&"alice@a.example")).is_ok());
    assert!(decode_strict::<Address>(&encode(&"Alice@a.example")).is_err());
    assert!(decode_strict::<Domain>(&encode(&"A.example")).is_err());
}

#[test]
fn identifiers_are_32_digits() {
    let mut rng = TestRng(20);
    let id = MessageId::generate(&mut rng);
    let text = id.to_string();
    assert_eq!(text.len(), 32);
    assert_eq!(text.parse::<MessageId>(), Ok(id));
    assert_eq!(MessageId::from_bytes(*id.as_bytes()), id);
    assert_eq!(DeviceId::from_bytes([0xab; 16]).to_string(), "ab".repeat(16));
    for bad in ["", "ab", &"AB".repeat(16), &"ab".repeat(17), &"zz".repeat(16)] {
        assert_eq!(bad.parse::<BlobId>(), Err(IdError), "{bad}");
    }
    assert!(decode_strict::<BatchId>(&encode(&minicbor::bytes::ByteVec::from(vec![0; 15]))).is_err());
}

#[test]
fn fingerprints_are_read_and_typed() {
    let fingerprint = PolicyKey::generate(&mut TestRng(21)).verifying_key().fingerprint();
    let text = fingerprint.to_string();
    assert_eq!(text.len(), 52);
    assert!(text.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b)));
    assert_eq!(text.parse::<Fingerprint>(), Ok(fingerprint));
    assert_eq!(text.to_uppercase().parse::<Fingerprint>(), Ok(fingerprint));
    for bad in ["", "a", &text[1..], &format!("{text}a"), &text.replace(char::is_alphabetic, "0"), &"7".repeat(52)] {
        assert_eq!(bad.parse::<Fingerprint>(), Err(FingerprintError), "{bad}");
    }
    assert_eq!(Fingerprint::from_bytes(*fingerprint.as_bytes()), fingerprint);
}

#[test]
fn both_people_see_the_same_safety_number_and_it_covers_everything() {
    let mut rng = TestRng(22);
    let (alice, bob) = (Address::parse("alice@a.example").unwrap(), Address::parse("bob@b.example").unwrap());
    let [a, b, c] = [(); 3].map(|()| IdentityKey::generate(&mut rng).verifying_key());
    let number = safety_number(&alice, &a, &bob, &b);
    assert_eq!(number, safety_number(&bob, &b, &alice, &a));
    let text = number.to_string();
    let groups: Vec<_> = text.split(' ').collect();
    assert_eq!(groups.len(), 12);
    assert!(groups.iter().all(|group| group.len() == 5 && group.bytes().all(|b| b.is_ascii_digit())), "{text}");
    for other in [
        safety_number(&alice, &a, &bob, &c),
        safety_number(&alice, &c, &bob, &b),
        safety_number(&alice, &b, &bob, &a),
        safety_number(&bob, &a, &bob, &b),
    ] {
        assert_ne!(other, number);
    }
}
