//! Every rule of the four kinds, with manifests that keep it and manifests that break it.

use kube::Resource;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sotto_crds::{Duration, Network, RetentionPolicy, SecurityGroup, User, admission::admit};

/// A manifest of the kind with these lines of spec (YAML, indented by two).
fn manifest(kind: &str, name: &str, spec: &str) -> Value {
    let text = format!("apiVersion: sotto.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n{spec}");
    serde_yaml::from_str(&text).unwrap()
}

fn good<K: Resource<DynamicType = ()> + DeserializeOwned>(spec: &str) -> K {
    match admit::<K>(&manifest(&K::kind(&()), "thing", spec), None) {
        Ok(object) => object,
        Err(violations) => panic!("{spec}\n{violations:?}"),
    }
}

/// The manifest is refused, with this field and these words.
fn bad<K: Resource<DynamicType = ()> + DeserializeOwned>(spec: &str, field: &str, words: &str) {
    refused::<K>(&manifest(&K::kind(&()), "thing", spec), None, field, words);
}

fn refused<K: Resource<DynamicType = ()> + DeserializeOwned>(
    new: &Value,
    old: Option<&Value>,
    field: &str,
    words: &str,
) {
    let Err(violations) = admit::<K>(new, old) else { panic!("admitted: {new}") };
    let hit = violations.iter().any(|v| v.field == field && v.message.contains(words));
    assert!(hit, "wanted {field:?} {words:?}, got {violations:#?}");
}

/// The change from `old` to `new` is refused, and its opposite ends are fine by themselves.
fn bad_change<K: Resource<DynamicType = ()> + DeserializeOwned>(old: &str, new: &str, field: &str, words: &str) {
    good::<K>(old);
    good::<K>(new);
    let kind = K::kind(&());
    refused::<K>(&manifest(&kind, "thing", new), Some(&manifest(&kind, "thing", old)), field, words);
}

fn good_change<K: Resource<DynamicType = ()> + DeserializeOwned>(old: &str, new: &str) {
    let kind = K::kind(&());
    if let Err(violations) = admit::<K>(&manifest(&kind, "thing", new), Some(&manifest(&kind, "thing", old))) {
        panic!("{old} → {new}\n{violations:?}");
    }
}

const NETWORK: &str = "  domain: chat.acme.example\n";
const REF: &str = "  networkRef: {name: acme}\n";
const POLICY: &str = "  networkRef: {name: acme}\n  destination: {volume: {}}\n";

#[test]
fn network_defaults() {
    let network = good::<Network>(NETWORK);
    let spec = &network.spec;
    assert_eq!(spec.relay.port, 443);
    assert_eq!(spec.relay.storage.size.0, "10Gi");
    assert_eq!(spec.directory.refuse_sending_after_days, 7);
    assert_eq!(spec.metrics.cloud_watch.namespace, "Sotto");
    assert_eq!(spec.federation.gateway.replicas, None);
    assert_eq!(format!("{:?} {:?}", spec.upgrade_policy, spec.network_policy), "Manual Enabled");
    assert_eq!(format!("{:?} {:?}", spec.tier, spec.deletion_policy), "Standard Retain");
    // The typed default is the schema's default.
    let typed: sotto_crds::NetworkSpec = serde_json::from_value(json!({"domain": "chat.acme.example"})).unwrap();
    assert_eq!(&typed, spec);
}

#[test]
fn network_domain() {
    bad::<Network>("  displayName: x\n", "spec.domain", "is required");
    for domain in ["Acme.example", "acme", "a..b", "-a.b", "a.b-", "a b.c", "ünicode.example"] {
        bad::<Network>(&format!("  domain: {domain}\n"), "spec.domain", "right form");
    }
    bad_change::<Network>(NETWORK, "  domain: chat.globex.example\n", "spec.domain", "cannot be changed");
    good_change::<Network>(NETWORK, &format!("{NETWORK}  displayName: Acme\n"));
}

