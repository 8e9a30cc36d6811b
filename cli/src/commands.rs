//! One file a verb.

pub(crate) mod acks;
pub(crate) mod change;
pub(crate) mod conversations;
pub(crate) mod crds;
pub(crate) mod devices;
pub(crate) mod down;
pub(crate) mod history;
pub(crate) mod invite;
pub(crate) mod join;
pub(crate) mod kube;
pub(crate) mod look;
pub(crate) mod manual;
pub(crate) mod outbox;
pub(crate) mod password;
pub(crate) mod profile;
pub(crate) mod receive;
pub(crate) mod recovery;
pub(crate) mod room;
pub(crate) mod send;
pub(crate) mod servers;
pub(crate) mod stale;
pub(crate) mod status;
pub(crate) mod talk;
pub(crate) mod trust;
pub(crate) mod up;
pub(crate) mod users;
pub(crate) mod verify;
pub(crate) mod whoami;

/// A time as RFC 3339 says it, in UTC, to the millisecond.
pub(crate) fn time(ms: u64) -> String {
    i64::try_from(ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| "unknown".to_owned(), |t| format!("{t:.3}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(super::time(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(super::time(u64::MAX), "unknown");
    }
}
