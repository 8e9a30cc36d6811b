//! The documents under the policy key, decoded: who may talk to whom, and who has to listen.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use sotto_crypto::{Address, Domain, PolicyPublic, Signed, verify_retention};
use sotto_wire::ErrorCode;
use sotto_wire::policy::{GroupDocument, MembershipDocument, NetworkDocument, RetentionRule};

use crate::error::{Failure, Reply};
use crate::store::StoredPolicy;

/// All documents at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    network: Option<NetworkDocument>,
    groups: BTreeMap<String, GroupDocument>,
}

/// Holds the current documents.
#[derive(Default)]
pub(crate) struct PolicyCell(RwLock<Arc<Policy>>);

impl PolicyCell {
    pub(crate) fn current(&self) -> Arc<Policy> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn replace(&self, policy: Policy) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }
}

/// Which side of a federated conversation we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Our user writes.
    Sender,
    /// Our user is written to.
    Recipient,
}

impl Side {
    fn text(self) -> &'static str {
        match self {
            Self::Sender => "sender's",
            Self::Recipient => "recipient's",
        }
    }
}

impl Policy {
    /// Decodes what is stored. It was verified when it was put.
    pub(crate) fn decode(stored: &StoredPolicy) -> Result<Self, sotto_crypto::DecodeError> {
        let network = stored
            .network
            .as_ref()
            .map(|bytes| Signed::<NetworkDocument>::from_bytes(bytes)?.unverified())
            .transpose()?;
        let groups = stored
            .groups
            .iter()
            .map(|(name, bytes)| Ok((name.clone(), Signed::<GroupDocument>::from_bytes(bytes)?.unverified()?)))
            .collect::<Result<_, sotto_crypto::DecodeError>>()?;
        Ok(Self { network, groups })
    }

    /// The network's document.
    pub(crate) fn network(&self) -> Reply<&NetworkDocument> {
        self.network.as_ref().ok_or_else(Failure::no_policy)
    }

    /// A group's document.
    pub(crate) fn group(&self, name: &str) -> Reply<&GroupDocument> {
        self.groups.get(name).ok_or_else(Failure::no_policy)
    }

    /// The lockout threshold for names that are no users: the strictest there is, so that it tells nothing.
    pub(crate) fn strictest_lockout(&self) -> u32 {
        self.groups.values().map(|group| group.lockout_threshold).filter(|t| *t > 0).min().unwrap_or(0)
    }

    /// Whether a member of `group` may talk to `peer`; if not, which rule says so.
    pub(crate) fn federation(&self, side: Side, own: &Domain, group: &str, peer: &Domain) -> Reply<()> {
        self.federation_of_network(side, own, peer)?;
        if self.group(group)?.federation.allows(peer) {
            return Ok(());
        }
        Err(Failure::new(
            ErrorCode::FederationDenied,
            match side {
                Side::Sender => format!(
                    "the sender's network {own} does not allow it: security group {group} (spec.federation) does not permit {peer}"
                ),
                // Who may not be talked to is not described any further.
                Side::Recipient => format!(
                    "the recipient's network {own} does not allow it: the recipient's security group (spec.federation) does not permit {peer}"
                ),
            },
        ))
    }

    /// The same for the network as a whole.
    pub(crate) fn federation_of_network(&self, side: Side, own: &Domain, peer: &Domain) -> Reply<()> {
        if self.network()?.peer(peer).is_some() {
            return Ok(());
        }
        Err(Failure::new(
            ErrorCode::FederationDenied,
            format!(
                "the {} network {own} does not allow it: its Network (spec.federation) does not list {peer}",
                side.text()
            ),
        ))
    }
}

/// Reads and checks a network document as it is put.
pub(crate) fn check_network(bytes: &[u8], key: &PolicyPublic, domain: &Domain) -> Reply<NetworkDocument> {
    let signed =
        Signed::<NetworkDocument>::from_bytes(bytes).map_err(|e| Failure::invalid(format!("document: {e}")))?;
    let document = signed.verify(key).map_err(|e| {
        Failure::invalid(format!("document: {e}; it must be signed by the policy key of the relay's configuration"))
    })?;
    check_head("document", document.version, &document.domain, domain)?;
    for rule in &document.retention {
        check_retention(rule, key, domain)?;
    }
    Ok(document)
}

