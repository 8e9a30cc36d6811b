//! Watches that keep the indexes current and put networks into the queue.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use sotto_crds::{FederationMode, Network};
use tokio::sync::watch::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::DEBOUNCE;
use super::context::Context;
use super::index::{Feed, Index};
use super::kept::{Belongs, Compact, Entry, Holds, Kept, Mark};
use super::labels::{MANAGED_BY, MANAGER};
use super::optional::{self, is_absent};
use super::queue::{Cause, Unit};
use crate::pace::fraction;
use crate::plan::SecretId;

/// Objects that one answer of a listing holds: what is being decoded counts for the memory of this process.
const PAGE: u32 = 100;

/// The watches under way.
pub(super) struct Watches {
    tasks: JoinSet<()>,
    listings: Listings,
}

/// How many listings are not complete yet.
#[derive(Clone)]
struct Listings(Arc<Sender<usize>>);

impl Listings {
    fn new() -> Self {
        Self(Arc::new(channel(0).0))
    }
    fn begin(&self) {
        self.0.send_modify(|n| *n += 1);
    }
    fn end(&self) {
        self.0.send_modify(|n| *n = n.saturating_sub(1));
    }
    async fn complete(&self) {
        // The sender is ours and lives.
        let _ = self.0.subscribe().wait_for(|missing| *missing == 0).await;
    }
}

impl Watches {
    /// Waits until every kind has been listed once: before that, what is not known may be there.
    pub(super) async fn complete(&self) {
        self.listings.complete().await;
    }

    /// Waits until a watch ends, which it should not.
    pub(super) async fn ended(&mut self) {
        self.tasks.join_next().await;
    }
}

/// Starts a watch for each kind and namespace.
pub(super) fn start(context: &Arc<Context>, shutdown: &CancellationToken) -> Watches {
    let mut watches = Watches { tasks: JoinSet::new(), listings: Listings::new() };
    for scope in scopes(context) {
        let mut starter =
            Starter { tasks: &mut watches.tasks, listings: &watches.listings, context, scope: &scope, shutdown };
        starter.ours(context.networks.clone(), networks_of_network);
        starter.ours(context.groups.clone(), |_, _| Vec::new());
        starter.ours(context.users.clone(), |_, _| Vec::new());
        starter.ours(context.policies.clone(), |_, _| Vec::new());
        for kind in context.owned.keys() {
            starter.owned(kind);
        }
        if !context.options.secrets_by_namespace() {
            starter.secrets();
        }
    }
    watches
}

fn scopes(context: &Context) -> Vec<Option<String>> {
    match context.options.namespaces.as_slice() {
        [] => vec![None],
        names => names.iter().cloned().map(Some).collect(),
    }
}

fn managed() -> watcher::Config {
    watcher::Config::default().labels(&format!("{MANAGED_BY}={MANAGER}")).page_size(PAGE)
}

fn others() -> watcher::Config {
    watcher::Config::default().labels(&format!("{MANAGED_BY}!={MANAGER}")).page_size(PAGE)
}

fn api<K>(context: &Context, scope: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    match scope {
        Some(namespace) => Api::namespaced(context.client.clone(), namespace),
        None => Api::all(context.client.clone()),
    }
}

struct Starter<'a> {
    tasks: &'a mut JoinSet<()>,
    listings: &'a Listings,
    context: &'a Arc<Context>,
    scope: &'a Option<String>,
    shutdown: &'a CancellationToken,
}

