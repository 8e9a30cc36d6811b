//! `sotto receive`.

use std::collections::BTreeSet;
use std::future::ready;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use sotto_client::{Client, Error, Event, Gap, GapEvent, ReceivedMessage, Receiver, UnopenedMessage, clean_name};
use sotto_crypto::Address;
use sotto_wire::content::{Body, File, MessageRef};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use super::acks::Acks;
use super::devices::own_device;
use super::profile::open;
use super::talk::{self, called, names};
use super::trust::{Watch, waits};
use crate::args::{ReceiveArgs, TextFormat};
use crate::commands::time;
use crate::error::{CliError, Kind, told};
use crate::progress::Progress;
use crate::ui::Ui;

/// Without `--timeout`, a relay that connects and then says nothing is waited for this long.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs the command.
pub(crate) async fn run(args: &ReceiveArgs, ui: Ui) -> Result<(), CliError> {
    if let Some(dir) = &args.save_dir {
        std::fs::create_dir_all(dir).map_err(|e| CliError::usage(format!("--save-dir {}: {e}", dir.display())))?;
    }
    let client = open(&args.profile, ui).await?;
    let stop = Stop { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
    // Before anything comes.
    let watch = Watch::begin(&client).await?;
    let gaps = client.gaps().list().await?.into_iter().collect();
    // With a time to wait, a relay that is away comes back within it.
    let receiver = client.receive(args.follow || args.timeout.is_some())?;
    let acks = Acks::of(&receiver);
    let mut session =
        Session { client, receiver, args, ui, shown: 0, acks, watch, gaps, fresh: Fresh::default(), caught_up: false };
    let ended = session.run(stop).await;
    // However it ends: what was printed is not printed again.
    let settled = session.settle(true).await;
    let Session { client, receiver, mut watch, .. } = session;
    receiver.close().await;
    // With the last receipts, the relay may have shown other identities.
    let told = watch.tell_new(&client, ui).await;
    ended.and(settled).and(told)
}

struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

struct Session<'a> {
    client: Client,
    receiver: Receiver,
    args: &'a ReceiveArgs,
    ui: Ui,
    /// Messages shown.
    shown: u64,
    /// Of what was shown and is not acknowledged yet.
    acks: Acks,
    watch: Watch,
    /// What is known to be missing.
    gaps: BTreeSet<Gap>,
    fresh: Fresh,
    /// Whether all that was waiting at the relay has come.
    caught_up: bool,
}

/// What has come since things were last settled.
#[derive(Default)]
struct Fresh {
    /// Whether anything has.
    any: bool,
    /// The same, since the contacts were last looked through.
    any_since_look: bool,
    /// Where something was said.
    spoken_in: BTreeSet<String>,
    /// What is to be marked as read.
    read: Vec<MessageRef>,
}

