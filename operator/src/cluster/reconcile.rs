//! One namespace: dereference → validate → Secrets → build → apply → relay → finalizers → status. Its objects are looked at together,
//! because they refer to each other; each gets its own status, and one that is broken stops no other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::{Resource, ResourceExt as _};
use serde_json::Value;
use sotto_crds::{Network, RetentionPolicy, SecurityGroup, User};

use super::context::Context;
use super::finalize::{Account, may_go};
use super::index::{Entry, Index};
use super::network::{Brought, Owners};
use super::places::places;
use super::render::Owner;
use super::report::Report;
use crate::plan::{
    Facts, Finding, Health, Kind, ObjectId, Objects, Observed, PeerFacts, READY, ValidNetwork, Validation, assess,
    introduce, validate,
};
use crate::reasons::Reason;

/// When to look again while something is on its way, and when nothing is (the relay knows better who has registered).
const SOON: Duration = Duration::from_secs(2);
const LATER: Duration = Duration::from_secs(10);

/// What went wrong so that the namespace has to be looked at again with a growing delay.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct ReconcileError(String);

/// The objects of one kind: wanted, being deleted, unreadable.
struct Sorted<K> {
    wanted: Vec<K>,
    ending: Vec<K>,
    bad: Vec<ObjectMeta>,
}

fn sort<K: Resource + Clone>(index: &Index<K>, namespace: &str) -> Sorted<K> {
    let mut sorted = Sorted { wanted: Vec::new(), ending: Vec::new(), bad: Vec::new() };
    for entry in index.list(namespace) {
        match entry {
            Entry::Good(object) if object.meta().deletion_timestamp.is_none() => sorted.wanted.push((*object).clone()),
            Entry::Good(object) => sorted.ending.push((*object).clone()),
            Entry::Bad(meta) => sorted.bad.push((*meta).clone()),
        }
    }
    sorted
}

struct Namespace {
    networks: Sorted<Network>,
    groups: Sorted<SecurityGroup>,
    users: Sorted<User>,
    policies: Sorted<RetentionPolicy>,
}

impl Namespace {
    fn read(context: &Context, namespace: &str) -> Self {
        Self {
            networks: sort(&context.networks, namespace),
            groups: sort(&context.groups, namespace),
            users: sort(&context.users, namespace),
            policies: sort(&context.policies, namespace),
        }
    }

    fn objects(&self, secret_names: BTreeSet<String>, own_secrets: BTreeSet<String>) -> Objects {
        let names = |kind, bad: &[ObjectMeta]| {
            bad.iter().filter_map(move |m| Some(ObjectId::new(kind, m.name.clone()?))).collect::<Vec<_>>()
        };
        let unreadable = [
            names(Kind::Network, &self.networks.bad),
            names(Kind::SecurityGroup, &self.groups.bad),
            names(Kind::User, &self.users.bad),
            names(Kind::RetentionPolicy, &self.policies.bad),
        ];
        Objects {
            networks: self.networks.wanted.clone(),
            groups: self.groups.wanted.clone(),
            users: self.users.wanted.clone(),
            policies: self.policies.wanted.clone(),
            unreadable: unreadable.concat().into_iter().collect(),
            secret_names: Some(secret_names),
            own_secrets,
        }
    }

    /// Secrets that objects name.
    fn referenced_secrets(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        for network in &self.networks.wanted {
            names.extend(network.spec.relay.tls.secret_name.as_deref());
            names.extend(network.spec.metrics.cloud_watch.credentials_secret_name.as_deref());
        }
        for policy in &self.policies.wanted {
            let bucket = policy.spec.destination.s3.as_ref();
            names.extend(bucket.and_then(|s3| s3.credentials_secret_name.as_deref()));
        }
        names
    }

    fn is_empty(&self) -> bool {
        let none = |n: usize| n == 0;
        none(
            self.networks.wanted.len()
                + self.groups.wanted.len()
                + self.users.wanted.len()
                + self.policies.wanted.len(),
        ) && none(self.users.ending.len() + self.policies.ending.len())
            && none(self.networks.bad.len() + self.groups.bad.len() + self.users.bad.len() + self.policies.bad.len())
    }
}

fn owners<K: Resource<DynamicType = ()>>(kind: &'static str, objects: &[K]) -> BTreeMap<String, Owner> {
    let owner = |object: &K| {
        let (name, uid) = (object.name_any(), object.uid().unwrap_or_default());
        (name.clone(), Owner { kind, name, uid })
    };
    objects.iter().map(owner).collect()
}

