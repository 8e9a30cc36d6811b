//! The proxy: requests go to the relay, answers come back, and tricks come in between.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use sotto_wire::CBOR;
use tokio::net::TcpListener;

use super::{Shared, alter, socket};
use crate::{Failure, Outcome};

/// More than any request or answer of a test has.
const MOST: usize = 32 * 1024 * 1024;
/// A link waits 20 seconds for its slot.
const PATIENCE: Duration = Duration::from_mins(1);

/// The real relay.
pub(super) struct Upstream {
    client: reqwest::Client,
    base: String,
}

/// A request, as far as tricks look at it.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) token: Option<String>,
}

impl Call {
    pub(super) fn new(method: &Method, path: &str, headers: &HeaderMap) -> Self {
        let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = token.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
        Self { method: method.clone(), path: path.to_owned(), token }
    }
}

/// An HTTP client that speaks in the clear: the attacker is the operator, on the relay's own machine.
pub(super) fn client() -> Outcome<reqwest::Client> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let unused = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|e| Failure(e.to_string()))?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let client = reqwest::Client::builder().tls_backend_preconfigured(unused).timeout(PATIENCE).build();
    client.map_err(|e| Failure(e.to_string()))
}

impl Upstream {
    pub(super) fn new(relay: &str) -> Outcome<Self> {
        Ok(Self { client: client()?, base: relay.trim_end_matches('/').to_owned() })
    }

    /// `HOST:PORT`.
    pub(super) fn authority(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    async fn ask(&self, path: &str, request: (Method, HeaderMap, Vec<u8>)) -> Result<Answer, reqwest::Error> {
        let (method, headers, body) = request;
        let mut call = self.client.request(method, format!("{}{path}", self.base));
        for name in [AUTHORIZATION, CONTENT_TYPE] {
            if let Some(value) = headers.get(&name) {
                call = call.header(name, value);
            }
        }
        let answer = call.body(body).send().await?;
        let (status, kind) = (answer.status(), answer.headers().get(CONTENT_TYPE).cloned());
        let kind = kind.and_then(|value| value.to_str().ok().map(str::to_owned));
        Ok(Answer { status, kind, body: answer.bytes().await?.to_vec() })
    }
}

/// What is answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) kind: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// A good answer.
    pub(super) fn cbor<T: minicbor::Encode<()>>(value: &T) -> Self {
        Self { status: StatusCode::OK, kind: Some(CBOR.to_owned()), body: sotto_crypto::encode(value) }
    }

    fn into_response(self) -> Response {
        let mut response = (self.status, Body::from(self.body)).into_response();
        response.headers_mut().remove(CONTENT_TYPE);
        if let Some(kind) = self.kind.and_then(|kind| kind.parse().ok()) {
            response.headers_mut().insert(CONTENT_TYPE, kind);
        }
        response
    }
}

/// Serves for ever.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let router = Router::new().route("/v1/socket", get(socket::open)).fallback(pass).with_state(shared);
    // It ends with the runtime.
    let _ = axum::serve(listener, router).await;
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MOST).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let call = Call::new(&parts.method, parts.uri.path(), &parts.headers);
    if let Some(answer) = alter::instead(&shared, &call, &body) {
        return answer.into_response();
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    match shared.upstream.ask(path, (parts.method, parts.headers, body.to_vec())).await {
        Ok(mut answer) => {
            if answer.status.is_success() {
                answer.body = alter::answer(&shared, &call, &body, answer.body);
            }
            answer.into_response()
        }
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}
