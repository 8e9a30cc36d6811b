//! Server-side apply of what was rendered, where the cluster differs; removal of what is no longer wanted.

use std::collections::BTreeSet;
use std::sync::Arc;

use kube::api::{DeleteParams, Patch, PatchParams, ValidationDirective};
use serde_json::Value;
use tokio::time::timeout;

use super::context::{API_TIMEOUT, Context, is_gone, words};
use super::diff::{holds, with_digest};
use super::kept::{Compact, Kept as _};
use super::labels;
use super::optional;
use super::queue::Unit;
use crate::failpoint;

/// Why an object is not as it should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    #[error("{kind} {name} cannot be applied: {why}")]
    Refused { kind: String, name: String, why: String },
    #[error(
        "{kind} {name} is there already and is not the operator's; rename or delete it, or choose another name for the object of ours"
    )]
    Foreign { kind: String, name: String },
    #[error("{kind} {name} is being deleted; it is made anew when it is gone")]
    Ending { kind: String, name: String },
    #[error("the cluster does not know the kind {kind}: {remedy}")]
    Unknown { kind: String, remedy: &'static str },
    #[error("the API server has not answered in time")]
    Timeout,
}

impl Context {
    /// Brings one object about, and answers it as the cluster has it. No call where nothing differs.
    pub(super) async fn apply(&self, namespace: &str, wanted: Value) -> Result<Value, ApplyError> {
        timeout(API_TIMEOUT, self.apply_slowly(namespace, wanted)).await.unwrap_or(Err(ApplyError::Timeout))
    }

    async fn apply_slowly(&self, namespace: &str, wanted: Value) -> Result<Value, ApplyError> {
        let wanted = with_digest(wanted);
        let kind = wanted["kind"].as_str().unwrap_or_default().to_owned();
        let name = wanted["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let refused =
            |error: &kube::Error| ApplyError::Refused { kind: kind.clone(), name: name.clone(), why: words(error) };
        let Some((resource, index)) = self.owned.get(&kind) else {
            let why = "the operator does not watch this kind".to_owned();
            return Err(ApplyError::Refused { kind, name, why });
        };
        let unknown = |remedy| ApplyError::Unknown { kind: kind.clone(), remedy };
        let optional = optional::remedy(&kind);
        if let Some(remedy) = optional.filter(|_| self.absent.has(&kind)) {
            return Err(unknown(remedy));
        }
        // The kind is gone, and the watch has not noticed yet.
        let failed = |error: kube::Error| {
            optional.filter(|_| optional::is_unknown(&error)).map_or_else(|| refused(&error), unknown)
        };
        let api = self.api_of(namespace, resource);
        let live = match index.get(namespace, &name) {
            Some(live) => Some(live),
            // Not ours, or so new that the watch has not told yet.
            None => api.get_opt(&name).await.map_err(&failed)?.map(|live| Arc::new(Compact::new(live))),
        };
        if let Some(live) = &live {
            if !live.is_ours() {
                return Err(ApplyError::Foreign { kind, name });
            }
            if live.is_deleting() {
                return Err(ApplyError::Ending { kind, name });
            }
            let mut live = live.value();
            // The items of a listing do not say what they are.
            for key in ["apiVersion", "kind"] {
                live[key] = wanted[key].clone();
            }
            if holds(&live, &wanted) {
                return Ok(live);
            }
        }
        let params = PatchParams {
            field_validation: Some(ValidationDirective::Strict),
            ..PatchParams::apply(labels::MANAGER).force()
        };
        tracing::info!(%namespace, %kind, %name, "apply");
        let applied = api.patch(&name, &params, &Patch::Apply(&wanted)).await;
        let applied = applied.map_err(failed)?;
        let applied = Arc::new(Compact::new(applied));
        index.put(applied.clone());
        failpoint::hit("object");
        Ok(applied.value())
    }

    /// Deletes what the network has of the kinds that hold no data and that is not in `wanted` (kind and name). Parts of the
    /// policies in `kept` stay.
    pub(super) async fn prune(
        &self,
        unit: &Unit,
        wanted: &BTreeSet<(String, String)>,
        kept: &BTreeSet<String>,
    ) -> Result<(), ApplyError> {
        for (kind, (resource, index)) in &self.owned {
            // Data goes with its owner or by hand, never by a change of spec.
            if kind == "PersistentVolumeClaim" || self.absent.has(kind) {
                continue;
            }
            let api = self.api_of(&unit.namespace, resource);
            for object in index.of(unit) {
                let name = object.name().to_owned();
                if object.is_deleting() || !object.is_ours() || wanted.contains(&(kind.clone(), name.clone())) {
                    continue;
                }
                let object = object.value();
                let label = |name: &str| object["metadata"]["labels"][name].as_str();
                if label(labels::POLICY).is_some_and(|policy| kept.contains(policy)) {
                    continue;
                }
                tracing::info!(%unit, %kind, %name, "delete: no longer wanted");
                match timeout(API_TIMEOUT, api.delete(&name, &DeleteParams::default())).await {
                    Err(_) => return Err(ApplyError::Timeout),
                    Ok(Err(error)) if !is_gone(&error) => {
                        return Err(ApplyError::Refused { kind: kind.clone(), name, why: words(&error) });
                    }
                    Ok(_) => {}
                }
            }
        }
        failpoint::hit("pruned");
        Ok(())
    }
}
