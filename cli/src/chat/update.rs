//! What an input changes, and what is to be done for it. Pure: no clock, no I/O.

mod act;
mod forms;
mod news;
mod typing;

pub(crate) use self::act::under_cursor;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEventKind};
use sotto_client::ConversationId;
use sotto_wire::content::Presence;

use super::dialog::Dialog;
use super::effect::{Effect, Input, Link};
use super::keys::{Focus, action};
use super::model::{Model, Open, PRESENCE_MS};
use super::scroll::{Bottom, Pile};
use super::view::areas::areas;
use super::view::block::block;

/// Messages that are asked for at a time.
pub(crate) const PAGE: u32 = 100;
/// More than these are let go when the newest are looked at again.
const KEPT: usize = 400;
/// Without a key for this long, the user is away (milliseconds).
const AWAY_MS: u64 = 300_000;
/// The list is looked at this often although nobody says that it has changed (milliseconds).
const LOOK_AGAIN_MS: u64 = 60_000;
/// The relay is asked this often whether there are newer documents (milliseconds).
const STALE_AGAIN_MS: u64 = 600_000;
/// Rows that the wheel moves.
const WHEEL: usize = 3;

/// What is to be done at the begin.
pub(crate) fn begin(model: &mut Model) -> Vec<Effect> {
    list(model).into_iter().chain([Effect::Contacts, Effect::Rules, Effect::Stale, Effect::Waiting]).collect()
}

/// Takes an input in; gives what is to be done.
pub(crate) fn update(model: &mut Model, input: Input) -> Vec<Effect> {
    let mut effects = match input {
        Input::Key(event) if event.kind == KeyEventKind::Release => Vec::new(),
        Input::Key(event) => {
            model.active_ms = model.now_ms;
            key(model, event)
        }
        Input::Paste(text) => {
            model.active_ms = model.now_ms;
            typing::paste(model, &text)
        }
        Input::Mouse(event) => match event.kind {
            MouseEventKind::ScrollUp if model.dialog.is_none() => scroll(model, true, WHEEL),
            MouseEventKind::ScrollDown if model.dialog.is_none() => scroll(model, false, WHEEL),
            _ => Vec::new(),
        },
        Input::Resize(width, height) => {
            model.size = (width, height);
            show_selected(model);
            Vec::new()
        }
        Input::Focus(on) => {
            model.looked_at = on;
            Vec::new()
        }
        Input::Tick(now) => tick(model, now),
        Input::News(news) => news::news(model, news),
    };
    effects.extend(presence(model));
    effects.extend(read(model));
    effects
}

fn key(model: &mut Model, event: KeyEvent) -> Vec<Effect> {
    if event.code == KeyCode::Char('c') && event.modifiers == KeyModifiers::CONTROL {
        return interrupt(model);
    }
    model.leaving = false;
    if model.dialog.is_some() {
        return forms::key(model, event);
    }
    if model.focus == Focus::Composer
        && let Some(effects) = typing::completion_key(model, event)
    {
        return effects;
    }
    match action(model.focus, event) {
        Some(action) => act::act(model, action),
        None if model.focus == Focus::Composer => typing::key(model, event),
        None => Vec::new(),
    }
}

/// Ctrl+C: closes what is in front, drops the text, ends.
fn interrupt(model: &mut Model) -> Vec<Effect> {
    if model.dialog.take().is_some() {
        return Vec::new();
    }
    let written = model.composer().is_some_and(|c| !c.editor.is_empty() || c.mode != super::model::Mode::New);
    if written && !model.leaving {
        let mut effects = typing::stopped(model);
        typing::reset(model);
        model.leaving = true;
        model.say("dropped the text; Ctrl+C again ends");
        effects.retain(|e| matches!(e, Effect::Typing { .. }));
        return effects;
    }
    if model.leaving {
        model.ended = true;
    } else {
        model.leaving = true;
        model.say("Ctrl+C again ends");
    }
    Vec::new()
}

