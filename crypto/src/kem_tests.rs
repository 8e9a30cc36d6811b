//! Every implementation of the suite derives what the vectors say: RFC 9180's and our own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use data_encoding::HEXLOWER;

use super::*;

struct Vector(serde_json::Value);

impl Vector {
    /// RFC 9180's vector for this suite; see `vectors/README.md`.
    fn rfc_9180() -> Self {
        Self(serde_json::from_str(include_str!("../vectors/rfc9180-p521-base.json")).unwrap())
    }

    /// The same in PSK mode.
    fn rfc_9180_psk() -> Self {
        Self(serde_json::from_str(include_str!("../vectors/rfc9180-p521-psk.json")).unwrap())
    }

    /// Our own, of which a part is looked at here.
    fn derivation() -> Self {
        Self(serde_json::from_str(include_str!("../vectors/derivation.json")).unwrap())
    }

    fn bytes(&self, pointer: &str) -> Vec<u8> {
        HEXLOWER.decode(self.0.pointer(pointer).unwrap().as_str().unwrap().as_bytes()).unwrap()
    }

    fn array<const N: usize>(&self, pointer: &str) -> [u8; N] {
        self.bytes(pointer).try_into().unwrap()
    }

    fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).unwrap().as_str().unwrap()
    }
}

/// The same test for each implementation that this build has.
macro_rules! for_each_implementation {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            #[test]
            fn rustcrypto() {
                super::$name::<crate::suite::rustcrypto::RustCrypto>();
            }

            #[cfg(feature = "aws-lc")]
            #[test]
            fn aws_lc() {
                super::$name::<crate::suite::aws_lc::AwsLc>();
            }
        })+
    };
}

for_each_implementation!(
    what_rfc_9180_says,
    what_rfc_9180_says_with_a_psk,
    what_is_handed_over_opens_with_its_psk_and_info_only,
    every_encapsulation_of_rfc_9180,
    what_our_vectors_say,
    wraps_open_with_their_key_and_info_only,
    keys_off_the_curve_are_refused,
    commitments_are_those_of_the_vector,
);

#[test]
fn the_identifiers_are_those_of_the_vector() {
    let vector = Vector::rfc_9180();
    for (name, id) in [("/kem_id", KEM_ID), ("/kdf_id", KDF_ID), ("/aead_id", AEAD_ID), ("/mode", 0)] {
        assert_eq!(vector.0.pointer(name).unwrap().as_u64(), Some(u64::from(id)), "{name}");
    }
}

fn what_rfc_9180_says<P: Primitives>() {
    let vector = Vector::rfc_9180();
    let (ephemeral_public, recipient_public) = (vector.array("/pkEm"), vector.array("/pkRm"));
    assert_eq!(vector.array("/enc"), ephemeral_public);
    let ephemeral = P::agreement_from_bytes(&vector.array("/skEm")).unwrap();
    let recipient = P::agreement_from_bytes(&vector.array("/skRm")).unwrap();
    assert_eq!(P::agreement_public(&ephemeral), ephemeral_public);
    assert_eq!(P::agreement_public(&recipient), recipient_public);

    let dh = P::agree(&ephemeral, &recipient_public).unwrap();
    assert_eq!(*dh, *P::agree(&recipient, &ephemeral_public).unwrap());
    let shared_secret = extract_and_expand::<P>(dh.as_slice(), &ephemeral_public, &recipient_public).unwrap();
    assert_eq!(shared_secret.to_vec(), vector.bytes("/shared_secret"));
    let schedule = key_schedule::<P>(Mode::Base, &shared_secret, &vector.bytes("/info")).unwrap();
    assert_eq!(schedule.key.to_vec(), vector.bytes("/key"));
    assert_eq!(schedule.base_nonce.to_vec(), vector.bytes("/base_nonce"));

    let aad = vector.bytes("/encryptions/0/aad");
    let (plain, sealed) = (vector.bytes("/encryptions/0/pt"), vector.bytes("/encryptions/0/ct"));
    let mut buffer = plain.clone();
    P::aead_seal(&schedule.key, &schedule.base_nonce, &aad, &mut buffer).unwrap();
    assert_eq!(buffer, sealed);
    let clear = P::aead_open(&schedule.key, &schedule.base_nonce, &aad, &sealed).unwrap();
    assert_eq!(*clear, plain);
}

