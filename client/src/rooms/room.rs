//! A room as this device has it: its events with what they come to, kept in memory beside the store, which leads.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sotto_crypto::Address;
use sotto_wire::room::{EventId, RoomChange, RoomEvent, RoomId, SignedRoomEvent};

use super::bits::Index;
use super::event::Entry;
use super::log::Log;
use super::resolve::{Resolved, resolve};
use super::state::State;
use crate::core::error::StoreError;
use crate::core::platform::Instant;
use crate::store::{RoomEventRecord, Tx};

/// A room, as far as its events are known.
pub(crate) struct Room {
    pub(crate) log: Log,
    resolved: Resolved,
    /// The last event that was read from the store, with its number there.
    read: Option<(i64, EventId)>,
    /// Whether the events that have no place yet have been read.
    begun: bool,
    /// The events that have no place in a room of the user's, or not yet: in the log for as long as this is in memory.
    pub(super) pending: HashSet<EventId>,
    /// The last of them that was put into the store.
    pub(super) put: Option<EventId>,
}

impl Room {
    fn new(room: RoomId) -> Self {
        let log = Log::new(room);
        let resolved = resolve(&log);
        Self { log, resolved, read: None, begun: false, pending: HashSet::new(), put: None }
    }

    /// What it is like.
    pub(crate) fn state(&self) -> &State {
        self.resolved.state()
    }

    /// The newest events that count.
    pub(crate) fn heads(&self) -> &[EventId] {
        &self.resolved.heads
    }

    /// Whether all of these events are in the room, with all before them.
    pub(crate) fn knows(&self, heads: &[EventId]) -> bool {
        heads.iter().all(|head| self.log.find(head).is_some())
    }

    /// Whose events cost too much to look at, where they do: nothing more can be done in the room.
    pub(crate) fn stopped_by(&self) -> Option<&Address> {
        self.resolved.stopped_by.as_ref()
    }

    /// Reads what has been added to the store, by this process or another one. Gives the events that count now and did
    /// not before.
    pub(crate) fn read(&mut self, tx: &Tx<'_>) -> Result<Vec<(EventId, RoomEvent)>, StoreError> {
        let room = self.log.room();
        // Together with the last one: a transaction that it was read, or put, in may have been taken back.
        if let Some(put) = self.put
            && tx.pending_event(&put)?.is_none()
            && tx.room_event(&put)?.is_none()
        {
            self.forget();
        }
        let mut added = tx.room_events(&room, self.read.map_or(0, |(number, _)| number - 1))?;
        if let Some(last) = self.read {
            if added.first().map(|(number, record)| (*number, record.id)) == Some(last) {
                added.remove(0);
            } else {
                self.forget();
                added = tx.room_events(&room, 0)?;
            }
        }
        for (number, record) in added {
            self.read = Some((number, record.id));
            self.pending.remove(&record.id);
            self.insert(&record);
        }
        if !self.begun {
            self.begun = true;
            for record in tx.pending_events(&room)? {
                self.pending.insert(record.id);
                self.insert(&record);
            }
        }
        Ok(self.extend())
    }

    /// It was verified before it was put into the store.
    fn insert(&mut self, record: &RoomEventRecord) {
        if let Ok(event) = record.signed.event.unverified() {
            self.log.insert(Entry { id: record.id, event });
        }
    }

    /// Looks at the events that are new in the log. Gives those that count now and did not before.
    pub(super) fn extend(&mut self) -> Vec<(EventId, RoomEvent)> {
        if self.resolved.looked_at() == self.log.nodes().len() {
            return Vec::new();
        }
        let before = self.resolved.counted();
        self.resolved.extend(&self.log);
        let nodes = self.log.nodes().iter().enumerate();
        let news = nodes.filter(|(n, _)| before.get(*n) != Some(&true) && self.resolved.counts(*n));
        news.map(|(_, node)| (node.id, node.event.clone())).collect()
    }

    /// Reads all of it again when it is next asked for.
    pub(super) fn forget(&mut self) {
        *self = Self::new(self.log.room());
    }

    /// An event behind all that counts.
    pub(crate) fn next(
        &self,
        author: Address,
        device: sotto_crypto::DeviceId,
        at_ms: u64,
        change: RoomChange,
    ) -> RoomEvent {
        let (room, parents) = (Some(self.log.room()), self.heads().to_vec());
        RoomEvent { version: 1, room, parents, author, device, at_ms, change }
    }

