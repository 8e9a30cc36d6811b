//! Conversations against a real relay: what is done to messages, receipts, expiry, the outbox.

#[path = "../../examples/echo_bot.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program of its own, of which the test runs the part that works")]
mod echo_bot;

use std::time::{Duration, Instant};

use crate::common::{Network, address, drain, group, message, text};
use sotto_client::{
    Client, ConversationKind, DeliveryState, Draft, Error, Event, FileDraft, MessageView, Receiver, Refusal, Target,
    Unlock, ViewBody,
};
use sotto_wire::content::{Body, FileKind, MessageRef, Presence};
use sotto_wire::policy::ReadReceipts;

fn to(names: &[&str]) -> Target {
    Target::People(names.iter().map(|n| address(n)).collect())
}

/// Waits until something is so.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(begin.elapsed() < Duration::from_mins(1), "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Receives and acknowledges whatever comes, until it is dropped.
struct Follower {
    client: Client,
    task: tokio::task::JoinHandle<()>,
}

impl Follower {
    fn of(client: &Client) -> Self {
        let mut receiver: Receiver = client.receive(true).unwrap();
        let task = tokio::spawn(async move {
            while let Some(event) = receiver.next().await {
                if let Event::Message(message) = event.unwrap() {
                    receiver.ack(message.receipt()).await.unwrap();
                }
            }
        });
        Self { client: client.clone(), task }
    }

    /// Ends it, and waits until the profile can be received for again.
    async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
        until("its place", || async { self.client.receive(false).ok() }).await.close().await;
    }
}

async fn view(client: &Client, key: &MessageRef) -> MessageView {
    until("the message", || find(client, key)).await
}

async fn find(client: &Client, key: &MessageRef) -> Option<MessageView> {
    client.conversations().message(key).await.unwrap()
}

async fn state(client: &Client, key: &MessageRef, wanted: DeliveryState) {
    until("a state", || async {
        let view = find(client, key).await?;
        assert!(view.state != DeliveryState::Refused || wanted == DeliveryState::Refused, "{:?}", view.reason);
        (view.state == wanted).then_some(())
    })
    .await;
}

