//! What objects say about pods, Services, ways in and NetworkPolicies.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};

use super::tests::{UNUSUAL, find, rendered, text, through, title};
use super::*;
use crate::plan::tests::{examples, objects};

const POD: &str = "{
  labels: {team: chat, app.kubernetes.io/instance: theirs}, annotations: {example.com/mesh: 'on'},
  serviceAccountAnnotations: {eks.amazonaws.com/role-arn: 'arn:aws:iam::123456789012:role/sotto'},
  nodeSelector: {disk: fast}, priorityClassName: high, tolerations: [{key: chat, operator: Exists}],
  affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: zone, labelSelector: {matchLabels: {a: b}}}]}},
  topologySpreadConstraints: [{maxSkew: 2, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}],
  imagePullSecrets: [{name: pull}]}";

fn network(spec: &str) -> String {
    format!(
        "apiVersion: sotto.dev/v1alpha1\nkind: Network\nmetadata: {{name: acme}}\nspec: {{domain: chat.acme.example, {spec}}}\n"
    )
}

fn of(manifest: &str) -> Vec<Value> {
    rendered(&objects(manifest)).remove("acme").unwrap().0
}

#[test]
fn pods_run_where_they_should_and_ours_stands_above_theirs() {
    let manifest = network(&format!(
        "relay: {{pod: {POD}}}, federation: {{mode: Restricted, gateway: {{replicas: 3, pod: {POD}}}}}, metrics: {{prometheus: {{enabled: true}}}}"
    )) + &format!(
        "---\napiVersion: sotto.dev/v1alpha1\nkind: RetentionPolicy\nmetadata: {{name: keep}}\nspec: {{networkRef: {{name: acme}}, destination: {{volume: {{}}}}, pod: {POD}}}\n"
    );
    let (list, plain) = (of(&manifest), of(&network("federation: {mode: Restricted}")));
    for (workload, part) in [
        ("StatefulSet/acme-relay", "relay"),
        ("Deployment/acme-gateway", "gateway"),
        ("StatefulSet/keep-retention", "retention"),
    ] {
        let object = find(&list, workload);
        if part == "gateway" {
            through::<Deployment>(object);
        } else {
            through::<StatefulSet>(object);
        }
        let (template, selector) = (&object["spec"]["template"], &object["spec"]["selector"]["matchLabels"]);
        let (meta, spec) = (&template["metadata"], &template["spec"]);
        assert_eq!((&meta["labels"]["team"], &meta["labels"]["sotto.dev/component"]), (&json!("chat"), &json!(part)));
        assert_eq!(selector.get("team"), None, "a selector cannot be changed");
        assert_eq!(meta["annotations"]["example.com/mesh"], "on");
        assert_eq!((&spec["priorityClassName"], &spec["nodeSelector"]["disk"]), (&json!("high"), &json!("fast")));
        assert_eq!(spec["tolerations"], json!([{"key": "chat", "operator": "Exists"}]));
        assert_eq!(
            text(spec, "/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/0/topologyKey"),
            "zone"
        );
        let spread = spec["topologySpreadConstraints"].as_array().unwrap();
        assert_eq!((spread.len(), &spread[0]["maxSkew"]), (1, &json!(2)), "theirs in place of our default");
        assert_eq!(&spread[0]["labelSelector"]["matchLabels"], selector);
        assert_eq!(spec["imagePullSecrets"], json!([{"name": "pull"}]));
        let account = find(&list, &format!("ServiceAccount/{}", text(spec, "/serviceAccountName")));
        through::<ServiceAccount>(account);
        assert_eq!(
            account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"],
            "arn:aws:iam::123456789012:role/sotto"
        );
    }
    let without = &find(&plain, "StatefulSet/acme-relay")["spec"]["template"]["spec"];
    for name in [
        "nodeSelector",
        "priorityClassName",
        "tolerations",
        "affinity",
        "topologySpreadConstraints",
        "imagePullSecrets",
    ] {
        assert_eq!(without.get(name), None, "{name} is there although nobody asked");
    }
}

