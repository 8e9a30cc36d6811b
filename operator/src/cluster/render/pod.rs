//! The pods of relay, gateway and retention process: one shape, restricted by default.

use serde_json::{Map, Value, json};
use sotto_crds::Resources;

use super::{Part, Scene, labels_of, selector, set};
use crate::cluster::labels::CONFIG;
use crate::cluster::places::TELEMETRY_PORT;
use crate::plan::ValidPod;

/// The user and group of the image's one program.
const USER: i64 = 65_532;
/// Secrets and configuration: readable to the program's group alone.
const MODE: i64 = 0o440;

/// What differs between the pods.
pub(super) struct Pod<'a> {
    /// `relay`, `gateway` or `retention`: the verb of the program and the name of the container.
    pub(super) verb: &'static str,
    pub(super) service_account: &'a str,
    pub(super) digest: String,
    pub(super) ports: &'a [(&'static str, u16)],
    pub(super) volumes: Vec<Volume>,
    /// Secrets whose keys become environment variables; one that is missing does not keep the pod from starting.
    pub(super) environment: Vec<String>,
    pub(super) resources: Resources,
    /// What the object says about it.
    pub(super) options: &'a ValidPod,
    /// Spread over nodes where possible, when the object says nothing.
    pub(super) spread: bool,
}

/// A volume and where it is mounted.
pub(super) struct Volume {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    pub(super) source: Source,
}

/// What a volume holds.
pub(super) enum Source {
    ConfigMap(String),
    Secret(String),
    Claim(String),
    Memory,
}

impl Volume {
    fn volume(&self) -> Value {
        match &self.source {
            Source::ConfigMap(name) => {
                json!({"name": self.name, "configMap": {"name": name, "defaultMode": MODE}})
            }
            Source::Secret(name) => json!({"name": self.name, "secret": {"secretName": name, "defaultMode": MODE}}),
            Source::Claim(name) => json!({"name": self.name, "persistentVolumeClaim": {"claimName": name}}),
            Source::Memory => json!({"name": self.name, "emptyDir": {"sizeLimit": "256Mi"}}),
        }
    }

    fn mount(&self) -> Value {
        let read_only = matches!(self.source, Source::ConfigMap(_) | Source::Secret(_));
        let mut mount = json!({"name": self.name, "mountPath": self.path});
        if read_only {
            mount["readOnly"] = json!(true);
        }
        mount
    }
}

/// The pod template.
pub(super) fn template(scene: &Scene<'_>, part: &Part<'_>, pod: &Pod<'_>) -> Value {
    // Theirs first: ours stand above them, though validation lets none of the same name come here.
    let mut annotations = json!(pod.options.annotations);
    annotations[CONFIG] = json!(pod.digest);
    if scene.network.prometheus {
        annotations["prometheus.io/scrape"] = json!("true");
        annotations["prometheus.io/port"] = json!(TELEMETRY_PORT.to_string());
        annotations["prometheus.io/path"] = json!("/metrics");
    }
    // The root file system is read-only; SQLite and the AWS SDK want some place for temporary files.
    let scratch = Volume { name: "tmp", path: "/tmp", source: Source::Memory };
    let volumes: Vec<&Volume> = pod.volumes.iter().chain([&scratch]).collect();
    let mut ports: Vec<Value> =
        pod.ports.iter().map(|(name, port)| json!({"name": name, "containerPort": port, "protocol": "TCP"})).collect();
    ports.push(json!({"name": "telemetry", "containerPort": TELEMETRY_PORT, "protocol": "TCP"}));
    let environment: Vec<Value> =
        pod.environment.iter().map(|name| json!({"secretRef": {"name": name, "optional": true}})).collect();
    let probe = |path: &str| json!({"path": path, "port": "telemetry", "scheme": "HTTP"});
    let container = set([
        ("name", Some(json!(pod.verb))),
        ("image", Some(json!(scene.image()))),
        ("imagePullPolicy", Some(json!(scene.pull_policy))),
        (
            "args",
            Some(json!([pod.verb, "--config", format!("{}/{}.yaml", crate::cluster::places::CONFIG_DIR, pod.verb)])),
        ),
        ("env", Some(json!([{"name": "SOTTO_LOG_FORMAT", "value": "json"}]))),
        ("envFrom", (!environment.is_empty()).then(|| json!(environment))),
        ("ports", Some(json!(ports))),
        ("startupProbe", Some(json!({"httpGet": probe("/healthz"), "periodSeconds": 1, "failureThreshold": 120}))),
        (
            "livenessProbe",
            Some(
                json!({"httpGet": probe("/healthz"), "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6}),
            ),
        ),
        ("readinessProbe", Some(json!({"httpGet": probe("/readyz"), "periodSeconds": 2, "timeoutSeconds": 2}))),
        ("resources", Some(resources(&pod.resources))),
        (
            "securityContext",
            Some(json!({
                "allowPrivilegeEscalation": false,
                "privileged": false,
                "readOnlyRootFilesystem": true,
                "runAsNonRoot": true,
                "capabilities": {"drop": ["ALL"]},
            })),
        ),
        ("volumeMounts", Some(volumes.iter().map(|v| v.mount()).collect())),
    ]);
    let mut labels = json!(pod.options.labels);
    for (name, value) in labels_of(&scene.network.name, part.component, part.policy).as_object().into_iter().flatten() {
        labels[name] = value.clone();
    }
    let mut spec = json!({
        "serviceAccountName": pod.service_account,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": volumes.iter().map(|v| v.volume()).collect::<Vec<_>>(),
    });
    // What nobody asked for is not there at all: the templates of networks that say nothing stay as they are.
    for (name, value) in placement(scene, part, pod) {
        spec[name] = value;
    }
    json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": spec})
}

/// What the object says about where its pods run.
fn placement(scene: &Scene<'_>, part: &Part<'_>, pod: &Pod<'_>) -> Map<String, Value> {
    let options = pod.options;
    let own = json!({"matchLabels": selector(&scene.network.name, part.component, part.policy)});
    let mut spread = options.spread.clone();
    if spread.is_empty() && pod.spread {
        spread.push(json!({
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
        }));
    }
    for constraint in &mut spread {
        if constraint.get("labelSelector").is_none() {
            constraint["labelSelector"] = own.clone();
        }
    }
    let secrets: Vec<Value> = options.pull_secrets.iter().map(|name| json!({"name": name})).collect();
    let filled = |values: &[Value]| (!values.is_empty()).then(|| json!(values));
    set([
        ("nodeSelector", (!options.node_selector.is_empty()).then(|| json!(options.node_selector))),
        ("priorityClassName", options.priority_class.as_ref().map(|name| json!(name))),
        ("tolerations", filled(&options.tolerations)),
        ("affinity", options.affinity.clone()),
        ("topologySpreadConstraints", filled(&spread)),
        ("imagePullSecrets", filled(&secrets)),
    ])
}

fn resources(resources: &Resources) -> Value {
    let filled = |map: &std::collections::BTreeMap<String, sotto_crds::Quantity>| (!map.is_empty()).then(|| json!(map));
    Value::Object(set([("requests", filled(&resources.requests)), ("limits", filled(&resources.limits))]))
}

/// The resources of the object, or our defaults.
pub(super) fn resources_or(given: Option<&Resources>, cpu: &str, memory: &str, limit: &str) -> Resources {
    given.cloned().unwrap_or_else(|| Resources {
        requests: [("cpu".to_owned(), cpu.into()), ("memory".to_owned(), memory.into())].into(),
        // No limit of processor time: throttling delays messages and saves nothing.
        limits: [("memory".to_owned(), limit.into())].into(),
    })
}
