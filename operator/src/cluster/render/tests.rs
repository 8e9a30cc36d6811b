//! Properties that every rendered object has, on the examples and on more unusual networks.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::*;
use crate::cluster::diff::holds;
use crate::cluster::places::places;
use crate::plan::tests::{NOW, empty_relay, examples, objects};
use crate::plan::{Objects, SecretId, build, ensure_secrets, introduce, validate};

pub(super) const UNUSUAL: &str = "
apiVersion: sotto.dev/v1alpha1
kind: Network
metadata: {name: unusual}
spec:
  domain: chat.unusual.example
  image: registry.example/sotto:1
  relay:
    publicURL: https://chat.unusual.example
    tls: {mode: Secret, secretName: own}
    storage: {size: 5Gi, storageClassName: fast}
    resources: {requests: {cpu: 1}}
  federation: {mode: Restricted, gateway: {replicas: 3, port: 9000}}
  metrics:
    prometheus: {enabled: true}
    cloudWatch: {enabled: true, region: eu-central-1, credentialsSecretName: aws}
  deletionPolicy: Delete
---
apiVersion: sotto.dev/v1alpha1
kind: RetentionPolicy
metadata: {name: bucket}
spec:
  networkRef: {name: unusual}
  destination: {s3: {bucket: unusual-records, region: eu-central-1, credentialsSecretName: s3-writer}}
  deletionPolicy: Delete
---
apiVersion: sotto.dev/v1alpha1
kind: Network
metadata: {name: plain}
spec: {domain: plain.example, relay: {port: 80, tls: {mode: Disabled}}}
";

/// Everything that the objects are rendered to, by network; and the Secrets.
pub(super) fn rendered(objects: &Objects) -> BTreeMap<String, (Vec<Value>, Secrets)> {
    let validation = validate(objects);
    assert_eq!(validation.problems, BTreeMap::new());
    let owner = |kind, name: &str| Owner { kind, name: name.to_owned(), uid: format!("uid-of-{name}") };
    let mut all = BTreeMap::new();
    let secrets: BTreeMap<_, _> = validation
        .networks
        .iter()
        .map(|(name, network)| {
            let (secrets, failures) =
                ensure_secrets(network, &places(network, "chat"), &BTreeMap::new(), Some(&empty_relay()), NOW);
            assert_eq!(failures, []);
            (name.clone(), secrets)
        })
        .collect();
    let facts = validation
        .networks
        .iter()
        .filter_map(|(name, network)| Some((name.clone(), introduce(&places(network, "chat"), &secrets[name])?)))
        .collect();
    for (name, network) in &validation.networks {
        let secrets = secrets[name].clone();
        let plan = build(network, &places(network, "chat"), &secrets, &facts).unwrap();
        let policies = network.policies.keys().map(|p| (p.clone(), owner("RetentionPolicy", p))).collect();
        let scene = Scene {
            namespace: "chat",
            network,
            plan: &plan,
            secrets: &secrets,
            owner: &owner("Network", name),
            policies: &policies,
            image: "sotto:test",
            pull_policy: "IfNotPresent",
            operator_namespace: Some("sotto-system"),
        };
        let list = render(&scene).unwrap().into_iter().map(|r| r.object).collect();
        all.insert(name.clone(), (list, secrets));
    }
    all
}

fn all() -> Vec<Value> {
    [examples(), objects(UNUSUAL)].iter().flat_map(|o| rendered(o).into_values()).flat_map(|(list, _)| list).collect()
}

pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
pub(super) fn title(object: &Value) -> String {
    format!("{}/{}", text(object, "/kind"), text(object, "/metadata/name"))
}
pub(super) fn find<'a>(list: &'a [Value], wanted: &str) -> &'a Value {
    let found = list.iter().find(|o| title(o) == wanted);
    found.unwrap_or_else(|| panic!("{wanted} is not in {:?}", list.iter().map(title).collect::<Vec<_>>()))
}
fn workloads() -> Vec<Value> {
    all().into_iter().filter(|o| o.pointer("/spec/template").is_some()).collect()
}

