//! Validation across objects.

use super::*;
use crate::reasons::Reason;

const ACME: &str = "
apiVersion: sotto.dev/v1alpha1
kind: Network
metadata: {name: acme}
spec: {domain: chat.acme.example}
";

fn with(more: &[&str]) -> Objects {
    let all: Vec<String> = std::iter::once(ACME.to_owned())
        .chain(more.iter().map(|text| format!("apiVersion: sotto.dev/v1alpha1\n{text}")))
        .collect();
    objects(&all.join("\n---\n"))
}

/// The one problem of an object: reason and words.
fn problem(objects: &Objects, kind: Kind, name: &str) -> (Reason, String) {
    let validation = super::super::validate(objects);
    let problems = validation.problems.get(&ObjectId::new(kind, name)).cloned().unwrap_or_default();
    assert_eq!(problems.len(), 1, "{:?}", validation.problems);
    (problems[0].reason, problems[0].to_string())
}

fn says(found: &(Reason, String), reason: Reason, words: &[&str]) {
    assert_eq!(found.0, reason, "{}", found.1);
    for word in words {
        assert!(found.1.contains(word), "`{word}` is not in: {}", found.1);
    }
}

fn group(name: &str, rest: &str) -> String {
    format!("kind: SecurityGroup\nmetadata: {{name: {name}}}\nspec: {{networkRef: {{name: acme}}{rest}}}")
}
fn user(name: &str, rest: &str) -> String {
    format!("kind: User\nmetadata: {{name: {name}}}\nspec: {{networkRef: {{name: acme}}{rest}}}")
}
fn policy(name: &str, rest: &str) -> String {
    format!(
        "kind: RetentionPolicy\nmetadata: {{name: {name}}}\nspec: {{networkRef: {{name: acme}}, destination: {{volume: {{}}}}{rest}}}"
    )
}

/// Across objects, which is what the definitions cannot check.
#[test]
fn every_folder_of_examples_is_good() {
    let count = |folder| {
        let objects = folder_of_examples(folder);
        let validation = super::super::validate(&objects);
        assert_eq!(validation.problems, BTreeMap::new(), "{folder}");
        (validation.networks.len(), validation.networks.values().map(|n| n.users.len()).sum::<usize>())
    };
    assert_eq!(count("single-network"), (1, 3));
    assert_eq!(count("federation"), (2, 2));
    assert_eq!(count("retention-s3"), (1, 2));
}

#[test]
fn the_examples_are_good() {
    let validation = super::super::validate(&examples());
    assert_eq!(validation.problems, BTreeMap::new());
    assert!(validation.networks.len() >= 2);
    let alice = &validation.networks["acme"].users["alice"];
    assert_eq!(alice.address.as_str(), "alice@chat.acme.example");
}

#[test]
fn defaults_of_a_small_network() {
    let validation = super::super::validate(&with(&[&user("alice", ""), &policy("records", "")]));
    assert_eq!(validation.problems, BTreeMap::new());
    let acme = &validation.networks["acme"];
    assert_eq!(acme.users["alice"].group, STANDARD_GROUP);
    assert_eq!(acme.display_name, "acme");
    assert!(acme.groups.contains_key(RETENTION_GROUP));
    assert_eq!(acme.policies["records"].address.as_str(), "retention.records@chat.acme.example");
    assert!(acme.federation.is_none() && acme.cloud_watch.is_none());
}

#[test]
fn a_missing_network_is_named_and_stops_nobody_else() {
    let lost = "kind: User\nmetadata: {name: lost}\nspec: {networkRef: {name: nowhere}}";
    let objects = with(&[lost, &user("alice", "")]);
    says(
        &problem(&objects, Kind::User, "lost"),
        Reason::NetworkNotFound,
        &["spec.networkRef.name", "nowhere", "apply"],
    );
    assert!(super::super::validate(&objects).networks["acme"].users.contains_key("alice"));
}

