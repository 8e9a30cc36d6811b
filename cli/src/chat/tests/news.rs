//! What comes back from the client.

use ratatui::crossterm::event::KeyCode;

use sotto_client::Missing;
use sotto_client::{Contact, IdentityChange, SeenIn, TrustState};
use sotto_crypto::{IdentityKey, IdentityPublic, SystemRng, safety_number};
use sotto_wire::content::Presence;

use super::*;
use crate::chat::model::{Load, PRESENCE_MS};

const ALICE: &str = "alice@x.example";
const BOB: &str = "bob@x.example";

fn many(from: u8, to: u8) -> Vec<MessageView> {
    (from..=to).map(|n| said(n, BOB, &format!("message {n}"))).collect()
}

#[test]
fn the_newest_conversation_is_open_at_the_begin_and_is_read() {
    let mut m = model();
    let bob = direct(BOB);
    let effects = give(&mut m, News::Conversations(vec![bob.clone()]));
    assert!(effects.contains(&Effect::Messages { id: bob.id.clone(), before: None, limit: 100 }));
    let effects = give(&mut m, News::Messages { id: bob.id.clone(), before: None, limit: 100, found: many(1, 3) });
    assert!(effects.contains(&Effect::MarkRead { id: bob.id.clone(), up_to: 30 }));
    // Once.
    assert!(!update(&mut m, Input::Tick(NOW + 1)).iter().any(|e| matches!(e, Effect::MarkRead { .. })));
}

#[test]
fn nothing_is_read_that_is_not_looked_at() {
    let mut m = open_with(&many(1, 3));
    update(&mut m, Input::Focus(false));
    let id = direct(BOB).id;
    let effects = give(&mut m, News::Messages { id: id.clone(), before: None, limit: 100, found: many(1, 4) });
    assert!(effects.is_empty());
    assert!(update(&mut m, Input::Focus(true)).contains(&Effect::MarkRead { id: id.clone(), up_to: 40 }));
    // Scrolled up, what comes below is not seen.
    give(&mut m, News::Messages { id: id.clone(), before: None, limit: 100, found: many(1, 60) });
    press(&mut m, KeyCode::PageUp);
    let effects = give(&mut m, News::Messages { id: id.clone(), before: None, limit: 100, found: many(1, 61) });
    assert!(!effects.iter().any(|e| matches!(e, Effect::MarkRead { .. })));
    press(&mut m, KeyCode::PageDown);
    assert!(press(&mut m, KeyCode::PageDown).contains(&Effect::MarkRead { id, up_to: 610 }));
}

#[test]
fn what_is_read_stays_where_it_is_while_more_comes() {
    let mut m = open_with(&many(1, 60));
    press(&mut m, KeyCode::PageUp);
    let before = screen(&mut m, 80, 24);
    let id = direct(BOB).id;
    give(&mut m, News::Messages { id, before: None, limit: 100, found: many(1, 70) });
    let after = screen(&mut m, 80, 24);
    let rows = |s: &str| s.lines().skip(2).take(17).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows(&before), rows(&after));
    assert!(after.contains("below: PgDn"), "{after}");
}

#[test]
fn older_messages_come_when_the_oldest_are_near() {
    let mut m = model();
    let id = direct(BOB).id;
    give(&mut m, News::Conversations(vec![direct(BOB)]));
    give(&mut m, News::Messages { id: id.clone(), before: None, limit: 100, found: many(101, 200) });
    let mut asked = Vec::new();
    for _ in 0..20 {
        asked.extend(press(&mut m, KeyCode::PageUp));
    }
    let older = Effect::Messages { id: id.clone(), before: Some(1010), limit: 100 };
    assert_eq!(asked.iter().filter(|e| **e == older).count(), 1, "asked once");
    let shown = screen(&mut m, 80, 24);
    give(&mut m, News::Messages { id: id.clone(), before: Some(1010), limit: 100, found: many(51, 100) });
    assert_eq!(m.open.as_ref().unwrap().messages.len(), 150);
    assert!(m.open.as_ref().unwrap().complete, "fewer than asked for: there are no others");
    // What was on the screen is still there.
    let still = screen(&mut m, 80, 24);
    assert_eq!(shown.lines().nth(10), still.lines().nth(10));
}

