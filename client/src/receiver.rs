//! Receiving: one task holds the socket, opens what comes, and sends acknowledgements; it connects again when it has to.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sotto_crypto::{Address, Domain, MessageId};
use sotto_wire::api::{Delivery, Notice, ServerFrame};
use sotto_wire::content::{Body, Conversation, Presence};
use sotto_wire::room::RoomId;
use sotto_wire::{ApiError, ErrorCode, limits};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::apply::{Class, class};
use crate::client::{Client, Inner};
use crate::clock::now_ms;
use crate::error::{Error, ProfileError, Refusal, TransportError};
use crate::inbox::{Outcome, Receipt, ReceivedMessage, UnopenedMessage};
use crate::profile::Lock;
use crate::store::{MessageKey, MessageState};
use crate::transport::retry::{Backoff, random};
use crate::transport::ws::{Incoming, Socket};
use crate::view::ConversationId;

/// Events that may wait for the receiver. The relay has at most 64 deliveries unacknowledged.
const EVENTS: usize = 64;
/// A sign of life is asked for this often, and must have come within the next three.
const PING: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(95);
/// The prekeys are looked after at least this often, and after messages have used some.
const MAINTENANCE: Duration = Duration::from_hours(1);
/// For a last exchange with the relay when receiving ends.
const CLOSING: Duration = Duration::from_secs(5);
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// Attempts to connect, where the receiver does not follow.
const ATTEMPTS: u32 = 4;

/// What happens while receiving.
#[non_exhaustive]
pub enum Event {
    /// A message, to be acknowledged when it is handled.
    Message(Box<ReceivedMessage>),
    /// A delivery that cannot be shown, to be acknowledged unless it may open later.
    Unopened(Box<UnopenedMessage>),
    /// A message that was sent from here was refused by another network.
    Refused(RefusedElsewhere),
    /// All that was waiting when the connection was made has come.
    CaughtUp,
    /// The connection broke, and is made again after this time.
    Disconnected(Error, Duration),
    /// What is shown of this conversation has changed: [`Client::conversation`] and [`Client::messages`] give it anew.
    Changed(ConversationId),
    /// Somebody types in a conversation, or has stopped.
    Typing {
        /// Where.
        conversation: ConversationId,
        /// Who.
        who: Address,
        /// Whether they type.
        on: bool,
    },
    /// Somebody shows their presence.
    Presence {
        /// Who.
        who: Address,
        /// How.
        state: Presence,
    },
}

/// A message that was accepted by our relay and refused by another network.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RefusedElsewhere {
    /// The message.
    pub message: MessageId,
    /// Who refused it.
    pub domain: Domain,
    /// The code of the refusal.
    pub code: String,
    /// For people.
    pub reason: String,
}

/// Receives for one device. Only one at a time does for a profile.
pub struct Receiver {
    events: mpsc::Receiver<Result<Event, Error>>,
    acker: Acker,
    /// Dropped to ask the task to end.
    stop: Option<mpsc::Sender<()>>,
    task: JoinHandle<()>,
    /// Sends what waits in the outbox.
    outbox: Option<JoinHandle<()>>,
}

/// Acknowledges, from any task.
#[derive(Clone)]
pub struct Acker {
    inner: Arc<Inner>,
    shared: Arc<Shared>,
    positions: mpsc::UnboundedSender<u64>,
}

/// Messages that were given out and are not acknowledged yet, so that a repeat after a new connection is not given out
/// again.
#[derive(Default)]
struct Shared {
    in_flight: Mutex<HashMap<MessageKey, u64>>,
}