/// Looks at one namespace; answers when to look again without being called.
pub(super) async fn reconcile(context: &Context, namespace: &str) -> Result<Option<Duration>, ReconcileError> {
    let seen = Namespace::read(context, namespace);
    if seen.is_empty() {
        return Ok(None);
    }
    let now = Timestamp::now();
    let now_ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let mut trouble = Vec::new();

    // The relay must not learn of an account before the object has a finalizer for it.
    for user in &seen.users.wanted {
        trouble.extend(context.finalizer::<User>(&user.metadata, true).await.err());
    }
    for policy in &seen.policies.wanted {
        trouble.extend(context.finalizer::<RetentionPolicy>(&policy.metadata, true).await.err());
    }

    let referenced = context.referenced(namespace, seen.referenced_secrets()).await;
    let own = context.secrets.list(namespace).iter().filter_map(|entry| entry.meta().name.clone()).collect();
    let objects = seen.objects(referenced, own);
    let validation = validate(&objects);
    let owners = Owners {
        networks: owners("Network", &seen.networks.wanted),
        policies: owners("RetentionPolicy", &seen.policies.wanted),
        users: owners("User", &seen.users.wanted),
    };
    let brought = bring(context, namespace, &seen, &validation, &owners, now, now_ms).await;

    trouble.extend(let_go(context, &seen, &validation, &brought, now).await);
    let observed: BTreeMap<String, Observed> =
        brought.iter().map(|(name, brought)| (name.clone(), brought.observed.clone())).collect();
    let health = assess(&objects, &validation, &observed);
    trouble.extend(report(context, namespace, &seen, &validation, &brought, &health, now).await);

    if !trouble.is_empty() {
        return Err(ReconcileError(trouble.join(" · ")));
    }
    let waiting = health.values().any(Health::is_progressing)
        || !seen.users.ending.is_empty()
        || !seen.policies.ending.is_empty();
    Ok(Some(if waiting { SOON } else { LATER }))
}

/// Brings every good network about.
async fn bring(
    context: &Context,
    namespace: &str,
    seen: &Namespace,
    validation: &Validation,
    owners: &Owners,
    now: Timestamp,
    now_ms: u64,
) -> BTreeMap<String, Brought> {
    let slow = slow(seen, now);
    let mut brought = BTreeMap::new();
    // Keys first, of all networks: peers in the namespace need each other's.
    for (name, network) in &validation.networks {
        let places = places(network, namespace);
        brought.insert(name.clone(), context.secrets_of(namespace, network, places, owners, now_ms).await);
    }
    let facts: BTreeMap<String, PeerFacts> = brought
        .iter()
        .filter(|(_, brought)| brought.keys_are_kept)
        .filter_map(|(name, brought)| Some((name.clone(), introduce(&brought.places, &brought.secrets)?)))
        .collect();
    for (name, network) in &validation.networks {
        let Some(brought) = brought.get_mut(name) else { continue };
        context.run_network(namespace, network, brought, &facts, owners, &slow, now_ms).await;
    }
    brought
}

/// The objects whose workloads have been starting for so long that something must be wrong.
fn slow(seen: &Namespace, now: Timestamp) -> BTreeSet<ObjectId> {
    let networks = seen
        .networks
        .wanted
        .iter()
        .map(|o| (Kind::Network, &o.metadata, o.status.as_ref().map(|s| s.conditions.as_slice())));
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
            && [Reason::RollingOut.as_str(), Reason::WorkloadFailing.as_str()].contains(&c.reason.as_str())
            && now.duration_since(c.last_transition_time.0) > LIMIT
    })
}

