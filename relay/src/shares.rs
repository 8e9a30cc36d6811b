//! Who may take how many of a device's one-time prekeys, so that nobody takes those that others need.
//!
//! What counts is what was taken since the device last brought some. Who has taken many leaves many: a user's share is a
//! quarter of what is there, and the next one's a quarter of what is left then; the last ones are for those who have taken
//! none. A peer network answers for its users, and could make up any number of them: it has one share as a whole, half of
//! what is there, and each of its users has one of that.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use sotto_crypto::{Address, DeviceId, Domain};

/// A user leaves this many for each that they have taken.
const LEFT_BY_A_USER: u32 = 3;
/// A network leaves this many for each that it has taken.
const LEFT_BY_A_NETWORK: u32 = 1;

/// Who asks for prekeys.
#[derive(Clone, Copy)]
pub(crate) struct Requester<'a> {
    /// The user.
    pub(crate) user: &'a Address,
    /// Their network, where it is another one, as which it has proven itself; the user is then whom it names.
    pub(crate) peer: Option<&'a Domain>,
}

/// How many of each device's prekeys were taken, by a hash of who has (two that collide share). No more entries than there are
/// prekeys that were handed out, so nobody makes it grow for others.
#[derive(Default)]
pub(crate) struct Shares {
    hasher: RandomState,
    taken: Mutex<HashMap<DeviceId, HashMap<u64, u32>>>,
}

impl Shares {
    /// Takes one. Gives how many have to be left behind: it is to be given back where there are no more than that.
    pub(crate) fn take(&self, device: DeviceId, requester: Requester<'_>) -> u32 {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let by = taken.entry(device).or_default();
        let mut leave = 0;
        for (key, left) in self.keys(requester).into_iter().flatten() {
            let count = by.entry(key).or_default();
            leave = leave.max(count.saturating_mul(left));
            *count = count.saturating_add(1);
        }
        leave
    }

    /// Puts back one that was not had.
    pub(crate) fn give_back(&self, device: DeviceId, requester: Requester<'_>) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(by) = taken.get_mut(&device) else { return };
        for (key, _) in self.keys(requester).into_iter().flatten() {
            if let Some(count) = by.get_mut(&key) {
                *count = count.saturating_sub(1);
            }
        }
        by.retain(|_, count| *count > 0);
        if by.is_empty() {
            taken.remove(&device);
        }
    }

    /// The device has brought new ones, or is gone.
    pub(crate) fn forget(&self, device: DeviceId) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&device);
    }

    fn keys(&self, Requester { user, peer }: Requester<'_>) -> [Option<(u64, u32)>; 2] {
        let network = peer.map(|peer| (self.hasher.hash_one((0u8, peer.as_str())), LEFT_BY_A_NETWORK));
        [network, Some((self.hasher.hash_one((1u8, user.as_str())), LEFT_BY_A_USER))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DeviceId = DeviceId::from_bytes([1; 16]);

    /// As many as this one gets of so many that are left.
    fn drain(shares: &Shares, left: &mut u32, requester: Requester<'_>) -> u32 {
        let mut got = 0;
        loop {
            if *left <= shares.take(DEVICE, requester) {
                shares.give_back(DEVICE, requester);
                return got;
            }
            *left -= 1;
            got += 1;
        }
    }

    #[test]
    fn whoever_drains_leaves_most_and_the_last_are_for_who_has_taken_none() {
        let (shares, mut left) = (Shares::default(), 64);
        let users: Vec<Address> = (0..64).map(|n| Address::parse(&format!("u{n}@a.example")).unwrap()).collect();
        let got: Vec<u32> =
            users.iter().map(|user| drain(&shares, &mut left, Requester { user, peer: None })).collect();
        assert_eq!(got[..6], [16, 12, 9, 7, 5, 4]);
        assert!(got[..13].iter().all(|n| *n > 0) && left == 0, "{got:?}");
        // Whoever comes again gets nothing until the device has brought more.
        let first = Requester { user: &users[0], peer: None };
        left = 16;
        assert_eq!(drain(&shares, &mut left, first), 0);
        shares.forget(DEVICE);
        assert_eq!(drain(&shares, &mut left, first), 4);
    }

    #[test]
    fn a_network_that_makes_users_up_takes_half_and_nobody_makes_the_memory_grow() {
        let (shares, mut left) = (Shares::default(), 64);
        let peer = Domain::parse("b.example").unwrap();
        let mut got = 0;
        for n in 0..1_000 {
            let user = Address::parse(&format!("u{n}@b.example")).unwrap();
            got += drain(&shares, &mut left, Requester { user: &user, peer: Some(&peer) });
        }
        assert_eq!((got, left), (32, 32));
        let entries = shares.taken.lock().unwrap()[&DEVICE].len();
        assert!(entries <= 33, "{entries}");
        let alice = Address::parse("alice@a.example").unwrap();
        assert_eq!(drain(&shares, &mut left, Requester { user: &alice, peer: None }), 8);
    }
}
