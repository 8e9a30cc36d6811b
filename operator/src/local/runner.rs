//! Goes round: read, admit, validate, build, apply, synchronise, status. What the operator's controllers do in a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::join_all;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use sotto_wire::admin::AdminState;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::LocalError;
use super::folder::Folder;
use super::leftovers;
use super::manifests::{Fingerprint, Problem, fingerprint, read_dir};
use super::network::{read_secrets, write_parts, write_secrets};
use super::objects::{Key, Objects};
use super::places::{places, process_name};
use super::ports::Ports;
use super::processes::{Processes, Spec, State, end_left_behind};
use super::snapshot::{INFO, RunnerInfo, Snapshot};
use super::status::{item, not_running, statuses};
use super::watch::DirWatch;
use crate::admin::{AdminClient, AdminError};
use crate::documents::Verified;
use crate::plan::{
    self, Facts, Finding, Health, Kind, NetworkPlan, ObjectId, Observed, Part, PeerFacts, Places, SecretId, Secrets,
    ValidNetwork, ValidTls, Validation, assess, build, ensure_secrets, introduce, validate,
};
use crate::reasons::Reason;
use crate::secret::SecretData;
use crate::sync::{Call, diff, execute};

/// Until all is ready, and afterwards, for what the relay knows better and for what somebody else has changed.
const SOON: Duration = Duration::from_millis(500);
const LATER: Duration = Duration::from_secs(3);

/// Runs until `shutdown`. `on_pass` gets what a person may want to see, after every pass.
pub(super) async fn run(
    folder: &Folder,
    dir: &Path,
    shutdown: CancellationToken,
    on_pass: &mut (dyn FnMut(&Snapshot) + Send),
) -> Result<(), LocalError> {
    let _lock = folder.lock()?;
    let info = RunnerInfo { pid: std::process::id(), dir: dir.display().to_string(), ..RunnerInfo::default() };
    folder.write_json(INFO, &info)?;
    end_left_behind(&folder.path("pids"), folder.root()).await;

    let changed = Arc::new(Notify::new());
    let program = std::env::current_exe().map_err(|e| LocalError::Start(e.to_string()))?;
    let mut runner = Runner {
        folder: folder.clone(),
        dir: dir.to_owned(),
        ports: folder.read_json("ports.json")?.unwrap_or_default(),
        objects: folder.read_json("objects.json")?.unwrap_or_default(),
        verified: Verified::default(),
        processes: Processes::new(program, changed.clone())?,
        clients: BTreeMap::new(),
        snapshot: Snapshot { items: Snapshot::read(folder)?.items, info },
        seen: Fingerprint::default(),
    };
    // First watch, then read: what is saved in between is not missed.
    let watch = DirWatch::start(dir);
    let saved = Arc::new(Notify::new());
    let watching = tokio::spawn({
        let saved = saved.clone();
        async move {
            loop {
                watch.changed().await;
                saved.notify_one();
            }
        }
    });
    runner.read();
    let mut result = Ok(());
    while result.is_ok() && !shutdown.is_cancelled() {
        // A pass is not interrupted: it writes files and talks to relays, with a bound on everything.
        result = runner.pass().await;
        on_pass(&runner.snapshot);
        let pause = if runner.snapshot.info.ready { LATER } else { SOON };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = saved.notified() => runner.read(),
            () = changed.notified() => {}
            // Not every file system tells of changes.
            () = sleep(pause) => if fingerprint(dir) != runner.seen { runner.read() },
        }
    }
    watching.abort();
    let stopped = runner.stop().await;
    result.and(stopped)
}

struct Runner {
    folder: Folder,
    dir: PathBuf,
    ports: Ports,
    objects: Objects,
    processes: Processes,
    clients: BTreeMap<(String, String), (SecretData, String, AdminClient)>,
    verified: Verified,
    snapshot: Snapshot,
    /// Of the manifests when they were read last.
    seen: Fingerprint,
}

/// A network on its way through a pass.
struct Running {
    namespace: String,
    network: ValidNetwork,
    places: Places,
    secrets: Secrets,
    plan: Option<NetworkPlan>,
    observed: Observed,
}

impl Running {
    fn find(&mut self, id: ObjectId, reason: Reason, message: String) {
        self.observed.findings.entry(id).or_default().push(Finding { reason, message });
    }

    fn process(&self, part: &str) -> String {
        process_name(&self.namespace, &self.network.name, part)
    }
}