#[test]
fn another_role_restarts_the_pods_that_have_it() {
    let role = |role: &str| {
        let list = of(&network(&format!(
            "relay: {{pod: {{serviceAccountAnnotations: {{eks.amazonaws.com/role-arn: '{role}'}}}}}}"
        )));
        text(find(&list, "StatefulSet/acme-relay"), "/spec/template/spec/containers/0/image").to_owned()
            + text(find(&list, "ConfigMap/acme-relay"), "/metadata/name")
    };
    assert_eq!(role("a"), role("b"));
    let digest = |options: &ValidPod| digest(&BTreeMap::new(), &[], &Secrets::default(), options);
    let with = |role: &str| ValidPod {
        service_account_annotations: [("eks.amazonaws.com/role-arn".to_owned(), role.to_owned())].into(),
        ..ValidPod::default()
    };
    assert_ne!(digest(&with("a")), digest(&with("b")));
    let labelled = ValidPod { labels: [("a".to_owned(), "b".to_owned())].into(), ..ValidPod::default() };
    assert_eq!(digest(&labelled), digest(&ValidPod::default()), "what is in the template itself needs no digest");
}

#[test]
fn an_autoscaler_has_the_number_of_gateways_where_none_is_said() {
    let list = of(&network("federation: {mode: Restricted}"));
    assert_eq!(find(&list, "Deployment/acme-gateway")["spec"].get("replicas"), None);
    assert_eq!(find(&list, "PodDisruptionBudget/acme-gateway")["spec"]["maxUnavailable"], 1);
    let list = of(&network("federation: {mode: Restricted, gateway: {replicas: 1}}"));
    assert_eq!(find(&list, "Deployment/acme-gateway")["spec"]["replicas"], 1);
    assert!(!list.iter().any(|o| o["kind"] == "PodDisruptionBudget"));
}

#[test]
fn services_are_reached_as_the_object_says() {
    let service = "{type: LoadBalancer, loadBalancerClass: service.k8s.aws/nlb, loadBalancerSourceRanges: [203.0.113.0/24], \
                   externalTrafficPolicy: Local, annotations: {example.com/scheme: internet-facing}}";
    let list = of(&network(&format!(
        "relay: {{service: {service}}}, federation: {{mode: Restricted, gateway: {{service: {service}}}}}"
    )));
    for name in ["Service/acme-relay", "Service/acme-gateway"] {
        let service = find(&list, name);
        through::<Service>(service);
        let spec = &service["spec"];
        assert_eq!(
            (&spec["type"], &spec["loadBalancerClass"]),
            (&json!("LoadBalancer"), &json!("service.k8s.aws/nlb"))
        );
        assert_eq!(
            (&spec["externalTrafficPolicy"], &spec["loadBalancerSourceRanges"][0]),
            (&json!("Local"), &json!("203.0.113.0/24"))
        );
        assert_eq!(service["metadata"]["annotations"]["example.com/scheme"], "internet-facing");
    }
    for name in ["Service/acme-relay-admin", "Service/acme-gateway-internal"] {
        assert_eq!(find(&list, name)["spec"]["type"], "ClusterIP", "{name} is nobody's from outside");
    }
}

#[test]
fn ways_in_lead_the_public_host_to_the_relay() {
    let list = of(&network(
        "relay: {publicURL: 'https://Chat.acme.example:8443', port: 8080, tls: {mode: Disabled}, ingress: {className: nginx, tlsSecretName: web, annotations: {a/b: c}}}",
    ));
    let ingress = find(&list, "Ingress/acme-relay");
    through::<Ingress>(ingress);
    assert_eq!(text(ingress, "/spec/rules/0/host"), "chat.acme.example");
    assert_eq!(
        ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"],
        json!({"name": "acme-relay", "port": {"number": 8080}})
    );
    assert_eq!(ingress["spec"]["tls"][0], json!({"hosts": ["chat.acme.example"], "secretName": "web"}));
    assert_eq!(
        (text(ingress, "/spec/ingressClassName"), &ingress["metadata"]["annotations"]["a/b"]),
        ("nginx", &json!("c"))
    );

    for (tls, kind) in [("tls: {mode: Disabled}, ", "HTTPRoute"), ("", "TLSRoute")] {
        let list = of(&network(&format!(
            "relay: {{publicURL: 'https://chat.acme.example', {tls}route: {{kind: {kind}, parentRefs: [{{name: public, namespace: gateways, sectionName: web}}]}}}}"
        )));
        let route = find(&list, &format!("{kind}/acme-relay"));
        assert_eq!(route["apiVersion"], "gateway.networking.k8s.io/v1");
        assert_eq!(
            route["spec"],
            json!({
                "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "web"}],
                "hostnames": ["chat.acme.example"],
                "rules": [{"backendRefs": [{"name": "acme-relay", "port": 443}]}],
            })
        );
    }
}

