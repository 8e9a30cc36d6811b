//! What people bring who are strangers to a room, and what becomes of rooms before they are the user's.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use sotto_crypto::{IdentityKey, PolicyKey, SystemRng};
use sotto_wire::content::Conversation;
use sotto_wire::room::RoomChange::{Add, Leave, Remove, Title};
use sotto_wire::room::SignedRoomEvent;

use super::super::admit::{Admitted, Bringing};
use super::super::change::note;
use super::super::event::sign;
use super::super::log::MAX_EVENTS;
use super::super::room::{Room, Rooms};
use super::*;
use crate::store::account::Account;
use crate::store::account::tests::account;
use crate::store::key::StoreKey;
use crate::store::{Pin, SeenIn, Store, list_all, sweep};
use crate::trust::pins::see;
use crate::trust::vouched::tests::vouched;

const DAY_MS: u64 = 86_400_000;

/// A device of bob's that events come to, and the authors of those events.
struct Device {
    key: StoreKey,
    dir: tempfile::TempDir,
    store: Store,
    rooms: Arc<Rooms>,
    authors: BTreeMap<Address, Account>,
    now_ms: u64,
}

impl Device {
    fn new() -> Self {
        let (key, dir) = (StoreKey::generate(&mut SystemRng), tempfile::tempdir().unwrap());
        let store = Store::open(&dir.path().join("s.db"), &key).unwrap();
        Self { key, dir, store, rooms: Arc::default(), authors: BTreeMap::new(), now_ms: 5 }
    }

    /// Another process, which knows what the store knows.
    fn start_again(&mut self) {
        self.store = Store::open(&self.dir.path().join("s.db"), &self.key).unwrap();
        self.rooms = Arc::default();
    }

    fn signed(&mut self, entry: &Entry) -> SignedRoomEvent {
        let who = &entry.event.author;
        let new = || account(who.as_str(), &PolicyKey::generate(&mut SystemRng));
        sign(&entry.event, self.authors.entry(who.clone()).or_insert_with(new))
    }

    /// Somebody brings events of a room.
    fn bring(&mut self, by: &str, room: RoomId, entries: &[Entry]) -> Admitted {
        let bringer = Address::parse(by).unwrap();
        let brought = entries.iter().map(|entry| (entry.id, (entry.clone(), self.signed(entry)))).collect();
        let (me, now_ms) = (a("bob"), self.now_ms);
        let admit = |tx: &crate::store::Tx<'_>| {
            self.rooms.with(tx, room, |held, _| {
                let admitted = held.admit(tx, Bringing { me: &me, bringer: &bringer, now_ms }, brought)?;
                note(tx, &me, held, &admitted.news, now_ms)?;
                Ok(admitted)
            })
        };
        self.store.run_blocking(admit).unwrap()
    }

    /// How many events of a room have their place, and how many are pending.
    fn kept(&self, room: RoomId) -> (usize, usize) {
        self.store.run_blocking(|tx| Ok((tx.room_events(&room, 0)?.len(), tx.pending_events(&room)?.len()))).unwrap()
    }

    fn is_mine(&self, room: RoomId) -> bool {
        let id = Conversation::Room(room).id();
        self.store.run_blocking(|tx| crate::store::conversation(tx, &id)).unwrap().is_some()
    }

    fn pins(&self) -> Vec<Address> {
        self.store.run_blocking(list_all::<Pin>).unwrap().into_iter().map(|pin| pin.address).collect()
    }

    fn seen(&self, room: RoomId) -> Seen {
        self.store.run_blocking(|tx| self.rooms.with(tx, room, |held, _| Ok(seen(&held.log)))).unwrap()
    }
}

/// A room that bob is taken into by its last events.
fn late_room() -> Story {
    let mut story = Story::new("alice", &["carol"], &["carol"]);
    story.then("alice", Title("one".into()));
    let heads = story.resolve().heads;
    story.after(&heads, "carol", Add(all(&["dave"])));
    story.after(&heads, "alice", Title("beside".into()));
    story.then("carol", Add(all(&["bob"])));
    story.then("alice", Title("last".into()));
    story
}

