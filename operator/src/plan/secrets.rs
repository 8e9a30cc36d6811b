//! The Secrets of a network: which there are, what they are called, and how they have to be.

use std::collections::BTreeMap;

use sotto_crypto::PolicyKey;
use sotto_wire::admin::{AdminState, UserState};

use super::build::relay_url;
use super::places::Places;
use super::valid::{ValidNetwork, ValidTls, ValidUser};
use crate::invites::{self, InviteRequest};
use crate::keys;
use crate::pki::{self, LeafRequest, Validity};
use crate::secret::{Change, Ensured, SecretData};

/// One Secret of a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretId {
    /// The certificate authority ([`pki::authority`]); the operator's alone.
    Authority,
    /// The policy key ([`keys::policy`]); the operator's alone.
    PolicyKey,
    /// The operator's certificate towards the relay.
    OperatorTls,
    /// The relay's certificate, for both of its interfaces.
    RelayTls,
    /// The relay's own secret ([`keys::relay`]).
    RelaySecret,
    /// The gateway's certificate.
    GatewayTls,
    /// The account of the retention process of this policy ([`keys::retention`]).
    Retention(String),
    /// The invite of this User ([`invites::invite`]).
    Invite(String),
}

impl SecretId {
    /// Those that every network has, also without users and policies.
    pub const OF_NETWORK: [Self; 6] =
        [Self::Authority, Self::PolicyKey, Self::OperatorTls, Self::RelayTls, Self::RelaySecret, Self::GatewayTls];

    /// The name of the Secret in the namespace of the network called `network`.
    pub fn object_name(&self, network: &str) -> String {
        match self {
            Self::Authority => format!("{network}-ca"),
            Self::PolicyKey => format!("{network}-policy-key"),
            Self::OperatorTls => format!("{network}-operator-tls"),
            Self::RelayTls => format!("{network}-relay-tls"),
            Self::RelaySecret => format!("{network}-relay-secrets"),
            Self::GatewayTls => format!("{network}-gateway-tls"),
            Self::Retention(policy) => format!("{policy}-retention"),
            Self::Invite(user) => format!("{user}-invite"),
        }
    }
}

/// A Secret that could not be made, or holds something else than it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFailure {
    /// Which.
    pub id: SecretId,
    /// What is wrong and what to do; holds nothing secret.
    pub message: String,
}

/// The Secrets of a network as they have to be.
#[derive(Clone, Default)]
pub struct Secrets {
    ensured: BTreeMap<SecretId, Ensured>,
    /// The Secrets of others that objects name, as far as they are there: name → version. What runs with one as its environment
    /// has to be started anew when it changes.
    pub referenced: BTreeMap<String, String>,
}

impl Secrets {
    /// Secrets as they are, without asking whether they are as they have to be.
    pub fn kept(existing: BTreeMap<SecretId, SecretData>) -> Self {
        let ensured = existing.into_iter().map(|(id, data)| (id, Ensured { data, change: Change::Kept }));
        Self { ensured: ensured.collect(), ..Self::default() }
    }

    /// The contents of one, where it could be had.
    pub fn get(&self, id: &SecretId) -> Option<&SecretData> {
        self.ensured.get(id).map(|ensured| &ensured.data)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&SecretId, &Ensured)> {
        self.ensured.iter()
    }

    /// The policy key, where its Secret is good.
    pub fn policy_key(&self) -> Option<PolicyKey> {
        keys::policy_key(self.get(&SecretId::PolicyKey)?).ok()
    }

    /// SHA-256 of the authority's certificate, where its Secret is good.
    pub fn authority_digest(&self) -> Option<[u8; 32]> {
        pki::authority_digest(self.get(&SecretId::Authority)?).ok()
    }

    /// The word for which the certificates of the network were made anew last, where that is done for all of them.
    pub fn rotated(&self) -> Option<&str> {
        let leaves = [SecretId::OperatorTls, SecretId::RelayTls, SecretId::GatewayTls];
        let mut words = leaves.iter().filter_map(|id| self.get(id)).map(|data| data.text(pki::ROTATED));
        let first = words.next()??;
        words.all(|word| word == Some(first)).then_some(first)
    }

    /// The authority's certificate in PEM.
    pub fn authority_pem(&self) -> Option<&str> {
        self.get(&SecretId::Authority)?.text(pki::CA_CERTIFICATE)
    }
}

/// The Secrets that a network has for certain, so that a deployment knows what to read. Invites come with `users`: those of
/// all of its users, whether they have one or not.
pub fn secret_ids(network: &ValidNetwork) -> Vec<SecretId> {
    let mut ids = SecretId::OF_NETWORK.to_vec();
    ids.extend(network.policies.keys().cloned().map(SecretId::Retention));
    ids.extend(network.users.keys().cloned().map(SecretId::Invite));
    ids
}

