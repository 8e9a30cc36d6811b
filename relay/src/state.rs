//! What every request can reach.

use std::sync::Arc;
use std::time::Duration;

use sotto_crypto::{Address, Domain, PolicyPublic};
use tokio_util::task::TaskTracker;

use crate::blobs::BlobFiles;
use crate::clock::Clock;
use crate::directory::{Shown, ShownCell};
use crate::error::Reply;
use crate::gateway::Gateway;
use crate::limits::RateLimits;
use crate::opaque::Opaque;
use crate::policy::{Policy, PolicyCell};
use crate::registry::Registry;
use crate::shares::Shares;
use crate::store::{Store, StoreError};
use crate::token::Tokens;
use crate::uploads::Uploads;

/// The relay.
pub(crate) struct App {
    /// Its network.
    pub(crate) domain: Domain,
    /// The key that documents have to be signed by.
    pub(crate) policy_key: PolicyPublic,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) policy: PolicyCell,
    /// The documents as clients are shown them.
    pub(crate) shown: ShownCell,
    /// Held by who changes documents: a head is compared with all of them.
    pub(crate) putting: tokio::sync::Mutex<()>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tokens: Tokens,
    pub(crate) opaque: Opaque,
    pub(crate) registry: Arc<Registry>,
    pub(crate) limits: RateLimits,
    /// Of one-time prekeys.
    pub(crate) shares: Shares,
    pub(crate) blobs: BlobFiles,
    /// Towards other networks; `None` when this one has no gateway.
    pub(crate) gateway: Option<Gateway>,
    /// Uploads that are under way.
    pub(crate) uploads: Arc<Uploads>,
    /// Bytes that one user's attachments may take together.
    pub(crate) blob_quota: u64,
    /// How long a request for an empty slot of a link waits.
    pub(crate) link_wait: Duration,
    /// Sockets and other work that outlives its request.
    pub(crate) tasks: TaskTracker,
}

/// As handlers get it.
pub(crate) type Shared = Arc<App>;

impl App {
    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// The documents at this moment.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.policy.current()
    }

    /// Reads the documents again.
    pub(crate) async fn reload_policy(&self) -> Result<(), StoreError> {
        let stored = self.store.policy().await?;
        let policy = Policy::decode(&stored).map_err(|_| StoreError::Corrupt("a policy document"))?;
        self.policy.replace(policy);
        Ok(())
    }

    /// The documents as clients are shown them.
    pub(crate) fn shown(&self) -> Reply<Arc<Shown>> {
        self.shown.current()
    }

    /// Reads head and documents again.
    pub(crate) async fn reload_shown(&self) -> Result<(), StoreError> {
        let stored = self.store.directory_as_put().await?;
        let shown = stored.map(|stored| Shown::decode(&stored)).transpose();
        self.shown.replace(shown.map_err(|_| StoreError::Corrupt("a document under the directory head"))?.flatten());
        Ok(())
    }

    /// The address of a user of this network.
    pub(crate) fn address(&self, local: &str) -> Reply<Address> {
        Address::new(local, &self.domain)
            .map_err(|error| crate::error::Failure::internal("a stored name is no address", &error))
    }

    /// Whether an address belongs to this network.
    pub(crate) fn is_own(&self, address: &Address) -> bool {
        address.domain_str() == self.domain.as_str()
    }
}
