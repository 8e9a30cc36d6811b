//! Statuses and events: written when something changed, also when a step failed.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::PoisonError;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::core::object::HasStatus;
use kube::runtime::events::{Event, EventType};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sotto_crds::{
    Network, NetworkStatus, RetentionPolicy, RetentionPolicyStatus, SecurityGroup, SecurityGroupStatus, User,
    UserStatus,
};
use tokio::time::timeout;

use super::context::{API_TIMEOUT, Context, is_gone, words};
use super::index::Index;
use super::kept::{Belongs, Holds};
use super::labels::MANAGER;
use super::members::Unreadable;
use crate::failpoint;
use crate::plan::{
    COMPLETE, DEGRADED, Facts, Health, Kind, OURS, ObjectId, PAUSED_ANNOTATION, READY, STALLED_AFTER, group_status,
    is_paused, network_status, paused_conditions, policy_status, unreadable_problem, update_conditions, user_status,
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

/// The objects of a network with what their statuses are made from.
pub(super) struct Report<'a> {
    pub(super) namespace: &'a str,
    pub(super) health: &'a BTreeMap<ObjectId, Health>,
    pub(super) facts: Facts<'a>,
    pub(super) now: Timestamp,
}

/// A status with conditions.
pub(super) trait Conditioned: Clone + Default + serde::Serialize {
    fn conditions(&mut self) -> &mut Vec<Condition>;
}

impl Conditioned for NetworkStatus {
    fn conditions(&mut self) -> &mut Vec<Condition> {
        &mut self.conditions
    }
}
impl Conditioned for SecurityGroupStatus {
    fn conditions(&mut self) -> &mut Vec<Condition> {
        &mut self.conditions
    }
}
impl Conditioned for UserStatus {
    fn conditions(&mut self) -> &mut Vec<Condition> {
        &mut self.conditions
    }
}
impl Conditioned for RetentionPolicyStatus {
    fn conditions(&mut self) -> &mut Vec<Condition> {
        &mut self.conditions
    }
}

/// An object's status before and after.
struct Change<'a> {
    before: &'a [Condition],
    same: bool,
    /// Whether a retention process says something else of its record.
    is_of_record: bool,
    status: Value,
}

impl Report<'_> {
    fn of(&self, kind: Kind, object: &impl Resource) -> Option<(ObjectId, &Health)> {
        let id = ObjectId::new(kind, object.name_any());
        let health = self.health.get(&id)?;
        Some((id, health))
    }
}

fn change<'a, S: PartialEq + serde::Serialize>(before: Option<&S>, now: &S, conditions: &'a [Condition]) -> Change<'a> {
    let same = before == Some(now);
    Change { before: conditions, same, is_of_record: false, status: if same { Value::Null } else { json!(now) } }
}

fn conditions<S>(status: Option<&S>, of: impl Fn(&S) -> &[Condition]) -> &[Condition] {
    status.map(of).unwrap_or_default()
}

impl Context {
    pub(super) async fn report_network(&self, report: &Report<'_>, object: &Network) -> Result<(), ReportError> {
        let Some((id, health)) = report.of(Kind::Network, object) else { return Ok(()) };
        let before = object.status.as_ref();
        let status = network_status(before, health, object.metadata.generation, report.facts, report.now);
        let change = change(before, &status, conditions(before, |s| &s.conditions));
        self.report(report, &self.networks, &id, object, health, change).await.map(drop)
    }

    pub(super) async fn report_group(&self, report: &Report<'_>, object: &SecurityGroup) -> Result<(), ReportError> {
        if is_paused(&object.metadata) {
            return self.report_paused(report.namespace, &self.groups, Kind::SecurityGroup, object, report.now).await;
        }
        let Some((id, health)) = report.of(Kind::SecurityGroup, object) else { return Ok(()) };
        let before = object.status.as_ref();
        let status = group_status(before, &id.name, health, object.metadata.generation, report.facts, report.now);
        let change = change(before, &status, conditions(before, |s| &s.conditions));
        self.report(report, &self.groups, &id, object, health, change).await.map(drop)
    }

