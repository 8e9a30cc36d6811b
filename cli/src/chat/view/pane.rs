//! The open conversation: its head, what must be known of it, its messages, what is being written.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Clear;
use sotto_client::ConversationKind;
use sotto_wire::content::Presence;

use super::super::dialog::preview;
use super::super::keys::Focus;
use super::super::model::{Composer, Mode, Model, Transfer, beside};
use super::super::text::{bytes, clean, cut, fit, one_line, rows, span, width};
use super::super::update::pile;
use super::areas::{Areas, banners, composer_width};
use super::block::block;
use super::theme::Theme;
use super::{ends, place, put};

/// Draws it; gives where the cursor is.
pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, areas: &Areas, theme: Theme) -> Option<Position> {
    let Some(open) = &model.open else {
        welcome(frame, areas.pane, theme);
        return None;
    };
    head(model, frame, areas.head, theme);
    for ((words, loud), n) in banners(model).into_iter().zip(0..) {
        let style = if loud { theme.alarm() } else { theme.retained() };
        put(frame, areas.banners, n, Line::styled(fit(&format!(" {words}"), usize::from(areas.banners.width)), style));
    }
    messages(model, frame, areas.messages, theme);
    if open.messages.is_empty() {
        let words = if open.loaded { "Nothing has been said here yet." } else { "…" };
        put(frame, areas.messages, 0, Line::styled(format!(" {words}"), theme.dim()));
    }
    for (transfer, n) in model.moving().zip(0..) {
        put(frame, areas.transfers, n, Line::raw(progress(transfer, usize::from(areas.transfers.width))));
    }
    rule(model, frame, areas.rule, theme);
    let cursor = composer(model, frame, areas.composer, theme);
    offered(model, frame, areas, theme);
    cursor
}

fn welcome(frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    let words =
        ["", "Ctrl+N  write to somebody", "Ctrl+R  make a room", "Ctrl+K  go to a conversation", "F1      help"];
    for (words, n) in words.into_iter().zip(0..) {
        put(frame, area, n, Line::styled(format!("  {words}"), theme.dim()));
    }
}

fn head(model: &Model, frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    let Some(conversation) = model.current() else { return };
    let mut facts = Vec::new();
    let others = model.others(conversation);
    match conversation.kind {
        ConversationKind::Direct => {
            if let [other] = others.as_slice() {
                match model.presence_of(other) {
                    Some(Presence::Available) => facts.push("available".to_owned()),
                    Some(Presence::Away) => facts.push("away".to_owned()),
                    _ => {}
                }
            }
        }
        _ => facts.push(format!("{} people", conversation.members.len())),
    }
    if let Some(s) = conversation.expires_in_s {
        facts.push(format!("expires {}", span(s)));
    }
    if let Some(s) = conversation.burn_after_read_s {
        facts.push(format!("burns {} after reading", span(s)));
    }
    if !others.is_empty() {
        let changed = model.changed(conversation).next().is_some();
        let known = if model.all_verified(conversation) { "verified" } else { "not verified" };
        facts.push(if changed { "IDENTITY CHANGED" } else { known }.to_owned());
    }
    let mut title = model.title(conversation);
    if conversation.kind == ConversationKind::Direct
        && let [other] = others.as_slice()
    {
        title = format!("{other}{}", beside(conversation, &others));
    }
    let line = ends(&format!(" {title}"), &format!("  {} ", facts.join(" · ")), usize::from(area.width));
    put(frame, area, 0, Line::styled(line, theme.bold()));
}

fn messages(model: &Model, frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    let (Some(open), Some((pile, bottom))) = (&model.open, pile(model)) else { return };
    if pile.blocks == 0 || area.height == 0 {
        return;
    }
    let (first, cut_off) = pile.top(bottom);
    let lines = (first..=bottom.index).flat_map(|index| block(model, open, index, usize::from(area.width)));
    for (line, n) in lines.skip(cut_off).take(usize::from(area.height)).zip(0..) {
        put(frame, area, n, line);
    }
    if open.anchor.is_some() {
        let below = open.messages.len().saturating_sub(bottom.index + 1);
        let words = if below == 0 { " more below: PgDn ".to_owned() } else { format!(" {below} below: PgDn ") };
        let x = area.right().saturating_sub(u16::try_from(width(&words)).unwrap_or(0));
        let corner = Rect { x, y: area.bottom() - 1, width: area.right() - x, height: 1 };
        put(frame, corner, 0, Line::styled(words, theme.note()));
    }
}

/// A file on its way.
fn progress(transfer: &Transfer, room: usize) -> String {
    let arrow = if transfer.sending { "↑" } else { "↓" };
    let name = one_line(&transfer.name);
    if transfer.total == 0 {
        return cut(&format!(" {arrow} {name} …"), room);
    }
    let done = transfer.done.min(transfer.total);
    let percent = u128::from(done) * 100 / u128::from(transfer.total);
    let bar = 10;
    let full = usize::try_from(percent).unwrap_or(0) * bar / 100;
    let right = format!(
        "  {}{} {percent:3} %  {} of {} ",
        "█".repeat(full),
        "░".repeat(bar - full),
        bytes(done),
        bytes(transfer.total)
    );
    ends(&format!(" {arrow} {name}"), &right, room)
}

