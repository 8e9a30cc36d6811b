//! The handle: opens a profile, answers questions about it. Sending is in `send.rs`, receiving in `receiver.rs`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};

use sotto_crypto::{
    Address, DeviceId, Domain, Fingerprint, IdentityPublic, Known, SafetyNumber, safety_number, verify_device,
};
use sotto_wire::api::DeviceEntry;
use sotto_wire::content::Conversation;
use tokio::sync::{Mutex, mpsc};

use crate::account::Account;
use crate::api::Api;
use crate::clock::now_ms;
use crate::error::{Error, ProfileError, Refusal, StoreError, TrustError};
use crate::identity::{TrustState, judge};
use crate::policy::{self, Policy};
use crate::prekeys;
use crate::profile::{Profile, Unlock};
use crate::pump::Pumping;
use crate::registration::{self, JoinOptions, ServiceAccount, account_of, open_store};
use crate::replace;
use crate::rooms::Rooms;
use crate::signals::Signals;
use crate::store::{
    AccountRecord, ConversationRecord, MembershipRecord, Pin, PolicyRecord, Record as _, Serials, Store, StoredMessage,
    Tx,
};

/// A client on one profile. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) profile: Profile,
    pub(crate) store: Store,
    pub(crate) account: Arc<Account>,
    pub(crate) api: Api,
    /// Certificates and prekey batches that have been verified.
    pub(crate) known: Verified,
    /// Whether messages stay in the local history.
    pub(crate) keep: bool,
    /// The policy, and when it was fetched.
    policy: Mutex<Option<(u64, Policy)>>,
    /// When the relay was last asked for a policy to warn by.
    asked_at_ms: AtomicU64,
    /// What was last put beside the store.
    device_lockout: AtomicU32,
    pub(crate) pumping: Pumping,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) signals: Signals,
    /// Who wants to hear of conversations that have changed.
    listeners: std::sync::Mutex<Vec<mpsc::UnboundedSender<String>>>,
}

/// What has been verified before, for work on any thread.
#[derive(Clone, Default)]
pub(crate) struct Verified(Arc<std::sync::Mutex<Known>>);

impl Verified {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Known> {
        // It holds whole entries only, whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No number of wrong passwords that a group has.
const UNKNOWN: u32 = u32::MAX;
/// For this long (milliseconds) a policy is not fetched again: the relay enforces a newer one anyway.
const POLICY_FRESH_MS: u64 = 15_000;
/// For this long (milliseconds) a policy is good enough to warn by, and a relay that gave none is not asked again.
const POLICY_AT_HAND_MS: u64 = 300_000;
/// A known membership is written anew when it was last seen this long (milliseconds) ago.
const MEMBERSHIP_NOTED_MS: u64 = 3_600_000;

/// Who this profile is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WhoAmI {
    /// The user.
    pub address: Address,
    /// The network.
    pub network: Domain,
    /// This device.
    pub device: DeviceId,
    /// Name of this device for people.
    pub label: String,
    /// The relay's URL.
    pub relay: String,
    /// Fingerprint of the user's identity.
    pub fingerprint: Fingerprint,
    /// Fingerprint of this device's key.
    pub device_fingerprint: Fingerprint,
    /// Fingerprint of the network's policy key.
    pub policy_key: Fingerprint,
}

/// One of the user's devices.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Its id.
    pub device: DeviceId,
    /// Name for people.
    pub label: String,
    /// Fingerprint of its key.
    pub fingerprint: Fingerprint,
    /// When its certificate was made (milliseconds since the epoch).
    pub created_at_ms: u64,
    /// When it last opened a session (milliseconds since the epoch).
    pub last_seen_ms: Option<u64>,
    /// Whether it is this one.
    pub this: bool,
    /// Whether it stands under the user's identity. One that does not is not the user's: the relay made it up.
    pub genuine: bool,
}

