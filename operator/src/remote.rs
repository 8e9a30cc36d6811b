//! What administrators ask of a cluster from outside: the objects with their status, and invites.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sotto_crds::{Network, RetentionPolicy, SecurityGroup, User};
use tokio::time::timeout;

const LONGEST: Duration = Duration::from_secs(20);

/// Why the cluster gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// No kubeconfig, or not a good one.
    #[error("no cluster is known here ({0}); set KUBECONFIG, or name the state folder of a local runner with --state")]
    Config(String),
    /// The API server.
    #[error("the cluster does not answer as it should: {0}; try the same with kubectl")]
    Api(#[from] kube::Error),
    /// No answer.
    #[error("the cluster does not answer within {} seconds", LONGEST.as_secs())]
    Timeout,
    /// No such invite.
    #[error("{0}")]
    Invite(String),
}

/// Whose objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Of the kubeconfig's namespace.
    #[default]
    Default,
    /// Of this namespace.
    Namespace(String),
    /// Of all.
    All,
}

/// The objects of the four kinds with their status.
pub async fn objects(scope: &Scope) -> Result<Vec<Value>, RemoteError> {
    timeout(LONGEST, async {
        let (client, default) = connect().await?;
        let mut items = Vec::new();
        list::<Network>(&client, &default, scope, &mut items).await?;
        list::<SecurityGroup>(&client, &default, scope, &mut items).await?;
        list::<User>(&client, &default, scope, &mut items).await?;
        list::<RetentionPolicy>(&client, &default, scope, &mut items).await?;
        Ok(items)
    })
    .await
    .map_err(|_| RemoteError::Timeout)?
}

/// The invite of a user who has not registered: by name of the object or by address.
pub async fn invite(scope: &Scope, user: &str, network: Option<&str>) -> Result<String, RemoteError> {
    timeout(LONGEST, async {
        let (client, default) = connect().await?;
        let users = api::<User>(&client, &default, scope).list(&ListParams::default()).await?;
        let meant = users.items.iter().filter(|u| {
            let address = u.status.as_ref().and_then(|s| s.address.as_deref());
            (u.name_any() == user || address == Some(user)) && network.is_none_or(|n| u.spec.network_ref.name == n)
        });
        let meant: Vec<&User> = meant.collect();
        let [found] = meant.as_slice() else {
            return Err(RemoteError::Invite(if meant.is_empty() {
                format!("there is no User {user} here; see `sotto status`, or name the namespace with -n")
            } else {
                format!(
                    "there are {} users {user}; name the network with --network or the namespace with -n",
                    meant.len()
                )
            }));
        };
        let namespace = found.namespace().unwrap_or(default);
        let Some(secret) = found.status.as_ref().and_then(|s| s.invite_secret_name.as_deref()) else {
            return Err(RemoteError::Invite(format!(
                "{user} has no open invite: joined already (spec.reset.invite makes a new one), suspended, or not ready yet; see `sotto status`"
            )));
        };
        let data = Api::<Secret>::namespaced(client, &namespace).get(secret).await?.data.unwrap_or_default();
        let url = data.get(crate::invites::URL).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
        url.ok_or_else(|| {
            RemoteError::Invite(format!("the Secret {secret} has no `url`; delete it, and the operator makes it anew"))
        })
    })
    .await
    .map_err(|_| RemoteError::Timeout)?
}

pub(crate) async fn connect() -> Result<(Client, String), RemoteError> {
    let config = kube::Config::infer().await.map_err(|e| RemoteError::Config(e.to_string()))?;
    let namespace = config.default_namespace.clone();
    Ok((Client::try_from(config)?, namespace))
}

fn api<K>(client: &Client, default: &str, scope: &Scope) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    match scope {
        Scope::Default => Api::namespaced(client.clone(), default),
        Scope::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
        Scope::All => Api::all(client.clone()),
    }
}

async fn list<K>(client: &Client, default: &str, scope: &Scope, items: &mut Vec<Value>) -> Result<(), RemoteError>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Serialize,
{
    for object in api::<K>(client, default, scope).list(&ListParams::default()).await?.items {
        let mut value = serde_json::to_value(object).unwrap_or_default();
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        items.push(value);
    }
    Ok(())
}
