//! How each object is doing, from what is wrong with it and what was observed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::{Resource, ResourceExt as _};
use sotto_wire::admin::AdminState;
use sotto_wire::status::RetentionState;

use super::objects::{Kind, ObjectId, Objects, is_paused};
use super::problem::Problem;
use super::valid::ValidNetwork;
use super::validate::Validation;
use crate::reasons::Reason;

/// How an object is doing: one of ready, progressing, degraded; with the reason, and a message that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    state: State,
    reason: Reason,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Progressing,
    Degraded,
}

impl Health {
    /// As the spec wants it.
    pub fn ready(message: impl Into<String>) -> Self {
        Self { state: State::Ready, reason: Reason::Reconciled, message: message.into() }
    }
    /// On the way.
    pub fn progressing(reason: Reason, message: impl Into<String>) -> Self {
        Self { state: State::Progressing, reason, message: message.into() }
    }
    /// Wrong.
    pub fn degraded(reason: Reason, message: impl Into<String>) -> Self {
        Self { state: State::Degraded, reason, message: message.into() }
    }
    /// As the spec wants it.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }
    /// On the way.
    pub fn is_progressing(&self) -> bool {
        self.state == State::Progressing
    }
    /// Wrong.
    pub fn is_degraded(&self) -> bool {
        self.state == State::Degraded
    }
    /// Why.
    pub fn reason(&self) -> Reason {
        self.reason
    }
    /// In words.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// What went wrong with an object on the way, beside what is wrong with it itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Why.
    pub reason: Reason,
    /// What, and what to do; holds nothing secret.
    pub message: String,
}

/// How one workload is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// It serves its configuration as it is now.
    pub ready: bool,
    /// It does not get ready by itself.
    pub failing: bool,
    /// What it is about, such as `relay: 0 of 1 ready`.
    pub message: String,
}

/// What was observed of one network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The relay's workload.
    pub relay: Part,
    /// The gateway's, where federation is on.
    pub gateway: Option<Part>,
    /// The retention processes', by name of the policy.
    pub retention: BTreeMap<String, Part>,
    /// What retention processes that are ready say of their record, by name of the policy. Not those that did not answer.
    pub records: BTreeMap<String, RetentionState>,
    /// What the relay holds after the last synchronisation; `None` where it did not answer.
    pub state: Option<AdminState>,
    /// Why it did not answer, where it was asked.
    pub unreachable: Option<String>,
    /// What went wrong, by object.
    pub findings: BTreeMap<ObjectId, Vec<Finding>>,
}

/// How every object is doing. `observed` by name of the Network; those that were not brought to a relay yet are missing there.
/// Of [`Objects::only`] the networks alone.
pub fn assess(
    objects: &Objects,
    validation: &Validation,
    observed: &BTreeMap<String, Observed>,
) -> BTreeMap<ObjectId, Health> {
    let mut ids: Vec<ObjectId> = Vec::new();
    let asked = |name: &String| objects.only.as_ref().is_none_or(|names| names.contains(name));
    let networks = objects.networks.iter().map(|o| o.name_any()).filter(asked);
    ids.extend(networks.map(|name| ObjectId::new(Kind::Network, name)));
    ids.extend(objects.groups.iter().map(|o| ObjectId::new(Kind::SecurityGroup, o.name_any())));
    ids.extend(objects.users.iter().map(|o| ObjectId::new(Kind::User, o.name_any())));
    ids.extend(objects.policies.iter().map(|o| ObjectId::new(Kind::RetentionPolicy, o.name_any())));
    let paused = paused(objects);
    let members = members(validation);
    let nothing = Observed::default();
    ids.into_iter()
        .map(|id| {
            if paused.contains(&id) {
                let message = "is left as it is while it is paused";
                return (id, Health { reason: Reason::Paused, ..Health::ready(message) });
            }
            let network = members.get(&id).copied();
            let seen = network.and_then(|n| observed.get(&n.name)).unwrap_or(&nothing);
            let health = own(&id, validation, seen).unwrap_or_else(|| match network {
                None => Health::progressing(Reason::WaitingForNetwork, "has not been looked at yet"),
                Some(network) => of(&id, network, seen),
            });
            (id, health)
        })
        .collect()
}

/// The groups, users and policies that somebody has paused. A paused Network is not looked at at all.
fn paused(objects: &Objects) -> BTreeSet<ObjectId> {
    fn of<K: Resource>(kind: Kind, objects: &[Arc<K>]) -> impl Iterator<Item = ObjectId> + '_ {
        objects.iter().filter(|o| is_paused(o.meta())).map(move |o| ObjectId::new(kind, o.name_any()))
    }
    of(Kind::SecurityGroup, &objects.groups)
        .chain(of(Kind::User, &objects.users))
        .chain(of(Kind::RetentionPolicy, &objects.policies))
        .collect()
}

