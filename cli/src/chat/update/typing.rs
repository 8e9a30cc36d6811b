//! Writing: keys of the text field, completion, sending, telling others that the user types.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use sotto_client::ConversationView;
use sotto_crypto::Address;

use super::super::complete::{Completion, close_name, mentioned};
use super::super::dialog::Dialog;
use super::super::editor::Editor;
use super::super::effect::{Effect, Words};
use super::super::keys::Focus;
use super::super::model::{Mode, Model};
use super::super::view::areas::composer_width;

/// The others are told again after this long (milliseconds).
const TELL_MS: u64 = 4_000;
/// Without a key for this long, the user has stopped typing.
const STOPPED_MS: u64 = 6_000;

/// A key for the text that is being written.
pub(super) fn key(model: &mut Model, event: KeyEvent) -> Vec<Effect> {
    let most = composer_width(model);
    let Some(composer) = model.composer_mut() else { return Vec::new() };
    if event.code == KeyCode::Esc {
        return escape(model);
    }
    if event.code == KeyCode::Up && composer.editor.is_empty() && composer.mode == Mode::New {
        return super::act::act(model, super::super::keys::Action::EditLast);
    }
    let before = composer.editor.text().to_owned();
    edit(&mut composer.editor, event, most);
    if event.code == KeyCode::Char(':') {
        close_name(&mut composer.editor);
    }
    let changed = composer.editor.text() != before;
    complete(model, 0);
    if changed { told(model) } else { Vec::new() }
}

/// A key in a text: the ones of every terminal's line editor.
pub(super) fn edit(editor: &mut Editor, event: KeyEvent, most: usize) {
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    let alt = event.modifiers.contains(KeyModifiers::ALT);
    match event.code {
        KeyCode::Char('a') if control => editor.home(),
        KeyCode::Char('e') if control => editor.end(),
        KeyCode::Char('b') if alt => editor.word_left(),
        KeyCode::Char('f') if alt => editor.word_right(),
        KeyCode::Char('w') if control => editor.delete_word(),
        KeyCode::Char('u') if control => editor.delete_to_begin(),
        KeyCode::Char('d') if control => editor.delete(),
        KeyCode::Char('h') if control => editor.backspace(),
        KeyCode::Char(_) if control || alt => {}
        KeyCode::Char(c) => editor.insert(c.encode_utf8(&mut [0; 4])),
        KeyCode::Backspace if control || alt => editor.delete_word(),
        KeyCode::Backspace => editor.backspace(),
        KeyCode::Delete => editor.delete(),
        KeyCode::Left if control || alt => editor.word_left(),
        KeyCode::Right if control || alt => editor.word_right(),
        KeyCode::Left => editor.left(),
        KeyCode::Right => editor.right(),
        KeyCode::Home => editor.home(),
        KeyCode::End => editor.end(),
        KeyCode::Up => {
            editor.vertical(false, most);
        }
        KeyCode::Down => {
            editor.vertical(true, most);
        }
        _ => {}
    }
}

/// Text that was pasted, wherever one writes.
pub(super) fn paste(model: &mut Model, text: &str) -> Vec<Effect> {
    if let Some(Dialog::Form(form)) = &mut model.dialog {
        let line = text.lines().collect::<Vec<_>>().join(" ");
        if let Some(editor) = form.editor() {
            editor.insert(&line);
        }
        return super::forms::changed(model);
    }
    if model.dialog.is_some() {
        return Vec::new();
    }
    let Some(composer) = model.composer_mut() else { return Vec::new() };
    composer.editor.insert(text);
    model.focus = Focus::Composer;
    complete(model, 0);
    told(model)
}

/// Finds anew what is offered at the cursor.
pub(super) fn complete(model: &mut Model, cursor: usize) {
    let members = model.current().map(|c| model.others(c)).unwrap_or_default();
    model.completion = model.composer().and_then(|c| Completion::at(&c.editor, &members, cursor));
}