/// Takes our finalizer from the objects that are being deleted, where the relay has no account of them any more.
async fn let_go(
    context: &Context,
    seen: &Namespace,
    validation: &Validation,
    brought: &BTreeMap<String, Brought>,
    now: Timestamp,
) -> Vec<String> {
    let account = |network: &str, local: &dyn Fn(&ValidNetwork) -> String| {
        let (Some(valid), Some(brought)) = (validation.networks.get(network), brought.get(network)) else {
            return Account::NoRelay;
        };
        match &brought.observed.state {
            Some(state) if !state.users.contains_key(&local(valid)) => Account::Removed,
            Some(_) => Account::Unknown,
            None if brought.relay_is_made => Account::Unknown,
            None => Account::NoRelay,
        }
    };
    let mut trouble = Vec::new();
    // Whose account an unreadable object is nobody knows: what the relay has is removed when the object is gone.
    let overdue =
        |meta: &&ObjectMeta| meta.deletion_timestamp.as_ref().is_some_and(|at| may_go(Account::Unknown, at.0, now));
    for meta in seen.users.bad.iter().filter(overdue) {
        trouble.extend(context.finalizer::<User>(meta, false).await.err());
    }
    for meta in seen.policies.bad.iter().filter(overdue) {
        trouble.extend(context.finalizer::<RetentionPolicy>(meta, false).await.err());
    }
    for user in &seen.users.ending {
        let local = |_: &ValidNetwork| user.spec.username.clone().unwrap_or_else(|| user.name_any());
        let at = user.metadata.deletion_timestamp.as_ref().map_or(now, |t| t.0);
        if may_go(account(&user.spec.network_ref.name, &local), at, now) {
            trouble.extend(context.finalizer::<User>(&user.metadata, false).await.err());
        }
    }
    for policy in &seen.policies.ending {
        let local = |_: &ValidNetwork| crate::plan::retention_local(&policy.name_any());
        let at = policy.metadata.deletion_timestamp.as_ref().map_or(now, |t| t.0);
        if may_go(account(&policy.spec.network_ref.name, &local), at, now) {
            trouble.extend(context.finalizer::<RetentionPolicy>(&policy.metadata, false).await.err());
        }
    }
    trouble
}

async fn report(
    context: &Context,
    namespace: &str,
    seen: &Namespace,
    validation: &Validation,
    brought: &BTreeMap<String, Brought>,
    health: &BTreeMap<ObjectId, Health>,
    now: Timestamp,
) -> Vec<String> {
    let facts: BTreeMap<String, Facts<'_>> = brought
        .iter()
        .map(|(name, brought)| {
            let facts = Facts {
                network: validation.networks.get(name),
                places: Some(&brought.places),
                // Keys that could not be kept are nobody's.
                secrets: brought.keys_are_kept.then_some(&brought.secrets),
                plan: brought.plan.as_ref(),
                observed: Some(&brought.observed),
                image: Some(&context.options.image),
            };
            (name.clone(), facts)
        })
        .collect();
    let report = Report { namespace, health, facts: &facts, now };
    let mut trouble = Vec::new();
    for object in &seen.networks.wanted {
        trouble.extend(context.report_network(&report, object).await.err());
    }
    for object in &seen.groups.wanted {
        trouble.extend(context.report_group(&report, object).await.err());
    }
    for object in &seen.users.wanted {
        trouble.extend(context.report_user(&report, object).await.err());
    }
    for object in &seen.policies.wanted {
        trouble.extend(context.report_policy(&report, object).await.err());
    }
    for (id, problems) in &validation.problems {
        let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let bad = Health::degraded(Reason::Unreadable, words.join(" · "));
        let find = |metas: &[ObjectMeta]| metas.iter().find(|m| m.name.as_deref() == Some(&id.name)).cloned();
        let result = match id.kind {
            Kind::Network => match find(&seen.networks.bad) {
                Some(meta) => context.report_unreadable::<Network>(&report, id, &meta, &bad).await,
                None => Ok(()),
            },
            Kind::SecurityGroup => match find(&seen.groups.bad) {
                Some(meta) => context.report_unreadable::<SecurityGroup>(&report, id, &meta, &bad).await,
                None => Ok(()),
            },
            Kind::User => match find(&seen.users.bad) {
                Some(meta) => context.report_unreadable::<User>(&report, id, &meta, &bad).await,
                None => Ok(()),
            },
            Kind::RetentionPolicy => match find(&seen.policies.bad) {
                Some(meta) => context.report_unreadable::<RetentionPolicy>(&report, id, &meta, &bad).await,
                None => Ok(()),
            },
        };
        trouble.extend(result.err());
    }
    trouble.into_iter().map(|error| error.to_string()).collect()
}

impl Context {
    /// Which of the named Secrets are there. One that cannot be looked for is taken to be there: the kubelet will tell.
    async fn referenced(&self, namespace: &str, names: BTreeSet<&str>) -> BTreeSet<String> {
        let mut there = BTreeSet::new();
        for name in names {
            let found = self.api::<Secret>(namespace).get_metadata_opt(name).await;
            if !matches!(found, Ok(None)) {
                there.insert(name.to_owned());
            }
        }
        there
    }
}

/// Notes what went wrong with an object.
pub(super) fn note(observed: &mut Observed, id: ObjectId, reason: Reason, message: String) {
    observed.findings.entry(id).or_default().push(Finding { reason, message });
}

/// What is to be told of a workload, and of the relay's state; see `network.rs`.
pub(super) type Live = BTreeMap<(String, String), Value>;
