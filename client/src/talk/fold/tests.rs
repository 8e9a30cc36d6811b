use proptest::prelude::*;
use sotto_crypto::{DeviceId, MessageId, SystemRng};
use sotto_wire::content::{Conversation, MessageRef};

use super::*;
use crate::store::key::StoreKey;
use crate::store::{ConversationRecord, Store, StoredMessage};
use crate::talk::apply;

fn who(n: u8) -> Address {
    Address::parse(["alice@x.example", "bob@x.example", "carol@x.example"][usize::from(n % 3)]).unwrap()
}

fn name(sender: u8, n: u8) -> MessageRef {
    MessageRef {
        sender: who(sender),
        device: DeviceId::from_bytes([sender; 16]),
        message: MessageId::from_bytes([n; 16]),
    }
}

fn conversation() -> Conversation {
    Conversation::of([who(0), who(1), who(2)]).unwrap()
}

/// A text of Alice's.
fn message() -> StoredMessage {
    let content = Content::new(conversation(), 100, Body::Text("first words".into()));
    StoredMessage {
        content: sotto_crypto::encode(&content),
        state: MessageState::Accepted,
        ..StoredMessage::bare(&name(0, 1), &conversation().id(), 100)
    }
}

fn mark(by: u8, n: u8, at_ms: u64, mark: Mark) -> Annotation {
    Annotation { target: name(0, 1), conversation: conversation().id(), by: name(by, n), at_ms, mark }
}

fn view(annotations: &[Annotation], me: u8, moderators: &[Address]) -> MessageView {
    let placed = Placed { position: 7, message: message() };
    let members = conversation().members();
    fold(&placed, annotations, &Around { me: &who(me), members: &members, moderators, sender: None, sender_name: None })
}

fn text(view: &MessageView) -> Option<&str> {
    match &view.body {
        ViewBody::Text(text) => Some(text),
        _ => None,
    }
}

#[test]
fn the_newest_edit_of_the_sender_counts_and_nobody_elses() {
    let edits = [
        mark(0, 3, 300, Mark::Edit("third".into())),
        mark(0, 2, 200, Mark::Edit("second".into())),
        mark(1, 4, 900, Mark::Edit("forged".into())),
    ];
    let view = view(&edits, 1, &[]);
    assert_eq!((text(&view), view.edited, view.position), (Some("third"), true, 7));
}

#[test]
fn only_its_sender_and_moderators_take_a_message_back() {
    let by_bob = [mark(1, 2, 200, Mark::Delete)];
    assert_eq!(text(&view(&by_bob, 2, &[])), Some("first words"));
    assert!(view(&by_bob, 2, &[who(1)]).body == ViewBody::Deleted);
    let by_alice = [mark(0, 2, 200, Mark::Delete), mark(0, 3, 300, Mark::Edit("again".into()))];
    let gone = view(&by_alice, 2, &[]);
    assert!(gone.body == ViewBody::Deleted && !gone.edited);
}

#[test]
fn what_was_said_elsewhere_does_not_count() {
    let mut elsewhere = mark(0, 2, 200, Mark::Delete);
    elsewhere.conversation = "another".into();
    assert_eq!(text(&view(&[elsewhere], 1, &[])), Some("first words"));
}

#[test]
fn reactions_are_by_emoji_and_person_and_can_be_taken_away() {
    let on = |by, n, at, emoji: &str, on| mark(by, n, at, Mark::React(emoji.into(), on));
    let view = view(
        &[on(2, 2, 5, "👍", true), on(1, 3, 6, "👍", true), on(1, 4, 7, "🎉", true), on(1, 5, 8, "🎉", false)],
        0,
        &[],
    );
    assert_eq!(view.reactions, [("👍".to_owned(), vec![who(1), who(2)])]);
}

#[test]
fn receipts_of_everybody_make_the_state() {
    let state = |marks: &[Annotation]| view(marks, 0, &[]).state;
    let (d, r) = (Mark::Delivered, Mark::Read);
    assert_eq!(state(&[]), DeliveryState::Accepted);
    assert_eq!(state(&[mark(1, 2, 1, d.clone())]), DeliveryState::Accepted);
    assert_eq!(state(&[mark(1, 2, 1, d.clone()), mark(2, 3, 1, r.clone())]), DeliveryState::Delivered);
    assert_eq!(state(&[mark(1, 2, 1, r.clone()), mark(2, 3, 1, r.clone())]), DeliveryState::Read);
    // Nobody gives receipts for their own.
    assert_eq!(state(&[mark(0, 2, 1, r.clone()), mark(1, 4, 1, r)]), DeliveryState::Accepted);
    assert_eq!(view(&[mark(1, 2, 1, d)], 0, &[]).delivered_to, [who(1)]);
}

