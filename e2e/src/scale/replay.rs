//! What an operator wrote, as calls that a bare client can make against another, empty API server: the same number of the same
//! kinds, with the same contents.

use std::collections::{BTreeSet, HashMap};

use kube::Client;
use serde_json::{Value, json};

use super::audit::{ObjectRef, Request};
use super::writer::{Call, make_path};
use crate::{Failure, Outcome};

const MANAGER: &str = "bench-bare";

/// Objects as they are in the cluster, by path.
type Objects = HashMap<String, Value>;

fn path(about: &ObjectRef, with_name: bool) -> String {
    make_path(
        &about.api_group,
        &about.api_version,
        &about.resource,
        &about.namespace,
        if with_name { &about.name } else { "" },
    )
}

/// Reads every object that the requests are about.
async fn read(client: &Client, requests: &[Request]) -> Outcome<Objects> {
    let mut objects = Objects::new();
    let kinds: BTreeSet<(String, String, String)> = requests
        .iter()
        .filter_map(|request| request.object_ref.as_ref())
        .map(|about| (about.api_group.clone(), about.api_version.clone(), about.resource.clone()))
        .collect();
    for (group, version, resource) in kinds {
        let uri = make_path(&group, &version, &resource, "", "");
        let request = axum::http::Request::get(&uri).body(Vec::new()).map_err(|e| Failure(e.to_string()))?;
        let list: Value = client.request(request).await.map_err(|e| Failure(format!("{uri}: {e}")))?;
        let head =
            (list["apiVersion"].clone(), list["kind"].as_str().unwrap_or_default().trim_end_matches("List").to_owned());
        for mut object in list["items"].as_array().cloned().unwrap_or_default() {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let path = make_path(&group, &version, &resource, &text("/metadata/namespace"), &text("/metadata/name"));
            object["apiVersion"] = head.0.clone();
            object["kind"] = head.1.clone().into();
            objects.insert(path, stripped(object));
        }
    }
    Ok(objects)
}

/// Without what only the server writes.
fn stripped(mut object: Value) -> Value {
    if let Some(meta) = object["metadata"].as_object_mut() {
        for field in ["managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "deletionTimestamp"]
        {
            meta.remove(field);
        }
    }
    object
}

/// The calls. Several writes of one status differ in a message, as they did.
pub(super) async fn calls(client: &Client, requests: &[Request]) -> Outcome<Vec<Call>> {
    let objects = read(client, requests).await?;
    let mut calls = Vec::new();
    for (number, request) in requests.iter().enumerate() {
        let Some(about) = &request.object_ref else { continue };
        let (named, all) = (path(about, true), path(about, false));
        let known = objects.get(&named);
        if about.resource == "events" {
            calls.push(Call::create(all, event(about, number)));
            continue;
        }
        // Gone meanwhile, or refused: no more than a name is left.
        let Some(known) = known else { continue };
        let mut body = known.clone();
        let call = match (request.verb.as_str(), about.subresource.as_str()) {
            ("create", "") => Call::create(all, without(body, "status")),
            ("patch" | "update", "status") => {
                let status = &mut body["status"];
                if let Some(message) = status.pointer_mut("/conditions/0/message") {
                    *message = format!("{} ({number})", message.as_str().unwrap_or_default()).into();
                }
                let body = json!({
                    "apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": {"name": about.name},
                    "status": body["status"],
                });
                Call::apply(&format!("{named}/status"), MANAGER, body)
            }
            // Of an object that somebody else made: a finalizer.
            ("patch" | "update", _) if about.api_group == "sotto.dev" => {
                Call::merge(named, json!({"metadata": {"finalizers": body["metadata"]["finalizers"]}}))
            }
            ("patch" | "update", _) => Call::apply(&named, MANAGER, without(body, "status")),
            _ => continue,
        };
        calls.push(call);
    }
    Ok(calls)
}

fn without(mut object: Value, field: &str) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.remove(field);
    }
    object
}

fn event(about: &ObjectRef, number: usize) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": format!("bench.{number}"), "namespace": about.namespace},
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": MANAGER, "reportingInstance": MANAGER,
        "action": "Reconcile", "reason": "Reconciled", "type": "Normal", "note": "relay applies this spec",
        "regarding": {"apiVersion": "sotto.dev/v1alpha1", "kind": "User", "name": "somebody", "namespace": about.namespace},
    })
}
