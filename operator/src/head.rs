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
