//! Every manifest in `examples/` is one that a cluster admits, whole and without a field that it does not know.

use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use serde_json::Value;
use sotto_crds::{Network, RetentionPolicy, SecurityGroup, User, admission::admit};

/// All YAML files below the folder, without what packages bring and what is made.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir()
            && !["node_modules", "cdk.out", "build"].contains(&name.as_str())
            && !name.starts_with("gitops-")
        {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            found.push(path);
        }
    }
}

#[test]
fn a_cluster_admits_every_example() {
    let mut found = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples"), &mut found);
    let mut ours = 0;
    for path in &found {
        let text = std::fs::read_to_string(path).unwrap();
        for document in serde_yaml::Deserializer::from_str(&text) {
            let value = Value::deserialize(document).unwrap();
            let place = format!("{}: {} {}", path.display(), value["kind"], value["metadata"]["name"]);
            let result = match (value["apiVersion"].as_str(), value["kind"].as_str()) {
                (Some(sotto_crds::API_VERSION), Some("Network")) => admit::<Network>(&value, None).map(drop),
                (Some(sotto_crds::API_VERSION), Some("SecurityGroup")) => {
                    admit::<SecurityGroup>(&value, None).map(drop)
                }
                (Some(sotto_crds::API_VERSION), Some("User")) => admit::<User>(&value, None).map(drop),
                (Some(sotto_crds::API_VERSION), Some("RetentionPolicy")) => {
                    admit::<RetentionPolicy>(&value, None).map(drop)
                }
                (api, _) => {
                    // Objects of others are looked at by their own types: e2e/gitops.
                    assert!(!api.unwrap().starts_with("sotto.dev"), "{place}: no such kind");
                    continue;
                }
            };
            ours += 1;
            assert!(result.is_ok(), "{place}: {result:?}");
        }
    }
    assert!(found.len() > 12 && ours > 25, "{} files, {ours} objects", found.len());
}
