//! Which events count. Every device that has the same events comes to the same answer.
//!
//! The events are looked at in their one order, and each counts whose author may do it then. That alone would let
//! somebody who was put out make events that pretend to be older. So what a removal takes away, it takes away from all
//! that its author did not know: **an act that is concurrent to the removal or demotion of its author, by somebody senior,
//! does not count**, nor does one that is concurrent to its author's own leaving. Only seniors can put a moderator out, so
//! that the one who was put out cannot answer in kind.

use std::collections::HashMap;

use sotto_crypto::Address;
use sotto_wire::room::{EventId, MAX_PARENTS, RoomChange};

use super::log::{Index, Log};
use super::state::{Place, State};

/// What a room's events come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) state: State,
    /// The newest events that count, in ascending order, at most [`MAX_PARENTS`]: the parents of the next one.
    pub(crate) heads: Vec<EventId>,
    /// Whether an event counts, by its place in the log.
    pub(crate) counted: Vec<bool>,
}

/// One look at all events, in order.
struct Pass {
    state: State,
    counted: Vec<Counts>,
}

/// Whether an event counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    No,
    /// And its author was no moderator.
    Yes,
    /// And its author was a moderator, since then.
    AsModerator(Place),
}

/// What the events of the room come to.
pub(crate) fn resolve(log: &Log) -> Resolved {
    let order = log.order();
    let mut overruled = vec![false; log.nodes().len()];
    loop {
        let pass = look(log, &order, &overruled);
        let Some(hit) = conflict(log, &order, &pass) else {
            let counted: Vec<bool> = pass.counted.iter().map(|counts| *counts != Counts::No).collect();
            return Resolved { state: pass.state, heads: heads(log, &order, &counted), counted };
        };
        // Each round takes at least one event out, and none comes back in: it ends.
        for event in hit {
            if let Some(out) = overruled.get_mut(event) {
                *out = true;
            }
        }
    }
}

fn look(log: &Log, order: &[Index], overruled: &[bool]) -> Pass {
    let mut state = State::default();
    let mut counted = vec![Counts::No; log.nodes().len()];
    // Whether an event that counts has closed the room before this one.
    let mut ended = vec![false; log.nodes().len()];
    for (at, &n) in order.iter().enumerate() {
        let Some(node) = log.nodes().get(n) else { continue };
        let closes = |p: Index| {
            let close = log.nodes().get(p).is_some_and(|parent| parent.event.change == RoomChange::Close);
            ended.get(p) == Some(&true) || (close && counted.get(p).is_some_and(|counts| *counts != Counts::No))
        };
        let over = node.parents.iter().any(|&p| closes(p));
        if let Some(ended) = ended.get_mut(n) {
            *ended = over;
        }
        if overruled.get(n) == Some(&true) {
            continue;
        }
        let rank = state.rank(&node.event.author);
        if state.apply(&node.event, at, over)
            && let Some(counts) = counted.get_mut(n)
        {
            *counts = rank.map_or(Counts::Yes, Counts::AsModerator);
        }
    }
    Pass { state, counted }
}

/// The first removal (or demotion, or leaving) that others of its target's acts do not know of, and those acts. First is the
/// one by the most senior author, then the first in order.
fn conflict(log: &Log, order: &[Index], pass: &Pass) -> Option<Vec<Index>> {
    let counts = |n: Index| pass.counted.get(n).copied().unwrap_or(Counts::No);
    let mut acts: HashMap<&Address, Vec<Index>> = HashMap::new();
    for &n in order.iter().filter(|n| counts(**n) != Counts::No) {
        if let Some(node) = log.nodes().get(n) {
            acts.entry(&node.event.author).or_default().push(n);
        }
    }
    let mut first: Option<(Place, Vec<Index>)> = None;
    for &n in order {
        let (Counts::AsModerator(senior), Some(node)) = (counts(n), log.nodes().get(n)) else { continue };
        if first.as_ref().is_some_and(|(found, _)| *found <= senior) {
            continue;
        }
        let author = &node.event.author;
        let (targets, puts_out): (&[Address], bool) = match &node.event.change {
            RoomChange::Remove(people) => (people, true),
            RoomChange::Moderator(who, false) => (std::slice::from_ref(who), false),
            RoomChange::Leave => (std::slice::from_ref(author), false),
            _ => continue,
        };
        let hit: Vec<Index> = targets
            .iter()
            .filter(|who| !(puts_out && *who == author))
            .filter_map(|who| acts.get(who))
            .flatten()
            .filter(|&&act| {
                let Some(act_node) = log.nodes().get(act) else { return false };
                // One's own leaving ends what one was when leaving; others' acts are ended by seniors only.
                let own = act_node.event.author == *author;
                let ends = match counts(act) {
                    Counts::AsModerator(since) if own => since == senior,
                    Counts::AsModerator(since) => senior < since,
                    Counts::Yes | Counts::No => !own,
                };
                let leaves = act_node.event.change == RoomChange::Leave;
                ends && (puts_out || !leaves) && log.are_concurrent(n, act)
            })
            .copied()
            .collect();
        if !hit.is_empty() {
            first = Some((senior, hit));
        }
    }
    first.map(|(_, hit)| hit)
}

/// The newest events that count: those that no other one that counts builds on. Where there are too many, the last in
/// order.
fn heads(log: &Log, order: &[Index], counted: &[bool]) -> Vec<EventId> {
    let mut covered = vec![false; counted.len()];
    let mut heads = Vec::new();
    for &n in order.iter().rev() {
        let Some(node) = log.nodes().get(n) else { continue };
        let (counts, under) = (counted.get(n) == Some(&true), covered.get(n) == Some(&true));
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
