//! Why a retention process cannot run.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use sotto_telemetry::{HealthError, TelemetryError};

/// Why a retention process cannot run, or cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RetentionError {
    /// A field of the configuration.
    #[error("retention configuration, {field}: {problem}")]
    Config {
        /// Which field.
        field: &'static str,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A file of the secrets folder.
    #[error(
        "secret {path}: {problem}. The operator writes it into the Secret of the retention policy: see that this Secret is \
         mounted at `secrets`, or delete it so that the operator makes a new one (then the relay's account of this \
         process has to be removed too)"
    )]
    Secret {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The health listener cannot be opened.
    #[error("retention configuration, telemetry.listen: cannot listen on {address}: {source}")]
    Bind {
        /// Its address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Registering or logging in fails in a way that does not pass by itself.
    #[error("cannot log in at the relay: {0}")]
    LogIn(sotto_client::Error),
    /// Receiving fails in a way that does not pass by itself.
    #[error("cannot receive from the relay: {0}")]
    Receive(sotto_client::Error),
    /// The state folder cannot be used.
    #[error("state folder, {path}: {source}; see that it is on a volume that this process may write to")]
    State {
        /// Where in it.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Metrics cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The health listener failed.
    #[error(transparent)]
    Health(#[from] HealthError),
    /// A fault of this program.
    #[error("internal: {0}")]
    Internal(&'static str),
}
