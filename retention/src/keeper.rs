//! Keeps one message: attachment, record, and only then the acknowledgement. Whatever fails is tried again until it works
//! or the process ends; then the relay still has the message.

use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sotto_client::Backoff;
use sotto_telemetry::names;
use sotto_wire::content::File;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::destination::{Destination, DestinationError, Object, Spooled};
use crate::health::{Health, lag, now_ms};
use crate::item::Item;
use crate::name::{Names, ObjectName};
use crate::record::{Attachment, Record, Subject};

/// Where items come from.
pub(crate) trait Inbox: Send + Sync + 'static {
    /// What an acknowledgement needs.
    type Receipt: Clone + Send + Sync + 'static;

    /// Tells the relay that a message is kept.
    fn ack(&self, receipt: Self::Receipt) -> impl Future<Output = Result<(), String>> + Send;

    /// Downloads and opens a file.
    fn fetch(&self, file: &File, to: &Path) -> impl Future<Output = Result<u64, FetchError>> + Send;
}

/// Why a file cannot be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    /// It will never come: gone, refused, or not what the message says.
    #[error("{0}")]
    Gone(String),
    /// Who holds it does not give it now. Waited for, but not forever: a network that never answers must not keep us
    /// from everything else.
    #[error("{0}")]
    Refused(String),
    /// Our own relay cannot be reached now.
    #[error("{0}")]
    Unreachable(String),
    /// It cannot be written here.
    #[error("{0}")]
    Local(String),
}

/// How long things may take.
#[derive(Clone, Debug)]
pub(crate) struct Timing {
    /// Between two attempts at the destination: from, to.
    pub(crate) retry: (Duration, Duration),
    /// For somebody else's relay to give out a file.
    pub(crate) file: Duration,
    /// Storing takes long after this.
    pub(crate) slow: Duration,
    /// Storing stands still after this.
    pub(crate) stuck: Duration,
    /// Between two looks of the watchdog.
    pub(crate) look: Duration,
    /// For what is in hand when the process ends.
    pub(crate) drain: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            retry: (Duration::from_millis(500), Duration::from_mins(1)),
            file: Duration::from_mins(10),
            slow: Duration::from_secs(30),
            stuck: Duration::from_mins(5),
            look: Duration::from_secs(15),
            drain: Duration::from_secs(15),
        }
    }
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is durable, and the relay knows.
    Yes,
    /// The process ends first; the relay still has it.
    Interrupted,
}

/// Attachments that are fetched at the same time.
const FILES: usize = 4;
/// Names of what may fail, for log and readiness.
const STORING: &str = "storing records";
const ACKNOWLEDGING: &str = "acknowledging to the relay";

/// Keeps items.
pub(crate) struct Keeper<D> {
    destination: D,
    subject: Subject,
    pub(crate) health: Health,
    pub(crate) timing: Timing,
    stop: CancellationToken,
    files: Semaphore,
}

impl<D: Destination> Keeper<D> {
    /// Keeps at this destination, until `stop`.
    pub(crate) fn new(
        destination: D,
        subject: Subject,
        health: Health,
        timing: Timing,
        stop: CancellationToken,
    ) -> Self {
        Self { destination, subject, health, timing, stop, files: Semaphore::new(FILES) }
    }

    /// Keeps one item.
    pub(crate) async fn keep<I: Inbox>(&self, inbox: &I, item: Item<I::Receipt>) -> Kept {
        let _in_hand = self.health.take(item.accepted_at_ms);
        metrics::counter!(names::RETENTION_MESSAGES_RX).increment(1);
        if item.fault.is_some() {
            metrics::counter!(names::RETENTION_MESSAGES_RX_FAILED).increment(1);
        }
        match self.try_keep(inbox, &item).await {
            Some(()) => Kept::Yes,
            None => Kept::Interrupted,
        }
    }