#[test]
fn network_name_and_bounds() {
    let long = "n".repeat(41);
    refused::<Network>(&manifest("Network", &long, NETWORK), None, "", "40 characters");
    refused::<Network>(&manifest("Network", "Acme_1", NETWORK), None, "metadata.name", "253");
    bad::<Network>(&format!("{NETWORK}  displayName: {}\n", "x".repeat(21)), "spec.displayName", "1 to 20");
    bad::<Network>(&format!("{NETWORK}  tier: STANDARD\n"), "spec.tier", "Standard, Premium");
    bad::<Network>(&format!("{NETWORK}  readReceipts: Off\n"), "spec.readReceipts", "ForceEnabled");
    bad::<Network>(&format!("{NETWORK}  relay: {{port: 0}}\n"), "spec.relay.port", "from 1 to 65535");
    bad::<Network>(&format!("{NETWORK}  relay: {{port: '443'}}\n"), "spec.relay.port", "whole number");
    let days = |days: i32| format!("{NETWORK}  directory: {{refuseSendingAfterDays: {days}}}\n");
    assert_eq!(good::<Network>(&days(0)).spec.directory.refuse_sending_after_days, 0);
    bad::<Network>(&days(-1), "spec.directory.refuseSendingAfterDays", "from 0 to 365");
    bad::<Network>(&days(366), "spec.directory.refuseSendingAfterDays", "from 0 to 365");
    let trusting = good::<Network>(&format!("{NETWORK}  relay: {{trustedProxies: [10.0.0.0/8, 'fd00::/8']}}\n"));
    assert_eq!(trusting.spec.relay.trusted_proxies, ["10.0.0.0/8", "fd00::/8"]);
    bad::<Network>(
        &format!("{NETWORK}  relay: {{trustedProxies: [10.0.0.1]}}\n"),
        "spec.relay.trustedProxies[0]",
        "right form",
    );
    bad::<Network>(&format!("{NETWORK}  relais: {{}}\n"), "spec.relais", "did you mean `relay`?");
    bad::<Network>(&format!("{NETWORK}  colour: red\n"), "spec.colour", "unknown field; known here: ");
    bad::<Network>(&format!("{NETWORK}  displayname: Acme\n"), "spec.displayname", "did you mean `displayName`?");
    bad::<User>(&format!("{REF}  frstName: Bob\n"), "spec.frstName", "did you mean `firstName`?");
    bad::<Network>(
        &format!("{NETWORK}  consentPopup: {{header: h, body: b, button: {}}}\n", "x".repeat(21)),
        "spec.consentPopup.button",
        "1 to 20",
    );
    let network = good::<Network>(&format!("{NETWORK}  consentPopup: {{header: h, body: b}}\n  displayName: null\n"));
    assert_eq!(network.spec.consent_popup.unwrap().button, "Acknowledge");
}

