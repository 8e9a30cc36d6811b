//! Both implementations against each other: each takes what the other made, and both refuse the same.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::aws_lc::AwsLc;
use super::form::ORDER;
use super::rustcrypto::RustCrypto;
use super::*;
use crate::common::TestRng;
use crate::kem;

/// The prime of the field: 2^521 - 1.
const PRIME: [u8; SCALAR_LEN] = {
    let mut prime = [0xff; SCALAR_LEN];
    prime[0] = 0x01;
    prime
};

fn add(a: &[u8], b: u8) -> [u8; SCALAR_LEN] {
    let mut sum: [u8; SCALAR_LEN] = a.try_into().unwrap();
    let mut carry = u16::from(b);
    for byte in sum.iter_mut().rev() {
        carry += u16::from(*byte);
        *byte = u8::try_from(carry & 0xff).unwrap();
        carry >>= 8;
    }
    sum
}

fn sum(a: &[u8], b: &[u8]) -> [u8; SCALAR_LEN] {
    let mut sum = [0; SCALAR_LEN];
    let mut carry = 0;
    for ((byte, a), b) in sum.iter_mut().zip(a).zip(b).rev() {
        carry += u16::from(*a) + u16::from(*b);
        *byte = u8::try_from(carry & 0xff).unwrap();
        carry >>= 8;
    }
    sum
}

fn minus_one(a: &[u8; SCALAR_LEN]) -> [u8; SCALAR_LEN] {
    let mut difference = *a;
    *difference.last_mut().unwrap() -= 1;
    difference
}

/// A scalar that is in range: below 2^520.
fn scalar(seed: u64) -> [u8; SCALAR_LEN] {
    use rand_core::Rng;
    let mut bytes = [0; SCALAR_LEN];
    TestRng(seed).fill_bytes(&mut bytes);
    bytes[0] = 0;
    bytes
}

fn agreement<P: Primitives>(seed: u64) -> P::AgreementSecret {
    P::agreement_from_bytes(&scalar(seed)).unwrap()
}

fn public(seed: u64) -> [u8; POINT_LEN] {
    RustCrypto::agreement_public(&agreement::<RustCrypto>(seed))
}

/// Asks both, which have to say the same; returns what they say.
#[allow(clippy::needless_pass_by_value, reason = "shorter to call")]
fn both<T: PartialEq + core::fmt::Debug>(aws_lc: Result<T, Failed>, rustcrypto: Result<T, Failed>) -> bool {
    assert_eq!(aws_lc, rustcrypto);
    aws_lc.is_ok()
}

fn scalar_is_taken(bytes: &[u8; SCALAR_LEN]) -> bool {
    let agreement = both(
        AwsLc::agreement_from_bytes(bytes).map(|key| (AwsLc::agreement_to_bytes(&key), AwsLc::agreement_public(&key))),
        RustCrypto::agreement_from_bytes(bytes)
            .map(|key| (RustCrypto::agreement_to_bytes(&key), RustCrypto::agreement_public(&key))),
    );
    let signing = both(
        AwsLc::signing_from_bytes(bytes).map(|key| (AwsLc::signing_to_bytes(&key), AwsLc::signing_public(&key))),
        RustCrypto::signing_from_bytes(bytes)
            .map(|key| (RustCrypto::signing_to_bytes(&key), RustCrypto::signing_public(&key))),
    );
    assert_eq!(agreement, signing);
    signing
}

fn point_is_taken(point: &[u8; POINT_LEN]) -> bool {
    let checked = both(AwsLc::check_point(point), RustCrypto::check_point(point));
    let agreed =
        both(AwsLc::agree(&agreement::<AwsLc>(9), point), RustCrypto::agree(&agreement::<RustCrypto>(9), point));
    assert_eq!(checked, agreed);
    // Nothing verifies under a point that is refused; that nothing panics is what is looked at.
    let signature = [1; SIGNATURE_LEN];
    both(AwsLc::verify(point, &[b"x"], &signature), RustCrypto::verify(point, &[b"x"], &signature));
    checked
}

#[test]
fn scalars_out_of_range_are_refused_by_both() {
    let zero = [0; SCALAR_LEN];
    assert!(!scalar_is_taken(&zero));
    assert!(!scalar_is_taken(&ORDER));
    assert!(!scalar_is_taken(&add(&ORDER, 1)));
    assert!(!scalar_is_taken(&PRIME));
    assert!(!scalar_is_taken(&[0xff; SCALAR_LEN]));
    // One below the order is a good scalar, whose point is -G.
    assert!(scalar_is_taken(&minus_one(&ORDER)));
    assert!(scalar_is_taken(&add(&zero, 1)));
    assert!(scalar_is_taken(&scalar(1)));
    let mut high = scalar(2);
    high[0] = 1;
    assert!(scalar_is_taken(&high));
    high[0] = 2;
    assert!(!scalar_is_taken(&high));
}

