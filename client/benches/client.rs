//! What the client costs against a relay in this process: sending, showing, catching up. `make bench`. Prints a table and
//! writes `target/bench/client.json`. `SOTTO_BENCH_MESSAGES` (10,000) and `SOTTO_BENCH_HISTORY` (50,000) make it quicker; a word
//! on the command line chooses the workloads that have it in their name; then nothing is written.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    unreachable_pub,
    reason = "a tool of this repository"
)]

use std::collections::BTreeSet;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use sotto_client::{
    Client, Draft, Endpoint, Event, Password, Receipt, Receiver, RegistrationCode, ServiceAccount, Target, Tls, Unlock,
};
use sotto_crypto::{IdentityKey, Known, MessageId, SystemRng, open_with, seal};

#[path = "../tests/it/common/mod.rs"]
mod common;
#[allow(clippy::wildcard_imports, reason = "the tests' own")]
#[path = "../../crypto/tests/it/common.rs"]
mod people;
#[allow(dead_code, reason = "the operator's bench uses the rest")]
#[path = "../../e2e/src/scale/rows.rs"]
mod rows;

use common::{Network, address};
use rows::{Goal, Row};

/// As `sotto receive`, and as many as the relay has unacknowledged.
const BATCH: usize = 64;
/// They send at the same time.
const SENDERS: usize = 6;
const KEEPER: &str = "retention.archive";
/// 200 characters, as people write.
const TEXT: &str = "Good morning! The report of the second quarter is done, and I have put it where the last one was. \
    Could you look through the figures of the northern branches until Thursday? They still seem low to me.";

fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[tokio::main]
async fn main() {
    let chosen = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let is_chosen = |name: &str| chosen.as_ref().is_none_or(|word| name.contains(word.as_str()));
    let mut rows = Vec::new();
    if is_chosen("sending") {
        rows.push(sending().await);
    }
    if is_chosen("history") {
        rows.push(history(number("SOTTO_BENCH_HISTORY", 50_000)).await);
    }
    if is_chosen("catching up") {
        rows.extend(catching_up(number("SOTTO_BENCH_MESSAGES", 10_000)).await);
    }
    if is_chosen("parts") {
        rows.extend(parts());
    }
    println!("\n{}", rows::table(&rows));
    if chosen.is_none() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench/client.json");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, serde_json::to_string_pretty(&rows::json(&rows)).unwrap() + "\n").unwrap();
        println!("written: target/bench/client.json");
    }
}

