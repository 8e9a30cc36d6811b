//! Padmé padding (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", 2019):
//! lengths are rounded up so that they tell O(log log n) bits, at a cost of at most 12 %.

use crate::suite::TAG_LEN;

/// Bytes of the length in front.
const PREFIX: usize = 4;

/// The padded length for `len` bytes:
///
/// ```text
/// E = floor(log2(L));  S = floor(log2(E)) + 1;  round L up to a multiple of 2^(E - S)
/// ```
pub(crate) fn padme(len: usize) -> usize {
    if len < 2 {
        return len;
    }
    let exponent = len.ilog2();
    let significant = exponent.checked_ilog2().map_or(0, |bits| bits + 1);
    let mask = (1_usize << exponent.saturating_sub(significant)) - 1;
    (len + mask) & !mask
}

/// `u32 length || data || zeros`, with room for the authentication tag. `None` when the length does not fit.
pub(crate) fn pad(data: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(data.len()).ok()?;
    let padded = padme(PREFIX + data.len());
    let mut buffer = Vec::with_capacity(padded + TAG_LEN);
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.extend_from_slice(data);
    buffer.resize(padded, 0);
    Some(buffer)
}

/// The data of a padded buffer; `None` unless the padding is exactly what [`pad`] makes.
pub(crate) fn unpad(buffer: &[u8]) -> Option<&[u8]> {
    let (prefix, rest) = buffer.split_first_chunk::<PREFIX>()?;
    let length = usize::try_from(u32::from_be_bytes(*prefix)).ok()?;
    let (data, zeros) = rest.split_at_checked(length)?;
    let exact = buffer.len() == padme(PREFIX + length) && zeros.iter().all(|byte| *byte == 0);
    exact.then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_lengths() {
        for (len, padded) in
            [(0, 0), (1, 1), (2, 2), (9, 10), (15, 16), (100, 104), (1000, 1024), (1025, 1088), (70_000, 71_680)]
        {
            assert_eq!(padme(len), padded, "{len}");
        }
    }

    #[test]
    fn never_shorter_never_much_longer_and_stable() {
        for len in 1..=40_000 {
            let padded = padme(len);
            assert!(padded >= len && padded * 100 <= len * 112 + 100, "{len} became {padded}");
            assert_eq!(padme(padded), padded, "{len}");
        }
    }

    #[test]
    fn padding_round_trips_and_is_exact() {
        for len in [0, 1, 3, 5, 100, 1000, 5000] {
            let data = vec![7; len];
            let padded = pad(&data).unwrap();
            assert_eq!(unpad(&padded), Some(data.as_slice()));
            let mut longer = padded.clone();
            longer.push(0);
            assert_eq!(unpad(&longer), None, "{len}");
            if padded.len() > len + PREFIX {
                let mut dirty = padded.clone();
                *dirty.last_mut().unwrap() = 1;
                assert_eq!(unpad(&dirty), None);
            }
        }
        assert_eq!(unpad(&[]), None);
        assert_eq!(unpad(&[0, 0, 0, 9, 1]), None);
        assert_eq!(unpad(&[255; 64]), None);
    }
}
