//! The two that are measured: Sotto's operator, and the peer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::scene::{NAMESPACE, Scene};
use crate::{
    Background, Operator, Outcome, Run, Signal, ensure, free_port, http_get, repository, tool_cache, wait_until,
};

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// `sotto operator`.
    Ours,
    /// The operator of `e2e/benches/peer`.
    Peer,
}

impl Which {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours => "sotto operator",
            Self::Peer => "controller-runtime",
        }
    }
}

/// A running one.
pub(super) enum Subject {
    Ours(Box<Operator>),
    Peer(Box<Background>, u16),
}

impl Subject {
    pub(super) fn start(which: Which, scene: &Scene, kubeconfig: &Path) -> Outcome<Self> {
        if which == Which::Peer {
            let port = free_port()?;
            let run =
                Run::new(peer_program()).arg(format!("--listen=127.0.0.1:{port}")).env("KUBECONFIG", kubeconfig).tied();
            return Ok(Self::Peer(Box::new(run.start()?), port));
        }
        let resolve = scene.relays.address().to_string();
        let variables = [
            ("SOTTO_ADMIN_RESOLVE", resolve.as_str()),
            ("POD_NAME", "operator-0"),
            ("POD_NAMESPACE", NAMESPACE),
            ("SOTTO_IMAGE", "registry.example/sotto:1"),
            ("RUST_LOG", "warn"),
        ];
        Ok(Self::Ours(Box::new(Operator::start_as(&scene.api, kubeconfig, &variables)?)))
    }

    pub(super) fn wait_ready(&mut self) -> Outcome {
        match self {
            Self::Ours(operator) => operator.wait_ready().map(drop),
            Self::Peer(process, port) => wait_until("the peer is ready", Duration::from_mins(2), || {
                process.still_runs()?;
                let answer = http_get(*port, "/readyz")?;
                ensure(answer.code == 200, || answer.body)
            }),
        }
    }

    pub(super) fn id(&self) -> u32 {
        match self {
            Self::Ours(operator) => operator.id(),
            Self::Peer(process, _) => process.id(),
        }
    }

    pub(super) fn still_runs(&mut self) -> Outcome {
        match self {
            Self::Ours(operator) => operator.still_runs(),
            Self::Peer(process, _) => process.still_runs(),
        }
    }

    /// Ends it in order, as a rollout does.
    pub(super) fn end(&mut self) -> Outcome {
        match self {
            Self::Ours(operator) => {
                operator.signal(Signal::TERM);
                operator.wait_end(Duration::from_mins(1)).map(drop)
            }
            Self::Peer(process, _) => {
                process.signal(Signal::TERM);
                process.wait(Duration::from_mins(1)).map(drop)
            }
        }
    }
}

fn peer_program() -> PathBuf {
    tool_cache().join("bin").join("bench-peer")
}

/// Builds the peer, from the Go module proxy.
pub(super) fn build_peer() -> Outcome {
    let arguments = ["build", "-trimpath", "-ldflags=-s -w", "-o"];
    Run::new("go")
        .args(arguments)
        .arg(peer_program())
        .arg(".")
        .folder(repository().join("e2e/benches/peer"))
        .env("CGO_ENABLED", "0")
        .limit(Duration::from_mins(20))
        .output()
        .map(drop)
}
