//! What objects say about pods and Services: read by Kubernetes' own types, and nothing of it in the way of what is ours.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, Toleration, TopologySpreadConstraint};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sotto_crds::{PodOptions, Texts};

use crate::plan::problem::Problem;
use crate::plan::valid::ValidPod;
use crate::reasons::Reason;

/// Labels that pods are found by, beside all of `sotto.dev/`.
const OWN_LABELS: [&str; 3] = ["app.kubernetes.io/name", "app.kubernetes.io/component", "app.kubernetes.io/managed-by"];

/// Collects what is wrong below one field.
struct Reader<'a> {
    field: &'a str,
    problems: &'a mut Vec<Problem>,
    good: bool,
}

impl Reader<'_> {
    fn fail(&mut self, name: &str, message: impl Into<String>, remedy: &str) {
        let field = format!("{}.{name}", self.field);
        self.problems.push(Problem::new(Reason::InvalidSpec, field, message, remedy));
        self.good = false;
    }

    fn keys(&mut self, name: &str, texts: &Texts, taken: impl Fn(&str) -> bool) {
        for key in texts.keys() {
            if key.starts_with("sotto.dev/") || taken(key) {
                self.fail(&format!("{name}[{key}]"), "is the operator's own", "choose another name");
            } else if !is_qualified(key) {
                let remedy = "write a name of up to 63 letters, digits, - _ and ., where wanted with a DNS name and a slash before it";
                self.fail(&format!("{name}[{key}]"), "is no name that Kubernetes takes", remedy);
            }
        }
    }

    fn typed<K: DeserializeOwned + Serialize>(&mut self, name: &str, value: &Value, explain: &str) -> Option<Value> {
        let remedy = format!("see `kubectl explain pod.spec.{explain}`");
        let value = without_nulls(value);
        let typed = match serde_json::from_value::<K>(value.clone()) {
            Ok(typed) => serde_json::to_value(typed).unwrap_or_default(),
            Err(error) => {
                self.fail(name, error.to_string(), &remedy);
                return None;
            }
        };
        if let Some(path) = lost(&value, &typed) {
            self.fail(&format!("{name}{path}"), "is no field that Kubernetes knows", &remedy);
            return None;
        }
        Some(typed)
    }

    fn list<K: DeserializeOwned + Serialize>(&mut self, name: &str, values: &[Value]) -> Vec<Value> {
        let items = values.iter().enumerate();
        items.filter_map(|(i, value)| self.typed::<K>(&format!("{name}[{i}]"), value, name)).collect()
    }
}

/// Reads the options of a pod that stand in `field`. `scraped`: the annotations for Prometheus are the operator's.
pub(super) fn pod(field: &str, spec: &PodOptions, scraped: bool, problems: &mut Vec<Problem>) -> Option<ValidPod> {
    let mut reader = Reader { field, problems, good: true };
    reader.keys("labels", &spec.labels, |key| OWN_LABELS.contains(&key));
    reader.keys("annotations", &spec.annotations, |key| scraped && key.starts_with("prometheus.io/"));
    reader.keys("serviceAccountAnnotations", &spec.service_account_annotations, |_| false);
    reader.keys("nodeSelector", &spec.node_selector, |_| false);
    let tolerations = reader.list::<Toleration>("tolerations", &spec.tolerations);
    let affinity = spec.affinity.as_ref().and_then(|value| reader.typed::<Affinity>("affinity", value, "affinity"));
    let spread =
        reader.list::<TopologySpreadConstraint>("topologySpreadConstraints", &spec.topology_spread_constraints);
    for (i, constraint) in spread.iter().enumerate() {
        let name = |field: &str| format!("topologySpreadConstraints[{i}].{field}");
        if constraint["maxSkew"].as_i64().is_none_or(|skew| skew < 1) {
            reader.fail(&name("maxSkew"), "is missing or below 1", "write how uneven the spread may be, such as 1");
        }
        if constraint["topologyKey"].as_str().is_none_or(str::is_empty) {
            let remedy = "write a label of nodes, such as topology.kubernetes.io/zone";
            reader.fail(&name("topologyKey"), "is missing", remedy);
        }
        if !["DoNotSchedule", "ScheduleAnyway"].contains(&constraint["whenUnsatisfiable"].as_str().unwrap_or_default())
        {
            reader.fail(&name("whenUnsatisfiable"), "is missing or unknown", "write DoNotSchedule or ScheduleAnyway");
        }
    }
    reader.good.then(|| ValidPod {
        labels: spec.labels.clone(),
        annotations: spec.annotations.clone(),
        service_account_annotations: spec.service_account_annotations.clone(),
        node_selector: spec.node_selector.clone(),
        priority_class: spec.priority_class_name.clone(),
        tolerations,
        affinity,
        spread,
        pull_secrets: spec.image_pull_secrets.iter().map(|secret| secret.name.clone()).collect(),
    })
}

