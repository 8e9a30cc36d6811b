//! The directory head of each network: signed anew when a document changes, and at half of its life.
//!
//! What was signed last is remembered by this process alone. A head that it has not signed itself is replaced: after a start of the
//! operator, and where a relay shows another one, as after a restore from a backup. Clients refuse a head that is older than one that
//! they have seen, and nobody but them knows which that was.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sotto_crypto::{Domain, PolicyKey, Signed};
use sotto_wire::admin::{AdminState, PutHead};
use sotto_wire::directory::{Directory, DirectoryHead, HEAD_LIFE_MS};
use sotto_wire::policy::{GroupDocument, MembershipDocument};

use crate::documents::Verified;
use crate::sync::Wanted;

/// How long a head lives, in seconds: for tests, which cannot wait for a day.
const LIFE: &str = "SOTTO_HEAD_LIFE_SECONDS";
/// In seconds: what a pass takes has to fit into half of it, and a client's clock may be five minutes off.
const BOUNDS: std::ops::RangeInclusive<u64> = 4..=604_800;

/// The variable cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the environment variable {LIFE} is `{value}`; write a number of seconds from 4 to 604800, or leave it out: a day"
)]
pub struct BadLife {
    /// As it is set.
    pub(crate) value: String,
}

impl BadLife {
    /// The variable's name.
    pub(crate) const VARIABLE: &'static str = LIFE;
    /// What to do about it.
    pub(crate) const REMEDY: &'static str = "write a number of seconds from 4 to 604800, or leave it out: a day";
}

/// How long heads live, as the environment says.
pub fn life(variable: impl Fn(&str) -> Option<String>) -> Result<Duration, BadLife> {
    let Some(value) = variable(LIFE).filter(|value| !value.is_empty()) else {
        return Ok(Duration::from_millis(HEAD_LIFE_MS));
    };
    match value.parse() {
        Ok(seconds) if BOUNDS.contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err(BadLife { value }),
    }
}

/// There can be no head: the relay holds something that this operator has not signed, and that has to stay.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the relay holds a document of {kind} {name} that the policy key has not signed, and its object cannot be read: no directory head is \
     signed over it, and clients will see that nothing new comes; repair or delete the object"
)]
pub struct NotOurs {
    kind: &'static str,
    name: String,
}

/// The heads that this process has signed, by network.
pub struct Heads {
    life_ms: u64,
    signed: Mutex<HashMap<String, (PutHead, DirectoryHead)>>,
}

impl Heads {
    /// None yet. Each lives for so long.
    pub fn new(life: Duration) -> Self {
        Self { life_ms: u64::try_from(life.as_millis()).unwrap_or(HEAD_LIFE_MS), signed: Mutex::default() }
    }

    /// The head to put over these documents, when one is due; `shown` is the one that the relay has.
    pub fn due(
        &self,
        network: &str,
        domain: &Domain,
        documents: &Directory,
        shown: Option<&PutHead>,
        key: &PolicyKey,
        now_ms: u64,
    ) -> Option<PutHead> {
        let last = self.signed().get(network).cloned();
        if let Some((put, head)) = &last
            && shown == Some(put)
            && documents.is_of(head)
            && now_ms < head.renewal_ms()
        {
            return None;
        }
        let shown = shown.and_then(|put| read(put, key)).map_or(0, |head| head.serial);
        let known = last.map_or(0, |(_, head)| head.serial).max(shown);
        let serial = now_ms.max(known.saturating_add(1));
        let head = documents.head(domain.clone(), serial, now_ms, self.life_ms);
        Some(PutHead { head: Signed::sign(&head, key).to_bytes() })
    }

    /// The relay has taken this head.
    pub fn taken(&self, network: &str, put: &PutHead) {
        if let Ok(head) = Signed::<DirectoryHead>::from_bytes(&put.head).and_then(|signed| signed.unverified()) {
            self.signed().insert(network.to_owned(), (put.clone(), head));
        }
    }

    /// When the head of a network has to be renewed (milliseconds since the epoch).
    pub fn renewal_ms(&self, network: &str) -> Option<u64> {
        self.signed().get(network).map(|(_, head)| head.renewal_ms())
    }

    /// The network is gone.
    pub fn forget(&self, network: &str) {
        self.signed().remove(network);
    }

