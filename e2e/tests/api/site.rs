//! Two federated networks with users, groups and a retention policy (`examples/manifests`) on an API server without nodes: relays
//! are stand-ins, workloads are simulated, deleted owners take what they own with them.

use std::time::Duration;

use sotto_e2e::right::{self, Picture, Right};
use sotto_e2e::workloads::{self, Workloads};
use sotto_e2e::{ApiServer, Failure, Operator, Outcome, Relays, Run, ensure, repository};

/// How long anything may take, on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
/// Times of the election: shorter than in life, so that the tests are short.
const TIMES: [(&str, &str); 3] =
    [("SOTTO_LEASE_DURATION", "5s"), ("SOTTO_LEASE_RENEW_DEADLINE", "4s"), ("SOTTO_LEASE_RETRY", "500ms")];

/// What a fault happens to.
pub(crate) struct Site {
    // In this order they end: the API server last.
    _workloads: Workloads,
    pub(crate) relays: Relays,
    pub(crate) api: ApiServer,
}

impl Site {
    pub(crate) fn start() -> Outcome<Self> {
        Self::with_flags(&[])
    }

    pub(crate) fn with_flags(flags: &[&str]) -> Outcome<Self> {
        let api = ApiServer::with_flags(flags)?;
        api.install_crds()?;
        api.controllers()?;
        api.namespace("sotto-system")?;
        Ok(Self { _workloads: workloads::simulate(&api)?, relays: Relays::start(&api)?, api })
    }

    /// What is right in this namespace.
    pub(crate) fn right(&self, namespace: &str) -> Right<'_> {
        Right::new(self.api.kubectl(), namespace, Some(&self.relays))
    }

    fn manifests(&self, verb: &str, namespace: &str) -> Run {
        let folder = repository().join("examples/manifests");
        self.api.kubectl().args([verb, "--namespace", namespace, "--filename"]).arg(folder)
    }

    /// Makes the namespace and applies the manifests.
    pub(crate) fn apply(&self, namespace: &str) -> Outcome {
        self.api.namespace(namespace)?;
        self.manifests("apply", namespace).output().map(drop)
    }

    /// Deletes the manifests' objects without waiting.
    pub(crate) fn delete(&self, namespace: &str) -> Outcome {
        self.manifests("delete", namespace).arg("--wait=false").output().map(drop)
    }

    /// One operator for this namespace, without an election.
    pub(crate) fn operator(&self, namespace: &str) -> Outcome<Operator> {
        self.operator_with(namespace, &[])
    }

    pub(crate) fn operator_with(&self, namespace: &str, more: &[(&str, &str)]) -> Outcome<Operator> {
        let address = self.relays.address().to_string();
        let mut variables = vec![("SOTTO_ADMIN_RESOLVE", address.as_str()), ("SOTTO_WATCH_NAMESPACES", namespace)];
        variables.extend(more);
        Operator::start(&self.api, &variables)
    }

    /// One of several for this namespace.
    pub(crate) fn candidate(&self, namespace: &str, pod: &str, more: &[(&str, &str)]) -> Outcome<Operator> {
        let mut variables = TIMES.to_vec();
        variables.extend([("POD_NAME", pod), ("POD_NAMESPACE", "sotto-system"), ("SOTTO_LEASE_NAME", namespace)]);
        variables.extend(more);
        self.operator_with(namespace, &variables)
    }

    /// Starts another in place of one that has lost its leadership, as Kubernetes would.
    pub(crate) fn keep(&self, namespace: &str, pod: &str, operator: &mut Operator) -> Outcome {
        if let Some(status) = operator.ended()? {
            let log = operator.log()?;
            ensure(log.contains("leadership is lost"), || format!("the operator has ended: {status}\n{log}"))?;
            *operator = self.candidate(namespace, pod, &[])?;
        }
        Ok(())
    }

    /// The manifests' objects, applied and right, with this operator.
    pub(crate) fn settle(&self, namespace: &str, operator: &mut Operator) -> Outcome<Picture> {
        self.apply(namespace)?;
        self.right(namespace).wait(PATIENCE, || operator.still_runs()).map_err(|error| with_log(&error, operator))
    }

    /// Waits until all is right and as it was.
    pub(crate) fn settles_as(&self, namespace: &str, operator: &mut Operator, before: &Picture) -> Outcome {
        let after = self.right(namespace).wait(PATIENCE, || operator.still_runs());
        right::same(before, &after.map_err(|error| with_log(&error, operator))?)
    }
}

/// The error, and what the operator said.
pub(crate) fn with_log(error: &Failure, operator: &mut Operator) -> Failure {
    let log = operator.log().unwrap_or_default();
    let from = log.len().saturating_sub(6000);
    let from = (from..=log.len()).find(|index| log.is_char_boundary(*index)).unwrap_or_default();
    Failure(format!("{}\n--- the operator's log\n{}", error.0, &log[from..]))
}
