//! The documents that this user obeys, as the relay gives them now: verified, compared with what was seen before, kept.

use std::sync::atomic::Ordering;

use sotto_crypto::Address;

use super::pins::put_membership;
use super::policy::{self, Policy};
use super::state::{Purpose, Trust, UNKNOWN};
use crate::core::clock::now_ms;
use crate::core::error::Error;
use crate::store::{MembershipRecord, PolicyRecord, Serials};

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
        let answer = self.api.policy().await?;
        let (me, domain, key) = (self.account.address.clone(), self.account.domain(), self.account.policy_key.clone());
        let now = now_ms();
        // Read, compared and written in one transaction: another process cannot set the serial back in between.
        let policy = self
            .store
            .run(move |tx| {
                let known = tx.get::<Serials>(&[domain.as_str().as_bytes().to_vec()])?;
                let mut serials = policy::serials_for(known, &domain, &key);
                let seen = tx.get::<MembershipRecord>(&MembershipRecord::key_of(&me))?;
                let checked = policy::network(&answer.network, &key, &domain, &mut serials).and_then(|network| {
                    let group = policy::group(&answer.group, &key, &domain, &mut serials)?;
                    let (membership, _) = policy::membership(&answer.membership, &key, &me, seen.as_ref(), now)?;
                    policy::same_group(&membership.group, &group)?;
                    Ok((Policy { network, group, membership_serial: membership.serial }, membership))
                });
                let (policy, membership) = match checked {
                    Ok(checked) => checked,
                    Err(error) => return Ok(Err(error)),
                };
                tx.put(&serials)?;
                put_membership(tx, &membership)?;
                let record =
                    PolicyRecord { network: answer.network, group: answer.group, membership: answer.membership };
                if tx.get::<PolicyRecord>(&[])?.as_ref() != Some(&record) {
                    tx.put(&record)?;
                }
                Ok(Ok(policy))
            })
            .await??;
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
        Ok(stored.as_ref().and_then(Policy::of_record))
    }

    /// What is known of the groups of these people.
    pub(crate) async fn memberships(&self, addresses: Vec<Address>) -> Result<Vec<MembershipRecord>, Error> {
        self.store
            .run(move |tx| {
                let known = addresses.iter().map(|a| tx.get::<MembershipRecord>(&MembershipRecord::key_of(a)));
                Ok(known.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
            })
            .await
    }

    /// The policy as it was last known, however long ago; asked for where it never was. Whoever sends asks again.
    pub(crate) async fn known_policy(&self) -> Result<Policy, Error> {
        if let Some((_, policy)) = self.policy.lock().await.as_ref() {
            return Ok(policy.clone());
        }
        let stored = self.store.run(|tx| tx.get::<PolicyRecord>(&[])).await?;
        match stored.as_ref().and_then(Policy::of_record) {
            Some(policy) => Ok(policy),
            None => self.policy().await,
        }
    }

    /// Forgets the policy, so that the next question fetches it.
    pub(crate) async fn forget_policy(&self) {
        *self.policy.lock().await = None;
    }
}
