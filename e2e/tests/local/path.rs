//! The whole path on one machine, each step on the one before.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sotto_e2e::{Failure, Figures, Outcome, Steps, ensure, fail, wait_until};

use crate::site::{PATIENCE, Site, condition};

/// A network that lets nobody in, although Acme would talk to it.
const GAMMA: &str = "
apiVersion: sotto.dev/v1alpha1
kind: Network
metadata: {name: gamma}
spec:
  domain: chat.gamma.example
  federation: {mode: Restricted, peers: [{domain: chat.beta.example}]}
---
apiVersion: sotto.dev/v1alpha1
kind: User
metadata: {name: dave}
spec: {networkRef: {name: gamma}}
";

#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn from_up_to_the_retained_message_through_crash_and_restart() -> Outcome {
    let mut steps = Steps::new();
    let mut figures = Figures::new();
    let site = Site::new()?;
    site.save("gamma.yaml", GAMMA)?;
    // Acme would talk to Gamma; Gamma does not list Acme.
    site.edit(
        "acme.yaml",
        "- domain: chat.beta.example",
        "- domain: chat.beta.example\n      - domain: chat.gamma.example",
    )?;
    site.edit("acme.yaml", "      - chat.beta.example", "      - chat.beta.example\n      - chat.gamma.example")?;

    steps.step("sotto up --until-ready", || up(&site, &mut figures))?;
    steps.step("a second up on the same state says that one runs", || {
        let said = site.up()?.refused()?;
        ensure(said.contains("already") && said.contains("sotto down"), || said.clone())
    })?;
    steps.step("status is a List with conditions", || status(&site))?;
    steps.step("alice, bob, carol and dave join", || {
        ["alice", "bob", "carol", "dave"].iter().try_for_each(|user| site.join(user))
    })?;
    steps.step("an invite is good once", || {
        wait_until("that status says Active", PATIENCE, || {
            let alice = site.object("User", "alice")?;
            ensure(alice["status"]["state"] == "Active", || alice["status"].to_string())
        })?;
        let said = site.sotto("invite")?.args(["alice", "--state", "state"]).refused()?;
        ensure(said.contains("has used the invite"), || said.clone())
    })?;
    steps.step("they talk both ways", || talk(&site))?;
    steps.step("the record is there", || record(&site, "the plan is in the usual place"))?;
    steps.step("a file travels", || file(&site))?;
    steps.step("carol of another network gets a message, and it is retained", || {
        site.send("alice", "carol@chat.beta.example", "greetings from acme")?.output()?;
        let came = site.receive("carol", "greetings from acme")?;
        // Across networks people are called as their own administrators say.
        ensure(came["name"] == "Alice Adams", || came.to_string())?;
        record(&site, "greetings from acme")?;
        let records = site.records()?;
        let kept =
            records.iter().find(|record| record["message"] == "greetings from acme").cloned().unwrap_or_default();
        let carol = &kept["names"]["carol@chat.beta.example"];
        ensure(kept["sender_name"] == "Alice Adams" && carol == "Carol Clark", || format!("{kept:#}"))
    })?;
    steps.step("a network that does not allow it refuses, and says why", || {
        let said = site.send("alice", "dave@chat.gamma.example", "let me in")?.refused()?;
        ensure(said.contains("federation") && said.contains("gamma"), || said.clone())
    })?;
    steps.step("kill -9 of the relay with messages queued loses nothing", || crash(&site))?;
    steps.step("down and up keep everything", || restart(&site))?;
    steps.step("a suspended user is out within seconds of saving", || suspend(&site, &mut figures))?;
    steps.step("a lost password ends with a new invite, asked for in the manifest", || reinvite(&site))?;
    steps.step("a removed user is gone, and the records stay", || remove(&site))?;
    steps.step("down leaves no process", || down(&site))?;
    figures.write()
}

fn up(site: &Site, figures: &mut Figures) -> Outcome {
    let begin = Instant::now();
    let printed = site.up()?.output()?;
    figures.time("local_up_to_ready", begin.elapsed());
    for wanted in
        ["Network/acme", "True", "sotto://", "alice@chat.acme.example", "acme-records: file:", "Next:", " join "]
    {
        ensure(printed.contains(wanted), || format!("`{wanted}` is not in:\n{printed}"))?;
    }
    let secret = site.state().join("networks/default.acme/secrets");
    for entry in fs::read_dir(&secret)? {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = entry?.metadata()?.permissions().mode() & 0o077;
        ensure(mode == 0, || format!("others may read secrets: {mode:o}"))?;
    }
    Ok(())
}

