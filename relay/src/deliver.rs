//! Accepting a message: what the relay can check is checked, then it is made durable, then the sender hears so. Who is
//! connected is woken by the store once the message is on disk.

use std::collections::{BTreeMap, BTreeSet};

use sotto_crypto::{Address, DeviceId, Domain, SealedHeader, Wrap, check_version, decode_strict, digest, encode};
use sotto_telemetry::{labels, names};
use sotto_wire::ErrorCode;
use sotto_wire::admin::Role;
use sotto_wire::api::{Accepted, Envelope};
use sotto_wire::limits::{
    MAX_OUTBOX_A_DEVICE, MAX_OUTBOX_A_NETWORK, MAX_QUEUE_SECONDS, MAX_QUEUED_A_DEVICE, MAX_RECIPIENT_DEVICES,
    MAX_SEALED_BODY,
};

use crate::auth::Caller;
use crate::error::{Failure, Reply};
use crate::policy::{ByNetwork, Side, split_by_network};
use crate::state::App;
use crate::store::{Acceptance, DirectoryUser, LocalWrap, NewMessage, QueueBounds};

const BOUNDS: QueueBounds =
    QueueBounds { mailbox: MAX_QUEUED_A_DEVICE, sender: MAX_OUTBOX_A_DEVICE, network: MAX_OUTBOX_A_NETWORK };

/// From a device of this network.
pub(crate) async fn send(app: &App, caller: &Caller, envelope: Envelope) -> Reply<Accepted> {
    counted(accept_own(app, caller, envelope).await)
}

/// From another network, for devices of this one.
pub(crate) async fn receive(app: &App, from: &Domain, envelope: Envelope) -> Reply<Accepted> {
    counted(accept_foreign(app, from, envelope).await)
}

fn counted(reply: Reply<Accepted>) -> Reply<Accepted> {
    if let Err(Failure(error)) = &reply {
        metrics::counter!(names::MESSAGES_REJECTED, labels::REASON => error.code.as_str()).increment(1);
    }
    reply
}

async fn accept_own(app: &App, caller: &Caller, envelope: Envelope) -> Reply<Accepted> {
    let header = check_form(&envelope)?;
    if header.network != app.domain {
        return Err(Failure::invalid(format!("header.network: is {}, this network is {}", header.network, app.domain)));
    }
    if header.sender != caller.address || header.device != caller.device {
        return Err(Failure::invalid("header.sender, header.device: must be the caller's"));
    }
    // First of all: the device lists may have changed since it was accepted.
    let key = repeat_key(&header);
    if let Some(accepted_at_ms) = app.store.accepted(key).await? {
        return Ok(Accepted { accepted_at_ms });
    }
    let (local, remote) = split_wraps(&envelope.wraps, &app.domain);
    let policy = app.policy();
    for domain in remote.keys() {
        policy.federation(Side::Sender, &app.domain, &caller.group, domain)?;
    }
    if !remote.is_empty() && app.gateway.is_none() {
        return Err(no_gateway(app));
    }
    check_recipients(app, &local, Some(caller)).await?;
    let remote = remote.into_iter().map(|(domain, wraps)| (domain, encode(&wraps))).collect();
    store(app, &header, key, Some(caller.device), envelope, remote).await
}

async fn accept_foreign(app: &App, from: &Domain, envelope: Envelope) -> Reply<Accepted> {
    let header = check_form(&envelope)?;
    if header.network != *from || header.sender.domain_str() != from.as_str() {
        return Err(Failure::invalid(format!("header.network, header.sender: must be of the calling network, {from}")));
    }
    let key = repeat_key(&header);
    if let Some(accepted_at_ms) = app.store.accepted(key).await? {
        return Ok(Accepted { accepted_at_ms });
    }
    app.policy().federation_of_network(Side::Recipient, &app.domain, from)?;
    let (local, remote) = split_wraps(&envelope.wraps, &app.domain);
    if !remote.is_empty() {
        return Err(Failure::invalid(format!("wraps: must be for devices of {} only", app.domain)));
    }
    let users = check_recipients(app, &local, None).await?;
    for user in users.iter().filter(|user| user.role == Role::Person) {
        app.policy().federation(Side::Recipient, &app.domain, &user.group, from)?;
    }
    store(app, &header, key, None, envelope, Vec::new()).await
}

/// The error of a network that has no way out.
pub(crate) fn no_gateway(app: &App) -> Failure {
    Failure::new(
        ErrorCode::FederationDenied,
        format!("the sender's network {} does not allow it: it has no federation gateway", app.domain),
    )
}

