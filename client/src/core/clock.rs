//! The one place where the time is read; everything else is given it.

use std::fmt;

use sotto_crypto::CLOCK_TOLERANCE_MS;

use super::platform;

/// Milliseconds since the epoch.
pub fn now_ms() -> u64 {
    u64::try_from(platform::since_epoch().as_millis()).unwrap_or(u64::MAX)
}

/// Whether a time lies so far behind `now_ms` in time to come that a clock is wrong.
pub(crate) fn is_future(at_ms: u64, now_ms: u64) -> bool {
    at_ms > now_ms.saturating_add(CLOCK_TOLERANCE_MS)
}

/// That this machine's clock and the relay's are more than five minutes apart. Which of the two is wrong, nobody knows who sees only
/// these two: a relay that lies about the time makes this machine say so, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongClock {
    /// Whether this machine's is ahead of the relay's.
    pub ahead: bool,
    /// By how much (milliseconds).
    pub by_ms: u64,
}

impl WrongClock {
    /// The relay says that it is `relay_ms`, in an answer to a question of `asked_ms` that came at `answered_ms`.
    pub(crate) fn of(asked_ms: u64, answered_ms: u64, relay_ms: u64) -> Option<Self> {
        if is_future(relay_ms, answered_ms) {
            return Some(Self { ahead: false, by_ms: relay_ms - answered_ms });
        }
        is_future(asked_ms, relay_ms).then(|| Self { ahead: true, by_ms: asked_ms - relay_ms })
    }
}

impl fmt::Display for WrongClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MINUTE: u64 = 60_000;
        let (count, unit) = match self.by_ms.saturating_add(MINUTE / 2) / MINUTE {
            minutes @ 0..120 => (minutes, "minutes"),
            minutes @ 120..2_880 => (minutes / 60, "hours"),
            minutes => (minutes / 1_440, "days"),
        };
        let side = if self.ahead { "ahead of" } else { "behind" };
        write!(f, "the clock of this machine is {count} {unit} {side} the relay's")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;
    const MINUTE: u64 = 60_000;

    #[test]
    fn five_minutes_are_not_wrong_and_more_are_named() {
        for relay in [NOW - 5 * MINUTE, NOW, NOW + 5 * MINUTE] {
            assert_eq!(WrongClock::of(NOW, NOW, relay), None);
        }
        // An answer that takes long is no wrong clock.
        assert_eq!(WrongClock::of(NOW - 9 * MINUTE, NOW, NOW - 9 * MINUTE), None);
        let named = |relay| WrongClock::of(NOW, NOW, relay).unwrap().to_string();
        assert_eq!(named(NOW + 7 * MINUTE), "the clock of this machine is 7 minutes behind the relay's");
        assert_eq!(named(NOW - 180 * MINUTE), "the clock of this machine is 3 hours ahead of the relay's");
        assert_eq!(named(0), "the clock of this machine is 20833 days ahead of the relay's");
        assert_eq!(named(u64::MAX).split_whitespace().nth(7), Some("days"));
    }
}
