//! Networks.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt as _;
use sotto_crds::{
    CloudWatchSpec, DirectorySpec, FederationMode, FederationSpec, Network, NetworkPolicyMode, PeerSpec, ReadReceipts,
    UpgradePolicy,
};
use sotto_crypto::Domain;
use sotto_wire::policy::{GroupFederation, PasswordRule, ReadReceipts as WireReceipts};

use super::relay::relay;
use super::{Validation, secret_is_free, secret_is_there};
use crate::plan::objects::{Kind, Objects};
use crate::plan::problem::Problem;
use crate::plan::valid::{
    PeerSource, RETENTION_GROUP, STANDARD_GROUP, ValidCloudWatch, ValidFederation, ValidGroup, ValidNetwork, ValidPeer,
};
use crate::reasons::Reason;
use crate::sync::Untouched;

/// Annotation of a Network: a word for which its certificates are made anew, once.
const ROTATE: &str = "sotto.dev/rotate";

pub(super) fn validate(
    network: &Network,
    objects: &Objects,
    domains: &BTreeMap<Domain, &Network>,
    validation: &mut Validation,
) -> Option<ValidNetwork> {
    let name = network.name_any();
    let spec = &network.spec;
    let mut problems = Vec::new();
    let domain = Domain::parse(&spec.domain).ok()?;
    let scraped = spec.metrics.prometheus.enabled;
    let relay = relay(&name, &spec.relay, scraped, objects, &mut problems);
    let restricted = spec.federation.mode == FederationMode::Restricted;
    let federation =
        if restricted { federation(&spec.federation, scraped, &domain, domains, &mut problems) } else { None };
    // A gateway that cannot run as wanted goes on as it is, and with it the network.
    let gateway_is_good = federation.is_some() || !restricted;
    let cloud_watch = cloud_watch(&spec.metrics.cloud_watch, objects, &mut problems);
    let rotate = rotate(network, &mut problems);
    let refuse_sending_after_days = days(&spec.directory, &mut problems);
    for problem in problems {
        validation.problem(Kind::Network, &name, problem);
    }
    let refuse_sending_after_days = refuse_sending_after_days?;
    let relay = relay.filter(|_| gateway_is_good)?;
    Some(ValidNetwork {
        display_name: spec.display_name.clone().unwrap_or_else(|| name.chars().take(20).collect()),
        name,
        domain,
        read_receipts: match spec.read_receipts {
            ReadReceipts::Disabled => WireReceipts::Disabled,
            ReadReceipts::Enabled => WireReceipts::Enabled,
            ReadReceipts::ForceEnabled => WireReceipts::ForceEnabled,
        },
        refuse_sending_after_days,
        image: spec.image.clone(),
        pinned_image: network
            .status
            .as_ref()
            .filter(|_| spec.upgrade_policy == UpgradePolicy::Manual)
            .and_then(|status| status.image.clone()),
        rotate,
        relay,
        federation,
        cloud_watch,
        prometheus: spec.metrics.prometheus.enabled,
        policed: spec.network_policy == NetworkPolicyMode::Enabled,
        deletion: spec.deletion_policy,
        groups: BTreeMap::from([
            (STANDARD_GROUP.to_owned(), standard_group()),
            (RETENTION_GROUP.to_owned(), retention_group()),
        ]),
        default_group: STANDARD_GROUP.to_owned(),
        users: BTreeMap::new(),
        policies: BTreeMap::new(),
        kept_policies: BTreeSet::new(),
        paused_groups: BTreeSet::new(),
        paused_users: BTreeSet::new(),
        untouched: Untouched::default(),
    })
}

/// For so many days clients send by documents that nobody has confirmed since.
fn days(spec: &DirectorySpec, problems: &mut Vec<Problem>) -> Option<u32> {
    /// As in the schema.
    const MOST: u32 = 365;
    let days = u32::try_from(spec.refuse_sending_after_days).ok().filter(|days| *days <= MOST);
    if days.is_none() {
        problems.push(Problem::new(
            Reason::InvalidSpec,
            "spec.directory.refuseSendingAfterDays",
            format!("{} is not possible", spec.refuse_sending_after_days),
            "write 0 to 365; 0 means that clients only warn",
        ));
    }
    days
}

/// The annotation is not admitted by a schema, so a word that is none is a problem here; certificates then stay as they are.
fn rotate(network: &Network, problems: &mut Vec<Problem>) -> Option<String> {
    let word = network.annotations().get(ROTATE)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._:+-".contains(c);
    if (1..=64).contains(&word.len()) && word.chars().all(plain) {
        return Some(word.clone());
    }
    problems.push(Problem::new(
        Reason::InvalidSpec,
        format!("metadata.annotations[{ROTATE}]"),
        "is not 1 to 64 characters of A-Z, a-z, 0-9 and . _ : + -",
        "write a word of your choice, such as a date; another word asks again",
    ));
    None
}

pub(super) fn port(field: &str, port: i32, problems: &mut Vec<Problem>) -> Option<u16> {
    let port = u16::try_from(port).ok().filter(|p| *p > 0);
    if port.is_none() {
        let message = "is no port";
        problems.push(Problem::new(Reason::InvalidSpec, field, message, "write a number from 1 to 65535"));
    }
    port
}

