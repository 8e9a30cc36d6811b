//! What people see: objects as a table, changes as lines, and what to do next.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::snapshot::{OpenInvite, Snapshot};
use crate::plan::COMPLETE;

/// One object as a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Namespace.
    pub namespace: String,
    /// `Kind/name`.
    pub object: String,
    /// Status of the Ready condition.
    pub ready: String,
    /// Its reason.
    pub reason: String,
    /// What matters of the object: address, URL, destination; or the message of the condition where it is not ready.
    pub detail: String,
}

/// The objects as lines.
pub fn rows(items: &[Value]) -> Vec<Row> {
    items.iter().map(row).collect()
}

fn row(item: &Value) -> Row {
    let text = |pointer: &str| item.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let conditions = item.pointer("/status/conditions").and_then(Value::as_array);
    let ready = conditions.into_iter().flatten().find(|c| c["type"] == "Ready");
    let of = |field: &str| ready.and_then(|c| c[field].as_str()).unwrap_or_default().to_owned();
    let status = of("status");
    let detail = if status == "True" {
        let number = |pointer: &str| item.pointer(pointer).and_then(Value::as_i64);
        match text("/kind").as_str() {
            "Network" => text("/status/url"),
            "User" => [text("/status/address"), text("/status/state")].join(" "),
            "RetentionPolicy" => [text("/status/destination"), incomplete(item)].join(""),
            _ => number("/status/users").map(|n| format!("{n} users")).unwrap_or_default(),
        }
    } else {
        of("message")
    };
    Row {
        namespace: text("/metadata/namespace"),
        object: format!("{}/{}", text("/kind"), text("/metadata/name")),
        ready: if status.is_empty() { "Unknown".into() } else { status },
        reason: of("reason"),
        detail,
    }
}

/// What a RetentionPolicy says of its record, where that is not complete.
fn incomplete(item: &Value) -> String {
    let conditions = item.pointer("/status/conditions").and_then(Value::as_array);
    let complete = conditions.into_iter().flatten().find(|c| c["type"] == COMPLETE && c["status"] != "True");
    let of = |field: &str| complete.and_then(|c| c[field].as_str()).unwrap_or_default();
    if complete.is_none() { String::new() } else { format!(" · {}: {}", of("reason"), of("message")) }
}

/// The lines as a table with a heading; with the namespaces where there is more than the default one.
pub fn table(rows: &[Row]) -> Vec<String> {
    let namespaces = rows.iter().any(|r| r.namespace != super::manifests::DEFAULT_NAMESPACE);
    let mut cells = vec![vec!["NAMESPACE", "OBJECT", "READY", "REASON", "DETAIL"]];
    cells.extend(rows.iter().map(|r| {
        vec![r.namespace.as_str(), r.object.as_str(), r.ready.as_str(), r.reason.as_str(), r.detail.as_str()]
    }));
    if !namespaces {
        for row in &mut cells {
            row.remove(0);
        }
    }
    let columns = cells.first().map_or(0, Vec::len);
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<&str>| {
        let padded: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("   ").trim_end().to_owned()
    };
    cells.iter().map(line).collect()
}

/// Tells what changes, line by line, as `kubectl get --watch` does.
#[derive(Default)]
pub struct Progress {
    seen: BTreeMap<(String, String), Row>,
    problems: Vec<String>,
    widths: [usize; 3],
}

/// Lines for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// For standard output.
    pub results: Vec<String>,
    /// For standard error.
    pub notes: Vec<String>,
}

