//! What the user does to rooms: an event is made, signed and durable together with its announcement to everybody, before
//! the call returns.

use std::sync::Arc;
use std::time::Duration;

use sotto_crypto::{Address, SystemRng, rand_core::Rng as _};
use sotto_wire::content::{Body, Content, Conversation, MessageRef};
use sotto_wire::room::{Created, MAX_MEMBERS, RoomChange, RoomEvent, RoomId, SignedRoomEvent};

use super::event::{Entry, MAX_PAYLOAD, event_id, sign};
use super::keeper::RoomKeeper;
use super::room::{Room, Rooms, chunks};
use super::state::State;
use super::words::describe;
use crate::core::clock::now_ms;
use crate::core::error::{Error, Refusal, StoreError};
use crate::send::compose;
use crate::store::account::Account;
use crate::store::{
    Audience, ConversationRecord, MessageState, OutboxKind, OutboxRecord, RoomEventRecord, StoredMessage, Tx, Unread,
    conversation,
};
use crate::talk::view::ConversationId;
use crate::trust::policy::{self, Policy};
use crate::trust::retention::processes;

/// Bytes of addresses in one event: the rest of its payload is small.
const MAX_NAMES: usize = MAX_PAYLOAD - 4 * 1024;

/// A room that is to be made.
#[derive(Clone, Debug, Default)]
pub struct NewRoom {
    /// 1 to 100 characters.
    pub title: String,
    /// Who is in it, beside the user.
    pub members: Vec<Address>,
    /// Which of them are moderators, beside the user; they need not be among `members` too.
    pub moderators: Vec<Address>,
    /// Messages are deleted after this time, counted from sending.
    pub expires_in: Option<Duration>,
    /// A reader's copy is deleted after this time, counted from reading.
    pub burn_after_read: Option<Duration>,
}

/// A room as this device knows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RoomView {
    /// Its conversation.
    pub id: ConversationId,
    /// Its name in the protocol.
    pub room: RoomId,
    /// What it is called.
    pub title: String,
    /// What it is for; may be empty.
    pub description: String,
    /// Everybody in it, by address.
    pub members: Vec<Address>,
    /// The moderators, the most senior first. A moderator can be put out by those before only.
    pub moderators: Vec<Address>,
    /// Seconds from sending after which messages are deleted.
    pub expires_in_s: Option<u64>,
    /// Seconds from reading after which a reader's copy is deleted.
    pub burn_after_read_s: Option<u64>,
    /// Whether it has ended.
    pub closed: bool,
    /// Whether the user is in it no more.
    pub left: bool,
    /// How many events it has.
    pub events: usize,
    /// Whether events are missing that others have: they are being asked for.
    pub incomplete: bool,
    /// Whose changes contradict the others' so often that the room cannot be worked out: it stands still, nothing can be
    /// changed in it or written to it. What is shown of it need not hold.
    pub stopped_by: Option<Address>,
}

