//! Which of the files that wait is fetched when: pure. Each network has a line of its own, so that one that gives nothing out, or
//! gives it out slowly, holds up what lies with it and nothing else.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use sotto_crypto::Domain;

use crate::waiting::Waiting;

/// Files of one network that wait. What is beyond is not waited for: its record says so, and what would open it.
pub(crate) const A_NETWORK: usize = 10_000;
/// Files of one network that are fetched at the same time.
const AT_ONCE: usize = 2;

/// All lines.
pub(crate) struct Queue {
    /// Of a network that fails, from one attempt to the next: from, to.
    rest: (Duration, Duration),
    lines: BTreeMap<Domain, Line>,
    /// Marks of all that are in a line.
    marks: HashSet<String>,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    running: Vec<Waiting>,
    /// In a row.
    failures: u32,
    rests_until_ms: u64,
}

impl Queue {
    pub(crate) fn new(rest: (Duration, Duration), waiting: Vec<Waiting>) -> Self {
        let mut queue = Self { rest, lines: BTreeMap::new(), marks: HashSet::new() };
        for one in waiting {
            queue.add(one);
        }
        queue
    }

    /// Whether one more of this network may wait.
    pub(crate) fn has_room(&self, network: &Domain) -> bool {
        self.lines.get(network).is_none_or(|line| line.waiting.len() + line.running.len() < A_NETWORK)
    }

    /// Puts one at the end of its line, unless it is there.
    pub(crate) fn add(&mut self, waiting: Waiting) {
        if self.marks.insert(waiting.mark().to_owned()) {
            self.lines.entry(waiting.file.domain.clone()).or_default().waiting.push_back(waiting);
        }
    }

    /// One to fetch now.
    pub(crate) fn next(&mut self, now_ms: u64) -> Option<Waiting> {
        self.lines.values_mut().find_map(|line| {
            // A network that failed is asked for one file, not for several.
            let at_once = if line.failures == 0 { AT_ONCE } else { 1 };
            if line.running.len() >= at_once || line.rests_until_ms > now_ms {
                return None;
            }
            let next = line.waiting.pop_front()?;
            line.running.push(next.clone());
            Some(next)
        })
    }

    /// Those whose time is over, to be ended without another attempt.
    pub(crate) fn late(&mut self, now_ms: u64) -> Vec<Waiting> {
        let mut late = Vec::new();
        for line in self.lines.values_mut() {
            let (over, waiting): (VecDeque<_>, _) =
                line.waiting.drain(..).partition(|one: &Waiting| one.ends_at_ms <= now_ms);
            line.waiting = waiting;
            line.running.extend(over.iter().cloned());
            late.extend(over);
        }
        late
    }

    /// When there may be something to do again, as far as only time is needed for it.
    pub(crate) fn wakes_at_ms(&self) -> Option<u64> {
        let ends = self.lines.values().flat_map(|line| line.waiting.iter().map(|one| one.ends_at_ms)).min();
        let rests = self.lines.values().filter(|line| !line.waiting.is_empty() && line.running.is_empty());
        ends.into_iter().chain(rests.map(|line| line.rests_until_ms)).min()
    }

    /// It is kept, or will never be. `answered`: its network has said which.
    pub(crate) fn done(&mut self, waiting: &Waiting, answered: bool) {
        self.marks.remove(waiting.mark());
        let Some(line) = self.lines.get_mut(&waiting.file.domain) else { return };
        line.running.retain(|one| one.mark() != waiting.mark());
        if answered {
            (line.failures, line.rests_until_ms) = (0, 0);
        }
        if line.is_empty() {
            self.lines.remove(&waiting.file.domain);
        }
    }

    /// It has not come. It goes to the end of its line, which rests.
    pub(crate) fn failed(&mut self, waiting: &Waiting, now_ms: u64) {
        let Some(line) = self.lines.get_mut(&waiting.file.domain) else { return };
        let Some(at) = line.running.iter().position(|one| one.mark() == waiting.mark()) else { return };
        let one = line.running.swap_remove(at);
        line.waiting.push_back(one);
        let (least, most) = self.rest;
        let rest = least.saturating_mul(1_u32.checked_shl(line.failures).unwrap_or(u32::MAX)).min(most);
        line.failures = line.failures.saturating_add(1);
        line.rests_until_ms = now_ms.saturating_add(u64::try_from(rest.as_millis()).unwrap_or(u64::MAX));
    }

    /// Nothing is being fetched any more: the connection has ended.
    pub(crate) fn interrupted(&mut self) {
        for line in self.lines.values_mut() {
            for one in line.running.drain(..).rev() {
                line.waiting.push_front(one);
            }
        }
    }

