//! Leader election: of two operators one writes, whatever happens to it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sotto_e2e::{ApiServer, Operator, Outcome, Signal, ensure, fail, wait_until};

const PATIENCE: Duration = Duration::from_mins(1);
/// Shorter than in life, so that the tests are short; the proportions are the same.
const TIMES: [(&str, &str); 3] =
    [("SOTTO_LEASE_DURATION", "6s"), ("SOTTO_LEASE_RENEW_DEADLINE", "4s"), ("SOTTO_LEASE_RETRY", "800ms")];
const DURATION: Duration = Duration::from_secs(6);

fn candidate(api: &ApiServer, name: &str) -> Outcome<Operator> {
    let mut variables = TIMES.to_vec();
    variables.extend([("POD_NAME", name), ("POD_NAMESPACE", "sotto-system")]);
    Operator::start(api, &variables)
}

/// An API server with our definitions, and the namespaces.
fn scene() -> Outcome<ApiServer> {
    let api = ApiServer::start()?;
    api.install_crds()?;
    api.namespace("sotto-system")?;
    api.namespace("chat")?;
    Ok(api)
}

/// Waits until `/readyz` says this role.
fn wait_role(operator: &mut Operator, role: &str) -> Outcome {
    let result = wait_until(&format!("the operator says {role}"), PATIENCE, || {
        operator.still_runs()?;
        let answer = operator.http("/readyz")?;
        ensure(answer.code == 200 && answer.body.trim() == role, || format!("{}: {}", answer.code, answer.body))
    });
    result.map_err(|error| sotto_e2e::Failure(format!("{}\n{}", error.0, operator.log().unwrap_or_default())))
}

fn lease(api: &ApiServer) -> Outcome<Value> {
    api.get(&["lease", "sotto-operator", "--namespace", "sotto-system"])
}

/// The pod name of the holder; nothing when there is none.
fn holder(api: &ApiServer) -> Outcome<String> {
    let lease = lease(api)?;
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
    Ok(holder.split('_').next().unwrap_or_default().to_owned())
}

/// A SecurityGroup of a network that is not there: the operator has to say so in its status, which is a write.
fn ask_for_a_write(api: &ApiServer, name: &str) -> Outcome {
    let group = json!({
        "apiVersion": "sotto.dev/v1alpha1", "kind": "SecurityGroup",
        "metadata": {"name": name, "namespace": "chat"}, "spec": {"networkRef": {"name": "nowhere"}},
    });
    api.apply(&group).map(drop)
}

fn has_status(api: &ApiServer, name: &str) -> Outcome<bool> {
    let group = api.get(&["securitygroup", name, "--namespace", "chat"])?;
    Ok(group["status"]["conditions"].as_array().is_some_and(|conditions| !conditions.is_empty()))
}

