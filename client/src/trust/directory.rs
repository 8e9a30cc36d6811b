//! The way to every document of a network: policy key, directory head, proof. Only what comes by it counts. Pure.

use sotto_crypto::{Address, Document, Domain, Listed, Policy, PolicyPublic, Signed};
use sotto_wire::directory::DirectoryHead;
use sotto_wire::policy::{GroupDocument, MembershipDocument, NetworkDocument};

use crate::core::clock::is_future;
use crate::core::error::{Refusal, StoreError, TrustError};
use crate::store::{DirectoryRecord, MembershipRecord, PolicyRecord, Record as _, Tx};

const HEAD: &str = "directory head";
const NETWORK: &str = "network document";
const GROUP: &str = "security group document";
const MEMBERSHIP: &str = "membership document";
const DAY_MS: u64 = 24 * 3600 * 1000;

/// A network whose directory head has expired: what is known of it is of that time, and nobody knows what has changed since.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StaleNetwork {
    /// Which.
    pub domain: Domain,
    /// Since when (milliseconds since the epoch).
    pub since_ms: u64,
    /// From when on nothing is sent that concerns it, where the own network sets a limit (milliseconds since the epoch).
    pub refused_from_ms: Option<u64>,
}

impl StaleNetwork {
    /// The state of a network whose head is this, where it has expired.
    fn of(head: &DirectoryHead, own: &NetworkDocument, now_ms: u64) -> Option<Self> {
        let since_ms = head.expires_at_ms;
        let days = u64::from(own.refuse_sending_after_days);
        let refused_from_ms = (days > 0).then(|| since_ms.saturating_add(days.saturating_mul(DAY_MS)));
        (since_ms <= now_ms).then(|| Self { domain: head.domain.clone(), since_ms, refused_from_ms })
    }

    /// Nothing is sent where it has lasted for too long.
    fn permit(&self, now_ms: u64) -> Result<(), Refusal> {
        match self.refused_from_ms {
            Some(from_ms) if from_ms <= now_ms => {
                Err(Refusal::DirectoryExpired { domain: self.domain.clone(), since_ms: self.since_ms })
            }
            _ => Ok(()),
        }
    }
}

/// From when what is known of the own network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirectoryTimes {
    /// When the newest directory head that was seen was signed (milliseconds since the epoch).
    pub signed_at_ms: u64,
    /// When there must be a newer one (milliseconds since the epoch).
    pub expires_at_ms: u64,
}

/// The heads that had been seen when a question was asked: its answer must not be older. What is seen while it is on its way does not
/// count, since answers may overtake each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeenHeads(Vec<DirectoryRecord>);

impl SeenHeads {
    pub(crate) fn new(records: Vec<DirectoryRecord>) -> Self {
        Self(records)
    }

    /// The newest of a network under this policy key: another key counts anew.
    fn of(&self, domain: &Domain, key: &PolicyPublic) -> Option<&Signed<DirectoryHead>> {
        let key = key.fingerprint();
        self.0.iter().find(|seen| &seen.domain == domain && seen.policy_key == key).map(|seen| &seen.head)
    }
}

/// The documents of a network, by a head that has been verified.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    head: DirectoryHead,
    record: DirectoryRecord,
}

impl Directory {
    /// Verifies the head that has come with documents of a network. One that has expired counts for who has seen this network before,
    /// who is told; to everybody else the relay could show any moment of the past.
    pub(crate) fn open(
        signed: &Signed<DirectoryHead>,
        key: &PolicyPublic,
        domain: &Domain,
        seen: &SeenHeads,
        now_ms: u64,
    ) -> Result<Self, TrustError> {
        let before = seen.of(domain, key);
        // The signature of the same head has been checked.
        let head = match before {
            Some(known) if known == signed => signed.unverified().map_err(|e| bad(HEAD, domain, e.to_string()))?,
            _ => signed.verify(key).map_err(|e| bad(HEAD, domain, e.to_string()))?,
        };
        if head.version != 1 {
            return Err(newer(HEAD, domain, head.version));
        }
        if &head.domain != domain {
            return Err(bad(HEAD, domain, format!("it is that of {}", head.domain)));
        }
        if is_future(head.created_at_ms, now_ms) {
            return Err(TrustError::Clock { domain: domain.clone(), ahead_ms: head.created_at_ms - now_ms });
        }
        match before.map(Signed::unverified).transpose().map_err(|e| bad(HEAD, domain, e.to_string()))? {
            // Two of one serial are two truths.
            Some(known) if head.serial < known.serial || (head.serial == known.serial && head != known) => {
                return Err(TrustError::Rollback { what: HEAD, domain: domain.clone() });
            }
            None if head.expires_at_ms <= now_ms => {
                return Err(TrustError::Expired { domain: domain.clone(), since_ms: head.expires_at_ms });
            }
            _ => {}
        }
        let record = DirectoryRecord { domain: domain.clone(), policy_key: key.fingerprint(), head: signed.clone() };
        Ok(Self { head, record })
    }

