//! Secrets, configuration, documents.

use sotto_crypto::Signed;
use sotto_wire::admin::{PutUser, Resets, Role, UserState};
use sotto_wire::config::DestinationConfig;
use sotto_wire::policy::{GroupFederation, MembershipDocument, NetworkDocument, Scope};

use super::*;
use crate::documents::Verified;
use crate::secret::Change;

fn acme() -> ValidNetwork {
    super::super::validate(&examples()).networks["acme"].clone()
}

fn registered(user: &PutUser) -> UserState {
    UserState {
        wanted: user.clone(),
        registered: true,
        reinvited: false,
        voucher: None,
        locked: false,
        devices: 1,
        queued_messages: 3,
        last_seen_ms: None,
    }
}

#[test]
fn a_network_has_its_secrets_once() {
    let network = acme();
    let made = secrets(&network, Some(&empty_relay()));
    assert!(made.iter().all(|(_, ensured)| ensured.change == Change::Created));
    for id in secret_ids(&network) {
        assert!(made.get(&id).is_some(), "{id:?}");
    }
    let existing = contents(&made);
    let (again, failures) = ensure_secrets(&network, &places(&network), &existing, Some(&empty_relay()), NOW + 1000);
    assert_eq!(failures, []);
    assert!(again.iter().all(|(_, ensured)| !ensured.changed()));
}

#[test]
fn names_of_secrets() {
    let names: Vec<String> = secret_ids(&acme()).iter().map(|id| id.object_name("acme")).collect();
    for name in
        ["acme-ca", "acme-policy-key", "acme-operator-tls", "acme-relay-tls", "acme-relay-secrets", "alice-invite"]
    {
        assert!(names.iter().any(|n| n == name), "{name} is not in {names:?}");
    }
}

#[test]
fn who_has_registered_needs_no_invite() {
    let network = acme();
    let alice = SecretId::Invite("alice".into());
    let mut relay = empty_relay();
    let put = PutUser {
        group: "staff".into(),
        membership: Vec::new(),
        suspended: false,
        role: Role::Person,
        invite: None,
        reset: Resets::default(),
    };
    relay.users.insert("alice".into(), registered(&put));
    assert!(secrets(&network, Some(&relay)).get(&alice).is_none());
    assert!(secrets(&network, Some(&relay)).get(&SecretId::Invite("bob".into())).is_some());
    // While the relay does not answer, nobody gets a new invite, and what is there stays.
    assert!(secrets(&network, None).get(&alice).is_none());
    let existing = contents(&secrets(&network, Some(&empty_relay())));
    let (kept, _) = ensure_secrets(&network, &places(&network), &existing, None, NOW);
    assert!(kept.get(&alice) == existing.get(&alice));
}