#[test]
fn network_relay_tls_and_url() {
    good::<Network>(&format!("{NETWORK}  relay: {{publicURL: 'https://chat.acme.example:8443'}}\n"));
    good::<Network>(&format!("{NETWORK}  relay: {{publicURL: 'http://localhost:8080', tls: {{mode: Disabled}}}}\n"));
    good::<Network>(&format!("{NETWORK}  relay: {{publicURL: 'https://x.example', tls: {{mode: Disabled}}}}\n"));
    bad::<Network>(
        &format!("{NETWORK}  relay: {{publicURL: 'http://x.example'}}\n"),
        "spec.relay.publicURL",
        "https://",
    );
    bad::<Network>(&format!("{NETWORK}  relay: {{publicURL: 'ftp://x'}}\n"), "spec.relay.publicURL", "right form");
    bad::<Network>(
        &format!("{NETWORK}  relay: {{publicURL: 'https://x.example/a'}}\n"),
        "spec.relay.publicURL",
        "without a path",
    );
    good::<Network>(&format!(
        "{NETWORK}  relay: {{publicURL: 'https://x.example', tls: {{mode: Secret, secretName: cert}}}}\n"
    ));
    bad::<Network>(
        &format!("{NETWORK}  relay: {{tls: {{mode: Secret, secretName: cert}}}}\n"),
        "spec.relay.publicURL",
        "needed with tls.mode Secret",
    );
    bad::<Network>(&format!("{NETWORK}  relay: {{tls: {{mode: Secret}}}}\n"), "spec.relay.tls.secretName", "both");
    bad::<Network>(&format!("{NETWORK}  relay: {{tls: {{secretName: cert}}}}\n"), "spec.relay.tls.secretName", "both");
    let tls = |tls: &str| format!("{NETWORK}  relay: {{publicURL: 'https://x.example', tls: {{{tls}}}}}\n");
    let network = good::<Network>(&tls("mode: CertManager, issuerRef: {name: letsencrypt}"));
    let issuer = network.spec.relay.tls.issuer_ref.unwrap();
    assert_eq!((issuer.kind.as_str(), issuer.group.as_str()), ("Issuer", "cert-manager.io"));
    bad::<Network>(&tls("mode: CertManager"), "spec.relay.tls.issuerRef", "set both, or neither");
    bad::<Network>(&tls("issuerRef: {name: x}"), "spec.relay.tls.issuerRef", "set both, or neither");
    bad::<Network>(&tls("mode: CertManager, issuerRef: {}"), "spec.relay.tls.issuerRef.name", "is required");
    bad::<Network>(
        &format!("{NETWORK}  relay: {{tls: {{mode: CertManager, issuerRef: {{name: x}}}}}}\n"),
        "spec.relay.publicURL",
        "needed with tls.mode Secret and CertManager",
    );
}

#[test]
fn network_ways_in() {
    let relay = |text: &str| format!("{NETWORK}  relay: {{publicURL: 'https://x.example', {text}}}\n");
    let network = good::<Network>(&relay("tls: {mode: Disabled}, ingress: {className: nginx, tlsSecretName: web}"));
    assert_eq!(network.spec.relay.ingress.unwrap().class_name.as_deref(), Some("nginx"));
    good::<Network>(&relay("tls: {mode: Secret, secretName: own}, ingress: {}"));
    bad::<Network>(&relay("ingress: {}"), "spec.relay.ingress", "set tls.mode Disabled, Secret or CertManager");
    let alone = format!("{NETWORK}  relay: {{tls: {{mode: Disabled}}, ingress: {{}}}}\n");
    bad::<Network>(&alone, "spec.relay.publicURL", "needed with ingress and route");
    bad::<Network>(
        &relay("tls: {mode: Disabled}, ingress: {annotations: {sotto.dev/x: y}}"),
        "spec.relay.ingress.annotations",
        "the operator's own",
    );

    good::<Network>(&relay("route: {parentRefs: [{name: public, namespace: gateways, sectionName: tls}]}"));
    good::<Network>(&relay("tls: {mode: Disabled}, route: {kind: HTTPRoute, parentRefs: [{name: public}]}"));
    for text in [
        "route: {kind: HTTPRoute, parentRefs: [{name: public}]}",
        "tls: {mode: Disabled}, route: {parentRefs: [{name: public}]}",
    ] {
        bad::<Network>(&relay(text), "spec.relay.route", "set route.kind HTTPRoute with tls.mode Disabled");
    }
    bad::<Network>(&relay("route: {}"), "spec.relay.route.parentRefs", "is required");
    bad::<Network>(&relay("route: {kind: TCPRoute, parentRefs: [{name: p}]}"), "spec.relay.route.kind", "TLSRoute");
    bad::<Network>(
        &format!("{NETWORK}  relay: {{route: {{parentRefs: [{{name: p}}]}}}}\n"),
        "spec.relay.publicURL",
        "needed with ingress and route",
    );
}