/// What is known of somebody's identity.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Contact {
    /// Who.
    pub address: Address,
    /// Fingerprint of the identity that counts.
    pub fingerprint: Fingerprint,
    /// To compare with them.
    pub safety_number: SafetyNumber,
    /// How far it is known.
    pub state: TrustState,
    /// Since when it counts (milliseconds since the epoch).
    pub since_ms: u64,
    /// The safety number with the identity that was shown since, where it has changed.
    pub new_safety_number: Option<SafetyNumber>,
}

impl Client {
    /// Registers by an invite and makes the profile. An interrupted join is run again with the same options.
    pub async fn join(options: JoinOptions) -> Result<Self, Error> {
        if options.replace {
            return replace::join_in_place(options).await;
        }
        registration::join(options).await
    }

    /// Opens the profile of a service account, and registers it before where it has to be. What it receives is not
    /// kept in the local history.
    pub async fn service(account: ServiceAccount) -> Result<Self, Error> {
        registration::service(account).await
    }

    /// Opens a profile. Does not talk to the relay.
    pub async fn open(profile: impl Into<PathBuf>, unlock: Unlock) -> Result<Self, Error> {
        let profile = Profile::at(profile);
        let store = open_store(&profile, unlock).await?;
        let now = now_ms();
        let record = store.run(move |tx| prekeys::tidy(tx, now).and_then(|()| tx.get::<AccountRecord>(&[]))).await?;
        match record {
            Some(record) if record.complete => {
                let account = Arc::new(account_of(&record)?);
                Self::assemble(profile, store, account, true)
            }
            _ => Err(ProfileError::Unfinished(profile.dir().to_owned()).into()),
        }
    }

    pub(crate) fn assemble(profile: Profile, store: Store, account: Arc<Account>, keep: bool) -> Result<Self, Error> {
        let api = Api::new(account.clone())?;
        Ok(Self {
            inner: Arc::new(Inner {
                profile,
                store,
                account,
                api,
                keep,
                known: Verified::default(),
                policy: Mutex::new(None),
                asked_at_ms: AtomicU64::new(0),
                device_lockout: AtomicU32::new(UNKNOWN),
                pumping: Pumping::default(),
                rooms: Arc::default(),
                signals: Signals::default(),
                listeners: std::sync::Mutex::default(),
            }),
        })
    }

    /// The user's address.
    pub fn address(&self) -> &Address {
        &self.inner.account.address
    }

    /// This device.
    pub fn device(&self) -> DeviceId {
        self.inner.account.device
    }

    /// Who this profile is.
    pub fn whoami(&self) -> WhoAmI {
        let account = &self.inner.account;
        WhoAmI {
            address: account.address.clone(),
            network: account.domain(),
            device: account.device,
            label: account.label.clone(),
            relay: account.endpoint.url.clone(),
            fingerprint: account.identity.fingerprint(),
            device_fingerprint: account.device_key.verifying_key().fingerprint(),
            policy_key: account.policy_key.fingerprint(),
        }
    }

    /// The user's devices, as the relay has them, checked against the user's identity.
    pub async fn devices(&self) -> Result<Vec<DeviceInfo>, Error> {
        let list = self.inner.api.devices().await?;
        Ok(list.devices.iter().filter_map(|entry| self.device_info(entry)).collect())
    }

    fn device_info(&self, entry: &DeviceEntry) -> Option<DeviceInfo> {
        let account = &self.inner.account;
        let claimed = entry.certificate.unverified().ok()?;
        let genuine =
            claimed.address == account.address && verify_device(&account.identity, &entry.certificate).is_ok();
        Some(DeviceInfo {
            device: claimed.device,
            label: entry.label.clone(),
            fingerprint: claimed.key.fingerprint(),
            created_at_ms: claimed.created_at_ms,
            last_seen_ms: entry.last_seen_ms,
            this: claimed.device == account.device,
            genuine,
        })
    }

    /// The policy that this user obeys, verified under the pinned policy key, and not older than any seen before.
    pub async fn policy(&self) -> Result<Policy, Error> {
        self.inner.policy().await
    }

