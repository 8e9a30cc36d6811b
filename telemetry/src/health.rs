//! The health listener: `/healthz` (the process lives), `/readyz` (it can do its work), `/metrics` (Prometheus).
//!
//! Plain HTTP, for the kubelet and the scraper; it tells nothing that is secret.

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::Telemetry;

/// Why the health listener ended.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// The listener failed.
    #[error("the health listener failed: {0}")]
    Serve(#[from] std::io::Error),
}

/// Whether the process can do its work now, and if not, why. Clones share one state.
#[derive(Clone, Debug)]
pub struct Readiness {
    state: watch::Sender<Known>,
}

/// Ready, and as what; or why not.
type Known = Result<&'static str, String>;

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Readiness {
    /// Not ready: "starting".
    pub fn new() -> Self {
        Self { state: watch::Sender::new(Err("starting".to_owned())) }
    }

    /// Ready from now on.
    pub fn ready(&self) {
        self.ready_as("ok");
    }

    /// Ready from now on, in this role: `/readyz` says it.
    pub fn ready_as(&self, role: &'static str) {
        self.set(Ok(role));
    }

    /// Not ready from now on. The reason is shown to whoever asks, so it holds no secret and no user.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set(Err(reason.into()));
    }

    fn set(&self, new: Known) {
        self.state.send_if_modified(|state| {
            let changed = *state != new;
            *state = new;
            changed
        });
    }

    /// Why it is not ready; `None` when it is.
    pub fn reason(&self) -> Option<String> {
        self.state.borrow().clone().err()
    }

    /// Returns once it is ready.
    pub async fn wait(&self) {
        // The sender lives as long as `self`, so the only end is readiness.
        let _ = self.state.subscribe().wait_for(Result::is_ok).await;
    }
}

/// The routes, to be served by [`serve_health`] or beside others.
pub fn health_router(telemetry: Telemetry, readiness: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(exposition).with_state(telemetry))
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    let state = readiness.state.borrow().clone();
    match state {
        Ok(role) => format!("{role}\n").into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")).into_response(),
    }
}

async fn exposition(State(telemetry): State<Telemetry>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], telemetry.render()).into_response()
}

/// Serves health and metrics until `shutdown`.
pub async fn serve_health(
    listener: TcpListener,
    telemetry: Telemetry,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(), HealthError> {
    serve_health_beside(listener, health_router(telemetry, readiness), shutdown).await
}

/// Serves the routes of [`health_router`], with others beside them, until `shutdown`.
pub async fn serve_health_beside(
    listener: TcpListener,
    routes: Router,
    shutdown: CancellationToken,
) -> Result<(), HealthError> {
    axum::serve(listener, routes).with_graceful_shutdown(shutdown.cancelled_owned()).await.map_err(HealthError::Serve)
}
