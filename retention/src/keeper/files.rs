//! Files of messages that are kept already: fetched from where they lie, stored, and what became of each said in a document. The list
//! of them is on disk ([`crate::waiting`]), who comes when is decided by [`crate::queue`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sotto_telemetry::names;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{FetchError, Inbox, Keeper, STORING};
use crate::destination::{Destination, DestinationError, Object, Spooled};
use crate::health::now_ms;
use crate::queue::{A_NETWORK, Queue};
use crate::record::{Attachment, Outcome};
use crate::waiting::{Waiting, WaitingFolder};

/// However far the next deadline is, the clock is looked at so often: it may have been set.
const LOOK: Duration = Duration::from_mins(1);

/// The files that wait.
pub(super) struct Files {
    folder: WaitingFolder,
    queue: Mutex<Queue>,
    /// There is a new one.
    added: Notify,
}

impl Files {
    pub(super) fn new(folder: WaitingFolder, queue: Queue) -> Self {
        let files = Self { folder, queue: Mutex::new(queue), added: Notify::new() };
        drop(files.queue());
        files
    }

    /// The queue; how many wait is published when it is let go of.
    fn queue(&self) -> Held<'_> {
        Held(self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn add(&self, waiting: Waiting) {
        self.queue().0.add(waiting);
        self.added.notify_one();
    }
}

struct Held<'a>(MutexGuard<'a, Queue>);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge need not be exact beyond 2^52")]
        metrics::gauge!(names::RETENTION_FILES_WAITING).set(self.0.len() as f64);
    }
}

impl<D: Destination> Keeper<D> {
    /// Has a file on the list, durably, before its record promises it. `None` when the process ends first.
    pub(super) async fn promise(&self, waiting: Waiting) -> Option<(Attachment, Option<Waiting>)> {
        let network = &waiting.file.domain;
        if !self.files.queue().0.has_room(network) {
            tracing::warn!(
                "a file is not waited for: too many of its network wait already; its message is kept, and says so"
            );
            let reason = format!("{A_NETWORK} files that lie with {network} are waited for already");
            return Some((Attachment::Missing(reason), None));
        }
        let mut backoff = self.backoff();
        while let Err(error) = self.files.folder.add(&waiting).await {
            self.health.failing(STORING, &error);
            self.pause(&mut backoff).await?;
        }
        Some((Attachment::Pending(waiting.names.attachment.clone()), Some(waiting)))
    }

    /// Fetches what waits by way of this inbox, for as long as this is polled.
    pub(crate) async fn fetch_files<I: Inbox>(self: Arc<Self>, inbox: Arc<I>) {
        self.files.queue().0.interrupted();
        let mut tasks = JoinSet::new();
        let mut running = HashMap::new();
        loop {
            let now = now_ms();
            let late = self.files.queue().0.late(now);
            for waiting in late {
                let keeper = Arc::clone(&self);
                let reason = "its network did not give it out for as long as it is kept there";
                tasks.spawn(async move {
                    keeper.end(&waiting, Some(reason.to_owned()), false).await;
                });
            }
            loop {
                let Some(waiting) = self.files.queue().0.next(now) else { break };
                let task = tasks.spawn(Arc::clone(&self).fetch_file(Arc::clone(&inbox), waiting.clone()));
                running.insert(task.id(), waiting);
            }
            let wake =
                self.files.queue().0.wakes_at_ms().map_or(LOOK, |at| Duration::from_millis(at.saturating_sub(now)));
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.files.added.notified() => {}
                () = tokio::time::sleep(wake.min(LOOK)) => {}
                Some(ended) = tasks.join_next_with_id() => match ended {
                    Ok((id, ())) => drop(running.remove(&id)),
                    Err(error) => {
                        tracing::error!(%error, "fetching a file ended unexpectedly");
                        if let Some(waiting) = running.remove(&error.id()) {
                            self.files.queue().0.failed(&waiting, now_ms());
                        }
                    }
                },
            }
        }
    }

    async fn fetch_file<I: Inbox>(self: Arc<Self>, inbox: Arc<I>, waiting: Waiting) {
        let fetched = timeout(self.timing.transfer, self.fetch(&*inbox, &waiting)).await;
        let error = match fetched.unwrap_or_else(|_| Err(FetchError::Refused("it came too slowly".to_owned()))) {
            Ok(bytes) => {
                self.health.works(STORING);
                metrics::counter!(names::RETENTION_FILES_SAVED).increment(1);
                metrics::counter!(names::RETENTION_FILES_SAVED_BYTES).increment(bytes);
                return self.end(&waiting, None, true).await;
            }
            Err(error) => error,
        };
        metrics::counter!(names::RETENTION_FILES_SAVED_FAILED).increment(1);
        match error {
            FetchError::Gone(reason) => return self.end(&waiting, Some(reason), true).await,
            FetchError::Refused(reason) | FetchError::Unreachable(reason) => {
                tracing::debug!(reason, network = %waiting.file.domain, "a file cannot be fetched now");
            }
            FetchError::Local(reason) => self.health.failing(STORING, &reason),
        }
        self.files.queue().0.failed(&waiting, now_ms());
    }

    async fn fetch<I: Inbox>(&self, inbox: &I, waiting: &Waiting) -> Result<u64, FetchError> {
        let local = |e: DestinationError| FetchError::Local(e.to_string());
        let spooled = Spooled::new(self.destination.spool()).map_err(local)?;
        let bytes = inbox.fetch(&waiting.file, spooled.path()).await?;
        let object = Object::File(spooled.path().to_owned());
        self.destination.store(&waiting.names.attachment, object).await.map_err(local)?;
        Ok(bytes)
    }

    /// Says what became of a file, and then takes it off the list: cut off in between, it is fetched and said again.
    async fn end(&self, waiting: &Waiting, missing: Option<String>, answered: bool) {
        if let Some(reason) = &missing {
            tracing::warn!(reason, record = waiting.names.record.as_str(), "a file cannot be kept; its message is");
        }
        let outcome = Outcome::of(&self.subject, waiting, missing, now_ms());
        let json = match outcome.to_json() {
            Ok(json) => Bytes::from(json),
            // Strings and numbers always have a JSON form.
            Err(error) => return tracing::error!(%error, "what became of a file has no JSON form"),
        };
        if self.store(&waiting.names.outcome, &json, "application/json").await.is_none() {
            return;
        }
        let mut backoff = self.backoff();
        while let Err(error) = self.files.folder.remove(waiting).await {
            self.health.failing(STORING, &error);
            if self.pause(&mut backoff).await.is_none() {
                return;
            }
        }
        self.files.queue().0.done(waiting, answered);
    }
}
