//! Objects of ours as they are read: what matters of each, whatever else is in it.

use std::collections::BTreeMap;

use kube::api::ApiResource;
use serde::Serialize;
use serde_json::Value;
use sotto_crds::{Network, RetentionPolicy, SecurityGroup, User};
use sotto_operator::plan::COMPLETE;

/// The annotation that stops changes.
pub const PAUSED: &str = "sotto.dev/paused";
/// The annotation that asks for new certificates.
pub const ROTATE: &str = "sotto.dev/rotate";

/// Our kinds, as they can be asked for.
pub(crate) fn kinds() -> [ApiResource; 4] {
    [
        ApiResource::erase::<Network>(&()),
        ApiResource::erase::<SecurityGroup>(&()),
        ApiResource::erase::<User>(&()),
        ApiResource::erase::<RetentionPolicy>(&()),
    ]
}

/// How an object is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum State {
    /// Something is wrong.
    Degraded,
    /// It is being deleted.
    Deleting,
    /// The operator has not looked at this spec yet.
    Unseen,
    /// On the way.
    Progressing,
    /// The operator changes nothing.
    Paused,
    /// As the spec wants it.
    Ready,
}

impl State {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Degraded => "Degraded",
            Self::Deleting => "Deleting",
            Self::Unseen => "Unseen",
            Self::Progressing => "Progressing",
            Self::Paused => "Paused",
            Self::Ready => "Ready",
        }
    }
}

/// What matters of one of our objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The Network that it belongs to; its own name for a Network.
    pub network: String,
    /// How it is doing.
    pub state: State,
    /// Why, in a word.
    pub reason: String,
    /// Why, and what to do.
    pub message: String,
    /// What else there is to say: address, URL, destination and so on.
    pub facts: BTreeMap<String, String>,
}

/// The text at a JSON pointer; empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The condition of this type.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object.pointer("/status/conditions")?.as_array()?.iter().find(|c| c["type"] == kind)
}

impl Seen {
    /// Of an object as the cluster gives it.
    pub fn of(object: &Value) -> Self {
        let kind = text(object, "/kind").to_owned();
        let name = text(object, "/metadata/name").to_owned();
        let network = if kind == "Network" { name.clone() } else { text(object, "/spec/networkRef/name").to_owned() };
        let (state, reason, message) = state(object);
        Self {
            namespace: text(object, "/metadata/namespace").to_owned(),
            network,
            state,
            reason,
            message,
            facts: facts(&kind, object),
            kind,
            name,
        }
    }
}

/// How an object is doing, by its conditions and the generation that they speak of.
fn state(object: &Value) -> (State, String, String) {
    let word = |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    let of = |state: State, condition: &Value| (state, word(condition, "reason"), word(condition, "message"));
    let ready = condition(object, "Ready");
    if !text(object, "/metadata/deletionTimestamp").is_empty() {
        let (reason, message) = ready.map(|c| (word(c, "reason"), word(c, "message"))).unwrap_or_default();
        let held = object.pointer("/metadata/finalizers").and_then(Value::as_array);
        let held: Vec<&str> = held.into_iter().flatten().filter_map(Value::as_str).collect();
        let waits = if held.is_empty() { String::new() } else { format!("held by {}; ", held.join(", ")) };
        return (
            State::Deleting,
            reason,
            format!("is being deleted; {waits}{message}").trim_end_matches("; ").to_owned(),
        );
    }
    if let Some(paused) = condition(object, "Paused").filter(|c| c["status"] == "True") {
        return of(State::Paused, paused);
    }
    let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
    let observed = object.pointer("/status/observedGeneration").and_then(Value::as_i64);
    if generation.is_some() && generation != observed {
        let message = "the operator has not looked at this spec yet; is it running, and does it watch this namespace?";
        return (State::Unseen, String::new(), message.to_owned());
    }
    match ready {
        Some(ready) if ready["status"] == "True" => of(State::Ready, ready),
        Some(ready) => {
            let degraded = condition(object, "Degraded").is_some_and(|c| c["status"] == "True");
            of(if degraded { State::Degraded } else { State::Progressing }, ready)
        }
        None => (State::Unseen, String::new(), "has no condition Ready".to_owned()),
    }
}

