//! The status of each object.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use sotto_crds::{NetworkStatus, Reset, RetentionPolicyStatus, SecurityGroupStatus, UserState, UserStatus};
use sotto_wire::admin::Resets;
use sotto_wire::status::RetentionState;

use super::build::NetworkPlan;
use super::conditions::{
    COMPLETE, GATEWAY_READY, REGISTERED, RELAY_READY, put_condition, set_condition, update_conditions,
};
use super::health::{Health, Observed, Part};
use super::places::Places;
use super::secrets::{SecretId, Secrets};
use super::valid::{ValidDestination, ValidNetwork};
use crate::reasons::Reason;
use crate::{invites, keys};

/// What a network's statuses are made from. All but the network itself may be missing when a step failed; what was known before
/// then stays.
#[derive(Clone, Copy, Default)]
pub struct Facts<'a> {
    /// The network, where it is good.
    pub network: Option<&'a ValidNetwork>,
    /// Where its parts run.
    pub places: Option<&'a Places>,
    /// Its Secrets.
    pub secrets: Option<&'a Secrets>,
    /// Its plan.
    pub plan: Option<&'a NetworkPlan>,
    /// What was observed.
    pub observed: Option<&'a Observed>,
    /// The image that this operator comes with; none where no image runs.
    pub image: Option<&'a str>,
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn time(ms: u64) -> Option<Time> {
    // Whole seconds: Kubernetes keeps no more.
    Timestamp::from_second(i64::try_from(ms / 1000).ok()?).ok().map(Time)
}

/// Of a Network.
pub fn network_status(
    before: Option<&NetworkStatus>,
    health: &Health,
    generation: Option<i64>,
    facts: Facts<'_>,
    now: Timestamp,
) -> NetworkStatus {
    let mut status = before.cloned().unwrap_or_default();
    status.observed_generation = generation;
    status.conditions = update_conditions(&status.conditions, health, generation, now);
    if let (Some(network), Some(observed)) = (facts.network, facts.observed) {
        let gateway = observed.gateway.as_ref().filter(|_| network.federation.is_some());
        for (kind, holds) in [(RELAY_READY, Some(serves(&observed.relay))), (GATEWAY_READY, gateway.map(serves))] {
            set_condition(&mut status.conditions, kind, holds, generation, now);
        }
    }
    if let Some(network) = facts.network {
        status.users = Some(count(network.users.len()));
        status.security_groups = Some(count(network.groups.keys().filter(|name| !name.starts_with('_')).count()));
        let endpoint = facts.places.map(|places| places.gateway.peer_endpoint.clone());
        status.gateway_endpoint = network.federation.as_ref().and(endpoint);
        images(&mut status, network, facts);
    }
    if let Some(plan) = facts.plan {
        status.url = Some(plan.url.clone());
        status.policy_key_fingerprint = Some(plan.policy_key.to_string());
    }
    if let Some(authority) = facts.secrets.and_then(Secrets::authority_pem) {
        status.ca_certificate = Some(authority.to_owned());
    }
    if let Some(word) = facts.secrets.and_then(Secrets::rotated) {
        status.rotated = Some(word.to_owned());
    }
    if let Some(state) = facts.observed.and_then(|o| o.state.as_ref()) {
        status.version = Some(state.version.clone());
    }
    status
}

/// Whether a part of the network serves, for a condition.
fn serves(part: &Part) -> (bool, Reason, &str) {
    let reason = match part {
        Part { ready: true, .. } => Reason::Reconciled,
        Part { failing: true, .. } => Reason::WorkloadFailing,
        Part { .. } => Reason::RollingOut,
    };
    (part.ready, reason, &part.message)
}

/// An image is what the network runs when its relay has become ready with it: one that never works pins nothing.
fn images(status: &mut NetworkStatus, network: &ValidNetwork, facts: Facts<'_>) {
    let Some(own) = facts.image else { return };
    let wanted = network.runs_image(own);
    if facts.plan.is_some() && facts.observed.is_some_and(|observed| observed.relay.ready) {
        status.image = Some(wanted.to_owned());
    }
    status.available_image = (network.image.is_none() && wanted != own).then(|| own.to_owned());
}

/// Of the SecurityGroup called `name`.
pub fn group_status(
    before: Option<&SecurityGroupStatus>,
    name: &str,
    health: &Health,
    generation: Option<i64>,
    facts: Facts<'_>,
    now: Timestamp,
) -> SecurityGroupStatus {
    let mut status = before.cloned().unwrap_or_default();
    status.observed_generation = generation;
    status.conditions = update_conditions(&status.conditions, health, generation, now);
    if let Some(network) = facts.network {
        status.users = Some(count(network.users.values().filter(|user| user.group == name).count()));
    }
    status
}

