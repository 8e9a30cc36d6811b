//! The client against a real relay.

use std::time::Duration;

use crate::common::{DOMAIN, Network, PASSWORD, accept, address, drain, group, message, next, text};
use sotto_client::{
    Client, DeliveryState, Draft, Endpoint, Error, Event, FileDraft, Password, ProfileError, Refusal, RegistrationCode,
    ServiceAccount, Target, Tls, TransportError, TrustError, TrustState, Unlock, WaitsFor,
};
use sotto_crypto::IdentityKey;
use sotto_wire::ErrorCode;
use sotto_wire::admin::Role;
use sotto_wire::content::{Body, Conversation};
use sotto_wire::invite::Transport;

#[tokio::test(flavor = "multi_thread")]
async fn two_people_talk_and_the_profile_keeps_it() {
    let network = Network::start(true).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    let me = alice.whoami();
    assert_eq!((me.address.as_str(), me.network.as_str()), ("alice@chat.acme.example", DOMAIN));

    let sent = alice.outbox().send_text(&[address("bob")], "Good morning").await.unwrap();
    assert!(sent.accepted_at_ms > 0 && sent.retained_by.is_empty() && sent.devices == 1);
    let got = drain(&bob).await;
    assert_eq!(got.len(), 1);
    assert_eq!((text(&got[0]), &got[0].sender, got[0].message), ("Good morning", &address("alice"), sent.message));
    assert!(!got[0].retained() && !got[0].verified);
    assert!(drain(&bob).await.is_empty(), "acknowledged is gone");
    bob.outbox().send_text(&[address("alice")], "Hello").await.unwrap();
    assert_eq!(drain(&alice).await.len(), 1);

    // Opened again, by the file and by the password, the history is there.
    drop(alice);
    let alice = Client::open(network.profile("alice"), Unlock::KeyFile).await.unwrap();
    let conversation = Conversation::of([address("alice"), address("bob")]).unwrap();
    let history = alice.conversations().messages(&conversation.id(), None, 10).await.unwrap();
    let states: Vec<_> = history.iter().map(|m| m.state).collect();
    assert_eq!(states, [DeliveryState::Delivered, DeliveryState::Received]);
    let wrong = Client::open(network.profile("alice"), Unlock::Password(Password::new("wrong".into()))).await;
    assert!(matches!(wrong.err(), Some(Error::Profile(ProfileError::WrongPassword(_)))));
    let devices = alice.devices().list().await.unwrap();
    assert!(devices.len() == 1 && devices[0].this);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_must_prove_itself_and_its_network() {
    let network = Network::start(true).await;
    let good = network.invite("alice").await;
    let mut invite = good.clone();
    invite.transport = Transport::NetworkTls([1; 32]);
    let refused = Client::join(network.join_options(invite, "alice")).await.err().unwrap();
    assert!(matches!(refused, Error::Transport(TransportError::Certificate { .. })), "{refused}");
    let mut invite = good.clone();
    invite.policy_key = sotto_crypto::PolicyKey::generate(&mut sotto_crypto::SystemRng).verifying_key().fingerprint();
    let refused = Client::join(network.join_options(invite, "alice")).await.err().unwrap();
    assert!(matches!(refused, Error::Trust(TrustError::PolicyKey)), "{refused}");
    Client::join(network.join_options(good, "alice")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_says_what_is_wrong() {
    let network = Network::start(false).await;
    let invite = network.invite("alice").await;
    let mut weak = network.join_options(invite.clone(), "alice");
    weak.password = Password::new("short".into());
    let refused = Client::join(weak).await.err().unwrap();
    assert!(matches!(&refused, Error::Refused(Refusal::WeakPassword(what)) if what.contains("12")), "{refused}");
    assert!(!network.profile("alice").join("key.json").exists());

    let mut wrong = invite.clone();
    wrong.secret = sotto_crypto::InviteSecret::generate(&mut sotto_crypto::SystemRng);
    let refused = Client::join(network.join_options(wrong, "alice")).await.err().unwrap();
    assert_eq!(refused.code(), Some(ErrorCode::InviteInvalid), "{refused}");

    Client::join(network.join_options(invite.clone(), "alice")).await.unwrap();
    let again = Client::join(network.join_options(invite.clone(), "alice")).await.err().unwrap();
    assert!(matches!(again, Error::Profile(ProfileError::Taken { .. })), "{again}");
    // On another device: the address is taken, by another identity.
    let elsewhere = Client::join(network.join_options(invite.clone(), "other")).await.err().unwrap();
    assert!(matches!(elsewhere, Error::Trust(TrustError::RegisteredElsewhere(_))), "{elsewhere}");
    let mut wrong = network.join_options(invite, "third");
    wrong.password = Password::new("another good password".into());
    assert_eq!(Client::join(wrong).await.err().unwrap().code(), Some(ErrorCode::WrongCredentials));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_join_goes_on() {
    let network = Network::start(false).await;
    // Cut off after more and more of the way.
    for (n, millis) in [3_u64, 40, 90, 150, 220, 300, 400].into_iter().enumerate() {
        let name = format!("user{n}");
        let invite = network.invite(&name).await;
        let join = Client::join(network.join_options(invite.clone(), &name));
        let cut = tokio::time::timeout(Duration::from_millis(millis), join).await;
        let client = match cut {
            Ok(joined) => joined.unwrap(),
            Err(_) => loop {
                // The work that was cut off may still hold the profile for a moment.
                match Client::join(network.join_options(invite.clone(), &name)).await {
                    Err(Error::Profile(ProfileError::Busy { .. } | ProfileError::Taken { .. })) => {
                        if let Ok(client) = Client::open(network.profile(&name), Unlock::KeyFile).await {
                            break client;
                        }
                    }
                    joined => break joined.unwrap(),
                }
            },
        };
        assert_eq!(client.devices().list().await.unwrap().len(), 1);
        // A note to oneself, of which there is one device, stays here.
        let sent = client.outbox().send_text(&[address("user0")], "here").await.unwrap();
        assert_eq!(sent.devices, usize::from(n > 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_profile_is_told_and_goes_on_with_the_same_keys() {
    let mut network = Network::start(false).await;
    let invite = network.invite("alice").await;
    // The relay has registered the user, and stops before the device comes.
    let join = tokio::spawn(Client::join(network.join_options(invite.clone(), "alice")));
    while !network.profile("alice").join("unlock.key").exists() {
        tokio::task::yield_now().await;
    }
    join.abort();
    let _ = join.await;
    network.stop().await;
    network.run().await;
    let opened = Client::open(network.profile("alice"), Unlock::KeyFile).await;
    if let Err(error) = &opened {
        assert!(matches!(error, Error::Profile(ProfileError::Unfinished(_))), "{error}");
        let mut options = network.join_options(invite, "alice");
        options.password = Password::new("not the same password".into());
        let refused = Client::join(options).await.err().unwrap();
        assert!(matches!(refused, Error::Profile(ProfileError::WrongPassword(_))), "{refused}");
        let invite = network.invite("alice").await;
        let alice = Client::join(network.join_options(invite, "alice")).await.unwrap();
        assert_eq!(alice.devices().list().await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_travel_sealed_and_groups_are_one_conversation() {
    let network = Network::start(false).await;
    let (alice, bob, carol) =
        (network.member("alice").await, network.member("bob").await, network.member("carol").await);
    let path = network.folder.path().join("report.pdf");
    let clear: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    std::fs::write(&path, &clear).unwrap();
    let both = Target::People(vec![address("bob"), address("carol")]);
    let sent = alice.outbox().send_file(both, &path, FileDraft::new().caption("The report"), |_, _| ()).await.unwrap();
    for client in [&bob, &carol] {
        let got = drain(client).await;
        assert_eq!(got[0].conversation, sent.conversation);
        assert_eq!(got[0].conversation.members().len(), 3);
        let Body::File(file) = &got[0].content.body else { panic!("no file") };
        assert_eq!(
            (file.name.as_str(), file.size, file.caption.as_deref()),
            ("report.pdf", 300_000, Some("The report"))
        );
        let mut opened = Vec::new();
        assert_eq!(client.files().download(file, &mut opened, |_, _| ()).await.unwrap(), 300_000);
        assert_eq!(opened, clear);
        let mut forged = file.clone();
        forged.digest = [0; 32];
        assert!(matches!(
            client.files().download(&forged, &mut Vec::new(), |_, _| ()).await,
            Err(Error::Attachment(_))
        ));
        let mut gone = file.clone();
        gone.blob = sotto_crypto::BlobId::from_bytes([7; 16]);
        assert_eq!(
            client.files().download(&gone, &mut Vec::new(), |_, _| ()).await.err().unwrap().code(),
            Some(ErrorCode::NotFound)
        );
    }
    assert_eq!(std::fs::read_dir(network.profile("alice").join("outgoing")).unwrap().count(), 0);

    let mut closed = group();
    (closed.serial, closed.files_enabled, closed.max_expiry_seconds) = (2, false, 60);
    network.put_group(closed).await;
    let dave = network.member("dave").await;
    let bob_alone = || Target::People(vec![address("bob")]);
    let refused = dave.outbox().send_file(bob_alone(), &path, FileDraft::new(), |_, _| ()).await.err().unwrap();
    assert!(matches!(refused, Error::Refused(Refusal::FilesDisabled)), "{refused}");
    let long = Draft::text("x").expires_in(Duration::from_secs(61));
    let refused = dave.outbox().send(bob_alone(), long).await.err().unwrap();
    assert!(matches!(refused, Error::Refused(Refusal::ExpiryTooLong { max_seconds: 60 })), "{refused}");
    let sent = dave.outbox().send_text(&[address("bob")], "x").await.unwrap();
    assert!(sent.expires_at_ms.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_acknowledged_comes_again_and_only_once_it_is_kept() {
    let network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    for n in 0..3 {
        alice.outbox().send_text(&[address("bob")], &n.to_string()).await.unwrap();
    }
    let mut receiver = bob.receive(false).unwrap();
    assert!(matches!(bob.receive(false).err(), Some(Error::Profile(ProfileError::Busy { .. }))));
    let first = message(&mut receiver).await;
    let second = message(&mut receiver).await;
    receiver.ack(second.receipt()).await.unwrap();
    receiver.close().await;
    assert_eq!(bob.conversations().all_messages(None, 10).await.unwrap().len(), 1);
    let again = drain(&bob).await;
    assert_eq!(again.iter().map(text).collect::<Vec<_>>(), ["0", "2"]);
    assert_eq!(again[0].message, first.message);
    assert_eq!(bob.conversations().all_messages(None, 10).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_outlives_a_restart_of_the_relay() {
    let mut network = Network::start(true).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    let mut receiver = bob.receive(true).unwrap();
    while !matches!(next(&mut receiver).await, Event::CaughtUp) {}
    network.stop().await;
    assert!(matches!(next(&mut receiver).await, Event::Disconnected(error, _) if error.is_retryable()));
    network.run().await;
    alice.outbox().send_text(&[address("bob")], "after the restart").await.unwrap();
    let got = message(&mut receiver).await;
    assert_eq!(text(&got), "after the restart");
    receiver.ack(got.receipt()).await.unwrap();
    receiver.close().await;
    assert!(drain(&bob).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_identity_is_told_and_blocks_where_it_was_verified() {
    let network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    alice.outbox().send_text(&[address("bob")], "one").await.unwrap();
    bob.outbox().send_text(&[address("alice")], "two").await.unwrap();
    drain(&alice).await;
    // Both see the same number.
    let compared = alice.contacts().look_up(&address("bob")).await.unwrap();
    let number = compared.safety_number.to_string();
    assert_eq!(bob.contacts().look_up(&address("alice")).await.unwrap().safety_number.to_string(), number);

    // Bob registers anew. Nobody had verified him: it is told.
    network.delete_user("bob").await;
    let invite = network.invite("bob").await;
    let second = Client::join(network.join_options(invite, "bob2")).await.unwrap();
    let sent = alice.outbox().send_text(&[address("bob")], "three").await.unwrap();
    assert_eq!(sent.changed, [address("bob")]);
    assert_eq!(drain(&second).await.len(), 1);

    // What was compared before the change is not what counts now, and is not marked.
    let refused = alice.contacts().mark_verified(&compared).await.err().unwrap();
    assert!(matches!(&refused, Error::Trust(TrustError::NotTheCompared(who)) if who == &address("bob")), "{refused}");

    // Verified, a change blocks, in both directions, until it is accepted.
    let compared = alice.contacts().look_up(&address("bob")).await.unwrap();
    assert_eq!(alice.contacts().mark_verified(&compared).await.unwrap().state, TrustState::Verified);
    network.delete_user("bob").await;
    let invite = network.invite("bob").await;
    let third = Client::join(network.join_options(invite, "bob3")).await.unwrap();
    let refused = alice.outbox().send_text(&[address("bob")], "four").await.err().unwrap();
    assert!(matches!(&refused, Error::Trust(TrustError::IdentityChanged(who)) if who == &address("bob")), "{refused}");
    third.outbox().send_text(&[address("alice")], "it is me").await.unwrap();
    let mut receiver = alice.receive(false).unwrap();
    loop {
        match next(&mut receiver).await {
            Event::Waiting(waiting) => {
                assert_eq!((waiting.len(), waiting[0].count), (1, 1));
                assert_eq!((&waiting[0].sender, waiting[0].waits_for), (&address("bob"), WaitsFor::Acknowledgement));
                break;
            }
            Event::Message(_) => panic!("shown all the same"),
            _ => {}
        }
    }
    receiver.close().await;
    let contact = alice.contacts().look_up(&address("bob")).await.unwrap();
    assert_eq!(contact.state, TrustState::Changed);
    assert!(contact.new_safety_number.is_some());
    assert!(alice.contacts().mark_verified(&contact).await.is_err());
    assert_eq!(accept(&alice, &contact).await.unwrap().state, TrustState::Pinned);
    let got = drain(&alice).await;
    assert_eq!(got.iter().map(text).collect::<Vec<_>>(), ["it is me"]);
    alice.outbox().send_text(&[address("bob")], "five").await.unwrap();
}

fn service(network: &Network, identity: &IdentityKey, profile: &str) -> ServiceAccount {
    ServiceAccount {
        address: address("archive"),
        endpoint: Endpoint { url: network.url(), tls: Tls::Authority(network.authority_pem()) },
        policy_key: network.policy.verifying_key().fingerprint(),
        identity: IdentityKey::from_bytes(&identity.to_bytes()).unwrap(),
        password: Password::new(PASSWORD.into()),
        registration_code: RegistrationCode::new("retention-code".into()),
        profile: network.profile(profile),
        label: "archive".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retained_conversation_reaches_the_retention_process() {
    let mut network = Network::start(true).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    let identity = network.retention("archive").await;
    let archive = Client::service(service(&network, &identity, "archive")).await.unwrap();
    let sent = alice.outbox().send_text(&[address("bob")], "for the record").await.unwrap();
    assert_eq!(sent.retained_by, [address("archive")]);
    let view = alice.conversations().get(&sent.conversation.id()).await.unwrap().unwrap();
    assert!(view.retained && view.retained_by == [address("archive")]);
    let got = drain(&bob).await;
    assert_eq!(got[0].retained_by, [address("archive")]);

    // Read, and the process ends before its record is durable: it comes again.
    let mut receiver = archive.receive(true).unwrap();
    let first = message(&mut receiver).await;
    assert_eq!(text(&first), "for the record");
    drop(receiver);
    drop(archive);
    let archive = loop {
        match Client::service(service(&network, &identity, "archive")).await {
            Ok(client) => break client,
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    };
    let mut receiver = loop {
        match archive.receive(true) {
            Ok(receiver) => break receiver,
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        tokio::task::yield_now().await;
    };
    let again = message(&mut receiver).await;
    assert_eq!(again.message, first.message);
    receiver.acker().ack(vec![again.receipt()]).await.unwrap();
    receiver.close().await;
    assert!(archive.conversations().all_messages(None, 10).await.unwrap().is_empty(), "a service keeps nothing");

    // Its folder is lost: it logs in, and adds a device under the same identity.
    drop(archive);
    let archive = Client::service(service(&network, &identity, "archive-2")).await.unwrap();
    assert_eq!(archive.devices().list().await.unwrap().len(), 2);
    alice.outbox().send_text(&[address("bob")], "still").await.unwrap();
    assert_eq!(drain(&archive).await.iter().map(text).collect::<Vec<_>>(), ["still"]);

    // Switched off, nobody else has it.
    network.document.retention[0].enabled = false;
    network.put_document().await;
    let fresh = Client::open(network.profile("alice"), Unlock::KeyFile).await.unwrap();
    assert!(fresh.outbox().send_text(&[address("bob")], "between us").await.unwrap().retained_by.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_unknown_or_suspended_is_told() {
    let network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    let refused = alice.outbox().send_text(&[address("nobody")], "x").await.err().unwrap();
    assert!(refused.to_string().contains("nobody@"), "{refused}");
    assert!(matches!(alice.outbox().send_text(&[], "x").await, Err(Error::Refused(Refusal::NoRecipients))));
    assert!(matches!(alice.outbox().send_text(&[address("bob")], "").await, Err(Error::Refused(Refusal::Empty))));
    let long = "x".repeat(70_000);
    assert!(matches!(
        alice.outbox().send_text(&[address("bob")], &long).await,
        Err(Error::Refused(Refusal::TooLong { .. }))
    ));

    let mut receiver = bob.receive(true).unwrap();
    while !matches!(next(&mut receiver).await, Event::CaughtUp) {}
    network.put_user("bob", Role::Person, true).await;
    let ended = loop {
        match receiver.next().await {
            Some(Err(error)) => break error,
            Some(Ok(_)) => {}
            None => panic!("ended without a reason"),
        }
    };
    assert_eq!(ended.code(), Some(ErrorCode::Suspended), "{ended}");
    assert_eq!(
        bob.outbox().send_text(&[address("alice")], "x").await.err().unwrap().code(),
        Some(ErrorCode::Suspended)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn prekeys_are_topped_up_when_few_are_left() {
    let network = Network::start(false).await;
    let bob = network.member("bob").await;
    let senders = [network.member("alice").await, network.member("carol").await];
    // Each sender gets a burst of one-time prekeys, and then the medium-term one.
    for n in 0..26 {
        for sender in &senders {
            sender.outbox().send_text(&[address("bob")], &n.to_string()).await.unwrap();
        }
    }
    let first = drain(&bob).await;
    assert!(first.len() == 52 && first.iter().all(|message| message.forward_secret));
    for sender in &senders {
        sender.outbox().send_text(&[address("bob")], "more").await.unwrap();
    }
    assert_eq!(drain(&bob).await.len(), 2);
    // More than anybody's share at once: the rest is not forward secret, and says so.
    for n in 0..40 {
        senders[0].outbox().send_text(&[address("bob")], &n.to_string()).await.unwrap();
    }
    let many = drain(&bob).await;
    assert!(many.len() == 40 && many.iter().any(|message| !message.forward_secret));
}
