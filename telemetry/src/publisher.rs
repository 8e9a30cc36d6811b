//! Publishes to CloudWatch. It must never harm what it measures: its memory and its time are bounded, nothing waits
//! for it, and a CloudWatch that is down costs one log line and, after long, the oldest values.
//!
//! Values travel at least once: when an answer is lost, an interval may be counted twice.

use std::{
    collections::VecDeque,
    pin::pin,
    time::{Duration, SystemTime},
};

use aws_config::{
    BehaviorVersion, Region, meta::region::RegionProviderChain, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_sdk_cloudwatch::{Client, error::ProvideErrorMetadata};
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval_at, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    names,
    recorder::Values,
    snapshot::{Request, Snapshots, requests},
};

/// Where and how to publish.
#[derive(Clone, Debug)]
pub struct CloudWatchConfig {
    /// The value of the dimension `Network` (the network's domain); `None` for a process that serves several and
    /// says which one with the label [`NETWORK`](crate::labels::NETWORK).
    pub network: Option<String>,
    /// The region; otherwise the environment's.
    pub region: Option<String>,
    /// The endpoint; otherwise the environment's (`AWS_ENDPOINT_URL`), otherwise the region's.
    pub endpoint: Option<String>,
    /// The namespace.
    pub namespace: String,
    /// How often.
    pub interval: Duration,
    /// How long one call may take.
    pub call_timeout: Duration,
    /// How long the last publication may take when the process ends.
    pub flush_timeout: Duration,
    /// How much may wait for a CloudWatch that is down; then the oldest is dropped.
    pub max_pending_bytes: usize,
}

impl CloudWatchConfig {
    /// The usual settings: namespace `Sotto`, every minute.
    pub fn new(network: Option<String>) -> Self {
        Self {
            network,
            region: None,
            endpoint: None,
            namespace: "Sotto".to_owned(),
            interval: Duration::from_mins(1),
            call_timeout: Duration::from_secs(10),
            flush_timeout: Duration::from_secs(5),
            max_pending_bytes: 4 << 20,
        }
    }
}

/// A running publisher.
#[derive(Debug)]
pub struct Publisher {
    task: JoinHandle<()>,
}

impl Publisher {
    pub(crate) fn start(config: CloudWatchConfig, values: Values, shutdown: CancellationToken) -> Self {
        Self {
            task: tokio::spawn(async move {
                // Finding a region may ask the instance metadata service, which may take its time.
                tokio::select! {
                    client = connect(&config) => Work::new(config, client, values).run(shutdown).await,
                    () = shutdown.cancelled() => {}
                }
            }),
        }
    }

    /// Returns once the last publication after shutdown is done or given up; never later than the configured time
    /// after shutdown.
    pub async fn finished(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "publishing metrics ended unexpectedly");
        }
    }
}

async fn connect(config: &CloudWatchConfig) -> Client {
    let region = RegionProviderChain::first_try(config.region.clone().map(Region::new))
        .or_default_provider()
        .or_else(Region::from_static("us-east-1"));
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(region)
        // What fails is kept and sent with the next interval, so there is no hurry.
        .retry_config(RetryConfig::standard().with_max_attempts(2))
        .timeout_config(TimeoutConfig::builder().operation_timeout(config.call_timeout).build());
    if let Some(endpoint) = &config.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    let shared = loader.load().await;
    if config.region.is_none() && config.endpoint.is_none() {
        tracing::info!(region = shared.region().map(AsRef::as_ref), "publishing metrics to CloudWatch");
    }
    Client::new(&shared)
}

/// What became of one request.
enum Outcome {
    Sent,
    /// CloudWatch will not take these values, ever.
    Refused(String),
    /// Try again later.
    Failed(String),
}

struct Work {
    config: CloudWatchConfig,
    client: Client,
    snapshots: Snapshots,
    pending: VecDeque<Request>,
    pending_bytes: usize,
    failing: bool,
    dropping: bool,
}

