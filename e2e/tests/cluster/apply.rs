//! Applying the manifests.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sotto_e2e::{Aws, Outcome, ensure, fail, wait_until};

use crate::{CHAT, KINDS, PATIENCE, Scene};

/// The condition of that type.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}

/// An error unless the object is Ready in its present form.
pub(crate) fn ready(object: &Value) -> Outcome {
    let name = format!("{} {}", object["kind"], object["metadata"]["name"]);
    let generation = &object["metadata"]["generation"];
    let Some(ready) = condition(object, "Ready") else { return fail(format!("{name} has no Ready condition yet")) };
    ensure(
        ready["status"] == "True"
            && object["status"]["observedGeneration"] == *generation
            && ready["observedGeneration"] == *generation,
        || format!("{name} is not Ready at generation {generation}: {ready}"),
    )
}

/// Waits until every object of ours is Ready in its present form.
pub(crate) fn all_ready(scene: &Scene, limit: Duration) -> Outcome {
    wait_until("all objects Ready at their generation", limit, || {
        for kind in KINDS {
            scene.all(kind)?.iter().try_for_each(ready)?;
        }
        Ok(())
    })
}

pub(crate) fn refusals(scene: &mut Scene) -> Outcome {
    let object = |kind: &str, spec: Value| json!({"apiVersion": "sotto.dev/v1alpha1", "kind": kind, "metadata": {"name": "wrong", "namespace": CHAT}, "spec": spec});
    let cases = [
        (object("Network", json!({"domain": "Not A Domain"})), "domain"),
        (
            object("Network", json!({"domain": "chat.acme.example", "metrics": {"cloudWatch": {"enabled": true}}})),
            "region",
        ),
        (object("User", json!({"networkRef": {"name": "x"}, "username": "two words"})), "username"),
        (object("User", json!({"networkRef": {"name": "x"}, "invite": {"ttl": "10m"}})), "ttl must be from 1h to 90d"),
        (object("SecurityGroup", json!({"networkRef": {"name": "x"}, "messaging": {"maxTtl": "400d"}})), "maxTtl"),
        (object("RetentionPolicy", json!({"networkRef": {"name": "x"}, "destination": {}})), "exactly one destination"),
    ];
    for (object, word) in cases {
        let said = scene.cluster.kubectl().args(["apply", "--filename", "-"]).input(object.to_string()).refused()?;
        ensure(said.contains(word), || format!("the refusal of {object} does not say `{word}`:\n{said}"))?;
    }
    Ok(())
}

pub(crate) fn until_ready(scene: &mut Scene) -> Outcome {
    let begin = Instant::now();
    scene.cluster.kubectl().args(["apply", "--namespace", CHAT, "--filename"]).arg(Scene::manifests()).output()?;
    let wait =
        |kinds: &str| scene.cluster.wait(PATIENCE, &["--namespace", CHAT, "--for=condition=Ready", kinds, "--all"]);
    wait("networks")?;
    let networks = begin.elapsed();
    wait("securitygroups,users,retentionpolicies")?;
    let all = begin.elapsed();
    scene.figures.time("kubectl_apply_until_network_ready", networks);
    scene.figures.time("kubectl_apply_until_all_ready", all);
    all_ready(scene, Duration::from_secs(10))
}

/// Makes the networks publish to the AWS stand-in, every few seconds, with credentials from a Secret.
pub(crate) fn cloudwatch_on(scene: &mut Scene) -> Outcome {
    let data: Value = Aws::credentials().into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    scene.cluster.apply(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "aws", "namespace": CHAT}, "stringData": data,
    }))?;
    let patch = json!({"spec": {"metrics": {"cloudWatch": {
        "enabled": true, "intervalSeconds": 5, "region": Aws::REGION,
        "endpointURL": Aws::ENDPOINT, "credentialsSecretName": "aws",
    }}}});
    for network in scene.all("networks")? {
        let name = network["metadata"]["name"].as_str().unwrap_or_default();
        scene
            .cluster
            .kubectl()
            .args(["patch", "network", name, "--namespace", CHAT, "--type=merge", "--patch"])
            .arg(patch.to_string())
            .output()?;
    }
    all_ready(scene, PATIENCE)?;
    // Ready must mean that the new pods serve, not that the old ones still do.
    for kind in ["statefulsets", "deployments"] {
        for workload in scene.all(kind)? {
            let name = format!("{kind}/{}", workload["metadata"]["name"].as_str().unwrap_or_default());
            scene
                .cluster
                .kubectl()
                .args(["rollout", "status", &name, "--namespace", CHAT, "--timeout=120s"])
                .limit(PATIENCE)
                .output()?;
        }
    }
    Ok(())
}
