//! What is missing of what somebody's device has said: each message says which one it is and what the one before it was, and
//! this compares it with what has come. Pure.
//!
//! A chain is one device in one conversation. Who is to have a message, and since when, is what its sender says (`since`):
//! somebody who was taken in later, and a new device, miss nothing of what was before.

use sotto_crypto::MessageId;
use sotto_wire::content::Link;
use sotto_wire::limits::MAX_RESEND;

use crate::store::{ChainKey, ChainRecord, Gap, GapEvent, GapNews, GapsRecord};

/// Gaps of one chain that are kept one by one. Of more, the oldest are counted only, and not asked for.
pub(crate) const MAX_GAPS: usize = 100;
/// News of one chain that are kept for who keeps records.
pub(crate) const MAX_NEWS: usize = 1_000;

/// Between two questions for the same (milliseconds); after the last, nobody is asked any more.
const AGAIN_MS: [u64; 5] = [60_000, 600_000, 3_600_000, 6 * 3_600_000, 24 * 3_600_000];

/// Whether this is to be asked for now: what was told, and not too often.
fn is_due(gap: &Gap, now_ms: u64) -> bool {
    gap.told && gap.ask_at_ms <= now_ms && !is_over(gap.asked)
}

/// Whether what was asked for so often is asked for no more.
pub(crate) fn is_over(asked: u32) -> bool {
    asked as usize > AGAIN_MS.len()
}

/// How long after a question the next one is, where so many were asked before.
pub(crate) fn again_after_ms(asked: u32) -> u64 {
    AGAIN_MS.get(asked as usize).copied().unwrap_or(u64::MAX)
}

/// What has come.
#[derive(Clone, Copy)]
pub(crate) struct Come {
    pub(crate) link: Link,
    /// Of its content.
    pub(crate) digest: [u8; 32],
    pub(crate) message: MessageId,
    pub(crate) now_ms: u64,
}

/// What a message comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) chain: ChainRecord,
    pub(crate) gaps: GapsRecord,
    /// The place of the gap that it shows.
    pub(crate) opened: Option<u64>,
    /// The place of the gap that it was missing in.
    pub(crate) filled: Option<u64>,
    /// Whether it does not follow what has come before.
    pub(crate) conflict: bool,
}

impl GapsRecord {
    pub(crate) fn none(key: &ChainKey) -> Self {
        Self { key: key.clone(), gaps: Vec::new(), uncounted: 0, news: Vec::new() }
    }

    /// Whether there is nothing to remember.
    pub(crate) fn is_empty(&self) -> bool {
        self.gaps.is_empty() && self.news.is_empty() && self.uncounted == 0
    }

    /// The gap that a message is missing in.
    pub(crate) fn gap_of(&self, index: u64) -> Option<&Gap> {
        self.gaps.iter().find(|gap| (gap.from..gap.to).contains(&index))
    }

    /// How many messages are missing of the gap with this place.
    pub(crate) fn left(&self, place: u64) -> u64 {
        self.gaps.iter().filter(|gap| gap.place == place).map(Gap::count).fold(0, u64::saturating_add)
    }

    fn note(&mut self, come: &Come, what: GapEvent) {
        let (from, to) = (come.link.index, come.link.index.saturating_add(1));
        self.tell(GapNews { from, to, at_ms: come.now_ms, what, message: Some(come.message) });
    }

    /// Adds a piece of news. Who does not fetch them loses the oldest.
    pub(crate) fn tell(&mut self, news: GapNews) {
        if self.news.len() >= MAX_NEWS {
            self.news.remove(0);
        }
        self.news.push(news);
    }

    /// A message of the gap that it is missing in will not come: its sender's device says so, which was asked. Gives the gap's
    /// place.
    pub(crate) fn give_up(&mut self, index: u64, what: GapEvent, now_ms: u64) -> Option<u64> {
        let asked = |gap: &Gap| gap.told && gap.asked > 0 && (gap.from..gap.to).contains(&index);
        let at = self.gaps.iter().position(asked)?;
        let gap = self.gaps.remove(at);
        let place = gap.place;
        self.split(at, &gap, index, (None, None));
        self.tell(GapNews { from: index, to: index.saturating_add(1), at_ms: now_ms, what, message: None });
        Some(place)
    }