    /// To be kept.
    pub(crate) fn record(&self) -> &DirectoryRecord {
        &self.record
    }

    /// Nothing is sent by documents that have expired for longer than our own network allows.
    pub(crate) fn permit(&self, own: &NetworkDocument, now_ms: u64) -> Result<(), Refusal> {
        StaleNetwork::of(&self.head, own, now_ms).map_or(Ok(()), |stale| stale.permit(now_ms))
    }

    fn read<T: Document<Signer = Policy>>(&self, what: &'static str, listed: &Listed<T>) -> Result<T, TrustError> {
        self.head.read(listed).map_err(|e| bad(what, &self.head.domain, e.to_string()))
    }

    /// The network's document.
    pub(crate) fn network(&self, listed: &Listed<NetworkDocument>) -> Result<NetworkDocument, TrustError> {
        let document = self.read(NETWORK, listed)?;
        self.check(NETWORK, document.version, &document.domain)?;
        Ok(document)
    }

    /// A group's document.
    pub(crate) fn group(&self, listed: &Listed<GroupDocument>) -> Result<GroupDocument, TrustError> {
        let document = self.read(GROUP, listed)?;
        self.check(GROUP, document.version, &document.domain)?;
        Ok(document)
    }

    /// That `address` is in a group, and whose identity it is.
    pub(crate) fn membership(
        &self,
        listed: &Listed<MembershipDocument>,
        address: &Address,
        now_ms: u64,
    ) -> Result<(MembershipRecord, MembershipDocument), TrustError> {
        let document = self.read(MEMBERSHIP, listed)?;
        self.check(MEMBERSHIP, document.version, &document.address.domain())?;
        if &document.address != address {
            let reason = format!("it is that of {}, not of {address}", document.address);
            return Err(bad(MEMBERSHIP, &self.head.domain, reason));
        }
        let record = MembershipRecord {
            address: address.clone(),
            policy_key: self.record.policy_key,
            serial: document.serial,
            group: document.group.clone(),
            seen_at_ms: now_ms,
            name: document.shown_name().map(str::to_owned),
        };
        Ok((record, document))
    }

    fn check(&self, what: &'static str, version: u8, found: &Domain) -> Result<(), TrustError> {
        if version != 1 {
            return Err(newer(what, &self.head.domain, version));
        }
        if found != &self.head.domain {
            return Err(bad(what, &self.head.domain, format!("it is that of {found}")));
        }
        Ok(())
    }
}

/// Keeps a head, unless another process has seen a newer one.
pub(crate) fn put_head(tx: &Tx<'_>, record: &DirectoryRecord) -> Result<(), StoreError> {
    let known = tx.get::<DirectoryRecord>(&record.key())?.filter(|known| known.policy_key == record.policy_key);
    let serial = |record: &DirectoryRecord| record.head.unverified().map_or(0, |head| head.serial);
    if known.is_some_and(|known| serial(&known) >= serial(record)) { Ok(()) } else { tx.put(record) }
}

/// Which of these networks' newest heads have expired.
pub(crate) fn stale(tx: &Tx<'_>, domains: &[Domain], now_ms: u64) -> Result<Vec<StaleNetwork>, StoreError> {
    let Some(policy) = tx.get::<PolicyRecord>(&[])? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for domain in domains {
        let head = tx.get::<DirectoryRecord>(&DirectoryRecord::key_of(domain))?;
        let head = head.and_then(|record| record.head.unverified().ok());
        found.extend(head.and_then(|head| StaleNetwork::of(&head, &policy.network, now_ms)));
    }
    Ok(found)
}

/// The error of a network whose head did not come along.
pub(crate) fn missing_head(domain: &Domain) -> TrustError {
    bad(HEAD, domain, "the relay has left it out".to_owned())
}

/// The error of a network that is written to and whose document did not come along.
pub(crate) fn missing_network(domain: &Domain) -> TrustError {
    bad(NETWORK, domain, "the relay has left it out".to_owned())
}

/// The error of somebody who is written to without a word on their group.
pub(crate) fn missing_membership(address: &Address) -> TrustError {
    bad(MEMBERSHIP, &address.domain(), format!("the relay has left out that of {address}"))
}

/// The group whose document has come must be the one that the user is in.
pub(crate) fn same_group(mine: &str, group: &GroupDocument) -> Result<(), TrustError> {
    if mine == group.name {
        return Ok(());
    }
    let reason = format!("you are in the group {mine}, not in {}", group.name);
    Err(bad(GROUP, &group.domain, reason))
}

/// What cannot be believed of a peer network.
pub(crate) fn bad_network(domain: &Domain, reason: &str) -> TrustError {
    bad(NETWORK, domain, reason.to_owned())
}

fn newer(what: &'static str, domain: &Domain, version: u8) -> TrustError {
    bad(what, domain, format!("version {version} is newer than this program"))
}

fn bad(what: &'static str, domain: &Domain, reason: String) -> TrustError {
    TrustError::Document { what, domain: domain.clone(), reason }
}

#[cfg(test)]
pub(crate) mod tests;