/// Annotations of something else than a pod.
pub(super) fn annotations(field: &str, texts: &BTreeMap<String, String>, problems: &mut Vec<Problem>) -> Option<()> {
    let mut reader = Reader { field, problems, good: true };
    reader.keys("annotations", texts, |_| false);
    reader.good.then_some(())
}

/// `[prefix/]name`, as keys of labels and annotations are.
fn is_qualified(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let word = |text: &str, extra: &str| {
        edge(text.chars().next())
            && edge(text.chars().last())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
    };
    let domain = |text: &str| {
        text.len() <= 253
            && text.split('.').all(|part| word(part, "-"))
            && !text.contains(|c: char| c.is_ascii_uppercase())
    };
    name.len() <= 63 && word(name, "-_.") && prefix.is_none_or(domain)
}

/// The API server drops nulls of these types too.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), without_nulls(v))).collect()
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// The first path in `written` that `read` does not have: a field that the type does not know.
fn lost(written: &Value, read: &Value) -> Option<String> {
    match (written, read) {
        (Value::Object(written), Value::Object(read)) => written.iter().find_map(|(key, value)| match read.get(key) {
            Some(read) => lost(value, read).map(|path| format!(".{key}{path}")),
            // Empty lists and objects are left out when they are written again.
            None if value.as_array().is_some_and(Vec::is_empty)
                || value.as_object().is_some_and(serde_json::Map::is_empty) =>
            {
                None
            }
            None => Some(format!(".{key}")),
        }),
        (Value::Array(written), Value::Array(read)) => written
            .iter()
            .zip(read)
            .enumerate()
            .find_map(|(i, (written, read))| lost(written, read).map(|path| format!("[{i}]{path}"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(spec: Value, scraped: bool) -> Result<ValidPod, String> {
        let spec: PodOptions = serde_json::from_value(spec).unwrap();
        let mut problems = Vec::new();
        let pod = pod("spec.relay.pod", &spec, scraped, &mut problems);
        let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
        pod.ok_or_else(|| words.join("\n"))
    }

    #[test]
    fn what_kubernetes_knows_is_taken() {
        let all = json!({
            "labels": {"team": "chat", "example.com/tier": "1"},
            "annotations": {"prometheus.io/scrape": "false"},
            "nodeSelector": {"kubernetes.io/arch": "arm64"},
            "tolerations": [{"key": "chat", "operator": "Exists", "effect": "NoSchedule", "value": null}],
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]},
            ]}}},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"},
            ],
        });
        let pod = read(all.clone(), false).unwrap();
        assert_eq!(Some(&pod.affinity.unwrap()), all.get("affinity"));
        assert_eq!(pod.tolerations[0].get("value"), None);
        assert_eq!(read(json!({}), true).unwrap(), ValidPod::default());
    }

    #[test]
    fn what_it_does_not_know_is_named_with_field_and_remedy() {
        for (spec, field, words) in [
            (
                json!({"affinity": {"nodeAfinity": {"x": 1}}}),
                "spec.relay.pod.affinity.nodeAfinity",
                "kubectl explain pod.spec.affinity",
            ),
            (
                json!({"affinity": {"nodeAffinity": [1]}}),
                "spec.relay.pod.affinity",
                "kubectl explain pod.spec.affinity",
            ),
            (json!({"tolerations": [{}, {"key": 7}]}), "spec.relay.pod.tolerations[1]", "expected a string"),
            (
                json!({"tolerations": [{"keys": ["a"]}]}),
                "spec.relay.pod.tolerations[0].keys",
                "no field that Kubernetes knows",
            ),
            (
                json!({"topologySpreadConstraints": [{"topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]}),
                "topologySpreadConstraints[0].maxSkew",
                "such as 1",
            ),
            (
                json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone"}]}),
                "topologySpreadConstraints[0].whenUnsatisfiable",
                "ScheduleAnyway",
            ),
            (
                json!({"topologySpreadConstraints": [{"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}]}),
                "topologySpreadConstraints[0].topologyKey",
                "zone",
            ),
            (
                json!({"labels": {"sotto.dev/network": "x"}}),
                "spec.relay.pod.labels[sotto.dev/network]",
                "the operator's own",
            ),
            (
                json!({"labels": {"app.kubernetes.io/name": "x"}}),
                "spec.relay.pod.labels[app.kubernetes.io/name]",
                "choose another",
            ),
            (json!({"labels": {"a b": "x"}}), "spec.relay.pod.labels[a b]", "63 letters"),
            (json!({"nodeSelector": {"/x": "x"}}), "spec.relay.pod.nodeSelector[/x]", "no name"),
            (
                json!({"annotations": {"prometheus.io/port": "1"}}),
                "spec.relay.pod.annotations[prometheus.io/port]",
                "the operator's own",
            ),
        ] {
            let said = read(spec.clone(), true).unwrap_err();
            assert!(said.contains(field) && said.contains(words), "{spec}: {said}");
        }
    }
}