fn status(site: &Site) -> Outcome {
    let objects = site.objects()?;
    ensure(objects.len() == 10, || format!("{} objects", objects.len()))?;
    for object in &objects {
        let Some(ready) = condition(object, "Ready") else { return fail(format!("no condition Ready: {object}")) };
        ensure(ready["status"] == "True", || format!("{ready} of {}", object["metadata"]["name"]))?;
        let generation = &object["metadata"]["generation"];
        ensure(
            &object["status"]["observedGeneration"] == generation && &ready["observedGeneration"] == generation,
            || format!("another generation than {generation}: {}", object["status"]),
        )?;
    }
    let acme = site.object("Network", "acme")?;
    let url = acme["status"]["url"].as_str().unwrap_or_default();
    ensure(url.starts_with("http://127.0.0.1:"), || format!("url is {url}"))?;
    let table = site.sotto("status")?.args(["--state", "state"]).output()?;
    ensure(table.contains("Network/acme") && table.contains(url), || table.clone())?;
    let yaml = site.sotto("status")?.args(["--state", "state", "-o", "yaml"]).output()?;
    let yaml: serde_json::Value = serde_yaml::from_str(&yaml).map_err(|e| Failure(e.to_string()))?;
    ensure(yaml["kind"] == "List", || yaml.to_string())
}

fn talk(site: &Site) -> Outcome {
    site.send("alice", "bob@chat.acme.example", "the plan is in the usual place")?.output()?;
    let message = site.receive("bob", "the plan is in the usual place")?;
    ensure(message.to_string().contains("alice@chat.acme.example"), || message.to_string())?;
    let mut alice = site.follow("alice")?;
    site.send("bob", "alice@chat.acme.example", "found it")?.output()?;
    wait_until("the answer", PATIENCE, || {
        alice.still_runs()?;
        let printed = alice.stdout()?;
        ensure(printed.contains("found it"), || printed.clone())
    })?;
    alice.stop()
}

/// Waits for the record of a text and checks what it says.
fn record(site: &Site, text: &str) -> Outcome {
    let record = wait_until(&format!("the record of `{text}`"), PATIENCE, || {
        let records = site.records()?;
        let number = records.len();
        records.into_iter().find(|r| r.to_string().contains(text)).ok_or_else(|| Failure(format!("{number} others")))
    })?;
    ensure(record["sender"] == "alice@chat.acme.example", || record.to_string())?;
    let id = record["message_id"].as_str().unwrap_or_default();
    ensure(id.len() == 32, || format!("message_id {id}"))
}

fn file(site: &Site) -> Outcome {
    let content: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    fs::write(site.folder().join("report.bin"), &content)?;
    let send = site.sotto("send")?.args(["--profile", "bob", "alice@chat.acme.example", "--file", "report.bin"]);
    send.arg("the report").output()?;
    let receive = site.sotto("receive")?.args(["--profile", "alice", "--timeout", "10s", "--save-dir", "downloads"]);
    wait_until("the file", PATIENCE, || {
        receive.output()?;
        let saved = fs::read_dir(site.folder().join("downloads"))?.flatten().next();
        let Some(saved) = saved else { return fail("nothing saved yet") };
        ensure(fs::read(saved.path())? == content, || "another content".into())
    })
}

fn crash(site: &Site) -> Outcome {
    let texts: Vec<String> = (1..=5).map(|n| format!("queued before the crash {n}")).collect();
    for text in &texts {
        site.send("alice", "bob@chat.acme.example", text)?.output()?;
    }
    let before = site.pid("acme-relay")?;
    let pid = Pid::from_raw(before).ok_or_else(|| Failure("no pid".into()))?;
    kill_process(pid, Signal::KILL).map_err(|e| Failure(e.to_string()))?;
    wait_until("another relay process, and everything Ready", PATIENCE, || {
        ensure(site.pid("acme-relay")? != before, || "still the old one".into())?;
        let acme = site.object("Network", "acme")?;
        ensure(condition(&acme, "Ready").is_some_and(|c| c["status"] == "True"), || acme["status"].to_string())
    })?;
    let mut bob = site.follow("bob")?;
    wait_until("all messages", PATIENCE, || {
        bob.still_runs()?;
        let printed = bob.stdout()?;
        match texts.iter().find(|text| !printed.contains(*text)) {
            None => Ok(()),
            Some(missing) => fail(format!("`{missing}` is missing")),
        }
    })?;
    bob.stop()?;
    record(site, "queued before the crash 5")
}

fn restart(site: &Site) -> Outcome {
    site.send("alice", "bob@chat.acme.example", "kept over the restart")?.output()?;
    let invite_url = |site: &Site| Ok::<_, Failure>(site.object("Network", "acme")?["status"]["url"].clone());
    let url = invite_url(site)?;
    let uid = site.object("User", "alice")?["metadata"]["uid"].clone();
    let stopped = site.down()?;
    ensure(stopped.status.success(), || stopped.shown())?;
    let acme = site.object("Network", "acme")?;
    ensure(condition(&acme, "Ready").is_some_and(|c| c["status"] != "True"), || "Ready although nothing runs".into())?;
    site.up()?.output()?;
    ensure(invite_url(site)? == url, || "another address".into())?;
    ensure(site.object("User", "alice")?["metadata"]["uid"] == uid, || "another uid".into())?;
    site.receive("bob", "kept over the restart")?;
    record(site, "kept over the restart")?;
    // The first message is still in bob's store and its record still there.
    record(site, "the plan is in the usual place")
}

