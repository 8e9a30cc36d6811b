//! A retention process on a real relay: what people say arrives as records, whatever ends in between.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests, which the lint does not know as such")]

#[path = "../../client/tests/it/common/mod.rs"]
mod common;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{Network, address, drain, text};
use data_encoding::BASE64;
use serde_json::Value;
use sotto_client::{Client, FileDraft, Target};
use sotto_crypto::IdentityKey;
use sotto_retention::RetentionError;
use sotto_wire::admin::Role;
use sotto_wire::config::{DestinationConfig, RetentionConfig, TelemetryConfig};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const NAME: &str = "retention.archive";

/// A network with a retention process, which is not running yet.
struct Site {
    network: Network,
    config: RetentionConfig,
    identity: IdentityKey,
    running: Option<(CancellationToken, JoinHandle<Result<(), RetentionError>>)>,
}

impl Site {
    async fn new() -> Self {
        let mut network = Network::start(true).await;
        let identity = network.retention(NAME).await;
        let folder = network.folder.path().to_owned();
        let authority = folder.join("network-ca.crt");
        fs::write(&authority, network.authority_pem()).unwrap();
        let secrets = folder.join("retention-secrets");
        fs::create_dir(&secrets).unwrap();
        let certificate = &network.document.retention[0].certificate;
        fs::write(secrets.join("password"), "a long enough password").unwrap();
        fs::write(secrets.join("registration-code"), "retention-code").unwrap();
        fs::write(secrets.join("identity.key"), BASE64.encode(&identity.to_bytes())).unwrap();
        fs::write(secrets.join("certificate"), BASE64.encode(&certificate.to_bytes())).unwrap();
        let config = RetentionConfig {
            address: address(NAME).to_string(),
            policy: "archive".into(),
            relay: network.url(),
            authority: Some(authority),
            policy_key: network.policy.verifying_key().fingerprint().to_string(),
            secrets,
            state: folder.join("retention-state"),
            destination: DestinationConfig::Folder { path: folder.join("records") },
            telemetry: TelemetryConfig { listen: free_port(), cloud_watch: None },
        };
        Self { network, config, identity, running: None }
    }

    fn start(&mut self) {
        let stop = CancellationToken::new();
        let task = tokio::spawn(sotto_retention::run(self.config.clone(), stop.clone()));
        self.running = Some((stop, task));
    }

    async fn start_and_wait(&mut self) {
        self.start();
        self.ready().await;
    }

    async fn ready(&self) {
        eventually("ready", || async { self.get("/readyz").await.is_some_and(|a| a.contains(" 200 ")).then_some(()) })
            .await;
    }

    async fn stop(&mut self) {
        let (stop, task) = self.running.take().unwrap();
        stop.cancel();
        task.await.unwrap().unwrap();
    }

