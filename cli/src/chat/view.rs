//! The state on the screen. Pure: draws into a frame of any size.

pub(crate) mod areas;
pub(crate) mod block;
pub(crate) mod front;
pub(crate) mod help;
mod list;
mod pane;
pub(crate) mod theme;

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use sotto_client::TrustState;
use sotto_kubectl::output::steers;

use self::areas::{Areas, areas, warning_rows};
use self::theme::Theme;
use super::effect::Link;
use super::keys::Focus;
use super::model::Model;
use super::text::{cut, fit, one_line, width};

/// Draws everything. What is drawn is cleaned where it comes in; here nothing is left that a terminal would obey, whatever was
/// forgotten there.
pub(crate) fn view(model: &Model, frame: &mut Frame<'_>) {
    draw(model, frame);
    for cell in &mut frame.buffer_mut().content {
        if cell.symbol().contains(steers) {
            let kept: String = cell.symbol().chars().filter(|c| !steers(*c)).collect();
            cell.set_symbol(if kept.is_empty() { " " } else { &kept });
        }
    }
}

fn draw(model: &Model, frame: &mut Frame<'_>) {
    let theme = Theme { color: model.color };
    let screen = frame.area();
    if screen.width < areas::LEAST.0 || screen.height < areas::LEAST.1 {
        put(frame, screen, 0, Line::raw(cut("This window is too small.", usize::from(screen.width))));
        return;
    }
    let areas = areas(model);
    top(model, frame, areas.top, theme);
    for (n, row) in (0_u16..).zip(warning_rows(model, screen.width)) {
        put(frame, areas.warning, n, Line::styled(fit(&row, usize::from(areas.warning.width)), theme.alarm()));
    }
    if areas.list.width > 0 {
        list::draw(model, frame, areas.list, theme);
    }
    for y in 0..areas.divider.height {
        put(frame, areas.divider, y, Line::styled("│", theme.dim()));
    }
    let mut cursor = None;
    if areas.pane.width > 0 {
        cursor = pane::draw(model, frame, &areas, theme);
    }
    bottom(model, frame, &areas, theme);
    if let Some(dialog) = &model.dialog {
        cursor = front::draw(model, dialog, frame, theme);
    }
    if let Some(at) = cursor {
        frame.set_cursor_position(at);
    }
}

/// A line in a row of an area.
#[expect(clippy::needless_pass_by_value, reason = "lines are made where they are drawn")]
pub(crate) fn put(frame: &mut Frame<'_>, area: Rect, row: u16, line: Line<'_>) {
    if row < area.height {
        let (x, y) = (area.x, area.y + row);
        frame.buffer_mut().set_line(x, y, &line, area.width);
    }
}

/// Where in an area something is.
pub(crate) fn place(area: Rect, row: usize, column: usize) -> Position {
    let limit = |n: usize, most: u16| u16::try_from(n).unwrap_or(u16::MAX).min(most.saturating_sub(1));
    Position { x: area.x + limit(column, area.width), y: area.y + limit(row, area.height) }
}

/// Words at both ends of a row; the left ones give way.
pub(crate) fn ends(left: &str, right: &str, room: usize) -> String {
    let right = cut(right, room);
    let rest = room.saturating_sub(width(&right));
    format!("{}{right}", fit(left, rest))
}

fn top(model: &Model, frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    let (words, broken) = match &model.link {
        Link::Connecting => ("connecting …".to_owned(), true),
        Link::Online if model.stale.is_some() => {
            ("NOT CONFIRMED: what is known of the network is old; changes may be held back".to_owned(), true)
        }
        Link::Online => ("online".to_owned(), false),
        Link::Away { reason, again_at_ms } => {
            (format!("NOT CONNECTED: {}{}", one_line(reason), again(model, *again_at_ms)), true)
        }
        Link::Elsewhere { reason, again_at_ms } => {
            (format!("NOT RECEIVING: {}{}", one_line(reason), again(model, *again_at_ms)), true)
        }
    };
    let room = usize::from(area.width);
    let name = format!(" Sotto  {} ", model.me);
    let line = if broken {
        let words = format!(" {words} ");
        let mine = width(&name).min(room / 3);
        Line::from(vec![
            Span::styled(fit(&name, mine), theme.bar()),
            Span::styled(fit(&words, room - mine), theme.bar_warning()),
        ])
    } else {
        Line::styled(ends(&name, &format!("{words} "), room), theme.bar())
    };
    put(frame, area, 0, line);
}

fn again(model: &Model, at_ms: u64) -> String {
    match at_ms.saturating_sub(model.now_ms).div_ceil(1000) {
        0 => "; trying again".to_owned(),
        seconds => format!("; again in {seconds} s"),
    }
}

fn bottom(model: &Model, frame: &mut Frame<'_>, areas: &Areas, theme: Theme) {
    let room = usize::from(areas.bottom.width);
    let line = if let Some((words, _)) = &model.note {
        Line::styled(fit(&format!(" {words}"), room), theme.note())
    } else {
        let (here, always) = match model.focus {
            Focus::Composer => ("Enter send  Alt+Enter new line  Esc messages", "  F2 menu  F1 help "),
            Focus::Messages => ("r reply  e edit  + react  d take back  f send on  p pin  s save", "  F1 help "),
            Focus::List => ("Enter open  n new  / search", "  F2 menu  F1 help "),
        };
        Line::styled(ends(&format!(" {here}"), always, room), theme.bar())
    };
    put(frame, areas.bottom, 0, line);
}

/// A word for how far somebody's identity is known.
pub(crate) fn trust(state: TrustState) -> &'static str {
    match state {
        TrustState::Verified => "verified by you",
        TrustState::Changed => "IDENTITY CHANGED since you verified it",
        TrustState::Replaced => "IDENTITY CHANGED, and not verified",
        _ => "not verified",
    }
}
