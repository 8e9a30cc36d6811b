//! An asynchronous client of Kubernetes for the stand-ins; tests themselves use kubectl.

use std::path::Path;

use axum::http::{HeaderValue, header};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::runtime::{Builder, Runtime};

use crate::{Failure, Outcome};

/// A runtime of two threads; what runs in it ends when it is dropped.
pub(crate) fn runtime(name: &str) -> Outcome<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(2).thread_name(name).enable_all().build()?)
}

/// A client under a name of its own, by which the API server's records can tell it from others.
pub(crate) async fn client(kubeconfig: &Path, name: &'static str) -> Outcome<Client> {
    let why = |error: &dyn std::fmt::Display| Failure(format!("{}: {error}", kubeconfig.display()));
    let file = Kubeconfig::read_from(kubeconfig).map_err(|e| why(&e))?;
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(file, &options).await.map_err(|e| why(&e))?;
    config.headers.push((header::USER_AGENT, HeaderValue::from_static(name)));
    Client::try_from(config).map_err(|e| why(&e))
}