fn any_mark() -> impl Strategy<Value = Annotation> {
    let what = prop_oneof![
        3 => "[a-c]{1,3}".prop_map(Mark::Edit),
        1 => Just(Mark::Delete),
        3 => ("[xyz]", any::<bool>()).prop_map(|(e, on)| Mark::React(e, on)),
        2 => any::<bool>().prop_map(Mark::Pin),
        1 => Just(Mark::Delivered),
        1 => Just(Mark::Read),
    ];
    (0..3_u8, 2..9_u8, 0..5_u64, what, prop::bool::weighted(0.1)).prop_map(|(by, n, at, what, elsewhere)| {
        let mut made = mark(by, n, at, what);
        if elsewhere {
            made.conversation = "another".into();
        }
        made
    })
}

/// The store's view of the message, when it comes after `before` of the marks.
fn through_the_store(marks: &[Annotation], before: usize, me: u8) -> MessageView {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("s.db"), &StoreKey::generate(&mut SystemRng)).unwrap();
    store
        .run_blocking(|tx| {
            let me = who(me);
            tx.put(&ConversationRecord::of(&conversation()))?;
            let content: Content = minicbor::decode(&message().content).unwrap();
            for (n, mark) in marks.iter().enumerate() {
                if n == before {
                    apply::arrive(tx, &me, message(), &content, 1000)?;
                }
                apply::annotate(tx, &me, mark, 1000)?;
            }
            if before >= marks.len() {
                apply::arrive(tx, &me, message(), &content, 1000)?;
            }
            let placed = tx.placed_message(&name(0, 1))?.unwrap();
            let annotations = tx.annotations(&name(0, 1))?;
            let members = conversation().members();
            let around = Around { me: &me, members: &members, moderators: &[], sender: None, sender_name: None };
            Ok(MessageView { position: 0, ..fold(&placed, &annotations, &around) })
        })
        .unwrap()
}

#[test]
fn a_deletion_elsewhere_takes_nothing_from_a_message_that_is_still_to_come() {
    let reaction = mark(0, 2, 0, Mark::React("z".into(), true));
    let elsewhere = Annotation { conversation: "another".into(), ..mark(0, 3, 0, Mark::Delete) };
    let first = through_the_store(&[reaction.clone(), elsewhere.clone()], 2, 1);
    assert_eq!(first.reactions, [("z".to_owned(), vec![who(0)])]);
    assert!(first == through_the_store(&[elsewhere, reaction], 2, 1));
}

proptest! {
    #[test]
    fn the_order_of_annotations_means_nothing(
        (marks, shuffled) in prop::collection::vec(any_mark(), 0..25).prop_flat_map(|m| (Just(m.clone()), Just(m).prop_shuffle())),
        me in 0..3_u8,
    ) {
        prop_assert!(view(&marks, me, &[]) == view(&shuffled, me, &[]));
        prop_assert!(view(&marks, me, &[who(1)]) == view(&shuffled, me, &[who(1)]));
        // Repeats mean nothing either.
        let twice = [marks.clone(), shuffled].concat();
        prop_assert!(view(&marks, me, &[]) == view(&twice, me, &[]));
    }
}

#[test]
fn a_receipt_says_that_an_uncertain_message_went_out() {
    let uncertain = StoredMessage { state: MessageState::Uncertain, reason: Some("not again".into()), ..message() };
    let placed = Placed { position: 7, message: uncertain };
    let members = conversation().members();
    let around = Around { me: &who(0), members: &members, moderators: &[], sender: None, sender_name: None };
    let of = |marks: &[Annotation]| {
        let view = fold(&placed, marks, &around);
        (view.state, view.reason)
    };
    assert_eq!(of(&[]), (DeliveryState::Uncertain, Some("not again".into())));
    let (bob, carol) = (mark(1, 1, 5, Mark::Delivered), mark(2, 1, 5, Mark::Read));
    assert_eq!(of(std::slice::from_ref(&bob)), (DeliveryState::Accepted, None));
    assert_eq!(of(&[bob, carol]), (DeliveryState::Delivered, None));
}

proptest! {
    // Each case makes two stores.
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_store_shows_the_same_whatever_came_first(
        (marks, shuffled) in prop::collection::vec(any_mark(), 0..12).prop_flat_map(|m| (Just(m.clone()), Just(m).prop_shuffle())),
        (before, other) in (0..13_usize, 0..13_usize),
        me in 0..3_u8,
    ) {
        let one = through_the_store(&marks, before, me);
        prop_assert!(one == through_the_store(&shuffled, other, me));
        // And what the fold makes of all of them, except for receipts that are nobody's business here.
        let mut pure = view(&marks, me, &[]);
        pure.position = 0;
        prop_assert!(one.body == pure.body && one.reactions == pure.reactions && one.pinned == pure.pinned);
    }
}
