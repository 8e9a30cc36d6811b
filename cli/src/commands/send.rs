//! `sotto send`.

use std::io::Read as _;
use std::time::Duration;

use serde::Serialize;
use sotto_client::{Client, Draft, FileDraft, LeftOut, Sent, Target};
use sotto_crypto::Address;
use sotto_wire::content::{FileKind, MessageRef};
use sotto_wire::limits;

use super::profile::{address, open};
use super::stale::{self, StaleLine};
use super::talk;
use super::trust;
use crate::args::{SendArgs, TextFormat};
use crate::commands::time;
use crate::error::CliError;
use crate::progress::Progress;
use crate::ui::Ui;

/// Runs the command.
pub(crate) async fn run(args: &SendArgs, ui: Ui) -> Result<(), CliError> {
    let (to, text) =
        if args.conversation.is_some() { (Vec::new(), only_text(&args.words)?) } else { split(&args.words)? };
    let text = match text {
        Some("-") => Some(standard_input()?),
        Some(text) => Some(text.to_owned()),
        None => None,
    };
    if text.is_some() && args.quick.is_some() {
        return Err(CliError::usage("--quick N is the text; there cannot be another one"));
    }
    if text.is_none() && args.file.is_none() && args.quick.is_none() {
        return Err(CliError::usage("there is nothing to send").hint("add a text, `-` for standard input, or --file F"));
    }
    let client = open(&args.profile, ui).await?;
    let to = match &args.conversation {
        Some(id) => Target::Conversation(talk::conversation(&client, id).await?.id),
        None => Target::People(to),
    };
    let text = match args.quick {
        Some(number) => Some(quick(&client, number).await?),
        None => text,
    };
    let Some(path) = &args.file else {
        let draft = options(&client, args, Draft::text(text.unwrap_or_default())).await?;
        if args.queue {
            let key = client.outbox().post(to.clone(), draft).await?;
            trust::warn_of(&client, &to, ui).await?;
            return talk::settle(&client, &key, true, args.output, ui).await;
        }
        let sent = client.outbox().send(to.clone(), draft).await;
        // Whether or not it was sent.
        trust::warn_of(&client, &to, ui).await?;
        return report(&sent?, args.output, ui);
    };
    let about = about(args, text)?;
    ui.note(&format!("sealing and uploading {} …", path.display()));
    let about = options(&client, args, about).await?;
    if args.queue {
        let key = client.outbox().post_file(to.clone(), path, about, |_, _| {}).await?;
        trust::warn_of(&client, &to, ui).await?;
        return talk::settle(&client, &key, true, args.output, ui).await;
    }
    let progress = Progress::of(&path.display().to_string());
    let sent = client.outbox().send_file(to.clone(), path, about, move |done, all| progress.at(done, all)).await;
    trust::warn_of(&client, &to, ui).await?;
    report(&sent?, args.output, ui)
}

/// With --conversation there is nothing but the text.
fn only_text(words: &[String]) -> Result<Option<&str>, CliError> {
    match words {
        [] => Ok(None),
        [text] => Ok(Some(text.as_str())),
        _ => {
            Err(CliError::usage("with --conversation there is one text and no address").hint("put the text in quotes"))
        }
    }
}

async fn quick(client: &Client, number: usize) -> Result<String, CliError> {
    let texts = client.conversations().quick_responses().await?;
    number.checked_sub(1).and_then(|n| texts.get(n)).cloned().ok_or_else(|| {
        CliError::usage(format!("there is no quick response {number}"))
            .hint(format!("your security group has {}; `sotto settings` lists them", texts.len()))
    })
}

/// What is known of the file.
fn about(args: &SendArgs, caption: Option<String>) -> Result<FileDraft, CliError> {
    let mut about = FileDraft::new();
    if let Some(words) = caption {
        about = about.caption(words);
    }
    if args.voice {
        about = about.kind(FileKind::Voice);
    }
    if args.video {
        about = about.kind(FileKind::Video);
    }
    if let Some(time) = args.duration {
        about = about.plays_for(time);
    }
    if let Some(picture) = &args.preview {
        let bytes =
            std::fs::read(picture).map_err(|e| CliError::usage(format!("--preview {}: {e}", picture.display())))?;
        about = about.preview(bytes);
    }
    Ok(about)
}

/// What drafts of texts and of files have in common.
trait Options: Sized {
    fn reply_to(self, message: MessageRef) -> Self;
    fn mention(self, who: Address) -> Self;
    fn expires_in(self, time: Duration) -> Self;
    fn burn_after_read(self, time: Duration) -> Self;
}

macro_rules! options {
    ($name:ident) => {
        impl Options for $name {
            fn reply_to(self, message: MessageRef) -> Self {
                self.reply_to(message)
            }
            fn mention(self, who: Address) -> Self {
                self.mention(who)
            }
            fn expires_in(self, time: Duration) -> Self {
                self.expires_in(time)
            }
            fn burn_after_read(self, time: Duration) -> Self {
                self.burn_after_read(time)
            }
        }
    };
}

options!(Draft);
options!(FileDraft);

async fn options<D: Options>(client: &Client, args: &SendArgs, mut draft: D) -> Result<D, CliError> {
    if let Some(id) = &args.reply_to {
        draft = draft.reply_to(talk::message(client, id).await?.key);
    }
    for who in &args.mention {
        draft = draft.mention(address(who)?);
    }
    if let Some(time) = args.expires {
        draft = draft.expires_in(time);
    }
    if let Some(time) = args.burn {
        draft = draft.burn_after_read(time);
    }
    Ok(draft)
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
    /// Whose identity has changed, which the user has not acknowledged.
    changed: Vec<String>,
    left_out: Vec<LeftOutLine>,
    /// Networks whose documents are of a time that is over.
    stale: Vec<StaleLine>,
}

/// A member of a room whom something could not be sent to, for programs.
#[derive(Serialize)]
pub(crate) struct LeftOutLine {
    address: String,
    reason: String,
}

impl From<&LeftOut> for LeftOutLine {
    fn from(left_out: &LeftOut) -> Self {
        Self { address: left_out.address.to_string(), reason: left_out.reason.clone() }
    }
}

/// Who keeps what was sent, and whom it could not be sent to.
pub(super) fn remarks(retained_by: &[Address], left_out: &[LeftOut], ui: Ui) {
    if !retained_by.is_empty() {
        let by = retained_by.iter().map(Address::as_str).collect::<Vec<_>>().join(", ");
        ui.note(&format!("this conversation is retained by {by}"));
    }
    for member in left_out {
        ui.note(&format!("WARNING: {} did not get it: {}", member.address, member.reason));
    }
}

fn report(sent: &Sent, format: TextFormat, ui: Ui) -> Result<(), CliError> {
    remarks(&sent.retained_by, &sent.left_out, ui);
    stale::warn(&sent.stale, ui);
    match format {
        TextFormat::Text => ui.result(&sent.message.to_string()),
        TextFormat::Json => ui.json(&Report {
            message_id: sent.message.to_string(),
            conversation: sent.conversation.id(),
            accepted_at: time(sent.accepted_at_ms),
            expires_at: sent.expires_at_ms.map(time),
            devices: sent.devices,
            retained: !sent.retained_by.is_empty(),
            retained_by: talk::names(&sent.retained_by),
            changed: talk::names(&sent.changed),
            left_out: sent.left_out.iter().map(LeftOutLine::from).collect(),
            stale: sent.stale.iter().map(StaleLine::from).collect(),
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
        assert_eq!(only_text(&words("hello")).unwrap(), Some("hello"));
        assert!(only_text(&words("a@x.example|hello")).is_err());
    }
}
