//! `kubectl sotto` against a real API server, with an operator, stand-in relays and simulated workloads.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::ByteString;
use serde_json::{Value, json};
use sotto_e2e::{
    ApiServer, Kubelet, Operator, Outcome, Relays, Run, Signal, ensure, fail, sotto_program, wait_until, workloads,
};

const PATIENCE: Duration = Duration::from_mins(2);

struct Scene {
    api: ApiServer,
    _workloads: workloads::Workloads,
    relays: Relays,
    operator: Operator,
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    let metadata = json!({"name": name, "namespace": "chat"});
    json!({"apiVersion": "sotto.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
}

fn network() -> Value {
    object(
        "Network",
        "acme",
        &json!({"domain": "chat.acme.example", "consentPopup": {"header": "Please", "body": "read this text"}}),
    )
}

fn group() -> Value {
    let spec = json!({"networkRef": {"name": "acme"}, "messaging": {"maxTtl": "7d", "quickResponses": ["on my way"]}});
    object("SecurityGroup", "staff", &spec)
}

fn policy() -> Value {
    let s3 = json!({"bucket": "records", "region": "eu-central-1", "credentialsSecretName": "aws"});
    object("RetentionPolicy", "records", &json!({"networkRef": {"name": "acme"}, "destination": {"s3": s3}}))
}

fn user(name: &str, group: &str) -> Value {
    let group = json!({"name": group});
    let spec = json!({"networkRef": {"name": "acme"}, "securityGroupRef": group, "firstName": "Firstname", "email": "x@mail.example"});
    object("User", name, &spec)
}

fn scene() -> Outcome<Scene> {
    let api = ApiServer::start()?;
    api.install_crds()?;
    api.namespace("chat")?;
    let workloads = workloads::simulate(&api)?;
    let relays = Relays::start(&api)?;
    let mut operator = Operator::start(&api, &[("SOTTO_ADMIN_RESOLVE", &relays.address().to_string())])?;
    operator.wait_ready()?;
    // As people apply it: with an annotation that repeats all of it.
    let aws = json!({"AWS_ACCESS_KEY_ID": "the-access-key-of-the-test", "AWS_SECRET_ACCESS_KEY": "the-secret-key-of-the-test"});
    api.apply(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "aws", "namespace": "chat"}, "stringData": aws}))?;
    for object in [network(), group(), policy(), user("alice", "staff"), user("bob", "nobody")] {
        api.apply(&object)?;
    }
    for name in ["network/acme", "securitygroup/staff", "user/alice"] {
        api.wait(PATIENCE, &["--for=condition=Ready", "--namespace", "chat", name])?;
    }
    api.wait(
        PATIENCE,
        &[
            "--for=jsonpath={.status.conditions[?(@.type==\"Ready\")].reason}=SecurityGroupNotFound",
            "-n",
            "chat",
            "user/bob",
        ],
    )?;
    Ok(Scene { api, _workloads: workloads, relays, operator })
}

impl Scene {
    fn kube(&self, arguments: &[&str]) -> Outcome<Run> {
        let run = Run::new(sotto_program()?).args(["kube", "-n", "chat"]).args(arguments);
        Ok(run.env("KUBECONFIG", self.api.kubeconfig()).limit(PATIENCE))
    }

    /// Runs it: exit code, standard output, standard error.
    fn told(&self, arguments: &[&str]) -> Outcome<(i32, String, String)> {
        let finished = self.kube(arguments)?.finish()?;
        Ok((finished.status.code().unwrap_or(-1), finished.stdout, finished.stderr))
    }
}