impl Progress {
    /// What is new since the last snapshot.
    pub fn update(&mut self, snapshot: &Snapshot) -> Lines {
        let mut lines = Lines::default();
        let problems: Vec<String> = snapshot.info.problems.iter().map(|p| format!("{}{p}", weight(p.fatal))).collect();
        lines.notes.extend(problems.iter().filter(|p| !self.problems.contains(p)).cloned());
        if problems.is_empty() && !self.problems.is_empty() {
            lines.notes.push("the manifests are good again".into());
        }
        self.problems = problems;

        let rows = rows(&snapshot.items);
        let longest = |f: fn(&Row) -> &str, least: usize| rows.iter().map(|r| f(r).len()).max().unwrap_or(0).max(least);
        let widths = [longest(|r| &r.object, 10), longest(|r| &r.ready, 7), longest(|r| &r.reason, 22)];
        if self.seen.is_empty() && !rows.is_empty() {
            self.widths = widths;
            lines.results.push(self.line("OBJECT", "READY", "REASON", "DETAIL"));
        }
        let mut gone = std::mem::take(&mut self.seen);
        for row in rows {
            let key = (row.namespace.clone(), row.object.clone());
            let before = gone.remove(&key);
            if before
                .as_ref()
                .is_none_or(|b| (&b.ready, &b.reason, &b.detail) != (&row.ready, &row.reason, &row.detail))
            {
                lines.results.push(self.line(&row.object, &row.ready, &row.reason, &row.detail));
            }
            self.seen.insert(key, row);
        }
        lines.results.extend(gone.into_values().map(|row| self.line(&row.object, "-", "Removed", "")));
        lines
    }

    fn line(&self, object: &str, ready: &str, reason: &str, detail: &str) -> String {
        let [a, b, c] = self.widths;
        format!("{object:a$}   {ready:b$}   {reason:c$}   {detail}").trim_end().to_owned()
    }
}

fn weight(fatal: bool) -> &'static str {
    if fatal { "error: " } else { "note: " }
}

/// What is not ready, with the reasons.
pub fn reasons(snapshot: &Snapshot) -> Vec<String> {
    let problems = snapshot.info.problems.iter().filter(|p| p.fatal).map(ToString::to_string);
    let unready = rows(&snapshot.items).into_iter().filter(|r| r.ready != "True");
    problems.chain(unready.map(|r| format!("{} is not ready: {}: {}", r.object, r.reason, r.detail))).collect()
}

/// How a person calls us, and with which state folder.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// `sotto`, or a path to it.
    pub program: String,
    /// ` --state DIR` where it is not the usual one.
    pub state: String,
}

impl Invocation {
    /// As this process was called.
    pub fn current(state: &Path) -> Self {
        let state = if state == Path::new(".sotto") {
            String::new()
        } else {
            format!(" --state {}", quoted(&state.display().to_string()))
        };
        Self { program: program(), state }
    }
}

/// `sotto` where the shell finds this very file by that name, otherwise its path, short where it is near.
fn program() -> String {
    let Ok(exe) = std::env::current_exe() else { return "sotto".into() };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("sotto")).find(|file| file.is_file());
    if found.and_then(|f| f.canonicalize().ok()).is_some_and(|f| f == exe) {
        return "sotto".into();
    }
    let near = std::env::current_dir().ok().and_then(|dir| exe.strip_prefix(dir).ok().map(Path::to_owned));
    quoted(&near.unwrap_or(exe).display().to_string())
}