impl super::keeper::Rooms {
    /// Makes a room. Durable here when this returns; everybody hears of it through the outbox.
    pub async fn create(&self, new: NewRoom) -> Result<ConversationId, Error> {
        let keeper = &self.keeper;
        let policy = keeper.known_policy().await?;
        let me = keeper.account.address.clone();
        let (moderators, members) = (listed(new.moderators, &me), listed(new.members, &me));
        let everybody = listed(moderators.iter().chain(&members).cloned().collect(), &me);
        if everybody.len() >= MAX_MEMBERS {
            return Err(Refusal::TooManyAddresses { asked: everybody.len() + 1, max: MAX_MEMBERS }.into());
        }
        keeper.are_people(&everybody).await?;
        keeper.must_exist(&everybody).await?;
        let seconds = |time: Duration| time.as_secs().max(1);
        let (expires_in_s, burn_after_read_s) = (new.expires_in.map(seconds), new.burn_after_read.map(seconds));
        capped(&RoomChange::Expiry(expires_in_s), &policy)?;
        capped(&RoomChange::Burn(burn_after_read_s), &policy)?;
        // Moderators first: those who do not fit any more follow as added members.
        let others = everybody.iter().filter(|who| !moderators.contains(who));
        let mut parts = split(moderators.iter().chain(others).cloned().collect());
        let first = if parts.is_empty() { Vec::new() } else { parts.remove(0) };
        let mut nonce = [0; 16];
        SystemRng.fill_bytes(&mut nonce);
        let created = RoomChange::Create(Created {
            nonce,
            title: new.title.trim().to_owned(),
            members: first,
            moderators,
            expires_in_s,
            burn_after_read_s,
        });
        let (account, rooms, now) = (keeper.account.clone(), keeper.rooms.clone(), now_ms());
        let made = keeper
            .store
            .run(move |tx| {
                let event = RoomEvent {
                    version: 1,
                    room: None,
                    parents: Vec::new(),
                    author: account.address.clone(),
                    device: account.device,
                    at_ms: now,
                    change: created,
                };
                let work = Work { tx, account: &account, rooms: &rooms, now_ms: now };
                let room = match work.make(&event)? {
                    Ok(made) => made,
                    Err(refusal) => return Ok(Err(refusal.into())),
                };
                let (room, first) = room;
                let mut events = vec![first];
                for part in parts {
                    let event = rooms.with(tx, room, |held, _| {
                        Ok(held.next(account.address.clone(), account.device, now, RoomChange::Add(part)))
                    })?;
                    match work.make(&event)? {
                        Ok((_, event)) => events.push(event),
                        Err(refusal) => return Ok(Err(refusal.into())),
                    }
                }
                work.announce(room, &events, everybody)
            })
            .await??;
        self.told(&made);
        Ok(made)
    }

    /// One room.
    pub async fn get(&self, id: &str) -> Result<Option<RoomView>, Error> {
        let (id, rooms, me) = (id.to_owned(), self.keeper.rooms.clone(), self.keeper.account.address.clone());
        self.keeper
            .store
            .run(move |tx| {
                let Some(record) = conversation(tx, &id)? else { return Ok(None) };
                let Conversation::Room(room) = record.conversation else { return Ok(None) };
                rooms.with(tx, room, |held, _| Ok(Some(view(id, &me, held))))
            })
            .await
    }

    /// Changes a room. Durable here when this returns; everybody hears of it through the outbox.
    pub async fn change(&self, id: &str, change: RoomChange) -> Result<(), Error> {
        let keeper = &self.keeper;
        let policy = keeper.known_policy().await?;
        capped(&change, &policy)?;
        if let RoomChange::Add(people) = &change {
            keeper.are_people(people).await?;
            keeper.must_exist(people).await?;
        }
        let (id, account, rooms, now) = (id.to_owned(), keeper.account.clone(), keeper.rooms.clone(), now_ms());
        let changed = id.clone();
        keeper
            .store
            .run(move |tx| {
                let Some(record) = conversation(tx, &id)? else {
                    return Ok(Err(Refusal::NoConversation(id).into()));
                };
                let Conversation::Room(room) = record.conversation else {
                    return Ok(Err(Refusal::NotPossible("this conversation is no room").into()));
                };
                Work { tx, account: &account, rooms: &rooms, now_ms: now }.change(room, change)
            })
            .await??;
        self.told(&changed);
        Ok(())
    }

    fn told(&self, id: &str) {
        self.keeper.changed(id);
        self.keeper.wake();
    }
}

impl RoomKeeper {
    /// A retention process is no member of anything: it gets what a policy gives it, and is shown as what it is.
    async fn are_people(&self, people: &[Address]) -> Result<(), Error> {
        let processes = self.store.run(processes).await?;
        match people.iter().find(|who| processes.contains(who)) {
            Some(process) => Err(Refusal::RetentionProcess(process.clone()).into()),
            None => Ok(()),
        }
    }

