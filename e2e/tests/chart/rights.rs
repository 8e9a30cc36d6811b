//! What the chart allows the operator and people. What an API server makes of it: `tests/api/access.rs`.

use std::collections::BTreeSet;

use serde_json::Value;
use sotto_e2e::Outcome;

use crate::{Variant, place, variants};

/// Every rule of every role, with the role's place.
fn rules(variant: &Variant) -> Vec<(String, Value)> {
    let roles = variant.objects.iter().filter(|o| matches!(o["kind"].as_str(), Some("Role" | "ClusterRole")));
    roles
        .flat_map(|role| {
            let all = role["rules"].as_array().cloned().unwrap_or_default();
            all.into_iter().map(|rule| (place(role), rule)).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
#[ignore = "needs Helm: `make chart`"]
fn no_rule_says_more_than_is_meant() -> Outcome {
    for variant in variants()? {
        for (role, rule) in rules(&variant) {
            let text = rule.to_string();
            variant.ensure(!text.contains("\"*\""), || format!("{role}: a wildcard in {text}"))?;
            for word in ["escalate", "impersonate", "pods", "pods/exec", "nodes", "serviceaccounts/token"] {
                variant.ensure(!text.contains(&format!("\"{word}\"")), || format!("{role}: {word} in {text}"))?;
            }
            if text.contains("\"bind\"") {
                let names = rule["resourceNames"].as_array().map_or(0, Vec::len);
                variant.ensure(names == 1, || format!("{role}: may bind {names} roles by name: {text}"))?;
            }
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs Helm: `make chart`"]
fn with_a_list_of_namespaces_there_is_no_right_elsewhere() -> Outcome {
    let mut tried = 0;
    for variant in variants()? {
        let watched: BTreeSet<&str> = variant.values["operator"]["watchNamespaces"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if watched.is_empty() {
            continue;
        }
        tried += 1;
        variant.ensure(variant.of_kind("ClusterRoleBinding").is_empty(), || "a right in the whole cluster".into())?;
        for role in variant.of_kind("ClusterRole") {
            let text = role["rules"].to_string();
            variant.ensure(!text.contains("secrets"), || format!("{} has {text}", place(role)))?;
        }
        let mut places: BTreeSet<&str> = variant
            .of_kind("RoleBinding")
            .iter()
            .filter_map(|binding| binding["metadata"]["namespace"].as_str())
            .collect();
        // The Lease is in the release's own namespace.
        places.remove("sotto-system");
        variant.ensure(places == watched, || format!("bindings in {places:?}"))?;
    }
    sotto_e2e::ensure(tried > 0, || "no file of values has watchNamespaces".into())
}

#[test]
#[ignore = "needs Helm: `make chart`"]
fn what_is_bound_is_there() -> Outcome {
    for variant in variants()? {
        let there: BTreeSet<String> = variant.objects.iter().map(place).collect();
        let account = &variant.deployment()?["spec"]["template"]["spec"]["serviceAccountName"];
        for binding in variant.objects.iter().filter(|o| o["roleRef"].is_object()) {
            let role = &binding["roleRef"];
            let namespace = if role["kind"] == "Role" { binding["metadata"]["namespace"].as_str() } else { None };
            let place = format!(
                "{}/{}@{}",
                role["kind"].as_str().unwrap_or_default(),
                role["name"].as_str().unwrap_or_default(),
                namespace.unwrap_or_default()
            );
            variant.ensure(there.contains(&place), || format!("{place} is bound and is not there"))?;
            for subject in binding["subjects"].as_array().into_iter().flatten() {
                variant.ensure(subject["name"] == *account && subject["namespace"] == "sotto-system", || {
                    format!("{subject} has rights, the operator runs as {account}")
                })?;
            }
        }
        let create = variant.values["serviceAccount"]["create"] == true;
        let own = variant.of_kind("ServiceAccount");
        variant.ensure(own.len() == usize::from(create), || format!("{} accounts", own.len()))?;
        variant.ensure(own.iter().all(|o| o["metadata"]["name"] == *account), || "another account".into())?;
    }
    Ok(())
}

/// Retention is the compliance officer's alone, also for who has a namespace's built-in roles.
#[test]
#[ignore = "needs Helm: `make chart`"]
fn only_the_compliance_officer_writes_retention_policies() -> Outcome {
    for variant in variants()? {
        let mut writers = Vec::new();
        for role in variant.of_kind("ClusterRole") {
            let labels = role["metadata"]["labels"].to_string();
            for rule in role["rules"].as_array().into_iter().flatten() {
                let resources = rule["resources"].to_string();
                let changes = ["create", "update", "patch", "delete", "deletecollection"]
                    .iter()
                    .any(|verb| rule["verbs"].to_string().contains(&format!("\"{verb}\"")));
                let name = role["metadata"]["name"].as_str().unwrap_or_default();
                if changes && resources.contains("\"retentionpolicies\"") && !name.contains("-operator") {
                    writers.push(name.to_owned());
                    variant.ensure(!labels.contains("aggregate-to"), || format!("{name} is aggregated"))?;
                }
            }
        }
        let roles = variant.values["rbac"]["aggregateClusterRoles"] == true;
        variant.ensure(writers.len() == usize::from(roles), || format!("written by {writers:?}"))?;
        variant.ensure(writers.iter().all(|name| name.ends_with("-compliance-officer")), || format!("{writers:?}"))?;
    }
    Ok(())
}

/// What the API server refuses by the chart's policies is refused with a remedy, and only what a binding names is in force.
#[test]
#[ignore = "needs Helm: `make chart`"]
fn every_admission_policy_is_bound_says_why_and_what_becomes_of_errors() -> Outcome {
    let mut actions = BTreeSet::new();
    for variant in variants()? {
        let policies = variant.of_kind("ValidatingAdmissionPolicy");
        let bindings = variant.of_kind("ValidatingAdmissionPolicyBinding");
        let on = variant.values["admissionPolicies"]["enabled"] == true;
        variant.ensure(policies.is_empty() != on, || format!("{} policies", policies.len()))?;
        variant.ensure(policies.len() == bindings.len(), || "policies and bindings differ in number".into())?;
        for policy in policies {
            let name = policy["metadata"]["name"].as_str().unwrap_or_default();
            let spec = &policy["spec"];
            let binding = bindings.iter().find(|b| b["spec"]["policyName"] == name).map(|b| &b["spec"]);
            let Some(binding) = binding else { return sotto_e2e::fail(format!("{name} is not bound")) };
            let action = binding["validationActions"].to_string();
            variant.ensure(spec["paramKind"].is_null() == binding["paramRef"].is_null(), || {
                format!("{name}: {binding}")
            })?;
            // What limits the operator is certain; what helps people never stands in the way when it cannot be decided.
            let wanted = if name.contains("-operator-") { "Fail" } else { "Ignore" };
            variant.ensure(spec["failurePolicy"] == wanted, || format!("{name}: {}", spec["failurePolicy"]))?;
            variant.ensure(wanted == "Ignore" || action == "[\"Deny\"]", || format!("{name}: {action}"))?;
            for validation in spec["validations"].as_array().into_iter().flatten() {
                let says = validation["message"].is_string() && validation["reason"].is_string();
                variant.ensure(says, || format!("{name}: no message or reason: {validation}"))?;
            }
            actions.insert(action);
        }
    }
    sotto_e2e::ensure(actions.len() == 2, || format!("no file of values tries both actions: {actions:?}"))
}
