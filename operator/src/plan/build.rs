//! A valid network and its places → configuration files and policy documents. Pure.

use std::collections::{BTreeMap, BTreeSet};

use sotto_crypto::{Fingerprint, PolicyPublic};
use sotto_wire::admin::{InviteGrant, PutUser, Resets, Role};
use sotto_wire::config::{
    CloudWatchConfig, DestinationConfig, GatewayConfig, MutualTlsFiles, PeerConfig, RelayConfig, RetentionConfig,
    TelemetryConfig, TlsFiles,
};
use sotto_wire::invite::code_digest;
use sotto_wire::policy::{FederationRule, GroupDocument, NetworkDocument, OpenInvite, PeerRule, RetentionRule, Scope};

use super::objects::{Kind, ObjectId};
use super::places::{Places, RetentionPlace};
use super::problem::Problem;
use super::secrets::{SecretId, Secrets};
use super::valid::{
    PeerSource, RETENTION_GROUP, ValidDestination, ValidFederation, ValidGroup, ValidNetwork, ValidPeer, ValidPolicy,
    ValidScope, ValidTls,
};
use crate::reasons::Reason;
use crate::sync::Untouched;
use crate::{invites, keys, pki};

/// All that one network should be.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkPlan {
    /// Where clients reach the relay.
    pub url: String,
    /// The fingerprint of the policy key.
    pub policy_key: Fingerprint,
    /// The relay's configuration.
    pub relay: RelayConfig,
    /// The gateway's, where federation is on.
    pub gateway: Option<GatewayPlan>,
    /// Of each retention process, by name of the policy.
    pub retention: BTreeMap<String, RetentionConfig>,
    /// What is signed for the network; the serial is 0.
    pub document: NetworkDocument,
    /// What is signed for each group; the serials are 0.
    pub groups: BTreeMap<String, GroupDocument>,
    /// Accounts by local part; their memberships are not signed yet.
    pub users: BTreeMap<String, PutUser>,
    /// Invites that are open, by local part: for the memberships.
    pub invites: BTreeMap<String, OpenInvite>,
    /// How people call them, by local part: for the memberships.
    pub names: BTreeMap<String, String>,
    /// Policies of which the relay's rule stays.
    pub kept_policies: BTreeSet<String>,
    /// What stays as the relay has it.
    pub untouched: Untouched,
    /// What could not be planned.
    pub problems: Vec<(ObjectId, Problem)>,
}

/// A gateway's configuration and the files beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayPlan {
    /// Its configuration.
    pub config: GatewayConfig,
    /// Authorities of peers by file name, for the folder [`GatewayPlace::authorities`](super::GatewayPlace::authorities).
    pub authorities: BTreeMap<String, String>,
}

/// What another network in the same namespace needs to know to be a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerFacts {
    /// `HOST:PORT` of the gateway.
    pub endpoint: String,
    /// The authority in PEM.
    pub authority: String,
    /// The fingerprint of the policy key.
    pub policy_key: Fingerprint,
}

/// What others need to know of this network, where its keys are good.
pub fn introduce(places: &Places, secrets: &Secrets) -> Option<PeerFacts> {
    Some(PeerFacts {
        endpoint: places.gateway.peer_endpoint.clone(),
        authority: secrets.authority_pem()?.to_owned(),
        policy_key: secrets.policy_key()?.verifying_key().fingerprint(),
    })
}

/// Where clients reach the relay: goes into invites.
pub fn relay_url(network: &ValidNetwork, places: &Places) -> String {
    match &network.relay.public_url {
        Some(url) if places.relay.use_public_url => url.clone(),
        _ => places.relay.url.clone(),
    }
}