#[test]
fn groups_that_are_missing_foreign_or_bad() {
    let other = "kind: Network\nmetadata: {name: other}\nspec: {domain: other.example}";
    let foreign = "kind: SecurityGroup\nmetadata: {name: foreign}\nspec: {networkRef: {name: other}}";
    let bad = group("bad", ", messaging: {maxTtl: 91d}");
    let objects = |reference: &str| {
        with(&[other, foreign, &bad, &user("alice", &format!(", securityGroupRef: {{name: {reference}}}"))])
    };
    says(
        &problem(&objects("nix"), Kind::User, "alice"),
        Reason::SecurityGroupNotFound,
        &["securityGroupRef.name", "nix"],
    );
    says(&problem(&objects("foreign"), Kind::User, "alice"), Reason::SecurityGroupOfAnotherNetwork, &["other"]);
    says(&problem(&objects("bad"), Kind::User, "alice"), Reason::WaitingForSecurityGroup, &["describe"]);
    // Names that no object has are not to be had by reference.
    assert!(super::super::validate(&objects("bad")).networks["acme"].untouched.users.contains("alice"));
    let found = problem(&objects("bad"), Kind::SecurityGroup, "bad");
    says(&found, Reason::TierLimit, &["spec.messaging.maxTtl", "91d", "Premium"]);
}

#[test]
fn premium_allows_a_year() {
    let premium = ACME.replace("domain:", "tier: Premium, domain:");
    let text =
        format!("{premium}\n---\napiVersion: sotto.dev/v1alpha1\n{}", group("long", ", messaging: {maxTtl: 365d}"));
    let validation = super::super::validate(&objects(&text));
    assert_eq!(validation.problems, BTreeMap::new());
    assert_eq!(validation.networks["acme"].groups["long"].max_expiry.as_secs(), 365 * 86_400);
}

#[test]
fn the_older_of_two_default_groups_counts() {
    let mut objects =
        with(&[&group("b-old", ", default: true"), &group("a-new", ", default: true"), &user("alice", "")]);
    for (i, group) in objects.groups.iter_mut().enumerate() {
        let created = k8s_openapi::jiff::Timestamp::from_second(i64::try_from(i).unwrap()).unwrap();
        std::sync::Arc::make_mut(group).metadata.creation_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(created));
    }
    says(&problem(&objects, Kind::SecurityGroup, "a-new"), Reason::DefaultConflict, &["b-old", "one group only"]);
    let validation = super::super::validate(&objects);
    assert_eq!(validation.networks["acme"].users["alice"].group, "b-old");
    assert!(validation.networks["acme"].groups.contains_key("a-new"));
}

#[test]
fn an_address_belongs_to_one() {
    let objects = with(&[&user("alice", ""), &user("zoe", ", username: alice")]);
    says(&problem(&objects, Kind::User, "zoe"), Reason::DuplicateAddress, &["spec.username", "User alice"]);
    let objects = with(&[&policy("records", ""), &user("spy", ", username: retention.records")]);
    says(&problem(&objects, Kind::User, "spy"), Reason::DuplicateAddress, &["RetentionPolicy records"]);
    let long = "x".repeat(65);
    let objects = with(&[&user(&long, "")]);
    says(&problem(&objects, Kind::User, &long), Reason::InvalidSpec, &["metadata.name", "spec.username"]);
}

#[test]
fn the_older_network_has_the_domain() {
    let objects = with(&["kind: Network\nmetadata: {name: zcopy}\nspec: {domain: chat.acme.example}"]);
    says(&problem(&objects, Kind::Network, "zcopy"), Reason::DuplicateDomain, &["spec.domain", "acme"]);
    assert!(super::super::validate(&objects).networks.contains_key("acme"));
}

