//! Deliveries that are taken in together: opened side by side, and then given out in the order in which they came.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, PoisonError};

use sotto_wire::api::Delivery;
use sotto_wire::content::{Body, Conversation};
use sotto_wire::limits;
use sotto_wire::room::RoomId;

use super::event::Event;
use super::gaps::{Around, Noted};
use super::line::{Again, Broken, InFlight, Line, Shared};
use super::message::{Receipt, ReceivedMessage, Unopened};
use super::open::{Opening, Outcome};
use super::place::{Pending, Taken};
use super::prekeys::REPLAY_MS;
use crate::core::clock::now_ms;
use crate::core::error::Error;
use crate::core::platform::{BoxFuture, boxed, spawn};
use crate::store::{ChainKey, Exact};
use crate::talk::apply::{Class, class};
use crate::transport::ws::Socket;

/// Deliveries that are opened and placed in one piece of work.
pub(super) const TOGETHER: usize = 16;

/// Deliveries that came together, and what became of opening them.
pub(super) struct Opened {
    deliveries: VecDeque<Arc<Delivery>>,
    opened: Result<Vec<Opening>, Error>,
}

/// Deliveries that are taken in.
struct Taking {
    /// What is left of them.
    deliveries: VecDeque<Arc<Delivery>>,
    /// What became of opening those. Empty where that was cut off: each is opened by itself then.
    opened: VecDeque<Opening>,
    claims: Claims,
}

/// Messages that are about to be given out: nobody else gives them out meanwhile. What is not given out in the end is claimed no
/// more when this is dropped, and comes again.
struct Claims {
    shared: Arc<Shared>,
    claimed: HashMap<Exact, u64>,
    /// Those whose id is that of another one that is given out, or comes before, and is not acknowledged yet.
    apart: HashSet<Exact>,
}

impl Claims {
    /// Claims a message. False where it was given out and waits for its acknowledgement, or is claimed by an earlier delivery.
    fn claim(&mut self, key: Exact, seq: u64, noted: Option<Arc<Noted>>) -> bool {
        let mut in_flight = self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        if in_flight.keys().any(|other| other.key == key.key && *other != key) {
            self.apart.insert(key.clone());
        }
        // Its acknowledgement is one of where it came last, too.
        let known = in_flight.insert(key.clone(), InFlight { seq, noted }).is_some();
        if !known {
            self.claimed.insert(key, seq);
            return true;
        }
        self.claimed.get(&key) == Some(&seq)
    }

    /// From here on its acknowledgement is waited for.
    fn is_given_out(&mut self, key: &Exact) {
        self.claimed.remove(key);
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        let mut in_flight = self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        for key in self.claimed.keys() {
            in_flight.remove(key);
        }
    }
}

impl Taking {
    fn is_over(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// What a delivery that opened is, where its message was not given out before.
    fn claimed(&mut self, opening: Opening) -> Opening {
        let unsealed = opening?;
        let (key, seq, noted) = (unsealed.exact(), unsealed.delivery.seq, unsealed.noted.clone());
        if self.claims.claim(key, seq, noted) { Ok(unsealed) } else { Err(Outcome::GivenOut) }
    }
}

/// What nobody is told of: settled in one transaction, and acknowledged together.
#[derive(Default)]
struct Quiet {
    receipts: Vec<Receipt>,
    positions: Vec<u64>,
}

impl Line {
    /// Begins with deliveries that came together. They are opened beside what goes on, on all processors.
    pub(super) fn begin(&self, deliveries: Vec<Delivery>) -> BoxFuture<'static, Opened> {
        let deliveries: Vec<Arc<Delivery>> = deliveries.into_iter().map(Arc::new).collect();
        let (receiving, these) = (self.receiving.clone(), deliveries.clone());
        let opening = spawn(async move { receiving.unseal(these).await });
        boxed(async move {
            let opened = opening.await.unwrap_or(Err(Error::Internal("messages could not be opened")));
            Opened { deliveries: deliveries.into(), opened }
        })
    }

    /// Takes in what was opened.
    pub(super) async fn opened(&mut self, socket: &mut Socket, opened: Opened) -> Result<(), Broken> {
        let mut taking = self.taking(opened);
        while !taking.is_over() {
            if let Some(room) = self.step(socket, &mut taking).await? {
                self.try_again(socket, Again::Room(room)).await?;
            }
        }
        Ok(())
    }

