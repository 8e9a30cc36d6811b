//! What is on the screen.

use proptest::prelude::*;
use ratatui::crossterm::event::KeyCode;
use sotto_client::ViewBody;
use sotto_crypto::{BlobId, Domain};
use sotto_wire::content::{File, FileKind, Forwarded};

use super::*;
use crate::chat::dialog::{Choice, Dialog, Form, Purpose, Value};
use crate::chat::effect::Rules;

const ALICE: &str = "alice@x.example";
const BOB: &str = "bob@x.example";

fn file(kind: Option<FileKind>) -> File {
    File {
        name: "report.pdf".into(),
        size: 1_234_567,
        media_type: "application/pdf".into(),
        domain: Domain::parse("x.example").unwrap(),
        blob: BlobId::from_bytes([0; 16]),
        key: [0; 32],
        digest: [0; 32],
        caption: Some("the numbers".into()),
        duration_ms: kind.map(|_| 65_000),
        kind,
        preview: None,
    }
}

/// Rows of the screen, without the list.
fn pane(shown: &str) -> Vec<String> {
    shown.lines().map(|l| l.split_once('│').map_or(l, |(_, r)| r).trim_end().to_owned()).collect()
}

#[test]
fn a_name_stands_behind_the_address_and_takes_no_room_from_what_must_be_known() {
    let mut message = said(1, BOB, "what time?");
    message.sender_name = Some("Bob Brown".into());
    let mut own = said(2, ALICE, "at nine");
    own.sender_name = Some("Alice Adams".into());
    let mut m = open_with(&[message.clone(), own]);
    let mut bob = ConversationView { last: Some(message.clone()), ..direct(BOB) };
    bob.names.insert(a(BOB), "Bob Brown".to_owned());
    give(&mut m, News::Conversations(vec![bob]));
    let shown = screen(&mut m, 80, 24);
    let rows = pane(&shown);
    assert_eq!(rows[1], " bob@x.example (Bob Brown)                not verified");
    assert_eq!((rows[3].as_str(), rows[5].as_str()), (" bob (Bob Brown)  11:01", " you  11:02  accepted"));
    assert!(shown.contains(" bob (Bob Brown)"), "in the list: {shown}");

    // However long a name is, and whoever has given it.
    message.sender_name = Some(format!("carol {}", "x".repeat(190)));
    message.identity_changed = true;
    for width in [60, 80, 200] {
        let shown = screen(&mut open_with(&[message.clone()]), width, 24);
        let row = pane(&shown)[3].clone();
        assert!(row.starts_with(" bob ") && row.contains("11:01  IDENTITY CHANGED"), "{width}: {row}");
    }
}

#[test]
fn a_conversation() {
    let mut reply = said(3, ALICE, "at nine, I think");
    reply.reply_to = Some(said(1, BOB, "").key);
    reply.state = DeliveryState::Read;
    reply.edited = true;
    reply.reactions = vec![("👍".into(), vec![a(BOB)]), ("🎉".into(), vec![a(ALICE), a(BOB)])];
    let mut m = open_with(&[said(1, BOB, "what time?"), said(2, BOB, "and where?"), reply]);
    let shown = screen(&mut m, 80, 24);
    assert_eq!(
        pane(&shown)[1..10],
        [
            " bob@x.example                            not verified",
            " ────────────────────── Today ────────────────────────",
            " bob  11:01",
            "   what time?",
            "   and where?",
            " you  11:03  read · edited",
            "   ┃ bob: what time?",
            "   at nine, I think",
            "   👍 1  🎉 2*",
        ]
    );
    assert!(shown.starts_with(" Sotto  alice@x.example"), "{shown}");
    assert!(shown.lines().next().unwrap().ends_with("online"), "{shown}");
    assert!(shown.contains("you: at nine"), "the list shows the last: {shown}");
}

#[test]
fn files_forwards_and_marks() {
    let mut voice = said(1, BOB, "");
    voice.body = ViewBody::File(file(Some(FileKind::Voice)));
    let mut pdf = said(20, BOB, "");
    pdf.body = ViewBody::File(file(None));
    pdf.pinned = true;
    pdf.expires_at_ms = Some(NOW + 3_600_000);
    pdf.forwarded = Some(Forwarded { from: a("carol@y.example"), sent_at_ms: NOW - 86_400_000 });
    let mut gone = said(30, BOB, "");
    gone.body = ViewBody::Deleted;
    let mut event = said(31, BOB, "");
    event.body = ViewBody::Event("bob added dave".into());
    let mut m = open_with(&[voice, pdf, gone, event]);
    let shown = screen(&mut m, 100, 30);
    for words in [
        "[voice 1:05] report.pdf, 1.2 MB",
        "bob  11:20  pinned · gone in 1h",
        "sent on; says it is from carol@y.example, Sun",
        "[file] report.pdf, 1.2 MB",
        "the numbers",
        "taken back",
        "* bob added dave",
    ] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
}

