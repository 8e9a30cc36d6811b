//! Hundreds of messages over a network that refuses, delays, cuts and says things twice; processes that are killed at any
//! moment; two processes on one profile. Each message arrives exactly once, in the order in which it was said.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::common::proxy::{Line, Proxy};
use crate::common::{Network, address, message, text};
use sotto_client::{Client, DeliveryState, Draft, Event, Target, Unlock, ViewBody};
use sotto_wire::content::Conversation;

/// For all of a test: CI is slow, and the network is bad on purpose.
const PATIENCE: Duration = Duration::from_mins(4);

fn to(name: &str) -> Target {
    Target::People(vec![address(name)])
}

/// Receives the texts of one sender until there are so many, and acknowledges them.
async fn collect(client: &Client, from: &str, count: usize) -> Vec<String> {
    let mut receiver = client.receive(true).unwrap();
    let mut texts = Vec::new();
    while texts.len() < count {
        match receiver.next().await.expect("it follows").unwrap() {
            Event::Message(message) => {
                if message.sender == address(from) {
                    texts.push(text(&message).to_owned());
                }
                receiver.ack(message.receipt()).await.unwrap();
            }
            Event::Unopened(unopened) => panic!("not opened: {}", unopened.reason),
            _ => {}
        }
    }
    // What is said twice would come now.
    let end = tokio::time::sleep(Duration::from_secs(2));
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            event = receiver.next() => if let Some(Ok(Event::Message(message))) = event {
                texts.push(text(&message).to_owned());
            },
        }
    }
    receiver.close().await;
    texts
}

/// How far the messages of a client have got, for whoever has to find out why.
async fn standing(client: &Client) -> String {
    let id = Conversation::of([address("alice"), address("bob")]).unwrap().id();
    let views = client.conversations().messages(&id, None, 1000).await.unwrap();
    let count = |state| views.iter().filter(|v| v.own && v.state == state).count();
    let states = [DeliveryState::Queued, DeliveryState::Sending, DeliveryState::Accepted, DeliveryState::Refused]
        .map(|s| (s, count(s)));
    let waits = client.outbox().list().await.unwrap().into_iter().next();
    let reasons: Vec<_> = views.iter().filter_map(|v| v.reason.clone()).collect();
    format!(
        "{states:?}, {} have come, first in the outbox: {waits:?}, {reasons:?}",
        views.iter().filter(|v| !v.own).count()
    )
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_bad_network_each_message_comes_once_and_in_order() {
    const EACH: usize = 150;
    let network = Network::start(false).await;
    let proxy = Proxy::start(network.relay(), 42).await;
    let alice = network.member_by("alice", proxy.address).await;
    let bob = network.member_by("bob", proxy.address).await;
    let say = |from: Client, whom: &'static str| async move {
        for n in 0..EACH {
            from.outbox().post(to(whom), Draft::text(n.to_string())).await.unwrap();
        }
    };
    let work = async {
        let ((), (), at_bob, at_alice) = tokio::join!(
            say(alice.clone(), "bob"),
            say(bob.clone(), "alice"),
            collect(&bob, "alice", EACH),
            collect(&alice, "bob", EACH)
        );
        (at_bob, at_alice)
    };
    let Ok((at_bob, at_alice)) = tokio::time::timeout(PATIENCE, work).await else {
        panic!("not in time: {:?}, {}, {}", proxy.happened, standing(&alice).await, standing(&bob).await);
    };
    assert_eq!(at_bob, numbered(EACH));
    assert_eq!(at_alice, numbered(EACH));
    // And the receipts.
    let id = Conversation::of([address("alice"), address("bob")]).unwrap().id();
    let begin = Instant::now();
    loop {
        for client in [&alice, &bob] {
            let mut receiver = client.receive(true).unwrap();
            let _ = tokio::time::timeout(Duration::from_secs(1), async {
                while let Some(event) = receiver.next().await {
                    if matches!(event, Ok(Event::CaughtUp)) {
                        break;
                    }
                }
            })
            .await;
            receiver.close().await;
        }
        let views = alice.conversations().messages(&id, None, 1000).await.unwrap();
        assert_eq!(views.len(), 2 * EACH);
        if views.iter().filter(|v| v.own).all(|v| v.state == DeliveryState::Delivered) {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "delivered, all of them");
    }
    let seen = &proxy.happened;
    let [refused, cut, twice] = [&seen.refused, &seen.cut, &seen.twice].map(|n| n.load(Ordering::Relaxed));
    assert!(refused > 0 && cut > 0 && twice > 0, "the network was not bad: {seen:?}");
}