fn facts(kind: &str, object: &Value) -> BTreeMap<String, String> {
    let fields: &[(&str, &str)] = match kind {
        "Network" => &[
            ("domain", "/spec/domain"),
            ("url", "/status/url"),
            ("version", "/status/version"),
            ("federation", "/spec/federation/mode"),
            ("rotated", "/status/rotated"),
        ],
        "SecurityGroup" => &[("default", "/spec/default"), ("users", "/status/users")],
        "User" => &[
            ("address", "/status/address"),
            ("state", "/status/state"),
            ("devices", "/status/devices"),
            ("group", "/spec/securityGroupRef/name"),
        ],
        "RetentionPolicy" => &[
            ("enabled", "/spec/enabled"),
            ("destination", "/status/destination"),
            ("waiting", "/status/pending"),
            ("registered", "/status/registered"),
        ],
        _ => &[],
    };
    let fact = |(name, pointer): &(&str, &str)| {
        let text = match object.pointer(pointer)? {
            Value::String(text) => text.clone(),
            Value::Null => return None,
            other => other.to_string(),
        };
        Some(((*name).to_owned(), text))
    };
    let record = incomplete(object).map(|words| ("record".to_owned(), words));
    fields.iter().filter_map(fact).chain(record).collect()
}

/// What a RetentionPolicy says of its record, where that is not complete.
fn incomplete(object: &Value) -> Option<String> {
    let complete = condition(object, COMPLETE).filter(|c| c["status"] != "True")?;
    let word = |field: &str| complete[field].as_str().unwrap_or_default();
    Some(format!("{}: {}", word("reason"), word("message")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn user(generation: i64, observed: i64, ready: &str, degraded: &str) -> Value {
        json!({
            "kind": "User",
            "metadata": {"name": "alice", "namespace": "chat", "generation": generation},
            "spec": {"networkRef": {"name": "acme"}},
            "status": {
                "observedGeneration": observed,
                "address": "alice@chat.acme.example",
                "devices": 2,
                "conditions": [
                    {"type": "Ready", "status": ready, "reason": "Why", "message": "because"},
                    {"type": "Degraded", "status": degraded},
                ],
            },
        })
    }

    #[test]
    fn conditions_count_for_their_generation_only() {
        let state =
            |generation, observed, ready, degraded| Seen::of(&user(generation, observed, ready, degraded)).state;
        assert_eq!(state(2, 2, "True", "False"), State::Ready);
        assert_eq!(state(2, 2, "False", "False"), State::Progressing);
        assert_eq!(state(2, 2, "False", "True"), State::Degraded);
        assert_eq!(state(3, 2, "True", "False"), State::Unseen);
        assert_eq!(state(1, -1, "True", "False"), State::Unseen);
        let seen = Seen::of(&user(2, 2, "True", "False"));
        assert_eq!((seen.network.as_str(), seen.facts["devices"].as_str()), ("acme", "2"));
        assert_eq!((seen.reason.as_str(), seen.message.as_str()), ("Why", "because"));
    }

    #[test]
    fn a_record_with_holes_says_so() {
        let policy = |complete: &str| {
            let conditions = json!([
                {"type": "Ready", "status": "True", "reason": "Reconciled", "message": "good"},
                {"type": "Complete", "status": complete, "reason": "MessagesMissing", "message": "3 are missing"},
            ]);
            Seen::of(
                &json!({"kind": "RetentionPolicy", "metadata": {"name": "keep"}, "status": {"conditions": conditions}}),
            )
        };
        assert_eq!(policy("True").facts.get("record"), None);
        let seen = policy("False");
        assert_eq!((seen.state, seen.facts["record"].as_str()), (State::Ready, "MessagesMissing: 3 are missing"));
    }

    #[test]
    fn what_is_deleted_says_what_holds_it() {
        let mut object = user(2, 2, "False", "True");
        object["metadata"]["deletionTimestamp"] = json!("2026-11-23T00:00:00Z");
        object["metadata"]["finalizers"] = json!(["sotto.dev/relay-account"]);
        let seen = Seen::of(&object);
        assert_eq!(seen.state, State::Deleting);
        assert_eq!(seen.message, "is being deleted; held by sotto.dev/relay-account; because");
    }

    #[test]
    fn a_paused_object_says_so_before_all_else() {
        let mut object = user(3, 2, "True", "False");
        let paused = json!({"type": "Paused", "status": "True", "reason": "Paused", "message": "by annotation"});
        object["status"]["conditions"].as_array_mut().unwrap().push(paused);
        assert_eq!(Seen::of(&object).state, State::Paused);
    }

    #[test]
    fn an_object_that_is_not_as_it_should_be_is_shown_too() {
        let seen = Seen::of(&json!({"kind": "User", "metadata": {"name": 7}, "spec": "no"}));
        assert_eq!((seen.state, seen.name.as_str()), (State::Unseen, ""));
        assert_eq!(Seen::of(&Value::Null).state, State::Unseen);
    }
}