    pub(super) async fn report_user(&self, report: &Report<'_>, object: &User) -> Result<(), ReportError> {
        if is_paused(&object.metadata) {
            return self.report_paused(report.namespace, &self.users, Kind::User, object, report.now).await;
        }
        let Some((id, health)) = report.of(Kind::User, object) else { return Ok(()) };
        let before = object.status.as_ref();
        let status = user_status(before, &id.name, health, object.metadata.generation, report.facts, report.now);
        let change = change(before, &status, conditions(before, |s| &s.conditions));
        self.report(report, &self.users, &id, object, health, change).await.map(drop)
    }

    pub(super) async fn report_policy(&self, report: &Report<'_>, object: &RetentionPolicy) -> Result<(), ReportError> {
        if is_paused(&object.metadata) {
            return self
                .report_paused(report.namespace, &self.policies, Kind::RetentionPolicy, object, report.now)
                .await;
        }
        let Some((id, health)) = report.of(Kind::RetentionPolicy, object) else { return Ok(()) };
        let before = object.status.as_ref();
        let status = policy_status(before, &id.name, health, object.metadata.generation, report.facts, report.now);
        let old = conditions(before, |s| &s.conditions);
        let news = news_of_record(old, &status.conditions);
        let change = Change { is_of_record: news.is_some(), ..change(before, &status, old) };
        if self.report(report, &self.policies, &id, object, health, change).await?
            && let Some(news) = news
        {
            self.tell(object, &news).await;
        }
        Ok(())
    }

    /// Writes a status where that is to be done, and whether it was.
    async fn report<K, T>(
        &self,
        report: &Report<'_>,
        index: &Index<T>,
        id: &ObjectId,
        object: &K,
        health: &Health,
        change: Change<'_>,
    ) -> Result<bool, ReportError>
    where
        K: Belongs + Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
        T: Holds<K>,
    {
        let meta = object.meta();
        if change.same
            || stays(id.kind, meta.generation, change.before, health) && !change.is_of_record
            || settles(id.kind, meta, change.before, health, report.now)
        {
            return Ok(false);
        }
        self.write_status(report.namespace, index, id, change.status).await?;
        if turned(change.before, health) && is_news(id.kind, change.before, health) {
            self.tell(object, health).await;
        }
        Ok(true)
    }

    /// An object that is left as it is says so; what was true of it before stays there, also which generation it was true of.
    pub(super) async fn report_paused<K, T>(
        &self,
        namespace: &str,
        index: &Index<T>,
        kind: Kind,
        object: &K,
        now: Timestamp,
    ) -> Result<(), ReportError>
    where
        K: Belongs + Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
        K: HasStatus<Status: Conditioned>,
        T: Holds<K>,
    {
        let id = ObjectId::new(kind, object.name_any());
        let message = format!(
            "nothing of this {kind} is changed while its annotation {PAUSED_ANNOTATION} is \"true\"; remove the annotation to go on"
        );
        let mut status = object.status().cloned().unwrap_or_default();
        let conditions = paused_conditions(status.conditions(), &message, object.meta().generation, now);
        if conditions == *status.conditions() {
            return Ok(());
        }
        *status.conditions() = conditions;
        self.write_status(namespace, index, &id, json!(status)).await?;
        // Of users and groups there are thousands.
        if matches!(kind, Kind::Network | Kind::RetentionPolicy) {
            self.tell(object, &Health::progressing(Reason::Paused, message)).await;
        }
        Ok(())
    }

    /// An object that cannot be read still gets its status, once for each generation.
    pub(super) async fn report_unreadable(
        &self,
        namespace: &str,
        unreadable: &Unreadable,
        now: Timestamp,
    ) -> Vec<String> {
        let mut trouble = Vec::new();
        for meta in &unreadable.networks {
            trouble.extend(self.report_bad::<Network>(namespace, Kind::Network, meta, now).await.err());
        }
        for meta in &unreadable.groups {
            trouble.extend(self.report_bad::<SecurityGroup>(namespace, Kind::SecurityGroup, meta, now).await.err());
        }
        for meta in &unreadable.users {
            trouble.extend(self.report_bad::<User>(namespace, Kind::User, meta, now).await.err());
        }
        for meta in &unreadable.policies {
            trouble.extend(self.report_bad::<RetentionPolicy>(namespace, Kind::RetentionPolicy, meta, now).await.err());
        }
        trouble.into_iter().map(|error| error.to_string()).collect()
    }