fn words(view: &MessageView) -> &str {
    match &view.body {
        ViewBody::Text(text) => text,
        _ => panic!("no text"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_is_accepted_delivered_read_edited_and_taken_back() {
    let network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    let following = Follower::of(&alice);
    let key = alice.outbox().post(to(&["bob"]), Draft::text("helo").mention(address("bob"))).await.unwrap();
    state(&alice, &key, DeliveryState::Accepted).await;

    let _bob_follows = Follower::of(&bob);
    state(&alice, &key, DeliveryState::Delivered).await;
    let [conversation] = bob.conversations().list().await.unwrap().try_into().ok().unwrap();
    assert_eq!((conversation.kind, conversation.unread, conversation.mentioned), (ConversationKind::Direct, 1, true));
    let got = conversation.last.unwrap();
    assert_eq!((words(&got), got.own, got.state), ("helo", false, DeliveryState::Received));
    bob.conversations().mark_read(&conversation.id, got.position).await.unwrap();
    assert_eq!(bob.conversations().get(&conversation.id).await.unwrap().unwrap().unread, 0);
    state(&alice, &key, DeliveryState::Read).await;
    assert_eq!(view(&alice, &key).await.read_by, [address("bob")]);

    alice.outbox().edit(&key, "hello".into()).await.unwrap();
    assert!(matches!(bob.outbox().edit(&key, "no".into()).await, Err(Error::Refused(Refusal::NotYours))));
    let answer = bob.outbox().post(to(&["alice"]), Draft::text("hi").reply_to(key.clone())).await.unwrap();
    bob.outbox().react(&key, "👍", true).await.unwrap();
    bob.outbox().pin(&key, true).await.unwrap();
    until("the edit", || async { (words(&view(&bob, &key).await) == "hello").then_some(()) }).await;
    until("the pin", || async { view(&alice, &key).await.pinned.then_some(()) }).await;
    let seen = view(&alice, &key).await;
    assert!(seen.edited && seen.pinned);
    assert_eq!(seen.reactions, [("👍".to_owned(), vec![address("bob")])]);
    assert_eq!(view(&alice, &answer).await.reply_to, Some(key.clone()));
    bob.outbox().react(&key, "👍", false).await.unwrap();
    until("no reaction", || async { view(&alice, &key).await.reactions.is_empty().then_some(()) }).await;

    let found = bob.conversations().search("HELLO", 5).await.unwrap();
    assert!(found.is_empty() || found[0].key == key, "the words of an edit are found where they are shown");
    let passed_on = bob.outbox().forward(&answer, to(&["alice", "bob"])).await.unwrap();
    let forwarded = view(&alice, &passed_on).await;
    assert_eq!((words(&forwarded), &forwarded.forwarded.as_ref().unwrap().from), ("hi", &address("bob")));

    assert!(matches!(bob.outbox().delete(&key).await, Err(Error::Refused(Refusal::NotYours))));
    alice.outbox().delete(&key).await.unwrap();
    until("gone", || async { (view(&bob, &key).await.body == ViewBody::Deleted).then_some(()) }).await;
    assert!(view(&alice, &key).await.body == ViewBody::Deleted);
    assert!(bob.conversations().search("hello", 5).await.unwrap().is_empty());
    until("all sent", || async { alice.outbox().list().await.unwrap().is_empty().then_some(()) }).await;
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_end_for_real_while_the_client_runs() {
    let network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    let (_a, _b) = (Follower::of(&alice), Follower::of(&bob));
    let second = Duration::from_secs(1);
    let stays = alice.outbox().post(to(&["bob"]), Draft::text("stays")).await.unwrap();
    let expires = alice.outbox().post(to(&["bob"]), Draft::text("expires").expires_in(2 * second)).await.unwrap();
    let burns = alice.outbox().post(to(&["bob"]), Draft::text("burns").burn_after_read(second)).await.unwrap();
    view(&bob, &burns).await;
    // The sender's copy burns from sending; the reader's waits to be read.
    until("the sender's copy has burnt", || async { find(&alice, &burns).await.is_none().then_some(()) }).await;
    let unread = view(&bob, &burns).await;
    assert_eq!(unread.expires_at_ms, None);
    bob.conversations().mark_read(&unread.conversation, unread.position).await.unwrap();
    assert!(view(&bob, &burns).await.expires_at_ms.is_some());
    for (client, key) in [(&bob, &burns), (&bob, &expires), (&alice, &expires)] {
        until("it has ended", || async { find(client, key).await.is_none().then_some(()) }).await;
    }
    assert_eq!(words(&view(&bob, &stays).await), "stays");
    // Nothing is left of it that a search or the history would find.
    assert_eq!(bob.conversations().all_messages(None, 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timer_tells_those_who_watch() {
    let network = Network::start(false).await;
    let alice = network.member("alice").await;
    let _bob = network.member("bob").await;
    let mut receiver = alice.receive(true).unwrap();
    let draft = Draft::text("short").expires_in(Duration::from_secs(1));
    let key = alice.outbox().post(to(&["bob"]), draft).await.unwrap();
    let conversation = view(&alice, &key).await.conversation;
    // Without anybody looking: the events alone lead to its end.
    loop {
        if let Event::Changed(id) = crate::common::next(&mut receiver).await {
            assert_eq!(id, conversation);
            if alice.conversations().get(&id).await.unwrap().unwrap().last.is_none() {
                break;
            }
        }
    }
    receiver.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_are_sent_as_the_network_and_the_user_say() {
    let mut network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    let (alice_follows, bob_follows) = (Follower::of(&alice), Follower::of(&bob));
    bob.conversations().set_read_receipts(false).await.unwrap();
    assert!(!bob.conversations().read_receipts().await.unwrap());
    let quiet = alice.outbox().post(to(&["bob"]), Draft::text("one")).await.unwrap();
    let got = view(&bob, &quiet).await;
    bob.conversations().mark_read(&got.conversation, got.position).await.unwrap();
    state(&alice, &quiet, DeliveryState::Delivered).await;
    until("nothing waits", || async {
        (bob.outbox().flush(Duration::from_secs(5)).await.unwrap().left == 0).then_some(())
    })
    .await;

    // The network asks for them.
    network.document.read_receipts = ReadReceipts::ForceEnabled;
    network.put_document().await;
    alice_follows.stop().await;
    bob_follows.stop().await;
    let bob = {
        drop(bob);
        Client::open(network.profile("bob"), Unlock::KeyFile).await.unwrap()
    };
    bob.policy().await.unwrap();
    let loud = alice.outbox().post(to(&["bob"]), Draft::text("two")).await.unwrap();
    alice.outbox().flush(Duration::from_secs(30)).await.unwrap();
    assert_eq!(drain(&bob).await.len(), 1);
    let got = view(&bob, &loud).await;
    assert!(bob.conversations().read_receipts().await.unwrap());
    bob.conversations().mark_read(&got.conversation, got.position).await.unwrap();
    assert_eq!(bob.outbox().flush(Duration::from_secs(30)).await.unwrap().left, 0);
    drain(&alice).await;
    state(&alice, &loud, DeliveryState::Read).await;
    assert_eq!(view(&alice, &quiet).await.state, DeliveryState::Delivered, "the one before was read in silence");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outbox_outlives_the_process_and_the_relay() {
    let mut network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    alice.policy().await.unwrap();
    network.stop().await;
    let mut keys = Vec::new();
    for n in 0..5 {
        keys.push(alice.outbox().post(to(&["bob"]), Draft::text(n.to_string())).await.unwrap());
    }
    let flushed = alice.outbox().flush(Duration::from_secs(3)).await.unwrap();
    assert_eq!((flushed.sent, flushed.left), (0, 5));
    assert_eq!(view(&alice, &keys[0]).await.state, DeliveryState::Queued);
    let waiting = alice.outbox().list().await.unwrap();
    assert_eq!(waiting.iter().map(|e| &e.key).collect::<Vec<_>>(), keys.iter().collect::<Vec<_>>());
    assert!(waiting[0].attempts > 0 && waiting[0].reason.is_some() && !waiting[0].uncertain);
    // One is taken back before it went, and one never leaves because its time is over.
    assert!(alice.outbox().cancel(&keys[1]).await.unwrap());
    assert!(find(&alice, &keys[1]).await.is_none());
    let brief =
        alice.outbox().post(to(&["bob"]), Draft::text("brief").expires_in(Duration::from_secs(1))).await.unwrap();
    until("it has ended", || async { find(&alice, &brief).await.is_none().then_some(()) }).await;
    drop(alice);

    network.run().await;
    let alice = Client::open(network.profile("alice"), Unlock::KeyFile).await.unwrap();
    let flushed = alice.outbox().flush(Duration::from_secs(30)).await.unwrap();
    assert_eq!((flushed.sent, flushed.refused, flushed.left), (4, 0, 0));
    let got = drain(&bob).await;
    assert_eq!(got.iter().map(text).collect::<Vec<_>>(), ["0", "2", "3", "4"]);
    assert!(!alice.outbox().cancel(&keys[0]).await.unwrap(), "too late");
    state(&alice, &keys[0], DeliveryState::Accepted).await;

    // What is refused says why, and does not hold up the rest.
    let nobody = alice.outbox().post(to(&["nobody"]), Draft::text("x")).await.unwrap();
    let after = alice.outbox().post(to(&["bob"]), Draft::text("after")).await.unwrap();
    let flushed = alice.outbox().flush(Duration::from_secs(30)).await.unwrap();
    assert_eq!((flushed.sent, flushed.refused, flushed.left), (1, 1, 0));
    let refused = view(&alice, &nobody).await;
    assert_eq!(refused.state, DeliveryState::Refused);
    assert!(refused.reason.unwrap().contains("nobody@"));
    state(&alice, &after, DeliveryState::Accepted).await;
    // A note to oneself stays here.
    let note = alice.outbox().post(to(&["alice"]), Draft::text("milk")).await.unwrap();
    alice.outbox().flush(Duration::from_secs(30)).await.unwrap();
    state(&alice, &note, DeliveryState::Accepted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_wait_in_the_outbox_sealed_and_go_with_progress() {
    let mut network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    alice.policy().await.unwrap();
    network.stop().await;
    let path = network.folder.path().join("note.ogg");
    let clear: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    std::fs::write(&path, &clear).unwrap();
    let about = FileDraft::new()
        .caption("listen")
        .kind(FileKind::Voice)
        .plays_for(Duration::from_millis(1500))
        .preview(vec![1, 2, 3]);
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let heard = seen.clone();
    let progress = move |done, all| heard.lock().unwrap().push((done, all));
    let key = alice.outbox().post_file(to(&["bob"]), &path, about, progress).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let outgoing = network.profile("alice").join("outgoing");
    let sealed = std::fs::read(std::fs::read_dir(&outgoing).unwrap().next().unwrap().unwrap().path()).unwrap();
    assert!(!sealed.windows(64).any(|w| w == &clear[70_000..70_064]), "sealed");
    network.run().await;
    assert_eq!(alice.outbox().flush(Duration::from_secs(30)).await.unwrap().sent, 1);
    assert_eq!(std::fs::read_dir(&outgoing).unwrap().count(), 0);
    let progress = seen.lock().unwrap().clone();
    assert!(progress.len() > 1 && progress.last().is_some_and(|(done, all)| done == all), "{progress:?}");

    let [got]: [_; 1] = drain(&bob).await.try_into().ok().unwrap();
    let Body::File(file) = &got.content.body else { panic!("no file") };
    assert_eq!(
        (file.kind, file.duration_ms, file.preview.as_deref()),
        (Some(FileKind::Voice), Some(1500), Some(&[1, 2, 3][..]))
    );
    assert_eq!((file.caption.as_deref(), file.media_type.as_str()), (Some("listen"), "audio/ogg"));
    let mut opened = Vec::new();
    bob.files().download(file, &mut opened, |_, _| ()).await.unwrap();
    assert_eq!(opened, clear);
    alice.outbox().edit(&key, "please listen".into()).await.unwrap();
    alice.outbox().flush(Duration::from_secs(30)).await.unwrap();
    drain(&bob).await;
    let ViewBody::File(file) = view(&bob, &key).await.body else { panic!("no file") };
    assert_eq!(file.caption.as_deref(), Some("please listen"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_policy_bounds_what_is_said() {
    let network = Network::start(false).await;
    let (alice, _bob) = (network.member("alice").await, network.member("bob").await);
    let queued =
        alice.outbox().post(to(&["bob"]), Draft::text("before").burn_after_read(Duration::from_mins(2))).await.unwrap();
    let mut strict = group();
    (strict.serial, strict.max_burn_seconds, strict.forwarding_enabled, strict.files_enabled) = (2, 60, false, false);
    strict.quick_responses = vec!["On my way".into()];
    network.put_group(strict).await;
    let alice = {
        drop(alice);
        Client::open(network.profile("alice"), Unlock::KeyFile).await.unwrap()
    };
    // What was said under other rules is held to those of now.
    assert_eq!(alice.outbox().flush(Duration::from_secs(30)).await.unwrap().refused, 1);
    assert!(view(&alice, &queued).await.reason.unwrap().contains("60 s"));
    let long = Draft::text("x").burn_after_read(Duration::from_secs(61));
    assert!(matches!(
        alice.outbox().post(to(&["bob"]), long).await,
        Err(Error::Refused(Refusal::BurnTooLong { max_seconds: 60 }))
    ));
    assert!(matches!(
        alice.outbox().forward(&queued, to(&["bob"])).await,
        Err(Error::Refused(Refusal::ForwardingDisabled))
    ));
    let file = network.folder.path().join("f");
    std::fs::write(&file, "x").unwrap();
    let refused = alice.outbox().post_file(to(&["bob"]), &file, FileDraft::new(), |_, _| {}).await;
    assert!(matches!(refused, Err(Error::Refused(Refusal::FilesDisabled))));
    assert_eq!(alice.conversations().quick_responses().await.unwrap(), ["On my way"]);
    let stranger = Draft::text("x").mention(address("carol"));
    assert!(matches!(alice.outbox().post(to(&["bob"]), stranger).await, Err(Error::Refused(Refusal::NotAMember(_)))));
    assert!(matches!(
        alice.outbox().post(Target::Conversation("none".into()), Draft::text("x")).await,
        Err(Error::Refused(Refusal::NoConversation(_)))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_said_before_what_is_sent_past_the_outbox() {
    let network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    alice.outbox().post(to(&["bob"]), Draft::text("first")).await.unwrap();
    alice.outbox().send(to(&["bob"]), Draft::text("second")).await.unwrap();
    assert_eq!(drain(&bob).await.iter().map(text).collect::<Vec<_>>(), ["first", "second"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_and_presence_are_seen_now_or_never_and_where_the_group_allows() {
    let network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    alice.outbox().send_text(&[address("bob")], "hello").await.unwrap();
    drain(&bob).await;
    let id = alice.conversations().list().await.unwrap()[0].id.clone();
    // Nobody is there: it is gone.
    alice.signals().typing(&id, true).await.unwrap();
    let mut receiver = bob.receive(true).unwrap();
    loop {
        match crate::common::next(&mut receiver).await {
            Event::CaughtUp => break,
            Event::Typing { .. } => panic!("it was kept"),
            _ => {}
        }
    }
    alice.signals().typing(&id, false).await.unwrap();
    alice.signals().typing(&id, false).await.unwrap();
    alice.signals().presence(Presence::Away).await.unwrap();
    let mut signals = Vec::new();
    while signals.len() < 2 {
        match crate::common::next(&mut receiver).await {
            Event::Typing { conversation, who, on } => {
                assert_eq!((conversation.as_str(), who), (id.as_str(), address("alice")));
                signals.push(format!("typing {on}"));
            }
            Event::Presence { who, state } => {
                assert_eq!((who, state), (address("alice"), Presence::Away));
                signals.push("presence".to_owned());
            }
            _ => {}
        }
    }
    assert_eq!(signals, ["typing false", "presence"], "what is said twice is sent once");
    assert_eq!(bob.conversations().all_messages(None, 9).await.unwrap().len(), 1);

    // The group does not show it: nothing is sent, and a text shows that nothing came before it.
    let mut quiet = group();
    (quiet.serial, quiet.presence_enabled) = (2, false);
    network.put_group(quiet).await;
    let alice = {
        drop(alice);
        Client::open(network.profile("alice"), Unlock::KeyFile).await.unwrap()
    };
    alice.policy().await.unwrap();
    alice.signals().typing(&id, true).await.unwrap();
    alice.outbox().send_text(&[address("bob")], "after").await.unwrap();
    loop {
        match crate::common::next(&mut receiver).await {
            Event::Message(message) => {
                receiver.ack(message.receipt()).await.unwrap();
                break;
            }
            Event::Typing { .. } => panic!("the group does not allow it"),
            _ => {}
        }
    }
    receiver.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_of_the_example_answers() {
    let network = Network::start(false).await;
    let alice = network.member("alice").await;
    drop(network.member("bot").await);
    let profile = network.profile("bot").display().to_string();
    let bot = tokio::spawn(async move { echo_bot::run(&profile).await });
    let mut receiver = alice.receive(true).unwrap();
    let asked = alice.outbox().post(to(&["bot"]), Draft::text("anybody there?")).await.unwrap();
    let answer = message(&mut receiver).await;
    assert_eq!((text(&answer), &answer.content.reply_to), ("You said: anybody there?", &Some(asked)));
    receiver.ack(answer.receipt()).await.unwrap();
    receiver.close().await;
    bot.abort();
    let ended = bot.await;
    assert!(ended.is_err_and(|e| e.is_cancelled()), "it has not ended by itself");
    let lines = include_str!("../../examples/echo_bot.rs").lines().count();
    assert!(lines < 40, "{lines} lines");
}
