//! A small mutator for the bounded run. libFuzzer is better at it, but needs a nightly toolchain.

/// Numbers that can be repeated (SplitMix64).
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// Below `limit`; 0 when that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % limit).unwrap_or_default()
    }

    fn byte(&mut self) -> u8 {
        /// Heads of CBOR at their limits, signs of text forms, and the ends of ranges.
        const LIKELY: [u8; 34] = [
            0x00, 0x01, 0x02, 0x04, 0x05, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1f, 0x20, 0x38, 0x40, 0x58, 0x5f, 0x60, 0x78,
            0x7f, 0x80, 0x98, 0x9b, 0x9f, 0xa0, 0xbf, 0xc0, 0xf4, 0xf6, 0xf7, 0xf9, 0xfb, 0xff, b'.', b'@',
        ];
        let place = self.below(2 * LIKELY.len());
        LIKELY.get(place).copied().unwrap_or_else(|| self.next().to_le_bytes()[0])
    }
}

/// Up to four changes of one of the seeds.
pub fn mutated(dice: &mut Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    let pick = |dice: &mut Dice| seeds.get(dice.below(seeds.len())).cloned().unwrap_or_default();
    let mut data = pick(dice);
    for _ in 0..=dice.below(4) {
        let at = dice.below(data.len() + 1);
        let most = dice.below(20) + 1;
        let length = dice.below(most).min(data.len() - at);
        match dice.below(9) {
            0 => data.truncate(at),
            1 => drop(data.drain(at..at + length)),
            2 => {
                let byte = dice.byte();
                data.insert(at, byte);
            }
            3 => {
                let copy = data[at..at + length].to_vec();
                data.splice(at..at, copy);
            }
            4 => {
                // The head of one, the tail of another.
                let other = pick(dice);
                data.truncate(at);
                data.extend_from_slice(&other[dice.below(other.len() + 1)..]);
            }
            5 => data = (0..dice.below(64)).map(|_| dice.byte()).collect(),
            6 | 7 if at < data.len() => data[at] ^= 1 << dice.below(8),
            _ if at < data.len() => data[at] = dice.byte(),
            _ => data.push(dice.byte()),
        }
    }
    data
}