    async fn get(&self, path: &str) -> Option<String> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(self.config.telemetry.listen).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }

    fn records_folder(&self) -> PathBuf {
        self.network.folder.path().join("records")
    }

    fn records(&self) -> Vec<Value> {
        self.documents("messages")
    }

    /// What became of files.
    fn outcomes(&self) -> Vec<Value> {
        self.documents("files")
    }

    fn documents(&self, under: &str) -> Vec<Value> {
        let mut paths = Vec::new();
        files(&self.records_folder().join(under), &mut paths);
        paths.iter().map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).collect()
    }

    /// Waits until there are records of exactly these texts.
    async fn recorded(&self, texts: &[&str]) -> Vec<Value> {
        let mut wanted: Vec<&str> = texts.to_vec();
        wanted.sort_unstable();
        eventually("records", || async {
            let records = self.records();
            let mut have: Vec<&str> = records.iter().filter_map(|r| r["message"].as_str()).collect();
            have.sort_unstable();
            (have == wanted).then(|| records.clone())
        })
        .await
    }

    async fn say(&self, from: &Client, to: &str, text: &str) {
        let sent = from.outbox().send_text(&[address(to)], text).await.unwrap();
        assert_eq!(sent.retained_by, [address(NAME)]);
    }
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(begin.elapsed() < Duration::from_mins(1), "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_people_say_arrives_as_records_and_a_restart_loses_nothing() {
    let mut site = Site::new().await;
    site.start_and_wait().await;
    let (alice, bob) = (site.network.member("alice").await, site.network.member("bob").await);

    site.say(&alice, "bob", "Good morning").await;
    let [record]: [Value; 1] = site.recorded(&["Good morning"]).await.try_into().unwrap();
    assert_eq!(
        (record["sender"].as_str(), record["receiver"].as_str()),
        (Some("alice@chat.acme.example"), Some("bob@chat.acme.example"),)
    );
    assert_eq!(record["msgtype"], 1000);
    assert_eq!(record["sender_identity"], alice.whoami().fingerprint.to_string());
    assert_eq!(record["sender_device_key"], alice.whoami().device_fingerprint.to_string());
    assert_eq!((record["network"].as_str(), record["policy"].as_str()), (Some("chat.acme.example"), Some("archive")));
    assert!(drain(&bob).await[0].retained(), "bob is told");

    let sheet = site.network.folder.path().join("sheet.csv");
    fs::write(&sheet, vec![b'7'; 150_000]).unwrap();
    let promised = FileDraft::new().caption("as promised");
    let to_alice = Target::People(vec![address("alice")]);
    bob.outbox().send_file(to_alice, &sheet, promised, |_, _| ()).await.unwrap();
    let records = site.recorded(&["Good morning", "as promised"]).await;
    let file = &records.iter().find(|r| r["msgtype"] == 6000).unwrap()["file"];
    assert_eq!(file["filename"], "sheet.csv");
    assert_eq!(file["pending"], true);
    let outcome = eventually("what became of the file", || async { site.outcomes().pop() }).await;
    assert_eq!(outcome["file"]["localfilename"], file["localfilename"]);
    let kept = site.records_folder().join(file["localfilename"].as_str().unwrap());
    assert_eq!(fs::read(kept).unwrap(), vec![b'7'; 150_000]);
    // Counted when it is kept, and no more waiting after that.
    eventually("metrics of the file", || async {
        let metrics = site.get("/metrics").await?;
        let counted = metrics.contains("sotto_files_saved_bytes_total 150000");
        (counted && metrics.contains("sotto_files_waiting 0")).then_some(())
    })
    .await;

    // What is said while it is away waits for it.
    site.stop().await;
    for n in 1..=3 {
        site.say(&alice, "bob", &format!("while you were away {n}")).await;
    }
    site.start_and_wait().await;
    let all =
        ["Good morning", "as promised", "while you were away 1", "while you were away 2", "while you were away 3"];
    site.recorded(&all).await;

    // The relay may restart under it.
    site.network.stop().await;
    eventually("not ready", || async {
        site.get("/readyz").await.filter(|a| a.contains("the relay cannot be reached"))
    })
    .await;
    site.network.run().await;
    site.ready().await;
    site.say(&alice, "bob", "after the relay's restart").await;
    site.recorded(&[&all[..], &["after the relay's restart"]].concat()).await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_stored_stays_at_the_relay() {
    let mut site = Site::new().await;
    site.start_and_wait().await;
    let (alice, bob) = (site.network.member("alice").await, site.network.member("bob").await);
    // Something is where the records should go.
    fs::remove_dir_all(site.records_folder()).ok();
    fs::write(site.records_folder(), "in the way").unwrap();
    site.say(&alice, "bob", "hold on to this").await;
    eventually("not ready", || async { site.get("/readyz").await.filter(|a| a.contains("storing records fails")) })
        .await;
    assert_eq!(text(&drain(&bob).await[0]), "hold on to this", "nobody else waits for it");
    site.stop().await;
    fs::remove_file(site.records_folder()).unwrap();
    site.start_and_wait().await;
    site.recorded(&["hold on to this"]).await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_state_folder_and_a_removed_account_make_a_new_device() {
    let mut site = Site::new().await;
    site.start_and_wait().await;
    let alice = site.network.member("alice").await;
    let _bob = site.network.member("bob").await;
    site.say(&alice, "bob", "one").await;
    site.recorded(&["one"]).await;

    site.stop().await;
    fs::remove_dir_all(&site.config.state).unwrap();
    site.start_and_wait().await;
    site.say(&alice, "bob", "two").await;
    site.recorded(&["one", "two"]).await;

    // While it runs: the account is removed and made again.
    site.network.delete_user(NAME).await;
    site.network.put_user(NAME, Role::Retention, false).await;
    let sent =
        eventually("a device again", || async { alice.outbox().send_text(&[address("bob")], "three").await.ok() })
            .await;
    assert_eq!(sent.retained_by, [address(NAME)]);
    site.recorded(&["one", "two", "three"]).await;
    let aside = fs::read_dir(&site.config.state).unwrap().filter_map(Result::ok);
    assert_eq!(aside.filter(|e| e.file_name().to_string_lossy().starts_with("profile-removed-")).count(), 1);
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_has_to_mend_ends_it_with_an_error() {
    let mut site = Site::new().await;
    let run = async |config: &RetentionConfig| {
        let ended = sotto_retention::run(config.clone(), CancellationToken::new());
        tokio::time::timeout(Duration::from_mins(1), ended).await.unwrap().unwrap_err().to_string()
    };
    let mut other_key = site.config.clone();
    other_key.policy_key = site.identity.verifying_key().fingerprint().to_string();
    assert!(run(&other_key).await.contains("another policy key"));

    fs::remove_file(site.config.secrets.join("password")).unwrap();
    let error = run(&site.config).await;
    assert!(error.contains("retention-secrets/password") && error.contains("The operator writes it"), "{error}");
    fs::write(site.config.secrets.join("password"), "a long enough password").unwrap();

    // The relay is still to hear of the account: that passes by itself.
    site.network.delete_user(NAME).await;
    site.start();
    eventually("waiting", || async { site.get("/readyz").await.filter(|a| a.contains("cannot log in")) }).await;
    site.network.put_user(NAME, Role::Retention, false).await;
    site.ready().await;
    site.stop().await;

    // Another password than the one of its state.
    fs::write(site.config.secrets.join("password"), "another long password").unwrap();
    let error = run(&site.config).await;
    assert!(error.contains("does not open the profile") && !error.contains("long password"), "{error}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// What the process does not get: here a copy of it takes it from the relay.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_from_the_process_is_recorded_as_missing_asked_for_and_recorded_late() {
    let mut site = Site::new().await;
    site.start_and_wait().await;
    let (alice, bob) = (site.network.member("alice").await, site.network.member("bob").await);
    site.say(&alice, "bob", "one").await;
    site.recorded(&["one"]).await;
    site.stop().await;
    let other = site.network.folder.path().join("copied");
    copy(&site.config.state, &other.join("state"));
    let original = site.config.clone();
    site.config.state = other.join("state");
    site.config.destination = DestinationConfig::Folder { path: other.join("records") };
    site.start_and_wait().await;
    site.say(&alice, "bob", "two").await;
    eventually("the copy has it", || async {
        let mut found = Vec::new();
        files(&other.join("records/messages"), &mut found);
        (found.len() == 2 || found.iter().any(|path| fs::read_to_string(path).unwrap().contains("two"))).then_some(())
    })
    .await;
    site.stop().await;

    site.config = original;
    site.start_and_wait().await;
    site.say(&alice, "bob", "three").await;
    let events = |records: &[Value]| -> Vec<String> {
        let mut events: Vec<String> =
            records.iter().map(|r| format!("{} {}", r["gap"]["event"].as_str().unwrap(), r["gap"]["first"])).collect();
        events.sort();
        events
    };
    let missing = || {
        let mut paths = Vec::new();
        files(&site.records_folder().join("missing"), &mut paths);
        paths.iter().map(|path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap()).collect::<Vec<Value>>()
    };
    let records =
        eventually("the record of a gap", || async { Some(missing()).filter(|records| !records.is_empty()) }).await;
    assert_eq!(events(&records), ["missing 1"]);
    let record = &records[0];
    assert_eq!(
        (record["sender"].as_str(), record["gap"]["count"].as_u64()),
        (Some(address("alice").as_str()), Some(1))
    );
    assert_eq!(record.get("message"), None, "nothing of what was said");
    let metric = async |wanted: &str| {
        eventually("the metric", || async {
            let text = site.get("/metrics").await?;
            text.lines().any(|line| line == format!("sotto_retention_missing {wanted}")).then_some(())
        })
        .await;
    };
    metric("1").await;
    site.recorded(&["one", "three"]).await;
    // Alice comes, is asked, and says it again: to the process alone.
    eventually("the late record", || async {
        drain(&alice).await;
        alice.outbox().flush(Duration::from_secs(10)).await.unwrap();
        (site.records().iter().any(|record| record["late"] == true)).then_some(())
    })
    .await;
    let records = site.recorded(&["one", "two", "three"]).await;
    let late = records.iter().find(|record| record["message"] == "two").unwrap();
    assert_eq!((late["late"].clone(), late["number"].clone()), (Value::Bool(true), Value::from(1)));
    let came = eventually("the closing record", || async { Some(missing()).filter(|all| all.len() == 2) }).await;
    assert_eq!(events(&came), ["came 1", "missing 1"]);
    assert!(came.iter().any(|record| record["gap"]["message_id"] == late["message_id"]));
    metric("0").await;
    assert_eq!(drain(&bob).await.iter().map(text).collect::<Vec<_>>(), ["one", "two", "three"], "each once");
    site.stop().await;
}