#[test]
fn a_name_is_what_can_be_shown_and_keeps_nobody_out() {
    let named = |rest: &str| with(&[&user("alice", rest)]);
    let good = |rest: &str| {
        let validation = super::super::validate(&named(rest));
        assert_eq!(validation.problems, BTreeMap::new());
        validation.networks["acme"].users["alice"].name.clone()
    };
    assert_eq!(good(""), None);
    assert_eq!(good(", firstName: Alice, lastName: Archer").as_deref(), Some("Alice Archer"));
    assert_eq!(good(", lastName: \" van  Dyke \"").as_deref(), Some("van Dyke"));
    for (rest, field, words) in [
        (", firstName: \"Ali\\u202Ece\", lastName: Archer", "spec.firstName", "U+202E"),
        (", firstName: Alice, lastName: bob@chat.acme.example", "spec.lastName", "@"),
        (", firstName: \"Al\\eice\"", "spec.firstName", "U+001B"),
        (", firstName: \" \"", "spec.firstName", "empty"),
    ] {
        let objects = named(rest);
        says(&problem(&objects, Kind::User, "alice"), Reason::InvalidSpec, &[field, words, "beside the address"]);
        let user = &super::super::validate(&objects).networks["acme"].users["alice"];
        assert_eq!(user.name, None, "{rest}");
    }
}

#[test]
fn suspension_holds_whatever_else_is_wrong() {
    let objects = with(&[&user("alice", ", suspended: true, securityGroupRef: {name: nix}")]);
    says(&problem(&objects, Kind::User, "alice"), Reason::SecurityGroupNotFound, &["nix"]);
    let validation = super::super::validate(&objects);
    assert!(validation.networks["acme"].users["alice"].suspended);
}

#[test]
fn peers_are_found_by_domain() {
    let federated =
        ACME.replace("spec: {", "spec: {federation: {mode: Restricted, peers: [{domain: chat.globex.example}]}, ");
    let alone = objects(&federated);
    says(&problem(&alone, Kind::Network, "acme"), Reason::PeerNotFound, &["peers[0].domain", "chat.globex.example"]);
    // The network runs all the same, without that peer.
    assert_eq!(super::super::validate(&alone).networks["acme"].federation.as_ref().unwrap().peers, []);
    let both = format!(
        "{federated}\n---\napiVersion: sotto.dev/v1alpha1\nkind: Network\nmetadata: {{name: globex}}\nspec: {{domain: chat.globex.example}}"
    );
    let validation = super::super::validate(&objects(&both));
    let peers = &validation.networks["acme"].federation.as_ref().unwrap().peers;
    assert_eq!(peers[0].source, PeerSource::Local("globex".into()));
    let own = objects(&federated.replace("globex", "acme"));
    says(&problem(&own, Kind::Network, "acme"), Reason::InvalidSpec, &["own domain", "remove"]);
}

#[test]
fn a_bad_policy_does_not_end_retention() {
    let objects = with(&[&policy("records", ", scope: {securityGroups: [nix]}")]);
    says(
        &problem(&objects, Kind::RetentionPolicy, "records"),
        Reason::SecurityGroupNotFound,
        &["securityGroups[0]", "nix"],
    );
    let acme = &super::super::validate(&objects).networks["acme"];
    assert!(acme.kept_policies.contains("records") && acme.untouched.users.contains("retention.records"));
}

#[test]
fn unreadable_objects_keep_what_the_relay_has() {
    let mut objects = with(&[&user("alice", "")]);
    objects.unreadable = [
        ObjectId::new(Kind::SecurityGroup, "staff"),
        ObjectId::new(Kind::RetentionPolicy, "records"),
        ObjectId::new(Kind::User, "bob"),
    ]
    .into();
    let validation = super::super::validate(&objects);
    let acme = &validation.networks["acme"];
    assert!(acme.untouched.groups.contains("staff") && acme.kept_policies.contains("records"));
    assert!(acme.untouched.everything, "which user bob is nobody knows");
    assert_eq!(validation.problems[&ObjectId::new(Kind::User, "bob")][0].reason, Reason::Unreadable);
}

