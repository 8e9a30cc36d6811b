//! Which cluster, which namespace, and as whom: as kubectl takes it.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource};
use serde_json::Value;
use tokio::time::timeout;

use crate::error::KubeError;

/// One call takes this long at most; the client tries again by itself where the server is busy.
pub(crate) const LONGEST: Duration = Duration::from_mins(1);
/// How many objects one answer has.
const PAGE: u32 = 500;

/// What the command line says of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Another file than KUBECONFIG says.
    pub kubeconfig: Option<PathBuf>,
    /// Another context than the file's current one.
    pub context: Option<String>,
    /// Another namespace than the context's.
    pub namespace: Option<String>,
    /// All namespaces.
    pub all_namespaces: bool,
    /// Impersonation: the user.
    pub user: Option<String>,
    /// Impersonation: the groups.
    pub groups: Vec<String>,
}

/// A cluster that can be asked.
#[derive(Clone)]
pub struct Cluster {
    /// Makes the calls.
    pub client: Client,
    /// The namespace that is meant where one has to be.
    pub namespace: String,
    /// Whether all namespaces are meant where several can be.
    pub all: bool,
}

impl Access {
    /// Reads the kubeconfig. Nothing is asked of the cluster yet.
    pub async fn connect(&self) -> Result<Cluster, KubeError> {
        let config_error = |e: &dyn std::fmt::Display| KubeError::Config(e.to_string());
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let mut config = match &self.kubeconfig {
            Some(file) => {
                let kubeconfig = Kubeconfig::read_from(file).map_err(|e| config_error(&e))?;
                Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|e| config_error(&e))?
            }
            None if self.context.is_some() => Config::from_kubeconfig(&options).await.map_err(|e| config_error(&e))?,
            None => Config::infer().await.map_err(|e| config_error(&e))?,
        };
        if self.user.is_some() {
            config.auth_info.impersonate.clone_from(&self.user);
        }
        if !self.groups.is_empty() {
            if config.auth_info.impersonate.is_none() {
                return Err(KubeError::Usage("--as-group needs --as: groups go with a user".into()));
            }
            config.auth_info.impersonate_groups = Some(self.groups.clone());
        }
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|e| config_error(&e))?;
        Ok(Cluster { client, namespace, all: self.all_namespaces })
    }
}

impl Cluster {
    /// The calls of a kind in the namespace that is meant.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The calls of a kind, as values: an object that is not as it should be stops nobody.
    pub(crate) fn values(&self, kind: &ApiResource, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, kind),
            None => Api::all_with(self.client.clone(), kind),
        }
    }

    /// The namespace to list in; none for all of them.
    pub(crate) fn scope(&self) -> Option<&str> {
        (!self.all).then_some(self.namespace.as_str())
    }

    /// Visits every object of a kind, page by page, so that ten thousand of them are never in memory at once.
    pub(crate) async fn each(
        &self,
        kind: &ApiResource,
        namespace: Option<&str>,
        selector: Option<&str>,
        mut visit: impl FnMut(Value),
    ) -> Result<(), KubeError> {
        let what = format!("list {}", kind.plural);
        let api = self.values(kind, namespace);
        let mut params = ListParams { label_selector: selector.map(str::to_owned), ..ListParams::default() };
        params.limit = Some(PAGE);
        loop {
            let page = within(&what, api.list(&params)).await?;
            params.continue_token = page.metadata.continue_.clone().filter(|token| !token.is_empty());
            for object in page.items {
                let mut value = serde_json::to_value(object).unwrap_or_default();
                // Lists leave it out for each item.
                value["kind"] = Value::from(kind.kind.as_str());
                value["apiVersion"] = Value::from(kind.api_version.as_str());
                visit(value);
            }
            if params.continue_token.is_none() {
                return Ok(());
            }
        }
    }

    /// All objects of a kind.
    pub(crate) async fn list(
        &self,
        kind: &ApiResource,
        namespace: Option<&str>,
        selector: Option<&str>,
    ) -> Result<Vec<Value>, KubeError> {
        let mut items = Vec::new();
        self.each(kind, namespace, selector, |item| items.push(item)).await?;
        Ok(items)
    }
}

/// The call, within its time.
pub(crate) async fn within<T>(what: &str, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, KubeError> {
    match timeout(LONGEST, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(KubeError::api(what, &error)),
        Err(_) => Err(KubeError::Unreachable {
            what: what.to_owned(),
            why: format!("no answer within {} seconds", LONGEST.as_secs()),
        }),
    }
}
