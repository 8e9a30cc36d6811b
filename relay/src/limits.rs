//! How often something may be asked: token buckets in bounded memory.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

use sotto_crypto::{Address, DeviceId};
use sotto_wire::Source;

use crate::auth::Asker;
use crate::shares::Requester;
use crate::store::Origin;

/// Buckets of one kind that are remembered.
const MAX_BUCKETS: usize = 16_384;
/// Buckets that those share for whom there is none.
const SHARED_BUCKETS: u64 = 1_024;
/// How often full ones are looked for.
const CLEAR_MS: u64 = 1_000;
/// Sources that are remembered of one user.
const SOURCES_A_USER: usize = 4;

/// How many at once, and how many a second after that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) burst: f64,
    pub(crate) per_second: f64,
}

struct Bucket {
    tokens: f64,
    at_ms: u64,
}

impl Bucket {
    fn refill(&mut self, rate: Rate, now_ms: u64) {
        #[expect(clippy::cast_precision_loss, reason = "seconds between two requests")]
        let seconds = now_ms.saturating_sub(self.at_ms) as f64 / 1000.0;
        self.tokens = (self.tokens + seconds * rate.per_second).min(rate.burst);
        self.at_ms = now_ms;
    }
}

/// Buckets of one kind, by a hash of whom they are for (two that collide share one). No bucket is taken from anybody to whom it
/// says something: where all are in use, those who come new share some among them.
pub(crate) struct Buckets {
    rate: Rate,
    hasher: RandomState,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    by_key: HashMap<u64, Bucket>,
    /// By the rest of the hash.
    shared: HashMap<u64, Bucket>,
    /// When full ones were last looked for.
    cleared_ms: Option<u64>,
}

impl Buckets {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, hasher: RandomState::new(), held: Mutex::default() }
    }

    /// Fills one up.
    pub(crate) fn forget(&self, key: &impl Hash) {
        let key = self.hasher.hash_one(key);
        self.held.lock().unwrap_or_else(PoisonError::into_inner).by_key.remove(&key);
    }

    /// Puts back what was taken for something good.
    pub(crate) fn give_back(&self, key: &impl Hash) {
        let key = self.hasher.hash_one(key);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = held.by_key.get_mut(&key) {
            bucket.tokens = (bucket.tokens + 1.0).min(self.rate.burst);
        }
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&self, key: &impl Hash, now_ms: u64) -> bool {
        let key = self.hasher.hash_one(key);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let held = &mut *held;
        let known = held.by_key.contains_key(&key);
        if !known && held.by_key.len() >= MAX_BUCKETS {
            self.make_room(held, now_ms);
        }
        let fresh = Bucket { tokens: self.rate.burst, at_ms: now_ms };
        let bucket = if known || held.by_key.len() < MAX_BUCKETS {
            held.by_key.entry(key).or_insert(fresh)
        } else {
            held.shared.entry(key % SHARED_BUCKETS).or_insert(fresh)
        };
        bucket.refill(self.rate, now_ms);
        let granted = bucket.tokens >= 1.0;
        if granted {
            bucket.tokens -= 1.0;
        }
        granted
    }

    /// Forgets those that are full: they say nothing. Not for each newcomer anew, which would make a flood dear.
    fn make_room(&self, held: &mut Held, now_ms: u64) {
        if held.cleared_ms.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) < CLEAR_MS) {
            return;
        }
        held.cleared_ms = Some(now_ms);
        held.by_key.retain(|_, bucket| {
            bucket.refill(self.rate, now_ms);
            bucket.tokens < self.rate.burst
        });
    }
}

/// Where each user's devices have come from lately. Only who has opened a session gets in, so nobody fills it for others.
#[derive(Default)]
struct Familiar(Mutex<HashMap<Address, VecDeque<Source>>>);

impl Familiar {
    fn has(&self, address: &Address, source: Source) -> bool {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(address).is_some_and(|sources| sources.contains(&source))
    }

    fn saw(&self, address: &Address, source: Source) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sources = held.entry(address.clone()).or_default();
        sources.retain(|known| *known != source);
        sources.push_back(source);
        if sources.len() > SOURCES_A_USER {
            sources.pop_front();
        }
    }
}

