//! The retention process: a visible recipient that keeps clear text where its owner says.
//!
//! A message's path, module by module: `source` logs in and receives (the client library does both), `session` hands what
//! comes to `keeper`, which has `record` make the JSON document (pure) and `name` its name (pure), gives it to the
//! `destination` (a folder or an S3 bucket), and acknowledges to the relay only when it is durable there. What cannot be
//! stored is tried again, for as long as it takes, and stays at the relay meanwhile. A file that came with a message is
//! put on a list on disk (`waiting`) before the record promises it, and fetched afterwards (`keeper/files`), each network's in
//! a line of its own (`queue`, pure). `health` knows whether the process can do its work, and watches that it does.
//!
//! ```text
//! messages/2026/01/31/1769817600.123000-<message id>-<sender mark>.json      one document a message
//! attachments/2026/01/31/1769817600.123000-<message id>-<sender mark>        clear bytes of a file
//! files/2026/01/31/1769817600.123000-<message id>-<sender mark>.json         what became of a file: kept, or why not
//! unreadable/2026/01/31/1769817600.123000-<message id>-<mark>.cbor           a delivery that is no good message, as it came
//! ```

mod destination;
mod directory;
mod error;
mod gaps;
mod health;
mod item;
mod keeper;
mod name;
mod queue;
mod record;
mod secrets;
mod session;
mod settings;
mod source;
#[cfg(test)]
mod testing;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use sotto_telemetry::{CloudWatchConfig, Readiness, Telemetry, health_router, serve_health_beside};
use sotto_wire::config::{DestinationConfig, RetentionConfig, TelemetryConfig};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::destination::{Destination, Folder, S3};
use crate::health::Health;
use crate::keeper::{Keeper, Timing};
use crate::record::Subject;
use crate::secrets::Secrets;
use crate::settings::Settings;
use crate::waiting::WaitingFolder;

pub use crate::error::RetentionError;

/// Runs a retention process until `shutdown`; then what is in hand is finished. Returns an error where a restart, or a
/// person, has to help; what passes by itself is waited for.
pub async fn run(config: RetentionConfig, shutdown: CancellationToken) -> Result<(), RetentionError> {
    let telemetry = Telemetry::install()?;
    let settings = Settings::parse(&config)?;
    // Read again at each log-in; looked at now so that what is missing is told at once.
    Secrets::load(&settings)?;
    let listen = config.telemetry.listen;
    let listener =
        TcpListener::bind(listen).await.map_err(|source| RetentionError::Bind { address: listen, source })?;
    let readiness = Readiness::new();
    let health = Health::new(readiness.clone());
    let publisher = config.telemetry.cloud_watch.is_some().then(|| {
        telemetry.publish(cloud_watch(&config.telemetry, settings.address.domain().as_str()), shutdown.clone())
    });
    let routes = health_router(telemetry, readiness.clone()).merge(health.status_router());
    let listening = tokio::spawn(serve_health_beside(listener, routes, shutdown.clone()));
    let watchdog = tokio::spawn(health::watch(health.clone(), Timing::default(), shutdown.clone()));

    let served = match &config.destination {
        DestinationConfig::Folder { path } => {
            Box::pin(serve(settings, Folder::new(path.clone()), health, &shutdown)).await
        }
        DestinationConfig::S3 { bucket, prefix, region, endpoint_url, kms_key_arn } => {
            let target = destination::Bucket {
                name: bucket.clone(),
                prefix: prefix.clone(),
                kms_key: kms_key_arn.clone(),
                spool: settings.spool.clone(),
            };
            let bucket = S3::connect(target, region.clone(), endpoint_url.clone()).await;
            Box::pin(serve(settings, bucket, health, &shutdown)).await
        }
    };
    // Also when serving failed: the other tasks have to end.
    shutdown.cancel();
    readiness.not_ready("stopping");
    if let Some(publisher) = publisher {
        publisher.finished().await;
    }
    watchdog.await.map_err(|_| RetentionError::Internal("the watchdog ended unexpectedly"))?;
    listening.await.map_err(|_| RetentionError::Internal("the health listener ended unexpectedly"))??;
    served
}

async fn serve<D: Destination>(
    settings: Settings,
    destination: D,
    health: Health,
    shutdown: &CancellationToken,
) -> Result<(), RetentionError> {
    tracing::info!(address = %settings.address, policy = settings.policy, to = destination.describe(), "retention starts");
    destination.tidy().await;
    let subject = Subject { network: settings.address.domain(), policy: settings.policy.clone() };
    let path = settings.waiting();
    let waiting = WaitingFolder::open(path.clone()).map_err(|source| RetentionError::State { path, source })?;
    let keeper = Keeper::new(destination, subject, health, Timing::default(), waiting, shutdown.clone());
    session::run(&settings, &Arc::new(keeper), shutdown).await
}

fn cloud_watch(config: &TelemetryConfig, domain: &str) -> CloudWatchConfig {
    let usual = CloudWatchConfig::new(Some(domain.to_owned()));
    match &config.cloud_watch {
        None => usual,
        Some(wanted) => CloudWatchConfig {
            namespace: wanted.namespace.clone(),
            interval: Duration::from_secs(wanted.interval_seconds.max(1)),
            region: wanted.region.clone(),
            endpoint: wanted.endpoint_url.clone(),
            ..usual
        },
    }
}
