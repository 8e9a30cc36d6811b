//! Finalizers of users and retention policies: the relay has accounts of them. A deletion always ends.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::DeserializeGuard;
use serde_json::json;
use tokio::time::timeout;

use super::context::{API_TIMEOUT, Context, is_gone, words};
use super::index::Index;
use super::kept::{Belongs, Holds};
use super::labels::{FINALIZER, ORPHAN};
use crate::failpoint;

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

/// Whether somebody wants the object gone whatever the relay has of it.
pub(super) fn is_orphaned(meta: &ObjectMeta) -> bool {
    meta.annotations.as_ref().and_then(|all| all.get(ORPHAN)).is_some_and(|value| value == "true")
}

/// Whether the object may go now.
pub(super) fn may_go(account: Account, deleted_at: Timestamp, now: Timestamp) -> bool {
    match account {
        Account::NoRelay | Account::Removed => true,
        Account::Unknown => now.duration_since(deleted_at) > PATIENCE,
    }
}

impl Context {
    /// Sees to it that the object has our finalizer, or has it no more. It need not be readable as its kind.
    pub(super) async fn finalizer<K, T>(&self, index: &Index<T>, meta: &ObjectMeta, wanted: bool) -> Result<(), String>
    where
        K: Belongs + serde::de::DeserializeOwned,
        T: Holds<K>,
    {
        let mut finalizers = meta.finalizers.clone().unwrap_or_default();
        if finalizers.iter().any(|f| f == FINALIZER) == wanted {
            return Ok(());
        }
        if wanted {
            finalizers.push(FINALIZER.to_owned());
        } else {
            finalizers.retain(|f| f != FINALIZER);
        }
        let (namespace, name) =
            (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
        // With the version that was read, so that nobody else's finalizer is lost.
        let patch = json!({"metadata": {"resourceVersion": meta.resource_version, "finalizers": finalizers}});
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &ApiResource::erase::<K>(&()));
        match timeout(API_TIMEOUT, api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))).await {
            Ok(Ok(object)) => {
                if let Ok(object) = object.try_parse::<K>() {
                    index.put(T::from(DeserializeGuard(Ok(object))));
                }
                failpoint::hit(if wanted { "finalizer" } else { "let-go" });
                Ok(())
            }
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
