//! A relay whose store was put back to what it was: it hands out prekeys that were used, and nobody loses a message for that.

use std::path::Path;

use sotto_client::{Client, Event, Missing, Unopened, ViewBody};
use tempfile::TempDir;

use crate::common::{Network, address, drain, next, text};

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

impl Network {
    async fn back_up(&mut self) -> TempDir {
        let backup = tempfile::tempdir().unwrap();
        self.stop().await;
        copy(&self.folder.path().join("state"), backup.path());
        self.run().await;
        backup
    }

    async fn restore(&mut self, backup: &TempDir) {
        self.stop().await;
        let state = self.folder.path().join("state");
        std::fs::remove_dir_all(&state).unwrap();
        copy(backup.path(), &state);
        self.run().await;
    }
}

/// What one connection has brought.
#[derive(Debug, Default, PartialEq)]
struct Brought {
    texts: Vec<String>,
    late: usize,
    unopened: usize,
    replaced: usize,
}

async fn receive(client: &Client) -> Brought {
    let mut receiver = client.receive(false).unwrap();
    let mut brought = Brought::default();
    let mut caught_up = false;
    // The prekeys are looked after beside what comes.
    while !caught_up || (brought.unopened > 0 && brought.replaced == 0) {
        match next(&mut receiver).await {
            Event::Message(message) => {
                receiver.ack(message.receipt()).await.unwrap();
                brought.late += usize::from(message.late);
                brought.texts.push(text(&message).to_owned());
            }
            Event::Unopened(unopened) => {
                assert_eq!(unopened.reason, Unopened::NoKey);
                receiver.ack(unopened.receipt()).await.unwrap();
                brought.unopened += 1;
            }
            Event::PrekeysReplaced => brought.replaced += 1,
            Event::CaughtUp => caught_up = true,
            _ => {}
        }
    }
    receiver.close().await;
    brought
}

async fn say(from: &Client, to: &str, words: &str) {
    from.outbox().send_text(&[address(to)], words).await.unwrap();
}

/// What is shown of the conversation with somebody, in order.
async fn shown(client: &Client, with: &str) -> Vec<String> {
    let id = client.conversations().with(&[address(with)]).await.unwrap().id;
    let views = client.conversations().messages(&id, None, 100).await.unwrap();
    let said = |body: &ViewBody| match body {
        ViewBody::Text(text) => text.clone(),
        ViewBody::Missing(Missing { count: 1, gone, unopened: true }) => format!("not opened, gone: {gone}"),
        ViewBody::Missing(_) => "missing".into(),
        _ => "something".into(),
    };
    views.iter().map(|view| said(&view.body)).collect()
}

/// Bob has used some prekeys since the relay's backup, and is away while it is restored and alice writes.
async fn written_to_after_a_restore() -> (Network, Client, Client) {
    let mut network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    say(&alice, "bob", "before").await;
    assert_eq!(receive(&bob).await.texts, ["before"]);
    let backup = network.back_up().await;
    for words in ["one", "two", "three"] {
        say(&alice, "bob", words).await;
    }
    assert_eq!(
        receive(&bob).await,
        Brought { texts: ["one", "two", "three"].map(Into::into).into(), ..Default::default() }
    );
    network.restore(&backup).await;
    for words in ["four", "five"] {
        say(&alice, "bob", words).await;
    }
    (network, alice, bob)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_were_sealed_to_used_prekeys_come_again_by_themselves() {
    let (_network, alice, bob) = written_to_after_a_restore().await;
    assert_eq!(receive(&bob).await, Brought { unopened: 2, replaced: 1, ..Default::default() });
    let waits = "not opened, gone: 0";
    assert_eq!(shown(&bob, "alice").await, ["before", "one", "two", "three", waits, waits]);
    // With the new prekeys everything opens, and what could not be opened comes with the next that alice hears.
    say(&alice, "bob", "six").await;
    drain(&alice).await;
    let brought = receive(&bob).await;
    assert_eq!((brought.unopened, brought.replaced), (0, 0));
    let mut texts = brought.texts;
    texts.sort();
    assert_eq!(texts, ["five", "four", "six"]);
    assert!(brought.late >= 2);
    let shown = shown(&bob, "alice").await;
    assert!(shown.len() == 7 && !shown.iter().any(|shown| shown == waits || shown == "missing"), "{shown:?}");
    assert!(bob.gaps().list().await.unwrap().is_empty());
    // And nothing of it comes twice.
    assert_eq!(receive(&bob).await, Brought::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_restore_nothing_is_replaced() {
    let mut network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    for round in 0..3 {
        for _ in 0..20 {
            say(&alice, "bob", "hello").await;
        }
        let brought = receive(&bob).await;
        assert_eq!((brought.texts.len(), brought.unopened, brought.replaced), (20, 0, 0), "{round}");
        network.stop().await;
        network.run().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_relay_has_lost_is_missed_without_another_word_of_its_sender() {
    let mut network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    say(&alice, "bob", "before").await;
    say(&bob, "alice", "before, too").await;
    assert_eq!((receive(&bob).await.texts.len(), receive(&alice).await.texts.len()), (1, 1));
    let backup = network.back_up().await;
    // The relay has it, and loses it before bob connects. Alice has used a prekey meanwhile, by which she notices the restore.
    say(&alice, "bob", "lost with the relay").await;
    say(&bob, "alice", "delivered").await;
    assert_eq!(receive(&alice).await.texts, ["delivered"]);
    network.restore(&backup).await;
    let mut receiver = alice.receive(true).unwrap();
    while !matches!(next(&mut receiver).await, Event::PrekeysReplaced) {}
    // Bob hears how far alice has come, asks, and gets it.
    let got = async {
        loop {
            let brought = receive(&bob).await;
            if !brought.texts.is_empty() {
                return brought;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    let follow = async {
        loop {
            if let Event::Message(message) = next(&mut receiver).await {
                receiver.ack(message.receipt()).await.unwrap();
            }
        }
    };
    let brought = tokio::select! {
        brought = tokio::time::timeout(std::time::Duration::from_mins(1), got) => brought.expect("what was lost comes"),
        () = follow => unreachable!("it follows until it is dropped"),
    };
    assert_eq!((brought.texts, brought.late), (vec!["lost with the relay".to_owned()], 1));
}
