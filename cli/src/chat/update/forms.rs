//! Keys while something stands in front, and what a filled form does.

use std::path::PathBuf;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use sotto_client::{ConversationKind, ConversationView};
use sotto_crypto::Address;
use sotto_wire::content::Conversation;

use super::super::dialog::{Dialog, Purpose, Value, last_word};
use super::super::effect::{ContactKey, Effect, RoomWish, Words};
use super::super::emoji;
use super::super::model::{Model, Transfer};
use super::{act, open, open_at, show, typing};
use crate::args::duration;

/// The shortest words that are searched for.
const SEARCHED: usize = 2;

/// A key for what stands in front.
pub(super) fn key(model: &mut Model, event: KeyEvent) -> Vec<Effect> {
    let page = usize::from(model.size.1).saturating_sub(6).max(1);
    if event.code == KeyCode::Esc || (event.code == KeyCode::F(1) && matches!(model.dialog, Some(Dialog::Help { .. })))
    {
        model.dialog = None;
        return Vec::new();
    }
    match &mut model.dialog {
        Some(Dialog::Help { first }) => {
            match event.code {
                KeyCode::Up | KeyCode::Char('k') => *first = first.saturating_sub(1),
                KeyCode::Down | KeyCode::Char('j') => *first += 1,
                KeyCode::PageUp => *first = first.saturating_sub(page),
                KeyCode::PageDown | KeyCode::Char(' ') => *first += page,
                KeyCode::Home => *first = 0,
                _ => model.dialog = None,
            }
            if let Some(Dialog::Help { first }) = &mut model.dialog {
                *first = (*first).min(super::super::view::help::rows(usize::from(model.size.0)).saturating_sub(page));
            }
        }
        Some(Dialog::Info(_)) => model.dialog = None,
        Some(Dialog::Confirm { .. }) => {
            if let Some(Dialog::Confirm { then, .. }) = model.dialog.take()
                && matches!(event.code, KeyCode::Char('y' | 'Y'))
            {
                if *then == Effect::End {
                    model.ended = true;
                }
                return vec![*then];
            }
        }
        Some(Dialog::Verify { .. }) => return verify_key(model, event),
        Some(Dialog::Form(_)) => return form_key(model, event),
        None => {}
    }
    Vec::new()
}

fn verify_key(model: &mut Model, event: KeyEvent) -> Vec<Effect> {
    let Some(Dialog::Verify { who, contact, problem }) = &mut model.dialog else { return Vec::new() };
    let (who, shown) = (who.clone(), contact.clone());
    *problem = None;
    match (event.code, shown) {
        (KeyCode::Char('v'), Some(contact)) => vec![Effect::MarkVerified(Box::new(ContactKey(*contact)))],
        (KeyCode::Char('u'), Some(_)) => vec![Effect::Unverify(who)],
        // The change that is shown, not what there may be by the time it is done.
        (KeyCode::Char('a'), Some(contact)) => {
            contact.change.map(|change| Effect::AcceptChange { who, told: change.new }).into_iter().collect()
        }
        (KeyCode::Enter | KeyCode::Char('q'), _) => {
            model.dialog = None;
            Vec::new()
        }
        _ => Vec::new(),
    }
}

fn form_key(model: &mut Model, event: KeyEvent) -> Vec<Effect> {
    let Some(Dialog::Form(form)) = &mut model.dialog else { return Vec::new() };
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    form.problem = None;
    match event.code {
        KeyCode::Enter => return submit(model),
        KeyCode::Char('a' | 'd' | 'o') if control && form.purpose == Purpose::Members => {
            return member_key(model, event.code);
        }
        KeyCode::Tab => return tab(model),
        KeyCode::BackTab => {
            form.active = form.active.checked_sub(1).unwrap_or(form.fields.len().saturating_sub(1));
            return changed(model);
        }
        KeyCode::Up if form.choices.is_empty() => form.active = form.active.saturating_sub(1),
        KeyCode::Down if form.choices.is_empty() => {
            form.active = (form.active + 1).min(form.fields.len().saturating_sub(1));
        }
        KeyCode::Up => form.cursor = form.cursor.saturating_sub(1),
        KeyCode::Down => form.cursor = (form.cursor + 1).min(form.choices.len().saturating_sub(1)),
        KeyCode::PageUp => form.cursor = form.cursor.saturating_sub(8),
        KeyCode::PageDown => form.cursor = (form.cursor + 8).min(form.choices.len().saturating_sub(1)),
        _ => {
            if let Some(editor) = form.editor() {
                let before = editor.text().to_owned();
                typing::edit(editor, event, usize::MAX);
                if editor.text() == before {
                    return Vec::new();
                }
            }
            return changed(model);
        }
    }
    Vec::new()
}