    /// How many wait or are being fetched.
    pub(crate) fn len(&self) -> usize {
        self.marks.len()
    }
}

impl Line {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::waiting;

    const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3));

    fn queue(networks: &[(&str, u32)]) -> Queue {
        let of = |(network, count): &(&str, u32)| (0..*count).map(|n| waiting(network, n)).collect::<Vec<_>>();
        Queue::new(REST, networks.iter().flat_map(of).collect())
    }

    fn all(queue: &mut Queue, now_ms: u64) -> Vec<Waiting> {
        std::iter::from_fn(|| queue.next(now_ms)).collect()
    }

    #[test]
    fn each_network_has_a_line_of_its_own() {
        let mut queue = queue(&[("dead.example", 64), ("live.example", 3)]);
        let first = all(&mut queue, 0);
        let of = |network: &str| first.iter().filter(|one| one.file.domain.as_str() == network).count();
        assert_eq!((of("dead.example"), of("live.example")), (2, 2));
        let live: Vec<_> = first.iter().filter(|one| one.file.domain.as_str() == "live.example").collect();
        queue.done(live[0], true);
        assert_eq!(all(&mut queue, 0).len(), 1, "the dead one's two are still out");
        assert_eq!(queue.len(), 66);
    }

    #[test]
    fn a_network_that_fails_rests_longer_each_time_and_is_asked_for_one_file() {
        let mut queue = queue(&[("dead.example", 4)]);
        let first = all(&mut queue, 0);
        queue.failed(&first[0], 0);
        assert!(all(&mut queue, 999).is_empty(), "it rests");
        queue.failed(&first[1], 999);
        let mut now_ms = 999;
        for rest in [2_000, 3_000, 3_000] {
            assert_eq!(queue.wakes_at_ms(), Some(now_ms + rest));
            assert!(all(&mut queue, now_ms + rest - 1).is_empty());
            now_ms += rest;
            let next = all(&mut queue, now_ms);
            assert_eq!(next.len(), 1);
            queue.failed(&next[0], now_ms);
        }
        // One that has come, and it is as before.
        let next = all(&mut queue, now_ms + 3_000);
        queue.done(&next[0], true);
        assert_eq!(all(&mut queue, now_ms + 3_000).len(), 2);
        assert_eq!(queue.len(), 3);
    }

    #[test]
    fn what_is_interrupted_waits_again_and_nothing_waits_twice() {
        let mut queue = queue(&[("a.example", 3)]);
        queue.add(waiting("a.example", 1));
        assert_eq!(queue.len(), 3);
        let first = all(&mut queue, 0);
        queue.add(first[0].clone());
        queue.interrupted();
        assert!(all(&mut queue, 0) == first, "in the order of before");
        queue.failed(&waiting("b.example", 0), 0);
        queue.failed(&waiting("a.example", 2), 0);
        assert_eq!(queue.len(), 3, "what is not being fetched cannot fail");
    }

    #[test]
    fn what_is_late_ends_also_while_its_network_rests() {
        let mut queue = queue(&[("dead.example", 2), ("live.example", 1)]);
        let mut early = waiting("dead.example", 9);
        early.ends_at_ms = 5_000;
        queue.add(early.clone());
        assert_eq!(queue.wakes_at_ms(), Some(0));
        let first = all(&mut queue, 0);
        queue.failed(&first[0], 4_999);
        assert!(queue.late(4_999).is_empty());
        assert_eq!(queue.wakes_at_ms(), Some(5_000));
        assert!(queue.late(5_000) == [early.clone()]);
        assert!(queue.late(5_000).is_empty(), "once");
        queue.interrupted();
        assert!(queue.late(5_000) == [early.clone()], "unless that was cut off");
        queue.done(&early, false);
        assert_eq!(queue.len(), 3);
        assert!(all(&mut queue, 5_000).iter().all(|one| one.file.domain.as_str() == "live.example"), "it rests still");
    }

    #[test]
    fn so_many_of_a_network_wait_and_no_more() {
        let mut queue = queue(&[("dead.example", u32::try_from(A_NETWORK).unwrap())]);
        let (dead, live) = (Domain::parse("dead.example").unwrap(), Domain::parse("live.example").unwrap());
        assert!(!queue.has_room(&dead) && queue.has_room(&live));
        let next = queue.next(0).unwrap();
        assert!(!queue.has_room(&dead));
        queue.done(&next, true);
        assert!(queue.has_room(&dead));
    }
}