/// All limits of the relay. What anybody can ask for counts by where it comes from too, so that nobody uses up somebody else's.
pub(crate) struct RateLimits {
    /// Requests of one device.
    device: Buckets,
    /// Log-ins and registrations of whomever that one source has tried and that have not succeeded.
    source: Buckets,
    /// Attempts to register, by source and address.
    register: Buckets,
    /// New passwords, by address.
    password: Buckets,
    /// Log-ins that have not succeeded, by address and origin: slow, since each may be a guess and brings a lockout nearer.
    login: Buckets,
    /// The same of known origins, whom a flood of unknown ones does not reach here.
    login_known: Buckets,
    /// Requests with a log-in token, by address.
    logged_in: Buckets,
    /// Attempts to open a session, by device and source.
    session: Buckets,
    /// Signals of one device.
    signal: Buckets,
    /// One-time prekeys of one user for one caller: beyond it, the medium-term prekey.
    one_time: Buckets,
    familiar: Familiar,
}

impl RateLimits {
    /// The usual limits.
    pub(crate) fn new() -> Self {
        const LOGIN: Rate = Rate { burst: 5.0, per_second: 0.05 };
        const ENTRANCE: Rate = Rate { burst: 30.0, per_second: 0.5 };
        Self {
            device: Buckets::new(Rate { burst: 2000.0, per_second: 500.0 }),
            source: Buckets::new(Rate { burst: 600.0, per_second: 10.0 }),
            register: Buckets::new(ENTRANCE),
            password: Buckets::new(ENTRANCE),
            login: Buckets::new(LOGIN),
            login_known: Buckets::new(LOGIN),
            logged_in: Buckets::new(Rate { burst: 600.0, per_second: 60.0 }),
            session: Buckets::new(Rate { burst: 200.0, per_second: 20.0 }),
            signal: Buckets::new(Rate { burst: 30.0, per_second: 2.0 }),
            one_time: Buckets::new(Rate { burst: 30.0, per_second: 0.5 }),
            familiar: Familiar::default(),
        }
    }

    pub(crate) fn device(&self, device: DeviceId, now_ms: u64) -> bool {
        self.device.take(&device, now_ms)
    }

    pub(crate) fn register(&self, source: Source, address: &Address, now_ms: u64) -> bool {
        self.source.take(&source, now_ms) && self.register.take(&(source, address), now_ms)
    }

    /// Somebody from there has shown a good invite. A whole office may register in an hour.
    pub(crate) fn invited(&self, source: Source) {
        self.source.give_back(&source);
    }

    pub(crate) fn password(&self, address: &Address, now_ms: u64) -> bool {
        self.password.take(address, now_ms)
    }

    /// As whom somebody who wants to log in to `address` is counted.
    pub(crate) fn origin(&self, asker: &Asker, address: &Address) -> Origin {
        match &asker.caller {
            Some(caller) if caller.address == *address => Origin::device(caller.device),
            Some(_) | None => Origin::source(asker.source, self.familiar.has(address, asker.source)),
        }
    }

    pub(crate) fn login(&self, asker: &Asker, address: &Address, origin: &Origin, now_ms: u64) -> bool {
        let buckets = if origin.known { &self.login_known } else { &self.login };
        let device = asker.caller.as_ref().is_some_and(|caller| caller.address == *address);
        // A device has proven who it is: what others at its source do is not its business.
        (device || self.source.take(&asker.source, now_ms)) && buckets.take(&(address, &origin.key), now_ms)
    }

    /// A log-in from there succeeded.
    pub(crate) fn login_again(&self, source: Source, address: &Address, origin: &Origin) {
        self.source.give_back(&source);
        let buckets = if origin.known { &self.login_known } else { &self.login };
        buckets.forget(&(address, &origin.key));
    }

    pub(crate) fn logged_in(&self, address: &Address, now_ms: u64) -> bool {
        self.logged_in.take(address, now_ms)
    }

    pub(crate) fn session(&self, device: DeviceId, source: Source, now_ms: u64) -> bool {
        self.session.take(&(device, source), now_ms)
    }

    /// A device of this user has proven itself from there.
    pub(crate) fn saw(&self, address: &Address, source: Source) {
        self.familiar.saw(address, source);
    }

    pub(crate) fn signal(&self, device: DeviceId, now_ms: u64) -> bool {
        self.signal.take(&device, now_ms)
    }

