//! What whole commands cost a person: the program `sotto` from its start to what is waited for, against a relay in this process.
//! `make bench`, after the client's: prints a table and puts its rows into `target/bench/client.json`. `SOTTO_BENCH_HISTORY` (50,000)
//! makes it quicker; a word on the command line chooses the workloads that have it in their name; then nothing is written.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs,
    unreachable_pub,
    reason = "a tool of this repository"
)]

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;
use sotto_client::{Client, Unlock};

#[path = "../../client/tests/it/common/mod.rs"]
mod common;
#[allow(dead_code, reason = "the operator's bench uses the rest")]
#[path = "../../e2e/src/scale/rows.rs"]
mod rows;

use common::{Network, address};
use rows::{Goal, Row};

/// Each command is run so often: the median counts.
const RUNS: usize = 21;
/// They fill the history at the same time.
const SENDERS: usize = 6;
/// Messages that a conversation shows first.
const PAGE: u32 = 50;
/// 200 characters, as people write.
const TEXT: &str = "Good morning! The report of the second quarter is done, and I have put it where the last one was. \
    Could you look through the figures of the northern branches until Thursday? They still seem low to me.";
/// The last but one message of the conversation that is open first: it stands among the messages and not in the list.
const MARK: &str = "before-the-newest";

#[tokio::main]
async fn main() {
    let chosen = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let is_chosen = |name: &str| chosen.as_ref().is_none_or(|word| name.contains(word.as_str()));
    let count = std::env::var("SOTTO_BENCH_HISTORY").ok().and_then(|text| text.parse().ok()).unwrap_or(50_000);
    let mut rows = Vec::new();
    if is_chosen("send") {
        rows.extend(send().await);
    }
    if is_chosen("chat") {
        rows.extend(chat(count).await);
    }
    println!("\n{}", rows::table(&rows));
    if chosen.is_none() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench/client.json");
        put(&file, &rows);
        println!("written: target/bench/client.json");
    }
}

/// Puts figures into the file of the client's, in the place of those of the same workloads.
fn put(file: &Path, rows: &[Row]) {
    let known: Vec<Value> = match std::fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => panic!("{}: {error}", file.display()),
    };
    let others = known.into_iter().filter(|known| rows.iter().all(|row| known["workload"] != row.workload.as_str()));
    let all: Vec<Value> = others.chain(rows::json(rows).as_array().unwrap().clone()).collect();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, serde_json::to_string_pretty(&all).unwrap() + "\n").unwrap();
}

