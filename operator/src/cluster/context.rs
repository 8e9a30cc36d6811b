//! What every reconciliation works with.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::events::{Recorder, Reporter};
use kube::{Api, Client};
use sotto_crds::{Network, RetentionPolicy, SecurityGroup, User};
use sotto_wire::status::{RetentionState, STATUS_PATH};
use tokio_util::sync::CancellationToken;

use super::Options;
use super::index::Index;
use super::kept::{Compact, Entry, Mark, Packed};
use super::labels::MANAGER;
use super::memo::Memos;
use super::optional::{self, Absent};
use super::places::retention_host;
use super::queue::{Queue, Unit};
use super::watch::SecretWatches;
use crate::admin::{AdminClient, AdminError};
use crate::documents::Verified;
use crate::lease::Fence;
use crate::probe;
use crate::secret::SecretData;

/// How long one call to the API server may take, with the client's own repetitions.
pub(super) const API_TIMEOUT: Duration = Duration::from_secs(30);
/// How many calls of one pass are under way at a time: enough to hide the way to the API server, too few to crowd out others.
const CALLS: usize = 8;

/// What the operator makes, of one kind.
type Made = Arc<Index<Arc<Compact>>>;

pub(super) struct Context {
    pub(super) client: Client,
    fence: Fence,
    pub(super) options: Options,
    pub(super) queue: Queue,
    pub(super) recorder: Recorder,
    pub(super) networks: Arc<Index<Entry<Network>>>,
    pub(super) groups: Arc<Index<Packed<SecurityGroup>>>,
    pub(super) users: Arc<Index<Packed<User>>>,
    pub(super) policies: Arc<Index<Entry<RetentionPolicy>>>,
    /// The operator's own Secrets.
    pub(super) secrets: Made,
    /// That other Secrets are there.
    pub(super) others: Arc<Index<Mark>>,
    /// By kind, what the operator makes beside Secrets.
    pub(super) owned: BTreeMap<String, (ApiResource, Made)>,
    /// Which of them the cluster does not know.
    pub(super) absent: Absent,
    pub(super) secret_watches: SecretWatches,
    pub(super) memos: Memos,
    pub(super) verified: Verified,
    pub(super) shutdown: CancellationToken,
    /// Unreadable objects of which the status has been written, with their generation.
    pub(super) unreadable: Mutex<HashMap<String, i64>>,
}

impl Context {
    pub(super) fn new(client: Client, fence: Fence, options: Options, shutdown: CancellationToken) -> Self {
        let reporter = Reporter { controller: MANAGER.into(), instance: options.pod_name.clone() };
        let kinds = [
            ApiResource::erase::<ServiceAccount>(&()),
            ApiResource::erase::<ConfigMap>(&()),
            ApiResource::erase::<PersistentVolumeClaim>(&()),
            ApiResource::erase::<Service>(&()),
            ApiResource::erase::<StatefulSet>(&()),
            ApiResource::erase::<Deployment>(&()),
            ApiResource::erase::<PodDisruptionBudget>(&()),
            ApiResource::erase::<NetworkPolicy>(&()),
            ApiResource::erase::<Ingress>(&()),
        ];
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            fence,
            options,
            queue: Queue::default(),
            networks: Arc::default(),
            groups: Arc::default(),
            users: Arc::default(),
            policies: Arc::default(),
            secrets: Arc::default(),
            others: Arc::default(),
            owned: kinds
                .into_iter()
                .chain(optional::resources())
                .map(|kind| (kind.kind.clone(), (kind, Arc::default())))
                .collect(),
            absent: Absent::default(),
            secret_watches: SecretWatches::default(),
            memos: Memos::default(),
            verified: Verified::default(),
            shutdown,
            unreadable: Mutex::default(),
        }
    }

    /// The calls of a kind in a namespace.
    pub(super) fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The calls of one of the kinds that are made.
    pub(super) fn api_of(&self, namespace: &str, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, resource)
    }

    /// A client of a relay's admin interface, for one look: a thousand of them that say nothing would be a good part of this
    /// process's memory, and one is made in a tenth of a millisecond.
    pub(super) fn relay(&self, unit: &Unit, url: &str, identity: &SecretData) -> Result<AdminClient, AdminError> {
        let client = match self.options.admin_resolve {
            Some(address) => AdminClient::resolved(&unit.network, url, identity, address)?,
            None => AdminClient::new(&unit.network, url, identity)?,
        };
        Ok(client.held_to(&self.fence))
    }
}

impl Context {
    /// What a retention process says of its record, where it says anything.
    pub(super) async fn record(&self, namespace: &str, policy: &str) -> Option<RetentionState> {
        let (host, port) = retention_host(policy, namespace);
        let http = probe::client(self.options.admin_resolve.map(|address| (host.as_str(), address))).ok()?;
        let port = self.options.admin_resolve.map_or(port, |address| address.port());
        probe::retention(&http, &format!("http://{host}:{port}{STATUS_PATH}")).await
    }

    /// The same of several.
    pub(super) async fn records<'a>(
        &self,
        namespace: &str,
        policies: impl Iterator<Item = &'a String>,
    ) -> BTreeMap<String, Option<RetentionState>> {
        let work = policies.map(|policy| async move { (policy.clone(), self.record(namespace, policy).await) }.boxed());
        together(work.collect()).await.into_iter().collect()
    }
}

/// Does what can be done at the same time, some of it at a time.
pub(super) async fn together<T>(work: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    stream::iter(work).buffer_unordered(CALLS).collect().await
}

/// An error of the API server in words that can stand in a status: its message, and nothing of what was sent.
pub(super) fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Api(status) => status.reason.clone(),
        other => other.to_string(),
    }
}

/// Whether the object is not there, or not any more.
pub(super) fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}
