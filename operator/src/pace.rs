//! How many calls are under way at the API server at a time: fewer when it says that it has no time, more again when it has.
//!
//! A server that refuses with 429 names a second after which to ask again, and callers that all do so come back all at once, and are
//! refused again. So calls are let in by a window that halves with a refusal and grows with every call that is taken (additive
//! increase, multiplicative decrease, as in TCP: [RFC 5681 section 3.1](https://www.rfc-editor.org/rfc/rfc5681#section-3.1)), and the
//! waits between repetitions differ.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode};
use kube::client::Body;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tower::buffer::Buffer;
use tower::{BoxError, Layer, Service, ServiceExt as _};

/// The most calls under way at a time.
const MOST: f64 = 128.0;
/// Refusals within this time are one: they tell of the same moment.
const MOMENT: Duration = Duration::from_millis(200);
/// How often a call is made again. Whoever makes it says how long that may take.
const REPETITIONS: u32 = 15;
/// Before the first repetition where the server names no time, and at most.
const WAIT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Calls that wait for the connection's task.
const BUFFER: usize = 1024;

/// How many calls may be under way.
#[derive(Debug)]
struct Window {
    size: f64,
    running: u32,
    halved: Option<Instant>,
}

impl Window {
    fn has_room(&self) -> bool {
        f64::from(self.running) < self.size.floor()
    }

    /// A call was taken: one more may be under way after as many as are now.
    fn taken(&mut self) {
        self.size = (self.size + 1.0 / self.size).min(MOST);
    }

    /// A call was refused.
    fn refused(&mut self, now: Instant) {
        if self.halved.is_none_or(|then| now.duration_since(then) >= MOMENT) {
            self.size = (self.size / 2.0).max(1.0);
            self.halved = Some(now);
        }
    }
}

/// Sets the pace of a client. Clones share one window.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    shared: Arc<Shared>,
    repetitions: u32,
}

#[derive(Debug)]
struct Shared {
    window: Mutex<Window>,
    changed: Notify,
}

/// A call that is under way.
struct Call<'a>(&'a Shared);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.window().running -= 1;
        self.0.changed.notify_one();
    }
}

impl Shared {
    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for a call.
    async fn enter(&self) -> Call<'_> {
        loop {
            let changed = self.changed.notified();
            {
                let mut window = self.window();
                if window.has_room() {
                    window.running += 1;
                    if window.has_room() {
                        // The window has grown: there is room for another one who waits.
                        self.changed.notify_one();
                    }
                    return Call(self);
                }
            }
            changed.await;
        }
    }
}

impl Pace {
    pub(crate) fn new() -> Self {
        let window = Window { size: MOST, running: 0, halved: None };
        let shared = Arc::new(Shared { window: Mutex::new(window), changed: Notify::new() });
        Self { shared, repetitions: REPETITIONS }
    }
}

impl<S> Layer<S> for Pace
where
    S: Service<Request<Body>, Error = BoxError> + Send + 'static,
    S::Future: Send + 'static,
{
    type Service = Paced<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Paced { inner: Buffer::new(inner, BUFFER), pace: self.clone() }
    }
}

/// The client's stack below the pace, which repeats nothing itself.
pub(crate) struct Paced<S: Service<Request<Body>>> {
    inner: Buffer<Request<Body>, S::Future>,
    pace: Pace,
}

impl<S, B> Service<Request<Body>> for Paced<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
    B: Send + 'static,
    Response<B>: 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // Each call waits for itself, where it can be repeated.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let (inner, pace) = (self.inner.clone(), self.pace.clone());
        Box::pin(async move {
            let mut repetition = 0;
            loop {
                let again = (repetition < pace.repetitions).then(|| copy(&request)).flatten();
                let call = pace.shared.enter().await;
                let response = inner.clone().oneshot(request).await?;
                drop(call);
                let status = response.status();
                if status == StatusCode::TOO_MANY_REQUESTS {
                    pace.shared.window().refused(Instant::now());
                }
                if !has_no_time(status) {
                    pace.shared.window().taken();
                    return Ok(response);
                }
                let Some(again) = again else { return Ok(response) };
                let named = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
                sleep(wait(named.map(Duration::from_secs), repetition, fraction())).await;
                (request, repetition) = (again, repetition + 1);
            }
        })
    }
}

