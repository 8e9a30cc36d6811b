//! A histogram of bounded size whose content CloudWatch can take as values with counts.
//!
//! Logarithmic buckets 4 % apart: what comes out is within 2 % of what went in, whatever the number of samples, in a
//! few kilobytes. Recording is one atomic addition.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::HistogramFn;

/// Each bucket's upper end is this times its lower end.
const RATIO: f64 = 1.04;
/// The lower end of the first bucket: a microsecond.
const LOWEST: f64 = 1e-6;
/// Up to about 1e10 (bytes): ln(1e16) / ln(1.04) = 939.3.
const BUCKETS: usize = 941;

/// Counts of values by bucket.
pub(crate) struct LogHistogram {
    /// Zero and below (CloudWatch percentiles do not take negative values, and none of ours has any).
    zero: AtomicU64,
    buckets: Box<[AtomicU64]>,
}

impl LogHistogram {
    pub(crate) fn new() -> Self {
        Self { zero: AtomicU64::new(0), buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }

    fn bucket(&self, value: f64) -> &AtomicU64 {
        if value <= 0.0 {
            return &self.zero;
        }
        let position = ((value / LOWEST).ln() / RATIO.ln()).floor();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is wanted")]
        let index = (position as usize).min(BUCKETS - 1);
        &self.buckets[index]
    }

    /// What has been recorded since the last call, as (value, count) in rising order.
    pub(crate) fn take(&self) -> Vec<(f64, u64)> {
        let mut values = Vec::new();
        let zero = self.zero.swap(0, Ordering::Relaxed);
        if zero > 0 {
            values.push((0.0, zero));
        }
        for (index, bucket) in (0u32..).zip(&self.buckets) {
            let count = bucket.swap(0, Ordering::Relaxed);
            if count > 0 {
                values.push((three_digits(LOWEST * RATIO.powf(f64::from(index) + 0.5)), count));
            }
        }
        values
    }
}

/// Rounded to three significant digits: the rest would only pretend to be exact.
fn three_digits(value: f64) -> f64 {
    let unit = 10f64.powf(value.log10().floor() - 2.0);
    // Through text, so that 0.0123 is 0.0123 and not 0.012299999999999998.
    let digits = (value / unit).round();
    format!("{digits}e{}", unit.log10().round()).parse().unwrap_or(value)
}

impl HistogramFn for LogHistogram {
    fn record(&self, value: f64) {
        self.record_many(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        if value.is_finite() {
            self.bucket(value).fetch_add(count as u64, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_out_close_to_how_they_went_in() {
        let histogram = LogHistogram::new();
        let mut value = 1.5e-6;
        while value < 9e9 {
            histogram.record_many(value, 3);
            let taken = histogram.take();
            assert_eq!(taken.len(), 1);
            assert_eq!(taken[0].1, 3);
            assert!((taken[0].0 / value - 1.0).abs() < 0.03, "{value} became {}", taken[0].0);
            value *= 1.7;
        }
    }

    #[test]
    fn the_odd_ones_do_no_harm() {
        let histogram = LogHistogram::new();
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            histogram.record(value);
        }
        assert!(histogram.take().is_empty());
        for value in [0.0, -1.0, f64::MIN_POSITIVE, f64::MAX] {
            histogram.record(value);
        }
        let taken = histogram.take();
        assert_eq!(taken.iter().map(|(_, count)| count).sum::<u64>(), 4);
        assert!(taken.iter().all(|(value, _)| value.is_finite()));
        assert!(taken.is_sorted_by(|a, b| a.0 < b.0));
        assert!(histogram.take().is_empty(), "taking empties it");
    }
}
