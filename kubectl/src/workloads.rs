//! What runs for a network, as far as the API server knows it: workloads, pods, claims, events.

use serde_json::Value;

use crate::objects::{State, text};

/// A StatefulSet or Deployment of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// `StatefulSet` or `Deployment`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Of which network.
    pub network: String,
    /// `relay`, `gateway`, `retention`; `operator` for the operator itself.
    pub component: String,
    /// Of which RetentionPolicy, where it is for one.
    pub policy: String,
    /// How many pods are wanted.
    pub wanted: i64,
    /// How many of them are ready, and of the newest template.
    pub ready: i64,
    /// Whether the controller has seen the newest spec.
    pub current: bool,
}

impl Workload {
    /// Of an object as the cluster gives it.
    pub fn of(object: &Value) -> Self {
        let label = |name: &str| object["metadata"]["labels"][name].as_str().unwrap_or_default().to_owned();
        let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64);
        let wanted = number("/spec/replicas").unwrap_or(1);
        let ready = number("/status/readyReplicas").unwrap_or(0);
        let updated = number("/status/updatedReplicas").unwrap_or(0);
        let component = match label("sotto.dev/component") {
            none if none.is_empty() => label("app.kubernetes.io/component"),
            component => component,
        };
        Self {
            kind: text(object, "/kind").to_owned(),
            namespace: text(object, "/metadata/namespace").to_owned(),
            name: text(object, "/metadata/name").to_owned(),
            network: label("sotto.dev/network"),
            component,
            policy: label("sotto.dev/policy"),
            wanted,
            ready: ready.min(updated),
            current: number("/metadata/generation") == number("/status/observedGeneration"),
        }
    }

    /// How it is doing.
    pub fn state(&self) -> State {
        if self.current && self.ready >= self.wanted { State::Ready } else { State::Progressing }
    }
}

/// A pod of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The labels by which it belongs to a workload: network, component, policy.
    pub place: [String; 3],
    /// `Running`, `Pending`, or what keeps it: `CrashLoopBackOff`, `ImagePullBackOff`.
    pub phase: String,
    /// Whether it is ready.
    pub ready: bool,
    /// What is wrong with it.
    pub causes: Vec<String>,
    /// How often its containers were started again.
    pub restarts: i64,
    /// Its containers.
    pub containers: Vec<String>,
}

impl Pod {
    /// Of an object as the cluster gives it.
    pub fn of(object: &Value) -> Self {
        let label = |name: &str| object["metadata"]["labels"][name].as_str().unwrap_or_default().to_owned();
        let list = |pointer: &str| object.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        let mut phase = text(object, "/status/phase").to_owned();
        let mut causes = Vec::new();
        let mut restarts = 0;
        let conditions: Vec<&Value> = list("/status/conditions").collect();
        for condition in &conditions {
            let (kind, message) = (condition["type"].as_str(), condition["message"].as_str().unwrap_or_default());
            if kind == Some("PodScheduled") && condition["status"] == "False" {
                causes.push(format!("not scheduled: {message}"));
            }
        }
        for status in list("/status/initContainerStatuses").chain(list("/status/containerStatuses")) {
            let name = status["name"].as_str().unwrap_or_default();
            restarts += status["restartCount"].as_i64().unwrap_or(0);
            let waiting = &status["state"]["waiting"];
            if let Some(reason) = waiting["reason"].as_str().filter(|r| *r != "ContainerCreating") {
                reason.clone_into(&mut phase);
                causes.push(said(&format!("{name}: {reason}"), &waiting["message"]));
            }
            let ended = status["state"].get("terminated").or_else(|| status["lastState"].get("terminated"));
            if let Some(ended) = ended.filter(|e| e["exitCode"] != 0 && e.is_object()) {
                let reason = ended["reason"].as_str().unwrap_or("ended");
                causes.push(said(&format!("{name}: {reason}, exit code {}", ended["exitCode"]), &ended["message"]));
            }
        }
        if text(object, "/status/reason") == "Evicted" {
            causes.push(said("evicted", &object["status"]["message"]));
        }
        if !text(object, "/metadata/deletionTimestamp").is_empty() {
            "Terminating".clone_into(&mut phase);
        }
        let ready = conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
        Self {
            namespace: text(object, "/metadata/namespace").to_owned(),
            name: text(object, "/metadata/name").to_owned(),
            place: [label("sotto.dev/network"), label("sotto.dev/component"), label("sotto.dev/policy")],
            phase,
            ready,
            causes,
            restarts,
            containers: list("/spec/initContainers")
                .chain(list("/spec/containers"))
                .filter_map(|c| c["name"].as_str().map(str::to_owned))
                .collect(),
        }
    }
}

fn said(what: &str, message: &Value) -> String {
    match message.as_str().map(str::trim).filter(|m| !m.is_empty()) {
        Some(message) => format!("{what}: {message}"),
        None => what.to_owned(),
    }
}

