//! Which key does what, in one table: the interface obeys it, the help shows it.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Where keys go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Focus {
    /// Into the text that is being written.
    Composer,
    /// To one of the messages.
    Messages,
    /// To the list of conversations.
    List,
}

/// Something that a key or a line of the menu does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    Help,
    Quit,
    Menu,
    Switch,
    NewConversation,
    NewRoom,
    Search,
    NextConversation,
    PreviousConversation,
    NextUnread,
    FocusNext,
    FocusPrevious,
    ToMessages,
    ToComposer,
    PageUp,
    PageDown,
    Send,
    NewLine,
    EditLast,
    SendFile,
    Quick,
    Times,
    Members,
    Verify,
    Pins,
    Title,
    AddMember,
    Leave,
    HideWarning,
    Redraw,
    Up,
    Down,
    Top,
    Bottom,
    Reply,
    Edit,
    Delete,
    React,
    Forward,
    Pin,
    Save,
    Info,
    Quoted,
    Open,
}

/// One key and what it does where.
pub(crate) struct Binding {
    /// Where; everywhere when absent.
    pub(crate) focus: Option<Focus>,
    pub(crate) code: KeyCode,
    pub(crate) modifiers: KeyModifiers,
    pub(crate) action: Action,
}

const NONE: KeyModifiers = KeyModifiers::NONE;
const CTRL: KeyModifiers = KeyModifiers::CONTROL;
const ALT: KeyModifiers = KeyModifiers::ALT;

const fn key(focus: Option<Focus>, code: KeyCode, modifiers: KeyModifiers, action: Action) -> Binding {
    Binding { focus, code, modifiers, action }
}

const COMPOSER: Option<Focus> = Some(Focus::Composer);
const MESSAGES: Option<Focus> = Some(Focus::Messages);
const LIST: Option<Focus> = Some(Focus::List);

/// Every key, the one that the help shows first before the others of an action.
pub(crate) const BINDINGS: &[Binding] = &[
    key(None, KeyCode::F(1), NONE, Action::Help),
    key(None, KeyCode::F(2), NONE, Action::Menu),
    key(None, KeyCode::Char('x'), CTRL, Action::Menu),
    key(None, KeyCode::Char('k'), CTRL, Action::Switch),
    key(None, KeyCode::Char('n'), CTRL, Action::NewConversation),
    key(None, KeyCode::Char('r'), CTRL, Action::NewRoom),
    key(None, KeyCode::Char('f'), CTRL, Action::Search),
    key(None, KeyCode::Down, ALT, Action::NextConversation),
    key(None, KeyCode::Up, ALT, Action::PreviousConversation),
    key(None, KeyCode::Char('u'), ALT, Action::NextUnread),
    key(None, KeyCode::Tab, NONE, Action::FocusNext),
    key(None, KeyCode::BackTab, NONE, Action::FocusPrevious),
    key(None, KeyCode::PageUp, NONE, Action::PageUp),
    key(None, KeyCode::PageDown, NONE, Action::PageDown),
    key(None, KeyCode::Char('o'), CTRL, Action::SendFile),
    key(None, KeyCode::Char('t'), CTRL, Action::Times),
    key(None, KeyCode::Char('q'), ALT, Action::Quick),
    key(None, KeyCode::Char('m'), ALT, Action::Members),
    key(None, KeyCode::Char('v'), ALT, Action::Verify),
    key(None, KeyCode::Char('p'), ALT, Action::Pins),
    key(None, KeyCode::Char('g'), CTRL, Action::HideWarning),
    key(None, KeyCode::Char('l'), CTRL, Action::Redraw),
    key(None, KeyCode::Char('q'), CTRL, Action::Quit),
    key(COMPOSER, KeyCode::Enter, NONE, Action::Send),
    key(COMPOSER, KeyCode::Enter, ALT, Action::NewLine),
    key(COMPOSER, KeyCode::Char('j'), CTRL, Action::NewLine),
    key(COMPOSER, KeyCode::Enter, KeyModifiers::SHIFT, Action::NewLine),
    key(MESSAGES, KeyCode::Char('r'), NONE, Action::Reply),
    key(MESSAGES, KeyCode::Char('e'), NONE, Action::Edit),
    key(MESSAGES, KeyCode::Char('d'), NONE, Action::Delete),
    key(MESSAGES, KeyCode::Delete, NONE, Action::Delete),
    key(MESSAGES, KeyCode::Char('+'), NONE, Action::React),
    key(MESSAGES, KeyCode::Char(':'), NONE, Action::React),
    key(MESSAGES, KeyCode::Char('f'), NONE, Action::Forward),
    key(MESSAGES, KeyCode::Char('p'), NONE, Action::Pin),
    key(MESSAGES, KeyCode::Char('s'), NONE, Action::Save),
    key(MESSAGES, KeyCode::Char('o'), NONE, Action::Quoted),
    key(MESSAGES, KeyCode::Char('i'), NONE, Action::Info),
    key(MESSAGES, KeyCode::Enter, NONE, Action::Info),
    key(MESSAGES, KeyCode::Up, NONE, Action::Up),
    key(MESSAGES, KeyCode::Char('k'), NONE, Action::Up),
    key(MESSAGES, KeyCode::Down, NONE, Action::Down),
    key(MESSAGES, KeyCode::Char('j'), NONE, Action::Down),
    key(MESSAGES, KeyCode::Home, NONE, Action::Top),
    key(MESSAGES, KeyCode::Char('g'), NONE, Action::Top),
    key(MESSAGES, KeyCode::End, NONE, Action::Bottom),
    key(MESSAGES, KeyCode::Char('G'), NONE, Action::Bottom),
    key(MESSAGES, KeyCode::Char('/'), NONE, Action::Search),
    key(MESSAGES, KeyCode::Char('?'), NONE, Action::Help),
    key(MESSAGES, KeyCode::Esc, NONE, Action::ToComposer),
    key(LIST, KeyCode::Up, NONE, Action::Up),
    key(LIST, KeyCode::Char('k'), NONE, Action::Up),
    key(LIST, KeyCode::Down, NONE, Action::Down),
    key(LIST, KeyCode::Char('j'), NONE, Action::Down),
    key(LIST, KeyCode::Home, NONE, Action::Top),
    key(LIST, KeyCode::End, NONE, Action::Bottom),
    key(LIST, KeyCode::Enter, NONE, Action::Open),
    key(LIST, KeyCode::Char('n'), NONE, Action::NewConversation),
    key(LIST, KeyCode::Char('/'), NONE, Action::Search),
    key(LIST, KeyCode::Char('?'), NONE, Action::Help),
    key(LIST, KeyCode::Esc, NONE, Action::ToComposer),
];

