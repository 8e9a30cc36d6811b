//! Why a gateway cannot run.

use std::{io, net::SocketAddr, path::PathBuf};

use sotto_telemetry::{HealthError, TelemetryError};

/// Why the gateway cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// A field of the configuration.
    #[error("gateway configuration, {field}: {problem}")]
    Config {
        /// Where in the file.
        field: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A certificate or key file.
    #[error("{path}: {problem}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// TLS cannot be set up with these files.
    #[error("TLS cannot be set up for {what}: {reason}")]
    Tls {
        /// Which side.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// A listener cannot be opened.
    #[error("gateway configuration, {field}: cannot listen on {address}: {source}")]
    Bind {
        /// Which listener.
        field: &'static str,
        /// Its address.
        address: SocketAddr,
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
