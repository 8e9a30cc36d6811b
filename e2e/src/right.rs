//! What a namespace has to look like when nothing is under way: every custom resource Ready at its generation, nothing left over,
//! nothing missing, and nothing that still changes. The end of every fault's test.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::{Failure, Outcome, Relays, Run, ensure, fail, wait_until};

/// What people make.
const OURS: [&str; 4] = ["networks", "securitygroups", "users", "retentionpolicies"];
/// What the operator makes for it.
const MADE: [&str; 11] = [
    "serviceaccounts",
    "configmaps",
    "persistentvolumeclaims",
    "services",
    "statefulsets",
    "deployments",
    "poddisruptionbudgets",
    "networkpolicies",
    "ingresses",
    "rolebindings",
    "secrets",
];
/// The label of what the operator makes.
const MANAGED: (&str, &str) = ("app.kubernetes.io/managed-by", "sotto-operator");
const NETWORK: &str = "sotto.dev/network";
const POLICY: &str = "sotto.dev/policy";
/// How long nothing may change for the namespace to count as quiet.
const QUIET: Duration = Duration::from_secs(2);

/// A namespace, and the relays of its networks when they are stand-ins.
pub struct Right<'a> {
    kubectl: Run,
    namespace: String,
    relays: Option<&'a Relays>,
}

/// What is there: by kind and name, what has to be the same whatever happened on the way.
pub type Picture = BTreeMap<String, String>;

impl<'a> Right<'a> {
    /// Of this namespace, seen with this `kubectl`.
    pub fn new(kubectl: Run, namespace: &str, relays: Option<&'a Relays>) -> Self {
        Self { kubectl, namespace: namespace.to_owned(), relays }
    }

    /// All custom resources, and all that the operator has made.
    pub fn objects(&self) -> Outcome<Vec<Value>> {
        let kinds: Vec<&str> = OURS.iter().chain(&MADE).copied().collect();
        let mut objects = crate::cluster::list(&self.kubectl, &[&kinds.join(","), "--namespace", &self.namespace])?;
        objects.retain(|object| is_ours(object) || object["metadata"]["labels"][MANAGED.0] == MANAGED.1);
        Ok(objects)
    }

    /// Waits until all is right and quiet; gives the picture of it. `each` is called before every look: it may see to it that an
    /// operator runs.
    pub fn wait(&self, limit: Duration, mut each: impl FnMut() -> Outcome) -> Outcome<Picture> {
        wait_until(&format!("all is right in {}", self.namespace), limit, || {
            each()?;
            let problems = problems(&self.objects()?);
            ensure(problems.is_empty(), || problems.join("; "))?;
            let before = versions(&self.objects()?);
            std::thread::sleep(QUIET);
            let objects = self.objects()?;
            let changed: Vec<String> = before
                .iter()
                .filter(|(name, version)| versions(&objects).get(*name) != Some(version))
                .map(|(name, _)| name.clone())
                .collect();
            ensure(changed.is_empty(), || format!("not quiet: {} changed", changed.join(", ")))?;
            let mut picture = picture(&objects);
            for network in objects.iter().filter(|object| object["kind"] == "Network") {
                picture.extend(self.relay(&name(network))?);
            }
            Ok(picture)
        })
    }

    /// What a relay has.
    fn relay(&self, network: &str) -> Outcome<Picture> {
        let Some(relays) = self.relays else { return Ok(Picture::new()) };
        let state = relays.state(&self.namespace, network);
        ensure(state.network.is_some(), || format!("the relay of {network} has no document"))?;
        let mut picture = Picture::new();
        for group in state.groups.keys() {
            picture.insert(format!("relay {network}: group {group}"), String::new());
        }
        for (user, user_state) in &state.users {
            picture.insert(format!("relay {network}: user {user}"), user_state.wanted.group.clone());
        }
        Ok(picture)
    }

