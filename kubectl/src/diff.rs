//! Manifests against a cluster: what differs in networks, security groups and retention policies, and whether the relay enforces
//! what the cluster has. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use sotto_crds::admission::{Violation, admit};
use sotto_crds::{Network, RetentionPolicy, SecurityGroup};

use crate::objects::{Seen, State, text};

/// The kinds that policy is made of.
pub const KINDS: [&str; 3] = ["Network", "SecurityGroup", "RetentionPolicy"];

/// An object by namespace, kind and name.
pub type Key = (String, String, String);

/// The key of an object; objects without a namespace are in `namespace`.
pub fn key(object: &Value, namespace: &str) -> Key {
    let own = text(object, "/metadata/namespace");
    let namespace = if own.is_empty() { namespace } else { own };
    (namespace.to_owned(), text(object, "/kind").to_owned(), text(object, "/metadata/name").to_owned())
}

/// How an object differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Change {
    /// In both, the same.
    Same,
    /// In both, and not the same.
    Differs,
    /// The cluster does not have it.
    OnlyInFiles,
    /// The files do not have it.
    OnlyInCluster,
}

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Where it is in the spec.
    pub path: String,
    /// What the cluster has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Value>,
    /// What the files have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Value>,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How it differs.
    pub change: Change,
    /// What differs, with defaults filled in on both sides.
    pub fields: Vec<Field>,
    /// Whether the relay enforces what the cluster has.
    pub enforced: bool,
    /// Why it does not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

impl Object {
    /// Whether files, cluster and relay agree on it.
    pub fn agrees(&self) -> bool {
        self.change == Change::Same && self.enforced
    }
}

/// The spec as a cluster fills it, or why no cluster would take it.
pub fn filled(manifest: &Value) -> Result<Value, Vec<Violation>> {
    let spec = |spec: Result<Value, serde_json::Error>| spec.unwrap_or_default();
    match text(manifest, "/kind") {
        "Network" => admit::<Network>(manifest, None).map(|o| spec(serde_json::to_value(o.spec))),
        "SecurityGroup" => admit::<SecurityGroup>(manifest, None).map(|o| spec(serde_json::to_value(o.spec))),
        _ => admit::<RetentionPolicy>(manifest, None).map(|o| spec(serde_json::to_value(o.spec))),
    }
}

/// Compares. `files` are good manifests; of the cluster's objects only those count whose network the files speak of.
pub fn compare(files: &BTreeMap<Key, Value>, cluster: &BTreeMap<Key, Value>) -> Vec<Object> {
    let network = |(namespace, kind, name): &Key, object: &Value| {
        let of = if kind == "Network" { name.as_str() } else { text(object, "/spec/networkRef/name") };
        (namespace.clone(), of.to_owned())
    };
    let spoken: BTreeSet<(String, String)> = files.iter().map(|(key, object)| network(key, object)).collect();
    let theirs = cluster.iter().filter(|(key, object)| spoken.contains(&network(key, object)));
    let keys: BTreeSet<&Key> = files.keys().chain(theirs.map(|(key, _)| key)).collect();
    let rank = |kind: &str| KINDS.iter().position(|k| *k == kind);
    let mut objects: Vec<Object> = keys.into_iter().map(|k| object(k, files.get(k), cluster.get(k))).collect();
    objects.sort_by_key(|o| (o.namespace.clone(), rank(&o.kind), o.name.clone()));
    objects
}

fn object(key: &Key, file: Option<&Value>, live: Option<&Value>) -> Object {
    // What the cluster has is filled already; again, because a newer version of ours may know more fields.
    let full = |o: &Value| filled(o).unwrap_or_else(|_| o["spec"].clone());
    let mut fields = Vec::new();
    if let (Some(file), Some(live)) = (file, live) {
        walk("", Some(&full(live)), Some(&full(file)), &mut fields);
    }
    let change = match (file, live) {
        (Some(_), None) => Change::OnlyInFiles,
        (None, _) => Change::OnlyInCluster,
        _ if fields.is_empty() => Change::Same,
        _ => Change::Differs,
    };
    let seen = live.map(Seen::of);
    let enforced = seen.as_ref().is_some_and(|s| s.state == State::Ready);
    let why = match &seen {
        Some(seen) if !enforced => {
            let words = [seen.state.as_str(), &seen.reason, &seen.message];
            words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(": ")
        }
        _ => String::new(),
    };
    let (namespace, kind, name) = key.clone();
    Object { kind, namespace, name, change, fields, enforced, why }
}

fn walk(path: &str, cluster: Option<&Value>, files: Option<&Value>, found: &mut Vec<Field>) {
    let at = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (cluster, files) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                walk(&at(name), a.get(name), b.get(name), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => match (keyed(a), keyed(b)) {
            (Some(a), Some(b)) if !(a.is_empty() && b.is_empty()) => {
                let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
                for name in names {
                    let (here, there) = (a.get(name).copied(), b.get(name).copied());
                    walk(&format!("{path}[{name}]"), here, there, found);
                }
            }
            _ if a == b || (is_set(path) && sorted(a) == sorted(b)) => {}
            _ => found.push(Field { path: path.to_owned(), cluster: cluster.cloned(), files: files.cloned() }),
        },
        (a, b) if a == b => {}
        (a, b) => found.push(Field { path: path.to_owned(), cluster: a.cloned(), files: b.cloned() }),
    }
}

/// Lists that are sets in the schema: their order says nothing.
fn is_set(path: &str) -> bool {
    path.ends_with("securityGroups") || path.ends_with("permittedNetworks")
}

fn sorted(list: &[Value]) -> Vec<String> {
    let mut list: Vec<String> = list.iter().map(ToString::to_string).collect();
    list.sort();
    list
}