impl Work {
    fn new(config: CloudWatchConfig, client: Client, values: Values) -> Self {
        let snapshots = Snapshots::new(values);
        Self { config, client, snapshots, pending: VecDeque::new(), pending_bytes: 0, failing: false, dropping: false }
    }

    async fn run(mut self, shutdown: CancellationToken) {
        let mut ticks = interval_at(Instant::now() + self.config.interval, self.config.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A call under way at shutdown is let finish: to repeat one that has arrived would count it twice.
        let flush_timeout = self.config.flush_timeout;
        let mut over = pin!(async {
            shutdown.cancelled().await;
            sleep(flush_timeout).await;
        });
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = ticks.tick() => {}
            }
            self.collect();
            tokio::select! {
                () = self.send_pending() => {}
                () = &mut over => return self.report_unpublished(),
            }
        }
        self.collect();
        tokio::select! {
            () = self.send_pending() => {}
            () = &mut over => {}
        }
        self.report_unpublished();
    }

    fn report_unpublished(&self) {
        if !self.pending.is_empty() {
            tracing::warn!(datums = self.waiting(), "ending without having published the last metrics");
        }
    }

    /// Takes a snapshot, and makes room by dropping the oldest.
    fn collect(&mut self) {
        let samples = self.snapshots.take();
        for request in requests(&samples, self.config.network.as_deref(), SystemTime::now()) {
            self.pending_bytes += request.bytes;
            self.pending.push_back(request);
        }
        while self.pending_bytes > self.config.max_pending_bytes {
            let Some(oldest) = self.pop() else { break };
            self.drop_request(&oldest, "CloudWatch has been unreachable for too long");
        }
    }

    /// Sends the oldest first, until all is sent or one fails.
    async fn send_pending(&mut self) {
        while let Some(request) = self.pending.front() {
            match self.send(request).await {
                Outcome::Sent => {
                    self.pop();
                    if std::mem::take(&mut self.failing) {
                        tracing::info!("publishing metrics works again");
                    }
                    self.dropping = false;
                }
                Outcome::Refused(reason) => {
                    if let Some(request) = self.pop() {
                        self.drop_request(&request, &reason);
                    }
                }
                Outcome::Failed(reason) => {
                    if !std::mem::replace(&mut self.failing, true) {
                        tracing::warn!(reason, "publishing metrics failed; values are kept and sent later");
                    }
                    return;
                }
            }
        }
    }

    async fn send(&self, request: &Request) -> Outcome {
        let call = self
            .client
            .put_metric_data()
            .namespace(&self.config.namespace)
            .set_metric_data(Some(request.datums.clone()))
            .send();
        // The client has its own limit; credentials may come from elsewhere and take longer.
        match timeout(self.config.call_timeout, call).await {
            Ok(Ok(_)) => Outcome::Sent,
            Ok(Err(error)) => {
                let code = error.code().unwrap_or_default().to_owned();
                if code.starts_with("InvalidParameter") || code.starts_with("MissingRequiredParameter") {
                    Outcome::Refused(format!("CloudWatch refused the values: {code}"))
                } else {
                    Outcome::Failed(aws_sdk_cloudwatch::error::DisplayErrorContext(error).to_string())
                }
            }
            Err(_) => Outcome::Failed(format!("no answer within {:?}", self.config.call_timeout)),
        }
    }

    fn pop(&mut self) -> Option<Request> {
        let request = self.pending.pop_front()?;
        self.pending_bytes = self.pending_bytes.saturating_sub(request.bytes);
        Some(request)
    }

    fn drop_request(&mut self, request: &Request, reason: &str) {
        metrics::counter!(names::METRIC_DATUMS_DROPPED).increment(request.datums.len() as u64);
        if !std::mem::replace(&mut self.dropping, true) {
            tracing::warn!(reason, "metric values are being dropped; further ones are only counted");
        }
    }

    fn waiting(&self) -> usize {
        self.pending.iter().map(|request| request.datums.len()).sum()
    }
}

#[cfg(test)]
mod tests;
