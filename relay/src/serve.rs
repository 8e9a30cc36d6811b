//! Listeners: accept, shake hands, serve HTTP/1.1, and stop without breaking what is under way.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::source::Proxies;
use crate::tls::{PeerRole, ServerTls};

/// Connections of one listener; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 20_000;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(15);
/// How long requests under way may take when the relay stops.
const DRAIN: Duration = Duration::from_secs(10);
/// Pause after the kernel refused a connection (no more file descriptors).
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown`, then finishes what is under way.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<dyn ServerTls>>,
    proxies: Arc<Proxies>,
    router: Router,
    shutdown: CancellationToken,
) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        let Some((stream, from, permit)) = accepted else { continue };
        let watcher = graceful.watcher();
        let (router, tls, shutdown) = (router.clone(), tls.clone(), shutdown.clone());
        let caller = Caller { address: from, proxies: Arc::clone(&proxies), role: None };
        tokio::spawn(async move {
            let _permit = permit;
            // Small answers and frames must not wait for more.
            let _ = stream.set_nodelay(true);
            let Some(tls) = tls else { return connection(stream, caller, router, watcher).await };
            let handshake = TlsAcceptor::from(tls.server_config()).accept(stream);
            let stream = tokio::select! {
                () = shutdown.cancelled() => return,
                result = timeout(HANDSHAKE, handshake) => match result {
                    Ok(Ok(stream)) => stream,
                    Ok(Err(error)) => return tracing::debug!(error = %error, "TLS handshake failed"),
                    Err(_) => return tracing::debug!("TLS handshake took too long"),
                },
            };
            let role = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(PeerRole::of);
            connection(stream, Caller { role, ..caller }, router, watcher).await;
        });
    }
    drop(listener);
    if timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests took too long and were given up");
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, IpAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, from)) => Some((stream, from.ip(), permit)),
        Err(error) => {
            tracing::warn!(error = %error, "a connection could not be accepted");
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}

/// Who is at the other end of a connection.
struct Caller {
    address: IpAddr,
    proxies: Arc<Proxies>,
    role: Option<PeerRole>,
}

async fn connection<S>(stream: S, caller: Caller, router: Router, watcher: hyper_util::server::graceful::Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        if let Some(role) = caller.role {
            request.extensions_mut().insert(role);
        }
        let source = caller.proxies.source(caller.address, request.headers());
        request.extensions_mut().insert(source);
        router.clone().oneshot(request.map(Body::new))
    });
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    let served = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(served).await {
        tracing::debug!(error = %error, "a connection ended badly");
    }
}