/// A receiver has room for 64 events, and not all of them are messages: one may wait for room when the line breaks.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_room_when_the_line_breaks_comes_all_the_same() {
    const REST: usize = 100;
    let pause = || tokio::time::sleep(Duration::from_millis(500));
    let network = Network::start(false).await;
    let line = Line::start(network.relay()).await;
    let alice = network.member("alice").await;
    let bob = network.member_by("bob", line.address).await;
    let say = async |from: usize, to_: usize| {
        for n in from..to_ {
            alice.outbox().post(to("bob"), Draft::text(n.to_string())).await.unwrap();
        }
        assert_eq!(alice.outbox().flush(PATIENCE).await.unwrap().left, 0);
    };
    say(0, 2).await;
    let mut receiver = bob.receive(true).unwrap();
    let first = [message(&mut receiver).await, message(&mut receiver).await];
    // Each of them is an event of another kind, which takes room.
    for n in 0..10 {
        bob.outbox().post(to("alice"), Draft::text(n.to_string())).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    say(2, REST).await;
    pause().await;
    line.cut();
    pause().await;
    // The line is found to be broken by these, while a message waits for room: the first may still seem to get through.
    for message in &first {
        receiver.ack(message.receipt()).await.unwrap();
        pause().await;
    }
    let mut came: Vec<_> = first.iter().map(|m| text(m).to_owned()).collect();
    while came.len() < REST {
        let message = message(&mut receiver).await;
        receiver.ack(message.receipt()).await.unwrap();
        came.push(text(&message).to_owned());
    }
    assert_eq!(came, numbered(REST));
}

/// What the child processes below do: this test binary runs itself with these variables set.
const CHILD_PROFILE: &str = "SOTTO_TEST_CHILD_PROFILE";
const CHILD_JOB: &str = "SOTTO_TEST_CHILD_JOB";

fn child(profile: &Path, job: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "bad_network::child_process", "--nocapture"])
        .env(CHILD_PROFILE, profile)
        .env(CHILD_JOB, job)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// How many texts are said by the children that are killed.
const SAID: usize = 120;

#[tokio::test(flavor = "multi_thread")]
async fn child_process() {
    let (Ok(profile), Ok(job)) = (std::env::var(CHILD_PROFILE), std::env::var(CHILD_JOB)) else { return };
    let client = Client::open(profile, Unlock::KeyFile).await.unwrap();
    match job.split_once(':').unwrap() {
        // Says the rest of the numbers: goes on after the last one that is in the history.
        ("say", whom) => {
            let following = follow(&client);
            let said = client.conversations().all_messages(None, 10_000).await.unwrap().len();
            for n in said..SAID {
                client.outbox().post(to(whom), Draft::text(n.to_string())).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            following.await.unwrap();
        }
        ("receive", _) => follow(&client).await.unwrap(),
        // Says so many of its own.
        ("as", name) => {
            for n in 0..40 {
                client.outbox().post(to("bob"), Draft::text(format!("{name} {n}"))).await.unwrap();
            }
            assert_eq!(client.outbox().flush(PATIENCE).await.unwrap().left, 0);
        }
        other => panic!("no job {other:?}"),
    }
}

/// Receives and acknowledges. Another process that was just killed may still hold the place.
fn follow(client: &Client) -> tokio::task::JoinHandle<()> {
    let client = client.clone();
    tokio::spawn(async move {
        let mut receiver = loop {
            match client.receive(true) {
                Ok(receiver) => break receiver,
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        while let Some(event) = receiver.next().await {
            if let Event::Message(message) = event.unwrap() {
                receiver.ack(message.receipt()).await.unwrap();
            }
        }
    })
}

async fn texts(profile: &Path) -> Vec<String> {
    let client = Client::open(profile, Unlock::KeyFile).await.unwrap();
    let history = client.conversations().all_messages(None, 10_000).await.unwrap();
    let text = |body| match body {
        ViewBody::Text(text) => text,
        _ => panic!("no text"),
    };
    history.into_iter().map(|m| text(m.body)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_nothing_is_lost_or_said_twice() {
    let network = Network::start(false).await;
    drop((network.member("alice").await, network.member("bob").await));
    let (alice, bob) = (network.profile("alice"), network.profile("bob"));
    let begin = Instant::now();
    let mut kills = 0_u64;
    // Both sides are killed again and again, each time after a little longer or shorter.
    while texts(&bob).await.len() < SAID {
        assert!(begin.elapsed() < PATIENCE, "{} of {SAID} have come", texts(&bob).await.len());
        let mut children = [child(&alice, "say:bob"), child(&bob, "receive:")];
        // A random moment: all that a process does is in here somewhere, from opening the store to acknowledging. Later
        // ones live longer, so that a slow machine comes to an end as well.
        let moment = 150 + (kills * 7_919) % 650 + kills * 10;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        kills += 1;
    }
    assert!(kills > 3, "killed {kills} times only");
    assert_eq!(texts(&bob).await, numbered(SAID));
    assert_eq!(texts(&alice).await, numbered(SAID));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_one_profile_say_everything_once() {
    let network = Network::start(false).await;
    drop(network.member("alice").await);
    let bob = network.member("bob").await;
    let profile = network.profile("alice");
    let mut children = ["as:one", "as:two"].map(|job| child(&profile, job));
    let came = tokio::time::timeout(PATIENCE, collect(&bob, "alice", 80)).await.expect("in time");
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(came.len(), 80);
    for name in ["one", "two"] {
        let of_one: Vec<_> = came.iter().filter(|t| t.starts_with(name)).cloned().collect();
        assert_eq!(of_one, (0..40).map(|n| format!("{name} {n}")).collect::<Vec<_>>());
    }
}