/// After the words of a form have changed.
pub(super) fn changed(model: &mut Model) -> Vec<Effect> {
    let Some(Dialog::Form(mut form)) = model.dialog.take() else { return Vec::new() };
    form.choose(model);
    let words = form.text(form.active).to_owned();
    let mut effects = Vec::new();
    match form.purpose {
        Purpose::Search => {
            form.cursor = 0;
            if words.trim().chars().count() < SEARCHED {
                form.choices.clear();
            } else if form.load.want() {
                effects.push(Effect::Search { words });
            }
        }
        Purpose::SendFile if form.active == 0 => effects.push(Effect::Paths(words)),
        Purpose::SendFile => form.choices.clear(),
        _ => {}
    }
    model.dialog = Some(Dialog::Form(form));
    effects
}

/// Tab: takes what is offered for the field, or goes to the next one.
fn tab(model: &mut Model) -> Vec<Effect> {
    let Some(Dialog::Form(form)) = &mut model.dialog else { return Vec::new() };
    let choice = form.choice().map(|c| c.value.clone());
    let fields = form.fields.len().max(1);
    match choice {
        Some(Value::Person(who)) if !form.picks() => {
            if let Some(editor) = form.editor() {
                let typed = last_word(editor.before()).len();
                editor.replace_before(typed, &format!("{who} "));
            }
        }
        Some(Value::Path(path)) if form.text(form.active) != path => {
            if let Some(editor) = form.editor() {
                editor.take();
                editor.insert(&path);
            }
        }
        Some(Value::Text(text)) => {
            // A quick response to write on.
            model.dialog = None;
            return typing::paste(model, &text);
        }
        _ => form.active = (form.active + 1) % fields,
    }
    changed(model)
}

fn problem(model: &mut Model, words: impl Into<String>) -> Vec<Effect> {
    if let Some(Dialog::Form(form)) = &mut model.dialog {
        form.problem = Some(words.into());
    }
    Vec::new()
}

fn member_key(model: &mut Model, code: KeyCode) -> Vec<Effect> {
    let Some(Dialog::Form(form)) = &model.dialog else { return Vec::new() };
    let chosen = form.choice().and_then(|c| match &c.value {
        Value::Person(who) => Some(who.clone()),
        _ => None,
    });
    let Some(conversation) = model.current() else { return Vec::new() };
    let id = conversation.id.clone();
    if conversation.kind != ConversationKind::Room {
        return problem(model, "this is no room: who is in it does not change");
    }
    if !conversation.moderators.contains(&model.me) {
        return problem(model, "only a moderator of the room can do that");
    }
    let is_moderator = |who: &Address| conversation.moderators.contains(who);
    match (code, chosen) {
        (KeyCode::Char('a'), _) => return act::act(model, super::super::keys::Action::AddMember),
        (KeyCode::Char('o'), Some(who)) => {
            let on = !is_moderator(&who);
            return vec![Effect::Room { id, change: RoomWish::Moderator(who, on) }];
        }
        (_, Some(who)) if who == model.me => return problem(model, "to leave, use the menu (F2)"),
        (_, Some(who)) => show(
            model,
            Dialog::Confirm {
                question: format!("Put {who} out of the room? They get nothing of it any more."),
                then: Box::new(Effect::Room { id, change: RoomWish::Remove(who) }),
            },
        ),
        _ => {}
    }
    Vec::new()
}

