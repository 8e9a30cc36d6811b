//! Workloads: relay, gateway, retention process.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Value, json};
use sotto_crds::Resources;
use sotto_wire::config::RetentionConfig;

use super::config::{FILE, Files};
use super::places::{
    CONFIG, MAIN_PORT, OWN_TLS, RECORDS, SECOND_PORT, SECRETS, STATE, TELEMETRY_PORT, TLS, gateway_inner_name,
    gateway_name, relay_admin_name, relay_name, retention_name,
};
use super::service::Port;
use super::{CONFIG_ANNOTATION, Kind, Manifest, POLICY_LABEL, Scope};
use crate::pki;
use crate::plan::{GatewayPlan, NetworkPlan, SecretId, ValidDestination, ValidTls};

/// The user and group of every container: that of the image.
const USER: i64 = 65_532;

/// What one workload's pod is.
struct Pod<'a> {
    /// Subcommand of `sotto`, and the component label.
    component: &'a str,
    /// Name of the ServiceAccount.
    account: &'a str,
    /// Further label.
    extra: Option<(&'a str, &'a str)>,
    /// Digest of the configuration.
    digest: String,
    /// Ports beside that of telemetry.
    ports: &'a [(&'a str, u16)],
    /// Volumes with their mount points.
    volumes: Vec<Mounted>,
    /// Secrets with AWS credentials.
    credentials: Vec<&'a str>,
    /// Processor and memory.
    resources: Value,
    /// Seconds for ending well.
    grace: u32,
}

struct Mounted {
    name: &'static str,
    path: &'static str,
    source: Value,
    writable: bool,
}

impl Mounted {
    fn config(map: &str) -> Self {
        Self { name: "config", path: CONFIG, source: json!({ "configMap": { "name": map } }), writable: false }
    }

    fn secret(name: &'static str, path: &'static str, secret: &str) -> Self {
        let source = json!({ "secret": { "secretName": secret, "defaultMode": 0o440 } });
        Self { name, path, source, writable: false }
    }

    fn claim(name: &'static str, path: &'static str, claim: &str) -> Self {
        Self { name, path, source: json!({ "persistentVolumeClaim": { "claimName": claim } }), writable: true }
    }
}

/// The object's resources as a whole, or our defaults.
fn resources(own: Option<&Resources>, cpu: &str, memory: &str, limit: &str) -> Value {
    match own {
        Some(own) => json!({
            "requests": (!own.requests.is_empty()).then_some(&own.requests),
            "limits": (!own.limits.is_empty()).then_some(&own.limits),
        }),
        None => json!({ "requests": { "cpu": cpu, "memory": memory }, "limits": { "memory": limit } }),
    }
}

