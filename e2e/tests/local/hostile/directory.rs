//! Documents of before, and a relay that passes on nothing new: everything is validly signed.

use std::fs;
use std::time::{Duration, Instant};

use sotto_e2e::hostile::Trick;
use sotto_e2e::{Finished, Outcome, ensure, wait_until};

use super::stage::{Stage, at, lines, user};
use crate::site::PATIENCE;

const WARNED: &str = "Nothing has confirmed what is known of chat.acme.example since";
const HOUR_MS: u64 = 3_600_000;

fn is_warned(finished: &Finished) -> bool {
    finished.stderr.contains(WARNED)
}

/// Changes the password rules, and waits until they are everywhere.
fn new_rules(stage: &Stage, from: &str, to: &str) -> Outcome {
    stage.site.edit("site.yaml", from, to)?;
    wait_until("the new rules", PATIENCE, || {
        let group = stage.site.object("SecurityGroup", "acme-staff")?;
        let observed = group["metadata"]["generation"] == group["status"]["observedGeneration"];
        ensure(observed, || group.to_string())
    })
}

/// A relay that holds back whatever is newer is noticed when the head that it shows has expired, by whoever does anything.
#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn a_relay_that_freezes_is_noticed() -> Outcome {
    let life = Duration::from_secs(20);
    let stage = Stage::with_heads_of(life.as_secs(), &["ann", "ben"])?;
    let ben = at("ben");
    // An honest relay: heads are renewed though nothing changes, and nobody is told anything.
    let begin = Instant::now();
    while begin.elapsed() < life + Duration::from_secs(5) {
        let sent = stage.good("ann", &["send", &ben, "all is well", "-o", "json"])?;
        ensure(!is_warned(&sent) && lines(&sent)?[0]["stale"] == serde_json::json!([]), || sent.shown())?;
        std::thread::sleep(Duration::from_secs(4));
    }
    ensure(!is_warned(&stage.good("ben", &["receive"])?), || "ben is warned without a reason".into())?;

    stage.relay.freeze();
    // What ann must not hear of, by the relay's will.
    new_rules(&stage, "minLength: 12", "minLength: 16")?;
    let sent = stage.good("ann", &["send", &ben, "nobody knows yet"])?;
    ensure(!is_warned(&sent), || format!("the head holds still\n{}", sent.shown()))?;
    std::thread::sleep(life + Duration::from_secs(1));
    let sent = stage.good("ann", &["send", &ben, "now it is noticed", "-o", "json"])?;
    ensure(is_warned(&sent), || format!("send does not tell\n{}", sent.shown()))?;
    let printed = lines(&sent)?.pop().unwrap_or_default();
    let told = &printed["stale"][0];
    ensure(told["network"] == "chat.acme.example", || printed.to_string())?;
    let (since, from) = (told["since"].as_str().unwrap_or_default(), told["refusedFrom"].as_str().unwrap_or_default());
    ensure(since.len() >= 20 && from > since, || printed.to_string())?;
    for who in ["ann", "ben"] {
        let received = stage.good(who, &["receive"])?;
        ensure(is_warned(&received), || format!("receive does not tell {who}\n{}", received.shown()))?;
    }
    let me = stage.lines("ann", &["whoami"])?.pop().unwrap_or_default();
    ensure(me["directoryExpiresAt"] == since, || format!("since {since}: {me}"))?;

    stage.relay.honest();
    let sent = stage.good("ann", &["send", &ben, "all is well again"])?;
    ensure(!is_warned(&sent), || sent.shown())
}

/// As time goes on, nothing is sent any more, as the network's administrator wants it.
#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn after_a_week_of_nothing_new_nothing_is_sent() -> Outcome {
    let stage = Stage::new(&["ann", "ben"], "")?;
    let ben = at("ben");
    let days = |days: u64| Trick::Aged { expired_ms: days * 24 * HOUR_MS + HOUR_MS };
    stage.met("ann", "ben")?;
    stage.collude("acme")?;
    stage.relay.play(days(6));
    let sent = stage.good("ann", &["send", &ben, "after six days"])?;
    ensure(is_warned(&sent), || sent.shown())?;
    stage.relay.honest();
    stage.relay.play(days(7));
    let refused = stage.bad("ann", &["send", &ben, "after seven days"])?;
    ensure(refused.status.code() == Some(3), || refused.shown())?;
    ensure(refused.stderr.contains("nothing was sent") && refused.stderr.contains("administrator"), || {
        refused.shown()
    })?;
    // What comes is shown all the same, with the warning.
    let received = stage.good("ann", &["receive"])?;
    ensure(is_warned(&received), || received.shown())?;
    stage.relay.honest();
    let sent = stage.good("ann", &["send", &ben, "confirmed again"])?;
    ensure(!is_warned(&sent), || sent.shown())?;
    let received = stage.good("ben", &["receive"])?;
    ensure(!received.stdout.contains("seven days") && received.stdout.contains("confirmed again"), || {
        received.shown()
    })?;

    // The administrator wants no limit.
    stage.site.edit("site.yaml", "displayName: Acme,", "displayName: Acme, directory: {refuseSendingAfterDays: 0},")?;
    wait_until("no limit", PATIENCE, || {
        stage.relay.honest();
        stage.good("ann", &["receive"])?;
        stage.relay.play(days(400));
        let sent = stage.good("ann", &["send", &ben, "after a year"])?;
        ensure(is_warned(&sent), || sent.shown())
    })
}

