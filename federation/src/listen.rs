//! Accepts connections with mutual TLS and serves HTTP on them, within bounds: so many connections, so long for a
//! handshake, so long a life.

use std::{sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use rustls::{ServerConfig, pki_types::CertificateDer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::tls::{Current, Material};

const MAX_CONNECTIONS: usize = 1_024;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection lives at least after its handshake, even when certificates were changed meanwhile: closed before
/// its first request, it would look to the caller as if nobody were here.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// Then it has to prove itself anew.
const MAX_AGE: Duration = Duration::from_hours(1);
/// What is under way at the end of a connection may take so long.
const DRAIN: Duration = Duration::from_secs(10);

/// One of the two listeners.
pub(crate) trait Side: Clone + Send + Sync + 'static {
    /// Its part of the material.
    fn tls(&self, material: &Material) -> Arc<ServerConfig>;
    /// What it answers to a caller with this certificate.
    fn router(&self, material: Arc<Material>, certificate: &CertificateDer<'_>) -> Router;
}

/// Serves until `shutdown`, then lets what is under way finish.
pub(crate) async fn serve(listener: TcpListener, current: Current, side: impl Side, shutdown: CancellationToken) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let tracker = TaskTracker::new();
    loop {
        let (stream, slot) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &slots) => match accepted {
                Some(accepted) => accepted,
                None => continue,
            },
        };
        tracker.spawn(connection(stream, slot, current.clone(), side.clone()));
    }
    drop(listener);
    tracker.close();
    if timeout(DRAIN, tracker.wait()).await.is_err() {
        tracing::warn!(connections = tracker.len(), "ending with connections still open");
    }
}

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, slot)),
        Err(error) => {
            // Out of file handles, mostly: others end in a moment.
            tracing::warn!(%error, "a connection could not be accepted");
            sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn connection(stream: TcpStream, _slot: OwnedSemaphorePermit, current: Current, side: impl Side) {
    let (material, replaced) = current.for_connection();
    let _ = stream.set_nodelay(true);
    let handshake = timeout(HANDSHAKE, TlsAcceptor::from(side.tls(&material)).accept(stream)).await;
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::info!(%error, "a connection was refused by TLS"),
        Err(_) => return,
    };
    let Some(certificate) = stream.get_ref().1.peer_certificates().and_then(<[_]>::first) else {
        return;
    };
    let service = TowerToHyperService::new(side.router(material, certificate));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30)).max_concurrent_streams(128);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let first_request = sleep(FIRST_REQUEST);
    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        ((), ()) = async { tokio::join!(replaced.cancelled(), first_request) } => None,
        () = sleep(MAX_AGE) => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        connection.as_mut().graceful_shutdown();
        timeout(DRAIN, connection).await.unwrap_or(Ok(()))
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection broke");
    }
}
