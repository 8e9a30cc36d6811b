//! Does what the interface wants done, on the client library, beside it: what writes, in the order given; what asks, at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sotto_client::{Client, Draft, Error, FileDraft, MessageView, NewRoom, Refusal, Target, TrustError};
use sotto_crypto::Address;
use sotto_wire::content::File;
use sotto_wire::room::RoomChange;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::driver::Work;
use super::effect::{Effect, News, RoomWish, Rules, Words};
use crate::commands::receive::create;
use crate::commands::stale;
use crate::error::hint;

/// Messages that are found at most.
const HITS: u32 = 100;
/// Messages that are fetched at a time while going back to one.
const PAGE: u32 = 500;
/// Paths that are offered.
const PATHS: usize = 8;
/// For what still writes when the interface ends.
const CLOSING: Duration = Duration::from_secs(10);
/// For a last signal.
const GOODBYE: Duration = Duration::from_secs(2);

/// Effects on a client.
pub(crate) struct ClientWork {
    inner: Arc<Inner>,
    writing: mpsc::UnboundedSender<Effect>,
    signals: mpsc::UnboundedSender<Effect>,
    writer: JoinHandle<()>,
    signaller: JoinHandle<()>,
}

struct Inner {
    client: Client,
    news: mpsc::UnboundedSender<News>,
}

/// In which order an effect is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lane {
    /// After all that write and were given before it.
    Writing,
    /// After the signals that were given before it. They may take as long as the network does.
    Signal,
    /// At once.
    Beside,
}

fn lane(effect: &Effect) -> Lane {
    match effect {
        Effect::Post { .. }
        | Effect::Edit { .. }
        | Effect::Delete(_)
        | Effect::Cancel(_)
        | Effect::React { .. }
        | Effect::Pin { .. }
        | Effect::Forward { .. }
        | Effect::MarkRead { .. }
        | Effect::NewRoom { .. }
        | Effect::Room { .. }
        | Effect::MarkVerified(_)
        | Effect::Unverify(_)
        | Effect::AcceptChange { .. } => Lane::Writing,
        Effect::Typing { .. } | Effect::Presence(_) => Lane::Signal,
        _ => Lane::Beside,
    }
}

impl ClientWork {
    pub(crate) fn new(client: Client, news: mpsc::UnboundedSender<News>) -> Self {
        let inner = Arc::new(Inner { client, news });
        let (writing, written) = mpsc::unbounded_channel();
        let (signals, to_signal) = mpsc::unbounded_channel();
        let writer = tokio::spawn(in_order(inner.clone(), written));
        let signaller = tokio::spawn(in_order(inner.clone(), to_signal));
        Self { inner, writing, signals, writer, signaller }
    }

    /// Ends when all that writes is done.
    pub(crate) async fn finish(self) {
        let Self { writing, signals, writer, signaller, .. } = self;
        drop((writing, signals));
        let _ = timeout(CLOSING, writer).await;
        let _ = timeout(GOODBYE, signaller).await;
    }
}

impl Work for ClientWork {
    fn start(&self, effect: Effect) {
        match lane(&effect) {
            // The receivers live as long as this does.
            Lane::Writing => drop(self.writing.send(effect)),
            Lane::Signal => drop(self.signals.send(effect)),
            Lane::Beside => {
                let inner = self.inner.clone();
                tokio::spawn(async move { inner.run(effect).await });
            }
        }
    }
}

async fn in_order(inner: Arc<Inner>, mut effects: mpsc::UnboundedReceiver<Effect>) {
    while let Some(effect) = effects.recv().await {
        inner.run(effect).await;
    }
}

impl Inner {
    /// Does it, and tells what came of it. An interface that has ended hears nothing.
    async fn run(&self, effect: Effect) {
        let news = match self.perform(&effect).await {
            Ok(Some(news)) => news,
            Ok(None) => News::Done(Box::new(effect)),
            Err(reason) => News::Failed { effect: Box::new(effect), reason },
        };
        let _ = self.news.send(news);
    }

