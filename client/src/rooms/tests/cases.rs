use sotto_crypto::{DeviceCertificate, DeviceKey, IdentityKey, Known, Signed, SystemRng};
use sotto_wire::room::RoomChange::{Add, Close, Leave, Moderator, Remove, Title};
use sotto_wire::room::{Created, MAX_PARENTS, RoomChange};

use super::super::event::{BadEvent, event_id, sign_as, verify};
use super::super::log::MAX_EVENTS;
use super::*;

fn title(text: &str) -> RoomChange {
    Title(text.into())
}

#[test]
fn moderators_do_and_members_leave() {
    let mut story = Story::new("alice", &["bob", "carol"], &["bob"]);
    assert_eq!((story.people(), story.moderators()), (names("alice bob carol"), names("alice bob")));
    let no = story.then("carol", Add(all(&["dave"])));
    assert!(!story.counts(no) && story.people() == names("alice bob carol"));
    story.then("bob", Add(all(&["dave", "erin"])));
    story.then("bob", title("new"));
    story.then("carol", Leave);
    story.then("alice", Remove(all(&["erin"])));
    story.then("alice", RoomChange::Expiry(Some(60)));
    assert_eq!((story.people(), story.title().as_str()), (names("alice bob dave"), "new"));
    assert_eq!(story.resolve().state().expires_in_s, Some(60));
    // Who was put out does nothing any more, and may be taken in again.
    let no = story.then("erin", Leave);
    assert!(!story.counts(no));
    // Later than that, whatever its name is.
    story.then("bob", title("newer"));
    story.then("bob", Add(all(&["erin"])));
    assert_eq!(story.people(), names("alice bob dave erin"));
    // Who was never named is a stranger.
    let heads = story.resolve().heads;
    let stranger = event(Some(story.room), &heads, "mallory", title("mine"));
    let mut log = story.log();
    let behind = event(Some(story.room), &[stranger.id], "alice", title("behind"));
    assert_eq!(inserted(&mut log, &behind), Inserted::Waits);
    assert_eq!(inserted(&mut log, &stranger), Inserted::Stranger);
    assert!(log.is_whole() && !log.has(&behind.id), "what builds on a stranger's is none of the room");
    assert_eq!(inserted(&mut log, &behind), Inserted::Stranger);
}

#[test]
fn only_a_senior_puts_a_moderator_out() {
    let mut story = Story::new("alice", &["bob", "carol"], &[]);
    story.then("alice", Moderator(a("carol"), true));
    story.then("alice", Moderator(a("bob"), true));
    assert_eq!(story.moderators(), names("alice carol bob"));
    story.then("bob", Remove(all(&["alice", "carol"])));
    story.then("bob", Moderator(a("carol"), false));
    assert_eq!(story.moderators(), names("alice carol bob"));
    story.then("carol", Remove(all(&["bob"])));
    assert_eq!((story.people(), story.moderators()), (names("alice carol"), names("alice carol")));
    // Stepping down is one's own.
    story.then("carol", Moderator(a("carol"), false));
    assert_eq!((story.people(), story.moderators()), (names("alice carol"), names("alice")));
}

#[test]
fn a_removal_wins_over_what_the_removed_did_meanwhile() {
    let mut story = Story::new("alice", &["bob", "carol"], &["bob"]);
    let before = story.then("bob", title("by bob"));
    let removal = story.after(&[before], "alice", Remove(all(&["bob"])));
    let fork = story.after(&[before], "bob", Add(all(&["mallory"])));
    let on_fork = story.after(&[fork], "bob", Moderator(a("mallory"), true));
    let recruit = story.after(&[on_fork], "mallory", Remove(all(&["carol"])));
    assert_eq!((story.people(), story.title().as_str()), (names("alice carol"), "by bob"));
    assert!(story.counts(before) && ![fork, on_fork, recruit].iter().any(|e| story.counts(*e)));
    assert_eq!(story.resolve().heads, [removal], "nobody builds on what does not count");
    // An older parent and a longer way do not help.
    let mut end = story.after(&[story.first()], "bob", title("again"));
    for n in 0..20 {
        end = story.after(&[end], "bob", title(&format!("again {n}")));
    }
    story.after(&[end], "bob", Remove(all(&["carol"])));
    assert_eq!((story.people(), story.title().as_str()), (names("alice carol"), "by bob"));
}

#[test]
fn a_demotion_wins_over_what_the_demoted_did_meanwhile() {
    let mut story = Story::new("alice", &["bob"], &["bob"]);
    let first = story.first();
    story.after(&[first], "alice", Moderator(a("bob"), false));
    let act = story.after(&[first], "bob", title("by bob"));
    let leaving = story.after(&[first], "bob", Leave);
    assert!(!story.counts(act) && story.counts(leaving), "who was demoted may still go");
    assert_eq!((story.people(), story.title().as_str()), (names("alice"), "plans"));
}

