//! What the operator has seen of the cluster: objects by namespace and name, kept current by watches. Reading it costs no call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt as _};

/// An object, or what can be said of one that cannot be read.
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

type ByName<K> = BTreeMap<String, Entry<K>>;

/// The objects of one kind.
pub(super) struct Index<K> {
    namespaces: RwLock<BTreeMap<String, ByName<K>>>,
    /// Whether a change of status alone counts as one.
    status_counts: bool,
}

/// One watch that feeds an index: of one namespace, or of all.
pub(super) struct Feed<K> {
    scope: Option<String>,
    /// Collects a listing until it is complete.
    listing: Option<BTreeMap<String, ByName<K>>>,
}

impl<K> Feed<K> {
    pub(super) fn new(scope: Option<String>) -> Self {
        Self { scope, listing: None }
    }
}

impl<K: Resource> Index<K> {
    pub(super) fn new(status_counts: bool) -> Self {
        Self { namespaces: RwLock::default(), status_counts }
    }

    /// Takes an event of a watch; answers the namespaces in which something has changed that counts, and whether a listing is
    /// complete.
    pub(super) fn take(&self, feed: &mut Feed<K>, event: Event<DeserializeGuard<K>>) -> (BTreeSet<String>, bool) {
        let mut changed = BTreeSet::new();
        match event {
            Event::Init => feed.listing = Some(BTreeMap::new()),
            Event::InitApply(object) => {
                let (namespace, name, entry) = entry(object);
                feed.listing.get_or_insert_default().entry(namespace).or_default().insert(name, entry);
            }
            Event::InitDone => {
                changed = self.replace(feed.scope.as_deref(), feed.listing.take().unwrap_or_default());
                return (changed, true);
            }
            Event::Apply(object) => {
                let (namespace, name, entry) = entry(object);
                let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
                let before = namespaces.entry(namespace.clone()).or_default().insert(name, entry.clone());
                if before.is_none_or(|before| self.differs(before.meta(), entry.meta())) {
                    changed.insert(namespace);
                }
            }
            Event::Delete(object) => {
                let (namespace, name, _) = entry(object);
                let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
                if let Some(objects) = namespaces.get_mut(&namespace) {
                    objects.remove(&name);
                    if objects.is_empty() {
                        namespaces.remove(&namespace);
                    }
                }
                changed.insert(namespace);
            }
        }
        (changed, false)
    }

    fn replace(&self, scope: Option<&str>, listing: BTreeMap<String, ByName<K>>) -> BTreeSet<String> {
        let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        let mut touched: BTreeSet<String> = listing.keys().cloned().collect();
        match scope {
            None => touched.extend(std::mem::replace(&mut *namespaces, listing).into_keys()),
            Some(scope) => {
                namespaces.remove(scope);
                namespaces.extend(listing);
                touched.insert(scope.to_owned());
            }
        }
        touched
    }

    fn differs(&self, before: &ObjectMeta, now: &ObjectMeta) -> bool {
        if self.status_counts {
            return before.resource_version != now.resource_version;
        }
        let parts = |m: &ObjectMeta| {
            (
                m.uid.clone(),
                m.generation,
                m.deletion_timestamp.clone(),
                m.finalizers.clone(),
                m.labels.clone(),
                m.annotations.clone(),
            )
        };
        parts(before) != parts(now)
    }

    /// The objects of a namespace, by name.
    pub(super) fn list(&self, namespace: &str) -> Vec<Entry<K>> {
        let namespaces = self.namespaces.read().unwrap_or_else(PoisonError::into_inner);
        namespaces.get(namespace).map(|objects| objects.values().cloned().collect()).unwrap_or_default()
    }

    /// One object.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let namespaces = self.namespaces.read().unwrap_or_else(PoisonError::into_inner);
        match namespaces.get(namespace)?.get(name)? {
            Entry::Good(object) => Some(object.clone()),
            Entry::Bad(_) => None,
        }
    }
}

