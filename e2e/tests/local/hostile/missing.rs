//! A relay keeps a message from somebody, or from the retention process alone, and says that it was accepted.

use serde_json::{Value, json};
use sotto_e2e::hostile::{Trick, address};
use sotto_e2e::{Outcome, ensure, wait_until};

use super::stage::{RETAINED, Stage, at, lines};
use crate::site::{PATIENCE, condition};

const ARCHIVE: &str = "retention.acme-records@chat.acme.example";

/// Ann says something to ben, and he receives. What he is told of messages that are missing.
fn said(stage: &Stage, text: &str) -> Outcome<Vec<Value>> {
    stage.good("ann", &["send", &at("ben"), text])?;
    received(stage, "ben")
}

fn received(stage: &Stage, who: &str) -> Outcome<Vec<Value>> {
    stage.lines(who, &["receive"])
}

fn missing(lines: &[Value]) -> Vec<&Value> {
    lines.iter().filter(|line| line["kind"] == "missing" || line["kind"] == "conflict").collect()
}

/// What stands in the conversation with ann, as ben sees it.
fn shown(stage: &Stage) -> Outcome<Vec<String>> {
    let all = stage.lines("ben", &["history", "show", &at("ann")])?;
    let word = |line: &Value| match line["kind"].as_str() {
        Some("missing") => format!("{} missing", line["missing"]["count"]),
        _ if line["late"] == true => format!("{} (late)", line["text"].as_str().unwrap_or_default()),
        _ => line["text"].as_str().unwrap_or_default().to_owned(),
    };
    Ok(all.iter().map(word).collect())
}

#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn a_message_that_is_kept_from_somebody_is_noticed_and_comes_late() -> Outcome {
    let stage = Stage::new(&["ann", "ben"], "")?;
    // An honest relay: nothing.
    for text in ["one", "two"] {
        let lines = said(&stage, text)?;
        ensure(missing(&lines).is_empty() && lines.len() == 1, || format!("told without a reason: {lines:?}"))?;
    }
    stage.good("ann", &["receive"])?;

    stage.relay.play(Trick::KeepFrom(address(&at("ben"))?));
    let lines = said(&stage, "three")?;
    ensure(lines.is_empty(), || format!("it was delivered: {lines:?}"))?;
    stage.relay.honest();
    let lines = said(&stage, "four")?;
    let told = missing(&lines);
    let good = lines.len() == 2 && told.len() == 1 && told[0]["from"] == at("ann") && told[0]["count"] == 1;
    ensure(good && told[0]["first"] == 2, || format!("told: {lines:?}"))?;
    let stands = shown(&stage)?;
    ensure(stands == ["one", "two", "1 missing", "four"], || format!("{stands:?}"))?;
    let text = stage.good("ben", &["history", "show", &at("ann")])?;
    ensure(text.stdout.contains("a message is MISSING"), || text.shown())?;
    // Told once, and there until it comes.
    let lines = received(&stage, "ben")?;
    ensure(lines.is_empty(), || format!("told again: {lines:?}"))?;

    // Ann's client is asked with the next that it receives, and answers.
    stage.good("ann", &["receive"])?;
    let lines = received(&stage, "ben")?;
    ensure(lines.len() == 1 && lines[0]["text"] == "three" && lines[0]["late"] == true, || format!("{lines:?}"))?;
    let stands = shown(&stage)?;
    ensure(stands == ["one", "two", "four", "three (late)"], || format!("{stands:?}"))?;
    let lines = said(&stage, "five")?;
    ensure(missing(&lines).is_empty(), || format!("told without a reason: {lines:?}"))
}

#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn a_message_that_is_kept_from_the_record_is_in_it_as_missing_and_then_late() -> Outcome {
    let stage = Stage::new(&["ann", "ben"], RETAINED)?;
    let records = |want: &str, is: &dyn Fn(&[Value]) -> bool| {
        wait_until(want, PATIENCE, || {
            let records = stage.site.records()?;
            ensure(is(&records), || format!("{records:#?}"))
        })
    };
    let has = |records: &[Value], text: &str| records.iter().any(|record| record["message"] == text);
    let events = |records: &[Value]| -> Vec<Value> {
        records.iter().filter(|record| record["msgtype"] == 9300).map(|record| record["gap"]["event"].clone()).collect()
    };
    let complete = |want: &str, words: &[&str]| {
        wait_until(&format!("Complete: {want}"), PATIENCE, || {
            let policy = stage.site.object("RetentionPolicy", "acme-records")?;
            let told = condition(&policy, "Complete").cloned().unwrap_or_default();
            let good = told["status"] == want && words.iter().all(|word| told.to_string().contains(word));
            ensure(good && condition(&policy, "Ready").is_some_and(|c| c["status"] == "True"), || format!("{policy:#}"))
        })
    };
    complete("True", &["Reconciled"])?;
    // The very first message is one of those that are missed.
    stage.relay.play(Trick::KeepFrom(address(ARCHIVE)?));
    let lines = said(&stage, "not for the record")?;
    ensure(lines.len() == 1 && lines[0]["retained"] == true, || format!("ben has it as ever: {lines:?}"))?;
    stage.relay.honest();
    let lines = said(&stage, "for the record")?;
    ensure(missing(&lines).is_empty(), || format!("ben misses nothing: {lines:?}"))?;
    records("the record of what is missing", &|records| {
        has(records, "for the record") && events(records) == ["missing"]
    })?;
    let all = stage.site.records()?;
    let gap = all.iter().find(|record| record["msgtype"] == 9300).cloned().unwrap_or_default();
    let good = gap["sender"] == at("ann") && gap["gap"] == json!({"event": "missing", "first": 0, "count": 1});
    ensure(good && !has(&all, "not for the record"), || format!("{gap}"))?;

    // The administrator is told, until it has come.
    complete("False", &["MessagesMissing", "1 message is missing since", "missing/"])?;
    let status = stage.site.sotto("status")?.args(["--state", "state"]).finish()?;
    ensure(status.stdout.contains("MessagesMissing: 1 message is missing"), || status.shown())?;

    wait_until("the late record", PATIENCE, || {
        let received = stage.good("ann", &["receive", "-o", "json"])?;
        ensure(lines_are_quiet(&received)?, || received.shown())?;
        let records = stage.site.records()?;
        let late = records.iter().any(|record| record["message"] == "not for the record" && record["late"] == true);
        let mut events = events(&records);
        events.sort_by_key(ToString::to_string);
        ensure(late && events == ["came", "missing"], || format!("{records:#?}"))
    })?;
    complete("True", &["Reconciled"])?;
    // Ben hears nothing of it.
    let lines = received(&stage, "ben")?;
    ensure(lines.is_empty(), || format!("{lines:?}"))
}

/// Nobody is shown what devices say to each other.
fn lines_are_quiet(finished: &sotto_e2e::Finished) -> Outcome<bool> {
    Ok(lines(finished)?.is_empty())
}
