//! How an operator takes part in the election, from its environment.

use std::time::Duration;

/// The times of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A standby takes over when the lease has stayed the same for this long (`SOTTO_LEASE_DURATION`).
    pub duration: Duration,
    /// A leader that could not renew for this long is none any more (`SOTTO_LEASE_RENEW_DEADLINE`).
    pub renew_deadline: Duration,
    /// How often a leader renews and a standby looks (`SOTTO_LEASE_RETRY`).
    pub retry: Duration,
}

impl Default for Timing {
    /// As Kubernetes' own programs: 15, 10 and 2 seconds.
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// Where the lease is, and the times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseOptions {
    /// Its namespace (`SOTTO_LEASE_NAMESPACE`, or that of the operator's pod).
    pub namespace: String,
    /// Its name (`SOTTO_LEASE_NAME`).
    pub name: String,
    /// Times.
    pub timing: Timing,
}

/// A variable of the election that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {name} is `{value}`; {remedy}")]
pub struct LeaseOptionsError {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) remedy: &'static str,
}

const DURATION: &str = "SOTTO_LEASE_DURATION";
const RENEW_DEADLINE: &str = "SOTTO_LEASE_RENEW_DEADLINE";
const RETRY: &str = "SOTTO_LEASE_RETRY";

impl LeaseOptions {
    /// Reads the variables; `None`: no election. The name defaults to `sotto-operator` and, set to nothing, turns the
    /// election off; without a namespace there is none either.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, LeaseOptionsError> {
        let name = variable("SOTTO_LEASE_NAME").unwrap_or_else(|| "sotto-operator".into());
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let timing = Timing::from_variables(set)?;
        let namespace = set("SOTTO_LEASE_NAMESPACE").or_else(|| set("POD_NAMESPACE"));
        Ok(match namespace {
            Some(namespace) if !name.is_empty() => Some(Self { namespace, name, timing }),
            _ => None,
        })
    }
}

impl LeaseOptions {
    /// How long after the end of a leader's time nobody else leads.
    pub(crate) fn margin(&self) -> Duration {
        self.timing.duration.saturating_sub(self.timing.renew_deadline)
    }
}

impl Timing {
    fn from_variables(set: impl Fn(&str) -> Option<String>) -> Result<Self, LeaseOptionsError> {
        let time = |name: &'static str, default: Duration| match set(name) {
            None => Ok(default),
            Some(value) => {
                duration(&value).ok_or(LeaseOptionsError { name, value, remedy: "write a time such as 15s or 500ms" })
            }
        };
        let default = Self::default();
        let timing = Self {
            duration: time(DURATION, default.duration)?,
            renew_deadline: time(RENEW_DEADLINE, default.renew_deadline)?,
            retry: time(RETRY, default.retry)?,
        };
        let wrong = |name: &'static str, value: Duration, remedy: &'static str| LeaseOptionsError {
            name,
            value: format!("{value:?}"),
            remedy,
        };
        // Between the two a leader ends what it has begun, and the clocks may differ in speed.
        if timing.renew_deadline * 5 > timing.duration * 4 {
            let remedy =
                "it must be at most four fifths of SOTTO_LEASE_DURATION, so that a leader ends before another begins";
            return Err(wrong(RENEW_DEADLINE, timing.renew_deadline, remedy));
        }
        if timing.retry * 2 > timing.renew_deadline {
            let remedy = "it must be at most half of SOTTO_LEASE_RENEW_DEADLINE, so that one lost answer does no harm";
            return Err(wrong(RETRY, timing.retry, remedy));
        }
        Ok(timing)
    }
}

/// `15s`, `500ms`, `1m`; not zero.
fn duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let number: u32 = number.parse().ok().filter(|number| *number > 0)?;
    match unit {
        "ms" => Some(Duration::from_millis(number.into())),
        "s" => Some(Duration::from_secs(number.into())),
        "m" => Some(Duration::from_mins(number.into())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<LeaseOptions>, LeaseOptionsError> {
        LeaseOptions::from_variables(|name| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_pods_namespace_is_enough() {
        let options = read(&[("POD_NAMESPACE", "sotto-system")]).unwrap().unwrap();
        assert_eq!((options.namespace.as_str(), options.name.as_str()), ("sotto-system", "sotto-operator"));
        assert_eq!(options.timing, Timing::default());
        let options = read(&[("POD_NAMESPACE", "a"), ("SOTTO_LEASE_NAMESPACE", "b"), ("SOTTO_LEASE_NAME", "c")]);
        let options = options.unwrap().unwrap();
        assert_eq!((options.namespace.as_str(), options.name.as_str()), ("b", "c"));
    }

    #[test]
    fn no_namespace_or_an_empty_name_is_no_election() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("POD_NAMESPACE", "a"), ("SOTTO_LEASE_NAME", "")]), Ok(None));
    }

    #[test]
    fn times_are_read_and_checked_against_each_other() {
        let times = |duration, deadline, retry| {
            read(&[("POD_NAMESPACE", "a"), (DURATION, duration), (RENEW_DEADLINE, deadline), (RETRY, retry)])
        };
        let timing = times("3s", "2s", "250ms").unwrap().unwrap().timing;
        assert_eq!(timing.retry, Duration::from_millis(250));
        for (wrong, name) in [
            (times("soon", "2s", "1s"), DURATION),
            (times("0s", "2s", "1s"), DURATION),
            (times("10s", "9s", "1s"), RENEW_DEADLINE),
            (times("15s", "10s", "6s"), RETRY),
        ] {
            let said = wrong.unwrap_err().to_string();
            assert!(said.contains(name), "{said}");
        }
    }
}