    /// Takes in one delivery, which was set aside.
    pub(super) async fn delivery(&mut self, socket: &mut Socket, delivery: Delivery) -> Result<(), Broken> {
        let opened = self.begin(vec![delivery]).await;
        let mut taking = self.taking(opened);
        while !taking.is_over() {
            self.step(socket, &mut taking).await?;
        }
        Ok(())
    }

    fn taking(&self, Opened { deliveries, opened }: Opened) -> Taking {
        let claims = Claims { shared: self.shared.clone(), claimed: HashMap::new(), apart: HashSet::new() };
        let mut taking = Taking { deliveries, opened: VecDeque::new(), claims };
        let opened = opened.unwrap_or_else(|error| {
            tracing::warn!(%error, "messages that came together were not opened; each by itself now");
            Vec::new()
        });
        taking.opened = opened.into_iter().map(|opening| taking.claimed(opening)).collect();
        taking
    }

    /// Takes in some of them: up to the first for which somebody has to be asked, or one, where the work on all was cut off. Gives the room
    /// whose events have come with it: what waited for them may be opened now.
    async fn step(&mut self, socket: &mut Socket, taking: &mut Taking) -> Result<Option<RoomId>, Broken> {
        let Some(first) = taking.deliveries.front().cloned() else { return Ok(None) };
        let together = !taking.opened.is_empty();
        let opened = if together {
            Ok(std::mem::take(&mut taking.opened))
        } else {
            let opened = self.receiving.unseal(vec![first.clone()]).await;
            opened.map(|opened| opened.into_iter().map(|opening| taking.claimed(opening)).collect())
        };
        let taken = match opened {
            Ok(opened) => self.receiving.take_in(opened).await,
            Err(error) => Err(error),
        };
        let Taken { outcomes, pending, rest } = match taken {
            Ok(taken) => taken,
            Err(Error::Internal(_)) if together && taking.deliveries.len() > 1 => return Ok(None),
            Err(error) => {
                let outcomes = vec![self.or_aside(Err(error), &first)?];
                Taken { outcomes, pending: None, rest: VecDeque::new() }
            }
        };
        taking.opened = rest;
        let mut quiet = Quiet::default();
        for outcome in outcomes {
            if let Some(delivery) = taking.deliveries.pop_front() {
                self.outcome(socket, &mut taking.claims, &mut quiet, delivery.seq, outcome).await?;
            }
        }
        self.settle(socket, quiet).await?;
        let Some((pending, delivery)) = pending.zip(taking.deliveries.front().cloned()) else { return Ok(None) };
        let taken = match pending {
            Pending::InRoom(in_room) => self.receiving.take_in_room(*in_room).await,
            Pending::Stranger(unsealed) => match self.receiving.meet(&unsealed).await {
                Ok(true) => {
                    taking.opened.push_front(Ok(*unsealed));
                    return Ok(None);
                }
                Ok(false) => Ok(unsealed.not_shown(Unopened::NotVouchedFor)),
                Err(error) => Err(error),
            },
        };
        taking.deliveries.pop_front();
        let outcome = self.or_aside(taken, &delivery)?;
        let mut quiet = Quiet::default();
        let grown = self.outcome(socket, &mut taking.claims, &mut quiet, delivery.seq, outcome).await?;
        self.settle(socket, quiet).await?;
        Ok(grown)
    }

