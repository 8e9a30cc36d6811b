//! Who a message may be sealed to. The relay answers with devices; this decides whether to believe it. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use sotto_crypto::{Address, DeviceId, Domain, IdentityPublic, Known, PolicyPublic, Recipient, VerifiedDevices};
use sotto_wire::api::{RecipientRole, RecipientUser, Recipients};
use sotto_wire::policy::{NetworkDocument, RetentionRule};

use crate::core::error::{Error, Refusal, TrustError};
use crate::store::ListRecord;
use crate::store::Pin;
use crate::store::account::Account;
use crate::trust::directory::{Directory, SeenHeads, missing_membership};
use crate::trust::learned::{Learned, Peer, peer_of};
use crate::trust::lists::judge;
use crate::trust::own::is_known;
use crate::trust::policy;
use crate::trust::vouched::{Vouched, is_certified};

/// Who asks, and what is known.
pub(crate) struct Asker<'a> {
    pub(crate) address: &'a Address,
    pub(crate) device: DeviceId,
    pub(crate) identity: &'a IdentityPublic,
    pub(crate) policy_key: &'a PolicyPublic,
    /// Our network's document, verified.
    pub(crate) network: &'a NetworkDocument,
    /// Name of our security group.
    pub(crate) group: &'a str,
    /// The heads that had been seen when it was asked.
    pub(crate) seen: &'a SeenHeads,
    /// What is known of everybody's devices, also of the own ones.
    pub(crate) lists: &'a [ListRecord],
    pub(crate) now_ms: u64,
}

/// An answer that has been checked.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// To seal to.
    pub(crate) recipients: Vec<Recipient>,
    /// The retention processes among them.
    pub(crate) retained_by: Vec<Address>,
    /// Who those who are written to are: to be compared with the pins.
    pub(crate) identities: Vec<Vouched>,
    /// Documents to store.
    pub(crate) learned: Learned,
}

/// Checks the answer to a request for `wanted`, from which the own address has been taken out.
pub(crate) fn check(
    asker: &Asker<'_>,
    known: &mut Known,
    wanted: &[Address],
    answer: &Recipients,
) -> Result<Checked, Error> {
    let mut checked = Checked::default();
    let own = checked.learned.own(
        answer.head.as_ref(),
        asker.policy_key,
        asker.network_domain(),
        asker.seen,
        asker.now_ms,
    )?;
    let peers = checked.learned.peers(asker.network, asker.seen, &answer.networks, asker.now_ms)?;
    for directory in std::iter::once(&own).chain(peers.iter().map(|peer| &peer.directory)) {
        directory.permit(asker.network, asker.now_ms)?;
    }
    let mut named = BTreeSet::new();
    for user in &answer.users {
        if !named.insert(&user.address) {
            return Err(TrustError::RepeatedRecipient(user.address.clone()).into());
        }
        let from_ms = match user.role {
            RecipientRole::Addressed => addressed(asker, wanted, &own, &peers, user, &mut checked)?,
            RecipientRole::Own => {
                own_devices(asker, user)?;
                0
            }
            RecipientRole::Retention => {
                retention(asker, wanted, &peers, user)?;
                checked.retained_by.push(user.address.clone());
                0
            }
        };
        devices(asker, known, user, from_ms, &mut checked)?;
    }
    // A relay that leaves the own devices out would keep them from what this one says.
    if !named.contains(asker.address) {
        return Err(TrustError::OwnDevices.into());
    }
    complete(asker, wanted, &named, &peers, &checked)?;
    Ok(checked)
}

/// Checks the answer to a request for whom a signal goes to: only people who were asked for, with the identities that are pinned and
/// devices in a list that counts. Who was never met, or has changed, gets none; nobody has to be there.
pub(crate) fn signalled(
    account: &Account,
    known: &mut Known,
    (pins, lists): (&[Pin], &[ListRecord]),
    wanted: &[Address],
    answer: &Recipients,
    now_ms: u64,
) -> Result<Vec<Recipient>, TrustError> {
    let mut recipients: Vec<Recipient> = Vec::new();
    for user in &answer.users {
        if user.role != RecipientRole::Addressed || !wanted.contains(&user.address) {
            // Word of typing is nothing that the own devices need.
            continue;
        }
        let same = |pin: &Pin| {
            pin.address == user.address && pin.identity == user.identity && pin.is_known() && pin.change.is_none()
        };
        if !pins.iter().any(same) {
            continue;
        }
        let listed = listed(user, known, lists, 0, now_ms);
        if matches!(listed, Err(TrustError::Devices { .. })) {
            continue;
        }
        let (theirs, _) = listed?;
        recipients.extend(reachable(user, &theirs, known, account.device, now_ms)?);
    }
    Ok(recipients)
}