#[test]
fn a_change_is_asked_for_once_and_again_when_it_goes_on() {
    let mut m = open_with(&many(1, 3));
    let id = direct(BOB).id;
    let asked = |effects: &[Effect]| effects.iter().filter(|e| matches!(e, Effect::Messages { .. })).count();
    assert_eq!(asked(&give(&mut m, News::Changed(id.clone()))), 1);
    assert_eq!(asked(&give(&mut m, News::Changed(id.clone()))), 0);
    assert_eq!(asked(&give(&mut m, News::Changed(id.clone()))), 0);
    let found = many(1, 4);
    assert_eq!(asked(&give(&mut m, News::Messages { id: id.clone(), before: None, limit: 100, found })), 1);
    assert_eq!(m.list_load, Load::Stale);
}

#[test]
fn what_was_not_sent_is_not_lost() {
    let mut m = open_with(&[]);
    write(&mut m, "important");
    let effect = press(&mut m, KeyCode::Enter).pop().unwrap();
    give(&mut m, News::Failed { effect: Box::new(effect), reason: "too many recipients".into() });
    assert_eq!(m.composer().unwrap().editor.text(), "important");
    assert!(m.warnings[0].contains("too many recipients"));
    ctrl(&mut m, 'g');
    assert!(m.warnings.is_empty());
}

#[test]
fn typing_is_shown_until_it_stops() {
    let mut m = open_with(&[]);
    let id = direct(BOB).id;
    give(&mut m, News::Typing { id: id.clone(), who: a(BOB), on: true });
    assert!(screen(&mut m, 80, 24).contains("bob is typing"));
    update(&mut m, Input::Tick(NOW + 20_000));
    assert!(!screen(&mut m, 80, 24).contains("bob is typing"));
    give(&mut m, News::Typing { id: id.clone(), who: a(BOB), on: true });
    give(&mut m, News::Came { id, sender: a(BOB), identity_changed: false });
    assert!(m.typing_here().is_empty());
}

#[test]
fn the_own_presence_is_shown_and_repeated_and_away_after_a_while() {
    let mut m = open_with(&[]);
    m.link = Link::Connecting;
    m.shown_presence = None;
    assert!(give(&mut m, News::Link(Link::Online)).contains(&Effect::Presence(Presence::Available)));
    assert!(update(&mut m, Input::Tick(NOW + 1000)).is_empty());
    let effects = update(&mut m, Input::Tick(NOW + PRESENCE_MS));
    assert!(effects.contains(&Effect::Presence(Presence::Away)));
    assert!(press(&mut m, KeyCode::Left).contains(&Effect::Presence(Presence::Available)));
    m.rules.presence = false;
    let effects = update(&mut m, Input::Tick(NOW + 3 * PRESENCE_MS));
    assert!(!effects.iter().any(|e| matches!(e, Effect::Presence(_))));
    // Others' presence is believed for a while.
    give(&mut m, News::Presence { who: a(BOB), state: Presence::Available });
    assert_eq!(m.presence_of(&a(BOB)), Some(Presence::Available));
    update(&mut m, Input::Tick(NOW + 4 * PRESENCE_MS));
    assert_eq!(m.presence_of(&a(BOB)), None);
}

#[test]
fn a_changed_identity_is_loud() {
    let mut m = open_with(&[]);
    let effects = give(&mut m, News::Came { id: direct(BOB).id, sender: a(BOB), identity_changed: true });
    assert!(effects.contains(&Effect::Contacts));
    let shown = screen(&mut m, 80, 24);
    assert!(shown.contains("THE IDENTITY OF bob@x.example HAS CHANGED"), "{shown}");
}

#[test]
fn a_changed_identity_stays_over_the_conversation() {
    let mut m = open_with(&[said(1, BOB, "hello")]);
    let mut bob = direct(BOB);
    bob.changed = vec![a(BOB)];
    let effects = give(&mut m, News::Conversations(vec![bob.clone()]));
    assert!(effects.contains(&Effect::Contacts), "how it has changed is not known yet");
    ctrl(&mut m, 'g');
    let shown = screen(&mut m, 100, 24);
    assert!(shown.contains("THE IDENTITY OF bob@x.example HAS CHANGED"), "{shown}");
    assert!(shown.contains("IDENTITY CHANGED") && !shown.contains("not verified"), "{shown}");
    bob.changed.clear();
    give(&mut m, News::Conversations(vec![bob]));
    assert!(!screen(&mut m, 100, 24).contains("CHANGED"));
}