    /// Events from this place of the log on whose authors did not know of somebody whom this device has taken in: with the
    /// people to pass them on to, since nobody else does.
    pub(crate) fn to_pass_on(
        &self,
        from: usize,
        me: &Address,
        device: sotto_crypto::DeviceId,
    ) -> (Vec<EventId>, Vec<Address>) {
        let (mut events, mut people) = (Vec::new(), BTreeSet::new());
        let nodes = self.log.nodes().iter().enumerate();
        let adds: Vec<(Index, &Vec<Address>)> = nodes
            .filter(|(_, node)| &node.event.author == me && node.event.device == device)
            .filter_map(
                |(n, node)| if let RoomChange::Add(people) = &node.event.change { Some((n, people)) } else { None },
            )
            .collect();
        for (n, node) in self.log.nodes().iter().enumerate().skip(from).filter(|(_, node)| &node.event.author != me) {
            let beside = adds.iter().filter(|(add, _)| self.log.are_concurrent(*add, n));
            let new = beside
                .flat_map(|(_, people)| people.iter())
                .filter(|who| self.state().has(who) && *who != &node.event.author);
            let new: Vec<Address> = new.cloned().collect();
            if !new.is_empty() {
                events.push(node.id);
                people.extend(new);
            }
        }
        (events, people.into_iter().collect())
    }

    /// What somebody lacks who has these events and all before them, as it is sent: parents first.
    pub(crate) fn beyond(&self, tx: &Tx<'_>, heads: &[EventId]) -> Result<Vec<SignedRoomEvent>, StoreError> {
        let ids = self.log.beyond(heads).into_iter().filter_map(|n| self.log.nodes().get(n)).map(|node| node.id);
        ids.filter_map(|id| tx.room_event(&id).transpose()).map(|found| Ok(found?.signed)).collect()
    }
}

/// Events in lists that fit one message each.
pub(crate) fn chunks(events: Vec<SignedRoomEvent>) -> Vec<Vec<SignedRoomEvent>> {
    /// Leaves room for what else a content has.
    const MOST: usize = sotto_wire::limits::MAX_CONTENT - 1024;
    let (mut lists, mut list, mut size) = (Vec::new(), Vec::new(), 0);
    for event in events {
        let bytes = sotto_crypto::encode(&event).len();
        if size + bytes > MOST && !list.is_empty() {
            lists.push(std::mem::take(&mut list));
            size = 0;
        }
        size += bytes;
        list.push(event);
    }
    if !list.is_empty() {
        lists.push(list);
    }
    lists
}

/// The rooms that this process has read.
#[derive(Default)]
pub(crate) struct Rooms {
    rooms: Mutex<HashMap<RoomId, Arc<Mutex<Room>>>>,
    /// What was asked of whom, or answered, and when: not again at once.
    said: Mutex<HashMap<(RoomId, Address, bool), Instant>>,
}

/// Rooms that are kept in memory.
const ROOMS: usize = 256;
/// Questions to, or answers for, the same person within that time.
const AT_ONCE: usize = 16;
/// Between two questions to, or answers for, the same person about the same room.
const AGAIN: Duration = Duration::from_secs(5);

impl Rooms {
    /// Does something with a room as it is now, and with the events that count now and did not when it was last looked
    /// at: all of them, where it was not yet.
    pub(crate) fn with<T>(
        &self,
        tx: &Tx<'_>,
        room: RoomId,
        work: impl FnOnce(&mut Room, Vec<(EventId, RoomEvent)>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let held = {
            let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
            if rooms.len() >= ROOMS && !rooms.contains_key(&room) {
                rooms.clear();
            }
            rooms.entry(room).or_insert_with(|| Arc::new(Mutex::new(Room::new(room)))).clone()
        };
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        let news = held.read(tx)?;
        work(&mut held, news)
    }

    /// Whether it is time to ask (or to answer) this person again.
    pub(crate) fn is_due(&self, room: RoomId, who: &Address, answer: bool) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        said.retain(|_, at| now.saturating_duration_since(*at) < AGAIN);
        // Messages to ever new rooms do not make us ask for ever more.
        let of_them = said.keys().filter(|(_, whom, answered)| whom == who && *answered == answer).count();
        let due = of_them < AT_ONCE && !said.contains_key(&(room, who.clone(), answer));
        if due {
            said.insert((room, who.clone(), answer), now);
        }
        due
    }
}
