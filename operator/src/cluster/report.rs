//! Statuses and events: written when something changed, also when a step failed.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::PoisonError;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sotto_crds::{Network, RetentionPolicy, SecurityGroup, User};
use tokio::time::timeout;

use super::context::{API_TIMEOUT, Context, is_gone, words};
use super::labels::MANAGER;
use crate::plan::{
    DEGRADED, Facts, Health, Kind, ObjectId, PAUSED, PROGRESSING, READY, STALLED, group_status, network_status,
    policy_status, update_conditions, user_status,
};
use crate::reasons::Reason;

/// The longest note that an event may have, in bytes.
const NOTE: usize = 1000;

/// A status that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("status of {id} cannot be written: {why}")]
pub(super) struct ReportError {
    id: ObjectId,
    why: String,
}

/// The objects of a namespace with what their statuses are made from.
pub(super) struct Report<'a> {
    pub(super) namespace: &'a str,
    pub(super) health: &'a BTreeMap<ObjectId, Health>,
    /// By name of the Network.
    pub(super) facts: &'a BTreeMap<String, Facts<'a>>,
    pub(super) now: Timestamp,
}

impl Report<'_> {
    fn of(&self, kind: Kind, object: &impl Resource) -> Option<(ObjectId, &Health)> {
        let id = ObjectId::new(kind, object.name_any());
        let health = self.health.get(&id)?;
        Some((id, health))
    }

    fn facts(&self, network: &str) -> Facts<'_> {
        self.facts.get(network).copied().unwrap_or_default()
    }
}

impl Context {
    pub(super) async fn report_network(&self, report: &Report<'_>, object: &Network) -> Result<(), ReportError> {
        let Some((id, health)) = report.of(Kind::Network, object) else { return Ok(()) };
        let facts = report.facts(&id.name);
        let status = network_status(object.status.as_ref(), health, object.metadata.generation, facts, report.now);
        let before = object.status.as_ref();
        let same = before == Some(&status);
        self.report(report, &id, object, health, before.map(|s| s.conditions.as_slice()), same, json!(status)).await
    }

    pub(super) async fn report_group(&self, report: &Report<'_>, object: &SecurityGroup) -> Result<(), ReportError> {
        let Some((id, health)) = report.of(Kind::SecurityGroup, object) else { return Ok(()) };
        let facts = report.facts(&object.spec.network_ref.name);
        let generation = object.metadata.generation;
        let status = group_status(object.status.as_ref(), &id.name, health, generation, facts, report.now);
        let before = object.status.as_ref();
        let same = before == Some(&status);
        self.report(report, &id, object, health, before.map(|s| s.conditions.as_slice()), same, json!(status)).await
    }

    pub(super) async fn report_user(&self, report: &Report<'_>, object: &User) -> Result<(), ReportError> {
        let Some((id, health)) = report.of(Kind::User, object) else { return Ok(()) };
        let facts = report.facts(&object.spec.network_ref.name);
        let generation = object.metadata.generation;
        let status = user_status(object.status.as_ref(), &id.name, health, generation, facts, report.now);
        let before = object.status.as_ref();
        let same = before == Some(&status);
        self.report(report, &id, object, health, before.map(|s| s.conditions.as_slice()), same, json!(status)).await
    }

    pub(super) async fn report_policy(&self, report: &Report<'_>, object: &RetentionPolicy) -> Result<(), ReportError> {
        let Some((id, health)) = report.of(Kind::RetentionPolicy, object) else { return Ok(()) };
        let facts = report.facts(&object.spec.network_ref.name);
        let generation = object.metadata.generation;
        let status = policy_status(object.status.as_ref(), &id.name, health, generation, facts, report.now);
        let before = object.status.as_ref();
        let same = before == Some(&status);
        self.report(report, &id, object, health, before.map(|s| s.conditions.as_slice()), same, json!(status)).await
    }

