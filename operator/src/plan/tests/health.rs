//! Health and status.

use k8s_openapi::jiff::Timestamp;
use sotto_wire::admin::{PutUser, Resets, Role, UserState};
use sotto_wire::status::RetentionState;

use super::*;
use crate::reasons::Reason;

fn user_state(registered: bool) -> UserState {
    let wanted = PutUser {
        group: "x".into(),
        membership: Vec::new(),
        suspended: false,
        role: Role::Person,
        invite: None,
        reset: Resets::default(),
    };
    UserState {
        wanted,
        registered,
        reinvited: false,
        voucher: None,
        locked: false,
        devices: u32::from(registered),
        queued_messages: 2,
        last_seen_ms: None,
    }
}

fn up(message: &str) -> Part {
    Part { ready: true, failing: false, message: message.into() }
}

fn running() -> Observed {
    let mut state = empty_relay();
    state.users.insert("alice".into(), user_state(true));
    state.users.insert("retention.acme-records".into(), user_state(true));
    Observed {
        relay: up("relay"),
        gateway: Some(up("gateway")),
        retention: [("acme-records".to_owned(), up("retention"))].into(),
        state: Some(state),
        ..Observed::default()
    }
}

fn health(observed: Observed) -> BTreeMap<ObjectId, Health> {
    let objects = examples();
    let validation = super::super::validate(&objects);
    let beta = running();
    assess(&objects, &validation, &[("acme".to_owned(), observed), ("beta".to_owned(), beta)].into())
}

fn of(health: &BTreeMap<ObjectId, Health>, kind: Kind, name: &str) -> Health {
    health[&ObjectId::new(kind, name)].clone()
}

#[test]
fn all_ready_when_all_is_observed() {
    for (id, health) in health(running()) {
        assert!(health.is_ready() && health.reason() == Reason::Reconciled, "{id}: {health:?}");
    }
}

#[test]
fn nothing_observed_is_progress() {
    for (id, health) in
        health(Observed::default()).into_iter().filter(|(id, _)| id.name == "alice" || id.name == "acme")
    {
        assert!(health.is_progressing(), "{id}: {health:?}");
    }
}

#[test]
fn failing_parts_degrade_what_depends_on_them() {
    let mut observed = running();
    observed.retention.insert(
        "acme-records".into(),
        Part { ready: false, failing: true, message: "retention process: CrashLoopBackOff".into() },
    );
    let now = health(observed);
    let policy = of(&now, Kind::RetentionPolicy, "acme-records");
    assert!(policy.is_degraded() && policy.reason() == Reason::WorkloadFailing, "{policy:?}");
    assert!(of(&now, Kind::Network, "acme").is_ready());

    let mut observed = running();
    observed.state = None;
    observed.unreachable = Some("relay acme cannot be reached at …".into());
    let now = health(observed);
    for (kind, name) in [(Kind::Network, "acme"), (Kind::User, "alice"), (Kind::RetentionPolicy, "acme-records")] {
        assert_eq!(of(&now, kind, name).reason(), Reason::RelayUnreachable);
    }
    assert!(of(&now, Kind::User, "carol").is_ready(), "the other network is not concerned");
}

#[test]
fn findings_are_of_one_object() {
    let mut observed = running();
    let finding =
        Finding { reason: Reason::RelayRefused, message: "relay acme refused to take user alice: …".into() };
    observed.findings.insert(ObjectId::new(Kind::User, "alice"), vec![finding]);
    let now = health(observed);
    assert!(of(&now, Kind::User, "alice").is_degraded());
    assert!(of(&now, Kind::User, "bob").is_ready());
}

#[test]
fn retention_waits_for_its_registration() {
    let mut observed = running();
    observed.state.as_mut().unwrap().users.insert("retention.acme-records".into(), user_state(false));
    let policy = of(&health(observed), Kind::RetentionPolicy, "acme-records");
    assert!(policy.is_progressing() && policy.reason() == Reason::WaitingForRegistration, "{policy:?}");
}

#[test]
fn what_has_to_be_put_right_comes_before_what_only_takes_time() {
    let mut objects = examples();
    objects.networks.retain(|n| n.metadata.name.as_deref() != Some("beta"));
    let validation = super::super::validate(&objects);
    let now = assess(&objects, &validation, &[("acme".to_owned(), running())].into());
    let acme = of(&now, Kind::Network, "acme");
    assert!(acme.is_degraded() && acme.reason() == Reason::PeerNotFound, "{acme:?}");
    assert!(of(&now, Kind::User, "alice").is_ready());
    assert_eq!(of(&now, Kind::User, "carol").reason(), Reason::NetworkNotFound);
}

