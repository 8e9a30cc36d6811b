//! One task holds the socket: it takes in what comes, gives it out, and sends acknowledgements; it connects again when it
//! has to.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::ready;
use futures::stream::FuturesOrdered;
use sotto_wire::api::{Delivery, Notice, ServerFrame};
use sotto_wire::close::CloseCode;
use sotto_wire::content::{Body, Conversation};
use sotto_wire::room::RoomId;
use sotto_wire::{ApiError, ErrorCode, limits};
use tokio::sync::mpsc;

use super::event::{Event, RefusedElsewhere};
use super::message::{Receipt, ReceivedMessage};
use super::open::{Outcome, Unsealed};
use super::prekeys::REPLAY_MS;
use super::state::Receiving;
use crate::core::clock::now_ms;
use crate::core::error::{Error, ProfileError, Refusal, TransportError};
use crate::core::platform::{BoxFuture, Instant, JoinHandle, boxed, interval, sleep, spawn, timeout};
use crate::core::retry::{Backoff, random};
use crate::store::profile::Lock;
use crate::store::{Exact, MessageState, Seen};
use crate::talk::apply::{Class, class};
use crate::talk::view::ConversationId;
use crate::transport::ws::{Incoming, Socket};

/// A sign of life is asked for this often, and must have come within the next three.
const PING: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(95);
/// The prekeys are looked after at least this often, and after messages have used some.
const MAINTENANCE: Duration = Duration::from_hours(1);
/// For a last exchange with the relay when receiving ends.
pub(super) const CLOSING: Duration = Duration::from_secs(5);
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// Deliveries that are opened at the same time: as many as keep the processors busy while one is given out.
const AHEAD: usize = 16;
/// Attempts to connect, where the receiver does not follow.
const ATTEMPTS: u32 = 4;

/// Messages that were given out and are not acknowledged yet, so that a repeat after a new connection is not given out
/// again.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) in_flight: Mutex<HashMap<Exact, u64>>,
    /// Acknowledged, and not durable yet.
    pub(super) to_settle: Mutex<Vec<Receipt>>,
    /// One settles at a time.
    pub(super) settling: tokio::sync::Mutex<()>,
}