/// Which network each good object is part of.
fn members(validation: &Validation) -> BTreeMap<ObjectId, &ValidNetwork> {
    let mut members = BTreeMap::new();
    for network in validation.networks.values() {
        members.insert(ObjectId::new(Kind::Network, network.name.as_str()), network);
        for (kind, names) in [
            (Kind::SecurityGroup, network.groups.keys().collect::<Vec<_>>()),
            (Kind::User, network.users.keys().collect()),
            (Kind::RetentionPolicy, network.policies.keys().collect()),
        ] {
            members.extend(names.into_iter().map(|name| (ObjectId::new(kind, name.as_str()), network)));
        }
    }
    members
}

/// What is wrong with the object itself.
fn own(id: &ObjectId, validation: &Validation, observed: &Observed) -> Option<Health> {
    let problems = validation.problems.get(id).map(Vec::as_slice).unwrap_or_default();
    let findings = observed.findings.get(id).map(Vec::as_slice).unwrap_or_default();
    let reasons: Vec<Reason> = problems.iter().map(|p| p.reason).chain(findings.iter().map(|f| f.reason)).collect();
    // What has to be put right by hand comes before what only takes time.
    let first = *reasons.iter().find(|r| !waits(**r)).or(reasons.first())?;
    let words: Vec<String> =
        problems.iter().map(Problem::to_string).chain(findings.iter().map(|f| f.message.clone())).collect();
    let message = words.join(" · ");
    Some(if waits(first) { Health::progressing(first, message) } else { Health::degraded(first, message) })
}

/// Reasons that go away when something else gets ready.
fn waits(reason: Reason) -> bool {
    use Reason as R;
    matches!(
        reason,
        R::RollingOut
            | R::WaitingForRelay
            | R::WaitingForNetwork
            | R::WaitingForSecurityGroup
            | R::WaitingForRegistration
            | R::WaitingForCertificate
    )
}

fn of(id: &ObjectId, network: &ValidNetwork, observed: &Observed) -> Health {
    match id.kind {
        Kind::Network => {
            let parts = std::iter::once(&observed.relay).chain(observed.gateway.as_ref());
            workloads(parts)
                .or_else(|| relay_answers(observed))
                .unwrap_or_else(|| Health::ready("relay serves this spec".to_owned() + federated(network)))
        }
        Kind::SecurityGroup => relay_answers(observed).unwrap_or_else(|| Health::ready("relay applies this spec")),
        Kind::User => relay_answers(observed).unwrap_or_else(|| Health::ready("relay knows this user")),
        Kind::RetentionPolicy => policy(id, network, observed),
    }
}

fn federated(network: &ValidNetwork) -> &'static str {
    if network.federation.is_some() { ", gateway is up" } else { "" }
}

fn workloads<'a>(parts: impl Iterator<Item = &'a Part>) -> Option<Health> {
    let waiting: Vec<&Part> = parts.filter(|part| !part.ready).collect();
    let message = || waiting.iter().map(|p| p.message.as_str()).collect::<Vec<_>>().join(" · ");
    if waiting.is_empty() {
        None
    } else if waiting.iter().any(|part| part.failing) {
        Some(Health::degraded(Reason::WorkloadFailing, message()))
    } else {
        Some(Health::progressing(Reason::RollingOut, message()))
    }
}

fn relay_answers(observed: &Observed) -> Option<Health> {
    if observed.state.is_some() {
        return None;
    }
    Some(match &observed.unreachable {
        Some(why) if observed.relay.ready => Health::degraded(Reason::RelayUnreachable, why.as_str()),
        _ if observed.relay.failing => Health::degraded(Reason::WorkloadFailing, observed.relay.message.as_str()),
        _ => Health::progressing(Reason::WaitingForRelay, "the relay is starting"),
    })
}

fn policy(id: &ObjectId, network: &ValidNetwork, observed: &Observed) -> Health {
    let Some(policy) = network.policies.get(&id.name) else {
        return Health::progressing(Reason::WaitingForNetwork, "has not been looked at yet");
    };
    if let Some(health) = relay_answers(observed) {
        return health;
    }
    let starting = Part { ready: false, failing: false, message: "retention process: is starting".into() };
    let part = observed.retention.get(&id.name).unwrap_or(&starting);
    if let Some(health) = workloads(std::iter::once(part)) {
        return health;
    }
    let account = observed.state.as_ref().and_then(|s| s.users.get(policy.address.local()));
    if !account.is_some_and(|a| a.registered && a.devices > 0) {
        return Health::progressing(Reason::WaitingForRegistration, "the retention process has not registered yet");
    }
    if policy.enabled {
        Health::ready("conversations in scope are retained")
    } else {
        Health { reason: Reason::SwitchedOff, ..Health::ready("switched off: new messages are not retained") }
    }
}
