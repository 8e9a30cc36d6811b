//! What stands in front: help, forms, questions, the safety number, what is known of a message.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear};
use sotto_client::{Contact, TrustState};
use sotto_crypto::Address;
use sotto_wire::content::MessageRef;

use super::super::dialog::{Dialog, Form};
use super::super::model::Model;
use super::super::stamp;
use super::super::text::{clean, cut, fit, one_line, span, width, wrap};
use super::theme::Theme;
use super::{block, ends, help, place, put, trust};
use crate::commands::talk::called;
use crate::commands::trust::place as place_of;

/// The widest that a window in front gets.
pub(crate) const WIDEST: u16 = 72;

/// Draws it; gives where the cursor is.
pub(super) fn draw(model: &Model, dialog: &Dialog, frame: &mut Frame<'_>, theme: Theme) -> Option<Position> {
    let inner = usize::from(frame.area().width.min(WIDEST)).saturating_sub(4);
    match dialog {
        Dialog::Help { first } => {
            let lines = help::lines(usize::from(frame.area().width.min(WIDEST)), theme);
            let more = lines.len().saturating_sub(*first);
            let area = window(frame, "Keys", more, "↑ ↓ PgDn: more · Esc: close", theme);
            for (line, n) in lines.into_iter().skip(*first).take(usize::from(area.height)).zip(0..) {
                put(frame, area, n, line);
            }
            None
        }
        Dialog::Form(form) => self::form(form, frame, theme),
        Dialog::Verify { who, contact, problem } => {
            let lines = verify(model, who, contact.as_deref(), problem.as_deref(), inner, theme);
            let hint = match contact.as_ref().map(|c| (c.state, c.new_safety_number.is_some())) {
                Some((TrustState::Changed, true)) => "a: accept the new identity · Esc: close",
                Some((TrustState::Replaced, _)) => {
                    "v: it is the same, mark as verified · a: accept the change · Esc: close"
                }
                Some((TrustState::Verified, _)) => "u: take the mark away · Esc: close",
                Some(_) => "v: it is the same, mark as verified · Esc: close",
                None => "Esc: close",
            };
            show(frame, "Safety number", lines, hint, theme);
            None
        }
        Dialog::Info(key) => {
            let lines = info(model, key, inner, theme);
            show(frame, "Message", lines, "any key: close", theme);
            None
        }
        Dialog::Confirm { question, .. } => {
            let lines = wrap(question, inner).into_iter().map(Line::raw).collect();
            show(frame, "Sure?", lines, "y: yes · any other key: no", theme);
            None
        }
    }
}

fn show(frame: &mut Frame<'_>, title: &str, lines: Vec<Line<'static>>, hint: &str, theme: Theme) {
    let area = window(frame, title, lines.len(), hint, theme);
    for (line, n) in lines.into_iter().zip(0..) {
        put(frame, area, n, line);
    }
}

/// An empty window in the middle for this many rows; gives what is inside.
fn window(frame: &mut Frame<'_>, title: &str, rows: usize, hint: &str, theme: Theme) -> Rect {
    let screen = frame.area();
    let width = screen.width.min(WIDEST);
    let height = u16::try_from(rows + 2).unwrap_or(u16::MAX).clamp(3, screen.height);
    let area = Rect { x: (screen.width - width) / 2, y: (screen.height - height) / 2, width, height };
    let room = usize::from(width).saturating_sub(4);
    let edge = Block::bordered()
        .title(Span::styled(format!(" {} ", cut(title, room)), theme.bold()))
        .title_bottom(Span::styled(format!(" {} ", cut(hint, room)), theme.dim()));
    frame.render_widget(Clear, area);
    frame.render_widget(edge, area);
    Rect { x: area.x + 2, y: area.y + 1, width: width.saturating_sub(4), height: height - 2 }
}

