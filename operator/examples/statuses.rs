//! Writes a table of objects with the statuses that the operator gives them, as JSON: for the tests of what other tools make of
//! them (e2e/gitops). It comes from the operator's own code, so that the tests cannot speak of statuses that no operator writes.

#![expect(clippy::unwrap_used, reason = "an example that cannot make its table has to fail")]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sotto_crds::{Network, RetentionPolicy, SecurityGroup, User, admission::admit};
use sotto_operator::plan::{
    Facts, Health, Kind, ObjectId, Objects, assess, group_status, network_status, paused_conditions, policy_status,
    user_status, validate,
};
use sotto_operator::reasons::Reason;

const MANIFESTS: &str = "
- {apiVersion: sotto.dev/v1alpha1, kind: Network, metadata: {name: acme}, spec: {domain: chat.acme.example}}
- {apiVersion: sotto.dev/v1alpha1, kind: SecurityGroup, metadata: {name: staff}, spec: {networkRef: {name: acme}, default: true}}
- {apiVersion: sotto.dev/v1alpha1, kind: User, metadata: {name: alice}, spec: {networkRef: {name: acme}}}
- {apiVersion: sotto.dev/v1alpha1, kind: RetentionPolicy, metadata: {name: records}, spec: {networkRef: {name: acme}, destination: {volume: {}}}}
";

/// The status that follows from `health`, after the one that the object has.
fn report(object: &Value, health: &Health, generation: i64, now: Timestamp) -> Value {
    let name = object["metadata"]["name"].as_str().unwrap();
    let generation = Some(generation);
    let facts = Facts::default();
    // Read as the operator reads it: with the schema's defaults, or as it was written before.
    match object["kind"].as_str().unwrap() {
        "Network" => {
            let before = serde_json::from_value::<Network>(object.clone()).unwrap().status;
            json!(network_status(before.as_ref(), health, generation, facts, now))
        }
        "SecurityGroup" => {
            let before = serde_json::from_value::<SecurityGroup>(object.clone()).unwrap().status;
            json!(group_status(before.as_ref(), name, health, generation, facts, now))
        }
        "User" => {
            let before = serde_json::from_value::<User>(object.clone()).unwrap().status;
            json!(user_status(before.as_ref(), name, health, generation, facts, now))
        }
        _ => {
            let before = serde_json::from_value::<RetentionPolicy>(object.clone()).unwrap().status;
            json!(policy_status(before.as_ref(), name, health, generation, facts, now))
        }
    }
}

/// The object as a cluster admits it.
fn admitted(manifest: &Value) -> Value {
    match manifest["kind"].as_str().unwrap() {
        "Network" => json!(admit::<Network>(manifest, None).unwrap()),
        "SecurityGroup" => json!(admit::<SecurityGroup>(manifest, None).unwrap()),
        "User" => json!(admit::<User>(manifest, None).unwrap()),
        _ => json!(admit::<RetentionPolicy>(manifest, None).unwrap()),
    }
}

/// One history of an object: statuses written after each other, each at its time.
struct Story {
    object: Value,
}

impl Story {
    /// The object as it is just after it was applied.
    fn new(manifest: &Value) -> Self {
        let mut object = admitted(manifest);
        object["metadata"]["namespace"] = json!("chat");
        object["metadata"]["generation"] = json!(1);
        Self { object }
    }
    fn at(mut self, seconds: i64, health: &Health) -> Self {
        let generation = self.object["metadata"]["generation"].as_i64().unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap() + SignedDuration::from_secs(seconds);
        self.object["status"] = report(&self.object, health, generation, now);
        self
    }
    /// Somebody changes the spec.
    fn edited(mut self) -> Self {
        self.object["metadata"]["generation"] = json!(self.object["metadata"]["generation"].as_i64().unwrap() + 1);
        self
    }
    /// Somebody sets `sotto.dev/paused`, and the operator says so.
    fn paused(mut self, seconds: i64) -> Self {
        let now = Timestamp::from_second(1_800_000_000).unwrap() + SignedDuration::from_secs(seconds);
        let before = serde_json::from_value::<Vec<Condition>>(self.object["status"]["conditions"].clone()).unwrap();
        let generation = self.object["metadata"]["generation"].as_i64();
        self.object["metadata"]["annotations"] = json!({"sotto.dev/paused": "true"});
        self.object["status"]["conditions"] =
            json!(paused_conditions(&before, "nothing is changed; remove the annotation", generation, now));
        self
    }
    fn goes_on(mut self) -> Self {
        self.object["metadata"].as_object_mut().unwrap().remove("annotations");
        self
    }
    fn deleted(mut self) -> Self {
        self.object["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:00:00Z");
        self.object["metadata"]["finalizers"] = json!(["sotto.dev/relay-account"]);
        self
    }
}

/// How a User is that names a Network which is not there, as the operator finds it.
fn lost() -> Health {
    let manifest = json!({"metadata": {"name": "alice"}, "spec": {"networkRef": {"name": "acmee"}}});
    let objects =
        Objects { users: vec![std::sync::Arc::new(admit::<User>(&manifest, None).unwrap())], ..Objects::default() };
    assess(&objects, &validate(&objects), &BTreeMap::new()).remove(&ObjectId::new(Kind::User, "alice")).unwrap()
}

fn main() {
    let manifests: Vec<Value> = serde_yaml::from_str(MANIFESTS).unwrap();
    let rolling = Health::progressing(Reason::RollingOut, "relay: 0 of 1 ready");
    let ready = Health::ready("relay serves this spec");
    let broken = lost();
    let long = 3600;
    let mut rows = Vec::new();
    for manifest in &manifests {
        let new = || Story::new(manifest);
        let mut bare = new();
        bare.object.as_object_mut().unwrap().remove("status");
        let stories = [
            ("no status", bare),
            ("not seen yet", new()),
            ("rolling out", new().at(1, &rolling)),
            ("ready", new().at(1, &rolling).at(2, &ready)),
            ("ready, then edited", new().at(2, &ready).edited()),
            ("edited and rolling out", new().at(2, &ready).edited().at(3, &rolling)),
            ("broken just now", new().at(1, &broken)),
            ("broken for long", new().at(1, &broken).at(long, &broken)),
            ("broken for long, then edited", new().at(1, &broken).at(long, &broken).edited()),
            ("put right", new().at(1, &broken).at(long, &broken).edited().at(long + 1, &ready)),
            ("paused", new().at(2, &ready).paused(3)),
            ("paused, then edited", new().at(2, &ready).paused(3).edited()),
            ("goes on after a pause", new().at(2, &ready).paused(3).edited().goes_on().at(long, &ready)),
            ("ready, being deleted", new().at(2, &ready).deleted()),
            ("broken for long, being deleted", new().at(1, &broken).at(long, &broken).deleted()),
        ];
        rows.extend(stories.map(|(case, story)| json!({"case": case, "object": story.object})));
    }
    println!("{}", serde_json::to_string_pretty(&rows).unwrap());
}
