//! `sotto send`.

use std::io::Read as _;

use serde::Serialize;
use sotto_client::{SendOptions, Sent};
use sotto_crypto::Address;
use sotto_wire::limits;

use super::profile::{address, open};
use crate::args::{SendArgs, TextFormat};
use crate::commands::time;
use crate::error::CliError;
use crate::ui::Ui;

/// Runs the command.
pub(crate) async fn run(args: &SendArgs, ui: Ui) -> Result<(), CliError> {
    let (to, text) = split(&args.words)?;
    let text = match text {
        Some("-") => Some(standard_input()?),
        Some(text) => Some(text.to_owned()),
        None => None,
    };
    if text.is_none() && args.file.is_none() {
        return Err(CliError::usage("there is nothing to send").hint("add a text, `-` for standard input, or --file F"));
    }
    let client = open(&args.profile, ui).await?;
    let mut options = SendOptions::default();
    if let Some(time) = args.expires {
        options = options.expires_in(time);
    }
    let sent = match &args.file {
        Some(file) => {
            ui.note(&format!("sealing and uploading {} …", file.display()));
            client.send_file(&to, file, text, options).await?
        }
        None => client.send_text(&to, &text.unwrap_or_default(), options).await?,
    };
    report(&sent, args.output, ui)
}

/// Addresses first; the last word is the text when it is `-` or holds no `@`, or when an address comes before it and
/// it is none.
fn split(words: &[String]) -> Result<(Vec<Address>, Option<&str>), CliError> {
    let (last, before) = words.split_last().ok_or_else(|| CliError::usage("whom to?"))?;
    let (addresses, text) = match Address::parse(last) {
        Ok(_) => (words, None),
        Err(_) if before.is_empty() => (words, None),
        Err(_) => (before, Some(last.as_str())),
    };
    Ok((addresses.iter().map(|a| address(a)).collect::<Result<_, _>>()?, text))
}

fn standard_input() -> Result<String, CliError> {
    let mut text = String::new();
    let most = u64::try_from(limits::MAX_CONTENT).unwrap_or(u64::MAX) + 1;
    std::io::stdin().take(most).read_to_string(&mut text).map_err(|e| {
        CliError::usage(format!("standard input: {e}")).hint("a text is UTF-8; send other things with --file")
    })?;
    let trimmed = text.strip_suffix('\n').map(|t| t.strip_suffix('\r').unwrap_or(t));
    Ok(trimmed.map_or_else(|| text.clone(), str::to_owned))
}

/// What `-o json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    message_id: String,
    conversation: String,
    accepted_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    devices: usize,
    retained: bool,
    retained_by: Vec<String>,
}

fn report(sent: &Sent, format: TextFormat, ui: Ui) -> Result<(), CliError> {
    for who in &sent.changed {
        ui.note(&format!("WARNING: the identity of {who} has changed since you last wrote to them. They may have registered anew; to be sure, compare the number that `sotto verify {who}` prints."));
    }
    if !sent.retained_by.is_empty() {
        let by = sent.retained_by.iter().map(Address::as_str).collect::<Vec<_>>().join(", ");
        ui.note(&format!("this conversation is retained by {by}"));
    }
    match format {
        TextFormat::Text => ui.result(&sent.message.to_string()),
        TextFormat::Json => ui.json(&Report {
            message_id: sent.message.to_string(),
            conversation: sent.conversation.id(),
            accepted_at: time(sent.accepted_at_ms),
            expires_at: sent.expires_at_ms.map(time),
            devices: sent.devices,
            retained: !sent.retained_by.is_empty(),
            retained_by: sent.retained_by.iter().map(ToString::to_string).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split('|').map(str::to_owned).collect()
    }

    #[test]
    fn addresses_come_before_the_text() {
        let line = words("a@x.example|b@x.example|hello there");
        let (to, text) = split(&line).unwrap();
        assert_eq!((to.len(), text), (2, Some("hello there")));
        let line = words("a@x.example|-");
        assert_eq!(split(&line).unwrap().1, Some("-"));
        let line = words("a@x.example|b@x.example");
        let (to, text) = split(&line).unwrap();
        assert_eq!((to.len(), text), (2, None));
        let line = words("a@x.example|meet me @ noon");
        assert_eq!(split(&line).unwrap().1, Some("meet me @ noon"));
        let line = words("not an address|hello");
        assert!(split(&line).unwrap_err().message.contains("not an address"));
        let line = words("hello");
        assert!(split(&line).is_err());
    }
}
