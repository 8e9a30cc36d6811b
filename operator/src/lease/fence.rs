//! The fence: no write leaves a process that is not the leader now.
//!
//! One place of the client's stack, below everything that writes: nothing can forget to ask. A process that was stopped and goes
//! on (SIGSTOP, a paused machine) finds its time over before it sends anything, because the clock has gone on.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Uri};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower::{BoxError, Layer, Service};

use super::clock::Clock;
use crate::pace::Pace;

/// A write of a process that is not the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this process is not the leader now, so it writes nothing")]
pub(crate) struct Fenced;

/// Whether this process may write. Clones share one state.
#[derive(Clone, Debug)]
pub(crate) struct Fence {
    /// Until when, in nanoseconds of the clock; 0: not.
    until: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
    /// How long after that nobody else writes either.
    margin: Duration,
}

/// No election: open for ever.
const ALWAYS: u64 = u64::MAX;

impl Fence {
    /// Closed. `margin`: how long after the end of our time nobody else becomes leader.
    pub(crate) fn closed(clock: Arc<dyn Clock>, margin: Duration) -> Self {
        Self { until: Arc::new(AtomicU64::new(0)), clock, margin }
    }

    /// Open until this time of the clock.
    pub(super) fn open_until(&self, until: Duration) {
        // 500 years fit.
        self.until.store(u64::try_from(until.as_nanos()).unwrap_or(ALWAYS - 1), Ordering::SeqCst);
    }

    /// Open for ever: without an election.
    pub(super) fn open(&self) {
        self.until.store(ALWAYS, Ordering::SeqCst);
    }

    /// Closed from now on.
    pub(super) fn close(&self) {
        self.until.store(0, Ordering::SeqCst);
    }

    /// How long writes are good from now on; an error when they are not.
    fn left(&self) -> Result<Duration, Fenced> {
        match self.until.load(Ordering::SeqCst) {
            0 => Err(Fenced),
            ALWAYS => Ok(Duration::MAX),
            until => {
                Duration::from_nanos(until).checked_sub(self.clock.now()).filter(|left| !left.is_zero()).ok_or(Fenced)
            }
        }
    }

    /// An error unless this process may write now.
    pub(crate) fn check(&self) -> Result<(), Fenced> {
        self.left().map(drop)
    }

    /// Lets something that writes go on only while this fence is open: it is asked before each of its steps.
    pub(crate) async fn hold<F: Future>(&self, writes: F) -> Result<F::Output, Fenced> {
        let mut writes = std::pin::pin!(writes);
        std::future::poll_fn(|context| match self.check() {
            Ok(()) => writes.as_mut().poll(context).map(Ok),
            Err(fenced) => Poll::Ready(Err(fenced)),
        })
        .await
    }

    /// A client that reads always, and writes only while this fence is open; at the pace of the API server.
    pub(crate) fn client(&self, mut config: Config) -> Result<Client, kube::Error> {
        config.default_retry = false;
        Ok(ClientBuilder::try_from(config)?.with_layer(&Pace::new()).with_layer(self).build())
    }
}

impl<S> Layer<S> for Fence {
    type Service = FencedService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        FencedService { inner, fence: self.clone() }
    }
}

/// The client's stack below the fence: repetitions after 429 are in there, so what is under way is checked as well.
pub(crate) struct FencedService<S> {
    inner: S,
    fence: Fence,
}

impl<S> Service<Request<Body>> for FencedService<S>
where
    S: Service<Request<Body>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return Box::pin(self.inner.call(request));
        }
        let left = match self.fence.left() {
            Ok(left) => left,
            Err(fenced) => return Box::pin(async move { Err(fenced.into()) }),
        };
        if left != Duration::MAX
            && let Some(uri) = bounded(request.uri(), left.saturating_add(self.fence.margin / 2))
        {
            *request.uri_mut() = uri;
        }
        // Whatever the stack below does, it does while it is polled: a repetition after the end of our time is not sent.
        let (fence, inner) = (self.fence.clone(), self.inner.call(request));
        Box::pin(async move { fence.hold(inner).await? })
    }
}

/// The same, with the time by which the API server has to be done: a write that hangs there must not be done when another leads.
fn bounded(uri: &Uri, limit: Duration) -> Option<Uri> {
    let old = uri.path_and_query()?.as_str();
    let mark = if old.contains('?') { '&' } else { '?' };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{old}{mark}timeout={}ms", limit.as_millis().max(1)).parse().ok()?);
    Uri::from_parts(parts).ok()
}
