//! The chart's admission policies, asked of a real API server: what contradicts another object, what is still in use, and that every
//! deletion can end.

use serde_json::{Value, json};
use sotto_e2e::{ApiServer, Outcome, Run, ensure};

use crate::chart::{CHAT, PATIENCE, install, nothing, object, set_status, until_refused, until_taken};

/// A server with the chart, and a namespace.
fn begin(values: &Value) -> Outcome<ApiServer> {
    let api = ApiServer::start()?;
    install(&api, values)?;
    api.namespace(CHAT)?;
    Ok(api)
}

fn apply(api: &ApiServer, object: &Value) -> Run {
    api.kubectl().args(["apply", "--server-side", "--filename", "-"]).input(object.to_string())
}

fn network(name: &str, tier: &str) -> Value {
    object("Network", name, &json!({"domain": format!("chat.{name}.example"), "tier": tier}))
}

fn group(name: &str, network: &str, spec: &Value) -> Value {
    let mut group = object("SecurityGroup", name, spec);
    group["spec"]["networkRef"] = json!({"name": network});
    group
}

fn ttl(name: &str, network: &str, ttl: &str) -> Value {
    group(name, network, &json!({"messaging": {"maxTtl": ttl}}))
}

fn bucket(name: &str, prefix: &str) -> Value {
    let s3 = json!({"bucket": "records", "region": "eu-central-1", "prefix": prefix});
    object("RetentionPolicy", name, &json!({"networkRef": {"name": "acme"}, "destination": {"s3": s3}}))
}

fn user(name: &str, group: &str) -> Value {
    object("User", name, &json!({"networkRef": {"name": "acme"}, "securityGroupRef": {"name": group}}))
}

