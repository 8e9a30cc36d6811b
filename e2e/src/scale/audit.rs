//! What one user asked of the API server, from its own record of requests.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;

use crate::{Outcome, fail};

/// The record of the requests of some users; requests of others are not written down.
pub(super) struct Audit {
    folder: TempDir,
}

/// A request, as far as it matters here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) verb: String,
    #[serde(default)]
    pub(super) object_ref: Option<ObjectRef>,
    #[serde(default)]
    pub(super) response_status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Status {
    #[serde(default)]
    pub(super) code: u16,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ObjectRef {
    pub(super) resource: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) api_group: String,
    pub(super) api_version: String,
    pub(super) subresource: String,
}

impl Request {
    fn resource(&self) -> &str {
        self.object_ref.as_ref().map_or("", |object| object.resource.as_str())
    }

    /// Whether it is about the lease of the leader, about nothing at all (discovery, health), or about a kind that the cluster does
    /// not know: that is asked for now and then, whatever happens.
    pub(super) fn is_upkeep(&self) -> bool {
        let absent = self.verb == "list" && self.response_status.code == 404;
        absent || matches!(self.resource(), "leases" | "")
    }

    /// Whether it changes something.
    pub(super) fn is_write(&self) -> bool {
        !self.is_upkeep() && matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }

    /// Whether it reads something. A watch that goes on is no read; one that begins is.
    pub(super) fn is_read(&self) -> bool {
        !self.is_upkeep() && matches!(self.verb.as_str(), "get" | "list")
    }
}

impl Audit {
    pub(super) fn new(users: &[&str]) -> Outcome<Self> {
        let folder = tempfile::Builder::new().prefix("sotto-audit-").tempdir()?;
        let policy = json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
            "omitStages": ["RequestReceived", "ResponseStarted"],
            "rules": [{"level": "Metadata", "users": users}, {"level": "None"}],
        });
        fs::write(folder.path().join("policy.yaml"), policy.to_string())?;
        Ok(Self { folder })
    }

    /// For kube-apiserver.
    pub(super) fn flags(&self) -> Vec<String> {
        let at = |file: &str| self.folder.path().join(file).display().to_string();
        vec![
            format!("--audit-policy-file={}", at("policy.yaml")),
            format!("--audit-log-path={}", at("requests")),
            // Megabytes; it shall never begin a new file.
            "--audit-log-maxsize=100000".to_owned(),
        ]
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("requests")
    }

    /// Where the record ends now.
    pub(super) fn mark(&self) -> Outcome<u64> {
        length(&self.file())
    }

    /// The requests after a mark.
    pub(super) fn since(&self, mark: u64) -> Outcome<Vec<Request>> {
        let path = self.file();
        if length(&path)? < mark {
            return fail(format!("{}: shorter than before", path.display()));
        }
        let mut text = String::new();
        if path.exists() {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(mark))?;
            file.read_to_string(&mut text)?;
        }
        // A line that is being written is no line yet.
        let complete = text.rfind('\n').map_or(0, |end| end + 1);
        text[..complete].lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

fn length(path: &Path) -> Outcome<u64> {
    if path.exists() { Ok(fs::metadata(path)?.len()) } else { Ok(0) }
}

/// How many of each kind, for people: `patch networks/status 2000`.
pub(super) fn summary<'a>(requests: impl IntoIterator<Item = &'a Request>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for request in requests {
        let about = request.object_ref.clone().unwrap_or_default();
        let slash = if about.subresource.is_empty() { "" } else { "/" };
        let code = request.response_status.code;
        let refused = if code >= 400 { format!(" ({code})") } else { String::new() };
        let name = format!("{} {}{slash}{}{refused}", request.verb, about.resource, about.subresource);
        *counts.entry(name).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(verb: &str, resource: &str) -> Request {
        let object = json!({"resource": resource, "namespace": "a", "apiVersion": "v1"});
        serde_json::from_value(json!({"verb": verb, "objectRef": object, "responseStatus": {"code": 200}})).unwrap()
    }

    #[test]
    fn leases_and_watches_are_neither_reads_nor_writes() {
        assert!(request("patch", "users").is_write() && !request("patch", "users").is_read());
        assert!(request("list", "users").is_read());
        let absent = Request { response_status: Status { code: 404 }, ..request("list", "certificates") };
        for other in [request("update", "leases"), request("get", "leases"), request("watch", "users"), absent] {
            assert!(!other.is_write() && !other.is_read(), "{other:?}");
        }
    }

    #[test]
    fn the_record_is_read_from_a_mark_on() {
        let audit = Audit::new(&["somebody"]).unwrap();
        assert_eq!(audit.mark().unwrap(), 0);
        assert!(audit.since(0).unwrap().is_empty());
        let line = |verb: &str| format!("{}\n", json!({"verb": verb, "objectRef": {"resource": "users"}}));
        fs::write(audit.file(), line("create")).unwrap();
        let mark = audit.mark().unwrap();
        fs::write(audit.file(), format!("{}{}{{\"half", line("create"), line("patch"))).unwrap();
        let requests = audit.since(mark).unwrap();
        assert_eq!(summary(&requests), [("patch users".to_owned(), 1)].into());
    }
}