#[test]
fn network_services() {
    for part in ["relay", "federation: {gateway"] {
        let (field, close) =
            if part == "relay" { ("spec.relay.service", "") } else { ("spec.federation.gateway.service", "}") };
        let start = if part == "relay" { "relay: {" } else { "federation: {gateway: {" };
        let service = |text: &str| format!("{NETWORK}  {start}service: {{{text}}}}}{close}\n");
        let field = |name: &str| format!("{field}.{name}");
        good::<Network>(&service("type: NodePort, externalTrafficPolicy: Local"));
        let all = "type: LoadBalancer, loadBalancerClass: service.k8s.aws/nlb, loadBalancerSourceRanges: [203.0.113.0/24], annotations: {a/b: c}";
        good::<Network>(&service(all));
        bad::<Network>(&service("type: ExternalName"), &field("type"), "ClusterIP, NodePort, LoadBalancer");
        bad::<Network>(&service("loadBalancerClass: x"), &field("loadBalancerClass"), "goes with type LoadBalancer");
        bad::<Network>(
            &service("type: NodePort, loadBalancerSourceRanges: [10.0.0.0/8]"),
            &field("loadBalancerSourceRanges"),
            "goes with type LoadBalancer",
        );
        bad::<Network>(
            &service("externalTrafficPolicy: Local"),
            &field("externalTrafficPolicy"),
            "NodePort or LoadBalancer",
        );
        bad::<Network>(&service("annotations: {sotto.dev/applied: x}"), &field("annotations"), "the operator's own");
        let class = |class: &str| service(&format!("type: LoadBalancer, loadBalancerClass: {class}"));
        let plain = service("type: LoadBalancer");
        for (old, new) in [(class("a"), class("b")), (plain.clone(), class("a")), (class("a"), plain)] {
            bad_change::<Network>(&old, &new, &field("loadBalancerClass"), "set type ClusterIP first");
        }
        good_change::<Network>(&class("a"), &service("type: ClusterIP"));
        good_change::<Network>(NETWORK, &class("a"));
    }
}

#[test]
fn options_of_pods() {
    type Spec = fn(&str) -> String;
    let all = "labels: {team: chat}, annotations: {a/b: c}, serviceAccountAnnotations: {eks.amazonaws.com/role-arn: 'arn:aws:iam::1:role/x'}, \
               nodeSelector: {disk: fast}, priorityClassName: high, tolerations: [{key: chat, operator: Exists}], \
               affinity: {nodeAffinity: {}}, topologySpreadConstraints: [{maxSkew: 1}], imagePullSecrets: [{name: pull}]";
    let parts: [(Spec, &str, bool); 3] = [
        (|text| format!("{NETWORK}  relay: {{pod: {{{text}}}}}\n"), "spec.relay.pod", true),
        (
            |text| format!("{NETWORK}  federation: {{gateway: {{pod: {{{text}}}}}}}\n"),
            "spec.federation.gateway.pod",
            true,
        ),
        (|text| format!("{POLICY}  pod: {{{text}}}\n"), "spec.pod", false),
    ];
    for (spec, field, network) in parts {
        let field = |name: &str| format!("{field}.{name}");
        let fails = |text: &str, name: &str, words: &str| {
            let spec = spec(text);
            if network {
                bad::<Network>(&spec, &field(name), words);
            } else {
                bad::<RetentionPolicy>(&spec, &field(name), words);
            }
        };
        if network {
            good::<Network>(&spec(all));
        } else {
            good::<RetentionPolicy>(&spec(all));
        }
        for label in [
            "sotto.dev/network",
            "app.kubernetes.io/name",
            "app.kubernetes.io/component",
            "app.kubernetes.io/managed-by",
        ] {
            fails(&format!("labels: {{{label}: x}}"), "labels", "pods are found by them; choose another name");
        }
        fails("annotations: {sotto.dev/config: x}", "annotations", "choose another name");
        fails("serviceAccountAnnotations: {sotto.dev/x: x}", "serviceAccountAnnotations", "choose another name");
        fails("labels: {team: 'a b'}", "labels.team", "right form");
        fails("nodeSelector: {disk: 1}", "nodeSelector.disk", "put it in quotes");
        fails("tolerations: {key: x}", "tolerations", "a list");
        fails("affinity: [x]", "affinity", "an object");
        fails("imagePullSecrets: [{name: a}, {name: a}]", "imagePullSecrets[1]", "twice");
        fails("nodename: x", "nodename", "unknown field");
    }
}

