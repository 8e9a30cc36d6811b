//! Whoever is retained sees it, and by whom; whatever a moderator or a peer network does.

use sotto_e2e::{Outcome, ensure, wait_until};
use sotto_wire::room::RoomChange;

use super::stage::{RETAINED, Stage, at, lines};
use crate::chat::{chat, terminal};
use crate::site::PATIENCE;

const ARCHIVE: &str = "retention.acme-records@chat.acme.example";
const BETA_ARCHIVE: &str = "retention.beta-records@chat.beta.example";

/// Ann writes to the room, and everybody sees that it is retained, and by whom.
fn seen_by_everybody(stage: &Stage, (title, room): (&str, &str), text: &str) -> Outcome {
    let sent = stage.good("ann", &["send", "--conversation", room, text, "-o", "json"])?;
    let line = lines(&sent)?.pop().unwrap_or_default();
    ensure(sent.stderr.contains(ARCHIVE), || format!("the writer is not told\n{}", sent.shown()))?;
    let by = line["retained"] == true && line["retainedBy"] == serde_json::json!([ARCHIVE]);
    ensure(by, || format!("send -o json: {line}"))?;
    let received = stage.good("ben", &["receive"])?;
    let shown = received.stdout.lines().find(|line| line.contains(text)).unwrap_or_default();
    ensure(shown.contains("[retained]"), || format!("a reader is not told\n{}", received.shown()))?;
    let received = stage.lines("cid", &["receive"])?;
    let shown = received.iter().find(|line| line["text"] == text).cloned().unwrap_or_default();
    ensure(shown["retained"] == true, || format!("receive -o json: {received:?}"))?;
    for who in ["ann", "ben", "cid"] {
        let all = stage.lines(who, &["conversations"])?;
        let of_room = all.iter().find(|c| c["id"] == room).cloned().unwrap_or_default();
        ensure(of_room["retained"] == true, || format!("conversations of {who}: {of_room}"))?;
        let listed = stage.good(who, &["conversations"])?;
        let shown = listed.stdout.lines().find(|line| line.contains(title)).unwrap_or_default();
        ensure(shown.contains("[retained]"), || format!("the list of {who}\n{}", listed.shown()))?;
    }
    wait_until(&format!("the record of `{text}`"), PATIENCE, || {
        let records = stage.site.records()?;
        ensure(records.iter().any(|r| r.to_string().contains(text)), || format!("{} others", records.len()))
    })
}

/// A moderator makes the retention process a member of a room, and puts it out again.
#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn a_retention_process_that_was_named_a_member() -> Outcome {
    let stage = Stage::new(&["ann", "ben", "cid", "mal"], RETAINED)?;
    let (ann, ben, cid) = (at("ann"), at("ben"), at("cid"));
    let create = |title: &str| -> Outcome<String> {
        let made = stage.good("mal", &["room", "create", title, &ann, &ben, &cid])?;
        for who in ["ann", "ben", "cid"] {
            stage.good(who, &["receive"])?;
        }
        Ok(made.stdout.trim().to_owned())
    };
    let room = create("Plans")?;
    seen_by_everybody(&stage, ("Plans", &room), "without a trick")?;

    // In a room in which nothing was said yet.
    let room = create("Schemes")?;
    let mal = stage.colleague("mal")?;
    let (id, heads) = mal.rooms()?.pop().ok_or_else(|| sotto_e2e::Failure("mal has no room".into()))?;
    let archive = vec![sotto_e2e::hostile::address(ARCHIVE)?];
    let changes = vec![RoomChange::Add(archive.clone()), RoomChange::Remove(archive)];
    mal.change_room((id, &heads), &mal.person, changes, &mal.recipients(&[&ann, &ben, &cid], true)?)?;
    for who in ["ann", "ben", "cid"] {
        stage.good(who, &["receive"])?;
    }
    seen_by_everybody(&stage, ("Schemes", &room), "after the trick")
}

