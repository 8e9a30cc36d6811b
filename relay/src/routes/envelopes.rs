//! Messages in.

use axum::extract::State;
use sotto_wire::api::{Accepted, Envelope};

use super::{DONE, Empty};
use crate::auth::Caller;
use crate::error::Reply;
use crate::extract::Cbor;
use crate::state::Shared;

pub(crate) async fn send(
    State(app): State<Shared>,
    caller: Caller,
    Cbor(envelope): Cbor<Envelope>,
) -> Reply<Cbor<Accepted>> {
    crate::deliver::send(&app, &caller, envelope).await.map(Cbor)
}

/// Nothing of it is kept.
pub(crate) async fn signal(State(app): State<Shared>, caller: Caller, Cbor(envelope): Cbor<Envelope>) -> Empty {
    crate::signals::send(&app, &caller, envelope).await.map(|()| DONE)
}
