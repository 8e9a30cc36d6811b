//! The events of one room as far as they hang together: an event is in the room when all of its parents are, and waits
//! otherwise. What is here does not depend on the order in which events came.

use std::collections::{HashMap, HashSet};

use sotto_crypto::Address;
use sotto_wire::room::{EventId, RoomChange, RoomEvent, RoomId};

use super::bits::{Bits, Index};
use super::contest::Contests;
use super::event::Entry;
use super::people::{People, PerPerson, Person};
use super::state::Act;

/// Events in one room. A client makes none beyond, and takes none. Those that wait are none of them: whoever keeps them bounds
/// them.
pub(crate) const MAX_EVENTS: usize = 10_000;

/// An event in the room.
pub(crate) struct Node {
    pub(crate) id: EventId,
    pub(crate) event: RoomEvent,
    pub(crate) parents: Vec<Index>,
    /// The longest way to the event that created the room.
    pub(crate) depth: u32,
    /// Its author and whom it names, by number.
    author: Person,
    people: Vec<Person>,
    ancestors: Bits,
}

impl Node {
    pub(super) fn act(&self) -> Act<'_, Person> {
        Act { author: &self.author, people: &self.people, change: &self.event.change }
    }
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It is in the room, and so many that waited for it are too.
    In(usize),
    /// A parent is missing.
    Waits,
    /// It was there before.
    Known,
    /// No event of this room, ever: of another one, or by somebody whom nothing before it names.
    Stranger,
    /// The room has as many events as a room may have.
    Full,
}

/// The events of one room.
pub(crate) struct Log {
    room: RoomId,
    /// Parents before children.
    nodes: Vec<Node>,
    index: HashMap<EventId, Index>,
    /// Events whose parents are not all here.
    waiting: HashMap<EventId, RoomEvent>,
    /// By missing parent.
    waiters: HashMap<EventId, Vec<EventId>>,
    people: People,
    /// The events that name somebody as a member.
    named: PerPerson<Index>,
    /// Events of strangers: nothing that builds on them is in the room either.
    refused: HashSet<EventId>,
    order: Vec<Index>,
    contests: Contests,
    weight: u64,
}

impl Log {
    /// Of a room of which nothing is known but its name.
    pub(crate) fn new(room: RoomId) -> Self {
        Self {
            room,
            nodes: Vec::new(),
            index: HashMap::new(),
            waiting: HashMap::new(),
            waiters: HashMap::new(),
            people: People::default(),
            named: PerPerson::default(),
            refused: HashSet::new(),
            order: Vec::new(),
            contests: Contests::default(),
            weight: 0,
        }
    }

    /// The room.
    pub(crate) fn room(&self) -> RoomId {
        self.room
    }

    /// The events in the room, parents before children.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The event with this name, where it is in the room.
    pub(crate) fn find(&self, id: &EventId) -> Option<Index> {
        self.index.get(id).copied()
    }

    /// Whether the event is here, in the room or waiting.
    pub(crate) fn has(&self, id: &EventId) -> bool {
        self.index.contains_key(id) || self.waiting.contains_key(id)
    }

    /// Whether no event waits for a parent, but for those of people whom nothing here names: they may be of anybody's making.
    pub(crate) fn is_whole(&self) -> bool {
        let is_of_stranger = |event: &RoomEvent| self.people.find(&event.author).is_none();
        !self.nodes.is_empty() && self.waiting.values().all(is_of_stranger)
    }

    /// Whether the room takes no more events.
    pub(crate) fn is_full(&self) -> bool {
        self.nodes.len() >= MAX_EVENTS
    }

    /// Whether `a` is an ancestor of `b`.
    pub(crate) fn is_before(&self, a: Index, b: Index) -> bool {
        self.nodes.get(b).is_some_and(|node| node.ancestors.has(a))
    }

    /// Whether neither is an ancestor of the other.
    pub(crate) fn are_concurrent(&self, a: Index, b: Index) -> bool {
        a != b && !self.is_before(a, b) && !self.is_before(b, a)
    }

    /// Takes an event in. Its form is good and its signature has been verified.
    pub(crate) fn insert(&mut self, entry: Entry) -> Inserted {
        if self.has(&entry.id) {
            return Inserted::Known;
        }
        if entry.room() != self.room {
            return Inserted::Stranger;
        }
        if self.builds_on_refused(&entry.event) {
            self.refuse(entry.id);
            self.wake(entry.id);
            return Inserted::Stranger;
        }
        if self.is_full() {
            return Inserted::Full;
        }
        if let Some(missing) = self.missing_parent(&entry.event) {
            self.waiters.entry(missing).or_default().push(entry.id);
            self.waiting.insert(entry.id, entry.event);
            return Inserted::Waits;
        }
        let id = entry.id;
        let placed = self.place(entry);
        let woken = self.wake(id);
        if placed { Inserted::In(woken) } else { Inserted::Stranger }
    }

    /// Lets go of an event that waits: it may come again.
    pub(crate) fn forget_waiting(&mut self, id: &EventId) {
        let Some(event) = self.waiting.remove(id) else { return };
        let Some(missing) = self.missing_parent(&event) else { return };
        if let Some(waiters) = self.waiters.get_mut(&missing) {
            waiters.retain(|waiter| waiter != id);
            if waiters.is_empty() {
                self.waiters.remove(&missing);
            }
        }
    }

