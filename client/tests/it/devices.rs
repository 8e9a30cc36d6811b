//! Several devices of one user, against a real relay.

use crate::common::{Network, PASSWORD, accept, address, drain, group, next, text};
use sotto_client::{
    Client, DeviceChange, Error, Event, LinkOptions, ListProblem, NewDevice, Password, PendingDevice, ProfileError,
    Refusal, TrustError, TrustState, Unlock,
};
use sotto_crypto::{InviteSecret, LinkCode, LinkError, RecoveryKey, SystemRng};
use sotto_wire::ErrorCode;
use sotto_wire::invite::Invite;

fn password(text: &str) -> Password {
    Password::new(text.into())
}

fn options(network: &Network, of: &Client, profile: &str) -> LinkOptions {
    let link = of.devices().link_url().unwrap().to_url().parse().unwrap();
    let mut options = LinkOptions::new(link, network.profile(profile), password(PASSWORD));
    profile.clone_into(&mut options.label);
    options
}

async fn joined(options: LinkOptions) -> Client {
    match Client::link(options).await.unwrap() {
        NewDevice::Joined(client) => client,
        _ => panic!("it waits for an approval"),
    }
}

async fn pending(options: LinkOptions) -> Box<PendingDevice> {
    match Client::link(options).await.unwrap() {
        NewDevice::Pending(pending) => pending,
        _ => panic!("it was not asked for an approval"),
    }
}

