//! Signals (typing, presence): passed on to devices that are connected now, kept nowhere. Whoever is away misses
//! nothing that matters.

use std::collections::BTreeSet;

use bytes::Bytes;
use sotto_crypto::{DeviceId, encode};
use sotto_wire::ErrorCode;
use sotto_wire::api::{Envelope, ServerFrame, Signal};
use sotto_wire::limits::{MAX_SIGNAL, MAX_SIGNAL_DEVICES};

use crate::auth::Caller;
use crate::deliver::{changed, check_form, split_wraps};
use crate::error::{Failure, Reply};
use crate::state::App;

/// From a device of this network to devices of this network.
pub(crate) async fn send(app: &App, caller: &Caller, envelope: Envelope) -> Reply<()> {
    if !app.limits.signal(caller.device, app.now_ms()) {
        return Err(Failure::rate_limited());
    }
    if !app.policy().group(&caller.group)?.presence_enabled {
        return Err(Failure::forbidden("presence and typing are switched off for your security group"));
    }
    check_signal(&envelope)?;
    let header = check_form(&envelope)?;
    if header.network != app.domain || header.sender != caller.address || header.device != caller.device {
        return Err(Failure::invalid("header.network, header.sender, header.device: must be the caller's"));
    }
    let (local, remote) = split_wraps(&envelope.wraps, &app.domain);
    if let Some(domain) = remote.keys().next() {
        return Err(own_network_only(app, domain.as_str()));
    }
    // Not everybody need be among them, unlike with a message: but who is must be somebody's device now.
    let users = app.store.directory(local.keys().map(|&local| local.to_owned()).collect(), app.now_ms()).await?;
    let current: BTreeSet<(&str, DeviceId)> =
        users.iter().flat_map(|user| user.devices.iter().map(move |device| (user.local.as_str(), *device))).collect();
    let known =
        |(local, devices): (&&str, &BTreeSet<DeviceId>)| devices.iter().all(|d| current.contains(&(*local, *d)));
    if !local.iter().all(known) {
        return Err(changed());
    }
    let Envelope { header, body, wraps, .. } = envelope;
    let accepted_at_ms = app.now_ms();
    for wrap in wraps {
        let signal =
            Signal { header: header.clone(), body: body.clone(), prekey: wrap.prekey, key: wrap.key, accepted_at_ms };
        app.registry.signal(wrap.device, || Bytes::from(encode(&ServerFrame::Signal(signal))));
    }
    Ok(())
}

/// The bounds of a signal, which are below those of a message.
fn check_signal(envelope: &Envelope) -> Reply<()> {
    if envelope.body.len() > MAX_SIGNAL {
        return Err(Failure::new(
            ErrorCode::TooLarge,
            format!("body: {} bytes, a signal has at most {MAX_SIGNAL}", envelope.body.len()),
        ));
    }
    if envelope.wraps.len() > MAX_SIGNAL_DEVICES {
        return Err(Failure::invalid(format!(
            "wraps: {} of them, a signal goes to at most {MAX_SIGNAL_DEVICES} devices",
            envelope.wraps.len()
        )));
    }
    if envelope.expires_in_s.is_some() {
        return Err(Failure::invalid("expires_in_s: a signal is never kept, leave it out"));
    }
    Ok(())
}

/// The error of a signal to somebody elsewhere.
pub(crate) fn own_network_only(app: &App, domain: &str) -> Failure {
    Failure::new(
        ErrorCode::FederationDenied,
        format!("signals (typing, presence) stay in the sender's network {}; {domain} is another one", app.domain),
    )
}
