//! Sessions: the device signs a challenge that the relay need not remember.

use axum::extract::State;
use sotto_wire::api::{Challenge, OpenSession, SESSION_LABEL, Session, SessionChallenge};
use sotto_wire::limits::{LOGIN_SECONDS, SESSION_SECONDS};

use crate::auth::FromSource;
use crate::error::{Failure, Reply};
use crate::extract::Cbor;
use crate::state::Shared;
use crate::token::DeviceClaims;

/// Anybody gets a challenge, for any device: it tells nobody which devices there are.
pub(crate) async fn challenge(
    State(app): State<Shared>,
    Cbor(request): Cbor<SessionChallenge>,
) -> Reply<Cbor<Challenge>> {
    let expires_at_ms = app.now_ms().saturating_add(LOGIN_SECONDS * 1000);
    let claims = DeviceClaims::new(request.address, request.device, expires_at_ms);
    Ok(Cbor(Challenge { challenge: app.tokens.issue_challenge(&claims) }))
}

pub(crate) async fn open(
    State(app): State<Shared>,
    FromSource(source): FromSource,
    Cbor(request): Cbor<OpenSession>,
) -> Reply<Cbor<Session>> {
    let now_ms = app.now_ms();
    let claims = app.tokens.check_challenge(&request.challenge, now_ms).ok_or_else(Failure::unauthenticated)?;
    if !app.is_own(&claims.address) {
        return Err(Failure::unauthenticated());
    }
    let record = app.store.device(claims.device).await?.ok_or_else(Failure::unauthenticated)?;
    if record.local != claims.address.local() {
        return Err(Failure::unauthenticated());
    }
    // Checking a signature is the most expensive thing that a stranger can ask for. It is limited by source too, so that nobody
    // uses up what a device has, and after the look-up, so that names of devices that are none fill nothing.
    if !app.limits.session(claims.device, source, now_ms) {
        return Err(Failure::rate_limited());
    }
    record.key.verify(SESSION_LABEL, &request.challenge, &request.signature).map_err(|_| Failure::unauthenticated())?;
    if record.suspended {
        return Err(Failure::suspended());
    }
    app.limits.saw(&claims.address, source);
    app.store.touch_device(claims.device, now_ms).await?;
    let expires_at_ms = now_ms.saturating_add(SESSION_SECONDS * 1000);
    let token = app.tokens.issue_session(&DeviceClaims::new(claims.address, claims.device, expires_at_ms));
    Ok(Cbor(Session { token, expires_at_ms, now_ms }))
}
