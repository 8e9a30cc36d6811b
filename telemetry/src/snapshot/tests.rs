use metrics::with_local_recorder;

use super::*;
use crate::{guard::Guard, labels, names, recorder::CloudWatchRecorder};

fn recorded(work: impl FnOnce()) -> Snapshots {
    let (recorder, values) = CloudWatchRecorder::new();
    with_local_recorder(&Guard::new(recorder), work);
    Snapshots::new(values)
}

fn value(samples: &Samples, name: &str, dimension: Option<(&str, &str)>) -> Option<Sample> {
    samples
        .iter()
        .find(|(series, _)| {
            series.metric == name && series.dimension.as_ref().map(|(name, value)| (*name, value.as_str())) == dimension
        })
        .map(|(_, (_, sample))| sample.clone())
}

#[test]
fn counters_are_deltas_and_zero_is_told_for_the_network_alone() {
    let (recorder, values) = CloudWatchRecorder::new();
    let recorder = Guard::new(recorder);
    let mut snapshots = Snapshots::new(values);
    with_local_recorder(&recorder, || {
        metrics::counter!(names::FEDERATION_SUCCESS, labels::PEER => "b.example").increment(3);
        metrics::counter!(names::FEDERATION_SUCCESS, labels::PEER => "c.example").increment(4);
        metrics::counter!(names::MESSAGES_ACCEPTED).increment(5);
    });
    let first = snapshots.take();
    assert_eq!(value(&first, "FederationSuccess", Some(("Peer", "b.example"))), Some(Sample::Value(3.0)));
    assert_eq!(value(&first, "FederationSuccess", None), Some(Sample::Value(7.0)));
    assert_eq!(value(&first, "MessagesAccepted", None), Some(Sample::Value(5.0)));

    with_local_recorder(&recorder, || {
        metrics::counter!(names::FEDERATION_SUCCESS, labels::PEER => "b.example").increment(1);
    });
    let second = snapshots.take();
    assert_eq!(value(&second, "FederationSuccess", Some(("Peer", "b.example"))), Some(Sample::Value(1.0)));
    assert_eq!(value(&second, "FederationSuccess", Some(("Peer", "c.example"))), None);
    assert_eq!(value(&second, "FederationSuccess", None), Some(Sample::Value(1.0)));
    assert_eq!(value(&second, "MessagesAccepted", None), Some(Sample::Value(0.0)));
}

#[test]
fn what_is_not_catalogued_or_used_as_another_kind_is_not_published() {
    let samples = recorded(|| {
        metrics::counter!("sotto_something_else_total").increment(1);
        metrics::gauge!(names::MESSAGES_ACCEPTED).set(1.0);
        metrics::counter!(names::MESSAGES_ACCEPTED, "user" => "alice@a.example").increment(2);
    })
    .take();
    assert_eq!(samples.len(), 1);
    assert_eq!(value(&samples, "MessagesAccepted", None), Some(Sample::Value(2.0)));
}

#[test]
fn gauges_add_up_but_ages_do_not() {
    let samples = recorded(|| {
        metrics::gauge!(names::OBJECTS_MANAGED, labels::KIND => "User").set(3.0);
        metrics::gauge!(names::OBJECTS_MANAGED, labels::KIND => "Network").set(1.0);
        metrics::gauge!(names::OLDEST_MESSAGE_AGE, labels::PEER => "b.example").set(30.0);
        metrics::gauge!(names::OLDEST_MESSAGE_AGE, labels::PEER => "c.example").set(10.0);
        metrics::gauge!(names::ACTIVE_CONNECTIONS).set(f64::NAN);
    })
    .take();
    assert_eq!(value(&samples, "ObjectsManaged", None), Some(Sample::Value(4.0)));
    assert_eq!(value(&samples, "ApproximateAgeOfOldestMessage", None), Some(Sample::Value(30.0)));
    assert_eq!(value(&samples, "ActiveConnections", None), None, "CloudWatch refuses NaN");
}