impl Session<'_> {
    async fn run(&mut self, mut stop: Stop) -> Result<(), CliError> {
        let patience = self.args.timeout.or((!self.args.follow).then_some(PATIENCE));
        let deadline = patience.map(|p| Instant::now() + p);
        loop {
            let event = tokio::select! {
                biased;
                () = stop.wait() => return Ok(()),
                () = until(deadline) => {
                    let waited_for_nothing = !self.args.follow && !self.caught_up && self.shown == 0;
                    return if waited_for_nothing { Err(not_in_time()) } else { Ok(()) };
                }
                event = self.receiver.next(), if !self.acks.is_full() => event,
                // Nothing more is there now.
                () = ready(()), if self.fresh.any => {
                    self.settle(false).await?;
                    continue;
                }
            };
            (self.fresh.any, self.fresh.any_since_look) = (true, true);
            match event {
                None => return Ok(()),
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(event)) => self.handle(event).await?,
            }
            // Without --follow: everything that was waiting, and with --timeout at least one message.
            if !self.args.follow && self.caught_up && (self.shown > 0 || self.args.timeout.is_none()) {
                return Ok(());
            }
        }
    }

    /// Shows an event.
    async fn handle(&mut self, event: Event) -> Result<(), CliError> {
        match event {
            Event::Message(message) => self.message(&message).await?,
            Event::Unopened(unopened) => self.unopened(&unopened),
            Event::Waiting(waiting) => {
                for one in &waiting {
                    self.ui.note(&waits(one, &format!("see `sotto verify {}`", one.sender)));
                }
                let senders: Vec<Address> = waiting.into_iter().map(|one| one.sender).collect();
                self.watch.tell(&self.client, &senders, self.ui).await?;
            }
            Event::Devices(devices) => {
                for device in &devices {
                    self.ui.note(&own_device(device));
                }
            }
            Event::Refused(refused) => self.ui.note(&format!(
                "WARNING: your message {} was refused by {}: {} ({})",
                refused.message, refused.domain, refused.reason, refused.code
            )),
            Event::CaughtUp => self.caught_up = true,
            Event::WrongClock(_) => super::trust::warn_of_clock(&self.client, self.ui),
            Event::PrekeysReplaced => self.ui.note(&format!("WARNING: {}", super::trust::RELAY_WENT_BACK)),
            Event::Disconnected(error, wait) => {
                self.ui.note(&format!("{}\n  connecting again in {} s", told(&error), wait.as_secs_f32().ceil()));
            }
            // Events that a newer library adds.
            _ => {}
        }
        Ok(())
    }

    /// Saves what is to be saved, and prints; acknowledged is only afterwards: what is interrupted before comes again.
    async fn message(&mut self, message: &ReceivedMessage) -> Result<(), CliError> {
        if message.identity_changed {
            self.watch.tell(&self.client, std::slice::from_ref(&message.sender), self.ui).await?;
        }
        for policy in &message.retention_missing {
            self.ui.note(&format!(
                "WARNING: the policy {policy} retains this conversation, but its process did not get the message {} from {}: \
                 somebody has kept it from the record. Tell the administrator.",
                message.message, message.sender
            ));
        }
        if let Some(id) = message.conflicts_with {
            self.ui.note(&format!(
                "WARNING: {} has sent another message under the id {id} before. Both are kept; this one is {}. A program that is in \
                 order does not do that. Tell the administrator.",
                message.sender, message.message
            ));
        }
        let path = match (&message.content.body, &self.args.save_dir) {
            (Body::File(file), Some(dir)) => {
                // This may take long; what was printed before does not wait for it.
                self.acks.send().await?;
                self.save(message, file, dir).await?
            }
            _ => None,
        };
        match self.args.output {
            TextFormat::Text => self.ui.result(&text(message, path.as_deref()))?,
            TextFormat::Json => self.ui.json(&Line::of(message, path.as_deref()))?,
        }
        self.shown += 1;
        self.acks.add(message.receipt());
        self.fresh.spoken_in.insert(message.conversation.id());
        if self.args.mark_read {
            self.fresh.read.push(message.key());
        }
        Ok(())
    }

    /// Acknowledges what was handled, and tells whose identity has changed: whatever that came with, a message that was over
    /// or a receipt, and of everybody in the conversations that were spoken in.
    async fn settle(&mut self, last: bool) -> Result<(), CliError> {
        self.acks.send().await?;
        self.fresh.any = false;
        self.tell_gaps().await?;
        let conversations = self.client.conversations();
        for key in std::mem::take(&mut self.fresh.read) {
            if let Some(view) = conversations.message(&key).await? {
                conversations.mark_read(&view.conversation, view.position).await?;
            }
        }
        for id in std::mem::take(&mut self.fresh.spoken_in) {
            let changed = conversations.get(&id).await?.map(|view| view.changed).unwrap_or_default();
            self.watch.tell(&self.client, &changed, self.ui).await?;
        }
        // Not with every few messages of a long queue.
        if self.fresh.any_since_look && (self.caught_up || last) {
            self.fresh.any_since_look = false;
            self.watch.tell_new(&self.client, self.ui).await?;
        }
        Ok(())
    }

    /// Tells what is missing, as soon as it is noticed, and who says what does not follow what they said before.
    async fn tell_gaps(&mut self) -> Result<(), CliError> {
        let now: BTreeSet<Gap> = self.client.gaps().list().await?.into_iter().collect();
        // What is left of a gap is nothing new.
        let known = |gap: &Gap| {
            let same = |old: &Gap| {
                (&old.conversation, &old.sender, old.device, old.what)
                    == (&gap.conversation, &gap.sender, gap.device, gap.what)
                    && old.from <= gap.from
                    && gap.to <= old.to
            };
            self.gaps.iter().any(same)
        };
        let new: Vec<&Gap> = now.iter().filter(|gap| !known(gap)).collect();
        for gap in new {
            match self.args.output {
                TextFormat::Text => self.ui.result(&gap_text(gap))?,
                TextFormat::Json => self.ui.json(&GapLine::of(gap))?,
            }
        }
        self.gaps = now;
        Ok(())
    }

    fn unopened(&mut self, unopened: &UnopenedMessage) {
        let from = unopened.sender.as_ref().map_or_else(|| "somebody".to_owned(), ToString::to_string);
        let reason = &unopened.reason;
        self.ui.note(&format!("a message that claims to be from {from} cannot be shown: {reason}"));
        self.acks.add(unopened.receipt());
    }

    /// Saves a file. One that cannot be saved is told, and stops nothing: its message stays in the history, and the file
    /// can be fetched from there.
    async fn save(&self, message: &ReceivedMessage, file: &File, dir: &Path) -> Result<Option<PathBuf>, CliError> {
        match save(&self.client, file, dir, self.ui).await {
            Err(error) if error.kind == Kind::Unreachable => {
                self.ui.note(&format!(
                    "the file {} cannot be fetched now: {}\n  `sotto history save {}` fetches it later",
                    continued(&file.name),
                    error.message,
                    message.message
                ));
                Ok(None)
            }
            saved => saved,
        }
    }
}