impl Starter<'_> {
    fn ours<K, T>(&mut self, index: Arc<Index<T>>, more: impl Fn(&Context, &T) -> Vec<Unit> + Send + 'static)
    where
        T: Holds<K> + Send + Sync + 'static,
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Belongs
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        let api: Api<DeserializeGuard<K>> = api(self.context, self.scope.as_deref());
        let stream = watcher(api, watcher::Config::default().page_size(PAGE));
        self.follow(stream, T::from, index, move |context, entry| {
            let mut units = more(context, entry);
            if entry.is_good() {
                units.push(unit(entry));
            } else {
                // Nobody knows where it belongs, and nothing is removed while that is so.
                units.extend(context.units(entry.namespace()));
            }
            units
        });
    }

    fn owned(&mut self, kind: &str) {
        let Some((resource, index)) = self.context.owned.get(kind) else { return };
        let client = self.context.client.clone();
        let api: Api<DynamicObject> = match self.scope {
            Some(namespace) => Api::namespaced_with(client, namespace, resource),
            None => Api::all_with(client, resource),
        };
        let index = index.clone();
        let optional = optional::remedy(kind).map(|_| kind.to_owned());
        self.follow_kind(watcher(api, managed()), compact, index, |_, object| vec![unit(object)], optional);
    }

    /// The operator's own Secrets whole, of the others only that they are there.
    fn secrets(&mut self) {
        let api_own: Api<Secret> = api(self.context, self.scope.as_deref());
        let keep = |secret| Arc::new(Compact::secret(secret));
        self.follow(watcher(api_own, managed()), keep, self.context.secrets.clone(), |context, secret| {
            let mut units = vec![unit(secret)];
            // What its peers in the namespace know a network by.
            let network = secret.network();
            if [SecretId::Authority, SecretId::PolicyKey].iter().any(|id| id.object_name(network) == secret.name()) {
                units.extend(context.peers_of(secret.namespace(), network));
            }
            units
        });
        let api_others: Api<PartialObjectMeta<Secret>> = api(self.context, self.scope.as_deref());
        let mark = |object: PartialObjectMeta<Secret>| Mark::new(&object.metadata);
        self.follow(watcher(api_others, others()), mark, self.context.others.clone(), |context, secret| {
            context.users_of_secret(secret.namespace(), secret.name())
        });
    }

    fn follow<K, T>(
        &mut self,
        stream: impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static,
        convert: impl Fn(K) -> T + Send + 'static,
        index: Arc<Index<T>>,
        units: impl Fn(&Context, &T) -> Vec<Unit> + Send + 'static,
    ) where
        K: Send + 'static,
        T: Kept + Send + Sync + 'static,
    {
        self.follow_kind(stream, convert, index, units, None);
    }

    /// `optional`: the kind, where the cluster may not know it.
    fn follow_kind<K, T>(
        &mut self,
        stream: impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static,
        convert: impl Fn(K) -> T + Send + 'static,
        index: Arc<Index<T>>,
        units: impl Fn(&Context, &T) -> Vec<Unit> + Send + 'static,
        optional: Option<String>,
    ) where
        K: Send + 'static,
        T: Kept + Send + Sync + 'static,
    {
        let (context, shutdown, scope) = (self.context.clone(), self.shutdown.clone(), self.scope.clone());
        let listings = self.listings.clone();
        listings.begin();
        self.tasks.spawn(async move {
            let mut feed = Feed::new(scope);
            let mut listed = false;
            let mut stream = std::pin::pin!(stream);
            let mut failures = 0;
            loop {
                let event = tokio::select! {
                    () = shutdown.cancelled() => return,
                    event = stream.next() => event,
                };
                match event {
                    None => return,
                    Some(Err(error)) => {
                        let most = match &optional {
                            Some(kind) if is_absent(&error) => {
                                if context.absent.gone(kind) {
                                    tracing::info!(%kind, "the cluster does not know this kind; it is asked again now and then");
                                }
                                // Nobody waits for what may never come.
                                if !std::mem::replace(&mut listed, true) {
                                    listings.end();
                                }
                                ABSENT
                            }
                            _ => {
                                tracing::warn!(%error, "watch interrupted");
                                INTERRUPTED
                            }
                        };
                        let wait = before_again(failures, most, fraction());
                        failures += 1;
                        tokio::select! {
                            () = shutdown.cancelled() => return,
                            () = sleep(wait) => {}
                        }
                    }
                    Some(Ok(event)) => {
                        // The beginning of a listing says nothing yet.
                        if !matches!(event, watcher::Event::Init) {
                            failures = 0;
                        }
                        let changed = index.take(&mut feed, converted(event, &convert));
                        let due: BTreeSet<Unit> =
                            changed.objects.iter().flat_map(|object| units(&context, object)).collect();
                        for unit in due {
                            context.queue.add(&unit, DEBOUNCE, Cause::Change);
                        }
                        if changed.complete && !listed {
                            listed = true;
                            listings.end();
                        }
                        if changed.complete
                            && let Some(kind) = &optional
                            && context.absent.came(kind)
                        {
                            tracing::info!(%kind, "the cluster knows this kind now");
                            for unit in context.askers() {
                                context.queue.add(&unit, DEBOUNCE, Cause::Change);
                            }
                        }
                    }
                }
            }
        });
    }
}

