//! The Secrets of networks: read from the watch, made once, changed only where they still are as they were read.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sotto_crds::DeletionPolicy;
use tokio::time::timeout;

use super::context::{API_TIMEOUT, Context, is_gone, together};
use super::kept::{Compact, Kept as _};
use super::labels::{self, Component};
use super::queue::Unit;
use super::render::{Owner, labels_of};
use crate::failpoint;
use crate::plan::{SecretId, Secrets, ValidNetwork};
use crate::secret::{Ensured, SecretData};

/// Why a Secret is not as it should be. Says nothing of what is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    #[error("Secret {0} is there already and is not the operator's; rename or delete it")]
    Foreign(String),
    #[error("Secret {0} has changed in the meantime; it is read again")]
    Changed(String),
    #[error("Secret {name} cannot be written: {why}")]
    Refused { name: String, why: String },
    #[error("the API server has not answered in time")]
    Timeout,
}

impl SecretError {
    /// Whether it goes away by itself.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::Changed(_))
    }
}

/// Whose each Secret is, and whether it outlives its owner.
pub(super) struct Owners<'a> {
    pub(super) network: &'a Owner,
    pub(super) policies: &'a BTreeMap<String, Owner>,
    pub(super) users: &'a BTreeMap<String, Owner>,
}

impl Context {
    /// The Secrets of a network that are there.
    pub(super) fn existing_secrets(
        &self,
        namespace: &str,
        network: &str,
        ids: Vec<SecretId>,
    ) -> BTreeMap<SecretId, SecretData> {
        let read = |id: SecretId| {
            let secret = self.secrets.get(namespace, &id.object_name(network))?.typed::<Secret>()?;
            Some((id, contents(&secret)))
        };
        ids.into_iter().filter_map(read).collect()
    }

    /// Writes the Secrets that are new or changed, and removes the invites of users who need none any more.
    pub(super) async fn write_secrets(
        &self,
        namespace: &str,
        network: &ValidNetwork,
        secrets: &Secrets,
        owners: &Owners<'_>,
        relay_is_known: bool,
    ) -> Vec<(SecretId, SecretError)> {
        let work = secrets.iter().map(|(id, ensured)| {
            async move {
                let work = self.write_secret(namespace, network, id, ensured, owners);
                let error = timeout(API_TIMEOUT, work).await.unwrap_or(Err(SecretError::Timeout)).err()?;
                Some((id.clone(), error))
            }
            .boxed()
        });
        let mut errors: Vec<_> = together(work.collect()).await.into_iter().flatten().collect();
        if relay_is_known {
            errors.extend(self.remove_used_invites(namespace, network, secrets).await);
        }
        errors
    }

    async fn write_secret(
        &self,
        namespace: &str,
        network: &ValidNetwork,
        id: &SecretId,
        ensured: &Ensured,
        owners: &Owners<'_>,
    ) -> Result<(), SecretError> {
        let name = id.object_name(&network.name);
        let (component, policy, owner, keep) = match id {
            SecretId::Invite(user) => (Component::Invite, None, owners.users.get(user), false),
            SecretId::Retention(policy) => {
                let keep = network.policies.get(policy).is_some_and(|p| p.deletion == DeletionPolicy::Retain);
                (Component::Keys, Some(policy.as_str()), owners.policies.get(policy), keep)
            }
            SecretId::Authority | SecretId::PolicyKey | SecretId::RelaySecret => {
                (Component::Keys, None, Some(owners.network), network.deletion == DeletionPolicy::Retain)
            }
            // Certificates are made anew from the authority.
            SecretId::OperatorTls | SecretId::RelayTls | SecretId::GatewayTls => {
                (Component::Keys, None, Some(owners.network), false)
            }
        };
        // An object that is gone gets nothing made for it.
        let Some(owner) = owner else { return Ok(()) };
        let labels = labels_of(&network.name, component, policy);
        let references = if keep { json!([]) } else { json!([owner.reference()]) };
        let live = self.secrets.get(namespace, &name);
        match live {
            None => self.create_secret(namespace, &name, &labels, &references, &ensured.data).await,
            Some(live) => {
                let Some(live) = live.typed::<Secret>() else { return Err(SecretError::Changed(name)) };
                if !ensured.changed() && described(&live, &labels, &references) {
                    return Ok(());
                }
                self.change_secret(namespace, &live, &labels, &references, &ensured.data).await
            }
        }
    }