#[test]
fn what_strangers_bring_is_bounded_and_ends() {
    let mut device = Device::new();
    // Events as large as they get, of ever new rooms that name neither bob nor anybody who is known.
    let people: Vec<String> = (0..400).map(|n| format!("{}{n:04}", "x".repeat(58))).collect();
    let people: Vec<&str> = people.iter().map(String::as_str).collect();
    let flood = |device: &mut Device, by: &str, nonce: u8| {
        let mut kept = 0;
        for n in 0..10 {
            let mut first = create("mallory", &people, &[]);
            if let RoomChange::Create(created) = &mut first.event.change {
                created.nonce = [nonce; 16];
                created.nonce[0] = n;
            }
            let first = Entry::of(first.event).unwrap();
            let (room, mut last) = (first.room(), first.id);
            let mut entries = vec![first];
            for m in 0..60 {
                let more = event(
                    Some(room),
                    &[last],
                    "mallory",
                    if m % 2 == 0 { Remove(all(&people)) } else { Add(all(&people)) },
                );
                last = more.id;
                entries.push(more);
            }
            let admitted = device.bring(by, room, &entries);
            assert!(!admitted.ask, "nothing that could be asked for would find a place");
            kept += device.kept(room).1;
            assert!(device.kept(room).0 == 0 && !device.is_mine(room));
        }
        kept
    };
    let each = flood(&mut device, "mallory@y.example", 1);
    assert!((400..600).contains(&each), "{each} of 610: 16 MiB");
    assert!(flood(&mut device, "mallory@y.example", 2) < 2, "no more of one, but for what is smaller");
    assert!(flood(&mut device, "eve@y.example", 3).abs_diff(each) < 2);
    assert!(flood(&mut device, "trudy@y.example", 4) < 2, "no more of one network");
    assert!(device.pins().is_empty(), "nobody is pinned for what a stranger says");
    // Others find their place all the same, of another network and of this one.
    let story = Story::new("alice", &["bob"], &[]);
    device.bring("alice@x.example", story.room, &story.events);
    assert_eq!((device.kept(story.room), device.is_mine(story.room)), ((1, 0), true));
    let story = Story::new("trudy", &["bob"], &[]);
    device.bring("trudy@y.example", story.room, &story.events);
    assert_eq!((device.kept(story.room), device.is_mine(story.room)), ((1, 0), true));
    let late = late_room();
    device.bring("alice@x.example", late.room, &late.events[..3]);
    assert_eq!(device.kept(late.room), (0, 3));
    // It ends by itself.
    device.store.run_blocking(|tx| sweep(tx, 5 + 31 * DAY_MS)).unwrap();
    device.start_again();
    assert_eq!((device.kept(late.room), device.kept(story.room)), ((0, 0), (1, 0)));
    device.now_ms = 5 + 31 * DAY_MS;
    assert!(flood(&mut device, "trudy@y.example", 5) > 400, "and then there is room again");
}

#[test]
fn waiting_events_never_fill_a_room() {
    let story = Story::new("alice", &["bob"], &[]);
    let mut log = story.log();
    let junk = |n: usize| {
        let mut parent = [9; 32];
        parent[..8].copy_from_slice(&n.to_be_bytes());
        event(Some(story.room), &[EventId::from_bytes(parent)], "mallory", Leave)
    };
    let junk: Vec<Entry> = (0..MAX_EVENTS + 5).map(junk).collect();
    for entry in &junk {
        assert_eq!(inserted(&mut log, entry), Inserted::Waits);
    }
    let change = event(Some(story.room), &[story.first()], "alice", Title("goes on".into()));
    assert_eq!(inserted(&mut log, &change), Inserted::In(0));
    assert!(log.is_whole() && log.missing().len() == junk.len());
    for entry in &junk {
        log.forget_waiting(&entry.id);
    }
    assert!(log.missing().is_empty());

    // The same on a device: a part is kept, the rest is not even in memory.
    let mut device = Device::new();
    device.bring("alice@x.example", story.room, &story.events);
    assert!(device.bring("mallory@y.example", story.room, &junk[..100]).ask);
    for part in junk[100..].chunks(1_000) {
        device.bring("mallory@y.example", story.room, part);
    }
    assert_eq!(device.kept(story.room), (1, MAX_EVENTS));
    let in_memory = |tx: &crate::store::Tx<'_>| {
        let dropped = |held: &mut Room| junk.iter().filter(|entry| !held.log.has(&entry.id)).cloned().collect();
        device.rooms.with(tx, story.room, |held, _| Ok(dropped(held)))
    };
    let dropped: Vec<Entry> = device.store.run_blocking(in_memory).unwrap();
    assert_eq!(dropped.len(), 5);
    assert!(!device.bring("mallory@y.example", story.room, &dropped).ask, "asking would never end");
    assert_eq!(device.kept(story.room), (1, MAX_EVENTS));
    // Honest ones have their place, and wait, as before.
    let third = event(Some(story.room), &[change.id], "alice", Title("further".into()));
    assert!(device.bring("alice@x.example", story.room, std::slice::from_ref(&third)).ask);
    assert_eq!(device.bring("alice@x.example", story.room, &[change]).news.len(), 2);
    assert!(device.kept(story.room) == (3, MAX_EVENTS) && device.seen(story.room).heads == [third.id]);
}

