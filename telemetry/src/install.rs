//! Puts the recorders in place, once a process.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use metrics_util::layers::FanoutBuilder;
use tokio_util::sync::CancellationToken;

use crate::{
    guard::Guard,
    names,
    publisher::{CloudWatchConfig, Publisher},
    recorder::{CloudWatchRecorder, Values},
};

/// How often samples of Prometheus histograms are moved into their buckets when nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);
/// Buckets for times, in seconds.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
/// Buckets for sizes, in bytes.
const BYTES: [f64; 9] =
    [256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 16_777_216.0, 268_435_456.0];

/// Why metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The Prometheus exporter refused its settings.
    #[error("the Prometheus exporter cannot be built: {0}")]
    Prometheus(#[from] BuildError),
    /// Something else in this process records metrics already.
    #[error("another metrics recorder is installed in this process")]
    Taken,
    /// The thread that tidies histograms could not be started.
    #[error("the metrics thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

static INSTALLED: Mutex<Option<Telemetry>> = Mutex::new(None);

/// The process's metrics: rendered for Prometheus, published to CloudWatch. Clones share everything.
#[derive(Clone)]
pub struct Telemetry {
    prometheus: PrometheusHandle,
    values: Values,
}

impl Telemetry {
    /// Makes this process record metrics. The second and later calls return the first one's result.
    pub fn install() -> Result<Self, TelemetryError> {
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(telemetry) = installed.as_ref() {
            return Ok(telemetry.clone());
        }
        let prometheus = prometheus()?;
        let handle = prometheus.handle();
        let (cloudwatch, values) = CloudWatchRecorder::new();
        let recorder = Guard::new(FanoutBuilder::default().add_recorder(prometheus).add_recorder(cloudwatch).build());
        metrics::set_global_recorder(recorder).map_err(|_| TelemetryError::Taken)?;
        names::describe_all();
        let upkeep = handle.clone();
        // A thread, not a task: it outlives any one runtime.
        std::thread::Builder::new().name("sotto-metrics".to_owned()).spawn(move || {
            loop {
                std::thread::sleep(UPKEEP);
                upkeep.run_upkeep();
            }
        })?;
        let telemetry = Self { prometheus: handle, values };
        *installed = Some(telemetry.clone());
        Ok(telemetry)
    }

    /// Everything recorded so far in the text format of Prometheus.
    pub fn render(&self) -> String {
        self.prometheus.render()
    }

    /// Publishes to CloudWatch at every interval until `shutdown`, then once more. Needs a Tokio runtime; returns at
    /// once, whatever the state of CloudWatch.
    pub fn publish(&self, config: CloudWatchConfig, shutdown: CancellationToken) -> Publisher {
        Publisher::start(config, self.values.clone(), shutdown)
    }
}

fn prometheus() -> Result<PrometheusRecorder, BuildError> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES)?;
    Ok(builder.build_recorder())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Readiness, labels, serve_health};

    async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }

    #[tokio::test]
    async fn health_readiness_and_metrics_over_http() {
        let telemetry = Telemetry::install().unwrap();
        assert!(Telemetry::install().is_ok(), "installing twice is no error");
        metrics::counter!(names::MESSAGES_ACCEPTED, "user" => "alice@a.example").increment(2);
        metrics::histogram!(names::LATENCY, labels::OPERATION => "Send").record(0.02);

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let readiness = Readiness::new();
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(serve_health(listener, telemetry, readiness.clone(), shutdown.clone()));

        assert_eq!(get(address, "/healthz").await.0, 200);
        let (status, body) = get(address, "/readyz").await;
        assert_eq!(status, 503);
        assert!(body.contains("not ready: starting"));
        readiness.ready();
        readiness.wait().await;
        assert_eq!(get(address, "/readyz").await.0, 200);
        readiness.not_ready("the store is full");
        assert!(get(address, "/readyz").await.1.contains("the store is full"));

        let (status, body) = get(address, "/metrics").await;
        assert_eq!(status, 200);
        assert!(body.contains("# HELP sotto_messages_accepted_total Messages made durable"), "{body}");
        assert!(body.contains("sotto_messages_accepted_total 2"), "{body}");
        assert!(body.contains("sotto_latency_seconds_bucket{operation=\"Send\",le=\"0.025\"} 1"), "{body}");
        assert!(!body.contains("alice"), "{body}");

        shutdown.cancel();
        server.await.unwrap().unwrap();
    }
}
