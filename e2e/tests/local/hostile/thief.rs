//! A thief of a disk, who has also recorded what the relay delivered.

use rustix::process::{Pid, Signal, kill_process};
use sotto_e2e::hostile::{address, thief};
use sotto_e2e::{Failure, Outcome, ensure, wait_until};
use sotto_wire::api::Delivery;
use sotto_wire::content::{Body, Content};

use super::stage::{Stage, at};
use crate::site::PATIENCE;

/// Messages that are recorded: so many that some secrets lie beside others on every page.
const RECORDED: usize = 12;

/// What the thief can read of what was recorded.
fn stolen(stage: &Stage, recorded: &[Delivery]) -> Outcome<Vec<String>> {
    let loot = thief::steal(&stage.site.profile("ann"))?;
    let ann = (&address(&at("ann"))?, stage.relay.device(&at("ann"))?);
    let unused = loot.prekeys().iter().filter(|prekey| prekey.one_time).count();
    // Otherwise the thief would find nothing because it does not know how to look.
    ensure(unused > 0, || "the thief finds none of the secrets that must be there: has their form changed?".into())?;
    let text = |(content, file): (Vec<u8>, std::path::PathBuf)| {
        let content: Option<Content> = minicbor::decode(&content).ok();
        let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match content.map(|content| content.body) {
            Some(Body::Text(text)) => format!("`{text}`, by a secret in {file}"),
            _ => format!("something, by a secret in {file}"),
        }
    };
    Ok(recorded.iter().filter_map(|delivery| loot.read((ann.0, ann.1), delivery)).map(text).collect())
}

/// Ben's messages, recorded on their way to ann.
fn recorded(stage: &Stage) -> Outcome<Vec<Delivery>> {
    let all = stage.relay.delivered(&at("ann"))?;
    ensure(all.len() >= RECORDED, || format!("{} were delivered", all.len()))?;
    Ok(all)
}

fn write(stage: &Stage) -> Outcome {
    (0..RECORDED).try_for_each(|n| stage.good("ben", &["send", &at("ann"), &format!("secret {n}")]).map(drop))
}

/// After `sotto receive` has ended.
#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn a_thief_after_receiving() -> Outcome {
    let stage = Stage::new(&["ann", "ben"], "")?;
    write(&stage)?;
    // The disk as it was before: whoever has it from then, and the recording, reads everything.
    let before = copy(&stage)?;
    stage.good("ann", &["receive"])?;
    let recorded = recorded(&stage)?;
    let ann = (&address(&at("ann"))?, stage.relay.device(&at("ann"))?);
    let loot = thief::steal(before.path())?;
    let read = recorded.iter().filter(|delivery| loot.read((ann.0, ann.1), delivery).is_some()).count();
    ensure(read >= RECORDED, || format!("the thief does not know how to look: {read} of {}", recorded.len()))?;

    let stolen = stolen(&stage, &recorded)?;
    ensure(stolen.is_empty(), || format!("the thief reads {} of {}: {stolen:#?}", stolen.len(), recorded.len()))
}

/// While `sotto receive --follow` runs, and when it was killed.
#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn a_thief_while_it_receives() -> Outcome {
    let stage = Stage::new(&["ann", "ben"], "")?;
    let mut following = stage.site.follow("ann")?;
    write(&stage)?;
    wait_until("that everything has come", PATIENCE, || {
        following.still_runs()?;
        let printed = following.stdout()?;
        ensure(printed.lines().count() >= RECORDED, || printed.clone())
    })?;
    // The secrets end before the relay hears of it.
    wait_until("that everything is acknowledged", PATIENCE, || {
        let left = stage.relay.unacknowledged(&at("ann"))?;
        ensure(left == 0, || format!("{left} are not"))
    })?;
    let recorded = recorded(&stage)?;
    let running = stolen(&stage, &recorded)?;
    let pid = i32::try_from(following.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Failure("no process".into()))?;
    kill_process(pid, Signal::KILL).map_err(|e| Failure(e.to_string()))?;
    following.wait(PATIENCE)?;
    let killed = stolen(&stage, &recorded)?;
    ensure(running.is_empty() && killed.is_empty(), || {
        format!(
            "of {}, the thief reads while it runs: {running:#?}, and when it was killed: {killed:#?}",
            recorded.len()
        )
    })
}

/// A copy of ann's disk.
fn copy(stage: &Stage) -> Outcome<tempfile::TempDir> {
    let (from, to) = (stage.site.profile("ann"), tempfile::TempDir::new()?);
    for file in thief::files(&from)? {
        let name = file.strip_prefix(&from).map_err(|e| Failure(e.to_string()))?;
        let copy = to.path().join(name);
        if let Some(folder) = copy.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::copy(&file, copy)?;
    }
    Ok(to)
}
