//! Log-in by password (OPAQUE). A guess is decided by the relay's first answer, so an attempt counts as failed from its
//! start until it succeeds: who guesses need not send the second step. It counts, and locks, where it comes from: a stranger
//! locks out itself, and no device of the account. Names that are no users are treated alike.

use axum::extract::State;
use sotto_telemetry::names;
use sotto_wire::ErrorCode;
use sotto_wire::api::{LoggedIn, LoginFinish, LoginStart, LoginStarted};
use sotto_wire::limits::LOGIN_SECONDS;

use super::password::serves_password_vault;
use super::register::bad_message;
use crate::auth::{Asker, FromSource};
use crate::error::{Failure, Reply};
use crate::extract::Cbor;
use crate::opaque::{Proven, file_digest};
use crate::state::{App, Shared};
use crate::store::{Login, UserRecord};
use crate::token::LoginClaims;

pub(crate) async fn start(
    State(app): State<Shared>,
    asker: Asker,
    Cbor(request): Cbor<LoginStart>,
) -> Reply<Cbor<LoginStarted>> {
    let address = &request.address;
    if !app.is_own(address) {
        return Err(wrong());
    }
    let now_ms = app.now_ms();
    let origin = app.limits.origin(&asker, address);
    if !app.limits.login(&asker, address, &origin, now_ms) {
        return Err(Failure::rate_limited());
    }
    let user = app.store.user(address.local().to_owned()).await?;
    let record = user.as_ref().and_then(|user| user.record.as_deref());
    // Read before it counts: what cannot be read is no guess.
    let expires_at_ms = now_ms.saturating_add(LOGIN_SECONDS * 1000);
    let started = app
        .opaque
        .start_login(address, record, &request.request, &origin, expires_at_ms)
        .map_err(|_| bad_message("request"))?;
    let threshold = threshold(&app, user.as_ref());
    match app.store.begin_login(address.local().to_owned(), origin, threshold, now_ms).await? {
        Login::Open => Ok(Cbor(LoginStarted { attempt: started.attempt, response: started.response })),
        Login::Crowded => {
            metrics::counter!(names::LOGIN_FAILURES).increment(1);
            Err(Failure::new(
                ErrorCode::RateLimited,
                "too many log-ins from elsewhere have failed today; log in from where one of your devices is in use, or try again later",
            ))
        }
        Login::Locked { newly } => {
            if newly {
                metrics::counter!(names::ACCOUNTS_LOCKED).increment(1);
            }
            metrics::counter!(names::LOGIN_FAILURES).increment(1);
            Err(locked())
        }
    }
}

pub(crate) async fn finish(
    State(app): State<Shared>,
    FromSource(source): FromSource,
    Cbor(request): Cbor<LoginFinish>,
) -> Reply<Cbor<LoggedIn>> {
    let now_ms = app.now_ms();
    let Ok(Proven { address, file, origin }) = app.opaque.finish_login(&request.attempt, &request.finalization, now_ms)
    else {
        metrics::counter!(names::LOGIN_FAILURES).increment(1);
        return Err(wrong());
    };
    let user = app.store.user(address.local().to_owned()).await?;
    let Some(UserRecord { group, suspended, record, identity: Some(identity), generation, .. }) = &user else {
        return Err(wrong());
    };
    // The password has been changed since the attempt began: it was the old one.
    if file_digest(record.as_deref()) != file {
        return Err(wrong());
    }
    app.limits.login_again(source, &address, &origin);
    app.store.succeed_login(address.local().to_owned(), origin).await?;
    if *suspended {
        return Err(Failure::suspended());
    }
    let expires_at_ms = now_ms.saturating_add(LOGIN_SECONDS * 1000);
    let token = app.tokens.issue_login(&LoginClaims { address, generation: *generation, expires_at_ms });
    let identity = identity.clone();
    let serves = serves_password_vault(&app.policy(), group);
    let (password_vault, recovery_vault) = user.map_or((None, None), |user| (user.password_vault, user.recovery_vault));
    let password_vault = password_vault.filter(|_| serves);
    Ok(Cbor(LoggedIn { token, identity, password_vault, recovery_vault }))
}

/// Failed passwords before this account locks for where they come from.
fn threshold(app: &App, user: Option<&UserRecord>) -> u32 {
    let policy = app.policy();
    match user.filter(|user| user.record.is_some()) {
        Some(user) => policy.group(&user.group).map_or(0, |group| group.lockout_threshold),
        None => policy.strictest_lockout(),
    }
}

fn locked() -> Failure {
    Failure::new(ErrorCode::Locked, "too many log-ins from here have failed; the administrator can unlock the account")
}

fn wrong() -> Failure {
    Failure::new(ErrorCode::WrongCredentials, "unknown user or wrong password")
}

/// Whether a user with so many failures is locked out.
pub(super) fn is_locked(threshold: u32, failures: u32) -> bool {
    threshold > 0 && failures >= threshold
}