#[test]
fn of_two_who_put_each_other_out_the_senior_stays() {
    let mut story = Story::new("alice", &["bob", "carol"], &["bob", "carol"]);
    let first = story.first();
    story.after(&[first], "bob", Remove(all(&["carol"])));
    story.after(&[first], "carol", Remove(all(&["bob"])));
    assert_eq!(story.people(), names("alice bob"), "bob is named first");
    // Made moderators at the same time: the event with the smaller name is senior, for everybody.
    let mut story = Story::new("alice", &["bob", "carol"], &[]);
    let first = story.first();
    let of_bob = story.after(&[first], "alice", Moderator(a("bob"), true));
    let of_carol = story.after(&[first], "alice", Moderator(a("carol"), true));
    story.after(&[of_bob, of_carol], "bob", Remove(all(&["carol"])));
    story.after(&[of_bob, of_carol], "carol", Remove(all(&["bob"])));
    let stays = if of_bob < of_carol { "bob" } else { "carol" };
    assert_eq!(story.people(), names(&format!("alice {stays}")));
}

#[test]
fn a_removed_moderator_cannot_take_back_what_it_did() {
    let mut story = Story::new("alice", &["bob"], &["bob"]);
    story.then("bob", Add(all(&["carol"])));
    story.then("bob", Moderator(a("carol"), true));
    story.then("alice", Remove(all(&["bob"])));
    for (parent, change) in
        [(story.first(), Leave), (story.first(), Moderator(a("bob"), false)), (story.first(), Close)]
    {
        let forged = story.after(&[parent], "bob", change);
        assert!(!story.counts(forged));
    }
    assert_eq!((story.people(), story.moderators()), (names("alice carol"), names("alice carol")));
}

#[test]
fn who_has_left_does_nothing_from_before() {
    let mut story = Story::new("alice", &["bob"], &[]);
    let before = story.then("alice", title("by alice"));
    story.after(&[before], "alice", Leave);
    let fork = story.after(&[before], "alice", Remove(all(&["bob"])));
    assert!(!story.counts(fork));
    assert_eq!((story.people(), story.moderators()), (names("bob"), names("bob")));
}

#[test]
fn the_longest_standing_member_follows_the_last_moderator() {
    let mut story = Story::new("zoe", &["dave"], &[]);
    story.then("zoe", Add(all(&["bob", "carol"])));
    story.then("zoe", Leave);
    assert_eq!(story.moderators(), names("dave"));
    story.then("dave", Leave);
    assert_eq!(story.moderators(), names("bob"));
    story.then("bob", title("bob's"));
    assert_eq!(story.title(), "bob's");
    // The last two moderators go without knowing of each other.
    story.then("bob", Moderator(a("carol"), true));
    story.then("bob", Add(all(&["dave"])));
    let heads = story.resolve().heads;
    story.after(&heads, "bob", Leave);
    story.after(&heads, "carol", Leave);
    assert_eq!((story.people(), story.moderators()), (names("dave"), names("dave")));
    story.then("dave", Leave);
    assert!(story.people().is_empty());
}

#[test]
fn nothing_but_leaving_follows_the_end() {
    let mut story = Story::new("alice", &["bob"], &[]);
    let first = story.first();
    let close = story.then("alice", Close);
    let after = story.after(&[close], "alice", title("after"));
    let beside = story.after(&[first], "alice", title("beside"));
    let leaving = story.after(&[close], "bob", Leave);
    assert!(!story.counts(after) && story.counts(beside) && story.counts(leaving));
    assert!(story.resolve().state().closed);
}

#[test]
fn events_wait_for_their_parents_and_come_in_any_order() {
    let mut story = Story::new("alice", &["bob"], &[]);
    for n in 0..5 {
        story.then("alice", title(&format!("t{n}")));
    }
    let whole = seen(&story.log());
    let mut log = Log::new(story.room);
    for entry in story.events.iter().skip(1).rev() {
        assert_eq!(inserted(&mut log, entry), Inserted::Waits);
        assert_eq!(inserted(&mut log, entry), Inserted::Known);
    }
    assert_eq!(log.missing(), [story.first()]);
    assert!(!log.is_whole() && resolve(&log).state().people().is_empty());
    assert_eq!(inserted(&mut log, &story.events[0]), Inserted::In(5));
    assert!(log.is_whole() && log.missing().is_empty());
    assert_eq!(seen(&log), whole);
    // What somebody lacks.
    let third = story.events[2].id;
    assert_eq!(log.beyond(&[third]).len(), 3);
    assert_eq!(log.beyond(&[]).len(), 6);
    assert_eq!(log.beyond(&resolve(&log).heads).len(), 0);
}

#[test]
fn an_event_of_another_room_is_a_stranger() {
    let story = Story::new("alice", &["bob"], &[]);
    let other = Story::new("bob", &["alice"], &[]);
    assert_eq!(inserted(&mut story.log(), &other.events[0]), Inserted::Stranger);
    let foreign = event(Some(other.room), &[story.first()], "alice", Leave);
    assert_eq!(inserted(&mut story.log(), &foreign), Inserted::Stranger);
}

