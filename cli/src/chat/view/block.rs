//! One message as rows.

use std::fmt::Write as _;

use ratatui::style::Style;
use ratatui::text::{Line, Span};
use sotto_client::{DeliveryState, MessageView, ViewBody};
use sotto_crypto::Address;
use sotto_wire::content::{File, FileKind};

use super::super::complete::mention_in;
use super::super::dialog::preview;
use super::super::keys::Focus;
use super::super::model::{Model, Open};
use super::super::stamp;
use super::super::text::{bytes, clean, clock, cut, one_line, span, width, wrap};
use super::theme::Theme;

/// What follows on the same person's message within this time goes below the same name (milliseconds).
const TOGETHER_MS: u64 = 300_000;
/// That a message ends is shown beside it when it does within this time (milliseconds).
const SOON_MS: u64 = 7 * 86_400_000;
/// The least room for how somebody is called.
const CALLED: usize = 6;
/// Left of every row: the cursor's mark; left of what was said, more.
const INDENT: usize = 3;

/// The rows of a message: never none.
pub(crate) fn block(model: &Model, open: &Open, index: usize, room: usize) -> Vec<Line<'static>> {
    let Some(message) = open.messages.get(index) else { return vec![Line::default()] };
    let previous = index.checked_sub(1).and_then(|i| open.messages.get(i));
    let theme = Theme { color: model.color };
    let mut rows = Vec::new();
    let day = |m: &MessageView| stamp::day(m.sent_at_ms, &model.zone);
    let new_day = previous.is_none_or(|p| day(p) != day(message));
    if new_day {
        rows.push(across(&stamp::day_name(message.sent_at_ms, model.now_ms, &model.zone), room, theme.dim()));
    }
    let first_new = open.new_from == Some(message.position);
    if first_new {
        rows.push(across("new", room, theme.mention()));
    }
    let selected = model.focus == Focus::Messages && open.selected == Some(message.position);
    let mut said = Block { model, theme, room, selected, rows };
    if let ViewBody::Event(words) = &message.body {
        said.event(&one_line(words));
        return said.rows;
    }
    let together = previous.is_some_and(|p| !new_day && !first_new && goes_with(model, p, message));
    if !together {
        said.header(message);
    }
    said.context(open, message);
    said.body(message);
    said.after(message);
    said.rows
}

/// Whether a message stands below the same name as the one before it.
fn goes_with(model: &Model, previous: &MessageView, message: &MessageView) -> bool {
    previous.key.sender == message.key.sender
        && !matches!(previous.body, ViewBody::Event(_))
        && message.sent_at_ms.abs_diff(previous.sent_at_ms) < TOGETHER_MS
        && marks(model, previous) == marks(model, message)
}

/// What is to be known of a message beside its words.
pub(crate) fn marks(model: &Model, message: &MessageView) -> Vec<String> {
    let mut marks = Vec::new();
    let mut mark = |words: &str| marks.push(words.to_owned());
    if message.own {
        mark(state(message.state));
        let others = message.read_by.iter().filter(|who| **who != model.me).count();
        if others > 0 && message.state != DeliveryState::Read {
            mark(&format!("read by {others}"));
        }
    }
    if message.identity_changed {
        mark("IDENTITY CHANGED");
    }
    if !message.left_out.is_empty() {
        let names: Vec<String> = message.left_out.iter().map(|member| model.name(&member.address)).collect();
        mark(&format!("NOT TO {}", names.join(", ")));
    }
    if message.sent_in_future {
        mark("sent in the FUTURE");
    }
    if message.late {
        mark("came late");
    }
    if message.removed.from {
        mark("FROM A REMOVED DEVICE");
    }
    if message.removed.to {
        mark("ALSO TO A DEVICE YOU REMOVED");
    }
    if message.edited {
        mark("edited");
    }
    if message.pinned {
        mark("pinned");
    }
    if message.retained {
        mark("retained");
    }
    // What is far away is told by the message's own window.
    if let Some(end) = message.expires_at_ms.filter(|end| end.saturating_sub(model.now_ms) < SOON_MS) {
        let left = end.saturating_sub(model.now_ms) / 1000;
        let unit = [86_400, 3600, 60].into_iter().find(|unit| left >= 2 * unit).unwrap_or(1);
        mark(&format!("gone in {}", span(left - left % unit)));
    }
    marks
}

/// A word for how far a message has got.
pub(crate) fn state(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Refused => "REFUSED",
        DeliveryState::Uncertain => "UNCERTAIN",
        other => crate::commands::talk::state(other),
    }
}

/// Words in the middle of a line.
fn across(words: &str, room: usize, style: Style) -> Line<'static> {
    let words = cut(words, room.saturating_sub(6));
    let rest = room.saturating_sub(width(&words) + 3);
    let (left, right) = (rest / 2, rest - rest / 2);
    Line::styled(format!(" {} {words} {}", "─".repeat(left.saturating_sub(1)), "─".repeat(right)), style)
}

struct Block<'a> {
    model: &'a Model,
    theme: Theme,
    room: usize,
    selected: bool,
    rows: Vec<Line<'static>>,
}

