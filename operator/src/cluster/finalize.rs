//! Finalizers of users and retention policies: the relay has accounts of them. A deletion always ends.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::timeout;

use super::context::{API_TIMEOUT, Context, is_gone, words};
use super::labels::FINALIZER;

/// How long a deletion waits for a relay that does not answer. What the relay then still has is removed when it answers again.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// What the relay says of the account of an object that is being deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// There is no such network, or it is being deleted, or has no relay: nothing to wait for.
    NoRelay,
    /// The relay has it no more.
    Removed,
    /// The relay still has it, or does not answer.
    Unknown,
}

/// Whether the object may go now.
pub(super) fn may_go(account: Account, deleted_at: Timestamp, now: Timestamp) -> bool {
    match account {
        Account::NoRelay | Account::Removed => true,
        Account::Unknown => now.duration_since(deleted_at) > PATIENCE,
    }
}

impl Context {
    /// Sees to it that the object has our finalizer, or has it no more.
    pub(super) async fn finalizer<K>(&self, object: &K, wanted: bool) -> Result<(), String>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let has = object.finalizers().iter().any(|f| f == FINALIZER);
        if has == wanted {
            return Ok(());
        }
        let mut finalizers = object.finalizers().to_vec();
        if wanted {
            finalizers.push(FINALIZER.to_owned());
        } else {
            finalizers.retain(|f| f != FINALIZER);
        }
        let namespace = object.namespace().unwrap_or_default();
        // With the version that was read, so that nobody else's finalizer is lost.
        let patch = json!({"metadata": {"resourceVersion": object.resource_version(), "finalizers": finalizers}});
        let api = self.api::<K>(&namespace);
        match timeout(API_TIMEOUT, api.patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if is_gone(&error) => Ok(()),
            Ok(Err(error)) => Err(words(&error)),
            Err(_) => Err("the API server has not answered in time".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deletion_always_ends() {
        let at = |s| Timestamp::from_second(s).unwrap();
        assert!(may_go(Account::NoRelay, at(100), at(100)));
        assert!(may_go(Account::Removed, at(100), at(100)));
        assert!(!may_go(Account::Unknown, at(100), at(110)));
        assert!(may_go(Account::Unknown, at(100), at(131)));
    }
}