fn what_rfc_9180_says_with_a_psk<P: Primitives>() {
    let vector = Vector::rfc_9180_psk();
    let (enc, point) = (vector.array("/enc"), vector.array("/pkRm"));
    let recipient = P::agreement_from_bytes(&vector.array("/skRm")).unwrap();
    let dh = P::agree(&recipient, &enc).unwrap();
    let shared_secret = extract_and_expand::<P>(dh.as_slice(), &enc, &point).unwrap();
    assert_eq!(shared_secret.to_vec(), vector.bytes("/shared_secret"));
    let (psk, id, info) = (vector.bytes("/psk"), vector.bytes("/psk_id"), vector.bytes("/info"));
    let mode = Mode::Psk { psk: &psk, id: &id };
    let schedule = key_schedule::<P>(mode, &shared_secret, &info).unwrap();
    assert_eq!(schedule.key.to_vec(), vector.bytes("/key"));
    assert_eq!(schedule.base_nonce.to_vec(), vector.bytes("/base_nonce"));
    let aad = vector.bytes("/encryptions/0/aad");
    let clear = P::aead_open(&schedule.key, &schedule.base_nonce, &aad, &vector.bytes("/encryptions/0/ct")).unwrap();
    assert_eq!(*clear, vector.bytes("/encryptions/0/pt"));
}

fn what_is_handed_over_opens_with_its_psk_and_info_only<P: Primitives>() {
    let vector = Vector::rfc_9180_psk();
    let (enc, point) = (vector.array("/enc"), vector.array("/pkRm"));
    let ephemeral = P::agreement_from_bytes(&vector.array("/skEm")).unwrap();
    let recipient = P::agreement_from_bytes(&vector.array("/skRm")).unwrap();
    let sealed = seal_psk::<P>(&ephemeral, &point, b"info", (b"psk", b"id"), b"handed over").unwrap();
    let open = |info: &[u8], psk: &[u8], id: &[u8]| open_psk::<P>(&recipient, &enc, info, (psk, id), &sealed);
    assert_eq!(open(b"info", b"psk", b"id").unwrap().as_slice(), b"handed over");
    assert!(open(b"other", b"psk", b"id").is_err());
    assert!(open(b"info", b"other", b"id").is_err());
    assert!(open(b"info", b"psk", b"other").is_err());
    assert!(open_psk::<P>(&ephemeral, &enc, b"info", (b"psk", b"id"), &sealed).is_err());
}

/// The encapsulation does not depend on what comes after it, so that all vectors of the KEM apply that have no authentication.
fn every_encapsulation_of_rfc_9180<P: Primitives>() {
    let all: Vec<serde_json::Value> = serde_json::from_str(include_str!("../vectors/rfc9180-p521-kem.json")).unwrap();
    assert_eq!(all.len(), 16);
    for vector in all.into_iter().map(Vector) {
        let (enc, point) = (vector.array("/enc"), vector.array("/pkRm"));
        let recipient = P::agreement_from_bytes(&vector.array("/skRm")).unwrap();
        let ephemeral = P::agreement_from_bytes(&vector.array("/skEm")).unwrap();
        assert_eq!((P::agreement_public(&ephemeral), P::agreement_public(&recipient)), (enc, point));
        for dh in [P::agree(&recipient, &enc).unwrap(), P::agree(&ephemeral, &point).unwrap()] {
            let shared_secret = extract_and_expand::<P>(dh.as_slice(), &enc, &point).unwrap();
            assert_eq!(shared_secret.to_vec(), vector.bytes("/shared_secret"));
        }
    }
}

fn what_our_vectors_say<P: Primitives>() {
    let vector = Vector::derivation();
    let (enc, point) = (vector.array("/wrap/ephemeral"), vector.array("/wrap/prekey"));
    let ephemeral = P::agreement_from_bytes(&vector.array("/wrap/ephemeral_secret")).unwrap();
    let prekey = P::agreement_from_bytes(&vector.array("/wrap/prekey_secret")).unwrap();
    assert_eq!((P::agreement_public(&ephemeral), P::agreement_public(&prekey)), (enc, point));
    let dh = P::agree(&prekey, &enc).unwrap();
    assert_eq!(dh.to_vec(), vector.bytes("/wrap/dh"));
    let shared_secret = extract_and_expand::<P>(dh.as_slice(), &enc, &point).unwrap();
    assert_eq!(shared_secret.to_vec(), vector.bytes("/wrap/shared_secret"));
    let info = vector.bytes("/wrap/info");
    let schedule = key_schedule::<P>(Mode::Base, &shared_secret, &info).unwrap();
    assert_eq!(schedule.key.to_vec(), vector.bytes("/wrap/key"));
    assert_eq!(schedule.base_nonce.to_vec(), vector.bytes("/wrap/base_nonce"));
    let (content_key, wrapped) = (vector.array("/wrap/content_key"), vector.array("/wrap/wrap"));
    assert_eq!(wrap::<P>(&ephemeral, &enc, &point, &info, &content_key).unwrap(), wrapped);
    assert_eq!(*unwrap::<P>(&prekey, &enc, &info, &wrapped).unwrap(), content_key);

    let key = P::signing_from_bytes(&vector.array("/signature/secret")).unwrap();
    let public = P::signing_public(&key);
    assert_eq!(public.to_vec(), vector.bytes("/signature/public"));
    let signed = vector.bytes("/signature/signed_bytes");
    P::verify(&public, &[&signed], &vector.array("/signature/signature")).unwrap();
    P::verify(&public, &[&signed], &P::sign(&key, &[&signed]).unwrap()).unwrap();

    for person in ["/safety_number/a", "/safety_number/b"] {
        let address = vector.text(&format!("{person}/address"));
        let identity = vector.bytes(&format!("{person}/identity"));
        let digest = P::hash(&[b"sotto/2 safety number\0", address.as_bytes(), &[0], &identity]);
        assert_eq!(digest.to_vec(), vector.bytes(&format!("{person}/digest")));
    }
    for place in 0..4 {
        let label = vector.text(&format!("/fingerprints/{place}/label"));
        let key = vector.bytes(&format!("/fingerprints/{place}/key"));
        let digest = P::short_hash(&[label.as_bytes(), &key]);
        assert_eq!(digest.to_vec(), vector.bytes(&format!("/fingerprints/{place}/digest")));
    }
}

