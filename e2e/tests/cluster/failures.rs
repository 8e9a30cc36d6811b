//! What goes wrong in a cluster's life.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sotto_e2e::{Failure, Outcome, ensure, fail, wait_until};

use crate::apply::all_ready;
use crate::messages::{People, all_recorded};
use crate::{CHAT, PATIENCE, SYSTEM, Scene};

/// Messages sent around the loss of a pod.
const MESSAGES: usize = 24;

/// The StatefulSet of a network's relay: the one that its own labels or name call so.
fn relay_of(scene: &Scene, network: &str) -> Outcome<Value> {
    let found = scene.all("statefulsets")?.into_iter().find(|set| {
        let name = set["metadata"]["name"].as_str().unwrap_or_default();
        name.contains(network) && name.contains("relay")
    });
    found.ok_or_else(|| Failure(format!("no StatefulSet of the relay of network {network}")))
}

/// Deletes the relay's pod while alice sends; whatever she was told is accepted must arrive, and be retained.
pub(crate) fn relay_restart(scene: &mut Scene, people: &People, manner: &str, flags: &[&str]) -> Outcome {
    let pod = format!("{}-0", relay_of(scene, &people.network)?["metadata"]["name"].as_str().unwrap_or_default());
    let before = scene.cluster.get(&["pod", &pod, "--namespace", CHAT])?["metadata"]["uid"].clone();
    let mut follower = people.bob.follow(scene)?;
    let sent = AtomicUsize::new(0);
    let mut away = Duration::ZERO;
    let shared: &Scene = scene;
    let (accepted, refused) = std::thread::scope(|scope| -> Outcome<(Vec<String>, usize)> {
        let sender = scope.spawn(|| {
            let (mut accepted, mut refused) = (Vec::new(), 0);
            for number in 1..=MESSAGES {
                let text = format!("killed {manner}, message {number}.");
                match people.alice.send(shared, &people.bob, &text) {
                    Ok(_) => accepted.push(text),
                    Err(_) => refused += 1,
                }
                sent.store(number, Ordering::SeqCst);
            }
            (accepted, refused)
        });
        wait_until("the first messages", PATIENCE, || {
            ensure(sent.load(Ordering::SeqCst) >= MESSAGES / 4, || "too few are sent".into())
        })?;
        let begin = Instant::now();
        let delete = ["delete", "pod", &pod, "--namespace", CHAT, "--wait=false"];
        shared.cluster.kubectl().args(delete).args(flags).output()?;
        replaced(shared, &pod, &before)?;
        away = begin.elapsed();
        sender.join().map_err(|_| Failure("the sending thread panicked".into()))
    })?;
    eprintln!("            {} accepted, {refused} not accepted while the relay was away", accepted.len());
    scene.figures.time(&format!("relay_pod_deleted_{}_until_ready", manner.replace(' ', "_")), away);
    ensure(accepted.len() >= MESSAGES / 4, || format!("only {} messages were accepted", accepted.len()))?;
    wait_until("every accepted message at bob's", PATIENCE, || {
        follower.still_runs()?;
        let printed = follower.stdout()?;
        for text in &accepted {
            // Delivery is at least once; a person must see it exactly once.
            let count = printed.lines().filter(|line| line.contains(text)).count();
            ensure(count == 1, || format!("`{text}` was printed {count} times"))?;
        }
        Ok(())
    })?;
    follower.stop()?;
    all_recorded(scene, people, &accepted)
}

