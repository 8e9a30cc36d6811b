//! One network: dereference → validate → Secrets → build → apply → relay → finalizers → status. Its objects are looked at together,
//! because they refer to each other; each gets its own status, and one that is broken stops no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use serde_json::Value;
use sotto_crds::{RetentionPolicy, User};
use tokio::time::Instant;

use super::context::{Context, together};
use super::finalize::{Account, is_orphaned, may_go};
use super::index::Index;
use super::kept::{Belongs, Holds};
use super::labels::{self, FINALIZER};
use super::members::{Members, Unreadable, owners};
use super::memo::{Memo, Seen};
use super::network::{Brought, Owners};
use super::places::places;
use super::queue::{Cause, Unit};
use super::report::Report;
use crate::admin::Answer;
use crate::plan::{
    Facts, Finding, Health, Kind, ObjectId, Observed, PeerFacts, READY, SecretId, Secrets, ValidNetwork, Validation,
    assess, introduce, validate,
};
use crate::reasons::Reason;

/// When to look again while the Secrets of a namespace are being listed (their arrival calls too).
const LISTING: Duration = Duration::from_secs(5);

/// What went wrong so that the network has to be looked at again with a growing delay.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct ReconcileError(String);

/// Looks at one unit; answers when to look again without being called.
pub(super) async fn reconcile(
    context: &Arc<Context>,
    unit: &Unit,
    cause: Cause,
) -> Result<Option<Duration>, ReconcileError> {
    let unreadable = Unreadable::read(context, &unit.namespace);
    if unit.network.is_empty() {
        return nowhere(context, unit, &unreadable).await;
    }
    let memo = context.memos.get(unit);
    let begin = Instant::now();
    // Nothing has changed in the cluster: the objects need not be read. What is paused or gone has no memo.
    if cause == Cause::Timer
        && let Some(memo) = &memo
        && memo.is_quiet(begin)
        && relay_is_the_same(context, unit, memo).await
        && context.records(&unit.namespace, memo.records.keys()).await == memo.records
    {
        return Ok(Some(memo.again(begin)));
    }
    let seen = Members::read(context, unit);
    if seen.is_empty() {
        forget(context, unit).await;
        return Ok(None);
    }
    if seen.network.is_some() && !context.secrets_are_known(&unit.namespace).await.map_err(ReconcileError)? {
        return Ok(Some(LISTING));
    }
    if seen.is_paused() {
        return paused(context, unit, &seen).await;
    }

    let (mut brought, waiting, trouble) = whole(context, unit, &seen, &unreadable).await;
    if !trouble.is_empty() {
        context.memos.forget(unit);
        return Err(ReconcileError(trouble.join(" · ")));
    }
    let etag = brought.as_mut().and_then(|brought| brought.etag.take());
    let records = brought.map(|brought| brought.records).unwrap_or_default();
    let same = |memo: &Memo| memo.etag == etag && memo.records == records;
    let changed = cause == Cause::Change || !memo.as_ref().is_some_and(same);
    let now = Instant::now();
    let memo = Memo::after(memo.as_ref(), Seen { waiting, changed, etag, records }, now);
    let again = memo.again(now);
    context.memos.set(unit, memo);
    Ok(Some(again))
}

/// Nothing refers to this network any more, and it is not there.
async fn forget(context: &Context, unit: &Unit) {
    context.memos.forget(unit);
    if context.networks.list(&unit.namespace).is_empty() {
        context.leave(&unit.namespace).await;
    }
}

async fn relay_is_the_same(context: &Context, unit: &Unit, memo: &Memo) -> bool {
    let existing = context.existing_secrets(&unit.namespace, &unit.network, vec![SecretId::OperatorTls]);
    let Some(identity) = existing.get(&SecretId::OperatorTls) else { return false };
    let Ok(client) = context.relay(unit, &super::places::admin_url(&unit.network, &unit.namespace), identity) else {
        return false;
    };
    matches!(client.state_since(memo.etag.as_deref()).await, Ok(Answer::Same))
}

/// Looks at everything of the network. Answers how far it was brought, whether something is on its way, and what went wrong.
async fn whole(
    context: &Context,
    unit: &Unit,
    seen: &Members,
    unreadable: &Unreadable,
) -> (Option<Brought>, bool, Vec<String>) {
    let now = Timestamp::now();
    let now_ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
    // The relay must not learn of an account before the object has a finalizer for it.
    let mut trouble = add_finalizers(context, &context.users, &seen.users.wanted).await;
    trouble.extend(add_finalizers(context, &context.policies, &seen.policies.wanted).await);

    let objects = seen.objects(context, unit, unreadable);
    let validation = validate(&objects);
    let brought = match validation.networks.get(&*unit.network) {
        Some(network) => Some(bring(context, unit, seen, network, &validation, now, now_ms).await),
        None => None,
    };
    trouble.extend(let_go(context, unit, seen, &validation, brought.as_ref(), now).await);

    let observed: BTreeMap<String, Observed> =
        brought.iter().map(|brought| (unit.network.to_string(), brought.observed.clone())).collect();
    let health = assess(&objects, &validation, &observed);
    trouble.extend(report(context, unit, seen, &validation, brought.as_ref(), &health, now).await);

    let ours = |id: &ObjectId| id.kind != Kind::Network || id.name == *unit.network;
    let waiting = health.iter().any(|(id, health)| ours(id) && (health.is_progressing() || health.is_degraded()))
        || !seen.users.ending.is_empty()
        || !seen.policies.ending.is_empty();
    (brought, waiting, trouble)
}

