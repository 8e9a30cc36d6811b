//! Who calls: a handler that takes [`Caller`] cannot forget to ask.

use axum::extract::FromRequestParts;
use http::header;
use http::request::Parts;
use sotto_crypto::{Address, DeviceId};
use sotto_wire::Source;

use crate::error::{Failure, Reply};
use crate::state::Shared;
use crate::store::UserRecord;
use crate::token::LoginClaims;

/// A device with a session whose user is not suspended, looked up for this request.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) address: Address,
    pub(crate) device: DeviceId,
    pub(crate) group: String,
}

/// A log-in token that is good in itself. Whether it has been used is for the store to say, which knows a repeat.
pub(crate) struct LoginToken(pub(crate) LoginClaims);

/// Somebody who has just proven a password, whose token has not been used and who is not suspended, looked up for this
/// request.
pub(crate) struct LoggedInUser {
    pub(crate) claims: LoginClaims,
    pub(crate) record: UserRecord,
}

/// A device with a session, or somebody who has just proven the password.
pub(crate) struct Account {
    pub(crate) address: Address,
}

/// Whoever asks, before anything is proven: where from, and with which session, where one is shown.
pub(crate) struct Asker {
    pub(crate) source: Source,
    pub(crate) caller: Option<Caller>,
}

impl FromRequestParts<Shared> for Asker {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Reply<Self> {
        let FromSource(source) = FromSource::from_request_parts(parts, app).await?;
        let shown = parts.headers.contains_key(header::AUTHORIZATION);
        // One that does not hold is refused, so that its device opens a new one instead of being taken for a stranger.
        let caller = if shown { Some(Caller::from_request_parts(parts, app).await?) } else { None };
        Ok(Self { source, caller })
    }
}

/// Where a request comes from, which the listener has found out.
pub(crate) struct FromSource(pub(crate) Source);

impl FromRequestParts<Shared> for FromSource {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Reply<Self> {
        parts.extensions.get().copied().map(Self).ok_or_else(|| Failure::internal("source of a request", &"none"))
    }
}

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

impl FromRequestParts<Shared> for LoginToken {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Reply<Self> {
        bearer(parts)
            .and_then(|token| app.tokens.check_login(token, app.now_ms()))
            .map(Self)
            .ok_or_else(Failure::unauthenticated)
    }
}

impl FromRequestParts<Shared> for LoggedInUser {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Reply<Self> {
        let LoginToken(claims) = LoginToken::from_request_parts(parts, app).await?;
        if !app.limits.logged_in(&claims.address, app.now_ms()) {
            return Err(Failure::rate_limited());
        }
        let record = app.store.user(claims.address.local().to_owned()).await?.ok_or_else(Failure::unauthenticated)?;
        if record.record.is_none() || record.generation != claims.generation {
            return Err(Failure::unauthenticated());
        }
        if record.suspended {
            return Err(Failure::suspended());
        }
        Ok(Self { claims, record })
    }
}

impl FromRequestParts<Shared> for Account {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Reply<Self> {
        let is_session = bearer(parts).is_some_and(|token| app.tokens.check_session(token, app.now_ms()).is_some());
        let address = if is_session {
            Caller::from_request_parts(parts, app).await?.address
        } else {
            LoggedInUser::from_request_parts(parts, app).await?.claims.address
        };
        Ok(Self { address })
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}