fn child<'a>(node: &'a Value, kind: &str) -> Outcome<&'a Value> {
    let found = node["children"].as_array().into_iter().flatten().find(|c| c["kind"] == kind);
    found.map_or_else(|| fail(format!("no {kind} below {node}")), Ok)
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn status_invites_and_resets() -> Outcome {
    let scene = scene()?;
    // By kubectl, which finds the program by its name.
    let folder = scene.api.folder().join("plugins");
    fs::create_dir(&folder)?;
    symlink(sotto_program()?, folder.join("kubectl-sotto"))?;
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let text = scene.api.kubectl().args(["sotto", "status", "-n", "chat"]).env("PATH", &path).output()?;
    for words in [
        "Network/acme  Ready",
        "StatefulSet/acme-relay  Ready  ready 1 of 1",
        "User/bob  Degraded: SecurityGroupNotFound",
        "there is no SecurityGroup nobody",
        "RetentionPolicy/records",
    ] {
        ensure(text.contains(words), || format!("no {words:?} in\n{text}"))?;
    }
    let version = scene.api.kubectl().args(["sotto", "--version"]).env("PATH", &path).output()?;
    ensure(version.starts_with("kubectl-sotto "), || version)?;

    let trees = scene.kube(&["status", "acme", "-o", "json"])?.json()?;
    let users = child(&trees[0], "Users")?;
    ensure(users["facts"]["total"] == "2" && users["facts"]["Ready"] == "1", || users.to_string())?;
    ensure(child(users, "User")?["reason"] == "SecurityGroupNotFound", || users.to_string())?;
    let (code, _, said) = scene.told(&["status", "nothing"])?;
    ensure(code == 1 && said.contains("no Network nothing in namespace chat"), || said)?;

    // The invite is what the Secret says, for who may read it.
    let secret = bytes(&scene.api.get(&["secret", "alice-invite", "-n", "chat"])?["data"]["url"])?;
    let invite = scene.kube(&["invite", "alice"])?.output()?;
    ensure(invite.starts_with("sotto://") && invite.trim().as_bytes() == secret, || "not the invite".into())?;
    let by_address = scene.kube(&["invite", "alice@chat.acme.example", "-o", "json"])?.json()?;
    ensure(by_address["invite"] == invite.trim() && by_address["user"] == "alice", || "another invite".into())?;
    let pending = scene.kube(&["invite", "--all-pending", "-o", "json"])?.json()?;
    ensure(pending.as_array().is_some_and(|p| p.len() == 1 && p[0]["invite"] == invite.trim()), || {
        "not one pending".into()
    })?;
    // A viewer sees the tree and no invite.
    let rules = json!([{"apiGroups": ["sotto.dev"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]);
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "viewer", "namespace": "chat"}, "rules": rules});
    scene.api.apply(&role)?;
    scene
        .api
        .kubectl()
        .args(["create", "rolebinding", "viewer", "--role=viewer", "--user=vera", "-n", "chat"])
        .output()?;
    let (code, text, said) = scene.told(&["status", "--as", "vera"])?;
    ensure(code == 0 && text.contains("Network/acme  Ready") && said.contains("list pods"), || {
        format!("{text}\n{said}")
    })?;
    let (code, text, said) = scene.told(&["invite", "alice", "--as", "vera"])?;
    ensure(code == 3 && text.is_empty() && said.contains("secrets \"alice-invite\" is forbidden"), || said)?;

    // A reset reaches the relay, and is waited for.
    scene.relays.edit("chat", "acme", |state| {
        if let Some(alice) = state.users.get_mut("alice") {
            alice.registered = true;
            alice.devices = 2;
        }
    });
    let done = scene.kube(&["reset", "devices", "alice", "--wait", "-o", "json"])?.json()?;
    ensure(done["done"] == true && done["name"] == "alice", || done.to_string())?;
    let word = done["word"].as_str().unwrap_or_default().to_owned();
    let relay = scene.relays.state("chat", "acme");
    ensure(relay.users["alice"].wanted.reset.devices.as_deref() == Some(&word), || {
        "the relay knows no such word".into()
    })?;
    let (code, _, said) = scene.told(&["reset", "lockout", "carol"])?;
    ensure(code == 1 && said.contains("carol"), || said)?;
    // Of a user that is not good nothing reaches the relay; it is said why.
    let (code, _, said) = scene.told(&["reset", "lockout", "bob", "--wait", "--timeout", "3s"])?;
    ensure(code == 4 && said.contains("SecurityGroupNotFound"), || said)?;
    let invite_again = scene.kube(&["reset", "invite", "alice", "--wait"])?.output()?;
    ensure(invite_again.contains("done"), || invite_again)?;
    wait_until("another invite", PATIENCE, || {
        let (code, text, said) = scene.told(&["invite", "alice"])?;
        ensure(code == 0 && text != invite, || said)
    })
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn policy_is_compared_and_an_object_is_paused() -> Outcome {
    let scene = scene()?;
    let folder = scene.api.folder().join("manifests/nested");
    fs::create_dir_all(&folder)?;
    let write =
        |name: &str, object: &Value| fs::write(folder.join(name), serde_json::to_string(object).unwrap_or_default());
    write("network.yaml", &network())?;
    write("group.yaml", &group())?;
    let folder_text = scene.api.folder().join("manifests").display().to_string();
    let diff = |more: &[&str]| scene.told(&[&["policy", "diff", &folder_text], more].concat());

    let (code, text, said) = diff(&[])?;
    ensure(code == 1 && text.contains("RetentionPolicy/records in chat: only in the cluster"), || {
        format!("{code} {text}{said}")
    })?;
    write("policy.yaml", &policy())?;
    // Files, cluster and relay agree.
    let agree = || {
        wait_until("all agree", PATIENCE, || {
            let (code, text, said) = diff(&[])?;
            ensure(code == 0 && text.is_empty() && said.contains("agree"), || format!("{code}: {text}{said}"))
        })
    };
    agree()?;
    // Files and cluster agree, and the relay has not got it yet.
    scene.operator.signal(Signal::STOP);
    let mut stricter = group();
    stricter["spec"]["lockoutThreshold"] = json!(3);
    scene.api.apply(&stricter)?;
    write("group.yaml", &stricter)?;
    let (code, text, said) = diff(&[])?;
    let wanted = "SecurityGroup/staff in chat: the relay does not enforce what the cluster has: Unseen";
    ensure(code == 1 && text.starts_with(wanted), || format!("{code}: {text}{said}"))?;
    scene.operator.signal(Signal::CONT);
    agree()?;
    let mut other = stricter;
    other["spec"]["messaging"]["maxTtl"] = json!("1d");
    write("group.yaml", &other)?;
    let (code, text, said) = diff(&[])?;
    let wanted = "SecurityGroup/staff in chat: 1 field differs (- cluster, + files)\n  - messaging.maxTtl: 7d\n  + messaging.maxTtl: 1d\n";
    ensure(code == 1 && text == wanted, || format!("{code}: {text}{said}"))?;
    let (code, text, said) = diff(&["-o", "json"])?;
    let report: Value = serde_json::from_str(&text)?;
    let staff = report["objects"].as_array().into_iter().flatten().find(|o| o["name"] == "staff");
    ensure(staff.is_some_and(|s| s["change"] == "Differs" && s["enforced"] == true), || {
        format!("{code}: {text}{said}")
    })?;
    other["spec"]["messaging"]["maxTtl"] = json!("never");
    write("group.yaml", &other)?;
    let (code, _, said) = diff(&[])?;
    ensure(code == 2 && said.contains("group.yaml") && said.contains("maxTtl"), || said)?;

    let annotation = || {
        let network = scene.api.get(&["network", "acme", "-n", "chat"])?;
        Ok::<_, sotto_e2e::Failure>(network["metadata"]["annotations"]["sotto.dev/paused"].clone())
    };
    let done = scene.kube(&["pause", "acme", "--wait", "-o", "json"])?.json()?;
    ensure(done["changed"] == true && annotation()? == "true", || done.to_string())?;
    let text = scene.kube(&["status"])?.output()?;
    ensure(text.contains("Network/acme  Paused"), || text)?;
    let done = scene.kube(&["pause", "network/acme", "-o", "json"])?.json()?;
    ensure(done["changed"] == false, || done.to_string())?;
    scene.kube(&["resume", "acme", "--wait"])?.output()?;
    ensure(annotation()?.is_null(), || "still paused".into())?;
    scene.kube(&["rotate", "acme", "--word", "w1", "--wait"])?.output()?;
    let rotated = scene.api.get(&["network", "acme", "-n", "chat"])?["status"]["rotated"].take();
    ensure(rotated == "w1", || rotated.to_string())
}

