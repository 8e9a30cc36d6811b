//! A real Kubernetes API server without nodes: etcd and kube-apiserver on ports of loopback that are their own, RBAC on, in a
//! folder that is gone afterwards. It needs no root and no network, and several run beside each other.
//!
//! ```no_run
//! # use sotto_e2e::{ApiServer, Operator, Outcome};
//! # fn test() -> Outcome {
//! let api = ApiServer::start()?;
//! api.install_crds()?;
//! api.kubectl().args(["create", "namespace", "chat"]).output()?;
//! api.kubectl().args(["get", "networks", "--as", "someone", "--namespace", "chat"]).refused()?;
//! let mut operator = Operator::start(&api, &[("SOTTO_WATCH_NAMESPACES", "chat")])?;
//! operator.wait_ready()?;
//! # Ok(())
//! # }
//! ```
//!
//! No controller runs, so a Deployment stays without pods, what is owned by a deleted object stays, and a namespace never ends
//! terminating. [`ApiServer::controllers`] starts the ones that see to the last two (and to what else has no need of pods).
//! All is ended when the value is dropped: keep it alive, also when a step of the test fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::pki::Authority;
use crate::{
    Background, Failure, Outcome, Run, cluster, ensure, fail, free_port, http_get, http_post, repository, tool,
};

/// How long a server may take to be ready, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often a start is tried: another process may take a port between our look and the server's start.
const STARTS: usize = 3;
/// Go collects garbage at a quarter of its usual rate: programs that live for seconds have memory and no time.
const GARBAGE: (&str, &str) = ("GOGC", "400");
/// What kube-controller-manager runs here: nothing that makes pods or says how they are.
const CONTROLLERS: &str = "garbage-collector-controller,namespace-controller,serviceaccount-controller,\
    root-ca-certificate-publisher-controller,clusterrole-aggregation-controller,\
    validatingadmissionpolicy-status-controller,persistentvolumeclaim-protection-controller";

/// A running API server.
pub struct ApiServer {
    folder: TempDir,
    etcd_port: u16,
    port: u16,
    flags: Vec<String>,
    apiserver: Mutex<Option<Background>>,
    controllers: Mutex<Option<Background>>,
    // Last, so that it is ended last.
    etcd: Mutex<Background>,
}

impl ApiServer {
    /// Starts one and waits until it is ready.
    pub fn start() -> Outcome<Self> {
        Self::with_flags(&[])
    }

    /// Starts one with further flags of kube-apiserver.
    pub fn with_flags(flags: &[&str]) -> Outcome<Self> {
        let mut last = None;
        for _ in 0..STARTS {
            match Self::start_once(flags) {
                Ok(server) => return Ok(server),
                Err(error) if error.0.contains("address already in use") => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| Failure("no start was tried".into())))
    }

    fn start_once(flags: &[&str]) -> Outcome<Self> {
        let folder = tempfile::Builder::new().prefix("sotto-api-").tempdir()?;
        let authority = Authority::new()?;
        fs::write(folder.path().join("ca.crt"), authority.pem())?;
        authority.write_leaf(folder.path(), "apiserver", "kube-apiserver", "system:nodes")?;
        authority.write_leaf(folder.path(), "admin", "admin", "system:masters")?;
        Authority::write_key(folder.path(), "tokens")?;
        let (etcd_port, peer_port, port) = (free_port()?, free_port()?, free_port()?);
        let etcd = Run::new(tool("etcd"))
            .env(GARBAGE.0, GARBAGE.1)
            .arg("--data-dir")
            .arg(folder.path().join("etcd"))
            .arg(format!("--listen-client-urls=http://127.0.0.1:{etcd_port}"))
            .arg(format!("--advertise-client-urls=http://127.0.0.1:{etcd_port}"))
            .arg(format!("--listen-peer-urls=http://127.0.0.1:{peer_port}"))
            .arg(format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer_port}"))
            .arg(format!("--initial-cluster=default=http://127.0.0.1:{peer_port}"))
            // Nothing here is worth waiting for a disk.
            .args(["--unsafe-no-fsync", "--log-level=warn"])
            .tied()
            .start()?;
        let server = Self {
            folder,
            etcd_port,
            port,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            apiserver: Mutex::new(None),
            controllers: Mutex::new(None),
            etcd: Mutex::new(etcd),
        };
        server.write_kubeconfig("admin", &json!({}))?;
        until("etcd", &mut lock(&server.etcd), || {
            let answer = http_get(etcd_port, "/health")?;
            ensure(answer.code == 200, || answer.body)
        })?;
        server.start_apiserver()?;
        Ok(server)
    }