/// Enter.
fn submit(model: &mut Model) -> Vec<Effect> {
    let Some(Dialog::Form(form)) = &model.dialog else { return Vec::new() };
    let purpose = form.purpose.clone();
    let value = form.choice().map(|c| c.value.clone());
    let texts: Vec<String> = (0..form.fields.len()).map(|n| form.text(n).trim().to_owned()).collect();
    let text = texts.first().cloned().unwrap_or_default();
    let second = texts.get(1).cloned().unwrap_or_default();
    match (purpose, value) {
        (Purpose::Menu, Some(Value::Action(action))) => {
            model.dialog = None;
            act::act(model, action)
        }
        (Purpose::Switch, Some(Value::Conversation(id))) => open(model, id),
        (Purpose::Search | Purpose::Pins, Some(Value::Message { id, position })) => open_at(model, id, position),
        (Purpose::Members | Purpose::VerifyWho, Some(Value::Person(who))) if who != model.me => act::verify(model, who),
        (Purpose::React(key), value) => {
            let emoji = match value {
                Some(Value::Emoji(emoji)) => Some(emoji),
                _ => emoji::reaction(&text),
            };
            let Some(emoji) = emoji else { return problem(model, "that is no emoji, and no name of one") };
            let mine = |(e, who): &(String, Vec<Address>)| *e == emoji && who.contains(&model.me);
            let on = !model.open.as_ref().and_then(|o| o.message(&key)).is_some_and(|m| m.reactions.iter().any(mine));
            done(model, Effect::React { key, emoji, on })
        }
        (Purpose::Forward(key), Some(Value::Conversation(id))) => {
            let to = model.target(&id);
            done(model, Effect::Forward { key, to })
        }
        (Purpose::Quick, Some(Value::Text(text))) => {
            let Some(id) = model.open.as_ref().map(|o| o.id.clone()) else { return Vec::new() };
            let to = model.target(&id);
            let composer = model.composer();
            let (expires_in_s, burn_after_read_s) =
                composer.map(|c| (c.expires_in_s, c.burn_after_read_s)).unwrap_or_default();
            let words = Words { text, expires_in_s, burn_after_read_s, ..Words::default() };
            done(model, Effect::Post { id, to, words })
        }
        (Purpose::NewConversation, _) => match addresses(&text) {
            Ok(people) => begin(model, people),
            Err(words) => problem(model, words),
        },
        (Purpose::NewRoom, _) => match addresses(&second) {
            _ if text.is_empty() => problem(model, "a room needs a title"),
            Ok(members) => done(model, Effect::NewRoom { title: text, members }),
            Err(words) => problem(model, words),
        },
        (Purpose::AddMember, _) => match addresses(&text) {
            Ok(people) => change_room(model, RoomWish::Add(people)),
            Err(words) => problem(model, words),
        },
        (Purpose::Title, _) if text.is_empty() => problem(model, "a room needs a title"),
        (Purpose::Title, _) => change_room(model, RoomWish::Title(text)),
        (Purpose::Times, _) => times(model, &text, &second),
        (Purpose::SendFile, _) => send_file(model, &text, &second),
        (Purpose::SaveFile(file), _) => {
            if text.is_empty() {
                return problem(model, "where to?");
            }
            let transfer = transfer(model, &file.name, false, file.size);
            model.save_to.clone_from(&text);
            done(model, Effect::SaveFile { transfer, file, path: PathBuf::from(text) })
        }
        _ => Vec::new(),
    }
}

fn done(model: &mut Model, effect: Effect) -> Vec<Effect> {
    model.dialog = None;
    vec![effect]
}

fn change_room(model: &mut Model, change: RoomWish) -> Vec<Effect> {
    let Some(id) = model.open.as_ref().map(|o| o.id.clone()) else { return Vec::new() };
    done(model, Effect::Room { id, change })
}

