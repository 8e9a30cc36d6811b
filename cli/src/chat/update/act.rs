//! What keys and lines of the menu do.

use sotto_client::{ConversationKind, MessageView, ViewBody};
use sotto_wire::content::MessageRef;

use super::super::dialog::{Dialog, Form, Purpose};
use super::super::editor::Editor;
use super::super::effect::{Effect, RoomWish};
use super::super::keys::{Action, Focus};
use super::super::model::{Mode, Model};
use super::super::text::span;
use super::super::view::areas::areas;
use super::{older, open, open_at, scroll, show, show_selected, typing};

/// Does it.
pub(super) fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    match action {
        Action::Help => show(model, Dialog::Help { first: 0 }),
        Action::Quit if model.transfers.iter().any(|t| !t.durable) => show(
            model,
            Dialog::Confirm {
                question: "A file has not got through yet. End all the same?".to_owned(),
                then: Box::new(Effect::End),
            },
        ),
        Action::Quit => model.ended = true,
        Action::Redraw => return vec![Effect::Redraw],
        Action::HideWarning => {
            if !model.warnings.is_empty() {
                model.warnings.remove(0);
            }
        }
        Action::Menu => form(model, Purpose::Menu, vec![("", String::new())]),
        Action::Switch => form(model, Purpose::Switch, vec![("", String::new())]),
        Action::NewConversation => form(model, Purpose::NewConversation, vec![("Address(es)", String::new())]),
        Action::NewRoom => {
            form(model, Purpose::NewRoom, vec![("Title", String::new()), ("Members", String::new())]);
        }
        Action::Search => form(model, Purpose::Search, vec![("Words", String::new())]),
        Action::NextConversation => return step(model, true),
        Action::PreviousConversation => return step(model, false),
        Action::NextUnread => return next_unread(model),
        Action::FocusNext | Action::FocusPrevious => focus(model, action == Action::FocusNext),
        Action::ToComposer => to_composer(model),
        Action::ToMessages => to_messages(model),
        Action::PageUp | Action::PageDown => return page(model, action == Action::PageUp),
        Action::Up | Action::Down | Action::Top | Action::Bottom => return travel(model, action),
        Action::Open => {
            if let Some(id) = under_cursor(model) {
                return open(model, id);
            }
        }
        Action::Send => return typing::send(model),
        Action::NewLine => {
            if let Some(composer) = model.composer_mut() {
                composer.editor.insert("\n");
            }
        }
        Action::EditLast => edit_last(model),
        Action::SendFile
        | Action::Quick
        | Action::Times
        | Action::Members
        | Action::Verify
        | Action::Pins
        | Action::Title
        | Action::AddMember
        | Action::Leave => return on_conversation(model, action),
        Action::Reply
        | Action::Edit
        | Action::Delete
        | Action::React
        | Action::Forward
        | Action::Pin
        | Action::Save
        | Action::Info
        | Action::Quoted => return on_message(model, action),
    }
    Vec::new()
}

