//! The list of conversations.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use sotto_client::{ConversationKind, ConversationView, ViewBody};
use sotto_wire::content::Presence;

use super::super::dialog::preview;
use super::super::keys::Focus;
use super::super::model::Model;
use super::super::stamp;
use super::super::text::{cut, fit, wrap};
use super::super::update::under_cursor;
use super::ends;
use super::put;
use super::theme::Theme;

/// Rows of an entry.
const ROWS: usize = 2;

/// Draws it.
pub(super) fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    let room = usize::from(area.width);
    if model.listed().next().is_none() {
        let words = "No conversation yet. Ctrl+N writes to somebody, Ctrl+R makes a room.";
        for (n, row) in (0_u16..).zip(wrap(words, room.saturating_sub(2))) {
            put(frame, area, n, Line::styled(format!(" {row}"), theme.dim()));
        }
        return;
    }
    let cursor = under_cursor(model);
    let fit_in = (usize::from(area.height) / ROWS).max(1);
    let at = model.listed().position(|c| Some(&c.id) == cursor.as_ref()).unwrap_or(0);
    let first = (at + 1).saturating_sub(fit_in);
    for (n, conversation) in model.listed().skip(first).take(fit_in).enumerate() {
        let here = Some(&conversation.id) == cursor.as_ref();
        let row = u16::try_from(n * ROWS).unwrap_or(u16::MAX);
        for (line, offset) in entry(model, conversation, here, room, theme).into_iter().zip(0..) {
            put(frame, area, row.saturating_add(offset), line);
        }
    }
}

fn entry(model: &Model, conversation: &ConversationView, here: bool, room: usize, theme: Theme) -> [Line<'static>; 2] {
    let presence = match (conversation.kind, model.others(conversation).as_slice()) {
        (ConversationKind::Direct, [other]) => model.presence_of(other),
        _ => None,
    };
    let dot = match presence {
        Some(Presence::Available) => "●",
        Some(Presence::Away) => "○",
        _ => " ",
    };
    let time = conversation.last.as_ref().map(|m| stamp::short(m.sent_at_ms, model.now_ms, &model.zone));
    let name = ends(&model.title(conversation), &format!(" {} ", time.unwrap_or_default()), room.saturating_sub(2));
    let unread = match (conversation.unread, conversation.mentioned) {
        (0, _) => String::new(),
        (n, false) => format!(" {n} "),
        (n, true) => format!(" @{n} "),
    };
    let writing = model.typing.iter().find(|(id, _, until)| *id == conversation.id && *until > model.now_ms);
    let draft = model.composers.get(&conversation.id).filter(|c| !c.editor.is_empty());
    let open = model.open.as_ref().is_some_and(|o| o.id == conversation.id);
    let words = match (&conversation.last, writing, draft) {
        (_, Some((_, who, _)), _) => format!("{} is typing …", model.name(who)),
        (_, _, Some(draft)) if !open => format!("draft: {}", draft.editor.text().replace('\n', " ")),
        (Some(last), ..) if matches!(last.body, ViewBody::Event(_)) => preview(last),
        (Some(last), ..) if last.own => format!("you: {}", preview(last)),
        (Some(last), ..) if conversation.kind != ConversationKind::Direct => {
            format!("{}: {}", model.name(&last.key.sender), preview(last))
        }
        (Some(last), ..) => preview(last),
        (None, ..) => "nothing said yet".to_owned(),
    };
    let below = room.saturating_sub(3 + unread.len());
    let chosen = here && model.focus == Focus::List;
    let (mark, name_style) = match (here, conversation.unread) {
        _ if chosen => (" ", theme.chosen()),
        (true, _) => ("▌", theme.bold()),
        (_, 0) => (" ", theme.plain()),
        _ => (" ", theme.bold()),
    };
    let presence = if chosen { theme.chosen() } else { theme.good() };
    let text = if chosen { theme.chosen() } else { theme.dim() };
    let badge = match (chosen, conversation.mentioned) {
        (true, _) => theme.chosen().patch(theme.bold()),
        (false, true) => theme.mention().patch(theme.chosen()),
        (false, false) => theme.chosen(),
    };
    [
        Line::from(vec![
            Span::styled(mark, name_style),
            Span::styled(dot, presence),
            Span::styled(fit(&name, room.saturating_sub(2)), name_style),
        ]),
        Line::from(vec![
            Span::styled(format!("{mark}  "), text),
            Span::styled(fit(&cut(&words, below), below), text),
            Span::styled(unread, badge),
        ]),
    ]
}
