//! What the operator has seen of the cluster: objects by namespace, name and network, kept current by watches. Reading it costs
//! no call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

use kube::runtime::watcher::Event;

use super::kept::Kept;
use super::queue::Unit;

/// The objects of one namespace.
struct Space<T> {
    by_name: BTreeMap<Arc<str>, T>,
    by_network: BTreeMap<Box<str>, BTreeSet<Arc<str>>>,
}

impl<T> Default for Space<T> {
    fn default() -> Self {
        Self { by_name: BTreeMap::new(), by_network: BTreeMap::new() }
    }
}

impl<T: Kept> Space<T> {
    fn insert(&mut self, item: T) -> Option<T> {
        let name: Arc<str> = item.name().into();
        let before = self.remove(&name);
        self.by_network.entry(item.network().into()).or_default().insert(name.clone());
        self.by_name.insert(name, item);
        before
    }

    fn remove(&mut self, name: &str) -> Option<T> {
        let before = self.by_name.remove(name)?;
        if let Some(names) = self.by_network.get_mut(before.network()) {
            names.remove(name);
            if names.is_empty() {
                self.by_network.remove(before.network());
            }
        }
        Some(before)
    }
}

type Spaces<T> = BTreeMap<Box<str>, Space<T>>;

/// The objects of one kind, and the versions in which objects were deleted: the answer to a write of ours that was under way
/// meanwhile must not bring one back.
pub(super) struct Index<T>(RwLock<Spaces<T>>, Mutex<Graves>);

type Graves = BTreeMap<(Box<str>, Box<str>), u64>;

/// How many deletions are remembered; an answer that is late is late by seconds.
const GRAVES: usize = 20_000;

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self(RwLock::default(), Mutex::default())
    }
}

fn place<T: Kept>(item: &T) -> (Box<str>, Box<str>) {
    (item.namespace().into(), item.name().into())
}

/// One watch that feeds an index: of one namespace, or of all.
pub(super) struct Feed<T> {
    scope: Option<String>,
    /// Collects a listing until it is complete.
    listing: Option<Vec<T>>,
}

impl<T> Feed<T> {
    pub(super) fn new(scope: Option<String>) -> Self {
        Self { scope, listing: None }
    }
}

/// What an event has changed.
pub(super) struct Changed<T> {
    /// The objects that have changed in what counts, as they are now or were last.
    pub(super) objects: Vec<T>,
    /// Whether a listing is complete.
    pub(super) complete: bool,
}

impl<T: Kept> Index<T> {
    /// Takes an event of a watch.
    pub(super) fn take(&self, feed: &mut Feed<T>, event: Event<T>) -> Changed<T> {
        let mut objects = Vec::new();
        let mut complete = false;
        match event {
            Event::Init => feed.listing = Some(Vec::new()),
            Event::InitApply(item) => feed.listing.get_or_insert_default().push(item),
            Event::InitDone => {
                objects = self.replace(feed.scope.as_deref(), feed.listing.take().unwrap_or_default());
                complete = true;
            }
            Event::Apply(item) => {
                self.graves().remove(&place(&item));
                self.apply(item, false, &mut objects);
            }
            Event::Delete(item) => {
                self.bury(&item, item.version());
                let mut spaces = self.write();
                if let Some(space) = spaces.get_mut(item.namespace()) {
                    space.remove(item.name());
                    if space.by_name.is_empty() {
                        spaces.remove(item.namespace());
                    }
                }
                drop(spaces);
                objects.push(item);
            }
        }
        Changed { objects, complete }
    }

    /// Takes over what the API server answered to our own write: the watch will tell the same later.
    pub(super) fn put(&self, item: T) {
        let deleted = self.graves().get(&place(&item)).copied();
        if deleted.is_none_or(|version| version < item.version()) {
            self.apply(item, false, &mut Vec::new());
        }
    }

