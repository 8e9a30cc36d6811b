//! What is tried again, how often and when: the one place.

use std::future::Future;
use std::time::Duration;

use sotto_crypto::SystemRng;
use sotto_crypto::rand_core::Rng as _;

use crate::core::error::Error;
use crate::core::platform::sleep;

/// Waiting times that double from `first` to `most`, each with its last half random, so that many clients do not
/// come back at the same moment.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
    first: Duration,
    most: Duration,
}

impl Backoff {
    /// From `first` to `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { next: first, first, most }
    }

    /// The next waiting time; `random` decides its random half.
    pub(crate) fn next(&mut self, random: u32) -> Duration {
        let full = self.next;
        self.next = full.saturating_mul(2).min(self.most);
        let half = full / 2;
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// Starts again, after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// Waits for the next waiting time. Dropped before its end, it has counted.
    pub async fn pause(&mut self) {
        sleep(self.next(random())).await;
    }
}

/// For one call: four attempts within about two seconds.
const ATTEMPTS: u32 = 4;
const CALL: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(2));

/// Repeats a call while it fails in a way that a repeat may mend. The call must be safe to repeat.
pub(crate) async fn retrying<T, F, Fut>(mut call: F) -> Result<T, Error>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Error>>,
{
    let mut backoff = CALL;
    let mut attempt = 1;
    loop {
        match call().await {
            Err(error) if error.is_retryable() && attempt < ATTEMPTS => {
                tracing::debug!(attempt, %error, "trying again");
                attempt += 1;
                backoff.pause().await;
            }
            ended => return ended,
        }
    }
}

/// A random number for [`Backoff::next`].
pub(crate) fn random() -> u32 {
    SystemRng.next_u32()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use sotto_wire::{ApiError, ErrorCode};

    use super::*;

    #[test]
    fn waiting_times_double_up_to_a_bound_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let times: Vec<_> = (0..5).map(|_| backoff.next(u32::MAX).as_secs()).collect();
        assert_eq!(times, [1, 2, 4, 5, 5]);
        assert_eq!(backoff.next(0), Duration::from_millis(2500));
        backoff.reset();
        assert_eq!(backoff.next(u32::MAX), Duration::from_secs(1));
    }

    #[tokio::test]
    async fn only_what_may_mend_is_repeated() {
        let calls = AtomicU32::new(0);
        let fail = |code| {
            let calls = &calls;
            move || {
                calls.fetch_add(1, Ordering::Relaxed);
                async move { Err::<(), Error>(ApiError::new(code, "no").into()) }
            }
        };
        assert!(retrying(fail(ErrorCode::Forbidden)).await.is_err());
        assert_eq!(calls.swap(0, Ordering::Relaxed), 1);
        assert!(retrying(fail(ErrorCode::Unavailable)).await.is_err());
        assert_eq!(calls.load(Ordering::Relaxed), ATTEMPTS);
    }
}
