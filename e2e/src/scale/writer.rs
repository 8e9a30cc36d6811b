//! A bare client: requests, so many at a time, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::{Method, Request};
use kube::Client;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{Failure, Outcome};

/// A request to the API server.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) content: &'static str,
    pub(super) body: Value,
}

pub(super) const JSON: &str = "application/json";
pub(super) const MERGE: &str = "application/merge-patch+json";
pub(super) const APPLY: &str = "application/apply-patch+yaml";

impl Call {
    pub(super) fn create(path: String, body: Value) -> Self {
        Self { method: Method::POST, path, content: JSON, body }
    }

    pub(super) fn merge(path: String, body: Value) -> Self {
        Self { method: Method::PATCH, path, content: MERGE, body }
    }

    pub(super) fn apply(path: &str, manager: &str, body: Value) -> Self {
        let path = format!("{path}?fieldManager={manager}&force=true");
        Self { method: Method::PATCH, path, content: APPLY, body }
    }

    /// Makes it; gives the answer's text.
    pub(super) async fn make(&self, client: &Client) -> Outcome<String> {
        let why = |error: &dyn std::fmt::Display| Failure(format!("{} {}: {error}", self.method, self.path));
        let body = serde_json::to_vec(&self.body)?;
        let request = Request::builder().method(self.method.clone()).uri(&self.path);
        let request = request.header("content-type", self.content).body(body).map_err(|e| why(&e))?;
        client.request_text(request).await.map_err(|e| why(&e))
    }
}

/// The path of a kind of ours in a namespace.
pub(super) fn ours(plural: &str, namespace: &str, name: &str) -> String {
    let path = format!("/apis/sotto.dev/v1alpha1/namespaces/{namespace}/{plural}");
    if name.is_empty() { path } else { format!("{path}/{name}") }
}

/// Makes all calls in their order, so many at a time; the first error ends it. Calls that `may_fail` are only counted.
pub(super) async fn make_all(client: &Client, calls: Vec<Call>, at_a_time: usize, may_fail: bool) -> Outcome<usize> {
    let (calls, next) = (Arc::new(calls), Arc::new(AtomicUsize::new(0)));
    let failed = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..at_a_time {
        let (client, calls, next, failed) = (client.clone(), calls.clone(), next.clone(), failed.clone());
        tasks.spawn(async move {
            while let Some(call) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = call.make(&client).await {
                    if !may_fail {
                        return Err(error);
                    }
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(())
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.map_err(|error| Failure(error.to_string()))??;
    }
    Ok(failed.load(Ordering::Relaxed))
}

/// The path of any resource; without a namespace of all, without a name of all in it.
pub(super) fn make_path(group: &str, version: &str, resource: &str, namespace: &str, name: &str) -> String {
    let mut path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    for (part, word) in [("/namespaces/", namespace), ("/", resource), ("/", name)] {
        if !word.is_empty() {
            path.push_str(part);
            path.push_str(word);
        }
    }
    path
}