fn form(form: &Form, frame: &mut Frame<'_>, theme: Theme) -> Option<Position> {
    let screen = frame.area();
    let fields = form.fields.len();
    let gap = usize::from(!form.choices.is_empty());
    let problem = usize::from(form.problem.is_some());
    let most = usize::from(screen.height).saturating_sub(fields + gap + problem + 4).max(1);
    // Room for what may be found, so that the window stays where it is.
    let offered = if form.picks() { most.min(12) } else { form.choices.len().min(most).min(8) };
    let area =
        window(frame, form.title(), fields + gap.max(usize::from(offered > 0)) + offered + problem, form.hint(), theme);
    let room = usize::from(area.width);
    let labels = form.fields.iter().map(|f| width(f.label)).max().unwrap_or(0);
    let lead = if labels == 0 { 2 } else { labels + 2 };
    let mut cursor = None;
    for (n, field) in form.fields.iter().enumerate() {
        let most = room.saturating_sub(lead + 1);
        // The end is seen: there one writes.
        let before = clean(field.editor.before());
        let hidden = width(&before).saturating_sub(most);
        let mut skipped = 0;
        let shown: String = clean(field.editor.text())
            .chars()
            .skip_while(|c| {
                let skip = skipped < hidden;
                skipped += width(&c.to_string());
                skip
            })
            .collect();
        let label = if labels == 0 { "> ".to_owned() } else { fit(field.label, lead) };
        let style = if n == form.active { theme.bold() } else { theme.dim() };
        let row = u16::try_from(n).unwrap_or(u16::MAX);
        put(frame, area, row, Line::from(vec![Span::styled(label, style), Span::raw(cut(&shown, most + 1))]));
        if n == form.active {
            cursor = Some(place(area, n, lead + width(&before).min(most)));
        }
    }
    let mut row = fields;
    if let Some(words) = &form.problem {
        let line = Line::styled(cut(words, room), theme.mention());
        put(frame, area, u16::try_from(row).unwrap_or(u16::MAX), line);
        row += 1;
    }
    row += usize::from(offered > 0);
    let first = (form.cursor + 1).saturating_sub(offered.max(1));
    for (n, choice) in form.choices.iter().enumerate().skip(first).take(offered) {
        let style = if n == form.cursor { theme.chosen() } else { theme.plain() };
        let line = ends(&format!(" {}", choice.label), &format!("  {} ", choice.detail), room);
        put(frame, area, u16::try_from(row).unwrap_or(u16::MAX), Line::styled(line, style));
        row += 1;
    }
    cursor
}

fn verify(
    model: &Model,
    who: &Address,
    contact: Option<&Contact>,
    problem: Option<&str>,
    room: usize,
    theme: Theme,
) -> Vec<Line<'static>> {
    let name = contact.and_then(|contact| contact.name.as_deref());
    let mut lines = vec![Line::styled(cut(&called(who, name), room), theme.bold())];
    let say = |lines: &mut Vec<Line<'static>>, words: &str, style| {
        lines.extend(wrap(words, room).into_iter().map(|row| Line::styled(row, style)));
    };
    match contact {
        None if problem.is_none() => say(&mut lines, "asking the relay …", theme.dim()),
        None => {}
        Some(contact) => {
            let changed = contact.change.is_some();
            let since = stamp::whole(contact.since_ms, &model.zone);
            let style = if changed { theme.alarm() } else { theme.plain() };
            say(&mut lines, &format!("{}; known since {since}", trust(contact.state)), style);
            if let Some(change) = &contact.change {
                let since = stamp::whole(change.since_ms, &model.zone);
                let words = format!(
                    "It was {} and is {}; first seen {}, {since}.",
                    change.old,
                    change.new,
                    place_of(change.seen_in)
                );
                say(&mut lines, &words, theme.plain());
            }
            lines.push(Line::default());
            number(&mut lines, &contact.safety_number.to_string(), room, theme);
            lines.push(Line::default());
            if let Some(new) = &contact.new_safety_number {
                say(&mut lines, "The identity that the relay shows now has the number", theme.plain());
                lines.push(Line::default());
                number(&mut lines, &new.to_string(), room, theme);
                lines.push(Line::default());
                let words = "Ask them by another way whether they registered anew. If so, accept the new identity and \
                             compare its number.";
                say(&mut lines, words, theme.plain());
            } else {
                let words = "Compare it with the number that they see, by voice or in person. Where it is the same, \
                             nobody stands in between.";
                say(&mut lines, words, theme.plain());
            }
        }
    }
    if let Some(words) = problem {
        say(&mut lines, &one_line(words), theme.mention());
    }
    lines
}

