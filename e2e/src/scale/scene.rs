//! An API server with what is around an operator: simulated workloads, stand-in relays, a record of what it asks for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Client;
use serde_json::json;
use tokio::runtime::Runtime;

use super::audit::{Audit, Request};
use super::objects::{Object, Size};
use super::process;
use super::seen::Seen;
use super::writer::{Call, make_all, ours};
use crate::kubernetes::{client, runtime};
use crate::workloads::{Workloads, simulate};
use crate::{ApiServer, Failure, Outcome, Relays};

/// Where the operators run, as far as names go.
pub(super) const NAMESPACE: &str = "sotto-system";
const ACCOUNT: &str = "operator";

/// Objects that the bench writes at the same time.
const WRITERS: usize = 16;

pub(super) struct Scene {
    pub(super) runtime: Runtime,
    pub(super) client: Client,
    pub(super) relays: Relays,
    pub(super) audit: Audit,
    pub(super) api: ApiServer,
    // Ends when dropped.
    _workloads: Workloads,
}

impl Scene {
    pub(super) fn new(size: &Size) -> Outcome<Self> {
        let audit = Audit::new(&[&format!("system:serviceaccount:{NAMESPACE}:{ACCOUNT}")])?;
        let flags = audit.flags();
        let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        // One client makes thousands of requests at a time here: fairness between clients is not what is measured.
        flags.push("--max-requests-inflight=2000");
        flags.push("--max-mutating-requests-inflight=1000");
        let api = ApiServer::with_flags(&flags)?;
        api.install_crds()?;
        api.namespace(NAMESPACE)?;
        for name in size.names() {
            api.namespace(&name)?;
        }
        api.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "bench-operator"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "namespace": NAMESPACE, "name": ACCOUNT}],
        }))?;
        api.apply(&json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": NAMESPACE},
        }))?;
        let runtime = runtime("bench")?;
        let client = runtime.block_on(client(&api.kubeconfig(), "sotto-bench"))?;
        let (workloads, relays) = (simulate(&api)?, Relays::start(&api)?);
        Ok(Self { runtime, client, relays, audit, api, _workloads: workloads })
    }

    /// A kubeconfig with the service account's own token, as in a pod.
    pub(super) fn operator_kubeconfig(&self) -> Outcome<PathBuf> {
        let create = ["create", "token", ACCOUNT, "--namespace", NAMESPACE, "--duration=24h"];
        let token = self.api.kubectl().args(create).output()?;
        let server = format!("https://127.0.0.1:{}", self.api.port());
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "api",
            "clusters": [{"name": "api", "cluster": {
                "server": server, "certificate-authority": self.api.folder().join("ca.crt"),
            }}],
            "users": [{"name": "user", "user": {"token": token.trim()}}],
            "contexts": [{"name": "api", "context": {"cluster": "api", "user": "user"}}],
        });
        let path = self.api.folder().join("operator.kubeconfig");
        std::fs::write(&path, config.to_string())?;
        Ok(path)
    }

    /// Watches our kinds.
    pub(super) fn watch(&self, kinds: &[(&'static str, &'static str)]) -> Arc<Seen> {
        let _guard = self.runtime.enter();
        Seen::start(&self.client, kinds)
    }

    /// Creates the objects.
    pub(super) fn create(&self, objects: Vec<Object>) -> Outcome {
        let calls = objects.into_iter().map(|o| Call::create(ours(o.plural, &o.namespace, ""), o.body)).collect();
        self.make(calls, false).map(drop)
    }

    /// Makes calls; answers how many failed.
    pub(super) fn make(&self, calls: Vec<Call>, may_fail: bool) -> Outcome<usize> {
        self.runtime.block_on(make_all(&self.client, calls, WRITERS, may_fail))
    }

    /// Waits until the operator has asked for nothing during `quiet`, and has done next to nothing; gives when that began, or
    /// nothing when it does not come to rest.
    pub(super) fn wait_quiet(&self, id: u32, quiet: Duration, limit: Duration) -> Outcome<Option<Instant>> {
        let begin = Instant::now();
        let (mut since, mut mark, mut cpu) = (Instant::now(), self.audit.mark()?, process::cpu(id)?);
        loop {
            std::thread::sleep(Duration::from_millis(250));
            let requests = self.audit.since(mark)?;
            let busy = process::cpu(id)? - cpu;
            let other = requests.iter().find(|request| !request.is_upkeep() && request.verb != "watch");
            // A tenth of a core is more than the answers of a thousand relays take.
            if other.is_some() || busy > since.elapsed().as_secs_f64() * 0.1 + 0.05 {
                (since, mark, cpu) = (Instant::now(), self.audit.mark()?, process::cpu(id)?);
            } else if since.elapsed() >= quiet {
                return Ok(Some(since));
            }
            if begin.elapsed() > limit {
                return Ok(None);
            }
        }
    }

    /// What was asked during a time of watching.
    pub(super) fn during(&self, time: Duration) -> Outcome<Vec<Request>> {
        let mark = self.audit.mark()?;
        std::thread::sleep(time);
        self.audit.since(mark)
    }

    /// Changes an object; gives its new generation.
    pub(super) fn change(&self, call: &Call) -> Outcome<i64> {
        let answer = self.runtime.block_on(call.make(&self.client))?;
        let object: serde_json::Value = serde_json::from_str(&answer)?;
        object["metadata"]["generation"].as_i64().ok_or_else(|| Failure("the answer has no generation".into()))
    }
}