#[test]
fn the_form_is_checked() {
    let story = Story::new("alice", &["bob"], &[]);
    let (room, first) = (Some(story.room), story.first());
    let make = |room, parents: Vec<EventId>, change| {
        let device = DeviceId::from_bytes([1; 16]);
        Entry::of(RoomEvent { version: 1, room, parents, author: a("alice"), device, at_ms: 0, change })
    };
    let form = |made: Result<Entry, BadEvent>| matches!(made, Err(BadEvent::Form(_)));
    assert!(make(room, vec![first], title("good")).is_ok());
    for bad in ["", "  ", "a\nb", &"x".repeat(101)] {
        assert!(form(make(room, vec![first], title(bad))), "{bad:?}");
    }
    assert!(form(make(None, vec![first], title("no room"))));
    assert!(form(make(room, vec![], title("no parents"))));
    assert!(form(make(room, vec![first, first], Leave)));
    let many = (0..=MAX_PARENTS).map(|n| EventId::from_bytes([u8::try_from(n).unwrap(); 32])).collect();
    assert!(form(make(room, many, Leave)));
    assert!(form(make(room, vec![first], Add(vec![]))));
    assert!(form(make(room, vec![first], Add(vec![a("b"), a("a")]))));
    assert!(form(make(room, vec![first], RoomChange::Expiry(Some(0)))));
    let long: Vec<_> = (0..400).map(|n| a(&format!("{}{n:04}", "x".repeat(50)))).collect();
    assert!(make(room, vec![first], Add(long)).is_ok());
    let long: Vec<_> = (0..400)
        .map(|n| Address::parse(&format!("u{n:04}@{}.example", ["x".repeat(60), "y".repeat(60)].join("."))).unwrap())
        .collect();
    assert!(form(make(room, vec![first], Add(long))), "more than 32 KiB");
    let created = |members: &[&str], moderators: &[&str]| {
        let (nonce, title) = ([1; 16], "t".to_owned());
        let (members, moderators) = (all(members), all(moderators));
        make(
            None,
            vec![],
            RoomChange::Create(Created {
                nonce,
                title,
                members,
                moderators,
                expires_in_s: None,
                burn_after_read_s: None,
            }),
        )
    };
    assert!(created(&["bob"], &["bob"]).is_ok());
    assert!(form(created(&["alice"], &[])) && form(created(&["bob"], &["carol"])));
}

#[test]
fn what_an_event_is_signed_by_is_checked() {
    let (identity, other) = (IdentityKey::generate(&mut SystemRng), IdentityKey::generate(&mut SystemRng));
    let key = DeviceKey::generate(&mut SystemRng);
    let Entry { event, id } = create("alice", &["bob"], &[]);
    let certificate =
        |who, device, identity| Signed::sign(&DeviceCertificate::new(who, device, key.verifying_key(), 1), identity);
    let known = &mut Known::new();
    let good = certificate(a("alice"), event.device, &identity);
    let signed = sign_as(&event, &key, good.clone(), identity.verifying_key());
    assert_eq!(verify(&signed, known).unwrap().id, id);
    assert_eq!(event_id(signed.event.payload()), id);
    let wrong = sign_as(&event, &key, good.clone(), other.verifying_key());
    assert!(matches!(verify(&wrong, known), Err(BadEvent::Signature(_))));
    let wrong = sign_as(&event, &DeviceKey::generate(&mut SystemRng), good, identity.verifying_key());
    assert!(matches!(verify(&wrong, known), Err(BadEvent::Signature(_))));
    for (who, device) in [(a("bob"), event.device), (a("alice"), DeviceId::from_bytes([9; 16]))] {
        let wrong = sign_as(&event, &key, certificate(who, device, &identity), identity.verifying_key());
        assert_eq!(verify(&wrong, known), Err(BadEvent::Author));
    }
}

#[test]
fn a_full_room_takes_nothing_more_and_a_large_one_is_fast() {
    let mut story = Story::new("alice", &[], &[]);
    let people: Vec<String> = (0..499).map(|n| format!("u{n:03}")).collect();
    let people: Vec<&str> = people.iter().map(String::as_str).collect();
    let mut last = story.after(&[story.first()], "alice", Add(all(&people)));
    last = story.after(&[last], "alice", Add(all(&["too-many"])));
    assert_eq!(story.people().len(), 500);
    let mut log = story.log();
    for n in log.nodes().len()..MAX_EVENTS {
        let entry = event(Some(story.room), &[last], "alice", title(&format!("t{n}")));
        last = entry.id;
        assert_eq!(inserted(&mut log, &entry), Inserted::In(0));
    }
    let more = event(Some(story.room), &[last], "alice", Leave);
    assert_eq!(inserted(&mut log, &more), Inserted::Full);
    let start = std::time::Instant::now();
    assert_eq!(resolve(&log).state().title, format!("t{}", MAX_EVENTS - 1));
    // Milliseconds, here; not many seconds, on any machine.
    assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
    eprintln!("{MAX_EVENTS} events of a room of 500: {:?}", start.elapsed());
}

fn names(words: &str) -> Vec<String> {
    words.split(' ').map(str::to_owned).collect()
}