/// A claim of ours that has no volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Network, component, policy.
    pub place: [String; 3],
    /// `Pending`, `Lost`.
    pub phase: String,
}

impl Claim {
    /// Of an object as the cluster gives it; none where it is bound.
    pub fn of(object: &Value) -> Option<Self> {
        let label = |name: &str| object["metadata"]["labels"][name].as_str().unwrap_or_default().to_owned();
        let phase = text(object, "/status/phase");
        (phase != "Bound").then(|| Self {
            namespace: text(object, "/metadata/namespace").to_owned(),
            name: text(object, "/metadata/name").to_owned(),
            place: [label("sotto.dev/network"), label("sotto.dev/component"), label("sotto.dev/policy")],
            phase: phase.to_owned(),
        })
    }
}

/// A warning of the cluster about an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// When it was last seen, as RFC 3339 says it.
    pub at: String,
    /// The object's namespace.
    pub namespace: String,
    /// The object's kind.
    pub kind: String,
    /// The object's name.
    pub name: String,
    /// Why.
    pub reason: String,
    /// What.
    pub note: String,
    /// How often.
    pub count: i64,
}

impl Event {
    /// Of an `Event` of `v1` or `events.k8s.io/v1`; none where it is no warning.
    pub fn warning(object: &Value) -> Option<Self> {
        if object["type"] != "Warning" {
            return None;
        }
        let about = object.get("involvedObject").or_else(|| object.get("regarding"))?;
        let first = |pointers: &[&str]| {
            let found =
                pointers.iter().find_map(|p| object.pointer(p).and_then(Value::as_str).filter(|t| !t.is_empty()));
            found.unwrap_or_default().to_owned()
        };
        let count = ["/series/count", "/count", "/deprecatedCount"];
        Some(Self {
            at: first(&[
                "/series/lastObservedTime",
                "/lastTimestamp",
                "/deprecatedLastTimestamp",
                "/eventTime",
                "/metadata/creationTimestamp",
            ]),
            namespace: text(about, "/namespace").to_owned(),
            kind: text(about, "/kind").to_owned(),
            name: text(about, "/name").to_owned(),
            reason: text(object, "/reason").to_owned(),
            note: first(&["/message", "/note"]),
            count: count.iter().find_map(|p| object.pointer(p).and_then(Value::as_i64)).unwrap_or(1),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_workload_is_ready_when_the_newest_template_is() {
        let mut set = json!({
            "kind": "StatefulSet",
            "metadata": {"name": "acme-relay", "namespace": "chat", "generation": 2,
                "labels": {"sotto.dev/network": "acme", "sotto.dev/component": "relay"}},
            "spec": {"replicas": 2},
            "status": {"observedGeneration": 2, "readyReplicas": 2, "updatedReplicas": 1},
        });
        assert_eq!((Workload::of(&set).ready, Workload::of(&set).state()), (1, State::Progressing));
        set["status"]["updatedReplicas"] = json!(2);
        assert_eq!(Workload::of(&set).state(), State::Ready);
        set["metadata"]["generation"] = json!(3);
        assert_eq!(Workload::of(&set).state(), State::Progressing);
    }

    #[test]
    fn a_pod_says_what_keeps_it() {
        let pod = Pod::of(&json!({
            "metadata": {"name": "acme-relay-0", "namespace": "chat"},
            "spec": {"containers": [{"name": "relay"}]},
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "False"}],
                "containerStatuses": [{
                    "name": "relay", "restartCount": 4,
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
                    "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
                }],
            },
        }));
        assert_eq!((pod.phase.as_str(), pod.ready, pod.restarts), ("CrashLoopBackOff", false, 4));
        assert_eq!(pod.causes, ["relay: CrashLoopBackOff: back-off 40s", "relay: OOMKilled, exit code 137"]);
        let pod = Pod::of(&json!({"status": {"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}]}}));
        assert_eq!(pod.causes, ["not scheduled: 0/1 nodes are available"]);
    }

    #[test]
    fn warnings_of_both_generations_of_events() {
        let old = json!({"type": "Warning", "reason": "Failed", "message": "no image", "count": 3,
            "lastTimestamp": "2026-11-23T08:00:00Z",
            "involvedObject": {"kind": "Pod", "name": "acme-relay-0", "namespace": "chat"}});
        let event = Event::warning(&old).unwrap();
        assert_eq!((event.count, event.note.as_str(), event.name.as_str()), (3, "no image", "acme-relay-0"));
        let new = json!({"type": "Warning", "reason": "Failed", "note": "no image", "eventTime": "2026-11-23T08:00:00Z",
            "regarding": {"kind": "Pod", "name": "acme-relay-0", "namespace": "chat"}});
        assert_eq!(Event::warning(&new).unwrap().note, "no image");
        assert!(Event::warning(&json!({"type": "Normal"})).is_none());
    }
}