    #[expect(clippy::too_many_arguments, reason = "what the four kinds differ in, once")]
    async fn report<K>(
        &self,
        report: &Report<'_>,
        id: &ObjectId,
        object: &K,
        health: &Health,
        before: Option<&[Condition]>,
        same: bool,
        status: Value,
    ) -> Result<(), ReportError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        if same || stays(id.kind, object.meta().generation, before.unwrap_or_default(), health) {
            return Ok(());
        }
        self.write_status::<K>(report.namespace, id, status).await?;
        if turned(before.unwrap_or_default(), health) {
            self.tell(object, health).await;
        }
        Ok(())
    }

    /// An object that cannot be read still gets its status, once for each generation.
    pub(super) async fn report_unreadable<K>(
        &self,
        report: &Report<'_>,
        id: &ObjectId,
        meta: &ObjectMeta,
        health: &Health,
    ) -> Result<(), ReportError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let uid = meta.uid.clone().unwrap_or_default();
        let generation = meta.generation.unwrap_or_default();
        let known = |map: &std::collections::HashMap<String, i64>| map.get(&uid) == Some(&generation);
        if known(&self.unreadable.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        let conditions = update_conditions(&[], health, meta.generation, report.now);
        let status = json!({"observedGeneration": meta.generation, "conditions": conditions});
        // Without reading the answer as what it cannot be read as.
        let api: kube::Api<kube::api::DynamicObject> =
            kube::Api::namespaced_with(self.client.clone(), report.namespace, &kube::api::ApiResource::erase::<K>(&()));
        let body = body::<K>(id, status);
        let params = PatchParams::apply(MANAGER).force();
        let patch = Patch::Apply(&body);
        let work = api.patch_status(&id.name, &params, &patch);
        written(id, timeout(API_TIMEOUT, work).await)?;
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, generation);
        Ok(())
    }

    async fn write_status<K>(&self, namespace: &str, id: &ObjectId, status: Value) -> Result<(), ReportError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let body = body::<K>(id, status);
        let params = PatchParams::apply(MANAGER).force();
        let api = self.api::<K>(namespace);
        let patch = Patch::Apply(&body);
        let work = api.patch_status(&id.name, &params, &patch);
        written(id, timeout(API_TIMEOUT, work).await)
    }

    async fn tell<K: Resource<DynamicType = ()>>(&self, object: &K, health: &Health) {
        let event = Event {
            type_: if health.is_degraded() { EventType::Warning } else { EventType::Normal },
            reason: health.reason().as_str().to_owned(),
            note: Some(cut(health.message()).to_owned()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        let about = object.object_ref(&());
        let work = self.recorder.publish(&event, &about);
        // An event that cannot be written is no reason to do anything again.
        match timeout(API_TIMEOUT, work).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(error = words(&error), "event not written"),
            Err(_) => tracing::debug!("event not written in time"),
        }
    }
}

/// Conditions of others are theirs: we apply our own.
fn body<K: Resource<DynamicType = ()>>(id: &ObjectId, mut status: Value) -> Value {
    if let Some(conditions) = status["conditions"].as_array_mut() {
        conditions.retain(|c| [READY, PROGRESSING, DEGRADED, STALLED, PAUSED].iter().any(|ours| c["type"] == *ours));
    }
    json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": id.name},
        "status": status,
    })
}

fn written<T, E>(id: &ObjectId, result: Result<Result<T, kube::Error>, E>) -> Result<(), ReportError> {
    match result {
        Ok(Ok(_)) => Ok(()),
        // Deleted meanwhile: nobody reads it any more.
        Ok(Err(error)) if is_gone(&error) => Ok(()),
        Ok(Err(error)) => Err(ReportError { id: id.clone(), why: words(&error) }),
        Err(_) => Err(ReportError { id: id.clone(), why: "the API server has not answered in time".into() }),
    }
}

/// Whether `Ready` says something else than before.
fn turned(before: &[Condition], health: &Health) -> bool {
    let ready = before.iter().find(|c| c.type_ == READY);
    ready.is_none_or(|c| c.reason != health.reason().as_str() || (c.status == "True") != health.is_ready())
}

/// What the relay holds of a user stays true while the relay is away; that it is away is said once, in the status of its Network,
/// and not in those of ten thousand users.
fn stays(kind: Kind, generation: Option<i64>, before: &[Condition], health: &Health) -> bool {
    let away = [Reason::RelayUnreachable, Reason::WaitingForRelay].contains(&health.reason());
    let ready = before.iter().find(|c| c.type_ == READY);
    let was = ready.is_some_and(|c| c.status == "True" && c.observed_generation == generation);
    kind != Kind::Network && away && was
}

fn cut(text: &str) -> &str {
    if text.len() <= NOTE {
        return text;
    }
    let end = (0..=NOTE).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_when_ready_turns() {
        let now = Timestamp::from_second(1).unwrap();
        let health = Health::progressing(Reason::RollingOut, "a");
        let before = update_conditions(&[], &health, Some(1), now);
        assert!(turned(&[], &health));
        assert!(!turned(&before, &Health::progressing(Reason::RollingOut, "other words")));
        assert!(turned(&before, &Health::degraded(Reason::WorkloadFailing, "a")));
        assert!(turned(&before, &Health::ready("a")));
    }

    #[test]
    fn a_relay_that_is_away_is_said_in_its_network_alone() {
        let now = Timestamp::from_second(1).unwrap();
        let before = update_conditions(&[], &Health::ready("good"), Some(1), now);
        let away = Health::degraded(Reason::RelayUnreachable, "no answer");
        assert!(stays(Kind::User, Some(1), &before, &away));
        assert!(!stays(Kind::Network, Some(1), &before, &away));
        assert!(!stays(Kind::User, Some(2), &before, &away), "the new spec has not reached the relay");
        assert!(!stays(Kind::User, Some(1), &before, &Health::degraded(Reason::RelayRefused, "x")));
    }

    #[test]
    fn notes_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = "ä".repeat(600);
        assert_eq!(cut(&long).len(), 1000);
        assert_eq!(cut(&format!("x{long}")).len(), 999);
    }

    #[test]
    fn conditions_of_others_are_not_applied() {
        let status = json!({"conditions": [{"type": "Ready"}, {"type": "Audited"}]});
        let body = body::<User>(&ObjectId::new(Kind::User, "alice"), status);
        assert_eq!(body["status"]["conditions"], json!([{"type": "Ready"}]));
        assert_eq!((body["kind"].as_str(), body["apiVersion"].as_str()), (Some("User"), Some("sotto.dev/v1alpha1")));
    }
}
