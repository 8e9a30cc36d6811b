//! The recorder that keeps what CloudWatch gets: counters, gauges and histograms of the catalogue, nothing else.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, atomic::AtomicU64},
};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_util::registry::{Registry, Storage};

use crate::{
    histogram::LogHistogram,
    names::{CATALOGUE, Kind, Metric},
};

static BY_NAME: LazyLock<HashMap<&'static str, &'static Metric>> =
    LazyLock::new(|| CATALOGUE.iter().map(|metric| (metric.name, metric)).collect());

/// The metric of the catalogue that a key belongs to, if it is used as what it is.
pub(crate) fn catalogued(key: &Key, kind: Kind) -> Option<&'static Metric> {
    BY_NAME.get(key.name()).copied().filter(|metric| metric.kind == kind)
}

/// How values are kept between two publications: a fixed amount of memory each.
pub(crate) struct Cells;

impl Storage<Key> for Cells {
    type Counter = Arc<AtomicU64>;
    type Gauge = Arc<AtomicU64>;
    type Histogram = Arc<LogHistogram>;

    fn counter(&self, _: &Key) -> Self::Counter {
        Arc::default()
    }

    fn gauge(&self, _: &Key) -> Self::Gauge {
        Arc::default()
    }

    fn histogram(&self, _: &Key) -> Self::Histogram {
        Arc::new(LogHistogram::new())
    }
}

/// All values, shared between the recorder that adds and the publisher that reads.
pub(crate) type Values = Arc<Registry<Key, Cells>>;

/// The `metrics` side of [`Values`].
pub(crate) struct CloudWatchRecorder {
    values: Values,
}

impl CloudWatchRecorder {
    pub(crate) fn new() -> (Self, Values) {
        let values: Values = Arc::new(Registry::new(Cells));
        (Self { values: values.clone() }, values)
    }
}

impl Recorder for CloudWatchRecorder {
    // Units and names come from the catalogue.
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match catalogued(key, Kind::Counter) {
            Some(_) => self.values.get_or_create_counter(key, |counter| counter.clone().into()),
            None => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match catalogued(key, Kind::Gauge) {
            Some(_) => self.values.get_or_create_gauge(key, |gauge| gauge.clone().into()),
            None => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match catalogued(key, Kind::Histogram) {
            Some(_) => self.values.get_or_create_histogram(key, |histogram| histogram.clone().into()),
            None => Histogram::noop(),
        }
    }
}
