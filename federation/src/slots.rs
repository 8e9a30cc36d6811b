//! Who may be connected: pure. Strangers have slots of their own, apart from those of each known caller, so that neither
//! they nor another peer can take a peer's.
//!
//! Everybody is a stranger until a certificate has proven otherwise, a peer too. So a newcomer is never turned away: where
//! strangers' slots are full, another stranger has to go, of whom least is to be expected.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{Duration, Instant},
};

use sotto_wire::Source;

/// How much, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Connections of all who have not proven that they are known.
    pub(crate) strangers: usize,
    /// Of them, from one source.
    pub(crate) strangers_a_source: usize,
    /// Connections of each known caller.
    pub(crate) a_known_caller: usize,
    /// For a TLS handshake.
    pub(crate) handshake: Duration,
    /// For who has shaken hands and is still a stranger: long enough to be told why nothing is done for it.
    pub(crate) stranger: Duration,
}

impl Limits {
    pub(crate) const USUAL: Self = Self {
        strangers: 1_024,
        strangers_a_source: 32,
        a_known_caller: 256,
        handshake: Duration::from_secs(5),
        stranger: Duration::from_secs(5),
    };
}

/// Sources that are remembered of one known caller: its gateways, and where they were before.
const SOURCES_A_CALLER: usize = 16;

/// One connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Connection(u64);

#[derive(Debug)]
struct Stranger {
    source: Source,
    since: Instant,
    /// Has shown a certificate, and it is of nobody known.
    proven: bool,
}

/// All connections of one listener.
#[derive(Debug)]
pub(crate) struct Slots {
    limits: Limits,
    next: u64,
    strangers: BTreeMap<Connection, Stranger>,
    /// Connections of known callers, by name.
    known: HashMap<String, usize>,
    callers: HashMap<Connection, String>,
    /// Where known callers have come from lately, the latest last.
    sources: HashMap<String, VecDeque<Source>>,
}

