//! Which events count. Every device that has the same events comes to the same answer.
//!
//! The events are looked at in their one order, and each counts whose author may do it then. That alone would let
//! somebody who was put out make events that pretend to be older. So what a removal takes away, it takes away from all
//! that its author did not know: **an act that is concurrent to the removal or demotion of its author, by somebody senior,
//! does not count**, nor does one that is concurrent to its author's own leaving. Only seniors can put a moderator out, so
//! that the one who was put out cannot answer in kind.
//!
//! Whatever is overruled asks for another look at everything, and somebody could make events that ask for thousands. So
//! looks have a [`BUDGET`], in steps and not in seconds, since every device has to stop at the same one. It depends on the
//! events alone, as everything here.

use std::collections::BTreeMap;

use sotto_crypto::Address;
use sotto_wire::room::{EventId, MAX_PARENTS, RoomChange};

use super::bits::Bits;
use super::bits::Index;
use super::contest::Contest;
use super::log::{Log, weight};
use super::people::Person;
use super::state::{Place, State};

/// No further look at a room is begun when those before cost as much: events, and people whom they name. No honest room
/// comes near: one of 10,000 events may have 200 removals that others did not know of,
/// one of 1,000 as many as it has events.
pub(crate) const BUDGET: u64 = 2_000_000;

/// So many events may be looked at again where one comes in near the end.
const MARK: usize = 128;

/// What a room's events come to.
pub(crate) struct Resolved {
    last: Look,
    state: State,
    /// How many looks it took.
    looks: u64,
    /// The newest events that count, in ascending order, at most [`MAX_PARENTS`]: the parents of the next one.
    pub(crate) heads: Vec<EventId>,
    /// Whose events cost the most, where the budget was not enough. The room is then as the last look left it: what the most
    /// senior decided has been done, and not all of what others did.
    pub(crate) stopped_by: Option<Address>,
}

/// One look at all events, in order.
#[derive(Default)]
struct Look {
    state: State<Person>,
    /// By place in the log.
    counts: Vec<Counts>,
    /// Whether an event that counts has closed the room before this one.
    ended: Vec<bool>,
    /// What the room was like before the events at the last few places that [`MARK`] divides.
    marks: Vec<(usize, State<Person>)>,
}

/// Whether an event counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    No,
    /// And its author was no moderator.
    Yes,
    /// And its author was a moderator, since then.
    AsModerator(Place),
}

/// What the events of the room come to.
pub(crate) fn resolve(log: &Log) -> Resolved {
    resolve_within(log, BUDGET)
}

pub(super) fn resolve_within(log: &Log, budget: u64) -> Resolved {
    let (mut overruled, mut looks) = (Bits::default(), 1);
    let mut causes: BTreeMap<&Address, u64> = BTreeMap::new();
    loop {
        let last = Look::at(log, &overruled);
        let hit = conflict(log, &last);
        let stopped = !hit.is_empty() && !affords(looks, log, budget);
        if hit.is_empty() || stopped {
            let stopped_by = if stopped { costliest(log, &causes) } else { None };
            return Resolved {
                state: last.state.by_address(log.people()),
                heads: heads(log, &last),
                last,
                looks,
                stopped_by,
            };
        }
        // Each round takes at least one event out, and none comes back in: it ends.
        for &event in &hit {
            overruled.add(event);
        }
        let first = hit.iter().filter_map(|&n| log.nodes().get(n)).min_by_key(|node| (node.depth, node.id));
        if let Some(node) = first {
            *causes.entry(&node.event.author).or_default() += 1;
        }
        looks += 1;
    }
}

/// Whether another look may follow this many.
fn affords(looks: u64, log: &Log, budget: u64) -> bool {
    looks.saturating_mul(log.weight()) < budget
}

/// Whose events cost the most: each event in the first look, and each further look on account of the first event that was
/// overruled before it. Of several, the first by address.
fn costliest(log: &Log, causes: &BTreeMap<&Address, u64>) -> Option<Address> {
    let mut costs: BTreeMap<&Address, u64> = BTreeMap::new();
    for node in log.nodes() {
        *costs.entry(&node.event.author).or_default() += weight(&node.event.change);
    }
    for (who, looks) in causes {
        *costs.entry(who).or_default() += looks.saturating_mul(log.weight());
    }
    costs.into_iter().rev().max_by_key(|(_, cost)| *cost).map(|(who, _)| who.clone())
}