#[test]
fn retained_and_what_should_have_been() {
    let mut kept = said(1, BOB, "for the record");
    kept.retained = true;
    let mut missing = said(10, BOB, "off the record");
    missing.retention_missing = true;
    let mut twice = said(15, BOB, "under an old id");
    twice.conflicts_with = Some(twice.key.message);
    let mut refused = said(20, ALICE, "hello?");
    refused.state = DeliveryState::Refused;
    refused.reason = Some("federation\x1b[2J is off".into());
    let mut m = open_with(&[kept, missing, twice, refused]);
    m.conversations[0].retained = true;
    m.rules = Rules { retained_by: vec!["retention.acme-records@x.example".into()], ..Rules::default() };
    let shown = screen(&mut m, 80, 24);
    for words in [
        "RETAINED by acme-records",
        "bob  11:01  retained",
        "!! RETENTION MISSING",
        "!! SAME ID",
        "REFUSED",
        "!! NOT SENT: federation\u{fffd}[2J is off",
    ] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
}

#[test]
fn the_list_counts_what_is_new() {
    let mut m = open_with(&[]);
    let mut carol = direct("carol@y.example");
    carol.unread = 3;
    carol.last = Some(said(5, "carol@y.example", "are you\nthere?"));
    let mut plans = room("plans", &[BOB, "carol@y.example"]);
    plans.unread = 12;
    plans.mentioned = true;
    plans.last = Some(said(6, BOB, "@alice please"));
    give(&mut m, News::Conversations(vec![plans, carol, direct(BOB)]));
    let shown = screen(&mut m, 80, 24);
    let list: Vec<&str> = shown.lines().skip(1).take(6).map(|l| l.split('│').next().unwrap().trim_end()).collect();
    assert_eq!(
        list,
        [
            "  # plans         11:06",
            "   bob: @alice ple… @12",
            "  carol@y.example 11:05",
            "   are you there?     3",
            "▌ bob",
            "▌  nothing said yet"
        ]
    );
}

#[test]
fn where_the_connection_is_gone_the_screen_says_so() {
    let mut m = open_with(&[]);
    let reason = "cannot reach the relay at http://127.0.0.1:1: refused".to_owned();
    give(&mut m, News::Link(Link::Away { reason, again_at_ms: NOW + 4000 }));
    let shown = screen(&mut m, 120, 24);
    assert!(
        shown.contains("NOT CONNECTED: cannot reach the relay at http://127.0.0.1:1: refused; again in 4 s"),
        "{shown}"
    );
    let reason = "another process is receiving".to_owned();
    give(&mut m, News::Link(Link::Elsewhere { reason, again_at_ms: NOW }));
    assert!(screen(&mut m, 120, 24).contains("NOT RECEIVING: another process is receiving"));
}

#[test]
fn wide_characters_keep_the_columns() {
    let mut m = open_with(&[said(1, BOB, &"日本語テキスト🎉".repeat(10))]);
    let shown = screen(&mut m, 80, 24);
    for line in shown.lines() {
        assert!(crate::chat::text::width(line) <= 80, "{line}");
        let edge = line.split('│').next().unwrap();
        if line.contains('│') {
            assert_eq!(crate::chat::text::width(edge), 24, "{line}");
        }
    }
    assert_eq!(shown.matches('🎉').count(), 11, "ten in the message, one in the list: {shown}");
}

#[test]
fn the_help_and_every_form_can_be_seen_on_80_by_24() {
    let mut m = open_with(&[said(1, ALICE, "hello")]);
    press(&mut m, KeyCode::F(1));
    assert!(screen(&mut m, 80, 24).contains("Ctrl+K"));
    for _ in 0..5 {
        press(&mut m, KeyCode::PageDown);
    }
    assert!(screen(&mut m, 80, 24).contains("somebody outside of the conversation"));
    press(&mut m, KeyCode::Esc);
    press(&mut m, KeyCode::F(2));
    let shown = screen(&mut m, 80, 24);
    assert!(shown.contains("What to do") && shown.contains("Send a file") && shown.contains("Ctrl+O"), "{shown}");
    press(&mut m, KeyCode::Esc);
    press(&mut m, KeyCode::Esc);
    press(&mut m, KeyCode::Char('i'));
    let shown = screen(&mut m, 80, 24);
    assert!(shown.contains("23 November 2026 11:01:00") && shown.contains("accepted"), "{shown}");
    press(&mut m, KeyCode::Esc);
    press(&mut m, KeyCode::Char('+'));
    assert!(screen(&mut m, 80, 24).contains("👍"));
}