/// What a key does where the focus is.
pub(crate) fn action(focus: Focus, event: KeyEvent) -> Option<Action> {
    // A capital letter comes with or without Shift, as the terminal likes.
    let modifiers = match event.code {
        KeyCode::Char(_) | KeyCode::BackTab => event.modifiers - KeyModifiers::SHIFT,
        _ => event.modifiers,
    };
    let fits =
        |b: &&Binding| b.code == event.code && b.modifiers == modifiers && b.focus.is_none_or(|wanted| wanted == focus);
    BINDINGS.iter().find(fits).map(|b| b.action)
}

/// The first key of an action, for people.
pub(crate) fn shown(action: Action) -> Option<String> {
    BINDINGS.iter().find(|b| b.action == action).map(name)
}

/// All keys of an action in one place, for people.
pub(crate) fn all(focus: Option<Focus>, action: Action) -> String {
    let fitting = BINDINGS.iter().filter(|b| b.action == action && b.focus == focus);
    fitting.map(name).collect::<Vec<_>>().join(", ")
}

fn name(binding: &Binding) -> String {
    let key = match binding.code {
        KeyCode::F(n) => format!("F{n}"),
        KeyCode::Char(c) if binding.modifiers == NONE => c.to_string(),
        KeyCode::Char(c) => c.to_uppercase().to_string(),
        KeyCode::Up => "↑".to_owned(),
        KeyCode::Down => "↓".to_owned(),
        KeyCode::Tab => "Tab".to_owned(),
        KeyCode::BackTab => "Shift+Tab".to_owned(),
        KeyCode::Enter => "Enter".to_owned(),
        KeyCode::Esc => "Esc".to_owned(),
        KeyCode::Home => "Home".to_owned(),
        KeyCode::End => "End".to_owned(),
        KeyCode::PageUp => "PgUp".to_owned(),
        KeyCode::PageDown => "PgDn".to_owned(),
        KeyCode::Delete => "Del".to_owned(),
        other => format!("{other:?}"),
    };
    let modifier = match binding.modifiers {
        CTRL => "Ctrl+",
        ALT => "Alt+",
        KeyModifiers::SHIFT => "Shift+",
        _ => "",
    };
    format!("{modifier}{key}")
}

