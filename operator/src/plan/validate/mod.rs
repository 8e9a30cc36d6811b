//! Objects → types that cannot be wrong, and a list of what is wrong. One broken object never stops the others.

mod access;
mod network;
mod pod;
mod policy;
mod relay;

pub use policy::local as retention_local;

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use sotto_crds::Network;
use sotto_crypto::Domain;

use super::objects::{Kind, ObjectId, Objects, is_paused};
use super::problem::Problem;
use super::secrets::SecretId;
use super::valid::ValidNetwork;
use crate::reasons::Reason;

/// The networks of a namespace that can run, and what is wrong with its objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Validation {
    /// By name of the Network.
    pub networks: BTreeMap<String, ValidNetwork>,
    /// By object; an object that is not here is good. One that is here may be part of a network all the same, as far as it is
    /// good.
    pub problems: BTreeMap<ObjectId, Vec<Problem>>,
}

impl Validation {
    /// Notes a problem.
    fn problem(&mut self, kind: Kind, name: &str, problem: Problem) {
        self.problems.entry(ObjectId::new(kind, name)).or_default().push(problem);
    }
}

/// Validates the objects of one namespace together.
pub fn validate(objects: &Objects) -> Validation {
    let mut validation = Validation::default();
    for id in &objects.unreadable {
        validation.problem(id.kind, &id.name, unreadable_problem());
    }
    let domains = networks(objects, &mut validation);
    let asked = |name: &str| objects.only.as_ref().is_none_or(|names| names.contains(name));
    for network in domains.values().filter(|network| asked(network.metadata.name.as_deref().unwrap_or_default())) {
        if let Some(valid) = network::validate(network, objects, &domains, &mut validation) {
            validation.networks.insert(valid.name.clone(), valid);
        }
    }
    access::groups(objects, &mut validation);
    // Retention processes have their addresses before users: a user must not take one.
    policy::policies(objects, &mut validation);
    access::users(objects, &mut validation);
    unreadable(objects, &mut validation);
    paused(objects, &mut validation);
    validation
}

/// What is said of an object that cannot be read.
pub fn unreadable_problem() -> Problem {
    Problem::new(
        Reason::Unreadable,
        "",
        "the object cannot be read as this version's schema wants it",
        "apply it again as `kubectl explain` says",
    )
}

/// Networks by domain; of two with the same domain the older one has it.
fn networks<'a>(objects: &'a Objects, validation: &mut Validation) -> BTreeMap<Domain, &'a Network> {
    let mut sorted: Vec<&Network> = objects.networks.iter().map(AsRef::as_ref).collect();
    sorted.sort_by_key(|n| (n.creation_timestamp().map(|t| t.0), n.name_any()));
    let mut domains: BTreeMap<Domain, &Network> = BTreeMap::new();
    for network in sorted {
        let name = network.name_any();
        match Domain::parse(&network.spec.domain) {
            Err(error) => {
                let remedy = "write a DNS name in lower case, such as chat.acme.example";
                let problem = Problem::new(Reason::InvalidSpec, "spec.domain", error.to_string(), remedy);
                validation.problem(Kind::Network, &name, problem);
            }
            Ok(domain) => {
                if let Some(other) = domains.get(&domain) {
                    let message = format!("{domain} is the domain of Network {} already", other.name_any());
                    let problem = Problem::new(
                        Reason::DuplicateDomain,
                        "spec.domain",
                        message,
                        "give each network its own domain, or delete one of the two",
                    );
                    validation.problem(Kind::Network, &name, problem);
                } else {
                    domains.insert(domain, network);
                }
            }
        }
    }
    domains
}

