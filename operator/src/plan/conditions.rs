//! Conditions as the tools of Kubernetes read them: `Ready`, `Progressing`, `Degraded`; and `Stalled` for kstatus.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::health::Health;
use crate::reasons::Reason;

/// The object is as its spec wants it.
pub const READY: &str = "Ready";
/// The operator is at work on it.
pub const PROGRESSING: &str = "Progressing";
/// Something is wrong with it.
pub const DEGRADED: &str = "Degraded";
/// Something has been wrong with it for so long that waiting will not help: what kstatus, and with it Flux, calls failed. The
/// condition is there only while it holds, as kstatus wants it.
pub const STALLED: &str = "Stalled";

/// Somebody has paused it; there only while that is so.
pub const PAUSED: &str = "Paused";

/// Of a Network: its relay serves the present configuration.
pub const RELAY_READY: &str = "RelayReady";
/// Of a Network with federation: its gateway serves the present configuration.
pub const GATEWAY_READY: &str = "GatewayReady";
/// Of a RetentionPolicy: its process has an account and a device at the relay, and is a recipient.
pub const REGISTERED: &str = "Registered";

/// Of a RetentionPolicy: nothing is missing of what its process should have, as the process says; Unknown where it says nothing.
pub const COMPLETE: &str = "Complete";

/// Every type of condition that the operator writes; others are somebody else's.
pub const OURS: [&str; 9] =
    [READY, PROGRESSING, DEGRADED, STALLED, PAUSED, RELAY_READY, GATEWAY_READY, REGISTERED, COMPLETE];

/// How long an object is Degraded before it is Stalled too: Flux gives up at the first object that is, and objects that are applied
/// together, or a pod that is replaced, need a moment.
pub const STALLED_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// The conditions that follow from `health`, after those that were there before, for an object that is not paused. Transition times change with the status only;
/// conditions of other types stay.
pub fn update_conditions(
    before: &[Condition],
    health: &Health,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let (stalled, mut conditions): (Vec<_>, Vec<_>) =
        before.iter().filter(|c| c.type_ != PAUSED).cloned().partition(|c| c.type_ == STALLED);
    for (kind, holds) in
        [(READY, health.is_ready()), (PROGRESSING, health.is_progressing()), (DEGRADED, health.is_degraded())]
    {
        set_condition(&mut conditions, kind, Some((holds, health.reason(), health.message())), generation, now);
    }
    let degraded = conditions.iter().find(|c| c.type_ == DEGRADED && c.status == "True");
    if let Some(degraded) = degraded
        && now.duration_since(degraded.last_transition_time.0) >= STALLED_AFTER
    {
        let since = stalled.first().map_or(Time(now), |c| c.last_transition_time.clone());
        conditions.push(Condition { type_: STALLED.to_owned(), last_transition_time: since, ..degraded.clone() });
    }
    conditions
}

/// The conditions of an object that is paused: what was so is still said, with the generation that it was said of, and Paused. The
/// status' own `observedGeneration` has to stay as well: nobody has acted on what the spec says now.
pub fn paused_conditions(
    before: &[Condition],
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let mut conditions = before.to_vec();
    set_condition(&mut conditions, PAUSED, Some((true, Reason::Paused, message)), generation, now);
    conditions
}

/// Sets a condition of one kind of object, or takes it away where `holds` does not say.
pub(super) fn set_condition(
    conditions: &mut Vec<Condition>,
    kind: &str,
    holds: Option<(bool, Reason, &str)>,
    generation: Option<i64>,
    now: Timestamp,
) {
    match holds {
        None => conditions.retain(|c| c.type_ != kind),
        Some((holds, reason, message)) => {
            let status = if holds { "True" } else { "False" };
            put_condition(conditions, kind, (status, reason, message), generation, now);
        }
    }
}