fn tick(model: &mut Model, now: u64) -> Vec<Effect> {
    let last = std::mem::replace(&mut model.now_ms, now);
    if model.note.as_ref().is_some_and(|(_, until)| *until <= now) {
        model.note = None;
    }
    model.typing.retain(|(_, _, until)| *until > now);
    let mut effects = typing::idle(model);
    // The client deletes them; what is on the screen goes at the same time.
    let before = model.open.as_ref().map_or(0, |o| o.messages.len());
    if let Some(open) = &mut model.open {
        open.messages.retain(|m| m.expires_at_ms.is_none_or(|end| end > now));
    }
    if model.open.as_ref().is_some_and(|o| o.messages.len() != before) {
        effects.extend(list(model));
    }
    // Messages of other conversations end too, and times in the list go on.
    if now / LOOK_AGAIN_MS != last / LOOK_AGAIN_MS {
        effects.extend(list(model));
    }
    if now / STALE_AGAIN_MS != last / STALE_AGAIN_MS {
        effects.push(Effect::Stale);
    }
    if let Link::Elsewhere { .. } = model.link {
        // Nobody tells of changes that another process makes.
        effects.extend(list(model));
        effects.extend(reload(model));
    }
    effects
}

/// Asks for the list, unless it is being asked for.
pub(super) fn list(model: &mut Model) -> Option<Effect> {
    model.list_load.want().then_some(Effect::Conversations)
}

/// Asks for the messages that are shown, unless they are being asked for.
pub(super) fn reload(model: &mut Model) -> Option<Effect> {
    let begun = model.begun.as_ref().map(|b| b.id.clone());
    let known = |id: &str| model.conversations.iter().any(|c| c.id == id);
    let open = model.open.as_mut()?;
    if begun.is_some_and(|id| id == open.id && !known(&id)) {
        open.loaded = true;
        open.complete = true;
        return None;
    }
    open.load.want().then(|| ask(open))
}

/// The messages that are shown, asked for anew.
pub(super) fn ask(open: &mut Open) -> Effect {
    if open.anchor.is_none() && open.jump.is_none() && open.messages.len() > KEPT {
        let drop = open.messages.len() - PAGE as usize;
        open.messages.drain(..drop);
        open.complete = false;
    }
    match (open.messages.first(), open.jump) {
        (Some(first), Some(jump)) => Effect::Since { id: open.id.clone(), position: jump.min(first.position) },
        (None, Some(jump)) => Effect::Since { id: open.id.clone(), position: jump },
        (Some(first), None) if open.messages.len() >= PAGE as usize => {
            Effect::Since { id: open.id.clone(), position: first.position }
        }
        _ => Effect::Messages { id: open.id.clone(), before: None, limit: PAGE },
    }
}

/// Opens a conversation.
pub(super) fn open(model: &mut Model, id: ConversationId) -> Vec<Effect> {
    let mut effects = typing::stopped(model);
    model.dialog = None;
    model.cursor = None;
    model.completion = None;
    model.focus = Focus::Composer;
    if model.open.as_ref().is_none_or(|open| open.id != id) {
        let unread = model.conversation(&id).map_or(0, |c| c.unread);
        model.open = Some(Open::new(id, unread));
        effects.extend(reload(model));
    }
    effects.extend(learn(model));
    effects
}

/// Asks once who retains the open conversation, where that is not known: it is shown before anything is written.
pub(super) fn learn(model: &mut Model) -> Option<Effect> {
    let current = model.current()?;
    // Of one that has only begun it is asked with the begin.
    let listed = model.conversations.iter().any(|c| c.id == current.id);
    let wanted = listed && !current.retention_unknown.is_empty() && !current.left;
    let open = model.open.as_mut().filter(|open| wanted && !open.learned)?;
    open.learned = true;
    Some(Effect::Learn(open.id.clone()))
}