/// Of the User called `name`.
pub fn user_status(
    before: Option<&UserStatus>,
    name: &str,
    health: &Health,
    generation: Option<i64>,
    facts: Facts<'_>,
    now: Timestamp,
) -> UserStatus {
    let mut status = before.cloned().unwrap_or_default();
    status.observed_generation = generation;
    status.conditions = update_conditions(&status.conditions, health, generation, now);
    let Some(user) = facts.network.and_then(|n| n.users.get(name)) else { return status };
    status.address = Some(user.address.as_str().to_owned());
    let Some(state) = facts.observed.and_then(|o| o.state.as_ref()) else { return status };
    let account = state.users.get(user.address.local());
    status.state = Some(match account {
        _ if user.suspended => UserState::Suspended,
        Some(account) if account.registered => UserState::Active,
        _ => UserState::Pending,
    });
    status.devices = Some(account.map_or(0, |a| i32::try_from(a.devices).unwrap_or(i32::MAX)));
    if let Some(account) = account {
        let Resets { devices, invite, lockout } = account.wanted.reset.clone();
        status.reset = Reset { devices, invite, lockout };
    }
    let id = SecretId::Invite(name.to_owned());
    let invite = facts.secrets.and_then(|s| s.get(&id));
    status.invite_secret_name = invite.map(|_| id.object_name(""));
    status.invite_expires_at = invite.and_then(invites::expires_at_ms).and_then(time);
    status
}

/// Whether a count of waiting messages is worth writing: while people talk it is another one at every look.
fn is_another(before: i64, now: i64) -> bool {
    (before == 0) != (now == 0) || before.abs_diff(now) > before.unsigned_abs() / 2
}

/// Whether nothing is missing of what a retention process should have, as it says itself, for a condition: status, reason and
/// message. What a process that is not ready said before stays.
fn complete(said: Option<&RetentionState>) -> (&'static str, Reason, String) {
    const LOOK: &str = "the documents below missing/ of the destination say whose and which";
    let Some(record) = said else {
        let words = "the retention process is ready and does not say whether messages are missing; see whether the operator \
                     reaches its telemetry port, and the log of the process";
        return ("Unknown", Reason::ProcessSilent, words.to_owned());
    };
    let since = record.missing_since_ms.and_then(time).map(|at| format!(" since {}", at.0)).unwrap_or_default();
    match record.missing {
        0 => ("True", Reason::Reconciled, "no message that should be retained is missing".to_owned()),
        missing => {
            let (messages, their) = if missing == 1 { ("message is", "its") } else { ("messages are", "their") };
            let words = format!(
                "{missing} {messages} missing{since}: somebody keeps them from the record, or they come late. The devices of {their} \
                 senders are asked for them; {LOOK}. If they do not come, ask the senders, and see what stands between them and the relay"
            );
            ("False", Reason::MessagesMissing, words)
        }
    }
}

/// Of the RetentionPolicy called `name`.
pub fn policy_status(
    before: Option<&RetentionPolicyStatus>,
    name: &str,
    health: &Health,
    generation: Option<i64>,
    facts: Facts<'_>,
    now: Timestamp,
) -> RetentionPolicyStatus {
    let mut status = before.cloned().unwrap_or_default();
    status.observed_generation = generation;
    status.conditions = update_conditions(&status.conditions, health, generation, now);
    let Some(policy) = facts.network.and_then(|n| n.policies.get(name)) else { return status };
    status.address = Some(policy.address.as_str().to_owned());
    status.destination = Some(match &policy.destination {
        ValidDestination::Volume { path, .. } => {
            let volume = facts.places.and_then(|p| p.retention.get(name)).map(|place| place.volume.join(path));
            format!("file://{}", volume.unwrap_or_else(|| path.into()).display())
        }
        ValidDestination::S3 { bucket, prefix, .. } => {
            if prefix.is_empty() {
                format!("s3://{bucket}")
            } else {
                format!("s3://{bucket}/{prefix}")
            }
        }
    });
    if let Some(observed) = facts.observed
        && observed.retention.get(name).is_some_and(|part| part.ready)
    {
        let (holds, reason, message) = complete(observed.records.get(name));
        put_condition(&mut status.conditions, COMPLETE, (holds, reason, &message), generation, now);
    }
    let certificate = facts.secrets.and_then(|s| s.get(&SecretId::Retention(name.to_owned())));
    let certificate = certificate.and_then(keys::retention_certificate).and_then(|c| c.unverified().ok());
    status.certificate_expires_at = certificate.and_then(|c| time(c.expires_at_ms));
    if let Some(state) = facts.observed.and_then(|o| o.state.as_ref()) {
        let account = state.users.get(policy.address.local());
        let registered = account.is_some_and(|a| a.registered && a.devices > 0);
        let holds = if registered {
            (true, Reason::Reconciled, "the retention process is a recipient of the relay")
        } else {
            (false, Reason::WaitingForRegistration, "the retention process has not registered yet")
        };
        set_condition(&mut status.conditions, REGISTERED, Some(holds), generation, now);
        status.registered = Some(account.is_some_and(|a| a.registered));
        let waiting = account.map_or(0, |a| i64::try_from(a.queued_messages).unwrap_or(i64::MAX));
        if status.pending.is_none_or(|before| is_another(before, waiting)) {
            status.pending = Some(waiting);
        }
    }
    status
}
