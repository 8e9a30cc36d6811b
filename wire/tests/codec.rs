//! Every binary message: what is encoded decodes to the same bytes, and a decoder fed with damaged or arbitrary bytes
//! neither panics nor accepts anything but the one deterministic form.

#![expect(clippy::unwrap_used, reason = "a sample that cannot be made fails the test")]

mod samples;

use proptest::prelude::*;
use samples::SAMPLES;

#[test]
fn what_is_encoded_decodes_to_the_same() {
    for sample in SAMPLES.iter() {
        assert_eq!((sample.again)(&sample.bytes).as_deref(), Some(&sample.bytes[..]), "{}", sample.name);
    }
}

#[test]
fn nothing_may_follow_or_be_missing() {
    for sample in SAMPLES.iter() {
        let mut longer = sample.bytes.clone();
        longer.push(0);
        assert_eq!((sample.again)(&longer), None, "{} with a byte more", sample.name);
        assert_eq!((sample.again)(&sample.bytes[..sample.bytes.len() - 1]), None, "{} with a byte less", sample.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn damage_is_refused_or_canonical(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let sample = &SAMPLES[which.index(SAMPLES.len())];
        let mut bytes = sample.bytes.clone();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Some(again) = (sample.again)(&bytes) {
            prop_assert_eq!(again, bytes, "{} accepted a second form", sample.name);
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_canonical(which in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let sample = &SAMPLES[which.index(SAMPLES.len())];
        if let Some(again) = (sample.again)(&bytes) {
            prop_assert_eq!(again, bytes, "{} accepted a second form", sample.name);
        }
    }
}