#[test]
fn network_storage() {
    let size = |size: &str| format!("{NETWORK}  relay: {{storage: {{size: {size}}}}}\n");
    good_change::<Network>(&size("10Gi"), &size("20Gi"));
    good_change::<Network>(&size("1024Mi"), &size("1Gi"));
    bad_change::<Network>(&size("10Gi"), &size("9Gi"), "spec.relay.storage.size", "cannot shrink");
    bad_change::<Network>(&size("20Gi"), NETWORK, "spec.relay.storage.size", "cannot shrink");
    bad::<Network>(&size("ten"), "spec.relay.storage.size", "right form");
    bad::<Network>(&size("0Gi"), "spec.relay.storage.size", "right form");
    let class = |class: &str| format!("{NETWORK}  relay: {{storage: {{storageClassName: {class}}}}}\n");
    good_change::<Network>(&class("fast"), &class("fast"));
    for (old, new) in [(class("fast"), class("slow")), (NETWORK.into(), class("fast")), (class("fast"), NETWORK.into())]
    {
        bad_change::<Network>(&old, &new, "spec.relay.storage.storageClassName", "cannot be changed");
    }
}

#[test]
fn network_resources() {
    let network = good::<Network>(&format!("{NETWORK}  relay: {{resources: {{requests: {{cpu: 2, memory: 1Gi}}}}}}\n"));
    assert_eq!(network.spec.relay.resources.unwrap().requests["cpu"].0, "2");
    bad::<Network>(
        &format!("{NETWORK}  relay: {{resources: {{limits: {{memory: lots}}}}}}\n"),
        "spec.relay.resources.limits.memory",
        "right form",
    );
}

#[test]
fn network_federation() {
    let peers = |peers: &str| format!("{NETWORK}  federation: {{mode: Restricted, peers: [{peers}]}}\n");
    good::<Network>(&peers("{domain: chat.globex.example}"));
    let fingerprint = "a".repeat(52);
    let pem = "\"-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\\n\"";
    let all = format!(
        "{{domain: b.example, endpoint: 'gw.b.example:8448', caCertificate: {pem}, policyKeyFingerprint: {fingerprint}}}"
    );
    good::<Network>(&peers(&all));
    bad::<Network>(
        &peers("{domain: b.example, endpoint: 'gw.b.example:8448'}"),
        "spec.federation.peers[0].endpoint",
        "together",
    );
    bad::<Network>(&peers("{domain: b.example, endpoint: gw}"), "spec.federation.peers[0].endpoint", "right form");
    bad::<Network>(&peers("{domain: b.example}, {domain: b.example}"), "spec.federation.peers[1]", "twice");
    bad::<Network>(&format!("{NETWORK}  federation: {{mode: All}}\n"), "spec.federation.mode", "Restricted");
    bad::<Network>(
        &format!("{NETWORK}  federation: {{gateway: {{replicas: 11}}}}\n"),
        "spec.federation.gateway.replicas",
        "from 1 to 10",
    );
}

#[test]
fn network_metrics() {
    let cloud = |text: &str| format!("{NETWORK}  metrics: {{cloudWatch: {{{text}}}}}\n");
    good::<Network>(&cloud("enabled: true, region: eu-central-1"));
    bad::<Network>(&cloud("enabled: true"), "spec.metrics.cloudWatch.region", "needed when enabled");
    bad::<Network>(&cloud("intervalSeconds: 1"), "spec.metrics.cloudWatch.intervalSeconds", "from 5 to 3600");
}

