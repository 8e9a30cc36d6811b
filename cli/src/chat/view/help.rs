//! The help: every key, from the table that the keys obey.

use ratatui::text::{Line, Span};

use super::super::keys::{CHAPTERS, EDITING, all};
use super::super::text::{fit, width, wrap};
use super::theme::Theme;

/// Columns for the keys.
const KEYS: usize = 21;

/// What is said at the end.
const WORDS: &[(&str, &str)] = &[
    ("queued", "waits here until the relay can be reached"),
    ("accepted", "the relay has it durably"),
    ("delivered", "it has come to a device of everybody"),
    ("read", "everybody has read it, and says so"),
    ("retained", "somebody outside of the conversation keeps it"),
];

/// The rows of the help on a screen of this width.
pub(crate) fn lines(columns: usize, theme: Theme) -> Vec<Line<'static>> {
    let room = columns.saturating_sub(6).max(20);
    let mut lines = Vec::new();
    let chapter = |lines: &mut Vec<Line<'static>>, title: &str| {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.push(Line::styled(title.to_owned(), theme.bold()));
    };
    for (title, focus, actions) in CHAPTERS {
        chapter(&mut lines, title);
        for (action, words) in *actions {
            entry(&mut lines, &all(*focus, *action), words, room, theme);
        }
        if *title == "Writing" {
            for (keys, words) in EDITING {
                entry(&mut lines, keys, words, room, theme);
            }
        }
    }
    chapter(&mut lines, "How far a message has got");
    for (word, words) in WORDS {
        entry(&mut lines, word, words, room, theme);
    }
    lines
}

fn entry(lines: &mut Vec<Line<'static>>, keys: &str, words: &str, room: usize, theme: Theme) {
    let mut keys = keys.to_owned();
    if width(&keys) > KEYS {
        lines.push(Line::styled(format!("  {keys}"), theme.mention()));
        keys = String::new();
    }
    for row in wrap(words, room.saturating_sub(KEYS + 4)) {
        let keys = std::mem::take(&mut keys);
        lines
            .push(Line::from(vec![Span::styled(format!("  {}  ", fit(&keys, KEYS)), theme.mention()), Span::raw(row)]));
    }
}

/// How many rows it has.
pub(crate) fn rows(columns: usize) -> usize {
    lines(columns.min(usize::from(super::front::WIDEST)), Theme { color: false }).len()
}
