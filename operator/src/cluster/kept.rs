//! What is kept of an object that was seen. What nothing is decided by is not: at ten thousand users every field counts.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Read as _;
use std::marker::PhantomData;
use std::sync::Arc;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sotto_crds::{Network, RetentionPolicy, SecurityGroup, User};
use zeroize::Zeroizing;

use super::labels;

/// What an index holds.
pub(super) trait Kept: Clone {
    fn namespace(&self) -> &str;
    fn name(&self) -> &str;
    /// The Network that it belongs to; empty where nobody knows.
    fn network(&self) -> &str;
    /// Grows with every change of the object (KEP-5504: versions of one kind can be compared).
    fn version(&self) -> u64;
    /// Whether nothing differs that anything is decided by.
    fn same(&self, other: &Self) -> bool;
}

/// A custom resource, or what can be said of one that cannot be read.
#[derive(Debug)]
pub(super) enum Entry<K> {
    Good(Arc<K>),
    Bad(Arc<ObjectMeta>),
}

// Derived it would ask for `K: Clone`.
impl<K> Clone for Entry<K> {
    fn clone(&self) -> Self {
        match self {
            Self::Good(object) => Self::Good(object.clone()),
            Self::Bad(meta) => Self::Bad(meta.clone()),
        }
    }
}

impl<K: Resource> Entry<K> {
    pub(super) fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Good(object) => object.meta(),
            Self::Bad(meta) => meta,
        }
    }
}

impl<K: Resource> From<DeserializeGuard<K>> for Entry<K> {
    fn from(object: DeserializeGuard<K>) -> Self {
        match object.0 {
            Ok(mut object) => {
                trim(object.meta_mut());
                Self::Good(Arc::new(object))
            }
            Err(mut invalid) => {
                trim(&mut invalid.metadata);
                Self::Bad(Arc::new(invalid.metadata))
            }
        }
    }
}

/// Removes what nothing is decided by.
pub(super) fn trim(meta: &mut ObjectMeta) {
    meta.managed_fields = None;
    meta.labels = None;
    meta.owner_references = None;
    meta.self_link = None;
    meta.generate_name = None;
    if let Some(annotations) = &mut meta.annotations {
        annotations.retain(|name, _| name.starts_with("sotto.dev/"));
    }
    if meta.annotations.as_ref().is_some_and(BTreeMap::is_empty) {
        meta.annotations = None;
    }
}

/// Names its Network.
pub(super) trait Belongs: Resource<DynamicType = ()> + Send + Sync {
    fn network(&self) -> &str;
}
impl Belongs for Network {
    fn network(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }
}
impl Belongs for SecurityGroup {
    fn network(&self) -> &str {
        &self.spec.network_ref.name
    }
}
impl Belongs for User {
    fn network(&self) -> &str {
        &self.spec.network_ref.name
    }
}
impl Belongs for RetentionPolicy {
    fn network(&self) -> &str {
        &self.spec.network_ref.name
    }
}

impl<K: Belongs> Kept for Entry<K> {
    fn namespace(&self) -> &str {
        self.meta().namespace.as_deref().unwrap_or_default()
    }
    fn name(&self) -> &str {
        self.meta().name.as_deref().unwrap_or_default()
    }
    fn network(&self) -> &str {
        match self {
            Self::Good(object) => Belongs::network(&**object),
            Self::Bad(_) => "",
        }
    }
    fn version(&self) -> u64 {
        version(self.meta())
    }
    fn same(&self, other: &Self) -> bool {
        mark(self.meta()) == mark(other.meta()) && self.network() == other.network()
    }
}

/// How an index holds custom resources of a kind.
pub(super) trait Holds<K>: Kept + From<DeserializeGuard<K>> {
    /// The object, as it was seen.
    fn open(&self) -> Entry<K>;
    /// Whether it could be read.
    fn is_good(&self) -> bool;
}

impl<K: Belongs> Holds<K> for Entry<K> {
    fn open(&self) -> Entry<K> {
        self.clone()
    }
    fn is_good(&self) -> bool {
        matches!(self, Self::Good(_))
    }
}

/// A custom resource of which there are thousands, deflated: a fifth of what it takes when it is read.
pub(super) struct Packed<K>(Arc<Parts<K>>);

