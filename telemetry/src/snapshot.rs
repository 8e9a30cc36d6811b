//! From recorded values to what CloudWatch takes: pure, so that it is tested without a network.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::Ordering,
    time::SystemTime,
};

use aws_sdk_cloudwatch::{
    primitives::DateTime,
    types::{Dimension, MetricDatum, StandardUnit},
};
use metrics::Key;

use crate::{
    labels::{ALLOWED, NETWORK, NETWORK_DIMENSION},
    names::{Kind, Metric, Unit},
    recorder::{Values, catalogued},
};

/// CloudWatch takes this many different values in one datum.
const MAX_VALUES: usize = 150;
/// … this many datums in one request.
const MAX_DATUMS: usize = 1_000;
/// … and 1 MB; ours are estimated generously and kept well below.
const MAX_BYTES: usize = 700_000;

/// A metric with the dimensions under which it is published.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Series {
    metric: &'static str,
    /// Where the metric itself says which network it is about.
    network: Option<String>,
    dimension: Option<(&'static str, String)>,
}

/// What is published of one series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sample {
    Value(f64),
    Distribution(Vec<(f64, u64)>),
}

pub(crate) type Samples = BTreeMap<Series, (&'static Metric, Sample)>;

/// Reads the values and remembers what of the counters has been read.
pub(crate) struct Snapshots {
    values: Values,
    counted: HashMap<Key, u64>,
}

impl Snapshots {
    pub(crate) fn new(values: Values) -> Self {
        Self { values, counted: HashMap::new() }
    }

    /// What happened since the last call. Every series that has a dimension besides the network also counts towards
    /// the network's total, since CloudWatch does not add up dimensions by itself.
    pub(crate) fn take(&mut self) -> Samples {
        let mut samples = Samples::new();
        self.values.visit_counters(|key, counter| {
            let Some(metric) = catalogued(key, Kind::Counter) else { return };
            let now = counter.load(Ordering::Relaxed);
            let before = self.counted.insert(key.clone(), now).unwrap_or(0);
            #[expect(clippy::cast_precision_loss, reason = "counts of one interval are far below 2^52")]
            let added = now.saturating_sub(before) as f64;
            add(&mut samples, key, metric, &Sample::Value(added));
        });
        self.values.visit_gauges(|key, gauge| {
            let Some(metric) = catalogued(key, Kind::Gauge) else { return };
            let value = f64::from_bits(gauge.load(Ordering::Relaxed));
            if value.is_finite() {
                add(&mut samples, key, metric, &Sample::Value(value * metric.scale()));
            }
        });
        self.values.visit_histograms(|key, histogram| {
            let Some(metric) = catalogued(key, Kind::Histogram) else { return };
            let values = histogram.take();
            if !values.is_empty() {
                let scaled = values.into_iter().map(|(value, count)| (value * metric.scale(), count)).collect();
                add(&mut samples, key, metric, &Sample::Distribution(scaled));
            }
        });
        // A network's own series are published as zero too (a missing one means that nobody is there); a peer or an
        // operation that nothing happened to costs nothing.
        samples.retain(|series, (metric, sample)| {
            series.dimension.is_none() || metric.kind != Kind::Counter || *sample != Sample::Value(0.0)
        });
        samples
    }
}

fn add(samples: &mut Samples, key: &Key, metric: &'static Metric, sample: &Sample) {
    let mut series = Series { metric: metric.cloudwatch, network: None, dimension: None };
    for label in key.labels() {
        if label.key() == NETWORK {
            series.network = Some(label.value().to_owned());
        } else if let Some((_, name)) = ALLOWED.iter().find(|(name, _)| *name == label.key()) {
            series.dimension = Some((name, label.value().to_owned()));
        }
    }
    if series.dimension.is_some() {
        merge(samples, Series { dimension: None, ..series.clone() }, metric, sample);
    }
    merge(samples, series, metric, sample);
}

fn merge(samples: &mut Samples, series: Series, metric: &'static Metric, sample: &Sample) {
    let Some((_, known)) = samples.get_mut(&series) else {
        samples.insert(series, (metric, sample.clone()));
        return;
    };
    match (known, sample) {
        // Ages do not add up; the oldest is what counts.
        (Sample::Value(known), Sample::Value(new)) if metric.kind == Kind::Gauge && metric.unit == Unit::Seconds => {
            *known = known.max(*new);
        }
        (Sample::Value(known), Sample::Value(new)) => *known += new,
        (Sample::Distribution(known), Sample::Distribution(new)) => {
            for (value, count) in new {
                // Both come from the same buckets, so equal values are equal to the bit.
                match known.binary_search_by(|(other, _)| other.total_cmp(value)) {
                    Ok(at) => known[at].1 += count,
                    Err(at) => known.insert(at, (*value, *count)),
                }
            }
        }
        // One metric is of one kind.
        (Sample::Value(_), Sample::Distribution(_)) | (Sample::Distribution(_), Sample::Value(_)) => {}
    }
}

/// One PutMetricData request, and how large it is at most.
pub(crate) struct Request {
    pub(crate) datums: Vec<MetricDatum>,
    pub(crate) bytes: usize,
}

/// The requests that carry the samples, within the limits of CloudWatch. `network` is for those metrics that do not
/// say themselves which network they are about.
pub(crate) fn requests(samples: &Samples, network: Option<&str>, at: SystemTime) -> Vec<Request> {
    let mut requests: Vec<Request> = Vec::new();
    for (series, (metric, sample)) in samples {
        let values: Vec<Vec<(f64, u64)>> = match sample {
            Sample::Value(value) => vec![vec![(*value, 1)]],
            Sample::Distribution(values) => values.chunks(MAX_VALUES).map(<[_]>::to_vec).collect(),
        };
        for values in values {
            let datum = datum(series, metric, &values, network, at);
            let bytes = size(&datum);
            match requests.last_mut() {
                Some(last) if last.datums.len() < MAX_DATUMS && last.bytes + bytes <= MAX_BYTES => {
                    last.bytes += bytes;
                    last.datums.push(datum);
                }
                _ => requests.push(Request { datums: vec![datum], bytes }),
            }
        }
    }
    requests
}

fn datum(
    series: &Series,
    metric: &Metric,
    values: &[(f64, u64)],
    network: Option<&str>,
    at: SystemTime,
) -> MetricDatum {
    let dimension = |name: &str, value: &str| Dimension::builder().name(name).value(value).build();
    let mut datum =
        MetricDatum::builder().metric_name(series.metric).timestamp(DateTime::from(at)).unit(match metric.unit {
            Unit::Count => StandardUnit::Count,
            Unit::Bytes => StandardUnit::Bytes,
            Unit::Seconds => StandardUnit::Seconds,
            Unit::Milliseconds => StandardUnit::Milliseconds,
        });
    if let Some(network) = series.network.as_deref().or(network) {
        datum = datum.dimensions(dimension(NETWORK_DIMENSION, network));
    }
    if let Some((name, value)) = &series.dimension {
        datum = datum.dimensions(dimension(name, value));
    }
    if let (Kind::Counter | Kind::Gauge, [(value, _)]) = (metric.kind, values) {
        return datum.value(*value).build();
    }
    for (value, count) in values {
        #[expect(clippy::cast_precision_loss, reason = "counts of one interval are far below 2^52")]
        let count = *count as f64;
        datum = datum.values(*value).counts(count);
    }
    datum.build()
}

/// An upper bound of a datum's encoded size: texts, numbers of nine bytes, field names.
fn size(datum: &MetricDatum) -> usize {
    let dimensions: usize = datum
        .dimensions()
        .iter()
        .map(|dimension| 24 + dimension.name().map_or(0, str::len) + dimension.value().map_or(0, str::len))
        .sum();
    128 + datum.metric_name().map_or(0, str::len) + dimensions + 9 * (datum.values().len() + datum.counts().len())
}

#[cfg(test)]
mod tests;
