//! Against a real HTTP server that reads the CBOR which the SDK sends. Moto, and AWS's view of it, come in e2e.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_sdk_cloudwatch::config::Credentials;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use metrics::with_local_recorder;
use minicbor::{Decoder, data::Type};
use tokio::sync::Notify;

use super::*;
use crate::{guard::Guard, labels, recorder::CloudWatchRecorder};

/// What a request said, as far as the tests look.
#[derive(Clone, Debug, Default, PartialEq)]
struct Datum {
    name: String,
    unit: String,
    dimensions: Vec<(String, String)>,
    value: Option<f64>,
    values: Vec<f64>,
    counts: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Fine,
    Down,
    Refusing,
    Silent,
}

#[derive(Clone)]
struct Fake {
    mood: Arc<Mutex<Mood>>,
    calls: Arc<AtomicUsize>,
    taken: Arc<Mutex<Vec<Datum>>>,
    changed: Arc<Notify>,
    address: String,
}

impl Fake {
    async fn start(mood: Mood) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            mood: Arc::new(Mutex::new(mood)),
            calls: Arc::default(),
            taken: Arc::default(),
            changed: Arc::default(),
            address: format!("http://{}", listener.local_addr().unwrap()),
        };
        let router = Router::new().fallback(answer).with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        fake
    }

    fn client(&self) -> Client {
        let config = aws_sdk_cloudwatch::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .endpoint_url(&self.address)
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .disable_request_compression(true)
            .build();
        Client::from_conf(config)
    }

    async fn until(&self, condition: impl Fn(&Self) -> bool) {
        tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                let changed = self.changed.notified();
                if condition(self) {
                    return;
                }
                changed.await;
            }
        })
        .await
        .expect("the fake never got there");
    }

    fn total(&self, name: &str) -> f64 {
        self.taken.lock().unwrap().iter().filter(|d| d.name == name).filter_map(|d| d.value).sum()
    }
}

async fn answer(State(fake): State<Fake>, headers: HeaderMap, uri: axum::http::Uri, body: Bytes) -> Response {
    fake.calls.fetch_add(1, Ordering::SeqCst);
    fake.changed.notify_waiters();
    let mood = *fake.mood.lock().unwrap();
    let protocol = [("smithy-protocol", "rpc-v2-cbor"), ("content-type", "application/cbor")];
    match mood {
        Mood::Fine => {
            assert!(uri.path().ends_with("/operation/PutMetricData"), "{uri}");
            assert_eq!(headers["smithy-protocol"], "rpc-v2-cbor");
            assert!(body.len() < 1_000_000);
            let (namespace, datums) = request(&body);
            assert_eq!(namespace, "Sotto");
            fake.taken.lock().unwrap().extend(datums);
            fake.changed.notify_waiters();
            (protocol, vec![0xa0u8]).into_response()
        }
        Mood::Down => (StatusCode::SERVICE_UNAVAILABLE, "no").into_response(),
        Mood::Refusing => {
            let mut body = Vec::new();
            let mut encoder = minicbor::Encoder::new(&mut body);
            encoder.map(1).unwrap().str("__type").unwrap();
            encoder.str("com.amazonaws.cloudwatch#InvalidParameterValueException").unwrap();
            (StatusCode::BAD_REQUEST, protocol, body).into_response()
        }
        Mood::Silent => std::future::pending().await,
    }
}

/// Calls `each` for every key of a map of either length form.
fn map<'b>(d: &mut Decoder<'b>, mut each: impl FnMut(&str, &mut Decoder<'b>)) {
    let length = d.map().unwrap();
    let mut read = 0;
    loop {
        if length.map_or_else(|| d.datatype().unwrap() == Type::Break, |length| read == length) {
            break;
        }
        let key = d.str().unwrap().to_owned();
        each(&key, d);
        read += 1;
    }
    if length.is_none() {
        d.skip().unwrap();
    }
}

fn array<'b>(d: &mut Decoder<'b>, mut each: impl FnMut(&mut Decoder<'b>)) {
    let length = d.array().unwrap();
    let mut read = 0;
    loop {
        if length.map_or_else(|| d.datatype().unwrap() == Type::Break, |length| read == length) {
            break;
        }
        each(d);
        read += 1;
    }
    if length.is_none() {
        d.skip().unwrap();
    }
}

fn request(body: &[u8]) -> (String, Vec<Datum>) {
    let (mut namespace, mut datums) = (String::new(), Vec::new());
    map(&mut Decoder::new(body), |key, d| match key {
        "Namespace" => namespace = d.str().unwrap().to_owned(),
        "MetricData" => array(d, |d| datums.push(datum(d))),
        _ => d.skip().unwrap(),
    });
    (namespace, datums)
}

fn datum(d: &mut Decoder<'_>) -> Datum {
    let mut datum = Datum::default();
    map(d, |key, d| match key {
        "MetricName" => d.str().unwrap().clone_into(&mut datum.name),
        "Unit" => d.str().unwrap().clone_into(&mut datum.unit),
        "Value" => datum.value = Some(d.f64().unwrap()),
        "Values" => array(d, |d| datum.values.push(d.f64().unwrap())),
        "Counts" => array(d, |d| datum.counts.push(d.f64().unwrap())),
        "Dimensions" => array(d, |d| {
            let mut pair = BTreeMap::new();
            map(d, |key, d| {
                pair.insert(key.to_owned(), d.str().unwrap().to_owned());
            });
            datum.dimensions.push((pair["Name"].clone(), pair["Value"].clone()));
        }),
        _ => d.skip().unwrap(),
    });
    datum
}

fn config() -> CloudWatchConfig {
    CloudWatchConfig {
        interval: Duration::from_millis(30),
        call_timeout: Duration::from_secs(10),
        flush_timeout: Duration::from_secs(10),
        ..CloudWatchConfig::new(Some("a.example".to_owned()))
    }
}

