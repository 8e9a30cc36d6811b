//! What rooms cost: honest ones, and those of people who make events in order to cost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sotto_crypto::{PolicyKey, SystemRng};
use sotto_wire::room::RoomChange::{Add, Leave, Moderator, Remove, Title};

use super::super::change::{Work, note};
use super::super::event::sign;
use super::super::log::MAX_EVENTS;
use super::super::resolve::BUDGET;
use super::super::room::Rooms;
use super::*;
use crate::core::error::{Error, Refusal};
use crate::store::account::tests::account;
use crate::store::key::StoreKey;
use crate::store::{RoomEventRecord, Store};

fn title(n: usize) -> RoomChange {
    Title(format!("title {n}"))
}

/// How long this thread has been at work; what other processes do meanwhile does not count, where the system tells.
fn at_work() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|text| text.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

/// Takes a room's events in and says what they come to, and how long both took.
fn timed(what: &str, story: &Story) -> (Log, Resolved, Duration) {
    let start = at_work();
    let log = story.log();
    let taken_in = at_work().saturating_sub(start);
    let start = at_work();
    let resolved = resolve(&log);
    let took = at_work().saturating_sub(start);
    eprintln!(
        "{what}: {} events, taken in {taken_in:?}, resolved {took:?}, {} looks, stopped by {:?}",
        log.nodes().len(),
        resolved.looks(),
        resolved.stopped_by
    );
    assert!(taken_in + took < Duration::from_secs(10), "on any machine");
    (log, resolved, taken_in + took)
}

/// The same in whatever order the events come, and bit by bit.
fn same_in_any_order(story: &Story, expected: &Seen) {
    let mut events = story.events.clone();
    events.reverse();
    assert_eq!(&seen(&log_of(story.room, &events)), expected);
    // By name: as good as by chance.
    events.sort_by_key(|entry| entry.id);
    let mut log = Log::new(story.room);
    let mut resolved = resolve(&log);
    for part in events.chunks(events.len().div_ceil(5)) {
        for entry in part {
            inserted(&mut log, entry);
        }
        resolved.extend(&log);
    }
    assert_eq!(&seen_of(&log, &resolved), expected);
}

#[test]
fn ten_thousand_honest_events_and_one_more() {
    // 500 people; three moderators change the room in turns, now and then two at once; people come and go.
    let people: Vec<String> = (0..499).map(|n| format!("u{n:03}")).collect();
    let people: Vec<&str> = people.iter().map(String::as_str).collect();
    let mut story = Story::new("alice", &people, &["u100", "u498"]);
    let mut heads = vec![story.first()];
    while story.events.len() < MAX_EVENTS - 60 {
        let n = story.events.len();
        let by = ["alice", "u100", "u498"][n % 3];
        let who = people[101 + n % 300];
        let change = match n % 10 {
            0 => Remove(all(&[who])),
            3 => Add(all(&[people[101 + (n - 3) % 300]])),
            7 => Leave,
            8 => Add(all(&[people[101 + (n - 1) % 300]])),
            _ => title(n),
        };
        let author = if change == Leave { who } else { by };
        let mut next = vec![story.after(&heads, author, change)];
        if n.is_multiple_of(50) {
            next.push(story.after(&heads, "alice", title(n)));
        }
        heads = next;
    }
    let (mut log, mut resolved, took) = timed("honest", &story);
    let counted = resolved.counted().iter().filter(|counts| **counts).count();
    assert!(
        counted > 9_900 && resolved.looks() < 10 && resolved.stopped_by.is_none(),
        "{counted} {}",
        resolved.looks()
    );
    assert!(took < Duration::from_secs(2), "{took:?}");

    // Several, since the system's clock of work is coarse.
    let mut more = |what: &str, entries: &[Entry]| {
        let start = at_work();
        for entry in entries {
            assert_eq!(inserted(&mut log, entry), Inserted::In(0));
            resolved.extend(&log);
        }
        let took = at_work().saturating_sub(start) / u32::try_from(entries.len()).unwrap();
        eprintln!("one more, {what}: {took:?}");
        assert_eq!(seen_of(&log, &resolved), seen(&log));
        assert!(took < Duration::from_millis(50), "{took:?}");
    };
    let mut behind = Vec::new();
    for n in 0..20 {
        let next = event(Some(story.room), &heads, "alice", title(n));
        heads = vec![next.id];
        behind.push(next);
    }
    more("behind all", &behind);
    let beside: Vec<Entry> = (0..20).map(|n| event(Some(story.room), &heads, "u100", title(100 + n))).collect();
    more("beside others", &beside);
    let removal = |n: usize| event(Some(story.room), &heads, "u100", Remove(all(&[people[101 + n]])));
    let removals: Vec<Entry> = (0..20).map(removal).collect();
    more("a removal beside others", &removals);
}