impl Shared {
    pub(super) fn take_to_settle(&self) -> Vec<Receipt> {
        std::mem::take(&mut *self.to_settle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The task that holds the socket.
pub(super) struct Line {
    pub(super) receiving: Arc<Receiving>,
    pub(super) shared: Arc<Shared>,
    events: mpsc::Sender<Result<Event, Error>>,
    acks: mpsc::UnboundedReceiver<u64>,
    stopped: mpsc::Receiver<()>,
    follow: bool,
    maintenance: Option<JoinHandle<()>>,
    /// Messages since the prekeys were last looked after, and when that was.
    opened: u32,
    looked_after: Instant,
    /// Whether this connection has brought a message.
    brought: bool,
    /// Conversations that look different now.
    changes: mpsc::UnboundedReceiver<ConversationId>,
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

/// Why a connection is over.
enum End {
    /// The receiver has stopped.
    Stopped,
    /// It broke.
    Broken(Error),
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
            opened: 0,
            looked_after,
            brought: false,
            changes,
            _lock: lock,
        }
    }

    pub(super) async fn run(mut self) {
        let mut backoff = RECONNECT;
        let mut failures = 0;
        loop {
            let receiving = self.receiving.clone();
            let Some(connected) = self.meanwhile(receiving.api.socket()).await else { return self.finish().await };
            let error = match connected {
                Ok(socket) => {
                    // What could not be sent can be now.
                    self.receiving.connected();
                    let since = Instant::now();
                    match self.converse(socket).await {
                        End::Stopped => return self.finish().await,
                        End::Broken(error) => {
                            // It has lasted, or was good for something.
                            if since.elapsed() > Duration::from_secs(10) || std::mem::take(&mut self.brought) {
                                backoff.reset();
                                failures = 0;
                            }
                            error
                        }
                    }
                }
                Err(error) => error,
            };
            failures += 1;
            if !error.is_retryable() || !(self.follow || failures < ATTEMPTS) {
                let _ = self.events.send(Err(error)).await;
                return self.finish().await;
            }
            let wait = backoff.next(random());
            if self.events.send(Ok(Event::Disconnected(error, wait))).await.is_err() {
                return self.finish().await;
            }
            if self.meanwhile(sleep(wait)).await.is_none() {
                return self.finish().await;
            }
        }
    }

    /// Waits for something while there is no connection. `None` when the receiver stops first.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            let changed = tokio::select! {
                done = &mut work => return Some(done),
                _ = self.stopped.recv() => return None,
                Some(changed) = self.changes.recv() => changed,
            };
            for conversation in self.changed(changed) {
                tokio::select! {
                    done = &mut work => return Some(done),
                    sent = self.events.send(Ok(Event::Changed(conversation))) => sent.ok()?,
                }
            }
        }
    }

    /// The conversations that look different, each once.
    fn changed(&mut self, first: ConversationId) -> BTreeSet<ConversationId> {
        let mut changed = BTreeSet::from([first]);
        while let Ok(more) = self.changes.try_recv() {
            changed.insert(more);
        }
        changed
    }

    /// One connection, from the first frame to its end.
    async fn converse(&mut self, mut socket: Socket) -> End {
        let mut ping = interval(PING);
        let mut heard = Instant::now();
        let receiving = self.receiving.clone();
        let mut ahead = FuturesOrdered::new();
        loop {
            let step = tokio::select! {
                biased;
                _ = self.stopped.recv() => {
                    let rest = self.drain();
                    if !rest.is_empty() {
                        let _ = socket.ack(rest).await;
                    }
                    socket.close(CLOSING).await;
                    return End::Stopped;
                }
                Some(first) = self.acks.recv() => {
                    let mut positions = vec![first];
                    positions.extend(self.drain());
                    socket.ack(positions).await.map_err(Broken::from)
                }
                Some(changed) = self.changes.recv() => self.tell(&mut socket, changed).await,
                () = receiving.acknowledged.notified() => self.try_again(&mut socket, Again::Accepted).await,
                Some(next) = ahead.next(), if !ahead.is_empty() => self.next(&mut socket, next).await,
                incoming = socket.next(), if ahead.len() < AHEAD => {
                    heard = Instant::now();
                    match incoming {
                        Ok(Incoming::Frame(frame)) => {
                            ahead.push_back(self.begin(*frame));
                            Ok(())
                        }
                        Ok(Incoming::Alive) => Ok(()),
                        Ok(Incoming::Closed(code)) => Err(self.closed(code).into()),
                        Err(error) => Err(error.into()),
                    }
                }
                () = ping.tick() => {
                    if self.opened > 0 || self.looked_after.elapsed() > MAINTENANCE {
                        self.maintain();
                    }
                    if heard.elapsed() > SILENCE {
                        let relay = self.receiving.account.endpoint.url.clone();
                        Err(Error::from(TransportError::Timeout { relay }).into())
                    } else {
                        socket.ping().await.map_err(Broken::from)
                    }
                }
            };
            match step {
                Ok(()) => {}
                Err(Broken::Gone) => {
                    let rest = self.drain();
                    if !rest.is_empty() {
                        let _ = socket.ack(rest).await;
                    }
                    socket.close(CLOSING).await;
                    return End::Stopped;
                }
                Err(Broken::By(error)) => return End::Broken(error),
            }
        }
    }

    /// Tells of conversations that look different. Whoever keeps nothing shows nothing.
    async fn tell(&mut self, socket: &mut Socket, changed: ConversationId) -> Result<(), Broken> {
        for conversation in self.changed(changed) {
            self.emit(socket, Event::Changed(conversation)).await?;
        }
        Ok(())
    }

    fn drain(&mut self) -> Vec<u64> {
        let mut positions = Vec::new();
        while let Ok(seq) = self.acks.try_recv() {
            positions.push(seq);
        }
        positions
    }

    /// Begins with a frame. Deliveries are opened side by side, on all processors, and go on in the order in which they came.
    fn begin(&self, frame: ServerFrame) -> BoxFuture<'static, Next> {
        let ServerFrame::Delivery(delivery) = frame else { return boxed(ready(Next::Frame(frame))) };
        let (receiving, again) = (self.receiving.clone(), delivery.clone());
        let opening = spawn(async move { receiving.unseal(delivery).await });
        boxed(async move {
            let opened = opening.await.unwrap_or(Err(Error::Internal("a message could not be opened")));
            Next::Opened(Box::new((again, opened)))
        })
    }

    /// Goes on with a frame.
    async fn next(&mut self, socket: &mut Socket, next: Next) -> Result<(), Broken> {
        let frame = match next {
            Next::Frame(frame) => frame,
            Next::Opened(opened) => {
                let (delivery, opened) = *opened;
                let taken = match opened {
                    Ok(opened) => self.receiving.take_in_opened(opened).await,
                    Err(error) => Err(error),
                };
                let seq = delivery.seq;
                let outcome = self.or_aside(taken, &delivery)?;
                return match self.outcome(socket, seq, outcome).await? {
                    Some(room) => self.try_again(socket, Again::Room(room)).await,
                    None => Ok(()),
                };
            }
        };
        match frame {
            // Opened before.
            ServerFrame::Delivery(_) => Ok(()),
            ServerFrame::Notice(notice) => {
                let seq = notice.seq;
                let refused = self.note(notice).await?;
                self.emit(socket, Event::Refused(refused)).await?;
                Ok(socket.ack(vec![seq]).await?)
            }
            ServerFrame::Signal(signal) => match self.receiving.heard(signal).await? {
                Some(event) if self.receiving.purpose.keeps_history() => self.emit(socket, event).await,
                _ => Ok(()),
            },
            ServerFrame::CaughtUp => {
                self.maintain();
                // What they wait for may have come to another process, or before a crash.
                self.try_again(socket, Again::All).await?;
                self.tell_waiting(socket).await?;
                self.emit(socket, Event::CaughtUp).await
            }
        }
    }

    /// One delivery. Gives the room whose events have come with it: what waited for them may be opened now.
    pub(super) async fn delivery(&mut self, socket: &mut Socket, delivery: Delivery) -> Result<Option<RoomId>, Broken> {
        let seq = delivery.seq;
        let taken = self.receiving.take_in(delivery.clone()).await;
        let outcome = self.or_aside(taken, &delivery)?;
        self.outcome(socket, seq, outcome).await
    }

    async fn outcome(&mut self, socket: &mut Socket, seq: u64, outcome: Outcome) -> Result<Option<RoomId>, Broken> {
        match outcome {
            Outcome::Repeat => {
                // The relay hears now what it had not heard: that brings things forward as well.
                self.brought = true;
                socket.ack(vec![seq]).await?;
            }
            Outcome::Unopened(unopened) => self.emit(socket, Event::Unopened(unopened)).await?,
            Outcome::Dropped(receipt) => {
                self.settle(receipt, true).await?;
                socket.ack(vec![seq]).await?;
            }
            Outcome::Aside(aside) => {
                let now = now_ms();
                self.receiving
                    .store
                    .run(move |tx| {
                        if !tx.put_aside(&aside, now)?
                            && let Some(exact) = aside.exact()
                        {
                            // It was counted, and is not kept: a repeat of it is not counted again.
                            tx.mark_seen(&exact, now.saturating_add(REPLAY_MS))?;
                        }
                        Ok(())
                    })
                    .await?;
                socket.ack(vec![seq]).await?;
            }
            Outcome::Message(mut message) => {
                self.brought = true;
                self.opened += 1;
                if self.opened >= limits::PREKEYS_A_BATCH / 2 {
                    self.maintain();
                }
                // A retention process keeps what was said, however short its life was meant to be.
                let over = message.expires_at_ms.is_some_and(|end| end <= now_ms());
                if self.receiving.purpose.keeps_history() && (over || is_silent(&message)) {
                    self.settle(message.receipt(), over).await?;
                    socket.ack(vec![seq]).await?;
                    return Ok(events_of(&message));
                }
                if self.give_out(&mut message) {
                    if self.was_settled(&message).await? {
                        socket.ack(vec![seq]).await?;
                    } else {
                        self.emit(socket, Event::Message(message)).await?;
                    }
                }
            }
        }
        Ok(None)
    }

    /// Takes a message in that nobody is told of. One that ended before it came is remembered without being kept.
    async fn settle(&self, mut receipt: Receipt, over: bool) -> Result<(), Error> {
        if over {
            receipt.forget_content();
        }
        let conversation = receipt.conversation().map(ToOwned::to_owned);
        self.receiving.store.run(move |tx| receipt.settle(tx, now_ms())).await?;
        if let Some(conversation) = conversation {
            self.receiving.changed(&conversation);
        }
        Ok(())
    }

    /// Whether a message that is not in flight was acknowledged while it was opened: then it is a repeat.
    async fn was_settled(&self, message: &ReceivedMessage) -> Result<bool, Error> {
        let Some(key) = message.receipt.key.clone() else { return Ok(false) };
        let name = key.clone();
        let settled = self.receiving.store.run(move |tx| Ok(tx.seen(&name)? == Seen::Same)).await;
        // Where the store does not say, it is not given out, and has to come again.
        if !matches!(settled, Ok(false)) {
            self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        }
        settled
    }

    /// Whether this message is to be given out: not when it was before and waits for its acknowledgement.
    fn give_out(&self, message: &mut ReceivedMessage) -> bool {
        let Some(exact) = message.receipt.key.clone() else { return true };
        let mut in_flight = self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        // The other one of its id may not be acknowledged yet.
        if in_flight.keys().any(|other| other.key == exact.key && *other != exact) {
            message.set_apart(&exact);
        }
        in_flight.insert(exact, message.receipt.seq).is_none()
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

    /// Puts a refusal into the local history.
    async fn note(&self, notice: Notice) -> Result<RefusedElsewhere, Error> {
        let account = &self.receiving.account;
        let key = (account.address.clone(), account.device, notice.message);
        let clean = |text: &str| text.chars().filter(|c| !c.is_control()).take(2000).collect::<String>();
        let refused = RefusedElsewhere {
            message: notice.message,
            domain: notice.domain,
            code: clean(&notice.code),
            reason: clean(&notice.reason),
        };
        let reason = format!("{}: {}", refused.domain, refused.reason);
        let conversation = self
            .receiving
            .store
            .run(move |tx| {
                let Some(mut message) = tx.message(&key)? else { return Ok(None) };
                message.state = MessageState::Refused;
                message.reason = Some(reason);
                tx.put_message(&message)?;
                Ok(Some(message.conversation))
            })
            .await?;
        if let Some(conversation) = conversation {
            self.receiving.changed(&conversation);
        }
        Ok(refused)
    }

    /// Looks after the prekeys beside the receiving; only one look at a time.
    fn maintain(&mut self) {
        if self.maintenance.as_ref().is_none_or(JoinHandle::is_finished) {
            (self.opened, self.looked_after) = (0, Instant::now());
            let receiving = self.receiving.clone();
            self.maintenance = Some(spawn(async move {
                if let Err(error) = receiving.maintain_prekeys().await {
                    tracing::warn!(%error, "the prekeys could not be looked after; tried again with the next connection");
                }
            }));
        }
    }

    async fn finish(&mut self) {
        if let Some(maintenance) = self.maintenance.take() {
            let _ = timeout(CLOSING, maintenance).await;
        }
    }

    /// What the relay means by closing.
    fn closed(&self, code: Option<CloseCode>) -> Error {
        let account = &self.receiving.account;
        match code {
            Some(CloseCode::Replaced) => {
                let dir = self.receiving.profile.dir().to_owned();
                ProfileError::Busy { dir, doing: "receiving elsewhere" }.into()
            }
            Some(CloseCode::Suspended) => ApiError::new(ErrorCode::Suspended, "you are suspended").into(),
            Some(CloseCode::Removed) => Refusal::DeviceRemoved(account.device).into(),
            Some(CloseCode::BadFrame) | None => TransportError::Unreachable {
                relay: account.endpoint.url.clone(),
                reason: "the relay closed the connection".to_owned(),
            }
            .into(),
        }
    }
}

/// What became of opening a delivery.
type Opening = Result<Result<Unsealed, Outcome>, Error>;

/// What has been begun with.
enum Next {
    Frame(ServerFrame),
    Opened(Box<(Delivery, Opening)>),
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

/// Whether a message is for the store only, and no event.
fn is_silent(message: &ReceivedMessage) -> bool {
    matches!(class(&message.content.body), Class::Receipt | Class::Signal | Class::Room)
}

/// The room whose events a message has brought.
fn events_of(message: &ReceivedMessage) -> Option<RoomId> {
    match (&message.content.body, &message.conversation) {
        // Where nothing was new, nothing has waited for it.
        (Body::Room(_), Conversation::Room(room)) if message.room_grew => Some(*room),
        _ => None,
    }
}
