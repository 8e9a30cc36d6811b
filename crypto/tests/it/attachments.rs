//! Attachments: chunks in order, all of them, and nothing else.

use crate::common::TestRng;
use proptest::prelude::*;
use sotto_crypto::*;

fn sealed(length: usize) -> (AttachmentKey, Vec<u8>, Vec<u8>) {
    let clear: Vec<u8> = (0..length).map(|place| u8::try_from(place % 251).unwrap()).collect();
    let mut output = Vec::new();
    let (key, total) = seal_stream(&mut TestRng(30), &mut clear.as_slice(), &mut output).unwrap();
    assert_eq!(total, length as u64);
    (key, clear, output)
}

fn opened(key: &AttachmentKey, mut input: &[u8]) -> Result<Vec<u8>, StreamError> {
    let mut output = Vec::new();
    open_stream(key, &mut input, &mut output).map(|total| {
        assert_eq!(total, output.len() as u64);
        output
    })
}

#[test]
fn all_lengths_around_chunks_round_trip() {
    for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 17] {
        let (key, clear, output) = sealed(length);
        assert_eq!(sealed_len(length as u64), Some(output.len() as u64));
        let again = AttachmentKey::from_bytes(&key.to_bytes()).unwrap();
        assert_eq!(opened(&again, &output).unwrap(), clear, "{length}");
    }
    assert_eq!(sealed_len(u64::MAX), None);
    assert_eq!(AttachmentKey::from_bytes(&[0; 31]).err(), Some(KeyError::Length { expected: 32 }));
}

#[test]
fn truncated_extended_reordered_and_changed_attachments_are_refused() {
    for length in [0, 10, CHUNK, 2 * CHUNK, 2 * CHUNK + 100] {
        let (key, _, output) = sealed(length);
        for cut in [0, 1, 15, 16, 17, SEALED_CHUNK - 1, SEALED_CHUNK, SEALED_CHUNK + 1, output.len() - 1] {
            if cut < output.len() {
                assert!(opened(&key, &output[..cut]).is_err(), "{length} cut to {cut}");
            }
        }
        for extra in [1, 16, 17, SEALED_CHUNK] {
            let mut longer = output.clone();
            longer.resize(output.len() + extra, 0);
            assert!(opened(&key, &longer).is_err(), "{length} extended by {extra}");
        }
        for place in [0, output.len() / 2, output.len() - 1] {
            let mut changed = output.clone();
            changed[place] ^= 1;
            assert!(matches!(opened(&key, &changed), Err(StreamError::Unopenable)));
        }
    }
    let (key, _, output) = sealed(3 * CHUNK);
    let chunks: Vec<&[u8]> = output.chunks(SEALED_CHUNK).collect();
    for order in [vec![1, 0, 2], vec![0, 2, 1], vec![0, 0, 2], vec![0, 2], vec![0, 1, 1, 2], vec![0, 1, 2, 2]] {
        let moved: Vec<u8> = order.iter().flat_map(|index| chunks[*index]).copied().collect();
        assert!(opened(&key, &moved).is_err(), "{order:?}");
    }
    let (_, other) = AttachmentSealer::new(&mut TestRng(31));
    assert!(matches!(opened(&other, &output), Err(StreamError::Unopenable)));
}

#[test]
fn chunks_have_their_length_and_their_end() {
    let (mut sealer, key) = AttachmentSealer::new(&mut TestRng(32));
    assert!(matches!(sealer.seal_chunk(&vec![0; CHUNK - 1], false), Err(StreamError::ChunkLength)));
    assert!(matches!(sealer.seal_chunk(&vec![0; CHUNK + 1], true), Err(StreamError::ChunkLength)));
    let first = sealer.seal_chunk(&vec![1; CHUNK], false).unwrap();
    assert!(matches!(sealer.seal_chunk(&[], true), Err(StreamError::ChunkLength)));
    let last = sealer.seal_chunk(b"end", true).unwrap();
    assert!(matches!(sealer.seal_chunk(b"more", true), Err(StreamError::Ended)));

    let mut opener = AttachmentOpener::new(&key);
    assert_eq!(opener.open_chunk(&first, false).unwrap().as_slice(), vec![1; CHUNK]);
    assert_eq!(opener.open_chunk(&last, true).unwrap().as_slice(), b"end");
    assert!(matches!(opener.open_chunk(&last, true), Err(StreamError::Ended)));
    // The last chunk does not open as one in the middle, nor the other way round.
    assert!(matches!(AttachmentOpener::new(&key).open_chunk(&first, true), Err(StreamError::Unopenable)));
    assert!(matches!(AttachmentOpener::new(&key).open_chunk(&[0; 15], true), Err(StreamError::Unopenable)));
}

#[test]
fn a_failing_reader_or_writer_is_reported() {
    struct Broken;
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("disk on fire"))
        }
    }
    impl std::io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("disk on fire"))
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = seal_stream(&mut TestRng(33), &mut Broken, &mut Vec::new()).err().unwrap();
    assert_eq!(error.to_string(), "attachment: disk on fire");
    let (key, _, output) = sealed(10);
    assert!(matches!(open_stream(&key, &mut output.as_slice(), &mut Broken), Err(StreamError::Io(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_is_noticed(length in 0_usize..200_000, cut in any::<prop::sample::Index>()) {
        let (key, clear, output) = sealed(length);
        prop_assert_eq!(&opened(&key, &output).unwrap(), &clear);
        prop_assert!(opened(&key, &output[..cut.index(output.len())]).is_err());
    }

    #[test]
    fn arbitrary_bytes_do_not_open(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let (_, key) = AttachmentSealer::new(&mut TestRng(34));
        prop_assert!(opened(&key, &bytes).is_err());
    }
}