/// The line over the text: what becomes of it, who else is typing.
fn rule(model: &Model, frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    let composer = model.composer();
    let quoted = |key| {
        let message = model.open.as_ref().and_then(|o| o.message(key));
        message.map_or_else(String::new, |m| format!(": {}", preview(m)))
    };
    let typing = model.typing_here();
    let (words, style) = match composer.map(|c| &c.mode) {
        Some(Mode::Reply(key)) => {
            (format!("reply to {}{} · Esc: not", model.name(&key.sender), quoted(key)), theme.mention())
        }
        Some(Mode::Edit(_)) => ("editing your message · Esc: not".to_owned(), theme.mention()),
        _ => match typing.as_slice() {
            [] => (String::new(), theme.dim()),
            [one] => (format!("{} is typing …", model.name(one)), theme.dim()),
            many => (format!("{} people are typing …", many.len()), theme.dim()),
        },
    };
    let lives = composer.map(lives).unwrap_or_default();
    let room = usize::from(area.width);
    let words = if words.is_empty() {
        String::new()
    } else {
        format!(" {} ", cut(&words, room.saturating_sub(8 + width(&lives))))
    };
    let fill = room.saturating_sub(width(&words) + width(&lives) + 1);
    let line = Line::from(vec![
        Span::styled("─", theme.dim()),
        Span::styled(words, style),
        Span::styled("─".repeat(fill), theme.dim()),
        Span::styled(lives, theme.mention()),
    ]);
    put(frame, area, 0, line);
}

/// How long what is being written lives.
fn lives(composer: &Composer) -> String {
    let mut words = Vec::new();
    if let Some(s) = composer.expires_in_s {
        words.push(format!("expires {}", span(s)));
    }
    if let Some(s) = composer.burn_after_read_s {
        words.push(format!("burns {} after reading", span(s)));
    }
    if words.is_empty() { String::new() } else { format!(" {} ", words.join(" · ")) }
}

fn composer(model: &Model, frame: &mut Frame<'_>, area: Rect, theme: Theme) -> Option<Position> {
    let conversation = model.current()?;
    let empty = Composer::default();
    let composer = model.composer().unwrap_or(&empty);
    let active = model.focus == Focus::Composer;
    let prompt = if active { Span::styled("> ", theme.bold()) } else { Span::styled("  ", theme.dim()) };
    if composer.editor.is_empty() {
        let words = if conversation.left { String::new() } else { format!("Write to {}", model.title(conversation)) };
        let words = cut(&words, usize::from(area.width).saturating_sub(2));
        put(frame, area, 0, Line::from(vec![prompt, Span::styled(words, theme.dim())]));
        return active.then(|| place(area, 0, 2));
    }
    let most = composer_width(model);
    let (row, column) = composer.editor.place(most);
    let height = usize::from(area.height).max(1);
    let first = (row + 1).saturating_sub(height);
    let text = composer.editor.text();
    for ((from, to), n) in rows(text, most).into_iter().skip(first).take(height).zip(0..) {
        let lead = if n == 0 { prompt.clone() } else { Span::raw("  ") };
        let row = clean(text.get(from..to).unwrap_or_default());
        put(frame, area, n, Line::from(vec![lead, Span::raw(row)]));
    }
    active.then(|| place(area, row - first, column + 2))
}

/// What is offered for the word at the cursor, right above the text.
fn offered(model: &Model, frame: &mut Frame<'_>, areas: &Areas, theme: Theme) {
    let Some(completion) = model.completion.as_ref().filter(|_| model.focus == Focus::Composer) else { return };
    let room = usize::from(areas.pane.width).saturating_sub(4);
    let widest = completion.choices.iter().map(|(shown, _)| width(shown)).max().unwrap_or(0).min(room);
    let height = u16::try_from(completion.choices.len()).unwrap_or(0).min(areas.messages.height);
    let area = Rect {
        x: areas.pane.x + 2,
        y: areas.rule.y.saturating_sub(height),
        width: u16::try_from(widest + 2).unwrap_or(areas.pane.width).min(areas.pane.width.saturating_sub(2)),
        height,
    };
    frame.render_widget(Clear, area);
    for (n, (shown, _)) in completion.choices.iter().enumerate() {
        let style = if n == completion.cursor { theme.chosen() } else { theme.bar_quiet() };
        let words = format!(" {} ", fit(shown, widest));
        put(frame, area, u16::try_from(n).unwrap_or(u16::MAX), Line::styled(words, style));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_on_its_way() {
        let mut t = Transfer { id: 1, name: "report.pdf".into(), sending: true, durable: false, done: 0, total: 0 };
        assert_eq!(progress(&t, 40), " ↑ report.pdf …");
        (t.done, t.total) = (500_000, 1_000_000);
        assert_eq!(progress(&t, 60), " ↑ report.pdf            █████░░░░░  50 %  500 kB of 1.0 MB ");
        assert_eq!(width(&progress(&t, 20)), 20);
    }

    #[test]
    fn a_wrapped_title_is_cut() {
        assert_eq!(ends("left", "right", 12), "left   right");
        assert_eq!(ends("a long left side", "right", 12), "a long…right");
    }
}