/// Plans a network. `peers` holds [`introduce`] of the other networks in the namespace, by name. `None` where the network's own
/// keys are not good (which [`ensure_secrets`](super::ensure_secrets) has said already).
pub fn build(
    network: &ValidNetwork,
    places: &Places,
    secrets: &Secrets,
    peers: &BTreeMap<String, PeerFacts>,
) -> Option<NetworkPlan> {
    let public = secrets.policy_key()?.verifying_key();
    let mut plan = NetworkPlan {
        url: relay_url(network, places),
        policy_key: public.fingerprint(),
        relay: relay(network, places, &public),
        gateway: None,
        retention: BTreeMap::new(),
        document: NetworkDocument {
            version: 1,
            domain: network.domain.clone(),
            serial: 0,
            display_name: network.display_name.clone(),
            retention: Vec::new(),
            federation: FederationRule::default(),
            read_receipts: network.read_receipts,
        },
        groups: network
            .groups
            .iter()
            .filter(|(name, _)| !network.paused_groups.contains(*name))
            .map(|(name, g)| (name.clone(), group(network, name, g)))
            .collect(),
        users: BTreeMap::new(),
        invites: BTreeMap::new(),
        names: BTreeMap::new(),
        kept_policies: network.kept_policies.clone(),
        untouched: network.untouched.clone(),
        problems: Vec::new(),
    };
    plan.untouched.groups.extend(network.paused_groups.iter().cloned());
    if let Some(federation) = &network.federation {
        gateway(&mut plan, network, federation, places, peers);
    }
    for (name, user) in &network.users {
        if network.paused_users.contains(name) {
            plan.untouched.users.insert(user.address.local().to_owned());
            continue;
        }
        let invite = secrets.get(&SecretId::Invite(name.clone()));
        if let Some(open) = invite.and_then(invites::open) {
            plan.invites.insert(user.address.local().to_owned(), open);
        }
        if let Some(shown) = &user.name {
            plan.names.insert(user.address.local().to_owned(), shown.clone());
        }
        let invite = invite.and_then(invites::grant);
        // The word for a new invite goes with the invite: without it, the relay would take it for done.
        let reset = Resets { invite: invite.as_ref().and(user.reset.invite.clone()), ..user.reset.clone() };
        let put = PutUser {
            group: user.group.clone(),
            membership: Vec::new(),
            suspended: user.suspended,
            role: Role::Person,
            invite,
            reset,
        };
        plan.users.insert(user.address.local().to_owned(), put);
    }
    for (name, policy) in &network.policies {
        if retention(&mut plan, network, name, policy, places, secrets).is_none() {
            plan.kept_policies.insert(name.clone());
            plan.untouched.users.insert(policy.address.local().to_owned());
        }
    }
    Some(plan)
}

fn telemetry(network: &ValidNetwork, listen: std::net::SocketAddr) -> TelemetryConfig {
    let cloud_watch = network.cloud_watch.as_ref().map(|c| CloudWatchConfig {
        namespace: c.namespace.clone(),
        interval_seconds: c.interval_seconds,
        region: Some(c.region.clone()),
        endpoint_url: c.endpoint_url.clone(),
    });
    TelemetryConfig { listen, cloud_watch }
}

fn relay(network: &ValidNetwork, places: &Places, policy_key: &PolicyPublic) -> RelayConfig {
    let place = &places.relay;
    let files = |folder: &std::path::Path| TlsFiles {
        certificate: folder.join(pki::TLS_CERTIFICATE),
        key: folder.join(pki::TLS_KEY),
    };
    RelayConfig {
        domain: network.domain.as_str().to_owned(),
        listen: place.listen,
        tls: match &network.relay.tls {
            ValidTls::Disabled => None,
            ValidTls::NetworkAuthority => Some(files(&place.tls)),
            ValidTls::Secret(_) => Some(files(&place.own_tls)),
        },
        trusted_proxies: network.relay.trusted_proxies.clone(),
        admin_listen: place.admin_listen,
        admin_tls: mutual(&place.tls),
        state: place.state.clone(),
        secret: place.secrets.join(keys::RELAY_SECRET),
        policy_key: policy_key.as_bytes().to_vec(),
        gateway: network.federation.is_some().then(|| places.gateway.url.clone()),
        telemetry: telemetry(network, place.telemetry_listen),
    }
}

fn mutual(folder: &std::path::Path) -> MutualTlsFiles {
    MutualTlsFiles {
        certificate: folder.join(pki::TLS_CERTIFICATE),
        key: folder.join(pki::TLS_KEY),
        authority: folder.join(pki::CA_CERTIFICATE),
    }
}

