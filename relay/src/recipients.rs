//! Who a message has to be sealed to: the addressed users, the sender's own other devices, the retention processes
//! that policy requires, each device with a prekey. Other networks answer for their users themselves.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::future::try_join_all;
use sotto_crypto::{Address, DeviceId, Domain, Prekey, Signed, Voucher};
use sotto_telemetry::{labels, names};
use sotto_wire::ErrorCode;
use sotto_wire::admin::Role;
use sotto_wire::api::{
    FetchIdentities, FetchRecipients, FoundIdentity, Identities, NetworkInfo, RecipientRole, RecipientUser, Recipients,
};
use sotto_wire::gateway::{PeerIdentities, PeerRecipients};
use sotto_wire::limits::{MAX_RECIPIENT_DEVICES, MAX_SIGNAL_DEVICES};

use crate::auth::Caller;
use crate::deliver::{addressed, no_gateway};
use crate::directory::Shown;
use crate::error::{Failure, Reply};
use crate::gateway::{Gateway, unreachable_peer};
use crate::policy::{ByNetwork, Policy, Side};
use crate::signals::own_network_only;
use crate::state::App;
use crate::store::{Claim, DirectoryUser, StoreError};

/// For a device of this network.
pub(crate) async fn for_caller(app: &App, caller: &Caller, request: FetchRecipients) -> Reply<Recipients> {
    let (local, remote) = addressed(&request.addresses, Some(&caller.address), &app.domain)?;
    let signal = request.signal == Some(true);
    if signal && let Some(domain) = remote.keys().next() {
        return Err(own_network_only(app, domain.as_str()));
    }
    let policy = app.policy();
    // Others first: what they refuse must not use up prekeys here.
    let answers = abroad(app, &policy, caller, remote, |gateway, domain, addresses| async move {
        let request = PeerRecipients { from: caller.address.clone(), addresses };
        let answer = gateway.recipients(&domain, &request).await?;
        let users = answer.users.iter().map(|user| &user.address);
        check_answer(&policy_key_of(app, &domain)?, &domain, users, &answer.networks)?;
        Ok(answer)
    })
    .await?;
    let shown = app.shown()?;
    let mut all = Recipients { users: Vec::new(), networks: Vec::new(), head: Some(shown.head.clone()) };
    for answer in answers {
        all.users.extend(answer.users);
        all.networks.extend(answer.networks);
    }
    let abroad: usize = all.users.iter().map(|user| user.prekeys.len()).sum();
    let request = Completion { requester: caller.address.as_str(), own: Some(caller), peer: None, abroad, signal };
    all.users.extend(complete(app, &policy, &shown, &local, &request).await?);
    Ok(all)
}

/// For another network.
pub(crate) async fn for_peer(app: &App, peer: &Domain, request: PeerRecipients) -> Reply<Recipients> {
    let policy = app.policy();
    let (local, _) = check_peer_request(app, &policy, peer, &request.from, &request.addresses)?;
    let completion = Completion { requester: peer.as_str(), own: None, peer: Some(peer), abroad: 0, signal: false };
    let shown = app.shown()?;
    let users = complete(app, &policy, &shown, &local, &completion).await?;
    Ok(Recipients { users, networks: vec![network_info(app, &shown)?], head: None })
}

/// Identities for a device of this network.
pub(crate) async fn identities(app: &App, caller: &Caller, request: FetchIdentities) -> Reply<Identities> {
    let (local, remote) = addressed(&request.addresses, None, &app.domain)?;
    let policy = app.policy();
    let answers = abroad(app, &policy, caller, remote, |gateway, domain, addresses| async move {
        let request = PeerIdentities { from: caller.address.clone(), addresses };
        let answer = gateway.identities(&domain, &request).await?;
        let users = answer.identities.iter().map(|found| &found.address);
        check_answer(&policy_key_of(app, &domain)?, &domain, users, &answer.networks)?;
        Ok(answer)
    })
    .await?;
    let users = directory(app, local.iter().map(|address| address.local())).await?;
    let shown = app.shown()?;
    let identities = users.into_iter().map(|user| found(app, &shown, user)).collect::<Reply<_>>()?;
    let mut all = Identities { identities, networks: Vec::new(), head: Some(shown.head.clone()) };
    for answer in answers {
        all.identities.extend(answer.identities);
        all.networks.extend(answer.networks);
    }
    Ok(all)
}

/// Identities for another network.
pub(crate) async fn identities_for_peer(app: &App, peer: &Domain, request: PeerIdentities) -> Reply<Identities> {
    let policy = app.policy();
    let (local, _) = check_peer_request(app, &policy, peer, &request.from, &request.addresses)?;
    let users = directory(app, local.iter().map(|address| address.local())).await?;
    let shown = app.shown()?;
    let mut identities = Vec::with_capacity(users.len());
    for user in users {
        policy.federation(Side::Recipient, &app.domain, &user.group, peer)?;
        identities.push(found(app, &shown, user)?);
    }
    Ok(Identities { identities, networks: vec![network_info(app, &shown)?], head: None })
}

