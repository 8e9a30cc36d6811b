//! A new password, and the vaults that hold the identity's secret for who knows the password or the recovery key.

use axum::extract::State;
use sotto_wire::ErrorCode;
use sotto_wire::api::{PasswordFinish, PasswordStart, PasswordStarted, PutVault, VaultKind};
use sotto_wire::limits::MAX_VAULT;

use super::register::bad_message;
use super::{DONE, Empty};
use crate::auth::{Caller, LoggedInUser};
use crate::error::{Failure, Reply};
use crate::extract::Cbor;
use crate::opaque::Opaque;
use crate::policy::Policy;
use crate::state::{App, Shared};
use crate::store::{ChangePassword, NewPassword};

pub(crate) async fn start(
    State(app): State<Shared>,
    user: LoggedInUser,
    Cbor(request): Cbor<PasswordStart>,
) -> Reply<Cbor<PasswordStarted>> {
    admit(&app, &user)?;
    let shown = app.shown()?;
    let (_, group) = shown.membership_and_group(user.claims.address.local())?;
    let response =
        app.opaque.start_registration(&user.claims.address, &request.request).map_err(|_| bad_message("request"))?;
    Ok(Cbor(PasswordStarted { response, group, head: shown.head.clone() }))
}

pub(crate) async fn finish(
    State(app): State<Shared>,
    user: LoggedInUser,
    Cbor(request): Cbor<PasswordFinish>,
) -> Empty {
    admit(&app, &user)?;
    let record = Opaque::finish_registration(&request.record).map_err(|_| bad_message("record"))?;
    if let Some(vault) = &request.vault {
        check_vault(&app.policy(), &user.record.group, VaultKind::Password, vault)?;
    }
    let new = NewPassword {
        local: user.claims.address.local().to_owned(),
        generation: user.claims.generation,
        record,
        vault: request.vault,
    };
    match app.store.change_password(new).await? {
        ChangePassword::Changed => Ok(DONE),
        ChangePassword::TokenUsed => Err(Failure::unauthenticated()),
        ChangePassword::Suspended => Err(Failure::suspended()),
    }
}

pub(crate) async fn put_vault(State(app): State<Shared>, caller: Caller, Cbor(request): Cbor<PutVault>) -> Empty {
    if let Some(vault) = &request.vault {
        check_vault(&app.policy(), &caller.group, request.kind, vault)?;
    }
    app.store.put_vault(caller.address.local().to_owned(), request.kind, request.vault).await?;
    Ok(DONE)
}

/// Not too often. Whoever has failed elsewhere does not matter: this user has proven the password.
fn admit(app: &App, user: &LoggedInUser) -> Reply<()> {
    if app.limits.password(&user.claims.address, app.now_ms()) { Ok(()) } else { Err(Failure::rate_limited()) }
}

/// Whether a member of `group` may store this vault.
pub(super) fn check_vault(policy: &Policy, group: &str, kind: VaultKind, vault: &[u8]) -> Reply<()> {
    if vault.is_empty() || vault.len() > MAX_VAULT {
        return Err(Failure::new(
            if vault.is_empty() { ErrorCode::Invalid } else { ErrorCode::TooLarge },
            format!("vault: {} bytes, 1 to {MAX_VAULT} are allowed", vault.len()),
        ));
    }
    if kind == VaultKind::Password && !serves_password_vault(policy, group) {
        return Err(Failure::forbidden(
            "vault: your security group wants new devices to be approved (deviceApproval): a password alone must not add one",
        ));
    }
    Ok(())
}

/// Whether a password alone adds a device for members of `group`.
pub(super) fn serves_password_vault(policy: &Policy, group: &str) -> bool {
    policy.group(group).is_ok_and(|group| !group.device_approval)
}
