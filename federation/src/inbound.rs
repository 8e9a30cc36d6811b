//! From a peer to the own relay: `/in/v1/…`. Who calls is known from the certificate alone.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};
use rustls::{ServerConfig, pki_types::CertificateDer};
use sotto_crypto::{BlobId, Domain};
use sotto_telemetry::{labels, names};
use sotto_wire::ErrorCode;

use crate::{
    answer::{Refusal, no_route, read},
    carry::{self, Answer, Failure},
    check::{self, Operation},
    listen::{self, Welcome},
    tls::Material,
    verifier::{Claim, claim},
};

/// The listener for peer gateways.
#[derive(Clone)]
pub(crate) struct Side;

#[derive(Clone)]
struct Caller {
    material: Arc<Material>,
    domain: Domain,
}

impl listen::Side for Side {
    fn tls(&self, material: &Material) -> Arc<ServerConfig> {
        material.peer_side.clone()
    }

    fn welcome(&self, material: Arc<Material>, certificate: &CertificateDer<'_>) -> Welcome {
        let router = match claim(certificate, material.peers.keys()) {
            // TLS has verified the chain under this domain's own authority (see `PeerVerifier`).
            Claim::Peer(domain) => {
                return Welcome { known: Some(domain.to_string()), router: routes(Caller { material, domain }) };
            }
            Claim::Unlisted(names) => {
                let own = material.settings().domain.clone();
                tracing::info!(claimed = names, "a caller that is no peer was refused");
                stranger(format!(
                    "{own} does not federate with {names}: an administrator of {own} would have to add it to the \
                     network's peers"
                ))
            }
            Claim::Ambiguous | Claim::Unreadable => stranger("the certificate does not say who calls".to_owned()),
        };
        Welcome { known: None, router }
    }
}

/// Says why, to everything.
fn stranger(why: String) -> Router {
    Router::new().fallback(async move || {
        metrics::counter!(names::FEDERATION_DENIED).increment(1);
        Refusal::new(ErrorCode::FederationDenied, why.clone())
    })
}

fn routes(caller: Caller) -> Router {
    let forward = |operation: Operation| {
        post(move |State(caller): State<Caller>, body: Body| async move { forward(&caller, operation, body).await })
    };
    Router::new()
        .route("/in/v1/recipients", forward(Operation::Recipients))
        .route("/in/v1/identities", forward(Operation::Identities))
        .route("/in/v1/envelopes", forward(Operation::Envelopes))
        .route("/in/v1/blobs/{blob}", get(blob))
        .fallback(no_route)
        .with_state(caller)
}

async fn forward(caller: &Caller, operation: Operation, body: Body) -> Result<Response, Refusal> {
    let body = read(body).await?;
    if let Err(error) = check::check(operation, &body, &caller.domain, &caller.material.settings().domain) {
        tracing::info!(peer = caller.domain.as_str(), code = error.code.as_str(), "a peer's request was refused");
        count(caller, names::FEDERATION_DENIED);
        return Err(error.into());
    }
    let path = format!("peer/v1/{}/{}", caller.domain, operation.path());
    deliver(caller, carry::post(&caller.material.relay, &path, body).await)
}

async fn blob(State(caller): State<Caller>, Path(blob): Path<String>) -> Result<Response, Refusal> {
    let blob: BlobId = blob.parse().map_err(|_| Refusal::new(ErrorCode::Invalid, "blob: expected 32 hex digits"))?;
    let path = format!("peer/v1/{}/blobs/{blob}", caller.domain);
    deliver(&caller, carry::get_blob(&caller.material.relay, &path).await)
}

fn deliver(caller: &Caller, answer: Result<Answer, Failure>) -> Result<Response, Refusal> {
    match answer {
        Ok(Answer::Done(response)) => {
            count(caller, names::FEDERATION_SUCCESS);
            Ok(response)
        }
        Ok(Answer::Refused(error)) => {
            match error.code {
                ErrorCode::FederationDenied => count(caller, names::FEDERATION_DENIED),
                // Our own relay's trouble is not the peer's: its own metrics tell.
                code if code.status() >= 500 => {}
                _ => count(caller, names::FEDERATION_SUCCESS),
            }
            Err(error.into())
        }
        Err(failure) => Err(carry::relay_refusal(failure).into()),
    }
}

fn count(caller: &Caller, name: &'static str) {
    metrics::counter!(name, labels::PEER => caller.domain.to_string()).increment(1);
}
