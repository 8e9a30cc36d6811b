//! `sotto users import` against a real API server.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use sotto_e2e::{ApiServer, Outcome, Run, ensure, fail, sotto_program, wait_until};

const PATIENCE: Duration = Duration::from_mins(2);

fn server() -> Outcome<ApiServer> {
    let api = ApiServer::start()?;
    api.install_crds()?;
    api.namespace("chat")?;
    let object = |kind: &str, name: &str, spec: Value| {
        let metadata = json!({"name": name, "namespace": "chat"});
        api.apply(&json!({"apiVersion": "sotto.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}))
    };
    object("Network", "acme", json!({"domain": "chat.acme.example"}))?;
    object("SecurityGroup", "staff", json!({"networkRef": {"name": "acme"}}))?;
    Ok(api)
}

/// `sotto users import - --apply` of this table.
fn import(api: &ApiServer, table: &str, more: &[&str]) -> Outcome<Run> {
    Ok(Run::new(sotto_program()?)
        .args(["users", "import", "-", "--network", "acme", "-n", "chat", "-o", "json"])
        .args(if more.contains(&"--rate") { [].as_slice() } else { &["--rate", "1000"] })
        .args(more)
        .env("KUBECONFIG", api.kubeconfig())
        .input(table)
        .limit(PATIENCE))
}

/// Runs it: exit code and report.
fn told(run: &Run) -> Outcome<(i32, Value)> {
    let finished = run.finish()?;
    let report = serde_json::from_str(&finished.stdout);
    match (finished.status.code(), report) {
        (Some(code), Ok(report)) => Ok((code, report)),
        _ => fail(format!("{run}\n{}", finished.shown())),
    }
}

fn is(report: &Value, counts: &Value) -> Outcome {
    for (name, count) in counts.as_object().into_iter().flatten() {
        let have = match &report[name] {
            Value::Array(list) => json!(list.len()),
            other => other.clone(),
        };
        ensure(have == *count, || format!("{name}: {have}, wanted {count}: {report}"))?;
    }
    Ok(())
}

/// Name → resource version.
fn versions(api: &ApiServer) -> Outcome<BTreeMap<String, String>> {
    let users = api.list(&["users", "--namespace", "chat"])?;
    let text = |user: &Value, field: &str| user["metadata"][field].as_str().unwrap_or_default().to_owned();
    Ok(users.iter().map(|user| (text(user, "name"), text(user, "resourceVersion"))).collect())
}

fn spec(api: &ApiServer, name: &str) -> Outcome<Value> {
    Ok(api.get(&["user", name, "--namespace", "chat"])?["spec"].take())
}

fn people(count: usize, suspended: &str) -> String {
    let mut table = "username,firstName,securityGroup,suspended\n".to_owned();
    for n in 0..count {
        let _ = writeln!(table, "u_{n:03},First{n},staff,{suspended}");
    }
    table
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn a_table_becomes_users_once_and_again() -> Outcome {
    let api = server()?;
    let bad = "Wrong,,staff,\nno-group,,nobody,\nu_001,,staff,\n";
    // What the cluster would say, without writing.
    let table = format!("{}{bad}", people(40, "no"));
    let (code, report) = told(&import(&api, &table, &["--apply", "--dry-run"])?)?;
    is(&report, &json!({"lines": 43, "created": 40, "refused": 3, "dryRun": true}))?;
    ensure(code == 3 && versions(&api)?.is_empty(), || "a dry run wrote, or did not refuse".into())?;
    // Nothing at all, where that is asked for.
    let (_, report) = told(&import(&api, &table, &["--apply", "--strict"])?)?;
    is(&report, &json!({"created": 0, "refused": 2}))?;
    ensure(versions(&api)?.is_empty(), || "--strict wrote".into())?;

    let file = api.folder().join("report.json");
    let (code, report) = told(&import(&api, &table, &["--apply", "--report", &file.display().to_string()])?)?;
    is(&report, &json!({"created": 40, "changed": 0, "unchanged": 0, "refused": 3}))?;
    ensure(code == 3, || format!("{code}"))?;
    let refused: Vec<_> =
        report["refused"].as_array().into_iter().flatten().map(|r| (&r["line"], &r["field"])).collect();
    let wanted =
        [(&json!(42), &json!("username")), (&json!(43), &json!("securityGroup")), (&json!(44), &json!("username"))];
    ensure(refused == wanted, || format!("{refused:?}"))?;
    let written: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
    ensure(written == report, || format!("{written}"))?;

    // Again: nothing is written, and it says so.
    let before = versions(&api)?;
    let good = people(40, "no");
    let (code, report) = told(&import(&api, &good, &["--apply"])?)?;
    is(&report, &json!({"created": 0, "changed": 0, "unchanged": 40}))?;
    ensure(code == 0 && versions(&api)? == before && before.len() == 40, || "a second run wrote".into())?;

    // One cell is different, and one object was changed by somebody else.
    let name = before.keys().nth(7).cloned().unwrap_or_default();
    let patch = r#"{"spec":{"firstName":"By hand"}}"#;
    api.kubectl().args(["patch", "user", &name, "-n", "chat", "--type=merge", "-p", patch]).output()?;
    let other = good.replace("u_003,First3", "u_003,Third");
    let (code, report) = told(&import(&api, &other, &["--apply"])?)?;
    is(&report, &json!({"changed": 1, "unchanged": 38, "refused": 1}))?;
    let refusal = report["refused"][0].to_string();
    ensure(code == 3 && refusal.contains("firstName") && refusal.contains("--force-conflicts"), || refusal)?;
    let (_, report) = told(&import(&api, &other, &["--apply", "--force-conflicts"])?)?;
    is(&report, &json!({"changed": 1, "unchanged": 39, "refused": 0}))?;
    ensure(spec(&api, &name)?["firstName"] == "First7", || name.clone())?;

    // The manifests that it writes are those that a cluster takes.
    let folder = api.folder().join("users");
    let write = Run::new(sotto_program()?)
        .args(["users", "import", "-", "--network", "acme", "--output-dir"])
        .arg(&folder)
        .input(other.as_str());
    write.output()?;
    let apply = ["apply", "--server-side", "--dry-run=server", "--force-conflicts", "-n", "chat", "-f"];
    let applied = api.kubectl().args(apply).arg(&folder).output()?;
    ensure(applied.lines().count() == 40, || applied)?;
    Ok(())
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn who_is_not_in_the_table_any_more_is_suspended_and_comes_back() -> Outcome {
    let api = server()?;
    for suspended in ["", "no"] {
        let table = people(12, suspended);
        told(&import(&api, &table, &["--apply", "--force-conflicts"])?)?;
        let hand = json!({"apiVersion": "sotto.dev/v1alpha1", "kind": "User", "metadata": {"name": "by-hand", "namespace": "chat"},
            "spec": {"networkRef": {"name": "acme"}}});
        api.apply(&hand)?;
        let fewer = people(10, suspended);
        let (_, report) = told(&import(&api, &fewer, &["--apply"])?)?;
        is(&report, &json!({"missing": 2, "suspended": 0, "unchanged": 10}))?;
        let (_, report) = told(&import(&api, &fewer, &["--apply", "--prune"])?)?;
        is(&report, &json!({"missing": 0, "suspended": 2, "deleted": 0}))?;
        let gone = report["suspended"][0].as_str().unwrap_or_default().to_owned();
        let user = spec(&api, &gone)?;
        ensure(user["suspended"] == true && user["firstName"] == "First10", || user.to_string())?;
        ensure(spec(&api, "by-hand")?["suspended"] == false, || "somebody else's was suspended".into())?;
        let (_, report) = told(&import(&api, &fewer, &["--apply", "--prune"])?)?;
        is(&report, &json!({"suspended": 0, "unchanged": 10}))?;
        // Back in the table: back in.
        let (_, report) = told(&import(&api, &table, &["--apply", "--prune"])?)?;
        is(&report, &json!({"changed": 2, "refused": 0}))?;
        ensure(spec(&api, &gone)?["suspended"] == false, || "still suspended".into())?;
        let (_, report) = told(&import(&api, &table, &["--apply", "--prune"])?)?;
        is(&report, &json!({"changed": 0, "unchanged": 12}))?;
    }
    // A table that was cut off shuts nobody out.
    told(&import(&api, &people(60, "no"), &["--apply"])?)?;
    let refused = import(&api, &people(3, "no"), &["--apply", "--prune"])?.refused()?;
    ensure(refused.contains("--prune-limit 57"), || refused)?;
    let refused = import(&api, &format!("{}X,,,\n", people(59, "no")), &["--apply", "--prune"])?.refused()?;
    ensure(refused.contains("refused lines"), || refused)?;
    ensure(spec(&api, versions(&api)?.keys().next_back().map_or("", |n| n))?["suspended"] == false, || {
        "suspended".into()
    })?;
    let (_, report) = told(&import(&api, &people(59, "no"), &["--apply", "--prune=delete"])?)?;
    is(&report, &json!({"deleted": 1}))
}

#[test]
#[ignore = "needs Kubernetes' programs: `make api`"]
fn an_import_that_was_cut_off_goes_on_and_rights_are_asked_first() -> Outcome {
    let api = server()?;
    let table = people(300, "no");
    // At a slow pace, so that it is cut off in the middle.
    let mut slow = import(&api, &table, &["--apply", "--rate", "10"])?.start()?;
    wait_until("the first users", PATIENCE, || {
        slow.still_runs()?;
        let count = versions(&api)?.len();
        ensure(count >= 20, || format!("{count}"))
    })?;
    api.stop_apiserver()?;
    let status = slow.wait(PATIENCE)?;
    let printed = slow.printed()?;
    ensure(status.code() == Some(4) && printed.stderr.contains("run it again"), || printed.shown())?;
    let report: Value = serde_json::from_str(&printed.stdout)?;
    let (created, left) = (report["created"].as_u64().unwrap_or(0), report["left"].as_u64().unwrap_or(0));
    ensure(created >= 15 && left > 0 && created + left == 300, || report.to_string())?;
    api.start_apiserver()?;
    let there = versions(&api)?.len();
    let (code, report) = told(&import(&api, &table, &["--apply"])?)?;
    is(&report, &json!({"created": 300 - there, "unchanged": there, "changed": 0, "left": 0}))?;
    ensure(code == 0 && versions(&api)?.len() == 300, || report.to_string())?;

    // Without rights it says so, once.
    let nobody = api.kubeconfig_for("nobody", &[])?;
    let refused = import(&api, &table, &["--apply"])?.env("KUBECONFIG", nobody).refused()?;
    ensure(refused.contains("forbidden") && refused.lines().count() < 5, || refused)
}
