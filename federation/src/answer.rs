//! Refusals as HTTP answers, and reading bodies within bounds.

use std::time::Duration;

use axum::{
    Json,
    body::{Body, Bytes},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use sotto_wire::{ApiError, ErrorCode, limits::MAX_REQUEST};
use tokio::time::timeout;

/// How long a caller may take to send its request.
const BODY: Duration = Duration::from_secs(20);

/// An [`ApiError`] as answer.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) ApiError);

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(ApiError::new(code, message))
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.0)).into_response()
    }
}

/// The whole body of a request.
pub(crate) async fn read(body: Body) -> Result<Bytes, Refusal> {
    match timeout(BODY, axum::body::to_bytes(body, MAX_REQUEST)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(Refusal::new(
            ErrorCode::TooLarge,
            format!("the request cannot be read or is larger than {MAX_REQUEST} bytes: {error}"),
        )),
        Err(_) => Err(Refusal::new(ErrorCode::Unavailable, "the request came too slowly")),
    }
}

/// What is asked for where there is nothing.
pub(crate) async fn no_route() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "no such path; see sotto_wire::gateway for what gateways answer")
}