#[test]
fn an_event_of_a_stranger_is_not_kept() {
    let story = Story::new("alice", &["bob"], &[]);
    let mut device = Device::new();
    device.bring("alice@x.example", story.room, &story.events);
    let mine = event(Some(story.room), &[story.first()], "mallory", Title("mine".into()));
    let behind = event(Some(story.room), &[mine.id], "mallory", Leave);
    device.bring("mallory@y.example", story.room, &[mine.clone(), behind.clone()]);
    assert_eq!(device.kept(story.room), (1, 0));
    // What waited for it is of no use either.
    device.bring("mallory@y.example", story.room, &[behind]);
    device.bring("mallory@y.example", story.room, &[mine]);
    assert!(device.kept(story.room).0 == 1 && device.seen(story.room).heads == [story.first()]);
    assert_eq!(device.pins(), [a("alice")]);
}

#[test]
fn an_event_under_another_identity_than_is_known_by_then_has_no_place() {
    let story = late_room();
    let mut device = Device::new();
    device.bring("alice@x.example", story.room, &story.events[..4]);
    assert_eq!(device.kept(story.room), (0, 4));
    // Meanwhile carol shows who she is; all of her events came under another identity.
    let carol = IdentityKey::generate(&mut SystemRng).verifying_key();
    device.store.run_blocking(|tx| see(tx, &vouched(&a("carol"), &carol), 6, SeenIn::Message).map(drop)).unwrap();
    device.bring("alice@x.example", story.room, &story.events[4..]);
    assert!(!device.is_mine(story.room), "it is carol who would have taken bob in");
    // Alice does, and what builds on carol's waits.
    let takes_in = event(Some(story.room), &[story.first()], "alice", Add(all(&["bob"])));
    device.bring("alice@x.example", story.room, &[takes_in]);
    assert!(device.is_mine(story.room));
    let by: Vec<Address> = device
        .store
        .run_blocking(|tx| tx.room_events(&story.room, 0))
        .unwrap()
        .into_iter()
        .map(|(_, record)| record.signed.event.unverified().unwrap().author)
        .collect();
    assert_eq!(by, vec![a("alice"); 4], "created, entitled, beside, taken in");
    device.start_again();
    assert_eq!(device.seen(story.room).heads.len(), 2);
}

#[test]
fn a_transaction_that_is_taken_back_leaves_nothing_in_memory() {
    let story = late_room();
    let mut device = Device::new();
    let brought: Vec<_> = story.events.iter().map(|entry| (entry.id, (entry.clone(), device.signed(entry)))).collect();
    let (me, bringer) = (a("bob"), a("alice"));
    for events in [&brought[..3], &brought[..]] {
        let failed = device.store.run_blocking(|tx| {
            device.rooms.with(tx, story.room, |held, _| {
                let by = Bringing { me: &me, bringer: &bringer, now_ms: 5 };
                held.admit(tx, by, events.iter().cloned().collect())
            })?;
            Err::<(), _>(crate::core::error::StoreError::Newer(99))
        });
        assert!(failed.is_err() && device.kept(story.room) == (0, 0));
        assert!(device.seen(story.room).counted.is_empty());
    }
    device.bring("alice@x.example", story.room, &story.events);
    assert_eq!((device.kept(story.room), device.seen(story.room)), ((story.events.len(), 0), seen(&story.log())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_room_becomes_the_users_whatever_the_order(
        order in Just((0..late_room().events.len()).collect::<Vec<_>>()).prop_shuffle(),
        size in 1..4_usize,
        starts_again in any::<u8>(),
    ) {
        let story = late_room();
        let mut device = Device::new();
        for (n, part) in order.chunks(size).enumerate() {
            if starts_again >> (n % 8) & 1 == 1 {
                device.start_again();
            }
            let entries: Vec<Entry> = part.iter().map(|n| story.events[*n].clone()).collect();
            device.bring(["alice@x.example", "carol@x.example"][n % 2], story.room, &entries);
        }
        prop_assert!(device.is_mine(story.room));
        prop_assert_eq!(device.kept(story.room), (story.events.len(), 0));
        prop_assert_eq!(device.seen(story.room), seen(&story.log()));
        device.start_again();
        prop_assert_eq!(device.seen(story.room), seen(&story.log()));
    }
}
