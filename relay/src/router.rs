//! Every URL of the relay on one page.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post, put};
use sotto_wire::ErrorCode;

use crate::error::Failure;
use crate::observe::{connect, operation, transfer};
use crate::routes::{
    admin, blobs, devices, envelopes, links, login, network, password, peer, recipients, register, session, socket,
};
use crate::state::Shared;
use crate::tls::PeerRole;

/// The public listener.
pub(crate) fn public(app: Shared) -> Router {
    finish(
        Router::new()
            .route("/v1/network", operation("GetNetwork", get(network::info)))
            .route("/v1/register/start", operation("StartRegistration", post(register::start)))
            .route("/v1/register/finish", operation("FinishRegistration", post(register::finish)))
            .route("/v1/login/start", operation("StartLogin", post(login::start)))
            .route("/v1/login/finish", operation("FinishLogin", post(login::finish)))
            .route("/v1/session/challenge", operation("GetChallenge", post(session::challenge)))
            .route("/v1/session", operation("OpenSession", post(session::open)))
            .route("/v1/policy", operation("GetPolicy", get(network::policy)))
            .route("/v1/devices", operation("Devices", get(devices::list).post(devices::add).put(devices::put_list)))
            .route("/v1/vault", operation("PutVault", put(password::put_vault)))
            .route("/v1/password/start", operation("StartPassword", post(password::start)))
            .route("/v1/password/finish", operation("FinishPassword", post(password::finish)))
            .route("/v1/links/{link}", operation("RemoveLink", delete(links::delete)))
            .route("/v1/links/{link}/{slot}", operation("Links", get(links::get).put(links::put)))
            .route("/v1/prekeys", operation("Prekeys", get(devices::prekeys).post(devices::upload)))
            .route("/v1/identities", operation("GetIdentities", post(recipients::identities)))
            .route("/v1/recipients", operation("GetRecipients", post(recipients::recipients)))
            .route("/v1/envelopes", operation("SendEnvelope", post(envelopes::send)))
            .route("/v1/signals", operation("SendSignal", post(envelopes::signal)))
            .route("/v1/blobs", transfer("PutBlob", post(blobs::upload)))
            .route("/v1/blobs/{domain}/{blob}", transfer("GetBlob", get(blobs::download)))
            .route("/v1/socket", connect(get(socket::open))),
        app,
    )
}

/// The admin listener: for the operator and the own gateway, by their certificates.
pub(crate) fn admin(app: Shared) -> Router {
    let operator = Router::new()
        .route("/admin/v1/state", operation("AdminState", get(admin::state)))
        .route("/admin/v1/network", operation("AdminPutNetwork", put(admin::put_network)))
        .route("/admin/v1/head", operation("AdminPutHead", put(admin::put_head)))
        .route("/admin/v1/groups/{name}", operation("AdminGroup", put(admin::put_group).delete(admin::delete_group)))
        .route("/admin/v1/users/{local}", operation("AdminUser", put(admin::put_user).delete(admin::delete_user)))
        .route("/admin/v1/users/{local}/devices", operation("AdminResetDevices", delete(admin::reset_devices)))
        .route("/admin/v1/users/{local}/unlock", operation("AdminUnlock", post(admin::unlock)))
        .route_layer(from_fn(|request, next| require(PeerRole::Operator, request, next)));
    let gateway = Router::new()
        .route("/peer/v1/{domain}/recipients", operation("PeerRecipients", post(peer::recipients)))
        .route("/peer/v1/{domain}/identities", operation("PeerIdentities", post(peer::identities)))
        .route("/peer/v1/{domain}/envelopes", operation("PeerEnvelope", post(peer::envelope)))
        .route("/peer/v1/{domain}/blobs/{blob}", transfer("PeerBlob", get(peer::blob)))
        .route_layer(from_fn(|request, next| require(PeerRole::Gateway, request, next)));
    finish(operator.merge(gateway), app)
}

fn finish(router: Router<Shared>, app: Shared) -> Router {
    router
        .fallback(|| async { Failure::not_found("there is nothing at this path") })
        .method_not_allowed_fallback(|| async { Failure::not_found("this path does not take this method") })
        .with_state(app)
}

/// Lets one role pass. Whoever comes here has a certificate of the network's authority already.
async fn require(role: PeerRole, request: Request, next: Next) -> Response {
    if request.extensions().get::<PeerRole>() == Some(&role) {
        return next.run(request).await;
    }
    let wanted = match role {
        PeerRole::Operator => "operator",
        PeerRole::Gateway => "gateway",
        PeerRole::Stranger => "nobody",
    };
    Failure::new(ErrorCode::Forbidden, format!("only for a certificate with the common name `{wanted}`"))
        .into_response()
}
