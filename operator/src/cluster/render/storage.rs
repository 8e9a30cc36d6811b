//! Volumes. Claims are objects of their own, not templates of a StatefulSet: those could never grow.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::json;
use sotto_crds::{DeletionPolicy, Storage};

use super::{Kind, Manifest, Scope};

impl Scope<'_> {
    /// A claim. With `Retain` nobody owns it: it stays, and a new object of the same name takes it up again.
    pub(super) fn claim(
        &self,
        name: String,
        component: &str,
        extra: Option<(&str, &str)>,
        storage: &Storage,
        deletion: DeletionPolicy,
        owner: Option<&OwnerReference>,
    ) -> Manifest {
        let owner = owner.filter(|_| deletion == DeletionPolicy::Delete);
        let body = json!({
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": storage.storage_class_name,
                "resources": { "requests": { "storage": storage.size } },
            },
        });
        self.manifest(Kind::PersistentVolumeClaim, name, component, extra, owner, body)
    }
}
