//! The Kubernetes `Lease`: read, made, and replaced only where it still has the version that was read.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};

use super::elector::{Answer, Record, Request, Stored};
use super::options::LeaseOptions;

/// A lease behind an API server.
pub(super) struct Store {
    api: Api<Lease>,
    name: String,
    /// As it was last, so that a replacement keeps what others wrote into it.
    last: Lease,
}

impl Store {
    pub(super) fn new(client: Client, options: &LeaseOptions) -> Self {
        Self { api: Api::namespaced(client, &options.namespace), name: options.name.clone(), last: Lease::default() }
    }

    /// Asks once; an error is told in words.
    pub(super) async fn ask(&mut self, request: &Request) -> (Answer, Option<String>) {
        let parameters = PostParams::default();
        let result = match request {
            Request::Read => self.api.get(&self.name).await,
            Request::Create(record) => {
                let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
                let lease = written(Lease { metadata, spec: None }, None, record, Timestamp::now());
                self.api.create(&parameters, &lease).await
            }
            Request::Replace(version, record) => {
                let lease = written(self.last.clone(), Some(version), record, Timestamp::now());
                self.api.replace(&self.name, &parameters, &lease).await
            }
        };
        match result {
            Ok(lease) => match stored(&lease) {
                Some(stored) => {
                    self.last = lease;
                    (Answer::Is(stored), None)
                }
                None => (Answer::Failed, Some("the API server gave a lease without a version".into())),
            },
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                (Answer::Conflict, None)
            }
            // A namespace that is not there says the same, of another kind.
            Err(kube::Error::Api(status)) if status.is_not_found() && !matches!(request, Request::Create(_)) => {
                (Answer::Missing, None)
            }
            Err(kube::Error::Api(status)) => (Answer::Failed, Some(status.message.clone())),
            Err(error) => (Answer::Failed, Some(error.to_string())),
        }
    }
}

fn stored(lease: &Lease) -> Option<Stored> {
    let spec = lease.spec.as_ref();
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
    Some(Stored {
        version: lease.metadata.resource_version.clone()?,
        record: Record {
            holder: spec.and_then(|spec| spec.holder_identity.clone()).unwrap_or_default(),
            duration: Duration::from_secs(seconds.max(0).unsigned_abs().into()),
            transitions: spec.and_then(|spec| spec.lease_transitions).unwrap_or_default(),
        },
    })
}

/// The times in it are for people: nobody decides by them.
fn written(mut lease: Lease, version: Option<&str>, record: &Record, now: Timestamp) -> Lease {
    let before = lease.spec.take().unwrap_or_default();
    let same = before.holder_identity.as_deref() == Some(&record.holder);
    // Whole seconds, rounded up: others shall rather wait longer.
    let seconds = record.duration.as_secs() + u64::from(record.duration.subsec_nanos() > 0);
    lease.metadata.resource_version = version.map(str::to_owned);
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(record.holder.clone()),
        lease_duration_seconds: Some(i32::try_from(seconds).unwrap_or(i32::MAX)),
        lease_transitions: Some(record.transitions),
        renew_time: Some(MicroTime(now)),
        acquire_time: before.acquire_time.filter(|_| same).or(Some(MicroTime(now))),
        ..before
    });
    lease
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(holder: &str) -> Record {
        Record { holder: holder.into(), duration: Duration::from_millis(1500), transitions: 3 }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let now = Timestamp::from_second(1_000).unwrap();
        let lease = written(Lease::default(), Some("7"), &record("a"), now);
        let stored = stored(&lease).unwrap();
        assert_eq!((stored.version.as_str(), stored.record.holder.as_str()), ("7", "a"));
        assert_eq!((stored.record.duration, stored.record.transitions), (Duration::from_secs(2), 3));
    }

    #[test]
    fn a_renewal_keeps_the_time_of_acquiring_and_what_others_wrote() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut first = written(Lease::default(), Some("7"), &record("a"), at(1));
        first.metadata.labels = Some([("team".to_owned(), "chat".to_owned())].into());
        let renewed = written(first.clone(), Some("8"), &record("a"), at(2));
        let spec = renewed.spec.unwrap();
        assert_eq!((spec.acquire_time, spec.renew_time), (Some(MicroTime(at(1))), Some(MicroTime(at(2)))));
        assert_eq!(renewed.metadata.labels, first.metadata.labels);
        let taken = written(first, Some("8"), &record("b"), at(3)).spec.unwrap();
        assert_eq!(taken.acquire_time, Some(MicroTime(at(3))));
    }

    #[test]
    fn an_empty_lease_is_held_by_nobody() {
        let mut lease = Lease::default();
        assert_eq!(stored(&lease), None);
        lease.metadata.resource_version = Some("1".into());
        assert_eq!(stored(&lease).unwrap().record.holder, "");
    }
}
