//! The admitted objects: what the API server and etcd are to a cluster. A manifest that is refused changes nothing; the
//! object stays as it was admitted last.

use std::collections::BTreeMap;
use std::time::SystemTime;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sotto_crds::admission::{Violation, admit};
use sotto_crds::{Network, RetentionPolicy, SecurityGroup, User};
use sotto_crypto::SystemRng;
use sotto_crypto::rand_core::Rng as _;

use super::manifests::{Manifest, Problem, Reading, did_you_mean, title};

/// Names an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// One of [`super::manifests::KINDS`].
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// An admitted object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The file that it came from.
    pub file: String,
    /// As admitted: defaults filled in, metadata as an API server keeps it. Without status.
    pub object: Value,
}

/// All admitted objects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Objects {
    entries: Vec<(Key, Entry)>,
}

impl Objects {
    /// Takes over what was read: new and changed objects are admitted or refused, those that are gone are removed. The
    /// problems of the reading and those of admission are answered.
    pub fn take(&mut self, reading: Reading, now: SystemTime) -> Vec<Problem> {
        let mut problems = reading.problems;
        let mut old: BTreeMap<Key, Entry> = std::mem::take(&mut self.entries).into_iter().collect();
        let mut new: BTreeMap<Key, Entry> = BTreeMap::new();
        for manifest in reading.manifests {
            let key =
                Key { kind: manifest.kind.into(), namespace: manifest.namespace.clone(), name: manifest.name.clone() };
            if let Some(first) = new.get(&key) {
                let message =
                    format!("stands twice: {} has it too, and that one counts; take one of them out", first.file);
                problems.push(refusal(&manifest, None, message));
                continue;
            }
            let before = old.remove(&key);
            match admitted(&manifest, before.as_ref().map(|e| &e.object)) {
                Ok(spec) => {
                    let object = stored(&manifest, &spec, before.as_ref().map(|e| &e.object), now);
                    new.insert(key, Entry { file: manifest.file, object });
                }
                Err(violations) => {
                    let stays = before.is_some();
                    problems.extend(violations.into_iter().map(|v| violation(&manifest, v, stays)));
                    if let Some(before) = before {
                        new.insert(key, Entry { file: manifest.file, ..before });
                    }
                }
            }
        }
        // What came from a file that cannot be read as a whole may still be meant.
        for (key, entry) in old {
            if reading.incomplete.contains(&entry.file) {
                new.insert(key, entry);
            }
        }
        self.entries = new.into_iter().collect();
        problems
    }