/// Puts a condition of one kind of object, with its status, reason and message.
pub(super) fn put_condition(
    conditions: &mut Vec<Condition>,
    kind: &str,
    (status, reason, message): (&str, Reason, &str),
    generation: Option<i64>,
    now: Timestamp,
) {
    let old = conditions.iter().position(|c| c.type_ == kind);
    let since = old.map(|i| &conditions[i]).filter(|c| c.status == status).map(|c| c.last_transition_time.clone());
    let condition = Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.as_str().to_owned(),
        message: message.to_owned(),
        observed_generation: generation,
        last_transition_time: since.unwrap_or(Time(now)),
    };
    match old {
        Some(i) => conditions[i] = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }
    fn status<'a>(conditions: &'a [Condition], kind: &str) -> &'a Condition {
        conditions.iter().find(|c| c.type_ == kind).unwrap()
    }

    #[test]
    fn transition_times_change_with_the_status_only() {
        let first = update_conditions(&[], &Health::progressing(Reason::RollingOut, "relay starts"), Some(1), at(10));
        assert_eq!(status(&first, PROGRESSING).status, "True");
        assert_eq!(status(&first, READY).status, "False");
        let second =
            update_conditions(&first, &Health::degraded(Reason::RelayUnreachable, "no answer"), Some(2), at(20));
        assert_eq!(status(&second, READY).last_transition_time.0, at(10));
        assert_eq!(status(&second, READY).reason, "RelayUnreachable");
        assert_eq!(status(&second, READY).observed_generation, Some(2));
        assert_eq!(status(&second, DEGRADED).last_transition_time.0, at(20));
        let third = update_conditions(&second, &Health::ready("all runs"), Some(2), at(30));
        assert_eq!(status(&third, READY).last_transition_time.0, at(30));
        assert_eq!(status(&third, PROGRESSING).last_transition_time.0, at(20));
        assert_eq!(update_conditions(&third, &Health::ready("all runs"), Some(2), at(40)), third);
    }

    #[test]
    fn what_is_wrong_for_long_is_stalled() {
        let broken = Health::degraded(Reason::NetworkNotFound, "no such network");
        let first = update_conditions(&[], &broken, Some(1), at(100));
        assert!(first.iter().all(|c| c.type_ != STALLED));
        let second = update_conditions(&first, &broken, Some(1), at(129));
        assert_eq!(second, first, "nothing to write before");
        let third = update_conditions(&second, &broken, Some(1), at(131));
        let stalled = status(&third, STALLED);
        assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", "NetworkNotFound"));
        assert_eq!((stalled.message.as_str(), stalled.last_transition_time.0), ("no such network", at(131)));
        assert_eq!(update_conditions(&third, &broken, Some(1), at(900)), third, "nothing to write later");
        let right = update_conditions(&third, &Health::ready("good"), Some(2), at(901));
        assert!(right.iter().all(|c| c.type_ != STALLED));
    }

    #[test]
    fn a_pause_is_added_and_taken_away() {
        let ready = update_conditions(&[], &Health::ready("good"), Some(1), at(10));
        let paused = paused_conditions(&ready, "by annotation", Some(2), at(20));
        assert_eq!(status(&paused, PAUSED).status, "True");
        assert_eq!(status(&paused, PAUSED).observed_generation, Some(2));
        assert_eq!(status(&paused, READY).observed_generation, Some(1));
        assert_eq!(paused_conditions(&paused, "by annotation", Some(2), at(30)), paused, "nothing to write");
        let on = update_conditions(&paused, &Health::ready("good"), Some(2), at(40));
        assert!(on.iter().all(|c| c.type_ != PAUSED));
        assert_eq!(status(&on, READY).last_transition_time.0, at(10));
    }

    #[test]
    fn a_condition_of_one_kind_comes_and_goes() {
        let mut conditions = update_conditions(&[], &Health::ready("good"), Some(1), at(10));
        set_condition(&mut conditions, RELAY_READY, Some((false, Reason::RollingOut, "0 of 1")), Some(1), at(10));
        set_condition(&mut conditions, RELAY_READY, Some((true, Reason::Reconciled, "1 of 1")), Some(1), at(20));
        set_condition(&mut conditions, RELAY_READY, Some((true, Reason::Reconciled, "1 of 1")), Some(2), at(30));
        let relay = status(&conditions, RELAY_READY);
        assert_eq!((relay.status.as_str(), relay.last_transition_time.0), ("True", at(20)));
        assert_eq!(relay.observed_generation, Some(2));
        set_condition(&mut conditions, RELAY_READY, None, Some(2), at(40));
        assert_eq!(conditions.len(), 3);
    }

    #[test]
    fn conditions_of_others_stay() {
        let other = Condition {
            type_: "Audited".into(),
            status: "True".into(),
            reason: "ByHand".into(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(at(1)),
        };
        let after = update_conditions(std::slice::from_ref(&other), &Health::ready("good"), Some(1), at(2));
        assert_eq!(after.len(), 4);
        assert_eq!(after[0], other);
    }
}