/// A list of objects that are told apart by their domain or name.
fn keyed(list: &[Value]) -> Option<BTreeMap<String, &Value>> {
    let one = |item: &'_ Value| ["domain", "name"].iter().find_map(|k| item.get(*k)?.as_str().map(str::to_owned));
    list.iter().map(|item| Some((one(item)?, item))).collect()
}

/// For people.
pub fn lines(objects: &[Object]) -> Vec<String> {
    let mut lines = Vec::new();
    for object in objects.iter().filter(|o| !o.agrees()) {
        let title = format!("{}/{} in {}", object.kind, object.name, object.namespace);
        match object.change {
            Change::Same => {}
            Change::OnlyInFiles => lines.push(format!("{title}: only in the files")),
            Change::OnlyInCluster => lines.push(format!("{title}: only in the cluster")),
            Change::Differs => {
                let n = object.fields.len();
                lines.push(format!(
                    "{title}: {n} {} (- cluster, + files)",
                    if n == 1 { "field differs" } else { "fields differ" }
                ));
                for field in &object.fields {
                    let side = |sign: &str, value: &Option<Value>| {
                        value.as_ref().map(|v| format!("  {sign} {}: {}", field.path, shown(v)))
                    };
                    lines.extend(side("-", &field.cluster));
                    lines.extend(side("+", &field.files));
                }
            }
        }
        if !object.enforced && object.change != Change::OnlyInFiles {
            lines.push(format!("{title}: the relay does not enforce what the cluster has: {}", object.why));
        }
    }
    lines
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if !text.contains('\n') => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn group(spec: &Value) -> Value {
        let mut object = json!({
            "apiVersion": "sotto.dev/v1alpha1", "kind": "SecurityGroup",
            "metadata": {"name": "staff", "namespace": "chat"}, "spec": {"networkRef": {"name": "acme"}},
        });
        for (name, value) in spec.as_object().unwrap() {
            object["spec"][name] = value.clone();
        }
        object
    }

    fn live(mut object: Value) -> Value {
        object["spec"] = filled(&object).unwrap();
        object["metadata"]["generation"] = json!(3);
        object["status"] = json!({"observedGeneration": 3, "conditions": [{"type": "Ready", "status": "True"}]});
        object
    }

    fn all(objects: &[Value]) -> BTreeMap<Key, Value> {
        objects.iter().map(|o| (key(o, "chat"), o.clone())).collect()
    }

    #[test]
    fn defaults_and_the_order_of_sets_are_no_difference() {
        let file =
            group(&json!({"federation": {"mode": "Restricted", "permittedNetworks": ["b.example", "a.example"]}}));
        let mut there = live(group(
            &json!({"federation": {"mode": "Restricted", "permittedNetworks": ["a.example", "b.example"]}}),
        ));
        let objects = compare(&all(std::slice::from_ref(&file)), &all(std::slice::from_ref(&there)));
        assert!(objects.len() == 1 && objects[0].agrees(), "{objects:?}");
        assert_eq!(lines(&objects), Vec::<String>::new());
        // In order, but not enforced.
        there["metadata"]["generation"] = json!(4);
        let objects = compare(&all(&[file]), &all(&[there]));
        assert!(objects[0].change == Change::Same && !objects[0].enforced);
        assert!(lines(&objects)[0].contains("does not enforce what the cluster has: Unseen"), "{:?}", lines(&objects));
    }

    #[test]
    fn a_field_that_differs_is_shown_with_both_values() {
        let file = group(&json!({"messaging": {"maxTtl": "7d"}, "lockoutThreshold": 5}));
        let objects = compare(&all(&[file]), &all(&[live(group(&json!({})))]));
        assert_eq!(
            lines(&objects),
            [
                "SecurityGroup/staff in chat: 2 fields differ (- cluster, + files)",
                "  - lockoutThreshold: 10",
                "  + lockoutThreshold: 5",
                "  - messaging.maxTtl: 30d",
                "  + messaging.maxTtl: 7d",
            ]
        );
    }

    #[test]
    fn peers_are_told_apart_by_domain() {
        let network = |peers: Value| {
            json!({
                "apiVersion": "sotto.dev/v1alpha1", "kind": "Network", "metadata": {"name": "acme", "namespace": "chat"},
                "spec": {"domain": "chat.acme.example", "federation": {"mode": "Restricted", "peers": peers}},
            })
        };
        let file = network(json!([{"domain": "b.example"}, {"domain": "c.example"}]));
        let there = live(network(json!([{"domain": "a.example"}, {"domain": "b.example"}])));
        let objects = compare(&all(&[file]), &all(&[there]));
        let paths: Vec<&str> = objects[0].fields.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(paths, ["federation.peers[a.example]", "federation.peers[c.example]"]);
        assert!(objects[0].fields[0].files.is_none() && objects[0].fields[1].cluster.is_none());
    }

    #[test]
    fn only_networks_that_the_files_speak_of_count() {
        let file = group(&json!({}));
        let mut extra = live(group(&json!({})));
        extra["metadata"]["name"] = json!("guests");
        let mut foreign = extra.clone();
        foreign["spec"]["networkRef"]["name"] = json!("beta");
        foreign["metadata"]["name"] = json!("beta-staff");
        let objects = compare(&all(&[file]), &all(&[extra, foreign]));
        let told: Vec<(&str, Change)> = objects.iter().map(|o| (o.name.as_str(), o.change)).collect();
        assert_eq!(told, [("guests", Change::OnlyInCluster), ("staff", Change::OnlyInFiles)]);
        assert_eq!(lines(&objects).len(), 2);
    }
}
