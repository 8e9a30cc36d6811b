//! Conditions as the tools of Kubernetes read them: `Ready`, `Progressing`, `Degraded`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::health::Health;

/// The object is as its spec wants it.
pub const READY: &str = "Ready";
/// The operator is at work on it.
pub const PROGRESSING: &str = "Progressing";
/// Something is wrong with it.
pub const DEGRADED: &str = "Degraded";

/// The conditions that follow from `health`, after those that were there before. Transition times change with the status only;
/// conditions of other types stay.
pub fn update_conditions(
    before: &[Condition],
    health: &Health,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let mut conditions = before.to_vec();
    for (kind, holds) in
        [(READY, health.is_ready()), (PROGRESSING, health.is_progressing()), (DEGRADED, health.is_degraded())]
    {
        let status = if holds { "True" } else { "False" };
        let old = conditions.iter().position(|c| c.type_ == kind);
        let since = old.map(|i| &conditions[i]).filter(|c| c.status == status).map(|c| c.last_transition_time.clone());
        let condition = Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: health.reason().as_str().to_owned(),
            message: health.message().to_owned(),
            observed_generation: generation,
            last_transition_time: since.unwrap_or(Time(now)),
        };
        match old {
            Some(i) => conditions[i] = condition,
            None => conditions.push(condition),
        }
    }
    conditions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reasons::Reason;

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