fn gateway(
    plan: &mut NetworkPlan,
    network: &ValidNetwork,
    federation: &ValidFederation,
    places: &Places,
    facts: &BTreeMap<String, PeerFacts>,
) {
    plan.document.federation.enabled = true;
    let (mut peers, mut authorities) = (Vec::new(), BTreeMap::new());
    for ValidPeer { domain, source } in &federation.peers {
        let facts = match source {
            PeerSource::Remote { endpoint, authority, policy_key } => {
                PeerFacts { endpoint: endpoint.clone(), authority: authority.clone(), policy_key: *policy_key }
            }
            PeerSource::Local(name) => {
                if let Some(facts) = facts.get(name) {
                    facts.clone()
                } else {
                    let message = format!("Network {name} of the domain {domain} has no good keys yet");
                    let remedy = format!("see `kubectl describe network {name}`");
                    let problem = Problem::new(Reason::WaitingForNetwork, "spec.federation.peers", message, remedy);
                    plan.problems.push((ObjectId::new(Kind::Network, network.name.as_str()), problem));
                    continue;
                }
            }
        };
        let file = format!("{domain}.crt");
        plan.document.federation.peers.push(PeerRule { domain: domain.clone(), policy_key: facts.policy_key });
        peers.push(PeerConfig {
            domain: domain.as_str().to_owned(),
            url: format!("https://{}", facts.endpoint),
            authority: places.gateway.authorities.join(&file),
        });
        authorities.insert(file, facts.authority);
    }
    let place = &places.gateway;
    let config = GatewayConfig {
        domain: network.domain.as_str().to_owned(),
        listen: place.listen,
        peer_listen: place.peer_listen,
        tls: mutual(&place.tls),
        relay: places.relay.admin_url.clone(),
        peers,
        telemetry: telemetry(network, place.telemetry_listen),
    };
    plan.gateway = Some(GatewayPlan { config, authorities });
}

fn group(network: &ValidNetwork, name: &str, group: &ValidGroup) -> GroupDocument {
    GroupDocument {
        version: 1,
        domain: network.domain.clone(),
        serial: 0,
        name: name.to_owned(),
        lockout_threshold: group.lockout_threshold,
        force_device_lockout: group.force_device_lockout,
        password: group.password,
        max_expiry_seconds: group.max_expiry.as_secs(),
        max_burn_seconds: group.max_burn.as_secs(),
        federation: group.federation.clone(),
        files_enabled: group.files_enabled,
        file_download_enabled: group.file_download_enabled,
        forwarding_enabled: group.forwarding_enabled,
        presence_enabled: group.presence_enabled,
        device_approval: group.device_approval,
        quick_responses: group.quick_responses.clone(),
    }
}

/// Adds a policy's rule, account and process; `None` where its Secret is not good.
fn retention(
    plan: &mut NetworkPlan,
    network: &ValidNetwork,
    name: &str,
    policy: &ValidPolicy,
    places: &Places,
    secrets: &Secrets,
) -> Option<()> {
    let place: &RetentionPlace = places.retention.get(name)?;
    let secret = secrets.get(&SecretId::Retention(name.to_owned()))?;
    let certificate = keys::retention_certificate(secret)?;
    let invite = InviteGrant {
        code_digest: code_digest(secret.text(keys::REGISTRATION_CODE)?),
        // The same on every pass, and renewed with the certificate.
        expires_at_ms: certificate.unverified().ok()?.expires_at_ms,
    };
    plan.document.retention.push(RetentionRule {
        policy: name.to_owned(),
        address: policy.address.clone(),
        certificate,
        scope: match &policy.scope {
            ValidScope::AllUsers => Scope::AllUsers,
            ValidScope::Groups(names) => Scope::Groups(names.clone()),
        },
        enabled: policy.enabled,
    });
    let account = PutUser {
        group: RETENTION_GROUP.to_owned(),
        membership: Vec::new(),
        suspended: false,
        role: Role::Retention,
        invite: Some(invite),
        reset: Resets::default(),
    };
    plan.users.insert(policy.address.local().to_owned(), account);
    let own_authority = network.relay.tls == ValidTls::NetworkAuthority;
    let config = RetentionConfig {
        address: policy.address.as_str().to_owned(),
        policy: name.to_owned(),
        // Inside of the deployment, without a way round by an ingress. A certificate of the object's own Secret is for the public
        // name.
        relay: match network.relay.tls {
            ValidTls::Secret(_) => plan.url.clone(),
            ValidTls::Disabled | ValidTls::NetworkAuthority => places.relay.url.clone(),
        },
        authority: own_authority.then(|| place.authority.clone()),
        policy_key: plan.policy_key.to_string(),
        secrets: place.secrets.clone(),
        state: place.state.clone(),
        destination: match &policy.destination {
            ValidDestination::Volume { path, .. } => DestinationConfig::Folder { path: place.volume.join(path) },
            ValidDestination::S3 { bucket, prefix, region, endpoint_url, kms_key_arn, .. } => DestinationConfig::S3 {
                bucket: bucket.clone(),
                prefix: prefix.clone(),
                region: Some(region.clone()),
                endpoint_url: endpoint_url.clone(),
                kms_key_arn: kms_key_arn.clone(),
            },
        },
        telemetry: telemetry(network, place.telemetry_listen),
    };
    plan.retention.insert(name.to_owned(), config);
    Some(())
}
