//! What is where on a screen of some size.

use std::collections::BTreeSet;

use ratatui::layout::Rect;
use sotto_crypto::{Address, Domain};

use super::super::keys::Focus;
use super::super::model::Model;
use super::super::text::{rows, wrap};
use crate::commands::trust::waits;

/// From this many columns on, list and messages stand side by side.
pub(crate) const WIDE: u16 = 60;
/// The least that something can be shown on.
pub(crate) const LEAST: (u16, u16) = (20, 8);
/// The text that is being written takes at most this many rows.
const COMPOSER: usize = 8;
/// A warning takes at most this many rows.
const WARNING: usize = 3;
/// Files on their way that are shown.
pub(crate) const TRANSFERS: usize = 3;

/// What is where. What is not shown has no size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Areas {
    pub(crate) top: Rect,
    pub(crate) warning: Rect,
    pub(crate) list: Rect,
    pub(crate) divider: Rect,
    /// Everything of the open conversation.
    pub(crate) pane: Rect,
    pub(crate) head: Rect,
    pub(crate) banners: Rect,
    pub(crate) messages: Rect,
    pub(crate) transfers: Rect,
    /// The line over the text that is being written.
    pub(crate) rule: Rect,
    pub(crate) composer: Rect,
    pub(crate) bottom: Rect,
}

/// The first warning, wrapped, and how many more there are.
pub(crate) fn warning_rows(model: &Model, width: u16) -> Vec<String> {
    let Some(first) = model.warnings.first() else { return Vec::new() };
    let more = match model.warnings.len() - 1 {
        0 => String::new(),
        n => format!(" ({n} more)"),
    };
    let mut rows = wrap(&format!("!! {first} Ctrl+G hides this.{more}"), usize::from(width).saturating_sub(2));
    rows.truncate(WARNING);
    rows.iter().map(|row| format!(" {row}")).collect()
}

/// Rows over the messages that say what must be known of this conversation.
pub(crate) fn banners(model: &Model) -> Vec<(String, bool)> {
    let Some(conversation) = model.current() else { return Vec::new() };
    let mut rows = Vec::new();
    for (who, verified) in model.changed(conversation) {
        let effect = if verified { " since you verified it. Sending is blocked" } else { ". Compare, or accept it" };
        rows.push((format!("!! THE IDENTITY OF {who} HAS CHANGED{effect}: Alt+V"), true));
    }
    for waiting in model.waiting.iter().filter(|w| conversation.members.contains(&w.sender)) {
        rows.push((waits(waiting, "Alt+V"), true));
    }
    let by: BTreeSet<&str> = conversation.retained_by.iter().map(Address::as_str).collect();
    let by: BTreeSet<&str> = by.into_iter().chain(model.rules.retained_by.iter().map(String::as_str)).collect();
    if conversation.retained || !by.is_empty() {
        // The operator calls a process `retention.POLICY@…`: the policy's name is what people know.
        let name = |address: &&str| {
            let local = address.split('@').next().unwrap_or_default();
            local.strip_prefix("retention.").unwrap_or(local).to_owned()
        };
        let names: Vec<String> = by.iter().map(name).collect();
        let by = if names.is_empty() { String::new() } else { format!(" by {}", names.join(", ")) };
        rows.push((format!("RETAINED{by}: kept also when it is taken back"), false));
    }
    if !conversation.retention_unknown.is_empty() && !conversation.left {
        let networks: Vec<&str> = conversation.retention_unknown.iter().map(Domain::as_str).collect();
        rows.push((format!("Not known yet whether {} keeps a record", networks.join(", ")), false));
    }
    if conversation.left {
        rows.push(("You are not in this room any more.".to_owned(), false));
    }
    rows
}

/// Columns of the text that is being written.
pub(crate) fn composer_width(model: &Model) -> usize {
    text_width(areas(model).pane.width)
}

fn text_width(pane: u16) -> usize {
    usize::from(pane).saturating_sub(3).max(2)
}

