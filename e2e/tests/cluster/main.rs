//! From `helm install` and `kubectl apply` to a message, its retained record and its metrics, on a real Kubernetes; then what
//! goes wrong in a cluster's life; then the end, with nothing left behind.
//!
//! One test, because each step builds on the one before. `make e2e-cluster` starts a cluster for it.

mod apply;
mod failures;
mod install;
mod losses;
mod messages;
mod rotation;
mod teardown;
mod upgrade;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use sotto_e2e::{Cluster, Figures, Outcome, Place, Steps, repository};

/// Namespace of the operator.
const SYSTEM: &str = "sotto-system";
/// Namespace of the networks.
const CHAT: &str = "chat";
/// The custom resources.
const KINDS: [&str; 4] = ["networks", "securitygroups", "users", "retentionpolicies"];
/// How long anything may take that Kubernetes does, on a machine that is busy.
const PATIENCE: Duration = Duration::from_mins(2);

/// What the steps share.
struct Scene {
    cluster: Cluster,
    figures: Figures,
}

impl Scene {
    /// The manifests that a person would apply.
    fn manifests() -> PathBuf {
        repository().join("examples/manifests")
    }

    /// The state folder of the own cluster.
    fn state(&self) -> Option<&Path> {
        match self.cluster.place() {
            Place::Own(state) => Some(state),
            Place::Existing => None,
        }
    }

    /// All objects of one kind in the networks' namespace.
    fn all(&self, kind: &str) -> Outcome<Vec<Value>> {
        self.cluster.list(&[kind, "--namespace", CHAT])
    }
}

#[test]
#[ignore = "needs a cluster: `make e2e-cluster`"]
fn from_apply_to_the_retained_message_and_back_to_nothing() -> Outcome {
    let mut steps = Steps::new();
    let mut scene = Scene { cluster: Cluster::from_environment()?, figures: Figures::new() };
    let result = run(&mut steps, &mut scene);
    // Figures of the steps that went well are of use also when a later one failed.
    scene.figures.write()?;
    result
}

fn run(steps: &mut Steps, scene: &mut Scene) -> Outcome {
    steps.step("namespaces that enforce the restricted Pod Security standard", || install::namespaces(scene))?;
    steps.step("the image", || install::image_size(scene))?;
    steps.step("helm install", || install::helm_install(scene))?;
    steps.step("kubectl explain teaches every field", || install::explain(scene))?;
    steps.step("the API server refuses what one object can know to be wrong", || apply::refusals(scene))?;
    steps.step("kubectl apply -f examples/manifests, until all is Ready", || apply::until_ready(scene))?;
    if scene.state().is_some() {
        talk(steps, scene)?;
    } else {
        eprintln!(
            "LEFT OUT on an existing cluster: messages, records, metrics, lost pods (its network and volumes cannot be entered)"
        );
    }
    steps.step("a Service that somebody deleted comes back", || failures::drift(scene))?;
    steps.step("a deleted operator pod is replaced and goes on", || failures::operator_restart(scene))?;
    steps.step("helm upgrade to a next version and helm rollback: nothing of the networks restarts", || {
        upgrade::there_and_back(scene)
    })?;
    steps.step("delete everything: only keys and data stay, as deletionPolicy: Retain says", || {
        teardown::retain(scene)
    })?;
    steps.step("the same manifests take up keys and data again", || teardown::taken_up_again(scene))?;
    steps.step("delete with deletionPolicy: Delete: nothing stays", || teardown::delete(scene))?;
    steps.step("helm uninstall: the definitions stay, everything else goes", || teardown::uninstall(scene))
}

fn talk(steps: &mut Steps, scene: &mut Scene) -> Outcome {
    steps.step("metrics to CloudWatch switched on", || apply::cloudwatch_on(scene))?;
    let people = steps.step("two people join by their invites from the Secrets", || messages::join(scene))?;
    steps.step("they talk through the Service", || messages::talk(scene, &people))?;
    steps.step("the record is on the retention volume", || messages::record(scene, &people, messages::FIRST_TEXT))?;
    steps.step("metrics have arrived in CloudWatch, and name nobody", || messages::metrics(scene, &people))?;
    steps.step("memory of the idle programs", || messages::memory(scene))?;
    steps.step("certificates change while they talk: nothing is refused, closed or restarted", || {
        rotation::rotate(scene, &people)
    })?;
    steps.step("the relay's pod is deleted: no accepted message is lost", || {
        failures::relay_restart(scene, &people, "gently", &[])
    })?;
    steps.step("the relay's pod is killed: no accepted message is lost", || {
        failures::relay_restart(scene, &people, "by force", &["--grace-period=0", "--force"])
    })?;
    steps.step(
        "people of two networks talk where federation allows it; each network keeps its record, one in a bucket",
        || messages::federation(scene, &people),
    )?;
    steps.step("a user suspended by kubectl apply is out within seconds", || failures::suspend(scene, &people))?;
    steps.step("the node is drained and used again: nothing accepted is lost", || {
        losses::node_drained(scene, &people)
    })?;
    steps.step("a relay's volume is lost: it begins anew, its users are invited again", || {
        losses::volume_lost(scene, &people)
    })
}