impl Resolved {
    /// What the room is like.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Whether the event at this place in the log counts.
    pub(crate) fn counts(&self, n: Index) -> bool {
        self.last.counts(n) != Counts::No
    }

    /// How many events were looked at: those of the log as it was then.
    pub(super) fn looked_at(&self) -> usize {
        self.last.counts.len()
    }

    /// Whether each event counts, by its place in the log.
    pub(crate) fn counted(&self) -> Vec<bool> {
        self.last.counts.iter().map(|counts| *counts != Counts::No).collect()
    }

    /// How often the events had to be looked at.
    #[cfg(test)]
    pub(super) fn looks(&self) -> u64 {
        self.looks
    }

    /// What the events come to with those that the log has taken in since.
    pub(crate) fn extend(&mut self, log: &Log) {
        self.extend_within(log, BUDGET);
    }

    pub(super) fn extend_within(&mut self, log: &Log, budget: u64) {
        let known = self.last.counts.len();
        let Some(first) = log.order().iter().position(|&n| n >= known) else { return };
        if self.stopped_by.is_some() || !(self.append(log, known, first, budget) || self.look_again(log, first)) {
            *self = resolve_within(log, budget);
        }
    }

    /// Where the new ones stand behind all others in order, and none of them can be in conflict with any, every look at the
    /// room would have been what it was, with these at its end: then only these are looked at. That is how it is where
    /// people change a room one after the other.
    fn append(&mut self, log: &Log, known: usize, first: usize, budget: u64) -> bool {
        let new = log.order().get(known..).unwrap_or_default();
        let affordable = self.looks == 1 || affords(self.looks - 1, log, budget);
        if first != known || !affordable || new.iter().any(|&n| log.contests().involve(n)) {
            return false;
        }
        self.last.go_on(log, known, &Bits::default());
        for &n in new {
            self.head(log, n);
        }
        self.state = self.last.state.by_address(log.people());
        true
    }

    /// Where one look was enough, and the new ones stand near the end: as where people change a room at the same time. One
    /// look may be enough again, and it is as it was up to there.
    fn look_again(&mut self, log: &Log, first: usize) -> bool {
        let Some(from) = self.last.back_to(first).filter(|_| self.looks == 1) else { return false };
        self.last.go_on(log, from, &Bits::default());
        if !conflict(log, &self.last).is_empty() {
            return false;
        }
        self.heads = heads(log, &self.last);
        self.state = self.last.state.by_address(log.people());
        true
    }

    /// Where an event counts that is the last in order, it is a head, and those before it are none any more.
    fn head(&mut self, log: &Log, n: Index) {
        if !self.counts(n) {
            return;
        }
        if self.heads.len() == MAX_PARENTS {
            // There may be more of them.
            self.heads = heads(log, &self.last);
        } else if let Some(node) = log.nodes().get(n) {
            self.heads.retain(|head| log.find(head).is_none_or(|head| !log.is_before(head, n)));
            self.heads.push(node.id);
            self.heads.sort();
        }
    }
}

impl Look {
    /// At all events but those that are overruled.
    fn at(log: &Log, overruled: &Bits) -> Self {
        let mut look = Self::default();
        look.go_on(log, 0, overruled);
        look
    }

    /// At the events from this place in the order on.
    fn go_on(&mut self, log: &Log, from: usize, overruled: &Bits) {
        let (order, all) = (log.order(), log.nodes().len());
        self.counts.resize(all, Counts::No);
        self.ended.resize(all, false);
        for (at, &n) in order.iter().enumerate().skip(from) {
            if at.is_multiple_of(MARK) && at + 2 * MARK > all {
                self.marks.push((at, self.state.clone()));
            }
            if overruled.has(n) {
                self.pass_over(log, n);
            } else {
                self.step(log, at, n);
            }
        }
        let old = self.marks.len().saturating_sub(2);
        self.marks.drain(..old);
    }

