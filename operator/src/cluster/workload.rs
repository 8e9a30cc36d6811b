//! Whether a workload serves what was applied last.

use serde_json::Value;

use crate::plan::Part;

/// Reads it from the StatefulSet or Deployment as the cluster has it. `slow`: it has had its time, so that what is not ready now
/// needs a person.
pub(super) fn part(what: &str, workload: Option<&Value>, slow: bool) -> Part {
    let Some(workload) = workload else {
        return Part { ready: false, failing: false, message: format!("{what} is not made yet") };
    };
    let number = |pointer: &str| workload.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let text = |pointer: &str| workload.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let replicas = workload.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    let current = number("/status/observedGeneration") >= number("/metadata/generation");
    let updated = number("/status/updatedReplicas");
    let mut ready = current && updated >= replicas && number("/status/readyReplicas") >= replicas;
    if workload["kind"] == "Deployment" {
        // Old pods that still serve are not the new ones.
        ready &= number("/status/availableReplicas") >= replicas && number("/status/replicas") == updated;
    } else {
        ready &= text("/status/currentRevision") == text("/status/updateRevision");
    }
    if ready {
        return Part { ready, failing: false, message: format!("{what} is ready") };
    }
    let deadline = workload["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|c| c["type"] == "Progressing" && c["reason"] == "ProgressDeadlineExceeded");
    let failing = deadline || slow;
    let seen = if current { number("/status/readyReplicas").min(updated) } else { 0 };
    let (kind, name) = (text("/kind").to_lowercase(), text("/metadata/name"));
    let hint = format!("; see `kubectl describe {kind} {name}` and the log of its pods");
    let message = format!("{what}: {seen} of {replicas} ready{}", if failing { &hint } else { "" });
    Part { ready, failing, message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(observed: i64, ready: i64, revision: &str) -> Value {
        json!({
            "kind": "StatefulSet",
            "metadata": {"name": "acme-relay", "generation": 2},
            "spec": {"replicas": 1},
            "status": {
                "observedGeneration": observed, "readyReplicas": ready, "updatedReplicas": 1,
                "currentRevision": "b", "updateRevision": revision,
            },
        })
    }

    #[test]
    fn ready_means_the_present_generation() {
        assert!(part("relay", Some(&set(2, 1, "b")), false).ready);
        for old in [set(1, 1, "b"), set(2, 0, "b"), set(2, 1, "c")] {
            let part = part("relay", Some(&old), false);
            assert!(!part.ready && !part.failing, "{part:?}");
        }
        assert!(!part("relay", None, false).ready);
    }

    #[test]
    fn what_has_had_its_time_fails_and_says_where_to_look() {
        let part = part("relay", Some(&set(2, 0, "b")), true);
        assert!(part.failing && part.message.contains("relay: 0 of 1 ready"));
        assert!(part.message.contains("kubectl describe statefulset acme-relay"), "{}", part.message);
    }

    #[test]
    fn a_deployment_with_old_pods_is_not_ready() {
        let deployment = |total: i64, reason: &str| {
            json!({
                "kind": "Deployment",
                "metadata": {"name": "acme-gateway", "generation": 1},
                "spec": {"replicas": 1},
                "status": {
                    "observedGeneration": 1, "replicas": total, "updatedReplicas": 1, "readyReplicas": 1,
                    "availableReplicas": 1, "conditions": [{"type": "Progressing", "reason": reason}],
                },
            })
        };
        assert!(part("gateway", Some(&deployment(1, "NewReplicaSetAvailable")), false).ready);
        assert!(!part("gateway", Some(&deployment(2, "ReplicaSetUpdated")), false).ready);
        assert!(part("gateway", Some(&deployment(2, "ProgressDeadlineExceeded")), false).failing);
    }
}