/// A title, where its keys count, and what each action does.
pub(crate) type Chapter = (&'static str, Option<Focus>, &'static [(Action, &'static str)]);

/// The chapters of the help.
pub(crate) const CHAPTERS: &[Chapter] = &[
    (
        "Everywhere",
        None,
        &[
            (Action::Help, "this help"),
            (Action::Menu, "everything that can be done here"),
            (Action::Switch, "go to a conversation by name"),
            (Action::NewConversation, "write to somebody by address"),
            (Action::NewRoom, "make a room"),
            (Action::Search, "search the local history"),
            (Action::NextConversation, "next conversation"),
            (Action::PreviousConversation, "previous conversation"),
            (Action::NextUnread, "next conversation with something new"),
            (Action::FocusNext, "from text to messages to list"),
            (Action::PageUp, "older messages"),
            (Action::PageDown, "newer messages"),
            (Action::SendFile, "send a file"),
            (Action::Times, "how long messages live"),
            (Action::Quick, "quick responses"),
            (Action::Members, "who is in it"),
            (Action::Verify, "safety numbers"),
            (Action::Pins, "pinned messages"),
            (Action::HideWarning, "hide a warning"),
            (Action::Redraw, "draw the screen anew"),
            (Action::Quit, "end"),
        ],
    ),
    ("Writing", Some(Focus::Composer), &[(Action::Send, "send"), (Action::NewLine, "new line")]),
    (
        "On a message (Esc or Tab while writing)",
        Some(Focus::Messages),
        &[
            (Action::Up, "older"),
            (Action::Down, "newer"),
            (Action::Top, "the oldest"),
            (Action::Bottom, "the newest"),
            (Action::Reply, "reply"),
            (Action::Edit, "edit"),
            (Action::Delete, "take back"),
            (Action::React, "react"),
            (Action::Forward, "send on"),
            (Action::Pin, "pin, or take the pin away"),
            (Action::Save, "save the file"),
            (Action::Quoted, "go to the message that it answers"),
            (Action::Info, "who has got and read it, and more"),
            (Action::ToComposer, "back to writing"),
        ],
    ),
    (
        "In the list",
        Some(Focus::List),
        &[(Action::Up, "up"), (Action::Down, "down"), (Action::Open, "open"), (Action::ToComposer, "back to writing")],
    ),
];

/// Keys of the text field, which are no actions.
pub(crate) const EDITING: &[(&str, &str)] = &[
    ("↑ in an empty text", "edit your last message"),
    (":name", "an emoji; Tab takes it"),
    ("@name", "names somebody; Tab takes it"),
    ("Ctrl+A, Ctrl+E", "begin, end of the line"),
    ("Ctrl+W", "deletes a word"),
    ("Ctrl+U", "deletes to the begin of the line"),
    ("Alt+B, Alt+F", "a word back, forward"),
    ("Ctrl+C", "drops the text; twice: end"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_in_one_place() {
        for (n, a) in BINDINGS.iter().enumerate() {
            for b in BINDINGS.iter().skip(n + 1) {
                let same_place = a.focus == b.focus || a.focus.is_none() || b.focus.is_none();
                assert!(!(same_place && a.code == b.code && a.modifiers == b.modifiers), "{} and {}", name(a), name(b));
            }
        }
    }

    #[test]
    fn the_help_shows_every_key() {
        for binding in BINDINGS.iter().filter(|b| !matches!(b.action, Action::FocusPrevious | Action::Help)) {
            let told = CHAPTERS.iter().any(|(_, focus, actions)| {
                *focus == binding.focus && actions.iter().any(|(a, _)| *a == binding.action)
            });
            let told_elsewhere =
                matches!(binding.action, Action::Search | Action::NewConversation | Action::Top | Action::Bottom);
            assert!(told || told_elsewhere, "{}", name(binding));
        }
        for (_, focus, actions) in CHAPTERS {
            for (action, words) in *actions {
                assert!(!all(*focus, *action).is_empty(), "{words}");
            }
        }
    }

    #[test]
    fn keys_are_found() {
        let key = |code, modifiers| KeyEvent::new(code, modifiers);
        assert_eq!(action(Focus::Messages, key(KeyCode::Char('G'), KeyModifiers::SHIFT)), Some(Action::Bottom));
        assert_eq!(action(Focus::Composer, key(KeyCode::Char('G'), KeyModifiers::SHIFT)), None);
        assert_eq!(action(Focus::List, key(KeyCode::F(1), KeyModifiers::NONE)), Some(Action::Help));
        assert_eq!(all(Some(Focus::Composer), Action::NewLine), "Alt+Enter, Ctrl+J, Shift+Enter");
    }
}
