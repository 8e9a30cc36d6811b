//! What comes to a room from others: events, questions for events, and messages, which are shown when their sender is a
//! member by all that the sender knew.

use std::collections::{BTreeMap, BTreeSet};

use sotto_crypto::{Address, Domain, IdentityPublic, RecipientList};
use sotto_wire::content::{Body, Content, Conversation};
use sotto_wire::limits;
use sotto_wire::room::{EventId, RoomId, SignedRoomEvent};

use super::admit::{Admitted, Bringing};
use super::change::{note, queue};
use super::event::{Entry, verify};
use super::keeper::RoomKeeper;
use super::room::{Room, chunks};
use crate::core::clock::now_ms;
use crate::core::error::{Error, StoreError};
use crate::core::platform::{BoxFuture, boxed};
use crate::core::task::blocking;
use crate::receive::rooms::{RoomMessage, Rooms};
use crate::store::{ConversationRecord, SeenIn, Tx, conversation};
use crate::trust::pins::see;
use crate::trust::retention::processes;

impl Rooms for RoomKeeper {
    fn place<'a>(
        &'a self,
        room: RoomId,
        sender: &'a Address,
        content: &'a Content,
        recipients: &'a RecipientList,
    ) -> BoxFuture<'a, Result<RoomMessage, Error>> {
        boxed(self.room_message(room, sender, content, recipients))
    }
}

impl RoomKeeper {
    /// Decides on a message to a room that has come.
    async fn room_message(
        &self,
        room: RoomId,
        sender: &Address,
        content: &Content,
        recipients: &RecipientList,
    ) -> Result<RoomMessage, Error> {
        let me = self.account.address.clone();
        match &content.body {
            Body::Room(events) => self.take_in(room, sender, events.clone()).await,
            Body::RoomAsk(heads) => self.answer(room, sender.clone(), heads.clone()).await,
            _ => {
                let heads = content.heads.clone().unwrap_or_default();
                let (rooms, from) = (self.rooms.clone(), sender.clone());
                let reached: Vec<Address> = recipients.users().map(|user| user.address()).collect();
                let decided = self
                    .store
                    .run(move |tx| {
                        let processes = processes(tx)?;
                        rooms.with(tx, room, |held, _| {
                            if !held.knows(&heads) {
                                return Ok(RoomMessage::Waits);
                            }
                            if !held.state().has(&from) || !held.state().has(&me) {
                                return Ok(RoomMessage::Stranger);
                            }
                            remember_heads(tx, held)?;
                            // Members now. Who was named once and is not any more has no place in it, and a retention
                            // process has none whatever the events say.
                            let outside = |who: &Address| !held.state().has(who) || processes.contains(who);
                            Ok(RoomMessage::Shown(reached.into_iter().filter(outside).collect()))
                        })
                    })
                    .await?;
                if matches!(decided, RoomMessage::Waits) {
                    self.ask(room, sender.clone()).await?;
                }
                Ok(decided)
            }
        }
    }

    /// Takes in events: those that verify, by people whose identity it is.
    async fn take_in(
        &self,
        room: RoomId,
        sender: &Address,
        events: Vec<SignedRoomEvent>,
    ) -> Result<RoomMessage, Error> {
        let known = self.known.clone();
        let verified = blocking(move || {
            let mut known = known.lock();
            let good = events.into_iter().filter_map(|signed| {
                let entry = verify(&signed, &mut known).ok().filter(|entry| entry.room() == room)?;
                Some((entry, signed))
            });
            Ok(good.collect::<Vec<_>>())
        })
        .await?;
        let (trusted, mistrusted) = self.by_their_identities(verified).await?;
        let (rooms, account, now) = (self.rooms.clone(), self.account.clone(), now_ms());
        let bringer = sender.clone();
        let (shown, lacks, grew) = self
            .store
            .run(move |tx| {
                let me = &account.address;
                rooms.with(tx, room, |held, _| {
                    let brought = trusted.into_iter().map(|(entry, signed)| (entry.id, (entry, signed))).collect();
                    let by = Bringing { me, bringer: &bringer, now_ms: now };
                    let Admitted { news, from, ask } = held.admit(tx, by, brought)?;
                    let shown = note(tx, me, held, &news, now)?;
                    let (events, people) = held.to_pass_on(from, me, account.device);
                    let events = events.iter().filter_map(|id| tx.room_event(id).transpose());
                    let events = events.map(|found| Ok(found?.signed)).collect::<Result<Vec<_>, StoreError>>()?;
                    for list in chunks(events) {
                        if let Err(error) = queue(tx, &account, room, Body::Room(list), people.clone(), now)? {
                            return Ok(Err(error));
                        }
                    }
                    Ok(Ok((shown, ask, held.log.nodes().len() > from)))
                })
            })
            .await??;
        self.wake();
        if lacks {
            self.ask(room, sender.clone()).await?;
        }
        if shown {
            self.changed(&Conversation::Room(room).id());
        }
        Ok(mistrusted.map_or(RoomMessage::Done { grew }, RoomMessage::Author))
    }

