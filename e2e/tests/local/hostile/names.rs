//! What people are called: as the administrator has signed it, beside the address, and as no relay can have it.

use serde_json::json;
use sotto_e2e::hostile::Trick;
use sotto_e2e::{Outcome, ensure, wait_until};

use super::stage::{ACME, RETAINED, Stage, at, user};
use crate::site::PATIENCE;

#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn a_name_is_shown_beside_the_address_and_no_relay_can_change_it() -> Outcome {
    let ann_in = user("ann", "acme", ", firstName: Ann, lastName: Adams");
    let ben_in = user("ben", "acme", ", firstName: Ben, lastName: Brown");
    let stage = Stage::with(&format!("{ACME}---{RETAINED}{ann_in}{ben_in}"))?;
    ["ann", "ben"].iter().try_for_each(|name| stage.join(name))?;
    let (ann, ben) = (at("ann"), at("ben"));

    // An honest relay: who somebody is, and what they are called, from the first message on.
    stage.good("ann", &["send", &ben, "hello"])?;
    let came = stage.lines("ben", &["receive"])?;
    ensure(came.len() == 1 && came[0]["from"] == ann.as_str() && came[0]["name"] == "Ann Adams", || {
        format!("{came:?}")
    })?;
    stage.good("ben", &["send", &ann, "hello yourself"])?;
    let text = stage.good("ann", &["receive"])?;
    ensure(text.stdout.contains(&format!("{ben} (Ben Brown)")), || text.shown())?;
    is_called(&stage, "Ben Brown")?;

    // A relay that has another name: nothing goes out, and nobody is shown it.
    stage.relay.play(Trick::Call("Ben Brown".into(), "Eve Evans".into()));
    let refused = stage.bad("ann", &["send", &ben, "hello, whoever you are"])?;
    ensure(refused.stderr.contains("membership document"), || refused.shown())?;
    let looked_up = stage.bad("ann", &["verify", &ben])?;
    ensure(looked_up.stderr.contains("membership document"), || looked_up.shown())?;
    is_called(&stage, "Ben Brown")?;
    stage.relay.honest();
    stage.good("ann", &["send", &ben, "as ever"])?;
    is_called(&stage, "Ben Brown")?;

    // The administrator has another one. What cannot be shown is refused with its field.
    stage.site.edit("site.yaml", "lastName: Brown", "lastName: Baker")?;
    wait_until("the new name", PATIENCE, || {
        stage.good("ann", &["send", &ben, "and now?"])?;
        is_called(&stage, "Ben Baker")
    })?;
    stage.site.edit("site.yaml", "lastName: Baker", "lastName: carol@chat.acme.example")?;
    wait_until("that an address is no name", PATIENCE, || {
        let told = stage.site.object("User", "ben")?.to_string();
        ensure(told.contains("spec.lastName") && told.contains('@'), || told)
    })?;

    // The record says what they were called then.
    wait_until("the record", PATIENCE, || {
        let records = stage.site.records()?;
        let of = |text: &str| records.iter().find(|record| record["message"] == text).cloned().unwrap_or_default();
        let (hello, answer) = (of("hello"), of("hello yourself"));
        let good = hello["sender"] == ann.as_str() && hello["sender_name"] == "Ann Adams";
        let named = hello["names"] == json!({ben.as_str(): "Ben Brown"});
        ensure(good && named && answer["sender_name"] == "Ben Brown", || format!("{hello:#}\n{answer:#}"))
    })
}

/// What ben is called, wherever ann looks; his address stands before it.
fn is_called(stage: &Stage, name: &str) -> Outcome {
    let (ben, shown) = (at("ben"), format!("{} ({name})", at("ben")));
    let history = stage.lines("ann", &["history", "show", &ben])?;
    let said = history.iter().filter(|line| line["from"] == ben.as_str());
    let said: Vec<_> = said.map(|line| line["name"].clone()).collect();
    ensure(!said.is_empty() && said.iter().all(|called| called == name), || format!("history: {history:?}"))?;
    let contacts = stage.lines("ann", &["verify"])?;
    let known = contacts.iter().any(|contact| contact["address"] == ben.as_str() && contact["name"] == name);
    ensure(known, || format!("verify: {contacts:?}"))?;
    let conversations = stage.lines("ann", &["conversations"])?;
    ensure(conversations.iter().any(|c| c["names"][&ben] == name), || format!("conversations: {conversations:?}"))?;
    for verb in [vec!["history", "show", ben.as_str()], vec!["verify"], vec!["conversations"]] {
        let text = stage.good("ann", &verb)?;
        ensure(text.stdout.contains(&shown), || format!("{verb:?}: not `{shown}`\n{}", text.shown()))?;
    }
    Ok(())
}
