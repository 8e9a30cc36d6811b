//! Receiving, as it is used: events come out, acknowledgements go in.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use super::event::Event;
use super::line::{CLOSING, Line, Shared};
use super::message::Receipt;
use super::state::Receiving;
use crate::core::error::Error;
use crate::core::platform::{BoxFuture, JoinHandle, spawn, timeout};

/// Events that may wait for the receiver. The relay has at most 64 deliveries unacknowledged.
const EVENTS: usize = 64;

/// Receives for one device. Only one at a time does for a profile.
pub struct Receiver {
    events: mpsc::Receiver<Result<Event, Error>>,
    acker: Acker,
    /// Dropped to ask the task to end.
    stop: Option<mpsc::Sender<()>>,
    task: JoinHandle<()>,
    beside: Option<Beside>,
}

/// Acknowledges, from any task.
#[derive(Clone)]
pub struct Acker {
    receiving: Arc<Receiving>,
    shared: Arc<Shared>,
    positions: mpsc::UnboundedSender<u64>,
}

/// What goes on beside receiving for as long as a receiver follows.
pub(crate) struct Beside {
    /// Sends what waits in the outbox.
    pub(crate) task: JoinHandle<()>,
    /// What is done at the end, within this time.
    pub(crate) last: Box<dyn FnOnce(Duration) -> BoxFuture<'static, ()> + Send + Sync>,
}

impl Receiver {
    /// Starts to receive. With `follow`, a broken connection is made again for as long as the receiver lives; without, the
    /// receiver gives up after a few attempts.
    pub(crate) fn start(
        receiving: &Arc<Receiving>,
        follow: bool,
        beside: impl FnOnce() -> Beside,
    ) -> Result<Self, Error> {
        let lock = receiving.profile.lock_for_receiving()?;
        let (events_in, events) = mpsc::channel(EVENTS);
        let (positions, acks) = mpsc::unbounded_channel();
        let (stop, stopped) = mpsc::channel(1);
        let shared = Arc::new(Shared::default());
        let line = Line::new(receiving.clone(), shared.clone(), events_in, acks, stopped, follow, lock);
        let task = spawn(line.run());
        let acker = Acker { receiving: receiving.clone(), shared, positions };
        Ok(Self { events, acker, stop: Some(stop), task, beside: Some(beside()) })
    }

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
        if let Some(beside) = self.beside.take() {
            beside.task.abort();
            (beside.last)(CLOSING).await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(beside) = &self.beside {
            beside.task.abort();
        }
    }
}

impl Acker {
    /// Acknowledges: makes durable here that they were received, deletes the one-time secrets, and then tells the relay, which
    /// forgets them. What is acknowledged while another acknowledgement is being written goes with the next one, in one
    /// transaction: flushing to the disk is what takes the time.
    pub async fn ack(&self, receipts: Vec<Receipt>) -> Result<(), Error> {
        self.shared.to_settle.lock().unwrap_or_else(PoisonError::into_inner).extend(receipts);
        let _turn = self.shared.settling.lock().await;
        let mut batch = Batch { shared: &self.shared, receipts: self.shared.take_to_settle() };
        if batch.receipts.is_empty() {
            // Whoever had the turn before has settled them.
            return Ok(());
        }
        self.shared.settle(&self.receiving, &batch.receipts).await?;
        let settled = std::mem::take(&mut batch.receipts);
        self.receiving.wake();
        let mut in_flight = self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        for receipt in settled {
            // A repeat may have come at another position meanwhile.
            let again = receipt.key.and_then(|key| in_flight.remove(&key)).map(|message| message.seq);
            let again = again.filter(|seq| *seq != receipt.seq);
            for seq in again.into_iter().chain([receipt.seq]) {
                // When the task has ended, the relay delivers again, and the repeat is dropped then.
                let _ = self.positions.send(seq);
            }
        }
        Ok(())
    }
}

/// Receipts that are being settled. Where that fails, or is cut off, they wait for the next turn: others wait for some of them.
struct Batch<'a> {
    shared: &'a Shared,
    receipts: Vec<Receipt>,
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let mut waiting = self.shared.to_settle.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.append(&mut self.receipts);
    }
}