/// Opens a conversation at a message.
pub(super) fn open_at(model: &mut Model, id: ConversationId, position: u64) -> Vec<Effect> {
    let mut effects = open(model, id);
    model.focus = Focus::Messages;
    if let Some(open) = &mut model.open {
        if open.messages.iter().any(|m| m.position == position) {
            open.selected = Some(position);
            show_selected(model);
            return effects;
        }
        open.jump = Some(position);
    }
    effects.retain(|e| !matches!(e, Effect::Messages { .. }));
    if let Some(open) = &mut model.open {
        open.load = super::model::Load::Running;
        effects.push(ask(open));
    }
    effects
}

/// The pile of messages and what is seen of it.
pub(crate) fn pile(model: &Model) -> Option<(Pile<impl Fn(usize) -> usize + '_>, Bottom)> {
    let open = model.open.as_ref()?;
    let area = areas(model).messages;
    let width = usize::from(area.width);
    let pile = Pile {
        blocks: open.messages.len(),
        height: move |index| block(model, open, index, width).len(),
        pane: usize::from(area.height),
    };
    let bottom = match open.anchor {
        Some((position, hidden)) => Bottom { index: open.index_of(position), hidden },
        None => pile.newest(),
    };
    Some((pile, bottom))
}

fn hold(model: &mut Model, bottom: Bottom, newest: bool) {
    if let Some(open) = &mut model.open {
        open.anchor = match open.messages.get(bottom.index) {
            Some(message) if !newest => Some((message.position, bottom.hidden)),
            _ => None,
        };
    }
}

/// Scrolls the messages by some rows.
pub(super) fn scroll(model: &mut Model, up: bool, rows: usize) -> Vec<Effect> {
    let Some((pile, bottom)) = pile(model) else { return Vec::new() };
    let moved = if up { pile.up(bottom, rows) } else { pile.down(bottom, rows) };
    let newest = moved == pile.newest();
    drop(pile);
    hold(model, moved, newest);
    older(model).into_iter().collect()
}

/// Scrolls so that the message under the cursor is seen.
pub(super) fn show_selected(model: &mut Model) {
    let Some(index) = model.open.as_ref().and_then(|open| Some(open.index_of(open.selected?))) else { return };
    let Some((pile, bottom)) = pile(model) else { return };
    if pile.blocks == 0 {
        return;
    }
    let moved = pile.showing(bottom, index);
    let newest = moved == pile.newest();
    drop(pile);
    hold(model, moved, newest);
}

/// Asks for older messages when the oldest that are here come near.
pub(super) fn older(model: &mut Model) -> Option<Effect> {
    let (pile, bottom) = pile(model)?;
    let near = pile.top(bottom).0 < 10;
    drop(pile);
    let open = model.open.as_mut()?;
    if !near || open.complete || open.loading_older || !open.loaded {
        return None;
    }
    open.loading_older = true;
    let before = open.messages.first().map(|m| m.position);
    Some(Effect::Messages { id: open.id.clone(), before, limit: PAGE })
}

/// Marks as read what is looked at.
fn read(model: &mut Model) -> Option<Effect> {
    let looked_at = model.looked_at && areas(model).messages.height > 0;
    let open = model.open.as_mut()?;
    if !looked_at || open.anchor.is_some() || !open.loaded {
        return None;
    }
    let newest = open.messages.iter().rev().find(|m| !m.own)?.position;
    if newest <= open.read_to {
        return None;
    }
    open.read_to = newest;
    Some(Effect::MarkRead { id: open.id.clone(), up_to: newest })
}

/// Shows the user's presence to others, when it has changed and from time to time.
fn presence(model: &mut Model) -> Option<Effect> {
    if !model.rules.presence || model.link != Link::Online {
        return None;
    }
    let active = model.now_ms.saturating_sub(model.active_ms) < AWAY_MS;
    let now = if active { Presence::Available } else { Presence::Away };
    let told = |(state, at): (Presence, u64)| state == now && model.now_ms < at.saturating_add(PRESENCE_MS / 2);
    if model.shown_presence.is_some_and(told) {
        return None;
    }
    model.shown_presence = Some((now, model.now_ms));
    Some(Effect::Presence(now))
}

/// Puts a dialog in front.
pub(super) fn show(model: &mut Model, dialog: Dialog) {
    model.completion = None;
    model.dialog = Some(dialog);
}