    /// Waits until no custom resource is left, and of what the operator made only Secrets and volume claims that are kept by
    /// design; gives the picture of these.
    pub fn wait_gone(&self, limit: Duration, mut each: impl FnMut() -> Outcome) -> Outcome<Picture> {
        wait_until(&format!("nothing is left in {}", self.namespace), limit, || {
            each()?;
            let objects = self.objects()?;
            let left: Vec<String> = objects.iter().filter(|object| !may_stay(object)).map(id).collect();
            ensure(left.is_empty(), || format!("there still are {}", left.join(", ")))?;
            Ok(picture(&objects))
        })
    }
}

/// An error that names each difference between two pictures.
pub fn same(before: &Picture, after: &Picture) -> Outcome {
    let mut differences = Vec::new();
    for (name, content) in before {
        match after.get(name) {
            None => differences.push(format!("{name} is missing")),
            Some(other) if other != content => {
                differences.push(format!("{name} is not as it was: {content} / {other}"));
            }
            Some(_) => {}
        }
    }
    differences
        .extend(after.keys().filter(|name| !before.contains_key(*name)).map(|name| format!("{name} is left over")));
    if differences.is_empty() { Ok(()) } else { Err(Failure(differences.join("\n"))) }
}

/// Only what the picture of another run of the same manifests must have as well: names, and not what is made anew each time.
pub fn names(picture: &Picture) -> Picture {
    picture.keys().map(|name| (name.clone(), String::new())).collect()
}

/// Fails with `picture` unless it holds this object.
pub fn holds(picture: &Picture, object: &str) -> Outcome {
    if picture.contains_key(object) { Ok(()) } else { fail(format!("no {object} in {picture:?}")) }
}