#[test]
fn a_new_invite_is_made_once_for_each_word() {
    let mut network = acme();
    let id = SecretId::Invite("alice".into());
    let mut existing = contents(&secrets(&network, Some(&empty_relay())));
    let first = existing.get(&id).unwrap().clone();
    let mut relay = empty_relay();
    // One pass of the operator: what it puts for alice, after which the relay has it.
    let mut pass = |network: &ValidNetwork, relay: &mut AdminState, now: u64| {
        let (secrets, failures) = ensure_secrets(network, &places(network), &existing, Some(relay), now);
        assert_eq!(failures, []);
        existing = contents(&secrets);
        let plan = build(network, &places(network), &secrets, &BTreeMap::new()).unwrap();
        let key = secrets.policy_key().unwrap();
        let calls = crate::sync::diff(&wanted(&plan, relay, &key, now, &Verified::default()), relay);
        let put = calls.into_iter().find_map(|call| match call {
            crate::sync::Call::PutUser(local, put) if local == "alice" => Some(put),
            _ => None,
        });
        if let Some(put) = &put {
            let account = relay.users.entry("alice".into()).or_insert_with(|| UserState {
                registered: false,
                devices: 0,
                ..registered(put)
            });
            let same = account.wanted.invite == put.invite;
            account.reinvited = account.registered && put.invite.is_some() && (account.reinvited || !same);
            account.wanted = put.clone();
        }
        (put, secrets.get(&id).cloned())
    };
    let word = |word: &str| Resets { invite: Some(word.into()), ..Resets::default() };
    let (put, _) = pass(&network, &mut relay, NOW);
    assert_eq!(put.unwrap().invite, crate::invites::grant(&first));
    let account = relay.users.get_mut("alice").unwrap();
    (account.registered, account.devices) = (true, 1);
    assert!(pass(&network, &mut relay, NOW) == (None, None), "registered: no invite any more");

    network.users.get_mut("alice").unwrap().reset = word("1");
    let (put, second) = pass(&network, &mut relay, NOW);
    let (put, second) = (put.unwrap(), second.unwrap());
    assert_eq!((&put.invite, &put.reset), (&crate::invites::grant(&second), &word("1")));
    assert!(second.get(crate::invites::CODE) != first.get(crate::invites::CODE));
    assert!(pass(&network, &mut relay, NOW) == (None, Some(second.clone())), "it stays until it is used");
    // It ends: another one, for the same word.
    let late = NOW + 8 * 24 * 3_600_000;
    let (put, third) = pass(&network, &mut relay, late);
    assert!(put.unwrap().invite == crate::invites::grant(third.as_ref().unwrap()) && third.as_ref() != Some(&second));
    // A suspension does not withdraw it, and neither does the relay's absence.
    network.users.get_mut("alice").unwrap().suspended = true;
    assert!(pass(&network, &mut relay, late).1 == third);
    network.users.get_mut("alice").unwrap().suspended = false;
    pass(&network, &mut relay, late);
    // Used.
    relay.users.get_mut("alice").unwrap().reinvited = false;
    assert!(pass(&network, &mut relay, late) == (None, None), "each word once");
    network.users.get_mut("alice").unwrap().reset = Resets::default();
    assert!(pass(&network, &mut relay, late) == (None, None));
    network.users.get_mut("alice").unwrap().reset = word("1");
    assert!(pass(&network, &mut relay, late) == (None, None), "the word that was done last");

    // Asked for and withdrawn.
    network.users.get_mut("alice").unwrap().reset = word("2");
    assert!(pass(&network, &mut relay, late).1.is_some());
    network.users.get_mut("alice").unwrap().reset = Resets::default();
    let (put, secret) = pass(&network, &mut relay, late);
    assert!(put.unwrap().invite.is_none() && secret.is_none());
    assert!(!relay.users["alice"].reinvited);

    // Asked for while suspended: made when that is over.
    let alice = network.users.get_mut("alice").unwrap();
    (alice.reset, alice.suspended) = (word("3"), true);
    let (put, secret) = pass(&network, &mut relay, late);
    assert!(put.unwrap().reset == word("2") && secret.is_none());
    network.users.get_mut("alice").unwrap().suspended = false;
    let (put, secret) = pass(&network, &mut relay, late);
    assert!(put.unwrap().reset == word("3") && secret.is_some());
}

#[test]
fn words_of_resets_reach_the_relay_and_come_back_in_the_status() {
    let mut network = acme();
    let reset = Resets { devices: Some("a".into()), lockout: Some("b".into()), ..Resets::default() };
    network.users.get_mut("alice").unwrap().reset = reset.clone();
    let secrets = secrets(&network, Some(&empty_relay()));
    let plan = build(&network, &places(&network), &secrets, &BTreeMap::new()).unwrap();
    assert_eq!(plan.users["alice"].reset, reset);
    let mut relay = empty_relay();
    relay.users.insert("alice".into(), registered(&plan.users["alice"]));
    let observed = Observed { state: Some(relay), ..Observed::default() };
    let facts = Facts { network: Some(&network), observed: Some(&observed), ..Facts::default() };
    let now = k8s_openapi::jiff::Timestamp::UNIX_EPOCH;
    let status = user_status(None, "alice", &Health::ready(""), None, facts, now);
    assert_eq!((status.reset.devices, status.reset.lockout, status.reset.invite), (reset.devices, reset.lockout, None));
}

#[test]
fn a_damaged_secret_is_said_and_not_replaced() {
    let network = acme();
    let mut existing = contents(&secrets(&network, Some(&empty_relay())));
    existing.insert(SecretId::PolicyKey, [("policy.key".to_owned(), b"rubbish".to_vec())].into_iter().collect());
    let (secrets, failures) = ensure_secrets(&network, &places(&network), &existing, Some(&empty_relay()), NOW);
    assert_eq!(failures.len(), 1);
    assert!(failures[0].id == SecretId::PolicyKey && failures[0].message.contains("restore it from a backup"));
    assert!(build(&network, &places(&network), &secrets, &BTreeMap::new()).is_none());
    assert!(introduce(&places(&network), &secrets).is_none());
}

