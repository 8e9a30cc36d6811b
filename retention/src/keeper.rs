//! Keeps one message: what its file needs to be fetched, its record, and only then the acknowledgement. Whatever fails is tried again
//! until it works or the process ends; then the relay still has the message. The file itself comes later ([`files`]): a network that
//! does not give it out holds up no message.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use sotto_client::{Backoff, Gap};
use sotto_crypto::Address;
use sotto_telemetry::names;
use sotto_wire::content::File;
use tokio_util::sync::CancellationToken;

use crate::destination::{Destination, Object};
use crate::health::{Health, lag, now_ms};
use crate::item::Item;
use crate::keeper::files::Files;
use crate::name::{Names, ObjectName};
use crate::queue::Queue;
use crate::record::{Attachment, GapRecord, Record, Subject};
use crate::waiting::{Waiting, WaitingFolder};

/// Where items come from.
pub(crate) trait Inbox: Send + Sync + 'static {
    /// What an acknowledgement needs.
    type Receipt: Clone + Send + Sync + 'static;

    /// Tells the relay that a message is kept.
    fn ack(&self, receipt: Self::Receipt) -> impl Future<Output = Result<(), String>> + Send;

    /// How people are called now, by address, as far as it is known.
    fn names(&self, people: &[Address]) -> impl Future<Output = BTreeMap<Address, String>> + Send;

    /// Downloads and opens a file.
    fn fetch(&self, file: &File, to: &Path) -> impl Future<Output = Result<u64, FetchError>> + Send;
}

/// Why a file cannot be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FetchError {
    /// It will never come: gone, refused, or not what the message says.
    #[error("{0}")]
    Gone(String),
    /// Who holds it does not give it now. Waited for as long as it would be kept there.
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
    /// From one attempt to get a file from a network that fails to the next: from, to.
    pub(crate) rest: (Duration, Duration),
    /// For one file to come.
    pub(crate) transfer: Duration,
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
            rest: (Duration::from_secs(1), Duration::from_mins(5)),
            transfer: Duration::from_mins(10),
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
    files: Files,
}

impl<D: Destination> Keeper<D> {
    /// Keeps at this destination, until `stop`; `waiting` is what an earlier run has left in its folder.
    pub(crate) fn new(
        destination: D,
        subject: Subject,
        health: Health,
        timing: Timing,
        (folder, waiting): (WaitingFolder, Vec<Waiting>),
        stop: CancellationToken,
    ) -> Self {
        let files = Files::new(folder, Queue::new(timing.rest, waiting));
        Self { destination, subject, health, timing, stop, files }
    }

    /// Keeps one item.
    pub(crate) async fn keep<I: Inbox>(&self, inbox: &I, mut item: Item<I::Receipt>) -> Kept {
        let _in_hand = self.health.take(item.accepted_at_ms);
        item.names = inbox.names(&item.people()).await;
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
        let (attachment, waiting) = match item.file() {
            Some(file) => self.promise(Waiting::of(item, &names, file, now_ms())).await?,
            None => (Attachment::None, None),
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
        if let Some(waiting) = waiting {
            self.files.add(waiting);
        }
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

    /// Keeps the record of what has happened to somebody's chain of messages. `None` when the process ends first.
    pub(crate) async fn keep_gap(&self, gap: &Gap) -> Option<()> {
        let json = match GapRecord::of(&self.subject, gap, now_ms()).to_json() {
            Ok(json) => Bytes::from(json),
            Err(error) => {
                // Strings and numbers always have a JSON form.
                tracing::error!(%error, "a record has no JSON form");
                return None;
            }
        };
        self.store(&ObjectName::of_gap(gap), &json, "application/json").await
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

mod files;
#[cfg(test)]
mod tests;