/// The longest wait before a watch that was interrupted is begun again, and before a kind is asked for that was not there. Up to twice
/// as long, so that not all come back at once.
const INTERRUPTED: Duration = Duration::from_secs(5);
const ABSENT: Duration = Duration::from_secs(30);

/// How long to wait before a watch is begun again that has failed so often. kube's `default_backoff` begins with the shortest wait
/// each time, because a listing that fails has begun well: three kinds that are not there would be asked for every second.
fn before_again(failures: u32, most: Duration, fraction: f64) -> Duration {
    const LEAST: Duration = Duration::from_millis(800);
    LEAST.saturating_mul(1 << failures.min(10)).min(most).mul_f64(1.0 + fraction.clamp(0.0, 1.0))
}

fn compact<K: Resource + serde::Serialize>(object: K) -> Arc<Compact> {
    Arc::new(Compact::new(object))
}

fn unit<T: Kept>(item: &T) -> Unit {
    Unit::new(item.namespace(), item.network())
}

fn converted<K, T>(event: watcher::Event<K>, convert: impl Fn(K) -> T) -> watcher::Event<T> {
    use watcher::Event as E;
    match event {
        E::Apply(object) => E::Apply(convert(object)),
        E::Delete(object) => E::Delete(convert(object)),
        E::InitApply(object) => E::InitApply(convert(object)),
        E::Init => E::Init,
        E::InitDone => E::InitDone,
    }
}

/// Networks that a change of this one concerns: those of the same domain, and those that have it as a peer.
fn networks_of_network(context: &Context, entry: &Entry<Network>) -> Vec<Unit> {
    context.peers_of(entry.namespace(), entry.name())
}

impl Context {
    /// Everything in a namespace that is looked at together.
    pub(super) fn units(&self, namespace: &str) -> Vec<Unit> {
        let mut names: BTreeSet<Box<str>> = BTreeSet::new();
        names.extend(self.networks.networks(namespace));
        names.extend(self.groups.networks(namespace));
        names.extend(self.users.networks(namespace));
        names.extend(self.policies.networks(namespace));
        names.iter().map(|name| Unit::new(namespace, name)).collect()
    }

    /// The other networks in the namespace that have the domain of this one, or name it as a peer.
    pub(super) fn peers_of(&self, namespace: &str, network: &str) -> Vec<Unit> {
        let domain = match self.networks.get(namespace, network) {
            Some(Entry::Good(network)) => Some(network.spec.domain.clone()),
            // It is gone, or cannot be read: whoever waits for it is looked at.
            _ => None,
        };
        let concerned = |other: &Network| {
            let peers = other.spec.federation.mode != FederationMode::Disabled;
            match &domain {
                Some(domain) => {
                    other.spec.domain == *domain
                        || (peers && other.spec.federation.peers.iter().any(|peer| peer.domain == *domain))
                }
                None => peers,
            }
        };
        self.networks
            .list(namespace)
            .iter()
            .filter(|entry| entry.name() != network)
            .filter(|entry| matches!(entry, Entry::Good(other) if concerned(other)))
            .map(unit)
            .collect()
    }

