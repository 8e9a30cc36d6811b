//! Several devices of one person, by command: added, approved, removed; history moved; passwords changed and lost.

use std::fs;

use serde_json::Value;
use sotto_e2e::{Background, Failure, Outcome, Run, Steps, ensure, fail, wait_until};

use crate::site::{PATIENCE, Site};

const ALICE: &str = "alice@chat.acme.example";
const BOB: &str = "bob@chat.acme.example";

#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn a_persons_devices_from_the_second_to_the_lost_password() -> Outcome {
    let mut steps = Steps::new();
    let site = Site::new()?;
    steps.step("sotto up, alice and bob join and talk", || {
        site.up()?.output()?;
        ["alice", "bob"].iter().try_for_each(|user| site.join(user))?;
        site.send("bob", ALICE, "before the laptop")?.output()?;
        site.receive("alice", "before the laptop").map(drop)
    })?;
    steps.step("a second device joins by link and password, and reads nothing older", || second(&site))?;
    steps.step("what is said reaches both, and one sees what the other says", || both(&site))?;
    steps.step("the history moves by a code", || history(&site))?;
    steps.step("where the group wants it, a device needs an approval", || approval(&site))?;
    steps.step("or a recovery key", || recovery(&site))?;
    steps.step("a device that is removed is out", || removed(&site))?;
    steps.step("a new password, and the old one is no good any more", || new_password(&site))?;
    steps.step("a lost password: a new invite, a new identity, and bob is told", || lost(&site))?;
    steps.step("down", || site.down().map(drop))
}

/// `sotto VERB` with a profile.
fn with(site: &Site, verb: &str, arguments: &[&str], profile: &str) -> Outcome<Run> {
    Ok(site.sotto(verb)?.args(arguments).args(["--profile", profile]))
}

/// `sotto join LINK`, as a new device of alice.
fn link(site: &Site, profile: &str) -> Outcome<Run> {
    let link = with(site, "devices", &["link"], "alice")?.output()?;
    let arguments = [link.trim(), "--password-file", "password", "--label", profile, "-o", "json"];
    with(site, "join", &arguments, profile)
}

/// The code in the first line of JSON that something prints that waits for another device.
fn code(waiting: &mut Background) -> Outcome<String> {
    wait_until("a code", PATIENCE, || {
        let printed = waiting.stdout()?;
        let Some(line) = printed.lines().next() else {
            waiting.still_runs()?;
            return fail("nothing is printed yet");
        };
        let line: Value = serde_json::from_str(line)?;
        line["code"].as_str().map(str::to_owned).ok_or_else(|| Failure(format!("no code: {line}")))
    })
}

/// The last line of JSON, when it has ended well.
fn end(waiting: &mut Background) -> Outcome<Value> {
    wait_until("its end", PATIENCE, || match waiting.ended()? {
        None => fail("it runs"),
        Some(status) => {
            let printed = waiting.printed()?;
            ensure(status.success(), || printed.shown())?;
            let line = printed.stdout.lines().last().unwrap_or_default().to_owned();
            Ok(serde_json::from_str(&line)?)
        }
    })
}

