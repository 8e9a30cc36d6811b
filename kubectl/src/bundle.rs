//! `must-gather`: what somebody who helps needs to see, in one archive, and nothing secret.
//!
//! Of Secrets only the metadata is asked for, so that there is nothing to take out; and all that is written goes through
//! [`crate::redact`].

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Event, Namespace, Node, PersistentVolumeClaim, Pod as CorePod, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{ApiResource, GroupVersionKind, ListParams, LogParams};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::access::{Cluster, within};
use crate::error::{KubeError, words};
use crate::objects::{kinds, text};
use crate::status::{OWNED, scene};
use crate::tree::{Scene, Wish, forest, lines};
use crate::workloads::Pod;
use crate::{output, redact};

/// The port of health and metrics, of our workloads and of the operator.
const TELEMETRY: u16 = 8080;
/// Pods that are asked at a time.
const AT_A_TIME: usize = 8;
/// A log or a page of metrics may take this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is gathered.
#[derive(Clone, Debug)]
pub struct Order {
    /// The archive.
    pub file: PathBuf,
    /// Logs from so long ago on; otherwise from the beginning.
    pub since: Option<Duration>,
    /// The most that is taken of one log, in bytes; the end of it.
    pub log_bytes: i64,
    /// The version of this program.
    pub version: String,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gathered {
    /// The archive.
    pub file: String,
    /// How many files are in it.
    pub files: usize,
    /// How many bytes they have.
    pub bytes: u64,
    /// What could not be read, and why.
    pub problems: Vec<String>,
}

/// An archive that is being written.
struct Archive {
    tar: tar::Builder<GzEncoder<File>>,
    folder: String,
    time: u64,
    path: PathBuf,
    files: usize,
    bytes: u64,
    problems: Vec<String>,
}

impl Archive {
    fn create(file: &Path, now: jiff::Timestamp) -> Result<Self, KubeError> {
        // Nobody else's to read, and nothing is written over.
        let out = File::options().write(true).create_new(true).mode(0o600).open(file);
        let out = out.map_err(|e| KubeError::file(file, e))?;
        Ok(Self {
            tar: tar::Builder::new(GzEncoder::new(out, Compression::default())),
            folder: format!("sotto-must-gather-{}", now.strftime("%Y%m%d-%H%M%S")),
            time: u64::try_from(now.as_second()).unwrap_or(0),
            path: file.to_owned(),
            files: 0,
            bytes: 0,
            problems: Vec::new(),
        })
    }

    /// A file of the archive, safe to look at on a terminal. Secrets are not looked for here: what comes from outside is cleaned
    /// of them before.
    fn add(&mut self, name: &str, text: &str) -> Result<(), KubeError> {
        let text = output::printable(text);
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(self.time);
        let path = format!("{}/{name}", self.folder);
        self.tar.append_data(&mut header, path, text.as_bytes()).map_err(|e| KubeError::file(&self.path, e))?;
        self.files += 1;
        self.bytes += text.len() as u64;
        Ok(())
    }

