//! Waiting between attempts.

use std::time::Duration;

use sotto_crypto::SystemRng;
use sotto_crypto::rand_core::Rng as _;
use tokio_util::sync::CancellationToken;

/// Waiting times that double, each with its last half random, so that many attempts do not come at the same moment.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    next: Duration,
    first: Duration,
    most: Duration,
}

impl Backoff {
    /// From `first` to `most`.
    pub(crate) const fn new(first: Duration, most: Duration) -> Self {
        Self { next: first, first, most }
    }

    /// The next waiting time; `random` decides its random half.
    fn next(&mut self, random: u32) -> Duration {
        let full = self.next;
        self.next = full.saturating_mul(2).min(self.most);
        full / 2 + (full / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// Starts again, after a success.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// Waits. Whether to go on: not when `stop` came.
    pub(crate) async fn pause(&mut self, stop: &CancellationToken) -> bool {
        let time = self.next(SystemRng.next_u32());
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(time) => true,
        }
    }
}

#[cfg(test)]
mod tests {
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
    async fn stopping_ends_the_wait() {
        let stop = CancellationToken::new();
        stop.cancel();
        assert!(!Backoff::new(Duration::from_hours(1), Duration::from_hours(1)).pause(&stop).await);
    }
}