#[test]
fn points_of_another_form_or_off_the_curve_are_refused_by_both() {
    let point = public(1);
    assert!(point_is_taken(&point));
    for first in 0..=255_u8 {
        let mut other = point;
        other[0] = first;
        assert_eq!(point_is_taken(&other), first == 4, "first byte {first}");
    }
    // The hybrid form with the parity that fits would be taken by AWS-LC's parser.
    let mut hybrid = point;
    hybrid[0] = 6 | point[POINT_LEN - 1] & 1;
    assert!(!point_is_taken(&hybrid));
    assert!(!point_is_taken(&[0; POINT_LEN]));
    let mut origin = [0; POINT_LEN];
    origin[0] = 4;
    assert!(!point_is_taken(&origin));
    for bit in [0, 1, 7] {
        for place in [1, 2, 66, 67, 68, 132] {
            let mut off = point;
            off[place] ^= 1 << bit;
            assert!(!point_is_taken(&off), "byte {place}, bit {bit}");
        }
    }
    // Its negative is on the curve.
    let mut negative = point;
    for (byte, prime) in negative[67..].iter_mut().zip(PRIME) {
        *byte ^= prime;
    }
    assert!(point_is_taken(&negative));
}

#[test]
fn coordinates_have_one_form() {
    let point = public(1);
    for half in [1..67, 67..133] {
        let mut larger = point;
        let coordinate = sum(&point[half.clone()], &PRIME);
        larger[half].copy_from_slice(&coordinate);
        assert!(!point_is_taken(&larger), "a coordinate above the prime is the same point in another form");
    }
}