/// Downloads a file under a name that is free. One that is gone or was changed is told: `None`.
pub(crate) async fn save(client: &Client, file: &File, dir: &Path, ui: Ui) -> Result<Option<PathBuf>, CliError> {
    let allowed = client.policy().await?.group.file_download_enabled;
    if !allowed {
        ui.note("your security group does not allow files to be saved");
        return Ok(None);
    }
    let (path, output) = create(dir, &file.name)?;
    let mut output = tokio::fs::File::from_std(output);
    let progress = Progress::of(&file.name);
    let saved = client.files().download(file, &mut output, |done, total| progress.at(done, total)).await;
    drop(progress);
    match saved {
        Ok(_) => {
            output.sync_all().await?;
            Ok(Some(path))
        }
        Err(error) => {
            let _ = std::fs::remove_file(&path);
            if error.is_retryable() || matches!(error, Error::Store(_)) {
                return Err(error.into());
            }
            ui.note(&format!("the file {} cannot be saved: {}", continued(&file.name), told(&error)));
            Ok(None)
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn not_in_time() -> CliError {
    CliError::new(crate::error::Kind::Unreachable, "the relay did not deliver in time")
        .hint("give it longer with --timeout, or stay with --follow")
}

/// A new file with this name, or with a number in it where that is taken. Nothing is overwritten.
pub(crate) fn create(dir: &Path, name: &str) -> Result<(PathBuf, std::fs::File), CliError> {
    let name = match clean_name(name) {
        empty if empty.is_empty() => "file".to_owned(),
        name => name,
    };
    let (stem, ending) = match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() => (stem.to_owned(), format!(".{ending}")),
        _ => (name, String::new()),
    };
    for n in 0..10_000 {
        let path = dir.join(if n == 0 { format!("{stem}{ending}") } else { format!("{stem} ({n}){ending}") });
        match std::fs::OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(CliError::failed(format!("{}: {e}", path.display()))),
        }
    }
    Err(CliError::failed(format!("{}: too many files of this name", dir.display())))
}

/// A message for people.
fn text(message: &ReceivedMessage, path: Option<&Path>) -> String {
    let body = match &message.content.body {
        Body::Text(text) => text.clone(),
        Body::File(file) => {
            let saved = path.map(|p| format!(", saved as {}", p.display())).unwrap_or_default();
            let caption = file.caption.as_deref().map(|c| format!(" {c}")).unwrap_or_default();
            let what = file.kind.map_or("file", talk::kind);
            format!("[{what} {}, {} bytes{saved}]{caption}", file.name, file.size)
        }
        Body::Edit(target, words) => format!("[edits {}] {words}", target.message),
        Body::Delete(target) => format!("[deletes {}]", target.message),
        Body::React(target, emoji, true) => format!("[reacts to {}] {emoji}", target.message),
        Body::React(target, emoji, false) => {
            format!("[takes its reaction to {} away] {emoji}", target.message)
        }
        Body::Pin(target, true) => format!("[pins {}]", target.message),
        Body::Pin(target, false) => format!("[unpins {}]", target.message),
        _ => "[something that this command does not show]".to_owned(),
    };
    let mut marks = String::new();
    if message.retained() {
        marks.push_str(" [retained]");
    }
    if !message.retention_missing.is_empty() {
        marks.push_str(" [NOT RETAINED as policy asks]");
    }
    if message.conflicts_with.is_some() {
        marks.push_str(" [ID OF ANOTHER MESSAGE]");
    }
    if message.verified {
        marks.push_str(" [verified]");
    }
    if message.identity_changed {
        marks.push_str(" [IDENTITY CHANGED]");
    }
    if message.late {
        marks.push_str(" [came late]");
    }
    if message.sent_in_future() {
        marks.push_str(" [sent in the FUTURE, as it says]");
    }
    if message.removed.from {
        marks.push_str(" [FROM A REMOVED DEVICE]");
    }
    if message.removed.to {
        marks.push_str(" [ALSO TO A DEVICE YOU REMOVED]");
    }
    let others = message.content.conversation.members().len();
    let group = if others > 2 { format!(" (group of {others})") } else { String::new() };
    let sender = called(&message.sender, message.sender_name.as_deref());
    format!("{} {sender}{group}{marks}: {}", time(message.content.sent_at_ms), continued(&body))
}

/// A text behind the head of its line. Every further line is indented: no line that begins at the left is of a stranger's
/// making.
fn continued(text: &str) -> String {
    text.replace('\n', "\n    ")
}

/// Something that is missing, for people: one line, as a message is.
fn gap_text(gap: &Gap) -> String {
    let (at, sender) = (time(gap.at_ms), &gap.sender);
    match (gap.what, gap.to.saturating_sub(gap.from)) {
        (GapEvent::Conflict, _) => format!(
            "{at} {sender} [WARNING] the last message does not follow what the same device said before: there are two of it, or it was put back"
        ),
        (_, 1) => format!("{at} {sender} [WARNING] a message of {sender} is missing"),
        (_, count) => format!("{at} {sender} [WARNING] {count} messages of {sender} are missing"),
    }
}

/// Something that is missing, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GapLine<'a> {
    /// `missing` or `conflict`.
    kind: &'static str,
    from: &'a str,
    device: String,
    conversation: &'a str,
    /// The number of the first message, of all that the device has said in the conversation.
    first: u64,
    count: u64,
    noticed_at: String,
}

