//! A device's socket: what waits is sent within a bounded window, and forgotten when the device has acknowledged it.

mod window;

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message};
use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, Sink, SinkExt as _, Stream, StreamExt as _};
use sotto_crypto::{decode_strict, encode};
use sotto_telemetry::names;
use sotto_wire::api::{ClientFrame, Delivery, ServerFrame};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::auth::Caller;
use crate::registry::{CloseReason, Connection};
use crate::state::App;
use crate::store::{Answer, Queued, QueuedItem};
use window::Window;

/// Bytes of one frame from a device: a few thousand acknowledgements.
pub(crate) const MAX_FRAME: usize = 64 * 1024;
/// How often the relay asks whether the device is there.
const PING: Duration = Duration::from_secs(30);
/// A device that is silent for so long is gone.
const SILENCE: Duration = Duration::from_secs(75);
/// How long one frame may take to leave.
const SEND: Duration = Duration::from_secs(30);
/// How long to wait for the other side's closing frame.
const FAREWELL: Duration = Duration::from_secs(2);
/// Acknowledgements that may be on their way to the disk.
const MAX_ACKS: usize = 16;

/// How a session ends.
enum End {
    /// The relay closes it.
    Close(CloseReason),
    /// The device is gone.
    Gone,
}

/// A socket, or what a test puts in its place.
pub(crate) trait Socket:
    Stream<Item = Result<Message, axum::Error>> + Sink<Message, Error = axum::Error> + Unpin + Send
{
}

impl<S> Socket for S where
    S: Stream<Item = Result<Message, axum::Error>> + Sink<Message, Error = axum::Error> + Unpin + Send
{
}

/// Serves a device until one side ends it.
pub(crate) async fn serve(app: &App, caller: &Caller, connection: Connection, mut socket: impl Socket) {
    let end = match admitted(app, caller).await {
        Ok(()) => Session::new(app, caller).run(&connection, &mut socket).await,
        Err(end) => end,
    };
    drop(connection);
    if let End::Close(reason) = end {
        let frame = CloseFrame { code: reason.code(), reason: reason.text().into() };
        let farewell = async {
            if socket.send(Message::Close(Some(frame))).await.is_ok() {
                // Reading on lets the frame arrive: a connection that is dropped with unread data is reset.
                while let Some(Ok(_)) = socket.next().await {}
            }
        };
        // Who does not answer is left to the operating system.
        let _ = timeout(FAREWELL, farewell).await;
    }
}

/// The caller was looked up before the socket was entered; what happened in between must not be missed.
async fn admitted(app: &App, caller: &Caller) -> Result<(), End> {
    match app.store.device(caller.device).await {
        Ok(Some(record)) if record.suspended => Err(End::Close(CloseReason::Suspended)),
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(End::Close(CloseReason::Removed)),
        Err(_) => Err(End::Close(CloseReason::Internal)),
    }
}

struct Session<'a> {
    app: &'a App,
    caller: &'a Caller,
    opened_at_ms: u64,
    window: Window,
    /// The last place that has been sent.
    cursor: u64,
    /// There may be more in the queue after `cursor`.
    more: bool,
    /// The last place that was taken when the socket opened, until it has been sent.
    caught_up_at: Option<u64>,
    acks: FuturesUnordered<Answer<'a, u64>>,
}

impl<'a> Session<'a> {
    fn new(app: &'a App, caller: &'a Caller) -> Self {
        Self {
            app,
            caller,
            opened_at_ms: app.now_ms(),
            window: Window::default(),
            cursor: 0,
            more: true,
            caught_up_at: None,
            acks: FuturesUnordered::new(),
        }
    }

    async fn run(&mut self, connection: &Connection, socket: &mut impl Socket) -> End {
        let end = self.work(connection, socket).await;
        // What has been acknowledged is worth a moment, also when the device is gone.
        let settle = async { while self.acks.next().await.is_some() {} };
        let _ = timeout(FAREWELL, settle).await;
        end
    }

