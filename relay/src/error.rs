//! What can go wrong: [`RelayError`] ends the process, [`Failure`] is the answer to a request.

use std::path::PathBuf;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use sotto_crypto::Address;
use sotto_wire::{ApiError, ErrorCode};

use crate::store::StoreError;

/// Why the relay cannot start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The configuration file says something that cannot be.
    #[error("relay configuration: {0}")]
    Config(String),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Certificates or keys do not fit.
    #[error("TLS files ({}): {reason}", path.display())]
    Tls {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// An address cannot be listened on.
    #[error("{what}: cannot listen on {address}: {source}; is another program using the port?")]
    Listen {
        /// The field of the configuration.
        what: &'static str,
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The store cannot be opened, or failed.
    #[error("{0}")]
    Store(String),
    /// Metrics cannot be set up.
    #[error("metrics: {0}")]
    Telemetry(#[from] sotto_telemetry::TelemetryError),
}

impl From<StoreError> for RelayError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

/// The answer to a request that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) ApiError);

/// The result of a handler.
pub(crate) type Reply<T> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(ApiError::new(code, message))
    }

    /// A field that cannot be accepted.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Invalid, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// Some cannot be written to. All of them, so that who writes to many can leave them out at once.
    pub(crate) fn unreachable(addresses: Vec<Address>) -> Self {
        /// Spelled out for people; a program has the list.
        const NAMES: usize = 5;
        let mut names: Vec<&str> = addresses.iter().take(NAMES).map(Address::as_str).collect();
        if addresses.len() > NAMES {
            names.push("others");
        }
        let message = format!(
            "{} cannot be written to: no such user, not registered yet, suspended, or without a device",
            names.join(", ")
        );
        Self(ApiError::new(ErrorCode::NotFound, message).about(addresses))
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Forbidden, message)
    }

    pub(crate) fn unauthenticated() -> Self {
        Self::new(
            ErrorCode::Unauthenticated,
            "the token is missing, has expired or does not hold any more: authenticate again",
        )
    }

    pub(crate) fn suspended() -> Self {
        Self::new(ErrorCode::Suspended, "this user is suspended; only the administrator can change that")
    }

    pub(crate) fn rate_limited() -> Self {
        Self::new(ErrorCode::RateLimited, "too many requests; try again in a few seconds")
    }

    pub(crate) fn no_policy() -> Self {
        Self::new(
            ErrorCode::Unavailable,
            "the administrator has not put the network's documents yet; try again when the network is ready",
        )
    }

    /// A fault of the server: the log has the details, the client gets none.
    pub(crate) fn internal(what: &'static str, error: &dyn std::fmt::Display) -> Self {
        tracing::error!(what, error = %error, "internal error");
        Self::new(ErrorCode::Internal, "the relay failed; its log has the details")
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Closed => Self::new(ErrorCode::Unavailable, "the relay is stopping; try again"),
            StoreError::Engine(_)
            | StoreError::Corrupt(_)
            | StoreError::Newer { .. }
            | StoreError::OldProtocol { .. } => Self::internal("store", &error),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // An `ApiError` is strings: writing it as JSON cannot fail.
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, body).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}