    fn finish(mut self) -> Result<Gathered, KubeError> {
        self.problems.sort();
        self.problems.dedup();
        let mut problems = self.problems.join("\n");
        problems.push('\n');
        self.add("problems.txt", &problems)?;
        let broken = |e| KubeError::file(&self.path, e);
        let file = self.tar.into_inner().and_then(GzEncoder::finish).map_err(broken)?;
        file.sync_all().map_err(broken)?;
        Ok(Gathered {
            file: self.path.display().to_string(),
            files: self.files,
            bytes: self.bytes,
            problems: self.problems,
        })
    }
}

/// Objects as YAML documents, cleaned.
fn documents(objects: &mut [Value]) -> String {
    let mut text = String::new();
    for object in objects {
        redact::object(object);
        text.push_str("---\n");
        text.push_str(&output::yaml(object).unwrap_or_default());
    }
    text
}

/// Kinds that the operator makes, or that stand beside what it makes.
fn owned_kinds() -> Vec<ApiResource> {
    let of = |group: &str, version: &str, kind: &str, plural: &str| {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    };
    vec![
        ApiResource::erase::<StatefulSet>(&()),
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<CorePod>(&()),
        ApiResource::erase::<Service>(&()),
        ApiResource::erase::<EndpointSlice>(&()),
        ApiResource::erase::<ConfigMap>(&()),
        ApiResource::erase::<PersistentVolumeClaim>(&()),
        ApiResource::erase::<ServiceAccount>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
        ApiResource::erase::<HorizontalPodAutoscaler>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
        ApiResource::erase::<Ingress>(&()),
        ApiResource::erase::<Role>(&()),
        ApiResource::erase::<RoleBinding>(&()),
        // Where they are installed.
        of("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
        of("gateway.networking.k8s.io", "v1", "TLSRoute", "tlsroutes"),
        of("cert-manager.io", "v1", "Certificate", "certificates"),
    ]
}

/// Gathers everything into one archive.
pub async fn gather(cluster: &Cluster, wish: &Order, progress: impl Fn(&str)) -> Result<Gathered, KubeError> {
    let mut archive = Archive::create(&wish.file, jiff::Timestamp::now())?;
    progress("objects and their status");
    let scene = scene(cluster).await?;
    archive.problems.extend(scene.unread.iter().cloned());
    let trees = forest(&scene, &Wish::default());
    archive.add("status.txt", &redact::text(&(lines(&trees).join("\n") + "\n")))?;
    let json = output::json_pretty(&trees).unwrap_or_default();
    archive.add("status.json", &redact::text(&json))?;
    about_cluster(cluster, wish, &mut archive).await?;

    let operators: BTreeSet<String> =
        scene.workloads.iter().filter(|w| w.component == "operator").map(|w| w.namespace.clone()).collect();
    let mut namespaces: BTreeSet<String> = scene.objects.iter().map(|o| o.namespace.clone()).collect();
    if !cluster.all {
        namespaces.insert(cluster.namespace.clone());
    }
    for namespace in &namespaces {
        progress(&format!("namespace {namespace}"));
        about_namespace(cluster, namespace, &mut archive).await?;
    }
    for namespace in &operators {
        progress(&format!("operator in {namespace}"));
        about_operator(cluster, namespace, &mut archive).await?;
    }
    progress("logs and metrics");
    pods(cluster, &scene, wish, &mut archive).await?;
    archive.finish()
}

async fn about_cluster(cluster: &Cluster, wish: &Order, archive: &mut Archive) -> Result<(), KubeError> {
    let version = within("version of the API server", cluster.client.apiserver_version()).await;
    let versions = json!({
        "sotto": wish.version,
        "kubernetes": version.as_ref().ok(),
        "gatheredAt": jiff::Timestamp::now().to_string(),
    });
    archive.problems.extend(version.err().map(|e| e.to_string()));
    archive.add("versions.json", &(output::json_pretty(&versions).unwrap_or_default() + "\n"))?;
    let definitions = cluster.list(&ApiResource::erase::<CustomResourceDefinition>(&()), None, None).await;
    match definitions {
        Ok(definitions) => {
            let ours = definitions.iter().filter(|d| d["spec"]["group"] == sotto_crds::GROUP);
            let short = |d: &Value| {
                let versions = d["spec"]["versions"].as_array().into_iter().flatten();
                let versions =
                    versions.map(|v| json!({"name": v["name"], "served": v["served"], "storage": v["storage"]}));
                json!({
                    "name": d["metadata"]["name"],
                    "annotations": d["metadata"]["annotations"],
                    "versions": versions.collect::<Vec<_>>(),
                    "conversion": d["spec"]["conversion"]["strategy"],
                    "status": d["status"],
                })
            };
            let mut short: Vec<Value> = ours.map(short).collect();
            archive.add("definitions.yaml", &documents(&mut short))?;
        }
        Err(error) => archive.problems.push(error.to_string()),
    }
    match cluster.list(&ApiResource::erase::<Node>(&()), None, None).await {
        Ok(nodes) => {
            let short = |n: &Value| {
                json!({
                    "name": n["metadata"]["name"],
                    "unschedulable": n["spec"]["unschedulable"],
                    "taints": n["spec"]["taints"],
                    "conditions": n["status"]["conditions"],
                    "allocatable": n["status"]["allocatable"],
                    "nodeInfo": n["status"]["nodeInfo"],
                })
            };
            let mut nodes: Vec<Value> = nodes.iter().map(short).collect();
            archive.add("nodes.yaml", &documents(&mut nodes))
        }
        Err(error) => {
            archive.problems.push(error.to_string());
            Ok(())
        }
    }
}

async fn about_namespace(cluster: &Cluster, namespace: &str, archive: &mut Archive) -> Result<(), KubeError> {
    let folder = format!("namespaces/{namespace}");
    let mut named = BTreeSet::new();
    for (kind, selector) in
        kinds().into_iter().map(|k| (k, None)).chain(owned_kinds().into_iter().map(|k| (k, Some(OWNED))))
    {
        match cluster.list(&kind, Some(namespace), selector).await {
            Ok(objects) if objects.is_empty() => {}
            Ok(mut objects) => {
                named.extend(objects.iter().map(|o| (kind.kind.clone(), text(o, "/metadata/name").to_owned())));
                archive.add(&format!("{folder}/{}.yaml", kind.plural), &documents(&mut objects))?;
            }
            // A kind that is not installed.
            Err(KubeError::Missing(_)) => {}
            Err(error) => archive.problems.push(format!("{namespace}: {error}")),
        }
    }
    secrets(cluster, namespace, &folder, archive).await?;
    events(cluster, namespace, &folder, |kind, name| named.contains(&(kind.to_owned(), name.to_owned())), archive)
        .await?;
    let api: Api<Namespace> = Api::all(cluster.client.clone());
    match within(&format!("Namespace {namespace}"), api.get(namespace)).await {
        Ok(object) => {
            let mut object = serde_json::to_value(object).unwrap_or_default();
            archive.add(&format!("{folder}/namespace.yaml"), &documents(std::slice::from_mut(&mut object)))
        }
        Err(error) => {
            archive.problems.push(error.to_string());
            Ok(())
        }
    }
}

/// Names, labels and owners of the operator's Secrets. Their contents are not asked for, and annotations can hold a copy.
async fn secrets(cluster: &Cluster, namespace: &str, folder: &str, archive: &mut Archive) -> Result<(), KubeError> {
    let api: Api<Secret> = Api::namespaced(cluster.client.clone(), namespace);
    let mut params = ListParams::default().labels(OWNED).limit(500);
    let mut found = Vec::new();
    loop {
        match within("list names of Secrets", api.list_metadata(&params)).await {
            Ok(page) => {
                found.extend(page.items.iter().map(|secret| {
                    json!({
                        "kind": "Secret",
                        "name": secret.metadata.name,
                        "labels": secret.metadata.labels,
                        "ownerReferences": secret.metadata.owner_references,
                        "creationTimestamp": secret.metadata.creation_timestamp,
                        "deletionTimestamp": secret.metadata.deletion_timestamp,
                        "resourceVersion": secret.metadata.resource_version,
                    })
                }));
                params.continue_token = page.metadata.continue_.filter(|t| !t.is_empty());
                if params.continue_token.is_none() {
                    break;
                }
            }
            Err(error) => {
                archive.problems.push(format!("{namespace}: {error}"));
                break;
            }
        }
    }
    archive.add(&format!("{folder}/secrets-without-contents.yaml"), &documents(&mut found))
}

/// Events about objects that are in the archive, and no others.
async fn events(
    cluster: &Cluster,
    namespace: &str,
    folder: &str,
    wanted: impl Fn(&str, &str) -> bool,
    archive: &mut Archive,
) -> Result<(), KubeError> {
    match cluster.list(&ApiResource::erase::<Event>(&()), Some(namespace), None).await {
        Ok(mut events) => {
            events.retain(|e| wanted(text(e, "/involvedObject/kind"), text(e, "/involvedObject/name")));
            events.sort_by_key(|e| text(e, "/metadata/creationTimestamp").to_owned());
            archive.add(&format!("{folder}/events.yaml"), &documents(&mut events))
        }
        Err(error) => {
            archive.problems.push(format!("{namespace}: {error}"));
            Ok(())
        }
    }
}

async fn about_operator(cluster: &Cluster, namespace: &str, archive: &mut Archive) -> Result<(), KubeError> {
    let folder = format!("operator/{namespace}");
    let mut named = BTreeSet::new();
    let selected = [
        ApiResource::erase::<Deployment>(&()),
        ApiResource::erase::<CorePod>(&()),
        ApiResource::erase::<ServiceAccount>(&()),
        ApiResource::erase::<PodDisruptionBudget>(&()),
        ApiResource::erase::<NetworkPolicy>(&()),
    ];
    for kind in selected {
        match cluster.list(&kind, Some(namespace), Some("app.kubernetes.io/name=sotto")).await {
            Ok(mut objects) => {
                named.extend(objects.iter().map(|o| text(o, "/metadata/name").to_owned()));
                archive.add(&format!("{folder}/{}.yaml", kind.plural), &documents(&mut objects))?;
            }
            Err(error) => archive.problems.push(format!("{namespace}: {error}")),
        }
    }
    match cluster.list(&ApiResource::erase::<Lease>(&()), Some(namespace), None).await {
        Ok(mut leases) => {
            leases.retain(|l| text(l, "/metadata/name").contains("sotto"));
            named.extend(leases.iter().map(|l| text(l, "/metadata/name").to_owned()));
            archive.add(&format!("{folder}/leases.yaml"), &documents(&mut leases))?;
        }
        Err(error) => archive.problems.push(format!("{namespace}: {error}")),
    }
    events(cluster, namespace, &folder, |_, name| named.contains(name), archive).await
}

/// Logs of now and of before a restart, metrics and readiness of each pod of ours.
async fn pods(cluster: &Cluster, scene: &Scene, wish: &Order, archive: &mut Archive) -> Result<(), KubeError> {
    let one = |pod: &Pod| {
        let pod = pod.clone();
        async move { of_pod(cluster, &pod, wish).await }
    };
    let mut found = futures::stream::iter(&scene.pods).map(one).buffered(AT_A_TIME);
    while let Some((files, problems)) = found.next().await {
        for (name, text) in files {
            archive.add(&name, &text)?;
        }
        archive.problems.extend(problems);
    }
    Ok(())
}

async fn of_pod(cluster: &Cluster, pod: &Pod, wish: &Order) -> (Vec<(String, String)>, Vec<String>) {
    let (namespace, name) = (&pod.namespace, &pod.name);
    let place = if pod.place[0].is_empty() { "operator" } else { "namespaces" };
    let folder = format!("{place}/{namespace}/pods/{name}");
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    let api: Api<CorePod> = Api::namespaced(cluster.client.clone(), namespace);
    for container in &pod.containers {
        for previous in [false, true] {
            if previous && pod.restarts == 0 {
                continue;
            }
            let params = LogParams {
                container: Some(container.clone()),
                previous,
                timestamps: true,
                since_seconds: wish.since.and_then(|s| i64::try_from(s.as_secs()).ok()),
                // `limitBytes` takes the beginning, and the end says more: bounded by lines of a usual length.
                tail_lines: Some((wish.log_bytes / 200).max(1)),
                limit_bytes: Some(wish.log_bytes.saturating_mul(4)),
                ..LogParams::default()
            };
            let title = if previous { format!("{container}.previous.log") } else { format!("{container}.log") };
            match timeout(PATIENCE, api.logs(name, &params)).await {
                Ok(Ok(log)) => files.push((format!("{folder}/{title}"), redact::text(&log))),
                Ok(Err(error)) => problems.push(format!("{namespace}/{name}: {title}: {}", words(&error))),
                Err(_) => problems.push(format!("{namespace}/{name}: {title}: no answer in time")),
            }
        }
    }
    for page in ["metrics", "readyz"] {
        let url = format!("/api/v1/namespaces/{namespace}/pods/{name}:{TELEMETRY}/proxy/{page}");
        let Ok(request) = http::Request::get(url).body(Vec::new()) else { continue };
        match timeout(PATIENCE, cluster.client.request_text(request)).await {
            Ok(Ok(text)) => files.push((format!("{folder}/{page}.txt"), redact::text(&text))),
            Ok(Err(error)) => problems.push(format!("{namespace}/{name}: {page}: {}", words(&error))),
            Err(_) => problems.push(format!("{namespace}/{name}: {page}: no answer in time")),
        }
    }
    (files, problems)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn an_archive_can_be_read_by_its_owner_alone_and_unpacks() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bundle.tar.gz");
        let mut archive = Archive::create(&file, jiff::Timestamp::from_second(1_795_420_800).unwrap()).unwrap();
        archive.add("namespaces/chat/users.yaml", "---\nkind: User\n").unwrap();
        archive.problems.push("nodes: forbidden\u{9b}".into());
        let gathered = archive.finish().unwrap();
        assert_eq!((gathered.files, gathered.bytes), (2, 31 + 4));
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(File::open(&file).unwrap()));
        let mut seen = Vec::new();
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            assert_eq!(entry.header().mode().unwrap(), 0o600);
            seen.push((entry.path().unwrap().display().to_string(), text));
        }
        assert_eq!(
            seen[0],
            ("sotto-must-gather-20261123-080000/namespaces/chat/users.yaml".into(), "---\nkind: User\n".into())
        );
        assert_eq!(seen[1].1, "nodes: forbidden\u{fffd}\n");
    }
}
