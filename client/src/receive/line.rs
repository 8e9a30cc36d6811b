//! What the steps of receiving share: the task that holds the socket, as a value.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sotto_wire::room::RoomId;
use tokio::sync::mpsc;

use super::event::Event;
use super::gaps::{Around, Noted};
use super::message::Receipt;
use super::state::Receiving;
use crate::core::clock::{WrongClock, now_ms};
use crate::core::error::Error;
use crate::core::platform::{Instant, JoinHandle, spawn};
use crate::store::profile::Lock;
use crate::store::{ChainKey, Exact};
use crate::talk::view::ConversationId;
use crate::transport::ws::Socket;

/// For a last exchange with the relay when receiving ends.
pub(super) const CLOSING: Duration = Duration::from_secs(5);

/// Messages that were given out and are not acknowledged yet, so that a repeat after a new connection is not given out
/// again.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) in_flight: Mutex<HashMap<Exact, InFlight>>,
    /// Acknowledged, and not durable yet.
    pub(super) to_settle: Mutex<Vec<Receipt>>,
    /// One settles at a time.
    pub(super) settling: tokio::sync::Mutex<()>,
}

/// A message that is here and not settled.
pub(super) struct InFlight {
    /// Where it came last.
    pub(super) seq: u64,
    pub(super) noted: Option<Arc<Noted>>,
}

impl Shared {
    /// Whether the message of a chain with this number is here, and about to be settled.
    pub(super) fn is_here(&self, key: &ChainKey, index: u64) -> bool {
        let in_flight = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        let mut noted = in_flight.values().filter_map(|message| message.noted.as_ref());
        noted.any(|noted| noted.come.link.index == index && &noted.key == key)
    }

    /// Makes durable in one transaction that these were received, and tells of the conversations that look different.
    pub(super) async fn settle(self: &Arc<Self>, receiving: &Receiving, receipts: &[Receipt]) -> Result<(), Error> {
        let (shared, keeps_history) = (self.clone(), receiving.purpose.keeps_history());
        let (now_ms, all) = (now_ms(), receipts.to_vec());
        receiving
            .store
            .run(move |tx| {
                let is_here = |key: &ChainKey, index| shared.is_here(key, index);
                let around = Around { now_ms, keeps_history, is_here: &is_here };
                all.iter().try_for_each(|receipt| receipt.settle(tx, &around))
            })
            .await?;
        for conversation in receipts.iter().filter_map(Receipt::conversation) {
            receiving.changed(conversation);
        }
        Ok(())
    }

    pub(super) fn take_to_settle(&self) -> Vec<Receipt> {
        std::mem::take(&mut *self.to_settle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The task that holds the socket.
pub(super) struct Line {
    pub(super) receiving: Arc<Receiving>,
    pub(super) shared: Arc<Shared>,
    pub(super) events: mpsc::Sender<Result<Event, Error>>,
    pub(super) acks: mpsc::UnboundedReceiver<u64>,
    pub(super) stopped: mpsc::Receiver<()>,
    pub(super) follow: bool,
    pub(super) maintenance: Option<JoinHandle<()>>,
    /// One-time prekeys that were used since the prekeys were last looked after, and when that was.
    pub(super) used: u32,
    pub(super) looked_after: Instant,
    /// Whether this connection has brought a message.
    pub(super) brought: bool,
    /// Conversations that look different now.
    pub(super) changes: mpsc::UnboundedReceiver<ConversationId>,
    /// What was told of the clock.
    told_clock: Option<WrongClock>,
    _lock: Lock,
}

/// Why a step of a connection is the last.
pub(super) enum Broken {
    /// The receiver is gone.
    Gone,
    /// Something failed.
    By(Error),
}

impl<E: Into<Error>> From<E> for Broken {
    fn from(error: E) -> Self {
        Self::By(error.into())
    }
}

/// What is to be tried again.
#[derive(Clone, Copy)]
pub(super) enum Again {
    /// All for which there is reason.
    All,
    /// What waited for events of this room.
    Room(RoomId),
    /// What waited for the user.
    Accepted,
}

impl Line {
    pub(super) fn new(
        receiving: Arc<Receiving>,
        shared: Arc<Shared>,
        events: mpsc::Sender<Result<Event, Error>>,
        acks: mpsc::UnboundedReceiver<u64>,
        stopped: mpsc::Receiver<()>,
        follow: bool,
        lock: Lock,
    ) -> Self {
        let (changes, looked_after) = (receiving.listen(), Instant::now());
        Self {
            receiving,
            shared,
            events,
            acks,
            stopped,
            follow,
            maintenance: None,
            used: 0,
            looked_after,
            brought: false,
            changes,
            told_clock: None,
            _lock: lock,
        }
    }

    /// Tells that the clock is wrong, once for as long as it is.
    pub(super) async fn tell_clock(&mut self) -> Result<(), Broken> {
        let wrong = self.receiving.api.wrong_clock();
        if let Some(clock) = wrong.filter(|_| self.told_clock.is_none()) {
            self.events.send(Ok(Event::WrongClock(clock))).await.map_err(|_| Broken::Gone)?;
        }
        self.told_clock = wrong;
        Ok(())
    }

    /// The conversations that look different, each once.
    pub(super) fn changed(&mut self, first: ConversationId) -> BTreeSet<ConversationId> {
        let mut changed = BTreeSet::from([first]);
        while let Ok(more) = self.changes.try_recv() {
            changed.insert(more);
        }
        changed
    }

    /// The positions that are to be acknowledged now.
    pub(super) fn drain(&mut self) -> Vec<u64> {
        let mut positions = Vec::new();
        while let Ok(seq) = self.acks.try_recv() {
            positions.push(seq);
        }
        positions
    }

    /// Gives an event to the receiver. While there is no room, acknowledgements still go out. A line that breaks
    /// meanwhile is told of only when the event is given: a message that counts as given out does not come again.
    pub(super) async fn emit(&mut self, socket: &mut Socket, event: Event) -> Result<(), Broken> {
        let mut line = Ok(());
        loop {
            let seq = tokio::select! {
                permit = self.events.reserve() => {
                    permit.map_err(|_| Broken::Gone)?.send(Ok(event));
                    return line;
                }
                Some(seq) = self.acks.recv(), if line.is_ok() => seq,
            };
            let mut positions = vec![seq];
            positions.extend(self.drain());
            line = socket.ack(positions).await.map_err(Broken::from);
        }
    }

    /// Looks after the prekeys, and what is known of people, beside the receiving; only one look at a time.
    pub(super) fn maintain(&mut self) {
        if self.maintenance.as_ref().is_none_or(JoinHandle::is_finished) {
            (self.used, self.looked_after) = (0, Instant::now());
            let receiving = self.receiving.clone();
            let events = self.events.clone();
            self.maintenance = Some(spawn(async move {
                match receiving.maintain_prekeys().await {
                    // Nobody who listens any more: the log says it.
                    Ok(true) => drop(events.send(Ok(Event::PrekeysReplaced)).await),
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(%error, "the prekeys could not be looked after; tried again with the next connection");
                    }
                }
                if let Err(error) = receiving.refresh_memberships().await {
                    tracing::warn!(%error, "what is known of people could not be looked through");
                }
            }));
        }
    }
}
