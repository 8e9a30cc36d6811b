use super::*;

fn seen(kind: &str, name: &str, network: &str, state: State, reason: &str, message: &str) -> Seen {
    Seen {
        kind: kind.into(),
        namespace: "chat".into(),
        name: name.into(),
        network: network.into(),
        state,
        reason: reason.into(),
        message: message.into(),
        facts: BTreeMap::new(),
    }
}

fn relay(ready: i64) -> Workload {
    Workload {
        kind: "StatefulSet".into(),
        namespace: "chat".into(),
        name: "acme-relay".into(),
        network: "acme".into(),
        component: "relay".into(),
        policy: String::new(),
        wanted: 1,
        ready,
        current: true,
    }
}

fn pod(causes: &[&str]) -> Pod {
    Pod {
        namespace: "chat".into(),
        name: "acme-relay-0".into(),
        place: ["acme".into(), "relay".into(), String::new()],
        phase: if causes.is_empty() { "Running".into() } else { "ImagePullBackOff".into() },
        ready: causes.is_empty(),
        causes: causes.iter().map(|c| (*c).to_owned()).collect(),
        restarts: 0,
        containers: vec!["relay".into()],
    }
}

fn shown(scene: &Scene, wish: &Wish) -> String {
    lines(&forest(scene, wish)).join("\n")
}

#[test]
fn a_network_that_is_well_is_a_few_lines_however_many_users_it_has() {
    let mut scene = Scene { workloads: vec![relay(1)], pods: vec![pod(&[])], ..Scene::default() };
    scene.objects.push(seen("Network", "acme", "acme", State::Ready, "Reconciled", "relay serves this spec"));
    for n in 0..10_000 {
        let mut user = seen("User", &format!("u{n}"), "acme", State::Ready, "Reconciled", "relay knows this user");
        user.facts.insert("state".into(), if n < 9_000 { "Active".into() } else { "Pending".into() });
        scene.objects.push(user);
    }
    let text = shown(&scene, &Wish::default());
    assert_eq!(
        text,
        "Network/acme  Ready  in chat\n\
         ├─ StatefulSet/acme-relay  Ready  ready 1 of 1\n\
         │  └─ Pod/acme-relay-0  Ready  Running\n\
         └─ Users  10000: 10000 Ready, 9000 Active, 1000 Pending"
    );
}

#[test]
fn causes_stand_where_they_belong() {
    let mut scene = Scene {
        workloads: vec![relay(0)],
        pods: vec![pod(&["relay: ImagePullBackOff: no such image"])],
        ..Scene::default()
    };
    scene.objects.push(seen("Network", "acme", "acme", State::Degraded, "WorkloadFailing", "relay: 0 of 1 ready"));
    let event = |at: &str, note: &str| Event {
        at: at.into(),
        namespace: "chat".into(),
        kind: "Pod".into(),
        name: "acme-relay-0".into(),
        reason: "Failed".into(),
        note: note.into(),
        count: 4,
    };
    scene.events = (0..5).map(|n| event(&format!("2026-11-23T08:00:0{n}Z"), &format!("pull {n}"))).collect();
    scene.claims.push(Claim {
        namespace: "chat".into(),
        name: "acme-relay-data".into(),
        place: ["acme".into(), "relay".into(), String::new()],
        phase: "Pending".into(),
    });
    assert_eq!(
        shown(&scene, &Wish::default()),
        "Network/acme  Degraded: WorkloadFailing  in chat\n\
         │   relay: 0 of 1 ready\n\
         └─ StatefulSet/acme-relay  Degraded  ready 0 of 1\n\
         \u{20}  │   PersistentVolumeClaim acme-relay-data is Pending\n\
         \u{20}  └─ Pod/acme-relay-0  Degraded  ImagePullBackOff\n\
         \u{20}         relay: ImagePullBackOff: no such image\n\
         \u{20}         2026-11-23T08:00:04Z Failed: pull 4 (4 times)\n\
         \u{20}         2026-11-23T08:00:03Z Failed: pull 3 (4 times)\n\
         \u{20}         2026-11-23T08:00:02Z Failed: pull 2 (4 times)"
    );
}

#[test]
fn users_that_are_not_ready_are_told_by_reason() {
    let mut scene = Scene::default();
    scene.objects.push(seen("Network", "acme", "acme", State::Ready, "Reconciled", ""));
    for n in 0..30 {
        let name = format!("u{n:02}");
        scene.objects.push(seen(
            "User",
            &name,
            "acme",
            State::Degraded,
            "SecurityGroupNotFound",
            "there is no SecurityGroup staff",
        ));
    }
    scene.objects.push(seen(
        "User",
        "zoe",
        "acme",
        State::Degraded,
        "DuplicateAddress",
        "is the address of User zoey already",
    ));
    let trees = forest(&scene, &Wish::default());
    let users = &trees[0].children[0];
    assert_eq!(
        (users.state, users.facts["total"].as_str(), users.facts["Degraded"].as_str()),
        (State::Degraded, "31", "31")
    );
    let text = lines(&trees).join("\n");
    assert!(text.contains("Users  30 × Degraded SecurityGroupNotFound"), "{text}");
    assert!(
        text.contains("u00, u01, u02, u03, u04 and 25 more") && text.contains("there is no SecurityGroup staff"),
        "{text}"
    );
    assert!(text.contains("User/zoe  Degraded: DuplicateAddress"), "{text}");
    // For programs nobody is left out.
    assert_eq!(users.children.iter().map(|c| c.names.len()).sum::<usize>(), 30);
    let all = shown(&scene, &Wish { all: true, ..Wish::default() });
    assert!(all.contains("User/u17  Degraded"), "{all}");
}

#[test]
fn what_belongs_to_no_network_is_shown_and_one_network_can_be_chosen() {
    let mut scene = Scene::default();
    scene.objects.push(seen("Network", "acme", "acme", State::Ready, "Reconciled", ""));
    scene.objects.push(seen("Network", "beta", "beta", State::Ready, "Reconciled", ""));
    scene.objects.push(seen("User", "alice", "acne", State::Degraded, "NetworkNotFound", "there is no Network acne"));
    let text = shown(&scene, &Wish::default());
    assert!(text.contains("Network/acne  Degraded") && text.contains("User/alice"), "{text}");
    let text = shown(&scene, &Wish { network: Some("beta".into()), ..Wish::default() });
    assert_eq!(text, "Network/beta  Ready  in chat");
}

#[test]
fn a_retention_policy_has_its_process_below_it() {
    let mut scene = Scene::default();
    scene.objects.push(seen("Network", "acme", "acme", State::Ready, "Reconciled", ""));
    scene.objects.push(seen("RetentionPolicy", "records", "acme", State::Progressing, "RollingOut", "starting"));
    let place = Workload {
        name: "records-retention".into(),
        component: "retention".into(),
        policy: "records".into(),
        ..relay(0)
    };
    scene.workloads = vec![place, relay(1)];
    let trees = forest(&scene, &Wish::default());
    assert_eq!(trees[0].children[0].name, "acme-relay");
    assert_eq!(trees[0].children[1].kind, "RetentionPolicy");
    assert_eq!(trees[0].children[1].children[0].name, "records-retention");
}
