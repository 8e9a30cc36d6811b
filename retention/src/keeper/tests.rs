use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use sotto_crypto::Domain;
use sotto_telemetry::Readiness;
use sotto_wire::content::Body;

use super::*;
use crate::destination::tests_s3::{Store, s3};
use crate::destination::{DestinationError, Folder, S3};
use crate::testing::{TIME, broken, content, file, file_item, item, subject, text, waiting};

/// A relay that is told what to answer.
#[derive(Default)]
struct Relay {
    acked: Mutex<Vec<u64>>,
    /// Failures of the next acknowledgements.
    ack_failures: Mutex<u32>,
    /// Answers to the next downloads; then `hello`.
    fetches: Mutex<VecDeque<FetchError>>,
    /// A network that never answers.
    silent: Mutex<Option<Domain>>,
    /// Downloads from it that are under way, and the most that were.
    hanging: Mutex<(usize, usize)>,
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

    async fn names(&self, people: &[Address]) -> BTreeMap<Address, String> {
        let called = |who: &Address| (who.clone(), format!("Called {}", who.local()));
        people.iter().filter(|who| who.local() != "retention.keep").map(called).collect()
    }

    async fn fetch(&self, file: &File, to: &Path) -> Result<u64, FetchError> {
        if self.silent.lock().unwrap().as_ref() == Some(&file.domain) {
            {
                let mut hanging = self.hanging.lock().unwrap();
                hanging.0 += 1;
                hanging.1 = hanging.1.max(hanging.0);
            }
            std::future::pending::<()>().await;
        }
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

const SOON: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(2));

fn quick() -> Timing {
    Timing { retry: SOON, rest: SOON, ..Timing::default() }
}

fn scene(timing: Timing) -> Scene {
    scene_in(tempfile::tempdir().unwrap(), timing)
}

/// In a folder in which there may be something already, with a relay that knows of nothing.
fn scene_in(dir: tempfile::TempDir, timing: Timing) -> Scene {
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
    let waiting = WaitingFolder::open(dir.path().join("waiting")).unwrap();
    let keeper = Arc::new(Keeper::new(flaky, subject(), health, timing, waiting, stop.clone()));
    Scene { dir, relay, failures, seen, stop, readiness, keeper }
}

/// Not over yet: a file of 2023 is not to be had any more.
const LATELY: u64 = 9_000_000_000_000;

fn lately(item: Item<u64>) -> Item<u64> {
    Item { accepted_at_ms: item.accepted_at_ms - TIME + LATELY, ..item }
}

fn fresh(network: &str, n: u32) -> Item<u64> {
    lately(file_item(network, n))
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
        self.document("messages")
    }

