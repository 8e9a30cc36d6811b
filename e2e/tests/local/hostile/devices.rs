//! A relay shows a list of somebody's devices in which one is that was removed: a stolen one, which would read on.

use serde_json::Value;
use sotto_e2e::hostile::{Trick, address};
use sotto_e2e::{Finished, Outcome, ensure};

use super::stage::{RETAINED, Stage, at, lines};

/// Makes another device of somebody; its id.
fn another_device(stage: &Stage, of: &str, profile: &str) -> Outcome<String> {
    let link = stage.good(of, &["devices", "link"])?.stdout;
    stage.good(profile, &["join", link.trim(), "--password-file", "password", "--label", profile])?;
    let listed = stage.lines(of, &["devices"])?;
    let found = listed.iter().find(|device| device["label"] == profile);
    let id = found.and_then(|device| device["device"].as_str());
    ensure(id.is_some(), || format!("{profile} is not among {listed:?}"))?;
    Ok(id.unwrap_or_default().to_owned())
}

fn received(finished: &Finished) -> Outcome<Vec<Value>> {
    Ok(lines(finished)?.into_iter().filter(|line| line["from"].is_string()).collect())
}

#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn a_removed_device_that_the_relay_puts_back() -> Outcome {
    let stage = Stage::new(&["ann", "ben", "cid"], RETAINED)?;
    let (ann, ben) = (at("ann"), at("ben"));
    stage.met("ann", "ben")?;
    let stolen = another_device(&stage, "ben", "stolen")?;
    let told = stage.good("ben", &["receive"])?;
    ensure(told.stderr.contains(&stolen), || format!("another device, of which ben is not told\n{}", told.shown()))?;
    stage.good("ann", &["send", &ben, "to both"])?;
    for device in ["ben", "stolen"] {
        let came = stage.good(device, &["receive"])?;
        ensure(came.stdout.contains("to both"), || came.shown())?;
    }

    // An honest relay: the device is out, and nobody is told of anything.
    stage.good("ben", &["devices", "remove", &stolen, "--yes"])?;
    stage.bad("stolen", &["receive"])?;
    stage.good("ann", &["send", &ben, "to one"])?;
    let came = stage.good("ben", &["receive", "-o", "json"])?;
    let marked = |line: &Value| line["toRemovedDevice"] == true || line["fromRemovedDevice"] == true;
    ensure(!received(&came)?.iter().any(marked), || format!("marked without a reason\n{}", came.shown()))?;
    ensure(!came.stderr.contains("old list"), || format!("told without a reason\n{}", came.shown()))?;

    // Now it shows the list of before. Who has seen the newer one seals nothing.
    stage.relay.play(Trick::OldDevices(address(&ben)?));
    let refused = stage.bad("ann", &["send", &ben, "not for a thief"])?;
    let why = refused.stderr.contains(&ben) && refused.stderr.contains("older list");
    ensure(why && refused.stderr.contains("nothing was sent"), || format!("not told why\n{}", refused.shown()))?;
    let failed = stage.bad("ann", &["send", &ben, "not for a thief", "-o", "json"])?;
    ensure(failed.stderr.contains("older list"), || failed.shown())?;

    // Who has seen none is deceived; ben is told, with the message and by the device itself.
    stage.good("cid", &["send", &ben, "my first word"])?;
    let came = stage.good("ben", &["receive", "-o", "json"])?;
    let first = received(&came)?.into_iter().find(|line| line["text"] == "my first word");
    ensure(first.as_ref().is_some_and(|line| line["toRemovedDevice"] == true), || {
        format!("not marked\n{}", came.shown())
    })?;
    ensure(came.stderr.contains("old list of your devices") && came.stderr.contains(&stolen), || came.shown())?;
    let shown = stage.good("ben", &["history", "show", &at("cid")])?;
    ensure(shown.stdout.contains("ALSO TO A DEVICE YOU REMOVED"), || shown.shown())?;
    // And nothing that ben says goes out by such a list.
    let refused = stage.bad("ben", &["send", &ann, "by an old list"])?;
    ensure(refused.stderr.contains("your own devices"), || refused.shown())?;

    stage.relay.honest();
    stage.good("ann", &["send", &ben, "as ever"])?;
    stage.good("ben", &["send", &ann, "as ever"])?;
    let came = stage.good("ben", &["receive", "-o", "json"])?;
    ensure(!received(&came)?.iter().any(marked), || format!("marked when it is over\n{}", came.shown()))
}