fn row(workload: impl Into<String>, ours: Duration, beside: &str, theirs: Option<Duration>) -> Row {
    let theirs = theirs.map(millis);
    Row {
        workload: workload.into(),
        unit: "ms",
        ours: millis(ours),
        beside: beside.into(),
        theirs,
        goal: Goal::Nothing,
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// `sotto LINE`, with the network's profiles.
fn sotto(network: &Network, line: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sotto"));
    command.args(line).env("SOTTO_HOME", network.folder.path()).env_remove("SOTTO_PROFILE");
    command
}

/// The time of a command that must succeed, from its start to its end.
fn whole(network: &Network, line: &[&str]) -> Duration {
    let begin = Instant::now();
    let output = sotto(network, line).stdin(Stdio::null()).output().unwrap();
    let time = begin.elapsed();
    assert!(output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
    time
}

/// Sides take turns, so that a noisy moment of the machine meets all of them.
async fn turns<const N: usize>(mut once: impl AsyncFnMut(usize) -> Duration) -> [Duration; N] {
    let mut times: [Vec<Duration>; N] = std::array::from_fn(|_| Vec::new());
    for _ in 0..RUNS {
        for (side, times) in times.iter_mut().enumerate() {
            times.push(once(side).await);
        }
    }
    times.map(median)
}

async fn send() -> Vec<Row> {
    let network = Network::start(true).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    alice.outbox().send_text(&[address("bob")], TEXT).await.unwrap();
    drop((alice, bob));
    let profile = profile(&network, "alice");
    let bob = address("bob").to_string();
    let [command, library, start] = turns(async |side| match side {
        0 => whole(&network, &["send", "--profile", &profile, &bob, TEXT]),
        1 => {
            let begin = Instant::now();
            let alice = Client::open(&profile, Unlock::KeyFile).await.unwrap();
            alice.outbox().send_text(&[address("bob")], TEXT).await.unwrap();
            drop(alice);
            begin.elapsed()
        }
        _ => whole(&network, &["--version"]),
    })
    .await;
    vec![
        row(
            "command: `sotto send` on a warm profile over TLS, start to end; median",
            command,
            "the library alone, opening the profile, sending, end; and `sotto --version`",
            Some(library + start),
        ),
        row("command: parts: start and end of the program, `sotto --version`; median", start, "nothing", None),
    ]
}

async fn chat(count: usize) -> Vec<Row> {
    let network = Network::start(true).await;
    fill(&network, count).await;
    let profile = profile(&network, "alice");
    let partner = address("sender0").to_string();
    let page = PAGE.to_string();
    let [screen, history, library] = turns(async |side| match side {
        0 => first_screen(&network, &profile),
        1 => whole(&network, &["history", "show", "--profile", &profile, &partner, "--limit", &page]),
        _ => {
            let begin = Instant::now();
            let alice = Client::open(&profile, Unlock::KeyFile).await.unwrap();
            let list = alice.conversations().list().await.unwrap();
            let shown = alice.conversations().messages(&list[0].id, None, PAGE).await.unwrap();
            assert!(list.len() == SENDERS && shown.len() == 50);
            drop(alice);
            begin.elapsed()
        }
    })
    .await;
    let workload =
        format!("command: `sotto chat`, start to the first screen, with {count} messages in the profile; median");
    let beside = "`sotto history show` of the same messages, start to end";
    vec![
        row(workload, screen, beside, Some(history)),
        row(
            "command: parts: `sotto history show` of 50 messages, start to end; median",
            history,
            "the library alone, opening the profile, list, 50 messages",
            Some(library),
        ),
    ]
}

fn profile(network: &Network, name: &str) -> String {
    network.profile(name).to_str().unwrap().to_owned()
}

/// Alice has so many messages from some people; the newest conversation has the mark.
async fn fill(network: &Network, count: usize) {
    const BATCH: usize = 64;
    let begin = Instant::now();
    let alice = network.member("alice").await;
    let mut senders = Vec::new();
    for number in 0..SENDERS {
        senders.push(network.member(&format!("sender{number}")).await);
    }
    let sent = senders.iter().map(|sender| {
        let sender = sender.clone();
        tokio::spawn(async move {
            for _ in 0..count / SENDERS {
                sender.outbox().send_text(&[address("alice")], TEXT).await.unwrap();
            }
        })
    });
    for sent in sent.collect::<Vec<_>>() {
        sent.await.unwrap();
    }
    for text in [MARK, "the newest"] {
        senders[0].outbox().send_text(&[address("alice")], text).await.unwrap();
    }
    eprintln!("chat: {count} messages sent in {:.1} s", begin.elapsed().as_secs_f64());
    let mut receiver = alice.receive(false).unwrap();
    let (acker, mut receipts, mut left) = (receiver.acker(), Vec::new(), count / SENDERS * SENDERS + 2);
    while left > 0 {
        if let sotto_client::Event::Message(message) = common::next(&mut receiver).await {
            receipts.push(message.receipt());
            left -= 1;
        }
        if receipts.len() == BATCH || left == 0 {
            acker.ack(std::mem::take(&mut receipts)).await.unwrap();
        }
    }
    receiver.close().await;
    // Receipts go out, and what they change comes back: nothing is left to do when the program starts.
    alice.outbox().flush(Duration::from_mins(10)).await.unwrap();
    eprintln!("chat: they are in the profile after {:.1} s", begin.elapsed().as_secs_f64());
}

/// The program in a terminal of its own, from its start until the messages are on the screen.
fn first_screen(network: &Network, profile: &str) -> Duration {
    let mut terminal = PseudoTerminal::open();
    let begin = Instant::now();
    let mut child = terminal.start(sotto(network, &["chat", "--profile", profile]));
    let mut shown = Vec::new();
    let mut chunk = [0; 16 * 1024];
    while !shown.windows(MARK.len()).any(|part| part == MARK.as_bytes()) {
        let n = terminal.ours.read(&mut chunk).unwrap();
        shown.extend_from_slice(&chunk[..n]);
        assert!(begin.elapsed() < Duration::from_mins(1), "no screen: {}", String::from_utf8_lossy(&shown));
    }
    let time = begin.elapsed();
    terminal.end(&mut child);
    time
}

/// A terminal that nobody looks at.
struct PseudoTerminal {
    ours: File,
    theirs: PathBuf,
}

impl PseudoTerminal {
    fn open() -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let theirs = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap().into();
        tcsetwinsize(&ours, Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        Self { ours: ours.into(), theirs }
    }

    fn start(&self, mut command: Command) -> Child {
        let end = || OpenOptions::new().read(true).write(true).open(&self.theirs).unwrap();
        command.stdin(end()).stdout(end()).stderr(end()).env("TERM", "xterm").spawn().unwrap()
    }

    /// Ctrl+Q, and whatever else it shows.
    fn end(&mut self, child: &mut Child) {
        let mut chunk = [0; 16 * 1024];
        let begin = Instant::now();
        self.ours.write_all(b"\x11").unwrap();
        // Reading fails when nobody has the other end any more.
        while self.ours.read(&mut chunk).is_ok() {
            assert!(begin.elapsed() < Duration::from_mins(1), "`sotto chat` does not end");
        }
        assert!(child.wait().unwrap().success());
    }
}
