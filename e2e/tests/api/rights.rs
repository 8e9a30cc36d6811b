//! The operator at work with the rights of the chart and no others: it is refused nothing, and has no right that it does not use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use sotto_e2e::right::Right;
use sotto_e2e::{ApiServer, Failure, Operator, Outcome, Relays, ensure, objects, repository, wait_until, workloads};

use crate::chart::{CHAT, SYSTEM, helm_upgrade, install};

const PATIENCE: Duration = Duration::from_mins(2);
const OPERATOR: &str = "system:serviceaccount:sotto-system:sotto-operator";

/// What it may and does not do here, and why it may all the same.
const NOT_HERE: [(&str, &[&str]); 5] = [
    // Only where a Network asks for them; their definitions are not here.
    ("gateway.networking.k8s.io/httproutes", &["get", "list", "watch", "create", "patch", "delete"]),
    ("gateway.networking.k8s.io/tlsroutes", &["get", "list", "watch", "create", "patch", "delete"]),
    ("cert-manager.io/certificates", &["get", "list", "watch", "create", "patch", "delete"]),
    ("networking.k8s.io/ingresses", &["get", "create", "patch", "delete"]),
    // The API server asks for this right when an owner reference is written, and not in a request of its own.
    ("sotto.dev/finalizers", &["update"]),
];

/// group/resource[/subresource] → verbs.
type Rights = BTreeMap<String, BTreeSet<String>>;

/// The requests of the operator, from the API server's audit log: group/resource[/subresource] → verbs, and what was forbidden.
fn requests(log: &str) -> Outcome<(Rights, Vec<String>)> {
    let (mut used, mut forbidden) = (Rights::new(), Vec::new());
    // The last line may not be whole yet.
    for line in log.lines().filter(|line| line.ends_with('}')) {
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        if event["impersonatedUser"]["username"] != OPERATOR {
            continue;
        }
        let word = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let mut resource = format!("{}/{}", word("/objectRef/apiGroup"), word("/objectRef/resource"));
        if !word("/objectRef/subresource").is_empty() {
            resource.push('/');
            resource.push_str(word("/objectRef/subresource"));
        }
        if event["responseStatus"]["code"] == 403 {
            forbidden.push(format!("{} {resource} {}", word("/verb"), word("/objectRef/namespace")));
        }
        used.entry(resource).or_default().insert(word("/verb").to_owned());
    }
    ensure(!used.is_empty(), || "the audit log knows no request of the operator".into())?;
    Ok((used, forbidden))
}

/// A server that keeps a log of requests, with the chart, and all that an operator needs to bring networks about.
struct Place {
    _workloads: workloads::Workloads,
    relays: Relays,
    api: ApiServer,
    _logs: tempfile::TempDir,
    log: std::path::PathBuf,
}

