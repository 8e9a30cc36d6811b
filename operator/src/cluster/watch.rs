//! Watches that keep the index current and put namespaces into the queue.

use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt as _;
use kube::api::{ApiResource, DynamicObject};
use kube::core::DeserializeGuard;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch::{Sender, channel};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::DEBOUNCE;
use super::context::Context;
use super::index::{Feed, Index};
use super::labels::{MANAGED_BY, MANAGER};

/// The watches under way.
pub(super) struct Watches {
    tasks: JoinSet<()>,
    /// How many listings are not complete yet.
    missing: Arc<Sender<usize>>,
}

impl Watches {
    /// Waits until every kind has been listed once: before that, what is not known may be there.
    pub(super) async fn complete(&self) {
        // The sender is ours and lives.
        let _ = self.missing.subscribe().wait_for(|missing| *missing == 0).await;
    }

    /// Waits until a watch ends, which it should not.
    pub(super) async fn ended(&mut self) {
        self.tasks.join_next().await;
    }
}

/// Starts a watch for each kind and namespace.
pub(super) fn start(context: &Arc<Context>, shutdown: &CancellationToken) -> Watches {
    let mut watches = Watches { tasks: JoinSet::new(), missing: Arc::new(channel(0).0) };
    let scopes: Vec<Option<String>> = match context.options.namespaces.as_slice() {
        [] => vec![None],
        names => names.iter().cloned().map(Some).collect(),
    };
    for scope in scopes {
        let mut typed = Starter { watches: &mut watches, context, scope: &scope, shutdown };
        typed.ours(|c| &c.networks);
        typed.ours(|c| &c.groups);
        typed.ours(|c| &c.users);
        typed.ours(|c| &c.policies);
        // By label: the operator keeps no Secret in memory that it has not made.
        typed.start(api(context, scope.as_deref()), |c| &c.secrets, managed());
        for kind in context.owned.keys() {
            let Some((resource, _)) = context.owned.get(kind) else { continue };
            typed.owned(kind.clone(), resource);
        }
    }
    watches
}

fn managed() -> watcher::Config {
    watcher::Config::default().labels(&format!("{MANAGED_BY}={MANAGER}"))
}

fn api<K>(context: &Context, scope: Option<&str>) -> Api<DeserializeGuard<K>>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    match scope {
        Some(namespace) => Api::namespaced(context.client.clone(), namespace),
        None => Api::all(context.client.clone()),
    }
}

struct Starter<'a> {
    watches: &'a mut Watches,
    context: &'a Arc<Context>,
    scope: &'a Option<String>,
    shutdown: &'a CancellationToken,
}

impl Starter<'_> {
    fn ours<K>(&mut self, index: impl Fn(&Context) -> &Index<K> + Send + 'static)
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        self.start(api(self.context, self.scope.as_deref()), index, watcher::Config::default());
    }

    fn owned(&mut self, kind: String, resource: &ApiResource) {
        let client = self.context.client.clone();
        let api: Api<DynamicObject> = match self.scope {
            Some(namespace) => Api::namespaced_with(client, namespace, resource),
            None => Api::all_with(client, resource),
        };
        let (context, shutdown, scope) = (self.context.clone(), self.shutdown.clone(), self.scope.clone());
        let missing = self.watches.missing.clone();
        missing.send_modify(|n| *n += 1);
        self.watches.tasks.spawn(async move {
            let stream =
                watcher(api, managed()).default_backoff().modify(|object| object.metadata.managed_fields = None);
            let stream = stream.map(|event| event.map(guarded));
            let Some((_, index)) = context.owned.get(&kind) else { return };
            follow(stream, index, scope, &context, &missing, &shutdown).await;
        });
    }

    fn start<K>(
        &mut self,
        api: Api<DeserializeGuard<K>>,
        index: impl Fn(&Context) -> &Index<K> + Send + 'static,
        config: watcher::Config,
    ) where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let (context, shutdown, scope) = (self.context.clone(), self.shutdown.clone(), self.scope.clone());
        let missing = self.watches.missing.clone();
        missing.send_modify(|n| *n += 1);
        self.watches.tasks.spawn(async move {
            let stream = watcher(api, config).default_backoff().modify(|object| {
                if let Ok(object) = &mut object.0 {
                    object.meta_mut().managed_fields = None;
                }
            });
            follow(stream, index(&context), scope, &context, &missing, &shutdown).await;
        });
    }
}

/// The dynamic kinds are always readable; the index wants to know.
fn guarded(event: watcher::Event<DynamicObject>) -> watcher::Event<DeserializeGuard<DynamicObject>> {
    use watcher::Event as E;
    let good = |object| DeserializeGuard(Ok(object));
    match event {
        E::Apply(object) => E::Apply(good(object)),
        E::Delete(object) => E::Delete(good(object)),
        E::InitApply(object) => E::InitApply(good(object)),
        E::Init => E::Init,
        E::InitDone => E::InitDone,
    }
}

async fn follow<K: Resource>(
    stream: impl futures::Stream<Item = Result<watcher::Event<DeserializeGuard<K>>, watcher::Error>>,
    index: &Index<K>,
    scope: Option<String>,
    context: &Context,
    missing: &Sender<usize>,
    shutdown: &CancellationToken,
) {
    let mut feed = Feed::new(scope);
    let mut listed = false;
    let mut stream = std::pin::pin!(stream);
    loop {
        let event = tokio::select! {
            () = shutdown.cancelled() => return,
            event = stream.next() => event,
        };
        match event {
            None => return,
            // The stream itself waits longer and longer, and starts again.
            Some(Err(error)) => tracing::warn!(%error, "watch interrupted"),
            Some(Ok(event)) => {
                let (changed, complete) = index.take(&mut feed, event);
                for namespace in changed {
                    context.queue.add(&namespace, DEBOUNCE);
                }
                if complete && !listed {
                    listed = true;
                    missing.send_modify(|n| *n -= 1);
                }
            }
        }
    }
}
