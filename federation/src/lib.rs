//! The gateway that carries sealed messages between networks.
//!
//! It keeps nothing: the relays on both sides are durable, the gateway only connects them. Two listeners, both with
//! mutual TLS: one for the own relay (certificate of the network's own authority, CN `relay`), one for peer gateways
//! (a peer is whoever proves a configured domain under exactly the authority that is configured for that domain).
//!
//! ```text
//! relay a ──/out/v1/{b}/…──▶ gateway a ══/in/v1/…══▶ gateway b ──/peer/v1/{a}/…──▶ relay b
//! ```
//!
//! What it checks is what it alone can know: that a peer speaks for its own users only, that both sides are meant,
//! and that sizes keep their bounds. Everything else is for the relays. Refusals travel back unchanged.

mod answer;
mod carry;
mod check;
mod error;
mod inbound;
mod listen;
mod outbound;
mod settings;
mod slots;
mod tls;
mod verifier;

use std::{sync::Arc, time::Duration};

use sotto_telemetry::{CloudWatchConfig, Readiness, Telemetry, names, serve_health};
use sotto_wire::config::{GatewayConfig, TelemetryConfig};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use crate::error::GatewayError;
use crate::{settings::Settings, slots::Limits, tls::Material};

/// How often certificate files are looked at.
const RELOAD: Duration = Duration::from_mins(1);

/// Runs the gateway until `shutdown`.
pub async fn run(config: GatewayConfig, shutdown: CancellationToken) -> Result<(), GatewayError> {
    let telemetry = Telemetry::install()?;
    // Told as zero until something happens, so that alarms have data.
    for name in [names::FEDERATION_SUCCESS, names::FEDERATION_PEER_ERROR, names::FEDERATION_DENIED] {
        metrics::counter!(name).increment(0);
    }
    let settings = Settings::parse(&config)?;
    // Cancelled also when serving fails; whoever gave us the parent decides about the rest of the process.
    let shutdown = shutdown.child_token();
    let readiness = Readiness::new();
    let relay_side = bind("listen", config.listen).await?;
    let peer_side = bind("peerListen", config.peer_listen).await?;
    let health = bind("telemetry.listen", config.telemetry.listen).await?;
    let publisher = config
        .telemetry
        .cloud_watch
        .is_some()
        .then(|| telemetry.publish(cloud_watch(&config.telemetry, settings.domain.as_str()), shutdown.clone()));

    let health = tokio::spawn(serve_health(health, telemetry, readiness.clone(), shutdown.clone()));
    let served = serve(settings, relay_side, peer_side, RELOAD, Limits::USUAL, &readiness, shutdown.clone()).await;
    shutdown.cancel();
    readiness.not_ready("stopping");
    if let Some(publisher) = publisher {
        publisher.finished().await;
    }
    health.await.map_err(|_| GatewayError::Internal("the health listener ended unexpectedly"))??;
    served
}

/// The part of [`run`] that is the gateway itself.
async fn serve(
    settings: Settings,
    relay_side: TcpListener,
    peer_side: TcpListener,
    reload_every: Duration,
    limits: Limits,
    readiness: &Readiness,
    shutdown: CancellationToken,
) -> Result<(), GatewayError> {
    let material = tls::Current::new(Material::load(Arc::new(settings))?, &shutdown);
    tracing::info!(
        domain = material.get().settings().domain.as_str(),
        peers = material.get().settings().peers.len(),
        "gateway ready"
    );
    readiness.ready();
    tokio::join!(
        listen::serve(relay_side, material.clone(), outbound::Side, limits, shutdown.clone()),
        listen::serve(peer_side, material.clone(), inbound::Side, limits, shutdown.clone()),
        tls::reload(material.clone(), reload_every, shutdown.clone()),
    );
    Ok(())
}

async fn bind(field: &'static str, address: std::net::SocketAddr) -> Result<TcpListener, GatewayError> {
    TcpListener::bind(address).await.map_err(|source| GatewayError::Bind { field, address, source })
}

fn cloud_watch(config: &TelemetryConfig, domain: &str) -> CloudWatchConfig {
    let usual = CloudWatchConfig::new(Some(domain.to_owned()));
    match &config.cloud_watch {
        None => usual,
        Some(wanted) => CloudWatchConfig {
            namespace: wanted.namespace.clone(),
            interval: Duration::from_secs(wanted.interval_seconds.max(1)),
            region: wanted.region.clone(),
            endpoint: wanted.endpoint_url.clone(),
            ..usual
        },
    }
}

#[cfg(test)]
mod tests;