impl Runner {
    /// Reads and admits the manifests.
    fn read(&mut self) {
        self.seen = fingerprint(&self.dir);
        let mut problems = match read_dir(&self.dir) {
            Ok(reading) => self.objects.take(reading, SystemTime::now()),
            // Somebody moves the folder about: everything goes on as it was admitted last.
            Err(error) => vec![self.problem(format!("cannot be read ({error}); everything goes on as it was"))],
        };
        if self.objects.is_empty() && problems.is_empty() {
            problems.push(
                self.problem(
                    "holds no objects of sotto.dev in .yaml, .yml or .json files; see examples/manifests".into(),
                ),
            );
        }
        self.snapshot.info.problems = problems;
    }

    /// Something wrong with the folder of manifests as a whole.
    fn problem(&self, message: String) -> Problem {
        Problem { file: self.dir.display().to_string(), line: None, object: None, field: None, message, fatal: true }
    }

    async fn pass(&mut self) -> Result<(), LocalError> {
        self.folder.write_json("objects.json", &self.objects)?;
        let now_ms = now_ms();
        let namespaces: BTreeSet<String> = self.objects.iter().map(|(key, _)| key.namespace.clone()).collect();
        let mut processes = BTreeMap::new();
        let mut seen = Vec::new();
        for namespace in namespaces {
            let objects = of_namespace(&self.objects, &namespace);
            let mut validation = validate(&objects);
            // Loopback needs no TLS: a relay of the local runner is reached in plain HTTP, whatever it is in a cluster.
            for network in validation.networks.values_mut() {
                network.relay.tls = ValidTls::Disabled;
            }
            let mut running = self.prepare(&namespace, &validation, now_ms).await?;
            plan_all(&mut running);
            self.synchronise(&mut running, now_ms).await;
            for one in &running {
                processes.extend(self.parts(one)?);
                leftovers::note(&self.folder, &namespace, &one.network)?;
            }
            seen.push((namespace, objects, validation, running));
        }
        self.clients.retain(|(namespace, network), _| {
            seen.iter().any(|(ns, .., running)| ns == namespace && running.iter().any(|r| &r.network.name == network))
        });
        self.processes.apply(processes).await;
        leftovers::collect(&self.folder, &self.objects)?;
        self.folder.write_json("ports.json", &self.ports)?;
        for (.., running) in &mut seen {
            for one in running {
                self.observe(one).await;
            }
        }
        self.tell(seen)
    }

    /// Secrets as they are, the state of relays that answer, and Secrets as they have to be.
    async fn prepare(
        &mut self,
        namespace: &str,
        validation: &Validation,
        now_ms: u64,
    ) -> Result<Vec<Running>, LocalError> {
        let mut begun = Vec::new();
        for network in validation.networks.values() {
            let places = places(&self.folder, &mut self.ports, namespace, network)?;
            let existing = read_secrets(&self.folder, namespace, network)?;
            let client = self.client(namespace, network, &places, existing.get(&SecretId::OperatorTls));
            begun.push((network.clone(), places, existing, client));
        }
        let states = join_all(begun.iter().map(|(.., client)| ask(client.as_ref()))).await;
        let mut running = Vec::new();
        for ((network, places, existing, _), (state, unreachable)) in begun.into_iter().zip(states) {
            let (secrets, failures) = ensure_secrets(&network, &places, &existing, state.as_ref(), now_ms);
            write_secrets(&self.folder, namespace, &network, &secrets)?;
            let observed = Observed { state, unreachable, ..Observed::default() };
            let mut one = Running { namespace: namespace.to_owned(), network, places, secrets, plan: None, observed };
            for failure in failures {
                let id = match failure.id {
                    SecretId::Retention(policy) => ObjectId::new(Kind::RetentionPolicy, policy),
                    SecretId::Invite(user) => ObjectId::new(Kind::User, user),
                    _ => ObjectId::new(Kind::Network, one.network.name.clone()),
                };
                one.find(id, Reason::SecretUnusable, failure.message);
            }
            running.push(one);
        }
        Ok(running)
    }