fn quoted(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c));
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Invites, where records land, and what to type next.
pub fn next_steps(snapshot: &Snapshot, invites: &[OpenInvite], call: &Invocation) -> Vec<String> {
    let Invocation { program, state } = call;
    let mut lines = Vec::new();
    if !invites.is_empty() {
        lines.push("Invites of users who have not joined (each is good once; treat it like a password):".into());
        lines.extend(invites.iter().map(|i| format!("  {}\n    {}", i.address, i.url)));
        lines.push(String::new());
    }
    let policies: Vec<_> = snapshot.items.iter().filter(|i| i["kind"] == "RetentionPolicy").collect();
    if !policies.is_empty() {
        lines.push("Retained records land in:".into());
        for policy in policies {
            let name = policy["metadata"]["name"].as_str().unwrap_or_default();
            lines.push(format!("  {name}: {}", policy["status"]["destination"].as_str().unwrap_or("(not known yet)")));
        }
        lines.push(String::new());
    }
    lines.push("Next:".into());
    for invite in invites.iter().take(2) {
        let network = if invites.iter().filter(|i| i.user == invite.user).count() > 1 {
            format!(" --network {}", invite.network)
        } else {
            String::new()
        };
        let user = &invite.user;
        lines.push(format!("  {program} join \"$({program} invite {user}{network}{state})\" --profile {user}"));
    }
    if let [from, to, ..] = invites {
        lines.push(format!("  {program} send --profile {} {} 'Good morning'", from.user, to.address));
        lines.push(format!("  {program} receive --profile {}", to.user));
    }
    lines.push(format!("  {program} status{state}"));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::snapshot::RunnerInfo;
    use serde_json::json;

    fn user(ready: &str, reason: &str) -> Value {
        json!({
            "kind": "User", "metadata": { "name": "alice", "namespace": "default" },
            "status": {
                "address": "alice@a.example", "state": "Pending",
                "conditions": [{ "type": "Ready", "status": ready, "reason": reason, "message": "the relay starts" }]
            }
        })
    }

    #[test]
    fn only_changes_are_told() {
        let mut progress = Progress::default();
        let starting = Snapshot { items: vec![user("False", "WaitingForRelay")], ..Snapshot::default() };
        let first = progress.update(&starting).results;
        assert!(first[0].starts_with("OBJECT") && first[1].contains("the relay starts"), "{first:?}");
        assert_eq!(progress.update(&starting), Lines::default());
        let ready = Snapshot { items: vec![user("True", "Reconciled")], ..Snapshot::default() };
        let second = progress.update(&ready).results;
        assert!(second.len() == 1 && second[0].contains("alice@a.example Pending"), "{second:?}");
        assert!(progress.update(&Snapshot::default()).results[0].contains("Removed"));
    }

    #[test]
    fn problems_are_told_once_and_when_they_are_gone() {
        let mut progress = Progress::default();
        let problem = crate::local::manifests::Problem {
            file: "a.yaml".into(),
            line: Some(3),
            object: Some("User/alice".into()),
            field: Some("spec.x".into()),
            message: "unknown field".into(),
            fatal: true,
        };
        let info = RunnerInfo { problems: vec![problem], ..RunnerInfo::default() };
        let bad = Snapshot { info, items: Vec::new() };
        assert_eq!(progress.update(&bad).notes, ["error: a.yaml:3: User/alice: spec.x: unknown field"]);
        assert_eq!(progress.update(&bad).notes, [""; 0]);
        assert_eq!(progress.update(&Snapshot::default()).notes, ["the manifests are good again"]);
        assert_eq!(reasons(&bad).len(), 1);
    }

    #[test]
    fn a_record_with_holes_is_told_beside_where_it_is() {
        let policy = |complete: &str| {
            json!({
                "kind": "RetentionPolicy", "metadata": { "name": "keep", "namespace": "default" },
                "status": {
                    "destination": "s3://records",
                    "conditions": [
                        { "type": "Ready", "status": "True", "reason": "Reconciled", "message": "good" },
                        { "type": "Complete", "status": complete, "reason": "MessagesMissing", "message": "3 are missing" }
                    ]
                }
            })
        };
        assert_eq!(rows(&[policy("True")])[0].detail, "s3://records");
        let row = rows(&[policy("False")]).remove(0);
        assert_eq!(
            (row.ready.as_str(), row.detail.as_str()),
            ("True", "s3://records · MessagesMissing: 3 are missing")
        );
    }

    #[test]
    fn table_lines_up() {
        let table = table(&rows(&[user("True", "Reconciled")]));
        assert_eq!(table[0], "OBJECT       READY   REASON       DETAIL");
        assert_eq!(table[1], "User/alice   True    Reconciled   alice@a.example Pending");
    }

    #[test]
    fn steps_can_be_pasted() {
        let invite = |user: &str| OpenInvite {
            user: user.into(),
            network: "acme".into(),
            address: format!("{user}@a.example"),
            url: "sotto://…".into(),
        };
        let call = Invocation { program: "target/release/sotto".into(), state: " --state 'my state'".into() };
        let steps = next_steps(&Snapshot::default(), &[invite("alice"), invite("bob")], &call).join("\n");
        let join =
            "target/release/sotto join \"$(target/release/sotto invite alice --state 'my state')\" --profile alice";
        assert!(steps.contains(join), "{steps}");
        assert!(steps.contains("send --profile alice bob@a.example"), "{steps}");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
