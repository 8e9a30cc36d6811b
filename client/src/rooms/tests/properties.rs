use proptest::prelude::*;
use sotto_wire::room::RoomChange;

use super::super::resolve::{BUDGET, resolve_within};
use super::super::state::State;
use super::reference::plain;
use super::*;

const PEOPLE: [&str; 6] = ["alice", "bob", "carol", "dave", "erin", "frank"];

/// One step of somebody: who, what, on whom, and behind which of the events that are there.
type Step = (usize, u8, usize, Vec<prop::sample::Index>);

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let parents = prop::collection::vec(any::<prop::sample::Index>(), 1..3);
    prop::collection::vec((0..PEOPLE.len(), 0..9_u8, 0..PEOPLE.len(), parents), 0..most)
}

fn change(kind: u8, whom: usize, n: usize) -> RoomChange {
    let who = a(PEOPLE[whom]);
    match kind {
        0 | 1 => RoomChange::Add(vec![who]),
        2 | 3 => RoomChange::Remove(vec![who]),
        4 => RoomChange::Leave,
        5 => RoomChange::Moderator(who, true),
        6 => RoomChange::Moderator(who, false),
        7 if n.is_multiple_of(7) => RoomChange::Close,
        _ => RoomChange::Title(format!("title {n}")),
    }
}

