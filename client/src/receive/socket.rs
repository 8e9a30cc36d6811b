//! One task holds the socket: it takes in what comes, gives it out, and sends acknowledgements; it connects again when it
//! has to.

use std::time::Duration;

use futures::future::ready;
use futures::stream::FuturesOrdered;
use futures::{FutureExt as _, StreamExt as _};
use sotto_wire::api::{Notice, ServerFrame};
use sotto_wire::close::CloseCode;
use sotto_wire::{ApiError, ErrorCode};

use super::event::{Event, RefusedElsewhere};
use super::line::{Again, Broken, CLOSING, Line};
use super::taking::{Opened, TOGETHER};
use crate::core::error::{Error, ProfileError, Refusal, TransportError};
use crate::core::platform::{BoxFuture, Instant, boxed, interval, sleep, timeout};
use crate::core::retry::{Backoff, random};
use crate::store::MessageState;
use crate::talk::view::ConversationId;
use crate::transport::ws::{Incoming, Socket};

/// A sign of life is asked for this often, and must have come within the next three.
const PING: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(95);
/// The prekeys are looked after at least this often, and after messages have used some.
const MAINTENANCE: Duration = Duration::from_hours(1);
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// Frames, or deliveries that came together, that are opened while others are given out: enough to keep the processors busy.
const AHEAD: usize = 4;
/// Attempts to connect, where the receiver does not follow.
const ATTEMPTS: u32 = 4;

/// Why a connection is over.
enum End {
    /// The receiver has stopped.
    Stopped,
    /// It broke.
    Broken(Error),
}

impl Line {
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
                    self.come(&mut socket, incoming, &mut ahead)
                }
                () = ping.tick() => {
                    if self.used > 0 || self.looked_after.elapsed() > MAINTENANCE {
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

    /// Begins with what has come, and with the deliveries that are there behind it.
    fn come(
        &self,
        socket: &mut Socket,
        first: Result<Incoming, Error>,
        ahead: &mut FuturesOrdered<BoxFuture<'static, Next>>,
    ) -> Result<(), Broken> {
        let (mut deliveries, mut incoming, mut other) = (Vec::new(), first, None);
        loop {
            match incoming {
                Ok(Incoming::Frame(frame)) => match *frame {
                    ServerFrame::Delivery(delivery) => deliveries.push(delivery),
                    frame => other = Some(frame),
                },
                Ok(Incoming::Alive) => {}
                Ok(Incoming::Closed(code)) => return Err(self.closed(code).into()),
                Err(error) => return Err(error.into()),
            }
            let more = other.is_none() && (1..TOGETHER).contains(&deliveries.len());
            match more.then(|| socket.next().now_or_never()).flatten() {
                Some(next) => incoming = next,
                None => break,
            }
        }
        if !deliveries.is_empty() {
            let opening = self.begin(deliveries);
            ahead.push_back(boxed(async move { Next::Opened(opening.await) }));
        }
        if let Some(frame) = other {
            ahead.push_back(boxed(ready(Next::Frame(frame))));
        }
        Ok(())
    }

    /// Tells of conversations that look different. Whoever keeps nothing shows nothing.
    async fn tell(&mut self, socket: &mut Socket, changed: ConversationId) -> Result<(), Broken> {
        for conversation in self.changed(changed) {
            self.emit(socket, Event::Changed(conversation)).await?;
        }
        Ok(())
    }

    /// Goes on with what is next.
    async fn next(&mut self, socket: &mut Socket, next: Next) -> Result<(), Broken> {
        let frame = match next {
            Next::Frame(frame) => frame,
            Next::Opened(opened) => return self.opened(socket, opened).await,
        };
        match frame {
            // Taken together with those that came with it.
            ServerFrame::Delivery(delivery) => self.delivery(socket, delivery).await,
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
                let devices = self.receiving.own_devices_now().await?;
                if !devices.is_empty() {
                    self.emit(socket, Event::Devices(devices)).await?;
                }
                self.maintain();
                // What they wait for may have come to another process, or before a crash.
                self.try_again(socket, Again::All).await?;
                let shared = self.shared.clone();
                self.receiving.tell_gaps(move |key, index| shared.is_here(key, index)).await?;
                self.tell_waiting(socket).await?;
                self.emit(socket, Event::CaughtUp).await
            }
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

/// What has been begun with.
enum Next {
    Frame(ServerFrame),
    Opened(Opened),
}