#[test]
fn cert_manager_makes_the_certificate_that_the_relay_mounts() {
    let list = of(&network(
        "relay: {publicURL: 'https://chat.acme.example', tls: {mode: CertManager, issuerRef: {name: letsencrypt, kind: ClusterIssuer}}}",
    ));
    let certificate = find(&list, "Certificate/acme-relay");
    assert_eq!(
        certificate["spec"]["issuerRef"],
        json!({"name": "letsencrypt", "kind": "ClusterIssuer", "group": "cert-manager.io"})
    );
    assert_eq!(certificate["spec"]["dnsNames"], json!(["chat.acme.example"]));
    let volumes = find(&list, "StatefulSet/acme-relay")["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
    let own = volumes.iter().find(|volume| volume["name"] == "own-tls").unwrap();
    assert_eq!(own["secret"]["secretName"], certificate["spec"]["secretName"]);
    let place = |wanted: &str| list.iter().position(|o| title(o) == wanted).unwrap();
    assert!(place("Certificate/acme-relay") < place("StatefulSet/acme-relay"));
}

/// A pod as NetworkPolicies see it: its namespace and labels. `None`: somewhere outside.
type Pod<'a> = Option<(&'a str, Value)>;

/// Whether the policies in `list` (all of the namespace `chat`) let one pod connect to another, as Kubernetes reads them.
fn lets(list: &[Value], from: &Pod<'_>, to: &Pod<'_>, port: u16) -> bool {
    let policies = || list.iter().filter(|o| o["kind"] == "NetworkPolicy");
    let selected = |policy: &Value, pod: &Pod<'_>| {
        let labels = &policy["spec"]["podSelector"]["matchLabels"];
        pod.as_ref().is_some_and(|(namespace, have)| *namespace == "chat" && crate::cluster::diff::holds(have, labels))
    };
    let matches = |other: &Value, pod: &Pod<'_>| match pod {
        None => false,
        Some((namespace, have)) => {
            let space = match other.get("namespaceSelector") {
                None => *namespace == "chat",
                Some(selector) => selector["matchLabels"].as_object().into_iter().flatten().all(|(key, value)| {
                    assert_eq!(key, "kubernetes.io/metadata.name");
                    value == namespace
                }),
            };
            let labels = other["podSelector"].get("matchLabels").cloned().unwrap_or(json!({}));
            other.get("ipBlock").is_none() && space && crate::cluster::diff::holds(have, &labels)
        }
    };
    let side = |rules: &str, key: &str, own: &Pod<'_>, other: &Pod<'_>| {
        let mut concerned = policies().filter(|policy| selected(policy, own)).peekable();
        concerned.peek().is_none()
            || concerned.any(|policy| {
                policy["spec"][rules].as_array().unwrap().iter().any(|rule| {
                    let ports =
                        rule["ports"].as_array().unwrap().iter().any(|p| p["port"] == port && p["protocol"] == "TCP");
                    ports
                        && rule
                            .get(key)
                            .is_none_or(|others| others.as_array().unwrap().iter().any(|o| matches(o, other)))
                })
            })
    };
    side("egress", "to", from, to) && side("ingress", "from", to, from)
}

#[expect(clippy::unnecessary_wraps, reason = "as the other ends of a connection")]
fn pod(network: &str, component: Component, policy: Option<&str>) -> Pod<'static> {
    Some(("chat", labels_of(network, component, policy)))
}