/// Addresses between commas or spaces; at least one.
fn addresses(text: &str) -> Result<Vec<Address>, String> {
    let words = text.split([',', ' ', ';']).filter(|w| !w.is_empty());
    let people =
        words.map(|word| Address::parse(word).map_err(|e| format!("`{word}`: {e}"))).collect::<Result<Vec<_>, _>>()?;
    if people.is_empty() { Err("write an address, such as bob@chat.acme.example".to_owned()) } else { Ok(people) }
}

/// The conversation with these people: one that is there, or a new one.
fn begin(model: &mut Model, people: Vec<Address>) -> Vec<Effect> {
    let members = people.iter().cloned().chain([model.me.clone()]);
    let Some(conversation) = Conversation::of(members) else { return Vec::new() };
    let id = conversation.id();
    let mut effects = Vec::new();
    if model.conversation(&id).is_none() {
        let name = |who: &Address| Some((who.clone(), model.contacts.get(who)?.name.clone()?));
        let names = people.iter().filter_map(name).collect();
        effects.push(Effect::Begin(people));
        model.begun = Some(ConversationView {
            id: id.clone(),
            kind: match conversation {
                Conversation::Direct(..) => ConversationKind::Direct,
                _ => ConversationKind::Group,
            },
            title: None,
            members: conversation.members(),
            moderators: Vec::new(),
            names,
            unread: 0,
            mentioned: false,
            last: None,
            retained: !model.rules.retained_by.is_empty(),
            retained_by: Vec::new(),
            retention_unknown: Vec::new(),
            changed: Vec::new(),
            left: false,
            expires_in_s: None,
            burn_after_read_s: None,
        });
    }
    effects.extend(open(model, id));
    effects
}

fn times(model: &mut Model, expires: &str, burn: &str) -> Vec<Effect> {
    let read = |text: &str| match text {
        "" => Ok(None),
        text => duration(text).map(|d| Some(d.as_secs())),
    };
    let (expires_in_s, burn_after_read_s) = match (read(expires), read(burn)) {
        (Ok(expires), Ok(burn)) => (expires, burn),
        (Err(words), _) | (_, Err(words)) => return problem(model, words),
    };
    let Some(conversation) = model.current() else { return Vec::new() };
    if conversation.kind == ConversationKind::Room && conversation.moderators.contains(&model.me) {
        // Each is an event that everybody gets: only what is new.
        let (id, rule) = (conversation.id.clone(), (conversation.expires_in_s, conversation.burn_after_read_s));
        let expiry = (rule.0 != expires_in_s).then_some(RoomWish::Expiry(expires_in_s));
        let burn = (rule.1 != burn_after_read_s).then_some(RoomWish::Burn(burn_after_read_s));
        model.dialog = None;
        return expiry.into_iter().chain(burn).map(|change| Effect::Room { id: id.clone(), change }).collect();
    }
    if let Some(composer) = model.composer_mut() {
        composer.expires_in_s = expires_in_s;
        composer.burn_after_read_s = burn_after_read_s;
    }
    model.dialog = None;
    Vec::new()
}

fn send_file(model: &mut Model, path: &str, caption: &str) -> Vec<Effect> {
    if path.is_empty() {
        return problem(model, "which file?");
    }
    let Some(conversation) = model.current() else { return Vec::new() };
    let (id, members) = (conversation.id.clone(), model.others(conversation));
    let to = model.target(&id);
    let words = typing::words(model, caption.to_owned(), &members);
    let name = path.rsplit('/').next().unwrap_or(path).to_owned();
    let transfer = transfer(model, &name, true, 0);
    // The words went with the file.
    typing::reset(model);
    done(model, Effect::SendFile { transfer, id, to, path: PathBuf::from(path), words })
}

fn transfer(model: &mut Model, name: &str, sending: bool, total: u64) -> u64 {
    let id = model.next_transfer;
    model.next_transfer += 1;
    model.transfers.push(Transfer { id, name: name.to_owned(), sending, durable: false, done: 0, total });
    id
}