    /// Whoever is added must be there: nobody could write to the room otherwise.
    async fn must_exist(&self, people: &[Address]) -> Result<(), Error> {
        let mut missing = Vec::new();
        for some in people.chunks(sotto_wire::limits::MAX_RECIPIENT_ADDRESSES) {
            let found = self.api.identities(some.to_vec()).await?.identities;
            missing.extend(some.iter().filter(|who| !found.iter().any(|f| &f.address == *who)).cloned());
        }
        missing.retain(|who| who != &self.account.address);
        if missing.is_empty() { Ok(()) } else { Err(Refusal::Unregistered(missing).into()) }
    }
}

/// One change, in one transaction.
pub(super) struct Work<'a, 't> {
    pub(super) tx: &'a Tx<'t>,
    pub(super) account: &'a Account,
    pub(super) rooms: &'a Arc<Rooms>,
    pub(super) now_ms: u64,
}

impl Work<'_, '_> {
    pub(super) fn change(&self, room: RoomId, change: RoomChange) -> Result<Result<ConversationId, Error>, StoreError> {
        let me = &self.account.address;
        let checked = self.rooms.with(self.tx, room, |held, _| {
            let allowed = match held.stopped_by() {
                Some(who) => Err(Refusal::RoomStopped(who.clone())),
                None if held.log.is_full() => Err(FULL),
                None => allowed(held.state(), me, change),
            };
            Ok(allowed.map(|changes| (changes, held.state().people())))
        })?;
        let (changes, before) = match checked {
            Ok(checked) => checked,
            Err(refusal) => return Ok(Err(refusal.into())),
        };
        let mut events = Vec::new();
        for change in changes {
            let event = self
                .rooms
                .with(self.tx, room, |held, _| Ok(held.next(me.clone(), self.account.device, self.now_ms, change)))?;
            match self.make(&event)? {
                Ok((_, event)) => events.push(event),
                Err(refusal) => return Ok(Err(refusal.into())),
            }
        }
        self.announce(room, &events, before)
    }

    /// Signs an event, stores it, and changes what is shown of the room.
    pub(super) fn make(&self, event: &RoomEvent) -> Result<Result<(RoomId, SignedRoomEvent), Refusal>, StoreError> {
        let entry = match Entry::of(event.clone()) {
            Ok(entry) => entry,
            Err(bad) => return Ok(Err(Refusal::RoomForm(bad.to_string()))),
        };
        let signed = sign(event, self.account);
        let room = entry.room();
        // What is new to this process is not what is added now.
        self.rooms.with(self.tx, room, |_, _| Ok(()))?;
        self.tx.add_room_event(&RoomEventRecord {
            room,
            id: event_id(signed.event.payload()),
            signed: signed.clone(),
        })?;
        self.rooms.with(self.tx, room, |held, news| note(self.tx, &self.account.address, held, &news, self.now_ms))?;
        Ok(Ok((room, signed)))
    }

    /// Puts into the outbox what everybody is to hear: those who are new, all that the room is; those who were there before,
    /// also those who are not any more, what has happened.
    pub(super) fn announce(
        &self,
        room: RoomId,
        events: &[SignedRoomEvent],
        before: Vec<Address>,
    ) -> Result<Result<ConversationId, Error>, StoreError> {
        let (after, all) = self.rooms.with(self.tx, room, |held, _| {
            let after = held.state().people();
            let all =
                if after.iter().all(|who| before.contains(who)) { Vec::new() } else { held.beyond(self.tx, &[])? };
            Ok((after, all))
        })?;
        let me = &self.account.address;
        let new: Vec<Address> = after.into_iter().filter(|who| who != me && !before.contains(who)).collect();
        let old: Vec<Address> = before.into_iter().filter(|who| who != me).collect();
        // What goes to everybody who was there has a place in the chain: where nobody was, what those get who are new.
        let made = old.is_empty();
        let welcome = chunks(if new.is_empty() { Vec::new() } else { all }).into_iter().map(|list| (list, &new, made));
        let news = chunks(events.to_vec()).into_iter().map(|list| (list, &old, !made));
        for (list, people, linked) in welcome.chain(news) {
            let entry = entry(self.account, room, Body::Room(list), people.clone(), self.now_ms);
            let entry = entry.map(|mut entry| {
                entry.linked = linked;
                entry
            });
            if let Err(error) = put(self.tx, entry)? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(Conversation::Room(room).id()))
    }
}