#[test]
fn policies_let_each_part_do_its_work_and_nothing_else() {
    let all = rendered(&examples());
    let list: Vec<Value> = all.into_values().flat_map(|(list, _)| list).collect();
    let policies = list.iter().filter(|o| o["kind"] == "NetworkPolicy");
    policies.for_each(through::<NetworkPolicy>);
    let relay = pod("acme", Component::Relay, None);
    let gateway = pod("acme", Component::Gateway, None);
    let peer = pod("beta", Component::Gateway, None);
    let retention = pod("acme", Component::Retention, Some("acme-records"));
    let operator = Some(("sotto-system", json!({"app.kubernetes.io/component": "operator"})));
    let impostor = Some(("chat", json!({"app.kubernetes.io/component": "operator"})));
    let prometheus = Some(("monitoring", json!({"app": "prometheus"})));
    let neighbour = Some(("chat", json!({"app": "shop"})));
    for (from, to, port, good) in [
        (&None, &relay, 8443, true),
        (&neighbour, &relay, 8443, true),
        (&operator, &relay, 9443, true),
        (&impostor, &relay, 9443, false),
        (&neighbour, &relay, 9443, false),
        (&None, &relay, 9443, false),
        (&gateway, &relay, 9443, true),
        (&peer, &relay, 9443, false),
        (&retention, &relay, 8443, true),
        (&retention, &relay, 9443, false),
        (&relay, &gateway, 9443, true),
        (&operator, &gateway, 9443, false),
        (&None, &gateway, 8448, true),
        (&gateway, &peer, 8448, true),
        (&peer, &gateway, 8448, true),
        (&relay, &peer, 8448, false),
        (&gateway, &None, 443, false),
        (&relay, &None, 443, false),
        (&relay, &None, 53, true),
        (&gateway, &None, 53, true),
        (&neighbour, &retention, 8443, false),
        (&relay, &retention, 8443, false),
        (&None, &retention, 8080, false),
        (&prometheus, &relay, 8080, true),
        (&prometheus, &gateway, 8080, true),
        (&prometheus, &retention, 8080, true),
        (&prometheus, &relay, 9443, false),
    ] {
        assert_eq!(lets(&list, from, to, port), good, "{from:?} → {to:?}:{port}");
    }
}

#[test]
fn policies_let_out_what_leads_to_aws_and_to_peers_elsewhere() {
    let all = rendered(&objects(UNUSUAL));
    let list = &all["unusual"].0;
    let relay = pod("unusual", Component::Relay, None);
    let retention = pod("unusual", Component::Retention, Some("bucket"));
    assert!(lets(list, &relay, &None, 443), "CloudWatch");
    assert!(lets(list, &retention, &None, 443), "S3, and the relay by its public name");
    // Credentials come from a Secret: nothing leads to the agents on the node.
    assert!(!list.iter().any(|o| o.to_string().contains("169.254")));
    let ambient = of(&network(
        "metrics: {cloudWatch: {enabled: true, region: eu-central-1, endpointURL: 'https://vpce.example:8443/x'}}",
    ));
    let policy = find(&ambient, "NetworkPolicy/acme-relay").to_string();
    assert!(policy.contains("169.254.170.23/32") && policy.contains("8443") && policy.contains("443"));

    let pem = "\"-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\\n\"";
    let far = of(&network(&format!(
        "federation: {{mode: Restricted, peers: [{{domain: far.example, endpoint: 'gw.far.example:9999', caCertificate: {pem}, policyKeyFingerprint: {}}}]}}",
        "a".repeat(52)
    )));
    let gateway = pod("acme", Component::Gateway, None);
    for (port, good) in [(9999, true), (8448, true), (443, false)] {
        assert_eq!(lets(&far, &gateway, &None, port), good, "{port}");
    }
    let none = of(&network("networkPolicy: Disabled, federation: {mode: Restricted}"));
    assert!(!none.iter().any(|o| o["kind"] == "NetworkPolicy"));
}

#[test]
fn without_a_known_operator_its_port_is_open_and_mutual_tls_alone_guards_it() {
    let objects = objects(&network(""));
    let validation = crate::plan::validate(&objects);
    let network = &validation.networks["acme"];
    let owner = Owner { kind: "Network", name: "acme".into(), uid: "u".into() };
    let places = crate::cluster::places::places(network, "chat");
    let (secrets, _) = crate::plan::ensure_secrets(network, &places, &BTreeMap::new(), None, crate::plan::tests::NOW);
    let plan = crate::plan::build(network, &places, &secrets, &BTreeMap::new()).unwrap();
    let scene = Scene {
        namespace: "chat",
        network,
        plan: &plan,
        secrets: &secrets,
        owner: &owner,
        policies: &BTreeMap::new(),
        image: "i",
        pull_policy: "Never",
        operator_namespace: None,
    };
    let list: Vec<Value> = render(&scene).unwrap().into_iter().map(|r| r.object).collect();
    let (relay, stranger) = (pod("acme", Component::Relay, None), Some(("other", json!({}))));
    assert!(lets(&list, &stranger, &relay, 9443) && !lets(&list, &stranger, &relay, 9999));
}