#[test]
fn statuses_tell_the_facts_and_nothing_secret() {
    let validation = super::super::validate(&examples());
    let network = &validation.networks["acme"];
    let (places, secrets) = (places(network), secrets(network, Some(&empty_relay())));
    let plan = super::super::build(network, &places, &secrets, &BTreeMap::new()).unwrap();
    let observed = running();
    let facts = Facts {
        network: Some(network),
        places: Some(&places),
        secrets: Some(&secrets),
        plan: Some(&plan),
        observed: Some(&observed),
        image: None,
    };
    let (good, now) = (Health::ready("good"), Timestamp::from_second(1_800_000_000).unwrap());
    let status = network_status(None, &good, Some(3), facts, now);
    assert_eq!((status.observed_generation, status.users), (Some(3), Some(2)));
    assert_eq!(status.url.as_deref(), Some("https://acme-relay.test:7443"));
    assert_eq!(status.policy_key_fingerprint.as_deref().map(str::len), Some(52));
    assert_eq!(status.version.as_deref(), Some("1"));
    assert_eq!(network_status(Some(&status), &good, Some(3), facts, Timestamp::now()), status, "nothing changed");

    let alice = user_status(None, "alice", &good, Some(1), facts, now);
    assert_eq!((alice.state, alice.devices), (Some(sotto_crds::UserState::Active), Some(1)));
    let bob = user_status(None, "bob", &good, Some(1), facts, now);
    assert_eq!(
        (bob.state, bob.invite_secret_name.as_deref()),
        (Some(sotto_crds::UserState::Pending), Some("bob-invite"))
    );
    assert_eq!(bob.invite_expires_at.as_ref().map(|t| t.0.as_second()), Some(1_800_000_000 + 7 * 86_400));

    let policy = policy_status(None, "acme-records", &good, Some(1), facts, now);
    assert_eq!(policy.destination.as_deref(), Some("file:///volume/records"));
    assert_eq!((policy.registered, policy.pending), (Some(true), Some(2)));
    let group = group_status(None, &network.default_group, &good, Some(1), facts, now);
    assert_eq!(group.users, Some(2));

    let text = serde_json::to_string(&(&status, &alice, &bob, &policy, &group)).unwrap();
    for (id, ensured) in secrets.iter() {
        for (key, value) in ensured.data.iter().filter(|(key, _)| ["code", "url", "password"].contains(key)) {
            assert!(!text.contains(&*String::from_utf8_lossy(value)), "{id:?} {key} is in a status");
        }
    }
    // What was known stays when a step failed.
    let later = user_status(
        Some(&bob),
        "bob",
        &Health::degraded(Reason::RelayUnreachable, "x"),
        Some(1),
        Facts::default(),
        now,
    );
    assert_eq!(later.invite_secret_name, bob.invite_secret_name);
}

#[test]
fn a_record_is_complete_incomplete_or_nobody_knows() {
    let validation = super::super::validate(&examples());
    let network = &validation.networks["acme"];
    let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
    let step = |before: Option<&sotto_crds::RetentionPolicyStatus>, observed: &Observed, now| {
        let facts = Facts { network: Some(network), observed: Some(observed), ..Facts::default() };
        policy_status(before, "acme-records", &Health::ready("good"), Some(1), facts, at(now))
    };
    let complete = |status: &sotto_crds::RetentionPolicyStatus| {
        let found = status.conditions.iter().find(|c| c.type_ == COMPLETE).cloned();
        found.map(|c| (c.status, c.reason, c.message, c.last_transition_time.0.as_second() - 1_800_000_000))
    };
    let says = |record: RetentionState| Observed { records: [("acme-records".to_owned(), record)].into(), ..running() };
    let whole = says(RetentionState::default());
    let holes = says(RetentionState { missing: 3, missing_since_ms: Some(1_800_000_007_000) });
    let one = says(RetentionState { missing: 1, missing_since_ms: None });

    let first = step(None, &whole, 0);
    assert_eq!(complete(&first).map(|c| (c.0, c.1)), Some(("True".into(), "Reconciled".into())));
    let second = step(Some(&first), &holes, 10);
    let (status, reason, message, since) = complete(&second).unwrap();
    assert_eq!((status.as_str(), reason.as_str(), since), ("False", "MessagesMissing", 10));
    for words in ["3 messages are missing since 2027-01-15T08:00:07Z", "missing/", "ask the senders"] {
        assert!(message.contains(words), "`{words}` is not in: {message}");
    }
    // Until it is closed, also when there is less of it; nothing to write while it is the same.
    assert_eq!(step(Some(&second), &holes, 20), second);
    let third = step(Some(&second), &one, 30);
    let (status, _, message, since) = complete(&third).unwrap();
    assert_eq!((status.as_str(), since), ("False", 10));
    assert!(message.starts_with("1 message is missing: "), "{message}");
    // A process that starts anew has nothing to say: what it said stays.
    let mut starting = one.clone();
    starting.records.clear();
    starting.retention.insert("acme-records".into(), Part { ready: false, failing: false, message: String::new() });
    assert_eq!(step(Some(&third), &starting, 40), third);
    // One that is ready and says nothing is no good news.
    let silent = step(Some(&third), &running(), 50);
    assert_eq!(complete(&silent).map(|c| (c.0, c.1, c.3)), Some(("Unknown".into(), "ProcessSilent".into(), 50)));
    assert_eq!(complete(&step(Some(&silent), &whole, 60)).unwrap().3, 60);
    // It is no reason for not being ready: nothing in the spec or the cluster puts it right.
    assert!(second.conditions.iter().any(|c| c.type_ == READY && c.status == "True"));
}

