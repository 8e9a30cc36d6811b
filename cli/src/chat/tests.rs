//! People, conversations and messages for the tests, and tests of the interface as a whole: keys in, effects and screens out.

mod keys;
mod news;
mod screens;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use sotto_client::{ConversationKind, ConversationView, DeliveryState, MessageView, ViewBody};
use sotto_crypto::{Address, DeviceId, MessageId};
use sotto_wire::content::{Conversation, MessageRef};

use super::effect::{Effect, Input, Link, News};
use super::model::Model;
use super::update::update;
use super::view::view;

/// 2026-11-23 12:00 UTC.
pub(super) const NOW: u64 = 1_795_435_200_000;

pub(super) fn a(address: &str) -> Address {
    Address::parse(address).unwrap()
}

pub(super) fn model() -> Model {
    Model::new(a("alice@x.example"), TimeZone::UTC, NOW, (80, 24))
}

pub(super) fn conversation(others: &[&str]) -> ConversationView {
    let members = others.iter().map(|o| a(o)).chain([a("alice@x.example")]);
    let conversation = Conversation::of(members).unwrap();
    ConversationView {
        id: conversation.id(),
        kind: if others.len() > 1 { ConversationKind::Group } else { ConversationKind::Direct },
        title: None,
        members: conversation.members(),
        moderators: Vec::new(),
        names: BTreeMap::new(),
        unread: 0,
        mentioned: false,
        last: None,
        retained: false,
        retained_by: Vec::new(),
        retention_unknown: Vec::new(),
        changed: Vec::new(),
        left: false,
        expires_in_s: None,
        burn_after_read_s: None,
    }
}

pub(super) fn direct(other: &str) -> ConversationView {
    conversation(&[other])
}

pub(super) fn room(title: &str, others: &[&str]) -> ConversationView {
    ConversationView {
        id: format!("S{title}"),
        kind: ConversationKind::Room,
        title: Some(title.into()),
        moderators: vec![a("alice@x.example")],
        ..conversation(others)
    }
}

/// The nth message, a minute after the one before; `you` is alice.
pub(super) fn said(n: u8, from: &str, text: &str) -> MessageView {
    let own = from == "alice@x.example";
    MessageView {
        key: MessageRef {
            sender: a(from),
            device: DeviceId::from_bytes([1; 16]),
            message: MessageId::from_bytes([n; 16]),
        },
        sender_name: None,
        position: u64::from(n) * 10,
        conversation: direct("bob@x.example").id,
        own,
        sent_at_ms: NOW - 3_600_000 + u64::from(n) * 60_000,
        body: ViewBody::Text(text.into()),
        edited: false,
        reply_to: None,
        mentions: Vec::new(),
        forwarded: None,
        reactions: Vec::new(),
        pinned: false,
        expires_at_ms: None,
        state: if own { DeliveryState::Accepted } else { DeliveryState::Received },
        reason: None,
        delivered_to: Vec::new(),
        read_by: Vec::new(),
        retained: false,
        retained_by: Vec::new(),
        left_out: Vec::new(),
        retention_missing: false,
        late: false,
        sent_in_future: false,
        forward_secret: None,
        conflict: false,
        removed: sotto_client::RemovedDevices::default(),
        conflicts_with: None,
        verified: false,
        identity_changed: false,
    }
}

/// An interface on which the conversation with bob is open and holds these messages.
pub(super) fn open_with(messages: &[MessageView]) -> Model {
    let mut m = model();
    m.link = Link::Online;
    let mut bob = direct("bob@x.example");
    bob.last = messages.last().cloned();
    give(&mut m, News::Conversations(vec![bob.clone()]));
    give(&mut m, News::Messages { id: bob.id, before: None, limit: 100, found: messages.to_vec() });
    m
}

pub(super) fn give(m: &mut Model, news: News) -> Vec<Effect> {
    update(m, Input::News(news))
}

pub(super) fn press(m: &mut Model, code: KeyCode) -> Vec<Effect> {
    update(m, Input::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

pub(super) fn ctrl(m: &mut Model, c: char) -> Vec<Effect> {
    update(m, Input::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL)))
}

pub(super) fn alt(m: &mut Model, code: KeyCode) -> Vec<Effect> {
    update(m, Input::Key(KeyEvent::new(code, KeyModifiers::ALT)))
}

/// Types a text, key by key; what it does beside is dropped.
pub(super) fn write(m: &mut Model, text: &str) -> Vec<Effect> {
    text.chars().flat_map(|c| press(m, KeyCode::Char(c))).collect()
}

/// The screen as text.
pub(super) fn screen(m: &mut Model, width: u16, height: u16) -> String {
    m.size = (width, height);
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view(m, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let mut shown = String::new();
    for y in 0..height {
        let mut row = String::new();
        let mut x = 0;
        while x < width {
            let symbol = buffer[(x, y)].symbol();
            row.push_str(symbol);
            x += u16::try_from(super::text::width(symbol).max(1)).unwrap();
        }
        shown.push_str(row.trim_end());
        shown.push('\n');
    }
    shown
}
