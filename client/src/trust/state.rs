//! What every layer above stands on: an account with its store, its relay, and what is known of others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use sotto_crypto::Known;
use tokio::sync::{Notify, mpsc};

use super::policy::Policy;
use crate::core::error::Error;
use crate::core::platform::processors;
use crate::store::Store;
use crate::store::account::Account;
use crate::store::profile::Profile;
use crate::transport::api::Api;

/// No number of wrong passwords that a group has.
pub(super) const UNKNOWN: u32 = u32::MAX;

/// What the account is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A person's: what is said is kept here, rooms are followed, wrong passwords are counted.
    Person,
    /// A retention process's: whoever runs it gets all that comes, whatever it is, and keeps it elsewhere.
    Archive,
}

impl Purpose {
    /// Whether messages stay in the local history, and with them all that is shown: conversations, rooms, signals.
    pub(crate) fn keeps_history(self) -> bool {
        self == Self::Person
    }
}

/// What every layer above stands on: the account with its store, its relay, and what is known of others.
pub(crate) struct Trust {
    pub(crate) profile: Profile,
    pub(crate) store: Store,
    pub(crate) account: Arc<Account>,
    pub(crate) api: Api,
    pub(crate) purpose: Purpose,
    /// Certificates and prekey batches that have been verified.
    pub(crate) known: Verified,
    /// The policy, and when it was fetched.
    pub(super) policy: tokio::sync::Mutex<Option<(u64, Policy)>>,
    /// When the relay was last asked for a policy to warn by.
    pub(super) asked_at_ms: AtomicU64,
    /// Who was asked for lately.
    pub(super) asked: Asked,
    /// What was last put beside the store.
    pub(super) device_lockout: AtomicU32,
    /// Something new waits in the outbox.
    pub(crate) news: Notify,
    /// How often the relay was reached anew.
    pub(crate) connections: AtomicU64,
    /// The user has decided about somebody whose messages may have been held back.
    pub(crate) acknowledged: Notify,
    /// Who wants to hear of conversations that have changed.
    listeners: Mutex<Vec<mpsc::UnboundedSender<String>>>,
}

/// Who was asked for lately, and when (milliseconds since the epoch): addresses, and networks that gave no answer. Whoever holds
/// one of them is asking.
#[derive(Default)]
pub(super) struct Asked {
    /// In the own network.
    pub(super) own: tokio::sync::Mutex<HashMap<String, u64>>,
    /// In others.
    pub(super) abroad: tokio::sync::Mutex<HashMap<String, u64>>,
    /// Of whom something is known, and was long ago.
    pub(super) anew: tokio::sync::Mutex<HashMap<String, u64>>,
}

/// What has been verified before, for work on any thread: as many memories as threads may be at it, since opening holds one
/// all the while. Each learns by itself.
#[derive(Clone)]
pub(crate) struct Verified(Arc<Memories>);

/// See [`Verified`].
struct Memories {
    first: Mutex<Known>,
    others: Vec<Mutex<Known>>,
}

impl Default for Verified {
    fn default() -> Self {
        /// More threads than that would each verify anew what the others know.
        const MOST: usize = 4;
        let others = (1..processors().min(MOST)).map(|_| Mutex::default()).collect();
        Self(Arc::new(Memories { first: Mutex::default(), others }))
    }
}

impl Verified {
    /// A memory that nobody is at, or the first when it is free.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Known> {
        // Each holds whole entries only, whoever panicked.
        let mut all = std::iter::once(&self.0.first).chain(&self.0.others);
        let free = all.find_map(|known| match known.try_lock() {
            Ok(known) => Some(known),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        });
        free.unwrap_or_else(|| self.0.first.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Trust {
    pub(crate) fn new(profile: Profile, store: Store, account: Arc<Account>, purpose: Purpose) -> Result<Self, Error> {
        let api = Api::new(account.clone())?;
        Ok(Self {
            profile,
            store,
            account,
            api,
            purpose,
            known: Verified::default(),
            policy: tokio::sync::Mutex::default(),
            asked_at_ms: AtomicU64::new(0),
            asked: Asked::default(),
            device_lockout: AtomicU32::new(UNKNOWN),
            news: Notify::new(),
            connections: AtomicU64::new(0),
            acknowledged: Notify::new(),
            listeners: Mutex::default(),
        })
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

    /// The relay can be reached again: what has failed is worth another try at once.
    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        self.wake();
    }

    /// Something waits in the outbox.
    pub(crate) fn wake(&self) {
        self.news.notify_one();
    }
}
