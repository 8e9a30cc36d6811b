//! `policy diff`: reads files and cluster for [`crate::diff`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sotto_operator::local::manifests::{Reading, read_dir, read_text};

use crate::access::Cluster;
use crate::diff::{KINDS, Key, Object, compare, filled};
use crate::error::KubeError;
use crate::objects::kinds;

/// Manifests of files and folders (`-`: standard input) against the cluster.
pub async fn diff(cluster: &Cluster, paths: &[PathBuf]) -> Result<Vec<Object>, KubeError> {
    let files = files(paths, &cluster.namespace)?;
    let namespaces: BTreeSet<&String> = files.keys().map(|(namespace, ..)| namespace).collect();
    let mut live = BTreeMap::new();
    for namespace in namespaces {
        for kind in kinds().iter().filter(|k| KINDS.contains(&k.kind.as_str())) {
            let read = |object| drop(live.insert(crate::diff::key(&object, namespace), object));
            cluster.each(kind, Some(namespace), None, read).await?;
        }
    }
    Ok(compare(&files, &live))
}

/// The manifests that policy is made of; an error names all that is wrong with them.
fn files(paths: &[PathBuf], namespace: &str) -> Result<BTreeMap<Key, serde_json::Value>, KubeError> {
    let mut reading = Reading::default();
    for path in paths {
        read(path, &mut reading)?;
    }
    let mut wrong: Vec<String> = reading.problems.iter().filter(|p| p.fatal).map(ToString::to_string).collect();
    let mut files = BTreeMap::new();
    for manifest in reading.manifests.into_iter().filter(|m| KINDS.contains(&m.kind)) {
        let at = format!("{}:{}: {}/{}", manifest.file, manifest.line, manifest.kind, manifest.name);
        if let Err(violations) = filled(&manifest.value) {
            wrong.extend(violations.iter().map(|v| format!("{at}: {v}")));
        }
        let key = crate::diff::key(&manifest.value, namespace);
        if files.insert(key, manifest.value).is_some() {
            wrong.push(format!("{at}: stands there twice; take one out"));
        }
    }
    if !wrong.is_empty() {
        return Err(KubeError::Usage(format!("the files are not good:\n  {}", wrong.join("\n  "))));
    }
    if files.is_empty() {
        return Err(KubeError::Usage(format!(
            "the files hold none of {}; name the folder with the manifests",
            KINDS.join(", ")
        )));
    }
    Ok(files)
}

fn read(path: &Path, reading: &mut Reading) -> Result<(), KubeError> {
    let broken = |e| KubeError::file(path, e);
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(broken)?;
        read_text("standard input", &text, reading);
    } else if path.is_dir() {
        let found = read_dir(path).map_err(broken)?;
        reading.manifests.extend(found.manifests);
        reading.problems.extend(found.problems);
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(path).map_err(broken)? {
            let entry = entry.map_err(broken)?;
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            // A link could lead round in circles.
            if !hidden && entry.file_type().map_err(broken)?.is_dir() {
                folders.push(entry.path());
            }
        }
        folders.sort();
        for folder in folders {
            read(&folder, reading)?;
        }
    } else {
        let text = std::fs::read_to_string(path).map_err(broken)?;
        read_text(&path.display().to_string(), &text, reading);
    }
    Ok(())
}
