//! Configuration files in ConfigMaps.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Kind, Manifest, Scope};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

/// Name of the configuration file.
pub(super) const FILE: &str = "config.yaml";

/// Files of a ConfigMap, and a digest that changes with them.
pub(super) struct Files(BTreeMap<String, String>);

impl Files {
    /// The configuration and the files beside it.
    #[expect(clippy::expect_used, reason = "our configuration types are plain structs, which always have a YAML form")]
    pub(super) fn new(config: &impl Serialize, beside: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut files: BTreeMap<String, String> = beside.into_iter().collect();
        files.insert(FILE.to_owned(), serde_yaml::to_string(config).expect("a configuration has a YAML form"));
        Self(files)
    }

    pub(super) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (name, content) in &self.0 {
            for part in [name, content] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part.as_bytes());
            }
        }
        data_encoding::HEXLOWER.encode(&hash.finalize())
    }
}

impl Scope<'_> {
    pub(super) fn config_map(
        &self,
        name: String,
        component: &str,
        extra: Option<(&str, &str)>,
        owner: Option<&OwnerReference>,
        files: &Files,
    ) -> Manifest {
        self.manifest(Kind::ConfigMap, name, component, extra, owner, json!({ "data": files.0 }))
    }
}
