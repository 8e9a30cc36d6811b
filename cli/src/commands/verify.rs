//! `sotto verify`.

use serde::Serialize;
use sotto_client::{Contact, Error, TrustError, TrustState};

use super::profile::{address, open};
use crate::args::{TextFormat, VerifyArgs};
use crate::commands::time;
use crate::error::{CliError, Kind};
use crate::ui::{Ui, printable};

/// What `-o json` prints, one a line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    address: String,
    /// `pinned`, `verified` or `changed`.
    state: &'static str,
    safety_number: String,
    fingerprint: String,
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_safety_number: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(args: &VerifyArgs, ui: Ui) -> Result<(), CliError> {
    let client = open(&args.profile, ui).await?;
    let (confirm, who) = confirmed(args)?;
    let Some(who) = who else {
        for contact in client.contacts().await? {
            show(&contact, false, args.output, ui)?;
        }
        return Ok(());
    };
    let who = address(who)?;
    // What can have been compared is what was known before this call, not what the relay says now.
    let known = client.contacts().await?.into_iter().find(|contact| contact.address == who);
    // Always asks the relay first, so that a change is seen before anything is marked.
    let contact = client.identity(&who).await?;
    let contact = if args.accept_change {
        client.accept_change(&who).await?
    } else if let Some(number) = confirm {
        match known {
            Some(compared) => {
                // What was read out by the other person may be of an identity that counts no more, or never did.
                if number.is_some_and(|number| digits(number) != digits(&compared.safety_number.to_string())) {
                    return Err(other_number(&compared));
                }
                client.mark_verified(&compared).await?
            }
            None => return Err(Error::from(TrustError::NotTheCompared(who)).into()),
        }
    } else if args.forget {
        client.unmark_verified(&who).await?
    } else {
        contact
    };
    show(&contact, true, args.output, ui)
}

/// What is to be confirmed, and whom: a word behind `--confirm` may be either.
fn confirmed(args: &VerifyArgs) -> Result<(Option<Option<&str>>, Option<&str>), CliError> {
    let address = args.address.as_deref();
    match args.confirm.as_ref().map(Option::as_deref) {
        Some(Some(word)) if word.contains('@') && address.is_none() => Ok((Some(None), Some(word))),
        Some(_) if address.is_none() => {
            Err(CliError::usage("--confirm: whose number?").hint("sotto verify ADDRESS --confirm [NUMBER]"))
        }
        Some(Some(number)) if digits(number).len() != 60 => Err(CliError::usage(format!(
            "--confirm: a safety number has 60 digits, `{}` has {}",
            printable(number),
            digits(number).len()
        ))
        .hint("put it in quotes, for it has spaces")),
        confirm => Ok((confirm, address)),
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
    let (state, words) = match contact.state {
        TrustState::Verified => ("verified", "verified by you"),
        TrustState::Changed => ("changed", "CHANGED since you verified it: sending is blocked"),
        _ => ("pinned", "pinned when it was first seen; not compared yet"),
    };
    match format {
        TextFormat::Json => ui.json(&Line {
            address: contact.address.to_string(),
            state,
            safety_number: contact.safety_number.to_string(),
            fingerprint: contact.fingerprint.to_string(),
            since: time(contact.since_ms),
            new_safety_number: contact.new_safety_number.as_ref().map(ToString::to_string),
        })?,
        TextFormat::Text if explain => {
            ui.result(&format!(
                "{}  {}\n  {words}, since {}",
                contact.address,
                contact.safety_number,
                time(contact.since_ms)
            ))?;
            if let Some(new) = &contact.new_safety_number {
                ui.result(&format!("  the identity that the relay shows now has the number\n  {new}"))?;
            }
        }
        TextFormat::Text => ui.result(&format!("{}  {state}  {}", contact.address, contact.safety_number))?,
    }
    if explain && contact.state == TrustState::Pinned {
        ui.note(
            "compare the number with theirs by voice or in person; where it is the same, run this again with --confirm",
        );
    }
    if explain && contact.state == TrustState::Changed {
        ui.note("ask them by another way whether they registered anew; if so, run this again with --accept-change");
    }
    Ok(())
}
