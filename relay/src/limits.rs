//! How often something may be asked: token buckets in bounded memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

use sotto_crypto::{Address, DeviceId};

/// Buckets of one kind that are remembered. Full ones are forgotten first: they say nothing.
const MAX_BUCKETS: usize = 16_384;

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

/// Buckets of one kind, by a hash of whom they are for (two that collide share one).
pub(crate) struct Buckets {
    rate: Rate,
    hasher: RandomState,
    by_key: Mutex<HashMap<u64, Bucket>>,
}

impl Buckets {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, hasher: RandomState::new(), by_key: Mutex::default() }
    }

    /// Fills one up.
    pub(crate) fn forget(&self, key: &impl Hash) {
        let key = self.hasher.hash_one(key);
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&self, key: &impl Hash, now_ms: u64) -> bool {
        let key = self.hasher.hash_one(key);
        let mut buckets = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&key) {
            self.make_room(&mut buckets, now_ms);
        }
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: self.rate.burst, at_ms: now_ms });
        bucket.refill(self.rate, now_ms);
        let granted = bucket.tokens >= 1.0;
        if granted {
            bucket.tokens -= 1.0;
        }
        granted
    }

    fn make_room(&self, buckets: &mut HashMap<u64, Bucket>, now_ms: u64) {
        buckets.retain(|_, bucket| {
            bucket.refill(self.rate, now_ms);
            bucket.tokens < self.rate.burst
        });
        if buckets.len() >= MAX_BUCKETS {
            // All are in use: somebody is trying out names. Some have to go; which ones, the random hash decides.
            let victims: Vec<u64> = buckets.keys().copied().take(MAX_BUCKETS / 8).collect();
            for victim in victims {
                buckets.remove(&victim);
            }
        }
    }
}

/// All limits of the relay.
pub(crate) struct RateLimits {
    /// Requests of one device.
    device: Buckets,
    /// Attempts to register, and new passwords, by address.
    entrance: Buckets,
    /// Log-ins that have not succeeded, by address: slow, since each may be a guess and brings a lockout nearer.
    login: Buckets,
    /// Requests with a log-in token, by address.
    logged_in: Buckets,
    /// Attempts to open a session, by device.
    session: Buckets,
    /// Signals of one device.
    signal: Buckets,
    /// One-time prekeys of one user for one caller: beyond it, the medium-term prekey.
    one_time: Buckets,
}

impl RateLimits {
    /// The usual limits.
    pub(crate) fn new() -> Self {
        Self {
            device: Buckets::new(Rate { burst: 2000.0, per_second: 500.0 }),
            entrance: Buckets::new(Rate { burst: 30.0, per_second: 0.5 }),
            login: Buckets::new(Rate { burst: 5.0, per_second: 0.05 }),
            logged_in: Buckets::new(Rate { burst: 600.0, per_second: 60.0 }),
            session: Buckets::new(Rate { burst: 200.0, per_second: 20.0 }),
            signal: Buckets::new(Rate { burst: 30.0, per_second: 2.0 }),
            one_time: Buckets::new(Rate { burst: 30.0, per_second: 0.5 }),
        }
    }

    pub(crate) fn device(&self, device: DeviceId, now_ms: u64) -> bool {
        self.device.take(&device, now_ms)
    }

    pub(crate) fn entrance(&self, address: &Address, now_ms: u64) -> bool {
        self.entrance.take(address, now_ms)
    }

    pub(crate) fn login(&self, address: &Address, now_ms: u64) -> bool {
        self.login.take(address, now_ms)
    }

    /// A log-in succeeded, or the administrator has looked at the account.
    pub(crate) fn login_again(&self, address: &Address) {
        self.login.forget(address);
    }

    pub(crate) fn logged_in(&self, address: &Address, now_ms: u64) -> bool {
        self.logged_in.take(address, now_ms)
    }

    pub(crate) fn session(&self, device: DeviceId, now_ms: u64) -> bool {
        self.session.take(&device, now_ms)
    }

    pub(crate) fn signal(&self, device: DeviceId, now_ms: u64) -> bool {
        self.signal.take(&device, now_ms)
    }

    /// `caller` is an address of this network, or another network as a whole: that one answers for its users, and could
    /// make up any number of them.
    pub(crate) fn one_time(&self, caller: &str, user: &str, now_ms: u64) -> bool {
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
        buckets.forget(&"a");
        buckets.forget(&"nobody");
        assert!(buckets.take(&"a", 1000) && buckets.take(&"a", 1000) && !buckets.take(&"a", 1000), "a full one again");
    }

    #[test]
    fn memory_is_bounded() {
        let buckets = Buckets::new(Rate { burst: 2.0, per_second: 1.0 });
        for name in 0..MAX_BUCKETS * 3 {
            buckets.take(&name, 0);
        }
        assert!(buckets.by_key.lock().unwrap().len() <= MAX_BUCKETS);
    }
}