    /// All objects in the order of kind, namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.iter().map(|(k, e)| (k, e))
    }

    /// The objects of one kind as typed values.
    pub fn typed<K: Resource<DynamicType = ()> + DeserializeOwned>(&self) -> Vec<K> {
        let kind = K::kind(&());
        let of_kind = self.entries.iter().filter(|(key, _)| key.kind == kind);
        of_kind.filter_map(|(_, e)| serde_json::from_value(e.object.clone()).ok()).collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The spec as admitted, with defaults.
fn admitted(manifest: &Manifest, before: Option<&Value>) -> Result<Value, Vec<Violation>> {
    fn spec<K: Resource<DynamicType = ()> + DeserializeOwned + Serialize>(
        manifest: &Value,
        before: Option<&Value>,
    ) -> Result<Value, Vec<Violation>> {
        let object = admit::<K>(manifest, before)?;
        let mut value = serde_json::to_value(object)
            .map_err(|e| vec![Violation { field: String::new(), message: e.to_string() }])?;
        Ok(value.get_mut("spec").map(Value::take).unwrap_or_default())
    }
    match manifest.kind {
        "Network" => spec::<Network>(&manifest.value, before),
        "SecurityGroup" => spec::<SecurityGroup>(&manifest.value, before),
        "User" => spec::<User>(&manifest.value, before),
        _ => spec::<RetentionPolicy>(&manifest.value, before),
    }
}

/// The object as an API server would keep it: uid and creation time stay, the generation grows when the spec changes.
fn stored(manifest: &Manifest, spec: &Value, before: Option<&Value>, now: SystemTime) -> Value {
    let old = |pointer: &str| before.and_then(|b| b.pointer(pointer));
    let generation = old("/metadata/generation").and_then(Value::as_i64).unwrap_or(0);
    let generation = if old("/spec") == Some(spec) { generation } else { generation + 1 };
    let created = Timestamp::try_from(now).map(|t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default();
    let mut metadata = Map::new();
    for kept in ["labels", "annotations"] {
        if let Some(value) = manifest.value.pointer(&format!("/metadata/{kept}")) {
            metadata.insert(kept.into(), value.clone());
        }
    }
    metadata.insert("name".into(), json!(manifest.name));
    metadata.insert("namespace".into(), json!(manifest.namespace));
    metadata.insert("generation".into(), json!(generation));
    metadata.insert("uid".into(), old("/metadata/uid").cloned().unwrap_or_else(|| json!(uid())));
    metadata.insert(
        "creationTimestamp".into(),
        old("/metadata/creationTimestamp").cloned().unwrap_or_else(|| json!(created)),
    );
    json!({ "apiVersion": sotto_crds::API_VERSION, "kind": manifest.kind, "metadata": metadata, "spec": spec })
}

fn violation(manifest: &Manifest, violation: Violation, stays: bool) -> Problem {
    let Violation { field, mut message } = violation;
    if let Some(known) = message.strip_prefix("unknown field; known here: ") {
        let word = field.rsplit('.').next().unwrap_or(&field);
        let close = did_you_mean(word, known.split(", "));
        if !close.is_empty() {
            message.push_str(&close);
        }
    }
    if stays {
        message.push_str(" (the object stays as it was admitted last)");
    }
    refusal(manifest, (!field.is_empty()).then_some(field), message)
}

fn refusal(manifest: &Manifest, field: Option<String>, message: String) -> Problem {
    Problem {
        file: manifest.file.clone(),
        line: Some(manifest.line),
        object: Some(title(manifest.kind, &manifest.namespace, &manifest.name)),
        field,
        message,
        fatal: true,
    }
}

/// A random UUID (version 4).
fn uid() -> String {
    let mut bytes = [0_u8; 16];
    SystemRng.fill_bytes(&mut bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = HEXLOWER.encode(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::super::manifests::read_text;
    use super::*;

    const NETWORK: &str =
        "apiVersion: sotto.dev/v1alpha1\nkind: Network\nmetadata: {name: acme}\nspec: {domain: chat.acme.example}\n";

    fn reading(text: &str) -> Reading {
        let mut reading = Reading::default();
        read_text("f.yaml", text, &mut reading);
        reading
    }
    fn take(objects: &mut Objects, text: &str) -> Vec<String> {
        objects.take(reading(text), SystemTime::now()).iter().map(ToString::to_string).collect()
    }
    fn generation(objects: &Objects) -> i64 {
        objects.iter().next().unwrap().1.object["metadata"]["generation"].as_i64().unwrap()
    }

    #[test]
    fn generation_grows_with_the_spec_and_identity_stays() {
        let mut objects = Objects::default();
        assert_eq!(take(&mut objects, NETWORK), [""; 0]);
        let uid = objects.iter().next().unwrap().1.object["metadata"]["uid"].clone();
        take(&mut objects, NETWORK);
        assert_eq!(generation(&objects), 1);
        take(&mut objects, &NETWORK.replace("spec: {", "spec: {displayName: Acme, "));
        assert_eq!(generation(&objects), 2);
        assert_eq!(objects.iter().next().unwrap().1.object["metadata"]["uid"], uid);
        assert_eq!(objects.typed::<Network>()[0].spec.display_name.as_deref(), Some("Acme"));
    }

    #[test]
    fn refused_change_leaves_the_object_as_it_was() {
        let mut objects = Objects::default();
        take(&mut objects, NETWORK);
        let said = take(&mut objects, &NETWORK.replace("acme.example", "other.example"));
        assert!(said[0].contains("Network/acme: spec.domain: domain cannot be changed"), "{said:?}");
        assert!(said[0].contains("stays as it was"), "{said:?}");
        assert_eq!(objects.typed::<Network>()[0].spec.domain, "chat.acme.example");
        assert_eq!(generation(&objects), 1);
    }

    #[test]
    fn unknown_field_gets_a_suggestion() {
        let said = take(&mut Objects::default(), &NETWORK.replace("domain: ", "displayname: X, domain: "));
        assert!(said[0].contains("f.yaml:1: Network/acme: spec.displayname: unknown field"), "{said:?}");
        assert!(said[0].contains("did you mean `displayName`?"), "{said:?}");
    }

    #[test]
    fn removed_only_when_the_file_was_read_as_a_whole() {
        let mut objects = Objects::default();
        take(&mut objects, NETWORK);
        take(&mut objects, "a: [");
        assert_eq!(objects.iter().count(), 1);
        take(&mut objects, "");
        assert!(objects.is_empty());
    }

    #[test]
    fn twice_is_once_and_a_problem() {
        let mut objects = Objects::default();
        let said = take(&mut objects, &format!("{NETWORK}---\n{NETWORK}"));
        assert!(said[0].contains("stands twice"), "{said:?}");
        assert_eq!(objects.iter().count(), 1);
    }
}