/// A key while something is offered at the cursor. Nothing when it is no key for that.
pub(super) fn completion_key(model: &mut Model, event: KeyEvent) -> Option<Vec<Effect>> {
    let completion = model.completion.as_mut()?;
    match event.code {
        KeyCode::Up => completion.step(false),
        KeyCode::Down => completion.step(true),
        KeyCode::Esc => model.completion = None,
        KeyCode::Tab | KeyCode::Enter if event.modifiers.is_empty() => {
            let completion = model.completion.take()?;
            completion.accept(&mut model.composer_mut()?.editor);
            return Some(told(model));
        }
        _ => return None,
    }
    Some(Vec::new())
}

/// Esc: away from an answer or an edit, or else to the messages.
fn escape(model: &mut Model) -> Vec<Effect> {
    if model.composer().is_some_and(|c| c.mode != Mode::New) {
        let effects = stopped(model);
        let Some(composer) = model.composer_mut() else { return effects };
        if matches!(composer.mode, Mode::Edit(_)) {
            composer.editor = composer.aside.take().unwrap_or_default();
        }
        composer.mode = Mode::New;
        return effects;
    }
    super::act::act(model, super::super::keys::Action::ToMessages)
}

/// Sends what is written.
pub(super) fn send(model: &mut Model) -> Vec<Effect> {
    let Some(conversation) = model.current() else { return Vec::new() };
    if conversation.left {
        model.say("you are not in this room any more");
        return Vec::new();
    }
    let (id, members) = (conversation.id.clone(), model.others(conversation));
    let to = model.target(&id);
    let Some(composer) = model.composer() else { return Vec::new() };
    let text = composer.editor.text().trim_end().to_owned();
    if text.trim().is_empty() {
        return Vec::new();
    }
    let effect = match &composer.mode {
        Mode::Edit(key) => Effect::Edit { key: key.clone(), text },
        _ => Effect::Post { id, to, words: words(model, text, &members) },
    };
    let mut effects = stopped(model);
    reset(model);
    if let Some(open) = &mut model.open {
        // What one writes is to be seen.
        open.anchor = None;
        open.selected = None;
        open.new_from = None;
    }
    effects.push(effect);
    effects
}

/// A text with what the composer says beside it.
pub(super) fn words(model: &Model, text: String, members: &[Address]) -> Words {
    let composer = model.composer();
    let reply_to = composer.and_then(|c| match &c.mode {
        Mode::Reply(key) => Some(key.clone()),
        _ => None,
    });
    Words {
        mentions: mentioned(&text, members),
        text,
        reply_to,
        expires_in_s: composer.and_then(|c| c.expires_in_s),
        burn_after_read_s: composer.and_then(|c| c.burn_after_read_s),
    }
}

/// Nothing is being written any more; how long messages live stays.
pub(super) fn reset(model: &mut Model) {
    model.completion = None;
    if let Some(composer) = model.composer_mut() {
        let aside = composer.aside.take();
        composer.editor = match composer.mode {
            Mode::Edit(_) => aside.unwrap_or_default(),
            _ => Editor::default(),
        };
        composer.mode = Mode::New;
    }
}

/// Tells the others that the user types.
fn told(model: &mut Model) -> Vec<Effect> {
    let Some(open) = &model.open else { return Vec::new() };
    let id = open.id.clone();
    let nobody = |c: &ConversationView| model.others(c).is_empty() || c.left;
    let silent = !model.rules.presence || model.current().is_none_or(nobody);
    let writing = model.composer().is_some_and(|c| !c.editor.is_empty() && !matches!(c.mode, Mode::Edit(_)));
    if !writing {
        return stopped(model);
    }
    let recently = |(there, at): &(String, u64)| *there == id && model.now_ms < at.saturating_add(TELL_MS);
    if silent || model.told_typing.as_ref().is_some_and(recently) {
        return Vec::new();
    }
    model.told_typing = Some((id.clone(), model.now_ms));
    vec![Effect::Typing { id, on: true }]
}

/// Tells the others that the user has stopped, if they were told that they type.
pub(super) fn stopped(model: &mut Model) -> Vec<Effect> {
    model.told_typing.take().map(|(id, _)| Effect::Typing { id, on: false }).into_iter().collect()
}

/// With time: who does not go on has stopped.
pub(super) fn idle(model: &mut Model) -> Vec<Effect> {
    if model.now_ms >= model.active_ms.saturating_add(STOPPED_MS) { stopped(model) } else { Vec::new() }
}