#[test]
fn group_lockout() {
    let spec = good::<SecurityGroup>(REF).spec;
    assert_eq!((spec.lockout_threshold, spec.force_device_lockout), (10, None));
    assert_eq!(spec.messaging.max_ttl, Duration::from("30d"));
    good::<SecurityGroup>(&format!("{REF}  lockoutThreshold: 5\n  forceDeviceLockout: 4\n"));
    for force in [5, 6] {
        bad::<SecurityGroup>(
            &format!("{REF}  lockoutThreshold: 5\n  forceDeviceLockout: {force}\n"),
            "spec.forceDeviceLockout",
            "below lockoutThreshold",
        );
    }
    bad::<SecurityGroup>(
        &format!("{REF}  forceDeviceLockout: 10\n"),
        "spec.forceDeviceLockout",
        "below lockoutThreshold",
    );
    bad::<SecurityGroup>(&format!("{REF}  lockoutThreshold: 0\n"), "spec.lockoutThreshold", "from 1 to 100");
}

#[test]
fn group_passwords() {
    let words = |text: &str| format!("{REF}  passwordRequirements: {{{text}}}\n");
    good::<SecurityGroup>(&words("minLength: 8, lowercase: 2, uppercase: 2, numbers: 2, symbols: 2"));
    bad::<SecurityGroup>(
        &words("minLength: 8, lowercase: 3, uppercase: 2, numbers: 2, symbols: 2"),
        "spec.passwordRequirements.minLength",
        "at least their sum",
    );
    bad::<SecurityGroup>(&words("minLength: 7"), "spec.passwordRequirements.minLength", "from 8 to 128");
}

#[test]
fn group_expiry() {
    let ttl = |text: &str| format!("{REF}  messaging: {{{text}}}\n");
    for text in ["maxTtl: 365d", "maxTtl: 60s", "maxTtl: 1h, maxBor: 60m", "maxTtl: 1d, maxBor: 1s", "maxBor: 30d"] {
        good::<SecurityGroup>(&ttl(text));
    }
    for text in ["maxTtl: 366d", "maxTtl: 8761h", "maxTtl: 59s"] {
        bad::<SecurityGroup>(&ttl(text), "spec.messaging.maxTtl", "from 60s to 365d");
    }
    for text in ["maxTtl: 1 day", "maxTtl: P1D", "maxTtl: 0d", "maxTtl: 1d12h"] {
        bad::<SecurityGroup>(&ttl(text), "spec.messaging.maxTtl", "right form");
    }
    for text in ["maxTtl: 1h, maxBor: 61m", "maxBor: 31d"] {
        bad::<SecurityGroup>(&ttl(text), "spec.messaging.maxBor", "not be longer than maxTtl");
    }
}

#[test]
fn group_switches() {
    bad::<SecurityGroup>(
        &format!("{REF}  messaging: {{locationAllowMaps: true}}\n"),
        "spec.messaging.locationAllowMaps",
        "needs locationEnabled",
    );
    good::<SecurityGroup>(&format!("{REF}  messaging: {{locationAllowMaps: true, locationEnabled: true}}\n"));
    bad::<SecurityGroup>(
        &format!("{REF}  messaging: {{shredder: {{intensity: 50}}}}\n"),
        "spec.messaging.shredder.intensity",
        "0, 20, 60 or 100",
    );
    good::<SecurityGroup>(&format!("{REF}  messaging: {{shredder: {{intensity: 60}}}}\n"));
    bad::<SecurityGroup>(
        &format!("{REF}  messaging: {{maxAutoDownloadSize: 1Mi}}\n"),
        "spec.messaging.maxAutoDownloadSize",
        "500Ki, 7Mi",
    );
    bad::<SecurityGroup>(
        &format!("{REF}  calling: {{canStart11Call: false}}\n"),
        "spec.calling.canVideoCall",
        "needs canStart11Call",
    );
    good::<SecurityGroup>(&format!("{REF}  calling: {{canStart11Call: false, canVideoCall: false}}\n"));
    let answers = ["x"; 11].join(", ");
    bad::<SecurityGroup>(
        &format!("{REF}  messaging: {{quickResponses: [{answers}]}}\n"),
        "spec.messaging.quickResponses",
        "at most 10",
    );
    bad::<SecurityGroup>(
        &format!("{REF}  messaging: {{quickResponses: ['{}']}}\n", "x".repeat(8001)),
        "spec.messaging.quickResponses[0]",
        "1 to 8000",
    );
}