    /// `None` when the process ends first.
    async fn try_keep<I: Inbox>(&self, inbox: &I, item: &Item<I::Receipt>) -> Option<()> {
        let names = Names::of(item);
        let attachment = match item.file() {
            Some(file) => self.attachment(inbox, file, &names.attachment).await?,
            None => Attachment::None,
        };
        let mut sealed = None;
        if let Some(fault) = &item.fault {
            let bytes = Bytes::copy_from_slice(&fault.sealed);
            self.store(&names.sealed, &bytes, "application/cbor").await?;
            sealed = Some(&names.sealed);
            tracing::warn!(kept = names.sealed.as_str(), reason = fault.reason, "a delivery is no good message");
        }
        let record = Record::of(&self.subject, item, &attachment, sealed, now_ms());
        let json = match record.to_json() {
            Ok(json) => Bytes::from(json),
            Err(error) => {
                // Strings and numbers always have a JSON form.
                tracing::error!(%error, "a record has no JSON form");
                return None;
            }
        };
        self.store(&names.record, &json, "application/json").await?;
        metrics::counter!(names::RETENTION_MESSAGES_SAVED).increment(1);
        lag(now_ms(), item.accepted_at_ms);
        let mut backoff = self.backoff();
        while let Err(error) = inbox.ack(item.receipt.clone()).await {
            self.health.failing(ACKNOWLEDGING, &error);
            self.pause(&mut backoff).await?;
        }
        self.health.works(ACKNOWLEDGING);
        Some(())
    }

    async fn store(&self, name: &ObjectName, bytes: &Bytes, media_type: &'static str) -> Option<()> {
        let mut backoff = self.backoff();
        loop {
            match self.destination.store(name, Object::Bytes { bytes: bytes.clone(), media_type }).await {
                Ok(()) => {
                    self.health.works(STORING);
                    return Some(());
                }
                Err(error) => {
                    metrics::counter!(names::RETENTION_MESSAGES_SAVED_FAILED).increment(1);
                    self.health.failing(STORING, &error);
                }
            }
            self.pause(&mut backoff).await?;
        }
    }

    async fn attachment<I: Inbox>(&self, inbox: &I, file: &File, name: &ObjectName) -> Option<Attachment> {
        let begin = Instant::now();
        let mut backoff = self.backoff();
        loop {
            let fetched = tokio::select! {
                fetched = self.fetch(inbox, file, name) => fetched,
                () = self.stop.cancelled() => return None,
            };
            let error = match fetched {
                Ok(bytes) => {
                    self.health.works(STORING);
                    metrics::counter!(names::RETENTION_FILES_SAVED).increment(1);
                    metrics::counter!(names::RETENTION_FILES_SAVED_BYTES).increment(bytes);
                    return Some(Attachment::Kept(name.clone()));
                }
                Err(error) => error,
            };
            metrics::counter!(names::RETENTION_FILES_SAVED_FAILED).increment(1);
            match error {
                FetchError::Refused(_) if begin.elapsed() < self.timing.file => {}
                FetchError::Gone(reason) | FetchError::Refused(reason) => {
                    tracing::warn!(reason, "a file cannot be kept; its message is, and says so");
                    return Some(Attachment::Missing(reason));
                }
                FetchError::Unreachable(reason) => tracing::debug!(reason, "a file cannot be fetched now"),
                FetchError::Local(reason) => self.health.failing(STORING, &reason),
            }
            self.pause(&mut backoff).await?;
        }
    }

    async fn fetch<I: Inbox>(&self, inbox: &I, file: &File, name: &ObjectName) -> Result<u64, FetchError> {
        let _permit = self.files.acquire().await.map_err(|e| FetchError::Local(e.to_string()))?;
        let local = |e: DestinationError| FetchError::Local(e.to_string());
        let spooled = Spooled::new(self.destination.spool()).map_err(local)?;
        let bytes = inbox.fetch(file, spooled.path()).await?;
        self.destination.store(name, Object::File(spooled.path().to_owned())).await.map_err(local)?;
        Ok(bytes)
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(self.timing.retry.0, self.timing.retry.1)
    }

    async fn pause(&self, backoff: &mut Backoff) -> Option<()> {
        pause(backoff, &self.stop).await.then_some(())
    }
}

/// Waits between two attempts. Whether to go on: not when `stop` came.
pub(crate) async fn pause(backoff: &mut Backoff, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = backoff.pause() => true,
    }
}

#[cfg(test)]
mod tests;
