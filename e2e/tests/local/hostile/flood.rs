//! A hostile colleague sends what cannot be shown: it must not stand in the way of others.

use std::time::Instant;

use sotto_e2e::hostile::{Colleague, thief};
use sotto_e2e::{Finished, Outcome, ensure};
use sotto_wire::content::{Body, Content, Conversation};

use super::stage::{SOON, Stage, at, lines};

/// More than the relay delivers before something is acknowledged (64).
const MANY: usize = 70;
/// A person's patience with a flood: the commands of a test are ended a little later.
const PATIENCE: &str = "80s";

/// What is sent, and so many of it.
type Sends = fn(&Colleague, &str, usize) -> Outcome;

/// Ann receives what waits, within a person's time.
fn receive(stage: &Stage) -> Outcome<Finished> {
    let begin = Instant::now();
    let received = stage.good("ann", &["receive", "-o", "json", "--timeout", "20s"])?;
    ensure(begin.elapsed() < SOON, || format!("it took {} s\n{}", begin.elapsed().as_secs(), received.shown()))?;
    Ok(received)
}

/// Nothing is left at the relay: what comes by a second receiving is nothing.
fn queue_is_empty(stage: &Stage) -> Outcome {
    let left = stage.relay.unacknowledged(&at("ann"))?;
    ensure(left == 0, || format!("{left} messages are not acknowledged"))?;
    let before = stage.relay.delivered(&at("ann"))?.len();
    let again = stage.good("ann", &["receive", "-o", "json"])?;
    let came = stage.relay.delivered(&at("ann"))?.len() - before;
    ensure(came == 0 && again.stdout.is_empty(), || format!("{came} came again\n{}", again.shown()))
}

/// Many messages of a colleague who is as honest as everybody.
fn honest(stage: &Stage, mal: &Colleague) -> Outcome {
    let recipients = mal.recipients(&[&at("ann")], false)?;
    let conversation = Conversation::of([mal.person.address.clone(), recipients[0].device().address().clone()]);
    let conversation = conversation.ok_or_else(|| sotto_e2e::Failure("nobody".into()))?;
    for n in 0..MANY {
        let content = Content::new(conversation.clone(), sotto_e2e::hostile::now_ms(), Body::Text(format!("good {n}")));
        mal.send(&recipients, &sotto_crypto::encode(&content))?;
    }
    stage.good("ben", &["send", &at("ann"), "from ben, among many"])?;
    let received = receive(stage)?;
    let shown = lines(&received)?.len();
    ensure(shown == MANY + 1, || format!("{shown} are shown"))?;
    ensure(!received.stderr.contains("wait"), || format!("told without a reason\n{}", received.shown()))?;
    queue_is_empty(stage)
}

/// Many of a hostile one; ben's comes through, and the queue is empty afterwards.
fn hostile(stage: &Stage, sends: Sends) -> Outcome<Finished> {
    sends(&stage.colleague("mal")?, &at("ann"), MANY)?;
    stage.good("ben", &["send", &at("ann"), "from ben, behind the flood"])?;
    let received = receive(stage)?;
    let shown = lines(&received)?;
    let bens = shown.len() == 1 && shown[0]["text"] == "from ben, behind the flood";
    ensure(bens, || format!("shown: {shown:?}\n{}", received.shown()))?;
    queue_is_empty(stage)?;
    Ok(received)
}

#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn many_messages_of_a_newer_version() -> Outcome {
    let stage = Stage::new(&["ann", "ben", "mal"], "")?;
    honest(&stage, &stage.colleague("mal")?)?;
    let received = hostile(&stage, Colleague::send_newer)?;
    // One line, with nothing in it that the sender has chosen but the address.
    let line = format!("{MANY} messages of {} wait for a newer version of this program", at("mal"));
    let told: Vec<&str> = received.stderr.lines().filter(|line| line.contains(&at("mal"))).collect();
    ensure(told.len() == 1 && told[0].contains(&line), || format!("told: {told:#?}\nwanted: {line}"))
}

#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn many_messages_to_rooms_that_nobody_knows() -> Outcome {
    let stage = Stage::new(&["ann", "ben", "mal"], "")?;
    honest(&stage, &stage.colleague("mal")?)?;
    let received = hostile(&stage, Colleague::send_to_unknown_rooms)?;
    let told = received.stderr.lines().count();
    ensure(told <= 3, || format!("{told} lines\n{}", received.shown()))
}

/// What is set aside is bounded: the profile grows with the first `flood` messages, and not with as many more. Together they
/// are more than anybody wants to keep.
fn bounded(sends: Sends, flood: usize) -> Outcome {
    let stage = Stage::new(&["ann", "ben", "mal"], "")?;
    let mal = stage.colleague("mal")?;
    let size = || thief::size(&stage.site.profile("ann"));
    let mut sizes = vec![size()?];
    for round in 1..=2 {
        sends(&mal, &at("ann"), flood)?;
        let text = format!("from ben, behind flood {round}");
        stage.good("ben", &["send", &at("ann"), &text])?;
        let received = stage.good("ann", &["receive", "-o", "json", "--timeout", PATIENCE])?;
        ensure(received.stdout.contains(&text), || format!("ben's does not come, {round}\n{}", received.shown()))?;
        queue_is_empty(&stage)?;
        sizes.push(size()?);
    }
    let (first, second) = (sizes[1].saturating_sub(sizes[0]), sizes[2].saturating_sub(sizes[1]));
    // The ids of what has come are kept in any case, so that no repeat is believed.
    ensure(second < first.div_ceil(2).max(256 * 1024), || {
        format!("the profile grows by {first} bytes with the first {flood}, by {second} with the next")
    })
}

#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn a_flood_of_a_newer_version_is_bounded() -> Outcome {
    bounded(Colleague::send_newer, 1000)
}

#[test]
#[ignore = "starts whole sites: `make e2e-local`"]
fn a_flood_to_rooms_that_nobody_knows_is_bounded() -> Outcome {
    // Fewer, for each of them costs ann an answer.
    bounded(Colleague::send_to_unknown_rooms, 600)
}