fn entry<K: Resource>(object: DeserializeGuard<K>) -> (String, String, Entry<K>) {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let entry = match object.0 {
        Ok(object) => Entry::Good(Arc::new(object)),
        Err(invalid) => Entry::Bad(Arc::new(invalid.metadata)),
    };
    (namespace, name, entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sotto_crds::User;

    fn user(namespace: &str, name: &str, generation: i64, version: &str) -> DeserializeGuard<User> {
        let object = serde_json::json!({
            "apiVersion": "sotto.dev/v1alpha1",
            "kind": "User",
            "metadata": {"namespace": namespace, "name": name, "generation": generation, "resourceVersion": version},
            "spec": {"networkRef": {"name": "acme"}},
        });
        serde_json::from_value(object).unwrap()
    }
    fn names(index: &Index<User>, namespace: &str) -> Vec<String> {
        index.list(namespace).iter().map(|e| e.meta().name.clone().unwrap()).collect()
    }

    #[test]
    fn a_listing_replaces_what_was_there() {
        let (index, mut feed) = (Index::<User>::new(false), Feed::new(None));
        for event in
            [Event::Init, Event::InitApply(user("a", "alice", 1, "1")), Event::InitApply(user("b", "bob", 1, "2"))]
        {
            assert_eq!(index.take(&mut feed, event), (BTreeSet::new(), false));
        }
        assert_eq!(names(&index, "a"), Vec::<String>::new(), "not before it is complete");
        let (changed, complete) = index.take(&mut feed, Event::InitDone);
        assert!(complete && changed == ["a".to_owned(), "b".to_owned()].into());
        index.take(&mut feed, Event::Init);
        index.take(&mut feed, Event::InitApply(user("b", "bob", 1, "2")));
        let (changed, _) = index.take(&mut feed, Event::InitDone);
        assert!(changed.contains("a"), "what disappeared while the watch was away counts");
        assert_eq!((names(&index, "a"), names(&index, "b")), (vec![], vec!["bob".to_owned()]));
    }

    #[test]
    fn watches_of_single_namespaces_do_not_disturb_each_other() {
        let index = Index::<User>::new(false);
        let (mut a, mut b) = (Feed::new(Some("a".to_owned())), Feed::new(Some("b".to_owned())));
        index.take(&mut a, Event::InitApply(user("a", "alice", 1, "1")));
        index.take(&mut a, Event::InitDone);
        index.take(&mut b, Event::Init);
        index.take(&mut b, Event::InitDone);
        assert_eq!(names(&index, "a"), ["alice"]);
    }

    #[test]
    fn a_status_of_our_own_writing_is_no_change() {
        let (index, mut feed) = (Index::<User>::new(false), Feed::new(None));
        let first = index.take(&mut feed, Event::Apply(user("a", "alice", 1, "1")));
        assert_eq!(first.0.len(), 1);
        assert!(index.take(&mut feed, Event::Apply(user("a", "alice", 1, "2"))).0.is_empty());
        assert_eq!(index.take(&mut feed, Event::Apply(user("a", "alice", 2, "3"))).0.len(), 1);
        assert_eq!(index.take(&mut feed, Event::Delete(user("a", "alice", 2, "3"))).0.len(), 1);
        assert!(index.list("a").is_empty());
        let (workloads, mut feed) = (Index::<User>::new(true), Feed::new(None));
        workloads.take(&mut feed, Event::Apply(user("a", "alice", 1, "1")));
        assert_eq!(workloads.take(&mut feed, Event::Apply(user("a", "alice", 1, "2"))).0.len(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_there_all_the_same() {
        let object = serde_json::json!({
            "apiVersion": "sotto.dev/v1alpha1", "kind": "User",
            "metadata": {"namespace": "a", "name": "odd"}, "spec": {"networkRef": 7},
        });
        let (index, mut feed) = (Index::<User>::new(false), Feed::new(None));
        index.take(&mut feed, Event::Apply(serde_json::from_value(object).unwrap()));
        assert!(matches!(index.list("a").as_slice(), [Entry::Bad(_)]));
        assert!(index.get("a", "odd").is_none());
    }
}