    async fn outcome(
        &mut self,
        socket: &mut Socket,
        claims: &mut Claims,
        quiet: &mut Quiet,
        seq: u64,
        outcome: Outcome,
    ) -> Result<Option<RoomId>, Broken> {
        match outcome {
            Outcome::GivenOut => {}
            Outcome::Repeat => {
                // The relay hears now what it had not heard: that brings things forward as well.
                self.brought = true;
                quiet.positions.push(seq);
            }
            Outcome::Unopened(unopened) => self.emit(socket, Event::Unopened(unopened)).await?,
            Outcome::Dropped(mut receipt) => {
                receipt.forget_content();
                quiet.receipts.push(*receipt);
                quiet.positions.push(seq);
            }
            Outcome::Aside(aside, noted) => {
                let (now, shared) = (now_ms(), self.shared.clone());
                let keeps_history = self.receiving.purpose.keeps_history();
                let put = move |tx: &crate::store::Tx<'_>| {
                    if !tx.put_aside(&aside, now)? {
                        // It was counted, and is not kept: a repeat of it is not counted again.
                        if let Some(exact) = aside.exact() {
                            tx.mark_seen(&exact, now.saturating_add(REPLAY_MS))?;
                        }
                    } else if let Some(noted) = noted {
                        // It is missing no more. One that was not kept is, and is asked for again.
                        let is_here = |key: &ChainKey, index| shared.is_here(key, index);
                        noted.note(tx, &Around { now_ms: now, keeps_history, is_here: &is_here })?;
                    }
                    Ok(())
                };
                self.receiving.store.run(put).await?;
                quiet.positions.push(seq);
            }
            Outcome::Message(mut message) => {
                if let Some(exact) = message.receipt.key().cloned().filter(|exact| claims.apart.contains(exact)) {
                    message.set_apart(&exact);
                }
                self.brought = true;
                self.count_prekey(&message.receipt);
                // A retention process keeps what was said, however short its life was meant to be.
                let over = message.expires_at_ms.is_some_and(|end| end <= now_ms());
                // How far a device has come is nothing that anybody has said.
                let is_head = matches!(message.content.body, Body::Head(_));
                if is_head || (self.receiving.purpose.keeps_history() && (over || is_silent(&message))) {
                    let mut receipt = message.receipt();
                    if over {
                        // One that ended before it came is remembered without being kept.
                        receipt.forget_content();
                    }
                    quiet.receipts.push(receipt);
                    quiet.positions.push(seq);
                    return Ok(events_of(&message));
                }
                let key = message.receipt.key().cloned();
                let emitted = self.emit(socket, Event::Message(message)).await;
                // Also where the line has broken meanwhile: then it was given, and must not come again.
                if let Some(key) = key.filter(|_| !matches!(emitted, Err(Broken::Gone))) {
                    claims.is_given_out(&key);
                }
                emitted?;
            }
        }
        Ok(None)
    }

    /// Takes in what nobody is told of, and acknowledges it.
    async fn settle(&mut self, socket: &mut Socket, quiet: Quiet) -> Result<(), Broken> {
        let Quiet { receipts, positions } = quiet;
        if !receipts.is_empty() {
            self.shared.settle(&self.receiving, &receipts).await?;
            if receipts.iter().any(Receipt::answers) {
                self.receiving.wake();
            }
        }
        if !positions.is_empty() {
            socket.ack(positions).await?;
        }
        Ok(())
    }

    /// Has the prekeys looked after when many have been used.
    fn count_prekey(&mut self, receipt: &Receipt) {
        if receipt.one_time.is_some() {
            self.used += 1;
            if self.used >= limits::PREKEYS_A_BATCH / 2 {
                self.maintain();
            }
        }
    }
}

/// Whether a message is for the store only, and no event.
fn is_silent(message: &ReceivedMessage) -> bool {
    matches!(class(&message.content.body), Class::Receipt | Class::Signal | Class::Room | Class::Chain)
}

/// The room whose events a message has brought.
fn events_of(message: &ReceivedMessage) -> Option<RoomId> {
    match (&message.content.body, &message.conversation) {
        // Where nothing was new, nothing has waited for it.
        (Body::Room(_), Conversation::Room(room)) if message.room_grew => Some(*room),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use sotto_crypto::{Address, DeviceId, MessageId};

    use super::*;

    fn key(n: u8) -> Exact {
        let key =
            (Address::parse("a@x.example").unwrap(), DeviceId::from_bytes([1; 16]), MessageId::from_bytes([n; 16]));
        Exact { key, commitment: [0; 32] }
    }

    #[test]
    fn a_message_is_given_out_once_however_often_and_wherever_it_comes() {
        let shared = Arc::new(Shared::default());
        let claims = || Claims { shared: shared.clone(), claimed: HashMap::new(), apart: HashSet::new() };
        let mut first = claims();
        assert!(first.claim(key(1), 7, None) && first.claim(key(2), 8, None));
        assert!(!first.claim(key(1), 9, None), "twice among those that came together");
        assert_eq!(shared.in_flight.lock().unwrap()[&key(1)].seq, 9, "acknowledged there, too");
        assert!(first.claim(key(1), 7, None), "opened once more by itself");
        assert!(!claims().claim(key(1), 9, None), "while others have it");
        first.is_given_out(&key(1));
        drop(first);
        let mut second = claims();
        assert!(!second.claim(key(1), 10, None), "it waits for its acknowledgement");
        assert_eq!(shared.in_flight.lock().unwrap()[&key(1)].seq, 10, "which goes to where it came last");
        assert!(second.claim(key(2), 11, None), "it was not given out in the end");
        let other = Exact { commitment: [1; 32], ..key(2) };
        assert!(
            second.claim(other.clone(), 12, None) && second.apart == HashSet::from([other]),
            "another one of that id"
        );
    }
}
