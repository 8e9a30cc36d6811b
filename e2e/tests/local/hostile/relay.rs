//! What a malicious relay can try with documents and deliveries.

use std::fs;

use serde_json::Value;
use sotto_e2e::hostile::{Trick, address};
use sotto_e2e::{Outcome, ensure, wait_until};

use super::stage::{Stage, at, lines, user};
use crate::site::PATIENCE;

/// A second group, whose passwords may be short.
fn guests() -> String {
    let group = "
apiVersion: sotto.dev/v1alpha1
kind: SecurityGroup
metadata: {name: acme-guests}
spec: {networkRef: {name: acme}, passwordRequirements: {minLength: 8}}
";
    format!("{group}{}", user("gus", "acme", ", securityGroupRef: {name: acme-guests}"))
}

/// The relay gives the rules of another group, validly signed, to somebody who changes their password.
#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn another_groups_rules_for_a_new_password() -> Outcome {
    let stage = Stage::new(&["ann"], &guests())?;
    stage.join("gus")?;
    let change = |old: &str, new: &str, password: &str| {
        fs::write(stage.site.folder().join(new), password)?;
        stage.run("ann", &["password", "--password-file", old, "--new-password-file", new])
    };
    // An honest relay: what the own group asks for, and no more.
    let changed = change("password", "second", "A-Longer-Password-2")?;
    ensure(changed.status.success(), || changed.shown())?;
    let refused = change("second", "short", "Short-44")?;
    ensure(!refused.status.success() && refused.stderr.contains("12"), || refused.shown())?;

    stage.relay.play(Trick::RulesOfGroup("acme-guests".into()));
    for (file, password) in [("third", "A-Longer-Password-3"), ("short", "Short-44")] {
        wait_until("the rules of the other group under the newest head", PATIENCE, || {
            // As they are now: under an older head they would be refused for that.
            stage.good("gus", &["send", &at("ann"), "the rules of guests pass by"])?;
            let refused = change("second", file, password)?;
            ensure(!refused.status.success(), || format!("another group's rules count\n{}", refused.shown()))?;
            ensure(refused.stderr.contains("acme-staff"), || format!("the own group is not named\n{}", refused.shown()))
        })?;
    }
    stage.relay.honest();
    // The old one is still good.
    let changed = change("second", "third", "A-Longer-Password-3")?;
    ensure(changed.status.success(), || changed.shown())
}

/// The relay keeps a newer document back from somebody who has seen it.
#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn an_older_policy_than_was_seen() -> Outcome {
    let stage = Stage::new(&["ann", "ben"], "")?;
    let ben = at("ben");
    stage.good("ann", &["send", &ben, "by the first rules"])?;
    let rules = stage.site.manifests().join("site.yaml");
    let text = fs::read_to_string(&rules)?.replace("minLength: 12", "minLength: 16");
    fs::write(&rules, text)?;
    wait_until("the new rules", PATIENCE, || {
        let group = stage.site.object("SecurityGroup", "acme-staff")?;
        let observed = group["metadata"]["generation"] == group["status"]["observedGeneration"];
        ensure(observed && group["spec"]["passwordRequirements"]["minLength"] == 16, || group.to_string())
    })?;
    stage.good("ann", &["send", &ben, "by the second rules"])?;
    stage.relay.play(Trick::HoldBack);
    let refused = stage.bad("ann", &["send", &ben, "by the first rules again"])?;
    ensure(refused.stderr.contains("older"), || refused.shown())?;
    stage.relay.honest();
    stage.good("ann", &["send", &ben, "by the second rules again"])?;
    let received = stage.good("ben", &["receive"])?;
    ensure(!received.stdout.contains("first rules again"), || received.shown())
}

/// The relay delivers again what was acknowledged, and keeps back what somebody says.
#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn what_comes_again_and_what_does_not_come() -> Outcome {
    let stage = Stage::new(&["ann", "ben", "cid"], "")?;
    let (ann, ben) = (at("ann"), at("ben"));
    stage.good("ben", &["send", &ann, "once"])?;
    let texts = |finished: &sotto_e2e::Finished| -> Outcome<Vec<Value>> {
        Ok(lines(finished)?.into_iter().map(|m| m["text"].clone()).collect())
    };
    let received = stage.good("ann", &["receive", "-o", "json"])?;
    ensure(texts(&received)? == ["once"], || received.shown())?;

    let again = stage.relay.replay(&ann)?;
    ensure(again >= 1, || "nothing was recorded".into())?;
    stage.relay.play(Trick::Drop(address(&ben)?));
    stage.good("ben", &["send", &ann, "never, for now"])?;
    stage.good("cid", &["send", &ann, "from cid"])?;
    let received = stage.good("ann", &["receive", "-o", "json"])?;
    ensure(texts(&received)? == ["from cid"], || received.shown())?;
    let left = stage.relay.forged_left(&ann)?;
    ensure(left == 0, || format!("{left} repeats are not acknowledged"))?;
    let shown = stage.lines("ann", &["history", "show", &ben])?;
    ensure(shown.len() == 1, || format!("{shown:?}"))?;

    // Dropped is not lost: it was not acknowledged.
    stage.relay.honest();
    let received = stage.good("ann", &["receive", "-o", "json"])?;
    ensure(texts(&received)? == ["never, for now"], || received.shown())
}
