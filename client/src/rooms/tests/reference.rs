//! What a room's events come to, as docs/protocol.md says it and with no thought for speed: every look at everything, every
//! pair compared. `resolve` has to come to the same.

use std::collections::BTreeMap;

use super::super::bits::Index;
use super::super::log::{named_in, weight};
use super::super::state::{Act, Place, State};
use super::*;

type Counts = BTreeMap<Index, Option<Place>>;

/// The room, as anybody can see it.
pub(super) fn plain(log: &Log, budget: u64) -> (Vec<EventId>, State, Option<Address>) {
    let mut overruled: Vec<Index> = Vec::new();
    let mut bills: BTreeMap<Address, u64> = BTreeMap::new();
    for node in log.nodes() {
        *bills.entry(node.event.author.clone()).or_default() += weight(&node.event.change);
    }
    let of_all: u64 = bills.values().sum();
    let mut spent = of_all;
    loop {
        let (state, counts) = look(log, &overruled);
        let hits = log.order().iter().filter_map(|&r| {
            let hit: Vec<Index> =
                log.order().iter().copied().filter(|&e| overrules(log, &counts, r, e) == Some(true)).collect();
            if hit.is_empty() { None } else { Some((counts[&r], hit)) }
        });
        // The first of those that are equal.
        let hit = hits.min_by_key(|(since, _)| *since).map(|(_, hit)| hit);
        let stopped = hit.is_some() && spent >= budget;
        if hit.is_none() || stopped {
            let worst = bills.values().max().copied();
            let by = bills.into_iter().find(|(_, bill)| Some(*bill) == worst).map(|(who, _)| who);
            let counted = log.order().iter().filter(|n| counts.contains_key(n)).map(|&n| log.nodes()[n].id).collect();
            return (counted, state, by.filter(|_| stopped));
        }
        let hit = hit.unwrap();
        spent += of_all;
        *bills.get_mut(&log.nodes()[hit[0]].event.author).unwrap() += of_all;
        overruled.extend(hit);
    }
}

fn look(log: &Log, overruled: &[Index]) -> (State, Counts) {
    let (mut state, mut counts) = (State::default(), Counts::new());
    for (at, &n) in log.order().iter().enumerate() {
        let event = &log.nodes()[n].event;
        let closes = |p: &Index| log.is_before(*p, n) && log.nodes()[*p].event.change == RoomChange::Close;
        let over = counts.keys().any(closes);
        let since = state.rank(&event.author);
        let act = Act { author: &event.author, people: named_in(&event.change), change: &event.change };
        if !overruled.contains(&n) && state.apply(&act, at, over) {
            counts.insert(n, since);
        }
    }
    (state, counts)
}

fn overrules(log: &Log, counts: &Counts, r: Index, e: Index) -> Option<bool> {
    let (senior, since) = ((*counts.get(&r)?)?, *counts.get(&e)?);
    let (by, of) = (&log.nodes()[r].event, &log.nodes()[e].event);
    let leaves = of.change == RoomChange::Leave;
    let junior = since.is_none_or(|since| senior < since);
    let own = by.author == of.author && !leaves && since == Some(senior);
    let ends = match &by.change {
        RoomChange::Remove(people) => people.contains(&of.author) && by.author != of.author && junior,
        RoomChange::Leave => own,
        RoomChange::Moderator(who, false) if *who == by.author => own,
        RoomChange::Moderator(who, false) => *who == of.author && !leaves && junior,
        _ => false,
    };
    Some(ends && log.are_concurrent(r, e))
}