impl<'a> GapLine<'a> {
    fn of(gap: &'a Gap) -> Self {
        Self {
            kind: if gap.what == GapEvent::Conflict { "conflict" } else { "missing" },
            from: gap.sender.as_str(),
            device: gap.device.to_string(),
            conversation: &gap.conversation,
            first: gap.from,
            count: gap.to.saturating_sub(gap.from),
            noticed_at: time(gap.at_ms),
        }
    }
}

/// A message for programs.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each with its own name")]
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    message_id: String,
    from: &'a str,
    /// How the sender is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    to: Vec<String>,
    conversation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<FileLine<'a>>,
    /// What is done to another message.
    #[serde(skip_serializing_if = "Option::is_none")]
    edits: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reaction: Option<Reaction<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<Pin>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mentions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarded_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    burn_after_read_seconds: Option<u64>,
    sent_at: String,
    received_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    retained: bool,
    retained_by: Vec<String>,
    /// Names of the policies that should have kept it and did not get it.
    retention_missing: &'a [String],
    /// The id that it bears, where that is another message's.
    #[serde(skip_serializing_if = "Option::is_none")]
    conflicts_with: Option<String>,
    /// Sealed to a one-time prekey: what was recorded of it on its way cannot be opened any more.
    forward_secret: bool,
    verified: bool,
    /// Whether the sender's identity has changed, which the user has not acknowledged.
    identity_changed: bool,
    /// Whether it was told as missing before it came.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    late: bool,
    /// Whether it says that it was sent later than it came: a clock is wrong.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sent_in_future: bool,
    /// The device that it is from is none of its sender's any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    from_removed_device: bool,
    /// It was sealed to a device that its recipient had removed before, too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    to_removed_device: bool,
}

