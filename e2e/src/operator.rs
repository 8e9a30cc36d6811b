//! `sotto operator` as a process beside a test's API server.

use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use crate::{
    Answer, ApiServer, Background, Failure, Outcome, Run, Signal, ensure, free_port, http_get, sotto_program,
    wait_until,
};

/// How long a start may take, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running operator; ended by force when it is dropped.
#[derive(Debug)]
pub struct Operator {
    process: Background,
    port: u16,
}

impl Operator {
    /// Starts `sotto operator` as the cluster's administrator, with these environment variables beside `KUBECONFIG` and
    /// `SOTTO_LISTEN`. It takes part in an election only with `POD_NAMESPACE` (of a namespace that is there); give each a
    /// `POD_NAME` of its own.
    pub fn start(api: &ApiServer, variables: &[(&str, &str)]) -> Outcome<Self> {
        Self::start_as(api, &api.kubeconfig(), variables)
    }

    /// The same with another kubeconfig: [`ApiServer::kubeconfig_for_service_account`] shows whether the rights suffice.
    pub fn start_as(_api: &ApiServer, kubeconfig: &Path, variables: &[(&str, &str)]) -> Outcome<Self> {
        let port = free_port()?;
        let mut run = Run::new(sotto_program()?)
            .arg("operator")
            .env("KUBECONFIG", kubeconfig)
            .env("SOTTO_LISTEN", format!("127.0.0.1:{port}"))
            .tied();
        for (name, value) in variables {
            run = run.env(name, value);
        }
        Ok(Self { process: run.start()?, port })
    }

    /// The process number.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// `GET` at its health listener: `/healthz`, `/readyz`, `/metrics`.
    pub fn http(&self, path: &str) -> Outcome<Answer> {
        http_get(self.port, path)
    }

    /// Waits until `/readyz` says yes; gives what it says.
    pub fn wait_ready(&mut self) -> Outcome<String> {
        wait_until("the operator is ready", PATIENCE, || {
            self.http("/readyz").and_then(|answer| {
                ensure(answer.code == 200, || format!("{}: {}", answer.code, answer.body))?;
                Ok(answer.body)
            })
        })
        .map_err(|error| {
            let log = self.log().unwrap_or_default();
            Failure(format!("{}\n{log}", error.0))
        })
    }

    /// The sum of a metric over those of its labels that match `labels` (`name="value"`, as in the exposition).
    pub fn metric(&self, name: &str, labels: &[&str]) -> Outcome<f64> {
        let text = self.http("/metrics")?.body;
        Ok(sum(&text, name, labels))
    }

    /// Sends a signal: STOP and CONT for a pause, TERM for an orderly end.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Ends it by force, as a lost node would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// How it ended, when it has.
    pub fn ended(&mut self) -> Outcome<Option<ExitStatus>> {
        self.process.ended()
    }

    /// Waits for its end.
    pub fn wait_end(&mut self, limit: Duration) -> Outcome<ExitStatus> {
        self.process.wait(limit)
    }

    /// An error with its log when it has ended.
    pub fn still_runs(&mut self) -> Outcome {
        self.process.still_runs()
    }

    /// What it has printed.
    pub fn log(&mut self) -> Outcome<String> {
        self.process.log()
    }
}

fn sum(exposition: &str, name: &str, labels: &[&str]) -> f64 {
    exposition
        .lines()
        .filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (shown, value) = if let Some(rest) = rest.strip_prefix('{') {
                rest.rsplit_once("} ")?
            } else {
                ("", rest.strip_prefix(' ')?)
            };
            let all = labels.iter().all(|label| shown.split(',').any(|part| part == *label));
            if all { value.trim().parse::<f64>().ok() } else { None }
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_by_label() {
        let text = "# HELP a x\na{kind=\"User\",ok=\"1\"} 2\na{kind=\"Network\",ok=\"1\"} 3\nab 100\nb 7\n";
        let is = |name: &str, labels: &[&str], value: f64| assert!((sum(text, name, labels) - value).abs() < 1e-9);
        is("a", &[], 5.0);
        is("a", &["kind=\"User\""], 2.0);
        is("b", &[], 7.0);
        is("c", &[], 0.0);
    }
}