#[test]
fn configurations_hold_paths_and_no_secret() {
    let objects = examples();
    let network = acme();
    let secrets = secrets(&network, Some(&empty_relay()));
    let plan = build(&network, &places(&network), &secrets, &BTreeMap::new()).unwrap();
    let mut text = serde_yaml::to_string(&plan.relay).unwrap();
    text += &serde_yaml::to_string(&plan.gateway.as_ref().unwrap().config).unwrap();
    for config in plan.retention.values() {
        text += &serde_yaml::to_string(config).unwrap();
    }
    for (id, ensured) in secrets.iter() {
        for (key, value) in ensured.data.iter() {
            let value = String::from_utf8_lossy(value);
            let public = ["ca.crt", "tls.crt", "policy.pub", "certificate", "username", "address", "expires-at-ms"];
            let line = value.lines().nth(1).unwrap_or(&value).to_owned();
            assert!(public.contains(&key) || !text.contains(&line), "{id:?} {key} is in a configuration");
        }
    }
    assert!(objects.networks.len() >= 2);
    assert_eq!(plan.relay.domain, "chat.acme.example");
    assert_eq!(plan.relay.policy_key.len(), 133);
    assert_eq!(plan.relay.secret.to_str(), Some("/secrets/secret"));
}

#[test]
fn retention_of_the_example() {
    let plans = plans(&examples());
    let acme = &plans["acme"];
    let (name, config) = acme.retention.first_key_value().unwrap();
    assert_eq!(config.destination, DestinationConfig::Folder { path: "/volume/records".into() });
    assert_eq!(config.relay, "https://acme-relay.test:7443");
    assert_eq!(config.authority.as_deref(), Some(std::path::Path::new("/ca/ca.crt")));
    assert_eq!(config.policy_key, acme.policy_key.to_string());
    let account = &acme.users[&format!("retention.{name}")];
    assert_eq!((account.role, account.group.as_str()), (Role::Retention, RETENTION_GROUP));
    assert!(account.invite.is_some());
    assert_eq!(acme.groups[RETENTION_GROUP].federation, GroupFederation::All);
    let rule = &acme.document.retention[0];
    assert_eq!((&rule.policy, &rule.scope, rule.enabled), (name, &Scope::AllUsers, true));
}