#[test]
fn an_image_stays_until_another_one_is_asked_for() {
    const MANIFEST: &str = "
apiVersion: sotto.dev/v1alpha1
kind: Network
metadata: {name: acme}
spec: {domain: chat.acme.example}
";
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let step = |objects: &Objects, own: &str, ready: bool| {
        let network = &super::super::validate(objects).networks["acme"];
        let (places, secrets) = (places(network), secrets(network, None));
        let plan = super::super::build(network, &places, &secrets, &BTreeMap::new());
        let observed =
            Observed { relay: Part { ready, failing: false, message: String::new() }, ..Observed::default() };
        let facts = Facts {
            network: Some(network),
            secrets: Some(&secrets),
            plan: plan.as_ref(),
            observed: Some(&observed),
            image: Some(own),
            ..Facts::default()
        };
        let before = objects.networks[0].status.as_ref();
        let status = network_status(before, &Health::ready("good"), Some(1), facts, now);
        (network.runs_image(own).to_owned(), status)
    };
    let mut objects = objects(MANIFEST);
    let turn = |objects: &mut Objects, own: &str, ready: bool| {
        let (runs, status) = step(objects, own, ready);
        let told = (status.image.clone(), status.available_image.clone());
        std::sync::Arc::make_mut(&mut objects.networks[0]).status = Some(status);
        (runs, told.0, told.1)
    };
    let some = |text: &str| Some(text.to_owned());
    // An image that has not worked yet pins nothing.
    assert_eq!(turn(&mut objects, "s:0", false), ("s:0".into(), None, None));
    assert_eq!(turn(&mut objects, "s:1", true), ("s:1".into(), some("s:1"), None));
    // Another operator: what runs stays, and it is told.
    assert_eq!(turn(&mut objects, "s:2", true), ("s:1".into(), some("s:1"), some("s:2")));
    // By name; one that does not work is undone by taking it back.
    std::sync::Arc::make_mut(&mut objects.networks[0]).spec.image = some("s:typo");
    assert_eq!(turn(&mut objects, "s:2", false), ("s:typo".into(), some("s:1"), None));
    std::sync::Arc::make_mut(&mut objects.networks[0]).spec.image = None;
    assert_eq!(turn(&mut objects, "s:2", true), ("s:1".into(), some("s:1"), some("s:2")));
    std::sync::Arc::make_mut(&mut objects.networks[0]).spec.image = some("s:2");
    assert_eq!(turn(&mut objects, "s:2", true), ("s:2".into(), some("s:2"), None));
    std::sync::Arc::make_mut(&mut objects.networks[0]).spec.image = None;
    assert_eq!(turn(&mut objects, "s:3", true), ("s:2".into(), some("s:2"), some("s:3")));
    // With the operator.
    std::sync::Arc::make_mut(&mut objects.networks[0]).spec.upgrade_policy = sotto_crds::UpgradePolicy::Automatic;
    assert_eq!(turn(&mut objects, "s:3", true), ("s:3".into(), some("s:3"), None));
}

#[test]
fn certificates_are_made_anew_once_for_each_word() {
    let mut objects = examples();
    let mut existing = BTreeMap::new();
    let mut turn = |word: Option<&str>| {
        let notes = word.map(|word| [("sotto.dev/rotate".to_owned(), word.to_owned())].into());
        let acme = objects.networks.iter_mut().find(|n| n.metadata.name.as_deref() == Some("acme")).unwrap();
        std::sync::Arc::make_mut(acme).metadata.annotations = notes;
        let validation = super::super::validate(&objects);
        let network = &validation.networks["acme"];
        let (secrets, failures) =
            ensure_secrets(network, &places(network), &existing, Some(&empty_relay()), super::NOW);
        assert_eq!(failures, []);
        let changed: Vec<_> = secrets.iter().filter(|(_, e)| e.changed()).map(|(id, _)| id.clone()).collect();
        existing = contents(&secrets);
        let facts = Facts { network: Some(network), secrets: Some(&secrets), ..Facts::default() };
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let status = network_status(None, &Health::ready("good"), Some(1), facts, now);
        let problems = validation.problems.get(&ObjectId::new(Kind::Network, "acme")).map(|p| p[0].to_string());
        (changed, status.rotated, problems.unwrap_or_default())
    };
    turn(None);
    let (changed, rotated, _) = turn(Some("2026-11-23"));
    // The authority, passwords and what clients have pinned stay.
    assert_eq!(changed, [SecretId::OperatorTls, SecretId::RelayTls, SecretId::GatewayTls]);
    assert_eq!(rotated.as_deref(), Some("2026-11-23"));
    assert_eq!(turn(Some("2026-11-23")).0, []);
    assert_eq!(turn(None).0, []);
    let (changed, rotated, problem) = turn(Some("two words"));
    assert!(changed.is_empty() && rotated.as_deref() == Some("2026-11-23"));
    assert!(
        problem.starts_with("metadata.annotations[sotto.dev/rotate]") && problem.contains("such as a date"),
        "{problem}"
    );
    assert_eq!(turn(Some("again")).0.len(), 3);
}