fn is_ours(object: &Value) -> bool {
    object["apiVersion"].as_str().is_some_and(|version| version.starts_with("sotto.dev/"))
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn id(object: &Value) -> String {
    format!("{}/{}", object["kind"].as_str().unwrap_or_default(), name(object))
}

/// Keys and data outlive their network (`deletionPolicy: Retain`): they are not owned by it.
fn may_stay(object: &Value) -> bool {
    matches!(object["kind"].as_str(), Some("Secret" | "PersistentVolumeClaim"))
        && object["metadata"]["ownerReferences"].as_array().is_none_or(Vec::is_empty)
        && object["metadata"]["deletionTimestamp"].is_null()
}

fn versions(objects: &[Value]) -> BTreeMap<String, String> {
    objects.iter().map(|object| (id(object), object["metadata"]["resourceVersion"].to_string())).collect()
}

/// What must be the same after a fault as before: what is in Secrets, and how workloads are specified.
fn picture(objects: &[Value]) -> Picture {
    let content = |object: &Value| match object["kind"].as_str() {
        // As a number, so that an error shows no secret.
        Some("Secret") => format!("data {:016x}", digest(&object["data"])),
        Some("StatefulSet" | "Deployment") => format!("spec {:016x}", digest(&object["spec"])),
        _ => String::new(),
    };
    objects.iter().map(|object| (id(object), content(object))).collect()
}

fn digest(value: &Value) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

/// What is not right, for a person.
fn problems(objects: &[Value]) -> Vec<String> {
    let mut problems = Vec::new();
    for object in objects.iter().filter(|object| is_ours(object)) {
        problems.extend(unready(object).map(|why| format!("{}: {why}", id(object))));
    }
    let uids: Vec<&Value> = objects.iter().map(|object| &object["metadata"]["uid"]).collect();
    let there =
        |kind: &str, wanted: &Value| objects.iter().any(|o| o["kind"] == kind && &o["metadata"]["name"] == wanted);
    for object in objects.iter().filter(|object| !is_ours(object)) {
        let meta = &object["metadata"];
        if !meta["deletionTimestamp"].is_null() {
            problems.push(format!("{} is being deleted", id(object)));
        }
        for owner in meta["ownerReferences"].as_array().into_iter().flatten() {
            if !uids.contains(&&owner["uid"]) {
                problems.push(format!("{} has an owner that is not there", id(object)));
            }
        }
        for (label, kind) in [(NETWORK, "Network"), (POLICY, "RetentionPolicy")] {
            let named = &meta["labels"][label];
            if !named.is_null() && !there(kind, named) && !may_stay(object) {
                problems.push(format!("{} is of a {kind} that is not there", id(object)));
            }
        }
    }
    problems
}

/// Why an object is not Ready at its generation.
fn unready(object: &Value) -> Option<String> {
    let (meta, status) = (&object["metadata"], &object["status"]);
    if !meta["deletionTimestamp"].is_null() {
        return Some("is being deleted".into());
    }
    if status["observedGeneration"] != meta["generation"] {
        return Some(format!("generation {} is seen, not {}", status["observedGeneration"], meta["generation"]));
    }
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    for condition in conditions {
        if condition["observedGeneration"] != meta["generation"] {
            return Some(format!(
                "the condition {} is of generation {}",
                condition["type"], condition["observedGeneration"]
            ));
        }
    }
    for (kind, wanted) in [("Ready", "True"), ("Progressing", "False"), ("Degraded", "False")] {
        match conditions.iter().find(|condition| condition["type"] == kind) {
            None => return Some(format!("no condition {kind}")),
            Some(condition) if condition["status"] != wanted => {
                return Some(format!(
                    "{kind} is {}: {}: {}",
                    condition["status"], condition["reason"], condition["message"]
                ));
            }
            Some(_) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn network(change: impl FnOnce(&mut Value)) -> Value {
        let condition = |kind, status| json!({"type": kind, "status": status, "observedGeneration": 3, "reason": "R", "message": "m"});
        let mut object = json!({
            "apiVersion": "sotto.dev/v1alpha1", "kind": "Network",
            "metadata": {"name": "acme", "uid": "1", "generation": 3, "resourceVersion": "9"},
            "status": {
                "observedGeneration": 3,
                "conditions": [condition("Ready", "True"), condition("Progressing", "False"), condition("Degraded", "False")],
            },
        });
        change(&mut object);
        object
    }

    fn made(kind: &str, owner: &str, network: &str) -> Value {
        json!({"apiVersion": "v1", "kind": kind, "metadata": {
            "name": "acme-x", "labels": {NETWORK: network}, "ownerReferences": [{"uid": owner}],
        }})
    }

    #[test]
    fn good_is_good() {
        assert_eq!(problems(&[network(|_| {}), made("Service", "1", "acme")]), Vec::<String>::new());
    }

    #[test]
    fn everything_that_is_not_right_is_named() {
        let one = |object| problems(&[object]).join(" ");
        assert!(one(network(|n| n["status"]["observedGeneration"] = 2.into())).contains("generation 2 is seen"));
        assert!(
            one(network(|n| n["status"]["conditions"][1]["observedGeneration"] = 2.into())).contains("\"Progressing\"")
        );
        assert!(
            one(network(|n| n["status"]["conditions"][0]["status"] = "False".into())).contains("Ready is \"False\"")
        );
        assert!(one(network(|n| n["status"] = Value::Null)).contains("null is seen"));
        assert!(one(network(|n| n["metadata"]["deletionTimestamp"] = "now".into())).contains("being deleted"));
        let two = |object| problems(&[network(|_| {}), object]).join(" ");
        assert!(two(made("Service", "2", "acme")).contains("owner that is not there"));
        assert!(two(made("Service", "1", "beta")).contains("of a Network that is not there"));
    }

    #[test]
    fn only_what_nobody_owns_may_stay() {
        assert!(!may_stay(&made("Secret", "1", "acme")) && !may_stay(&network(|_| {})));
        let mut kept = made("Secret", "1", "acme");
        kept["metadata"]["ownerReferences"] = json!([]);
        assert!(may_stay(&kept));
        kept["kind"] = "Service".into();
        assert!(!may_stay(&kept));
    }

    #[test]
    fn pictures_are_compared_by_name_and_content() {
        let picture =
            |all: &[(&str, &str)]| all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Picture>();
        let before = picture(&[("a", "1"), ("b", "1")]);
        same(&before, &before).unwrap();
        let said = same(&before, &picture(&[("a", "2"), ("c", "1")])).unwrap_err().0;
        assert!(
            said.contains("a is not as it was") && said.contains("b is missing") && said.contains("c is left over"),
            "{said}"
        );
    }
}