/// Somebody new, who has never seen anything of the network, is shown what counted once.
#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn somebody_new_is_shown_old_documents() -> Outcome {
    let stage = Stage::with_heads_of(20, &["ann"])?;
    for name in ["cid", "dan"] {
        stage.site.save(&format!("{name}.yaml"), &user(name, "acme", ""))?;
    }
    wait_until("the invites", PATIENCE, || stage.site.invite("cid").and(stage.site.invite("dan")).map(drop))?;
    let join = |name: &str| {
        let invite = stage.relay.invite(&stage.site.invite(name)?)?;
        let run = stage.site.sotto("join")?.args(["--profile", name, "--password-file", "password"]);
        run.secret_arg(invite).finish()
    };
    // The newest head with documents of before.
    stage.good("ann", &["receive"])?;
    new_rules(&stage, "minLength: 12", "minLength: 16")?;
    stage.relay.play(Trick::OldDocuments);
    let refused = join("cid")?;
    ensure(!refused.status.success(), || format!("old rules count\n{}", refused.shown()))?;
    ensure(refused.stderr.contains("does not lead to the root"), || refused.shown())?;
    stage.relay.honest();

    // Head and documents of before, as they were once.
    stage.good("ann", &["receive"])?;
    stage.relay.freeze();
    std::thread::sleep(Duration::from_secs(21));
    let refused = join("cid")?;
    ensure(!refused.status.success(), || format!("what counted once counts\n{}", refused.shown()))?;
    ensure(refused.stderr.contains("counted until") && refused.stderr.contains("clock"), || refused.shown())?;
    stage.relay.honest();

    let joined = join("cid")?;
    ensure(joined.status.success(), || joined.shown())?;
    let joined = join("dan")?;
    ensure(joined.status.success(), || joined.shown())?;
    stage.good("cid", &["send", &at("dan"), "we are in"]).map(drop)
}

/// The relay's store is that of a backup: the operator signs everything anew by itself, and clients go on.
#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn a_relay_from_a_backup_is_put_right_by_the_operator() -> Outcome {
    let stage = Stage::new(&["ann", "ben"], "")?;
    let folder = stage.site.state().join("networks/default.acme/relay");
    let copy = stage.site.folder().join("backup");
    stage.good("ann", &["receive"])?;
    stage.site.down()?;
    copy_folder(&folder, &copy)?;
    stage.site.up()?.output()?;
    new_rules(&stage, "minLength: 12}", "minLength: 12}, messaging: {quickResponses: [On my way]}")?;
    let knows_the_rules = || {
        let received = stage.good("ann", &["receive"])?;
        ensure(!is_warned(&received), || received.shown())?;
        let shown = stage.good("ann", &["settings"])?;
        ensure(shown.stdout.contains("On my way"), || shown.shown())
    };
    wait_until("ann knows the new rules", PATIENCE, knows_the_rules)?;

    stage.site.down()?;
    fs::remove_dir_all(&folder)?;
    copy_folder(&copy, &folder)?;
    stage.site.up()?.output()?;
    // Ready: and ann is shown nothing older than she has seen.
    knows_the_rules()?;
    let sent = stage.good("ann", &["send", &at("ben"), "after the restore"])?;
    ensure(!is_warned(&sent) && !sent.stderr.contains("older"), || sent.shown())
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) -> Outcome {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, to) = (entry?.path(), to.to_owned());
        let Some(name) = entry.file_name() else { continue };
        if entry.is_dir() {
            copy_folder(&entry, &to.join(name))?;
        } else {
            fs::copy(&entry, to.join(name))?;
        }
    }
    Ok(())
}
