//! `sotto crds migrate`: brings stored objects into the form and version of the installed definitions.
//!
//! A definition remembers in `status.storedVersions` every version in which an object may lie in etcd, and a version can be dropped only
//! when it stands there no more. Kubernetes rewrites an object only when somebody writes it, so each is written once, and moved fields
//! (`sotto_crds::evolve`) move with it; then the list is cut to the version that is stored now. It can be interrupted and run again.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde::Serialize;
use sotto_crds::evolve::{self, EvolveError, Move};
use tokio::time::timeout;

use crate::remote::{RemoteError, connect};

/// The longest time for one answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Objects in one page of a list.
const PAGE: u32 = 200;
/// How many are written at a time.
const AT_ONCE: usize = 8;
/// How often a write is tried that somebody else's write has overtaken.
const TRIES: usize = 8;
/// Who has written, in `managedFields`.
const MANAGER: &str = "sotto-crds-migrate";

/// Why the definitions cannot be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The cluster.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// No definitions.
    #[error("the cluster has no definitions of {group}; install them first: sotto crds | kubectl apply --server-side -f -", group = sotto_crds::GROUP)]
    NoDefinitions,
    /// What a definition says of its fields.
    #[error("{name}: {why}")]
    Definition {
        /// The definition.
        name: String,
        /// What is wrong.
        why: String,
    },
}

/// An object that could not be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Field and remedy, as the API server or a move says.
    pub why: String,
}

/// What has become of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The definition, such as `networks.sotto.dev`.
    pub definition: String,
    /// The version that is stored.
    pub storage_version: String,
    /// The versions in which objects might lie, before.
    pub stored_versions: Vec<String>,
    /// How many objects there are.
    pub objects: usize,
    /// How many of them were, or with a dry run would be, brought into another form.
    pub moved: usize,
    /// How many the API server has written anew; the others lay as they should.
    pub rewritten: usize,
    /// What could not be written.
    pub refused: Vec<Refused>,
    /// Whether all is in the stored version now, and `status.storedVersions` says so.
    pub done: bool,
}

/// What happens, for a person who waits.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The definition.
    pub definition: &'a str,
    /// How many of its objects have been dealt with.
    pub objects: usize,
}

/// What one object has come to.
enum Fate {
    Gone,
    Kept { moved: bool, rewritten: bool },
    Refused(Refused),
}

/// Migrates every kind. With `dry_run` nothing is written: the API server is asked whether it would take each object.
pub async fn migrate(dry_run: bool, progress: impl Fn(Progress<'_>)) -> Result<Vec<Report>, MigrateError> {
    let (client, _) = connect().await?;
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut reports = Vec::new();
    for definition in answer(definitions.list(&ListParams::default())).await?.items {
        if definition.spec.group == sotto_crds::GROUP {
            reports.push(kind(&client, &definition, dry_run, &progress).await?);
        }
    }
    if reports.is_empty() {
        return Err(MigrateError::NoDefinitions);
    }
    Ok(reports)
}

async fn answer<T>(question: impl Future<Output = Result<T, kube::Error>>) -> Result<T, RemoteError> {
    Ok(timeout(ANSWER, question).await.map_err(|_| RemoteError::Timeout)??)
}

/// The version in which objects are stored.
fn stored(definition: &CustomResourceDefinition) -> Option<&str> {
    definition.spec.versions.iter().find(|version| version.storage).map(|version| version.name.as_str())
}

async fn kind(
    client: &Client,
    definition: &CustomResourceDefinition,
    dry_run: bool,
    progress: &impl Fn(Progress<'_>),
) -> Result<Report, MigrateError> {
    let name = definition.name_any();
    let wrong = |why: String| MigrateError::Definition { name: name.clone(), why };
    let storage = stored(definition).ok_or_else(|| wrong("no version is stored".into()))?.to_owned();
    let moves = evolve::moves(&serde_json::to_value(definition).unwrap_or_default());
    let moves = moves.map_err(|error: EvolveError| wrong(error.to_string()))?;
    let before = definition.status.as_ref().and_then(|s| s.stored_versions.clone()).unwrap_or_default();
    let mut report = Report {
        definition: name.clone(),
        storage_version: storage.clone(),
        stored_versions: before.clone(),
        objects: 0,
        moved: 0,
        rewritten: 0,
        refused: Vec::new(),
        done: before == [storage.clone()],
    };
    if report.done && moves.is_empty() {
        return Ok(report);
    }
    let names = &definition.spec.names;
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(&definition.spec.group, &storage, &names.kind),
        &names.plural,
    );
    let all: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = answer(all.list(&page)).await?;
        let next = list.metadata.continue_.clone().filter(|token| !token.is_empty());
        let fates =
            stream::iter(list.items.into_iter().map(|object| rewrite(client, &resource, object, &moves, dry_run)));
        let fates: Vec<Fate> = fates.buffer_unordered(AT_ONCE).try_collect().await?;
        for fate in fates {
            match fate {
                Fate::Gone => continue,
                Fate::Kept { moved, rewritten } => {
                    report.moved += usize::from(moved);
                    report.rewritten += usize::from(rewritten);
                }
                Fate::Refused(refused) => report.refused.push(refused),
            }
            report.objects += 1;
        }
        progress(Progress { definition: &name, objects: report.objects });
        match next {
            Some(token) => page = ListParams::default().limit(PAGE).continue_token(&token),
            None => break,
        }
    }
    report.refused.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    if !dry_run && report.refused.is_empty() {
        cut(client, &name, &storage).await?;
        report.done = true;
    }
    Ok(report)
}