#[derive(Serialize)]
struct Reaction<'a> {
    message: String,
    emoji: &'a str,
    on: bool,
}

#[derive(Serialize)]
struct Pin {
    message: String,
    on: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FileLine<'a> {
    name: &'a str,
    size: u64,
    media_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

impl<'a> Line<'a> {
    fn of(message: &'a ReceivedMessage, path: Option<&Path>) -> Self {
        let (text, file) = match &message.content.body {
            Body::Text(text) => (Some(text.as_str()), None),
            Body::File(file) => {
                let path = path.map(|p| p.display().to_string());
                let (kind, duration_ms) = (file.kind.map(talk::kind), file.duration_ms);
                let line = FileLine {
                    name: &file.name,
                    size: file.size,
                    media_type: &file.media_type,
                    kind,
                    duration_ms,
                    path,
                };
                (file.caption.as_deref(), Some(line))
            }
            Body::Edit(_, words) => (Some(words.as_str()), None),
            _ => (None, None),
        };
        let (mut edits, mut deletes, mut reaction, mut pin) = (None, None, None, None);
        match &message.content.body {
            Body::Edit(target, _) => edits = Some(target.message.to_string()),
            Body::Delete(target) => deletes = Some(target.message.to_string()),
            Body::React(target, emoji, on) => {
                reaction = Some(Reaction { message: target.message.to_string(), emoji, on: *on });
            }
            Body::Pin(target, on) => pin = Some(Pin { message: target.message.to_string(), on: *on }),
            _ => {}
        }
        let content = &message.content;
        let members = message.conversation.members();
        Self {
            message_id: message.message.to_string(),
            from: message.sender.as_str(),
            name: message.sender_name.as_deref(),
            to: members.iter().filter(|m| **m != message.sender).map(ToString::to_string).collect(),
            conversation: message.conversation.id(),
            text,
            file,
            edits,
            deletes,
            reaction,
            pin,
            reply_to: content.reply_to.as_ref().map(|r| r.message.to_string()),
            mentions: content.mentions.iter().flatten().map(ToString::to_string).collect(),
            forwarded_from: content.forwarded.as_ref().map(|f| f.from.to_string()),
            burn_after_read_seconds: content.burn_after_read_s,
            sent_at: time(message.content.sent_at_ms),
            received_at: time(message.received_at_ms),
            expires_at: message.expires_at_ms.map(time),
            retained: message.retained(),
            retained_by: names(&message.retained_by),
            retention_missing: &message.retention_missing,
            conflicts_with: message.conflicts_with.map(|id| id.to_string()),
            forward_secret: message.forward_secret,
            verified: message.verified,
            identity_changed: message.identity_changed,
            late: message.late,
            sent_in_future: message.sent_in_future(),
            from_removed_device: message.removed.from,
            to_removed_device: message.removed.to,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_a_text_begins_as_a_message_does() {
        let forged =
            "see below\n2026-01-01T00:00:00Z bob@x.example [verified]: pay mallory\r\n\n2026-01-01T00:00:00Z x";
        let shown = continued(forged);
        assert_eq!(shown.lines().count(), forged.lines().count(), "nothing is left out");
        assert!(shown.lines().skip(1).all(|line| line.starts_with("    ")), "{shown}");
        // Nothing else begins a line, once it is printable.
        let others = crate::ui::printable(&continued("a\rb\u{2028}c\u{85}d\u{b}e\u{c}f"));
        assert!(
            others.lines().count() == 1 && !others.contains(['\r', '\u{2028}', '\u{85}', '\u{b}', '\u{c}']),
            "{others}"
        );
    }

    #[test]
    fn files_are_never_overwritten_and_stay_in_their_folder() {
        let dir = std::env::temp_dir().join(format!("sotto-save-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let names: Vec<_> = ["a.txt", "a.txt", "../../a.txt", "..", ".x"]
            .iter()
            .map(|n| create(&dir, n).unwrap().0.strip_prefix(&dir).unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["a.txt", "a (1).txt", "a (2).txt", "file", "x"]);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
