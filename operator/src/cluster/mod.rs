//! The operator in a cluster: watches, a queue of namespaces, and workers that bring each to what its objects say.

mod apply;
mod context;
mod diff;
mod finalize;
mod index;
mod labels;
mod network;
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

use kube::Client;
use sotto_telemetry::{Readiness, Telemetry, labels as metric_labels, names as metric_names, serve_health};
use tokio::net::TcpListener;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use self::context::Context;
pub use self::options::{Options, OptionsError};
use self::reconcile::reconcile;

/// How many namespaces are looked at at a time.
const WORKERS: usize = 8;
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
    /// A part that must run has ended.
    #[error("{0} has ended unexpectedly")]
    Ended(&'static str),
}

/// Runs the operator until `shutdown`.
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<(), OperatorError> {
    let telemetry = Telemetry::install()?;
    let client = Client::try_default().await.map_err(|error| OperatorError::Config(error.to_string()))?;
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|error| OperatorError::Listen { address: options.listen, error })?;
    let readiness = Readiness::new();
    let health = tokio::spawn(serve_health(listener, telemetry, readiness.clone(), shutdown.child_token()));
    let result = operate(client, options, &readiness, &shutdown).await;
    readiness.not_ready("shutting down");
    shutdown.cancel();
    if let Ok(Err(error)) = health.await {
        tracing::warn!(%error, "health listener");
    }
    result
}

/// Watches and works; what a leader will do when there are standbys.
async fn operate(
    client: Client,
    options: Options,
    readiness: &Readiness,
    shutdown: &CancellationToken,
) -> Result<(), OperatorError> {
    let context = Arc::new(Context::new(client, options));
    let mut watches = watch::start(&context, shutdown);
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        () = watches.complete() => {}
    }
    tracing::info!("all objects are known");
    readiness.ready();
    let ended = tokio::select! {
        () = work(&context, shutdown) => None,
        () = watches.ended() => Some(OperatorError::Ended("a watch")),
    };
    match ended {
        Some(error) if !shutdown.is_cancelled() => Err(error),
        _ => Ok(()),
    }
}

/// Looks at namespaces as they come up, some at a time.
async fn work(context: &Arc<Context>, shutdown: &CancellationToken) {
    let mut workers: JoinSet<Result<Option<Duration>, reconcile::ReconcileError>> = JoinSet::new();
    let mut running: HashMap<Id, String> = HashMap::new();
    let mut failures: HashMap<String, u32> = HashMap::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            namespace = context.queue.next(), if workers.len() < WORKERS => {
                let (worker, name) = (context.clone(), namespace.clone());
                let task = workers.spawn(async move {
                    let begin = Instant::now();
                    let result = reconcile(&worker, &name).await;
                    measure(begin.elapsed(), result.is_ok());
                    result
                });
                running.insert(task.id(), namespace);
            }
            Some(joined) = workers.join_next_with_id() => {
                let (id, result) = match joined {
                    Ok((id, result)) => (id, result.map_err(|error| error.to_string())),
                    // A fault of ours must not take the other namespaces with it.
                    Err(error) => (error.id(), Err("the reconciliation has panicked; please report it".to_owned())),
                };
                let Some(namespace) = running.remove(&id) else { continue };
                let again = match result {
                    Ok(again) => {
                        failures.remove(&namespace);
                        again
                    }
                    Err(error) => {
                        let count = failures.entry(namespace.clone()).or_default();
                        *count += 1;
                        let delay = backoff(*count);
                        tracing::warn!(%namespace, %error, ?delay, "look again");
                        Some(delay)
                    }
                };
                if let Some(delay) = again {
                    context.queue.add(&namespace, delay);
                }
                context.queue.done(&namespace);
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
    metrics::counter!(name, metric_labels::KIND => "Namespace").increment(1);
    metrics::histogram!(metric_names::RECONCILE_LATENCY, metric_labels::KIND => "Namespace").record(time.as_secs_f64());
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
