//! Keys in, effects out.

use ratatui::crossterm::event::KeyCode;
use sotto_client::{Target, ViewBody};

use super::*;
use crate::chat::dialog::Dialog;
use crate::chat::effect::{RoomWish, Rules};
use crate::chat::keys::Focus;
use crate::chat::model::Mode;

const ALICE: &str = "alice@x.example";
const BOB: &str = "bob@x.example";

fn posted(effects: &[Effect]) -> Vec<&str> {
    effects
        .iter()
        .filter_map(|e| match e {
            Effect::Post { words, .. } => Some(words.text.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_text_is_written_and_sent() {
    let mut m = open_with(&[]);
    let typed = write(&mut m, "well done :tad");
    assert!(typed.iter().any(|e| matches!(e, Effect::Typing { on: true, .. })));
    press(&mut m, KeyCode::Tab);
    alt(&mut m, KeyCode::Enter);
    write(&mut m, "second @bob");
    // Enter takes what is offered first; then it sends.
    press(&mut m, KeyCode::Enter);
    let effects = press(&mut m, KeyCode::Enter);
    assert_eq!(posted(&effects), ["well done 🎉 \nsecond @bob"]);
    assert!(effects.iter().any(|e| matches!(e, Effect::Typing { on: false, .. })));
    let Some(Effect::Post { to, words, .. }) = effects.last() else { panic!() };
    assert!(*to == Target::Conversation(direct(BOB).id));
    assert_eq!(words.mentions, [a(BOB)]);
    assert!(m.composer().unwrap().editor.is_empty());
    assert!(posted(&press(&mut m, KeyCode::Enter)).is_empty(), "nothing is sent twice");
}

#[test]
fn a_reply_names_its_message() {
    let mut m = open_with(&[said(1, BOB, "what time?")]);
    press(&mut m, KeyCode::Esc);
    assert_eq!((m.focus, m.open.as_ref().unwrap().selected), (Focus::Messages, Some(10)));
    press(&mut m, KeyCode::Char('r'));
    write(&mut m, "at nine");
    let effects = press(&mut m, KeyCode::Enter);
    let Some(Effect::Post { words, .. }) = effects.last() else { panic!() };
    assert!(words.reply_to == Some(said(1, BOB, "").key));
    assert!(m.composer().unwrap().mode == Mode::New);
}

#[test]
fn the_last_own_message_is_edited_and_what_was_being_written_comes_back() {
    let mut m = open_with(&[said(1, ALICE, "helo"), said(2, BOB, "?")]);
    press(&mut m, KeyCode::Up);
    assert_eq!(m.composer().unwrap().editor.text(), "helo");
    press(&mut m, KeyCode::Backspace);
    write(&mut m, "lo");
    let effects = press(&mut m, KeyCode::Enter);
    assert!(effects.contains(&Effect::Edit { key: said(1, ALICE, "").key, text: "hello".into() }));
    write(&mut m, "unfinished");
    press(&mut m, KeyCode::Esc);
    press(&mut m, KeyCode::Up);
    press(&mut m, KeyCode::Char('e'));
    assert_eq!(m.composer().unwrap().editor.text(), "helo");
    press(&mut m, KeyCode::Esc);
    assert_eq!(m.composer().unwrap().editor.text(), "unfinished");
    // Somebody else's words are theirs.
    press(&mut m, KeyCode::Esc);
    press(&mut m, KeyCode::End);
    press(&mut m, KeyCode::Char('e'));
    assert!(m.note.as_ref().unwrap().0.contains("only who wrote it"));
}

#[test]
fn reactions_pins_and_taking_back() {
    let mut mine = said(1, ALICE, "hello");
    mine.reactions = vec![("🎉".into(), vec![a(ALICE)])];
    let key = mine.key.clone();
    let mut m = open_with(&[mine]);
    press(&mut m, KeyCode::Esc);
    press(&mut m, KeyCode::Char('+'));
    write(&mut m, "rocket");
    assert!(press(&mut m, KeyCode::Enter).contains(&Effect::React { key: key.clone(), emoji: "🚀".into(), on: true }));
    press(&mut m, KeyCode::Char('+'));
    write(&mut m, "tada");
    // The own one is taken away.
    assert!(press(&mut m, KeyCode::Enter).contains(&Effect::React { key: key.clone(), emoji: "🎉".into(), on: false }));
    assert!(press(&mut m, KeyCode::Char('p')).contains(&Effect::Pin { key: key.clone(), on: true }));
    press(&mut m, KeyCode::Char('d'));
    assert!(press(&mut m, KeyCode::Char('n')).is_empty() && m.dialog.is_none());
    press(&mut m, KeyCode::Char('d'));
    assert!(press(&mut m, KeyCode::Char('y')).contains(&Effect::Delete(key)));
}

#[test]
fn forwarding_needs_the_groups_leave() {
    let mut m = open_with(&[said(1, BOB, "hello")]);
    press(&mut m, KeyCode::Esc);
    m.rules.forwarding = false;
    press(&mut m, KeyCode::Char('f'));
    assert!(m.dialog.is_none());
    m.rules.forwarding = true;
    press(&mut m, KeyCode::Char('f'));
    let effects = press(&mut m, KeyCode::Enter);
    let to = Target::Conversation(direct(BOB).id);
    assert!(effects.contains(&Effect::Forward { key: said(1, BOB, "").key, to }));
}

#[test]
fn a_new_conversation_goes_to_people_until_the_client_has_it() {
    let mut m = open_with(&[]);
    ctrl(&mut m, 'n');
    write(&mut m, "nonsense");
    press(&mut m, KeyCode::Enter);
    let Some(Dialog::Form(form)) = &m.dialog else { panic!() };
    assert!(form.problem.as_ref().unwrap().contains("nonsense"));
    ctrl(&mut m, 'u');
    write(&mut m, "dave@x.example, carol@y.example");
    press(&mut m, KeyCode::Enter);
    write(&mut m, "hi both");
    let effects = press(&mut m, KeyCode::Enter);
    let Some(Effect::Post { to, id, .. }) = effects.last() else { panic!() };
    assert!(*to == Target::People(vec![a("carol@y.example"), a("dave@x.example")]));
    assert_eq!(m.listed().count(), 2);
    let group = conversation(&["dave@x.example", "carol@y.example"]);
    assert_eq!(*id, group.id);
    give(&mut m, News::Conversations(vec![group, direct(BOB)]));
    assert!(m.begun.is_none() && m.target(&id.clone()) == Target::Conversation(id.clone()));
}

#[test]
fn files_go_with_their_words_and_show_how_far_they_are() {
    let mut m = open_with(&[]);
    write(&mut m, "the report");
    let effects = ctrl(&mut m, 'o');
    assert!(effects.contains(&Effect::Paths(String::new())));
    write(&mut m, "/tmp/re");
    give(&mut m, News::Paths { typed: "/tmp/re".into(), paths: vec!["/tmp/report.pdf".into()] });
    press(&mut m, KeyCode::Tab);
    let effects = press(&mut m, KeyCode::Enter);
    let Some(Effect::SendFile { transfer, path, words, .. }) = effects.last() else { panic!() };
    assert_eq!((path.to_str().unwrap(), words.text.as_str()), ("/tmp/report.pdf", "the report"));
    assert!(m.composer().unwrap().editor.is_empty());
    give(&mut m, News::Progress { transfer: *transfer, done: 5, total: 10 });
    assert_eq!((m.transfers[0].done, m.transfers[0].total), (5, 10));
    ctrl(&mut m, 'q');
    assert!(!m.ended && matches!(m.dialog, Some(Dialog::Confirm { .. })));
    press(&mut m, KeyCode::Esc);
    give(&mut m, News::Done(Box::new(effects.last().unwrap().clone())));
    // In the outbox it goes on by itself; it is shown until all of it has come.
    assert_eq!(m.moving().count(), 1);
    let transfer = *transfer;
    give(&mut m, News::Progress { transfer, done: 10, total: 10 });
    assert!(m.transfers.is_empty());
    ctrl(&mut m, 'q');
    assert!(m.ended);
}

#[test]
fn how_long_messages_live() {
    let mut m = open_with(&[]);
    ctrl(&mut m, 't');
    write(&mut m, "soon");
    press(&mut m, KeyCode::Enter);
    assert!(matches!(&m.dialog, Some(Dialog::Form(f)) if f.problem.is_some()));
    ctrl(&mut m, 'u');
    write(&mut m, "1h");
    press(&mut m, KeyCode::Tab);
    write(&mut m, "30s");
    press(&mut m, KeyCode::Enter);
    write(&mut m, "x");
    let effects = press(&mut m, KeyCode::Enter);
    let Some(Effect::Post { words, .. }) = effects.last() else { panic!() };
    assert_eq!((words.expires_in_s, words.burn_after_read_s), (Some(3600), Some(30)));
}

#[test]
fn a_rooms_moderator_changes_it() {
    let mut m = open_with(&[]);
    let plans = room("plans", &[BOB, "carol@y.example"]);
    let id = plans.id.clone();
    give(&mut m, News::Conversations(vec![plans, direct(BOB)]));
    alt(&mut m, KeyCode::Up);
    assert_eq!(m.open.as_ref().unwrap().id, id);
    alt(&mut m, KeyCode::Char('m'));
    press(&mut m, KeyCode::Down);
    ctrl(&mut m, 'd');
    let change = RoomWish::Remove(a(BOB));
    assert!(press(&mut m, KeyCode::Char('y')).contains(&Effect::Room { id: id.clone(), change }));
    alt(&mut m, KeyCode::Char('m'));
    press(&mut m, KeyCode::Down);
    let change = RoomWish::Moderator(a(BOB), true);
    assert!(ctrl(&mut m, 'o').contains(&Effect::Room { id: id.clone(), change }));
    ctrl(&mut m, 'a');
    write(&mut m, "dave@x.example");
    let change = RoomWish::Add(vec![a("dave@x.example")]);
    assert!(press(&mut m, KeyCode::Enter).contains(&Effect::Room { id: id.clone(), change }));
    ctrl(&mut m, 't');
    write(&mut m, "7d");
    let effects = press(&mut m, KeyCode::Enter);
    assert!(effects == [Effect::Room { id: id.clone(), change: RoomWish::Expiry(Some(7 * 86400)) }]);
    // By the menu, by words.
    press(&mut m, KeyCode::F(2));
    write(&mut m, "leave");
    press(&mut m, KeyCode::Enter);
    assert!(press(&mut m, KeyCode::Char('y')).contains(&Effect::Room { id: id.clone(), change: RoomWish::Leave }));
    // Whoever is no moderator cannot.
    let mut plans = room("plans", &[BOB]);
    plans.moderators.clear();
    give(&mut m, News::Conversations(vec![plans, direct(BOB)]));
    alt(&mut m, KeyCode::Char('m'));
    assert!(ctrl(&mut m, 'd').is_empty());
    assert!(matches!(&m.dialog, Some(Dialog::Form(f)) if f.problem.as_ref().unwrap().contains("moderator")));
}

#[test]
fn a_room_is_made() {
    let mut m = open_with(&[]);
    ctrl(&mut m, 'r');
    write(&mut m, "plans");
    press(&mut m, KeyCode::Tab);
    write(&mut m, "bob@x.example");
    let effects = press(&mut m, KeyCode::Enter);
    assert!(effects.contains(&Effect::NewRoom { title: "plans".into(), members: vec![a(BOB)] }));
}

#[test]
fn search_finds_and_goes_there() {
    let mut m = open_with(&[said(9, BOB, "new")]);
    ctrl(&mut m, 'f');
    assert!(press(&mut m, KeyCode::Char('p')).is_empty());
    assert!(press(&mut m, KeyCode::Char('l')).contains(&Effect::Search { words: "pl".into() }));
    // While one search runs, what is typed is searched for afterwards.
    assert!(press(&mut m, KeyCode::Char('a')).is_empty());
    let again = give(&mut m, News::Found { words: "pl".into(), found: vec![said(2, BOB, "the plan")] });
    assert!(again.contains(&Effect::Search { words: "pla".into() }));
    give(&mut m, News::Found { words: "pla".into(), found: vec![said(2, BOB, "the plan")] });
    let effects = press(&mut m, KeyCode::Enter);
    let id = direct(BOB).id;
    assert!(effects.contains(&Effect::Since { id: id.clone(), position: 20 }));
    let found = (2..=9).map(|n| said(n, BOB, "text")).collect();
    give(&mut m, News::Since { id, position: 20, found });
    assert_eq!((m.focus, m.open.as_ref().unwrap().selected), (Focus::Messages, Some(20)));
}

#[test]
fn conversations_are_gone_to_by_name_by_key_and_by_news() {
    let mut m = open_with(&[]);
    let mut carol = direct("carol@y.example");
    carol.unread = 2;
    let dave = direct("dave@x.example");
    give(&mut m, News::Conversations(vec![direct(BOB), dave.clone(), carol.clone()]));
    ctrl(&mut m, 'k');
    write(&mut m, "dav");
    press(&mut m, KeyCode::Enter);
    assert_eq!(m.open.as_ref().unwrap().id, dave.id);
    alt(&mut m, KeyCode::Up);
    assert_eq!(m.open.as_ref().unwrap().id, direct(BOB).id);
    alt(&mut m, KeyCode::Char('u'));
    assert_eq!(m.open.as_ref().unwrap().id, carol.id);
    // In the list.
    press(&mut m, KeyCode::BackTab);
    assert_eq!(m.focus, Focus::List);
    press(&mut m, KeyCode::Home);
    assert_eq!(m.open.as_ref().unwrap().id, carol.id, "the cursor alone opens nothing");
    press(&mut m, KeyCode::Enter);
    assert_eq!((m.open.as_ref().unwrap().id.clone(), m.focus), (direct(BOB).id, Focus::Composer));
}

#[test]
fn each_conversation_keeps_what_is_being_written() {
    let mut m = open_with(&[]);
    give(&mut m, News::Conversations(vec![direct(BOB), direct("dave@x.example")]));
    write(&mut m, "to bob");
    let effects = alt(&mut m, KeyCode::Down);
    assert!(effects.iter().any(|e| matches!(e, Effect::Typing { on: false, .. })));
    assert!(m.composer().is_none_or(|c| c.editor.is_empty()));
    alt(&mut m, KeyCode::Up);
    assert_eq!(m.composer().unwrap().editor.text(), "to bob");
}

#[test]
fn quick_responses_are_sent_with_a_choice() {
    let mut m = open_with(&[]);
    m.rules = Rules { quick: vec!["On my way".into(), "Call me".into()], ..Rules::default() };
    alt(&mut m, KeyCode::Char('q'));
    write(&mut m, "call");
    assert_eq!(posted(&press(&mut m, KeyCode::Enter)), ["Call me"]);
    alt(&mut m, KeyCode::Char('q'));
    press(&mut m, KeyCode::Tab);
    assert_eq!(m.composer().unwrap().editor.text(), "On my way");
}

#[test]
fn control_c_drops_then_ends() {
    let mut m = open_with(&[]);
    write(&mut m, "text");
    ctrl(&mut m, 'c');
    assert!(m.composer().unwrap().editor.is_empty() && !m.ended);
    write(&mut m, "t");
    ctrl(&mut m, 'c');
    ctrl(&mut m, 'c');
    assert!(m.ended);
    let mut m = open_with(&[]);
    press(&mut m, KeyCode::F(1));
    ctrl(&mut m, 'c');
    assert!(m.dialog.is_none() && !m.ended);
}

#[test]
fn what_is_pasted_is_not_sent() {
    let mut m = open_with(&[]);
    let effects = update(&mut m, Input::Paste("one\r\ntwo\r\n".into()));
    assert!(posted(&effects).is_empty());
    assert_eq!(m.composer().unwrap().editor.text(), "one\ntwo\n");
}

#[test]
fn a_message_can_be_gone_to_from_its_answer() {
    let mut answer = said(3, BOB, "yes");
    answer.reply_to = Some(said(1, ALICE, "").key);
    let mut m = open_with(&[said(1, ALICE, "right?"), said(2, BOB, "hm"), answer]);
    press(&mut m, KeyCode::Esc);
    press(&mut m, KeyCode::Char('o'));
    assert_eq!(m.open.as_ref().unwrap().selected, Some(10));
    // One that is not on the screen is asked for.
    let mut far = said(4, BOB, "yes");
    far.reply_to = Some(said(200, ALICE, "").key);
    let mut m = open_with(&[far]);
    press(&mut m, KeyCode::Esc);
    assert!(press(&mut m, KeyCode::Char('o')).contains(&Effect::Jump(said(200, ALICE, "").key)));
}

#[test]
fn a_deleted_message_can_only_be_looked_at() {
    let mut gone = said(1, ALICE, "");
    gone.body = ViewBody::Deleted;
    let mut m = open_with(&[gone]);
    press(&mut m, KeyCode::Esc);
    for c in "red+fps".chars() {
        assert!(press(&mut m, KeyCode::Char(c)).is_empty() && m.dialog.is_none(), "{c}");
    }
    press(&mut m, KeyCode::Char('i'));
    assert!(matches!(m.dialog, Some(Dialog::Info(_))));
}
