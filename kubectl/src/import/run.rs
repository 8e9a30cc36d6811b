//! Brings a table into a cluster, at a pace that API server and relay bear.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};
use sotto_crds::{Network, RetentionPolicy, SecurityGroup, User};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::plan::{Existing, Plan, Step, Surroundings};
use super::{DIGEST, MANAGER, PRUNER, Refusal, Report};
use crate::access::{Cluster, LONGEST};
use crate::error::{KubeError, words};
use crate::objects::text;

/// After so many calls in a row without an answer the rest is not tried.
const HOPELESS: usize = 20;

/// How fast, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Calls under way at a time.
    pub concurrency: usize,
    /// Calls begun in a second.
    pub rate: u32,
    /// The API server checks everything, and writes nothing.
    pub dry_run: bool,
    /// Fields that somebody else has changed are taken over.
    pub force: bool,
}

/// Reads what has to be known of the cluster: a few lists, however many people there are.
pub async fn surroundings(cluster: &Cluster) -> Result<Surroundings, KubeError> {
    let scope = Some(cluster.namespace.as_str());
    let mut around = Surroundings::default();
    let network_of = |value: &Value| text(value, "/spec/networkRef/name").to_owned();
    let name_of = |value: &Value| text(value, "/metadata/name").to_owned();
    let kind = ApiResource::erase::<Network>(&());
    cluster.each(&kind, scope, None, |v| around.networks.extend([name_of(&v)])).await?;
    let kind = ApiResource::erase::<SecurityGroup>(&());
    cluster.each(&kind, scope, None, |v| around.groups.extend([(name_of(&v), network_of(&v))])).await?;
    let kind = ApiResource::erase::<RetentionPolicy>(&());
    let policies = cluster.list(&kind, scope, None).await;
    // Who may not see policies still may import; the operator checks it again.
    for policy in policies.unwrap_or_default() {
        let name = name_of(&policy);
        let local = sotto_operator::plan::retention_local(&name);
        around.retention.insert((network_of(&policy), local), name);
    }
    let kind = ApiResource::erase::<User>(&());
    cluster.each(&kind, scope, None, |v| around.users.extend([Existing::of(&v)])).await?;
    Ok(around)
}

/// Lets calls begin one after the other.
struct Pacer {
    next: Mutex<Instant>,
    gap: Duration,
}

impl Pacer {
    fn new(rate: u32) -> Self {
        Self { next: Mutex::new(Instant::now()), gap: Duration::from_secs(1) / rate.max(1) }
    }

    async fn turn(&self) {
        let at = slot(&mut self.next.lock().unwrap_or_else(PoisonError::into_inner), Instant::now(), self.gap);
        sleep_until(at).await;
    }
}

/// When the next call may begin. A pause is not made up for by a burst.
fn slot(next: &mut Instant, now: Instant, gap: Duration) -> Instant {
    let at = (*next).max(now);
    *next = at + gap;
    at
}

/// What became of a step.
enum Done {
    Created,
    Changed,
    Suspended(String),
    Deleted(String),
    Refused(Refusal),
    Left(Option<String>),
}

struct Work<'a> {
    users: Api<DynamicObject>,
    settings: Settings,
    pacer: Pacer,
    stop: &'a CancellationToken,
    failures: AtomicUsize,
}

/// Takes the steps of a plan. It ends early when `stop` says so, when rights are missing, or when the cluster does not answer; a
/// further run goes on where it ended.
pub async fn run(
    cluster: &Cluster,
    lines: usize,
    plan: Plan,
    settings: Settings,
    stop: &CancellationToken,
    progress: impl Fn(usize, usize),
) -> Report {
    let users = cluster.values(&ApiResource::erase::<User>(&()), Some(&cluster.namespace));
    let work = Work { users, settings, pacer: Pacer::new(settings.rate), stop, failures: AtomicUsize::new(0) };
    let mut report = Report {
        lines,
        unchanged: plan.unchanged,
        refused: plan.refused,
        missing: plan.missing,
        dry_run: settings.dry_run,
        ..Report::default()
    };
    let total = plan.steps.len();
    let work = &work;
    let mut steps =
        futures::stream::iter(plan.steps).map(|step| work.take(step)).buffer_unordered(settings.concurrency.max(1));
    let mut done = 0;
    while let Some(result) = steps.next().await {
        done += 1;
        progress(done, total);
        match result {
            Done::Created => report.created += 1,
            Done::Changed => report.changed += 1,
            Done::Suspended(name) => report.suspended.push(name),
            Done::Deleted(name) => report.deleted.push(name),
            Done::Refused(refusal) => report.refused.push(refusal),
            Done::Left(why) => {
                report.left += 1;
                // The first reason is the cause, and those that follow from it say less.
                if report.stopped.is_none() {
                    report.stopped = why;
                }
            }
        }
    }
    report.refused.sort();
    report.suspended.sort();
    report.deleted.sort();
    if report.left > 0 && report.stopped.is_none() {
        report.stopped = Some("it was interrupted".to_owned());
    }
    report
}

