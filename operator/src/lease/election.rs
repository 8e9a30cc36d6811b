//! The election while it runs: asks, waits, opens and closes the fence, and tells when leadership comes and goes.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use kube::{Client, Config};
use sotto_telemetry::names as metric_names;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::clock::Clock;
use super::elector::{Answer, Elector, Loss, Next, Request};
use super::fence::Fence;
use super::options::LeaseOptions;
use super::store::Store;
use crate::pace::fraction;

/// How long giving the lease back may take.
const RELEASE: Duration = Duration::from_secs(3);

/// Why this process does not lead any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// The lease could not be renewed in time.
    #[error(
        "leadership is lost: the lease could not be renewed in time; this process ends so that another one can lead"
    )]
    Deadline,
    /// Somebody else has the lease.
    #[error("leadership is lost: another process holds the lease; this process ends")]
    Taken,
    /// The task is gone.
    #[error("leadership is lost: the election has ended unexpectedly; please report it")]
    Ended,
}

/// A process's part in an election.
pub(crate) struct Election {
    fence: Fence,
    leads: watch::Receiver<bool>,
    /// None without an election.
    task: Option<(oneshot::Sender<()>, JoinHandle<Option<LeaseError>>)>,
}

impl Election {
    /// No election: this process leads.
    pub(crate) fn none(fence: Fence) -> Self {
        fence.open();
        // A receiver keeps its last value when the sender is gone.
        Self { fence, leads: watch::channel(true).1, task: None }
    }

    /// Takes part. `config` is for a client of its own: renewals must not wait behind what the operator does, and are repeated by
    /// the rules of the election and not by those of the client.
    pub(crate) fn start(
        options: &LeaseOptions,
        pod: Option<&str>,
        mut config: Config,
        clock: Arc<dyn Clock>,
        fence: Fence,
    ) -> Result<Self, kube::Error> {
        config.default_retry = false;
        let store = Store::new(Client::try_from(config)?, options);
        let me = format!("{}_{:016x}", pod.unwrap_or("sotto-operator"), random());
        tracing::info!(lease = %format!("{}/{}", options.namespace, options.name), identity = %me, "standing by");
        let (leads, receiver) = watch::channel(false);
        let (release, released) = oneshot::channel();
        let candidate = Candidate {
            elector: Elector::new(me, options.timing),
            attempt: options.timing.renew_deadline / 2,
            store,
            clock,
            fence: fence.clone(),
            leads,
            holder: None,
            error: None,
        };
        let task = tokio::spawn(candidate.run(released));
        Ok(Self { fence, leads: receiver, task: Some((release, task)) })
    }

    /// Waits until this process leads.
    pub(crate) fn acquired(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut leads = self.leads.clone();
        async move {
            if leads.wait_for(|leads| *leads).await.is_err() {
                // It will never lead; `lost` tells why.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until leadership is lost for good. Until the process has ended nothing is written any more.
    pub(crate) async fn lost(&mut self) -> LeaseError {
        match &mut self.task {
            Some((_, task)) => {
                let ended = task.await;
                self.task = None;
                self.fence.close();
                ended.ok().flatten().unwrap_or(LeaseError::Ended)
            }
            None => std::future::pending().await,
        }
    }

    /// Gives leadership back, so that another takes over at once. Nothing is written after that.
    pub(crate) async fn release(mut self) {
        if let Some((release, task)) = self.task.take() {
            let _ = release.send(());
            let _ = task.await;
        }
        self.fence.close();
    }
}

struct Candidate {
    elector: Elector,
    /// How long one request may take.
    attempt: Duration,
    store: Store,
    clock: Arc<dyn Clock>,
    fence: Fence,
    leads: watch::Sender<bool>,
    /// Of whom the log told last that he leads.
    holder: Option<String>,
    /// What the log told last of the lease.
    error: Option<String>,
}

impl Candidate {
    /// Until leadership is lost, or is to be given back.
    async fn run(mut self, mut released: oneshot::Receiver<()>) -> Option<LeaseError> {
        metrics::gauge!(metric_names::LEADER).set(0.0);
        loop {
            let now = self.clock.now();
            match self.elector.next(now) {
                Next::Wait(until) => {
                    tokio::select! {
                        () = sleep(until.saturating_sub(now)) => {}
                        _ = &mut released => {
                            self.release().await;
                            return None;
                        }
                    }
                }
                Next::Ask(request) => {
                    let answer = self.ask(&request).await;
                    self.follow(&request, &answer);
                }
                Next::Lost(loss) => {
                    self.fence.close();
                    metrics::gauge!(metric_names::LEADER).set(0.0);
                    return Some(match loss {
                        Loss::Deadline => LeaseError::Deadline,
                        Loss::Taken => LeaseError::Taken,
                    });
                }
            }
        }
    }

    async fn ask(&mut self, request: &Request) -> Answer {
        let sent = self.clock.now();
        let left =
            self.elector.leads_until().map_or(self.attempt, |until| until.saturating_sub(sent).min(self.attempt));
        let (answer, error) = match timeout(left, self.store.ask(request)).await {
            Ok(told) => told,
            Err(_) => (Answer::Failed, Some("no answer in time".to_owned())),
        };
        if let Some(error) = &error {
            metrics::counter!(metric_names::LEASE_ERRORS).increment(1);
            // It is tried again every second or two: told once.
            if self.error.as_ref() != Some(error) {
                tracing::warn!(%error, "the lease cannot be {}", if *request == Request::Read { "read" } else { "written" });
            }
        } else if self.error.is_some() {
            tracing::info!("the lease can be read and written again");
        }
        self.error = error;
        self.elector.answered(request, answer.clone(), sent, self.clock.now(), fraction());
        answer
    }

    /// What a new state means for the rest of the process.
    fn follow(&mut self, request: &Request, answer: &Answer) {
        if let Some(until) = self.elector.leads_until() {
            self.fence.open_until(until);
            // Only a confirmed write makes a leader, and only in time.
            if !*self.leads.borrow() && self.fence.check().is_ok() {
                tracing::info!("this process leads");
                metrics::gauge!(metric_names::LEADER).set(1.0);
                metrics::counter!(metric_names::LEADER_CHANGES).increment(1);
                self.leads.send_replace(true);
            }
        } else if matches!((request, answer), (Request::Read, Answer::Is(_)))
            && self.elector.holder() != self.holder.as_deref()
        {
            self.holder = self.elector.holder().map(str::to_owned);
            tracing::info!(holder = self.holder.as_deref().unwrap_or("nobody"), "standing by for the leader");
        }
    }

    async fn release(&mut self) {
        // First nothing more is written, then others may.
        self.fence.close();
        metrics::gauge!(metric_names::LEADER).set(0.0);
        let Some(request) = self.elector.release() else { return };
        if let Ok((Answer::Is(_), _)) = timeout(RELEASE, self.store.ask(&request)).await {
            tracing::info!("the lease is given back");
        } else {
            tracing::warn!("the lease could not be given back; others wait until it is over");
        }
    }
}

/// A random number, good enough to tell processes apart.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
