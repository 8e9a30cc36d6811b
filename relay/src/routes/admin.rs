//! The administrator's interface: upserts and removals that may be repeated.

use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use sotto_crypto::{Address, Signed, Voucher};
use sotto_wire::admin::{AdminState, InviteGrant, PutGroup, PutHead, PutNetwork, PutUser, Resets, UserState};
use sotto_wire::policy::MembershipDocument;

use super::login::is_locked;
use super::{DONE, Empty, Params};
use crate::directory::check_head;
use crate::error::{Failure, Reply};
use crate::extract::Json;
use crate::policy::{check_group, check_membership, check_network};
use crate::registry::CloseReason;
use crate::state::{App, Shared};
use crate::store::{DeleteGroup, PutDocument, PutOutcome};

/// Bytes of a word that asks for a reset.
const MAX_WORD: usize = 64;

/// All that the relay holds, with a strong mark of it ([RFC 9110 section 8.8.3](https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3)):
/// an operator of a thousand relays asks for changes only.
pub(crate) async fn state(State(app): State<Shared>, headers: HeaderMap) -> Reply<Response> {
    let body = serde_json::to_vec(&held(&app).await?).map_err(|error| Failure::internal("JSON answer", &error))?;
    let mark = format!("\"{}\"", HEXLOWER.encode(&Sha256::digest(&body)[..16]));
    let known = headers.get_all(IF_NONE_MATCH).iter().any(|value| value.to_str().is_ok_and(|text| text == mark));
    let mark = HeaderValue::from_str(&mark).map_err(|error| Failure::internal("mark of the state", &error))?;
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
    };
    response.headers_mut().insert(ETAG, mark);
    Ok(response)
}

