//! What Kubernetes' controllers would do to StatefulSets and Deployments, where only an API server runs: every workload becomes
//! ready, or not when a test holds it. No pods are made.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use crate::kubernetes::{client, runtime};
use crate::{ApiServer, Outcome};

/// Statuses that are written at the same time.
const WRITERS: usize = 16;

/// Kind, namespace, name.
type Id = (&'static str, String, String);

#[derive(Debug, Default)]
struct Known {
    objects: HashMap<Id, Value>,
    held: HashSet<(String, String)>,
}

struct Shared {
    client: Client,
    kinds: [(&'static str, ApiResource); 2],
    known: Mutex<Known>,
    writers: Arc<Semaphore>,
    writes: AtomicU64,
}

/// The simulation. It ends when dropped.
pub struct Workloads {
    shared: Arc<Shared>,
    runtime: Runtime,
}

/// Marks StatefulSets and Deployments ready as their controllers would.
pub fn simulate(api: &ApiServer) -> Outcome<Workloads> {
    simulate_with(&api.kubeconfig())
}

/// The same for any API server beside which the controllers do not run.
pub fn simulate_with(kubeconfig: &Path) -> Outcome<Workloads> {
    let runtime = runtime("workloads")?;
    let client = runtime.block_on(client(kubeconfig, "sotto-e2e-workloads"))?;
    let kinds = [
        ("StatefulSet", ApiResource::erase::<StatefulSet>(&())),
        ("Deployment", ApiResource::erase::<Deployment>(&())),
    ];
    let shared = Arc::new(Shared {
        client,
        kinds,
        known: Mutex::default(),
        writers: Arc::new(Semaphore::new(WRITERS)),
        writes: AtomicU64::new(0),
    });
    for (kind, _) in &shared.kinds {
        runtime.spawn(follow(kind, Arc::clone(&shared)));
    }
    Ok(Workloads { shared, runtime })
}

impl Workloads {
    /// From now on the workload is not ready: its pods do not start.
    pub fn hold(&self, namespace: &str, name: &str) {
        self.shared.locked().held.insert((namespace.to_owned(), name.to_owned()));
        self.look(namespace, name);
    }

    /// From now on it is ready.
    pub fn release(&self, namespace: &str, name: &str) {
        self.shared.locked().held.remove(&(namespace.to_owned(), name.to_owned()));
        self.look(namespace, name);
    }

    /// How many statuses have been written.
    pub fn writes(&self) -> u64 {
        self.shared.writes.load(Ordering::Relaxed)
    }

    fn look(&self, namespace: &str, name: &str) {
        for (kind, _) in &self.shared.kinds {
            let id = (*kind, namespace.to_owned(), name.to_owned());
            self.runtime.spawn(put_right(Arc::clone(&self.shared), id));
        }
    }
}

impl Shared {
    fn locked(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resource(&self, kind: &str) -> &ApiResource {
        let [first, second] = &self.kinds;
        if kind == first.0 { &first.1 } else { &second.1 }
    }
}

async fn follow(kind: &'static str, shared: Arc<Shared>) {
    let api: Api<DynamicObject> = Api::all_with(shared.client.clone(), shared.resource(kind));
    let mut stream = std::pin::pin!(watcher(api, watcher::Config::default()));
    while let Some(event) = stream.next().await {
        match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => {
                let Some((id, object)) = known(kind, object) else { continue };
                shared.locked().objects.insert(id.clone(), object);
                tokio::spawn(put_right(Arc::clone(&shared), id));
            }
            Ok(Event::Delete(object)) => {
                if let Some((id, _)) = known(kind, object) {
                    shared.locked().objects.remove(&id);
                }
            }
            Ok(Event::Init | Event::InitDone) => {}
            // It lists anew by itself; the API server may be away because a test wants it so.
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

fn known(kind: &'static str, object: DynamicObject) -> Option<(Id, Value)> {
    let id = (kind, object.metadata.namespace.clone()?, object.metadata.name.clone()?);
    let mut value = object.data;
    value["metadata"] = json!({"generation": object.metadata.generation, "name": object.metadata.name});
    value["ending"] = object.metadata.deletion_timestamp.is_some().into();
    Some((id, value))
}

/// Writes the status where it is not as it should be.
async fn put_right(shared: Arc<Shared>, id: Id) {
    let Ok(_permit) = shared.writers.acquire().await else { return };
    let (kind, namespace, name) = &id;
    let status = {
        let known = shared.locked();
        let Some(object) = known.objects.get(&id).filter(|object| object["ending"] == false) else { return };
        let held = known.held.contains(&(namespace.clone(), name.clone()));
        let status = status_of(kind, object, held);
        let same = status.as_object().is_some_and(|all| all.iter().all(|(key, value)| object["status"][key] == *value));
        if same {
            return;
        }
        status
    };
    let api: Api<DynamicObject> = Api::namespaced_with(shared.client.clone(), namespace, shared.resource(kind));
    let patch = Patch::Merge(json!({"status": status}));
    // An error is an object that is gone, or an API server that is away: the watch tells of both.
    if api.patch_status(name, &PatchParams::default(), &patch).await.is_ok() {
        shared.writes.fetch_add(1, Ordering::Relaxed);
    }
}

/// The status that the controller would write once all pods have been replaced.
fn status_of(kind: &str, object: &Value, held: bool) -> Value {
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    let ready = if held { 0 } else { wanted };
    let mut status = json!({
        "observedGeneration": object["metadata"]["generation"],
        "replicas": wanted,
        "updatedReplicas": wanted,
        "readyReplicas": ready,
        "availableReplicas": ready,
    });
    if kind == "StatefulSet" {
        let digest = Sha256::digest(object["spec"]["template"].to_string());
        let short = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        let revision = format!("{}-{short:08x}", object["metadata"]["name"].as_str().unwrap_or_default());
        status["currentReplicas"] = wanted.into();
        status["currentRevision"] = revision.clone().into();
        status["updateRevision"] = revision.into();
    } else {
        let (available, reason) =
            if held { ("False", "ReplicaSetUpdated") } else { ("True", "NewReplicaSetAvailable") };
        status["conditions"] = json!([
            {"type": "Available", "status": available, "reason": "Simulated", "message": "simulated"},
            {"type": "Progressing", "status": "True", "reason": reason, "message": "simulated"},
        ]);
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(generation: i64, image: &str) -> Value {
        json!({
            "metadata": {"name": "acme-relay", "generation": generation},
            "spec": {"replicas": 1, "template": {"spec": {"containers": [{"image": image}]}}},
        })
    }

    #[test]
    fn a_stateful_set_has_the_revision_of_its_template() {
        let revision =
            |generation, image| status_of("StatefulSet", &object(generation, image), false)["updateRevision"].clone();
        assert_eq!(revision(1, "a"), revision(2, "a"));
        assert_ne!(revision(1, "a"), revision(1, "b"));
        let status = status_of("StatefulSet", &object(3, "a"), false);
        assert_eq!((&status["observedGeneration"], &status["readyReplicas"]), (&json!(3), &json!(1)));
        assert_eq!(status["currentRevision"], status["updateRevision"]);
    }

    #[test]
    fn what_is_held_has_no_ready_pod() {
        for kind in ["StatefulSet", "Deployment"] {
            let status = status_of(kind, &object(1, "a"), true);
            assert_eq!((&status["readyReplicas"], &status["replicas"]), (&json!(0), &json!(1)));
        }
    }
}