    fn graves(&self) -> MutexGuard<'_, Graves> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bury(&self, item: &T, version: u64) {
        let mut graves = self.graves();
        if graves.len() >= GRAVES {
            graves.clear();
        }
        graves.insert(place(item), version);
    }

    fn apply(&self, item: T, listed: bool, changed: &mut Vec<T>) {
        let mut spaces = self.write();
        let space = spaces.entry(item.namespace().into()).or_default();
        // A watch may be behind our own writes.
        if !listed && space.by_name.get(item.name()).is_some_and(|known| known.version() > item.version()) {
            return;
        }
        let before = space.insert(item.clone());
        match before {
            Some(before) if before.same(&item) => {}
            Some(before) => {
                if before.network() != item.network() {
                    changed.push(before);
                }
                changed.push(item);
            }
            None => changed.push(item),
        }
    }

    fn replace(&self, scope: Option<&str>, listing: Vec<T>) -> Vec<T> {
        let mut changed = Vec::new();
        let mut there: BTreeMap<Box<str>, BTreeSet<Box<str>>> = BTreeMap::new();
        for item in listing {
            there.entry(item.namespace().into()).or_default().insert(item.name().into());
            self.graves().remove(&place(&item));
            // Also when it is older: a cluster may have been restored from a backup.
            self.apply(item, true, &mut changed);
        }
        let mut spaces = self.write();
        let names: Vec<Box<str>> = match scope {
            None => spaces.keys().cloned().collect(),
            Some(scope) => vec![scope.into()],
        };
        for namespace in names {
            let Some(space) = spaces.get_mut(&namespace) else { continue };
            let stays = there.get(&namespace);
            let gone: Vec<Arc<str>> = space
                .by_name
                .keys()
                .filter(|name| !stays.is_some_and(|names| names.contains(&***name)))
                .cloned()
                .collect();
            for item in gone.iter().filter_map(|name| space.remove(name)) {
                // In which version is not known; only the watch can tell that there is another one.
                self.bury(&item, u64::MAX);
                changed.push(item);
            }
            if space.by_name.is_empty() {
                spaces.remove(&namespace);
            }
        }
        changed
    }

    /// Forgets a namespace: nobody watches it any more.
    pub(super) fn forget(&self, namespace: &str) {
        self.write().remove(namespace);
    }

    /// The objects of a Network, by name.
    pub(super) fn of(&self, unit: &Unit) -> Vec<T> {
        self.read(&unit.namespace, |space| {
            let names = space.by_network.get(&*unit.network);
            names.into_iter().flatten().filter_map(|name| space.by_name.get(name)).cloned().collect()
        })
    }

    /// The objects of a namespace, by name.
    pub(super) fn list(&self, namespace: &str) -> Vec<T> {
        self.read(namespace, |space| space.by_name.values().cloned().collect())
    }

    /// The objects of all namespaces.
    pub(super) fn all(&self) -> Vec<T> {
        let spaces = self.0.read().unwrap_or_else(PoisonError::into_inner);
        spaces.values().flat_map(|space| space.by_name.values().cloned()).collect()
    }

    /// The names of the Networks that something in the namespace belongs to.
    pub(super) fn networks(&self, namespace: &str) -> Vec<Box<str>> {
        self.read(namespace, |space| space.by_network.keys().cloned().collect())
    }

    /// One object.
    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<T> {
        self.read(namespace, |space| space.by_name.get(name).cloned())
    }

    fn read<A: Default>(&self, namespace: &str, work: impl FnOnce(&Space<T>) -> A) -> A {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(namespace).map(work).unwrap_or_default()
    }

    fn write(&self) -> RwLockWriteGuard<'_, Spaces<T>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::kept::tests::user;
    use crate::cluster::kept::{Entry, Holds as _};
    use kube::core::DeserializeGuard;
    use sotto_crds::User;

    type Packed = crate::cluster::kept::Packed<User>;

    fn names<T: Kept>(items: &[T]) -> Vec<String> {
        items.iter().map(|e| format!("{}/{}", e.namespace(), e.name())).collect()
    }

    #[test]
    fn a_listing_replaces_what_was_there_and_tells_what_changed() {
        let (index, mut feed) = (Index::<Packed>::default(), Feed::new(None));
        for event in
            [Event::Init, Event::InitApply(user("a", "alice", 1, "1")), Event::InitApply(user("b", "bob", 1, "2"))]
        {
            let changed = index.take(&mut feed, event);
            assert!(changed.objects.is_empty() && !changed.complete);
        }
        assert!(index.list("a").is_empty(), "not before it is complete");
        let changed = index.take(&mut feed, Event::InitDone);
        assert!(changed.complete);
        assert_eq!(names(&changed.objects), ["a/alice", "b/bob"]);
        index.take(&mut feed, Event::Init);
        index.take(&mut feed, Event::InitApply(user("b", "bob", 1, "2")));
        let changed = index.take(&mut feed, Event::InitDone);
        assert_eq!(names(&changed.objects), ["a/alice"], "what disappeared while the watch was away, and nothing else");
        assert_eq!((names(&index.list("a")), names(&index.list("b"))), (vec![], vec!["b/bob".to_owned()]));
    }

    #[test]
    fn watches_of_single_namespaces_do_not_disturb_each_other() {
        let index = Index::<Packed>::default();
        let (mut a, mut b) = (Feed::new(Some("a".to_owned())), Feed::new(Some("b".to_owned())));
        index.take(&mut a, Event::InitApply(user("a", "alice", 1, "1")));
        index.take(&mut a, Event::InitDone);
        index.take(&mut b, Event::Init);
        index.take(&mut b, Event::InitDone);
        assert_eq!(names(&index.list("a")), ["a/alice"]);
        assert_eq!(index.networks("a"), [Box::<str>::from("acme")]);
        index.forget("a");
        assert!(index.list("a").is_empty());
    }

    #[test]
    fn a_status_of_our_own_writing_is_no_change() {
        let (index, mut feed) = (Index::<Packed>::default(), Feed::new(None));
        let take = |feed: &mut _, event| index.take(feed, event).objects.len();
        assert_eq!(take(&mut feed, Event::Apply(user("a", "alice", 1, "1"))), 1);
        assert_eq!(take(&mut feed, Event::Apply(user("a", "alice", 1, "2"))), 0);
        assert_eq!(take(&mut feed, Event::Apply(user("a", "alice", 2, "3"))), 1);
        assert_eq!(take(&mut feed, Event::Delete(user("a", "alice", 2, "3"))), 1);
        assert!(index.list("a").is_empty() && index.networks("a").is_empty());
    }

    #[test]
    fn a_watch_that_is_behind_takes_nothing_back() {
        let (index, mut feed) = (Index::<Packed>::default(), Feed::new(None));
        index.put(user("a", "alice", 2, "10"));
        assert!(index.take(&mut feed, Event::Apply(user("a", "alice", 1, "9"))).objects.is_empty());
        assert_eq!(index.get("a", "alice").unwrap().version(), 10);
    }

    #[test]
    fn an_answer_that_is_late_brings_nothing_back() {
        let (index, mut feed) = (Index::<Packed>::default(), Feed::new(None));
        index.take(&mut feed, Event::Apply(user("a", "alice", 1, "5")));
        index.take(&mut feed, Event::Delete(user("a", "alice", 1, "9")));
        index.put(user("a", "alice", 1, "8"));
        assert!(index.list("a").is_empty(), "the status was written before the end");
        index.put(user("a", "alice", 1, "12"));
        assert_eq!(index.list("a").len(), 1, "another one of the same name");
        index.take(&mut feed, Event::Init);
        index.take(&mut feed, Event::InitDone);
        index.put(user("a", "alice", 1, "13"));
        assert!(index.list("a").is_empty());
        index.take(&mut feed, Event::Apply(user("a", "alice", 1, "20")));
        assert_eq!(index.list("a").len(), 1);
    }

    #[test]
    fn objects_are_found_by_their_network() {
        let index = Index::<Packed>::default();
        index.put(user("a", "alice", 1, "1"));
        assert_eq!(names(&index.of(&Unit::new("a", "acme"))), ["a/alice"]);
        assert!(index.of(&Unit::new("a", "beta")).is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_there_all_the_same() {
        let object = serde_json::json!({
            "apiVersion": "sotto.dev/v1alpha1", "kind": "User",
            "metadata": {"namespace": "a", "name": "odd"}, "spec": {"networkRef": 7},
        });
        let (index, mut feed) = (Index::<Packed>::default(), Feed::new(None));
        let object: DeserializeGuard<User> = serde_json::from_value(object).unwrap();
        index.take(&mut feed, Event::Apply(object.into()));
        let kept = index.of(&Unit::new("a", ""));
        let [kept] = kept.as_slice() else { panic!() };
        assert!(!kept.is_good() && matches!(kept.open(), Entry::Bad(meta) if meta.name.as_deref() == Some("odd")));
    }
}
