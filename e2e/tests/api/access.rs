//! Who may do what, asked of a real API server by impersonation: people by the chart's ClusterRoles, the operator by its account.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sotto_e2e::{ApiServer, Outcome, Run, ensure, wait_until};

use crate::chart::{CHAT, PATIENCE, SYSTEM, install, nothing, object, until_refused, until_taken};

/// The operator's account.
const OPERATOR: &str = "system:serviceaccount:sotto-system:sotto-operator";

/// Which of these a user may do: `verb group/resource[/subresource] [namespace]`, one answer each.
fn allowed(api: &ApiServer, user: &str, asked: &[String]) -> Outcome<BTreeSet<String>> {
    let groups = ["system:authenticated", "system:serviceaccounts"];
    let review = |question: &String| {
        let mut words = question.split(' ');
        let verb = words.next().unwrap_or_default();
        let mut path = words.next().unwrap_or_default().split('/');
        let (group, resource, sub) = (path.next(), path.next(), path.next());
        let mut attributes = json!({"verb": verb, "group": group, "resource": resource});
        if let Some(sub) = sub {
            attributes["subresource"] = sub.into();
        }
        if let Some(namespace) = words.next() {
            attributes["namespace"] = namespace.into();
        }
        json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": groups[..=usize::from(user.contains(':'))], "resourceAttributes": attributes},
        })
    };
    let list = json!({"apiVersion": "v1", "kind": "List", "items": asked.iter().map(review).collect::<Vec<_>>()});
    let create = api.kubectl().args(["create", "--output", "json", "--filename", "-"]).input(list.to_string());
    // One document after the other.
    let items: Vec<Value> =
        serde_json::Deserializer::from_str(&create.output()?).into_iter().collect::<Result<_, _>>()?;
    ensure(items.len() == asked.len(), || format!("{} answers to {} questions", items.len(), asked.len()))?;
    let yes = |(question, answer): (&String, &Value)| (answer["status"]["allowed"] == true).then(|| question.clone());
    Ok(asked.iter().zip(&items).filter_map(yes).collect())
}

/// `words` × `resources`, in a namespace.
fn each(verbs: &[&str], resources: &[&str], namespace: &str) -> Vec<String> {
    let pairs = verbs.iter().flat_map(|verb| resources.iter().map(move |resource| (verb, resource)));
    pairs.map(|(verb, resource)| format!("{verb} {resource} {namespace}")).collect()
}

fn bind(api: &ApiServer, user: &str, role: &str) -> Outcome {
    api.kubectl()
        .args(["create", "rolebinding", user, "--namespace", CHAT])
        .arg(format!("--clusterrole={role}"))
        .arg(format!("--user={user}"))
        .output()
        .map(drop)
}

const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];
const ALL: [&str; 4] =
    ["sotto.dev/networks", "sotto.dev/securitygroups", "sotto.dev/users", "sotto.dev/retentionpolicies"];