fn commitments_are_those_of_the_vector<P: Primitives>() {
    let vector = Vector::derivation();
    let mut commitment = [0; 32];
    P::expand(&vector.array("/commitment/prk"), &[vector.text("/commitment/info").as_bytes()], &mut commitment)
        .unwrap();
    assert_eq!(commitment.to_vec(), vector.bytes("/commitment/commitment"));
    let key = crate::message::ContentKey(Zeroizing::new(vector.array("/commitment/content_key")));
    assert_eq!(key.commitment().unwrap(), commitment);
}

#[test]
fn padding_is_that_of_the_vector() {
    let vector = Vector::derivation();
    for case in vector.0.pointer("/padding").unwrap().as_array().unwrap() {
        let number = |name: &str| usize::try_from(case[name].as_u64().unwrap()).unwrap();
        assert_eq!(crate::padding::padme(number("length")), number("padded"));
    }
}

#[test]
fn the_info_of_a_wrap_is_that_of_the_vector() {
    use crate::{Address, BatchId, DeviceId, Domain, EphemeralPublic, MessageId, PrekeyRef, SealedHeader};
    let vector = Vector::derivation();
    let header = SealedHeader {
        version: 2,
        suite: 1,
        network: Domain::parse(vector.text("/wrap/network")).unwrap(),
        message: MessageId::from_bytes(vector.array("/wrap/message")),
        sender: Address::parse(vector.text("/wrap/sender")).unwrap(),
        device: DeviceId::from_bytes(vector.array("/wrap/sender_device")),
        ephemeral: EphemeralPublic::from_bytes(&vector.bytes("/wrap/ephemeral")).unwrap(),
        commitment: [0; 32],
    };
    let recipient = Address::parse(vector.text("/wrap/recipient")).unwrap();
    let device = DeviceId::from_bytes(vector.array("/wrap/recipient_device"));
    let prekey = PrekeyRef { batch: BatchId::from_bytes(vector.array("/wrap/batch")), index: 0 };
    assert_eq!(crate::message::wrap_info(&header, &recipient, device, prekey), vector.bytes("/wrap/info"));
}

fn wraps_open_with_their_key_and_info_only<P: Primitives>() {
    let vector = Vector::rfc_9180();
    let (enc, recipient_public) = (vector.array("/pkEm"), vector.array("/pkRm"));
    let ephemeral = P::agreement_from_bytes(&vector.array("/skEm")).unwrap();
    let recipient = P::agreement_from_bytes(&vector.array("/skRm")).unwrap();
    let content_key = [7; KEY_LEN];
    let wrapped = wrap::<P>(&ephemeral, &enc, &recipient_public, b"info", &content_key).unwrap();
    assert_eq!(*unwrap::<P>(&recipient, &enc, b"info", &wrapped).unwrap(), content_key);
    assert_eq!(unwrap::<P>(&recipient, &enc, b"other", &wrapped), Err(Failed));
    assert_eq!(unwrap::<P>(&recipient, &recipient_public, b"info", &wrapped), Err(Failed));
    assert_eq!(unwrap::<P>(&ephemeral, &enc, b"info", &wrapped), Err(Failed));
}

fn keys_off_the_curve_are_refused<P: Primitives>() {
    let vector = Vector::rfc_9180();
    let ephemeral = P::agreement_from_bytes(&vector.array("/skEm")).unwrap();
    let enc = vector.array("/pkEm");
    let mut off_curve: [u8; POINT_LEN] = vector.array("/pkRm");
    off_curve[POINT_LEN - 1] ^= 1;
    assert!(wrap::<P>(&ephemeral, &enc, &off_curve, b"", &[0; KEY_LEN]).is_err());
    assert!(unwrap::<P>(&ephemeral, &off_curve, b"", &[0; WRAP_LEN]).is_err());
    assert!(wrap::<P>(&ephemeral, &enc, &[0; POINT_LEN], b"", &[0; KEY_LEN]).is_err());
}
