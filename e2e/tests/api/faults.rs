//! What goes wrong around an operator, and that all is right afterwards, with no leftovers.
//!
//! Every test ends with the same check (`sotto_e2e::right`): each custom resource Ready at its generation, what the operator made
//! the same as before, nothing left over, nothing that still changes. Longer versions: `make faults` (`SOTTO_LONG_FAULTS=1`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sotto_e2e::relays::Mode;
use sotto_e2e::right::{self, Picture};
use sotto_e2e::{Failure, Operator, Outcome, Signal, ensure, wait_until};

use crate::site::{PATIENCE, Site, with_log};

/// Whether there is time for the long versions.
pub(crate) fn long() -> bool {
    std::env::var_os("SOTTO_LONG_FAULTS").is_some_and(|value| value == "1")
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn the_api_server_goes_away_and_comes_back_without_its_history() -> Outcome {
    let site = Site::start()?;
    let mut operator = site.candidate("chat", "one", &[])?;
    let before = site.settle("chat", &mut operator)?;
    let calls = site.relays.all_calls();

    // Longer than leadership lasts. The networks run on: nobody takes anything from their relays.
    let away = Duration::from_secs(if long() { 120 } else { 10 });
    site.api.stop_apiserver()?;
    let stopped = Instant::now();
    let status = operator.wait_end(PATIENCE)?;
    ensure(!status.success(), || format!("the leader ended well without an API server: {status}"))?;
    // In its place Kubernetes starts another one, which waits.
    let mut operator = site.candidate("chat", "two", &[])?;
    while stopped.elapsed() < away {
        operator.still_runs()?;
        thread::sleep(Duration::from_millis(200));
    }
    ensure(operator.http("/healthz")?.code == 200, || "it is not healthy without an API server".into())?;
    ensure(operator.http("/readyz")?.code == 503, || "it is ready without an API server".into())?;
    site.api.compact_etcd()?;
    site.api.start_apiserver()?;
    let back = Instant::now();
    site.right("chat")
        .wait(PATIENCE, || site.keep("chat", "two", &mut operator))
        .map_err(|e| with_log(&e, &mut operator))?;
    site.settles_as("chat", &mut operator, &before)?;
    eprintln!("all right {:.1} s after the API server was back", back.elapsed().as_secs_f64());
    let after = site.relays.all_calls();
    ensure(after.writes == calls.writes, || format!("relays were written to: {calls:?} {after:?}"))?;

    // And it works: a change arrives.
    patch(&site, "network/acme", &json!({"spec": {"displayName": "Acme again"}}))?;
    site.right("chat").wait(PATIENCE, || site.keep("chat", "two", &mut operator)).map(drop)
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn watches_that_have_expired_are_begun_anew() -> Outcome {
    let site = Site::start()?;
    let mut operator = site.operator("chat")?;
    let before = site.settle("chat", &mut operator)?;

    // What happens while it cannot listen, and of which there is no history afterwards: made, changed, deleted, a drift.
    operator.signal(Signal::STOP);
    let kubectl =
        |arguments: &[&str]| site.api.kubectl().args(arguments).args(["--namespace", "chat"]).output().map(drop);
    kubectl(&["delete", "user", "bob", "--wait=false"])?;
    let user = json!({
        "apiVersion": "sotto.dev/v1alpha1", "kind": "User", "metadata": {"name": "dora", "namespace": "chat"},
        "spec": {"networkRef": {"name": "acme"}, "firstName": "Dora", "lastName": "Dean"},
    });
    site.api.apply(&user)?;
    kubectl(&["delete", "service", "acme-relay"])?;
    patch(&site, "network/acme", &json!({"spec": {"displayName": "Acme anew"}}))?;
    site.api.stop_apiserver()?;
    site.api.compact_etcd()?;
    site.api.start_apiserver()?;
    operator.signal(Signal::CONT);

    let after = site.right("chat").wait(PATIENCE, || operator.still_runs()).map_err(|e| with_log(&e, &mut operator))?;
    right::holds(&after, "Service/acme-relay")?;
    right::holds(&after, "relay acme: user dora")?;
    ensure(!after.contains_key("relay acme: user bob") && !after.contains_key("User/bob"), || {
        "bob is still there".into()
    })?;
    // Back to how it was: but for the display name the picture is the same.
    kubectl(&["delete", "user", "dora", "--wait=false"])?;
    site.apply("chat")?;
    let after = site.right("chat").wait(PATIENCE, || operator.still_runs()).map_err(|e| with_log(&e, &mut operator))?;
    right::same(&right::names(&before), &right::names(&after))
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn writers_that_get_in_the_way() -> Outcome {
    let site = Site::start()?;
    let mut operator = site.operator("chat")?;
    let before = site.settle("chat", &mut operator)?;

    // Somebody who touches every object all the time: whatever is read is old when it is written.
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let rivals: Vec<_> = (0..2)
            .map(|rival| {
                let (site, stop) = (&site, &stop);
                scope.spawn(move || rival_writes(site, rival, stop))
            })
            .collect();
        let result = (0..5).try_for_each(|round| {
            patch(&site, "network/acme", &json!({"spec": {"displayName": format!("Acme {round}")}}))?;
            patch(&site, "user/alice", &json!({"spec": {"lastName": format!("Adams {round}")}}))?;
            thread::sleep(Duration::from_millis(500));
            operator.still_runs()
        });
        stop.store(true, Ordering::SeqCst);
        for rival in rivals {
            rival.join().map_err(|_| Failure("a rival has panicked".into()))??;
        }
        result
    })?;
    site.apply("chat")?;
    let after = site.right("chat").wait(PATIENCE, || operator.still_runs()).map_err(|e| with_log(&e, &mut operator))?;
    right::same(&right::names(&before), &right::names(&after))?;

    // Two operators without an election, as after a mistake: they want the same, so they end in peace.
    let mut other = site.operator("chat")?;
    patch(&site, "network/acme", &json!({"spec": {"displayName": "Acme twice"}}))?;
    let user = |name: &str| {
        json!({
            "apiVersion": "sotto.dev/v1alpha1", "kind": "User", "metadata": {"name": name, "namespace": "chat"},
            "spec": {"networkRef": {"name": "acme"}, "firstName": name, "lastName": "Dean"},
        })
    };
    for name in ["dora", "dirk", "doug"] {
        site.api.apply(&user(name))?;
    }
    let each = || operator.still_runs().and_then(|()| other.still_runs());
    let after = site.right("chat").wait(PATIENCE, each)?;
    right::holds(&after, "relay acme: user doug")
}

/// Annotates everything, again and again.
fn rival_writes(site: &Site, rival: u32, stop: &AtomicBool) -> Outcome {
    let mut round = 0;
    while !stop.load(Ordering::SeqCst) {
        round += 1;
        let kinds =
            "networks,users,securitygroups,retentionpolicies,services,configmaps,statefulsets,deployments,secrets";
        site.api
            .kubectl()
            .args(["annotate", kinds, "--all", "--overwrite", "--namespace", "chat"])
            .arg(format!("example.org/rival-{rival}={round}"))
            .output()?;
    }
    Ok(())
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn a_relay_that_is_down_slow_or_talks_nonsense() -> Outcome {
    let site = Site::start()?;
    let mut operator = site.operator("chat")?;
    let before = site.settle("chat", &mut operator)?;
    let rounds = [
        (Mode::Down, "RelayUnreachable"),
        (Mode::Nonsense, "RelayUnreachable"),
        // Longer than a call may take.
        (Mode::Slow(Duration::from_secs(40)), "RelayUnreachable"),
    ];
    for (mode, reason) in rounds {
        let begin = Instant::now();
        site.relays.set("chat", "acme", mode);
        // A change makes it look; by itself it looks after a while.
        patch(&site, "network/acme", &json!({"spec": {"displayName": format!("{mode:?}")}}))?;
        wait_reason(&site, "network/acme", "False", reason).map_err(|e| with_log(&e, &mut operator))?;
        // The neighbour does not notice, not even when something is to be done for it.
        patch(&site, "network/beta", &json!({"spec": {"displayName": format!("{mode:?}")}}))?;
        wait_reason(&site, "network/beta", "True", "Reconciled").map_err(|e| with_log(&e, &mut operator))?;
        let told = begin.elapsed();
        site.relays.set("chat", "acme", Mode::Good);
        let after =
            site.right("chat").wait(PATIENCE, || operator.still_runs()).map_err(|e| with_log(&e, &mut operator))?;
        right::same(&right::names(&before), &right::names(&after))?;
        eprintln!(
            "{mode:?}: told after {:.1} s, right after {:.1} s",
            told.as_secs_f64(),
            begin.elapsed().as_secs_f64()
        );
    }

    // Slow, but within bounds, is only slow.
    site.relays.set_all(Mode::Slow(Duration::from_millis(400)));
    patch(&site, "user/alice", &json!({"spec": {"lastName": "Slow"}}))?;
    site.right("chat").wait(PATIENCE, || operator.still_runs()).map_err(|e| with_log(&e, &mut operator))?;

    // A relay that lost its store gets everything again.
    site.relays.set_all(Mode::Good);
    site.relays.edit("chat", "acme", |state| *state = sotto_wire::admin::AdminState::default());
    site.settles_as_names(&before, &mut operator)?;

    // Deletion ends also when the relay is away for ever.
    site.relays.set_all(Mode::Down);
    site.delete("chat")?;
    let gone = Instant::now();
    site.right("chat").wait_gone(PATIENCE, || operator.still_runs()).map_err(|e| with_log(&e, &mut operator))?;
    eprintln!("deleted without a relay after {:.1} s", gone.elapsed().as_secs_f64());
    Ok(())
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn an_api_server_that_has_no_time() -> Outcome {
    // Few requests at a time, and one of these for the operator: what is more is refused with 429 and Retry-After.
    let site = Site::with_flags(&["--max-requests-inflight=20", "--max-mutating-requests-inflight=10"])?;
    let level = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration", "metadata": {"name": "narrow"},
        "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "lendablePercent": 0, "borrowingLimitPercent": 0,
            "limitResponse": {"type": "Reject"}}},
    });
    let schema = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": "narrow"},
        "spec": {
            "priorityLevelConfiguration": {"name": "narrow"}, "matchingPrecedence": 100,
            "rules": [{
                "subjects": [{"kind": "User", "user": {"name": "operator"}}],
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true}],
            }],
        },
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "operator"}],
    });
    for object in [&level, &schema, &binding] {
        site.api.apply(object)?;
    }
    let kubeconfig = site.api.kubeconfig_for("operator", &[])?;
    let address = site.relays.address().to_string();
    let variables = [("SOTTO_ADMIN_RESOLVE", address.as_str()), ("SOTTO_WATCH_NAMESPACES", "chat")];
    let mut operator = Operator::start_as(&site.api, &kubeconfig, &variables)?;
    let before = site.settle("chat", &mut operator)?;
    for round in 0..3 {
        patch(&site, "network/acme", &json!({"spec": {"displayName": format!("Acme {round}")}}))?;
        patch(&site, "network/beta", &json!({"spec": {"displayName": format!("Beta {round}")}}))?;
    }
    let after = site.right("chat").wait(PATIENCE, || operator.still_runs()).map_err(|e| with_log(&e, &mut operator))?;
    right::same(&right::names(&before), &right::names(&after))?;
    // It was in need: otherwise this shows nothing.
    let metrics = site.api.kubectl().args(["get", "--raw", "/metrics"]).output()?;
    let refused: f64 = metrics
        .lines()
        .filter(|line| {
            line.starts_with("apiserver_flowcontrol_rejected_requests_total{") && line.contains("\"narrow\"")
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    eprintln!("refused with 429: {refused}");
    ensure(refused >= 1.0, || "the API server has refused nothing".into())
}

impl Site {
    fn settles_as_names(&self, before: &Picture, operator: &mut Operator) -> Outcome {
        // First something has to be seen to be wrong; that it gets right is what is asked for.
        let wanted = before.keys().filter(|name| name.starts_with("relay acme")).count();
        wait_until("the relay has everything again", PATIENCE, || {
            operator.still_runs()?;
            let state = self.relays.state("chat", "acme");
            let has = state.groups.len() + state.users.len();
            ensure(has == wanted, || format!("{has} of {wanted}"))
        })
        .map_err(|e| with_log(&e, operator))?;
        let after = self.right("chat").wait(PATIENCE, || operator.still_runs()).map_err(|e| with_log(&e, operator))?;
        right::same(&right::names(before), &right::names(&after))
    }
}

fn patch(site: &Site, object: &str, change: &Value) -> Outcome {
    let change = change.to_string();
    site.api
        .kubectl()
        .args(["patch", object, "--namespace", "chat", "--type=merge", "--patch", &change])
        .output()
        .map(drop)
}

pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

fn wait_reason(site: &Site, object: &str, ready: &str, reason: &str) -> Outcome {
    wait_until(&format!("{object} says {reason}"), PATIENCE, || {
        let object = site.api.get(&[object, "--namespace", "chat"])?;
        let condition = condition(&object, "Ready").ok_or_else(|| Failure("no condition".into()))?;
        let current = object["status"]["observedGeneration"] == object["metadata"]["generation"];
        ensure(current && condition["status"] == ready && condition["reason"] == reason, || {
            format!("{} {}: {}", condition["status"], condition["reason"], condition["message"])
        })
    })
}