    /// The only document under this folder.
    fn document(&self, under: &str) -> Value {
        let [path] = self.files(under).try_into().unwrap();
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// Fetches files until `done`.
    async fn fetch_until(&self, done: impl Fn(&Self) -> bool) {
        let fetching = self.keeper.clone().fetch_files(self.relay.clone());
        let watching = async {
            while !done(self) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = fetching => panic!("it ended"),
            () = watching => {}
            () = tokio::time::sleep(Duration::from_secs(20)) => panic!("not in time"),
        }
    }

    async fn fetch_all(&self) {
        self.fetch_until(|scene| scene.files("waiting").is_empty()).await;
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
async fn two_messages_under_one_id_are_two_records() {
    let scene = scene(quick());
    let mut again = text("never mind");
    again.commitment = Some([4; 32]);
    for item in [text("hello"), again, text("hello")] {
        assert_eq!(scene.keeper.keep(&*scene.relay, item).await, Kept::Yes);
    }
    assert_eq!((scene.files("messages").len(), scene.relay.acked().len()), (2, 3));
}

#[tokio::test]
async fn a_file_comes_after_its_record_under_a_name_that_its_sender_does_not_choose() {
    let scene = scene(quick());
    scene.relay.fetches.lock().unwrap().extend([
        FetchError::Unreachable("no network".into()),
        FetchError::Refused("later".into()),
        FetchError::Local("disk full".into()),
    ]);
    let sent = lately(item(content(&["alice", "bob"], Body::File(file("../../../escape", None)))));
    assert_eq!(scene.keeper.keep(&*scene.relay, sent).await, Kept::Yes);
    assert_eq!(scene.relay.acked(), [42], "before the file has come");
    let record = scene.record();
    assert_eq!(
        (record["file"]["pending"].as_bool(), record["file"]["filename"].as_str()),
        (Some(true), Some("../../../escape"))
    );
    let local = record["file"]["localfilename"].as_str().unwrap();
    assert!(!scene.dir.path().join(local).exists() && scene.files("files").is_empty());

    scene.fetch_all().await;
    assert_eq!(std::fs::read_to_string(scene.dir.path().join(local)).unwrap(), "hello");
    assert_eq!(scene.document("files")["file"]["localfilename"], local);
    assert_eq!(scene.files("attachments").len(), 1);
    assert!(scene.files(".incoming").is_empty());
    assert_eq!(scene.record(), record, "what is kept stays as it is");
    assert_eq!(scene.readiness.reason(), None, "ready again");
}

#[tokio::test]
async fn a_file_that_will_not_come_has_its_end_said() {
    let scene = scene(quick());
    scene.relay.fetches.lock().unwrap().push_back(FetchError::Gone("no such blob".into()));
    let sent = lately(item(content(&["alice", "bob"], Body::File(file("plan.txt", Some("see"))))));
    assert_eq!(scene.keeper.keep(&*scene.relay, sent).await, Kept::Yes);
    scene.fetch_all().await;
    assert_eq!(scene.record()["message"], "see");
    let outcome = scene.document("files");
    assert_eq!((outcome["file"]["error"].as_str(), outcome["file"].get("localfilename")), (Some("no such blob"), None));
    assert!(scene.files("attachments").is_empty());
}

#[tokio::test]
async fn a_file_whose_time_is_over_has_its_end_said_too() {
    // It came in 2023: a relay keeps a file for 30 days. Its network is not asked for it any more.
    let scene = scene(Timing { rest: (Duration::from_hours(1), Duration::from_hours(1)), ..quick() });
    *scene.relay.silent.lock().unwrap() = Some(Domain::parse("dead.example").unwrap());
    let (_, waiting) = scene.keeper.promise(waiting("dead.example", 1)).await.unwrap();
    scene.keeper.files.add(waiting.unwrap());
    scene.fetch_all().await;
    let outcome = scene.document("files");
    assert!(outcome["file"]["error"].as_str().unwrap().contains("did not give it out"), "{outcome}");
    assert_eq!(*scene.relay.hanging.lock().unwrap(), (0, 0));
}

#[tokio::test]
async fn a_dead_network_holds_up_its_own_files_and_nothing_else_also_across_a_restart() {
    let scene = scene(quick());
    *scene.relay.silent.lock().unwrap() = Some(Domain::parse("dead.example").unwrap());
    let fetching = tokio::spawn(scene.keeper.clone().fetch_files(scene.relay.clone()));
    for n in 0..64 {
        assert_eq!(scene.keeper.keep(&*scene.relay, fresh("dead.example", n)).await, Kept::Yes);
    }
    // What others say flows, and their files come.
    assert_eq!(scene.keeper.keep(&*scene.relay, text("hello")).await, Kept::Yes);
    for n in 0..5 {
        assert_eq!(scene.keeper.keep(&*scene.relay, fresh("live.example", n)).await, Kept::Yes);
    }
    assert_eq!(scene.relay.acked().len(), 70);
    tokio::time::timeout(Duration::from_secs(20), async {
        while scene.files("waiting").len() > 64 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("the live network's files");
    assert_eq!(*scene.relay.hanging.lock().unwrap(), (2, 2), "no more of the dead one at a time");
    assert_eq!((scene.files("messages").len(), scene.files("files").len(), scene.files("waiting").len()), (70, 5, 64));

    // Killed: nothing is said or finished. The next run has no memory but the folder.
    fetching.abort();
    assert!(fetching.await.unwrap_err().is_cancelled());
    let Scene { dir, .. } = scene;
    let scene = scene_in(dir, quick());
    assert_eq!(scene.files("waiting").len(), 64);
    scene.fetch_all().await;
    assert_eq!((scene.files("files").len(), scene.files("attachments").len()), (69, 69));
    for path in scene.files("files") {
        let outcome: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let record = scene.dir.path().join(outcome["record"].as_str().unwrap());
        let record: Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
        assert_eq!(record["file"]["localfilename"], outcome["file"]["localfilename"]);
        assert_eq!(record["file"]["guid"], outcome["file"]["guid"]);
    }
}

#[tokio::test]
async fn a_network_that_trickles_is_left_for_later_and_a_connection_that_ends_loses_nothing() {
    let scene = scene(Timing { transfer: Duration::from_millis(5), ..quick() });
    *scene.relay.silent.lock().unwrap() = Some(Domain::parse("slow.example").unwrap());
    scene.keeper.keep(&*scene.relay, fresh("slow.example", 1)).await;
    scene.fetch_until(|scene| scene.relay.hanging.lock().unwrap().0 >= 3).await;
    *scene.relay.silent.lock().unwrap() = None;
    scene.fetch_all().await;
    assert_eq!(scene.document("files")["file"].get("error"), None);
}

#[tokio::test]
async fn what_cannot_be_listed_is_not_acknowledged_and_a_redelivery_is_no_second_file() {
    let scene = scene(Timing { retry: SOON, ..quick() });
    std::fs::remove_dir(scene.dir.path().join("waiting")).unwrap();
    let (keeper, relay) = (scene.keeper.clone(), scene.relay.clone());
    let task = tokio::spawn(async move { keeper.keep(&*relay, fresh("live.example", 1)).await });
    while scene.readiness.reason().is_none() {
        tokio::task::yield_now().await;
    }
    assert!(scene.relay.acked().is_empty() && scene.files("messages").is_empty());
    std::fs::create_dir(scene.dir.path().join("waiting")).unwrap();
    assert_eq!(task.await.unwrap(), Kept::Yes);
    assert_eq!(scene.keeper.keep(&*scene.relay, fresh("live.example", 7)).await, Kept::Yes);
    assert_eq!(scene.keeper.keep(&*scene.relay, fresh("live.example", 7)).await, Kept::Yes);
    assert_eq!((scene.files("waiting").len(), scene.files("messages").len()), (2, 2));
    scene.fetch_all().await;
    // Also when all of it is over.
    assert_eq!(scene.keeper.keep(&*scene.relay, fresh("live.example", 7)).await, Kept::Yes);
    scene.fetch_all().await;
    assert_eq!((scene.files("files").len(), scene.relay.acked().len()), (2, 4));
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
    let waiting = WaitingFolder::open(dir.path().join("waiting")).unwrap();
    let keeper = Arc::new(Keeper::new(bucket, subject(), health, quick(), waiting, CancellationToken::new()));
    let relay = Arc::new(Relay::default());
    relay.fetches.lock().unwrap().push_back(FetchError::Gone("no such blob".into()));
    let mut odd = text("xylophone in the garden");
    odd.fault = broken(None).fault;
    for message in [
        text("xylophone in the garden"),
        lately(item(content(&["alice", "bob"], Body::File(file("xylophone.txt", Some("xylophone")))))),
        odd,
        broken(Some(b"xylophone")),
    ] {
        assert_eq!(keeper.keep(&*relay, message).await, Kept::Yes);
    }
    let fetching = tokio::spawn(keeper.clone().fetch_files(relay.clone()));
    while std::fs::read_dir(dir.path().join("waiting")).unwrap().next().is_some() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    fetching.abort();
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