/// Waits until the pod of this name is another one than before, and ready.
fn replaced(scene: &Scene, pod: &str, before: &Value) -> Outcome {
    wait_until("another relay pod that is ready", PATIENCE, || {
        let now = scene.cluster.get(&["pod", pod, "--namespace", CHAT])?;
        let conditions = now["status"]["conditions"].as_array().cloned().unwrap_or_default();
        ensure(now["metadata"]["uid"] != *before, || "the pod is the old one: it was not deleted".into())?;
        ensure(conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"), || "it is not ready".into())
    })
}

pub(crate) fn suspend(scene: &mut Scene, people: &People) -> Outcome {
    let mut follower = people.bob.follow(scene)?;
    people.alice.send(scene, &people.bob, "before the suspension")?;
    crate::messages::arrives(&mut follower, "before the suspension", Duration::from_secs(30))?;

    let begin = Instant::now();
    set_suspended(scene, &people.bob.name, true)?;
    wait_until("the end of the suspended user's connection", Duration::from_secs(30), || {
        ensure(follower.ended()?.is_some(), || "it still follows".into())
    })?;
    scene.figures.time("kubectl_apply_of_suspension_until_disconnected", begin.elapsed());
    let said = people.bob.sotto(scene, "send")?.args([&people.alice.address, "after the suspension"]).refused()?;
    ensure(said.contains("suspended"), || format!("the suspended user is told why: {said}"))?;
    wait_until("the status Suspended", PATIENCE, || {
        let user = scene.cluster.get(&["user", &people.bob.name, "--namespace", CHAT])?;
        ensure(user["status"]["state"] == "Suspended", || user["status"].to_string())
    })?;

    set_suspended(scene, &people.bob.name, false)?;
    wait_until("the user back after the suspension", PATIENCE, || {
        people.bob.send(scene, &people.alice, "back again").map(drop)
    })
}

/// Changes a User as somebody who edits the manifest and applies it.
fn set_suspended(scene: &Scene, name: &str, suspended: bool) -> Outcome {
    let user = scene.cluster.get(&["user", name, "--namespace", CHAT])?;
    let mut spec = user["spec"].clone();
    spec["suspended"] = json!(suspended);
    let manifest = json!({
        "apiVersion": user["apiVersion"], "kind": user["kind"], "metadata": {"name": name, "namespace": CHAT}, "spec": spec,
    });
    scene.cluster.apply(&manifest).map(drop)
}

/// The Services that the operator made.
fn our_services(scene: &Scene) -> Outcome<Vec<Value>> {
    let mut services = scene.all("services")?;
    services.retain(|service| service["metadata"]["ownerReferences"].is_array());
    Ok(services)
}

pub(crate) fn drift(scene: &mut Scene) -> Outcome {
    let services = our_services(scene)?;
    let Some(service) = services.first() else { return fail("no Service has an owner reference") };
    let (name, uid) = (service["metadata"]["name"].as_str().unwrap_or_default(), &service["metadata"]["uid"]);
    scene.cluster.kubectl().args(["delete", "service", name, "--namespace", CHAT]).output()?;
    let begin = Instant::now();
    wait_until("the Service again", PATIENCE, || {
        let now = scene.cluster.get(&["service", name, "--namespace", CHAT])?;
        ensure(now["metadata"]["uid"] != *uid, || "the old one is still there".into())
    })?;
    scene.figures.time("deleted_service_until_restored", begin.elapsed());
    Ok(())
}

pub(crate) fn operator_restart(scene: &mut Scene) -> Outcome {
    let generations = |kind: &str| -> Outcome<Vec<Value>> {
        Ok(scene.all(kind)?.iter().map(|o| json!([o["metadata"]["name"], o["metadata"]["generation"]])).collect())
    };
    let before = [generations("statefulsets")?, generations("deployments")?];
    let kubectl = |arguments: &[&str]| scene.cluster.kubectl().args(arguments).limit(PATIENCE).output();
    kubectl(&["delete", "pods", "--namespace", SYSTEM, "--all"])?;
    kubectl(&["rollout", "status", "deployment/sotto-operator", "--namespace", SYSTEM, "--timeout=120s"])?;
    all_ready(scene, PATIENCE)?;
    // An operator that starts again must not roll what runs.
    let after = [generations("statefulsets")?, generations("deployments")?];
    ensure(before == after, || {
        format!("workloads were changed by a restart of the operator: {before:?} became {after:?}")
    })
}