/// An honest client does not make it a member.
#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn a_retention_process_is_not_added_to_a_room() -> Outcome {
    let stage = Stage::new(&["ann", "ben"], RETAINED)?;
    stage.good("ann", &["room", "create", "Plans"])?;
    stage.good("ann", &["room", "add", "Plans", &at("ben")])?;
    let refused = stage.bad("ann", &["room", "add", "Plans", ARCHIVE])?;
    let clear = refused.stderr.contains(ARCHIVE) && refused.stderr.contains("retention process");
    ensure(clear, || format!("it does not say why\n{}", refused.shown()))?;
    let members = stage.lines("ann", &["room", "show", "Plans"])?.pop().unwrap_or_default()["members"].clone();
    ensure(members == serde_json::json!([at("ann"), at("ben")]), || members.to_string())
}

/// Acme keeps no record; the peer network does, from some time on.
#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn a_peer_network_that_retains_says_so_before_the_first_message() -> Outcome {
    let stage = Stage::with_beta(&["ann", "ben"], &["carol", "dora"])?;
    let (carol, dora) = ("carol@chat.beta.example", "dora@chat.beta.example");

    // A peer that keeps nothing: nothing is shown.
    let sent = stage.good("ann", &["send", carol, "not kept by anybody"])?;
    ensure(!sent.stderr.contains("retained"), || format!("told without a reason\n{}", sent.shown()))?;
    let all = stage.lines("ann", &["conversations"])?;
    ensure(all.len() == 1 && all[0]["retained"] == false, || format!("{all:?}"))?;

    let policy = RETAIN_BETA;
    stage.site.save("records.yaml", policy)?;
    wait_until("that Beta retains", PATIENCE, || {
        let object = stage.site.object("RetentionPolicy", "beta-records")?;
        let ready = crate::site::condition(&object, "Ready").is_some_and(|ready| ready["status"] == "True");
        ensure(ready, || object.to_string())
    })?;
    let told = |finished: &sotto_e2e::Finished| finished.stderr.contains(BETA_ARCHIVE);
    let sent = wait_until("that the peer's process is a recipient", PATIENCE, || {
        let sent = stage.good("ann", &["send", dora, "kept by Beta", "-o", "json"])?;
        ensure(told(&sent), || format!("the writer is not told\n{}", sent.shown()))?;
        Ok(sent)
    })?;
    let line = lines(&sent)?.pop().unwrap_or_default();
    ensure(line["retainedBy"] == serde_json::json!([BETA_ARCHIVE]), || line.to_string())?;

    // Ben has never written to Beta. What he sees before anything of his goes there:
    let terminal = terminal(&stage.site, 110, 30)?;
    chat(&terminal, "ben")?;
    terminal.keys(&["C-n"])?;
    terminal.shows(&["New conversation"])?;
    terminal.text(carol)?;
    terminal.keys(&["Enter"])?;
    terminal.shows(&["> Write to carol"])?;
    let screen = wait_until("RETAINED, with nothing written", std::time::Duration::from_secs(15), || {
        let screen = terminal.screen()?;
        ensure(screen.contains("RETAINED") && screen.contains("beta-records"), || screen.clone())
    });
    super::ways::end(&terminal)?;
    screen?;
    let queued = stage.good("ben", &["send", "--queue", dora, "still here"])?;
    let all = stage.lines("ben", &["conversations"])?;
    let of_dora = all.iter().find(|c| c["members"].to_string().contains(dora)).cloned().unwrap_or_default();
    ensure(of_dora["retained"] == true, || format!("conversations: {of_dora}\n{}", queued.shown()))
}

const RETAIN_BETA: &str = "
apiVersion: sotto.dev/v1alpha1
kind: RetentionPolicy
metadata: {name: beta-records}
spec:
  networkRef: {name: beta}
  scope: {allUsers: true}
  destination: {volume: {path: records, storage: {size: 1Gi}}}
";
