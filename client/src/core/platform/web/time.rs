//! The browser's clocks and timers.

use std::ops::Add;
use std::time::Duration;

use futures::future::{Either, select};
use gloo_timers::future::TimeoutFuture;
use wasm_bindgen::{JsCast as _, JsValue};

/// How long the epoch is ago.
pub(crate) fn since_epoch() -> Duration {
    milliseconds(js_sys::Date::now())
}

/// A moment, as a clock sees it that is never put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Self {
        // A page, a worker and Node have it at the same place.
        let clock = js_sys::Reflect::get(&js_sys::global(), &JsValue::from_str("performance"));
        let clock = clock.ok().filter(|clock| clock.is_instance_of::<web_sys::Performance>());
        let now = clock.map_or_else(js_sys::Date::now, |clock| clock.unchecked_into::<web_sys::Performance>().now());
        Self(milliseconds(now))
    }

    pub(crate) fn elapsed(self) -> Duration {
        Self::now().saturating_duration_since(self)
    }

    pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }
}

fn milliseconds(time: f64) -> Duration {
    Duration::try_from_secs_f64(time / 1000.0).unwrap_or_default()
}

/// Waits.
pub(crate) async fn sleep(time: Duration) {
    // The browser's timers count milliseconds, in 31 bits: 24 days.
    let mut left = time.as_nanos().div_ceil(1_000_000);
    loop {
        let now = u32::try_from(left).unwrap_or(u32::MAX).min(i32::MAX.unsigned_abs());
        TimeoutFuture::new(now).await;
        left -= u128::from(now);
        if left == 0 {
            return;
        }
    }
}

/// The time was over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elapsed;

/// Waits for something, for so long at most.
pub(crate) async fn timeout<F: IntoFuture>(time: Duration, work: F) -> Result<F::Output, Elapsed> {
    let work = std::pin::pin!(work.into_future());
    let over = std::pin::pin!(sleep(time));
    match select(work, over).await {
        Either::Left((done, _)) => Ok(done),
        Either::Right(_) => Err(Elapsed),
    }
}

/// Waits for something, until then at most.
pub(crate) async fn timeout_at<F: IntoFuture>(end: Instant, work: F) -> Result<F::Output, Elapsed> {
    timeout(end.saturating_duration_since(Instant::now()), work).await
}

/// Something that is done again and again: at once, and then so long after the last time.
pub(crate) struct Interval {
    next: Instant,
    period: Duration,
}

/// See [`Interval`].
pub(crate) fn interval(period: Duration) -> Interval {
    Interval { next: Instant::now(), period }
}

impl Interval {
    /// Until it is time again. Cancel-safe.
    pub(crate) async fn tick(&mut self) {
        sleep(self.next.saturating_duration_since(Instant::now())).await;
        self.next = Instant::now() + self.period;
    }
}