#[test]
fn group_sessions() {
    for session in ["60m", "365d", "525600m"] {
        good::<SecurityGroup>(&format!("{REF}  sessions: {{maxSession: {session}}}\n"));
    }
    for session in ["59m", "366d"] {
        bad::<SecurityGroup>(
            &format!("{REF}  sessions: {{maxSession: {session}}}\n"),
            "spec.sessions.maxSession",
            "60m to 365d",
        );
    }
}

#[test]
fn group_federation() {
    let mode = |text: &str| format!("{REF}  federation: {{{text}}}\n");
    for text in [
        "mode: None",
        "mode: All",
        "mode: Restricted, permittedNetworks: [chat.globex.example]",
        "permittedNetworks: []",
    ] {
        good::<SecurityGroup>(&mode(text));
    }
    for text in
        ["mode: Restricted", "mode: Restricted, permittedNetworks: []", "mode: All, permittedNetworks: [a.example]"]
    {
        bad::<SecurityGroup>(&mode(text), "spec.federation.permittedNetworks", "goes with mode Restricted");
    }
    bad::<SecurityGroup>(
        &mode("mode: Restricted, permittedNetworks: [globex]"),
        "spec.federation.permittedNetworks[0]",
        "right form",
    );
}

#[test]
fn references_stay() {
    let other = |spec: &str| spec.replace("acme", "globex");
    bad_change::<SecurityGroup>(REF, &other(REF), "spec.networkRef", "cannot be changed");
    bad_change::<User>(REF, &other(REF), "spec.networkRef", "cannot be changed");
    bad_change::<RetentionPolicy>(POLICY, &other(POLICY), "spec.networkRef", "cannot be changed");
    bad::<User>("  admin: true\n", "spec.networkRef", "is required");
    bad::<User>("  networkRef: acme\n", "spec.networkRef", "an object");
    good_change::<User>(REF, &format!("{REF}  suspended: true\n  securityGroupRef: {{name: staff}}\n"));
}

#[test]
fn user_name_and_invite() {
    for name in ["a", "alice", "alice.b_c+d-e", "7"] {
        good::<User>(&format!("{REF}  username: '{name}'\n"));
    }
    for name in ["Alice", ".alice", "alice.", "alice@acme.example", "al ice", "älice"] {
        bad::<User>(&format!("{REF}  username: '{name}'\n"), "spec.username", "right form");
    }
    let named = |name: &str| format!("{REF}  username: {name}\n");
    bad_change::<User>(&named("alice"), &named("alicia"), "spec.username", "cannot be changed");
    bad_change::<User>(REF, &named("alice"), "spec.username", "cannot be changed");
    bad_change::<User>(&named("alice"), REF, "spec.username", "cannot be changed");
    good_change::<User>(&named("alice"), &format!("{}  admin: true\n", named("alice")));
    for ttl in ["1h", "90d"] {
        good::<User>(&format!("{REF}  invite: {{ttl: {ttl}}}\n"));
    }
    for ttl in ["59m", "91d"] {
        bad::<User>(&format!("{REF}  invite: {{ttl: {ttl}}}\n"), "spec.invite.ttl", "1h to 90d");
    }
    bad::<User>(&format!("{REF}  email: nobody\n"), "spec.email", "right form");
}

