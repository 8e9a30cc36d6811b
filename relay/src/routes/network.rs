//! The network's documents.

use axum::extract::State;
use sotto_wire::api::{NetworkInfo, PolicyAnswer};

use crate::auth::Caller;
use crate::error::{Failure, Reply};
use crate::extract::Cbor;
use crate::policy::membership;
use crate::recipients::network_info;
use crate::state::Shared;

pub(crate) async fn info(State(app): State<Shared>) -> Reply<Cbor<NetworkInfo>> {
    network_info(&app, &app.policy()).map(Cbor)
}

pub(crate) async fn policy(State(app): State<Shared>, caller: Caller) -> Reply<Cbor<PolicyAnswer>> {
    let policy = app.policy();
    let network = policy.network()?.signed.clone();
    // Group and membership of one moment: the caller's group was looked up before.
    let user = app.store.user(caller.address.local().to_owned()).await?.ok_or_else(Failure::unauthenticated)?;
    let group = policy.group(&user.group)?.signed.clone();
    Ok(Cbor(PolicyAnswer { network, group, membership: membership(&user.membership)? }))
}