#[test]
fn what_is_offered_stands_over_the_text() {
    let mut m = open_with(&[]);
    write(&mut m, "hi @b");
    let shown = screen(&mut m, 80, 24);
    let row = |words: &str| shown.lines().position(|l| l.contains(words)).unwrap();
    assert!(row("> hi @b") > row(" bob@x.example  "), "{shown}");
}

#[test]
fn without_colours_nothing_is_coloured() {
    let mut m = open_with(&[said(1, BOB, "hello @alice")]);
    m.warn("something");
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    for color in [false, true] {
        m.color = color;
        terminal.draw(|frame| view(&m, frame)).unwrap();
        let colored = terminal
            .backend()
            .buffer()
            .content()
            .iter()
            .any(|cell| cell.fg != ratatui::style::Color::Reset || cell.bg != ratatui::style::Color::Reset);
        assert_eq!(colored, color);
    }
}

#[test]
fn a_narrow_window_shows_the_list_or_the_conversation() {
    let mut m = open_with(&[said(1, BOB, "hello there")]);
    m.size = (40, 12);
    let shown = screen(&mut m, 40, 12);
    assert!(shown.contains("hello there") && !shown.contains("▌"), "{shown}");
    press(&mut m, KeyCode::BackTab);
    press(&mut m, KeyCode::BackTab);
    m.focus = crate::chat::keys::Focus::List;
    assert!(screen(&mut m, 40, 12).contains("bob"));
    assert!(screen(&mut m, 10, 3).contains("too small") || screen(&mut m, 10, 3).contains("This"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_breaks_whatever_is_said_and_pressed(
        width in 1_u16..140,
        height in 1_u16..50,
        texts in prop::collection::vec("(.|\n){0,60}", 0..12),
        keys in prop::collection::vec((0_u8..60, any::<char>()), 0..40),
    ) {
        let messages: Vec<_> = texts.iter().zip(1..).map(|(text, n)| {
            said(n, if n % 3 == 0 { ALICE } else { BOB }, text)
        }).collect();
        let mut m = open_with(&messages);
        update(&mut m, Input::Resize(width, height));
        for (key, c) in keys {
            match key {
                0 => press(&mut m, KeyCode::Esc),
                1 => press(&mut m, KeyCode::Tab),
                2 => press(&mut m, KeyCode::Up),
                3 => press(&mut m, KeyCode::Down),
                4 => press(&mut m, KeyCode::PageUp),
                5 => press(&mut m, KeyCode::PageDown),
                6 => press(&mut m, KeyCode::Home),
                7 => press(&mut m, KeyCode::F(1)),
                8 => press(&mut m, KeyCode::F(2)),
                9 => press(&mut m, KeyCode::Enter),
                10 => press(&mut m, KeyCode::Backspace),
                11 => alt(&mut m, KeyCode::Enter),
                12 => press(&mut m, KeyCode::End),
                13..30 => ctrl(&mut m, char::from(b'a' + key - 13)),
                _ => press(&mut m, KeyCode::Char(c)),
            };
            if key != 29 {
                m.ended = false;
            }
            let shown = screen(&mut m, width, height);
            for line in shown.lines() {
                prop_assert!(!line.chars().any(char::is_control), "{line:?}");
            }
        }
    }
}

#[test]
fn nothing_on_the_screen_steers_the_terminal() {
    let hostile = "a\u{202e}b\u{9b}c\u{2028}d\x1be";
    let mut m = open_with(&[said(1, BOB, hostile)]);
    // A file's name on this machine, as it is.
    let mut form = Form::new(&m, Purpose::SendFile, vec![("", String::new())]);
    form.choices = vec![Choice { label: hostile.into(), detail: hostile.into(), value: Value::Path(hostile.into()) }];
    form.problem = Some(hostile.into());
    m.dialog = Some(Dialog::Form(form));
    m.warn(hostile);
    let shown = screen(&mut m, 80, 24);
    assert!(!shown.contains(|c| c != '\n' && sotto_kubectl::output::steers(c)), "{shown:?}");
    assert!(shown.contains("abc de"), "{shown}");
}