#[test]
fn retention_scope() {
    assert!(good::<RetentionPolicy>(POLICY).spec.scope.all_users);
    good::<RetentionPolicy>(&format!("{POLICY}  scope: {{securityGroups: [staff]}}\n"));
    good::<RetentionPolicy>(&format!("{POLICY}  scope: {{allUsers: true}}\n"));
    for scope in ["{}", "{allUsers: true, securityGroups: [staff]}", "{allUsers: false}", "{securityGroups: []}"] {
        bad::<RetentionPolicy>(&format!("{POLICY}  scope: {scope}\n"), "spec.scope.allUsers", "exactly one of the two");
    }
    let long = "p".repeat(41);
    refused::<RetentionPolicy>(&manifest("RetentionPolicy", &long, POLICY), None, "", "40 characters");
}

#[test]
fn retention_destination() {
    let to = |text: &str| format!("{REF}  destination: {text}\n");
    let s3 = "{s3: {bucket: acme-records, region: eu-central-1, prefix: chat/acme}}";
    good::<RetentionPolicy>(&to(s3));
    bad::<RetentionPolicy>(&to("{}"), "spec.destination", "exactly one destination");
    bad::<RetentionPolicy>(
        &to("{volume: {}, s3: {bucket: abc, region: x}}"),
        "spec.destination",
        "exactly one destination",
    );
    bad_change::<RetentionPolicy>(POLICY, &to(s3), "spec.destination", "kind of destination cannot be changed");
    bad::<RetentionPolicy>(&to("{volume: {path: a/../b}}"), "spec.destination.volume.path", "inside the volume");
    bad::<RetentionPolicy>(&to("{volume: {path: /etc}}"), "spec.destination.volume.path", "right form");
    good::<RetentionPolicy>(&to("{volume: {path: a/b.c}}"));
    bad::<RetentionPolicy>(&to("{s3: {bucket: Records, region: x}}"), "spec.destination.s3.bucket", "right form");
    bad::<RetentionPolicy>(
        &to("{s3: {bucket: abc, region: x, kmsKeyARN: key}}"),
        "spec.destination.s3.kmsKeyARN",
        "right form",
    );
}

#[test]
fn typed_objects_validate_too() {
    let mut group =
        SecurityGroup::new("staff", serde_json::from_value(json!({"networkRef": {"name": "acme"}})).unwrap());
    assert!(group.validate_cel().is_ok());
    let old = group.clone();
    group.spec.network_ref.name = "globex".into();
    assert!(group.validate_cel().is_ok());
    assert!(group.validate_cel_update(&old).is_err());
    group.spec.force_device_lockout = Some(50);
    assert!(group.validate_cel().is_err());
}

#[test]
fn words_that_ask_for_something_once() {
    for word in ["devices", "invite", "lockout"] {
        let reset = |text: &str| format!("{REF}  reset: {{{word}: '{text}'}}\n");
        for good_word in ["2026-11-23", "a", "v1.2:x_y+z", &"x".repeat(64)] {
            assert!(!good::<User>(&reset(good_word)).spec.reset.is_empty());
        }
        for bad_word in ["two words", "-x", ".x", "ä", "a/b"] {
            bad::<User>(&reset(bad_word), &format!("spec.reset.{word}"), "such as the date: 2026-11-23");
        }
        bad::<User>(&reset(&"x".repeat(65)), &format!("spec.reset.{word}"), "1 to 64 are allowed");
        good_change::<User>(&reset("a"), &reset("b"));
        good_change::<User>(&reset("a"), REF);
    }
    bad::<User>(&format!("{REF}  reset: {{device: x}}\n"), "spec.reset.device", "did you mean `devices`?");
}
