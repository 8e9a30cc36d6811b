//! What is remembered of a network from one look to the next, so that a network of which nothing has changed costs one short
//! question to its relay, and nothing else.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sotto_wire::status::RetentionState;
use tokio::time::Instant;

use super::queue::Unit;

/// When to look again while something is on its way, at first and at most.
const SOON: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15));
/// When to ask the relay again when nothing is on its way: shortly after a change, and later (it knows better who has registered).
const LATER: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(1));
/// How long after a change is shortly after it.
const LIVELY: Duration = Duration::from_mins(2);
/// A network is looked at as a whole this often whatever happens: certificates and invites come to their end by time alone.
const WHOLE: Duration = Duration::from_mins(10);

/// What retention processes say of their records, by name of the policy; nothing where they say nothing.
pub(super) type Records = BTreeMap<String, Option<RetentionState>>;

/// What is remembered of one network.
#[derive(Clone, Debug)]
pub(super) struct Memo {
    /// The relay's mark of the state that was seen last ([RFC 9110 section 8.8.3](https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3)).
    pub(super) etag: Option<String>,
    /// What the retention processes that were ready said last of their records.
    pub(super) records: Records,
    /// When something was different last.
    changed: Instant,
    /// When it was looked at as a whole.
    whole: Instant,
    /// How often something has been on its way, one time after the other.
    waits: u32,
}

/// What a look at a network has brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Something is on its way.
    pub(super) waiting: bool,
    /// Something was different from before: an object, the relay's state.
    pub(super) changed: bool,
    /// The relay's mark of its state.
    pub(super) etag: Option<String>,
    /// What retention processes say of their records.
    pub(super) records: Records,
}

impl Memo {
    /// After a look at the whole.
    pub(super) fn after(before: Option<&Self>, seen: Seen, now: Instant) -> Self {
        let waits = if seen.waiting { before.map_or(0, |memo| memo.waits) + 1 } else { 0 };
        let changed = before.filter(|_| !seen.changed).map_or(now, |memo| memo.changed);
        Self { etag: seen.etag, records: seen.records, changed, whole: now, waits }
    }

    /// When to look again without being called.
    pub(super) fn again(&self, now: Instant) -> Duration {
        if self.waits > 0 {
            return SOON.0.saturating_mul(self.waits).min(SOON.1);
        }
        if now.duration_since(self.changed) < LIVELY { LATER.0 } else { LATER.1 }
    }

    /// Whether the time alone is no reason to look at the whole: asking the relay is enough.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        self.waits == 0 && self.etag.is_some() && now.duration_since(self.whole) < WHOLE
    }
}

/// By network.
#[derive(Default)]
pub(super) struct Memos(Mutex<HashMap<Unit, Memo>>);

impl Memos {
    pub(super) fn get(&self, unit: &Unit) -> Option<Memo> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(unit).cloned()
    }
    pub(super) fn set(&self, unit: &Unit, memo: Memo) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(unit.clone(), memo);
    }
    pub(super) fn forget(&self, unit: &Unit) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(unit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(waiting: bool, changed: bool) -> Seen {
        Seen { waiting, changed, etag: Some("\"a\"".into()), ..Seen::default() }
    }

    #[test]
    fn what_is_on_its_way_is_looked_at_soon_and_then_less_often() {
        let now = Instant::now();
        let mut memo = Memo::after(None, seen(true, true), now);
        assert_eq!(memo.again(now), Duration::from_secs(2));
        assert!(!memo.is_quiet(now));
        for _ in 0..20 {
            memo = Memo::after(Some(&memo), seen(true, false), now);
        }
        assert_eq!(memo.again(now), Duration::from_secs(15));
        assert_eq!(Memo::after(Some(&memo), seen(false, false), now).again(now), Duration::from_secs(10));
    }

    #[test]
    fn a_relay_that_has_nothing_new_is_asked_less_often() {
        let now = Instant::now();
        let memo = Memo::after(None, seen(false, true), now);
        assert!(memo.is_quiet(now));
        let later = now + Duration::from_mins(3);
        assert_eq!(memo.again(later), Duration::from_mins(1));
        assert!(!memo.is_quiet(now + Duration::from_mins(11)), "time alone ends certificates");
        assert_eq!(Memo::after(Some(&memo), seen(false, true), later).again(later), Duration::from_secs(10));
    }

    #[test]
    fn without_a_mark_of_the_relay_nothing_is_known() {
        let now = Instant::now();
        let memo = Memo::after(None, Seen { etag: None, ..seen(false, true) }, now);
        assert!(!memo.is_quiet(now));
    }
}