/// What can be checked without looking anything up.
pub(crate) fn check_form(envelope: &Envelope) -> Reply<SealedHeader> {
    let header: SealedHeader =
        decode_strict(&envelope.header).map_err(|error| Failure::invalid(format!("header: {error}")))?;
    check_version(header.version, header.suite).map_err(|error| Failure::invalid(format!("header: {error}")))?;
    if envelope.body.len() > MAX_SEALED_BODY {
        return Err(Failure::new(
            ErrorCode::TooLarge,
            format!(
                "body: {} bytes, at most {MAX_SEALED_BODY} are allowed; send longer things as a file",
                envelope.body.len()
            ),
        ));
    }
    if envelope.wraps.is_empty() || envelope.wraps.len() > MAX_RECIPIENT_DEVICES {
        return Err(Failure::invalid(format!(
            "wraps: {} of them, 1 to {MAX_RECIPIENT_DEVICES} are allowed",
            envelope.wraps.len()
        )));
    }
    let mut seen = BTreeSet::new();
    if !envelope.wraps.iter().all(|wrap| seen.insert((&wrap.address, wrap.device))) {
        return Err(Failure::invalid("wraps: a device is named twice"));
    }
    if envelope.expires_in_s.is_some_and(|seconds| seconds == 0 || seconds > MAX_QUEUE_SECONDS) {
        return Err(Failure::invalid(format!("expires_in_s: must be 1 to {MAX_QUEUE_SECONDS}")));
    }
    Ok(header)
}

/// By which a repeat is known. Sender and device are in it, so that nobody can take another's message id.
fn repeat_key(header: &SealedHeader) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(128);
    bytes.extend_from_slice(header.message.as_bytes());
    bytes.extend_from_slice(header.device.as_bytes());
    bytes.extend_from_slice(header.sender.as_str().as_bytes());
    digest(&bytes)
}

/// Wraps by user of this network, and by other network.
pub(crate) type Split<'a> = (BTreeMap<&'a str, BTreeSet<DeviceId>>, BTreeMap<Domain, Vec<Wrap>>);

pub(crate) fn split_wraps<'a>(wraps: &'a [Wrap], domain: &Domain) -> Split<'a> {
    let mut local: BTreeMap<&str, BTreeSet<DeviceId>> = BTreeMap::new();
    let mut remote: BTreeMap<Domain, Vec<Wrap>> = BTreeMap::new();
    for wrap in wraps {
        if wrap.address.domain_str() == domain.as_str() {
            local.entry(wrap.address.local()).or_default().insert(wrap.device);
        } else {
            remote.entry(wrap.address.domain()).or_default().push(wrap.clone());
        }
    }
    (local, remote)
}

/// Checks that the wraps name exactly the current devices of everybody they name, the sender's own other devices, and
/// the retention processes that policy requires. Answers with the users that are named.
async fn check_recipients(
    app: &App,
    named: &BTreeMap<&str, BTreeSet<DeviceId>>,
    sender: Option<&Caller>,
) -> Reply<Vec<DirectoryUser>> {
    let mut locals: BTreeSet<&str> = named.keys().copied().collect();
    locals.extend(sender.map(|caller| caller.address.local()));
    let users = app.store.directory(locals.iter().map(|&local| local.to_owned()).collect(), app.now_ms()).await?;
    let none = BTreeSet::new();
    for local in &locals {
        let sealed_to = named.get(local).unwrap_or(&none);
        let current: BTreeSet<DeviceId> = users
            .iter()
            .filter(|user| user.local == *local)
            .flat_map(|user| user.devices.iter().copied())
            .filter(|device| sender.is_none_or(|caller| caller.device != *device))
            .collect();
        if *sealed_to != current {
            return Err(changed());
        }
    }
    let shown = app.shown()?;
    let own_local = sender.map(|caller| caller.address.local());
    let mut groups: Vec<&str> = users
        .iter()
        .filter(|user| user.role == Role::Person && named.contains_key(user.local.as_str()))
        .map(|user| user.group.as_str())
        .collect();
    groups.extend(sender.map(|caller| caller.group.as_str()));
    for rule in shown.retention(&groups) {
        let local = rule.address.local();
        if !named.contains_key(local) && own_local != Some(local) {
            return Err(Failure::new(
                ErrorCode::RetentionRequired,
                format!(
                    "retention policy {} covers this conversation and {} is not among the recipients; fetch recipients again",
                    rule.policy, rule.address
                ),
            ));
        }
    }
    Ok(users)
}

pub(crate) fn changed() -> Failure {
    Failure::new(
        ErrorCode::RecipientsChanged,
        "the recipients' devices are not those that the message is sealed to; fetch recipients again and seal again",
    )
}

