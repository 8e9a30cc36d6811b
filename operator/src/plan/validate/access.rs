//! Security groups and users.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::ResourceExt as _;
use sotto_crds::{GroupFederationMode, SecurityGroup, Tier, User, UserSpec};
use sotto_crypto::{Address, Domain};
use sotto_wire::admin::Resets;
use sotto_wire::name;
use sotto_wire::policy::{GroupFederation, PasswordRule};

use super::{Validation, network_of};
use crate::plan::objects::{Kind, ObjectId, Objects};
use crate::plan::problem::Problem;
use crate::plan::valid::{ValidGroup, ValidNetwork, ValidUser};
use crate::reasons::Reason;

/// How many security groups a network may have.
const MAX_GROUPS: usize = 100;
/// The longest expiry in a network of the tier Standard.
const STANDARD_EXPIRY: Duration = Duration::from_hours(90 * 24);

/// Puts each good group into its network.
pub(super) fn groups(objects: &Objects, validation: &mut Validation) {
    let mut sorted: Vec<&SecurityGroup> = objects.groups.iter().map(AsRef::as_ref).collect();
    sorted.sort_by_key(|g| (g.creation_timestamp().map(|t| t.0), g.name_any()));
    let mut defaults: BTreeMap<String, String> = BTreeMap::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for group in sorted {
        let name = group.name_any();
        let network = match network_of(&group.spec.network_ref, objects, validation) {
            Ok(network) => network.to_owned(),
            Err(problem) => {
                validation.problem(Kind::SecurityGroup, &name, problem);
                continue;
            }
        };
        let count = counts.entry(network.clone()).or_default();
        *count += 1;
        let tier = tier(objects, &network);
        let outcome = if *count > MAX_GROUPS {
            Err(Problem::new(
                Reason::TooManyGroups,
                "",
                format!("Network {network} has more than {MAX_GROUPS} security groups"),
                "delete some of them",
            ))
        } else {
            valid_group(group, tier)
        };
        let mut problem = None;
        if let Some(valid) = validation.networks.get_mut(&network) {
            match outcome {
                Ok(good) => {
                    valid.groups.insert(name.clone(), good);
                    problem = default_group(group, valid, &mut defaults);
                }
                Err(bad) => {
                    valid.untouched.groups.insert(name.clone());
                    problem = Some(bad);
                }
            }
        }
        if let Some(problem) = problem {
            validation.problem(Kind::SecurityGroup, &name, problem);
        }
    }
}

fn tier(objects: &Objects, network: &str) -> Tier {
    objects.networks.iter().find(|n| n.name_any() == network).map(|n| n.spec.tier).unwrap_or_default()
}

/// Makes the group its network's default one where it says so; of two the older one is it.
fn default_group(
    group: &SecurityGroup,
    network: &mut ValidNetwork,
    defaults: &mut BTreeMap<String, String>,
) -> Option<Problem> {
    if !group.spec.default {
        return None;
    }
    let name = group.name_any();
    if let Some(other) = defaults.get(&network.name) {
        let message = format!("SecurityGroup {other} is the default group of Network {} already", network.name);
        let remedy = "set default to true in one group only";
        return Some(Problem::new(Reason::DefaultConflict, "spec.default", message, remedy));
    }
    defaults.insert(network.name.clone(), name.clone());
    network.default_group = name;
    None
}

fn valid_group(group: &SecurityGroup, tier: Tier) -> Result<ValidGroup, Problem> {
    let spec = &group.spec;
    let duration = |field: &str, text: &sotto_crds::Duration| {
        let seconds = text.seconds();
        seconds
            .map(Duration::from_secs)
            .map_err(|error| Problem::new(Reason::InvalidSpec, field, error.to_string(), ""))
    };
    let max_expiry = duration("spec.messaging.maxTtl", &spec.messaging.max_ttl)?;
    if tier == Tier::Standard && max_expiry > STANDARD_EXPIRY {
        return Err(Problem::new(
            Reason::TierLimit,
            "spec.messaging.maxTtl",
            format!("{} is longer than the 90d of a Standard network", spec.messaging.max_ttl),
            "set at most 90d, or tier: Premium in the Network",
        ));
    }
    let max_burn = match &spec.messaging.max_bor {
        Some(text) => duration("spec.messaging.maxBor", text)?,
        None => Duration::ZERO,
    };
    let federation = match spec.federation.mode {
        GroupFederationMode::None => GroupFederation::None,
        GroupFederationMode::All => GroupFederation::All,
        GroupFederationMode::Restricted => {
            let domains = spec.federation.permitted_networks.iter().enumerate().map(|(i, text)| {
                Domain::parse(text).map_err(|error| {
                    let field = format!("spec.federation.permittedNetworks[{i}]");
                    Problem::new(Reason::InvalidSpec, field, error.to_string(), "write a DNS name in lower case")
                })
            });
            GroupFederation::Restricted(domains.collect::<Result<_, _>>()?)
        }
    };
    let count = |n: i32| u32::try_from(n).unwrap_or(0);
    let words = &spec.password_requirements;
    Ok(ValidGroup {
        lockout_threshold: count(spec.lockout_threshold),
        force_device_lockout: spec.force_device_lockout.map_or(0, count),
        password: PasswordRule {
            min_length: count(words.min_length),
            lowercase: count(words.lowercase),
            uppercase: count(words.uppercase),
            numbers: count(words.numbers),
            symbols: count(words.symbols),
        },
        max_expiry,
        max_burn,
        federation,
        files_enabled: spec.messaging.files_enabled,
        file_download_enabled: spec.messaging.file_download_enabled,
        forwarding_enabled: spec.messaging.message_forwarding_enabled,
        presence_enabled: spec.messaging.presence_enabled,
        device_approval: spec.devices.approval_required,
        quick_responses: spec.messaging.quick_responses.clone(),
    })
}