    /// Whether what is said in this conversation is retained: by our own policy, or as the last message in it showed.
    pub async fn is_retained(&self, conversation: &Conversation) -> Result<bool, Error> {
        let policy = self.policy().await?;
        if policy.network.retention_for(&policy.group.name).next().is_some() {
            return Ok(true);
        }
        let id = conversation.id();
        let known = self.inner.store.run(move |tx| tx.get::<ConversationRecord>(&[id.into_bytes()])).await?;
        Ok(known.is_some_and(|c| c.retained))
    }

    /// The last messages of the local history, oldest first: of one conversation, or of all.
    pub async fn history(&self, conversation: Option<&Conversation>, limit: u32) -> Result<Vec<StoredMessage>, Error> {
        let id = conversation.map(Conversation::id);
        let now = now_ms();
        self.inner.store.run(move |tx| prekeys::tidy(tx, now).and_then(|()| tx.history(id.as_deref(), limit))).await
    }

    /// Everybody whose identity is pinned, by address.
    pub async fn contacts(&self) -> Result<Vec<Contact>, Error> {
        let mut pins = self.inner.store.list::<Pin>().await?;
        pins.sort_by(|a, b| a.address.cmp(&b.address));
        Ok(pins.iter().map(|pin| self.contact(pin)).collect())
    }

    /// Asks the relay for somebody's identity, compares it with the pin (or pins it), and gives what to compare.
    pub async fn identity(&self, address: &Address) -> Result<Contact, Error> {
        let account = &self.inner.account;
        let answer = self.inner.api.identities(vec![address.clone()]).await?;
        let found = answer.identities.into_iter().find(|(a, _)| a == address);
        let (_, shown) = found.ok_or_else(|| Refusal::NoIdentity(address.clone()))?;
        if address == &account.address && shown != account.identity {
            return Err(TrustError::OwnIdentity.into());
        }
        let (who, now) = (address.clone(), now_ms());
        let pin = self
            .inner
            .store
            .run(move |tx| {
                let known: Option<Pin> = tx.get(&pin_key(&who))?;
                let judgement = judge(known.as_ref(), &who, &shown, now);
                judgement.pin.iter().try_for_each(|pin| tx.put(pin))?;
                Ok(judgement.pin.or(known))
            })
            .await?;
        pin.map(|pin| self.contact(&pin)).ok_or(Error::Internal("no pin after judging an identity"))
    }

    /// Marks somebody as verified: the user has compared the safety number of `compared`, and it is the same. Refused when
    /// another identity counts by now: it is not the one that was compared.
    pub async fn mark_verified(&self, compared: &Contact) -> Result<Contact, Error> {
        let fingerprint = compared.fingerprint;
        self.change_pin(&compared.address, move |pin| {
            if pin.state() == TrustState::Changed {
                return Err(TrustError::IdentityChanged(pin.address.clone()).into());
            }
            if pin.identity.fingerprint() != fingerprint {
                return Err(TrustError::NotTheCompared(pin.address.clone()).into());
            }
            Ok(Pin { verified: true, ..pin.clone() })
        })
        .await
    }

    /// Takes the mark away.
    pub async fn unmark_verified(&self, address: &Address) -> Result<Contact, Error> {
        self.change_pin(address, |pin| Ok(Pin { verified: false, shown: None, ..pin.clone() })).await
    }

    /// Accepts the new identity of somebody who was verified: pinned from now on, and not verified.
    pub async fn accept_change(&self, address: &Address) -> Result<Contact, Error> {
        let now = now_ms();
        self.change_pin(address, move |pin| {
            pin.accept(now).ok_or_else(|| Refusal::NotChanged(pin.address.clone()).into())
        })
        .await
    }

