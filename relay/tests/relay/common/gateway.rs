//! A gateway that hands everything to the other network's relay, or fails as a test wants.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use sotto_crypto::Domain;
use sotto_wire::{ApiError, ErrorCode};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::World;
use super::http::Http;

/// What is behind the gateway.
#[derive(Default)]
pub(crate) struct Behind {
    /// Peer relays' admin listeners, as their own gateways reach them.
    peers: Mutex<HashMap<String, Arc<Http>>>,
    /// Answers this to everything, while it is set.
    failing: Mutex<Option<ApiError>>,
    /// Operations that were asked for.
    pub(crate) asked: Mutex<Vec<String>>,
    own: Mutex<String>,
}

impl Behind {
    pub(crate) fn fail(&self, error: Option<(ErrorCode, &str)>) {
        *self.failing.lock().unwrap() = error.map(|(code, text)| ApiError::new(code, text));
    }

    pub(crate) fn connect(&self, peer: &World) {
        self.peers.lock().unwrap().insert(peer.domain.to_string(), Arc::new(peer.admin_as("gateway")));
    }

    pub(crate) fn count(&self, operation: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == operation).count()
    }
}

/// Starts a gateway for `world` and puts it into its configuration.
pub(crate) async fn start(world: &mut World) -> Arc<Behind> {
    let behind = Arc::new(Behind::default());
    *behind.own.lock().unwrap() = world.domain.to_string();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.gateway = Some(format!("https://{}", listener.local_addr().unwrap()));
    let acceptor = TlsAcceptor::from(Arc::new(world.authority.server(&world.authority.issue("gateway"))));
    let router =
        Router::new().route("/out/v1/{domain}/{*rest}", axum::routing::any(forward)).with_state(Arc::clone(&behind));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, router) = (acceptor.clone(), router.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = TowerToHyperService::new(router);
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    behind
}

async fn forward(
    State(behind): State<Arc<Behind>>,
    Path((domain, rest)): Path<(String, String)>,
    request: Request,
) -> Response {
    behind.asked.lock().unwrap().push(rest.split('/').next().unwrap_or_default().to_owned());
    if let Some(error) = behind.failing.lock().unwrap().clone() {
        return refuse(&error);
    }
    let Some(peer) = behind.peers.lock().unwrap().get(&domain).map(Arc::clone) else {
        return refuse(&ApiError::new(ErrorCode::PeerUnavailable, "nobody there"));
    };
    let own = Domain::parse(&behind.own.lock().unwrap()).unwrap();
    let method = request.method().clone();
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let onward =
        peer.request(method, &format!("/peer/v1/{own}/{rest}")).header("content-type", sotto_wire::CBOR).body(body);
    let answer = peer.send(onward).await;
    (http::StatusCode::from_u16(answer.status).unwrap(), Body::from(answer.body)).into_response()
}

fn refuse(error: &ApiError) -> Response {
    let status = http::StatusCode::from_u16(error.code.status()).unwrap();
    (status, serde_json::to_vec(error).unwrap()).into_response()
}