/// Puts each good user into its network.
pub(super) fn users(objects: &Objects, validation: &mut Validation) {
    let mut sorted: Vec<&User> = objects.users.iter().map(AsRef::as_ref).collect();
    sorted.sort_by_key(|u| (u.creation_timestamp().map(|t| t.0), u.name_any()));
    let mut addresses: BTreeMap<Address, String> = BTreeMap::new();
    for user in sorted {
        let name = user.name_any();
        let network = match network_of(&user.spec.network_ref, objects, validation) {
            Ok(network) => network.to_owned(),
            Err(problem) => {
                validation.problem(Kind::User, &name, problem);
                continue;
            }
        };
        let Some(valid) = validation.networks.get_mut(&network) else { continue };
        match valid_user(user, objects, valid, &addresses) {
            Ok((good, problem)) => {
                addresses.insert(good.address.clone(), name.clone());
                valid.users.insert(name.clone(), good);
                if let Some(problem) = problem {
                    validation.problem(Kind::User, &name, problem);
                }
            }
            Err(problem) => {
                let local = user.spec.username.clone().unwrap_or_else(|| name.clone());
                valid.untouched.users.insert(local);
                validation.problem(Kind::User, &name, problem);
            }
        }
    }
}

fn valid_user(
    user: &User,
    objects: &Objects,
    network: &ValidNetwork,
    taken: &BTreeMap<Address, String>,
) -> Result<(ValidUser, Option<Problem>), Problem> {
    let (spec, name) = (&user.spec, user.name_any());
    let field = if spec.username.is_some() { "spec.username" } else { "metadata.name" };
    let local = spec.username.as_deref().unwrap_or(&name);
    let address = Address::new(local, &network.domain).map_err(|error| {
        let remedy = "set spec.username to 1 to 64 characters of a-z, 0-9 and . _ + -";
        Problem::new(Reason::InvalidSpec, field, error.to_string(), remedy)
    })?;
    let holder = taken.get(&address).map(|other| format!("User {other}")).or_else(|| {
        let policy = network.policies.iter().find(|(_, policy)| policy.address == address);
        policy.map(|(name, _)| format!("the retention process of RetentionPolicy {name}"))
    });
    if let Some(holder) = holder {
        let message = format!("{address} is the address of {holder} already");
        return Err(Problem::new(Reason::DuplicateAddress, field, message, "choose another username"));
    }
    let invite_life = spec.invite.ttl.seconds().map(Duration::from_secs);
    let invite_life =
        invite_life.map_err(|error| Problem::new(Reason::InvalidSpec, "spec.invite.ttl", error.to_string(), ""))?;
    let sotto_crds::Reset { devices, invite, lockout } = spec.reset.clone();
    let reset = Resets { devices, invite, lockout };
    // A name that cannot be shown keeps nobody out: then there is none.
    let (name, unfit) = match shown_name(&user.spec) {
        Ok(name) => (name, None),
        Err(problem) => (None, Some(problem)),
    };
    let valid = |group: String| ValidUser { address, group, name, suspended: spec.suspended, invite_life, reset };
    match group_of(user, objects, network) {
        Ok(group) => Ok((valid(group), unfit)),
        // Whoever is suspended has to be out, whatever else is wrong.
        Err(problem) if spec.suspended => Ok((valid(network.default_group.clone()), Some(problem))),
        Err(problem) => Err(problem),
    }
}

/// First and last name as they are shown beside the address.
fn shown_name(spec: &UserSpec) -> Result<Option<String>, Problem> {
    let mut names = Vec::new();
    for (field, given) in [("spec.firstName", &spec.first_name), ("spec.lastName", &spec.last_name)] {
        let Some(given) = given else { continue };
        let name = given.split_whitespace().collect::<Vec<_>>().join(" ");
        name::check(&name).map_err(|error| {
            let remedy = "write it as it is to be shown beside the address; until then no name is shown";
            Problem::new(Reason::InvalidSpec, field, error.to_string(), remedy)
        })?;
        names.push(name);
    }
    Ok(Some(names.join(" ")).filter(|name| !name.is_empty()))
}

fn group_of(user: &User, objects: &Objects, network: &ValidNetwork) -> Result<String, Problem> {
    let Some(reference) = &user.spec.security_group_ref else { return Ok(network.default_group.clone()) };
    let name = &reference.name;
    if network.groups.contains_key(name) && objects.groups.iter().any(|g| &g.name_any() == name) {
        return Ok(name.clone());
    }
    let (reason, message, remedy) = match objects.groups.iter().find(|g| &g.name_any() == name) {
        Some(group) if group.spec.network_ref.name != network.name => (
            Reason::SecurityGroupOfAnotherNetwork,
            format!("SecurityGroup {name} belongs to Network {}", group.spec.network_ref.name),
            format!("name a group of Network {}", network.name),
        ),
        Some(_) => (
            Reason::WaitingForSecurityGroup,
            format!("SecurityGroup {name} has problems of its own"),
            format!("see `kubectl describe securitygroup {name}`"),
        ),
        None if objects.unreadable.contains(&ObjectId::new(Kind::SecurityGroup, name.as_str())) => (
            Reason::WaitingForSecurityGroup,
            format!("SecurityGroup {name} cannot be read"),
            "apply it again".to_owned(),
        ),
        None => (
            Reason::SecurityGroupNotFound,
            format!("there is no SecurityGroup {name} in this namespace"),
            "correct the name, or apply the SecurityGroup".to_owned(),
        ),
    };
    Err(Problem::new(reason, "spec.securityGroupRef.name", message, remedy))
}