/// The network that an object belongs to: its name, or what is wrong with the reference.
fn network_of<'a>(
    reference: &'a sotto_crds::NamedRef,
    objects: &Objects,
    validation: &Validation,
) -> Result<&'a str, Problem> {
    let name = reference.name.as_str();
    if validation.networks.contains_key(name) {
        return Ok(name);
    }
    let there = objects.networks.iter().any(|n| n.name_any() == name)
        || objects.unreadable.contains(&ObjectId::new(Kind::Network, name));
    Err(if there {
        Problem::new(
            Reason::WaitingForNetwork,
            "spec.networkRef.name",
            format!("Network {name} has problems of its own"),
            format!("see `kubectl describe network {name}`"),
        )
    } else {
        Problem::new(
            Reason::NetworkNotFound,
            "spec.networkRef.name",
            format!("there is no Network {name} in this namespace"),
            "correct the name, or apply the Network",
        )
    })
}

/// What the relay holds of unreadable objects stays.
fn unreadable(objects: &Objects, validation: &mut Validation) {
    let groups: BTreeSet<_> = names(objects, Kind::SecurityGroup);
    let policies: BTreeSet<_> = names(objects, Kind::RetentionPolicy);
    // Which user an unreadable object is nobody knows: then nobody is removed.
    let anybody = objects.unreadable.iter().any(|id| id.kind == Kind::User);
    for network in validation.networks.values_mut() {
        network.untouched.groups.extend(groups.iter().cloned());
        network.untouched.everything |= anybody;
        for policy in &policies {
            policy::keep(network, policy);
        }
    }
}

/// What the relay holds of paused objects stays, and what runs for a paused policy. The rest of the network goes by what they say.
fn paused(objects: &Objects, validation: &mut Validation) {
    for group in objects.groups.iter().filter(|group| is_paused(&group.metadata)) {
        if let Some(network) = validation.networks.get_mut(&group.spec.network_ref.name) {
            network.paused_groups.insert(group.name_any());
        }
    }
    for user in objects.users.iter().filter(|user| is_paused(&user.metadata)) {
        if let Some(network) = validation.networks.get_mut(&user.spec.network_ref.name) {
            network.paused_users.insert(user.name_any());
        }
    }
    for policy in objects.policies.iter().filter(|policy| is_paused(&policy.metadata)) {
        if let Some(network) = validation.networks.get_mut(&policy.spec.network_ref.name) {
            network.policies.remove(&policy.name_any());
            policy::keep(network, &policy.name_any());
        }
    }
}

fn names(objects: &Objects, kind: Kind) -> BTreeSet<String> {
    objects.unreadable.iter().filter(|id| id.kind == kind).map(|id| id.name.clone()).collect()
}

/// A Secret that an object names may be given to a workload: it is none of those that the operator makes, by name or by label.
/// Otherwise who may write objects could have a workload read keys that are not for it.
fn secret_is_free(objects: &Objects, field: &str, name: &str) -> Result<(), Problem> {
    let mut own = objects.own_secrets.clone();
    let of = |ids: &[SecretId], network: &str| ids.iter().map(|id| id.object_name(network)).collect::<Vec<_>>();
    let unreadable = |kind| names(objects, kind).into_iter();
    for network in objects.networks.iter().map(|n| n.name_any()).chain(unreadable(Kind::Network)) {
        own.extend(of(&SecretId::OF_NETWORK, &network));
    }
    for policy in objects.policies.iter().map(|p| p.name_any()).chain(unreadable(Kind::RetentionPolicy)) {
        own.extend(of(&[SecretId::Retention(policy)], ""));
    }
    for user in objects.users.iter().map(|u| u.name_any()).chain(unreadable(Kind::User)) {
        own.extend(of(&[SecretId::Invite(user)], ""));
    }
    if !own.contains(name) {
        return Ok(());
    }
    let message = format!("Secret {name} is one of the operator's own, with keys that are not for this");
    Err(Problem::new(Reason::SecretReserved, field, message, "make a Secret of your own, and name that"))
}

/// A Secret that an object names is there, or that is a problem.
fn secret_is_there(objects: &Objects, field: &str, name: &str) -> Option<Problem> {
    let names = objects.secret_names.as_ref()?;
    (!names.contains(name)).then(|| {
        Problem::new(
            Reason::SecretNotFound,
            field,
            format!("there is no Secret {name} in this namespace"),
            "create it, or correct the name",
        )
    })
}