/// A safety number in rows of whole groups, in the middle.
fn number(lines: &mut Vec<Line<'static>>, number: &str, room: usize, theme: Theme) {
    let groups: Vec<&str> = number.split_whitespace().collect();
    for row in groups.chunks(4) {
        let row = row.join("  ");
        let lead = " ".repeat(room.saturating_sub(width(&row)) / 2);
        lines.push(Line::styled(format!("{lead}{row}"), theme.bold()));
    }
}

fn info(model: &Model, key: &MessageRef, room: usize, theme: Theme) -> Vec<Line<'static>> {
    let Some(message) = model.open.as_ref().and_then(|o| o.message(key)) else {
        return vec![Line::styled("It is gone.", theme.dim())];
    };
    let mut lines = Vec::new();
    let mut fact = |name: &str, words: &str| {
        for (row, n) in wrap(words, room.saturating_sub(14)).into_iter().zip(0..) {
            let name = if n == 0 { name } else { "" };
            lines.push(Line::from(vec![Span::styled(fit(name, 14), theme.dim()), Span::raw(row)]));
        }
    };
    let names = |people: &[Address]| people.iter().map(|who| model.name(who)).collect::<Vec<_>>().join(", ");
    let said = match (&message.body, super::super::dialog::preview(message)) {
        (sotto_client::ViewBody::File(file), _) => block::file_line(file),
        (_, words) => cut(&words, room * 3),
    };
    fact("says", &said);
    fact("from", &called(&key.sender, message.sender_name.as_deref()));
    let known = if message.own || message.verified { "verified" } else { "not verified" };
    fact("identity", if message.identity_changed { "HAS CHANGED: Alt+V" } else { known });
    fact("sent", &stamp::whole(message.sent_at_ms, &model.zone));
    fact("state", block::state(message.state));
    if let Some(reason) = &message.reason {
        fact("because", &one_line(reason));
    }
    if !message.delivered_to.is_empty() {
        fact("has come to", &names(&message.delivered_to));
    }
    if !message.read_by.is_empty() {
        fact("read by", &names(&message.read_by));
    }
    for (emoji, who) in &message.reactions {
        fact(&one_line(emoji), &names(who));
    }
    if let Some(end) = message.expires_at_ms {
        let left = end.saturating_sub(model.now_ms) / 1000;
        fact("gone", &format!("{}, in {}", stamp::whole(end, &model.zone), span(left)));
    }
    let kept = match (message.retained, message.retained_by.as_slice()) {
        (false, _) => "no".to_owned(),
        (true, []) => "yes: somebody outside of the conversation keeps it".to_owned(),
        (true, by) => format!("by {}", by.iter().map(Address::as_str).collect::<Vec<_>>().join(", ")),
    };
    fact("retained", &kept);
    for member in &message.left_out {
        fact("not sent to", &format!("{}: {}", member.address, one_line(&member.reason)));
    }
    if message.retention_missing {
        fact("!!", "RETENTION MISSING: its sender left out who has to keep this");
    }
    if message.late {
        fact("came", "late: it was missing before");
    }
    if message.sent_in_future {
        fact("!!", "it says that it was sent later than it came: its sender's clock is wrong, or this machine's was");
    }
    match message.forward_secret {
        Some(true) => fact("forward secret", "yes: nobody can open a recording of it"),
        Some(false) => {
            fact("forward secret", "NO: it came under a key that is kept for weeks, since no other one was left");
        }
        None => {}
    }
    if message.removed.from {
        fact("!!", "FROM A REMOVED DEVICE: its sender has taken away the device that it is from");
    }
    if message.removed.to {
        fact(
            "!!",
            "it went to a device that you had removed before, too: the relay shows others an old list of your devices",
        );
    }
    if message.conflict {
        fact("!!", "it does not follow what its sender's device said before: there are two of it, or it was put back");
    }
    if let Some(other) = &message.conflicts_with {
        fact("!!", &format!("SAME ID: its sender has sent it under {other}, the id of another message"));
    }
    fact("id", &key.message.to_string());
    lines
}