// Derived it would ask for `K: Clone`.
impl<K> Clone for Packed<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Parts<K> {
    namespace: Box<str>,
    name: Box<str>,
    network: Box<str>,
    version: u64,
    /// Of what makes a change; a hash.
    mark: u64,
    body: Body,
    kind: PhantomData<fn() -> K>,
}

enum Body {
    Good(Deflated),
    Bad(Arc<ObjectMeta>),
}

impl<K: Belongs + Serialize> From<DeserializeGuard<K>> for Packed<K> {
    fn from(object: DeserializeGuard<K>) -> Self {
        let entry = Entry::from(object);
        let body = match &entry {
            // What came as JSON goes back into it.
            Entry::Good(object) => Body::Good(Deflated::of(&**object)),
            Entry::Bad(meta) => Body::Bad(meta.clone()),
        };
        Self(Arc::new(Parts {
            namespace: entry.namespace().into(),
            name: entry.name().into(),
            network: Kept::network(&entry).into(),
            version: entry.version(),
            mark: mark(entry.meta()),
            body,
            kind: PhantomData,
        }))
    }
}

impl<K: Belongs> Kept for Packed<K> {
    fn namespace(&self) -> &str {
        &self.0.namespace
    }
    fn name(&self) -> &str {
        &self.0.name
    }
    fn network(&self) -> &str {
        &self.0.network
    }
    fn version(&self) -> u64 {
        self.0.version
    }
    fn same(&self, other: &Self) -> bool {
        self.0.mark == other.0.mark && self.0.network == other.0.network
    }
}

impl<K: Belongs + Serialize + DeserializeOwned> Holds<K> for Packed<K> {
    fn open(&self) -> Entry<K> {
        match &self.0.body {
            Body::Good(json) => match json.read() {
                Some(object) => Entry::Good(Arc::new(object)),
                // What was read once is read again; were it not, it is there all the same.
                None => Entry::Bad(Arc::new(ObjectMeta {
                    namespace: Some(self.0.namespace.to_string()),
                    name: Some(self.0.name.to_string()),
                    ..ObjectMeta::default()
                })),
            },
            Body::Bad(meta) => Entry::Bad(meta.clone()),
        }
    }
    fn is_good(&self) -> bool {
        matches!(self.0.body, Body::Good(_))
    }
}

/// Of what makes a change of an object: a status of our own writing is none.
fn mark(meta: &ObjectMeta) -> u64 {
    let mut hasher = DefaultHasher::new();
    let deletion = meta.deletion_timestamp.as_ref().map(|at| at.0);
    (&meta.uid, meta.generation, deletion, &meta.finalizers, &meta.annotations).hash(&mut hasher);
    hasher.finish()
}

