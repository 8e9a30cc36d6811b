//! A node that is drained, and a relay's volume that is gone.

use std::time::{Duration, Instant};

use serde_json::Value;
use sotto_e2e::right::Right;
use sotto_e2e::{Outcome, ensure, fail, wait_until};

use crate::messages::{People, all_recorded, arrives};
use crate::{CHAT, PATIENCE, Scene};

/// Until everything is right again, pods included.
fn all_right(scene: &Scene) -> Outcome {
    Right::new(scene.cluster.kubectl(), CHAT, None).wait(PATIENCE * 2, || Ok(())).map(drop)
}

/// The one node takes no pods any more and all of ours are evicted; nothing that was accepted is lost.
pub(crate) fn node_drained(scene: &mut Scene, people: &People) -> Outcome {
    let text = "written before the node was drained.";
    people.alice.send(scene, &people.bob, text)?;
    let node = &scene.cluster.list(&["nodes"])?[0]["metadata"]["name"].clone();
    let Some(node) = node.as_str() else { return fail("the node has no name") };
    let kubectl = |arguments: &[&str]| scene.cluster.kubectl().args(arguments).limit(PATIENCE).output();
    // By eviction, so that disruption budgets are asked; the operator and the cluster's DNS have nowhere else to go.
    let ours = "--pod-selector=app.kubernetes.io/managed-by=sotto-operator";
    let begin = Instant::now();
    kubectl(&["drain", node, ours, "--delete-emptydir-data", "--ignore-daemonsets", "--timeout=100s"])?;
    let told = wait_until("the status that tells of it", PATIENCE, || {
        let network = scene.cluster.get(&["network", &people.network, "--namespace", CHAT])?;
        let ready = crate::apply::condition(&network, "Ready").cloned().unwrap_or_default();
        ensure(ready["status"] == "False", || ready.to_string())?;
        Ok(ready["message"].as_str().unwrap_or_default().to_owned())
    });
    // Whatever came of it, the node is of use again afterwards.
    kubectl(&["uncordon", node])?;
    eprintln!("            said of the drained node: {}", told?);
    all_right(scene)?;
    scene.figures.time("node_drained_until_right_again", begin.elapsed());
    let mut follower = people.bob.follow(scene)?;
    arrives(&mut follower, text, Duration::from_mins(1))?;
    people.alice.send(scene, &people.bob, "written after the node was drained.")?;
    arrives(&mut follower, "written after the node was drained.", Duration::from_mins(1))?;
    follower.stop()?;
    all_recorded(scene, people, &[text.to_owned()])
}

/// The volume of another network's relay is gone with all that was on it: the relay begins anew, its users are invited again, and
/// nobody else notices.
pub(crate) fn volume_lost(scene: &mut Scene, people: &People) -> Outcome {
    let networks = scene.all("networks")?;
    let other = networks.iter().map(|network| network["metadata"]["name"].as_str().unwrap_or_default());
    let Some(network) = other.clone().find(|name| *name != people.network) else {
        return fail("there is one network only");
    };
    let claim = format!("{network}-relay-data");
    let uid = |kind: &str, name: &str| -> Outcome<Value> {
        Ok(scene.cluster.get(&[kind, name, "--namespace", CHAT])?["metadata"]["uid"].clone())
    };
    let before = uid("pvc", &claim)?;
    let begin = Instant::now();
    let delete = |kind: &str, name: &str| {
        let arguments = ["delete", kind, name, "--namespace", CHAT, "--wait=false"];
        scene.cluster.kubectl().args(arguments).output().map(drop)
    };
    delete("pvc", &claim)?;
    delete("pod", &format!("{network}-relay-0"))?;
    wait_until("another volume claim", PATIENCE, || {
        ensure(uid("pvc", &claim)? != before, || "it is the old one".into())
    })?;
    all_right(scene)?;
    // The relay knows nobody: whoever had registered is invited again, by a Secret that is there.
    wait_until("new invites", PATIENCE, || {
        for user in scene.all("users")?.iter().filter(|user| user["spec"]["networkRef"]["name"] == network) {
            let secret = user["status"]["inviteSecretName"].as_str().unwrap_or_default();
            ensure(!secret.is_empty(), || format!("no invite: {}", user["status"]))?;
            uid("secret", secret)?;
        }
        Ok(())
    })?;
    all_right(scene)?;
    scene.figures.time("relay_volume_lost_until_right_again", begin.elapsed());
    // The first network went on meanwhile.
    let mut follower = people.bob.follow(scene)?;
    people.alice.send(scene, &people.bob, "nothing happened here.")?;
    arrives(&mut follower, "nothing happened here.", Duration::from_mins(1))?;
    follower.stop()
}
