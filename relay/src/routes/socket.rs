//! The socket of a device.

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::Response;
use sotto_telemetry::names;

use crate::auth::Caller;
use crate::error::{Failure, Reply};
use crate::socket::{MAX_FRAME, serve};
use crate::state::Shared;

pub(crate) async fn open(
    State(app): State<Shared>,
    caller: Caller,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Reply<Response> {
    let upgrade = upgrade.map_err(|_| Failure::invalid("not a WebSocket handshake (RFC 6455)"))?;
    let running = app.tasks.token();
    Ok(upgrade.max_message_size(MAX_FRAME).max_frame_size(MAX_FRAME).on_upgrade(move |socket| async move {
        let connection = app.registry.enter(caller.device);
        measure(&app);
        serve(&app, &caller, connection, socket).await;
        measure(&app);
        drop(running);
    }))
}

#[expect(clippy::cast_precision_loss, reason = "a number of connections")]
fn measure(app: &Shared) {
    metrics::gauge!(names::ACTIVE_CONNECTIONS).set(app.registry.connected() as f64);
}