#[test]
fn the_change_that_is_shown_is_accepted_and_no_other() {
    let identity = || IdentityKey::generate(&mut SystemRng).verifying_key();
    let (mine, first, second, third) = (identity(), identity(), identity(), identity());
    let changed = |new: &IdentityPublic| Contact {
        address: a(BOB),
        name: None,
        fingerprint: new.fingerprint(),
        safety_number: safety_number(&a(ALICE), &mine, &a(BOB), new),
        state: TrustState::Replaced,
        established_by: None,
        since_ms: 1,
        change: Some(IdentityChange {
            old: first.fingerprint(),
            new: new.fingerprint(),
            since_ms: 1,
            seen_in: SeenIn::Lookup,
            invited_at_ms: None,
        }),
        new_safety_number: None,
    };
    let mut m = open_with(&[said(1, BOB, "hello")]);
    let mut bob = direct(BOB);
    bob.changed = vec![a(BOB)];
    give(&mut m, News::Conversations(vec![bob]));
    give(&mut m, News::Contacts(vec![changed(&second)]));
    assert!(alt(&mut m, KeyCode::Char('v')).contains(&Effect::Identity(a(BOB))));
    let shown = screen(&mut m, 140, 40);
    assert!(shown.contains(&second.fingerprint().to_string()), "{shown}");
    let told = |new: &IdentityPublic| vec![Effect::AcceptChange { who: a(BOB), told: new.fingerprint() }];
    assert!(press(&mut m, KeyCode::Char('a')) == told(&second));
    // What has come since is another one, and is accepted when it is what is shown.
    give(&mut m, News::Contact(Box::new(changed(&third))));
    let shown = screen(&mut m, 140, 40);
    assert!(shown.contains(&third.fingerprint().to_string()), "{shown}");
    assert!(press(&mut m, KeyCode::Char('a')) == told(&third));
    // And nothing is where nothing has changed.
    give(&mut m, News::Contact(Box::new(Contact { state: TrustState::Pinned, change: None, ..changed(&third) })));
    assert!(press(&mut m, KeyCode::Char('a')).is_empty());
}

#[test]
fn who_retains_is_asked_for_once_and_shown_before_anything_is_written() {
    let mut m = model();
    let mut bob = direct(BOB);
    bob.retention_unknown = vec![a("bob@y.example").domain()];
    let learn = Effect::Learn(bob.id.clone());
    assert!(give(&mut m, News::Conversations(vec![bob.clone()])).contains(&learn));
    assert!(!give(&mut m, News::Conversations(vec![bob.clone()])).contains(&learn));
    assert!(screen(&mut m, 100, 24).contains("Not known yet whether y.example keeps a record"));
    // Again when there is a connection again.
    assert!(give(&mut m, News::Link(Link::Online)).contains(&learn));
    bob.retention_unknown.clear();
    (bob.retained, bob.retained_by) = (true, vec![a("retention.records@y.example")]);
    give(&mut m, News::Conversations(vec![bob]));
    let shown = screen(&mut m, 100, 24);
    assert!(shown.contains("RETAINED by records") && !shown.contains("Not known yet"), "{shown}");
}

#[test]
fn a_conversation_that_has_only_begun_is_asked_about_too() {
    let mut m = open_with(&[]);
    ctrl(&mut m, 'n');
    write(&mut m, "carol@y.example");
    assert!(press(&mut m, KeyCode::Enter).contains(&Effect::Begin(vec![a("carol@y.example")])));
    let mut carol = direct("carol@y.example");
    (carol.retained, carol.retained_by) = (true, vec![a("retention.records@y.example")]);
    give(&mut m, News::Begun(Box::new(carol)));
    assert!(screen(&mut m, 100, 24).contains("RETAINED by records"));
}

#[test]
fn who_was_left_out_stands_beside_the_message() {
    let mut left_out = said(1, ALICE, "to all but one");
    left_out.left_out =
        vec![sotto_client::LeftOut { address: a("carol@x.example"), reason: "cannot be written to".into() }];
    let mut m = open_with(&[left_out]);
    assert!(screen(&mut m, 100, 24).contains("NOT TO carol"));
}

#[test]
fn what_is_missing_stands_where_it_belongs() {
    let mut missing = said(2, BOB, "");
    missing.body = ViewBody::Missing(Missing { count: 1, gone: 0, unopened: false });
    let mut gone = said(3, BOB, "");
    gone.body = ViewBody::Missing(Missing { count: 2, gone: 2, unopened: false });
    let mut late = said(40, BOB, "there it is");
    late.late = true;
    let mut copied = said(41, BOB, "from a copy");
    copied.conflict = true;
    let mut m = open_with(&[said(1, BOB, "before"), missing, gone, late, copied]);
    let shown = screen(&mut m, 110, 30);
    for words in [
        "!! a message is MISSING",
        "!! 2 messages are MISSING: their sender does not have them any more",
        "came late",
        "!! DOES NOT FOLLOW what its sender's device said before",
    ] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
    let (before, after) = (shown.find("before").unwrap(), shown.find("there it is").unwrap());
    let at = shown.find("a message is MISSING").unwrap();
    assert!(before < at && at < after, "{shown}");
    let mut m = open_with(&[said(1, BOB, "before"), said(2, BOB, "after")]);
    assert!(!screen(&mut m, 110, 30).contains("MISSING"));
}

