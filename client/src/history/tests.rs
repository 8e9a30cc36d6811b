//! A history of 10,000 messages with files, from one device to another through a real relay, with both sides cut off again
//! and again. Here and not in `tests/`, since nobody waits until so many messages are sent.

use std::time::Duration;

use sotto_crypto::{LinkCode, LinkError, MessageId};
use sotto_wire::content::{Body, Content, Conversation, File, MessageRef};

use super::*;
use crate::common::{Network, PASSWORD, address, drain};
use crate::store::{Annotation, Mark, MessageState, StoredMessage, Unread};
use crate::{Client, FileDraft, LinkOptions, NewDevice, Password, Refusal, Target, TrustState};

const MESSAGES: u32 = 10_000;

async fn second_device(network: &Network, of: &Client, profile: &str) -> Client {
    let options =
        LinkOptions::new(of.devices().link_url().unwrap(), network.profile(profile), Password::new(PASSWORD.into()));
    match Client::link(options).await.unwrap() {
        NewDevice::Joined(client) => client,
        NewDevice::Pending(_) => panic!("it waits for an approval"),
    }
}

/// As if they had come: message `n`, every tenth with one of the files.
fn message(n: u32, files: &[File]) -> (StoredMessage, Content) {
    let (alice, bob) = (address("alice"), address("bob"));
    let conversation = Conversation::of([alice.clone(), bob.clone()]).unwrap();
    let body = match files.get(n as usize / 10 % files.len().max(1)) {
        Some(file) if n.is_multiple_of(10) => Body::File(file.clone()),
        _ => Body::Text(format!("message {n} {}", "x".repeat(n as usize % 700))),
    };
    let content = Content::new(conversation.clone(), 1_700_000_000_000 + u64::from(n), body);
    let mut id = [0; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    let sender = if n.is_multiple_of(3) { alice } else { bob };
    let name = MessageRef { sender, device: DeviceId::from_bytes([9; 16]), message: MessageId::from_bytes(id) };
    let stored = StoredMessage {
        content: sotto_crypto::encode(&content),
        retained: n.is_multiple_of(2),
        state: if n.is_multiple_of(3) { MessageState::Accepted } else { MessageState::Received },
        ..StoredMessage::bare(&name, &conversation.id(), content.sent_at_ms)
    };
    (stored, content)
}

/// Fills a store, and puts a reaction to every hundredth message.
async fn fill(client: &Client, count: u32, files: Vec<File>) {
    client
        .trust
        .store
        .run(move |tx| {
            for n in 0..count {
                let (stored, content) = message(n, &files);
                tx.add_message(&stored, &content.conversation, Unread::No)?;
                if n.is_multiple_of(100) {
                    let by = MessageRef { message: MessageId::from_bytes([7; 16]), ..stored.key() };
                    let mark = Mark::React("👍".into(), true);
                    let (target, conversation, at_ms) = (stored.key(), stored.conversation.clone(), 5);
                    tx.annotate(&Annotation { target, conversation, by, at_ms, mark }, u64::MAX)?;
                }
            }
            Ok(())
        })
        .await
        .unwrap();
}

async fn all(client: &Client) -> Vec<StoredMessage> {
    let page = client.trust.store.run(|tx| tx.page(None, None, u32::MAX)).await.unwrap();
    page.into_iter().map(|placed| placed.message).collect()
}

/// One attempt of each side; `None` where it was cut off.
async fn attempt(
    from: &Client,
    to: &Client,
    code: &LinkCode,
    cut: Duration,
) -> (Option<Transferred>, Option<Transferred>) {
    let sends = async {
        let code = LinkCode::parse(&code.to_text()).unwrap();
        let mut sender = from.history().send(Some(code)).await.unwrap();
        if !sender.confirmed() {
            assert_eq!(sender.other_device().await.unwrap().device, to.device());
        }
        sender.run(|_, _| ()).await.unwrap()
    };
    let incoming = async {
        let mut receiver = to.history().receive(None).await.unwrap();
        let (other, _) = receiver.other_device().await.unwrap();
        assert_eq!(other.device, from.device());
        receiver.run(|_, _| ()).await.unwrap()
    };
    let (sent, came) = tokio::join!(tokio::time::timeout(cut, sends), tokio::time::timeout(cut * 3 / 4, incoming));
    (sent.ok(), came.ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_messages_move_whatever_is_cut_off() {
    let network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    let mut files = Vec::new();
    for n in 0..3_u8 {
        let path = network.folder.path().join(format!("file{n}"));
        std::fs::write(&path, vec![n; 70_000]).unwrap();
        bob.outbox()
            .send_file(Target::People(vec![address("alice")]), &path, FileDraft::new(), |_, _| ())
            .await
            .unwrap();
    }
    for came in drain(&alice).await {
        let Body::File(file) = came.content.body else { panic!("no file") };
        files.push(file);
    }
    fill(&alice, MESSAGES, files).await;
    let compared = alice.contacts().look_up(&address("bob")).await.unwrap();
    alice.contacts().mark_verified(&compared).await.unwrap();

    let laptop = second_device(&network, &alice, "laptop").await;
    bob.outbox().send_text(&[address("alice")], "newer than the device").await.unwrap();
    assert_eq!((drain(&alice).await.len(), drain(&laptop).await.len()), (1, 1));
    let before = all(&laptop).await;

    let mut receiver = laptop.history().receive(None).await.unwrap();
    let code = LinkCode::parse(&receiver.code()).unwrap();
    assert!(!receiver.resumed() && !receiver.confirmed());
    let waits = tokio::time::timeout(Duration::from_millis(50), receiver.other_device()).await;
    assert!(waits.is_err(), "nobody has answered yet");
    drop(receiver);
    let (mut sent, mut came) = (None, None);
    let mut cut = Duration::from_millis(300);
    for round in 0.. {
        assert!(round < 40, "it does not come to an end");
        if sent.is_none() || came.is_none() {
            let done = attempt(&alice, &laptop, &code, cut).await;
            (sent, came) = (sent.or(done.0), came.or(done.1));
            cut += cut / 2;
        } else {
            break;
        }
        if came.is_some() && sent.is_none() {
            // The receiver is through; the sender alone goes on, and hears of it.
            let sender = alice.history().send(None).await.unwrap();
            sent = Some(sender.run(|_, _| ()).await.unwrap());
        }
    }
    let (sent, came) = (sent.unwrap(), came.unwrap());
    assert_eq!(sent.records, came.records);
    assert!(sent.records > u64::from(MESSAGES) && sent.bytes > 4_000_000);

    // Everything, in its order, before what the device had itself.
    let (old, new) = (all(&alice).await, all(&laptop).await);
    assert_eq!(old.len(), MESSAGES as usize + 4);
    let keys = |messages: &[StoredMessage]| messages.iter().map(StoredMessage::key).collect::<Vec<_>>();
    assert_eq!(keys(&old), keys(&new));
    assert!(old.iter().zip(&new).all(|(a, b)| a.content == b.content && a.retained == b.retained));
    assert_eq!(new.last().unwrap().key(), before.last().unwrap().key());
    let (target, _) = message(300, &[]);
    let marks = laptop.trust.store.run(move |tx| tx.annotations(&target.key())).await.unwrap();
    assert_eq!(marks.len(), 1);
    // What was compared on the old device counts on the new one.
    let contacts = laptop.contacts().list().await.unwrap();
    assert_eq!((contacts.len(), contacts[0].state), (1, TrustState::Verified));
    // The files lie at the relay still, and the keys have come with the messages.
    for (n, stored) in new.iter().filter(|m| m.device == bob.device()).take(3).enumerate() {
        let content: Content = minicbor::decode(&stored.content).unwrap();
        let Body::File(file) = content.body else { panic!("no file") };
        let mut clear = Vec::new();
        laptop.files().download(&file, &mut clear, |_, _| ()).await.unwrap();
        assert!(clear.len() == 70_000 && clear.iter().all(|b| usize::from(*b) == n));
    }

    // Nothing of it is left, and once more changes nothing.
    for client in [&alice, &laptop] {
        assert!(!client.history().cancel().await.unwrap());
    }
    let sender = alice.history().send(None).await.unwrap();
    let code = LinkCode::parse(&sender.code()).unwrap();
    drop(sender);
    let incoming = async {
        let mut receiver = laptop.history().receive(Some(LinkCode::parse(&code.to_text()).unwrap())).await.unwrap();
        let (_, records) = receiver.other_device().await.unwrap();
        (records, receiver.run(|_, _| ()).await.unwrap())
    };
    let sends = async {
        let mut sender = alice.history().send(None).await.unwrap();
        assert!(sender.resumed());
        sender.other_device().await.unwrap();
        sender.run(|_, _| ()).await.unwrap()
    };
    let (_, (offered, again)) = tokio::join!(sends, incoming);
    assert_eq!((again.records, again.new), (offered, 0));
    assert_eq!(keys(&all(&laptop).await), keys(&old));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_goes_to_an_own_device_with_the_code_and_consent_only() {
    let network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    let laptop = second_device(&network, &alice, "laptop").await;
    fill(&alice, 20, Vec::new()).await;
    // Declined: the sender is told, and nothing has come.
    let mut receiver = laptop.history().receive(None).await.unwrap();
    let code = LinkCode::parse(&receiver.code()).unwrap();
    let mut sender = alice.history().send(Some(code)).await.unwrap();
    sender.other_device().await.unwrap();
    let sends = tokio::spawn(sender.run(|_, _| ()));
    receiver.other_device().await.unwrap();
    receiver.decline().await.unwrap();
    let declined = sends.await.unwrap().err().unwrap();
    assert!(matches!(declined, Error::Refused(Refusal::HistoryDeclined)), "{declined}");
    assert!(all(&laptop).await.is_empty());
    // Of another user, or with itself, nothing comes of it.
    let theirs = bob.history().receive(None).await.unwrap();
    let code = LinkCode::parse(&theirs.code()).unwrap();
    let mut sender = alice.history().send(Some(code)).await.unwrap();
    let waits = tokio::time::timeout(Duration::from_millis(300), sender.other_device()).await;
    assert!(waits.is_err(), "another user's link was found");
    drop(sender);
    assert!(alice.history().cancel().await.unwrap());
    let own = alice.history().receive(None).await.unwrap();
    let code = LinkCode::parse(&own.code()).unwrap();
    drop(own);
    let mut sender = alice.history().send(Some(code)).await.unwrap();
    assert!(matches!(sender.other_device().await.err(), Some(Error::Link(LinkError::Forged))));
}

#[test]
fn records_of_newer_versions_are_left_out_and_cut_ones_refused() {
    use std::io::Write as _;

    use crate::store::Store;
    use crate::store::key::StoreKey;

    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("s.db"), &StoreKey::generate(&mut sotto_crypto::SystemRng)).unwrap();
    let framed = |kind: &str, value: &[u8]| {
        let record = sotto_crypto::encode(&(kind, minicbor::bytes::ByteVec::from(value.to_vec())));
        [&u32::try_from(record.len()).unwrap().to_be_bytes(), record.as_slice()].concat()
    };
    let (stored, _) = message(1, &[]);
    let good = framed("message", &sotto_crypto::encode(&stored));
    let import = |clear: &[u8]| {
        let path = dir.path().join("sealed");
        let mut sealed = Vec::new();
        let (key, _) = sotto_crypto::seal_stream(&mut sotto_crypto::SystemRng, &mut &*clear, &mut sealed).unwrap();
        std::fs::File::create(&path).unwrap().write_all(&sealed).unwrap();
        file::import(&store, &path, &key, &|_| ())
    };
    let newer = framed("message", &[0x82, 1, 2]);
    assert_eq!(import(&[framed("hologram", b"?"), newer, good.clone()].concat()).unwrap(), (3, 1));
    assert_eq!(import(&good).unwrap(), (1, 0));
    assert!(import(&good[..good.len() - 1]).is_err());
    assert!(import(&[255; 40]).is_err());
    assert_eq!(import(&[0, 0, 0, 0]).unwrap(), (1, 0));
}

#[test]
fn pieces_have_their_places() {
    assert_eq!(place(0), (1, 0));
    assert_eq!(place(511), (1, 511));
    assert_eq!(place(512), (2, 0));
    assert!(received(MAX_LINKS) < limits::MAX_LINK_SLOTS);
    const { assert!((LINKS_AHEAD + 1) * SLOTS_A_LINK * PIECE < limits::MAX_LINK_BYTES_A_USER) };
}