    /// What to ask for now, in order; and when the next time is for those who are asked for.
    pub(crate) fn ask(&mut self, now_ms: u64) -> Vec<u64> {
        let mut asked = Vec::new();
        for gap in self.gaps.iter_mut().filter(|gap| is_due(gap, now_ms)) {
            let room = MAX_RESEND.saturating_sub(asked.len());
            if room == 0 {
                break;
            }
            asked.extend((gap.from..gap.to).take(room));
            let again = again_after_ms(gap.asked);
            gap.asked = gap.asked.saturating_add(1);
            gap.ask_at_ms = now_ms.saturating_add(again);
        }
        asked
    }

    /// Whether something is to be asked for now.
    pub(crate) fn asks(&self, now_ms: u64) -> bool {
        self.gaps.iter().any(|gap| is_due(gap, now_ms))
    }

    /// Takes one message out of the gap that it is missing in: what is left of that is up to two gaps. Whether it fits between
    /// those around it, as far as they have come.
    fn fill(&mut self, at: usize, come: &Come) -> bool {
        let gap = self.gaps.remove(at);
        let index = come.link.index;
        let fits_before = index != gap.from || gap.before.is_none_or(|before| before == come.link.previous);
        let fits_end = index.saturating_add(1) != gap.to || gap.end.is_none_or(|end| end == come.digest);
        self.split(at, &gap, index, (Some(come.link.previous), Some(come.digest)));
        fits_before && fits_end
    }

    fn split(&mut self, at: usize, gap: &Gap, index: u64, (end, before): (Option<[u8; 32]>, Option<[u8; 32]>)) {
        // Something has come of it: the rest is asked for as if it were the first time.
        let gap = Gap { asked: gap.asked.min(1), ..gap.clone() };
        let left = Gap { to: index, end, ..gap.clone() };
        let right = Gap { from: index.saturating_add(1), before, ..gap };
        for part in [right, left].into_iter().filter(|part| part.count() > 0) {
            self.gaps.insert(at, part);
        }
        self.bound();
    }

    fn open(&mut self, gap: Gap) {
        self.gaps.push(gap);
        self.bound();
    }

    fn bound(&mut self) {
        while self.gaps.len() > MAX_GAPS {
            let oldest = self.gaps.remove(0);
            self.uncounted = self.uncounted.saturating_add(oldest.count());
        }
    }
}

/// What a message that has come for the first time comes to.
pub(crate) fn follow(key: &ChainKey, chain: Option<&ChainRecord>, mut gaps: GapsRecord, come: &Come) -> Step {
    let Link { index, since, previous } = come.link;
    let next = index.saturating_add(1);
    let (expected, last) = match chain {
        Some(chain) => (chain.next, Some(chain.last)),
        None => (since.min(index), None),
    };
    let moved = ChainRecord { key: key.clone(), next, last: come.digest };
    let (mut opened, mut filled) = (None, None);
    let (chain, conflict) = if index >= expected {
        if index > expected {
            gaps.open(Gap {
                from: expected,
                to: index,
                place: expected,
                since_ms: come.now_ms,
                before: last,
                end: Some(previous),
                told: false,
                asked: 0,
                ask_at_ms: come.now_ms,
            });
            opened = Some(expected);
        }
        (moved, index == expected && last.is_some_and(|last| last != previous))
    } else if let Some(at) = gaps.gaps.iter().position(|gap| (gap.from..gap.to).contains(&index)) {
        let gap = gaps.gaps.get(at).map(|gap| (gap.place, gap.told));
        filled = gap.map(|(place, _)| place);
        let conflict = !gaps.fill(at, come);
        if gap.is_some_and(|(_, told)| told) {
            gaps.note(come, GapEvent::Came);
        }
        (chain.cloned().unwrap_or(moved), conflict)
    } else {
        // Another message with a number that has come: the device was put back, or there are two of it. It is followed from
        // here on, so that this is told once.
        (moved, true)
    };
    if conflict {
        gaps.note(come, GapEvent::Conflict);
    }
    Step { chain, gaps, opened, filled, conflict }
}