#[test]
fn secrets_that_are_named_have_to_be_there() {
    let text = ACME.replace(
        "spec: {",
        "spec: {relay: {publicURL: 'https://chat.acme.example', tls: {mode: Secret, secretName: cert}}, \
         metrics: {cloudWatch: {enabled: true, region: eu-central-1, credentialsSecretName: aws}}, ",
    );
    let mut objects = objects(&text);
    assert_eq!(super::super::validate(&objects).problems, BTreeMap::new(), "nobody looked");
    objects.secret_names = Some(["aws".to_owned()].into());
    says(&problem(&objects, Kind::Network, "acme"), Reason::SecretNotFound, &["tls.secretName", "cert", "create it"]);
    assert!(super::super::validate(&objects).networks.contains_key("acme"));
    objects.secret_names = Some(["aws".to_owned(), "cert".to_owned()].into());
    assert_eq!(super::super::validate(&objects).problems, BTreeMap::new());
}

#[test]
fn the_operators_own_secrets_are_not_given_away() {
    let named = |field: &str, name: &str| {
        let (tls, aws) = match field {
            "tls" => (name, "aws"),
            _ => ("cert", name),
        };
        let spec = format!(
            "spec: {{relay: {{publicURL: 'https://chat.acme.example', tls: {{mode: Secret, secretName: {tls}}}}}, \
             metrics: {{cloudWatch: {{enabled: true, region: eu-central-1, credentialsSecretName: {aws}}}}}, "
        );
        objects(&ACME.replace("spec: {", &spec))
    };
    for name in
        ["acme-ca", "acme-policy-key", "acme-operator-tls", "acme-relay-tls", "acme-relay-secrets", "acme-gateway-tls"]
    {
        for (field, path) in [("tls", "relay.tls.secretName"), ("aws", "cloudWatch.credentialsSecretName")] {
            let mut objects = named(field, name);
            objects.secret_names = Some([name.to_owned(), "aws".to_owned(), "cert".to_owned()].into());
            says(&problem(&objects, Kind::Network, "acme"), Reason::SecretReserved, &[path, name, "of your own"]);
            if let Some(network) = super::super::validate(&objects).networks.get("acme") {
                assert!(field == "aws" && network.cloud_watch.is_none(), "it is not used");
            }
        }
    }
    // By label: also of objects that are not there any more.
    let mut objects = named("tls", "left-over-ca");
    assert_eq!(super::super::validate(&objects).problems, BTreeMap::new());
    objects.own_secrets.insert("left-over-ca".into());
    says(&problem(&objects, Kind::Network, "acme"), Reason::SecretReserved, &["left-over-ca"]);
    assert!(!super::super::validate(&objects).networks.contains_key("acme"));
}

#[test]
fn a_bucket_is_not_written_with_the_operators_own_secrets() {
    for name in ["acme-policy-key", "records-retention", "alice-invite"] {
        let policy = format!(
            "kind: RetentionPolicy\nmetadata: {{name: records}}\nspec: {{networkRef: {{name: acme}}, scope: {{allUsers: true}}, \
             destination: {{s3: {{bucket: b-records, region: eu-central-1, credentialsSecretName: {name}}}}}}}"
        );
        let objects = with(&[&user("alice", ""), &policy]);
        let said = problem(&objects, Kind::RetentionPolicy, "records");
        says(&said, Reason::SecretReserved, &["s3.credentialsSecretName", name]);
        assert!(!super::super::validate(&objects).networks["acme"].policies.contains_key("records"));
    }
}

#[test]
fn types_hold_where_the_schema_did_not() {
    // Stored before a rule was there: never a crash.
    let mut objects = with(&[&group("staff", ""), &user("alice", ""), &policy("records", "")]);
    std::sync::Arc::make_mut(&mut objects.networks[0]).spec.relay.port = 99_999;
    says(&problem(&objects, Kind::Network, "acme"), Reason::InvalidSpec, &["spec.relay.port", "65535"]);
}