    async fn perform(&self, effect: &Effect) -> Result<Option<News>, String> {
        let client = &self.client;
        let told = |e: Error| told(&e);
        let news = match effect {
            Effect::Conversations => News::Conversations(client.conversations().list().await.map_err(told)?),
            Effect::Messages { id, before, limit } => {
                let found = client.conversations().messages(id, *before, *limit).await.map_err(told)?;
                News::Messages { id: id.clone(), before: *before, limit: *limit, found }
            }
            Effect::Since { id, position } => {
                let found = self.since(id, *position).await.map_err(told)?;
                News::Since { id: id.clone(), position: *position, found }
            }
            Effect::Search { words } => {
                let found = client.conversations().search(words, HITS).await.map_err(told)?;
                News::Found { words: words.clone(), found }
            }
            Effect::Jump(key) => News::Jump(client.conversations().message(key).await.map_err(told)?.map(Box::new)),
            Effect::Waiting => News::Waiting(client.waiting().await.map_err(told)?),
            Effect::Begin(people) => {
                let known = client.conversations().with(people).await.map_err(told)?;
                // At once, and again when more is known.
                let _ = self.news.send(News::Begun(Box::new(known)));
                News::Begun(Box::new(client.conversations().learn_with(people).await.map_err(told)?))
            }
            Effect::Contacts => News::Contacts(client.contacts().list().await.map_err(told)?),
            Effect::Identity(who) => News::Contact(Box::new(client.contacts().look_up(who).await.map_err(told)?)),
            Effect::MarkVerified(contact) => {
                News::Contact(Box::new(client.contacts().mark_verified(&contact.0).await.map_err(told)?))
            }
            Effect::Unverify(who) => {
                News::Contact(Box::new(client.contacts().unmark_verified(who).await.map_err(told)?))
            }
            Effect::AcceptChange { who, told: new } => {
                News::Contact(Box::new(client.contacts().accept_change(who, Some(*new)).await.map_err(told)?))
            }
            Effect::Stale => News::Stale(client.stale().await.map_err(told)?.as_ref().map(stale::words)),
            Effect::Rules => News::Rules(self.rules().await.map_err(told)?),
            Effect::SaveFile { transfer, file, path } => {
                let path = self.save(*transfer, file, path).await?;
                News::Saved { transfer: *transfer, path }
            }
            Effect::Paths(typed) => {
                let begin = typed.clone();
                let paths = tokio::task::spawn_blocking(move || paths(&begin)).await.map_err(|e| e.to_string())?;
                News::Paths { typed: typed.clone(), paths }
            }
            Effect::NewRoom { title, members } => {
                let mut room = NewRoom::default();
                (room.title, room.members) = (title.clone(), members.clone());
                News::RoomMade(client.rooms().create(room).await.map_err(told)?)
            }
            _ => return self.write(effect).await,
        };
        Ok(Some(news))
    }

    /// What changes something; there is nothing to show but that it was done.
    async fn write(&self, effect: &Effect) -> Result<Option<News>, String> {
        let client = &self.client;
        let done = match effect {
            Effect::Post { to, words, .. } => client.outbox().post(to.clone(), draft(words)).await.map(drop),
            Effect::SendFile { transfer, to, path, words, .. } => {
                self.send_file(*transfer, to.clone(), path, words).await
            }
            Effect::Edit { key, text } => client.outbox().edit(key, text.clone()).await.map(drop),
            Effect::Delete(key) => client.outbox().delete(key).await,
            Effect::Cancel(key) => match client.outbox().cancel(key).await {
                // Too late: the relay may have it.
                Ok(false) => client.outbox().delete(key).await,
                other => other.map(drop),
            },
            Effect::React { key, emoji, on } => client.outbox().react(key, emoji, *on).await.map(drop),
            Effect::Pin { key, on } => client.outbox().pin(key, *on).await.map(drop),
            Effect::Forward { key, to } => client.outbox().forward(key, to.clone()).await.map(drop),
            Effect::MarkRead { id, up_to } => client.conversations().mark_read(id, *up_to).await,
            Effect::Learn(id) => client.conversations().learn(id).await.map(drop),
            Effect::Typing { id, on } => client.signals().typing(id, *on).await,
            Effect::Presence(state) => client.signals().presence(*state).await,
            Effect::Room { id, change } => client.rooms().change(id, room_change(change)).await,
            _ => Ok(()),
        };
        done.map(|()| None).map_err(|e| told(&e))
    }

