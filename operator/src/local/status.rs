//! The objects with their status, as a cluster shows them.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::objects::{Entry, Key};
use crate::plan::{Facts, Health, group_status, network_status, policy_status, user_status};

/// The statuses that were written last, by object.
pub(super) type Before = BTreeMap<Key, Value>;

/// Statuses by object.
pub(super) fn statuses(items: &[Value]) -> Before {
    let text =
        |item: &Value, pointer: &str| item.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let key = |item: &Value| Key {
        kind: text(item, "/kind"),
        namespace: text(item, "/metadata/namespace"),
        name: text(item, "/metadata/name"),
    };
    items.iter().map(|item| (key(item), item.get("status").cloned().unwrap_or_default())).collect()
}

/// One object with its status.
pub(super) fn item(
    key: &Key,
    entry: &Entry,
    before: &Before,
    health: &Health,
    facts: Facts<'_>,
    now: Timestamp,
) -> Value {
    fn old<T: DeserializeOwned>(before: Option<&Value>) -> Option<T> {
        before.and_then(|value| serde_json::from_value(value.clone()).ok())
    }
    fn value(status: impl Serialize) -> Value {
        serde_json::to_value(status).unwrap_or_default()
    }
    let generation = entry.object.pointer("/metadata/generation").and_then(Value::as_i64);
    let (before, name) = (before.get(key), key.name.as_str());
    let status = match key.kind.as_str() {
        "Network" => value(network_status(old(before).as_ref(), health, generation, facts, now)),
        "SecurityGroup" => value(group_status(old(before).as_ref(), name, health, generation, facts, now)),
        "User" => value(user_status(old(before).as_ref(), name, health, generation, facts, now)),
        _ => value(policy_status(old(before).as_ref(), name, health, generation, facts, now)),
    };
    let mut item = entry.object.clone();
    if let Some(map) = item.as_object_mut() {
        map.insert("status".into(), status);
    }
    item
}

/// Objects whose runner does not run: nothing is ready, whatever was written last.
pub(super) fn not_running(items: &mut [Value]) {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    for item in items {
        let conditions = item.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
        for condition in conditions.into_iter().flatten() {
            if condition["status"] != "False" {
                condition["lastTransitionTime"] = json!(now);
            }
            condition["status"] = json!("False");
            condition["reason"] = json!("NotRunning");
            condition["message"] = json!("the local runner does not run; `sotto up` starts it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_ready_when_nobody_runs() {
        let condition = |status: &str| json!({ "type": "Ready", "status": status, "lastTransitionTime": "then" });
        let mut items = vec![
            json!({ "status": { "conditions": [condition("True")] } }),
            json!({ "status": { "conditions": [condition("False")] } }),
            json!({}),
        ];
        not_running(&mut items);
        let of = |i: usize, field: &str| items[i]["status"]["conditions"][0][field].clone();
        assert_eq!((of(0, "status"), of(0, "reason")), (json!("False"), json!("NotRunning")));
        assert_ne!(of(0, "lastTransitionTime"), "then");
        assert_eq!(of(1, "lastTransitionTime"), "then");
    }
}
