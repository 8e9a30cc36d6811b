//! What comes back from the client.

use sotto_client::{ConversationView, MessageView, Waiting};
use sotto_wire::content::Presence;

use super::super::dialog::Choice;
use super::super::dialog::{Dialog, Purpose, Value, found};
use super::super::effect::{Effect, Link, News, RoomWish};
use super::super::keys::Focus;
use super::super::model::{Mode, Model, Open, TYPING_MS};
use crate::commands::trust::waits;

use super::{ask, learn, list, older, open, open_at, reload, show_selected};

/// Takes it in.
pub(super) fn news(model: &mut Model, news: News) -> Vec<Effect> {
    match news {
        News::Link(link) => return connection(model, link),
        News::Changed(id) => return changed(model, &id),
        News::Came { id, sender, identity_changed } => return came(model, &id, &sender, identity_changed),
        News::Typing { id, who, on } => {
            model.typing.retain(|(there, typist, _)| !(*there == id && *typist == who));
            if on && who != model.me {
                model.typing.push((id, who, model.now_ms.saturating_add(TYPING_MS)));
            }
        }
        News::Presence { who, state } => {
            model.presence.insert(who, (state, model.now_ms));
        }
        News::Warning(words) => model.warn(words),
        News::Waiting(waiting) => return held(model, waiting),
        News::Begun(view) => {
            if let Some(begun) = model.begun.as_mut().filter(|begun| begun.id == view.id) {
                *begun = *view;
            }
        }
        News::Note(words) => model.say(words),
        News::Conversations(conversations) => return listed(model, conversations),
        News::Messages { id, before, limit, found } => return messages(model, &id, before, limit, found),
        News::Since { id, position, found } => return since(model, &id, position, found),
        News::Found { words, found } => return search(model, &words, &found),
        News::Jump(Some(message)) => return open_at(model, message.conversation.clone(), message.position),
        News::Jump(None) => model.say("that message is not here"),
        News::Contacts(contacts) => {
            model.contacts = contacts.into_iter().map(|c| (c.address.clone(), c)).collect();
        }
        News::Contact(contact) => {
            if let Some(Dialog::Verify { who, contact: shown, .. }) = &mut model.dialog
                && *who == contact.address
            {
                *shown = Some(contact.clone());
            }
            model.contacts.insert(contact.address.clone(), *contact);
            // What was held back because of it may come now.
            return list(model).into_iter().chain([Effect::Waiting]).collect();
        }
        News::Rules(rules) => model.rules = rules,
        News::Stale(words) => stale(model, words),
        News::Done(effect) => return done(model, &effect),
        News::Failed { effect, reason } => return failed(model, *effect, reason),
        News::RoomMade(id) => {
            let mut effects = open(model, id);
            effects.extend(list(model));
            return effects;
        }
        News::Progress { transfer, done, total } => {
            if let Some(t) = model.transfers.iter_mut().find(|t| t.id == transfer) {
                (t.done, t.total) = (done, total);
            }
            // It has come; what follows shows on its message.
            model.transfers.retain(|t| !(t.durable && t.total > 0 && t.done >= t.total));
        }
        News::Saved { transfer, path } => {
            model.transfers.retain(|t| t.id != transfer);
            model.say(format!("saved as {}", path.display()));
        }
        News::Paths { typed, paths } => {
            if let Some(Dialog::Form(form)) = &mut model.dialog
                && form.purpose == Purpose::SendFile
                && form.active == 0
                && form.text(0) == typed
            {
                let choice =
                    |path: String| Choice { label: path.clone(), detail: String::new(), value: Value::Path(path) };
                form.choices = paths.into_iter().map(choice).collect();
                form.cursor = 0;
            }
        }
    }
    Vec::new()
}

/// Told once in full; the top of the screen says it as long as it is so.
fn stale(model: &mut Model, words: Option<String>) {
    if let Some(words) = words.as_ref().filter(|_| model.stale.is_none()) {
        model.warn(words.clone());
    }
    model.stale = words;
}

fn connection(model: &mut Model, link: Link) -> Vec<Effect> {
    let online = link == Link::Online && model.link != Link::Online;
    model.link = link;
    if !online {
        return Vec::new();
    }
    model.shown_presence = None;
    if let Some(open) = &mut model.open {
        open.learned = false;
    }
    let mut effects = vec![Effect::Rules, Effect::Stale, Effect::Contacts, Effect::Waiting];
    effects.extend(learn(model));
    effects.extend(list(model));
    effects.extend(reload(model));
    effects
}

/// Messages that wait. Told when there are more than before; the conversations with their senders show it as long as they do.
fn held(model: &mut Model, waiting: Vec<Waiting>) -> Vec<Effect> {
    let before = std::mem::replace(&mut model.waiting, waiting);
    let new: Vec<&Waiting> = model.waiting.iter().filter(|one| !before.contains(one)).collect();
    let words: Vec<String> = new.iter().map(|one| format!("{}.", waits(one, "Alt+V"))).collect();
    let told = !words.is_empty();
    for words in words {
        model.warn(words);
    }
    if told { vec![Effect::Contacts] } else { Vec::new() }
}

