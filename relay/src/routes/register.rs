//! Registration by invite. What is wrong with an invite is told only to those who show its code.

use axum::extract::State;
use sotto_crypto::{Address, IdentityPublic, Signed, Voucher};
use sotto_wire::admin::Role;
use sotto_wire::api::{RegisterFinish, RegisterStart, RegisterStarted, VaultKind};
use sotto_wire::invite::code_digest;
use sotto_wire::policy::MembershipDocument;
use sotto_wire::{ErrorCode, Source};

use super::password::check_vault;
use super::{DONE, Empty};
use crate::auth::FromSource;
use crate::error::{Failure, Reply};
use crate::extract::Cbor;
use crate::opaque::Opaque;
use crate::policy::membership;
use crate::registry::CloseReason;
use crate::state::{App, Shared};
use crate::store::{NewAccount, Registration, UserRecord};

pub(crate) async fn start(
    State(app): State<Shared>,
    FromSource(source): FromSource,
    Cbor(request): Cbor<RegisterStart>,
) -> Reply<Cbor<RegisterStarted>> {
    invited(&app, source, &request.address, &request.invite).await?;
    // Somebody new is shown with the head that they are under, which follows at once.
    let shown = app.shown()?;
    let (membership, group) = shown.membership_and_group(request.address.local())?;
    let response =
        app.opaque.start_registration(&request.address, &request.request).map_err(|_| bad_message("request"))?;
    Ok(Cbor(RegisterStarted { response, group, membership, head: shown.head.clone() }))
}

pub(crate) async fn finish(
    State(app): State<Shared>,
    FromSource(source): FromSource,
    Cbor(request): Cbor<RegisterFinish>,
) -> Empty {
    let address = &request.address;
    let user = invited(&app, source, address, &request.invite).await?;
    if let Some(vault) = &request.vault {
        check_vault(&app.policy(), &user.group, VaultKind::Password, vault)?;
    }
    let voucher = vouched_for(&user, &request.identity, request.voucher.as_ref())?;
    let record = Opaque::finish_registration(&request.record).map_err(|_| bad_message("record"))?;
    let account = NewAccount {
        local: address.local().to_owned(),
        invite_digest: code_digest(&request.invite),
        record,
        identity: request.identity,
        voucher,
        vault: request.vault,
    };
    match app.store.register(account, app.now_ms()).await? {
        Registration::Registered(removed) => {
            // Who has registered again is somebody else to everybody: nothing of before goes on.
            app.registry.close(&removed, CloseReason::Removed);
            Ok(DONE)
        }
        Registration::InviteInvalid => Err(invite_invalid()),
        Registration::AlreadyRegistered => Err(already_registered()),
        Registration::Suspended => Err(Failure::suspended()),
    }
}

/// The voucher of a person, which has to be under the key of the invite: nobody would believe another identity. Who has the code
/// but not the secret that it comes from is refused here.
fn vouched_for(
    user: &UserRecord,
    identity: &IdentityPublic,
    voucher: Option<&Signed<Voucher>>,
) -> Reply<Option<Vec<u8>>> {
    if user.role == Role::Retention {
        return Ok(None);
    }
    let document = membership(&user.membership)?.unverified().map_err(|_| Failure::no_policy())?;
    let document = MembershipDocument { identity: None, ..document };
    document.establish(identity, voucher).map_err(|_| {
        Failure::invalid("voucher: has to sign the identity under the key of the invite; update the program")
    })?;
    Ok(voucher.map(Signed::to_bytes))
}

/// The user whose invite this is. The store checks again when the invite is used up.
async fn invited(app: &App, source: Source, address: &Address, code: &str) -> Reply<UserRecord> {
    if !app.is_own(address) {
        return Err(invite_invalid());
    }
    if !app.limits.register(source, address, app.now_ms()) {
        return Err(Failure::rate_limited());
    }
    let user = app.store.user(address.local().to_owned()).await?.ok_or_else(invite_invalid)?;
    // Digests are compared: how long that takes tells nothing about the code.
    if user.invite_digest != Some(code_digest(code)) {
        return Err(invite_invalid());
    }
    app.limits.invited(source);
    if user.has_used_invite() {
        return Err(already_registered());
    }
    if user.invite_expires_ms <= app.now_ms() {
        return Err(invite_invalid());
    }
    if user.suspended {
        return Err(Failure::suspended());
    }
    Ok(user)
}

fn invite_invalid() -> Failure {
    Failure::new(
        ErrorCode::InviteInvalid,
        "the invite is unknown, used or expired; ask the administrator for a new one",
    )
}

fn already_registered() -> Failure {
    Failure::new(ErrorCode::AlreadyRegistered, "this user has registered before; log in instead")
}

pub(super) fn bad_message(field: &str) -> Failure {
    Failure::invalid(format!("{field}: not an OPAQUE message of this suite"))
}