    async fn work(&mut self, connection: &Connection, socket: &mut impl Socket) -> End {
        match self.app.store.mailbox_head(self.caller.device).await {
            Ok(head) => self.caught_up_at = Some(head),
            Err(_) => return End::Close(CloseReason::Internal),
        }
        let mut ping = interval_at(Instant::now() + PING, PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            if self.more && self.window.has_room() {
                let sent = tokio::select! {
                    reason = connection.closed() => return End::Close(reason),
                    sent = self.send_next(socket) => sent,
                };
                if let Err(end) = sent {
                    return end;
                }
                // Go on to read acknowledgements: `more` and the window say whether to send again.
            }
            let idle = !(self.more && self.window.has_room());
            tokio::select! {
                biased;
                reason = connection.closed() => return End::Close(reason),
                frame = socket.next(), if self.acks.len() < MAX_ACKS => {
                    heard = Instant::now();
                    if let Err(end) = self.heard(frame) {
                        return end;
                    }
                }
                Some(result) = self.acks.next() => match result {
                    Ok(forgotten) => metrics::counter!(names::MESSAGES_DELIVERED).increment(forgotten),
                    Err(_) => return End::Close(CloseReason::Internal),
                },
                Some(frame) = connection.signal() => {
                    if let Err(end) = send(socket, Message::Binary(frame)).await {
                        return end;
                    }
                }
                () = connection.woken() => self.more = true,
                _ = ping.tick() => {
                    if heard.elapsed() > SILENCE {
                        return End::Gone;
                    }
                    if let Err(end) = send(socket, Message::Ping(Bytes::new())).await {
                        return end;
                    }
                }
                () = std::future::ready(()), if !idle => {}
            }
        }
    }

    /// Sends what fits into the window.
    async fn send_next(&mut self, socket: &mut impl Socket) -> Result<(), End> {
        let now_ms = self.app.now_ms();
        let (count, bytes) = self.window.room();
        let entries = self
            .app
            .store
            .mailbox(self.caller.device, self.cursor, count, bytes, now_ms)
            .await
            .map_err(|_| End::Close(CloseReason::Internal))?;
        self.more = !entries.is_empty();
        for entry in entries {
            self.cursor = entry.seq;
            self.window.sent(entry.seq, entry.size(), entry.accepted_at_ms);
            send(socket, Message::Binary(encode(&frame(entry)).into())).await?;
        }
        if self.caught_up_at.is_some_and(|head| self.cursor >= head || !self.more) {
            self.caught_up_at = None;
            send(socket, Message::Binary(encode(&ServerFrame::CaughtUp).into())).await?;
        }
        Ok(())
    }

    fn heard(&mut self, frame: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        let bytes = match frame {
            Some(Ok(Message::Binary(bytes))) => bytes,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
            Some(Ok(Message::Text(_))) => return Err(End::Close(CloseReason::BadFrame)),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(End::Gone),
        };
        let Ok(ClientFrame::Ack(seqs)) = decode_strict(&bytes) else { return Err(End::Close(CloseReason::BadFrame)) };
        let now_ms = self.app.now_ms();
        for accepted_at_ms in seqs.iter().filter_map(|seq| self.window.acknowledged(*seq)) {
            // What waited for the device to come back says nothing about the relay.
            if accepted_at_ms >= self.opened_at_ms {
                #[expect(clippy::cast_precision_loss, reason = "milliseconds of a delivery")]
                let seconds = now_ms.saturating_sub(accepted_at_ms) as f64 / 1000.0;
                metrics::histogram!(names::DELIVERY_LATENCY).record(seconds);
            }
        }
        self.acks.push(self.app.store.ack(self.caller.device, seqs).boxed());
        Ok(())
    }
}

fn frame(entry: Queued) -> ServerFrame {
    let Queued { seq, accepted_at_ms, expires_at_ms, item } = entry;
    match item {
        QueuedItem::Message { header, body, prekey, key } => {
            ServerFrame::Delivery(Delivery { seq, header, body, prekey, key, accepted_at_ms, expires_at_ms })
        }
        QueuedItem::Notice(notice) => ServerFrame::Notice(notice),
    }
}

async fn send(socket: &mut impl Socket, message: Message) -> Result<(), End> {
    match timeout(SEND, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        // A device that does not read, or is not there: it comes back when it can, and nothing is lost.
        Ok(Err(_)) | Err(_) => Err(End::Gone),
    }
}