const STATUS: [&str; 4] = [
    "sotto.dev/networks/status",
    "sotto.dev/securitygroups/status",
    "sotto.dev/users/status",
    "sotto.dev/retentionpolicies/status",
];

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn people_may_do_what_their_role_says_and_no_more() -> Outcome {
    let api = ApiServer::start()?;
    // They fill in the aggregated roles.
    api.controllers()?;
    install(&api, &json!({}))?;
    api.namespace(CHAT)?;
    let people = [&ALL[1], &ALL[2]].map(|name| *name);
    let networks = [ALL[0], ALL[1], ALL[2]];
    // Each role as it is bound by itself, and as part of what Kubernetes has for a namespace.
    let roles: [(&str, &str, &[&str]); 8] = [
        ("nobody", "", &[]),
        ("viewer", "view", &[]),
        ("own-viewer", "sotto-view", &[]),
        ("editor", "edit", &people),
        ("own-editor", "sotto-edit", &people),
        ("admin", "admin", &networks),
        ("own-admin", "sotto-network-admin", &networks),
        ("officer", "sotto-compliance-officer", &[ALL[3]]),
    ];
    let mut asked = each(&READ, &ALL, CHAT);
    asked.extend(each(&WRITE, &ALL, CHAT));
    asked.extend(each(&["update", "patch"], &STATUS, CHAT));
    asked.extend(each(&["get", "create"], &ALL, "elsewhere"));
    for (user, role, _) in roles.iter().filter(|(_, role, _)| !role.is_empty()) {
        bind(&api, user, role)?;
    }
    for (user, role, writes) in roles {
        let mut wanted: BTreeSet<String> = each(&WRITE, writes, CHAT).into_iter().collect();
        if !role.is_empty() {
            wanted.extend(each(&READ, &ALL, CHAT));
        }
        wait_until(&format!("the rights of {user}"), PATIENCE, || {
            let may = allowed(&api, user, &asked)?;
            ensure(may == wanted, || {
                format!(
                    "{user} ({role}): other than wanted: {:?}",
                    may.symmetric_difference(&wanted).collect::<Vec<_>>()
                )
            })
        })?;
    }
    // Requests, and not only questions.
    let apply = |user: &str, object: &Value| {
        let run = api.kubectl().args(["apply", "--as", user, "--as-group", "system:authenticated", "--filename", "-"]);
        run.input(object.to_string())
    };
    let reference = json!({"networkRef": {"name": "acme"}});
    let policy = object(
        "RetentionPolicy",
        "records",
        &json!({"networkRef": {"name": "acme"}, "destination": {"volume": {"storage": {"size": "1Gi"}}}}),
    );
    apply("admin", &object("Network", "acme", &json!({"domain": "chat.acme.example"}))).output()?;
    apply("editor", &object("User", "alice", &reference)).output()?;
    for user in ["viewer", "editor", "admin", "own-admin"] {
        let said = apply(user, &policy).refused()?;
        ensure(said.contains("retentionpolicies.sotto.dev") && said.contains("forbidden"), || said)?;
    }
    apply("officer", &policy).output()?;
    let said = apply("officer", &object("User", "bob", &reference)).refused()?;
    ensure(said.contains("users.sotto.dev") && said.contains("forbidden"), || said)?;
    // Who administers a namespace cannot make a compliance officer of anybody.
    let said = api
        .kubectl()
        .args(["create", "rolebinding", "trick", "--namespace", CHAT, "--clusterrole=sotto-compliance-officer"])
        .args(["--user=admin", "--as", "admin", "--as-group", "system:authenticated"])
        .refused()?;
    ensure(said.contains("is attempting to grant RBAC permissions not currently held"), || said)
}

/// `kubectl` as the operator.
fn operator(api: &ApiServer, arguments: &[&str]) -> Run {
    let groups = ["system:authenticated", "system:serviceaccounts", "system:serviceaccounts:sotto-system"];
    let run = api.kubectl().args(arguments).args(["--as", OPERATOR]);
    groups.into_iter().fold(run, |run, group| run.args(["--as-group", group]))
}

fn secret(namespace: &str, labelled: bool) -> Value {
    let labels = if labelled { json!({"app.kubernetes.io/managed-by": "sotto-operator"}) } else { json!({}) };
    let name = if labelled { "acme-ca" } else { "other" };
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "stringData": {"key": "value"},
    })
}