impl Slots {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            next: 0,
            strangers: BTreeMap::new(),
            known: HashMap::new(),
            callers: HashMap::new(),
            sources: HashMap::new(),
        }
    }

    /// A stranger comes in. With it, who has to go for it.
    pub(crate) fn come(&mut self, source: Source, now: Instant) -> (Connection, Option<Connection>) {
        let same = self.strangers.values().filter(|stranger| stranger.source == source).count();
        let victim = if same >= self.limits.strangers_a_source {
            self.victim(Some(source))
        } else if self.strangers.len() >= self.limits.strangers {
            self.victim(None)
        } else {
            None
        };
        if let Some(victim) = victim {
            self.strangers.remove(&victim);
        }
        let connection = Connection(self.next);
        self.next += 1;
        self.strangers.insert(connection, Stranger { source, since: now, proven: false });
        (connection, victim)
    }

    /// Who has to go, of this source or of all: first who is known to be a stranger, then who comes from where no known caller
    /// has come from; of these, of the source with the most, the one that has been here longest.
    fn victim(&self, of: Option<Source>) -> Option<Connection> {
        let mut counts: HashMap<Source, usize> = HashMap::new();
        for stranger in self.strangers.values() {
            *counts.entry(stranger.source).or_default() += 1;
        }
        let candidates =
            self.strangers.iter().filter(|(_, stranger)| of.is_none_or(|source| source == stranger.source));
        let order = |stranger: &Stranger| {
            let expected = !stranger.proven && self.sources.values().any(|sources| sources.contains(&stranger.source));
            (stranger.proven, !expected, counts.get(&stranger.source).copied(), std::cmp::Reverse(stranger.since))
        };
        candidates
            .max_by_key(|(connection, stranger)| (order(stranger), std::cmp::Reverse(**connection)))
            .map(|(c, _)| *c)
    }

    /// A certificate has proven who it is: it leaves the strangers. `false`: this caller has too many already, and goes.
    pub(crate) fn recognise(&mut self, connection: Connection, caller: &str) -> bool {
        let Some(stranger) = self.strangers.remove(&connection) else { return false };
        let sources = self.sources.entry(caller.to_owned()).or_default();
        sources.retain(|source| *source != stranger.source);
        sources.push_back(stranger.source);
        if sources.len() > SOURCES_A_CALLER {
            sources.pop_front();
        }
        let count = self.known.entry(caller.to_owned()).or_default();
        if *count >= self.limits.a_known_caller {
            return false;
        }
        *count += 1;
        self.callers.insert(connection, caller.to_owned());
        true
    }

    /// Its certificate is of nobody known.
    pub(crate) fn stays_stranger(&mut self, connection: Connection) {
        if let Some(stranger) = self.strangers.get_mut(&connection) {
            stranger.proven = true;
        }
    }

    /// It has ended.
    pub(crate) fn leave(&mut self, connection: Connection) {
        self.strangers.remove(&connection);
        let Some(caller) = self.callers.remove(&connection) else { return };
        if let Some(count) = self.known.get_mut(&caller) {
            *count -= 1;
            if *count == 0 {
                self.known.remove(&caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    const FEW: Limits = Limits { strangers: 6, strangers_a_source: 3, a_known_caller: 2, ..Limits::USUAL };

    fn source(n: u32) -> Source {
        Source::from(IpAddr::V4(Ipv4Addr::from_bits(n)))
    }

    /// Slots, and a clock that goes on by a millisecond a newcomer.
    struct World(Slots, Instant);

    impl World {
        fn new() -> Self {
            Self(Slots::new(FEW), Instant::now())
        }

        fn come(&mut self, n: u32) -> (Connection, Option<Connection>) {
            self.1 += Duration::from_millis(1);
            self.0.come(source(n), self.1)
        }

        fn stranger(&mut self, n: u32) -> Connection {
            let (connection, victim) = self.come(n);
            self.0.stays_stranger(connection);
            assert_eq!(victim, None);
            connection
        }
    }

    #[test]
    fn the_usual_limits_are_these() {
        let usual = Limits::USUAL;
        assert_eq!((usual.strangers, usual.strangers_a_source, usual.a_known_caller), (1_024, 32, 256));
        assert_eq!((usual.handshake, usual.stranger), (Duration::from_secs(5), Duration::from_secs(5)));
    }

    #[test]
    fn a_source_that_floods_displaces_itself() {
        let mut world = World::new();
        let mine: Vec<_> = (0..3).map(|_| world.stranger(1)).collect();
        let other = world.stranger(2);
        for oldest in &mine {
            assert_eq!(world.come(1).1, Some(*oldest));
        }
        assert!(world.0.strangers.contains_key(&other), "nobody else's");
    }

    #[test]
    fn where_all_is_full_the_newcomer_displaces_a_proven_stranger_first() {
        let mut world = World::new();
        let shaking: Vec<_> = (0..5).map(|n| world.come(n).0).collect();
        let proven = world.stranger(9);
        assert_eq!(world.come(10).1, Some(proven));
        // Then the oldest of the source with the most.
        assert_eq!(world.come(3).1, Some(shaking[0]));
        assert_eq!(world.come(11).1, Some(shaking[3]));
        assert_eq!(world.0.strangers.len(), FEW.strangers);
    }

    #[test]
    fn known_callers_have_slots_of_their_own_and_only_so_many() {
        let mut world = World::new();
        let peer = |world: &mut World, n, name: &str| {
            let connection = world.come(n).0;
            world.0.recognise(connection, name).then_some(connection)
        };
        let first = peer(&mut world, 50, "a.example").unwrap();
        assert!(peer(&mut world, 50, "a.example").is_some());
        assert_eq!(peer(&mut world, 50, "a.example"), None, "one peer cannot take another's");
        assert!(peer(&mut world, 51, "b.example").is_some());
        assert!(world.0.strangers.is_empty());
        for n in 0..20 {
            world.come(n);
        }
        assert_eq!((world.0.strangers.len(), world.0.callers.len()), (FEW.strangers, 3));
        world.0.leave(first);
        world.0.leave(first);
        assert!(peer(&mut world, 50, "a.example").is_some(), "a slot that is free again");
    }

    #[test]
    fn who_comes_from_where_a_peer_has_come_from_is_displaced_last() {
        let mut world = World::new();
        let peer = world.come(50).0;
        assert!(world.0.recognise(peer, "a.example"));
        world.0.leave(peer);
        let again = world.come(50).0;
        // A flood from everywhere, as fast as can be.
        for n in 1_000..2_000 {
            assert_ne!(world.come(n).1, Some(again));
        }
        assert!(world.0.recognise(again, "a.example"));
    }

    #[test]
    fn who_has_been_displaced_is_nobody_any_more_and_the_rest_is_bounded() {
        let mut world = World::new();
        let (gone, _) = world.come(1);
        for _ in 0..3 {
            world.come(1);
        }
        assert!(!world.0.recognise(gone, "a.example"), "the slot is another's");
        world.0.stays_stranger(gone);
        world.0.leave(gone);
        assert_eq!(world.0.strangers.len(), 3);
        for n in 0..100 {
            let connection = world.come(n).0;
            assert!(world.0.recognise(connection, "a.example"));
            world.0.leave(connection);
        }
        assert_eq!(world.0.sources["a.example"].len(), SOURCES_A_CALLER);
        assert!(world.0.known.is_empty() && world.0.callers.is_empty());
    }
}
