//! Around every request: a bound on its time, metrics and one log line by operation. Never its path, address or token.

use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodRouter;
use sotto_telemetry::{labels, names};
use sotto_wire::ErrorCode;

use crate::error::Failure;
use crate::state::Shared;

/// How long a request may take.
const SHORT: Duration = Duration::from_mins(1);
/// How long an attachment may take.
const LONG: Duration = Duration::from_hours(1);

/// A route with its name for metrics and logs.
pub(crate) fn operation(name: &'static str, route: MethodRouter<Shared>) -> MethodRouter<Shared> {
    route.layer(from_fn(move |request: Request, next: Next| observe(name, SHORT, request, next)))
}

/// The same for attachments.
pub(crate) fn transfer(name: &'static str, route: MethodRouter<Shared>) -> MethodRouter<Shared> {
    route.layer(from_fn(move |request: Request, next: Next| observe(name, LONG, request, next)))
}

/// The same for the socket, whose opening is what is measured.
pub(crate) fn connect(route: MethodRouter<Shared>) -> MethodRouter<Shared> {
    operation("Connect", route.layer(from_fn(count_connect)))
}

async fn count_connect(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let name = match response.status().as_u16() {
        101 => names::CONNECT_SUCCESS,
        500.. => names::CONNECT_SERVER_ERROR,
        _ => names::CONNECT_CLIENT_ERROR,
    };
    metrics::counter!(name).increment(1);
    response
}

async fn observe(name: &'static str, limit: Duration, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let response = tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        Failure::new(ErrorCode::Unavailable, "the request took too long; try again").into_response()
    });
    let took = begun.elapsed();
    let status = response.status();
    metrics::histogram!(names::LATENCY, labels::OPERATION => name).record(took.as_secs_f64());
    if status.is_client_error() {
        metrics::counter!(names::RESPONSES_4XX, labels::OPERATION => name).increment(1);
    } else if status.is_server_error() {
        metrics::counter!(names::RESPONSES_5XX, labels::OPERATION => name).increment(1);
    }
    tracing::debug!(operation = name, status = status.as_u16(), milliseconds = took.as_secs_f64() * 1000.0, "request");
    response
}