    /// Forgets what came at or after this place, and more: gives the place up to which it knows.
    fn back_to(&mut self, place: usize) -> Option<usize> {
        while let Some((at, state)) = self.marks.pop() {
            if at <= place {
                self.state = state;
                return Some(at);
            }
        }
        None
    }

    fn counts(&self, n: Index) -> Counts {
        self.counts.get(n).copied().unwrap_or(Counts::No)
    }

    /// Looks at the event that is at this place in the order.
    fn step(&mut self, log: &Log, at: usize, n: Index) {
        let over = self.pass_over(log, n);
        let Some(node) = log.nodes().get(n) else { return };
        let act = node.act();
        let rank = self.state.rank(act.author);
        let applied = self.state.apply(&act, at, over);
        if let Some(counts) = self.counts.get_mut(n) {
            let since = rank.map_or(Counts::Yes, Counts::AsModerator);
            *counts = if applied { since } else { Counts::No };
        }
    }

    /// Says whether the room was closed before this event, and remembers it for those that build on it.
    fn pass_over(&mut self, log: &Log, n: Index) -> bool {
        let Some(node) = log.nodes().get(n) else { return false };
        let closes = |p: Index| {
            let close = || log.nodes().get(p).is_some_and(|parent| matches!(parent.event.change, RoomChange::Close));
            self.ended.get(p) == Some(&true) || (self.counts(p) != Counts::No && close())
        };
        let over = node.parents.iter().any(|&p| closes(p));
        if let Some(ended) = self.ended.get_mut(n) {
            *ended = over;
        }
        over
    }
}

/// What the first removal (or demotion, or leaving) overrules that overrules anything. First is the one by the most senior
/// author, then the first in order.
fn conflict(log: &Log, look: &Look) -> Vec<Index> {
    let contests = log.contests();
    if contests.is_empty() {
        return Vec::new();
    }
    let mut removals: Vec<(Place, &Contest)> = Vec::new();
    let mut acts: Vec<(Place, Index)> = Vec::new();
    // Acts that are overruled by who is more senior than their author was: at first all, then those of juniors.
    let mut juniors = Bits::default();
    for &n in log.order() {
        let counts = look.counts(n);
        if counts != Counts::No && contests.is_contested(n) {
            juniors.add(n);
        }
        if let Counts::AsModerator(since) = counts {
            removals.extend(contests.of(n).map(|contest| (since, contest)));
            acts.extend(contests.is_contested(n).then_some((since, n)));
        }
    }
    // Both sorts keep the order of events where the places are the same.
    removals.sort_by_key(|(since, _)| *since);
    acts.sort_by_key(|(since, _)| *since);
    let mut acts = acts.into_iter().peekable();
    for by_one in removals.chunk_by(|(a, _), (b, _)| a == b) {
        let Some(&(senior, _)) = by_one.first() else { continue };
        // One's own leaving ends what one was when leaving: since the same place. Others' acts are ended by seniors only.
        let mut same = Bits::default();
        while let Some((since, act)) = acts.next_if(|(since, _)| *since <= senior) {
            juniors.remove(act);
            if since == senior {
                same.add(act);
            }
        }
        for (_, contest) in by_one {
            let hit: Vec<Index> = contest.acts.common(if contest.own { &same } else { &juniors }).collect();
            if !hit.is_empty() {
                return hit;
            }
        }
    }
    Vec::new()
}

/// The newest events that count: those that no other one that counts builds on. Where there are too many, the last in
/// order.
fn heads(log: &Log, look: &Look) -> Vec<EventId> {
    let mut covered = vec![false; log.nodes().len()];
    let mut heads = Vec::new();
    for &n in log.order().iter().rev() {
        let Some(node) = log.nodes().get(n) else { continue };
        let (counts, under) = (look.counts(n) != Counts::No, covered.get(n) == Some(&true));
        if counts && !under && heads.len() < MAX_PARENTS {
            heads.push(node.id);
        }
        if counts || under {
            for &parent in &node.parents {
                if let Some(covered) = covered.get_mut(parent) {
                    *covered = true;
                }
            }
        }
    }
    heads.sort();
    heads
}