/// Somebody's device says how far it has come: the place of its next message. What is missing before that is a gap. Of a device
/// of which nothing has come, `since` says what is. None where nothing is new.
pub(crate) fn head(
    key: &ChainKey,
    chain: Option<&ChainRecord>,
    gaps: &mut GapsRecord,
    head: Link,
    now_ms: u64,
) -> Option<ChainRecord> {
    let (expected, last) = match chain {
        Some(chain) => (chain.next, Some(chain.last)),
        None => (head.since.min(head.index), None),
    };
    if head.index <= expected {
        return None;
    }
    gaps.open(Gap {
        from: expected,
        to: head.index,
        place: expected,
        since_ms: now_ms,
        before: last,
        end: Some(head.previous),
        told: false,
        asked: 0,
        ask_at_ms: now_ms,
    });
    Some(ChainRecord { key: key.clone(), next: head.index, last: head.previous })
}

/// Which gaps may be told now: none of what is missing is here and about to be settled. Gives their places.
pub(crate) fn tell(gaps: &mut GapsRecord, now_ms: u64, is_here: impl Fn(u64) -> bool) -> Vec<u64> {
    /// More messages than that are never here at once.
    const LOOK: u64 = 256;
    let mut places = Vec::new();
    let mut news = Vec::new();
    for gap in gaps.gaps.iter_mut().filter(|gap| !gap.told) {
        let ends = (gap.from..gap.to).take(256).chain(gap.to.saturating_sub(LOOK).max(gap.from)..gap.to);
        if ends.into_iter().any(&is_here) {
            continue;
        }
        gap.told = true;
        places.push(gap.place);
        news.push(GapNews { from: gap.from, to: gap.to, at_ms: now_ms, what: GapEvent::Missing, message: None });
    }
    for one in news {
        gaps.tell(one);
    }
    places
}

#[cfg(test)]
mod tests {
    use sotto_crypto::{Address, DeviceId};

    use super::*;

    fn key() -> ChainKey {
        let sender = Address::parse("bob@x.example").unwrap();
        ChainKey { conversation: "c".into(), sender, device: DeviceId::from_bytes([1; 16]) }
    }

    /// The digest of the message with this number, of the one line that an honest device has.
    fn digest(index: u64) -> [u8; 32] {
        sotto_crypto::digest(&index.to_be_bytes())
    }

    fn come(index: u64, since: u64) -> Come {
        let previous = index.checked_sub(1).map_or([0; 32], digest);
        let message = MessageId::from_bytes([u8::try_from(index % 251).unwrap(); 16]);
        Come { link: Link { index, since, previous }, digest: digest(index), message, now_ms: 1_000 + index }
    }

    /// What somebody has, after all of these have come.
    #[derive(Clone, Debug, PartialEq)]
    struct Seen {
        chain: Option<ChainRecord>,
        gaps: GapsRecord,
        conflicts: usize,
    }

    impl Seen {
        fn nothing() -> Self {
            Self { chain: None, gaps: GapsRecord::none(&key()), conflicts: 0 }
        }

        fn take(&mut self, come: &Come) -> Step {
            let step = follow(&key(), self.chain.as_ref(), self.gaps.clone(), come);
            (self.chain, self.gaps) = (Some(step.chain.clone()), step.gaps.clone());
            self.conflicts += usize::from(step.conflict);
            step
        }

        fn after(numbers: &[u64]) -> Self {
            let mut seen = Self::nothing();
            for number in numbers {
                seen.take(&come(*number, 0));
            }
            seen
        }

        fn missing(&self) -> Vec<(u64, u64)> {
            self.gaps.gaps.iter().map(|gap| (gap.from, gap.to)).collect()
        }
    }