/// A field that Kubernetes does not know is lost on the way through its types.
pub(super) fn through<K: DeserializeOwned + Serialize>(object: &Value) {
    let typed: K = serde_json::from_value(object.clone()).unwrap_or_else(|e| panic!("{}: {e}", title(object)));
    let back = serde_json::to_value(typed).unwrap();
    assert!(holds(&back, object), "{} has fields that Kubernetes does not know:\n{object:#}\n{back:#}", title(object));
}

#[test]
fn kubernetes_knows_every_field() {
    for object in all() {
        match text(&object, "/kind") {
            "ServiceAccount" => through::<ServiceAccount>(&object),
            "ConfigMap" => through::<ConfigMap>(&object),
            "PersistentVolumeClaim" => through::<PersistentVolumeClaim>(&object),
            "Service" => through::<Service>(&object),
            "StatefulSet" => through::<StatefulSet>(&object),
            "Deployment" => through::<Deployment>(&object),
            "PodDisruptionBudget" => through::<PodDisruptionBudget>(&object),
            "NetworkPolicy" => through::<NetworkPolicy>(&object),
            "Ingress" => through::<Ingress>(&object),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn objects_are_ours_in_their_namespace_and_once() {
    let mut seen = BTreeSet::new();
    for object in all() {
        assert!(seen.insert(title(&object)), "{} stands twice", title(&object));
        assert_eq!(text(&object, "/metadata/namespace"), "chat");
        let labels = &object["metadata"]["labels"];
        assert_eq!(labels[labels::MANAGED_BY], labels::MANAGER, "{}", title(&object));
        assert!(labels[labels::NETWORK].is_string() && labels[labels::COMPONENT].is_string());
        assert!(labels.get("app.kubernetes.io/instance").is_none(), "tools prune by this label");
    }
}

#[test]
fn everything_goes_with_its_owner_but_what_is_to_be_kept() {
    for object in all() {
        let owners = object["metadata"]["ownerReferences"].as_array().map_or(0, Vec::len);
        let deleted = ["unusual", "bucket"].iter().any(|name| text(&object, "/metadata/name").starts_with(name));
        let claim = text(&object, "/kind") == "PersistentVolumeClaim";
        assert_eq!(owners, usize::from(!claim || deleted), "{}", title(&object));
        if owners == 1 {
            let owner = &object["metadata"]["ownerReferences"][0];
            assert!(owner["controller"] == true && owner["uid"].as_str().unwrap().starts_with("uid-of-"));
            let retention = object["metadata"]["labels"][labels::COMPONENT] == "retention";
            assert_eq!(owner["kind"], if retention { "RetentionPolicy" } else { "Network" }, "{}", title(&object));
        }
    }
}

#[test]
fn pods_meet_the_restricted_standard() {
    for workload in workloads() {
        let pod = &workload["spec"]["template"]["spec"];
        let context = &pod["securityContext"];
        assert!(context["runAsNonRoot"] == true && context["runAsUser"] == 65_532 && context["fsGroup"] == 65_532);
        assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["enableServiceLinks"], false);
        for container in pod["containers"].as_array().unwrap() {
            let context = &container["securityContext"];
            assert!(context["allowPrivilegeEscalation"] == false && context["readOnlyRootFilesystem"] == true);
            assert_eq!(context["capabilities"]["drop"][0], "ALL");
        }
    }
}

#[test]
fn containers_have_probes_and_resources() {
    for workload in workloads() {
        let container = &workload["spec"]["template"]["spec"]["containers"][0];
        let ports: Vec<&str> =
            container["ports"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
        for (probe, path) in
            [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]
        {
            assert_eq!(container[probe]["httpGet"]["path"], path, "{}", title(&workload));
            assert!(ports.contains(&container[probe]["httpGet"]["port"].as_str().unwrap()));
        }
        assert!(container["resources"]["requests"].is_object(), "{}", title(&workload));
    }
}

#[test]
fn pods_find_what_they_mount_and_are_found_by_their_selector() {
    let all = all();
    for workload in workloads() {
        let (template, labels) = (&workload["spec"]["template"], &workload["spec"]["selector"]["matchLabels"]);
        assert!(holds(&template["metadata"]["labels"], labels), "{}", title(&workload));
        let account = format!("ServiceAccount/{}", text(template, "/spec/serviceAccountName"));
        assert_eq!(find(&all, &account)["automountServiceAccountToken"], false);
        let volumes: BTreeMap<&str, &Value> = template["spec"]["volumes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|volume| (volume["name"].as_str().unwrap(), volume))
            .collect();
        let mut paths = BTreeSet::new();
        for mount in template["spec"]["containers"][0]["volumeMounts"].as_array().unwrap() {
            assert!(paths.insert(mount["mountPath"].as_str().unwrap()));
            let volume = volumes[mount["name"].as_str().unwrap()];
            if let Some(name) = volume.pointer("/configMap/name").and_then(Value::as_str) {
                find(&all, &format!("ConfigMap/{name}"));
            }
            if let Some(name) = volume.pointer("/persistentVolumeClaim/claimName").and_then(Value::as_str) {
                find(&all, &format!("PersistentVolumeClaim/{name}"));
            }
        }
        assert_eq!(paths.len(), volumes.len());
        // The program finds its configuration where it is mounted.
        let verb = text(template, "/spec/containers/0/name");
        let name = text(&workload, "/metadata/name");
        assert!(find(&all, &format!("ConfigMap/{name}"))["data"][format!("{verb}.yaml")].is_string());
        assert_eq!(template["spec"]["containers"][0]["args"][2], format!("/etc/sotto/{verb}.yaml"));
    }
}

#[test]
fn services_find_their_pods_and_ports() {
    let workloads = workloads();
    for service in all().iter().filter(|o| text(o, "/kind") == "Service") {
        let selector = &service["spec"]["selector"];
        let pods: Vec<&Value> = workloads
            .iter()
            .map(|w| &w["spec"]["template"])
            .filter(|t| holds(&t["metadata"]["labels"], selector))
            .collect();
        assert_eq!(pods.len(), 1, "{}", title(service));
        let ports = pods[0]["spec"]["containers"][0]["ports"].as_array().unwrap();
        for port in service["spec"]["ports"].as_array().unwrap() {
            assert!(ports.iter().any(|p| p["containerPort"] == port["targetPort"]), "{}: {port}", title(service));
        }
    }
}

#[test]
fn no_configuration_holds_a_secret() {
    for objects in [examples(), objects(UNUSUAL)] {
        for (list, secrets) in rendered(&objects).into_values() {
            let text = serde_json::to_string(&list).unwrap();
            for (id, ensured) in secrets.iter() {
                let private = [
                    "ca.key",
                    "tls.key",
                    "policy.key",
                    "secret",
                    "password",
                    "registration-code",
                    "identity.key",
                    "code",
                    "url",
                ];
                for (key, value) in ensured.data.iter().filter(|(key, _)| private.contains(key)) {
                    let value = String::from_utf8_lossy(value);
                    // The longest line: random bytes have short ones, which stand in every text.
                    let lines = value.lines().filter(|line| !line.starts_with("-----"));
                    let part = lines.max_by_key(|line| line.len()).unwrap_or_default();
                    assert!(!part.is_empty() && !text.contains(part), "{id:?} {key} is in an object");
                }
            }
            assert!(!text.contains("policy-key\"") && !text.contains("-ca\""), "keys of the operator are mounted");
        }
    }
}

#[test]
fn the_relay_never_gets_the_keys_of_the_operator() {
    for workload in workloads() {
        let mounted: Vec<&str> = workload["spec"]["template"]["spec"]["volumes"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|v| v.pointer("/secret/secretName").and_then(Value::as_str))
            .collect();
        for name in mounted {
            assert!(!["-ca", "-policy-key", "-operator-tls"].iter().any(|end| name.ends_with(end)), "{name}");
        }
    }
}

#[test]
fn rendering_twice_gives_the_same() {
    let objects = objects(UNUSUAL);
    let validation = validate(&objects);
    let network = &validation.networks["unusual"];
    let places = places(network, "chat");
    let (secrets, _) = ensure_secrets(network, &places, &BTreeMap::new(), Some(&empty_relay()), NOW);
    let existing = secrets.iter().map(|(id, e)| (id.clone(), e.data.clone())).collect();
    let (again, _) = ensure_secrets(network, &places, &existing, Some(&empty_relay()), NOW + 60_000);
    let lists = [secrets, again].map(|secrets| {
        let plan = build(network, &places, &secrets, &BTreeMap::new()).unwrap();
        let owner = Owner { kind: "Network", name: "unusual".into(), uid: "u".into() };
        let policies = [("bucket".to_owned(), owner.clone())].into();
        let scene = Scene {
            namespace: "chat",
            network,
            plan: &plan,
            secrets: &secrets,
            owner: &owner,
            policies: &policies,
            image: "i",
            pull_policy: "Never",
            operator_namespace: None,
        };
        render(&scene).unwrap()
    });
    assert_eq!(lists[0], lists[1]);
}

#[test]
fn a_change_rolls_the_pods_it_concerns_and_users_roll_none() {
    let objects = objects(UNUSUAL);
    let validation = validate(&objects);
    let network = &validation.networks["unusual"];
    let (secrets, _) = ensure_secrets(network, &places(network, "chat"), &BTreeMap::new(), Some(&empty_relay()), NOW);
    let owner = Owner { kind: "Network", name: "unusual".into(), uid: "u".into() };
    let policies = [("bucket".to_owned(), owner.clone())].into();
    let of = |network: &ValidNetwork, secrets: &Secrets| {
        let plan = build(network, &places(network, "chat"), secrets, &BTreeMap::new()).unwrap();
        let namespace = "chat";
        let (image, pull_policy) = ("i", "Never");
        let scene = Scene {
            namespace,
            network,
            plan: &plan,
            secrets,
            owner: &owner,
            policies: &policies,
            image,
            pull_policy,
            operator_namespace: None,
        };
        render(&scene).unwrap().into_iter().map(|r| r.object).collect::<Vec<_>>()
    };
    let digest = |list: &[Value], name: &str| {
        text(find(list, name), "/spec/template/metadata/annotations/sotto.dev~1config").to_owned()
    };
    let before = of(network, &secrets);

    // Groups and users are for the relay's admin interface.
    let mut quiet = network.clone();
    let mut group = quiet.groups[&quiet.default_group].clone();
    group.lockout_threshold = 3;
    quiet.groups.insert("strict".into(), group);
    quiet.default_group = "strict".into();
    assert_eq!(of(&quiet, &secrets), before);

    let mut changed = network.clone();
    changed.cloud_watch = None;
    let after = of(&changed, &secrets);
    for name in ["StatefulSet/unusual-relay", "Deployment/unusual-gateway", "StatefulSet/bucket-retention"] {
        assert_ne!(digest(&before, name), digest(&after, name), "{name}");
    }

    // Certificates are read again by the programs themselves: a renewal restarts nothing.
    let existing: BTreeMap<_, _> = secrets.iter().map(|(id, e)| (id.clone(), e.data.clone())).collect();
    let mut rotating = network.clone();
    rotating.rotate = Some("today".into());
    let later = NOW + 300 * 24 * 3_600_000;
    let (renewed, _) = ensure_secrets(&rotating, &places(network, "chat"), &existing, Some(&empty_relay()), later);
    for id in [SecretId::RelayTls, SecretId::GatewayTls, SecretId::Retention("bucket".into())] {
        assert!(renewed.get(&id) != secrets.get(&id), "{id:?} is a new one");
    }
    assert_eq!(of(&rotating, &renewed), before);

    // Another identity of the retention process is read at its start.
    let mut without = existing.clone();
    without.remove(&SecretId::Retention("bucket".into()));
    let (replaced, _) = ensure_secrets(network, &places(network, "chat"), &without, Some(&empty_relay()), NOW);
    let after = of(network, &replaced);
    assert_ne!(digest(&before, "StatefulSet/bucket-retention"), digest(&after, "StatefulSet/bucket-retention"));
    assert_eq!(digest(&before, "StatefulSet/unusual-relay"), digest(&after, "StatefulSet/unusual-relay"));

    // Credentials in the environment stay what they were when a process began.
    let mut referenced = secrets.clone();
    referenced.referenced.insert("s3-writer".into(), "1001".into());
    let known = of(network, &referenced);
    referenced.referenced.insert("s3-writer".into(), "1002".into());
    referenced.referenced.insert("own".into(), "7".into());
    let after = of(network, &referenced);
    assert_ne!(digest(&known, "StatefulSet/bucket-retention"), digest(&after, "StatefulSet/bucket-retention"));
    // The relay's own certificate is in a file.
    assert_eq!(digest(&before, "StatefulSet/unusual-relay"), digest(&after, "StatefulSet/unusual-relay"));
}

#[test]
fn unusual_wishes_are_met() {
    let (list, _) = rendered(&objects(UNUSUAL)).remove("unusual").unwrap();
    let relay = find(&list, "StatefulSet/unusual-relay");
    let container = &relay["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "registry.example/sotto:1");
    assert_eq!(container["resources"], json!({"requests": {"cpu": "1"}}));
    assert_eq!(container["envFrom"][0]["secretRef"], json!({"name": "aws", "optional": true}));
    assert_eq!(text(relay, "/spec/template/metadata/annotations/prometheus.io~1scrape"), "true");
    let config = text(find(&list, "ConfigMap/unusual-relay"), "/data/relay.yaml").to_owned();
    assert!(config.contains("/run/sotto/own-tls/tls.crt") && config.contains("intervalSeconds: 60"), "{config}");
    let claim = find(&list, "PersistentVolumeClaim/unusual-relay-data");
    assert_eq!(claim["spec"]["storageClassName"], "fast");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "5Gi");

    let gateway = find(&list, "Deployment/unusual-gateway");
    assert_eq!(gateway["spec"]["replicas"], 3);
    assert!(gateway["spec"]["template"]["spec"]["topologySpreadConstraints"].is_array());
    assert_eq!(find(&list, "PodDisruptionBudget/unusual-gateway")["spec"]["maxUnavailable"], 1);
    assert_eq!(find(&list, "Service/unusual-gateway")["spec"]["ports"][0]["port"], 9000);

    let retention = find(&list, "StatefulSet/bucket-retention");
    let environment = &retention["spec"]["template"]["spec"]["containers"][0]["envFrom"];
    assert_eq!(environment[1]["secretRef"]["name"], "s3-writer");
    assert!(!list.iter().any(|o| title(o).contains("bucket-retention-records")), "a bucket needs no volume");
    let (plain, _) = rendered(&objects(UNUSUAL)).remove("plain").unwrap();
    assert!(!plain.iter().any(|o| title(o).contains("gateway")), "federation is off");
    assert!(!text(find(&plain, "ConfigMap/plain-relay"), "/data/relay.yaml").contains("\ntls:"));
}

#[test]
fn what_a_workload_needs_comes_before_it() {
    for objects in [examples(), objects(UNUSUAL)] {
        for (list, _) in rendered(&objects).into_values() {
            let place = |kind: &str, name: &str| list.iter().position(|o| title(o) == format!("{kind}/{name}"));
            for (index, workload) in list.iter().enumerate().filter(|(_, o)| o.pointer("/spec/template").is_some()) {
                let name = text(workload, "/metadata/name");
                assert!(place("ConfigMap", name).unwrap() < index && place("ServiceAccount", name).unwrap() < index);
            }
        }
    }
}