fn small(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

/// What is where.
pub(crate) fn areas(model: &Model) -> Areas {
    let (width, height) = model.size;
    if width < LEAST.0 || height < LEAST.1 {
        return Areas::default();
    }
    let warning = small(warning_rows(model, width).len()).min(height.saturating_sub(6));
    let main = Rect { x: 0, y: 1 + warning, width, height: height - 2 - warning };
    let alone = width < WIDE;
    let listed = !alone || model.focus == Focus::List || model.open.is_none();
    let list_width = match (listed, alone) {
        (false, _) => 0,
        (true, true) => width,
        (true, false) => (width * 3 / 10).clamp(22, 36),
    };
    let divider = u16::from(list_width > 0 && !alone);
    let left = list_width + divider;
    let pane =
        if model.open.is_some() || !alone { Rect { x: left, width: width - left, ..main } } else { Rect::default() };
    let mut areas = Areas {
        top: Rect { x: 0, y: 0, width, height: 1 },
        warning: Rect { x: 0, y: 1, width, height: warning },
        list: Rect { x: 0, width: list_width, ..main },
        divider: Rect { x: list_width, width: divider, ..main },
        bottom: Rect { x: 0, y: height - 1, width, height: 1 },
        ..Areas::default()
    };
    if pane.width == 0 {
        return areas;
    }
    areas.pane = pane;
    if model.open.is_none() {
        return areas;
    }
    let written = model.composer().map_or(1, |c| rows(c.editor.text(), text_width(pane.width)).len());
    // Above all else: the head, a row of messages, the rule and a row to write in.
    let spare = pane.height.saturating_sub(4);
    let banner = small(banners(model).len()).min(spare);
    let composer = small(written.clamp(1, COMPOSER)).min((spare - banner) / 2 + 1);
    let transfers = small(model.moving().take(TRANSFERS).count()).min(spare - banner - (composer - 1));
    let row = |y: u16, height: u16| Rect { y, height, ..pane };
    areas.head = row(pane.y, 1);
    areas.banners = row(pane.y + 1, banner);
    let first = pane.y + 1 + banner;
    let end = pane.y + pane.height;
    areas.composer = row(end - composer, composer);
    areas.rule = row(end - composer - 1, 1);
    areas.transfers = row(end - composer - 1 - transfers, transfers);
    areas.messages = row(first, areas.transfers.y - first);
    areas
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::tests::open_with;
    use super::*;

    #[test]
    fn a_narrow_screen_shows_one_thing() {
        let mut m = open_with(&[]);
        m.size = (80, 24);
        let wide = areas(&m);
        assert_eq!((wide.list.width, wide.pane.width), (24, 55));
        assert_eq!((wide.messages.height, wide.composer.height), (19, 1));
        m.size = (50, 24);
        assert_eq!((areas(&m).list.width, areas(&m).pane.width), (0, 50));
        m.focus = Focus::List;
        assert_eq!(areas(&m).list.width, 50);
        assert_eq!(areas(&m).messages.width, 0);
    }

    proptest! {
        #[test]
        fn nothing_overlaps_and_nothing_sticks_out(width in 0_u16..200, height in 0_u16..80, lines in 0_usize..30, warned in any::<bool>(), focus in 0_u8..3) {
            let mut m = open_with(&[]);
            m.size = (width, height);
            m.focus = [Focus::List, Focus::Messages, Focus::Composer][usize::from(focus)];
            if let Some(c) = m.composer_mut() {
                c.editor.insert(&"x\n".repeat(lines));
            }
            if warned {
                m.warn("something ".repeat(30));
            }
            let a = areas(&m);
            let all = [a.top, a.warning, a.list, a.divider, a.head, a.banners, a.messages, a.transfers, a.rule, a.composer, a.bottom];
            for (n, one) in all.iter().enumerate() {
                prop_assert!(one.right() <= width && one.bottom() <= height, "{one:?}");
                for other in all.iter().skip(n + 1).filter(|o| o.area() > 0 && one.area() > 0) {
                    prop_assert!(!one.intersects(*other), "{one:?} {other:?}");
                }
            }
            if width >= WIDE && height >= LEAST.1 {
                prop_assert!(a.messages.height > 0 && a.composer.height > 0);
            }
        }
    }
}