/// Writes one object as it is, or with its moved fields.
async fn rewrite(
    client: &Client,
    resource: &ApiResource,
    object: DynamicObject,
    moves: &[Move],
    dry_run: bool,
) -> Result<Fate, RemoteError> {
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let api: Api<DynamicObject> = if namespace.is_empty() {
        Api::all_with(client.clone(), resource)
    } else {
        Api::namespaced_with(client.clone(), &namespace, resource)
    };
    let refused = |why: String| Ok(Fate::Refused(Refused { namespace: namespace.clone(), name: name.clone(), why }));
    let params = PostParams { dry_run, field_manager: Some(MANAGER.to_owned()) };
    let mut object = object;
    for _ in 0..TRIES {
        let mut value = serde_json::to_value(&object).unwrap_or_default();
        let changed = match evolve::evolve(&mut value, moves) {
            Ok(changed) => changed,
            Err(error) => return refused(error.to_string()),
        };
        let next: DynamicObject = match serde_json::from_value(value) {
            Ok(next) => next,
            Err(error) => return refused(error.to_string()),
        };
        match answer(api.replace(&name, &params, &next)).await {
            Ok(written) => {
                let rewritten = !dry_run && written.resource_version() != object.resource_version();
                return Ok(Fate::Kept { moved: changed, rewritten });
            }
            Err(RemoteError::Api(kube::Error::Api(status))) if status.is_not_found() => return Ok(Fate::Gone),
            Err(RemoteError::Api(kube::Error::Api(status))) if status.is_conflict() => {
                match answer(api.get_opt(&name)).await? {
                    Some(newer) => object = newer,
                    None => return Ok(Fate::Gone),
                }
            }
            // What stands against this object says nothing of the others.
            Err(RemoteError::Api(kube::Error::Api(status))) if matches!(status.code, 400 | 403 | 413 | 422) => {
                return refused(status.message.clone());
            }
            Err(other) => return Err(other),
        }
    }
    refused("is being written by somebody else all the time; try again".to_owned())
}

/// Says in the definition's status that nothing lies in an older version any more.
async fn cut(client: &Client, name: &str, storage: &str) -> Result<(), MigrateError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for _ in 0..TRIES {
        let mut definition = answer(api.get(name)).await?;
        if stored(&definition) != Some(storage) {
            let why = "the stored version was changed in the meantime; run the migration again".to_owned();
            return Err(MigrateError::Definition { name: name.to_owned(), why });
        }
        let Some(status) = definition.status.as_mut() else { break };
        if status.stored_versions.as_deref() == Some(&[storage.to_owned()]) {
            return Ok(());
        }
        status.stored_versions = Some(vec![storage.to_owned()]);
        // With the version that was read: if it changes in between, it is read again.
        match answer(api.replace_status(name, &PostParams::default(), &definition)).await {
            Ok(_) => return Ok(()),
            Err(RemoteError::Api(kube::Error::Api(status))) if status.is_conflict() => {}
            Err(other) => return Err(other.into()),
        }
    }
    let why = "its status is being written by somebody else all the time; try again".to_owned();
    Err(MigrateError::Definition { name: name.to_owned(), why })
}

/// The reports as a table.
pub fn table(reports: &[Report], dry_run: bool) -> Vec<String> {
    let row = |report: &Report| {
        let fate = match (report.done, report.refused.len()) {
            (_, n) if n > 0 => format!("{n} refused"),
            (true, _) if report.objects == 0 && report.stored_versions.len() == 1 => "nothing to do".to_owned(),
            (true, _) => "done".to_owned(),
            _ if dry_run => "can be done".to_owned(),
            _ => "not done".to_owned(),
        };
        [
            report.definition.clone(),
            report.storage_version.clone(),
            report.stored_versions.join(","),
            report.objects.to_string(),
            report.moved.to_string(),
            report.rewritten.to_string(),
            fate,
        ]
    };
    let head =
        ["DEFINITION", "STORED AS", "WAS STORED AS", "OBJECTS", "MOVED", "REWRITTEN", "RESULT"].map(str::to_owned);
    let rows: Vec<[String; 7]> = std::iter::once(head).chain(reports.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    rows.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect()
}

/// The lines about what was refused.
pub fn refusals(reports: &[Report]) -> Vec<String> {
    let each = |report: &Report| {
        let of = report.definition.clone();
        report.refused.iter().map(move |r| format!("{of}: {}/{}: {}", r.namespace, r.name, r.why)).collect::<Vec<_>>()
    };
    reports.iter().flat_map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(objects: usize, refused: usize, done: bool) -> Report {
        let one = Refused { namespace: "chat".into(), name: "acme".into(), why: "spec.domain: wrong".into() };
        Report {
            definition: "networks.sotto.dev".into(),
            storage_version: "v1beta1".into(),
            stored_versions: vec!["v1alpha1".into(), "v1beta1".into()],
            objects,
            moved: 0,
            rewritten: objects,
            refused: vec![one; refused],
            done,
        }
    }

    #[test]
    fn a_table_says_what_was_done() {
        let lines = table(&[report(3, 0, true), report(3, 1, false)], false);
        assert!(lines[0].starts_with("DEFINITION") && lines[1].ends_with("done") && lines[2].ends_with("1 refused"));
        assert!(table(&[report(3, 0, false)], true)[1].ends_with("can be done"));
        assert_eq!(refusals(&[report(1, 1, false)]), ["networks.sotto.dev: chat/acme: spec.domain: wrong"]);
    }

    #[test]
    fn what_programs_read() {
        let json = serde_json::to_value(report(3, 1, false)).unwrap();
        assert_eq!(json["storedVersions"][1], "v1beta1");
        assert_eq!(json["refused"][0]["why"], "spec.domain: wrong");
    }
}