fn binding(namespace: &str, name: &str, role: &Value, subject: &Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "sotto-operator"}},
        "roleRef": role, "subjects": [subject],
    })
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn the_operator_has_secrets_only_where_networks_are() -> Outcome {
    let api = ApiServer::start()?;
    install(&api, &json!({}))?;
    for namespace in [CHAT, "bank"] {
        api.namespace(namespace)?;
        api.apply(&secret(namespace, false))?;
    }
    api.apply(&object("Network", "acme", &json!({"domain": "chat.acme.example"})))?;
    let secrets = |namespace: &str| each(&["list", "watch", "create", "patch", "delete"], &["/secrets"], namespace);
    let pods =
        |namespace: &str| each(&["create", "patch", "delete"], &["apps/statefulsets", "/serviceaccounts"], namespace);
    let mut asked = Vec::new();
    for namespace in [CHAT, "bank", SYSTEM, "kube-system"] {
        asked.extend(secrets(namespace));
        asked.extend(pods(namespace));
    }
    asked.extend(each(&["impersonate"], &["/users", "/groups", "/serviceaccounts"], ""));
    asked.extend(each(&["create", "patch", "escalate"], &["rbac.authorization.k8s.io/clusterroles"], ""));
    asked.extend(each(&["create", "patch"], &["rbac.authorization.k8s.io/clusterrolebindings"], ""));
    asked.extend(each(&["create", "delete", "deletecollection"], &ALL, CHAT));
    asked.extend(each(&["create"], &["/pods", "/pods/exec", "/serviceaccounts/token"], CHAT));
    let may = allowed(&api, OPERATOR, &asked)?;
    ensure(may.is_empty(), || format!("before it has bound anything, the operator may {may:?}"))?;

    // What it may bind: its own role, to itself, under its one name, where a Network is.
    let role =
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "sotto-operator-namespace"});
    let itself = json!({"kind": "ServiceAccount", "name": "sotto-operator", "namespace": SYSTEM});
    let name = "sotto-operator-secrets";
    let apply = |object: &Value| {
        operator(&api, &["apply", "--server-side", "--field-manager=sotto-operator", "--filename", "-"])
            .input(object.to_string())
    };
    let create = |object: &Value| operator(&api, &["create", "--filename", "-"]).input(object.to_string());
    let somebody = json!({"kind": "User", "name": "mallory", "apiGroup": "rbac.authorization.k8s.io"});
    let twin = json!({"kind": "ServiceAccount", "name": "sotto-operator", "namespace": CHAT});
    let unbound = |namespace: &str, name: &str| {
        let run = api.kubectl().args(["delete", "rolebinding", name, "--namespace", namespace, "--ignore-not-found"]);
        run.output().map(drop)
    };
    let nowhere = create(&binding("bank", name, &role, &itself));
    until_refused("a namespace without a Network", "no params found", &nowhere, || unbound("bank", name))?;
    for (wrong, word) in [
        (binding(CHAT, "another", &role, &itself), "no RoleBinding but sotto-operator-secrets"),
        (binding(CHAT, name, &role, &somebody), "nobody but itself"),
        (binding(CHAT, name, &role, &twin), "nobody but itself"),
    ] {
        let undo = || unbound(CHAT, wrong["metadata"]["name"].as_str().unwrap_or_default());
        until_refused(word, word, &create(&wrong), undo)?;
    }
    for other in ["cluster-admin", "admin", "view", "sotto-operator"] {
        let mut role = role.clone();
        role["name"] = other.into();
        until_refused(other, "orbidden", &create(&binding(CHAT, name, &role, &itself)), || unbound(CHAT, name))?;
    }
    until_taken("the right binding", &create(&binding(CHAT, name, &role, &itself)))?;
    let wanted: BTreeSet<String> = secrets(CHAT).into_iter().chain(pods(CHAT)).collect();
    wait_until("rights in the Network's namespace", PATIENCE, || {
        let may = allowed(&api, OPERATOR, &asked)?;
        ensure(may == wanted, || format!("{:?}", may.symmetric_difference(&wanted).collect::<Vec<_>>()))
    })?;
    // Requests: its own Secrets and nobody else's.
    let said = operator(&api, &["get", "secrets", "--namespace", "bank"]).refused()?;
    ensure(said.contains("forbidden"), || said)?;
    apply(&secret(CHAT, true)).output()?;
    let word = "app.kubernetes.io/managed-by=sotto-operator";
    // By requests that read nothing: it has no right to.
    let labelled = |labels: Value| {
        apply(&json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "other", "namespace": CHAT, "labels": labels},
        }))
    };
    let without = || {
        let run = api.kubectl().args(["label", "secret", "other", "a-", "--namespace", CHAT]);
        run.output().map(drop)
    };
    until_refused("a Secret of somebody", word, &labelled(json!({"a": "b"})), without)?;
    let taken = labelled(json!({"app.kubernetes.io/managed-by": "sotto-operator"}));
    until_refused("a Secret taken over", word, &taken, nothing)?;
    let delete = operator(&api, &["delete", "secret", "other", "--namespace", CHAT, "--wait=false"]);
    until_refused("a Secret deleted", word, &delete, nothing)?;
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "free", "namespace": CHAT}});
    until_refused("an account without label", word, &create(&account), nothing)?;
    operator(&api, &["delete", "secret", "acme-ca", "--namespace", CHAT, "--wait=false"]).output()?;
    operator(&api, &["delete", "rolebinding", name, "--namespace", CHAT]).output()?;
    wait_until("the end of the rights", PATIENCE, || {
        let may = allowed(&api, OPERATOR, &asked)?;
        ensure(may.is_empty(), || format!("{may:?}"))
    })?;
    // Others are not bound by the operator's rules.
    api.kubectl().args(["delete", "secret", "other", "--namespace", CHAT]).output().map(drop)
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn with_a_list_of_namespaces_the_operator_has_no_right_elsewhere() -> Outcome {
    let api = ApiServer::start()?;
    for namespace in [CHAT, "chat-test", "bank"] {
        api.namespace(namespace)?;
    }
    install(&api, &json!({"operator": {"watchNamespaces": [CHAT, "chat-test"]}}))?;
    let rights = |namespace: &str| {
        let mut rights = each(&["list", "watch"], &ALL, namespace);
        rights.extend(each(
            &["list", "watch", "create", "patch", "delete"],
            &["/secrets", "apps/statefulsets"],
            namespace,
        ));
        rights
    };
    let mut asked = rights("bank");
    asked.extend(rights(SYSTEM));
    asked.extend(each(&["list", "watch"], &ALL, ""));
    asked.extend(each(&["create", "bind"], &["rbac.authorization.k8s.io/rolebindings"], CHAT));
    let mut wanted: BTreeSet<String> = rights(CHAT).into_iter().collect();
    wanted.extend(rights("chat-test"));
    asked.extend(wanted.iter().cloned());
    wait_until("the operator's rights", PATIENCE, || {
        let may = allowed(&api, OPERATOR, &asked)?;
        ensure(may == wanted, || format!("{:?}", may.symmetric_difference(&wanted).collect::<Vec<_>>()))
    })?;
    // Its Lease, and no other.
    let lease = |name: &str| {
        let arguments = ["get", "lease", name, "--namespace", SYSTEM];
        operator(&api, &arguments).finish().map(|finished| finished.stderr)
    };
    ensure(lease("sotto-operator")?.contains("not found"), || "the Lease cannot be read".into())?;
    ensure(lease("another")?.contains("forbidden"), || "another Lease can be read".into())
}