    /// All messages from a position on.
    async fn since(&self, id: &str, position: u64) -> Result<Vec<MessageView>, Error> {
        let mut pages: Vec<Vec<MessageView>> = Vec::new();
        let mut before = None;
        loop {
            let page = self.client.conversations().messages(id, before, PAGE).await?;
            let last = page.len() < PAGE as usize || page.first().is_none_or(|m| m.position <= position);
            before = page.first().map(|m| m.position);
            pages.push(page);
            if last {
                break;
            }
        }
        let mut all: Vec<MessageView> = pages.into_iter().rev().flatten().collect();
        all.drain(..all.partition_point(|m| m.position < position));
        Ok(all)
    }

    async fn rules(&self) -> Result<Rules, Error> {
        let policy = self.client.policy().await?;
        let group = policy.group;
        Ok(Rules {
            files: group.files_enabled,
            download: group.file_download_enabled,
            forwarding: group.forwarding_enabled,
            presence: group.presence_enabled,
            retained_by: policy.network.retention_for(&group.name).map(|rule| rule.address.to_string()).collect(),
            quick: group.quick_responses,
        })
    }

    async fn send_file(&self, transfer: u64, to: Target, path: &Path, words: &Words) -> Result<(), Error> {
        let news = self.news.clone();
        let progress = move |done, total| drop(news.send(News::Progress { transfer, done, total }));
        self.client.outbox().post_file(to, &at_home(path), file_draft(words), progress).await.map(drop)
    }

    /// Fetches a file; never over one that is there.
    async fn save(&self, transfer: u64, file: &File, path: &Path) -> Result<PathBuf, String> {
        let path = at_home(path);
        let (dir, name) = place(&path, &file.name);
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let (saved, output) = create(&dir, &name).map_err(|e| e.message)?;
        let mut output = tokio::fs::File::from_std(output);
        let news = self.news.clone();
        let progress = move |done, total| drop(news.send(News::Progress { transfer, done, total }));
        let fetched = match self.client.files().download(file, &mut output, progress).await {
            Ok(_) => output.sync_all().await.map_err(|e| e.to_string()),
            Err(error) => Err(told(&error)),
        };
        match fetched {
            Ok(()) => Ok(saved),
            Err(reason) => {
                let _ = std::fs::remove_file(&saved);
                Err(format!("{name} was not saved: {reason}"))
            }
        }
    }
}

/// An error for the screen, with what can be done about it there.
pub(super) fn told(error: &Error) -> String {
    let remedy = match error {
        Error::Trust(TrustError::IdentityChanged(_) | TrustError::NotTheCompared(_)) => {
            Some("ask them by another way; Alt+V shows the number to compare".to_owned())
        }
        Error::Refused(Refusal::ExpiryTooLong { .. } | Refusal::BurnTooLong { .. }) => {
            Some("choose a shorter time".to_owned())
        }
        Error::Refused(Refusal::TooLong { .. }) => Some("send a long text as a file".to_owned()),
        // What waits is on the screen, and so are the conversations that there are.
        Error::Refused(Refusal::EarlierWaits | Refusal::NoConversation(_)) => None,
        other => hint(other),
    };
    match remedy {
        Some(remedy) => format!("{error}; {remedy}"),
        None => error.to_string(),
    }
}

fn room_change(wish: &RoomWish) -> RoomChange {
    match wish {
        RoomWish::Add(people) => RoomChange::Add(people.clone()),
        RoomWish::Remove(who) => RoomChange::Remove(vec![who.clone()]),
        RoomWish::Moderator(who, on) => RoomChange::Moderator(who.clone(), *on),
        RoomWish::Title(title) => RoomChange::Title(title.clone()),
        RoomWish::Expiry(seconds) => RoomChange::Expiry(*seconds),
        RoomWish::Burn(seconds) => RoomChange::Burn(*seconds),
        RoomWish::Leave => RoomChange::Leave,
    }
}

/// The folder and the name: a path that ends in a slash, or that is a folder, or whose name has no ending while the file's
/// has one, is a folder.
fn place(path: &Path, name: &str) -> (PathBuf, String) {
    let folder = path.is_dir()
        || path.as_os_str().to_string_lossy().ends_with('/')
        || (path.extension().is_none() && !path.exists());
    match (folder, path.file_name(), path.parent()) {
        (false, Some(name), Some(dir)) => {
            let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
            (dir.to_owned(), name.to_string_lossy().into_owned())
        }
        _ => (path.to_owned(), name.to_owned()),
    }
}