/// Puts a message of the room's making into the outbox. The user's own other devices get it too.
pub(super) fn queue(
    tx: &Tx<'_>,
    account: &Account,
    room: RoomId,
    body: Body,
    people: Vec<Address>,
    now_ms: u64,
) -> Result<Result<(), Error>, StoreError> {
    put(tx, entry(account, room, body, people, now_ms))
}

fn entry(
    account: &Account,
    room: RoomId,
    body: Body,
    people: Vec<Address>,
    now_ms: u64,
) -> Result<OutboxRecord, Error> {
    let content = Content::new(Conversation::Room(room), now_ms, body);
    compose::entry(account, &content, OutboxKind::Room, Audience::Only(people), now_ms)
}

fn put(tx: &Tx<'_>, entry: Result<OutboxRecord, Error>) -> Result<Result<(), Error>, StoreError> {
    match entry {
        Ok(entry) => tx.put_outbox(&entry).map(Ok),
        Err(error) => Ok(Err(error)),
    }
}

const FULL: Refusal = Refusal::NotPossible("the room has had as many changes as a room can have; make a new one");

/// Whether the user may do this now, as the changes that it takes.
fn allowed(state: &State, me: &Address, change: RoomChange) -> Result<Vec<RoomChange>, Refusal> {
    if !state.has(me) {
        return Err(Refusal::NotPossible("you are not in this room any more"));
    }
    if change == RoomChange::Leave {
        return Ok(vec![change]);
    }
    if state.closed {
        return Err(Refusal::NotPossible("the room has been closed"));
    }
    if state.rank(me).is_none() {
        return Err(Refusal::NotModerator);
    }
    let member = |who: &Address| if state.has(who) { Ok(()) } else { Err(Refusal::NotInRoom(who.clone())) };
    match change {
        RoomChange::Create(_) => Err(Refusal::NotPossible("a room is made once")),
        RoomChange::Add(people) => {
            let mut people = listed(people, me);
            people.retain(|who| !state.has(who));
            let (asked, max) = (state.members.len() + people.len(), MAX_MEMBERS);
            if people.is_empty() {
                return Err(Refusal::NotPossible("they are in the room already"));
            }
            if asked > max {
                return Err(Refusal::TooManyAddresses { asked, max });
            }
            Ok(split(people).into_iter().map(RoomChange::Add).collect())
        }
        RoomChange::Remove(people) => {
            if people.contains(me) {
                return Err(Refusal::NotPossible("to go yourself, leave the room"));
            }
            let people = listed(people, me);
            people.iter().try_for_each(member)?;
            if let Some(senior) = people.iter().find(|who| !state.outranks(me, who)) {
                return Err(Refusal::Senior(senior.clone()));
            }
            Ok(split(people).into_iter().map(RoomChange::Remove).collect())
        }
        RoomChange::Moderator(who, on) => {
            member(&who)?;
            if state.rank(&who).is_some() == on {
                return Err(Refusal::NotPossible(if on {
                    "they are a moderator already"
                } else {
                    "they are no moderator"
                }));
            }
            if !on && &who == me && state.moderators().len() == 1 {
                return Err(Refusal::NotPossible("you are the only moderator: make somebody else one first, or leave"));
            }
            if !on && &who != me && !state.outranks(me, &who) {
                return Err(Refusal::Senior(who));
            }
            Ok(vec![RoomChange::Moderator(who, on)])
        }
        RoomChange::Title(title) => Ok(vec![RoomChange::Title(title.trim().to_owned())]),
        change => Ok(vec![change]),
    }
}

/// What the user's security group lets a room ask for.
fn capped(change: &RoomChange, policy: &Policy) -> Result<(), Refusal> {
    match change {
        RoomChange::Expiry(Some(time)) => policy::expiry(Some(*time), &policy.group).map(drop),
        RoomChange::Burn(time) => policy::burn(*time, &policy.group).map(drop),
        _ => Ok(()),
    }
}