/// What anybody may know of this network.
pub(crate) fn network_info(app: &App, shown: &Shown) -> Reply<NetworkInfo> {
    Ok(NetworkInfo { policy_key: app.policy_key.clone(), document: shown.network()?, head: shown.head.clone() })
}

/// Whose identity it is, with what vouches for it.
fn found(app: &App, shown: &Shown, user: DirectoryUser) -> Reply<FoundIdentity> {
    let membership = (user.role == Role::Person).then(|| shown.membership(&user.local)).transpose()?;
    let voucher = voucher(user.voucher.as_deref())?;
    Ok(FoundIdentity { address: app.address(&user.local)?, identity: user.identity, membership, voucher })
}

fn voucher(bytes: Option<&[u8]>) -> Reply<Option<Signed<Voucher>>> {
    let read = bytes.map(Signed::from_bytes).transpose();
    read.map_err(|_| StoreError::Corrupt("a voucher").into())
}

async fn directory<'a>(app: &App, locals: impl Iterator<Item = &'a str>) -> Reply<Vec<DirectoryUser>> {
    Ok(app.store.directory(locals.map(str::to_owned).collect(), app.now_ms()).await?)
}

/// Asks each of the other networks, at the same time; one that refuses fails the whole.
async fn abroad<'a, A, F, Fut>(
    app: &'a App,
    policy: &Policy,
    caller: &Caller,
    remote: BTreeMap<Domain, Vec<&Address>>,
    ask: F,
) -> Reply<Vec<A>>
where
    F: Fn(&'a Gateway, Domain, Vec<Address>) -> Fut,
    Fut: Future<Output = Reply<A>>,
{
    if remote.is_empty() {
        return Ok(Vec::new());
    }
    for domain in remote.keys() {
        policy.federation(Side::Sender, &app.domain, &caller.group, domain).inspect_err(|_| denied(domain))?;
    }
    let gateway = app.gateway.as_ref().ok_or_else(|| no_gateway(app))?;
    try_join_all(
        remote.into_iter().map(|(domain, addresses)| ask(gateway, domain, addresses.into_iter().cloned().collect())),
    )
    .await
}

fn denied(peer: &Domain) {
    metrics::counter!(names::FEDERATION_DENIED, labels::PEER => peer.to_string()).increment(1);
}

/// The policy key that our document lists for a peer.
fn policy_key_of(app: &App, domain: &Domain) -> Reply<sotto_crypto::Fingerprint> {
    let policy = app.policy();
    let rule = policy.network()?.peer(domain).map(|rule| rule.policy_key);
    rule.ok_or_else(|| unreachable_peer(domain, "it is not listed any more").into())
}

/// A peer answers for its own users only, and as the network that we know. The client verifies the rest.
fn check_answer<'a>(
    key: &sotto_crypto::Fingerprint,
    domain: &Domain,
    mut users: impl Iterator<Item = &'a Address>,
    networks: &[NetworkInfo],
) -> Reply<()> {
    if users.any(|address| address.domain_str() != domain.as_str()) {
        return Err(unreachable_peer(domain, "it answered for users that are not its own").into());
    }
    match networks {
        [network] if network.policy_key.fingerprint() == *key => Ok(()),
        _ => Err(Failure::new(
            ErrorCode::FederationDenied,
            format!(
                "network {domain} shows another policy key than the one in our Network (spec.federation); the administrators have to compare fingerprints"
            ),
        )),
    }
}

fn check_peer_request<'a>(
    app: &App,
    policy: &Policy,
    peer: &Domain,
    from: &Address,
    addresses: &'a [Address],
) -> Reply<ByNetwork<'a>> {
    if from.domain_str() != peer.as_str() {
        return Err(Failure::invalid(format!("from: must be of the calling network, {peer}")));
    }
    policy.federation_of_network(Side::Recipient, &app.domain, peer).inspect_err(|_| denied(peer))?;
    let split = addressed(addresses, None, &app.domain)?;
    if !split.1.is_empty() {
        return Err(Failure::invalid(format!("addresses: must be of {}", app.domain)));
    }
    Ok(split)
}

/// On whose behalf recipients are put together.
struct Completion<'a> {
    /// Whose share of one-time prekeys is used.
    requester: &'a str,
    /// The calling device, when it is of this network.
    own: Option<&'a Caller>,
    /// The calling network, when it is another one.
    peer: Option<&'a Domain>,
    /// Devices of other networks that are recipients too.
    abroad: usize,
    /// For a signal: it uses nothing up and is not retained.
    signal: bool,
}