impl Client {
    /// Starts to receive. With `follow`, a broken connection is made again for as long as the receiver lives; without,
    /// the receiver gives up after a few attempts.
    pub fn receive(&self, follow: bool) -> Result<Receiver, Error> {
        let lock = self.inner.profile.lock_for_receiving()?;
        let (events_in, events) = mpsc::channel(EVENTS);
        let (positions, acks) = mpsc::unbounded_channel();
        let (stop, stopped) = mpsc::channel(1);
        let shared = Arc::new(Shared::default());
        let pump = Pump {
            inner: self.inner.clone(),
            shared: shared.clone(),
            events: events_in,
            acks,
            stopped,
            follow,
            maintenance: None,
            opened: 0,
            looked_after: Instant::now(),
            brought: false,
            changes: self.inner.listen(),
            _lock: lock,
        };
        let task = tokio::spawn(pump.run());
        let outbox = (follow && self.inner.keep).then(|| {
            let inner = self.inner.clone();
            tokio::spawn(async move { inner.keep_pumping().await })
        });
        let acker = Acker { inner: self.inner.clone(), shared, positions };
        Ok(Receiver { events, acker, stop: Some(stop), task, outbox })
    }
}

impl Receiver {
    /// The next event. `None` when receiving has ended, after an error has said why. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        self.events.recv().await
    }

    /// To acknowledge from other tasks.
    pub fn acker(&self) -> Acker {
        self.acker.clone()
    }

    /// Acknowledges one message.
    pub async fn ack(&self, receipt: Receipt) -> Result<(), Error> {
        self.acker.ack(vec![receipt]).await
    }

    /// Ends, when the relay has heard of every acknowledgement, and the senders of what has come.
    pub async fn close(mut self) {
        self.stop = None;
        // Room for what the task still wants to say.
        self.events.close();
        let _ = timeout(2 * CLOSING, &mut self.task).await;
        if self.acker.inner.keep {
            let _ = self.acker.inner.pump(Instant::now() + CLOSING, None).await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(outbox) = &self.outbox {
            outbox.abort();
        }
    }
}

impl Acker {
    /// Acknowledges: makes durable here that they were received (in one transaction), deletes the one-time secrets, and
    /// then tells the relay, which forgets them.
    pub async fn ack(&self, receipts: Vec<Receipt>) -> Result<(), Error> {
        let now = now_ms();
        let receipts = self
            .inner
            .store
            .run(move |tx| {
                receipts.iter().try_for_each(|r| r.settle(tx, now))?;
                Ok(receipts)
            })
            .await?;
        for receipt in &receipts {
            if let Some(conversation) = receipt.conversation() {
                self.inner.changed(conversation);
            }
        }
        self.inner.wake();
        let mut in_flight = self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        for receipt in receipts {
            // A repeat may have come at another position meanwhile.
            let again = receipt.key.and_then(|key| in_flight.remove(&key)).filter(|seq| *seq != receipt.seq);
            for seq in again.into_iter().chain([receipt.seq]) {
                // When the task has ended, the relay delivers again, and the repeat is dropped then.
                let _ = self.positions.send(seq);
            }
        }
        Ok(())
    }
}

/// The task that holds the socket.
struct Pump {
    inner: Arc<Inner>,
    shared: Arc<Shared>,
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

/// Why a connection is over.
enum End {
    /// The receiver has stopped.
    Stopped,
    /// It broke.
    Broken(Error),
}

impl Pump {
    async fn run(mut self) {
        let mut backoff = RECONNECT;
        let mut failures = 0;
        loop {
            let inner = self.inner.clone();
            let Some(connected) = self.meanwhile(inner.api.socket()).await else { return self.finish().await };
            let error = match connected {
                Ok(socket) => {
                    // What could not be sent can be now.
                    self.inner.forget_backoff();
                    self.inner.wake();
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
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
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
                    socket.ack(positions).await
                }
                Some(changed) = self.changes.recv() => self.tell(&mut socket, changed).await,
                incoming = socket.next() => {
                    heard = Instant::now();
                    match incoming {
                        Ok(Incoming::Frame(frame)) => self.frame(&mut socket, *frame).await,
                        Ok(Incoming::Alive) => Ok(()),
                        Ok(Incoming::Closed(code)) => Err(self.closed(code)),
                        Err(error) => Err(error),
                    }
                }
                _ = ping.tick() => {
                    if self.opened > 0 || self.looked_after.elapsed() > MAINTENANCE {
                        self.maintain();
                    }
                    if heard.elapsed() > SILENCE {
                        Err(TransportError::Timeout { relay: self.inner.account.endpoint.url.clone() }.into())
                    } else {
                        socket.ping().await
                    }
                }
            };
            match step {
                Ok(()) => {}
                Err(Error::Internal(GONE)) => {
                    let rest = self.drain();
                    if !rest.is_empty() {
                        let _ = socket.ack(rest).await;
                    }
                    socket.close(CLOSING).await;
                    return End::Stopped;
                }
                Err(error) => return End::Broken(error),
            }
        }
    }

