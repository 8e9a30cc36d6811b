//! Kinds that a cluster may not know: of the Gateway API and of cert-manager. A watch of one that is not there begins by itself once
//! it is; until then who asks for it is told, and nothing else waits.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use kube::api::ApiResource;
use kube::runtime::watcher;

/// A kind and what brings it.
struct Optional {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    provider: &'static str,
}

/// All of them have the version `v1`.
const KINDS: [Optional; 3] = [
    Optional {
        group: "cert-manager.io",
        kind: "Certificate",
        plural: "certificates",
        provider: "install cert-manager, or choose another spec.relay.tls.mode",
    },
    Optional {
        group: "gateway.networking.k8s.io",
        kind: "HTTPRoute",
        plural: "httproutes",
        provider: "install the Gateway API, or take spec.relay.route away",
    },
    Optional {
        group: "gateway.networking.k8s.io",
        kind: "TLSRoute",
        plural: "tlsroutes",
        provider: "install the Gateway API 1.5 or later, or take spec.relay.route away",
    },
];

/// What the watches of these kinds are made with.
pub(super) fn resources() -> impl Iterator<Item = ApiResource> {
    KINDS.iter().map(|kind| ApiResource {
        group: kind.group.to_owned(),
        version: "v1".to_owned(),
        api_version: format!("{}/v1", kind.group),
        kind: kind.kind.to_owned(),
        plural: kind.plural.to_owned(),
    })
}

/// What to do where the kind is not known; none for kinds that are always there.
pub(super) fn remedy(kind: &str) -> Option<&'static str> {
    KINDS.iter().find(|optional| optional.kind == kind).map(|optional| optional.provider)
}

/// The optional kinds that the cluster does not know, as far as that was noticed.
#[derive(Default)]
pub(super) struct Absent(Mutex<BTreeSet<String>>);

impl Absent {
    fn kinds(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has(&self, kind: &str) -> bool {
        self.kinds().contains(kind)
    }

    /// Whether that is new.
    pub(super) fn gone(&self, kind: &str) -> bool {
        self.kinds().insert(kind.to_owned())
    }

    /// Whether it was absent before.
    pub(super) fn came(&self, kind: &str) -> bool {
        self.kinds().remove(kind)
    }
}

/// Whether the API server does not know the kind: a 404 that it sends as plain text, so without a reason that could be asked for.
pub(super) fn is_unknown(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Whether a watch ended because the cluster does not know the kind.
pub(super) fn is_absent(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => is_unknown(error),
        watcher::Error::WatchError(status) => status.code == 404,
        watcher::Error::NoResourceVersion => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_remedy_and_others_have_none() {
        for resource in resources() {
            assert!(remedy(&resource.kind).unwrap().contains("install"), "{resource:?}");
            assert_eq!(resource.api_version, format!("{}/v1", resource.group));
        }
        assert_eq!(remedy("Service"), None);
    }

    #[test]
    fn what_comes_and_goes_is_noticed_once() {
        let absent = Absent::default();
        assert!(absent.gone("TLSRoute") && !absent.gone("TLSRoute") && absent.has("TLSRoute"));
        assert!(absent.came("TLSRoute") && !absent.came("TLSRoute") && !absent.has("TLSRoute"));
    }
}