/// The Secrets of `network` as they have to be, from those that `existing` has. What is good is kept; nothing is made anew while
/// something is there under its name.
///
/// `relay` is what the relay holds, where it is known: users who have registered need none, unless a new one is asked for. Without it nobody gets a new
/// invite, and those that exist stay.
pub fn ensure_secrets(
    network: &ValidNetwork,
    places: &Places,
    existing: &BTreeMap<SecretId, SecretData>,
    relay: Option<&AdminState>,
    now_ms: u64,
) -> (Secrets, Vec<SecretFailure>) {
    let mut work = Work { existing, secrets: Secrets::default(), failures: Vec::new() };
    let (seconds, validity) = (now_ms / 1000, Validity::default());

    work.ensure(SecretId::Authority, |have| pki::authority(have, &network.name, seconds, &validity));
    work.ensure(SecretId::PolicyKey, keys::policy);
    work.ensure(SecretId::RelaySecret, keys::relay);

    // Without a good authority, or where a name is bad, certificates stay as they are: what runs goes on.
    for id in [SecretId::OperatorTls, SecretId::RelayTls, SecretId::GatewayTls] {
        if let Some(have) = existing.get(&id) {
            work.secrets.ensured.insert(id, Ensured::kept(have));
        }
    }
    if let Some(authority) = work.secrets.get(&SecretId::Authority).cloned() {
        let leaf = |have: &SecretData, request: &LeafRequest| pki::leaf(have, &authority, request, seconds, &validity);
        let rotate = network.rotate.as_deref();
        work.ensure(SecretId::OperatorTls, |have| leaf(have, &LeafRequest::operator().rotated(rotate)));
        let request = LeafRequest::relay_server(relay_names(network, places)).rotated(rotate);
        work.ensure(SecretId::RelayTls, |have| leaf(have, &request));
        if network.federation.is_some() {
            let request = LeafRequest::gateway(network.domain.as_str(), &places.gateway.names).rotated(rotate);
            work.ensure(SecretId::GatewayTls, |have| leaf(have, &request));
        }
    }
    if let Some(key) = work.secrets.policy_key() {
        for (name, policy) in &network.policies {
            let id = SecretId::Retention(name.clone());
            work.ensure(id, |have| keys::retention(have, &key, &policy.address, now_ms));
        }
        let (relay_url, policy_key) = (relay_url(network, places), key.verifying_key().fingerprint());
        let authority = match network.relay.tls {
            ValidTls::NetworkAuthority => work.secrets.authority_digest(),
            ValidTls::Disabled | ValidTls::Secret(_) => None,
        };
        for (name, user) in &network.users {
            let id = SecretId::Invite(name.clone());
            if network.paused_users.contains(name) {
                if let Some(have) = existing.get(&id) {
                    work.secrets.ensured.insert(id, Ensured::kept(have));
                }
                continue;
            }
            let account = relay.map(|state| state.users.get(user.address.local()));
            let pending = account.is_some_and(|account| account.is_none_or(|account| needs_invite(user, account)));
            let keep = relay.is_none() && existing.contains_key(&id);
            // Who is suspended gets no invite, but keeps the new one that was asked for before.
            let reinvited = account.flatten().is_some_and(|account| account.reinvited);
            if !(pending || keep) || (user.suspended && !reinvited) {
                continue;
            }
            let request = InviteRequest {
                relay_url: relay_url.clone(),
                authority,
                address: user.address.clone(),
                policy_key,
                life: user.invite_life,
                reset: user.reset.invite.clone(),
            };
            work.ensure(id, |have| invites::invite(have, &request, now_ms));
        }
    }
    (work.secrets, work.failures)
}

/// Whether a user whom the relay knows has to have an open invite: before registering, and again when a new one is asked for,
/// until that has been used.
fn needs_invite(user: &ValidUser, account: &UserState) -> bool {
    let asked = user.reset.invite.is_some();
    !account.registered || (asked && (account.reinvited || user.reset.invite != account.wanted.reset.invite))
}

struct Work<'a> {
    existing: &'a BTreeMap<SecretId, SecretData>,
    secrets: Secrets,
    failures: Vec<SecretFailure>,
}

impl Work<'_> {
    fn ensure<E: std::fmt::Display>(&mut self, id: SecretId, make: impl FnOnce(&SecretData) -> Result<Ensured, E>) {
        let none = SecretData::default();
        match make(self.existing.get(&id).unwrap_or(&none)) {
            Ok(ensured) => {
                self.secrets.ensured.insert(id, ensured);
            }
            Err(error) => self.failures.push(SecretFailure { id, message: error.to_string() }),
        }
    }
}

/// The names by which the relay is reached: the place's own, and the host of the public URL.
fn relay_names(network: &ValidNetwork, places: &Places) -> Vec<String> {
    let mut names = places.relay.names.clone();
    let url = relay_url(network, places);
    let host = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let host = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(host, _)| host);
    names.push(host.to_owned());
    names
}