impl Place {
    fn start(values: &Value) -> Outcome<Self> {
        let logs = tempfile::tempdir()?;
        let (policy, log) = (logs.path().join("policy.yaml"), logs.path().join("audit.log"));
        let rules = json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata"}],
        });
        fs::write(&policy, rules.to_string())?;
        let flags =
            [format!("--audit-policy-file={}", policy.display()), format!("--audit-log-path={}", log.display())];
        let api = ApiServer::with_flags(&flags.each_ref().map(String::as_str))?;
        api.controllers()?;
        api.namespace(CHAT)?;
        install(&api, values)?;
        Ok(Self { _workloads: workloads::simulate(&api)?, relays: Relays::start(&api)?, api, _logs: logs, log })
    }

    /// The operator by its own account, with the environment that the chart's Deployment has.
    fn operator(&self) -> Outcome<Operator> {
        let deployment = self.api.get(&["deployment", "sotto-operator", "--namespace", SYSTEM])?;
        let environment = &deployment["spec"]["template"]["spec"]["containers"][0]["env"];
        let mut variables: Vec<(String, String)> = environment
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|e| Some((e["name"].as_str()?.to_owned(), e["value"].as_str()?.to_owned())))
            .collect();
        variables.push(("POD_NAME".into(), "sotto-operator-0".into()));
        variables.push(("POD_NAMESPACE".into(), SYSTEM.into()));
        variables.push(("SOTTO_ADMIN_RESOLVE".into(), self.relays.address().to_string()));
        let variables: Vec<(&str, &str)> = variables.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let kubeconfig = self.api.kubeconfig_for_service_account(SYSTEM, "sotto-operator")?;
        Operator::start_as(&self.api, &kubeconfig, &variables)
    }

    fn requests(&self) -> Outcome<(Rights, Vec<String>)> {
        requests(&fs::read_to_string(&self.log)?)
    }

    fn right(&self) -> Right<'_> {
        Right::new(self.api.kubectl(), CHAT, Some(&self.relays))
    }

    fn patch(&self, kind: &str, name: &str, patch: &Value) -> Outcome {
        let run = self.api.kubectl().args(["patch", kind, name, "--namespace", CHAT, "--type=merge", "--patch"]);
        run.arg(patch.to_string()).output().map(drop)
    }

    /// The life of networks: made, changed, in part switched off, deleted with all that was theirs.
    fn life(&self, operator: &mut Operator) -> Outcome {
        let manifests = repository().join("examples/manifests");
        let kubectl = |verb: &str| self.api.kubectl().args([verb, "--namespace", CHAT]);
        kubectl("apply").arg("--filename").arg(&manifests).output()?;
        self.right().wait(PATIENCE, || operator.still_runs())?;
        // Bob has joined: his invite goes. A Secret of somebody else is named: it is looked for.
        self.relays.edit(CHAT, "acme", |state| {
            if let Some(bob) = state.users.get_mut("bob") {
                (bob.registered, bob.devices) = (true, 1);
            }
        });
        kubectl("create").args(["secret", "generic", "aws", "--from-literal=AWS_ACCESS_KEY_ID=test"]).output()?;
        let metrics =
            json!({"cloudWatch": {"enabled": true, "region": "eu-central-1", "credentialsSecretName": "aws"}});
        self.patch("network", "acme", &json!({"spec": {"relay": {"port": 8443}, "metrics": metrics}}))?;
        wait_until("the end of bob's invite", PATIENCE, || {
            operator.still_runs()?;
            kubectl("get").args(["secret", "bob-invite"]).refused().map(drop)
        })?;
        self.patch("user", "alice", &json!({"spec": {"reset": {"invite": "again"}}}))?;
        self.patch("retentionpolicy", "acme-records", &json!({"spec": {"enabled": false}}))?;
        for network in ["acme", "beta"] {
            self.patch("network", network, &json!({"spec": {"federation": {"mode": "Disabled", "peers": null}}}))?;
        }
        self.right().wait(PATIENCE, || operator.still_runs())?;
        for (kind, names) in [("network", ["acme", "beta"].as_slice()), ("retentionpolicy", &["acme-records"])] {
            for name in names {
                self.patch(kind, name, &json!({"spec": {"deletionPolicy": "Delete"}}))?;
            }
        }
        self.right().wait(PATIENCE, || operator.still_runs())?;
        kubectl("delete").args(["users,retentionpolicies", "--all"]).limit(PATIENCE).output()?;
        kubectl("delete").args(["securitygroups,networks", "--all"]).limit(PATIENCE).output()?;
        wait_until("the end of all that was the networks'", PATIENCE, || {
            operator.still_runs()?;
            let kinds = "secrets,configmaps,services,statefulsets,deployments,persistentvolumeclaims,serviceaccounts";
            let label = "app.kubernetes.io/managed-by=sotto-operator";
            let left = self.api.list(&[kinds, "--namespace", CHAT, "--selector", label])?;
            ensure(left.is_empty(), || {
                let names: Vec<String> =
                    left.iter().map(|o| format!("{}/{}", o["kind"], o["metadata"]["name"])).collect();
                format!("there still are {names:?}")
            })
        })
    }
}

