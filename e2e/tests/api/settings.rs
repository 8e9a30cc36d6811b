//! What a real API server says to the settings of networks, users and retention policies: it takes what the offline admission takes,
//! and refuses what that refuses, with field and remedy.

use serde_json::{Value, json};
use sotto_e2e::{ApiServer, Outcome, ensure};

fn object(kind: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "sotto.dev/v1alpha1", "kind": kind,
        "metadata": {"name": "acme", "namespace": "chat"},
        "spec": spec,
    })
}

fn network(more: &Value) -> Value {
    let mut spec = json!({"domain": "chat.acme.example"});
    for (name, value) in more.as_object().into_iter().flatten() {
        spec[name] = value.clone();
    }
    object("Network", &spec)
}

fn pod() -> Value {
    json!({
        "labels": {"team": "chat"}, "annotations": {"example.com/mesh": "on"},
        "serviceAccountAnnotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/sotto"},
        "nodeSelector": {"disk": "fast"}, "priorityClassName": "high",
        "tolerations": [{"key": "chat", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}},
        ]}},
        "topologySpreadConstraints": [{"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
        "imagePullSecrets": [{"name": "pull"}],
    })
}

/// Whether `kept` has all that `wrote` has.
fn contains(kept: &Value, wrote: &Value) -> bool {
    match (kept, wrote) {
        (Value::Object(kept), Value::Object(wrote)) => {
            wrote.iter().all(|(key, wrote)| kept.get(key).is_some_and(|kept| contains(kept, wrote)))
        }
        (Value::Array(kept), Value::Array(wrote)) => {
            kept.len() == wrote.len() && kept.iter().zip(wrote).all(|(kept, wrote)| contains(kept, wrote))
        }
        (kept, wrote) => kept == wrote,
    }
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn settings_are_taken_and_mistakes_refused_with_field_and_remedy() -> Outcome {
    let api = ApiServer::start()?;
    api.install_crds()?;
    api.namespace("chat")?;
    let service = json!({
        "type": "LoadBalancer", "loadBalancerClass": "service.k8s.aws/nlb", "externalTrafficPolicy": "Local",
        "loadBalancerSourceRanges": ["203.0.113.0/24"], "annotations": {"a/b": "c"},
    });
    let reference = json!({"name": "acme"});
    let good = [
        network(&json!({
            "upgradePolicy": "Automatic", "networkPolicy": "Disabled",
            "relay": {
                "publicURL": "https://chat.acme.example", "pod": pod(), "service": service,
                "tls": {"mode": "CertManager", "issuerRef": {"name": "letsencrypt"}},
                "ingress": {"className": "nginx", "annotations": {"a/b": "c"}, "tlsSecretName": "web"},
                "route": {"parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "tls"}], "annotations": {"a/b": "c"}},
            },
            "federation": {"mode": "Restricted", "gateway": {"pod": pod(), "service": service}},
        })),
        object("RetentionPolicy", &json!({"networkRef": reference, "destination": {"volume": {}}, "pod": pod()})),
        object(
            "User",
            &json!({"networkRef": reference, "reset": {"devices": "2026-11-23", "invite": "a", "lockout": "b"}}),
        ),
    ];
    for object in &good {
        let kept = api.kubectl().args(["create", "-o", "json", "-f", "-"]).input(object.to_string()).json()?;
        // Nothing of what was written is dropped, also where our schema leaves the fields to Kubernetes' own types.
        ensure(contains(&kept["spec"], &object["spec"]), || format!("wrote {object:#}\nkept {kept:#}"))?;
    }
    let bare = network(&json!({"federation": {"mode": "Restricted"}}));
    let bare =
        api.kubectl().args(["apply", "--dry-run=server", "-o", "json", "-f", "-"]).input(bare.to_string()).json();
    ensure(bare.is_ok(), || format!("{bare:?}"))?;

    let relay = |relay: Value| network(&json!({"relay": relay}));
    let url = "https://chat.acme.example";
    let user = |reset: Value| object("User", &json!({"networkRef": reference, "reset": reset}));
    let bad = [
        (relay(json!({"pod": {"labels": {"sotto.dev/network": "x"}}})), "spec.relay.pod.labels", "choose another name"),
        (
            relay(json!({"pod": {"annotations": {"sotto.dev/x": "x"}}})),
            "spec.relay.pod.annotations",
            "choose another name",
        ),
        (
            relay(json!({"service": {"loadBalancerClass": "x"}})),
            "spec.relay.service.loadBalancerClass",
            "goes with type LoadBalancer",
        ),
        (
            relay(json!({"ingress": {}, "publicURL": url})),
            "spec.relay.ingress",
            "set tls.mode Disabled, Secret or CertManager",
        ),
        (
            relay(json!({"ingress": {}, "tls": {"mode": "Disabled"}})),
            "spec.relay.publicURL",
            "needed with ingress and route",
        ),
        (
            relay(json!({"route": {"kind": "HTTPRoute", "parentRefs": [{"name": "p"}]}, "publicURL": url})),
            "spec.relay.route",
            "tls.mode Disabled",
        ),
        (
            relay(json!({"tls": {"mode": "CertManager"}, "publicURL": url})),
            "spec.relay.tls.issuerRef",
            "set both, or neither",
        ),
        (user(json!({"devices": "two words"})), "spec.reset.devices", "such as the date: 2026-11-23"),
        (user(json!({"invite": "-x"})), "spec.reset.invite", "such as the date: 2026-11-23"),
    ];
    for (mut object, field, words) in bad {
        object["metadata"]["name"] = json!("other");
        let said = api.kubectl().args(["create", "-f", "-"]).input(object.to_string()).refused()?;
        ensure(said.contains(field) && said.contains(words), || format!("wanted {field} {words}, got {said}"))?;
    }
    // A change of the class of a load balancer, which Kubernetes itself would refuse to the operator.
    let mut other = good[0].clone();
    other["spec"]["relay"]["service"]["loadBalancerClass"] = json!("other/class");
    let said = api
        .kubectl()
        .args(["apply", "--server-side", "--force-conflicts", "-f", "-"])
        .input(other.to_string())
        .refused()?;
    ensure(said.contains("set type ClusterIP first"), || said)?;
    let explained = api.kubectl().args(["explain", "network.spec.relay.pod.affinity"]).output()?;
    ensure(explained.contains("kubectl explain pod.spec.affinity"), || explained)
}