    #[test]
    fn what_is_missing_after_what_has_come() {
        type Case = (&'static [u64], &'static [(u64, u64)]);
        let cases: &[Case] = &[
            (&[0, 1, 2], &[]),
            // The first is not there, and neither are those before it that everybody who gets it was sent.
            (&[2], &[(0, 2)]),
            (&[0, 2], &[(1, 2)]),
            (&[0, 2, 1], &[]),
            (&[0, 5], &[(1, 5)]),
            (&[0, 5, 3], &[(1, 3), (4, 5)]),
            (&[0, 5, 1], &[(2, 5)]),
            (&[0, 5, 4], &[(1, 4)]),
            (&[0, 5, 3, 1, 2, 4], &[]),
            (&[0, 2, 4], &[(1, 2), (3, 4)]),
        ];
        for (numbers, missing) in cases {
            let seen = Seen::after(numbers);
            assert_eq!((seen.missing(), seen.conflicts), (missing.to_vec(), 0), "{numbers:?}");
            assert_eq!(seen.chain.unwrap().next, numbers.iter().max().unwrap() + 1, "{numbers:?}");
        }
    }

    #[test]
    fn who_was_taken_in_later_misses_nothing_of_before() {
        for since in [7, 9, u64::MAX] {
            let mut seen = Seen::nothing();
            let step = seen.take(&come(7, since));
            assert!(seen.missing().is_empty() && step.opened.is_none(), "{since}");
        }
        let mut seen = Seen::nothing();
        assert_eq!(seen.take(&come(7, 4)).opened, Some(4));
        assert_eq!(seen.missing(), [(4, 7)]);
        // Whoever has begun is not told by somebody else's coming in that nothing is missing.
        let mut seen = Seen::after(&[0, 1]);
        seen.take(&come(4, 3));
        assert_eq!(seen.missing(), [(2, 4)]);
    }

    #[test]
    fn a_filler_is_checked_on_both_sides_and_told_where_the_gap_was() {
        let mut seen = Seen::after(&[0, 4]);
        assert_eq!(tell(&mut seen.gaps, 9, |_| false), [1]);
        let step = seen.take(&come(2, 0));
        assert_eq!((step.filled, step.gaps.left(1), step.conflict), (Some(1), 2, false));
        for (index, side) in [(1, "before"), (3, "after")] {
            let mut other = seen.clone();
            let mut forged = come(index, 0);
            match side {
                "before" => forged.link.previous = [9; 32],
                _ => forged.digest = [9; 32],
            }
            let step = other.take(&forged);
            assert!(step.conflict && step.filled == Some(1), "{side}");
        }
        seen.take(&come(1, 0));
        let step = seen.take(&come(3, 0));
        assert!(!step.conflict && step.gaps.gaps.is_empty());
        let told: Vec<_> = seen.gaps.news.iter().map(|news| (news.what, news.from)).collect();
        assert_eq!(
            told,
            [(GapEvent::Missing, 1), (GapEvent::Came, 2), (GapEvent::Came, 1), (GapEvent::Came, 3)],
            "in the order in which it happened"
        );
    }

    #[test]
    fn a_device_that_was_put_back_or_copied_is_told_once() {
        let mut seen = Seen::after(&[0, 1, 2, 3]);
        let other = |index: u64, previous: [u8; 32]| {
            let digest = sotto_crypto::digest(&[index.to_be_bytes().as_slice(), b"other"].concat());
            Come { link: Link { index, since: 0, previous }, digest, ..come(index, 0) }
        };
        let first = other(2, digest(1));
        assert!(seen.take(&first).conflict, "number 2 has come, and was another message");
        assert!(!seen.take(&other(3, first.digest)).conflict, "followed from there on");
        // In its place, and behind something else than what has come.
        let mut seen = Seen::after(&[0, 1]);
        assert!(seen.take(&other(2, [7; 32])).conflict);
        assert_eq!(seen.chain.as_ref().unwrap().next, 3);
        assert!(matches!(seen.gaps.news[..], [GapNews { what: GapEvent::Conflict, from: 2, .. }]));
    }

    #[test]
    fn what_is_here_and_not_settled_is_not_told() {
        let mut seen = Seen::after(&[0, 5]);
        assert!(tell(&mut seen.gaps, 1, |index| index == 3).is_empty());
        assert!(seen.gaps.news.is_empty());
        let step = seen.take(&come(3, 0));
        assert!(step.gaps.news.is_empty(), "it was never told");
        assert_eq!(tell(&mut seen.gaps, 1, |_| false), [1, 1], "what is left of it");
        assert!(tell(&mut seen.gaps, 1, |_| false).is_empty(), "once");
    }

