//! What other networks ask, by way of the own gateway. The gateway has verified who calls.

use axum::extract::State;
use axum::response::Response;
use sotto_crypto::{BlobId, Domain};
use sotto_wire::api::{Accepted, Identities, Recipients};
use sotto_wire::gateway::{PeerEnvelope, PeerIdentities, PeerRecipients};

use super::{Params, blobs};
use crate::error::{Failure, Reply};
use crate::extract::Cbor;
use crate::policy::Side;
use crate::state::{App, Shared};

pub(crate) async fn recipients(
    State(app): State<Shared>,
    params: Params,
    Cbor(request): Cbor<PeerRecipients>,
) -> Reply<Cbor<Recipients>> {
    crate::recipients::for_peer(&app, &caller(&app, &params)?, request).await.map(Cbor)
}

pub(crate) async fn identities(
    State(app): State<Shared>,
    params: Params,
    Cbor(request): Cbor<PeerIdentities>,
) -> Reply<Cbor<Identities>> {
    crate::recipients::identities_for_peer(&app, &caller(&app, &params)?, request).await.map(Cbor)
}

pub(crate) async fn envelope(
    State(app): State<Shared>,
    params: Params,
    Cbor(request): Cbor<PeerEnvelope>,
) -> Reply<Cbor<Accepted>> {
    crate::deliver::receive(&app, &caller(&app, &params)?, request.envelope).await.map(Cbor)
}

pub(crate) async fn blob(State(app): State<Shared>, params: Params) -> Reply<Response> {
    let peer = caller(&app, &params)?;
    app.policy().federation_of_network(Side::Recipient, &app.domain, &peer)?;
    let blob: BlobId = params.parse("blob")?;
    blobs::local(&app, blob).await
}

fn caller(app: &App, params: &Params) -> Reply<Domain> {
    let domain: Domain = params.parse("domain")?;
    if domain == app.domain {
        return Err(Failure::invalid("path, domain: is this network itself"));
    }
    Ok(domain)
}