async fn add_finalizers<K, T>(context: &Context, index: &Index<T>, objects: &[Arc<K>]) -> Vec<String>
where
    K: Belongs + serde::de::DeserializeOwned,
    T: Holds<K> + Send + Sync,
{
    let lacks = |object: &&Arc<K>| !object.finalizers().iter().any(|f| f == FINALIZER);
    let work = objects.iter().filter(lacks).map(|object| context.finalizer(index, object.meta(), true).boxed());
    together(work.collect()).await.into_iter().filter_map(Result::err).collect()
}

/// Brings the network about.
async fn bring(
    context: &Context,
    unit: &Unit,
    seen: &Members,
    network: &ValidNetwork,
    validation: &Validation,
    now: Timestamp,
    now_ms: u64,
) -> Brought {
    let owners = Owners {
        networks: owners("Network", &seen.network),
        policies: owners("RetentionPolicy", &seen.policies.wanted),
        users: owners("User", &seen.users.wanted),
    };
    let places = places(network, &unit.namespace);
    let mut brought = context.secrets_of(unit, seen, network, places, &owners, now_ms).await;
    let facts: BTreeMap<String, PeerFacts> = validation
        .networks
        .iter()
        .filter(|(name, _)| **name != *unit.network)
        .filter_map(|(name, peer)| Some((name.clone(), peer_facts(context, unit, name, peer)?)))
        .collect();
    let slow = slow(seen, now);
    context.run_network(unit, network, &mut brought, &facts, &owners, &slow, now_ms).await;
    brought
}

/// What a peer in the same namespace is known by, where its keys are made.
fn peer_facts(context: &Context, unit: &Unit, name: &str, peer: &ValidNetwork) -> Option<PeerFacts> {
    let ids = vec![SecretId::Authority, SecretId::PolicyKey];
    let secrets = Secrets::kept(context.existing_secrets(&unit.namespace, name, ids));
    introduce(&places(peer, &unit.namespace), &secrets)
}

/// The objects whose workloads have been starting for so long that something must be wrong.
fn slow(seen: &Members, now: Timestamp) -> BTreeSet<ObjectId> {
    let networks =
        seen.network.iter().map(|o| (Kind::Network, &o.metadata, o.status.as_ref().map(|s| s.conditions.as_slice())));
    let policies = seen
        .policies
        .wanted
        .iter()
        .map(|o| (Kind::RetentionPolicy, &o.metadata, o.status.as_ref().map(|s| s.conditions.as_slice())));
    let objects =
        networks.chain(policies).filter(|(_, meta, conditions)| is_slow(meta, conditions.unwrap_or_default(), now));
    objects.filter_map(|(kind, meta, _)| Some(ObjectId::new(kind, meta.name.clone()?))).collect()
}

fn is_slow(meta: &ObjectMeta, conditions: &[Condition], now: Timestamp) -> bool {
    const LIMIT: SignedDuration = SignedDuration::from_secs(300);
    let ready = conditions.iter().find(|c| c.type_ == READY);
    ready.is_some_and(|c| {
        c.status == "False"
            && c.observed_generation == meta.generation
            && [Reason::RollingOut, Reason::WaitingForCertificate, Reason::WorkloadFailing]
                .map(Reason::as_str)
                .contains(&c.reason.as_str())
            && now.duration_since(c.last_transition_time.0) > LIMIT
    })
}

/// Takes our finalizer from the objects that are being deleted, where the relay has no account of them any more.
async fn let_go(
    context: &Context,
    unit: &Unit,
    seen: &Members,
    validation: &Validation,
    brought: Option<&Brought>,
    now: Timestamp,
) -> Vec<String> {
    let account = |local: &str| {
        let (true, Some(brought)) = (validation.networks.contains_key(&*unit.network), brought) else {
            return Account::NoRelay;
        };
        match &brought.observed.state {
            Some(state) if !state.users.contains_key(local) => Account::Removed,
            Some(_) => Account::Unknown,
            None if brought.relay_is_made => Account::Unknown,
            None => Account::NoRelay,
        }
    };
    let goes = |meta: &ObjectMeta, local: &str| {
        let at = meta.deletion_timestamp.as_ref().map_or(now, |t| t.0);
        is_orphaned(meta) || may_go(account(local), at, now)
    };
    let mut trouble = Vec::new();
    for user in &seen.users.ending {
        let local = user.spec.username.clone().unwrap_or_else(|| user.name_any());
        if goes(&user.metadata, &local) {
            trouble.extend(context.finalizer::<User, _>(&context.users, &user.metadata, false).await.err());
        }
    }
    for policy in &seen.policies.ending {
        if goes(&policy.metadata, &crate::plan::retention_local(&policy.name_any())) {
            trouble.extend(
                context.finalizer::<RetentionPolicy, _>(&context.policies, &policy.metadata, false).await.err(),
            );
        }
    }
    trouble
}