    /// Creates and nothing else: a Secret that is there is never overwritten with new keys.
    async fn create_secret(
        &self,
        namespace: &str,
        name: &str,
        labels: &Value,
        references: &Value,
        data: &SecretData,
    ) -> Result<(), SecretError> {
        let metadata = json!({"name": name, "namespace": namespace, "labels": labels, "ownerReferences": references});
        let metadata = serde_json::from_value(metadata).unwrap_or_default();
        let secret = Secret { metadata, type_: Some("Opaque".into()), data: Some(bytes(data)), ..Secret::default() };
        let params = PostParams { field_manager: Some(labels::MANAGER.into()), ..PostParams::default() };
        tracing::info!(%namespace, %name, "create Secret");
        let api = self.api::<Secret>(namespace);
        match api.create(&params, &secret).await {
            Ok(made) => {
                self.keep(made);
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                // Somebody else's, or made by ourselves a moment ago.
                let foreign = self.others.get(namespace, name).is_some();
                Err(if foreign { SecretError::Foreign(name.to_owned()) } else { SecretError::Changed(name.to_owned()) })
            }
            Err(error) => Err(refused(name, &error)),
        }
    }

    /// Knows a Secret as it was just written; the watch will tell the same.
    fn keep(&self, secret: Secret) {
        self.secrets.put(Arc::new(Compact::secret(secret)));
        failpoint::hit("secret");
    }

    async fn change_secret(
        &self,
        namespace: &str,
        live: &Secret,
        labels: &Value,
        references: &Value,
        data: &SecretData,
    ) -> Result<(), SecretError> {
        let name = live.name_any();
        let mut wanted = serde_json::to_value(bytes(data)).unwrap_or_default();
        for key in live.data.iter().flat_map(BTreeMap::keys).filter(|key| data.get(key).is_none()) {
            wanted[key] = Value::Null;
        }
        // With the version that was read: whoever was faster wins, and it is read again.
        let patch = json!({
            "metadata": {
                "resourceVersion": live.metadata.resource_version,
                "labels": labels,
                "ownerReferences": references,
            },
            "data": wanted,
        });
        tracing::info!(%namespace, %name, "change Secret");
        let params = PatchParams { field_manager: Some(labels::MANAGER.into()), ..PatchParams::default() };
        match self.api::<Secret>(namespace).patch(&name, &params, &Patch::Merge(&patch)).await {
            Ok(changed) => {
                self.keep(changed);
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {
                Err(SecretError::Changed(name))
            }
            Err(error) => Err(refused(&name, &error)),
        }
    }

    async fn remove_used_invites(
        &self,
        namespace: &str,
        network: &ValidNetwork,
        secrets: &Secrets,
    ) -> Vec<(SecretId, SecretError)> {
        let mut errors = Vec::new();
        for secret in self.secrets.of(&Unit::new(namespace, &network.name)) {
            let name = secret.name().to_owned();
            let Some(user) = name.strip_suffix("-invite") else { continue };
            let id = SecretId::Invite(user.to_owned());
            // Of users who are not good just now nothing is known.
            if !network.users.contains_key(user) || secrets.get(&id).is_some() || secret.is_deleting() {
                continue;
            }
            let component =
                secret.value()["metadata"]["labels"][labels::COMPONENT].as_str() == Some(Component::Invite.as_str());
            if !component {
                continue;
            }
            tracing::info!(%namespace, %name, "delete Secret: the invite is not needed any more");
            match self.api::<Secret>(namespace).delete(&name, &DeleteParams::default()).await {
                Err(error) if !is_gone(&error) => errors.push((id, refused(&name, &error))),
                _ => {}
            }
        }
        errors
    }
}

/// The reason alone: the message of the API server could quote what was sent.
fn refused(name: &str, error: &kube::Error) -> SecretError {
    let why = match error {
        kube::Error::Api(status) => format!("{} (HTTP {})", status.reason, status.code),
        _ => "the API server cannot be reached".to_owned(),
    };
    SecretError::Refused { name: name.to_owned(), why }
}

fn contents(secret: &Secret) -> SecretData {
    secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect()
}

fn bytes(data: &SecretData) -> BTreeMap<String, ByteString> {
    data.iter().map(|(key, value)| (key.to_owned(), ByteString(value.to_vec()))).collect()
}

/// Whether labels and owners are as wanted.
fn described(live: &Secret, labels: &Value, references: &Value) -> bool {
    let have = serde_json::to_value(&live.metadata).unwrap_or_default();
    let owners = have["ownerReferences"].as_array().map_or(0, Vec::len);
    super::diff::holds(&have["labels"], labels)
        && owners == references.as_array().map_or(0, Vec::len)
        && (owners == 0 || super::diff::holds(&have["ownerReferences"], references))
}