struct Run {
    recorder: Guard<CloudWatchRecorder>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

fn start(fake: &Fake, config: CloudWatchConfig) -> Run {
    let (recorder, values) = CloudWatchRecorder::new();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(Work::new(config, fake.client(), values).run(shutdown.clone()));
    Run { recorder: Guard::new(recorder), shutdown, task }
}

impl Run {
    fn count(&self, n: u64) {
        with_local_recorder(&self.recorder, || metrics::counter!(names::MESSAGES_ACCEPTED).increment(n));
    }

    /// Ends it, and says how long that took.
    async fn end(self) -> Duration {
        let started = Instant::now();
        self.shutdown.cancel();
        self.task.await.unwrap();
        started.elapsed()
    }
}

#[tokio::test]
async fn what_is_recorded_arrives_with_its_dimensions() {
    let fake = Fake::start(Mood::Fine).await;
    let run = start(&fake, config());
    run.count(7);
    with_local_recorder(&run.recorder, || {
        metrics::histogram!(names::LATENCY, labels::OPERATION => "Send").record(0.25);
        metrics::gauge!(names::ACTIVE_CONNECTIONS).set(3.0);
    });
    fake.until(|fake| fake.total("ActiveConnections") >= 3.0).await;
    run.end().await;
    assert!((fake.total("MessagesAccepted") - 7.0).abs() < 1e-9);
    let taken = fake.taken.lock().unwrap();
    let latency: Vec<_> = taken.iter().filter(|d| d.name == "Latency").collect();
    assert_eq!(latency.len(), 2, "{latency:?}");
    assert!(latency.iter().all(|d| d.unit == "Milliseconds" && d.counts == [1.0] && (d.values[0] - 250.0).abs() < 6.0));
    let network = ("Network".to_owned(), "a.example".to_owned());
    assert!(latency.iter().any(|d| d.dimensions == [network.clone()]));
    assert!(latency.iter().any(|d| d.dimensions == [network.clone(), ("Operation".to_owned(), "Send".to_owned())]));
}

#[tokio::test]
async fn an_outage_loses_nothing_that_there_is_room_for() {
    let fake = Fake::start(Mood::Down).await;
    let run = start(&fake, config());
    run.count(2);
    fake.until(|fake| fake.calls.load(Ordering::SeqCst) >= 2).await;
    run.count(3);
    *fake.mood.lock().unwrap() = Mood::Fine;
    fake.until(|fake| fake.total("MessagesAccepted") >= 5.0).await;
    run.end().await;
    assert!((fake.total("MessagesAccepted") - 5.0).abs() < 1e-9);
}

#[tokio::test]
async fn a_silent_cloudwatch_holds_nothing_up() {
    let fake = Fake::start(Mood::Silent).await;
    let short = Duration::from_millis(200);
    let run = start(&fake, CloudWatchConfig { call_timeout: short, flush_timeout: short, ..config() });
    run.count(1);
    fake.until(|fake| fake.calls.load(Ordering::SeqCst) >= 2).await;
    let took = run.end().await;
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn the_last_values_are_published_at_the_end() {
    let fake = Fake::start(Mood::Fine).await;
    let run = start(&fake, CloudWatchConfig { interval: Duration::from_hours(1), ..config() });
    run.count(9);
    run.end().await;
    assert!((fake.total("MessagesAccepted") - 9.0).abs() < 1e-9);
}

#[tokio::test]
async fn refused_values_are_dropped_and_do_not_block_later_ones() {
    let fake = Fake::start(Mood::Refusing).await;
    let run = start(&fake, config());
    run.count(1);
    fake.until(|fake| fake.calls.load(Ordering::SeqCst) >= 2).await;
    *fake.mood.lock().unwrap() = Mood::Fine;
    run.count(4);
    fake.until(|fake| fake.total("MessagesAccepted") >= 4.0).await;
    run.end().await;
    assert!((fake.total("MessagesAccepted") - 4.0).abs() < 1e-9, "the refused interval is gone, not repeated");
}

#[tokio::test]
async fn what_waits_is_bounded_and_the_oldest_goes() {
    let fake = Fake::start(Mood::Down).await;
    let (recorder, values) = CloudWatchRecorder::new();
    let recorder = Guard::new(recorder);
    let mut work = Work::new(CloudWatchConfig { max_pending_bytes: 1_000, ..config() }, fake.client(), values);
    // Collecting records the drops; in the process all goes through the global recorder, here through this one.
    with_local_recorder(&recorder, || {
        for n in 0..50 {
            metrics::counter!(names::MESSAGES_ACCEPTED).increment(1);
            work.collect();
            assert!(work.pending_bytes <= 1_000, "at {n}");
        }
    });
    assert!(work.dropping && work.pending.len() < 10);
    let bytes: usize = work.pending.iter().map(|request| request.bytes).sum();
    assert_eq!(bytes, work.pending_bytes);
    *fake.mood.lock().unwrap() = Mood::Fine;
    work.send_pending().await;
    assert!(work.pending.is_empty() && !work.dropping);
    let dropped = fake.total("MetricDatumsDropped");
    assert!(dropped > 0.0, "{dropped}");
}

#[tokio::test]
async fn without_a_reachable_endpoint_nothing_is_held_up() {
    // A port where nobody listens.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (_, values) = CloudWatchRecorder::new();
    let shutdown = CancellationToken::new();
    let config = CloudWatchConfig {
        region: Some("eu-central-1".to_owned()),
        endpoint: Some(format!("http://{address}")),
        ..config()
    };
    let publisher = Publisher::start(config, values, shutdown.clone());
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), publisher.finished()).await.expect("ends in time");
}