#[test]
fn the_examples_know_each_other() {
    let plans = plans(&examples());
    let (acme, beta) = (&plans["acme"], &plans["beta"]);
    let peer = |plan: &NetworkPlan| plan.document.federation.peers[0].clone();
    assert_eq!(peer(acme).policy_key, beta.policy_key);
    assert_eq!(peer(beta).policy_key, acme.policy_key);
    let gateway = acme.gateway.as_ref().unwrap();
    assert_eq!(gateway.config.peers[0].url, "https://beta-gateway.test:8448");
    assert_eq!(gateway.config.peers[0].authority.to_str(), Some("/peers/chat.beta.example.crt"));
    assert!(gateway.authorities["chat.beta.example.crt"].starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(acme.relay.gateway.as_deref(), Some("https://gateway-internal.test:9444"));
}

#[test]
fn a_peer_without_keys_is_left_out_and_said() {
    let network = acme();
    let secrets = secrets(&network, Some(&empty_relay()));
    let plan = build(&network, &places(&network), &secrets, &BTreeMap::new()).unwrap();
    assert!(plan.document.federation.enabled && plan.document.federation.peers.is_empty());
    assert_eq!(plan.problems.len(), 1);
}

#[test]
fn transport_and_addresses() {
    let yaml = "
apiVersion: sotto.dev/v1alpha1
kind: Network
metadata: {name: plain}
spec: {domain: plain.example, relay: {publicURL: 'https://chat.plain.example', tls: {mode: Disabled}}}
---
apiVersion: sotto.dev/v1alpha1
kind: User
metadata: {name: alice}
spec: {networkRef: {name: plain}}
---
apiVersion: sotto.dev/v1alpha1
kind: RetentionPolicy
metadata: {name: bucket}
spec:
  networkRef: {name: plain}
  destination: {s3: {bucket: acme-records, region: eu-central-1, prefix: chat/acme/}}
";
    let validation = super::super::validate(&objects(yaml));
    let network = &validation.networks["plain"];
    let secrets = secrets(network, Some(&empty_relay()));
    let plan = build(network, &places(network), &secrets, &BTreeMap::new()).unwrap();
    assert_eq!(plan.url, "https://chat.plain.example");
    assert!(plan.relay.tls.is_none() && plan.gateway.is_none() && plan.relay.gateway.is_none());
    // What clients reach is behind something with a public certificate; the retention process goes straight to the relay.
    let invite = secrets.get(&SecretId::Invite("alice".into())).unwrap().text("url").unwrap().to_owned();
    assert!(invite.starts_with("sotto://chat.plain.example/join?"), "the invite has another host");
    assert!(!invite.contains("&ca=") && !invite.contains("tls=off"));
    let config = &plan.retention["bucket"];
    assert_eq!(config.relay, "http://plain-relay.test:7443");
    assert_eq!(config.authority, None);
    let DestinationConfig::S3 { bucket, prefix, region, .. } = &config.destination else { panic!("no bucket") };
    assert_eq!(
        (bucket.as_str(), prefix.as_str(), region.as_deref()),
        ("acme-records", "chat/acme", Some("eu-central-1"))
    );
    // Where the place says that the public URL does not count, it does not.
    let mut local = places(network);
    local.relay.use_public_url = false;
    assert_eq!(relay_url(network, &local), "http://plain-relay.test:7443");
}

#[test]
fn documents_are_signed_where_they_changed_and_rules_of_bad_policies_stay() {
    let network = acme();
    let secrets = secrets(&network, Some(&empty_relay()));
    let key = secrets.policy_key().unwrap();
    let plan = build(&network, &places(&network), &secrets, &BTreeMap::new()).unwrap();
    let first = wanted(&plan, &empty_relay(), &key, NOW, &Verified::default());
    let have = AdminState { network: first.network.clone(), groups: first.groups.clone(), ..empty_relay() };
    let second = wanted(&plan, &have, &key, NOW + 5, &Verified::default());
    assert!(second.network == first.network && second.groups == first.groups);

    // Everybody has a membership, the retention process too, and it is signed anew for another group only.
    let read = |put: &PutUser| {
        let signed = Signed::<MembershipDocument>::from_bytes(&put.membership).unwrap();
        signed.verify(&key.verifying_key()).unwrap()
    };
    for (local, put) in &first.users {
        let document = read(put);
        assert_eq!((document.version, document.serial, &document.group), (1, NOW, &put.group));
        assert_eq!(document.address.as_str(), format!("{local}@{}", network.domain));
    }
    assert!(first.users.values().any(|put| put.group == RETENTION_GROUP));
    let mut have = have;
    have.users = first.users.iter().map(|(local, put)| (local.clone(), registered(put))).collect();
    assert!(wanted(&plan, &have, &key, NOW + 5, &Verified::default()).users == first.users);
    assert_eq!(crate::sync::diff(&first, &have), []);
    let mut moved = plan.clone();
    moved.users.get_mut("alice").unwrap().group = "elsewhere".into();
    let users = wanted(&moved, &have, &key, NOW + 5, &Verified::default()).users;
    let document = read(&users["alice"]);
    assert_eq!((document.serial, document.group.as_str()), (NOW + 5, "elsewhere"));
    assert!(users.iter().all(|(local, put)| local == "alice" || *put == first.users[local]));

    // Their name is in it, and another name makes another one.
    assert_eq!(read(&first.users["alice"]).name.as_deref(), Some("Alice Adams"));
    assert!(first.users.values().filter(|put| put.role == Role::Retention).all(|put| read(put).name.is_none()));
    let mut renamed = plan.clone();
    renamed.names.insert("alice".into(), "Alice Baker".into());
    let users = wanted(&renamed, &have, &key, NOW + 5, &Verified::default()).users;
    let document = read(&users["alice"]);
    assert_eq!((document.serial, document.name.as_deref()), (NOW + 5, Some("Alice Baker")));
    assert!(users.iter().all(|(local, put)| local == "alice" || *put == first.users[local]));

    // The policy's object turns bad: the relay goes on enforcing what it had.
    let mut bad = network.clone();
    let (name, _) = bad.policies.pop_first().unwrap();
    bad.kept_policies.insert(name.clone());
    bad.display_name = "Acme Inc".into();
    let plan = build(&bad, &places(&bad), &secrets, &BTreeMap::new()).unwrap();
    let third = wanted(&plan, &have, &key, NOW + 10, &Verified::default()).network.unwrap().document;
    let third = Signed::<NetworkDocument>::from_bytes(&third).unwrap().verify(&key.verifying_key()).unwrap();
    assert_eq!((third.retention[0].policy.as_str(), third.display_name.as_str()), (name.as_str(), "Acme Inc"));

    // Deleted it is gone.
    bad.kept_policies.clear();
    let plan = build(&bad, &places(&bad), &secrets, &BTreeMap::new()).unwrap();
    let fourth = wanted(&plan, &have, &key, NOW + 20, &Verified::default()).network.unwrap().document;
    let fourth = Signed::<NetworkDocument>::from_bytes(&fourth).unwrap().unverified().unwrap();
    assert_eq!(fourth.retention, []);
}