    /// Its folder: put there what shall be gone with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The port of the API server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A kubeconfig of the cluster's administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig_path("admin")
    }

    /// A kubeconfig of this user with these groups, by impersonation. He has no rights but those that roles give him.
    pub fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> Outcome<PathBuf> {
        let name: String = user.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        // As the API server does for one who logs in by himself.
        let mut all = vec!["system:authenticated"];
        all.extend(groups);
        self.write_kubeconfig(&format!("user-{name}"), &json!({"as": user, "as-groups": all}))
    }

    /// A kubeconfig of this service account, which is made when it is missing (its namespace is not).
    pub fn kubeconfig_for_service_account(&self, namespace: &str, name: &str) -> Outcome<PathBuf> {
        self.apply(
            &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}),
        )?;
        let groups = ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}")];
        self.kubeconfig_for(&format!("system:serviceaccount:{namespace}:{name}"), &groups)
    }

    fn kubeconfig_path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.kubeconfig"))
    }

    /// The administrator's certificate, with what else stands in the user.
    fn write_kubeconfig(&self, name: &str, more: &Value) -> Outcome<PathBuf> {
        let at = |file: &str| self.folder.path().join(file);
        let mut user = json!({"client-certificate": at("admin.crt"), "client-key": at("admin.key")});
        if let (Some(user), Some(more)) = (user.as_object_mut(), more.as_object()) {
            user.extend(more.clone());
        }
        let server = format!("https://127.0.0.1:{}", self.port);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "api",
            "clusters": [{"name": "api", "cluster": {"server": server, "certificate-authority": at("ca.crt")}}],
            "users": [{"name": "user", "user": user}],
            "contexts": [{"name": "api", "context": {"cluster": "api", "user": "user"}}],
        });
        let path = self.kubeconfig_path(name);
        // JSON is YAML.
        fs::write(&path, config.to_string())?;
        Ok(path)
    }

    /// `kubectl` as the administrator; `.args(["--as", USER, "--as-group", GROUP])` acts as somebody else.
    pub fn kubectl(&self) -> Run {
        self.client("kubectl")
    }

    /// `helm` as the administrator.
    pub fn helm(&self) -> Run {
        self.client("helm")
    }

    /// A program that finds this API server by its environment.
    pub fn client(&self, name: &str) -> Run {
        let at = |folder: &str| self.folder.path().join(folder);
        // Their caches are told apart by address, and a port is used again by the next test.
        Run::new(tool(name))
            .env(GARBAGE.0, GARBAGE.1)
            .env("KUBECONFIG", self.kubeconfig())
            .env("KUBECACHEDIR", at("kube-cache"))
            .env("HELM_CACHE_HOME", at("helm-cache"))
            .env("HELM_CONFIG_HOME", at("helm-config"))
            .env("HELM_DATA_HOME", at("helm-data"))
    }

    /// One object or a list as JSON: `get(&["pods", "--namespace", "chat"])`.
    pub fn get(&self, arguments: &[&str]) -> Outcome<Value> {
        cluster::get(&self.kubectl(), arguments)
    }

    /// The items of a list.
    pub fn list(&self, arguments: &[&str]) -> Outcome<Vec<Value>> {
        cluster::list(&self.kubectl(), arguments)
    }

    /// `kubectl apply` of a manifest given as JSON; a `List` for several.
    pub fn apply(&self, object: &Value) -> Outcome<String> {
        cluster::apply(&self.kubectl(), object)
    }

    /// `kubectl wait` for a condition or deletion, with its own time limit.
    pub fn wait(&self, limit: Duration, arguments: &[&str]) -> Outcome<String> {
        cluster::wait(&self.kubectl(), limit, arguments)
    }

    /// Makes a namespace.
    pub fn namespace(&self, name: &str) -> Outcome {
        self.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).map(drop)
    }

    /// Installs our definitions and waits until they are served.
    pub fn install_crds(&self) -> Outcome {
        let folder = repository().join("crds");
        let mut names = Vec::new();
        let mut run = self.kubectl().args(["apply", "--server-side"]);
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                let text = fs::read_to_string(&path)?;
                let name = text.lines().find_map(|line| line.strip_prefix("  name: "));
                names.push(name.ok_or_else(|| Failure(format!("{}: no name", path.display())))?.to_owned());
                run = run.arg("--filename").arg(path);
            }
        }
        run.output()?;
        let definitions: Vec<String> = names.iter().map(|name| format!("crd/{name}")).collect();
        let mut arguments = vec!["--for=condition=Established"];
        arguments.extend(definitions.iter().map(String::as_str));
        self.wait(PATIENCE, &arguments).map(drop)
    }

    /// Starts the API server again after [`Self::stop_apiserver`]: the same etcd, the same port.
    pub fn start_apiserver(&self) -> Outcome {
        let mut slot = lock(&self.apiserver);
        ensure(slot.is_none(), || "the API server runs already".into())?;
        let at = |file: &str| self.folder.path().join(file);
        let flag = |name: &str, file: &str| format!("--{name}={}", at(file).display());
        let mut background = Run::new(tool("kube-apiserver"))
            .env(GARBAGE.0, GARBAGE.1)
            .arg(format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port))
            .arg(format!("--secure-port={}", self.port))
            .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"])
            .args(["--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=RBAC", "--allow-privileged=true"])
            .arg(flag("client-ca-file", "ca.crt"))
            .arg(flag("tls-cert-file", "apiserver.crt"))
            .arg(flag("tls-private-key-file", "apiserver.key"))
            .arg(flag("service-account-key-file", "tokens.pub"))
            .arg(flag("service-account-signing-key-file", "tokens.key"))
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            // Compaction is for a test to decide; connections end at once with the server.
            .args(["--etcd-compaction-interval=0", "--shutdown-delay-duration=0s"])
            .args(&self.flags)
            .tied()
            .start()?;
        until("kube-apiserver", &mut background, || {
            let ready = self.kubectl().args(["get", "--raw", "/readyz"]).finish()?;
            ensure(ready.status.success(), || ready.shown())
        })?;
        *slot = Some(background);
        Ok(())
    }

    /// Ends the API server at once, as a crash would; etcd stays.
    pub fn stop_apiserver(&self) -> Outcome {
        match lock(&self.apiserver).take() {
            Some(mut background) => {
                background.kill();
                Ok(())
            }
            None => fail("the API server does not run"),
        }
    }

    /// Starts kube-controller-manager with the controllers that need no pods: garbage collection, namespaces, service
    /// accounts, aggregated roles, checks of admission policies, protection of volume claims.
    pub fn controllers(&self) -> Outcome {
        let mut slot = lock(&self.controllers);
        if slot.is_some() {
            return Ok(());
        }
        let flag = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let mut background = self
            .client("kube-controller-manager")
            .arg(flag("kubeconfig", &self.kubeconfig()))
            .arg(flag("root-ca-file", &self.folder.path().join("ca.crt")))
            .arg(flag("service-account-private-key-file", &self.folder.path().join("tokens.key")))
            .arg(format!("--controllers={CONTROLLERS}"))
            .args(["--leader-elect=false", "--secure-port=0", "--authorization-always-allow-paths=/healthz"])
            .tied()
            .start()?;
        // It is at work when it has done something: each namespace gets this ConfigMap from it.
        until("kube-controller-manager", &mut background, || {
            self.get(&["configmap", "kube-root-ca.crt", "--namespace", "default"]).map(drop)
        })?;
        *slot = Some(background);
        Ok(())
    }

    /// Throws away etcd's history up to now. A watch that wants to go on from before is refused as expired (410), by the API
    /// server itself once it has been started anew.
    pub fn compact_etcd(&self) -> Outcome {
        let answer = |path: &str, body: &Value| {
            let answer = http_post(self.etcd_port, path, body)?;
            ensure(answer.code == 200, || format!("etcd: {path}: {}", answer.body))?;
            Ok::<Value, Failure>(serde_json::from_str(&answer.body)?)
        };
        let status = answer("/v3/maintenance/status", &json!({}))?;
        let revision = &status["header"]["revision"];
        answer("/v3/kv/compaction", &json!({"revision": revision, "physical": true})).map(drop)
    }

    /// The process numbers of what serves the API: kube-apiserver and etcd.
    pub fn ids(&self) -> Vec<u32> {
        let server = lock(&self.apiserver).as_ref().map(Background::id);
        server.into_iter().chain([lock(&self.etcd).id()]).collect()
    }

    /// What the API server has printed, for an error.
    pub fn log(&self) -> Outcome<String> {
        lock(&self.apiserver).as_mut().map_or_else(|| Ok(String::new()), Background::log)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a server; when it has ended, the error shows what it said.
fn until(what: &str, background: &mut Background, mut condition: impl FnMut() -> Outcome) -> Outcome {
    let begin = std::time::Instant::now();
    loop {
        let Err(reason) = condition() else { return Ok(()) };
        background.still_runs()?;
        if begin.elapsed() > PATIENCE {
            let shown = background.printed()?.shown();
            return fail(format!("{what}: not ready within {} s: {}\n{shown}", PATIENCE.as_secs(), reason.0));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
