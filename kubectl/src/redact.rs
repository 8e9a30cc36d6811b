//! What must not leave the cluster in a bundle: secrets of every kind, texts of people, personal data. Pure.
//!
//! Secrets are not read in the first place. This is for what other places may hold all the same: annotations with a copy of a
//! Secret, environment variables of injected containers, a line of a log.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// In the place of what was taken out.
const REMOVED: &str = "[removed]";

/// Annotations that are known to hold nothing secret, by their domain.
const ANNOTATIONS: [&str; 14] = [
    "sotto.dev",
    "prometheus.io",
    "deployment.kubernetes.io",
    "meta.helm.sh",
    "helm.sh",
    "argocd.argoproj.io",
    "kustomize.toolkit.fluxcd.io",
    "helm.toolkit.fluxcd.io",
    "eks.amazonaws.com",
    "pv.kubernetes.io",
    "volume.kubernetes.io",
    "volume.beta.kubernetes.io",
    "service.beta.kubernetes.io",
    "control-plane.alpha.kubernetes.io",
];

struct Pattern {
    find: Regex,
    put: fn(&Captures<'_>) -> String,
}

static PATTERNS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let pattern =
        |find: &str, put: fn(&Captures<'_>) -> String| Regex::new(find).ok().map(|find| Pattern { find, put });
    let removed = |_: &Captures<'_>| REMOVED.to_owned();
    [
        // Of a certificate its digest tells whether two are the same; a key leaves no trace.
        pattern(r"(?s)-----BEGIN ([A-Z0-9 ]+)-----.*?(-----END [A-Z0-9 ]+-----|$)", |found| {
            let kind = &found[1];
            if kind == "CERTIFICATE" {
                let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(found[0].as_bytes())[..16]);
                format!("[{kind}, its text has SHA-256 {digest}…]")
            } else {
                format!("[{kind} removed]")
            }
        }),
        pattern(r#"sotto://[^\s"'\\]+"#, |_| format!("sotto://{REMOVED}")),
        // A one-time code: six groups of four.
        pattern(r"\b[0-9a-hjkmnp-tv-z]{4}(-[0-9a-hjkmnp-tv-z]{4}){5}\b", removed),
        // A token of Kubernetes or of somebody else.
        pattern(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", removed),
        pattern(r"\b([Bb]earer|[Bb]asic)[ \t]+[A-Za-z0-9._~+/=-]{8,}", |found| format!("{} {REMOVED}", &found[1])),
        pattern(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b", removed),
        pattern(r#"://[^/\s:@"']+:[^/\s@"']+@"#, |_| format!("://{REMOVED}@")),
        pattern(
            r#"([Pp]assword|PASSWORD|[Ss]ecret|SECRET|[Tt]oken|TOKEN|[Aa]ccess_?[Kk]ey|ACCESS_KEY|[Aa]uthorization)(["']?[ \t]*[:=][ \t]*["']?)[^\s"',}\[]+"#,
            |found| format!("{}{}{REMOVED}", &found[1], &found[2]),
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
});

/// A text without what looks like a secret.
pub fn text(text: &str) -> String {
    let mut text = text.to_owned();
    for pattern in PATTERNS.iter() {
        if pattern.find.is_match(&text) {
            text = pattern.find.replace_all(&text, pattern.put).into_owned();
        }
    }
    text
}

/// An object without secrets, texts and personal data.
pub fn object(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        annotations(metadata);
    }
    if let Some(template) = object.pointer_mut("/spec/template/metadata").and_then(Value::as_object_mut) {
        annotations(template);
    }
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    match kind.as_str() {
        "Secret" => {
            for field in ["data", "stringData"] {
                object.as_object_mut().map(|o| o.remove(field));
            }
        }
        "User" => {
            for field in ["firstName", "lastName", "email"] {
                replace(object.pointer_mut(&format!("/spec/{field}")));
            }
        }
        "Network" => {
            for field in ["header", "body", "button"] {
                replace(object.pointer_mut(&format!("/spec/consentPopup/{field}")));
            }
        }
        "SecurityGroup" => {
            let texts = object.pointer_mut("/spec/messaging/quickResponses").and_then(Value::as_array_mut);
            texts.into_iter().flatten().for_each(|t| replace(Some(t)));
        }
        _ => {}
    }
    for pod in ["/spec", "/spec/template/spec"] {
        for list in ["initContainers", "containers", "ephemeralContainers"] {
            let containers = object.pointer_mut(&format!("{pod}/{list}")).and_then(Value::as_array_mut);
            containers.into_iter().flatten().for_each(container);
        }
    }
    strings(object);
}

fn annotations(metadata: &mut serde_json::Map<String, Value>) {
    let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
    for (name, value) in annotations.into_iter().flatten() {
        let domain = name.split('/').next().unwrap_or_default();
        if !ANNOTATIONS.contains(&domain) {
            *value = json!(REMOVED);
        }
    }
}

fn replace(value: Option<&mut Value>) {
    if let Some(value) = value {
        let length = value.as_str().map_or(0, |text| text.chars().count());
        *value = json!(format!("[{length} characters removed]"));
    }
}

/// Variables and arguments of our own programs stay; those of injected ones may be anything.
fn container(container: &mut Value) {
    let ours = ["relay", "gateway", "retention", "operator"];
    let verb = container.pointer("/args/0").and_then(Value::as_str).unwrap_or_default();
    if !ours.contains(&verb) {
        for field in ["command", "args"] {
            if let Some(words) = container.get_mut(field).and_then(Value::as_array_mut) {
                words.fill(json!(REMOVED));
            }
        }
    }
    for variable in container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
        let name = variable["name"].as_str().unwrap_or_default();
        let plain = name.starts_with("SOTTO_") || name.starts_with("POD_");
        if !plain && let Some(value) = variable.get_mut("value") {
            *value = json!(REMOVED);
        }
    }
}

fn strings(value: &mut Value) {
    match value {
        Value::String(string) => *string = text(string),
        Value::Array(items) => items.iter_mut().for_each(strings),
        Value::Object(fields) => fields.values_mut().for_each(strings),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_good() {
        assert_eq!(PATTERNS.len(), 8);
    }

    #[test]
    fn what_looks_like_a_secret_goes_and_the_rest_of_the_line_stays() {
        for (line, secret) in [
            ("invite sotto://relay.acme.example/join?user=a@b&code=xyz made", "code=xyz"),
            ("code 0g7q-k0m3-9x2a-bcde-fghj-kmnp used", "0g7q-k0m3"),
            ("token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln end", "eyJhbGciOiJSUzI1NiJ9"),
            ("Authorization: Bearer abcdef0123456789 end", "abcdef0123456789"),
            ("key AKIAIOSFODNN7EXAMPLE end", "AKIAIOSFODNN7EXAMPLE"),
            ("at https://user:hush@registry.example/x end", "hush"),
            ("{\"password\": \"hush hush\", \"x\": 1}", "\"hush"),
            ("read AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI end", "wJalrXUtnFEMI"),
            ("a -----BEGIN PRIVATE KEY-----\nMIGH\nAgEA\n-----END PRIVATE KEY----- end", "MIGH"),
            ("{\"k\":\"-----BEGIN EC PRIVATE KEY-----\\nMIGH\\n-----END EC PRIVATE KEY-----\"}", "MIGH"),
            ("cut off -----BEGIN PRIVATE KEY-----\nMIGH", "MIGH"),
        ] {
            let shown = text(line);
            assert!(!shown.contains(secret) && shown.contains("removed"), "{shown}");
            let rest = line.split_once(' ').map(|(first, _)| first).filter(|first| !first.contains("BEGIN"));
            assert!(shown.starts_with(rest.unwrap_or_default()), "{shown}");
        }
        let one = text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
        assert!(one.contains("SHA-256") && !one.contains("MIIB"), "{one}");
        assert_ne!(one, text("-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n"));
    }

    #[test]
    fn what_is_no_secret_stays() {
        for line in [
            "relay: listening on 0.0.0.0:8443",
            "{\"level\":\"INFO\",\"network\":\"acme\",\"message\":\"reconciled\",\"secretName\":\"acme-relay-tls\"}",
            "sotto_operator_passes_total{network=\"acme\"} 17",
            "tls: /run/sotto/tls, secrets: /run/sotto/secrets",
            "https://chat.acme.example:443/path",
        ] {
            assert_eq!(text(line), line);
        }
    }

    #[test]
    fn an_object_keeps_its_shape_and_loses_its_secrets() {
        let mut secret = json!({"kind": "Secret", "metadata": {"name": "s", "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "{\"data\":{\"k\":\"aHVzaA==\"}}"}}, "data": {"k": "aHVzaA=="}});
        object(&mut secret);
        assert!(!secret.to_string().contains("aHVzaA") && secret["metadata"]["name"] == "s", "{secret}");

        let mut user = json!({"kind": "User", "metadata": {"name": "alice", "managedFields": [1]},
            "spec": {"firstName": "Alice", "email": "a@b", "networkRef": {"name": "acme"}}});
        object(&mut user);
        assert_eq!(user["spec"]["firstName"], "[5 characters removed]");
        assert!(user["metadata"].get("managedFields").is_none() && user["spec"]["networkRef"]["name"] == "acme");

        let mut group = json!({"kind": "SecurityGroup", "spec": {"messaging": {"quickResponses": ["on my way"]}}});
        object(&mut group);
        assert!(!group.to_string().contains("on my way"));

        let mut pod = json!({"kind": "Pod", "spec": {"containers": [
            {"name": "relay", "args": ["relay", "--config", "f"], "env": [{"name": "SOTTO_LOG", "value": "info"}]},
            {"name": "sidecar", "args": ["--key", "hush"], "env": [{"name": "KEY", "value": "hush"},
                {"name": "FROM", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]},
        ]}});
        object(&mut pod);
        let shown = pod.to_string();
        assert!(!shown.contains("hush") && shown.contains("info") && shown.contains("--config"), "{shown}");
        assert_eq!(pod["spec"]["containers"][1]["env"][1]["valueFrom"]["secretKeyRef"]["name"], "s");
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_twice_is_once(line in "(?s).{0,200}") {
            let once = text(&line);
            proptest::prop_assert_eq!(text(&once), once);
        }
    }
}
