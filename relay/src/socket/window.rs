//! What has been sent and not acknowledged: bounded, so that a slow device costs little memory.

use std::collections::HashMap;

/// Entries.
const MAX_ENTRIES: usize = 64;
/// Bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// The window.
#[derive(Default)]
pub(super) struct Window {
    entries: HashMap<u64, (usize, u64)>,
    bytes: usize,
}

impl Window {
    pub(super) fn has_room(&self) -> bool {
        self.entries.len() < MAX_ENTRIES && self.bytes < MAX_BYTES
    }

    /// Entries and bytes that may be sent now.
    pub(super) fn room(&self) -> (usize, usize) {
        (MAX_ENTRIES.saturating_sub(self.entries.len()), MAX_BYTES.saturating_sub(self.bytes))
    }

    pub(super) fn sent(&mut self, seq: u64, size: usize, accepted_at_ms: u64) {
        self.entries.insert(seq, (size, accepted_at_ms));
        self.bytes += size;
    }

    /// When the entry was accepted, if it was in the window.
    pub(super) fn acknowledged(&mut self, seq: u64) -> Option<u64> {
        let (size, accepted_at_ms) = self.entries.remove(&seq)?;
        self.bytes = self.bytes.saturating_sub(size);
        Some(accepted_at_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_window_opens_by_acknowledgement() {
        let mut window = Window::default();
        for seq in 0..MAX_ENTRIES as u64 {
            assert!(window.has_room());
            window.sent(seq, 10, 5);
        }
        assert!(!window.has_room());
        assert_eq!(window.acknowledged(3), Some(5));
        assert_eq!(window.acknowledged(3), None, "twice is once");
        assert_eq!(window.room().0, 1);
        window.sent(1000, MAX_BYTES, 5);
        assert!(!window.has_room());
    }
}