impl Block<'_> {
    fn row(&mut self, mut spans: Vec<Span<'static>>) {
        let gutter = if self.selected { Span::styled("▌", self.theme.mention()) } else { Span::raw(" ") };
        spans.insert(0, gutter);
        self.rows.push(Line::from(spans));
    }

    /// Columns for what was said.
    fn inner(&self) -> usize {
        self.room.saturating_sub(INDENT).max(4)
    }

    fn indented(&mut self, spans: Vec<Span<'static>>) {
        let mut all = vec![Span::raw("  ")];
        all.extend(spans);
        self.row(all);
    }

    fn event(&mut self, words: &str) {
        for row in wrap(words, self.inner()) {
            self.row(vec![Span::styled(format!("* {row}"), self.theme.dim())]);
        }
    }

    fn header(&mut self, message: &MessageView) {
        let marks = marks(self.model, message).join(" · ");
        let time = stamp::clock(message.sent_at_ms, &self.model.zone);
        let tail = if marks.is_empty() { format!("  {time}") } else { format!("  {time}  {marks}") };
        let room = self.room.saturating_sub(1);
        let named = !message.own && message.mentions.contains(&self.model.me);
        let at = if named { "@ " } else { "" };
        let name = cut(&self.model.name(&message.key.sender), room.saturating_sub(8 + at.len()));
        let tail = cut(&tail, room.saturating_sub(width(&name) + at.len()));
        // How they are called gets what is left: it takes no room from the address, nor from what is to be known.
        let left = room.saturating_sub(width(&name) + at.len() + width(&tail));
        let called = message.sender_name.as_deref().filter(|_| !message.own && left >= CALLED);
        let called = called.map(|called| cut(&format!(" ({called})"), left)).unwrap_or_default();
        self.row(vec![
            Span::styled(at, self.theme.mention()),
            Span::styled(name, self.theme.name(&message.key.sender, message.own)),
            Span::styled(called, self.theme.dim()),
            Span::styled(tail, self.theme.dim()),
        ]);
    }

    fn context(&mut self, open: &Open, message: &MessageView) {
        if let Some(from) = &message.forwarded {
            let when = stamp::short(from.sent_at_ms, self.model.now_ms, &self.model.zone);
            let words = format!("sent on; says it is from {}, {when}", self.model.name(&from.from));
            self.indented(vec![Span::styled(cut(&words, self.inner()), self.theme.dim())]);
        }
        if let Some(key) = &message.reply_to {
            let words = match open.message(key) {
                Some(quoted) => format!("┃ {}: {}", self.model.name(&key.sender), preview(quoted)),
                None => format!("┃ {}: an older message", self.model.name(&key.sender)),
            };
            self.indented(vec![Span::styled(cut(&words, self.inner()), self.theme.dim())]);
        }
    }

    fn body(&mut self, message: &MessageView) {
        match &message.body {
            ViewBody::Text(text) => self.text(text),
            ViewBody::File(file) => {
                let words = cut(&file_line(file), self.inner());
                self.indented(vec![Span::styled(words, self.theme.bold())]);
                if let Some(caption) = file.caption.as_deref().filter(|c| !c.trim().is_empty()) {
                    self.text(caption);
                }
            }
            ViewBody::Missing(missing) => self.loud(&format!("!! {}", crate::commands::talk::missing(*missing))),
            ViewBody::Deleted => self.indented(vec![Span::styled("taken back", self.theme.dim())]),
            _ => {
                let words = cut("[this needs a newer version of the program]", self.inner());
                self.indented(vec![Span::styled(words, self.theme.dim())]);
            }
        }
    }

    fn text(&mut self, text: &str) {
        let members: Vec<Address> = self.model.current().map(|c| c.members.clone()).unwrap_or_default();
        for row in wrap(&clean(text), self.inner()) {
            let mut spans: Vec<Span<'static>> = Vec::new();
            let mut plain = String::new();
            for word in row.split_inclusive(' ') {
                if mention_in(word.trim_end(), &members).is_some() {
                    spans.push(Span::raw(std::mem::take(&mut plain)));
                    spans.push(Span::styled(word.to_owned(), self.theme.mention()));
                } else {
                    plain.push_str(word);
                }
            }
            spans.push(Span::raw(plain));
            self.indented(spans);
        }
    }

    fn after(&mut self, message: &MessageView) {
        if message.retention_missing {
            self.loud("!! RETENTION MISSING: its sender left out who has to keep this");
        }
        if message.conflict {
            self.loud(
                "!! DOES NOT FOLLOW what its sender's device said before: there are two of it, or it was put back",
            );
        }
        if message.conflicts_with.is_some() {
            self.loud("!! SAME ID as another message of its sender: both are kept");
        }
        let outcome = match message.state {
            DeliveryState::Refused => Some("NOT SENT"),
            DeliveryState::Uncertain => Some("NOT SENT AGAIN, nobody knows whether it went out before"),
            _ => None,
        };
        if let Some(outcome) = outcome {
            let reason = message.reason.as_deref().map_or("no reason is known".to_owned(), one_line);
            self.loud(&format!("!! {outcome}: {reason}"));
        }
        if !message.reactions.is_empty() {
            let mine = |who: &[Address]| who.contains(&self.model.me);
            let mut line = String::new();
            for (emoji, who) in &message.reactions {
                let own = if mine(who) { "*" } else { "" };
                let _ = write!(line, "{} {}{own}  ", one_line(emoji), who.len());
            }
            for row in wrap(line.trim_end(), self.inner()) {
                self.indented(vec![Span::raw(row)]);
            }
        }
    }

    fn loud(&mut self, words: &str) {
        for row in wrap(words, self.inner()) {
            self.indented(vec![Span::styled(row, self.theme.alarm())]);
        }
    }
}

/// A file in one line.
pub(crate) fn file_line(file: &File) -> String {
    let plays = file.duration_ms.map(|ms| format!(" {}", clock(ms))).unwrap_or_default();
    let name = one_line(&file.name);
    match file.kind {
        Some(FileKind::Voice) => format!("[voice{plays}] {name}, {}", bytes(file.size)),
        Some(FileKind::Video) => format!("[video{plays}] {name}, {}", bytes(file.size)),
        None => format!("[file] {name}, {}", bytes(file.size)),
    }
}
