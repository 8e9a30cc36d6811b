//! Accepts connections with mutual TLS and serves HTTP on them, within bounds: so many connections (see [`crate::slots`]), so
//! long for a handshake, so long a life.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use rustls::{ServerConfig, pki_types::CertificateDer};
use sotto_wire::Source;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    slots::{Connection, Limits, Slots},
    tls::{Current, Material},
};

/// How long the head of a known caller's request may take.
const HEAD: Duration = Duration::from_secs(10);
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
    /// Who a caller with this certificate is, and what it is answered.
    fn welcome(&self, material: Arc<Material>, certificate: &CertificateDer<'_>) -> Welcome;
}

/// What becomes of a caller.
pub(crate) struct Welcome {
    /// Who it is, when it is somebody who may call here.
    pub(crate) known: Option<String>,
    /// What it is answered.
    pub(crate) router: Router,
}

/// The connections of a listener, and how each is told to go.
struct Open {
    slots: Slots,
    go: HashMap<Connection, CancellationToken>,
}

/// A connection's place among them, given back when dropped.
struct Place {
    open: Arc<Mutex<Open>>,
    connection: Connection,
    go: CancellationToken,
}

impl Place {
    fn take(open: &Arc<Mutex<Open>>, source: Source) -> Self {
        let go = CancellationToken::new();
        let mut guard = open.lock().unwrap_or_else(PoisonError::into_inner);
        let (connection, displaced) = guard.slots.come(source, Instant::now());
        guard.go.insert(connection, go.clone());
        if let Some(displaced) = displaced.and_then(|displaced| guard.go.remove(&displaced)) {
            displaced.cancel();
        }
        Self { open: Arc::clone(open), connection, go }
    }

    /// Whether it may go on.
    fn settle(&self, known: Option<&str>) -> bool {
        let mut guard = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(caller) = known {
            return guard.slots.recognise(self.connection, caller);
        }
        guard.slots.stays_stranger(self.connection);
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut guard = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        guard.slots.leave(self.connection);
        guard.go.remove(&self.connection);
    }
}

/// Serves until `shutdown`, then lets what is under way finish.
pub(crate) async fn serve(
    listener: TcpListener,
    current: Current,
    side: impl Side,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let open = Arc::new(Mutex::new(Open { slots: Slots::new(limits), go: HashMap::new() }));
    let tracker = TaskTracker::new();
    loop {
        let (stream, source) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => (stream, Source::from(from.ip())),
                Err(error) => {
                    // Out of file handles, mostly: others end in a moment.
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let place = Place::take(&open, source);
        tracker.spawn(connection(stream, place, current.clone(), side.clone(), limits));
    }
    drop(listener);
    tracker.close();
    if timeout(DRAIN, tracker.wait()).await.is_err() {
        tracing::warn!(connections = tracker.len(), "ending with connections still open");
    }
}

async fn connection(stream: TcpStream, place: Place, current: Current, side: impl Side, limits: Limits) {
    let (material, replaced) = current.for_connection();
    let _ = stream.set_nodelay(true);
    let handshake = timeout(limits.handshake, TlsAcceptor::from(side.tls(&material)).accept(stream));
    let handshake = tokio::select! {
        handshake = handshake => handshake,
        () = place.go.cancelled() => return,
    };
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::info!(%error, "a connection was refused by TLS"),
        Err(_) => return,
    };
    let Some(certificate) = stream.get_ref().1.peer_certificates().and_then(<[_]>::first) else {
        return;
    };
    let Welcome { known, router } = side.welcome(material, certificate);
    if !place.settle(known.as_deref()) {
        return tracing::warn!(caller = known, "a caller has too many connections; one was closed");
    }
    let service = TowerToHyperService::new(router);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30)).max_concurrent_streams(128);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    if known.is_none() {
        tokio::select! {
            _ = connection => {}
            () = place.go.cancelled() => {}
            () = sleep(limits.stranger) => {}
        }
        return;
    }
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