async fn report(
    context: &Context,
    unit: &Unit,
    seen: &Members,
    validation: &Validation,
    brought: Option<&Brought>,
    health: &BTreeMap<ObjectId, Health>,
    now: Timestamp,
) -> Vec<String> {
    let facts = brought.map_or_else(Facts::default, |brought| Facts {
        network: validation.networks.get(&*unit.network),
        places: Some(&brought.places),
        // Keys that could not be kept are nobody's.
        secrets: brought.keys_are_kept.then_some(&brought.secrets),
        plan: brought.plan.as_ref(),
        observed: Some(&brought.observed),
        image: Some(&context.options.image),
    });
    let report = Report { namespace: &unit.namespace, health, facts, now };
    let mut results = Vec::new();
    if let Some(object) = &seen.network {
        results.push(context.report_network(&report, object).await);
    }
    let report = &report;
    let mut work: Vec<BoxFuture<'_, _>> = Vec::new();
    work.extend(seen.groups.wanted.iter().map(|object| context.report_group(report, object).boxed()));
    work.extend(seen.users.wanted.iter().map(|object| context.report_user(report, object).boxed()));
    work.extend(seen.policies.wanted.iter().map(|object| context.report_policy(report, object).boxed()));
    results.extend(together(work).await);
    results.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect()
}

/// A network that is to be left as it is says so; what is being deleted goes all the same.
async fn paused(context: &Context, unit: &Unit, seen: &Members) -> Result<Option<Duration>, ReconcileError> {
    context.memos.forget(unit);
    let now = Timestamp::now();
    let mut trouble = Vec::new();
    if let Some(network) = &seen.network {
        trouble.extend(
            context
                .report_paused(&unit.namespace, &context.networks, Kind::Network, network.as_ref(), now)
                .await
                .err()
                .map(|e| e.to_string()),
        );
    }
    let gone = |meta: &ObjectMeta| {
        let at = meta.deletion_timestamp.as_ref().map_or(now, |t| t.0);
        is_orphaned(meta) || may_go(Account::Unknown, at, now)
    };
    for user in seen.users.ending.iter().filter(|user| gone(&user.metadata)) {
        trouble.extend(context.finalizer::<User, _>(&context.users, &user.metadata, false).await.err());
    }
    for policy in seen.policies.ending.iter().filter(|policy| gone(&policy.metadata)) {
        trouble.extend(context.finalizer::<RetentionPolicy, _>(&context.policies, &policy.metadata, false).await.err());
    }
    if !trouble.is_empty() {
        return Err(ReconcileError(trouble.join(" · ")));
    }
    let ending = !seen.users.ending.is_empty() || !seen.policies.ending.is_empty();
    Ok(ending.then_some(LISTING))
}

/// The objects of a namespace that cannot be read.
async fn nowhere(context: &Context, unit: &Unit, unreadable: &Unreadable) -> Result<Option<Duration>, ReconcileError> {
    let now = Timestamp::now();
    let mut trouble = context.report_unreadable(&unit.namespace, unreadable, now).await;
    // Whose account an unreadable object is nobody knows: what the relay has is removed when the object is gone.
    let ending = |meta: &&Arc<ObjectMeta>| meta.deletion_timestamp.is_some();
    let overdue = |meta: &&Arc<ObjectMeta>| {
        is_orphaned(meta) || meta.deletion_timestamp.as_ref().is_some_and(|at| may_go(Account::Unknown, at.0, now))
    };
    for meta in unreadable.users.iter().filter(ending).filter(overdue) {
        trouble.extend(context.finalizer::<User, _>(&context.users, meta, false).await.err());
    }
    for meta in unreadable.policies.iter().filter(ending).filter(overdue) {
        trouble.extend(context.finalizer::<RetentionPolicy, _>(&context.policies, meta, false).await.err());
    }
    if !trouble.is_empty() {
        return Err(ReconcileError(trouble.join(" · ")));
    }
    let waits = unreadable.users.iter().chain(&unreadable.policies).any(|meta| ending(&meta));
    Ok(waits.then_some(LISTING))
}

/// Notes what went wrong with an object.
pub(super) fn note(observed: &mut Observed, id: ObjectId, reason: Reason, message: String) {
    observed.findings.entry(id).or_default().push(Finding { reason, message });
}

/// What is to be told of a workload, and of the relay's state; see `network.rs`.
pub(super) type Live = BTreeMap<(String, String), Value>;

/// Whether the annotation asks for it.
pub(super) fn accepts_new_keys(network: &sotto_crds::Network) -> bool {
    network.annotations().get(labels::NEW_KEYS).is_some_and(|value| value == "true")
}
