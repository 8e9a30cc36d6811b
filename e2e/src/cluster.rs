//! A Kubernetes cluster that the tests may use: the one that `e2e/cluster` starts on this machine, or an existing one.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::{Outcome, Run, ensure, fail, repository, tool};

/// Which cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The one of `e2e/cluster`, with its state folder.
    Own(PathBuf),
    /// The one of KUBECONFIG. Its network and volumes are out of reach.
    Existing,
}

/// A cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    place: Place,
}

impl Cluster {
    /// As the environment says: `SOTTO_E2E_EXISTING_CLUSTER=1` with `KUBECONFIG`, or else `SOTTO_E2E_STATE`, the state folder
    /// of a running cluster of `e2e/cluster`.
    pub fn from_environment() -> Outcome<Self> {
        if std::env::var_os("SOTTO_E2E_EXISTING_CLUSTER").as_deref() == Some(OsStr::new("1")) {
            ensure(std::env::var_os("KUBECONFIG").is_some(), || {
                "SOTTO_E2E_EXISTING_CLUSTER=1 needs KUBECONFIG".into()
            })?;
            return Ok(Self { place: Place::Existing });
        }
        let Some(state) = std::env::var_os("SOTTO_E2E_STATE").map(PathBuf::from) else {
            return fail(
                "no cluster: run `make e2e-cluster`, or set SOTTO_E2E_STATE to the folder of one that `make cluster-up` started",
            );
        };
        ensure(state.join("ready").exists(), || {
            format!("{}: no cluster is ready there; run `make cluster-up`", state.display())
        })?;
        Ok(Self { place: Place::Own(state) })
    }

    /// Which one it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// A program that runs inside the cluster's network, resolving its names. Only in the own cluster.
    pub fn inside(&self, program: impl AsRef<OsStr>) -> Outcome<Run> {
        match &self.place {
            Place::Own(state) => Ok(Run::new(repository().join("e2e/cluster/in-cluster")).arg(state).arg(program)),
            Place::Existing => fail("the network of an existing cluster cannot be entered"),
        }
    }

    /// `kubectl` with this cluster's administrator.
    pub fn kubectl(&self) -> Run {
        self.client("kubectl")
    }

    /// `helm` with this cluster's administrator.
    pub fn helm(&self) -> Run {
        self.client("helm")
    }

    fn client(&self, name: &str) -> Run {
        let program = tool(name);
        self.inside(&program).unwrap_or_else(|_| Run::new(&program))
    }

    /// One object or a list as JSON: `get(&["pods", "--namespace", "chat"])`.
    pub fn get(&self, arguments: &[&str]) -> Outcome<Value> {
        get(&self.kubectl(), arguments)
    }

    /// The items of a list.
    pub fn list(&self, arguments: &[&str]) -> Outcome<Vec<Value>> {
        list(&self.kubectl(), arguments)
    }

    /// `kubectl apply` of a manifest given as JSON.
    pub fn apply(&self, object: &Value) -> Outcome<String> {
        apply(&self.kubectl(), object)
    }

    /// `kubectl wait` for a condition or deletion, with its own time limit.
    pub fn wait(&self, limit: Duration, arguments: &[&str]) -> Outcome<String> {
        wait(&self.kubectl(), limit, arguments)
    }

    /// The memory in use by a pod's processes, as the kubelet reports it (working set).
    pub fn memory(&self, namespace: &str, pod: &str) -> Outcome<u64> {
        let nodes = self.list(&["nodes"])?;
        for node in &nodes {
            let name = node["metadata"]["name"].as_str().unwrap_or_default();
            let stats = self
                .kubectl()
                .args(["get", "--raw"])
                .arg(format!("/api/v1/nodes/{name}/proxy/stats/summary?only_cpu_and_memory=true"))
                .json()?;
            for entry in stats["pods"].as_array().into_iter().flatten() {
                if entry["podRef"]["namespace"] == namespace && entry["podRef"]["name"] == pod {
                    let containers = entry["containers"].as_array().into_iter().flatten();
                    return Ok(containers.filter_map(|c| c["memory"]["workingSetBytes"].as_u64()).sum());
                }
            }
        }
        fail(format!("the kubelet knows no pod {pod} in {namespace}"))
    }
}

/// One object or a list as JSON, by this `kubectl`.
pub(crate) fn get(kubectl: &Run, arguments: &[&str]) -> Outcome<Value> {
    kubectl.clone().arg("get").args(arguments).args(["--output", "json"]).json()
}

/// The items of a list.
pub(crate) fn list(kubectl: &Run, arguments: &[&str]) -> Outcome<Vec<Value>> {
    match get(kubectl, arguments)?["items"].take() {
        Value::Array(items) => Ok(items),
        _ => fail(format!("kubectl get {}: no list", arguments.join(" "))),
    }
}

/// `kubectl apply` of a manifest given as JSON.
pub(crate) fn apply(kubectl: &Run, object: &Value) -> Outcome<String> {
    kubectl.clone().args(["apply", "--filename", "-"]).input(object.to_string()).output()
}

/// `kubectl wait` with its own time limit.
pub(crate) fn wait(kubectl: &Run, limit: Duration, arguments: &[&str]) -> Outcome<String> {
    let timeout = format!("--timeout={}s", limit.as_secs());
    kubectl.clone().arg("wait").args(arguments).arg(timeout).limit(limit + Duration::from_secs(10)).output()
}
