//! `sotto verify`.

use serde::Serialize;
use sotto_client::{Anchor, Contact, Error, TrustError, TrustState};

use super::profile::{address, open};
use super::talk::called;
use super::trust::{self, ChangeLine, place};
use crate::args::{TextFormat, VerifyArgs};
use crate::commands::time;
use crate::error::{CliError, Kind};
use crate::ui::Ui;

/// What `-o json` prints, one a line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    address: String,
    /// How they are called.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// `pinned`, `verified`, `replaced` or `changed`.
    state: &'static str,
    safety_number: String,
    fingerprint: String,
    /// By what it is known that the identity is theirs: `membership`, `invite` or `policy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    established_by: Option<&'static str>,
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_safety_number: Option<String>,
    /// A change that was not acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<ChangeLine>,
}

/// Runs the command.
pub(crate) async fn run(args: &VerifyArgs, ui: Ui) -> Result<(), CliError> {
    let client = open(&args.profile, ui).await?;
    let (confirm, who) = confirmed(args)?;
    let Some(who) = who else {
        let contacts = client.contacts().list().await?;
        let all: Vec<_> = contacts.iter().map(|contact| contact.address.clone()).collect();
        trust::warn(&client, &all, ui).await?;
        return contacts.iter().try_for_each(|contact| show(contact, false, args.output, ui));
    };
    let who = address(who)?;
    // What can have been compared, and told, is what was known before this call, not what the relay says now.
    let known = client.contacts().known(std::slice::from_ref(&who)).await?.pop();
    // Always asks the relay first, so that a change is seen before anything is marked.
    let contact = client.contacts().look_up(&who).await?;
    let contact = if args.accept_change {
        let told = known.and_then(|known| known.change).map(|change| change.new);
        let accepted = client.contacts().accept_change(&who, told).await;
        if accepted.is_err() {
            // Told now: then it can be accepted.
            trust::warn(&client, std::slice::from_ref(&who), ui).await?;
        }
        accepted?
    } else if confirm != Confirm::No {
        match known {
            Some(compared) => {
                // What was read out by the other person may be of an identity that counts no more, or never did.
                let ours = digits(&compared.safety_number.to_string());
                if matches!(confirm, Confirm::Number(number) if digits(number) != ours) {
                    return Err(other_number(&compared));
                }
                client.contacts().mark_verified(&compared).await?
            }
            None => return Err(Error::from(TrustError::NotTheCompared(who)).into()),
        }
    } else if args.forget {
        client.contacts().unmark_verified(&who).await?
    } else {
        contact
    };
    trust::warn(&client, std::slice::from_ref(&contact.address), ui).await?;
    show(&contact, true, args.output, ui)
}

/// What is to be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Confirm<'a> {
    /// Nothing.
    No,
    /// That the number was compared, whatever it is.
    Compared,
    /// That this number was compared.
    Number(&'a str),
}

/// What is to be confirmed, and whom: a word behind `--confirm` may be either.
fn confirmed(args: &VerifyArgs) -> Result<(Confirm<'_>, Option<&str>), CliError> {
    match (args.confirm.as_deref(), args.address.as_deref()) {
        (None, address) => Ok((Confirm::No, address)),
        (Some(word), None) if word.contains('@') => Ok((Confirm::Compared, Some(word))),
        (Some(_), None) => {
            Err(CliError::usage("--confirm: whose number?").hint("sotto verify ADDRESS --confirm [NUMBER]"))
        }
        (Some(""), address) => Ok((Confirm::Compared, address)),
        (Some(number), address) if digits(number).len() == 60 => Ok((Confirm::Number(number), address)),
        (Some(number), _) => {
            let count = digits(number).len();
            let error = CliError::usage(format!("--confirm: a safety number has 60 digits, `{number}` has {count}"));
            Err(error.hint("put it in quotes, for it has spaces"))
        }
    }
}

fn digits(number: &str) -> String {
    number.chars().filter(char::is_ascii_digit).collect()
}