fn devices(site: &Site, profile: &str) -> Outcome<Vec<Value>> {
    let printed = with(site, "devices", &["-o", "json"], profile)?.output()?;
    Ok(printed.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn second(site: &Site) -> Outcome {
    let joined: Value = serde_json::from_str(link(site, "laptop")?.output()?.trim())?;
    ensure(joined["state"] == "joined" && joined["address"] == ALICE, || joined.to_string())?;
    let listed = devices(site, "laptop")?;
    ensure(listed.len() == 2, || format!("{listed:?}"))?;
    ensure(listed.iter().any(|d| d["this"] == true && d["label"] == "laptop"), || format!("{listed:?}"))?;
    let none = with(site, "receive", &["-o", "json"], "laptop")?.output()?;
    ensure(none.is_empty(), || none.clone())
}

fn both(site: &Site) -> Outcome {
    site.send("bob", ALICE, "to both of your devices")?.output()?;
    for profile in ["alice", "laptop"] {
        site.receive(profile, "to both of your devices")?;
    }
    site.send("laptop", BOB, "from my laptop")?.output()?;
    site.receive("bob", "from my laptop")?;
    let seen = site.receive("alice", "from my laptop")?;
    ensure(seen["from"] == ALICE, || seen.to_string())
}

fn history(site: &Site) -> Outcome {
    let mut receiving = with(site, "history", &["receive", "--yes", "-o", "json"], "laptop")?.start()?;
    let code = code(&mut receiving)?;
    let sent = with(site, "history", &["send", &code, "--yes", "-o", "json"], "alice")?.json()?;
    let received = end(&mut receiving)?;
    ensure(sent["state"] == "done" && received["state"] == "done", || format!("{sent} {received}"))?;
    ensure(received["new"].as_u64() >= Some(1) && received["records"] == sent["records"], || received.to_string())?;
    let found = with(site, "history", &["search", "before the laptop", "-o", "json"], "laptop")?.output()?;
    ensure(found.contains("before the laptop"), || format!("found: {found}"))
}

fn approval(site: &Site) -> Outcome {
    site.edit("acme.yaml", "  lockoutThreshold: 10", "  devices: {approvalRequired: true}\n  lockoutThreshold: 10")?;
    wait_until("that the group asks for approval", PATIENCE, || {
        let group = site.object("SecurityGroup", "acme-staff")?;
        let (generation, observed) = (&group["metadata"]["generation"], &group["status"]["observedGeneration"]);
        let asks = group["spec"]["devices"]["approvalRequired"] == true && generation == observed;
        ensure(asks, || group["status"].to_string())
    })?;
    let mut joining = wait_until("a device that waits", PATIENCE, || {
        // The relay may have the new rule a moment later: then the password alone is enough.
        let mut joining = link(site, "tablet")?.start()?;
        match code(&mut joining) {
            Ok(_) => Ok(joining),
            Err(error) => {
                joining.stop()?;
                Err(error)
            }
        }
    })?;
    let code = code(&mut joining)?;
    let wrong = format!("{}{}", if code.starts_with('0') { '1' } else { '0' }, &code[1..]);
    with(site, "devices", &["approve", &wrong, "--yes"], "alice")?.refused()?;
    with(site, "devices", &["approve", &code, "--yes"], "alice")?.output()?;
    let joined = end(&mut joining)?;
    ensure(joined["state"] == "joined", || joined.to_string())?;
    ensure(devices(site, "tablet")?.len() == 3, || "the tablet is not listed".into())
}

fn recovery(site: &Site) -> Outcome {
    let key = with(site, "recovery-key", &[], "alice")?.output()?;
    let file = site.folder().join("recovery");
    fs::write(&file, key.trim())?;
    let joined = link(site, "desktop")?.args(["--recovery-key-file", "recovery"]).output()?;
    ensure(joined.contains("joined"), || joined.clone())?;
    ensure(devices(site, "desktop")?.len() == 4, || "the desktop is not listed".into())
}

fn removed(site: &Site) -> Outcome {
    let listed = devices(site, "alice")?;
    let tablet = listed.iter().find(|d| d["label"] == "tablet").and_then(|d| d["device"].as_str());
    let tablet = tablet.ok_or_else(|| Failure(format!("no tablet: {listed:?}")))?;
    with(site, "devices", &["remove", tablet, "--yes"], "alice")?.output()?;
    let said = with(site, "receive", &[], "tablet")?.refused()?;
    ensure(said.contains("removed"), || said.clone())?;
    with(site, "devices", &["reset", "--yes"], "alice")?.output()?;
    ensure(devices(site, "alice")?.len() == 1, || "reset leaves others".into())
}

fn new_password(site: &Site) -> Outcome {
    fs::write(site.folder().join("new"), "Another-Horse-8-Battery-Staple")?;
    let change = ["--password-file", "password", "--new-password-file", "new"];
    with(site, "password", &change, "alice")?.output()?;
    let recovery = ["--recovery-key-file", "recovery"];
    let said = link(site, "old-password")?.args(recovery).refused()?;
    ensure(said.contains("password"), || said.clone())?;
    fs::copy(site.folder().join("new"), site.folder().join("password"))?;
    link(site, "new-password")?.args(recovery).output().map(drop)
}

fn lost(site: &Site) -> Outcome {
    let contact = with(site, "verify", &[ALICE, "--confirm", "-o", "json"], "bob")?.json()?;
    ensure(contact["state"] == "verified", || contact.to_string())?;
    site.edit("acme.yaml", "  firstName: Alice", "  reset: {invite: \"lost-once\"}\n  firstName: Alice")?;
    let invite = wait_until("a new invite", PATIENCE, || site.invite("alice"))?;
    let arguments = [invite.as_str(), "--password-file", "password", "--replace"];
    with(site, "join", &arguments, "alice")?.output()?;
    ensure(devices(site, "alice")?.len() == 1, || "old devices are left".into())?;
    let said = site.send("bob", ALICE, "is it you?")?.refused()?;
    ensure(said.contains("CHANGED") || said.contains("changed"), || said.clone())?;
    with(site, "verify", &[ALICE, "--accept-change"], "bob")?.output()?;
    site.send("bob", ALICE, "welcome back")?.output()?;
    site.receive("alice", "welcome back").map(drop)
}
