//! Retention policies.

use kube::ResourceExt as _;
use sotto_crds::{RetentionPolicy, S3Destination};
use sotto_crypto::{Address, Domain};

use super::{Validation, network_of, secret_is_free, secret_is_there};
use crate::plan::objects::{Kind, Objects};
use crate::plan::problem::Problem;
use crate::plan::valid::{ValidDestination, ValidNetwork, ValidPolicy, ValidScope};
use crate::reasons::Reason;

/// Puts each good policy into its network. Of one that is not good, what the relay enforces stays: a mistake in a manifest
/// must not end retention.
pub(super) fn policies(objects: &Objects, validation: &mut Validation) {
    for policy in &objects.policies {
        let name = policy.name_any();
        let network = match network_of(&policy.spec.network_ref, objects, validation) {
            Ok(network) => network.to_owned(),
            Err(problem) => {
                validation.problem(Kind::RetentionPolicy, &name, problem);
                continue;
            }
        };
        let Some(valid) = validation.networks.get_mut(&network) else { continue };
        let mut problems = Vec::new();
        match valid_policy(policy, objects, valid, &mut problems) {
            Ok(good) => {
                valid.policies.insert(name.clone(), good);
            }
            Err(problem) => {
                keep(valid, &name);
                problems.push(problem);
            }
        }
        for problem in problems {
            validation.problem(Kind::RetentionPolicy, &name, problem);
        }
    }
}

/// Leaves everything about the policy as it is.
pub(super) fn keep(network: &mut ValidNetwork, policy: &str) {
    if let Ok(address) = address(policy, &network.domain) {
        network.untouched.users.insert(address.local().to_owned());
    }
    network.kept_policies.insert(policy.to_owned());
}

/// The local part of the address of the retention process of a policy.
pub fn local(policy: &str) -> String {
    format!("retention.{policy}")
}

/// The address of the retention process of a policy.
fn address(policy: &str, domain: &Domain) -> Result<Address, Problem> {
    Address::new(&local(policy), domain).map_err(|error| {
        Problem::new(Reason::InvalidSpec, "metadata.name", error.to_string(), "choose a name of at most 40 characters")
    })
}

fn valid_policy(
    policy: &RetentionPolicy,
    objects: &Objects,
    network: &ValidNetwork,
    problems: &mut Vec<Problem>,
) -> Result<ValidPolicy, Problem> {
    let spec = &policy.spec;
    let scope = match (spec.scope.all_users, spec.scope.security_groups.as_slice()) {
        (true, []) => ValidScope::AllUsers,
        (false, names) if !names.is_empty() => {
            for (i, name) in names.iter().enumerate() {
                let good = network.groups.contains_key(name) || network.untouched.groups.contains(name);
                if !good {
                    return Err(Problem::new(
                        Reason::SecurityGroupNotFound,
                        format!("spec.scope.securityGroups[{i}]"),
                        format!("Network {} has no SecurityGroup {name}", network.name),
                        "correct the name, or apply the SecurityGroup",
                    ));
                }
            }
            ValidScope::Groups(names.to_vec())
        }
        _ => {
            let message = "covers nobody, or everybody and some groups";
            let remedy = "set allUsers to true, or list securityGroups with allUsers false";
            return Err(Problem::new(Reason::InvalidSpec, "spec.scope", message, remedy));
        }
    };
    let destination = match (&spec.destination.volume, &spec.destination.s3) {
        (Some(volume), None) => {
            let inside = |part: &str| !part.is_empty() && part != "." && part != "..";
            if !volume.path.split('/').all(inside) {
                let message = format!("`{}` leaves the volume", volume.path);
                let remedy = "write a relative path without . and ..";
                return Err(Problem::new(Reason::InvalidSpec, "spec.destination.volume.path", message, remedy));
            }
            ValidDestination::Volume { path: volume.path.clone(), storage: volume.storage.clone() }
        }
        (None, Some(s3)) => {
            if let Some(name) = &s3.credentials_secret_name {
                let field = "spec.destination.s3.credentialsSecretName";
                secret_is_free(objects, field, name)?;
                problems.extend(secret_is_there(objects, field, name));
            }
            bucket(s3)
        }
        _ => {
            let message = "is not exactly one of volume and s3";
            return Err(Problem::new(Reason::InvalidSpec, "spec.destination", message, "give one of the two"));
        }
    };
    let scraped = network.prometheus;
    let Some(pod) = super::pod::pod("spec.pod", &spec.pod, scraped, problems) else {
        // Each problem is noted; one of them is the answer.
        return Err(problems.pop().unwrap_or_else(|| {
            Problem::new(
                Reason::InvalidSpec,
                "spec.pod",
                "cannot be read",
                "see `kubectl explain retentionpolicy.spec.pod`",
            )
        }));
    };
    Ok(ValidPolicy {
        address: address(&policy.name_any(), &network.domain)?,
        enabled: spec.enabled,
        scope,
        destination,
        resources: spec.resources.clone(),
        pod,
        deletion: spec.deletion_policy,
    })
}

fn bucket(s3: &S3Destination) -> ValidDestination {
    ValidDestination::S3 {
        bucket: s3.bucket.clone(),
        prefix: s3.prefix.as_deref().unwrap_or_default().trim_end_matches('/').to_owned(),
        region: s3.region.clone(),
        endpoint_url: s3.endpoint_url.clone(),
        kms_key_arn: s3.kms_key_arn.clone(),
        credentials: s3.credentials_secret_name.clone(),
    }
}