fn other_number(contact: &Contact) -> CliError {
    CliError::new(
        Kind::Refused,
        format!(
            "the number is another one: with {} it is {}. They may have registered anew, or somebody is in between",
            contact.address, contact.safety_number
        ),
    )
}

fn show(contact: &Contact, explain: bool, format: TextFormat, ui: Ui) -> Result<(), CliError> {
    let state = trust::state(contact.state);
    let words = match contact.state {
        TrustState::Verified => "verified by you",
        TrustState::Changed => "CHANGED since you verified it: sending is blocked",
        TrustState::Replaced => "CHANGED, and not compared",
        _ => match contact.established_by {
            Some(Anchor::Membership) => "signed by the administrator; not compared yet",
            Some(Anchor::Invite) => "registered with their invite; not compared yet",
            Some(Anchor::Policy) => "a retention process that a policy certifies; not compared yet",
            _ => "not compared yet",
        },
    };
    let who = called(&contact.address, contact.name.as_deref());
    match format {
        TextFormat::Json => ui.json(&Line {
            address: contact.address.to_string(),
            name: contact.name.clone(),
            state,
            safety_number: contact.safety_number.to_string(),
            fingerprint: contact.fingerprint.to_string(),
            established_by: contact.established_by.map(Anchor::word),
            since: time(contact.since_ms),
            new_safety_number: contact.new_safety_number.as_ref().map(ToString::to_string),
            replaced: contact.change.as_ref().map(ChangeLine::from),
        })?,
        TextFormat::Text if explain => {
            ui.result(&format!("{who}  {}\n  {words}, since {}", contact.safety_number, time(contact.since_ms)))?;
            if let Some(change) = &contact.change {
                ui.result(&format!(
                    "  changed from {} to {}, first seen {} {}",
                    change.old,
                    change.new,
                    time(change.since_ms),
                    place(change.seen_in)
                ))?;
            }
            if let Some(new) = &contact.new_safety_number {
                ui.result(&format!("  the identity that the relay shows now has the number\n  {new}"))?;
            }
        }
        TextFormat::Text => ui.result(&format!("{who}  {state}  {}", contact.safety_number))?,
    }
    if explain && contact.state == TrustState::Pinned {
        ui.note(
            "compare the number with theirs by voice or in person; where it is the same, run this again with --confirm",
        );
    }
    if explain && contact.state == TrustState::Replaced {
        ui.note(
            "compare the number with theirs by voice or in person: where it is the same, run this again with --confirm; \
             --accept-change says only that you know of the change",
        );
    }
    if explain && contact.state == TrustState::Changed {
        ui.note("ask them by another way whether they registered anew; if so, run this again with --accept-change");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    #[test]
    fn a_word_behind_confirm_is_a_number_or_an_address() {
        let said = |line: &[&str]| {
            let line = ["sotto", "verify"].iter().chain(line);
            let Command::Verify(args) = Cli::try_parse_from(line).unwrap().command else { panic!("another command") };
            confirmed(&args).map(|(confirm, who)| {
                let number = if let Confirm::Number(number) = confirm { number.to_owned() } else { String::new() };
                (confirm != Confirm::No, number, who.map(str::to_owned))
            })
        };
        let bob = || Some("bob@x.example".to_owned());
        let number = "01234 ".repeat(12);
        assert_eq!(said(&["bob@x.example"]).unwrap(), (false, String::new(), bob()));
        assert_eq!(said(&["bob@x.example", "--confirm"]).unwrap(), (true, String::new(), bob()));
        assert_eq!(said(&["--confirm", "bob@x.example"]).unwrap(), (true, String::new(), bob()));
        assert_eq!(said(&["bob@x.example", "--confirm", &number]).unwrap(), (true, number.clone(), bob()));
        for wrong in [vec!["--confirm"], vec!["--confirm", &number], vec!["bob@x.example", "--confirm", "01234"]] {
            assert_eq!(said(&wrong).unwrap_err().kind, Kind::Usage, "{wrong:?}");
        }
    }
}