fn form(model: &mut Model, purpose: Purpose, fields: Vec<(&'static str, String)>) {
    let form = Form::new(model, purpose, fields);
    show(model, Dialog::Form(form));
}

/// The conversation under the cursor of the list: the open one unless it was moved.
pub(crate) fn under_cursor(model: &Model) -> Option<String> {
    let open = model.open.as_ref().map(|o| o.id.clone());
    model.cursor.clone().or(open).or_else(|| model.listed().next().map(|c| c.id.clone()))
}

fn neighbour(model: &Model, of: Option<String>, down: bool) -> Option<String> {
    let ids: Vec<&String> = model.listed().map(|c| &c.id).collect();
    let at = of.and_then(|id| ids.iter().position(|i| **i == id));
    let next = match (at, down) {
        (Some(at), true) => at + 1,
        (Some(at), false) => at.checked_sub(1)?,
        (None, _) => 0,
    };
    ids.get(next).map(|id| (*id).clone())
}

fn step(model: &mut Model, down: bool) -> Vec<Effect> {
    let now = model.open.as_ref().map(|o| o.id.clone());
    match neighbour(model, now, down) {
        Some(id) => open(model, id),
        None => Vec::new(),
    }
}

fn next_unread(model: &mut Model) -> Vec<Effect> {
    let here = model.open.as_ref().map(|o| o.id.clone());
    // Those that name the user come first; of the rest the one that has waited longest.
    let waiting = model.listed().filter(|c| c.unread > 0 && Some(&c.id) != here.as_ref());
    let next = waiting.min_by_key(|c| (!c.mentioned, c.last.as_ref().map(|m| m.sent_at_ms))).map(|c| c.id.clone());
    if let Some(id) = next {
        return open(model, id);
    }
    model.say("nothing new elsewhere");
    Vec::new()
}

fn focus(model: &mut Model, next: bool) {
    let order = [Focus::Composer, Focus::Messages, Focus::List];
    let at = order.iter().position(|f| *f == model.focus).unwrap_or(0);
    let wanted = if next { at + 1 } else { at + 2 } % order.len();
    match order.get(wanted) {
        Some(Focus::Messages) => to_messages(model),
        Some(Focus::Composer) => to_composer(model),
        _ => model.focus = Focus::List,
    }
}

fn to_composer(model: &mut Model) {
    if let Some(open) = &mut model.open {
        open.selected = None;
        model.cursor = None;
        model.focus = Focus::Composer;
    }
}

fn to_messages(model: &mut Model) {
    let Some(open) = &mut model.open else { return model.focus = Focus::List };
    model.focus = Focus::Messages;
    model.completion = None;
    model.cursor = None;
    if open.selected().is_none() {
        // The one at the pane's last row.
        let at = open.anchor.map_or(open.messages.len().saturating_sub(1), |(position, _)| open.index_of(position));
        open.selected = open.messages.get(at).map(|m| m.position);
    }
    show_selected(model);
}

fn page(model: &mut Model, up: bool) -> Vec<Effect> {
    let rows = usize::from(areas(model).messages.height).saturating_sub(2).max(1);
    let effects = scroll(model, up, rows);
    if model.focus == Focus::Messages {
        // The cursor goes along.
        let at = super::pile(model).map(|(pile, bottom)| if up { pile.top(bottom).0 } else { bottom.index });
        if let (Some(at), Some(open)) = (at, &mut model.open) {
            open.selected = open.messages.get(at).map(|m| m.position);
        }
        show_selected(model);
    }
    effects
}

fn travel(model: &mut Model, action: Action) -> Vec<Effect> {
    if model.focus == Focus::List {
        let now = under_cursor(model);
        let moved = match action {
            Action::Up => neighbour(model, now, false),
            Action::Down => neighbour(model, now, true),
            Action::Top => model.listed().next().map(|c| c.id.clone()),
            _ => model.listed().last().map(|c| c.id.clone()),
        };
        model.cursor = moved.or_else(|| model.cursor.take());
        return Vec::new();
    }
    let Some(open) = &mut model.open else { return Vec::new() };
    let last = open.messages.len().saturating_sub(1);
    let at = open.selected.map_or(last, |position| open.index_of(position));
    let wanted = match action {
        Action::Up => at.saturating_sub(1),
        Action::Down => (at + 1).min(last),
        Action::Top => 0,
        _ => last,
    };
    open.selected = open.messages.get(wanted).map(|m| m.position);
    if action == Action::Bottom {
        open.anchor = None;
    }
    show_selected(model);
    older(model).into_iter().collect()
}

fn edit_last(model: &mut Model) {
    let last = model.open.as_ref().and_then(|o| o.messages.iter().rev().find(|m| editable(m)));
    match last.map(|m| m.key.clone()) {
        Some(key) => edit(model, &key),
        None => model.say("there is no message of yours to edit"),
    }
}

fn editable(message: &MessageView) -> bool {
    message.own && matches!(message.body, ViewBody::Text(_) | ViewBody::File(_))
}

fn edit(model: &mut Model, key: &MessageRef) {
    let words = model.open.as_ref().and_then(|o| o.message(key)).map(|m| match &m.body {
        ViewBody::Text(text) => text.clone(),
        ViewBody::File(file) => file.caption.clone().unwrap_or_default(),
        _ => String::new(),
    });
    let (Some(words), Some(composer)) = (words, model.composer_mut()) else { return };
    let writing = std::mem::replace(&mut composer.editor, Editor::with(words));
    if !matches!(composer.mode, Mode::Edit(_)) {
        composer.aside = Some(writing);
    }
    composer.mode = Mode::Edit(key.clone());
    to_composer(model);
}

fn on_conversation(model: &mut Model, action: Action) -> Vec<Effect> {
    let Some(conversation) = model.current() else {
        model.say("open a conversation first");
        return Vec::new();
    };
    let (id, room, left) = (conversation.id.clone(), conversation.kind == ConversationKind::Room, conversation.left);
    let moderator = room && conversation.moderators.contains(&model.me);
    let title = conversation.title.clone().unwrap_or_default();
    let others = model.others(conversation);
    let rule = (conversation.expires_in_s, conversation.burn_after_read_s);
    match action {
        Action::Members => form(model, Purpose::Members, vec![("", String::new())]),
        Action::Pins => form(model, Purpose::Pins, vec![("", String::new())]),
        Action::Verify => match others.as_slice() {
            [] => model.say("these are your own notes"),
            [only] => return verify(model, only.clone()),
            _ => form(model, Purpose::VerifyWho, vec![("", String::new())]),
        },
        _ if left => model.say("you are not in this room any more"),
        Action::SendFile if !model.rules.files => model.say("your security group does not allow files"),
        Action::SendFile => {
            let caption = model.composer().map(|c| c.editor.text().to_owned()).unwrap_or_default();
            form(model, Purpose::SendFile, vec![("File", String::new()), ("Words", caption.replace('\n', " "))]);
            return vec![Effect::Paths(String::new())];
        }
        Action::Quick if model.rules.quick.is_empty() => model.say("your security group has no quick responses"),
        Action::Quick => form(model, Purpose::Quick, vec![("", String::new())]),
        Action::Times => {
            let own = model.composer().map(|c| (c.expires_in_s, c.burn_after_read_s)).unwrap_or_default();
            let (expires, burn) = if room && moderator { rule } else { own };
            let shown = |s: Option<u64>| s.map(|s| span(s).replace(' ', "")).unwrap_or_default();
            let fields = vec![("After sending", shown(expires)), ("After reading", shown(burn))];
            form(model, Purpose::Times, fields);
        }
        _ if !room => model.say("this is no room: who is in it does not change"),
        Action::Leave => show(
            model,
            Dialog::Confirm {
                question: "Leave this room? You get nothing of it any more.".to_owned(),
                then: Box::new(Effect::Room { id, change: RoomWish::Leave }),
            },
        ),
        _ if !moderator => model.say("only a moderator of the room can do that"),
        Action::Title => form(model, Purpose::Title, vec![("Title", title)]),
        Action::AddMember => form(model, Purpose::AddMember, vec![("Address(es)", String::new())]),
        _ => {}
    }
    Vec::new()
}

/// The safety number with somebody.
pub(super) fn verify(model: &mut Model, who: sotto_crypto::Address) -> Vec<Effect> {
    let contact = model.contacts.get(&who).cloned().map(Box::new);
    show(model, Dialog::Verify { who: who.clone(), contact, problem: None });
    vec![Effect::Identity(who)]
}

fn on_message(model: &mut Model, action: Action) -> Vec<Effect> {
    let Some(message) = model.open.as_ref().and_then(|o| o.selected()) else {
        model.say("choose a message first");
        return Vec::new();
    };
    let key = message.key.clone();
    let said = matches!(message.body, ViewBody::Text(_) | ViewBody::File(_));
    let room = model.current();
    let moderator = room.is_some_and(|c| c.moderators.contains(&model.me));
    match action {
        Action::Info => show(model, Dialog::Info(key)),
        Action::Quoted => {
            let Some(wanted) = message.reply_to.clone() else {
                model.say("it answers no message");
                return Vec::new();
            };
            let here =
                model.open.as_ref().and_then(|o| o.message(&wanted)).map(|m| (m.conversation.clone(), m.position));
            return match here {
                Some((id, position)) => open_at(model, id, position),
                None => vec![Effect::Jump(wanted)],
            };
        }
        _ if !said => model.say("not with this one"),
        Action::Reply => {
            if let Some(composer) = model.composer_mut() {
                if let Mode::Edit(_) = composer.mode {
                    composer.editor = composer.aside.take().unwrap_or_default();
                }
                composer.mode = Mode::Reply(key);
            }
            to_composer(model);
        }
        Action::Edit if !message.own => model.say("only who wrote it can edit it"),
        Action::Edit => edit(model, &key),
        Action::Delete if !message.own && !moderator => {
            model.say("only who wrote it, and a room's moderators, can take it back");
        }
        Action::Delete => {
            let question = if message.retained {
                "Take this message back from everybody? The retained copy stays."
            } else {
                "Take this message back from everybody?"
            };
            let waits = message.state == sotto_client::DeliveryState::Queued;
            let then = Box::new(if waits { Effect::Cancel(key) } else { Effect::Delete(key) });
            show(model, Dialog::Confirm { question: question.to_owned(), then });
        }
        Action::React => form(model, Purpose::React(key), vec![("Emoji", String::new())]),
        Action::Forward if !model.rules.forwarding => model.say("your security group does not allow forwarding"),
        Action::Forward => form(model, Purpose::Forward(key), vec![("", String::new())]),
        Action::Pin => return vec![Effect::Pin { on: !message.pinned, key }],
        Action::Save => match &message.body {
            _ if !model.rules.download => model.say("your security group does not allow files to be saved"),
            ViewBody::File(file) => {
                let (file, to) = (Box::new(file.clone()), model.save_to.clone());
                form(model, Purpose::SaveFile(file), vec![("Save to", to)]);
            }
            _ => model.say("there is no file in it"),
        },
        _ => {}
    }
    Vec::new()
}