fn row(workload: impl Into<String>, unit: &'static str, ours: f64, goal: Goal) -> Row {
    Row { workload: workload.into(), unit, ours, beside: "nothing".to_owned(), theirs: None, goal }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The program as a person runs it: opens the profile, sends, ends.
async fn sending() -> Row {
    let network = Network::start(true).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    drop((alice, bob));
    let mut times = Vec::new();
    for _ in 0..51 {
        let begin = Instant::now();
        let alice = Client::open(network.profile("alice"), Unlock::KeyFile).await.unwrap();
        alice.outbox().send_text(&[address("bob")], TEXT).await.unwrap();
        drop(alice);
        times.push(begin.elapsed());
    }
    row(
        "sending a message: opening a warm profile, sending over TLS, end; median",
        "ms",
        millis(median(times)),
        Goal::Nothing,
    )
}

/// What is seen first of a long conversation.
async fn history(count: usize) -> Row {
    let network = Network::start(false).await;
    let (alice, _bob) = (network.member("alice").await, network.member("bob").await);
    // The policy and bob are known from here on.
    let sent = alice.outbox().send_text(&[address("bob")], TEXT).await.unwrap();
    let begin = Instant::now();
    let waits: Vec<_> = (0..BATCH)
        .map(|_| {
            let (alice, text) = (alice.clone(), TEXT);
            tokio::spawn(async move {
                for _ in 0..count.div_ceil(BATCH) {
                    alice.outbox().post(Target::People(vec![address("bob")]), Draft::text(text)).await.unwrap();
                }
            })
        })
        .collect();
    for wait in waits {
        wait.await.unwrap();
    }
    eprintln!("history: {count} messages in {:.1} s", begin.elapsed().as_secs_f64());
    drop(alice);
    let mut times = Vec::new();
    for _ in 0..21 {
        let begin = Instant::now();
        let alice = Client::open(network.profile("alice"), Unlock::KeyFile).await.unwrap();
        let list = alice.conversations().list().await.unwrap();
        assert_eq!(list[0].id, sent.conversation.id());
        assert_eq!(alice.conversations().messages(&list[0].id, None, 50).await.unwrap().len(), 50);
        drop(alice);
        times.push(begin.elapsed());
    }
    let workload =
        format!("first page of a conversation of {count} messages: opening the profile, list, 50 messages; median");
    row(workload, "ms", millis(median(times)), Goal::Nothing)
}

/// Processor time of this process: the relay's too.
fn processor() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The fields behind the name, of which the 12th and 13th are ticks of 10 ms (proc(5)).
    let fields = text.rsplit(')').next().unwrap().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// What has waited for a person and for a retention process.
async fn catching_up(count: usize) -> Vec<Row> {
    let mut network = Network::start(true).await;
    let identity = network.retention(KEEPER).await;
    let keeper = service(&network, identity).await;
    let bob = network.member("bob").await;
    let begin = Instant::now();
    let mut senders = Vec::new();
    for number in 0..SENDERS {
        let sender = network.member(&format!("sender{number}")).await;
        let share = count / SENDERS + usize::from(number < count % SENDERS);
        senders.push(tokio::spawn(async move {
            for _ in 0..share {
                let sent = sender.outbox().send_text(&[address("bob")], TEXT).await.unwrap();
                assert_eq!(sent.retained_by, [address(KEEPER)]);
            }
        }));
    }
    for sender in senders {
        sender.await.unwrap();
    }
    eprintln!("catching up: {count} messages sent in {:.1} s", begin.elapsed().as_secs_f64());
    let mut rows = Vec::new();
    let goal = Goal::AtLeast(1000.0);
    let ((person, processor_person), (service, processor_service)) =
        (caught_up(&bob, count).await, caught_up(&keeper, count).await);
    for (who, time, processor) in
        [("a person", person, processor_person), ("a service account", service, processor_service)]
    {
        let per_second = count as f64 / time.as_secs_f64();
        rows.push(row(format!("catching up of {who} with {count} messages, into the store"), "1/s", per_second, goal));
        let each = processor.as_secs_f64() * 1e6 / count as f64;
        let workload = format!("catching up of {who}: processor time of a message, client and relay");
        rows.push(row(workload, "us", each, Goal::Nothing));
    }
    rows
}

async fn service(network: &Network, identity: IdentityKey) -> Client {
    let endpoint = Endpoint { url: network.url(), tls: Tls::Authority(network.authority_pem()) };
    let account = ServiceAccount {
        address: address(KEEPER),
        endpoint,
        policy_key: network.policy.verifying_key().fingerprint(),
        identity,
        password: Password::new("a long enough password".into()),
        registration_code: RegistrationCode::new("retention-code".into()),
        profile: network.profile("keeper"),
        label: "keeper".into(),
    };
    Client::service(account).await.unwrap()
}

/// Receives and acknowledges until so many are in the store: wall clock, and processor time.
async fn caught_up(client: &Client, count: usize) -> (Duration, Duration) {
    let (begin, before) = (Instant::now(), processor());
    let mut receiver = client.receive(false).unwrap();
    let acker = receiver.acker();
    let mut seen = BTreeSet::new();
    while seen.len() < count {
        let batch = next_batch(&mut receiver, &mut seen).await;
        acker.ack(batch).await.unwrap();
    }
    let taken = (begin.elapsed(), processor().checked_sub(before).unwrap());
    receiver.close().await;
    taken
}

/// What is there, at least one.
async fn next_batch(receiver: &mut Receiver, seen: &mut BTreeSet<MessageId>) -> Vec<Receipt> {
    let mut batch = Vec::new();
    let mut first = Some(common::next(receiver).await);
    while let Some(event) = first.take() {
        match event {
            Event::Message(message) => {
                seen.insert(message.message);
                batch.push(message.receipt());
            }
            Event::Unopened(unopened) => panic!("not opened: {}", unopened.reason),
            _ => {}
        }
        if batch.len() < BATCH {
            first = receiver.next().now_or_never().flatten().transpose().unwrap();
        }
    }
    batch
}

/// What a message costs at least: opening it, and having something on disk.
fn parts() -> Vec<Row> {
    const TIMES: u32 = 1000;
    let mut rng = people::TestRng(1);
    let (alice, bob) =
        (people::Person::new(&mut rng, "alice@a.example"), people::Person::new(&mut rng, "bob@a.example"));
    let message = MessageId::generate(&mut SystemRng);
    let sealed = seal(&mut SystemRng, &alice.sender(), message, TEXT.as_bytes(), &[bob.recipient(0)]).unwrap();
    let (wrap, secret, me) = (bob.wrap(&sealed), &bob.secrets[0], (&bob.address, bob.device));
    let mut known = Known::new();
    let begin = Instant::now();
    for _ in 0..TIMES {
        black_box(open_with(&mut known, &sealed.header, &sealed.body, me, wrap.prekey, secret, &wrap.key).unwrap());
    }
    let opening = begin.elapsed() / TIMES;
    let folder = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(folder.path().join("file")).unwrap();
    let begin = Instant::now();
    for place in 0..100 {
        std::os::unix::fs::FileExt::write_all_at(&file, &[7; 4096], place * 4096).unwrap();
        file.sync_data().unwrap();
    }
    let syncing = begin.elapsed() / 100;
    vec![
        row(
            "parts: opening a message, the sender known, by sotto-crypto alone",
            "us",
            millis(opening) * 1e3,
            Goal::Nothing,
        ),
        row("parts: having 4 KiB on disk, once for up to 64 messages", "us", millis(syncing) * 1e3, Goal::Nothing),
    ]
}
