use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use sotto_telemetry::Readiness;
use sotto_wire::content::Body;

use super::*;
use crate::destination::tests_s3::{Store, s3};
use crate::destination::{Folder, S3};
use crate::testing::{broken, content, file, item, subject, text};

/// A relay that is told what to answer.
#[derive(Default)]
struct Relay {
    acked: Mutex<Vec<u64>>,
    /// Failures of the next acknowledgements.
    ack_failures: Mutex<u32>,
    /// Answers to the next downloads; then `hello`.
    fetches: Mutex<VecDeque<FetchError>>,
}

impl Inbox for Relay {
    type Receipt = u64;

    async fn ack(&self, receipt: u64) -> Result<(), String> {
        let mut failures = self.ack_failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return Err("busy".into());
        }
        self.acked.lock().unwrap().push(receipt);
        Ok(())
    }

    async fn fetch(&self, _: &File, to: &Path) -> Result<u64, FetchError> {
        if let Some(error) = self.fetches.lock().unwrap().pop_front() {
            return Err(error);
        }
        std::fs::write(to, "hello").map_err(|e| FetchError::Local(e.to_string()))?;
        Ok(5)
    }
}

impl Relay {
    fn acked(&self) -> Vec<u64> {
        self.acked.lock().unwrap().clone()
    }
}

/// A folder that fails as often as it is told, and looks at the relay when it stores.
struct Flaky {
    folder: Folder,
    failures: Arc<Mutex<u32>>,
    /// What was acknowledged each time that something was stored.
    seen: Arc<Mutex<Vec<usize>>>,
    relay: Arc<Relay>,
}

impl Destination for Flaky {
    fn describe(&self) -> String {
        self.folder.describe()
    }

    fn spool(&self) -> &Path {
        self.folder.spool()
    }

    async fn store(&self, name: &ObjectName, object: Object) -> Result<(), DestinationError> {
        self.seen.lock().unwrap().push(self.relay.acked().len());
        {
            let mut failures = self.failures.lock().unwrap();
            if *failures > 0 {
                *failures -= 1;
                return Err(DestinationError::io(Path::new("records"), io::ErrorKind::StorageFull.into()));
            }
        }
        self.folder.store(name, object).await
    }
}

struct Scene {
    dir: tempfile::TempDir,
    relay: Arc<Relay>,
    failures: Arc<Mutex<u32>>,
    seen: Arc<Mutex<Vec<usize>>>,
    stop: CancellationToken,
    readiness: Readiness,
    keeper: Arc<Keeper<Flaky>>,
}

fn quick() -> Timing {
    Timing { retry: (Duration::from_millis(1), Duration::from_millis(2)), ..Timing::default() }
}

fn scene(timing: Timing) -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let (relay, failures, seen) = (Arc::<Relay>::default(), Arc::<Mutex<u32>>::default(), Arc::default());
    let flaky = Flaky {
        folder: Folder::new(dir.path().into()),
        failures: failures.clone(),
        seen: Arc::clone(&seen),
        relay: relay.clone(),
    };
    let (stop, readiness) = (CancellationToken::new(), Readiness::new());
    let health = Health::new(readiness.clone());
    health.online();
    let keeper = Arc::new(Keeper::new(flaky, subject(), health, timing, stop.clone()));
    Scene { dir, relay, failures, seen, stop, readiness, keeper }
}

impl Scene {
    fn files(&self, under: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut waiting = vec![self.dir.path().join(under)];
        while let Some(dir) = waiting.pop() {
            for entry in std::fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { waiting.push(path) } else { found.push(path) }
            }
        }
        found
    }

    fn record(&self) -> Value {
        let [path] = self.files("messages").try_into().unwrap();
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }
}

#[tokio::test]
async fn a_message_is_acknowledged_after_it_is_durable_however_often_that_fails() {
    let scene = scene(quick());
    *scene.failures.lock().unwrap() = 3;
    *scene.relay.ack_failures.lock().unwrap() = 2;
    assert_eq!(scene.keeper.keep(&*scene.relay, text("hello")).await, Kept::Yes);
    assert_eq!(*scene.seen.lock().unwrap(), [0, 0, 0, 0], "nothing was acknowledged before");
    assert_eq!(scene.relay.acked(), [42]);
    assert_eq!(scene.record()["message"], "hello");
    assert_eq!(scene.readiness.reason(), None, "ready again");
}

#[tokio::test]
async fn while_nothing_can_be_stored_it_is_not_ready_and_does_not_acknowledge() {
    let scene = scene(Timing { retry: (Duration::from_hours(1), Duration::from_hours(1)), ..Timing::default() });
    *scene.failures.lock().unwrap() = u32::MAX;
    let (keeper, relay) = (scene.keeper.clone(), scene.relay.clone());
    let task = tokio::spawn(async move { keeper.keep(&*relay, text("hello")).await });
    while scene.readiness.reason().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(scene.readiness.reason().unwrap(), "storing records fails; the log says why");
    scene.stop.cancel();
    assert_eq!(task.await.unwrap(), Kept::Interrupted);
    assert!(scene.relay.acked().is_empty() && scene.files("messages").is_empty());
}