#[test]
fn times_become_milliseconds_and_distributions_merge() {
    let samples = recorded(|| {
        metrics::histogram!(names::LATENCY, labels::OPERATION => "Send").record(0.1);
        metrics::histogram!(names::LATENCY, labels::OPERATION => "Receive").record(0.1);
        metrics::histogram!(names::LATENCY, labels::OPERATION => "Receive").record(2.0);
    })
    .take();
    let Some(Sample::Distribution(all)) = value(&samples, "Latency", None) else { panic!("no total") };
    assert_eq!(all.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [2, 1]);
    assert!((all[0].0 - 100.0).abs() < 3.0 && (all[1].0 - 2_000.0).abs() < 60.0, "{all:?}");
    let requests = requests(&samples, Some("a.example"), SystemTime::UNIX_EPOCH);
    assert_eq!(requests.len(), 1);
    for datum in &requests[0].datums {
        assert_eq!(datum.unit(), Some(&StandardUnit::Milliseconds));
        assert_eq!(datum.dimensions()[0].name(), Some("Network"));
        assert_eq!(datum.dimensions()[0].value(), Some("a.example"));
        assert_eq!(datum.values().len(), datum.counts().len());
    }
}

#[test]
fn the_network_of_a_metric_goes_before_the_process_network() {
    let samples = recorded(|| {
        metrics::counter!(names::RECONCILE_SUCCESS, labels::KIND => "User", labels::NETWORK => "x.example")
            .increment(1);
        metrics::counter!(names::RECONCILE_SUCCESS, labels::KIND => "User").increment(1);
    })
    .take();
    let request = requests(&samples, None, SystemTime::UNIX_EPOCH).remove(0);
    let mut dimensions: Vec<Vec<(&str, &str)>> = request
        .datums
        .iter()
        .map(|datum| {
            datum.dimensions().iter().map(|d| (d.name().unwrap_or_default(), d.value().unwrap_or_default())).collect()
        })
        .collect();
    dimensions.sort();
    let expected: Vec<Vec<(&str, &str)>> = vec![
        vec![],
        vec![("Kind", "User")],
        vec![("Network", "x.example")],
        vec![("Network", "x.example"), ("Kind", "User")],
    ];
    assert_eq!(dimensions, expected);
}

#[test]
fn requests_stay_within_the_limits() {
    let samples = recorded(|| {
        for operation in 0..99 {
            let histogram = metrics::histogram!(names::LATENCY, labels::OPERATION => format!("Operation{operation}"));
            let mut seconds = 1e-5;
            while seconds < 1e5 {
                histogram.record(seconds);
                seconds *= 1.05;
            }
        }
        for (at, metric) in names::CATALOGUE.iter().enumerate() {
            for peer in 0..90 {
                if metric.kind == Kind::Counter {
                    metrics::counter!(metric.name, labels::PEER => format!("{peer}.example")).increment(at as u64 + 1);
                }
            }
        }
    })
    .take();
    let requests = requests(&samples, Some("a.example"), SystemTime::UNIX_EPOCH);
    assert!(requests.len() > 2);
    for request in &requests {
        assert!(request.datums.len() <= MAX_DATUMS && request.bytes <= MAX_BYTES);
        assert!(request.datums.iter().all(|datum| datum.values().len() <= MAX_VALUES));
    }
    // Nothing is lost on the way.
    let published: f64 = requests
        .iter()
        .flat_map(|request| &request.datums)
        .filter(|datum| datum.metric_name() == Some("Latency") && datum.dimensions().len() == 1)
        .flat_map(MetricDatum::counts)
        .sum();
    let Some(Sample::Distribution(all)) = value(&samples, "Latency", None) else { panic!("no total") };
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let recorded = all.iter().map(|(_, count)| *count).sum::<u64>() as f64;
    assert!((published - recorded).abs() < f64::EPSILON);
}