impl Scope<'_> {
    /// The relay: one replica (SQLite has one writer), so that no disruption budget makes sense: it would only block drains.
    pub(super) fn relay(&self, plan: &NetworkPlan) -> Vec<Manifest> {
        let network = &self.network.name;
        let (name, owner) = (relay_name(network), Some(&self.owners.network));
        let files = Files::new(&plan.relay, []);
        let claim = format!("{name}-state");
        let mut volumes = vec![
            Mounted::config(&name),
            Mounted::secret("tls", TLS, &SecretId::RelayTls.object_name(network)),
            Mounted::secret("secrets", SECRETS, &SecretId::RelaySecret.object_name(network)),
            Mounted::claim("state", STATE, &claim),
        ];
        if let ValidTls::Secret(secret) = &self.network.relay.tls {
            volumes.push(Mounted::secret("own-tls", OWN_TLS, secret));
        }
        let pod = Pod {
            component: "relay",
            account: &name,
            extra: None,
            digest: files.digest(),
            ports: &[("client", MAIN_PORT), ("admin", SECOND_PORT)],
            volumes,
            credentials: self.cloud_watch_credentials(),
            resources: resources(self.network.relay.resources.as_ref(), "100m", "128Mi", "1Gi"),
            grace: 30,
        };
        vec![
            self.account(&name, "relay", None),
            self.config_map(name.clone(), "relay", None, owner, &files),
            self.claim(claim, "relay", None, &self.network.relay.storage, self.network.deletion, owner),
            self.service(
                name.clone(),
                "relay",
                true,
                &[Port { name: "client", port: self.network.relay.port, target: MAIN_PORT }],
            ),
            self.service(
                relay_admin_name(network),
                "relay",
                false,
                &[
                    Port { name: "admin", port: SECOND_PORT, target: SECOND_PORT },
                    Port { name: "metrics", port: TELEMETRY_PORT, target: TELEMETRY_PORT },
                ],
            ),
            self.stateful_set(name.clone(), &relay_admin_name(network), &pod, owner),
        ]
    }

    /// The gateway, where federation is on: stateless, any number.
    pub(super) fn gateway(&self, plan: &NetworkPlan) -> Vec<Manifest> {
        let (Some(GatewayPlan { config, authorities }), Some(federation)) = (&plan.gateway, &self.network.federation)
        else {
            return Vec::new();
        };
        let network = &self.network.name;
        let (name, owner) = (gateway_name(network), Some(&self.owners.network));
        let files = Files::new(config, authorities.clone());
        let pod = Pod {
            component: "gateway",
            account: &name,
            extra: None,
            digest: files.digest(),
            ports: &[("inner", MAIN_PORT), ("peers", SECOND_PORT)],
            volumes: vec![
                Mounted::config(&name),
                Mounted::secret("tls", TLS, &SecretId::GatewayTls.object_name(network)),
            ],
            credentials: self.cloud_watch_credentials(),
            resources: resources(federation.resources.as_ref(), "50m", "64Mi", "256Mi"),
            grace: 30,
        };
        let deployment = json!({
            "spec": {
                "replicas": federation.replicas,
                "selector": { "matchLabels": self.selector("gateway", None) },
                "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } },
                "template": self.template(&pod),
            },
        });
        let mut all = vec![
            self.account(&name, "gateway", None),
            self.config_map(name.clone(), "gateway", None, owner, &files),
            self.service(
                name.clone(),
                "gateway",
                true,
                &[Port { name: "peers", port: federation.port, target: SECOND_PORT }],
            ),
            self.service(
                gateway_inner_name(network),
                "gateway",
                true,
                &[
                    Port { name: "inner", port: MAIN_PORT, target: MAIN_PORT },
                    Port { name: "metrics", port: TELEMETRY_PORT, target: TELEMETRY_PORT },
                ],
            ),
            self.manifest(Kind::Deployment, name.clone(), "gateway", None, owner, deployment),
        ];
        // A budget for a single gateway would only block drains; a new one is up before the old one goes as it is.
        if federation.replicas > 1 {
            let body = json!({
                "spec": { "maxUnavailable": 1, "selector": { "matchLabels": self.selector("gateway", None) } },
            });
            all.push(self.manifest(Kind::PodDisruptionBudget, name, "gateway", None, owner, body));
        }
        all
    }

    /// A retention process: one a policy, since one device of one account receives.
    pub(super) fn retention(&self, policy: &str, config: &RetentionConfig) -> Vec<Manifest> {
        let (Some(valid), Some(owner)) = (self.network.policies.get(policy), self.owners.policies.get(policy)) else {
            return Vec::new();
        };
        let (name, owner, extra) = (retention_name(policy), Some(owner), Some((POLICY_LABEL, policy)));
        let authority = self.authority.map(|pem| (pki::CA_CERTIFICATE.to_owned(), pem.to_owned()));
        let files = Files::new(config, authority);
        let (state, records) = (format!("{name}-state"), format!("{name}-records"));
        let mut volumes = vec![
            Mounted::config(&name),
            Mounted::secret(
                "secrets",
                SECRETS,
                &SecretId::Retention(policy.to_owned()).object_name(&self.network.name),
            ),
            Mounted::claim("state", STATE, &state),
        ];
        let mut credentials = self.cloud_watch_credentials();
        let own_state = sotto_crds::Storage {
            size: sotto_crds::Quantity("1Gi".to_owned()),
            storage_class_name: state_class(&valid.destination),
        };
        let mut all = vec![
            self.account(&name, "retention", extra),
            self.config_map(name.clone(), "retention", extra, owner, &files),
            self.claim(state, "retention", extra, &own_state, valid.deletion, owner),
        ];
        match &valid.destination {
            ValidDestination::Volume { storage, .. } => {
                volumes.push(Mounted::claim("records", RECORDS, &records));
                all.push(self.claim(records, "retention", extra, storage, valid.deletion, owner));
            }
            ValidDestination::S3 { credentials: own, .. } => credentials.extend(own.as_deref()),
        }
        let pod = Pod {
            component: "retention",
            account: &name,
            extra,
            digest: files.digest(),
            ports: &[],
            volumes,
            credentials,
            resources: resources(valid.resources.as_ref(), "50m", "64Mi", "512Mi"),
            grace: 60,
        };
        all.push(self.stateful_set(name.clone(), &name, &pod, owner));
        all
    }

    fn cloud_watch_credentials(&self) -> Vec<&str> {
        self.network.cloud_watch.iter().filter_map(|c| c.credentials.as_deref()).collect()
    }

    /// An account without rights and without a token: workloads do not talk to the API server. It is there for IAM roles.
    fn account(&self, name: &str, component: &str, extra: Option<(&str, &str)>) -> Manifest {
        let owner = match extra {
            Some((POLICY_LABEL, policy)) => self.owners.policies.get(policy),
            _ => Some(&self.owners.network),
        };
        let body = json!({ "automountServiceAccountToken": false });
        self.manifest(Kind::ServiceAccount, name.to_owned(), component, extra, owner, body)
    }

    fn stateful_set(&self, name: String, service: &str, pod: &Pod<'_>, owner: Option<&OwnerReference>) -> Manifest {
        let body = json!({
            "spec": {
                "replicas": 1,
                "serviceName": service,
                "selector": { "matchLabels": self.selector(pod.component, pod.extra) },
                "template": self.template(pod),
            },
        });
        self.manifest(Kind::StatefulSet, name, pod.component, pod.extra, owner, body)
    }

    fn template(&self, pod: &Pod<'_>) -> Value {
        let mut annotations = json!({ CONFIG_ANNOTATION: pod.digest });
        if self.network.prometheus {
            annotations["prometheus.io/scrape"] = json!("true");
            annotations["prometheus.io/port"] = json!(TELEMETRY_PORT.to_string());
        }
        let mut ports: Vec<Value> = pod
            .ports
            .iter()
            .map(|(name, port)| json!({ "name": name, "containerPort": port, "protocol": "TCP" }))
            .collect();
        ports.push(json!({ "name": "telemetry", "containerPort": TELEMETRY_PORT, "protocol": "TCP" }));
        let mounts: Vec<Value> = pod
            .volumes
            .iter()
            .map(|v| json!({ "name": v.name, "mountPath": v.path, "readOnly": (!v.writable).then_some(true) }))
            .collect();
        let volumes: Vec<Value> = pod
            .volumes
            .iter()
            .map(|v| {
                let mut volume = v.source.clone();
                volume["name"] = json!(v.name);
                volume
            })
            .collect();
        let env_from: Vec<Value> =
            pod.credentials.iter().map(|secret| json!({ "secretRef": { "name": secret } })).collect();
        let probe = |path: &str, period: u32, failures: u32| {
            json!({
                "httpGet": { "path": path, "port": "telemetry" },
                "periodSeconds": period,
                "timeoutSeconds": 3,
                "failureThreshold": failures,
            })
        };
        json!({
            "metadata": { "labels": self.labels(pod.component, pod.extra), "annotations": annotations },
            "spec": {
                "serviceAccountName": pod.account,
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "terminationGracePeriodSeconds": pod.grace,
                "securityContext": {
                    "runAsNonRoot": true,
                    "runAsUser": USER,
                    "runAsGroup": USER,
                    "fsGroup": USER,
                    "fsGroupChangePolicy": "OnRootMismatch",
                    "seccompProfile": { "type": "RuntimeDefault" },
                },
                "containers": [{
                    "name": pod.component,
                    "image": self.network.image.as_ref().unwrap_or(&self.env.image),
                    "imagePullPolicy": self.env.pull_policy,
                    "args": [pod.component, "--config", format!("{CONFIG}/{FILE}")],
                    "env": [{ "name": "SOTTO_LOG_FORMAT", "value": "json" }],
                    "envFrom": (!env_from.is_empty()).then_some(env_from),
                    "ports": ports,
                    "resources": pod.resources,
                    "securityContext": {
                        "allowPrivilegeEscalation": false,
                        "readOnlyRootFilesystem": true,
                        "capabilities": { "drop": ["ALL"] },
                    },
                    "startupProbe": probe("/healthz", 1, 60),
                    "livenessProbe": probe("/healthz", 10, 3),
                    "readinessProbe": probe("/readyz", 2, 3),
                    "volumeMounts": mounts,
                }],
                "volumes": volumes,
            },
        })
    }
}

/// The process's own small volume is claimed from the class of the records' volume.
fn state_class(destination: &ValidDestination) -> Option<String> {
    match destination {
        ValidDestination::Volume { storage, .. } => storage.storage_class_name.clone(),
        ValidDestination::S3 { .. } => None,
    }
}
