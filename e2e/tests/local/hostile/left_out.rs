//! A relay claims that a member of a room cannot be written to.

use sotto_e2e::hostile::{Trick, address};
use sotto_e2e::{Outcome, ensure};

use super::stage::{Stage, at, lines};

#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn who_is_left_out_of_a_room_is_named() -> Outcome {
    let stage = Stage::new(&["ann", "ben", "cid"], "")?;
    let (ben, cid) = (at("ben"), at("cid"));
    let room = stage.good("ann", &["room", "create", "Plans", &ben, &cid])?.stdout.trim().to_owned();
    for who in ["ben", "cid"] {
        stage.good(who, &["receive"])?;
    }
    let say = |text: &str| stage.good("ann", &["send", "--conversation", &room, text, "-o", "json"]);

    let sent = say("to everybody")?;
    let line = lines(&sent)?.pop().unwrap_or_default();
    let none = line["leftOut"].is_null() || line["leftOut"] == serde_json::json!([]);
    ensure(none && !sent.stderr.contains(&cid), || format!("told without a reason\n{}", sent.shown()))?;
    let received = stage.good("cid", &["receive"])?;
    ensure(received.stdout.contains("to everybody"), || received.shown())?;

    stage.relay.play(Trick::MemberGone(address(&cid)?));
    let sent = say("to all but one")?;
    let said = sent.stderr.lines().find(|line| line.contains(&cid));
    let why = said.is_some_and(|line| line.contains("cannot be written to"));
    ensure(why, || format!("not told who was left out, and why\n{}", sent.shown()))?;
    let line = lines(&sent)?.pop().unwrap_or_default();
    let left = line["leftOut"].as_array().cloned().unwrap_or_default();
    let named = left.len() == 1 && left[0]["address"] == cid.as_str();
    let reason = left.first().and_then(|l| l["reason"].as_str()).unwrap_or_default();
    ensure(named && reason.contains("cannot be written to"), || format!("send -o json: {line}"))?;
    // The others are not kept from talking.
    let received = stage.good("ben", &["receive"])?;
    ensure(received.stdout.contains("to all but one"), || received.shown())?;
    let received = stage.good("cid", &["receive"])?;
    ensure(!received.stdout.contains("to all but one"), || received.shown())?;

    stage.relay.honest();
    let sent = say("to everybody again")?;
    ensure(!sent.stderr.contains(&cid), || format!("told when it is over\n{}", sent.shown()))?;
    let received = stage.good("cid", &["receive"])?;
    ensure(received.stdout.contains("to everybody again"), || received.shown())
}