#[tokio::test]
async fn a_redelivery_makes_no_second_record() {
    let scene = scene(quick());
    for _ in 0..2 {
        assert_eq!(scene.keeper.keep(&*scene.relay, text("hello")).await, Kept::Yes);
    }
    assert_eq!(scene.files("messages").len(), 1);
    assert_eq!(scene.relay.acked(), [42, 42]);
}

#[tokio::test]
async fn a_file_is_kept_beside_its_record_under_a_name_that_its_sender_does_not_choose() {
    let scene = scene(quick());
    scene.relay.fetches.lock().unwrap().extend([
        FetchError::Unreachable("no network".into()),
        FetchError::Refused("later".into()),
        FetchError::Local("disk full".into()),
    ]);
    let sent = item(content(&["alice", "bob"], Body::File(file("../../../escape", None))));
    assert_eq!(scene.keeper.keep(&*scene.relay, sent).await, Kept::Yes);
    let record = scene.record();
    let local = record["file"]["localfilename"].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(scene.dir.path().join(local)).unwrap(), "hello");
    assert_eq!(record["file"]["filename"], "../../../escape");
    assert_eq!(scene.files("attachments").len(), 1);
    assert!(scene.files(".incoming").is_empty());
}

#[tokio::test]
async fn a_file_that_is_gone_does_not_keep_its_message_from_being_kept() {
    for (timing, error) in [
        (quick(), FetchError::Gone("no such blob".into())),
        (Timing { file: Duration::ZERO, ..quick() }, FetchError::Refused("no such blob".into())),
    ] {
        let scene = scene(timing);
        scene.relay.fetches.lock().unwrap().push_back(error);
        let sent = item(content(&["alice", "bob"], Body::File(file("plan.txt", Some("see")))));
        assert_eq!(scene.keeper.keep(&*scene.relay, sent).await, Kept::Yes);
        let record = scene.record();
        assert_eq!((record["message"].as_str(), record["file"]["error"].as_str()), (Some("see"), Some("no such blob")));
        assert_eq!(scene.relay.acked(), [42]);
    }
}

#[tokio::test]
async fn what_does_not_open_is_recorded_and_kept_as_it_came() {
    let scene = scene(quick());
    *scene.failures.lock().unwrap() = 1;
    assert_eq!(scene.keeper.keep(&*scene.relay, broken(None)).await, Kept::Yes);
    let record = scene.record();
    assert_eq!(record["error"], "it does not open");
    let sealed = scene.dir.path().join(record["sealed"].as_str().unwrap());
    assert_eq!(std::fs::read(sealed).unwrap(), b"sealed");
    assert_eq!(scene.relay.acked(), [42]);
}

/// Everything that is logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The only test that sets up logging, so that its threads see it too.
#[tokio::test]
async fn no_text_and_no_key_gets_into_the_log() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let (store, url) = Store::start(&[(503, "SlowDown"), (403, "AccessDenied")]).await;
    let dir = tempfile::tempdir().unwrap();
    let health = Health::new(Readiness::new());
    let bucket: S3 = s3(&url, None, &dir.path().join("spool"));
    let keeper = Keeper::new(bucket, subject(), health, quick(), CancellationToken::new());
    let relay = Relay::default();
    relay.fetches.lock().unwrap().push_back(FetchError::Gone("no such blob".into()));
    let mut odd = text("xylophone in the garden");
    odd.fault = broken(None).fault;
    for message in [
        text("xylophone in the garden"),
        item(content(&["alice", "bob"], Body::File(file("xylophone.txt", Some("xylophone"))))),
        odd,
        broken(Some(b"xylophone")),
    ] {
        assert_eq!(keeper.keep(&relay, message).await, Kept::Yes);
    }
    assert!(store.puts.lock().unwrap().iter().any(|p| String::from_utf8_lossy(&p.body).contains("xylophone")));

    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(log.contains("storing records fails") && log.contains("SlowDown"), "the log is there");
    assert!(log.contains("transmitting request"), "the SDK's own lines too");
    assert!(!log.contains("xylophone"), "{}", log.lines().find(|l| l.contains("xylophone")).unwrap_or_default());
    // As bytes that a Debug has printed.
    assert!(!log.contains("120, 121, 108, 111"), "bytes of the text are in the log");
    assert!(!log.contains(&data_encoding::BASE64.encode(&[1; 32])), "a file's key is in the log");
}

#[tokio::test]
async fn stopping_ends_the_wait() {
    let (stop, hour) = (CancellationToken::new(), Duration::from_hours(1));
    stop.cancel();
    assert!(!pause(&mut Backoff::new(hour, hour), &stop).await);
    assert!(pause(&mut Backoff::new(Duration::ZERO, Duration::ZERO), &CancellationToken::new()).await);
}