fn federation(
    spec: &FederationSpec,
    scraped: bool,
    own: &Domain,
    domains: &BTreeMap<Domain, &Network>,
    problems: &mut Vec<Problem>,
) -> Option<ValidFederation> {
    let peers = spec.peers.iter().enumerate();
    let peers = peers.filter_map(|(i, peer)| match self::peer(i, peer, own, domains) {
        Ok(peer) => Some(peer),
        Err(problem) => {
            problems.push(problem);
            None
        }
    });
    let peers = peers.collect();
    let gateway = &spec.gateway;
    let pod = super::pod::pod("spec.federation.gateway.pod", &gateway.pod, scraped, problems);
    super::pod::annotations("spec.federation.gateway.service", &gateway.service.annotations, problems)?;
    Some(ValidFederation {
        peers,
        replicas: gateway.replicas.and_then(|replicas| u16::try_from(replicas).ok()),
        port: port("spec.federation.gateway.port", gateway.port, problems)?,
        resources: gateway.resources.clone(),
        pod: pod?,
        service: gateway.service.clone(),
    })
}

fn peer(
    index: usize,
    spec: &PeerSpec,
    own: &Domain,
    domains: &BTreeMap<Domain, &Network>,
) -> Result<ValidPeer, Problem> {
    let field = |name: &str| format!("spec.federation.peers[{index}].{name}");
    let invalid = |name: &str, message: String, remedy: &str| {
        Err(Problem::new(Reason::InvalidSpec, field(name), message, remedy))
    };
    let domain = match Domain::parse(&spec.domain) {
        Ok(domain) => domain,
        Err(error) => return invalid("domain", error.to_string(), "write the peer's DNS name in lower case"),
    };
    if &domain == own {
        return invalid("domain", format!("{domain} is this network's own domain"), "remove the entry");
    }
    let source = match (&spec.endpoint, &spec.ca_certificate, &spec.policy_key_fingerprint) {
        (Some(endpoint), Some(authority), Some(fingerprint)) => {
            let Ok(policy_key) = fingerprint.parse() else {
                let message = "is not a fingerprint".to_owned();
                return invalid(
                    "policyKeyFingerprint",
                    message,
                    "copy status.policyKeyFingerprint of the peer network",
                );
            };
            PeerSource::Remote { endpoint: endpoint.clone(), authority: authority.clone(), policy_key }
        }
        (None, None, None) => match domains.get(&domain) {
            Some(network) => PeerSource::Local(network.name_any()),
            None => {
                return Err(Problem::new(
                    Reason::PeerNotFound,
                    field("domain"),
                    format!("no Network of the domain {domain} is in this namespace"),
                    "give endpoint, caCertificate and policyKeyFingerprint, or apply that Network",
                ));
            }
        },
        _ => {
            let message = "endpoint, caCertificate and policyKeyFingerprint go together".to_owned();
            return invalid("endpoint", message, "give all three, or none for a Network in this namespace");
        }
    };
    Ok(ValidPeer { domain, source })
}

fn cloud_watch(spec: &CloudWatchSpec, objects: &Objects, problems: &mut Vec<Problem>) -> Option<ValidCloudWatch> {
    if !spec.enabled {
        return None;
    }
    let Some(region) = spec.region.clone() else {
        problems.push(Problem::new(
            Reason::InvalidSpec,
            "spec.metrics.cloudWatch.region",
            "is missing although enabled is true",
            "name the AWS region, such as eu-central-1",
        ));
        return None;
    };
    if let Some(name) = &spec.credentials_secret_name {
        let field = "spec.metrics.cloudWatch.credentialsSecretName";
        if let Err(problem) = secret_is_free(objects, field, name) {
            problems.push(problem);
            return None;
        }
        problems.extend(secret_is_there(objects, field, name));
    }
    Some(ValidCloudWatch {
        namespace: spec.namespace.clone(),
        interval_seconds: u64::try_from(spec.interval_seconds).unwrap_or(60),
        region,
        endpoint_url: spec.endpoint_url.clone(),
        credentials: spec.credentials_secret_name.clone(),
    })
}

/// The defaults of a SecurityGroup, for users of a network without a default group.
fn standard_group() -> ValidGroup {
    ValidGroup {
        lockout_threshold: 10,
        force_device_lockout: 0,
        password: PasswordRule { min_length: 12, lowercase: 0, uppercase: 0, numbers: 0, symbols: 0 },
        max_expiry: std::time::Duration::from_hours(30 * 24),
        max_burn: std::time::Duration::ZERO,
        federation: GroupFederation::None,
        files_enabled: true,
        file_download_enabled: true,
        forwarding_enabled: true,
        presence_enabled: true,
        device_approval: false,
        quick_responses: Vec::new(),
    }
}

/// Retention processes never lock, and follow their users into every conversation.
fn retention_group() -> ValidGroup {
    ValidGroup {
        lockout_threshold: 0,
        max_expiry: std::time::Duration::ZERO,
        federation: GroupFederation::All,
        presence_enabled: false,
        ..standard_group()
    }
}
