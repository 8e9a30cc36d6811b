//! The operator in a cluster: watches, a queue of networks, and workers that bring each to what its objects say.

mod access;
mod apply;
mod context;
mod diff;
mod finalize;
mod index;
mod kept;
mod labels;
mod members;
mod memo;
mod network;
mod optional;
mod options;
mod places;
mod queue;
mod reconcile;
mod render;
mod report;
mod secrets;
mod watch;
mod workload;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::{Client, Config};
use sotto_telemetry::{Readiness, Telemetry, labels as metric_labels, names as metric_names, serve_health};
use tokio::net::TcpListener;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use self::context::Context;
pub use self::options::{Options, OptionsError};
use self::queue::{Cause, Unit};
use self::reconcile::reconcile;
use crate::lease::{BootClock, Election, Fence, LeaseError, LeaseOptions};

/// How many networks are looked at at a time.
const WORKERS: usize = 16;
/// Changes that come together are looked at together.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// The first and the longest delay after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));
/// How long reconciliations that are under way may take to end after a shutdown.
const GRACE: Duration = Duration::from_secs(20);

/// Why the operator does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No way to the API server.
    #[error("no cluster is known ({0}); run the operator in a cluster, or set KUBECONFIG")]
    Config(String),
    /// The health listener.
    #[error("cannot listen on {address} for health and metrics: {error}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// Metrics.
    #[error(transparent)]
    Telemetry(#[from] sotto_telemetry::TelemetryError),
    /// Another process leads from now on, or will.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// A part that must run has ended.
    #[error("{0} has ended unexpectedly")]
    Ended(&'static str),
}

/// Runs the operator until `shutdown`.
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<(), OperatorError> {
    let telemetry = Telemetry::install()?;
    let unknown = |error: &dyn std::fmt::Display| OperatorError::Config(error.to_string());
    let config = Config::infer().await.map_err(|error| unknown(&error))?;
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|error| OperatorError::Listen { address: options.listen, error })?;
    let readiness = Readiness::new();
    let health = tokio::spawn(serve_health(listener, telemetry, readiness.clone(), shutdown.child_token()));
    let clock = Arc::new(BootClock);
    let fence = Fence::closed(clock.clone(), options.lease.as_ref().map(LeaseOptions::margin).unwrap_or_default());
    let client = fence.client(config.clone()).map_err(|error| unknown(&error))?;
    let mut election = if let Some(lease) = &options.lease {
        let pod = options.pod_name.as_deref();
        Election::start(lease, pod, config, clock, fence.clone()).map_err(|error| unknown(&error))?
    } else {
        tracing::info!(
            "no leader election: SOTTO_LEASE_NAME is empty, or there is neither SOTTO_LEASE_NAMESPACE nor POD_NAMESPACE"
        );
        Election::none(fence.clone())
    };
    let leads = election.acquired();
    // A process that leads no more ends at once: what it has under way could write nothing.
    let result = tokio::select! {
        lost = election.lost() => Err(lost.into()),
        result = operate(client, fence, options, &readiness, &shutdown, leads) => {
            election.release().await;
            result
        }
    };
    readiness.not_ready("shutting down");
    shutdown.cancel();
    if let Ok(Err(error)) = health.await {
        tracing::warn!(%error, "health listener");
    }
    result
}

/// Watches, and works once this process leads: a standby knows all objects already when it takes over.
async fn operate(
    client: Client,
    fence: Fence,
    options: Options,
    readiness: &Readiness,
    shutdown: &CancellationToken,
    leads: impl Future<Output = ()>,
) -> Result<(), OperatorError> {
    let context = Arc::new(Context::new(client, fence, options, shutdown.child_token()));
    let mut watches = watch::start(&context, shutdown);
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        () = watches.complete() => {}
    }
    tracing::info!("all objects are known");
    readiness.ready_as("standby");
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        () = watches.ended() => return Err(OperatorError::Ended("a watch")),
        () = leads => {}
    }
    readiness.ready_as("leader");
    let ended = tokio::select! {
        () = work(&context, shutdown) => None,
        () = watches.ended() => Some(OperatorError::Ended("a watch")),
    };
    match ended {
        Some(error) if !shutdown.is_cancelled() => Err(error),
        _ => Ok(()),
    }
}

/// Looks at networks as they come up, some at a time.
async fn work(context: &Arc<Context>, shutdown: &CancellationToken) {
    let mut workers: JoinSet<Result<Option<Duration>, reconcile::ReconcileError>> = JoinSet::new();
    let mut running: HashMap<Id, Unit> = HashMap::new();
    let mut failures: HashMap<Unit, u32> = HashMap::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            (unit, cause) = context.queue.next(), if workers.len() < WORKERS => {
                let (worker, name) = (context.clone(), unit.clone());
                let task = workers.spawn(async move {
                    let begin = Instant::now();
                    let result = reconcile(&worker, &name, cause).await;
                    measure(begin.elapsed(), result.is_ok());
                    result
                });
                running.insert(task.id(), unit);
            }
            Some(joined) = workers.join_next_with_id() => {
                let (id, result) = match joined {
                    Ok((id, result)) => (id, result.map_err(|error| error.to_string())),
                    // A fault of ours must not take the other networks with it.
                    Err(error) => (error.id(), Err("the reconciliation has panicked; please report it".to_owned())),
                };
                let Some(unit) = running.remove(&id) else { continue };
                let again = match result {
                    Ok(again) => {
                        failures.remove(&unit);
                        again
                    }
                    Err(error) => {
                        let count = failures.entry(unit.clone()).or_default();
                        *count += 1;
                        let delay = backoff(*count);
                        tracing::warn!(%unit, %error, ?delay, "look again");
                        Some(delay)
                    }
                };
                if let Some(delay) = again {
                    context.queue.add(&unit, delay, Cause::Timer);
                }
                context.queue.done(&unit);
            }
        }
    }
    // What is under way ends in order; what is not, the next start takes up.
    let rest = async { while workers.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, rest).await.is_err() {
        tracing::warn!("reconciliations were still under way");
    }
}

fn backoff(failures: u32) -> Duration {
    BACKOFF.0.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16))).min(BACKOFF.1)
}

fn measure(time: Duration, good: bool) {
    let name = if good { metric_names::RECONCILE_SUCCESS } else { metric_names::RECONCILE_ERROR };
    metrics::counter!(name, metric_labels::KIND => "Network").increment(1);
    metrics::histogram!(metric_names::RECONCILE_LATENCY, metric_labels::KIND => "Network").record(time.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_minute() {
        assert_eq!(backoff(1), Duration::from_millis(500));
        assert_eq!(backoff(3), Duration::from_secs(2));
        assert_eq!(backoff(60), Duration::from_mins(1));
    }
}
