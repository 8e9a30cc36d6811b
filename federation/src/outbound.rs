//! From the own relay to a peer: `/out/v1/{domain}/…`.

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
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
    tls::{Material, Upstream},
    verifier::common_name,
};

/// The listener for the own relay.
#[derive(Clone)]
pub(crate) struct Side;

impl listen::Side for Side {
    fn tls(&self, material: &Material) -> Arc<ServerConfig> {
        material.relay_side.clone()
    }

    fn welcome(&self, material: Arc<Material>, certificate: &CertificateDer<'_>) -> Welcome {
        let name = common_name(certificate).unwrap_or_default();
        if name != "relay" {
            let router = Router::new().fallback(async move || {
                Refusal::new(
                    ErrorCode::Forbidden,
                    format!("only the network's relay may call here (certificate with CN relay), not `{name}`"),
                )
            });
            return Welcome { known: None, router };
        }
        let forward = |operation: Operation| {
            post(move |State(material): State<Arc<Material>>, Path(domain): Path<String>, body: Body| async move {
                forward(&material, operation, &domain, body).await
            })
        };
        let router = Router::new()
            .route("/out/v1/{domain}/recipients", forward(Operation::Recipients))
            .route("/out/v1/{domain}/identities", forward(Operation::Identities))
            .route("/out/v1/{domain}/envelopes", forward(Operation::Envelopes))
            .route("/out/v1/{domain}/blobs/{blob}", get(blob))
            .fallback(no_route)
            .with_state(material);
        Welcome { known: Some(name), router }
    }
}

async fn forward(material: &Material, operation: Operation, domain: &str, body: Body) -> Result<Response, Refusal> {
    let (domain, upstream) = peer(material, domain)?;
    let body = read(body).await?;
    check::check(operation, &body, &material.settings().domain, &domain)?;
    let started = Instant::now();
    let path = format!("in/v1/{}", operation.path());
    let answer = carry::post(upstream, &path, body).await;
    metrics::histogram!(names::FEDERATION_LATENCY, labels::PEER => domain.to_string())
        .record(started.elapsed().as_secs_f64());
    deliver(&domain, answer)
}

async fn blob(
    State(material): State<Arc<Material>>,
    Path((domain, blob)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let (domain, upstream) = peer(&material, &domain)?;
    let blob: BlobId = blob.parse().map_err(|_| Refusal::new(ErrorCode::Invalid, "blob: expected 32 hex digits"))?;
    let answer = carry::get_blob(upstream, &format!("in/v1/blobs/{blob}")).await;
    deliver(&domain, answer)
}

/// The peer that a path names.
fn peer<'a>(material: &'a Material, domain: &str) -> Result<(Domain, &'a Upstream), Refusal> {
    let domain = Domain::parse(domain).map_err(|error| Refusal::new(ErrorCode::Invalid, format!("domain: {error}")))?;
    let Some(upstream) = material.peers.get(&domain) else {
        // The label is left out: what is asked for is not from a fixed list.
        metrics::counter!(names::FEDERATION_DENIED).increment(1);
        return Err(Refusal::new(
            ErrorCode::FederationDenied,
            format!(
                "{} does not federate with {domain}: an administrator of {} would have to add it to the network's peers",
                material.settings().domain,
                material.settings().domain
            ),
        ));
    };
    Ok((domain, upstream))
}

fn deliver(domain: &Domain, answer: Result<Answer, Failure>) -> Result<Response, Refusal> {
    let peer = domain.to_string();
    match answer {
        Ok(Answer::Done(response)) => {
            metrics::counter!(names::FEDERATION_SUCCESS, labels::PEER => peer).increment(1);
            Ok(response.into_response())
        }
        Ok(Answer::Refused(error)) => {
            let name = match error.code {
                ErrorCode::FederationDenied => names::FEDERATION_DENIED,
                code if code.status() >= 500 => names::FEDERATION_PEER_ERROR,
                // It did answer, and the answer is for whoever asked.
                _ => names::FEDERATION_SUCCESS,
            };
            metrics::counter!(name, labels::PEER => peer).increment(1);
            Err(error.into())
        }
        Err(failure) => {
            metrics::counter!(names::FEDERATION_PEER_ERROR, labels::PEER => peer).increment(1);
            tracing::warn!(peer = domain.as_str(), %failure, "the peer's gateway cannot be used");
            Err(Refusal::new(ErrorCode::PeerUnavailable, format!("the gateway of {domain} {failure}; try again later")))
        }
    }
}
