//! The network's documents.

use axum::extract::State;
use sotto_wire::api::{NetworkInfo, PolicyAnswer};

use crate::auth::Caller;
use crate::error::Reply;
use crate::extract::Cbor;
use crate::recipients::network_info;
use crate::state::Shared;

pub(crate) async fn info(State(app): State<Shared>) -> Reply<Cbor<NetworkInfo>> {
    network_info(&app, &*app.shown()?).map(Cbor)
}

pub(crate) async fn policy(State(app): State<Shared>, caller: Caller) -> Reply<Cbor<PolicyAnswer>> {
    let shown = app.shown()?;
    let (membership, group) = shown.membership_and_group(caller.address.local())?;
    Ok(Cbor(PolicyAnswer { network: shown.network()?, group, membership, head: shown.head.clone() }))
}