fn changed(model: &mut Model, id: &str) -> Vec<Effect> {
    let mut effects: Vec<Effect> = list(model).into_iter().collect();
    if model.open.as_ref().is_some_and(|o| o.id == id) {
        effects.extend(reload(model));
    }
    effects
}

fn came(model: &mut Model, id: &str, sender: &sotto_crypto::Address, identity_changed: bool) -> Vec<Effect> {
    let mut effects = changed(model, id);
    model.typing.retain(|(there, who, _)| !(there == id && who == sender));
    if identity_changed {
        model.warn(format!(
            "THE IDENTITY OF {sender} HAS CHANGED: they registered anew, or somebody is in between. Compare the safety \
             number (Alt+V) by voice or in person."
        ));
        effects.push(Effect::Contacts);
    } else if !model.contacts.contains_key(sender) {
        effects.push(Effect::Contacts);
    }
    let seen = model.looked_at && model.open.as_ref().is_some_and(|o| o.id == id);
    if *sender != model.me && !seen && model.link == Link::Online {
        effects.push(Effect::Bell);
    }
    // Whoever writes is there.
    if let Some((state, _)) = model.presence.get(sender).copied()
        && state != Presence::Available
    {
        model.presence.remove(sender);
    }
    effects
}

fn listed(model: &mut Model, conversations: Vec<ConversationView>) -> Vec<Effect> {
    model.conversations = conversations;
    let mut effects = Vec::new();
    // How it has changed is with the contacts.
    let new = |who: &sotto_crypto::Address| model.contacts.get(who).is_none_or(|contact| contact.change.is_none());
    if model.conversations.iter().flat_map(|c| &c.changed).any(new) {
        effects.push(Effect::Contacts);
    }
    effects.extend(learn(model));
    // What can be chosen in front of it has changed with it.
    if matches!(model.dialog, Some(Dialog::Form(_)))
        && let Some(Dialog::Form(mut form)) = model.dialog.take()
    {
        form.choose(model);
        model.dialog = Some(Dialog::Form(form));
    }
    if model.begun.as_ref().is_some_and(|b| model.conversations.iter().any(|c| c.id == b.id)) {
        model.begun = None;
        effects.extend(reload(model));
    }
    if model.list_load.done() {
        effects.push(Effect::Conversations);
    }
    // At the begin: the newest conversation is open, and nothing is marked as read in one that is not looked at.
    if model.open.is_none()
        && model.cursor.is_none()
        && model.dialog.is_none()
        && let Some(id) = model.conversations.first().map(|c| c.id.clone())
    {
        effects.extend(open(model, id));
        if model.size.0 < super::super::view::areas::WIDE {
            model.focus = Focus::List;
        }
    }
    effects
}

/// The first that was not read, of messages that have just come.
fn first_new(messages: &[MessageView], unread: u32) -> Option<u64> {
    let nth = usize::try_from(unread).ok()?.checked_sub(1)?;
    let others = messages.iter().rev().filter(|m| !m.own);
    others.take(nth + 1).last().map(|m| m.position)
}

fn messages(model: &mut Model, id: &str, before: Option<u64>, limit: u32, found: Vec<MessageView>) -> Vec<Effect> {
    let Some(open) = model.open.as_mut().filter(|o| o.id == id) else { return Vec::new() };
    let few = found.len() < limit as usize;
    if before.is_some() {
        open.loading_older = false;
        open.complete |= few;
        let first = open.messages.first().map_or(u64::MAX, |m| m.position);
        let older: Vec<MessageView> = found.into_iter().filter(|m| m.position < first).collect();
        open.messages.splice(0..0, older);
        return Vec::new();
    }
    open.complete = few;
    take(open, found);
    loaded(model)
}

fn since(model: &mut Model, id: &str, position: u64, found: Vec<MessageView>) -> Vec<Effect> {
    let Some(open) = model.open.as_mut().filter(|o| o.id == id) else { return Vec::new() };
    // What came before these while they were asked for stays.
    let mut kept: Vec<MessageView> = open.messages.drain(..).filter(|m| m.position < position).collect();
    kept.extend(found);
    take(open, kept);
    loaded(model)
}

fn take(open: &mut Open, messages: Vec<MessageView>) {
    open.messages = messages;
    if !open.loaded {
        open.loaded = true;
        open.new_from = first_new(&open.messages, open.unread);
    }
    // Where it is gone, to the one before it.
    if let Some(jump) = open.jump.take()
        && let Some(message) = open.messages.get(open.index_of(jump))
    {
        open.selected = Some(message.position);
        open.anchor = Some((message.position, 0));
    }
    if open.selected.is_some() && open.selected().is_none() {
        // It is gone; the one before takes its place.
        let at = open.index_of(open.selected.unwrap_or_default());
        open.selected = open.messages.get(at).map(|m| m.position);
    }
}

