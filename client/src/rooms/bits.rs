//! A set of small numbers.

/// A set of small numbers, a bit each.
/// Place of an event in the log of its room.
pub(crate) type Index = usize;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn add(&mut self, n: usize) {
        let word = n / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= 1 << (n % 64);
        }
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine |= theirs;
        }
    }

    pub(super) fn remove(&mut self, n: usize) {
        if let Some(bits) = self.0.get_mut(n / 64) {
            *bits &= !(1 << (n % 64));
        }
    }

    pub(super) fn has(&self, n: usize) -> bool {
        self.0.get(n / 64).is_some_and(|bits| bits & (1 << (n % 64)) != 0)
    }

    /// What is in both, in ascending order.
    pub(super) fn common(&self, other: &Self) -> impl Iterator<Item = usize> {
        let words = self.0.iter().zip(&other.0).map(|(a, b)| a & b).enumerate().filter(|(_, both)| *both != 0);
        words.flat_map(|(word, both)| (0..64).filter(move |bit| both & (1 << bit) != 0).map(move |bit| word * 64 + bit))
    }
}