/// Statuses after which the same call may be taken.
fn has_no_time(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// How long to wait before a repetition: what the server named or twice as long each time, and up to as much again.
fn wait(named: Option<Duration>, repetition: u32, fraction: f64) -> Duration {
    let least = named.unwrap_or_else(|| WAIT.0.saturating_mul(1 << repetition.min(10)).min(WAIT.1));
    least.mul_f64(1.0 + fraction.clamp(0.0, 1.0))
}

/// The same call once more, where its body is at hand.
fn copy(request: &Request<Body>) -> Option<Request<Body>> {
    let mut copy = Request::new(request.body().try_clone()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

/// Between 0 and 1.
pub(crate) fn fraction() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 32;
    f64::from(u32::try_from(bits).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::task::JoinSet;

    use super::*;

    #[test]
    fn the_window_halves_once_a_moment_and_grows_with_every_call() {
        let now = Instant::now();
        let mut window = Window { size: 8.0, running: 0, halved: None };
        window.refused(now);
        window.refused(now + MOMENT / 2);
        assert!((window.size - 4.0).abs() < f64::EPSILON, "one moment, one halving");
        window.refused(now + MOMENT);
        window.refused(now + MOMENT * 2);
        window.refused(now + MOMENT * 3);
        assert!((window.size - 1.0).abs() < f64::EPSILON && window.has_room(), "one call goes always");
        for _ in 0..10_000 {
            window.taken();
        }
        assert!((window.size - MOST).abs() < f64::EPSILON);
    }

    #[test]
    fn waits_differ_and_are_never_shorter_than_the_server_asks() {
        let second = Duration::from_secs(1);
        assert_eq!(wait(Some(second), 9, 0.0), second);
        assert_eq!(wait(Some(second), 0, 0.5), Duration::from_millis(1500));
        assert_eq!(wait(None, 0, 0.0), WAIT.0);
        assert_eq!(wait(None, 30, 1.0), WAIT.1 * 2);
        assert!((0.0..=1.0).contains(&fraction()));
    }

    /// A server that takes one call at a time, refuses the others, and counts both.
    #[derive(Clone, Default)]
    struct Narrow {
        running: Arc<AtomicU32>,
        taken: Arc<AtomicU32>,
        refused: Arc<AtomicU32>,
    }

    impl Service<Request<Body>> for Narrow {
        type Response = Response<Body>;
        type Error = BoxError;
        type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            let this = self.clone();
            Box::pin(async move {
                let mut response = Response::new(Body::empty());
                if this.running.fetch_add(1, Ordering::SeqCst) == 0 {
                    sleep(Duration::from_millis(10)).await;
                    this.taken.fetch_add(1, Ordering::SeqCst);
                } else {
                    this.refused.fetch_add(1, Ordering::SeqCst);
                    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
                }
                this.running.fetch_sub(1, Ordering::SeqCst);
                Ok(response)
            })
        }
    }

    #[tokio::test]
    async fn a_hundred_calls_get_through_a_narrow_server() {
        let narrow = Narrow::default();
        let paced = Pace::new().layer(narrow.clone());
        let begin = Instant::now();
        let mut calls = JoinSet::new();
        for _ in 0..100 {
            let mut one = Paced::<Narrow> { inner: paced.inner.clone(), pace: paced.pace.clone() };
            calls.spawn(async move { one.call(Request::new(Body::empty())).await.unwrap().status() });
        }
        while let Some(status) = calls.join_next().await {
            assert_eq!(status.unwrap(), StatusCode::OK);
        }
        let (taken, refused) = (narrow.taken.load(Ordering::SeqCst), narrow.refused.load(Ordering::SeqCst));
        assert_eq!(taken, 100);
        // Who all come back at once are refused thousands of times: each round lets one through.
        assert!(refused < 600, "{refused} refused in {:?}", begin.elapsed());
    }

    #[tokio::test]
    async fn what_is_always_refused_is_said_in_the_end() {
        let narrow = Narrow::default();
        narrow.running.store(1, Ordering::SeqCst);
        let mut paced = Pace { repetitions: 3, ..Pace::new() }.layer(narrow.clone());
        let status = paced.call(Request::new(Body::empty())).await.unwrap().status();
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(narrow.refused.load(Ordering::SeqCst), 3 + 1);
    }
}