async fn store(
    app: &App,
    header: &SealedHeader,
    key: [u8; 32],
    sender: Option<DeviceId>,
    envelope: Envelope,
    remote: Vec<(Domain, Vec<u8>)>,
) -> Reply<Accepted> {
    let now_ms = app.now_ms();
    let Envelope { header: header_bytes, body, wraps, expires_in_s } = envelope;
    let size = body.len();
    let local = wraps
        .into_iter()
        .filter(|wrap| app.is_own(&wrap.address))
        .map(|wrap| LocalWrap { device: wrap.device, prekey: wrap.prekey, key: wrap.key })
        .collect();
    let life_ms = expires_in_s.unwrap_or(MAX_QUEUE_SECONDS) * 1000;
    let message = NewMessage {
        key,
        message: header.message,
        sender,
        header: header_bytes,
        body,
        local,
        remote,
        expires_at_ms: now_ms.saturating_add(life_ms),
    };
    match app.store.accept(message, BOUNDS, now_ms).await? {
        Acceptance::Accepted => {
            metrics::counter!(names::MESSAGES_ACCEPTED).increment(1);
            #[expect(clippy::cast_precision_loss, reason = "bodies are at most 256 KiB")]
            metrics::histogram!(names::SENT_MESSAGE_SIZE).record(size as f64);
            Ok(Accepted { accepted_at_ms: now_ms })
        }
        Acceptance::Repeated(accepted_at_ms) => Ok(Accepted { accepted_at_ms }),
        Acceptance::MailboxFull => {
            Err(Failure::new(ErrorCode::MailboxFull, "a recipient's queue is full; try again later"))
        }
        Acceptance::SenderOutboxFull => Err(Failure::new(
            ErrorCode::MailboxFull,
            format!(
                "{MAX_OUTBOX_A_DEVICE} messages of this device wait for other networks already; try again when some have arrived"
            ),
        )),
        Acceptance::OutboxFull(domain) => Err(Failure::new(
            ErrorCode::MailboxFull,
            format!("{MAX_OUTBOX_A_NETWORK} messages wait for network {domain} already; try again later"),
        )),
        Acceptance::DeviceGone => Err(changed()),
        Acceptance::SenderGone => Err(Failure::unauthenticated()),
        Acceptance::SenderSuspended => Err(Failure::suspended()),
    }
}

/// Checks a list of addresses: without repeats and the caller's own, bounded, split by network.
pub(crate) fn addressed<'a>(
    addresses: &'a [Address],
    caller: Option<&Address>,
    domain: &Domain,
) -> Reply<ByNetwork<'a>> {
    let limit = sotto_wire::limits::MAX_RECIPIENT_ADDRESSES;
    if addresses.len() > limit {
        return Err(Failure::invalid(format!("addresses: {} of them, at most {limit} are allowed", addresses.len())));
    }
    let unique: BTreeSet<&Address> = addresses.iter().filter(|address| caller != Some(*address)).collect();
    Ok(split_by_network(unique, domain))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sotto_crypto::{BatchId, PrekeyRef, WrappedKey};

    use super::*;

    fn wrap(address: &str, device: u8) -> Wrap {
        Wrap {
            address: Address::parse(address).unwrap(),
            device: DeviceId::from_bytes([device; 16]),
            prekey: PrekeyRef { batch: BatchId::from_bytes([0; 16]), index: 0 },
            key: WrappedKey::from_bytes(&[0; 48]).unwrap(),
        }
    }

    #[test]
    fn wraps_are_split_by_network_and_user() {
        let own = Domain::parse("a.example").unwrap();
        let wraps = [wrap("x@a.example", 1), wrap("y@b.example", 2), wrap("x@a.example", 3), wrap("z@c.example", 4)];
        let (local, remote) = split_wraps(&wraps, &own);
        assert_eq!(local.len(), 1);
        assert_eq!(local["x"].len(), 2);
        assert_eq!(remote.keys().map(Domain::as_str).collect::<Vec<_>>(), ["b.example", "c.example"]);
    }

    #[test]
    fn addresses_are_taken_once_and_without_the_caller() {
        let own = Domain::parse("a.example").unwrap();
        let address = |text: &str| Address::parse(text).unwrap();
        let asked = [address("x@a.example"), address("me@a.example"), address("x@a.example"), address("y@b.example")];
        let (local, remote) = addressed(&asked, Some(&address("me@a.example")), &own).unwrap();
        assert_eq!(local, [&asked[0]]);
        assert_eq!(remote.values().flatten().collect::<Vec<_>>(), [&&asked[3]]);
    }

    proptest! {
        #[test]
        fn no_random_header_passes(header in proptest::collection::vec(any::<u8>(), 0..400), wraps in 0usize..3) {
            let wraps = (0..wraps).map(|n| wrap("x@a.example", u8::try_from(n).unwrap())).collect();
            let envelope = Envelope { header, body: Vec::new(), wraps, expires_in_s: None };
            prop_assert_eq!(check_form(&envelope).unwrap_err().0.code, ErrorCode::Invalid);
        }
    }
}