    /// How fast, whatever there is: [`crate::shares`] says of how many. A network answers for its users, and could make up any number
    /// of them.
    pub(crate) fn one_time(&self, requester: Requester<'_>, user: &str, now_ms: u64) -> bool {
        let caller = requester.peer.map_or(requester.user.as_str(), |peer| peer.as_str());
        self.one_time.take(&(caller, user), now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_refills() {
        let buckets = Buckets::new(Rate { burst: 2.0, per_second: 1.0 });
        assert!(buckets.take(&"a", 0) && buckets.take(&"a", 0) && !buckets.take(&"a", 0));
        assert!(buckets.take(&"b", 0), "each has its own");
        assert!(!buckets.take(&"a", 999));
        assert!(buckets.take(&"a", 1999));
        assert!(!buckets.take(&"a", 1000), "a clock that goes back gives nothing");
        buckets.give_back(&"a");
        buckets.give_back(&"nobody");
        assert!(buckets.take(&"a", 1000) && !buckets.take(&"a", 1000));
        buckets.forget(&"a");
        buckets.forget(&"nobody");
        buckets.give_back(&"b");
        assert!(buckets.take(&"a", 1000) && buckets.take(&"a", 1000) && !buckets.take(&"a", 1000), "a full one again");
    }

    #[test]
    fn a_flood_of_names_takes_no_bucket_from_anybody_and_memory_is_bounded() {
        let buckets = Buckets::new(Rate { burst: 2.0, per_second: 0.01 });
        assert!(buckets.take(&"alice", 0) && buckets.take(&"alice", 0) && !buckets.take(&"alice", 0));
        assert!(buckets.take(&"bob", 0));
        let mut granted = 0;
        for name in 0..MAX_BUCKETS * 3 {
            granted += usize::from(buckets.take(&name, 0));
        }
        assert!(!buckets.take(&"alice", 0), "hers is empty still");
        assert!(buckets.take(&"bob", 0) && !buckets.take(&"bob", 0), "and his half full");
        let shared = usize::try_from(SHARED_BUCKETS).unwrap();
        assert!(granted <= MAX_BUCKETS + 2 * shared, "{granted}: who comes late shares");
        let held = buckets.held.lock().unwrap();
        assert_eq!((held.by_key.len(), held.shared.len()), (MAX_BUCKETS, shared));
        drop(held);
        // When the flood is over, everybody has an own one again.
        let later = 1_000_000;
        for _ in 0..2 {
            assert!(buckets.take(&"carol", later) && buckets.take(&"dave", later));
        }
        assert!(!buckets.take(&"carol", later));
        assert_eq!(buckets.held.lock().unwrap().by_key.len(), 2);
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn stranger(n: u32) -> Asker {
        Asker { source: std::net::IpAddr::from(n.to_be_bytes()).into(), caller: None }
    }

    #[test]
    fn no_number_of_strangers_holds_up_a_device_or_a_source_that_one_has_come_from() {
        let limits = RateLimits::new();
        let alice = address("alice@a.example");
        let device = DeviceId::from_bytes([7; 16]);
        let caller = crate::auth::Caller { address: alice.clone(), device, group: "staff".into() };
        let home = stranger(1);
        limits.saw(&alice, home.source);
        let login = |asker: &Asker| limits.login(asker, &alice, &limits.origin(asker, &alice), 0);
        for n in 2..60_000 {
            login(&stranger(n));
        }
        assert!(login(&home));
        // Everything from the device's own source too, to whatever names.
        for n in 0..2_000 {
            let name = address(&format!("name{n}@a.example"));
            limits.login(&home, &name, &limits.origin(&home, &name), 0);
        }
        assert!(!login(&home), "that source has had its share");
        let device = Asker { source: home.source, caller: Some(caller) };
        for _ in 0..5 {
            assert!(login(&device));
        }
        assert!(!login(&device), "a device guesses as slowly as anybody");
        assert!(!limits.origin(&device, &address("bob@a.example")).known, "for others it is nobody");
    }

    #[test]
    fn a_users_sources_are_the_latest_few() {
        let familiar = Familiar::default();
        let (alice, bob) = (address("alice@a.example"), address("bob@a.example"));
        for n in [1, 2, 3, 4, 1, 5] {
            familiar.saw(&alice, stranger(n).source);
        }
        let known: Vec<u32> = (0..9).filter(|n| familiar.has(&alice, stranger(*n).source)).collect();
        assert_eq!(known, [1, 3, 4, 5]);
        assert!(!familiar.has(&bob, stranger(1).source));
    }
}
