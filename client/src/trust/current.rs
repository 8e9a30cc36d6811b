//! The documents that this user obeys, as the relay gives them now: verified, compared with what was seen before, kept.

use std::sync::atomic::Ordering;

use super::directory::{Directory, DirectoryTimes, SeenHeads, StaleNetwork, put_head, same_group, stale};
use super::pins::put_membership;
use super::policy::Policy;
use super::state::{Purpose, Trust, UNKNOWN};
use crate::core::clock::now_ms;
use crate::core::error::Error;
use crate::store::{DirectoryRecord, PolicyRecord};

/// For this long (milliseconds) a policy is not fetched again: the relay enforces a newer one anyway.
const POLICY_FRESH_MS: u64 = 15_000;
/// For this long (milliseconds) a policy is good enough to warn by, and a relay that gave none is not asked again.
const POLICY_AT_HAND_MS: u64 = 300_000;

impl Trust {
    pub(crate) async fn policy(&self) -> Result<Policy, Error> {
        let mut held = self.policy.lock().await;
        if let Some((_, policy)) = held.as_ref().filter(|(at, _)| now_ms().abs_diff(*at) < POLICY_FRESH_MS) {
            return Ok(policy.clone());
        }
        let seen = self.heads().await?;
        let answer = self.api.policy().await?;
        let (me, domain, key) = (self.account.address.clone(), self.account.domain(), self.account.policy_key.clone());
        let now = now_ms();
        let directory = Directory::open(&answer.head, &key, &domain, &seen, now)?;
        let (network, group) = (directory.network(&answer.network)?, directory.group(&answer.group)?);
        let (membership, _) = directory.membership(&answer.membership, &me, now)?;
        same_group(&membership.group, &group)?;
        let policy = Policy { network, group, membership_serial: membership.serial };
        let policy = self
            .store
            .run(move |tx| {
                put_head(tx, directory.record())?;
                put_membership(tx, &membership)?;
                let Policy { network, group, membership_serial } = policy.clone();
                let record = PolicyRecord { network, group, membership_serial };
                if tx.get::<PolicyRecord>(&[])?.as_ref() != Some(&record) {
                    tx.put(&record)?;
                }
                Ok(policy)
            })
            .await?;
        self.obey_device_lockout(policy.group.force_device_lockout);
        *held = Some((now_ms(), policy.clone()));
        Ok(policy)
    }

    /// Puts the group's number of wrong passwords beside the store, where it is needed while that is closed.
    fn obey_device_lockout(&self, limit: u32) {
        if self.purpose == Purpose::Person
            && self.device_lockout.swap(limit, Ordering::Relaxed) != limit
            && let Err(error) = self.profile.set_device_lockout(limit)
        {
            self.device_lockout.store(UNKNOWN, Ordering::Relaxed);
            tracing::warn!(%error, "wrong passwords are not counted as the security group asks");
        }
    }

    /// A policy to warn by: one that is minutes old will do, and a relay that gives none does not keep anybody waiting.
    pub(crate) async fn policy_at_hand(&self) -> Result<Option<Policy>, Error> {
        let now = now_ms();
        if let Some((_, policy)) =
            self.policy.lock().await.as_ref().filter(|(at, _)| now.abs_diff(*at) < POLICY_AT_HAND_MS)
        {
            return Ok(Some(policy.clone()));
        }
        if now.abs_diff(self.asked_at_ms.swap(now, Ordering::Relaxed)) >= POLICY_AT_HAND_MS {
            match self.policy().await {
                Ok(policy) => return Ok(Some(policy)),
                Err(Error::Store(error)) => return Err(error.into()),
                Err(error) => tracing::debug!(%error, "no newer policy"),
            }
        }
        let stored = self.store.run(|tx| tx.get::<PolicyRecord>(&[])).await?;
        Ok(stored.as_ref().map(Policy::of_record))
    }

    /// The directory heads that have been seen. What is asked for afterwards must not be older.
    pub(crate) async fn heads(&self) -> Result<SeenHeads, Error> {
        Ok(SeenHeads::new(self.store.list::<DirectoryRecord>().await?))
    }

    /// From when the newest directory head of the own network is, if one was seen.
    pub(crate) async fn directory_times(&self) -> Result<Option<DirectoryTimes>, Error> {
        let domain = self.account.domain();
        let record = self.store.run(move |tx| tx.get::<DirectoryRecord>(&DirectoryRecord::key_of(&domain))).await?;
        let head = record.and_then(|record| record.head.unverified().ok());
        Ok(head.map(|head| DirectoryTimes { signed_at_ms: head.created_at_ms, expires_at_ms: head.expires_at_ms }))
    }

    /// Whether the newest directory head of the own network has expired, as far as is known here.
    pub(crate) async fn stale(&self) -> Result<Option<StaleNetwork>, Error> {
        let domain = self.account.domain();
        Ok(self.store.run(move |tx| stale(tx, &[domain], now_ms())).await?.pop())
    }

    /// The policy as it was last known, however long ago; asked for where it never was. Whoever sends asks again.
    pub(crate) async fn known_policy(&self) -> Result<Policy, Error> {
        if let Some((_, policy)) = self.policy.lock().await.as_ref() {
            return Ok(policy.clone());
        }
        let stored = self.store.run(|tx| tx.get::<PolicyRecord>(&[])).await?;
        match stored.as_ref().map(Policy::of_record) {
            Some(policy) => Ok(policy),
            None => self.policy().await,
        }
    }

    /// Forgets the policy, so that the next question fetches it.
    pub(crate) async fn forget_policy(&self) {
        *self.policy.lock().await = None;
    }
}
