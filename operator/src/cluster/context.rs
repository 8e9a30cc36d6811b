//! What every reconciliation works with.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::events::{Recorder, Reporter};
use kube::{Api, Client};
use sotto_crds::{Network, RetentionPolicy, SecurityGroup, User};

use super::Options;
use super::index::Index;
use super::labels::MANAGER;
use super::queue::Queue;
use crate::admin::{AdminClient, AdminError};
use crate::secret::SecretData;

/// How long one call to the API server may take, with the client's own repetitions.
pub(super) const API_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct Context {
    pub(super) client: Client,
    pub(super) options: Options,
    pub(super) queue: Queue,
    pub(super) recorder: Recorder,
    pub(super) networks: Index<Network>,
    pub(super) groups: Index<SecurityGroup>,
    pub(super) users: Index<User>,
    pub(super) policies: Index<RetentionPolicy>,
    pub(super) secrets: Index<Secret>,
    /// By kind, what the operator makes beside Secrets.
    pub(super) owned: BTreeMap<String, (ApiResource, Index<DynamicObject>)>,
    relays: Mutex<HashMap<String, (SecretData, AdminClient)>>,
    /// Unreadable objects of which the status has been written, with their generation.
    pub(super) unreadable: Mutex<HashMap<String, i64>>,
}

impl Context {
    pub(super) fn new(client: Client, options: Options) -> Self {
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
            options,
            queue: Queue::default(),
            networks: Index::new(false),
            groups: Index::new(false),
            users: Index::new(false),
            policies: Index::new(false),
            secrets: Index::new(true),
            owned: kinds.into_iter().map(|kind| (kind.kind.clone(), (kind, Index::new(true)))).collect(),
            relays: Mutex::default(),
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

    /// A client of a relay's admin interface; kept as long as the operator's certificate for it stays.
    pub(super) fn relay(
        &self,
        namespace: &str,
        network: &str,
        url: &str,
        identity: &SecretData,
    ) -> Result<AdminClient, AdminError> {
        let key = format!("{namespace}/{network}");
        let mut relays = self.relays.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, client)) = relays.get(&key)
            && known == identity
        {
            return Ok(client.clone());
        }
        let client = match self.options.admin_resolve {
            Some(address) => AdminClient::resolved(network, url, identity, address)?,
            None => AdminClient::new(network, url, identity)?,
        };
        relays.insert(key, (identity.clone(), client.clone()));
        Ok(client)
    }
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
