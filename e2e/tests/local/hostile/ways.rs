//! The ways by which a false identity of somebody comes to a person.

use sotto_e2e::hostile::{Forged, Shown};
use sotto_e2e::{Finished, Outcome, Terminal, ensure, wait_until};
use sotto_wire::room::RoomChange;

use super::stage::{Stage, at};
use crate::chat::{chat, terminal};
use crate::site::PATIENCE;

/// One way. `ben` is the victim, `ann` the person, `mal` a colleague of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A text in the name of ben.
    Message,
    /// A text whose time is over: nobody is shown it.
    Expired,
    /// A receipt: nobody is shown it.
    Receipt,
    /// Ann looks ben's identity up.
    Lookup,
    /// Ann forwards something, by the outbox.
    Forward,
    /// Ann writes in the chat, by the outbox.
    Chat,
    /// Ann sends, and is told to ask again.
    SecondRound,
    /// An event of a room in the name of ben, passed on by mal.
    Room,
}

impl Way {
    /// As JSON names it.
    pub(crate) fn seen_in(self) -> &'static str {
        match self {
            Self::Message | Self::Expired => "message",
            Self::Receipt => "receipt",
            Self::Lookup => "lookup",
            Self::Forward | Self::Chat | Self::SecondRound => "recipients",
            Self::Room => "room",
        }
    }

    /// Makes everything ready, before the attack: a message to forward, a room.
    pub(crate) fn prepare(self, stage: &Stage) -> Outcome {
        stage.met("ann", "ben")?;
        if self == Self::Room {
            stage.good("mal", &["room", "create", "Plans", &at("ann"), &at("ben")])?;
            ["ann", "ben"].iter().try_for_each(|who| stage.good(who, &["receive"]).map(drop))?;
        }
        Ok(())
    }

    /// The steps of this way, with ben himself.
    pub(crate) fn honest(self, stage: &Stage) -> Outcome<Finished> {
        let (ann, ben) = (at("ann"), at("ben"));
        match self {
            Self::Message => stage.good("ben", &["send", &ann, "from ben himself"]).map(drop)?,
            Self::Expired => {
                stage.good("ben", &["send", &ann, "not for long", "--expires", "1s"])?;
                std::thread::sleep(std::time::Duration::from_millis(1500));
            }
            Self::Receipt => {
                stage.good("ann", &["send", &ben, "for a receipt"])?;
                stage.good("ben", &["receive"])?;
            }
            Self::Room => stage.good("mal", &["room", "title", "Plans", "Other plans"]).map(drop)?,
            Self::Lookup => return stage.good("ann", &["verify", &ben]),
            Self::Forward => return forward(stage),
            Self::Chat => return written_in_chat(stage, false),
            Self::SecondRound => return second_round(stage),
        }
        stage.good("ann", &["receive"])
    }

    /// The same steps, with somebody who claims to be ben.
    pub(crate) fn hostile(self, stage: &Stage) -> Outcome<Finished> {
        let (ann, ben) = (at("ann"), at("ben"));
        let forge = |what| stage.relay.forge(&ben, &ann, what);
        match self {
            Self::Message => forge(Forged::Text("from somebody else".into()))?,
            Self::Expired => forge(Forged::Expired("long over".into()))?,
            Self::Receipt => forge(Forged::Receipt)?,
            Self::Lookup => {
                stage.relay.show_false(&ben, Shown::Lookup)?;
                return stage.good("ann", &["verify", &ben]);
            }
            Self::Forward => {
                stage.relay.show_false(&ben, Shown::Recipients)?;
                return forward(stage);
            }
            Self::Chat => {
                stage.relay.show_false(&ben, Shown::Recipients)?;
                return written_in_chat(stage, true);
            }
            Self::SecondRound => {
                stage.relay.show_false(&ben, Shown::Recipients)?;
                return second_round(stage);
            }
            Self::Room => {
                stage.relay.show_false(&ben, Shown::Lookup)?;
                let mal = stage.colleague("mal")?;
                let (room, heads) = mal.rooms()?.pop().ok_or_else(|| sotto_e2e::Failure("mal has no room".into()))?;
                let change = vec![RoomChange::Title("By somebody else".into())];
                let to = mal.recipients(&[&ann], false)?;
                mal.change_room((room, &heads), &*stage.relay.impostor(&ben)?, change, &to)?;
            }
        }
        stage.good("ann", &["receive"])
    }
}

/// Ann forwards to ben what he wrote to her.
fn forward(stage: &Stage) -> Outcome<Finished> {
    stage.good("ann", &["forward", &greeting(stage)?, &at("ben")])
}

/// The id of ben's first message.
pub(crate) fn greeting(stage: &Stage) -> Outcome<String> {
    let shown = stage.lines("ann", &["history", "show", &at("ben")])?;
    let id = shown.iter().find(|m| m["text"] == "hello ann").and_then(|m| m["messageId"].as_str().map(str::to_owned));
    id.ok_or_else(|| sotto_e2e::Failure(format!("no greeting: {shown:?}")))
}

fn second_round(stage: &Stage) -> Outcome<Finished> {
    stage.relay.play(sotto_e2e::hostile::Trick::RecipientsChange(1));
    stage.good("ann", &["send", &at("ben"), "in two rounds"])
}

/// Opens the chat with ben in a terminal.
pub(crate) fn at_the_terminal(stage: &Stage) -> Outcome<Terminal> {
    let terminal = terminal(&stage.site, 110, 30)?;
    chat(&terminal, "ann")?;
    terminal.keys(&["C-k"])?;
    terminal.shows(&["Go to", "ben"])?;
    terminal.text("ben")?;
    terminal.keys(&["Enter"])?;
    terminal.shows(&["> Write to ben"])?;
    Ok(terminal)
}

/// Ann writes to ben in a terminal; the screen must say that he has changed, or must not.
fn written_in_chat(stage: &Stage, changed: bool) -> Outcome<Finished> {
    let terminal = at_the_terminal(stage)?;
    let text = if changed { "written to somebody else" } else { "written to ben himself" };
    terminal.text(text)?;
    terminal.keys(&["Enter"])?;
    if changed {
        wait_until("that the attacker has it", PATIENCE, || {
            let opened = stage.relay.opened();
            ensure(opened.iter().any(|o| o == text), || format!("{opened:?}"))
        })?;
        // Told at once; the wording is the screen's own.
        let told = |screen: &str| screen.to_lowercase().contains("has changed");
        let seen = wait_until("a word of the change", std::time::Duration::from_secs(15), || {
            let screen = terminal.screen()?;
            ensure(told(&screen), || screen.clone())
        });
        // Whether or not: the profile must be free again.
        end(&terminal)?;
        seen?;
    } else {
        terminal.shows(&["accepted"])?;
        let screen = terminal.screen()?;
        ensure(!screen.to_lowercase().contains("has changed"), || screen.clone())?;
        end(&terminal)?;
    }
    stage.good("ann", &["verify"])
}

pub(crate) fn end(terminal: &Terminal) -> Outcome {
    terminal.keys(&["C-q"])?;
    terminal.shows(&["ended with 0"]).map(drop)
}
