//! The server: handshake by name, the admin interface's routes, the switches.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use sotto_wire::admin::{PutGroup, PutHead, PutNetwork, PutUser};
use sotto_wire::{ApiError, ErrorCode};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;
use tower::ServiceExt as _;

use super::store::Store;
use super::tls::is_operator;
use super::{All, Id, Mode, Relay, locked};

/// A relay as the routes see it.
#[derive(Clone)]
struct Served {
    relay: Arc<Mutex<Relay>>,
    all: Arc<All>,
}

impl Served {
    fn mode(&self) -> Mode {
        self.all.mode(&locked(&self.relay))
    }
}

/// Accepts for ever.
pub(super) async fn serve(listener: TcpListener, all: Arc<All>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No file descriptors: others will be given back.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            continue;
        };
        let all = Arc::clone(&all);
        tokio::spawn(async move {
            // What the caller does wrong it learns from its own side of the connection.
            let _ = connection(stream, all).await;
        });
    }
}

async fn connection(stream: TcpStream, all: Arc<All>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await.ok()?;
    let id = Id::of_host(start.client_hello().server_name()?)?;
    let relay = all.relay(&id);
    let mode = all.mode(&locked(&relay));
    if mode == Mode::Down {
        return None;
    }
    let config = all.certificates.get(&id).await?;
    let stream = start.into_stream(config).await.ok()?;
    locked(&relay).calls.handshakes += 1;
    let operator = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).is_some_and(is_operator);
    let served = Served { relay, all };
    let router = if operator { router(served.clone()) } else { Router::new().fallback(stranger) };
    let service = tower::service_fn(move |request| {
        let (router, served) = (router.clone(), served.clone());
        async move {
            // An error here ends the connection without an answer.
            if served.mode() == Mode::Down {
                return Err(std::io::Error::other("down"));
            }
            router.oneshot(request).await.map_err(|never| match never {})
        }
    });
    let service = TowerToHyperService::new(service);
    Builder::new(TokioExecutor::new()).http1_only().serve_connection(TokioIo::new(stream), service).await.ok()
}

async fn stranger() -> Response {
    answer(Err(ApiError::new(ErrorCode::Forbidden, "this certificate is not the operator's")))
}

fn router(served: Served) -> Router {
    Router::new()
        .route("/admin/v1/state", get(state))
        .route("/admin/v1/network", put(put_network))
        .route("/admin/v1/head", put(put_head))
        .route("/admin/v1/groups/{name}", put(put_group).delete(delete_group))
        .route("/admin/v1/users/{local}", put(put_user).delete(delete_user))
        .route("/admin/v1/users/{local}/devices", delete(reset_devices))
        .route("/admin/v1/users/{local}/unlock", post(unlock))
        .route_layer(from_fn_with_state(served.clone(), switches))
        .fallback(|| async { answer(Err(ApiError::new(ErrorCode::NotFound, "there is nothing at this path"))) })
        .with_state(served)
}

/// The relay's behaviour before it looks at the call.
async fn switches(State(served): State<Served>, request: Request, next: Next) -> Response {
    match served.mode() {
        Mode::Good | Mode::Down => {}
        Mode::Slow(time) => tokio::time::sleep(time).await,
        Mode::Nonsense => return "<html>It works!</html>".into_response(),
    }
    next.run(request).await
}

async fn state(State(served): State<Served>, request: Request) -> Response {
    let mut relay = locked(&served.relay);
    let etag = relay.store.etag();
    let known = request.headers().get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == etag.as_bytes());
    if known {
        relay.calls.unchanged += 1;
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    relay.calls.states += 1;
    ([(header::ETAG, etag)], Json(relay.store.state())).into_response()
}

/// Counts and answers a call that brings or removes something.
fn write(served: &Served, call: impl FnOnce(&mut Store) -> Result<(), ApiError>) -> Response {
    let mut relay = locked(&served.relay);
    relay.calls.writes += 1;
    let result = call(&mut relay.store);
    relay.calls.refused += u64::from(result.is_err());
    answer(result)
}

fn answer(result: Result<(), ApiError>) -> Response {
    match result {
        Ok(()) => Json(serde_json::json!({})).into_response(),
        Err(error) => {
            let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, Json(error)).into_response()
        }
    }
}

async fn put_network(State(served): State<Served>, Json(put): Json<PutNetwork>) -> Response {
    write(&served, |store| store.put_network(put))
}

async fn put_head(State(served): State<Served>, Json(put): Json<PutHead>) -> Response {
    write(&served, |store| store.put_head(put))
}

async fn put_group(State(served): State<Served>, Path(name): Path<String>, Json(put): Json<PutGroup>) -> Response {
    write(&served, |store| store.put_group(&name, put))
}

async fn delete_group(State(served): State<Served>, Path(name): Path<String>) -> Response {
    write(&served, |store| store.delete_group(&name))
}

async fn put_user(State(served): State<Served>, Path(local): Path<String>, Json(put): Json<PutUser>) -> Response {
    write(&served, |store| store.put_user(&local, put, true))
}

async fn delete_user(State(served): State<Served>, Path(local): Path<String>) -> Response {
    write(&served, |store| {
        store.delete_user(&local);
        Ok(())
    })
}

async fn reset_devices(State(served): State<Served>, Path(local): Path<String>) -> Response {
    write(&served, |store| {
        store.reset_devices(&local);
        Ok(())
    })
}

async fn unlock(State(served): State<Served>, Path(local): Path<String>) -> Response {
    write(&served, |store| {
        store.unlock(&local);
        Ok(())
    })
}
