//! The network's documents.

use axum::extract::State;
use sotto_wire::api::{NetworkInfo, PolicyAnswer};

use crate::auth::Caller;
use crate::error::Reply;
use crate::extract::Cbor;
use crate::recipients::network_info;
use crate::state::Shared;

pub(crate) async fn info(State(app): State<Shared>) -> Reply<Cbor<NetworkInfo>> {
    network_info(&app, &app.policy()).map(Cbor)
}

pub(crate) async fn policy(State(app): State<Shared>, caller: Caller) -> Reply<Cbor<PolicyAnswer>> {
    let policy = app.policy();
    let network = policy.network()?.signed.clone();
    let group = policy.group(&caller.group)?.signed.clone();
    Ok(Cbor(PolicyAnswer { network, group, membership: None }))
}