/// Reads and checks a group document as it is put.
pub(crate) fn check_group(bytes: &[u8], name: &str, key: &PolicyPublic, domain: &Domain) -> Reply<GroupDocument> {
    let signed = Signed::<GroupDocument>::from_bytes(bytes).map_err(|e| Failure::invalid(format!("document: {e}")))?;
    let document = signed.verify(key).map_err(|e| {
        Failure::invalid(format!("document: {e}; it must be signed by the policy key of the relay's configuration"))
    })?;
    check_head("document", document.version, &document.domain, domain)?;
    if document.name != name {
        return Err(Failure::invalid(format!("document.name: is `{}`, the path says `{name}`", document.name)));
    }
    Ok(document)
}

/// Reads and checks a membership as it is put.
pub(crate) fn check_membership(
    bytes: &[u8],
    address: &Address,
    group: &str,
    key: &PolicyPublic,
) -> Reply<MembershipDocument> {
    let fail = |what: String| Failure::invalid(format!("membership{what}"));
    let signed = Signed::<MembershipDocument>::from_bytes(bytes).map_err(|e| fail(format!(": {e}")))?;
    let document = signed
        .verify(key)
        .map_err(|e| fail(format!(": {e}; it must be signed by the policy key of the relay's configuration")))?;
    check_version("membership", document.version)?;
    if document.address != *address {
        return Err(fail(format!(".address: is {}, the path says {address}", document.address)));
    }
    if document.group != group {
        return Err(fail(format!(".group: is `{}`, the user's is `{group}`", document.group)));
    }
    Ok(document)
}

/// A membership as it is stored. Accounts of older versions have none until the operator has put them again.
pub(crate) fn membership(bytes: &[u8]) -> Reply<Signed<MembershipDocument>> {
    Signed::from_bytes(bytes).map_err(|_| Failure::no_policy())
}

fn check_version(field: &str, version: u8) -> Reply<()> {
    if version != 1 {
        return Err(Failure::invalid(format!(
            "{field}.version: {version} is not known here, only 1; update the relay"
        )));
    }
    Ok(())
}

pub(crate) fn check_head(field: &str, version: u8, found: &Domain, domain: &Domain) -> Reply<()> {
    check_version(field, version)?;
    if found != domain {
        return Err(Failure::invalid(format!("{field}.domain: is {found}, this relay serves {domain}")));
    }
    Ok(())
}

fn check_retention(rule: &RetentionRule, key: &PolicyPublic, domain: &Domain) -> Reply<()> {
    let fail = |what: &str| Failure::invalid(format!("document.retention[{}].{what}", rule.policy));
    if rule.address.domain_str() != domain.as_str() {
        return Err(fail(&format!("address: must be of this network, {domain}")));
    }
    let certificate = rule.certificate.verify(key).map_err(|e| fail(&format!("certificate: {e}")))?;
    if certificate.network != *domain || certificate.address != rule.address {
        return Err(fail("certificate: made for another network or address"));
    }
    // The moment that it was issued at: whether it holds now is for those who rely on it.
    verify_retention(key, &rule.certificate, certificate.issued_at_ms)
        .map(drop)
        .map_err(|e| fail(&format!("certificate: {e}")))
}

/// Addresses of this network, and those of others by network.
pub(crate) type ByNetwork<'a> = (Vec<&'a Address>, BTreeMap<Domain, Vec<&'a Address>>);

/// Splits addresses into those of this network and those of others.
pub(crate) fn split_by_network<'a>(addresses: impl IntoIterator<Item = &'a Address>, domain: &Domain) -> ByNetwork<'a> {
    let mut local = Vec::new();
    let mut remote: BTreeMap<Domain, Vec<&Address>> = BTreeMap::new();
    for address in addresses {
        if address.domain_str() == domain.as_str() {
            local.push(address);
        } else {
            remote.entry(address.domain()).or_default().push(address);
        }
    }
    (local, remote)
}