#[test]
fn trusted_proxies_reach_the_relay_and_what_is_no_network_is_named() {
    let mut objects = with(&[]);
    let network = std::sync::Arc::make_mut(&mut objects.networks[0]);
    network.spec.relay.trusted_proxies = vec!["10.0.0.0/8".into(), "fd00::/8".into()];
    let good = super::super::validate(&objects);
    assert_eq!(good.networks["acme"].relay.trusted_proxies, ["10.0.0.0/8", "fd00::/8"]);
    // Of the schema's form all the same.
    let network = std::sync::Arc::make_mut(&mut objects.networks[0]);
    network.spec.relay.trusted_proxies.push("999.0.0.1/64".into());
    let said = problem(&objects, Kind::Network, "acme");
    says(&said, Reason::InvalidSpec, &["spec.relay.trustedProxies[2]", "999.0.0.1/64", "10.0.0.0/8"]);
}

#[test]
fn damaged_fields_are_named() {
    let mut objects = with(&[&group("staff", ""), &user("alice", ""), &policy("records", "")]);
    std::sync::Arc::make_mut(&mut objects.groups[0]).spec.messaging.max_ttl = "soon".into();
    std::sync::Arc::make_mut(&mut objects.users[0]).spec.invite.ttl = "never".into();
    std::sync::Arc::make_mut(&mut objects.policies[0]).spec.destination.volume = None;
    let validation = super::super::validate(&objects);
    for (kind, name, word) in [
        (Kind::SecurityGroup, "staff", "spec.messaging.maxTtl: `soon`"),
        (Kind::User, "alice", "spec.invite.ttl: `never`"),
        (Kind::RetentionPolicy, "records", "spec.destination: is not exactly one"),
    ] {
        let problems = &validation.problems[&ObjectId::new(kind, name)];
        assert!(problems[0].to_string().contains(word), "{}", problems[0]);
    }
}

#[test]
fn paused_objects_stay_as_they_are_and_the_rest_goes_on() {
    let paused = |text: String| {
        text.replace("metadata: {name: ", "metadata: {annotations: {sotto.dev/paused: \"true\"}, name: ")
    };
    let texts = [
        paused(group("staff", "")),
        paused(user("alice", ", securityGroupRef: {name: staff}, suspended: true")),
        user("bob", ", securityGroupRef: {name: staff}"),
        paused(policy("records", ", scope: {allUsers: true}")),
    ];
    let objects = with(&texts.each_ref().map(String::as_str));
    let validation = super::super::validate(&objects);
    assert_eq!(validation.problems, BTreeMap::new());
    let acme = &validation.networks["acme"];
    assert_eq!(acme.users.len(), 2, "they count, so that the network is not deleted by mistake");
    let made = secrets(acme, Some(&empty_relay()));
    assert!(
        made.get(&SecretId::Invite("bob".into())).is_some() && made.get(&SecretId::Invite("alice".into())).is_none()
    );
    let plan = build(acme, &places(acme), &made, &BTreeMap::new()).unwrap();
    assert!(!plan.groups.contains_key("staff") && plan.untouched.groups.contains("staff"));
    assert!(!plan.users.contains_key("alice") && plan.untouched.users.contains("alice"));
    assert_eq!(plan.users["bob"].group, "staff", "others go by a paused group");
    assert!(plan.retention.is_empty() && plan.kept_policies.contains("records"));
    assert!(plan.untouched.users.contains("retention.records"));

    // An invite that is there stays, however old it is.
    let mut existing = contents(&made);
    existing.insert(SecretId::Invite("alice".into()), crate::secret::SecretData::default());
    let (kept, failures) = ensure_secrets(acme, &places(acme), &existing, Some(&empty_relay()), NOW);
    assert_eq!(failures, []);
    assert!(kept.get(&SecretId::Invite("alice".into())).is_some());
    assert!(kept.iter().all(|(_, ensured)| !ensured.changed()));

    let health = assess(&objects, &validation, &BTreeMap::new());
    for id in [
        ObjectId::new(Kind::SecurityGroup, "staff"),
        ObjectId::new(Kind::User, "alice"),
        ObjectId::new(Kind::RetentionPolicy, "records"),
    ] {
        assert_eq!((health[&id].reason(), health[&id].is_ready()), (Reason::Paused, true), "{id}");
    }
    assert!(health[&ObjectId::new(Kind::User, "bob")].is_progressing());
}