#[test]
fn four_thousand_made_up_events_stop_at_the_budget_and_name_their_author() {
    // Bob, who was put out, leaves two thousand times, from before: only one leaving can count at a time, so that each has
    // to be overruled by itself.
    let mut story = Story::new("alice", &["bob", "carol"], &["carol"]);
    let first = story.first();
    let (mut honest, mut forged) = (first, first);
    for n in 0..1999 {
        honest = story.after(&[honest], "alice", title(n));
        forged = story.after(&[forged], "bob", Leave);
    }
    story.after(&[honest], "alice", Remove(all(&["bob"])));
    let (log, resolved, took) = timed("hostile: leavings", &story);
    assert_eq!(resolved.stopped_by, Some(a("bob")));
    assert!(took < Duration::from_secs(2), "{took:?}");
    same_in_any_order(&story, &seen_of(&log, &resolved));
}

#[test]
fn moderators_who_put_each_other_out_thousands_of_times() {
    let names: Vec<String> = (0..40).map(|n| format!("m{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut story = Story::new("alice", &names, &names);
    let mut ends: Vec<EventId> = vec![story.first(); names.len()];
    let mut n = 0;
    while story.events.len() < 4_000 {
        let (me, other) = (n % 40, n * 7 % 40);
        n += 1;
        let change = match n % 5 {
            0 => Add(all(&[names[other]])),
            1 => Moderator(a(names[other]), true),
            2 => Moderator(a(names[other]), false),
            3 => Remove(all(&[names[other]])),
            _ => title(n),
        };
        // Each on a way of their own, that meets another's now and then.
        let parents = if n % 11 == 0 { vec![ends[me], ends[other]] } else { vec![ends[me]] };
        ends[me] = story.after(&parents, names[me], change);
    }
    let (log, resolved, took) = timed("hostile: each other", &story);
    assert!(took < Duration::from_secs(2), "{took:?}");
    same_in_any_order(&story, &seen_of(&log, &resolved));
}

#[test]
fn long_lists_of_people_cost_too() {
    // Alice puts out everybody and takes them in again, and bob leaves meanwhile, over and over.
    let people: Vec<String> = (0..498).map(|n| format!("u{n:03}")).collect();
    let mut people: Vec<&str> = people.iter().map(String::as_str).collect();
    let mut story = Story::new("alice", &people, &[]);
    people.push("bob");
    let mut way = story.after(&[story.first()], "alice", Add(all(&["bob"])));
    let mut leaving = way;
    for n in 0..4_000 {
        way = story.after(&[way], "alice", if n % 2 == 0 { Remove(all(&people)) } else { Add(all(&people)) });
        if n % 4 == 0 {
            leaving = story.after(&[leaving], "bob", Leave);
        }
    }
    let (log, resolved, took) = timed("hostile: long lists", &story);
    assert!(log.weight() > BUDGET && resolved.looks() == 1);
    assert_eq!(resolved.stopped_by, Some(a("alice")), "whose events cost more than one look may");
    assert!(took < Duration::from_secs(4), "{took:?}");
    same_in_any_order(&story, &seen_of(&log, &resolved));
}

#[test]
fn a_stopped_room_stands_still_and_says_by_whom() {
    let people: Vec<String> = (0..498).map(|n| format!("u{n:03}")).collect();
    let people: Vec<&str> = people.iter().map(String::as_str).collect();
    let mut story = Story::new("alice", &[&people[..], &["bob"]].concat(), &[]);
    let (mut honest, mut forged) = (story.first(), story.first());
    for _ in 0..60 {
        honest = story.after(&[honest], "alice", Add(all(&people)));
        forged = story.after(&[forged], "bob", Leave);
    }
    for _ in 0..60 {
        forged = story.after(&[forged], "bob", Leave);
    }
    // Deeper than all of bob's.
    for n in 0..70 {
        honest = story.after(&[honest], "alice", title(n));
    }
    story.after(&[honest], "alice", Remove(all(&["bob"])));
    assert_eq!(story.resolve().stopped_by, Some(a("bob")));

    let alice = account("alice@x.example", &PolicyKey::generate(&mut SystemRng));
    let dir = tempfile::tempdir().unwrap();
    let kept = Store::open(&dir.path().join("s.db"), &StoreKey::generate(&mut SystemRng)).unwrap();
    let (rooms, room) = (Arc::new(Rooms::default()), story.room);
    kept.run_blocking(|tx| {
        for entry in &story.events {
            let signed = sign(&entry.event, &alice);
            tx.add_room_event(&RoomEventRecord { room, id: entry.id, signed })?;
        }
        rooms.with(tx, room, |held, news| {
            assert!(note(tx, &alice.address, held, &news, 1)?);
            assert_eq!(held.stopped_by(), Some(&a("bob")));
            Ok(())
        })?;
        let conversation = sotto_wire::content::Conversation::Room(room).id();
        assert!(crate::store::conversation(tx, &conversation)?.unwrap().left, "nothing is sent to it");
        let work = Work { tx, account: &alice, rooms: &rooms, now_ms: 1 };
        let refused = work.change(room, title(1))?.unwrap_err();
        assert!(matches!(&refused, Error::Refused(Refusal::RoomStopped(who)) if *who == a("bob")), "{refused}");
        Ok(())
    })
    .unwrap();
}
