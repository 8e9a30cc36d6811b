//! The operator's rights over Secrets: where `secrets_role` is set, it has them in the namespaces that have a Network, and nowhere else.

use std::sync::Arc;

use k8s_openapi::api::rbac::v1::{RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, PostParams};
use tokio::time::timeout;

use super::context::{API_TIMEOUT, Context, is_gone, words};
use super::labels::{MANAGED_BY, MANAGER};

/// The name of the binding in each namespace.
const BINDING: &str = "sotto-operator-secrets";

impl Context {
    /// Whether the Secrets of a namespace that has a Network are known; begins to look at them where that has not been done.
    pub(super) async fn secrets_are_known(self: &Arc<Self>, namespace: &str) -> Result<bool, String> {
        let Some(role) = &self.options.secrets_role else { return Ok(true) };
        if let Some(known) = self.secret_watches.state(namespace) {
            return Ok(known);
        }
        let api = self.api::<RoleBinding>(namespace);
        let params = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
        match timeout(API_TIMEOUT, api.create(&params, &self.binding(role))).await {
            Ok(Ok(_)) => tracing::info!(%namespace, "rights over the Secrets of a namespace with networks"),
            Ok(Err(kube::Error::Api(status))) if status.is_already_exists() => {}
            Ok(Err(error)) => return Err(format!("RoleBinding {BINDING} cannot be made: {}", words(&error))),
            Err(_) => return Err("the API server has not answered in time".to_owned()),
        }
        Ok(self.secret_watches.begin(self, namespace))
    }

    fn binding(&self, role: &str) -> RoleBinding {
        RoleBinding {
            metadata: ObjectMeta {
                name: Some(BINDING.to_owned()),
                labels: Some([(MANAGED_BY.to_owned(), MANAGER.to_owned())].into()),
                ..ObjectMeta::default()
            },
            role_ref: RoleRef {
                api_group: Some("rbac.authorization.k8s.io".to_owned()),
                kind: "ClusterRole".to_owned(),
                name: role.to_owned(),
            },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".to_owned(),
                name: self.options.service_account.clone().unwrap_or_default(),
                namespace: self.options.namespace.clone(),
                ..Subject::default()
            }]),
        }
    }

    /// Gives the rights in a namespace back: it has no Network any more.
    pub(super) async fn leave(&self, namespace: &str) {
        if self.options.secrets_role.is_none() || !self.secret_watches.end(self, namespace) {
            return;
        }
        let api = self.api::<RoleBinding>(namespace);
        match timeout(API_TIMEOUT, api.delete(BINDING, &DeleteParams::default())).await {
            Ok(Err(error)) if !is_gone(&error) => {
                tracing::warn!(%namespace, error = words(&error), "RoleBinding {BINDING} stays");
            }
            Err(_) => {
                tracing::warn!(%namespace, "RoleBinding {BINDING} stays: the API server has not answered in time");
            }
            Ok(_) => tracing::info!(%namespace, "no network left: rights over its Secrets given back"),
        }
    }
}