async fn held(app: &App) -> Reply<AdminState> {
    let stored = app.store.policy().await?;
    let waiting = app.store.queue_stats().await?;
    let policy = app.policy();
    let users = app.store.users().await?.into_iter().map(|user| {
        let threshold = policy.group(&user.wanted.group).map_or(0, |group| group.lockout_threshold);
        let queued = user.devices.iter().filter_map(|device| waiting.by_device.get(device)).sum();
        let known = UserState {
            registered: user.registered,
            reinvited: user.reinvited,
            voucher: user.voucher.filter(|voucher| !is_established(&user.wanted.membership, voucher)),
            locked: is_locked(threshold, user.failures),
            devices: u32::try_from(user.devices.len()).unwrap_or(u32::MAX),
            queued_messages: queued,
            last_seen_ms: user.last_seen_ms,
            wanted: user.wanted,
        };
        (user.local, known)
    });
    Ok(AdminState {
        network: stored.network.map(|document| PutNetwork { document }),
        users: users.collect(),
        groups: stored.groups.into_iter().map(|(name, document)| (name, PutGroup { document })).collect(),
        head: app.shown().ok().map(|shown| PutHead { head: shown.head.to_bytes() }),
        queued_messages: waiting.by_device.values().sum(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Whether a membership says of itself whose identity it is that a voucher is for: then nobody needs the voucher. Without an open
/// invite there is none that a voucher could be under.
fn is_established(membership: &[u8], voucher: &[u8]) -> bool {
    let document =
        Signed::<MembershipDocument>::from_bytes(membership).ok().and_then(|signed| signed.unverified().ok());
    let Some((known, invite)) = document.and_then(|document| Some((document.identity?, document.invite))) else {
        return false;
    };
    // Of nearly all users: reading a voucher checks a point on the curve, and all users are looked at each time.
    if invite.is_none() {
        return true;
    }
    let voucher = Signed::<Voucher>::from_bytes(voucher).ok().and_then(|signed| signed.unverified().ok());
    voucher.is_some_and(|voucher| known.identity == voucher.identity.fingerprint())
}

pub(crate) async fn put_network(State(app): State<Shared>, Json(put): Json<PutNetwork>) -> Empty {
    let document = check_network(&put.document, &app.policy_key, &app.domain)?;
    let _putting = app.putting.lock().await;
    // Signatures are randomised: the same document signed again is no change.
    if app.policy().network().is_ok_and(|current| *current == document) {
        return Ok(DONE);
    }
    stored(&app, app.store.put_network(put.document, document.serial).await?).await
}

pub(crate) async fn put_group(State(app): State<Shared>, params: Params, Json(put): Json<PutGroup>) -> Empty {
    let name = params.text("name");
    let document = check_group(&put.document, name, &app.policy_key, &app.domain)?;
    let _putting = app.putting.lock().await;
    if app.policy().group(name).is_ok_and(|current| *current == document) {
        return Ok(DONE);
    }
    stored(&app, app.store.put_group(name.to_owned(), put.document, document.serial).await?).await
}

async fn stored(app: &App, outcome: PutDocument) -> Empty {
    match outcome {
        PutDocument::Stored => {
            app.reload_policy().await?;
            Ok(DONE)
        }
        PutDocument::Stale => Err(Failure::invalid(
            "document.serial: the relay holds a newer document, or another one with the same serial; sign again with a higher serial",
        )),
    }
}

/// The documents as they are now are what clients are shown from now on.
pub(crate) async fn put_head(State(app): State<Shared>, Json(put): Json<PutHead>) -> Empty {
    let _putting = app.putting.lock().await;
    let documents = app.store.documents().await?;
    let head = check_head(&put.head, &app.policy_key, &app.domain, &documents)?;
    match app.store.put_head(put.head, head.serial).await? {
        PutDocument::Stored => {
            app.reload_shown().await?;
            Ok(DONE)
        }
        PutDocument::Stale => Err(Failure::invalid(
            "head.serial: the relay holds a newer head, or another one with the same serial; sign again with a higher serial",
        )),
    }
}

pub(crate) async fn delete_group(State(app): State<Shared>, params: Params) -> Empty {
    let _putting = app.putting.lock().await;
    match app.store.delete_group(params.text("name").to_owned()).await? {
        DeleteGroup::Deleted => {
            app.reload_policy().await?;
            Ok(DONE)
        }
        DeleteGroup::InUse => Err(Failure::invalid("group: there are users in it; move or remove them first")),
    }
}

pub(crate) async fn put_user(State(app): State<Shared>, params: Params, Json(mut put): Json<PutUser>) -> Empty {
    let address = address(&app, &params)?;
    let local = address.local().to_owned();
    let membership = check_membership(&put.membership, &address, &put.group, &app.policy_key)?;
    put.invite = put.invite.map(check_invite).transpose()?;
    check_resets(&put.reset)?;
    let suspended = put.suspended;
    let group = put.group.clone();
    let _putting = app.putting.lock().await;
    match app.store.put_user(local.clone(), put, membership.serial).await? {
        PutOutcome::Stored(removed) => app.registry.close(&removed, CloseReason::Removed),
        PutOutcome::NoSuchGroup => {
            return Err(Failure::invalid(format!("group: there is no group `{group}`; put it first")));
        }
        PutOutcome::StaleMembership => {
            return Err(Failure::invalid(
                "membership.serial: the relay holds a newer one, or one of another group with the same serial; sign again with a higher serial",
            ));
        }
    }
    if suspended {
        let devices: Vec<_> = app.store.devices_of(local).await?.into_iter().map(|record| record.device).collect();
        app.registry.close(&devices, CloseReason::Suspended);
    }
    Ok(DONE)
}

pub(crate) async fn delete_user(State(app): State<Shared>, params: Params) -> Empty {
    let _putting = app.putting.lock().await;
    let removed = app.store.delete_user(local(&app, &params)?).await?;
    app.registry.close(&removed, CloseReason::Removed);
    Ok(DONE)
}

pub(crate) async fn reset_devices(State(app): State<Shared>, params: Params) -> Empty {
    let removed = app.store.reset_devices(local(&app, &params)?).await?;
    app.registry.close(&removed, CloseReason::Removed);
    Ok(DONE)
}

pub(crate) async fn unlock(State(app): State<Shared>, params: Params) -> Empty {
    app.store.unlock(local(&app, &params)?).await?;
    Ok(DONE)
}

/// The local part in the path, in its one form.
fn local(app: &App, params: &Params) -> Reply<String> {
    address(app, params).map(|address| address.local().to_owned())
}

/// The user in the path.
fn address(app: &App, params: &Params) -> Reply<Address> {
    Address::new(params.text("local"), &app.domain).map_err(|error| Failure::invalid(format!("path, local: {error}")))
}

/// Words are remembered: they have a bound.
fn check_resets(reset: &Resets) -> Reply<()> {
    for (field, word) in [("devices", &reset.devices), ("invite", &reset.invite), ("lockout", &reset.lockout)] {
        if word.as_ref().is_some_and(|word| word.is_empty() || word.len() > MAX_WORD) {
            return Err(Failure::invalid(format!("reset.{field}: 1 to {MAX_WORD} bytes are expected")));
        }
    }
    Ok(())
}

fn check_invite(invite: InviteGrant) -> Reply<InviteGrant> {
    match HEXLOWER.decode(invite.code_digest.as_bytes()) {
        Ok(bytes) if bytes.len() == 32 => Ok(invite),
        _ => Err(Failure::invalid("invite.codeDigest: 64 lower-case hexadecimal digits are expected")),
    }
}