    /// The events whose identity is that of their author, and the first author who has another one. Whom nobody has pinned
    /// yet, or whose identity differs, is asked for at the relay.
    async fn by_their_identities(
        &self,
        events: Vec<(Entry, SignedRoomEvent)>,
    ) -> Result<(Vec<(Entry, SignedRoomEvent)>, Option<Address>), Error> {
        let mut authors: BTreeMap<Address, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for (entry, signed) in &events {
            authors.entry(entry.event.author.clone()).or_default().insert(signed.identity.as_bytes().to_vec());
        }
        authors.remove(&self.account.address);
        let mut pinned = self.identities_pinned(authors.keys().cloned().collect()).await?;
        let doubtful = |pinned: &BTreeMap<Address, IdentityPublic>| -> Vec<Address> {
            let same = |who: &Address, shown: &BTreeSet<Vec<u8>>| {
                pinned.get(who).is_some_and(|known| shown.iter().all(|s| s.as_slice() == known.as_bytes()))
            };
            authors.iter().filter(|(who, shown)| !same(who, shown)).map(|(who, _)| who.clone()).collect()
        };
        let ask = doubtful(&pinned);
        // A network that does not answer, or that may not be asked, costs the others nothing.
        let mut domains: Vec<_> = ask.iter().map(Address::domain).collect();
        domains.sort();
        domains.dedup();
        let of = |domain: &Domain| ask.iter().filter(|who| &who.domain() == domain).cloned().collect::<Vec<_>>();
        let asked: Vec<Vec<Address>> = domains.iter().map(of).collect();
        let asked = asked.iter().flat_map(|people| people.chunks(limits::MAX_RECIPIENT_ADDRESSES));
        let mut doubted = BTreeSet::new();
        for some in asked {
            let found = self.introduce(some.to_vec()).await?;
            doubted.extend(found.doubtful);
            let now = now_ms();
            self.store
                .run(move |tx| {
                    found.vouched.iter().try_for_each(|vouched| see(tx, vouched, now, SeenIn::Room).map(drop))
                })
                .await?;
        }
        if !ask.is_empty() {
            pinned = self.identities_pinned(authors.keys().cloned().collect()).await?;
        }
        let own = &self.account;
        let (good, bad): (Vec<_>, Vec<_>) = events.into_iter().partition(|(entry, signed)| {
            let who = &entry.event.author;
            let known = if who == &own.address { Some(&own.identity) } else { pinned.get(who) };
            known.map_or(!doubted.contains(who), |known| known == &signed.identity)
        });
        Ok((good, bad.first().map(|(entry, _)| entry.event.author.clone())))
    }

    async fn identities_pinned(&self, people: Vec<Address>) -> Result<BTreeMap<Address, IdentityPublic>, Error> {
        Ok(self.pins(people).await?.into_iter().map(|pin| (pin.address, pin.identity)).collect())
    }

    /// Asks somebody for the events that are not here.
    async fn ask(&self, room: RoomId, whom: Address) -> Result<(), Error> {
        if !self.rooms.is_due(room, &whom, false) {
            return Ok(());
        }
        let (rooms, account, now) = (self.rooms.clone(), self.account.clone(), now_ms());
        self.store
            .run(move |tx| {
                let heads = rooms.with(tx, room, |held, _| Ok(held.heads().to_vec()))?;
                queue(tx, &account, room, Body::RoomAsk(heads), vec![whom], now)
            })
            .await??;
        self.wake();
        Ok(())
    }

    /// Gives a member the events that it lacks.
    async fn answer(&self, room: RoomId, asker: Address, heads: Vec<EventId>) -> Result<RoomMessage, Error> {
        if !self.rooms.is_due(room, &asker, true) {
            return Ok(RoomMessage::Done { grew: false });
        }
        let (rooms, account, now, to) = (self.rooms.clone(), self.account.clone(), now_ms(), asker.clone());
        let (knows, member) = self
            .store
            .run(move |tx| {
                let (knows, events) = rooms.with(tx, room, |held, _| {
                    let member = held.state().has(&to) && held.state().has(&account.address);
                    let events = if member { Some(held.beyond(tx, &heads)?) } else { None };
                    Ok((held.knows(&heads), events))
                })?;
                let member = events.is_some();
                for list in chunks(events.unwrap_or_default()) {
                    if let Err(error) = queue(tx, &account, room, Body::Room(list), vec![to.clone()], now)? {
                        return Ok(Err(error));
                    }
                }
                Ok(Ok((knows, member)))
            })
            .await??;
        if member && !knows {
            self.ask(room, asker).await?;
        }
        self.wake();
        Ok(RoomMessage::Done { grew: false })
    }
}

/// What is said in the room names its newest events: kept where the way out finds them.
fn remember_heads(tx: &Tx<'_>, room: &Room) -> Result<(), StoreError> {
    let id = Conversation::Room(room.log.room()).id();
    match conversation(tx, &id)? {
        Some(record) if record.heads != room.heads() => {
            tx.put(&ConversationRecord { heads: room.heads().to_vec(), ..record })
        }
        _ => Ok(()),
    }
}