    /// The client of the network's relay, once the relay is ready.
    fn client(
        &mut self,
        namespace: &str,
        network: &ValidNetwork,
        places: &Places,
        identity: Option<&SecretData>,
    ) -> Option<Result<AdminClient, AdminError>> {
        if self.processes.state(&process_name(namespace, &network.name, "relay")) != Some(State::Ready) {
            return None;
        }
        let (identity, url) = (identity?, &places.relay.admin_url);
        let key = (namespace.to_owned(), network.name.clone());
        match self.clients.get(&key) {
            Some((known, at, client)) if known == identity && at == url => Some(Ok(client.clone())),
            _ => Some(AdminClient::new(&network.name, url, identity).inspect(|client| {
                self.clients.insert(key, (identity.clone(), url.clone(), client.clone()));
            })),
        }
    }

    /// Brings each relay that answered to what it should hold.
    async fn synchronise(&mut self, running: &mut [Running], now_ms: u64) {
        for one in running {
            let client = self.clients.get(&(one.namespace.clone(), one.network.name.clone())).map(|(.., c)| c.clone());
            let (Some(client), Some(state), Some(plan), Some(key)) =
                (client, &one.observed.state, &one.plan, one.secrets.policy_key())
            else {
                continue;
            };
            let calls = diff(&plan::wanted(plan, state, &key, now_ms, &self.verified), state);
            if calls.is_empty() {
                continue;
            }
            for outcome in execute(&client, calls).await {
                if let Err(error) = outcome.result {
                    let reason = match error {
                        AdminError::Refused { .. } => Reason::RelayRefused,
                        _ => Reason::RelayUnreachable,
                    };
                    let id = subject(&outcome.call, &one.network);
                    one.find(id, reason, error.to_string());
                }
            }
            (one.observed.state, one.observed.unreachable) = ask(Some(&Ok(client))).await;
        }
    }

    /// The processes of a network.
    fn parts(&self, one: &Running) -> Result<BTreeMap<String, Spec>, LocalError> {
        let Some(plan) = &one.plan else { return Ok(BTreeMap::new()) };
        // A retention process starts when the relay has its account, and stays when the relay is away for a moment.
        let start = |policy: &str| {
            let address = one.network.policies.get(policy).map(|p| p.address.local());
            let known = one.observed.state.as_ref().zip(address).is_some_and(|(s, a)| s.users.contains_key(a));
            known || self.processes.state(&one.process(&format!("retention-{policy}"))).is_some()
        };
        let (folder, name) = (&self.folder, &one.network.name);
        Ok(write_parts(folder, &one.namespace, plan, &one.places, &one.secrets, name, start)?)
    }

    /// Writes the status of all objects.
    fn tell(&mut self, seen: Vec<(String, plan::Objects, Validation, Vec<Running>)>) -> Result<(), LocalError> {
        let now = Timestamp::now();
        let before = statuses(&self.snapshot.items);
        let mut items: BTreeMap<&Key, Value> = BTreeMap::new();
        let mut healths = Vec::new();
        for (namespace, objects, validation, running) in seen {
            let observed = running.iter().map(|r| (r.network.name.clone(), r.observed.clone())).collect();
            let found = assess(&objects, &validation, &observed);
            for (key, entry) in self.objects.iter().filter(|(key, _)| key.namespace == namespace) {
                let Some(health) = kind(&key.kind).and_then(|k| found.get(&ObjectId::new(k, key.name.clone()))) else {
                    continue;
                };
                let network = match key.kind.as_str() {
                    "Network" => Some(key.name.as_str()),
                    _ => entry.object.pointer("/spec/networkRef/name").and_then(Value::as_str),
                };
                let one = running.iter().find(|r| Some(r.network.name.as_str()) == network);
                let facts = Facts {
                    network: one.map(|r| &r.network),
                    places: one.map(|r| &r.places),
                    secrets: one.map(|r| &r.secrets),
                    plan: one.and_then(|r| r.plan.as_ref()),
                    observed: one.map(|r| &r.observed),
                    image: None,
                };
                items.insert(key, item(key, entry, &before, health, facts, now));
                healths.push(health.clone());
            }
        }
        let fatal = self.snapshot.info.problems.iter().any(|p| p.fatal);
        self.snapshot.items = ordered(items);
        self.snapshot.info.reported = true;
        self.snapshot.info.ready = !fatal && healths.iter().all(Health::is_ready);
        self.snapshot.info.settled = !healths.iter().any(Health::is_progressing);
        self.snapshot.write(&self.folder)?;
        Ok(())
    }