/// What a Secret holds.
fn bytes(value: &Value) -> Outcome<Vec<u8>> {
    Ok(serde_json::from_value::<ByteString>(value.clone())?.0)
}

/// Every file below a folder, as one text.
fn everything(folder: &Path, into: &mut Vec<u8>) -> Outcome {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            everything(&path, into)?;
        } else {
            into.extend(fs::read(&path)?);
        }
    }
    Ok(())
}

/// Every byte string of every Secret of the cluster, as it is, as it is encoded, and line by line; but for what is no secret and
/// stands in objects too: addresses, the word that asked for an invite, the public half of the policy key.
fn secrets(api: &ApiServer) -> Outcome<BTreeMap<Vec<u8>, String>> {
    let mut found = BTreeMap::new();
    for secret in api.list(&["secrets", "--all-namespaces"])? {
        for (key, value) in secret["data"].as_object().into_iter().flatten() {
            if ["address", "username", "reset", "policy.pub"].contains(&key.as_str()) {
                continue;
            }
            let bytes = bytes(value)?;
            let name = format!("{}, {key}", secret["metadata"]["name"]);
            found.insert(value.as_str().unwrap_or_default().as_bytes().to_vec(), format!("{name}, encoded"));
            for line in bytes.split(|b| *b == b'\n').filter(|line| !line.starts_with(b"-----")) {
                found.insert(line.to_vec(), format!("{name}, a line"));
            }
            found.insert(bytes, name);
        }
    }
    found.retain(|bytes, _| bytes.len() >= 8);
    Ok(found)
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn a_bundle_has_what_helps_and_no_secret() -> Outcome {
    let mut scene = scene()?;
    let api = &scene.api;
    let invite = scene.kube(&["invite", "alice"])?.output()?.trim().to_owned();
    // What a careless cluster may hold beside Secrets: a sidecar with a key in its environment, an event with an invite.
    let labels = json!({"app.kubernetes.io/managed-by": "sotto-operator", "sotto.dev/network": "acme", "sotto.dev/component": "relay"});
    let log = format!("the relay listens\ncareless: {invite}\nsecret_access_key=the-secret-key-of-the-test\n");
    let _kubelet = Kubelet::start(api, "node-1", &log, "the relay before its restart\n")?;
    let containers = json!([
        {"name": "relay", "image": "x", "args": ["relay"], "env": [{"name": "SOTTO_LOG_FORMAT", "value": "json"}]},
        {"name": "sidecar", "image": "y", "args": ["--key=the-secret-key-of-the-test"],
            "env": [{"name": "KEY", "value": "the-secret-key-of-the-test"}]},
    ]);
    let annotations = json!({"vendor.example/token": "the-access-key-of-the-test"});
    let metadata = json!({"name": "acme-relay-0", "namespace": "chat", "labels": labels, "annotations": annotations});
    api.controllers()?;
    wait_until("the account of pods", PATIENCE, || api.get(&["serviceaccount", "default", "-n", "chat"]).map(drop))?;
    api.apply(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": "node-1", "containers": containers, "automountServiceAccountToken": false}}))?;
    let restarted = json!({"status": {"containerStatuses": [{"name": "relay", "restartCount": 1, "ready": false, "image": "x", "imageID": "", "state": {}, "lastState": {}}]}});
    api.kubectl()
        .args([
            "patch",
            "pod",
            "acme-relay-0",
            "-n",
            "chat",
            "--subresource=status",
            "--type=merge",
            "-p",
            &restarted.to_string(),
        ])
        .output()?;
    let about = json!({"kind": "Pod", "name": "acme-relay-0", "namespace": "chat"});
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e1", "namespace": "chat"}, "type": "Warning",
        "reason": "Careless", "message": format!("an invite: {invite}"), "involvedObject": about});
    api.apply(&event)?;

    let file = api.folder().join("bundle.tar.gz");
    let gathered = scene.kube(&["must-gather", "--file", &file.display().to_string(), "-o", "json"])?.json()?;
    ensure(gathered["files"].as_u64().is_some_and(|n| n > 10), || gathered.to_string())?;
    let again = scene.kube(&["must-gather", "--file", &file.display().to_string()])?.refused()?;
    ensure(again.contains("exists"), || again)?;
    let folder = api.folder().join("bundle");
    fs::create_dir(&folder)?;
    Run::new("tar").args(["-xzf"]).arg(&file).arg("-C").arg(&folder).output()?;
    let mut all = Vec::new();
    everything(&folder, &mut all)?;

    let secrets = secrets(api)?;
    // The operator's own, invites, the account of the retention process, the customer's credentials.
    ensure(secrets.len() > 40, || format!("only {} strings to look for", secrets.len()))?;
    let inside: Vec<&String> =
        secrets.iter().filter(|(bytes, _)| contains(&all, bytes)).map(|(_, name)| name).collect();
    ensure(inside.is_empty(), || format!("in the bundle: {inside:?}"))?;
    for text in ["read this text", "on my way", "Firstname", "x@mail.example", "Please"] {
        ensure(!contains(&all, text.as_bytes()), || format!("{text:?} is in the bundle"))?;
    }
    // The search finds what is there.
    for words in [
        "acme-relay",
        "chat.acme.example",
        "SecurityGroupNotFound",
        "alice-invite",
        "Careless",
        "the relay listens",
        "the relay before its restart",
        "sidecar",
        "acme-policy-key",
        "gitVersion",
        "users.sotto.dev",
    ] {
        ensure(contains(&all, words.as_bytes()), || format!("{words:?} is not in the bundle"))?;
    }
    scene.operator.still_runs()
}