    async fn report_bad<K>(
        &self,
        namespace: &str,
        kind: Kind,
        meta: &ObjectMeta,
        now: Timestamp,
    ) -> Result<(), ReportError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let id = ObjectId::new(kind, meta.name.clone().unwrap_or_default());
        let uid = meta.uid.clone().unwrap_or_default();
        let generation = meta.generation.unwrap_or_default();
        let known = |map: &std::collections::HashMap<String, i64>| map.get(&uid) == Some(&generation);
        if known(&self.unreadable.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        let health = Health::degraded(Reason::Unreadable, unreadable_problem().to_string());
        // Waiting will not help: it is Stalled at once.
        let first = update_conditions(&[], &health, meta.generation, now);
        let later = now.checked_add(STALLED_AFTER).unwrap_or(now);
        let mut conditions = update_conditions(&first, &health, meta.generation, later);
        for condition in &mut conditions {
            condition.last_transition_time = Time(now);
        }
        let status = json!({"observedGeneration": meta.generation, "conditions": conditions});
        // Without reading the answer as what it cannot be read as.
        let api = self.api_of(namespace, &kube::api::ApiResource::erase::<K>(&()));
        let body = body::<K>(&id, status);
        let params = PatchParams::apply(MANAGER).force();
        let patch = Patch::Apply(&body);
        let work = api.patch_status(&id.name, &params, &patch);
        written(&id, timeout(API_TIMEOUT, work).await)?;
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, generation);
        Ok(())
    }

    async fn write_status<K, T>(
        &self,
        namespace: &str,
        index: &Index<T>,
        id: &ObjectId,
        status: Value,
    ) -> Result<(), ReportError>
    where
        K: Belongs + Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
        T: Holds<K>,
    {
        let body = body::<K>(id, status);
        let params = PatchParams::apply(MANAGER).force();
        let api = self.api::<K>(namespace);
        let patch = Patch::Apply(&body);
        let work = api.patch_status(&id.name, &params, &patch);
        if let Some(object) = written(id, timeout(API_TIMEOUT, work).await)? {
            index.put(T::from(DeserializeGuard(Ok(object))));
        }
        failpoint::hit("status");
        Ok(())
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
        conditions.retain(|c| OURS.iter().any(|ours| c["type"] == *ours));
    }
    json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": id.name},
        "status": status,
    })
}

fn written<T, E>(id: &ObjectId, result: Result<Result<T, kube::Error>, E>) -> Result<Option<T>, ReportError> {
    match result {
        Ok(Ok(object)) => Ok(Some(object)),
        // Deleted meanwhile: nobody reads it any more.
        Ok(Err(error)) if is_gone(&error) => Ok(None),
        Ok(Err(error)) => Err(ReportError { id: id.clone(), why: words(&error) }),
        Err(_) => Err(ReportError { id: id.clone(), why: "the API server has not answered in time".into() }),
    }
}

/// Whether `Ready` says something else than before.
fn turned(before: &[Condition], health: &Health) -> bool {
    let ready = before.iter().find(|c| c.type_ == READY);
    ready.is_none_or(|c| c.reason != health.reason().as_str() || (c.status == "True") != health.is_ready())
}

/// What is to be told of a record: that something is missing, or nobody knows, and that it is complete again.
fn news_of_record(before: &[Condition], now: &[Condition]) -> Option<Health> {
    let complete = |conditions: &[Condition]| conditions.iter().find(|c| c.type_ == COMPLETE).cloned();
    let (before, now) = (complete(before), complete(now)?);
    let was = before.as_ref().map(|c| c.status.as_str());
    match now.status.as_str() {
        same if was == Some(same) => None,
        "False" => Some(Health::degraded(Reason::MessagesMissing, now.message)),
        "True" => was.map(|_| Health::ready(now.message)),
        _ => was.map(|_| Health::degraded(Reason::ProcessSilent, now.message)),
    }
}

