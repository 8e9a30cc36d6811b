//! Who a message has to be sealed to.

use axum::extract::State;
use sotto_wire::api::{FetchIdentities, FetchRecipients, Identities, Recipients};

use crate::auth::Caller;
use crate::error::Reply;
use crate::extract::Cbor;
use crate::state::Shared;

pub(crate) async fn recipients(
    State(app): State<Shared>,
    caller: Caller,
    Cbor(request): Cbor<FetchRecipients>,
) -> Reply<Cbor<Recipients>> {
    crate::recipients::for_caller(&app, &caller, request).await.map(Cbor)
}

pub(crate) async fn identities(
    State(app): State<Shared>,
    caller: Caller,
    Cbor(request): Cbor<FetchIdentities>,
) -> Reply<Cbor<Identities>> {
    crate::recipients::identities(&app, &caller, request).await.map(Cbor)
}