/// `~` is the home folder, as in a shell.
fn at_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => path.to_owned(),
    }
}

/// The paths that begin like this, folders with a slash; hidden ones only when asked for.
fn paths(typed: &str) -> Vec<String> {
    let (dir, begin) = typed.rsplit_once('/').map_or(("", typed), |(dir, begin)| (dir, begin));
    let shown = if typed.contains('/') { format!("{dir}/") } else { String::new() };
    let folder = if shown.is_empty() { PathBuf::from(".") } else { at_home(Path::new(&shown)) };
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let wanted = name.starts_with(begin) && (!name.starts_with('.') || begin.starts_with('.'));
            let slash = if entry.path().is_dir() { "/" } else { "" };
            wanted.then(|| format!("{shown}{name}{slash}"))
        })
        .collect();
    found.sort();
    found.truncate(PATHS);
    found
}

fn draft(words: &Words) -> Draft {
    let mut draft = Draft::text(words.text.clone());
    if let Some(key) = &words.reply_to {
        draft = draft.reply_to(key.clone());
    }
    if let Some(s) = words.expires_in_s {
        draft = draft.expires_in(Duration::from_secs(s));
    }
    if let Some(s) = words.burn_after_read_s {
        draft = draft.burn_after_read(Duration::from_secs(s));
    }
    words.mentions.iter().cloned().fold(draft, |draft: Draft, who: Address| draft.mention(who))
}

fn file_draft(words: &Words) -> FileDraft {
    let mut about = FileDraft::new();
    if !words.text.is_empty() {
        about = about.caption(words.text.clone());
    }
    if let Some(key) = &words.reply_to {
        about = about.reply_to(key.clone());
    }
    if let Some(s) = words.expires_in_s {
        about = about.expires_in(Duration::from_secs(s));
    }
    if let Some(s) = words.burn_after_read_s {
        about = about.burn_after_read(Duration::from_secs(s));
    }
    words.mentions.iter().cloned().fold(about, |about: FileDraft, who: Address| about.mention(who))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_file_is_saved() {
        let at = |path: &str| place(Path::new(path), "report.pdf");
        assert_eq!(at("/tmp"), ("/tmp".into(), "report.pdf".into()));
        assert_eq!(at("/nonexistent/folder"), ("/nonexistent/folder".into(), "report.pdf".into()));
        assert_eq!(at("/nonexistent/other.pdf"), ("/nonexistent".into(), "other.pdf".into()));
        assert_eq!(at("other.pdf"), (".".into(), "other.pdf".into()));
        assert_eq!(at("/nonexistent/v1.2/"), ("/nonexistent/v1.2/".into(), "report.pdf".into()));
    }

    #[test]
    fn paths_are_completed() {
        let dir = std::env::temp_dir().join(format!("sotto-paths-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("reports")).unwrap();
        std::fs::write(dir.join("report.pdf"), "x").unwrap();
        std::fs::write(dir.join(".hidden"), "x").unwrap();
        let dir = dir.to_str().unwrap();
        assert_eq!(paths(&format!("{dir}/re")), [format!("{dir}/report.pdf"), format!("{dir}/reports/")]);
        assert_eq!(paths(&format!("{dir}/")).len(), 2);
        assert_eq!(paths(&format!("{dir}/.h")), [format!("{dir}/.hidden")]);
        assert!(paths("/nonexistent/x").is_empty());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn an_error_names_what_can_be_done_on_the_screen() {
        let bob = super::super::tests::a("bob@x.example");
        let said = told(&TrustError::IdentityChanged(bob).into());
        assert!(said.contains("CHANGED") && said.contains("Alt+V") && !said.contains("--"), "{said}");
        let said = told(&Refusal::ExpiryTooLong { max_seconds: 60 }.into());
        assert!(said.contains("60 s at most; choose a shorter time"), "{said}");
        assert!(told(&TrustError::OwnIdentity.into()).ends_with("; tell the administrator"));
    }

    #[test]
    fn what_writes_is_done_in_order() {
        let key = super::super::tests::said(1, "bob@x.example", "").key;
        assert_eq!(lane(&Effect::Delete(key)), Lane::Writing);
        assert_eq!(lane(&Effect::Conversations), Lane::Beside);
        assert_eq!(lane(&Effect::Typing { id: String::new(), on: true }), Lane::Signal);
    }
}
