//! What the end-to-end tests share: running programs with a time limit and errors that explain themselves, waiting for a
//! condition instead of sleeping, a Kubernetes cluster, a bare Kubernetes API server with an operator beside it, the AWS stand-in,
//! those who attack, and a record of the figures that were measured.
//!
//! The tests are in `tests/`; `make test` prepares what they need and starts them.

mod apiserver;
mod aws;
mod cluster;
mod command;
mod figures;
pub mod hostile;
mod http;
mod kubelet;
mod kubernetes;
mod kustomize;
mod operator;
mod pki;
mod ports;
pub mod relays;
pub mod right;
pub mod scale;
mod terminal;
mod values_schema;
mod wait;
pub mod workloads;

use std::path::PathBuf;

pub use apiserver::ApiServer;
pub use aws::Aws;
pub use cluster::{Cluster, Place};
pub use command::{Background, Finished, Run};
pub use figures::{Figures, Steps};
pub use http::{Answer, http_get, http_post};
pub use kubelet::Kubelet;
pub use kustomize::{kustomize_base, objects};
pub use operator::Operator;
pub use ports::free_port;
pub use relays::Relays;
pub use rustix::process::Signal;
pub use terminal::Terminal;
pub use values_schema::{values_schema, values_schema_file};
pub use wait::wait_until;

/// Why a step of a test failed: a text for a person, with what was run and what it printed.
#[derive(thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// As it is meant to be read: a test that returns a failure prints it in this form.
impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(format!("input or output failed: {error}"))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self(format!("not the JSON that was expected: {error}"))
    }
}

/// The result of a step.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Ends a step with this reason.
pub fn fail<T>(reason: impl Into<String>) -> Outcome<T> {
    Err(Failure(reason.into()))
}

/// Fails with `reason` unless `condition` holds.
pub fn ensure(condition: bool, reason: impl FnOnce() -> String) -> Outcome {
    if condition { Ok(()) } else { Err(Failure(reason())) }
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    let mut path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    path.pop();
    path
}

/// The folder of compiled programs: this test's own is in `deps/` below it.
pub fn release_folder() -> Outcome<PathBuf> {
    let own = std::env::current_exe()?;
    match own.parent().and_then(std::path::Path::parent) {
        Some(folder) => Ok(folder.to_owned()),
        None => fail(format!("{}: not where cargo puts tests", own.display())),
    }
}

/// The `sotto` program beside this test; `SOTTO_BINARY` names another.
pub fn sotto_program() -> Outcome<PathBuf> {
    let path = match std::env::var_os("SOTTO_BINARY") {
        Some(path) => PathBuf::from(path),
        None => release_folder()?.join("sotto"),
    };
    ensure(path.is_file(), || format!("{}: no such program; run `cargo build --release` first", path.display()))?;
    Ok(path)
}

/// The cache of tools that the project builds for its tests (Kubernetes, Helm, moto).
pub fn tool_cache() -> PathBuf {
    let from = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    from("SOTTO_CACHE").unwrap_or_else(|| {
        from("XDG_CACHE_HOME")
            .or_else(|| from("HOME").map(|home| home.join(".cache")))
            .unwrap_or_else(std::env::temp_dir)
            .join("sotto")
    })
}

/// A tool of the cache, or the one of that name on PATH.
pub fn tool(name: &str) -> PathBuf {
    let cached = tool_cache().join("bin").join(name);
    if cached.is_file() { cached } else { PathBuf::from(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each program is linked with all that stands below it (docs/decisions/0005-build.md). Ours are a stage of `make test` each.
    #[test]
    fn a_crates_integration_tests_are_one_program() {
        let mut seen = 0;
        for entry in std::fs::read_dir(repository()).unwrap() {
            let path = entry.unwrap().path();
            if !path.join("Cargo.toml").is_file() || path.ends_with("e2e") {
                continue;
            }
            let Ok(tests) = std::fs::read_dir(path.join("tests")) else { continue };
            let programs = tests
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|e| e == "rs") || path.join("main.rs").is_file());
            assert_eq!(programs.count(), 1, "{}: more than one program in tests/", path.display());
            seen += 1;
        }
        assert!(seen >= 8, "{seen} crates with integration tests");
    }
}