    async fn change_pin(
        &self,
        address: &Address,
        change: impl FnOnce(&Pin) -> Result<Pin, Error> + Send + 'static,
    ) -> Result<Contact, Error> {
        let who = address.clone();
        let pin = self
            .inner
            .store
            .run(move |tx| {
                let Some(pin) = tx.get::<Pin>(&pin_key(&who))? else {
                    return Ok(Err(Refusal::NoIdentity(who).into()));
                };
                let changed = change(&pin);
                if let Ok(pin) = &changed {
                    tx.put(pin)?;
                }
                Ok(changed)
            })
            .await??;
        Ok(self.contact(&pin))
    }

    fn contact(&self, pin: &Pin) -> Contact {
        let account = &self.inner.account;
        let number = |theirs: &IdentityPublic| safety_number(&account.address, &account.identity, &pin.address, theirs);
        Contact {
            address: pin.address.clone(),
            fingerprint: pin.identity.fingerprint(),
            safety_number: number(&pin.identity),
            state: pin.state(),
            since_ms: pin.since_ms,
            new_safety_number: pin.shown.as_ref().map(number),
        }
    }
}

/// The store's key of the pin of `address`.
pub(crate) fn pin_key(address: &Address) -> [Vec<u8>; 1] {
    [address.as_str().as_bytes().to_vec()]
}

/// Stores a pin, unless another process has verified the same identity meanwhile.
pub(crate) fn put_pin(tx: &Tx<'_>, pin: &Pin) -> Result<(), StoreError> {
    let now: Option<Pin> = tx.get(&pin_key(&pin.address))?;
    if now.is_some_and(|now| now.verified && !pin.verified && now.identity == pin.identity) {
        return Ok(());
    }
    tx.put(pin)
}

/// Stores what is known of somebody's group, unless another process has seen something newer; not for every message.
pub(crate) fn put_membership(tx: &Tx<'_>, membership: &MembershipRecord) -> Result<(), StoreError> {
    let known: Option<MembershipRecord> = tx.get(&membership.key())?;
    let current = known.is_some_and(|known| {
        let newer = known.policy_key == membership.policy_key && known.serial > membership.serial;
        let same = MembershipRecord { seen_at_ms: membership.seen_at_ms, ..known.clone() } == *membership;
        newer || same && membership.seen_at_ms < known.seen_at_ms.saturating_add(MEMBERSHIP_NOTED_MS)
    });
    if current { Ok(()) } else { tx.put(membership) }
}

impl Inner {
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
                let seen = tx.get::<MembershipRecord>(&[me.as_str().as_bytes().to_vec()])?;
                let checked = policy::network(&answer.network, &key, &domain, &mut serials).and_then(|network| {
                    let group = policy::group(&answer.group, &key, &domain, &mut serials)?;
                    let membership = policy::membership(&answer.membership, &key, &me, seen.as_ref(), now)?;
                    policy::same_group(&membership, &group)?;
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
        if self.keep
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
                let known = addresses.iter().map(|a| tx.get::<MembershipRecord>(&pin_key(a)));
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

    /// Hears of conversations that have changed.
    pub(crate) fn listen(&self) -> mpsc::UnboundedReceiver<String> {
        let (told, changes) = mpsc::unbounded_channel();
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(told);
        changes
    }

    /// What is shown of a conversation has changed.
    pub(crate) fn changed(&self, conversation: &str) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.send(conversation.to_owned()).is_ok());
    }

    /// Forgets the policy, so that the next question fetches it.
    pub(crate) async fn forget_policy(&self) {
        *self.policy.lock().await = None;
    }

    /// The pins of these people.
    pub(crate) async fn pins(&self, addresses: Vec<Address>) -> Result<Vec<Pin>, Error> {
        self.store
            .run(move |tx| {
                let pins = addresses.iter().map(|a| tx.get::<Pin>(&pin_key(a))).collect::<Result<Vec<_>, _>>()?;
                Ok(pins.into_iter().flatten().collect())
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_pin_is_that_of_its_record() {
        let pin = crate::store::tests::pin("bob", false);
        assert_eq!(pin.key(), pin_key(&pin.address));
    }
}
