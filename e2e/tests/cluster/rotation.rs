//! New certificates on demand, while people talk.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use sotto_e2e::{Outcome, ensure, wait_until};

use crate::messages::{People, arrives};
use crate::{CHAT, PATIENCE, Scene};

/// The kubelet brings a changed Secret into a pod within a minute and a half, the relay looks every ten seconds.
const TAKEN_UP: Duration = Duration::from_mins(4);
const WORD: &str = "while-they-talk";

/// Pods of the network with their count of restarts.
fn pods(scene: &Scene, network: &str) -> Outcome<Vec<(Value, Value)>> {
    let selector = format!("sotto.dev/network={network}");
    let mut pods = scene.cluster.list(&["pods", "--namespace", CHAT, "--selector", &selector])?;
    pods.sort_by_key(|pod| pod["metadata"]["name"].as_str().map(str::to_owned));
    let seen =
        |pod: &Value| (pod["metadata"]["uid"].clone(), pod["status"]["containerStatuses"][0]["restartCount"].clone());
    Ok(pods.iter().map(seen).collect())
}

/// Whether both listeners of the relay have taken up new certificates.
fn taken_up(scene: &Scene, network: &str) -> Outcome<bool> {
    let pod = format!("{network}-relay-0");
    let log = scene.cluster.kubectl().args(["logs", &pod, "--namespace", CHAT, "--since", "10m"]).output()?;
    Ok(log.matches("new certificates are in use").count() >= 2)
}

pub(crate) fn rotate(scene: &mut Scene, people: &People) -> Outcome {
    let People { alice, bob, network, .. } = people;
    let before = pods(scene, network)?;
    let mut follower = bob.follow(scene)?;
    alice.send(scene, bob, "before the certificates change")?;
    arrives(&mut follower, "before the certificates change", Duration::from_secs(30))?;
    let begin = Instant::now();
    let rotate = format!("sotto.dev/rotate={WORD}");
    scene.cluster.kubectl().args(["annotate", "network", network, "--namespace", CHAT, &rotate]).output()?;
    wait_until("the certificates are made", PATIENCE, || {
        let status = scene.cluster.get(&["network", network, "--namespace", CHAT])?["status"].clone();
        ensure(status["rotated"] == WORD, || status.to_string())
    })?;
    // Each command opens connections of its own: none may be refused.
    let mut sent = 0;
    while !taken_up(scene, network)? {
        ensure(begin.elapsed() < TAKEN_UP, || "the relay has not taken up the new certificates".into())?;
        alice.send(scene, bob, &format!("while the certificates change, {sent}."))?;
        sent += 1;
        sleep(Duration::from_secs(1));
    }
    eprintln!("            {sent} messages were sent while the certificates changed");
    scene.figures.time("certificates_rotated", begin.elapsed());
    alice.send(scene, bob, "after the certificates have changed")?;
    arrives(&mut follower, "after the certificates have changed", Duration::from_secs(30))?;
    for number in 0..sent {
        arrives(&mut follower, &format!("while the certificates change, {number}."), Duration::from_secs(30))?;
    }
    let log = follower.log()?;
    follower.stop()?;
    ensure(!log.contains("connecting again"), || format!("bob's connection was closed:\n{log}"))?;
    let after = pods(scene, network)?;
    ensure(before == after, || format!("pods were restarted: {before:?} became {after:?}"))
}