    fn signed(&self) -> MutexGuard<'_, HashMap<String, (PutHead, DirectoryHead)>> {
        self.signed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A head that this key has signed: what the relay says counts for nothing else.
fn read(put: &PutHead, key: &PolicyKey) -> Option<DirectoryHead> {
    Signed::<DirectoryHead>::from_bytes(&put.head).ok()?.verify(&key.verifying_key()).ok()
}

/// The documents that the relay holds after all calls: those that are wanted, and those that stay as they are because their objects
/// cannot be read (`wanted.untouched`), or that could not be removed (`kept` groups). `None` while there is no network's document.
pub fn documents(
    wanted: &Wanted,
    have: &AdminState,
    kept: &BTreeSet<String>,
    key: &PolicyKey,
    verified: &Verified,
) -> Result<Option<Directory>, NotOurs> {
    let Some(network) = &wanted.network else { return Ok(None) };
    let untouched = &wanted.untouched;
    let mut groups: Vec<(&str, &[u8])> =
        wanted.groups.iter().map(|(name, put)| (name.as_str(), put.document.as_slice())).collect();
    for (name, put) in have.groups.iter().filter(|(name, _)| !wanted.groups.contains_key(*name)) {
        if untouched.everything || untouched.groups.contains(name) || kept.contains(name) {
            let is_ours = verified.read::<GroupDocument>(&put.document, key).is_some_and(|group| group.name == *name);
            groups.push((name, ours(is_ours, "SecurityGroup", name, &put.document)?));
        }
    }
    let mut memberships: Vec<(&str, &[u8])> =
        wanted.users.iter().map(|(local, put)| (local.as_str(), put.membership.as_slice())).collect();
    for (local, user) in have.users.iter().filter(|(local, _)| !wanted.users.contains_key(*local)) {
        if untouched.everything || untouched.users.contains(local) {
            let document = verified.read::<MembershipDocument>(&user.wanted.membership, key);
            let is_ours = document.is_some_and(|document| document.address.local() == local);
            memberships.push((local, ours(is_ours, "User", local, &user.wanted.membership)?));
        }
    }
    let unreadable = |_| NotOurs { kind: "Network", name: String::new() };
    Directory::new(&network.document, groups, memberships).map(Some).map_err(unreadable)
}

fn ours<'a>(is_ours: bool, kind: &'static str, name: &str, document: &'a [u8]) -> Result<&'a [u8], NotOurs> {
    if is_ours { Ok(document) } else { Err(NotOurs { kind, name: name.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use sotto_crypto::{Address, SystemRng};
    use sotto_wire::admin::{PutNetwork, PutUser, Resets, Role, UserState};
    use sotto_wire::policy::{FederationRule, NetworkDocument, ReadReceipts};

    use super::*;
    use crate::sync::Untouched;

    const NOW: u64 = 1_800_000_000_000;

    fn domain() -> Domain {
        Domain::parse("x.example").unwrap()
    }

    fn network(name: &str, key: &PolicyKey) -> PutNetwork {
        let document = NetworkDocument {
            version: 1,
            domain: domain(),
            serial: 1,
            display_name: name.into(),
            retention: Vec::new(),
            federation: FederationRule::default(),
            read_receipts: ReadReceipts::Enabled,
            refuse_sending_after_days: 7,
        };
        PutNetwork { document: Signed::sign(&document, key).to_bytes() }
    }

    fn user(local: &str, key: &PolicyKey) -> PutUser {
        let address = Address::new(local, &domain()).unwrap();
        let (group, role) = ("staff".to_owned(), Role::Person);
        let document = MembershipDocument {
            version: 1,
            serial: 1,
            address,
            group: group.clone(),
            identity: None,
            invite: None,
            devices_from_ms: 0,
        };
        let membership = Signed::sign(&document, key).to_bytes();
        PutUser { group, membership, suspended: false, role, invite: None, reset: Resets::default() }
    }

    fn state(wanted: PutUser) -> UserState {
        UserState {
            wanted,
            registered: false,
            reinvited: false,
            voucher: None,
            locked: false,
            devices: 0,
            queued_messages: 0,
            last_seen_ms: None,
        }
    }

    fn over(name: &str, key: &PolicyKey) -> Directory {
        Directory::new(&network(name, key).document, [], []).unwrap()
    }

    fn head(put: &PutHead, key: &PolicyKey) -> DirectoryHead {
        read(put, key).unwrap()
    }

    #[test]
    fn a_head_is_due_at_first_at_a_change_and_at_half_of_its_life() {
        let key = PolicyKey::generate(&mut SystemRng);
        let heads = Heads::new(Duration::from_secs(100));
        let due =
            |over: &Directory, shown: Option<&PutHead>, now_ms| heads.due("ns/x", &domain(), over, shown, &key, now_ms);
        let acme = over("Acme", &key);
        let first = due(&acme, None, NOW).unwrap();
        let read = head(&first, &key);
        assert_eq!((read.serial, read.created_at_ms, read.expires_at_ms), (NOW, NOW, NOW + 100_000));
        assert!(acme.is_of(&read));
        assert!(due(&acme, None, NOW + 1).is_some(), "not taken, as far as is known");
        heads.taken("ns/x", &first);
        assert_eq!(heads.renewal_ms("ns/x"), Some(NOW + 50_000));
        assert_eq!(due(&acme, Some(&first), NOW + 49_999), None);
        let renewed = due(&acme, Some(&first), NOW + 50_000).unwrap();
        assert_eq!(head(&renewed, &key).serial, NOW + 50_000);
        let changed = due(&over("Acme & Co", &key), Some(&first), NOW + 1).unwrap();
        assert_eq!(head(&changed, &key).serial, NOW + 1);
        // The clock has gone back: serials do not.
        assert_eq!(head(&due(&over("Other", &key), Some(&first), NOW - 9).unwrap(), &key).serial, NOW + 1);
        heads.forget("ns/x");
        assert!(due(&acme, Some(&first), NOW + 1).is_some());
    }

    #[test]
    fn a_head_that_this_process_has_not_signed_last_is_replaced_at_once() {
        let (key, other) = (PolicyKey::generate(&mut SystemRng), PolicyKey::generate(&mut SystemRng));
        let (before, now) = (Heads::new(Duration::from_secs(100)), Heads::new(Duration::from_secs(100)));
        let acme = over("Acme", &key);
        let due =
            |heads: &Heads, shown: Option<&PutHead>, now_ms| heads.due("x", &domain(), &acme, shown, &key, now_ms);
        let old = due(&before, None, NOW).unwrap();
        before.taken("x", &old);
        let newer = due(&before, Some(&old), NOW + 50_000).unwrap();
        before.taken("x", &newer);
        // A relay from a backup: clients have seen the newer one.
        let anew = due(&before, Some(&old), NOW + 60_000).unwrap();
        assert_eq!(head(&anew, &key).serial, NOW + 60_000);
        assert_eq!(head(&due(&before, Some(&old), NOW).unwrap(), &key).serial, NOW + 50_001, "by a clock that is slow");
        // An operator that has just started, and does not know what was signed.
        let anew = due(&now, Some(&newer), NOW + 50_001).unwrap();
        assert_eq!(head(&anew, &key).serial, NOW + 50_001);
        assert_eq!(head(&due(&now, Some(&newer), NOW).unwrap(), &key).serial, NOW + 50_001, "by a clock that is slow");
        // What others have signed counts for nothing.
        let forged = acme.head(domain(), u64::MAX - 1, NOW, 1);
        let forged = PutHead { head: Signed::sign(&forged, &other).to_bytes() };
        assert_eq!(head(&due(&now, Some(&forged), NOW).unwrap(), &key).serial, NOW);
    }

    #[test]
    fn a_head_is_over_what_is_wanted_and_what_has_to_stay_if_it_is_ours() {
        let (key, other) = (PolicyKey::generate(&mut SystemRng), PolicyKey::generate(&mut SystemRng));
        let verified = Verified::default();
        let users = |names: &[&str]| -> Vec<(String, PutUser)> {
            names.iter().map(|name| ((*name).to_owned(), user(name, &key))).collect()
        };
        let mut wanted = Wanted {
            network: Some(network("Acme", &key)),
            users: users(&["alice"]).into_iter().collect(),
            ..Wanted::default()
        };
        let mut have = AdminState {
            users: users(&["alice", "bob", "gone"]).into_iter().map(|(name, put)| (name, state(put))).collect(),
            ..AdminState::default()
        };
        let none = BTreeSet::new();
        let names = |wanted: &Wanted, have: &AdminState| -> Vec<bool> {
            let over = documents(wanted, have, &none, &key, &verified).unwrap().unwrap();
            ["alice", "bob", "gone"].iter().map(|name| over.membership(name).is_some()).collect()
        };
        assert_eq!(names(&wanted, &have), [true, false, false]);
        wanted.untouched = Untouched { users: ["bob".to_owned()].into(), ..Untouched::default() };
        assert_eq!(names(&wanted, &have), [true, true, false]);
        wanted.untouched.everything = true;
        assert_eq!(names(&wanted, &have), [true, true, true]);
        // The relay has made something up of somebody whose object cannot be read, or shows them what is another's.
        for forged in [user("bob", &other), user("alice", &key)] {
            have.users.insert("bob".into(), state(forged));
            let said = documents(&wanted, &have, &none, &key, &verified).unwrap_err().to_string();
            assert!(said.contains("User bob"), "{said}");
        }
        assert!(
            documents(&Wanted::default(), &have, &none, &key, &verified).unwrap().is_none(),
            "no network's document"
        );
    }

    #[test]
    fn a_life_is_a_number_of_seconds() {
        let read = |value: &str| life(|_| Some(value.to_owned()));
        assert_eq!(life(|_| None), Ok(Duration::from_hours(24)));
        assert_eq!(read("60"), Ok(Duration::from_mins(1)));
        for bad in ["1d", "0", "3", "604801", "-5"] {
            assert!(read(bad).unwrap_err().to_string().contains("SOTTO_HEAD_LIFE_SECONDS"), "{bad}");
        }
    }
}