fn version(meta: &ObjectMeta) -> u64 {
    meta.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// JSON of an object that is rarely read, deflated ([RFC 1951](https://www.rfc-editor.org/rfc/rfc1951)): less than half of the room.
struct Deflated(Box<[u8]>);

impl Deflated {
    fn of(object: &impl Serialize) -> Self {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        // Nothing can fail in memory; what is not whole is not read as an object later.
        let written = serde_json::to_writer(&mut encoder, object).is_ok();
        Self(encoder.finish().ok().filter(|_| written).unwrap_or_default().into())
    }

    fn read<T: DeserializeOwned>(&self) -> Option<T> {
        let mut json = Vec::with_capacity(4 * self.0.len());
        DeflateDecoder::new(&*self.0).read_to_end(&mut json).ok()?;
        serde_json::from_slice(&json).ok()
    }
}

/// An object that the operator has made, or a Secret of it, as the API server's JSON without `managedFields`. A tree of it would
/// take ten times the memory.
pub(super) struct Compact {
    namespace: Box<str>,
    name: Box<str>,
    network: Box<str>,
    version: u64,
    ours: bool,
    deleting: bool,
    json: Json,
}

enum Json {
    Deflated(Deflated),
    /// Of a Secret: what deflates it would leave copies of it behind.
    Plain(Zeroizing<Box<[u8]>>),
}

impl Compact {
    pub(super) fn new<K: Resource + Serialize>(mut object: K) -> Self {
        object.meta_mut().managed_fields = None;
        let json = Json::Deflated(Deflated::of(&object));
        Self::with(&object, json)
    }

    pub(super) fn secret(mut object: Secret) -> Self {
        let meta = object.meta_mut();
        meta.managed_fields = None;
        meta.annotations = None;
        meta.creation_timestamp = None;
        meta.uid = None;
        // What came as JSON goes back into it.
        let json = Json::Plain(Zeroizing::new(serde_json::to_vec(&object).unwrap_or_default().into()));
        Self::with(&object, json)
    }

    fn with(object: &impl Resource, json: Json) -> Self {
        let label = |name: &str| object.labels().get(name).map(String::as_str).unwrap_or_default();
        Self {
            namespace: object.namespace().unwrap_or_default().into(),
            name: object.name_any().into(),
            network: label(labels::NETWORK).into(),
            version: version(object.meta()),
            ours: label(labels::MANAGED_BY) == labels::MANAGER,
            deleting: object.meta().deletion_timestamp.is_some(),
            json,
        }
    }

    pub(super) fn is_ours(&self) -> bool {
        self.ours
    }

    pub(super) fn is_deleting(&self) -> bool {
        self.deleting
    }

    /// The whole object.
    pub(super) fn value(&self) -> Value {
        self.typed().unwrap_or_default()
    }

    /// The whole object as what it is.
    pub(super) fn typed<K: DeserializeOwned>(&self) -> Option<K> {
        match &self.json {
            Json::Deflated(json) => json.read(),
            Json::Plain(json) => serde_json::from_slice(json).ok(),
        }
    }
}

impl Kept for Arc<Compact> {
    fn namespace(&self) -> &str {
        &self.namespace
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn network(&self) -> &str {
        &self.network
    }
    fn version(&self) -> u64 {
        self.version
    }
    fn same(&self, other: &Self) -> bool {
        self.version == other.version
    }
}

/// That an object is there, and in which version: of Secrets that are not ours nothing else is kept.
#[derive(Clone)]
pub(super) struct Mark {
    namespace: Box<str>,
    name: Box<str>,
    pub(super) version: u64,
}

impl Mark {
    pub(super) fn new(meta: &ObjectMeta) -> Self {
        Self {
            namespace: meta.namespace.as_deref().unwrap_or_default().into(),
            name: meta.name.as_deref().unwrap_or_default().into(),
            version: version(meta),
        }
    }
}

impl Kept for Mark {
    fn namespace(&self) -> &str {
        &self.namespace
    }
    fn name(&self) -> &str {
        &self.name
    }
    fn network(&self) -> &'static str {
        ""
    }
    fn version(&self) -> u64 {
        self.version
    }
    fn same(&self, other: &Self) -> bool {
        self.version == other.version
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A User of the Network `acme`.
    pub(in super::super) fn user(namespace: &str, name: &str, generation: i64, version: &str) -> Packed<User> {
        let object = serde_json::json!({
            "apiVersion": "sotto.dev/v1alpha1",
            "kind": "User",
            "metadata": {
                "namespace": namespace, "name": name, "generation": generation, "resourceVersion": version,
                "labels": {"a": "b"}, "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
            },
            "spec": {"networkRef": {"name": "acme"}},
        });
        serde_json::from_value::<DeserializeGuard<User>>(object).unwrap().into()
    }

    #[test]
    fn what_nothing_is_decided_by_is_not_kept() {
        let Entry::Good(alice) = user("a", "alice", 1, "1").open() else { panic!() };
        assert!(alice.metadata.labels.is_none() && alice.metadata.annotations.is_none());
        let map: k8s_openapi::api::core::v1::ConfigMap = serde_json::from_value(serde_json::json!({
            "metadata": {
                "name": "x", "namespace": "a", "resourceVersion": "7",
                "labels": {"app.kubernetes.io/managed-by": "sotto-operator", "sotto.dev/network": "acme"},
            },
            "data": {"k": "v"},
        }))
        .unwrap();
        let kept = Arc::new(Compact::new(map));
        assert!(kept.is_ours() && !kept.is_deleting() && kept.network() == "acme" && kept.version() == 7);
        assert_eq!(kept.value()["data"]["k"], "v");
        let secret: Secret = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "x", "namespace": "a", "resourceVersion": "7", "uid": "u", "labels": {"a": "b"}},
            "data": {"k": "dg=="},
        }))
        .unwrap();
        let kept = Compact::secret(secret).typed::<Secret>().unwrap();
        assert_eq!(kept.data.unwrap()["k"].0, b"v");
        assert!(kept.metadata.uid.is_none() && kept.metadata.labels.is_some());
        assert_eq!(kept.metadata.resource_version.as_deref(), Some("7"), "for a write that collides with another's");
    }
}
