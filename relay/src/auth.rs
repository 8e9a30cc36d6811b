//! Who calls: a handler that takes [`Caller`] cannot forget to ask.

use axum::extract::FromRequestParts;
use http::header;
use http::request::Parts;
use sotto_crypto::{Address, DeviceId};

use crate::error::{Failure, Reply};
use crate::state::Shared;
use crate::token::LoginClaims;

/// A device with a session whose user is not suspended, looked up for this request.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) address: Address,
    pub(crate) device: DeviceId,
    pub(crate) group: String,
}

/// Somebody who has just proven a password and may register one device.
pub(crate) struct LoggedInUser(pub(crate) LoginClaims);

impl FromRequestParts<Shared> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Reply<Self> {
        let now_ms = app.now_ms();
        let claims = bearer(parts)
            .and_then(|token| app.tokens.check_session(token, now_ms))
            .ok_or_else(Failure::unauthenticated)?;
        if !app.limits.device(claims.device, now_ms) {
            return Err(Failure::rate_limited());
        }
        let record = app.store.device(claims.device).await?.ok_or_else(Failure::unauthenticated)?;
        // The id may have been registered again by somebody else since.
        if record.local != claims.address.local() {
            return Err(Failure::unauthenticated());
        }
        if record.suspended {
            return Err(Failure::suspended());
        }
        Ok(Self { address: claims.address, device: record.device, group: record.group })
    }
}

impl FromRequestParts<Shared> for LoggedInUser {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Reply<Self> {
        bearer(parts)
            .and_then(|token| app.tokens.check_login(token, app.now_ms()))
            .map(Self)
            .ok_or_else(Failure::unauthenticated)
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}