fn wait_status(api: &ApiServer, name: &str) -> Outcome {
    wait_until(&format!("the status of {name}"), PATIENCE, || {
        ensure(has_status(api, name)?, || "no conditions yet".into())
    })
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn a_stopped_leader_that_wakes_up_writes_nothing_and_ends() -> Outcome {
    let api = scene()?;
    let mut first = candidate(&api, "first")?;
    wait_role(&mut first, "leader")?;
    let mut second = candidate(&api, "second")?;
    wait_role(&mut second, "standby")?;
    ensure(second.http("/healthz")?.code == 200, || "a standby is not healthy".into())?;
    ask_for_a_write(&api, "before")?;
    wait_status(&api, "before")?;
    ensure((first.metric("sotto_leader", &[])?, second.metric("sotto_leader", &[])?) == (1.0, 0.0), || {
        "the metric does not tell who leads".into()
    })?;

    // Stopped; then there is work, so that it wakes up with its hands full.
    first.signal(Signal::STOP);
    let stopped = Instant::now();
    ask_for_a_write(&api, "meanwhile")?;
    wait_role(&mut second, "leader")?;
    let waited = stopped.elapsed();
    // It had renewed before it was stopped, at most `retry` ago and a bit.
    ensure(waited + Duration::from_millis(1200) >= DURATION, || format!("taken over after only {waited:?}"))?;
    wait_status(&api, "meanwhile")?;
    let before = lease(&api)?["spec"]["leaseTransitions"].clone();

    // What the old one would write it finds in its buffers when it wakes: take the status away that the new one wrote.
    ask_for_a_write(&api, "late")?;
    wait_status(&api, "late")?;
    let written = owners(&api)?;
    first.signal(Signal::CONT);
    let status = first.wait_end(PATIENCE)?;
    let log = first.log()?;
    ensure(!status.success() && log.contains("leadership is lost"), || format!("{status}\n{log}"))?;
    ensure(owners(&api)? == written, || "the old leader has written".into())?;
    ensure(holder(&api)? == "second" && lease(&api)?["spec"]["leaseTransitions"] == before, || {
        "the lease has changed hands again".into()
    })?;
    second.still_runs()
}

/// The version of every object that an operator writes.
fn owners(api: &ApiServer) -> Outcome<Vec<String>> {
    let groups = api.list(&["securitygroups,events,secrets,configmaps", "--all-namespaces"])?;
    Ok(groups
        .iter()
        .map(|group| format!("{} {}", group["metadata"]["name"], group["metadata"]["resourceVersion"]))
        .collect())
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn an_orderly_end_hands_over_within_two_seconds() -> Outcome {
    let api = scene()?;
    let mut first = candidate(&api, "first")?;
    wait_role(&mut first, "leader")?;
    let mut second = candidate(&api, "second")?;
    wait_role(&mut second, "standby")?;
    let begin = Instant::now();
    first.signal(Signal::TERM);
    wait_role(&mut second, "leader")?;
    let took = begin.elapsed();
    let status = first.wait_end(PATIENCE)?;
    ensure(status.success(), || format!("{status}\n{}", first.log().unwrap_or_default()))?;
    eprintln!("handed over within {:.1} s", took.as_secs_f64());
    // Far less than the lease; how much less depends on what else this machine does.
    ensure(took + Duration::from_secs(2) < DURATION, || format!("handed over after {took:?}"))?;
    ask_for_a_write(&api, "after")?;
    wait_status(&api, "after")?;
    // The last one to go leaves a lease without a holder: the next start does not wait.
    second.signal(Signal::TERM);
    second.wait_end(PATIENCE)?;
    ensure(holder(&api)?.is_empty(), || "the lease is not given back".into())?;
    let begin = Instant::now();
    let mut third = candidate(&api, "third")?;
    wait_role(&mut third, "leader")?;
    // Not the whole lease, and what a busy machine takes to start a process.
    ensure(begin.elapsed() < 2 * DURATION, || format!("waited {:?} for nobody", begin.elapsed()))
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn a_leader_without_an_api_server_ends_and_another_begins_when_it_is_back() -> Outcome {
    let api = scene()?;
    let mut first = candidate(&api, "first")?;
    wait_role(&mut first, "leader")?;
    let mut second = candidate(&api, "second")?;
    wait_role(&mut second, "standby")?;
    let down = Instant::now();
    api.stop_apiserver()?;
    let status = first.wait_end(PATIENCE)?;
    let log = first.log()?;
    ensure(!status.success() && log.contains("could not be renewed in time"), || format!("{status}\n{log}"))?;
    ensure(down.elapsed() < 3 * DURATION, || format!("it ended after {:?}", down.elapsed()))?;
    // The standby stays, and so does what Kubernetes starts in place of the one that ended.
    second.still_runs()?;
    let mut again = candidate(&api, "again")?;
    ensure(second.http("/healthz")?.code == 200, || "a standby without an API server is not healthy".into())?;
    api.start_apiserver()?;
    let leader = wait_until("a leader", PATIENCE, || {
        let leads =
            |operator: &Operator| Ok::<_, sotto_e2e::Failure>(operator.http("/readyz")?.body.trim() == "leader");
        match (leads(&second)?, leads(&again)?) {
            (true, false) => Ok("second"),
            (false, true) => Ok("again"),
            (true, true) => fail("two leaders"),
            (false, false) => fail("none"),
        }
    })?;
    ensure(holder(&api)? == leader, || format!("the lease does not name {leader}"))?;
    ask_for_a_write(&api, "after")?;
    wait_status(&api, "after")?;
    second.still_runs()?;
    again.still_runs()
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn three_candidates_and_one_leader_after_another_is_killed() -> Outcome {
    let api = scene()?;
    let names = ["one", "two", "three"];
    let mut all = names.iter().map(|name| Ok((*name, candidate(&api, name)?))).collect::<Outcome<Vec<_>>>()?;
    while !all.is_empty() {
        let leader = wait_until("a leader that answers", PATIENCE, || {
            let holder = holder(&api)?;
            let mut leaders = Vec::new();
            for (index, (name, operator)) in all.iter().enumerate() {
                if operator.http("/readyz")?.body.trim() == "leader" {
                    ensure(*name == holder, || format!("{name} leads, but the lease says {holder}"))?;
                    leaders.push(index);
                }
            }
            if let [leader] = leaders[..] { Ok(leader) } else { fail(format!("{leaders:?}")) }
        })?;
        let (name, mut operator) = all.swap_remove(leader);
        ask_for_a_write(&api, name)?;
        wait_status(&api, name)?;
        // As a lost node: nothing is given back.
        operator.kill();
    }
    Ok(())
}
