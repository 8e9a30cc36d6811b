//! What a watch shows of the statuses of our objects: which are ready, and when they became so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::watch;

use crate::{Failure, Outcome};

/// Plural, namespace, name.
pub(super) type Id = (&'static str, String, String);

/// An object as it was seen last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    generation: i64,
    observed: i64,
    ready: bool,
    at: Instant,
}

impl Look {
    fn of(object: &DynamicObject) -> Self {
        let status = &object.data["status"];
        let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let generation = object.metadata.generation.unwrap_or(0);
        let fits = |c: &Value| c["type"] == "Ready" && c["status"] == "True" && c["observedGeneration"] == generation;
        Self {
            generation,
            observed: status["observedGeneration"].as_i64().unwrap_or(-1),
            ready: conditions.iter().any(fits),
            at: Instant::now(),
        }
    }

    fn is_ready(&self) -> bool {
        self.ready && self.observed >= self.generation
    }
}

#[derive(Default)]
struct Known {
    looks: HashMap<Id, Look>,
    ready: usize,
}

/// The watch.
pub(super) struct Seen {
    known: Mutex<Known>,
    changes: watch::Sender<u64>,
}

impl Seen {
    /// Watches these kinds (kind, plural) until the runtime ends.
    pub(super) fn start(client: &Client, kinds: &[(&'static str, &'static str)]) -> Arc<Self> {
        let seen = Arc::new(Self { known: Mutex::default(), changes: watch::channel(0).0 });
        for (kind, plural) in kinds {
            let resource =
                ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("sotto.dev", "v1alpha1", kind), plural);
            tokio::spawn(follow(Arc::clone(&seen), Api::all_with(client.clone(), &resource), plural));
        }
        seen
    }

    fn locked(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, id: Id, look: Look) {
        let mut known = self.locked();
        let before = known.looks.insert(id, look);
        known.ready += usize::from(look.is_ready());
        known.ready -= usize::from(before.is_some_and(|look| look.is_ready()));
        drop(known);
        self.changes.send_modify(|n| *n += 1);
    }

    /// How many are ready.
    pub(super) fn ready(&self) -> usize {
        self.locked().ready
    }

    /// Waits until so many are ready.
    pub(super) async fn wait_ready(&self, count: usize, limit: Duration) -> Outcome {
        let mut changes = self.changes.subscribe();
        let waiting = async {
            let begin = Instant::now();
            let mut told = Duration::ZERO;
            while self.ready() < count {
                let _ = tokio::time::timeout(Duration::from_secs(5), changes.changed()).await;
                if begin.elapsed() > told + Duration::from_secs(20) {
                    told = begin.elapsed();
                    eprintln!("            {:.0} s: {} of {count} are ready", told.as_secs_f64(), self.ready());
                }
            }
        };
        let late = |_| Failure(format!("{} of {count} are ready after {} s", self.ready(), limit.as_secs()));
        tokio::time::timeout(limit, waiting).await.map_err(late)
    }

    /// Waits until the object is ready at this generation; gives the moment when that was seen.
    pub(super) async fn wait_for(&self, id: &Id, generation: i64, limit: Duration) -> Outcome<Instant> {
        let mut changes = self.changes.subscribe();
        let found = || {
            let known = self.locked();
            let look = known.looks.get(id)?;
            (look.observed >= generation && look.is_ready()).then_some(look.at)
        };
        let waiting = async {
            loop {
                if let Some(at) = found() {
                    return at;
                }
                let _ = changes.changed().await;
            }
        };
        let late = |_| Failure(format!("{id:?} generation {generation}: not ready after {} s", limit.as_secs()));
        tokio::time::timeout(limit, waiting).await.map_err(late)
    }
}

async fn follow(seen: Arc<Seen>, api: Api<DynamicObject>, plural: &'static str) {
    let mut stream = std::pin::pin!(watcher(api, watcher::Config::default()));
    while let Some(event) = stream.next().await {
        match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => {
                let look = Look::of(&object);
                let (namespace, name) = (object.metadata.namespace, object.metadata.name);
                seen.put((plural, namespace.unwrap_or_default(), name.unwrap_or_default()), look);
            }
            Ok(_) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}