fn loaded(model: &mut Model) -> Vec<Effect> {
    let mut effects = Vec::new();
    if let Some(open) = &mut model.open
        && open.load.done()
    {
        effects.push(ask(open));
    }
    if model.focus == Focus::Messages {
        show_selected(model);
    }
    effects.extend(older(model));
    effects
}

fn search(model: &mut Model, words: &str, hits: &[MessageView]) -> Vec<Effect> {
    let choices: Vec<Choice> = hits.iter().map(|m| in_conversation(model, m)).collect();
    let Some(Dialog::Form(form)) = &mut model.dialog else { return Vec::new() };
    if form.purpose != Purpose::Search {
        return Vec::new();
    }
    form.choices = choices;
    form.cursor = 0;
    form.problem = form.choices.is_empty().then(|| "nothing found".to_owned());
    if form.load.done() || form.text(0) != words {
        return vec![Effect::Search { words: form.text(0).to_owned() }];
    }
    Vec::new()
}

/// What was found, with where it is.
fn in_conversation(model: &Model, message: &MessageView) -> Choice {
    let mut choice = found(model, message);
    if let Some(conversation) = model.conversation(&message.conversation) {
        choice.detail = format!("{} {}", model.title(conversation), choice.detail);
    }
    choice
}

fn done(model: &mut Model, effect: &Effect) -> Vec<Effect> {
    match effect {
        Effect::SendFile { transfer, id, .. } => {
            if let Some(t) = model.transfers.iter_mut().find(|t| t.id == *transfer) {
                t.durable = true;
            }
            model.transfers.retain(|t| !(t.durable && t.total > 0 && t.done >= t.total));
            return changed(model, id);
        }
        Effect::Post { id, .. } => return changed(model, id),
        Effect::MarkRead { .. } | Effect::Learn(_) => return list(model).into_iter().collect(),
        Effect::Forward { .. } => model.say("sent on"),
        Effect::Room { change: RoomWish::Leave, .. } => model.say("you have left the room"),
        Effect::Edit { .. }
        | Effect::Delete(_)
        | Effect::React { .. }
        | Effect::Pin { .. }
        | Effect::Cancel(_)
        | Effect::Room { .. } => {}
        _ => return Vec::new(),
    }
    let mut effects: Vec<Effect> = list(model).into_iter().collect();
    effects.extend(reload(model));
    effects
}

fn failed(model: &mut Model, effect: Effect, reason: String) -> Vec<Effect> {
    match effect {
        Effect::Conversations => {
            model.list_load.done();
        }
        Effect::Messages { id, before, .. } => {
            if let Some(open) = model.open.as_mut().filter(|o| o.id == id) {
                if before.is_some() {
                    open.loading_older = false;
                } else {
                    open.load.done();
                }
            }
        }
        Effect::Since { id, .. } => {
            if let Some(open) = model.open.as_mut().filter(|o| o.id == id) {
                open.load.done();
                open.jump = None;
            }
        }
        // Nobody loses what they have written.
        Effect::Post { id, words, .. } => {
            let composer = model.composers.entry(id).or_default();
            if composer.editor.is_empty() && composer.mode == Mode::New {
                composer.editor.insert(&words.text);
                if let Some(key) = words.reply_to {
                    composer.mode = Mode::Reply(key);
                }
            }
            model.warn(format!("not sent: {reason}"));
            return Vec::new();
        }
        Effect::SendFile { transfer, .. } | Effect::SaveFile { transfer, .. } => {
            model.transfers.retain(|t| t.id != transfer);
            model.warn(reason);
            return Vec::new();
        }
        Effect::Search { .. } => {
            if let Some(Dialog::Form(form)) = &mut model.dialog {
                form.load.done();
                form.problem = Some(reason);
            }
            return Vec::new();
        }
        Effect::Identity(_) | Effect::MarkVerified(_) | Effect::Unverify(_) | Effect::AcceptChange { .. } => {
            if let Some(Dialog::Verify { problem, .. }) = &mut model.dialog {
                *problem = Some(reason);
                return Vec::new();
            }
        }
        // Best effort, or tried again soon.
        Effect::Typing { .. }
        | Effect::Presence(_)
        | Effect::MarkRead { .. }
        | Effect::Rules
        | Effect::Stale
        | Effect::Contacts
        | Effect::Waiting
        | Effect::Learn(_)
        | Effect::Begin(_) => return Vec::new(),
        Effect::Edit { .. } | Effect::Delete(_) | Effect::NewRoom { .. } | Effect::Room { .. } => {
            model.warn(reason);
            return Vec::new();
        }
        _ => {}
    }
    model.say(reason);
    Vec::new()
}