async fn complete(
    app: &App,
    policy: &Policy,
    shown: &Shown,
    addressed: &[&Address],
    request: &Completion<'_>,
) -> Reply<Vec<RecipientUser>> {
    let wanted: BTreeSet<&str> = addressed.iter().map(|address| address.local()).collect();
    let own = request.own.map(|caller| caller.address.local());
    let mut users = directory(app, wanted.iter().copied().chain(own)).await?;
    let reached =
        |address: &Address| users.iter().any(|user| user.local == address.local() && !user.devices.is_empty());
    let unreachable: Vec<Address> = addressed.iter().copied().filter(|address| !reached(address)).cloned().collect();
    if !unreachable.is_empty() {
        return Err(Failure::unreachable(unreachable));
    }
    if let Some(peer) = request.peer {
        for user in &users {
            policy.federation(Side::Recipient, &app.domain, &user.group, peer).inspect_err(|_| denied(peer))?;
        }
    }
    let retention = if request.signal { Vec::new() } else { required_retention(app, shown, &users, request).await? };
    let listening: BTreeSet<String> = retention.iter().map(|user| user.local.clone()).collect();
    users.retain(|user| !listening.contains(&user.local));
    users.extend(retention);

    let sending = request.own.map(|caller| caller.device);
    for user in &mut users {
        user.devices.retain(|device| Some(*device) != sending);
    }
    // Who sends is shown the list of the own devices also where there is nobody to seal to.
    users.retain(|user| !user.devices.is_empty() || Some(user.local.as_str()) == own);
    let total = request.abroad + users.iter().map(|user| user.devices.len()).sum::<usize>();
    let limit = if request.signal { MAX_SIGNAL_DEVICES } else { MAX_RECIPIENT_DEVICES };
    if total > limit {
        return Err(Failure::invalid(format!(
            "addresses: they have {total} devices together, at most {limit} are allowed"
        )));
    }
    let mut prekeys = claim(app, &users, request).await?;
    users
        .into_iter()
        .map(|user| {
            let role = if listening.contains(&user.local) {
                RecipientRole::Retention
            } else if Some(user.local.as_str()) == own {
                RecipientRole::Own
            } else {
                RecipientRole::Addressed
            };
            let (membership, voucher) = match role {
                RecipientRole::Addressed => (Some(shown.membership(&user.local)?), voucher(user.voucher.as_deref())?),
                RecipientRole::Own | RecipientRole::Retention => (None, None),
            };
            let claimed = user.devices.iter().filter_map(|device| prekeys.remove(device)).collect();
            let devices = user.list.ok_or(StoreError::Corrupt("devices without a list"))?;
            let (address, identity) = (app.address(&user.local)?, user.identity);
            Ok(RecipientUser { address, identity, role, devices, prekeys: claimed, membership, voucher })
        })
        .collect()
}

/// The retention processes of everybody here who takes part. All of them must be there to listen.
async fn required_retention(
    app: &App,
    shown: &Shown,
    users: &[DirectoryUser],
    request: &Completion<'_>,
) -> Reply<Vec<DirectoryUser>> {
    let mut groups: Vec<&str> =
        users.iter().filter(|user| user.role == Role::Person).map(|user| user.group.as_str()).collect();
    groups.extend(request.own.map(|caller| caller.group.as_str()));
    let rules = shown.retention(&groups);
    let locals: BTreeSet<&str> = rules
        .iter()
        .map(|rule| rule.address.local())
        .filter(|local| request.own.is_none_or(|caller| caller.address.local() != *local))
        .collect();
    let found = directory(app, locals.iter().copied()).await?;
    for rule in rules.iter().filter(|rule| locals.contains(rule.address.local())) {
        if !found.iter().any(|user| user.local == rule.address.local() && !user.devices.is_empty()) {
            return Err(Failure::new(
                ErrorCode::Unavailable,
                format!(
                    "retention policy {} covers this conversation and its process is not ready; try again later, or ask the administrator",
                    rule.policy
                ),
            ));
        }
    }
    Ok(found)
}

async fn claim(app: &App, users: &[DirectoryUser], request: &Completion<'_>) -> Reply<HashMap<DeviceId, Prekey>> {
    let now_ms = app.now_ms();
    let mut claims = Vec::new();
    for user in users {
        let one_time = !request.signal && app.limits.one_time(request.requester, &user.local, now_ms);
        claims.extend(user.devices.iter().map(|device| Claim { device: *device, one_time }));
    }
    let claimed = app.store.claim_prekeys(claims, now_ms).await?;
    let exhausted = claimed.iter().filter(|claimed| claimed.exhausted).count() as u64;
    if exhausted > 0 {
        metrics::counter!(names::PREKEYS_EXHAUSTED).increment(exhausted);
    }
    Ok(claimed.into_iter().map(|claimed| (claimed.device, claimed.prekey)).collect())
}