fn word(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn delete(api: &ApiServer, kind: &str, name: &str) -> Run {
    api.kubectl().args(["delete", kind, name, "--namespace", CHAT, "--wait=false"])
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn what_contradicts_another_object_is_refused_with_field_and_remedy() -> Outcome {
    let api = begin(&json!({}))?;
    for (name, tier) in [("acme", "Standard"), ("beta", "Premium")] {
        apply(&api, &network(name, tier)).output()?;
    }
    let refused = |object: &Value, words: &[&str]| -> Outcome {
        let what = format!("{} {}", object["kind"], object["metadata"]["name"]);
        let (kind, name) = (word(object, "/kind"), word(object, "/metadata/name"));
        // As it was before.
        let before = api.get(&[&kind, &name, "--namespace", CHAT]).ok().map(|mut before| {
            before["metadata"] = json!({"name": name, "namespace": CHAT});
            before
        });
        let undo = || match &before {
            Some(before) => apply(&api, before).output().map(drop),
            None => delete(&api, &kind, &name).output().map(drop),
        };
        let said = until_refused(&what, words[0], &apply(&api, object), undo)?;
        ensure(words.iter().all(|word| said.contains(word)), || said)
    };
    let taken = |object: &Value| until_taken(&object["metadata"]["name"].to_string(), &apply(&api, object));

    // Tier limits, from both sides.
    refused(&ttl("slow", "acme", "91d"), &["spec.messaging.maxTtl: 91d", "tier: Premium in the Network first"])?;
    refused(&ttl("slow", "acme", "2161h"), &["spec.messaging.maxTtl: 2161h"])?;
    refused(&ttl("slow", "acme", "7776001s"), &["spec.messaging.maxTtl: 7776001s"])?;
    for good in [ttl("slow", "acme", "90d"), ttl("slow", "acme", "2160h"), ttl("long", "beta", "365d")] {
        taken(&good)?;
    }
    taken(&group("plain", "acme", &json!({})))?;
    refused(&ttl("slow", "acme", "365d"), &["spec.messaging.maxTtl: 365d"])?;
    refused(&network("beta", "Standard"), &["spec.tier: Standard", "SecurityGroup long has maxTtl 365d"])?;
    taken(&ttl("long", "beta", "90d"))?;
    taken(&network("beta", "Standard"))?;
    taken(&network("beta", "Premium"))?;

    // One network a domain, one default group a network.
    let mut twin = network("acme", "Standard");
    twin["metadata"]["name"] = "twin".into();
    refused(&twin, &["spec.domain: Network acme has the domain chat.acme.example", "choose another"])?;
    taken(&group("everybody", "acme", &json!({"default": true})))?;
    taken(&group("guests", "beta", &json!({"default": true})))?;
    let second = group("plain", "acme", &json!({"default": true}));
    refused(&second, &["spec.default: SecurityGroup everybody is the default", "set default to false there first"])?;
    taken(&group("everybody", "acme", &json!({"default": false})))?;
    taken(&second)?;

    // Groups of another network.
    refused(
        &user("alice", "guests"),
        &["spec.securityGroupRef.name", "belongs to Network beta", "a group of Network acme"],
    )?;
    taken(&user("alice", "plain"))?;
    refused(&user("alice", "long"), &["spec.securityGroupRef.name"])?;
    // Not there yet is no contradiction: objects come in any order, and a condition says it.
    taken(&user("bob", "comes-later"))?;
    let scope = |groups: &[&str]| {
        let mut policy = bucket("scoped", "scoped");
        policy["spec"]["scope"] = json!({"securityGroups": groups});
        policy
    };
    refused(
        &scope(&["plain", "guests"]),
        &["spec.scope.securityGroups", "SecurityGroup guests belongs to Network beta"],
    )?;
    taken(&scope(&["plain"]))?;

    // Two policies that would mix their records.
    taken(&bucket("one", "a"))?;
    refused(&bucket("two", "a"), &["spec.destination.s3.prefix", "RetentionPolicy one", "choose another prefix"])?;
    taken(&bucket("two", "b"))?;

    // What contradicts by now may still be changed in another way, or be deleted.
    taken(&ttl("long", "beta", "365d"))?;
    let flip = |tier: &str| {
        let patch = json!({"spec": {"tier": tier}}).to_string();
        api.kubectl().args(["patch", "network", "beta", "--namespace", CHAT, "--type=merge", "--patch", &patch])
    };
    let back = || flip("Premium").output().map(drop);
    until_refused("a lower tier by patch", "spec.tier", &flip("Standard"), back)?;
    // A dry run is let through: it cannot know what else comes with the change.
    flip("Standard").arg("--dry-run=server").output()?;
    delete(&api, "securitygroup", "long").output()?;
    until_taken("a lower tier without the group", &flip("Standard")).map(drop)
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn contradictions_may_be_warnings_or_nothing() -> Outcome {
    let api = begin(&json!({"admissionPolicies": {"contradictions": "Warn"}}))?;
    apply(&api, &network("acme", "Standard")).output()?;
    sotto_e2e::wait_until("a warning", PATIENCE, || {
        let finished = apply(&api, &ttl("slow", "acme", "91d")).finish()?;
        let warned = finished.stderr.contains("Warning") && finished.stderr.contains("spec.messaging.maxTtl: 91d");
        delete(&api, "securitygroup", "slow").output()?;
        ensure(finished.status.success() && warned, || finished.shown())
    })?;
    install(&api, &json!({"admissionPolicies": {"enabled": false}}))?;
    let left = api.list(&["validatingadmissionpolicies,validatingadmissionpolicybindings"])?;
    ensure(left.is_empty(), || format!("{} policies in spite of enabled: false", left.len()))
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn what_is_in_use_is_not_deleted_by_mistake_and_every_deletion_can_end() -> Outcome {
    let api = begin(&json!({}))?;
    api.controllers()?;
    let annotation = "sotto.dev/confirm-deletion=true";
    let make = || -> Outcome {
        apply(&api, &network("acme", "Standard")).output()?;
        apply(&api, &group("staff", "acme", &json!({"default": true}))).output()?;
        apply(&api, &user("alice", "staff")).output()?;
        set_status(&api, "network", "acme", &json!({"users": 1}))?;
        set_status(&api, "securitygroup", "staff", &json!({"users": 1}))
    };
    let annotate = |kind: &str, name: &str| {
        api.kubectl().args(["annotate", kind, name, annotation, "--namespace", CHAT]).output().map(drop)
    };
    let gone = |kind: &str, name: &str| api.get(&[kind, name, "--namespace", CHAT]).is_err();
    make()?;
    // In use: refused, with what there is to do, also as a collection and in a dry run.
    let group_words = ["default group of Network acme", "make another group the default first", annotation];
    let network_words =
        ["Network acme still has 1 users", "delete the User objects first", annotation, "deletionPolicy: Delete"];
    let said = until_refused("the default group", group_words[0], &delete(&api, "securitygroup", "staff"), make)?;
    ensure(group_words.iter().all(|word| said.contains(word)), || said)?;
    let said = until_refused("the Network", network_words[0], &delete(&api, "network", "acme"), make)?;
    ensure(network_words.iter().all(|word| said.contains(word)), || said)?;
    until_refused("a dry run", network_words[0], &delete(&api, "network", "acme").arg("--dry-run=server"), nothing)?;
    let all = api.kubectl().args(["delete", "networks", "--all", "--namespace", CHAT, "--wait=false"]);
    until_refused("all Networks", network_words[0], &all, make)?;
    let collection = format!("/apis/sotto.dev/v1alpha1/namespaces/{CHAT}/networks");
    until_refused("the collection", network_words[0], &api.kubectl().args(["delete", "--raw", &collection]), make)?;
    // Others go.
    apply(&api, &group("others", "acme", &json!({}))).output()?;
    set_status(&api, "securitygroup", "others", &json!({"users": 5}))?;
    delete(&api, "securitygroup", "others").output()?;

    // By an annotation of its own, or of its Network.
    annotate("securitygroup", "staff")?;
    delete(&api, "securitygroup", "staff").output()?;
    make()?;
    annotate("network", "acme")?;
    until_taken("the default group of a Network that is to go", &delete(&api, "securitygroup", "staff"))?;
    delete(&api, "network", "acme").output()?;
    // A group without its Network.
    make()?;
    annotate("network", "acme")?;
    delete(&api, "network", "acme").output()?;
    until_taken("the default group of no Network", &delete(&api, "securitygroup", "staff"))?;

    // By the deletion policy; where nobody is left; where nobody has counted yet.
    make()?;
    let patch = json!({"spec": {"deletionPolicy": "Delete"}}).to_string();
    api.kubectl()
        .args(["patch", "network", "acme", "--namespace", CHAT, "--type=merge", "--patch", &patch])
        .output()?;
    until_taken("the default group of a Network that is to go", &delete(&api, "securitygroup", "staff"))?;
    delete(&api, "network", "acme").output()?;
    make()?;
    set_status(&api, "network", "acme", &json!({"users": 0}))?;
    set_status(&api, "securitygroup", "staff", &json!({"users": 0}))?;
    delete(&api, "securitygroup", "staff").output()?;
    delete(&api, "network", "acme").output()?;
    apply(&api, &network("new", "Standard")).output()?;
    delete(&api, "network", "new").output()?;

    // Once it is on its way out, asking again is no mistake.
    make()?;
    let finalizer = json!({"metadata": {"finalizers": ["example.com/wait"]}}).to_string();
    let patch = |value: &str| {
        let run = api.kubectl().args(["patch", "network", "acme", "--namespace", CHAT, "--type=merge", "--patch"]);
        run.arg(value).output()
    };
    patch(&finalizer)?;
    annotate("network", "acme")?;
    delete(&api, "network", "acme").output()?;
    api.kubectl().args(["annotate", "network", "acme", "sotto.dev/confirm-deletion-", "--namespace", CHAT]).output()?;
    delete(&api, "network", "acme").output()?;
    patch(r#"{"metadata":{"finalizers":null}}"#)?;
    ensure(gone("network", "acme"), || "the Network is still there".into())?;

    // A namespace ends, whatever is in it.
    make()?;
    until_refused("the Network", network_words[0], &delete(&api, "network", "acme"), make)?;
    api.kubectl().args(["delete", "namespace", CHAT, "--wait=false"]).output()?;
    api.wait(PATIENCE, &["--for=delete", &format!("namespace/{CHAT}")]).map(drop)
}

/// Kubernetes checks the expressions against the schemas; a field that is not there would be seen here.
#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn every_expression_is_good_in_the_eyes_of_kubernetes() -> Outcome {
    let api = begin(&json!({}))?;
    api.controllers()?;
    sotto_e2e::wait_until("all policies are checked", PATIENCE, || {
        let policies = api.list(&["validatingadmissionpolicies"])?;
        ensure(policies.len() >= 10, || format!("only {} policies", policies.len()))?;
        for policy in policies {
            let (name, status) = (&policy["metadata"]["name"], &policy["status"]);
            ensure(status["observedGeneration"] == policy["metadata"]["generation"], || format!("{name}: {status}"))?;
            let warnings = &status["typeChecking"]["expressionWarnings"];
            ensure(warnings.as_array().is_none_or(Vec::is_empty), || format!("{name}: {warnings}"))?;
        }
        Ok(())
    })
}