/// What the chart's roles for the operator allow: group/resource[/subresource] → verbs.
fn granted(place: &Place, values: &Value) -> Outcome<Rights> {
    let rendered = helm_upgrade(&place.api, values).args(["--dry-run=client", "--output", "json"]).json()?;
    let manifest = rendered["manifest"].as_str().unwrap_or_default();
    let mut granted = Rights::new();
    for role in objects(manifest)? {
        let name = role["metadata"]["name"].as_str().unwrap_or_default();
        if !matches!(role["kind"].as_str(), Some("Role" | "ClusterRole")) || !name.contains("-operator") {
            continue;
        }
        let words = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
        };
        for rule in role["rules"].as_array().into_iter().flatten() {
            for group in words(&rule["apiGroups"]) {
                for resource in words(&rule["resources"]) {
                    granted.entry(format!("{group}/{resource}")).or_default().extend(words(&rule["verbs"]));
                }
            }
        }
    }
    ensure(granted.len() > 10, || format!("{granted:?}"))?;
    Ok(granted)
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn in_the_listed_namespaces_it_is_refused_nothing_and_uses_what_it_has() -> Outcome {
    let values = json!({"operator": {"watchNamespaces": [CHAT]}});
    let place = Place::start(&values)?;
    let mut operator = place.operator()?;
    operator.wait_ready()?;
    let lived = place.life(&mut operator);
    let (used, forbidden) = place.requests()?;
    ensure(forbidden.is_empty(), || format!("forbidden: {forbidden:?}"))?;
    lived.map_err(|Failure(why)| Failure(format!("{why}\n{}", operator.log().unwrap_or_default())))?;
    let mut idle = Vec::new();
    for (resource, verbs) in granted(&place, &values)? {
        let mut done = used.get(&resource).cloned().unwrap_or_default();
        // Server-side apply of what is not there yet is a patch that needs both.
        if done.contains("patch") {
            done.insert("create".into());
        }
        for verb in verbs.difference(&done) {
            let excused = NOT_HERE.iter().any(|(name, verbs)| {
                let same = resource == *name
                    || name.split_once('/').is_some_and(|(group, part)| {
                        resource.starts_with(&format!("{group}/")) && resource.ends_with(&format!("/{part}"))
                    });
                same && verbs.contains(&verb.as_str())
            });
            if !excused {
                idle.push(format!("{verb} {resource}"));
            }
        }
    }
    ensure(idle.is_empty(), || format!("rights that are not used: {idle:?}\nused: {used:?}"))
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn in_all_namespaces_it_has_rights_where_networks_are_and_gives_them_back() -> Outcome {
    let place = Place::start(&json!({}))?;
    let mut operator = place.operator()?;
    operator.wait_ready()?;
    // What it gives back last belongs to what is counted.
    let lived = place.life(&mut operator).and_then(|()| {
        wait_until("the end of its rights, with the last Network", PATIENCE, || {
            let left = place.api.list(&["rolebindings", "--namespace", CHAT])?;
            ensure(left.is_empty(), || format!("{} bindings are left", left.len()))
        })
    });
    let (used, forbidden) = place.requests()?;
    lived.map_err(|Failure(why)| {
        let log = operator.log().unwrap_or_default();
        Failure(format!("{why}\nforbidden: {forbidden:?}\n{}", &log[log.len().saturating_sub(4000)..]))
    })?;
    // A moment passes from the binding to its effect; nothing else is refused, and nothing anywhere else.
    let early = |refusal: &&String| {
        !["rbac.authorization.k8s.io/rolebindings chat", "/secrets chat"].iter().any(|what| refusal.ends_with(what))
    };
    let forbidden: Vec<&String> = forbidden.iter().filter(early).collect();
    ensure(forbidden.is_empty(), || format!("forbidden: {forbidden:?}"))?;
    let bound = used.get("rbac.authorization.k8s.io/rolebindings").cloned().unwrap_or_default();
    let wanted = BTreeSet::from(["create".to_owned(), "delete".to_owned()]);
    ensure(bound == wanted, || format!("of RoleBindings it used {bound:?}"))
}