#[test]
fn what_could_not_be_opened_and_what_comes_from_the_future_are_told() {
    let mut asked = said(2, BOB, "");
    asked.body = ViewBody::Missing(Missing { count: 1, gone: 0, unopened: true });
    let mut gone = said(3, BOB, "");
    gone.body = ViewBody::Missing(Missing { count: 1, gone: 1, unopened: true });
    let mut future = said(4, BOB, "tomorrow");
    (future.sent_in_future, future.forward_secret) = (true, Some(false));
    let mut m = open_with(&[asked, gone, future]);
    let shown = screen(&mut m, 170, 30);
    for words in [
        "!! a message COULD NOT BE OPENED: its key is gone; its sender's device is asked for it again",
        "!! a message COULD NOT BE OPENED: its key is gone, and its sender does not have it any more",
        "sent in the FUTURE",
    ] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
    press(&mut m, KeyCode::Esc);
    press(&mut m, KeyCode::Char('i'));
    let shown = screen(&mut m, 170, 30);
    for words in ["sent later than it came", "NO: it came under a key that is kept for weeks"] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
    give(&mut m, News::Warning(crate::commands::trust::RELAY_WENT_BACK.to_owned()));
    assert!(screen(&mut m, 170, 30).contains("the relay has forgotten what it has handed out"));
}

#[test]
fn it_rings_for_what_is_not_seen() {
    let mut m = open_with(&[]);
    let came = |m: &mut Model, id: &str, who: &str| {
        give(m, News::Came { id: id.into(), sender: a(who), identity_changed: false }).contains(&Effect::Bell)
    };
    let id = direct(BOB).id;
    assert!(!came(&mut m, &id, BOB));
    assert!(came(&mut m, "another", BOB));
    assert!(!came(&mut m, "another", ALICE));
    update(&mut m, Input::Focus(false));
    assert!(came(&mut m, &id, BOB));
    m.link = Link::Connecting;
    assert!(!came(&mut m, &id, BOB), "not for all that had been waiting");
}

#[test]
fn what_has_expired_is_gone_at_once() {
    let mut short = said(2, BOB, "soon gone");
    short.expires_at_ms = Some(NOW + 5_000);
    let mut m = open_with(&[said(1, BOB, "stays"), short]);
    assert!(screen(&mut m, 80, 24).contains("soon gone"));
    update(&mut m, Input::Tick(NOW + 5_000));
    let shown = screen(&mut m, 80, 24);
    assert!(!shown.contains("soon gone") || shown.contains("stays"), "{shown}");
    assert_eq!(m.open.as_ref().unwrap().messages.len(), 1);
}

#[test]
fn where_reading_begins_is_marked() {
    let mut m = model();
    let mut bob = direct(BOB);
    bob.unread = 2;
    give(&mut m, News::Conversations(vec![bob.clone()]));
    give(&mut m, News::Messages { id: bob.id, before: None, limit: 100, found: many(1, 5) });
    assert_eq!(m.open.as_ref().unwrap().new_from, Some(40));
    let shown = screen(&mut m, 80, 24);
    let row = |words: &str| shown.lines().position(|l| l.contains(words)).unwrap();
    assert!(row("message 3") < row(" new ") && row(" new ") < row("message 4"), "{shown}");
}

#[test]
fn what_can_be_chosen_follows_what_comes() {
    let mut m = model();
    ctrl(&mut m, 'k');
    assert!(!screen(&mut m, 80, 24).contains(" bob "));
    give(&mut m, News::Conversations(vec![direct(BOB)]));
    press(&mut m, KeyCode::Enter);
    assert_eq!(m.open.as_ref().unwrap().id, direct(BOB).id);
}

#[test]
fn what_others_write_does_not_reach_the_terminal_as_it_is() {
    let mut m = open_with(&[said(1, BOB, "a\x1b]0;title\x07b\u{202e}c\x1b[31m")]);
    give(&mut m, News::Warning("bad\x1b[2J\nnews".into()));
    let shown = screen(&mut m, 80, 24);
    assert!(!shown.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{shown:?}");
}