/// The workloads' accounts have no right at all: the policy key is in a Secret that no relay can ask for.
#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn the_accounts_of_relays_read_nothing() -> Outcome {
    let api = ApiServer::start()?;
    install(&api, &json!({}))?;
    api.namespace(CHAT)?;
    let mut key = secret(CHAT, true);
    key["metadata"]["name"] = "acme-policy-key".into();
    api.apply(&key)?;
    for part in ["acme-relay", "acme-gateway", "acme-records-retention"] {
        let kubeconfig = api.kubeconfig_for_service_account(CHAT, part)?;
        let user = format!("system:serviceaccount:{CHAT}:{part}");
        let mut asked =
            each(&READ, &["/secrets", "/configmaps", "/pods", "rbac.authorization.k8s.io/rolebindings"], CHAT);
        asked.extend(each(&WRITE, &["/secrets", "/configmaps", "/pods", "/serviceaccounts/token"], CHAT));
        asked.extend(each(&READ, &ALL, CHAT));
        asked.extend(each(&WRITE, &ALL, CHAT));
        let may = allowed(&api, &user, &asked)?;
        ensure(may.is_empty(), || format!("{part} may {may:?}"))?;
        let read = api.kubectl().args(["get", "secret", "acme-policy-key", "--namespace", CHAT]);
        let said = read.env("KUBECONFIG", kubeconfig).refused()?;
        ensure(said.contains("forbidden"), || said)?;
    }
    // In no namespace but the own one does anything exist for it to bind.
    let bound = api.list(&["rolebindings", "--all-namespaces", "--selector", "app.kubernetes.io/name=sotto"])?;
    let subjects: Vec<&Value> = bound.iter().flat_map(|b| b["subjects"].as_array().into_iter().flatten()).collect();
    ensure(subjects.iter().all(|s| s["name"] == "sotto-operator"), || format!("{subjects:?} have rights"))?;
    Ok(())
}