#[test]
fn signatures_out_of_range_are_refused_by_both() {
    let key = RustCrypto::signing_from_bytes(&scalar(3)).unwrap();
    let point = RustCrypto::signing_public(&key);
    let good = RustCrypto::sign(&key, &[b"mess", b"age"]).unwrap();
    let verifies = |signature: &[u8; SIGNATURE_LEN]| {
        both(AwsLc::verify(&point, &[b"message"], signature), RustCrypto::verify(&point, &[b"message"], signature))
    };
    assert!(verifies(&good));
    for half in [0..66, 66..132] {
        let value = &good[half.clone()];
        for bad in [[0; SCALAR_LEN], ORDER, sum(value, &ORDER), [0xff; SCALAR_LEN], add(value, 1)] {
            let mut signature = good;
            signature[half.clone()].copy_from_slice(&bad);
            assert!(!verifies(&signature), "{}", HEXLOWER.encode(&bad));
        }
    }
    // The other signature of ECDSA, with n - s: good by FIPS 186-5, and taken by both. Nothing here names a thing by
    // its signature.
    let mut other = good;
    let mut borrow = 0_i16;
    for place in (0..SCALAR_LEN).rev() {
        let difference = i16::from(ORDER[place]) - i16::from(good[66 + place]) - borrow;
        borrow = i16::from(difference < 0);
        other[66 + place] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    assert!(verifies(&other));
}

#[test]
fn made_keys_are_taken_by_the_other() {
    let rng = &mut TestRng(4);
    for _ in 0..3 {
        let key = AwsLc::agreement_generate(rng);
        let other = RustCrypto::agreement_from_bytes(&AwsLc::agreement_to_bytes(&key)).unwrap();
        assert_eq!(AwsLc::agreement_public(&key), RustCrypto::agreement_public(&other));
        let key = RustCrypto::agreement_generate(rng);
        let other = AwsLc::agreement_from_bytes(&RustCrypto::agreement_to_bytes(&key)).unwrap();
        assert_eq!(RustCrypto::agreement_public(&key), AwsLc::agreement_public(&other));
        let key = AwsLc::signing_generate(rng);
        let other = RustCrypto::signing_from_bytes(&AwsLc::signing_to_bytes(&key)).unwrap();
        assert_eq!(AwsLc::signing_public(&key), RustCrypto::signing_public(&other));
        let key = RustCrypto::signing_generate(rng);
        let other = AwsLc::signing_from_bytes(&RustCrypto::signing_to_bytes(&key)).unwrap();
        assert_eq!(RustCrypto::signing_public(&key), AwsLc::signing_public(&other));
    }
}

fn sealed_by_one_opens_with_the_other<A: Primitives, B: Primitives>(
    key: &[u8; KEY_LEN],
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    clear: &[u8],
) {
    let mut buffer = clear.to_vec();
    A::aead_seal(key, nonce, aad, &mut buffer).unwrap();
    let mut changed = buffer.clone();
    assert_eq!(B::aead_open(key, nonce, aad, &buffer).unwrap().as_slice(), clear);
    let place = changed.len() / 2;
    changed[place] ^= 1;
    assert_eq!(B::aead_open(key, nonce, aad, &changed), Err(Failed));
    changed[place] ^= 1;
    changed.pop();
    assert_eq!(B::aead_open(key, nonce, aad, &changed), Err(Failed));
    assert_eq!(B::aead_open(key, nonce, aad, &[]), Err(Failed));
}

fn wrapped_by_one_unwraps_with_the_other<A: Primitives, B: Primitives>(info: &[u8], content_key: &[u8; KEY_LEN]) {
    let (ephemeral, recipient) = (agreement::<A>(20), agreement::<B>(21));
    let (enc, point) = (A::agreement_public(&ephemeral), B::agreement_public(&recipient));
    let wrapped = kem::wrap::<A>(&ephemeral, &enc, &point, info, content_key).unwrap();
    assert_eq!(*kem::unwrap::<B>(&recipient, &enc, info, &wrapped).unwrap(), *content_key);
    assert_eq!(kem::unwrap::<B>(&recipient, &enc, b"another", &wrapped), Err(Failed));
}

fn signed_by_one_verifies_with_the_other<A: Primitives, B: Primitives>(seed: u64, message: &[u8]) {
    let key = A::signing_from_bytes(&scalar(seed)).unwrap();
    let point = A::signing_public(&key);
    let (head, tail) = message.split_at(message.len() / 2);
    let signature = A::sign(&key, &[head, tail]).unwrap();
    assert_eq!(B::verify(&point, &[message], &signature), Ok(()));
    assert_eq!(B::verify(&point, &[b"x", message], &signature), Err(Failed));
    assert_eq!(B::verify(&public(seed + 1), &[message], &signature), Err(Failed));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn agreement_is_the_same(a in 100_u64.., b in 100_u64..) {
        let (ours, theirs) = (agreement::<AwsLc>(a), agreement::<RustCrypto>(b));
        let shared = AwsLc::agree(&ours, &RustCrypto::agreement_public(&theirs)).unwrap();
        prop_assert_eq!(&shared, &RustCrypto::agree(&theirs, &AwsLc::agreement_public(&ours)).unwrap());
    }

    #[test]
    fn signatures_verify_across(seed in any::<u32>(), message in any::<Vec<u8>>()) {
        signed_by_one_verifies_with_the_other::<AwsLc, RustCrypto>(seed.into(), &message);
        signed_by_one_verifies_with_the_other::<RustCrypto, AwsLc>(seed.into(), &message);
    }

    #[test]
    fn wraps_open_across(info in any::<Vec<u8>>(), key in any::<[u8; KEY_LEN]>()) {
        wrapped_by_one_unwraps_with_the_other::<AwsLc, RustCrypto>(&info, &key);
        wrapped_by_one_unwraps_with_the_other::<RustCrypto, AwsLc>(&info, &key);
    }

    #[test]
    fn random_points_are_judged_alike(point in prop::array::uniform32(any::<u8>()), place in 1..100_usize) {
        let mut bytes = public(5);
        bytes[place..place + 32].copy_from_slice(&point);
        prop_assert!(!point_is_taken(&bytes));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn ciphers_open_across(
        key in any::<[u8; KEY_LEN]>(), nonce in any::<[u8; NONCE_LEN]>(), aad in any::<Vec<u8>>(), clear in any::<Vec<u8>>(),
    ) {
        sealed_by_one_opens_with_the_other::<AwsLc, RustCrypto>(&key, &nonce, &aad, &clear);
        sealed_by_one_opens_with_the_other::<RustCrypto, AwsLc>(&key, &nonce, &aad, &clear);
    }

    #[test]
    fn digests_and_derivations_are_the_same(
        salt in prop::collection::vec(any::<u8>(), 0..200), a in any::<Vec<u8>>(), b in any::<Vec<u8>>(), length in 0..600_usize,
    ) {
        let parts: [&[u8]; 2] = [&a, &b];
        prop_assert_eq!(AwsLc::hash(&parts), RustCrypto::hash(&[&parts.concat()]));
        prop_assert_eq!(AwsLc::short_hash(&parts), RustCrypto::short_hash(&[&parts.concat()]));
        let prk = AwsLc::extract(&salt, &parts).unwrap();
        prop_assert_eq!(&prk, &RustCrypto::extract(&salt, &[&parts.concat()]).unwrap());
        let (mut ours, mut theirs) = (vec![0; length], vec![0; length]);
        AwsLc::expand(&prk, &parts, &mut ours).unwrap();
        RustCrypto::expand(&prk, &[&parts.concat()], &mut theirs).unwrap();
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn ranges_are_those_of_numbers(bytes in prop::array::uniform32(any::<u8>()), place in 0..35_usize, below in any::<bool>()) {
        // A number that agrees with the order up to some place, so that borrows have to travel.
        let mut number = ORDER;
        number[place..place + 31].copy_from_slice(&bytes[..31]);
        if below {
            number = minus_one(&ORDER);
            number[place + 30] = bytes[0];
        }
        let expected = number < ORDER && number != [0; SCALAR_LEN];
        prop_assert_eq!(form::scalar(&number).is_ok(), expected);
    }
}

#[test]
fn too_much_output_is_refused_by_both() {
    let mut output = vec![0; 255 * HASH_LEN + 1];
    assert!(!both(
        AwsLc::expand(&[1; HASH_LEN], &[], &mut output),
        RustCrypto::expand(&[1; HASH_LEN], &[], &mut output)
    ));
    output.pop();
    assert!(both(
        AwsLc::expand(&[1; HASH_LEN], &[], &mut output),
        RustCrypto::expand(&[1; HASH_LEN], &[], &mut output)
    ));
}