/// The group wants new devices to be approved.
async fn with_approval(network: &Network, serial: u64) {
    let mut document = group();
    (document.serial, document.device_approval) = (serial, true);
    network.put_group(document).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_adds_a_device_and_both_get_everything() {
    let network = Network::start(true).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    bob.outbox().send_text(&[address("alice")], "before").await.unwrap();
    let laptop = joined(options(&network, &alice, "laptop")).await;
    assert_eq!(laptop.whoami().fingerprint, alice.whoami().fingerprint);
    assert_ne!(laptop.device(), alice.device());
    let devices = alice.devices().list().await.unwrap();
    assert!(devices.len() == 2 && devices[1].label == "laptop");

    bob.outbox().send_text(&[address("alice")], "to both").await.unwrap();
    alice.outbox().send_text(&[address("bob")], "from the phone").await.unwrap();
    laptop.outbox().send_text(&[address("bob")], "from the laptop").await.unwrap();
    assert_eq!(drain(&alice).await.iter().map(text).collect::<Vec<_>>(), ["before", "to both", "from the laptop"]);
    // What was sent before it was there, a new device cannot read.
    assert_eq!(drain(&laptop).await.iter().map(text).collect::<Vec<_>>(), ["to both", "from the phone"]);
    let got = drain(&bob).await;
    assert_eq!(got.iter().map(text).collect::<Vec<_>>(), ["from the phone", "from the laptop"]);
    assert!(!got[1].identity_changed, "another device is no other person");

    // Once more is a profile that is taken; with another password nothing comes of it.
    let again = Client::link(options(&network, &alice, "laptop")).await.err().unwrap();
    assert!(matches!(again, Error::Profile(ProfileError::Taken { .. })), "{again}");
    let mut wrong = options(&network, &alice, "third");
    wrong.password = password("not the right password");
    assert_eq!(Client::link(wrong).await.err().unwrap().code(), Some(ErrorCode::WrongCredentials));
    assert!(!network.profile("third").join("key.json").exists());
    // A link of somebody else's making.
    let mut forged = options(&network, &alice, "third");
    forged.link.identity = bob.whoami().fingerprint;
    assert!(matches!(Client::link(forged).await.err(), Some(Error::Trust(TrustError::AnotherIdentity))));
    let mut forged = options(&network, &alice, "third");
    forged.link.policy_key = bob.whoami().fingerprint;
    assert!(matches!(Client::link(forged).await.err(), Some(Error::Trust(TrustError::PolicyKey))));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_adds_a_device_and_only_to_who_has_the_code() {
    let network = Network::start(false).await;
    with_approval(&network, 2).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    let waiting = pending(options(&network, &alice, "laptop")).await;
    let (shown, fingerprint) = (waiting.code(), waiting.fingerprint().unwrap());
    assert_eq!(shown.len(), 23);
    drop(waiting);
    // The machine went down: the same code again.
    let waiting = pending(options(&network, &alice, "laptop")).await;
    assert_eq!(*waiting.code(), *shown);
    let unfinished = Client::open(network.profile("laptop"), Unlock::KeyFile).await.err().unwrap();
    assert!(matches!(unfinished, Error::Profile(ProfileError::Unfinished(_))), "{unfinished}");

    let code = LinkCode::parse(&shown.to_lowercase()).unwrap();
    let request = alice.devices().request(&code).await.unwrap();
    assert_eq!((request.label.as_str(), request.fingerprint), ("laptop", fingerprint));

    let waits = tokio::spawn(waiting.wait());
    alice.devices().approve(&request).await.unwrap();
    alice.devices().approve(&request).await.expect("can be run again");
    let laptop = waits.await.unwrap().unwrap();
    assert_eq!(laptop.whoami().device_fingerprint, fingerprint);
    assert_eq!(alice.devices().list().await.unwrap().len(), 2);
    bob.outbox().send_text(&[address("alice")], "hello").await.unwrap();
    assert_eq!(drain(&laptop).await.len(), 1);
    // The link is gone.
    assert!(matches!(alice.devices().request(&code).await.err(), Some(Error::Refused(Refusal::NoSuchCode))));
}

/// The relay waits for a link that is not there: what finds nothing takes long, and stands in a test of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_found_by_its_users_devices_and_its_own_code() {
    let network = Network::start(false).await;
    with_approval(&network, 2).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    let waiting = pending(options(&network, &alice, "laptop")).await;
    let code = LinkCode::parse(&waiting.code()).unwrap();
    let (other, unknown) = tokio::join!(bob.devices().request(&code), async {
        alice.devices().request(&LinkCode::generate(&mut SystemRng)).await
    });
    assert!(matches!(other.err(), Some(Error::Refused(Refusal::NoSuchCode))));
    assert!(matches!(unknown.err(), Some(Error::Refused(Refusal::NoSuchCode))));
    assert_eq!(alice.devices().request(&code).await.unwrap().label, "laptop");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_device_that_was_cut_off_goes_on() {
    let network = Network::start(false).await;
    with_approval(&network, 2).await;
    let alice = network.member("alice").await;
    for (n, millis) in [0_u64, 20, 60, 120].into_iter().enumerate() {
        let name = format!("laptop{n}");
        let waiting = pending(options(&network, &alice, &name)).await;
        let code = LinkCode::parse(&waiting.code()).unwrap();
        let request = alice.devices().request(&code).await.unwrap();
        alice.devices().approve(&request).await.unwrap();
        let cut = tokio::time::timeout(std::time::Duration::from_millis(millis), waiting.wait()).await;
        let laptop = match cut {
            Ok(done) => done.unwrap(),
            Err(_) => loop {
                match Client::link(options(&network, &alice, &name)).await {
                    Ok(NewDevice::Joined(client)) => break client,
                    Ok(NewDevice::Pending(waiting)) => break waiting.wait().await.unwrap(),
                    Ok(_) => unreachable!(),
                    // The work that was cut off may still hold the profile for a moment, or have come to its end.
                    Err(Error::Profile(ProfileError::Busy { .. } | ProfileError::Taken { .. })) => {
                        if let Ok(client) = Client::open(network.profile(&name), Unlock::KeyFile).await {
                            break client;
                        }
                    }
                    Err(error) => panic!("{error}"),
                }
            },
        };
        assert_eq!(laptop.device(), request.device);
        assert_eq!(laptop.devices().list().await.unwrap().iter().filter(|d| d.device == request.device).count(), 1);
    }
    assert_eq!(alice.devices().list().await.unwrap().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_the_relay_does_not_know_hands_nothing_over() {
    let network = Network::start(false).await;
    with_approval(&network, 2).await;
    let alice = network.member("alice").await;
    let waiting = pending(options(&network, &alice, "laptop")).await;
    let code = LinkCode::parse(&waiting.code()).unwrap();
    // A relay that knew the link's name, but not the code, would put an offer of its own: it does not open.
    let keys = sotto_crypto::LinkKeys::new(&code, sotto_crypto::LinkPurpose::Device);
    let other = sotto_crypto::LinkKeys::new(&LinkCode::generate(&mut SystemRng), sotto_crypto::LinkPurpose::Device);
    let forged = other.seal_note(&mut SystemRng, 0, 1);
    assert!(matches!(keys.open_offer(&forged), Err(LinkError::Unopenable)));
    drop(waiting);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_key_adds_a_device_where_no_other_is_at_hand() {
    let network = Network::start(false).await;
    with_approval(&network, 2).await;
    let alice = network.member("alice").await;
    let with_key = |profile: &str, key: &str| {
        let mut options = options(&network, &alice, profile);
        options.recovery_key = Some(RecoveryKey::parse(key).unwrap());
        options
    };
    let stranger = RecoveryKey::generate(&mut SystemRng).to_text();
    let none = Client::link(with_key("a", &stranger)).await.err().unwrap();
    assert!(matches!(none, Error::Refused(Refusal::NoRecoveryKey)), "{none}");
    let first = alice.devices().new_recovery_key().await.unwrap().to_text();
    let second = alice.devices().new_recovery_key().await.unwrap().to_text();
    for wrong in [&stranger, &first] {
        let refused = Client::link(with_key("a", wrong)).await.err().unwrap();
        assert!(matches!(refused, Error::Refused(Refusal::WrongRecoveryKey)), "{refused}");
    }
    let laptop = joined(with_key("laptop", &second.to_lowercase())).await;
    assert_eq!(laptop.whoami().fingerprint, alice.whoami().fingerprint);
    laptop.devices().remove_recovery_key().await.unwrap();
    assert!(matches!(Client::link(with_key("b", &second)).await.err(), Some(Error::Refused(Refusal::NoRecoveryKey))));
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_devices_are_out() {
    let network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    let laptop = joined(options(&network, &alice, "laptop")).await;
    let tablet = joined(options(&network, &alice, "tablet")).await;
    assert!(matches!(alice.devices().remove(alice.device()).await.err(), Some(Error::Refused(Refusal::OwnDevice))));
    alice.devices().remove(laptop.device()).await.unwrap();
    let out = laptop.outbox().send_text(&[address("bob")], "x").await.err().unwrap();
    assert!(matches!(out, Error::Refused(Refusal::DeviceRemoved(_))), "{out}");
    assert_eq!(bob.outbox().send_text(&[address("alice")], "to two").await.unwrap().devices, 2);
    tablet.devices().reset().await.unwrap();
    let devices = tablet.devices().list().await.unwrap();
    assert!(devices.len() == 1 && devices[0].this);
    let out = alice.devices().list().await.err().unwrap();
    assert!(matches!(out, Error::Refused(Refusal::DeviceRemoved(_))), "{out}");
    assert_eq!(drain(&tablet).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_password_is_a_new_identity_which_everybody_sees() {
    let network = Network::start(false).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    let laptop = joined(options(&network, &alice, "laptop")).await;
    bob.outbox().send_text(&[address("alice")], "before").await.unwrap();
    drain(&alice).await;
    let (compared, old) = (bob.contacts().look_up(&address("alice")).await.unwrap(), alice.whoami());
    bob.contacts().mark_verified(&compared).await.unwrap();
    drop(alice);

    // The administrator makes a new invite; the old profile still opens by its file.
    let invite = network.invite("alice").await;
    let wrong = Invite { secret: InviteSecret::generate(&mut SystemRng), ..invite.clone() };
    let new_options = |invite| {
        let mut options = network.join_options(invite, "alice").replacing();
        options.password = password("another good password");
        options
    };
    let refused = Client::join(new_options(wrong)).await.err().unwrap();
    assert_eq!(refused.code(), Some(ErrorCode::InviteInvalid), "{refused}");
    let untouched = Client::open(network.profile("alice"), Unlock::KeyFile).await.unwrap();
    assert_eq!(untouched.whoami().device, old.device);
    drop(untouched);
    let alice = Client::join(new_options(invite)).await.unwrap();
    assert_ne!(alice.whoami().fingerprint, old.fingerprint);
    // What the old profile held is in the new one; the old one's devices are out.
    assert_eq!(alice.conversations().all_messages(None, 10).await.unwrap().len(), 1);
    assert_eq!(alice.devices().list().await.unwrap().len(), 1);
    let out = laptop.devices().list().await.err().unwrap();
    assert!(matches!(out, Error::Refused(Refusal::DeviceRemoved(_))), "{out}");

    // Bob had verified her: nothing goes to the new identity until he accepts it.
    let blocked = bob.outbox().send_text(&[address("alice")], "is it you?").await.err().unwrap();
    assert!(
        matches!(&blocked, Error::Trust(TrustError::IdentityChanged(who)) if who == &address("alice")),
        "{blocked}"
    );
    assert_eq!(bob.contacts().look_up(&address("alice")).await.unwrap().state, TrustState::Changed);
    accept(&bob, &bob.contacts().look_up(&address("alice")).await.unwrap()).await.unwrap();
    bob.outbox().send_text(&[address("alice")], "it is").await.unwrap();
    assert_eq!(drain(&alice).await.iter().map(text).collect::<Vec<_>>(), ["it is"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_wipe_the_profile_where_the_group_says_so() {
    let network = Network::start(false).await;
    let mut document = group();
    (document.serial, document.force_device_lockout) = (2, 2);
    network.put_group(document).await;
    let alice = network.member("alice").await;
    let link = options(&network, &alice, "laptop");
    let laptop = joined(link).await;
    drop(laptop);
    let open = |with: &str| Client::open(network.profile("laptop"), Unlock::Password(password(with)));
    assert!(matches!(open("wrong").await.err(), Some(Error::Profile(ProfileError::WrongPassword(_)))));
    open(PASSWORD).await.unwrap();
    assert!(matches!(open("wrong").await.err(), Some(Error::Profile(ProfileError::WrongPassword(_)))));
    assert!(matches!(open("wrong").await.err(), Some(Error::Profile(ProfileError::Wiped(_)))));
    assert!(!network.profile("laptop").join("store.db").exists());
    assert!(!network.profile("laptop").join("unlock.key").exists());
    // The place is free for a new device.
    joined(options(&network, &alice, "laptop")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_counts_everywhere_it_was_said() {
    const NEW: &str = "another good password";
    let network = Network::start(false).await;
    let alice = network.member("alice").await;
    let laptop = joined(options(&network, &alice, "laptop")).await;
    let weak = alice.devices().change_password(password(PASSWORD), password("short")).await.err().unwrap();
    assert!(matches!(weak, Error::Refused(Refusal::WeakPassword(_))), "{weak}");
    let wrong = alice.devices().change_password(password("not the old one"), password(NEW)).await.err().unwrap();
    assert!(matches!(wrong, Error::Profile(ProfileError::WrongPassword(_))), "{wrong}");
    assert!(!alice.devices().change_password(password(PASSWORD), password(NEW)).await.unwrap().before);
    // Once more, as after an interruption between the relay and the profile.
    assert!(alice.devices().change_password(password(PASSWORD), password(NEW)).await.unwrap().before);
    let open = |name: &str, with: &str| Client::open(network.profile(name), Unlock::Password(password(with)));
    open("alice", NEW).await.unwrap();
    assert!(matches!(open("alice", PASSWORD).await.err(), Some(Error::Profile(ProfileError::WrongPassword(_)))));
    // The other device's profile follows when the same is said there.
    open("laptop", PASSWORD).await.unwrap();
    assert!(laptop.devices().change_password(password(PASSWORD), password(NEW)).await.unwrap().before);
    open("laptop", NEW).await.unwrap();

    // The new one adds a device, by the vault that was sealed anew; the old one does not.
    let old = Client::link(options(&network, &alice, "tablet")).await.err().unwrap();
    assert_eq!(old.code(), Some(ErrorCode::WrongCredentials));
    let mut with_new = options(&network, &alice, "tablet");
    with_new.password = password(NEW);
    joined(with_new).await;
}

/// Copies the files of a folder.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_was_restored_from_a_backup_brings_no_removed_device_back() {
    let mut network = Network::start(true).await;
    let (alice, bob) = (network.member("alice").await, network.member("bob").await);
    let laptop = joined(options(&network, &alice, "laptop")).await;
    assert_eq!(drain(&alice).await.len(), 0);
    assert_eq!(bob.outbox().send_text(&[address("alice")], "to both").await.unwrap().devices, 2);
    let (store, backup) = (network.store(), network.profile("backup"));
    network.stop().await;
    copy(&store, &backup);
    network.run().await;

    alice.devices().remove(laptop.device()).await.unwrap();
    let unknown = alice.devices().remove(laptop.device()).await.unwrap_err();
    assert!(matches!(unknown, Error::Refused(Refusal::NoDevice(device)) if device == laptop.device()));
    assert_eq!(bob.outbox().send_text(&[address("alice")], "to one").await.unwrap().devices, 1);
    network.stop().await;
    copy(&backup, &store);
    network.run().await;

    // Bob has seen the newer list. Alice's device puts the relay right as soon as it connects.
    let refused = bob.outbox().send_text(&[address("alice")], "to whom?").await.unwrap_err();
    let older = |error: &Error| matches!(error, Error::Trust(TrustError::Devices { problem: ListProblem::Older, .. }));
    assert!(older(&refused), "{refused}");
    // A new device knows of nothing, and makes a newer list from the old one: nor does Bob believe that.
    let tablet = joined(options(&network, &alice, "tablet")).await;
    let refused = bob.outbox().send_text(&[address("alice")], "to whom now?").await.unwrap_err();
    let back = |error: &Error| matches!(error, Error::Trust(TrustError::Devices { problem: ListProblem::PutBack, .. }));
    assert!(back(&refused), "{refused}");
    let mut receiver = alice.receive(false).unwrap();
    let told = loop {
        match next(&mut receiver).await {
            Event::Devices(told) => break told,
            Event::CaughtUp => panic!("alice is told nothing"),
            _ => {}
        }
    };
    let told: Vec<_> = told.iter().map(|one| (one.device, one.change)).collect();
    for news in [(laptop.device(), DeviceChange::PutRight), (tablet.device(), DeviceChange::Added)] {
        assert!(told.contains(&news) && told.len() == 2, "{told:?}");
    }
    receiver.close().await;
    assert_eq!(bob.outbox().send_text(&[address("alice")], "to two").await.unwrap().devices, 2);
    let devices = alice.devices().list().await.unwrap();
    assert_eq!(devices.iter().map(|one| one.device).collect::<Vec<_>>(), [alice.device(), tablet.device()]);
    let out = laptop.outbox().send_text(&[address("bob")], "still here?").await.unwrap_err();
    assert!(matches!(out, Error::Refused(Refusal::DeviceRemoved(_))), "{out}");
}