    /// The networks that ask for a kind that a cluster may not know.
    fn askers(&self) -> Vec<Unit> {
        let asks =
            |network: &Network| network.spec.relay.route.is_some() || network.spec.relay.tls.issuer_ref.is_some();
        self.networks
            .all()
            .iter()
            .filter(|entry| matches!(entry, Entry::Good(network) if asks(network)))
            .map(unit)
            .collect()
    }

    /// The networks that name this Secret, themselves or by a policy.
    fn users_of_secret(&self, namespace: &str, secret: &str) -> Vec<Unit> {
        let networks = self.networks.list(namespace).into_iter().filter_map(|entry| match entry {
            Entry::Good(network) if secrets_of_network(&network).any(|name| name == secret) => {
                Some(network.metadata.name.clone()?)
            }
            _ => None,
        });
        let policies = self.policies.list(namespace).into_iter().filter_map(|entry| match entry {
            Entry::Good(policy) if secrets_of_policy(&policy).any(|name| name == secret) => {
                Some(policy.spec.network_ref.name.clone())
            }
            _ => None,
        });
        networks.chain(policies).map(|network| Unit::new(namespace, &network)).collect()
    }
}

/// The Secrets that a Network names.
pub(super) fn secrets_of_network(network: &Network) -> impl Iterator<Item = &str> {
    let spec = &network.spec;
    let names = [spec.relay.tls.secret_name.as_deref(), spec.metrics.cloud_watch.credentials_secret_name.as_deref()];
    names.into_iter().flatten()
}

/// The Secrets that a RetentionPolicy names.
pub(super) fn secrets_of_policy(policy: &sotto_crds::RetentionPolicy) -> impl Iterator<Item = &str> {
    let bucket = policy.spec.destination.s3.as_ref();
    bucket.and_then(|s3| s3.credentials_secret_name.as_deref()).into_iter()
}

/// Watches over the Secrets of the namespaces that have a Network, each begun with the first one and ended with the last one:
/// nobody else's Secrets are looked at.
#[derive(Default)]
pub(super) struct SecretWatches(Mutex<BTreeMap<String, SecretWatch>>);

struct SecretWatch {
    // Ends the tasks when it is dropped.
    _tasks: JoinSet<()>,
    listings: Receiver<usize>,
}

impl SecretWatches {
    /// Whether the Secrets of the namespace are known, where they are being watched.
    pub(super) fn state(&self, namespace: &str) -> Option<bool> {
        let watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watches.get(namespace).map(|watch| *watch.listings.borrow() == 0)
    }

    /// Begins to watch the namespace where that has not been done. Whether its Secrets are known.
    pub(super) fn begin(&self, context: &Arc<Context>, namespace: &str) -> bool {
        let shutdown = &context.shutdown;
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let watch = watches.entry(namespace.to_owned()).or_insert_with(|| {
            let (mut tasks, listings) = (JoinSet::new(), Listings::new());
            let scope = Some(namespace.to_owned());
            Starter { tasks: &mut tasks, listings: &listings, context, scope: &scope, shutdown }.secrets();
            let (waiting, again, place) = (listings.clone(), context.clone(), namespace.to_owned());
            tasks.spawn(async move {
                waiting.complete().await;
                for unit in again.units(&place) {
                    again.queue.add(&unit, DEBOUNCE, Cause::Change);
                }
            });
            SecretWatch { _tasks: tasks, listings: listings.0.subscribe() }
        });
        *watch.listings.borrow() == 0
    }

    /// Ends the watch of a namespace; whether there was one.
    pub(super) fn end(&self, context: &Context, namespace: &str) -> bool {
        let ended = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(namespace).is_some();
        if ended {
            context.secrets.forget(namespace);
            context.others.forget(namespace);
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_fails_is_begun_again_later_each_time() {
        let waits = [0, 1, 2, 5, 6, 100].map(|failures| before_again(failures, ABSENT, 0.0).as_millis());
        assert_eq!(waits, [800, 1_600, 3_200, 25_600, 30_000, 30_000]);
        assert_eq!(before_again(100, INTERRUPTED, 1.0).as_millis(), 10_000);
    }
}