fn suspend(site: &Site, figures: &mut Figures) -> Outcome {
    let mut bob = site.follow("bob")?;
    site.send("alice", "bob@chat.acme.example", "before the suspension")?.output()?;
    wait_until("that bob is connected", PATIENCE, || {
        let printed = bob.stdout()?;
        ensure(printed.contains("before the suspension"), || printed.clone())
    })?;
    site.edit("acme.yaml", "firstName: Bob", "suspended: true\n  firstName: Bob")?;
    let begin = Instant::now();
    wait_until("that bob is out", Duration::from_secs(10), || match bob.ended()? {
        Some(status) => ensure(!status.success(), || "receive ended as if all were well".into()),
        None => fail("bob still follows"),
    })?;
    figures.time("local_suspended_after_save", begin.elapsed());
    let printed = bob.printed()?;
    ensure(printed.stderr.contains("suspended"), || printed.shown())?;
    site.send("bob", "alice@chat.acme.example", "am I out?")?.refused()?;
    wait_until("that status says Suspended", PATIENCE, || {
        let user = site.object("User", "bob")?;
        ensure(user["status"]["state"] == "Suspended", || user["status"].to_string())
    })
}

fn reinvite(site: &Site) -> Outcome {
    let user = "kind: User\nmetadata: {name: dave}\nspec: {networkRef: {name: gamma}";
    site.edit("gamma.yaml", &format!("{user}}}"), &format!("{user}, reset: {{invite: lost}}}}"))?;
    wait_until("that status tells of the new invite", PATIENCE, || {
        let dave = site.object("User", "dave")?;
        ensure(dave["status"]["reset"]["invite"] == "lost", || dave["status"].to_string())?;
        ensure(dave["status"]["inviteSecretName"] == "dave-invite", || dave["status"].to_string())
    })?;
    let join = |profile: &str| -> Outcome<_> {
        let run = site.sotto("join")?.args(["--profile", profile, "--password-file", "password"]);
        Ok(run.secret_arg(site.invite("dave")?))
    };
    join("dave-again")?.output()?;
    site.send("dave", "dave@chat.gamma.example", "I am the old one")?.refused()?;
    // Each word once: the invite is used up, and none is made for it again.
    wait_until("that the invite is gone", PATIENCE, || {
        let dave = site.object("User", "dave")?;
        ensure(dave["status"]["inviteSecretName"].is_null(), || dave["status"].to_string())?;
        ensure(dave["status"]["devices"] == 1 && dave["status"]["state"] == "Active", || dave["status"].to_string())
    })?;
    let said = site.sotto("invite")?.args(["dave", "--state", "state"]).refused()?;
    ensure(said.contains("spec.reset.invite"), || said.clone())
}

fn remove(site: &Site) -> Outcome {
    let before = site.records()?.len();
    fs::remove_file(site.manifests().join("gamma.yaml"))?;
    wait_until("that Gamma is gone", PATIENCE, || {
        let left: Vec<_> = site.objects()?.iter().map(|o| o["metadata"]["name"].to_string()).collect();
        ensure(left.len() == 8, || left.join(" "))?;
        ensure(site.pid("gamma-relay").is_err(), || "its relay still runs".into())
    })?;
    // An unknown field: the policy stays as it was, and goes on.
    site.edit("acme.yaml", "kind: RetentionPolicy", "kind: RetentionPolicy\nspecial: {}")?;
    wait_until("that the change is refused", PATIENCE, || {
        let told = site.sotto("status")?.args(["--state", "state"]).finish()?;
        ensure(told.stderr.contains("RetentionPolicy/acme-records: special"), || told.shown())
    })?;
    let policy = site.object("RetentionPolicy", "acme-records")?;
    ensure(condition(&policy, "Ready").is_some_and(|c| c["status"] == "True"), || policy["status"].to_string())?;
    let text = fs::read_to_string(site.manifests().join("acme.yaml"))?;
    let (rest, _) =
        text.split_once("---\n# A retention process").ok_or_else(|| Failure("no retention policy".into()))?;
    site.save("acme.yaml", rest)?;
    wait_until("that the retention process is gone", PATIENCE, || {
        ensure(site.object("RetentionPolicy", "acme-records").is_err(), || "the object is there".into())?;
        ensure(site.pid("acme-retention-acme-records").is_err(), || "the process runs".into())
    })?;
    ensure(site.records()?.len() == before, || "records are gone".into())
}

fn down(site: &Site) -> Outcome {
    let running = site.processes()?;
    ensure(!running.is_empty(), || "nothing ran".into())?;
    for _ in 0..2 {
        let stopped = site.down()?;
        ensure(stopped.status.success(), || stopped.shown())?;
    }
    let left = site.processes()?;
    ensure(left.is_empty(), || format!("still running:\n{}", left.join("\n")))
}
