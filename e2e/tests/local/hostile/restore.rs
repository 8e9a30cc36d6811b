//! The relay's store is put back to what a backup holds, as an administrator does after a disk has failed: it hands out keys that were
//! used. Everybody is told, and nobody loses a message.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sotto_e2e::{Failure, Outcome, ensure, wait_until};

use super::stage::{RETAINED, Stage, at, lines};
use crate::site::PATIENCE;

/// The folder that a relay keeps its store in, somewhere below this one.
fn store_below(folder: &Path) -> Outcome<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name == "relay.sqlite") {
            return Ok(Some(folder.to_owned()));
        }
        if path.is_dir()
            && let Some(found) = store_below(&path)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn copy(from: &Path, to: &Path) -> Outcome {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let to = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &to)?;
        } else {
            fs::copy(&path, to)?;
        }
    }
    Ok(())
}

/// Does something while everything is down.
fn down(stage: &Stage, work: impl FnOnce(&Path) -> Outcome) -> Outcome {
    stage.site.down()?;
    let store = store_below(&stage.site.state())?.ok_or_else(|| Failure("there is no relay.sqlite".into()))?;
    work(&store)?;
    stage.site.up()?.output().map(drop)
}

fn texts(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["text"].as_str()).collect()
}

#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn after_a_restore_of_the_relay_messages_arrive_and_everybody_is_told() -> Outcome {
    let stage = Stage::new(&["ann", "ben"], RETAINED)?;
    stage.met("ann", "ben")?;
    let backup = stage.site.folder().join("backup");
    down(&stage, |store| copy(store, &backup))?;
    for text in ["one", "two"] {
        stage.good("ann", &["send", &at("ben"), text])?;
    }
    let came = stage.good("ben", &["receive", "-o", "json"])?;
    ensure(texts(&lines(&came)?) == ["one", "two"], || came.shown())?;
    ensure(!came.stderr.contains("has forgotten"), || format!("told without a reason\n{}", came.shown()))?;
    down(&stage, |store| {
        fs::remove_dir_all(store)?;
        copy(&backup, store)
    })?;

    // Sealed to a key that ben's device has used: accepted, delivered, and it cannot be opened.
    stage.good("ann", &["send", &at("ben"), "three"])?;
    let told = stage.good("ben", &["receive", "-o", "json"])?;
    ensure(lines(&told)?.is_empty(), || format!("it was opened\n{}", told.shown()))?;
    for words in
        ["WARNING: the relay has forgotten what it has handed out", "does not have any more; it is asked for again"]
    {
        ensure(told.stderr.contains(words), || format!("`{words}` is not told\n{}", told.shown()))?;
    }
    let shown = stage.good("ben", &["history", "show", &at("ann")])?;
    ensure(shown.stdout.contains("a message COULD NOT BE OPENED"), || shown.shown())?;
    // Ann's client is asked with the next that it receives, and answers.
    stage.good("ann", &["receive"])?;
    let came = stage.lines("ben", &["receive"])?;
    ensure(texts(&came) == ["three"] && came[0]["late"] == true, || format!("{came:?}"))?;
    let shown = stage.good("ben", &["history", "show", &at("ann")])?;
    ensure(shown.stdout.contains("three") && !shown.stdout.contains("COULD NOT"), || shown.shown())?;

    // From now on as before.
    stage.good("ann", &["send", &at("ben"), "four"])?;
    let came = stage.good("ben", &["receive", "-o", "json"])?;
    let got = lines(&came)?;
    ensure(texts(&got) == ["four"] && got[0]["forwardSecret"] == true, || came.shown())?;
    ensure(!came.stderr.contains("WARNING"), || came.shown())?;
    wait_until("everything in the record", PATIENCE, || {
        let records = stage.site.records()?;
        for text in ["one", "two", "three", "four"] {
            ensure(records.iter().any(|record| record["message"] == text), || format!("no {text}: {records:#?}"))?;
        }
        Ok(())
    })
}
