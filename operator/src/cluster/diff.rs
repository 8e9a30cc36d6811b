//! Whether an object of the cluster still is as it was wanted: everything that we want is there; what others added does not count.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::labels::APPLIED;

/// Keys by which Kubernetes tells the items of its lists apart.
const ITEM_KEYS: [&str; 7] = ["name", "mountPath", "containerPort", "port", "uid", "topologyKey", "type"];

/// The object with the digest of itself in an annotation: by it, fields that are no longer wanted are noticed.
pub(super) fn with_digest(mut wanted: Value) -> Value {
    let digest = Sha256::digest(wanted.to_string());
    let digest = data_encoding::HEXLOWER.encode(&digest[..16]);
    let annotations = &mut wanted["metadata"]["annotations"];
    if !annotations.is_object() {
        *annotations = Value::Object(Map::new());
    }
    annotations[APPLIED] = Value::String(digest);
    wanted
}

/// Whether `live` has all that `wanted` asks for.
pub(super) fn holds(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| live.get(key).is_some_and(|live| holds(live, value)))
        }
        (Value::Array(live), Value::Array(wanted)) => wanted.iter().all(|item| match key_of(item) {
            Some((key, value)) => live.iter().any(|l| l.get(key) == Some(value) && holds(l, item)),
            None => live.iter().any(|l| holds(l, item)),
        }),
        (live, wanted) => live == wanted || same_quantity(live, wanted),
    }
}

fn key_of(item: &Value) -> Option<(&'static str, &Value)> {
    ITEM_KEYS.into_iter().find_map(|key| item.get(key).map(|value| (key, value)))
}

/// The API server writes some quantities in another way than we do: 1024Mi becomes 1Gi.
fn same_quantity(live: &Value, wanted: &Value) -> bool {
    let amount = |value: &Value| match value {
        Value::String(text) => sotto_crds::Quantity::from(text.as_str()).thousandths().ok(),
        _ => None,
    };
    amount(live).is_some_and(|live| amount(wanted) == Some(live))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_others_added_does_not_count() {
        let wanted = json!({"spec": {"replicas": 1, "containers": [{"name": "relay", "env": ["a"]}]}});
        let live = json!({
            "spec": {
                "replicas": 1,
                "paused": false,
                "containers": [{"name": "mesh"}, {"name": "relay", "env": ["b", "a"], "terminationMessagePath": "/dev/x"}],
            },
            "status": {},
        });
        assert!(holds(&live, &wanted));
    }

    #[test]
    fn what_is_missing_or_changed_does() {
        let wanted = json!({"spec": {"replicas": 1, "ports": [{"name": "a", "port": 1}]}});
        for live in [
            json!({"spec": {"replicas": 2, "ports": [{"name": "a", "port": 1}]}}),
            json!({"spec": {"replicas": 1, "ports": [{"name": "a", "port": 2}]}}),
            json!({"spec": {"replicas": 1, "ports": []}}),
            json!({"spec": {"replicas": 1}}),
            json!({}),
        ] {
            assert!(!holds(&live, &wanted), "{live}");
        }
    }

    #[test]
    fn quantities_are_compared_by_value() {
        assert!(holds(&json!({"memory": "1Gi", "cpu": "1"}), &json!({"memory": "1024Mi", "cpu": "1000m"})));
        assert!(!holds(&json!({"memory": "1Gi"}), &json!({"memory": "1G"})));
    }

    #[test]
    fn a_field_that_is_no_longer_wanted_is_noticed() {
        let before = with_digest(json!({"metadata": {"name": "x"}, "spec": {"a": 1, "b": 2}}));
        let now = with_digest(json!({"metadata": {"name": "x"}, "spec": {"a": 1}}));
        assert!(!holds(&before, &now) && holds(&before, &before));
    }
}