    /// Tells of conversations that look different. Whoever keeps nothing shows nothing.
    async fn tell(&mut self, socket: &mut Socket, changed: ConversationId) -> Result<(), Error> {
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

    async fn frame(&mut self, socket: &mut Socket, frame: ServerFrame) -> Result<(), Error> {
        match frame {
            ServerFrame::Delivery(delivery) => match self.delivery(socket, delivery).await? {
                Some(room) => self.open_held(socket, Some(room)).await,
                None => Ok(()),
            },
            ServerFrame::Notice(notice) => {
                let seq = notice.seq;
                let refused = self.note(notice).await?;
                self.emit(socket, Event::Refused(refused)).await?;
                socket.ack(vec![seq]).await
            }
            ServerFrame::Signal(signal) => match self.inner.heard(signal).await? {
                Some(event) if self.inner.keep => self.emit(socket, event).await,
                _ => Ok(()),
            },
            ServerFrame::CaughtUp => {
                self.maintain();
                // The events may have come to another process, or before a crash.
                self.open_held(socket, None).await?;
                self.emit(socket, Event::CaughtUp).await
            }
        }
    }

    /// One delivery. Gives the room whose events have come with it: what waited for them may be opened now.
    async fn delivery(&mut self, socket: &mut Socket, delivery: Delivery) -> Result<Option<RoomId>, Error> {
        let seq = delivery.seq;
        match self.inner.open(delivery).await? {
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
            // Where too many wait already, the relay keeps it.
            Outcome::Held(held) => {
                if self.inner.hold(*held).await? {
                    socket.ack(vec![seq]).await?;
                }
            }
            Outcome::Message(message) => {
                self.brought = true;
                self.opened += 1;
                if self.opened >= limits::PREKEYS_A_BATCH / 2 {
                    self.maintain();
                }
                // A retention process keeps what was said, however short its life was meant to be.
                let over = message.expires_at_ms.is_some_and(|end| end <= now_ms());
                if self.inner.keep && (over || is_silent(&message)) {
                    self.settle(message.receipt(), over).await?;
                    socket.ack(vec![seq]).await?;
                    return Ok(events_of(&message));
                }
                if self.give_out(&message) {
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

    /// Opens again what waits for events of this room, or of any.
    async fn open_held(&mut self, socket: &mut Socket, room: Option<RoomId>) -> Result<(), Error> {
        for held in self.inner.held(room).await? {
            let key = (held.key.sender, held.key.device, held.key.message);
            // Looked at before the store is: what is acknowledged is there before it is not in flight any more.
            let given_out = self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&key);
            if let Some(delivery) = minicbor::decode(&held.delivery).ok().filter(|_| !given_out) {
                self.delivery(socket, delivery).await?;
            }
        }
        Ok(())
    }

    /// Takes a message in that nobody is told of. One that ended before it came is remembered without being kept.
    async fn settle(&self, mut receipt: Receipt, over: bool) -> Result<(), Error> {
        if over {
            receipt.forget_content();
        }
        let conversation = receipt.conversation().map(ToOwned::to_owned);
        self.inner.store.run(move |tx| receipt.settle(tx, now_ms())).await?;
        if let Some(conversation) = conversation {
            self.inner.changed(&conversation);
        }
        Ok(())
    }

    /// Whether a message that is not in flight was acknowledged while it was opened: then it is a repeat.
    async fn was_settled(&self, message: &ReceivedMessage) -> Result<bool, Error> {
        let Some(key) = message.receipt.key.clone() else { return Ok(false) };
        let name = key.clone();
        let settled = self.inner.store.run(move |tx| tx.has_seen(&name)).await;
        // Where the store does not say, it is not given out, and has to come again.
        if !matches!(settled, Ok(false)) {
            self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        }
        settled
    }

    /// Whether this message is to be given out: not when it was before and waits for its acknowledgement.
    fn give_out(&self, message: &ReceivedMessage) -> bool {
        let Some(key) = message.receipt.key.clone() else { return true };
        let mut in_flight = self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        in_flight.insert(key, message.receipt.seq).is_none()
    }

    /// Gives an event to the receiver. While there is no room, acknowledgements still go out. A line that breaks
    /// meanwhile is told of only when the event is given: a message that counts as given out does not come again.
    async fn emit(&mut self, socket: &mut Socket, event: Event) -> Result<(), Error> {
        let mut line = Ok(());
        loop {
            let seq = tokio::select! {
                permit = self.events.reserve() => {
                    permit.map_err(|_| Error::Internal(GONE))?.send(Ok(event));
                    return line;
                }
                Some(seq) = self.acks.recv(), if line.is_ok() => seq,
            };
            let mut positions = vec![seq];
            positions.extend(self.drain());
            line = socket.ack(positions).await;
        }
    }

    /// Puts a refusal into the local history.
    async fn note(&self, notice: Notice) -> Result<RefusedElsewhere, Error> {
        let account = &self.inner.account;
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
            .inner
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
            self.inner.changed(&conversation);
        }
        Ok(refused)
    }

    /// Looks after the prekeys beside the receiving; only one look at a time.
    fn maintain(&mut self) {
        if self.maintenance.as_ref().is_none_or(JoinHandle::is_finished) {
            (self.opened, self.looked_after) = (0, Instant::now());
            let inner = self.inner.clone();
            self.maintenance = Some(tokio::spawn(async move {
                if let Err(error) = inner.maintain_prekeys().await {
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

    /// What the relay means by closing (relay/src/socket: its close codes).
    fn closed(&self, code: Option<u16>) -> Error {
        let account = &self.inner.account;
        match code {
            Some(4001) => {
                ProfileError::Busy { dir: self.inner.profile.dir().to_owned(), doing: "receiving elsewhere" }.into()
            }
            Some(4003) => ApiError::new(ErrorCode::Suspended, "you are suspended; ask the administrator").into(),
            Some(4004) => Refusal::DeviceRemoved(account.device).into(),
            _ => TransportError::Unreachable {
                relay: account.endpoint.url.clone(),
                reason: "the relay closed the connection".to_owned(),
            }
            .into(),
        }
    }
}

/// Whether a message is for the store only, and no event.
fn is_silent(message: &ReceivedMessage) -> bool {
    matches!(class(&message.content.body), Class::Receipt | Class::Signal | Class::Room)
}

/// The room whose events a message has brought.
fn events_of(message: &ReceivedMessage) -> Option<RoomId> {
    match (&message.content.body, &message.conversation) {
        (Body::Room(_), Conversation::Room(room)) => Some(*room),
        _ => None,
    }
}

/// The receiver is gone.
const GONE: &str = "the receiver is gone";

/// The people whom an event is about, for those who show it.
impl Event {
    /// Who sent what this event is about, where somebody did.
    pub fn sender(&self) -> Option<&Address> {
        match self {
            Self::Message(message) => Some(&message.sender),
            Self::Unopened(unopened) => unopened.sender.as_ref(),
            _ => None,
        }
    }
}