    #[test]
    fn what_is_missing_is_asked_for_a_few_times_and_given_up_only_when_it_was() {
        let mut seen = Seen::after(&[0, 200]);
        assert!(!seen.gaps.asks(u64::MAX) && seen.gaps.ask(u64::MAX).is_empty(), "not told yet");
        tell(&mut seen.gaps, 1, |_| false);
        assert_eq!(seen.gaps.give_up(1, GapEvent::Gone, 1), None, "nobody has asked");
        let first = seen.gaps.ask(2_000);
        assert_eq!(first, (1..=64).collect::<Vec<_>>());
        assert!(seen.gaps.ask(2_001).is_empty(), "not at once again");
        for index in first {
            assert_eq!(seen.gaps.give_up(index, GapEvent::Gone, 1), Some(1));
        }
        assert_eq!((seen.missing(), seen.gaps.left(1)), (vec![(65, 200)], 135));
        assert_eq!(seen.gaps.give_up(300, GapEvent::Gone, 1), None);
        let (mut now, mut times) = (2_000, 1);
        while now < 400 * 24 * 3_600_000 {
            now += 30_000;
            times += usize::from(!seen.gaps.ask(now).is_empty());
        }
        assert_eq!(times, 1 + AGAIN_MS.len());
        // What comes after all fits what is known of it.
        assert!(!seen.take(&come(199, 0)).conflict && !seen.take(&come(65, 0)).conflict);
    }

    #[test]
    fn a_head_shows_that_the_last_message_is_missing() {
        let at = |index: u64, since| Link { since, ..come(index, 0).link };
        let mut seen = Seen::after(&[0, 1]);
        // What it says has come, or an older one.
        for index in [0, 1, 2] {
            assert_eq!(head(&key(), seen.chain.as_ref(), &mut seen.gaps, at(index, 0), 5), None);
        }
        let moved = head(&key(), seen.chain.as_ref(), &mut seen.gaps, at(4, 0), 5);
        assert_eq!((moved.as_ref().map(|chain| chain.next), seen.missing()), (Some(4), vec![(2, 4)]));
        seen.chain = moved;
        assert_eq!(head(&key(), seen.chain.as_ref(), &mut seen.gaps, at(4, 0), 6), None, "once");
        // What comes late fits what the head has said, and what comes then goes on behind it.
        for index in [3, 2, 4] {
            assert!(!seen.take(&come(index, 0)).conflict, "{index}");
        }
        assert!(seen.missing().is_empty());
        // Of nobody anything has come of: since then.
        let mut gaps = GapsRecord::none(&key());
        assert!(head(&key(), None, &mut gaps, at(3, 1), 5).is_some());
        assert_eq!((gaps.gaps[0].from, gaps.gaps[0].to), (1, 3));
        let mut gaps = GapsRecord::none(&key());
        assert_eq!(head(&key(), None, &mut gaps, at(3, 3), 5), None);
    }

    #[test]
    fn a_hostile_sender_makes_nothing_grow() {
        let mut seen = Seen::nothing();
        for n in 0..1_000 {
            seen.take(&come(n * 2 + 1, 0));
        }
        assert_eq!(seen.gaps.gaps.len(), MAX_GAPS);
        assert_eq!(seen.gaps.uncounted, 1_000 - MAX_GAPS as u64);
        let step = seen.take(&come(u64::MAX, 0));
        assert_eq!(step.gaps.gaps.len(), MAX_GAPS);
        // Nothing comes behind the last number: each is a conflict, and bounded too.
        for _ in 0..MAX_NEWS + 10 {
            let again = Come { digest: [3; 32], ..come(u64::MAX, 0) };
            seen.take(&again);
        }
        assert!(seen.gaps.news.len() <= MAX_NEWS && seen.gaps.gaps.len() <= MAX_GAPS);
        assert_eq!(tell(&mut seen.gaps.clone(), 1, |_| false).len(), MAX_GAPS, "it ends");
    }
}