/// People in order, each once, without the user.
fn listed(mut people: Vec<Address>, me: &Address) -> Vec<Address> {
    people.retain(|who| who != me);
    people.sort();
    people.dedup();
    people
}

/// Lists that fit one event each, in order each.
fn split(people: Vec<Address>) -> Vec<Vec<Address>> {
    let (mut parts, mut part, mut size) = (Vec::new(), Vec::new(), 0);
    for who in people {
        let bytes = who.as_str().len() + 3;
        if size + bytes > MAX_NAMES {
            parts.push(std::mem::take(&mut part));
            size = 0;
        }
        size += bytes;
        part.push(who);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    for part in &mut parts {
        part.sort();
    }
    parts
}

/// What is shown of the room is what its events come to, and its history says what happened. Returns whether the user is, or
/// was, in it.
pub(super) fn note(
    tx: &Tx<'_>,
    me: &Address,
    room: &Room,
    news: &[(sotto_wire::room::EventId, RoomEvent)],
    now_ms: u64,
) -> Result<bool, StoreError> {
    let (this, state) = (Conversation::Room(room.log.room()), room.state());
    let id = this.id();
    let known = conversation(tx, &id)?;
    let joins = known.is_none();
    if joins && !state.has(me) {
        return Ok(false);
    }
    let mut record = known.unwrap_or_else(|| ConversationRecord::of(&this));
    record.title = Some(state.title.clone());
    // Whatever an event says: a retention process is nobody to talk to, and what it gets is shown as retained.
    let processes = processes(tx)?;
    record.members = state.people();
    record.members.retain(|who| !processes.contains(who));
    record.heads = room.heads().to_vec();
    record.moderators = state.moderators();
    record.left = state.closed || !state.has(me) || room.stopped_by().is_some();
    record.expires_in_s = state.expires_in_s;
    record.burn_after_read_s = state.burn_after_read_s;
    let (retained, retained_by) = (record.retained, record.retained_by.clone());
    tx.put(&record)?;
    if !state.has(me) {
        tx.forget_chains(&id)?;
    }
    for (event, change) in news.iter().filter(|(_, event)| !joins || takes_in(event, me)) {
        let mut name = [0; 16];
        name.copy_from_slice(event.as_bytes().get(..16).unwrap_or(&[0; 16]));
        let (sender, device) = (change.author.clone(), change.device);
        let name = MessageRef { sender, device, message: sotto_crypto::MessageId::from_bytes(name) };
        let line = StoredMessage {
            content: sotto_crypto::encode(&Content::new(this.clone(), change.at_ms, Body::Room(Vec::new()))),
            retained,
            state: if &change.author == me { MessageState::Accepted } else { MessageState::Received },
            event: Some(describe(change, me.domain_str())),
            retained_by: retained_by.clone(),
            ..StoredMessage::bare(&name, &id, now_ms)
        };
        tx.add_message(&line, &this, Unread::No)?;
    }
    Ok(true)
}

/// Whether it is by this event that somebody is in the room.
fn takes_in(event: &RoomEvent, me: &Address) -> bool {
    match &event.change {
        RoomChange::Create(created) => &event.author == me || created.members.contains(me),
        RoomChange::Add(people) => people.contains(me),
        _ => false,
    }
}

fn view(id: ConversationId, me: &Address, held: &Room) -> RoomView {
    let state = held.state();
    RoomView {
        id,
        room: held.log.room(),
        title: state.title.clone(),
        description: state.description.clone(),
        members: state.people(),
        moderators: state.moderators(),
        expires_in_s: state.expires_in_s,
        burn_after_read_s: state.burn_after_read_s,
        closed: state.closed,
        left: !state.has(me),
        events: held.log.nodes().len(),
        incomplete: !held.log.is_whole(),
        stopped_by: held.stopped_by().cloned(),
    }
}