impl Work<'_> {
    async fn take(&self, step: Step) -> Done {
        if self.stop.is_cancelled() {
            return Done::Left(None);
        }
        self.pacer.turn().await;
        if self.stop.is_cancelled() {
            return Done::Left(None);
        }
        let call = self.call(&step);
        let Ok(result) = timeout(LONGEST, call).await else {
            return self.no_answer(format!("no answer within {} seconds", LONGEST.as_secs()));
        };
        match result {
            Ok(()) => {
                self.failures.store(0, Ordering::Relaxed);
                match step {
                    Step::Apply { create: true, .. } => Done::Created,
                    Step::Apply { .. } => Done::Changed,
                    Step::Suspend(name) => Done::Suspended(name),
                    Step::Delete(name, _) => Done::Deleted(name),
                }
            }
            Err(error) => self.failed(&step, &error),
        }
    }

    async fn call(&self, step: &Step) -> Result<(), kube::Error> {
        match step {
            Step::Apply { person, release, .. } => {
                if *release {
                    // Without fields of its own it lets go of those that it had.
                    self.patch(&person.name, PRUNER, &object(&person.name, None), true).await?;
                }
                let mut value = person.manifest.value();
                value["metadata"]["annotations"] = json!({ DIGEST: person.manifest.digest() });
                self.patch(&person.name, MANAGER, &value, self.settings.force).await
            }
            Step::Suspend(name) => {
                let value = object(name, Some(json!({"suspended": true})));
                self.patch(name, PRUNER, &value, true).await
            }
            Step::Delete(name, uid) => {
                let uid = Some(uid.clone()).filter(|uid| !uid.is_empty());
                let params = DeleteParams {
                    dry_run: self.settings.dry_run,
                    preconditions: Some(Preconditions { uid, resource_version: None }),
                    ..DeleteParams::default()
                };
                match self.users.delete(name, &params).await {
                    Ok(_) => Ok(()),
                    Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
                    Err(error) => Err(error),
                }
            }
        }
    }

    async fn patch(&self, name: &str, manager: &str, value: &Value, force: bool) -> Result<(), kube::Error> {
        let params = PatchParams {
            field_manager: Some(manager.to_owned()),
            force,
            dry_run: self.settings.dry_run,
            ..PatchParams::default()
        };
        self.users.patch(name, &params, &Patch::Apply(value)).await.map(drop)
    }

    fn failed(&self, step: &Step, error: &kube::Error) -> Done {
        let kube::Error::Api(status) = error else { return self.no_answer(words(error)) };
        let rights = status.code == 401 || (status.code == 403 && status.message.contains("cannot "));
        let namespace = status.code == 404;
        if rights || namespace {
            // It would be the same for everybody.
            self.stop.cancel();
            return Done::Left(Some(words(error)));
        }
        let conflict = status.code == 409 && status.message.contains("Apply failed with");
        if !conflict && ([408, 409, 410, 429].contains(&status.code) || status.code >= 500) {
            return self.no_answer(words(error));
        }
        let (line, name) = match step {
            Step::Apply { person, .. } => (person.line, person.name.as_str()),
            Step::Suspend(name) | Step::Delete(name, _) => (0, name.as_str()),
        };
        let remedy = if conflict {
            "somebody else has changed these fields: take them over with --force-conflicts, or take the column out"
        } else {
            "put it right as the message says"
        };
        Done::Refused(Refusal::new(line, name, words(error).replace('\n', " "), remedy))
    }

    fn no_answer(&self, why: String) -> Done {
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= HOPELESS {
            self.stop.cancel();
        }
        Done::Left(Some(why))
    }
}

fn object(name: &str, spec: Option<Value>) -> Value {
    let mut object = json!({"apiVersion": sotto_crds::API_VERSION, "kind": "User", "metadata": {"name": name}});
    if let Some(spec) = spec {
        object["spec"] = spec;
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_begin_one_after_the_other() {
        let begin = Instant::now();
        let mut next = begin;
        let gap = Duration::from_millis(20);
        let slots: Vec<_> = (0..101).map(|_| slot(&mut next, begin, gap)).collect();
        assert_eq!((slots[0], slots[100]), (begin, begin + Duration::from_secs(2)));
        // A pause is not made up for by a burst.
        let later = begin + Duration::from_mins(1);
        assert_eq!(slot(&mut next, later, gap), later);
        assert_eq!(slot(&mut next, later, gap), later + gap);
    }
}