    /// How the processes of a network do.
    async fn observe(&self, one: &mut Running) {
        let part = |name: &str, what: &str| match self.processes.state(name) {
            Some(State::Ready) => Part { ready: true, failing: false, message: format!("{what}: ready") },
            Some(State::Starting(why)) => Part { ready: false, failing: false, message: format!("{what}: {why}") },
            Some(State::Failed(why)) => Part { ready: false, failing: true, message: format!("{what}: {why}") },
            None => Part { ready: false, failing: false, message: format!("{what}: waits for the relay") },
        };
        one.observed.relay = part(&one.process("relay"), "relay");
        one.observed.gateway = one.network.federation.as_ref().map(|_| part(&one.process("gateway"), "gateway"));
        let process = |policy: &String| one.process(&format!("retention-{policy}"));
        let policies: Vec<String> = one.network.policies.keys().cloned().collect();
        let retention = policies.iter().map(|p| (p.clone(), part(&process(p), "retention process"))).collect();
        let records = policies.iter().map(async |p| Some((p.clone(), self.processes.record(&process(p)).await?)));
        let records = join_all(records).await.into_iter().flatten().collect();
        (one.observed.retention, one.observed.records) = (retention, records);
    }

    /// Stops the processes and says so.
    async fn stop(mut self) -> Result<(), LocalError> {
        self.processes.stop().await;
        not_running(&mut self.snapshot.items);
        self.snapshot.info.pid = 0;
        self.snapshot.info.ready = false;
        self.snapshot.write(&self.folder)?;
        Ok(())
    }
}

/// Plans every network; each with what it needs to know of the others.
fn plan_all(running: &mut [Running]) {
    let facts: BTreeMap<String, PeerFacts> = running
        .iter()
        .filter(|r| r.network.federation.is_some())
        .filter_map(|r| Some((r.network.name.clone(), introduce(&r.places, &r.secrets)?)))
        .collect();
    for one in running {
        one.plan = build(&one.network, &one.places, &one.secrets, &facts);
        let problems = one.plan.as_ref().map(|p| p.problems.clone()).unwrap_or_default();
        for (id, problem) in problems {
            one.find(id, problem.reason, problem.to_string());
        }
    }
}

/// What a relay holds, or why it does not say.
async fn ask(client: Option<&Result<AdminClient, AdminError>>) -> (Option<AdminState>, Option<String>) {
    match client {
        None => (None, None),
        Some(Err(error)) => (None, Some(error.to_string())),
        Some(Ok(client)) => match client.state().await {
            Ok(state) => (Some(state), None),
            Err(error) => (None, Some(error.to_string())),
        },
    }
}

/// The object that a call is about.
fn subject(call: &Call, network: &ValidNetwork) -> ObjectId {
    let own = || ObjectId::new(Kind::Network, network.name.clone());
    match call.subject() {
        ("User", local) => {
            let user = network.users.iter().find(|(_, u)| u.address.local() == local);
            let policy = network.policies.iter().find(|(_, p)| p.address.local() == local);
            user.map(|(name, _)| ObjectId::new(Kind::User, name.clone()))
                .or_else(|| policy.map(|(name, _)| ObjectId::new(Kind::RetentionPolicy, name.clone())))
                .unwrap_or_else(own)
        }
        ("SecurityGroup", name) if network.groups.contains_key(name) && !name.starts_with('_') => {
            ObjectId::new(Kind::SecurityGroup, name)
        }
        _ => own(),
    }
}

fn of_namespace(all: &Objects, namespace: &str) -> plan::Objects {
    use kube::ResourceExt;
    fn of<K: ResourceExt>(objects: Vec<K>, namespace: &str) -> Vec<Arc<K>> {
        objects.into_iter().filter(|o| o.namespace().as_deref() == Some(namespace)).map(Arc::new).collect()
    }
    plan::Objects {
        networks: of(all.typed(), namespace),
        groups: of(all.typed(), namespace),
        users: of(all.typed(), namespace),
        policies: of(all.typed(), namespace),
        ..plan::Objects::default()
    }
}

fn kind(word: &str) -> Option<Kind> {
    [Kind::Network, Kind::SecurityGroup, Kind::User, Kind::RetentionPolicy].into_iter().find(|k| k.as_str() == word)
}

/// Networks first, then as they depend on each other.
fn ordered(items: BTreeMap<&Key, Value>) -> Vec<Value> {
    let place = |key: &Key| super::manifests::KINDS.iter().position(|k| *k == key.kind);
    let mut items: Vec<(&Key, Value)> = items.into_iter().collect();
    items.sort_by_key(|(key, _)| (key.namespace.clone(), place(key), key.name.clone()));
    items.into_iter().map(|(_, item)| item).collect()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
