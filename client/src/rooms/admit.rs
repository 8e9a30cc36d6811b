//! What becomes of events that somebody brings. In a room of the user's each has its place as soon as all before it are
//! there, and stays. Whatever has no place (yet) is pending: an event that waits for others, and all of a room that the user
//! is not in. Of that a part is kept, by who brings it (see `store/rooms.rs`), until it has its place or its time is over; the
//! rest is let go of, and asked for again when something builds on it.

use std::collections::BTreeMap;

use sotto_crypto::{Address, IdentityPublic};
use sotto_wire::content::Conversation;
use sotto_wire::room::{EventId, RoomEvent, SignedRoomEvent};

use super::event::Entry;
use super::log::Inserted;
use super::room::Room;
use crate::core::error::StoreError;
use crate::store::{Pin, RoomEventRecord, SeenIn, Tx, conversation};
use crate::trust::pins::see;
use crate::trust::vouched::Vouched;

/// Events that have come, by their names. Their signatures were verified.
pub(super) type Brought = BTreeMap<EventId, (Entry, SignedRoomEvent)>;

/// What a room is like after events have come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    /// The events that count now and did not before.
    pub(super) news: Vec<(EventId, RoomEvent)>,
    /// Where in the log the new ones begin.
    pub(super) from: usize,
    /// Whether to ask for events that others wait for.
    pub(super) ask: bool,
}

/// Whose events come, and who brings them.
#[derive(Clone, Copy)]
pub(super) struct Bringing<'a> {
    pub(super) me: &'a Address,
    pub(super) bringer: &'a Address,
    pub(super) now_ms: u64,
}

impl Room {
    /// Takes in what somebody has brought.
    pub(super) fn admit(
        &mut self,
        tx: &Tx<'_>,
        by: Bringing<'_>,
        mut brought: Brought,
    ) -> Result<Admitted, StoreError> {
        loop {
            let from = self.log.nodes().len();
            let new = self.insert_brought(&brought);
            let news = self.extend();
            let is_mine = conversation(tx, &Conversation::Room(self.log.room()).id())?.is_some();
            if !is_mine && !self.state().has(by.me) {
                let (kept, dropped) = self.keep_pending(tx, by, &new, &brought)?;
                return Ok(Admitted { news, from, ask: self.is_worth_asking(kept, dropped) });
            }
            let unfit = self.settle(tx, by, &brought)?;
            if unfit.is_empty() {
                let waits: Vec<EventId> = new.into_iter().filter(|id| self.log.find(id).is_none()).collect();
                let settled = self.log.nodes().len() > from;
                let (kept, dropped) = self.keep_pending(tx, by, &waits, &brought)?;
                // What was written here is not read again later.
                self.read(tx)?;
                return Ok(Admitted { news, from, ask: self.is_worth_asking(kept || settled, dropped) });
            }
            // The room without them, from the start: what builds on them waits.
            for id in unfit {
                brought.remove(&id);
                tx.delete_pending_event(&id)?;
            }
            self.forget();
            self.read(tx)?;
        }
    }

    /// Puts what was brought into the log. Gives what is new there.
    fn insert_brought(&mut self, brought: &Brought) -> Vec<EventId> {
        let is_new = |inserted| matches!(inserted, Inserted::In(_) | Inserted::Waits);
        let new = brought.iter().filter(|(_, (entry, _))| is_new(self.log.insert(entry.clone())));
        let mut new: Vec<EventId> = new.map(|(id, _)| *id).collect();
        // Not those of strangers, who were found out when what they had waited for came.
        new.retain(|id| self.log.has(id));
        self.pending.extend(&new);
        new
    }

    /// Gives every event that has its place a place in the store, for good. Where identities are not those of the authors (any
    /// more), nothing is done, and these are the events.
    fn settle(&mut self, tx: &Tx<'_>, by: Bringing<'_>, brought: &Brought) -> Result<Vec<EventId>, StoreError> {
        let mut placed: Vec<(usize, EventId)> =
            self.pending.iter().filter_map(|id| Some((self.log.find(id)?, *id))).collect();
        placed.sort_unstable();
        let (mut records, mut unfit, mut first) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (n, id) in placed {
            let Some(node) = self.log.nodes().get(n) else { continue };
            let author = &node.event.author;
            let record = match brought.get(&id) {
                Some((_, signed)) => Some(RoomEventRecord { room: self.log.room(), id, signed: signed.clone() }),
                None => tx.pending_event(&id)?,
            };
            match record {
                Some(record) if author == by.me || is_theirs(tx, author, &record.signed.identity, &mut first)? => {
                    records.push(record);
                }
                _ => unfit.push(id),
            }
        }
        if unfit.is_empty() {
            for record in records {
                tx.add_room_event(&record)?;
                self.pending.remove(&record.id);
            }
            for (author, identity) in first {
                see(tx, &Vouched::gone(author, identity), by.now_ms, SeenIn::Room)?;
            }
        }
        Ok(unfit)
    }

    /// Keeps new events that have no place, as far as they fit the share of who has brought them. Whether some were kept, and
    /// some not.
    fn keep_pending(
        &mut self,
        tx: &Tx<'_>,
        by: Bringing<'_>,
        new: &[EventId],
        brought: &Brought,
    ) -> Result<(bool, bool), StoreError> {
        if new.is_empty() {
            return Ok((false, false));
        }
        let mut left = tx.pending_left(by.bringer)?;
        let (mut kept, mut lost_node, mut dropped) = (false, false, false);
        for (id, signed) in new.iter().filter_map(|id| Some((id, &brought.get(id)?.1))) {
            let record = RoomEventRecord { room: self.log.room(), id: *id, signed: signed.clone() };
            if tx.put_pending_event(&record, by.bringer, &mut left, by.now_ms)? {
                kept = true;
                self.put = Some(*id);
            } else {
                dropped = true;
                lost_node |= self.log.find(id).is_some();
                self.log.forget_waiting(id);
                self.pending.remove(id);
            }
        }
        if lost_node {
            self.forget();
        }
        Ok((kept, dropped))
    }

    /// Whether events are missing, and an answer could be kept: where it could not, asking would go on for ever.
    fn is_worth_asking(&self, kept: bool, dropped: bool) -> bool {
        !self.log.missing().is_empty() && (kept || !dropped)
    }
}

/// Whether somebody has this identity. Whom the relay does not know has no other one: the first that is seen counts, and only
/// it.
fn is_theirs(
    tx: &Tx<'_>,
    who: &Address,
    shown: &IdentityPublic,
    first: &mut BTreeMap<Address, IdentityPublic>,
) -> Result<bool, StoreError> {
    Ok(match tx.get::<Pin>(&Pin::key_of(who))? {
        Some(pin) => &pin.identity == shown,
        None => first.entry(who.clone()).or_insert_with(|| shown.clone()) == shown,
    })
}