/// Events of anybody behind anything: honest ones, forks, and those of people who may not.
fn wild(story: &mut Story, steps: &[Step]) {
    for (n, (who, kind, whom, parents)) in steps.iter().enumerate() {
        let parents: Vec<EventId> = parents.iter().map(|p| p.get(&story.events).id).collect();
        story.after(&parents, PEOPLE[*who], change(*kind, *whom, n));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    /// Who has the same events sees the same room, in whatever order they came, and however often.
    #[test]
    fn the_order_of_arrival_does_not_matter(
        steps in steps(40),
        seed in prop::collection::vec(any::<prop::sample::Index>(), 80),
    ) {
        let mut story = Story::new("alice", &["bob", "carol", "dave"], &["bob"]);
        wild(&mut story, &steps);
        let expected = seen(&story.log());
        let mut shuffled: Vec<Entry> = story.events.iter().chain(&story.events).cloned().collect();
        for (n, other) in seed.iter().enumerate() {
            let (n, other) = (n % shuffled.len(), other.index(shuffled.len()));
            shuffled.swap(n, other);
        }
        prop_assert_eq!(&seen(&log_of(story.room, &shuffled)), &expected);
        shuffled.reverse();
        prop_assert_eq!(&seen(&log_of(story.room, &shuffled)), &expected);
    }

    /// With events missing there is a room all the same, and when they come it is that of everybody.
    #[test]
    fn what_is_missing_may_come_later(steps in steps(30), lost in prop::collection::vec(any::<bool>(), 31)) {
        let mut story = Story::new("alice", &["bob", "carol", "dave"], &["bob", "carol"]);
        wild(&mut story, &steps);
        let (late, early): (Vec<_>, Vec<_>) =
            story.events.iter().cloned().zip(lost).partition(|(_, lost)| *lost);
        let mut log = Log::new(story.room);
        for (entry, _) in &early {
            inserted(&mut log, entry);
        }
        let _ = seen(&log);
        for missing in log.missing() {
            prop_assert!(late.iter().any(|(entry, _)| entry.id == missing));
        }
        for (entry, _) in &late {
            inserted(&mut log, entry);
        }
        prop_assert_eq!(seen(&log), seen(&story.log()));
    }

    /// It is what the page on rooms says, however it was worked out: at once or bit by bit, with the budget or without.
    #[test]
    fn it_is_as_by_the_page(
        steps in steps(60),
        parts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        budget in prop_oneof![Just(BUDGET), 1..1_000_u64],
        seed in prop::collection::vec(any::<prop::sample::Index>(), 61),
    ) {
        let mut story = Story::new("alice", &["bob", "carol", "dave", "erin"], &["bob", "carol", "dave"]);
        wild(&mut story, &steps);
        let log = story.log();
        let resolved = resolve_within(&log, budget);
        let (counted, state, stopped_by) = plain(&log, budget);
        let fast: Vec<EventId> =
            log.order().iter().filter(|n| resolved.counts(**n)).map(|n| log.nodes()[*n].id).collect();
        prop_assert_eq!(fast, counted);
        let all = |state: &State| {
            let times = (state.expires_in_s, state.burn_after_read_s, state.closed);
            (state.members.clone(), state.moderators(), state.title.clone(), times)
        };
        prop_assert_eq!(all(resolved.state()), all(&state));
        prop_assert_eq!(&resolved.stopped_by, &stopped_by);
        let mut ranks: Vec<_> = state.members.iter().filter_map(|(who, m)| Some((m.moderator?, who.clone()))).collect();
        ranks.sort();
        prop_assert_eq!(state.moderators(), ranks.into_iter().map(|(_, who)| who).collect::<Vec<_>>());

        // In order of making first, then in any.
        let expected = seen_of(&log, &resolved);
        let mut events = story.events.clone();
        for shuffled in [false, true] {
            if shuffled {
                for (n, other) in seed.iter().enumerate().take(events.len()) {
                    let other = other.index(events.len());
                    events.swap(n, other);
                }
            }
            let mut ends: Vec<usize> = parts.iter().map(|part| part.index(events.len())).collect();
            ends.extend([events.len() - 1, events.len()]);
            ends.sort_unstable();
            let mut log = Log::new(story.room);
            let mut resolved = resolve_within(&log, budget);
            let mut from = 0;
            for end in ends {
                for entry in &events[from..end] {
                    inserted(&mut log, entry);
                }
                from = end;
                resolved.extend_within(&log, budget);
                prop_assert_eq!(seen_of(&log, &resolved), seen_of(&log, &resolve_within(&log, budget)));
            }
            prop_assert_eq!(&seen_of(&log, &resolved), &expected);
        }
    }

    /// Where people change a large room at the same time, one after the other and all at once come to the same.
    #[test]
    fn near_the_end_of_a_large_room(before in 120..280_usize, steps in steps(40)) {
        let mut story = Story::new("alice", &["bob", "carol", "dave", "erin"], &["bob", "carol", "dave"]);
        let mut last = story.first();
        for n in 0..before {
            last = story.after(&[last], PEOPLE[n % 3], change(8, 0, n));
        }
        let (mut log, mut known) = (story.log(), story.events.len());
        let mut resolved = resolve(&log);
        for (n, (who, kind, whom, parents)) in steps.iter().enumerate() {
            // Mostly not in conflict: one look is enough.
            let change = change(if n.is_multiple_of(9) { *kind } else { 8 - 3 * (kind % 2) }, *whom, n);
            let near = &story.events[story.events.len() - 6..];
            let parents: Vec<EventId> = parents.iter().map(|p| p.get(near).id).collect();
            story.after(&parents, PEOPLE[*who], change);
            for entry in &story.events[known..] {
                inserted(&mut log, entry);
            }
            known = story.events.len();
            resolved.extend(&log);
            prop_assert_eq!(seen_of(&log, &resolved), seen(&log));
        }
    }

    /// Whatever somebody makes who was put out by a senior, and whoever it pretends to have taken in before: nothing of it
    /// takes effect, nor undoes what is there.
    #[test]
    fn who_was_put_out_changes_nothing(before in steps(12), after in steps(12), forged in steps(25)) {
        let mut story = Story::new("alice", &["bob", "carol", "dave"], &["bob", "carol"]);
        // An honest past: everybody builds on what counts. Alice and bob stay; bob is put out in the end.
        let honest = |story: &mut Story, steps: &[Step], by: &[&str]| {
            for (n, (who, kind, whom, _)) in steps.iter().enumerate() {
                let author = by[who % by.len()];
                let change = match change(*kind, *whom, n + 1) {
                    RoomChange::Leave if author != "dave" => continue,
                    RoomChange::Moderator(who, false) if who == a(author) => continue,
                    change => change,
                };
                story.then(author, change);
            }
        };
        honest(&mut story, &before, &["alice", "bob", "carol", "dave"]);
        let known = story.events.len();
        let heads = story.resolve().heads;
        prop_assume!(story.resolve().state().outranks(&a("alice"), &a("bob")));
        story.after(&heads, "alice", RoomChange::Remove(vec![a("bob")]));
        honest(&mut story, &after, &["alice", "carol", "dave"]);
        prop_assume!(!story.resolve().state().has(&a("bob")));
        let expected = seen(&story.log());

        // Bob forges behind the past, and recruits who never was there.
        let mut past: Vec<EventId> = story.events[..known].iter().map(|e| e.id).collect();
        for (n, (who, kind, whom, parents)) in forged.iter().enumerate() {
            let author = ["bob", "bob", "mallory", "oscar"][who % 4];
            let change = match change(*kind, *whom, n) {
                RoomChange::Add(_) => RoomChange::Add(all(&["mallory", "oscar"])),
                RoomChange::Moderator(_, true) => RoomChange::Moderator(a("mallory"), true),
                change => change,
            };
            let parents: Vec<EventId> = parents.iter().map(|p| *p.get(&past)).collect();
            past.push(story.after(&parents, author, change));
        }
        let forged = seen(&story.log());
        prop_assert_eq!(forged, expected);
    }

    /// Nobody but the one who made a room, by leaving or stepping down, ends that one's being its moderator.
    #[test]
    fn the_founder_is_put_out_by_nobody(steps in steps(40)) {
        let mut story = Story::new("alice", &["bob", "carol", "dave"], &["bob", "carol"]);
        let own = |(who, kind, whom, _): &Step| PEOPLE[*who] == "alice" && (*kind == 4 || (*kind == 6 && *whom == 0));
        let steps: Vec<Step> = steps.into_iter().filter(|step| !own(step)).collect();
        wild(&mut story, &steps);
        prop_assert_eq!(story.moderators().remove(0), "alice");
    }
}