/// What the relay holds of a user stays true while the relay is away; that it is away is said once, in the status of its Network,
/// and not in those of ten thousand users.
fn stays(kind: Kind, generation: Option<i64>, before: &[Condition], health: &Health) -> bool {
    let away = [Reason::RelayUnreachable, Reason::WaitingForRelay].contains(&health.reason());
    let ready = before.iter().find(|c| c.type_ == READY);
    let was = ready.is_some_and(|c| c.status == "True" && c.observed_generation == generation);
    kind != Kind::Network && away && was
}

/// A new user or group is Progressing without a word (`observedGeneration: -1`), and Ready a moment later: to write the first as well
/// would double what ten thousand users cost. What takes longer is said.
fn settles(kind: Kind, meta: &ObjectMeta, before: &[Condition], health: &Health, now: Timestamp) -> bool {
    const MOMENT: SignedDuration = SignedDuration::from_secs(10);
    let young = meta.creation_timestamp.as_ref().is_some_and(|born| now.duration_since(born.0) < MOMENT);
    matches!(kind, Kind::User | Kind::SecurityGroup) && before.is_empty() && health.is_progressing() && young
}

/// Whether it is worth an event: of users and groups, of which there are thousands, only what is wrong, and that it no longer is.
fn is_news(kind: Kind, before: &[Condition], health: &Health) -> bool {
    let was_wrong = before.iter().any(|c| c.type_ == DEGRADED && c.status == "True");
    matches!(kind, Kind::Network | Kind::RetentionPolicy) || health.is_degraded() || was_wrong
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
    fn what_is_missing_in_a_record_is_told_when_it_turns() {
        let said = |status: &str| {
            vec![Condition {
                type_: COMPLETE.into(),
                status: status.into(),
                reason: "R".into(),
                message: "in words".into(),
                observed_generation: None,
                last_transition_time: Time(Timestamp::from_second(1).unwrap()),
            }]
        };
        let news = |before: &[Condition], now: &str| news_of_record(before, &said(now));
        assert_eq!(news(&[], "True"), None, "as it should be from the beginning");
        assert_eq!(news(&[], "Unknown"), None, "it is starting");
        let missing = Some(Health::degraded(Reason::MessagesMissing, "in words"));
        assert_eq!(news(&[], "False"), missing);
        assert_eq!((news(&said("True"), "False"), news(&said("False"), "False")), (missing, None));
        assert_eq!(news(&said("False"), "True"), Some(Health::ready("in words")));
        assert_eq!(news(&said("True"), "Unknown"), Some(Health::degraded(Reason::ProcessSilent, "in words")));
        assert_eq!(news_of_record(&said("False"), &[]), None);
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
    fn a_new_user_is_not_said_to_be_on_the_way_until_it_takes_long() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let meta = ObjectMeta { creation_timestamp: Some(Time(at(100))), ..ObjectMeta::default() };
        let way = Health::progressing(Reason::WaitingForRelay, "the relay is starting");
        assert!(settles(Kind::User, &meta, &[], &way, at(105)));
        assert!(!settles(Kind::User, &meta, &[], &way, at(111)));
        assert!(!settles(Kind::Network, &meta, &[], &way, at(105)));
        assert!(!settles(Kind::User, &meta, &[], &Health::degraded(Reason::DuplicateAddress, "x"), at(105)));
        let before = update_conditions(&[], &Health::ready("good"), Some(1), at(101));
        assert!(!settles(Kind::User, &meta, &before, &way, at(105)));
    }

    #[test]
    fn of_thousands_of_users_only_what_is_wrong_is_an_event() {
        let now = Timestamp::from_second(1).unwrap();
        let wrong = Health::degraded(Reason::DuplicateAddress, "x");
        let before = update_conditions(&[], &wrong, Some(1), now);
        assert!(is_news(Kind::User, &[], &wrong) && is_news(Kind::User, &before, &Health::ready("good")));
        assert!(!is_news(Kind::User, &[], &Health::ready("good")));
        assert!(is_news(Kind::Network, &[], &Health::ready("good")));
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
