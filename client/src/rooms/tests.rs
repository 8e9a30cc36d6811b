//! Rooms by cases, and by property: whatever the order of arrival, and whatever hostile authors make.

mod budget;
mod cases;
mod hostile;
mod large;
mod properties;
mod reference;
mod strangers;
mod vectors;

use sotto_crypto::{Address, DeviceId};
use sotto_wire::room::{Created, EventId, RoomChange, RoomEvent, RoomId};

use super::event::Entry;
use super::log::{Inserted, Log};
use super::resolve::{Resolved, resolve};

pub(super) fn a(name: &str) -> Address {
    Address::parse(&format!("{name}@x.example")).unwrap()
}

pub(super) fn all(names: &[&str]) -> Vec<Address> {
    let mut people: Vec<Address> = names.iter().map(|n| a(n)).collect();
    people.sort();
    people
}

pub(super) fn create(author: &str, members: &[&str], moderators: &[&str]) -> Entry {
    let created = Created {
        nonce: [7; 16],
        title: "plans".into(),
        members: all(members),
        moderators: all(moderators),
        expires_in_s: None,
        burn_after_read_s: None,
    };
    event(None, &[], author, RoomChange::Create(created))
}

pub(super) fn event(room: Option<RoomId>, parents: &[EventId], author: &str, change: RoomChange) -> Entry {
    let mut parents = parents.to_vec();
    parents.sort();
    parents.dedup();
    let device = DeviceId::from_bytes([1; 16]);
    Entry::of(RoomEvent { version: 1, room, parents, author: a(author), device, at_ms: 0, change }).unwrap()
}

/// A room that is written down event by event.
pub(super) struct Story {
    pub(super) room: RoomId,
    pub(super) events: Vec<Entry>,
}

impl Story {
    pub(super) fn new(author: &str, members: &[&str], moderators: &[&str]) -> Self {
        let first = create(author, members, moderators);
        Self { room: first.room(), events: vec![first] }
    }

    /// An event behind these.
    pub(super) fn after(&mut self, parents: &[EventId], author: &str, change: RoomChange) -> EventId {
        let entry = event(Some(self.room), parents, author, change);
        let id = entry.id;
        self.events.push(entry);
        id
    }

    /// An event behind all that its author could know: what counts.
    pub(super) fn then(&mut self, author: &str, change: RoomChange) -> EventId {
        let heads = self.resolve().heads;
        self.after(&heads, author, change)
    }

    pub(super) fn first(&self) -> EventId {
        self.events[0].id
    }

    pub(super) fn log(&self) -> Log {
        log_of(self.room, &self.events)
    }

    pub(super) fn resolve(&self) -> Resolved {
        resolve(&self.log())
    }

    pub(super) fn people(&self) -> Vec<String> {
        self.resolve().state().people().iter().map(|p| p.local().to_owned()).collect()
    }

    pub(super) fn moderators(&self) -> Vec<String> {
        self.resolve().state().moderators().iter().map(|p| p.local().to_owned()).collect()
    }

    pub(super) fn title(&self) -> String {
        self.resolve().state().title.clone()
    }

    pub(super) fn counts(&self, id: EventId) -> bool {
        let log = self.log();
        log.find(&id).is_some_and(|n| resolve(&log).counts(n))
    }
}

pub(super) fn log_of(room: RoomId, events: &[Entry]) -> Log {
    let mut log = Log::new(room);
    for entry in events {
        log.insert(entry.clone());
    }
    log
}

/// All that anybody can see of a room, without what depends on the order of arrival or on events that do not count.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    title: String,
    by_seniority: Vec<Address>,
    moderators: Vec<Address>,
    times: (Option<u64>, Option<u64>),
    closed: bool,
    heads: Vec<EventId>,
    counted: Vec<EventId>,
    stopped_by: Option<Address>,
}

pub(super) fn seen(log: &Log) -> Seen {
    let resolved = resolve(log);
    seen_of(log, &resolved)
}

pub(super) fn seen_of(log: &Log, resolved: &Resolved) -> Seen {
    let (state, counted) = (resolved.state(), resolved.counted());
    let mut by_seniority: Vec<_> = state.members.iter().map(|(who, m)| (m.since, who.clone())).collect();
    by_seniority.sort();
    let mut ids: Vec<EventId> =
        log.nodes().iter().zip(counted).filter(|(_, counts)| *counts).map(|(node, _)| node.id).collect();
    ids.sort();
    Seen {
        title: state.title.clone(),
        by_seniority: by_seniority.into_iter().map(|(_, who)| who).collect(),
        moderators: state.moderators(),
        times: (state.expires_in_s, state.burn_after_read_s),
        closed: state.closed,
        heads: resolved.heads.clone(),
        counted: ids,
        stopped_by: resolved.stopped_by.clone(),
    }
}

pub(super) fn inserted(log: &mut Log, entry: &Entry) -> Inserted {
    log.insert(entry.clone())
}