/// Somebody whom the sender asked for. Whether the identity is the one that was pinned is for the caller to see. From when on lists of
/// their devices count (milliseconds since the epoch).
fn addressed(
    asker: &Asker<'_>,
    wanted: &[Address],
    own: &Directory,
    peers: &[Peer<'_>],
    user: &RecipientUser,
    checked: &mut Checked,
) -> Result<u64, TrustError> {
    if !wanted.contains(&user.address) {
        return Err(TrustError::AddedRecipient(user.address.clone()));
    }
    let domain = user.address.domain();
    let (network, key, directory) = if &domain == asker.network_domain() {
        (asker.network, asker.policy_key, own)
    } else {
        let peer = peer_of(peers, &domain)?;
        (&peer.document, peer.key, &peer.directory)
    };
    let membership = user.membership.as_ref().ok_or_else(|| missing_membership(&user.address))?;
    let (record, document) = directory.membership(membership, &user.address, asker.now_ms)?;
    checked.learned.memberships.push(record);
    // Who writes to a retention process by its address: its network certifies it.
    let vouched = Vouched::by_membership(&document, &user.identity, user.voucher.as_ref()).or_else(|refused| {
        Vouched::by_rule(network, key, &user.address, &user.identity, asker.now_ms).map_err(|_| refused)
    })?;
    checked.identities.push(vouched);
    Ok(document.devices_from_ms)
}

/// The sender's own other devices, under the sender's own identity.
fn own_devices(asker: &Asker<'_>, user: &RecipientUser) -> Result<(), TrustError> {
    if &user.address != asker.address {
        return Err(TrustError::AddedRecipient(user.address.clone()));
    }
    if &user.identity != asker.identity {
        return Err(TrustError::OwnIdentity);
    }
    // Which list counts is not decided in passing.
    let known = asker.lists.iter().find(|known| &known.address == asker.address);
    if is_known(&user.devices, known) { Ok(()) } else { Err(TrustError::OwnDevices) }
}

/// A retention process: a rule of our own network or of a peer that is written to must name it, with a certificate
/// under that network's policy key.
fn retention(
    asker: &Asker<'_>,
    wanted: &[Address],
    peers: &[Peer<'_>],
    user: &RecipientUser,
) -> Result<(), TrustError> {
    let fail = |reason| TrustError::Retention { address: user.address.clone(), reason };
    let domain = user.address.domain();
    let (document, key) = if &domain == asker.network_domain() {
        (asker.network, asker.policy_key)
    } else if !wanted.iter().any(|address| address.domain() == domain) {
        return Err(fail("nobody of its network is written to"));
    } else {
        let peer = peer_of(peers, &domain);
        peer.map(|p| (&p.document, p.key)).map_err(|_| fail("its network's policy did not come along"))?
    };
    let mut rules = document.retention.iter().filter(|r| r.enabled && r.address == user.address).peekable();
    if rules.peek().is_none() {
        return Err(fail("no policy that is switched on names it"));
    }
    if rules.any(|rule| is_certified(rule, key, &user.address, &user.identity, asker.now_ms)) {
        Ok(())
    } else {
        Err(fail("its certificate is not valid under the policy key"))
    }
}

/// Every device of a list that counts, with a prekey of its own where it can be written to.
fn devices(
    asker: &Asker<'_>,
    known: &mut Known,
    user: &RecipientUser,
    from_ms: u64,
    checked: &mut Checked,
) -> Result<(), TrustError> {
    let (theirs, record) = listed(user, known, asker.lists, from_ms, asker.now_ms)?;
    checked.recipients.extend(reachable(user, &theirs, known, asker.device, asker.now_ms)?);
    if &user.address != asker.address {
        checked.learned.lists.push(record);
    }
    Ok(())
}

/// The devices of a user, by a list that counts; and what is to be kept of it.
fn listed(
    user: &RecipientUser,
    known: &mut Known,
    lists: &[ListRecord],
    from_ms: u64,
    now_ms: u64,
) -> Result<(Arc<VerifiedDevices>, ListRecord), TrustError> {
    let list = known.devices(&user.identity, &user.devices).map_err(|e| bad_device(user, e.to_string()))?;
    if list.address() != &user.address {
        return Err(bad_device(user, format!("their list is that of {}", list.address())));
    }
    let seen = lists.iter().find(|seen| seen.address == user.address);
    let record = judge(user.identity.fingerprint(), &user.devices, &list, seen, from_ms, now_ms)
        .map_err(|problem| TrustError::Devices { address: user.address.clone(), problem })?;
    Ok((list, record))
}

/// Those devices of the list that have a prekey: the others cannot be written to, and notice later what they have missed.
fn reachable(
    user: &RecipientUser,
    list: &VerifiedDevices,
    known: &mut Known,
    this: DeviceId,
    now_ms: u64,
) -> Result<Vec<Recipient>, TrustError> {
    let mut seen = BTreeSet::new();
    let recipients = user.prekeys.iter().map(|prekey| {
        let claimed = prekey.header.unverified().map_err(|e| bad_device(user, e.to_string()))?.device;
        let device = list.device(claimed).ok_or_else(|| bad_device(user, "it is not in their list".to_owned()))?;
        if !seen.insert(claimed) {
            return Err(bad_device(user, "it is named twice".to_owned()));
        }
        if claimed == this {
            return Err(bad_device(user, "it has the id of this device".to_owned()));
        }
        known.recipient(device, prekey, now_ms).map_err(|e| bad_device(user, e.to_string()))
    });
    recipients.collect()
}

fn bad_device(user: &RecipientUser, reason: String) -> TrustError {
    TrustError::Device { address: user.address.clone(), reason }
}

/// Everybody who was asked for is there with a device, and so is every retention process that a rule asks for: of our own
/// network for the sender's group and the groups of its members who are written to, of a peer for the groups of its
/// members. Who is in which group is what their membership documents say.
fn complete(
    asker: &Asker<'_>,
    wanted: &[Address],
    named: &BTreeSet<&Address>,
    peers: &[Peer<'_>],
    checked: &Checked,
) -> Result<(), Error> {
    let reached: BTreeSet<&Address> = checked.recipients.iter().map(|r| r.device().address()).collect();
    let missing: Vec<Address> =
        wanted.iter().filter(|a| !(named.contains(a) && reached.contains(a))).cloned().collect();
    if !missing.is_empty() {
        return Err(Refusal::Unregistered(missing).into());
    }
    let listens = |rule: &RetentionRule| {
        if checked.retained_by.contains(&rule.address) && reached.contains(&rule.address) {
            return Ok(());
        }
        Err(Refusal::RetentionMissing { policy: rule.policy.clone(), address: rule.address.clone() })
    };
    // Who writes to a retention process by its address has it there already; and a process does not retain itself.
    let others = |rule: &&RetentionRule| &rule.address != asker.address && !wanted.contains(&rule.address);
    let groups_of = |domain: &Domain| {
        let members = checked.learned.memberships.iter().filter(|m| &m.address.domain() == domain);
        members.map(|m| m.group.as_str()).collect::<Vec<_>>()
    };
    let mut groups = groups_of(asker.network_domain());
    groups.push(asker.group);
    policy::covering(asker.network, &groups).filter(others).try_for_each(listens)?;
    let abroad: BTreeSet<Domain> = wanted.iter().map(Address::domain).filter(|d| d != asker.network_domain()).collect();
    for domain in abroad {
        let peer = peer_of(peers, &domain)?;
        let groups = groups_of(&domain);
        policy::covering(&peer.document, &groups).filter(others).try_for_each(listens)?;
    }
    if checked.recipients.is_empty() {
        return Err(Refusal::NoRecipients.into());
    }
    Ok(())
}

impl Asker<'_> {
    fn network_domain(&self) -> &Domain {
        &self.network.domain
    }
}

#[cfg(test)]
mod tests;
