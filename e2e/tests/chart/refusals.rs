//! Values that cannot be meant are refused by name.

use serde_json::json;
use sotto_e2e::{Outcome, ensure};

use crate::template;

#[test]
#[ignore = "needs Helm: `make chart`"]
fn bad_values_are_refused_by_name() -> Outcome {
    let bad = [
        (json!({"operator": {"replicas": "two"}}), "replicas"),
        (json!({"operator": {"replicas": 6}}), "replicas"),
        (json!({"operator": {"watchNamespaces": "chat"}}), "watchNamespaces"),
        (json!({"operator": {"watchNamespaces": ["Chat"]}}), "watchNamespaces"),
        (json!({"operator": {"watchNamespace": ["chat"]}}), "watchNamespace"),
        (json!({"operator": {"leaderElection": {"leaseDuration": "1m"}}}), "leaseDuration"),
        (json!({"operator": {"leaderElection": {"renewDeadline": "15s"}}}), "renewDeadline"),
        (json!({"operator": {"leaderElection": {"retryPeriod": "10s"}}}), "retryPeriod"),
        (json!({"operator": {"extraEnv": [{"value": "x"}]}}), "extraEnv"),
        (json!({"image": {"pullPolicy": "Sometimes"}}), "pullPolicy"),
        (json!({"image": {"digest": "sha256:abc"}}), "digest"),
        (json!({"image": {"repository": ""}}), "repository"),
        (json!({"imagePullSecrets": ["registry"]}), "imagePullSecrets"),
        (json!({"networkPolicy": {"apiServerPorts": []}}), "apiServerPorts"),
        (json!({"admissionPolicies": {"contradictions": "Maybe"}}), "contradictions"),
        (json!({"commonLabels": {"a": 1}}), "commonLabels"),
        (json!({"metrics": {"serviceMonitor": {"enabled": true}}}), "metrics.service"),
        (json!({"serviceAccount": {"create": false}}), "serviceAccount.name"),
        (json!({"replicas": 2}), "replicas"),
    ];
    for (values, name) in bad {
        let said = template(&values.to_string()).refused()?;
        ensure(said.contains(name), || format!("{values}: the refusal does not name {name}:\n{said}"))?;
    }
    Ok(())
}

#[test]
#[ignore = "needs Helm: `make chart`"]
fn good_values_at_the_edge_are_taken() -> Outcome {
    let good = [
        json!({}),
        json!({"global": {"anything": 1}}),
        json!({"operator": {"replicas": 0}}),
        json!({"operator": {"replicas": 5, "resources": {}, "leaderElection": {"retryPeriod": "9s"}}}),
        json!({"image": {"tag": "v1.2_3"}}),
    ];
    for values in good {
        template(&values.to_string()).output()?;
    }
    Ok(())
}