    fn refuse(&mut self, id: EventId) {
        if self.refused.len() < MAX_EVENTS {
            self.refused.insert(id);
        }
    }

    fn builds_on_refused(&self, event: &RoomEvent) -> bool {
        event.parents.iter().any(|parent| self.refused.contains(parent))
    }

    /// Lets in what waited for this one, and what waited for those; or lets it go where this one was refused.
    fn wake(&mut self, id: EventId) -> usize {
        let (mut arrived, mut count) = (vec![id], 0);
        while let Some(parent) = arrived.pop() {
            for child in self.waiters.remove(&parent).unwrap_or_default() {
                let Some(event) = self.waiting.remove(&child) else { continue };
                if self.builds_on_refused(&event) {
                    self.refuse(child);
                    arrived.push(child);
                } else if let Some(missing) = self.missing_parent(&event) {
                    self.waiters.entry(missing).or_default().push(child);
                    self.waiting.insert(child, event);
                } else if !self.is_full() {
                    count += usize::from(self.place(Entry { id: child, event }));
                    arrived.push(child);
                }
            }
        }
        count
    }

    fn missing_parent(&self, event: &RoomEvent) -> Option<EventId> {
        event.parents.iter().find(|parent| !self.index.contains_key(*parent)).copied()
    }

    /// Puts an event whose parents are here behind them. Not that of a stranger: somebody whom no event before it names.
    fn place(&mut self, Entry { id, event }: Entry) -> bool {
        let parents: Vec<Index> = event.parents.iter().filter_map(|p| self.find(p)).collect();
        let mut ancestors = Bits::default();
        let mut depth = 0;
        for &parent in &parents {
            if let Some(node) = self.nodes.get(parent) {
                ancestors.add_all(&node.ancestors);
                depth = depth.max(node.depth + 1);
            }
            ancestors.add(parent);
        }
        let creates = matches!(event.change, RoomChange::Create(_));
        let named = |who| {
            let who = self.people.find(who);
            who.is_some_and(|who| self.named.of(who).iter().any(|n| ancestors.has(*n)))
        };
        if !creates && !named(&event.author) {
            self.refuse(id);
            return false;
        }
        let index = self.nodes.len();
        let author = self.people.number(&event.author);
        let people: Vec<Person> = named_in(&event.change).iter().map(|who| self.people.number(who)).collect();
        if matches!(event.change, RoomChange::Create(_) | RoomChange::Add(_)) {
            for who in creates.then_some(&author).into_iter().chain(&people) {
                self.named.add(*who, index);
            }
        }
        let act = Act { author: &author, people: &people, change: &event.change };
        self.contests.add(index, &act, &ancestors);
        self.weight += weight(&event.change);
        self.index.insert(id, index);
        let at = self.order.partition_point(|&n| self.position(n) < Some((depth, id)));
        self.order.insert(at, index);
        self.nodes.push(Node { id, event, parents, depth, author, people, ancestors });
        true
    }

    /// Every event in the room, in the order in which they are looked at: by depth, then by name. Parents come before
    /// their children, and what comes later does not change the order of what is here.
    pub(crate) fn order(&self) -> &[Index] {
        &self.order
    }

    /// Where an event stands in the order among others.
    fn position(&self, n: Index) -> Option<(u32, EventId)> {
        self.nodes.get(n).map(|node| (node.depth, node.id))
    }

    /// Which events could overrule which.
    pub(super) fn contests(&self) -> &Contests {
        &self.contests
    }

    /// Those whom the events name.
    pub(super) fn people(&self) -> &People {
        &self.people
    }

    /// What one look at all events costs.
    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// The parents that events wait for, and that are nowhere here.
    pub(crate) fn missing(&self) -> Vec<EventId> {
        let mut missing: Vec<EventId> = self.waiters.keys().filter(|id| !self.has(id)).copied().collect();
        missing.sort();
        missing
    }

    /// What somebody lacks who has these events and all before them, parents first.
    pub(crate) fn beyond(&self, heads: &[EventId]) -> Vec<Index> {
        let mut has = Bits::default();
        for head in heads.iter().filter_map(|id| self.find(id)) {
            has.add(head);
            if let Some(node) = self.nodes.get(head) {
                has.add_all(&node.ancestors);
            }
        }
        (0..self.nodes.len()).filter(|n| !has.has(*n)).collect()
    }
}

/// Whom a change names.
pub(super) fn named_in(change: &RoomChange) -> &[Address] {
    match change {
        RoomChange::Create(created) => &created.members,
        RoomChange::Add(people) | RoomChange::Remove(people) => people,
        RoomChange::Moderator(who, _) => std::slice::from_ref(who),
        _ => &[],
    }
}

/// What it costs to look at an event with this change: one, and one for each person whom it names.
pub(super) fn weight(change: &RoomChange) -> u64 {
    u64::try_from(named_in(change).len()).unwrap_or(u64::MAX - 1) + 1
}
