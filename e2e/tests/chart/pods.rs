//! The operator's pods: restricted, watched over, spread, and found by what speaks of them.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sotto_e2e::Outcome;

use crate::variants;

#[test]
#[ignore = "needs Helm: `make chart`"]
fn pods_are_restricted_and_watched_over() -> Outcome {
    for variant in variants()? {
        let pod = &variant.deployment()?["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let expected = [
            (&pod["securityContext"]["runAsNonRoot"], json!(true)),
            (&pod["securityContext"]["seccompProfile"]["type"], json!("RuntimeDefault")),
            (&container["securityContext"]["allowPrivilegeEscalation"], json!(false)),
            (&container["securityContext"]["readOnlyRootFilesystem"], json!(true)),
            (&container["securityContext"]["capabilities"]["drop"], json!(["ALL"])),
            (&container["args"], json!(["operator"])),
            (&container["startupProbe"]["httpGet"]["path"], json!("/healthz")),
            (&container["livenessProbe"]["httpGet"]["path"], json!("/healthz")),
            (&container["readinessProbe"]["httpGet"]["path"], json!("/readyz")),
            (&pod["hostNetwork"], Value::Null),
            (&pod["volumes"], Value::Null),
        ];
        for (found, wanted) in expected {
            variant.ensure(*found == wanted, || format!("{found} where {wanted} is wanted"))?;
        }
        for part in ["requests", "limits"] {
            let memory = &container["resources"][part]["memory"];
            variant.ensure(memory.is_string(), || format!("no memory in {part}"))?;
        }
        variant.ensure(container["resources"]["limits"]["cpu"].is_null(), || "a limit of the processor".into())?;
    }
    Ok(())
}

#[test]
#[ignore = "needs Helm: `make chart`"]
fn the_environment_says_each_thing_once() -> Outcome {
    for variant in variants()? {
        let container = &variant.deployment()?["spec"]["template"]["spec"]["containers"][0];
        let environment = container["env"].as_array().cloned().unwrap_or_default();
        let names: BTreeSet<_> = environment.iter().filter_map(|e| e["name"].as_str()).collect();
        variant.ensure(names.len() == environment.len(), || format!("a variable stands twice: {environment:?}"))?;
        let of = |name: &str| environment.iter().find(|e| e["name"] == name).map(|e| e["value"].clone());
        // The workloads run the operator's own image.
        variant.ensure(of("SOTTO_IMAGE").as_ref() == Some(&container["image"]), || "SOTTO_IMAGE is another".into())?;
        let image = container["image"].as_str().unwrap_or_default();
        variant
            .ensure(!image.ends_with(":latest") && image.contains([':', '@']), || format!("the image is {image}"))?;
        // However many there are, one works: also while one version follows another.
        let name = variant.deployment()?["metadata"]["name"].clone();
        variant.ensure(of("SOTTO_LEASE_NAME") == Some(name), || "no leader is elected".into())?;
        let election = &variant.values["operator"]["leaderElection"];
        for (variable, value) in [
            ("SOTTO_LEASE_DURATION", &election["leaseDuration"]),
            ("SOTTO_LEASE_RENEW_DEADLINE", &election["renewDeadline"]),
            ("SOTTO_LEASE_RETRY", &election["retryPeriod"]),
        ] {
            variant.ensure(of(variable).as_ref() == Some(value), || format!("{variable} is {:?}", of(variable)))?;
        }
    }
    Ok(())
}

/// Selectors are of the release alone, so that an upgrade may change every other label, and each finds the pods.
#[test]
#[ignore = "needs Helm: `make chart`"]
fn whatever_selects_pods_finds_them() -> Outcome {
    for variant in variants()? {
        let deployment = variant.deployment()?;
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        let selector = &deployment["spec"]["selector"]["matchLabels"];
        let names: Vec<&str> = selector.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let wanted = ["app.kubernetes.io/component", "app.kubernetes.io/instance", "app.kubernetes.io/name"];
        variant.ensure(names == wanted, || format!("the Deployment selects by {names:?}, which cannot be changed"))?;
        let mut selectors = vec![("Deployment", selector)];
        for (kind, pointer) in [
            ("Service", "/spec/selector"),
            ("ServiceMonitor", "/spec/selector/matchLabels"),
            ("PodDisruptionBudget", "/spec/selector/matchLabels"),
            ("NetworkPolicy", "/spec/podSelector/matchLabels"),
        ] {
            selectors.extend(variant.of_kind(kind).iter().filter_map(|o| Some((kind, o.pointer(pointer)?))));
        }
        for (kind, selector) in selectors {
            for (name, value) in selector.as_object().into_iter().flatten() {
                variant
                    .ensure(&labels[name] == value, || format!("{kind} selects {name}={value}, pods have {labels}"))?;
            }
        }
        let ports = &deployment["spec"]["template"]["spec"]["containers"][0]["ports"];
        variant.ensure(*ports == json!([{"name": "http", "containerPort": 8080}]), || format!("ports {ports}"))?;
    }
    Ok(())
}

#[test]
#[ignore = "needs Helm: `make chart`"]
fn several_operators_spread_and_one_at_a_time_goes() -> Outcome {
    for variant in variants()? {
        let spec = &variant.deployment()?["spec"];
        variant.ensure(spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0, || {
            "an upgrade takes an operator away before the next one stands by".into()
        })?;
        let keys: Vec<&str> = spec["template"]["spec"]["topologySpreadConstraints"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|c| c["topologyKey"].as_str())
            .collect();
        variant.ensure(keys.contains(&"kubernetes.io/hostname"), || format!("pods spread over {keys:?}"))?;
        let budgets = variant.of_kind("PodDisruptionBudget");
        let several = variant.values["operator"]["replicas"].as_i64() > Some(1);
        let wanted = several && variant.values["operator"]["podDisruptionBudget"]["enabled"] == true;
        variant.ensure(budgets.len() == usize::from(wanted), || format!("{} budgets", budgets.len()))?;
        for budget in budgets {
            // A budget must never forbid the drain of a node for ever.
            let spec = &budget["spec"];
            variant
                .ensure(spec["maxUnavailable"] == 1 && spec["minAvailable"].is_null(), || format!("budget {spec}"))?;
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs Helm: `make chart`"]
fn the_network_of_the_operator_is_closed_but_for_what_it_needs() -> Outcome {
    for variant in variants()? {
        let values = &variant.values["networkPolicy"];
        let policies = variant.of_kind("NetworkPolicy");
        variant.ensure(policies.len() == usize::from(values["enabled"] == true), || "NetworkPolicy or not".into())?;
        for policy in policies {
            let spec = &policy["spec"];
            variant.ensure(spec["policyTypes"] == json!(["Ingress", "Egress"]), || "not both ways".into())?;
            let ingress = spec["ingress"].as_array().cloned().unwrap_or_default();
            variant.ensure(
                ingress.len() == 1 && ingress[0]["ports"] == json!([{"port": "http", "protocol": "TCP"}]),
                || format!("in comes {ingress:?}"),
            )?;
            let from = &values["metricsFrom"];
            let open = *from == json!([]) && ingress[0]["from"].is_null();
            variant.ensure(open || ingress[0]["from"] == *from, || format!("in comes {ingress:?}"))?;
            let egress = spec["egress"].as_array().cloned().unwrap_or_default();
            let extra = values["extraEgress"].as_array().map_or(0, Vec::len);
            variant.ensure(egress.len() == 4 + extra, || format!("out goes {egress:?}"))?;
            variant.ensure(egress.iter().all(|rule| rule["ports"].is_array()), || "a rule without ports".into())?;
            for (rule, part, port) in [(&egress[2], "relay", 9443), (&egress[3], "retention", 8080)] {
                let pods = &rule["to"][0];
                let right = pods["podSelector"]["matchLabels"]["sotto.dev/component"] == part;
                variant.ensure(right && rule["ports"][0]["port"] == port, || format!("the {part} is {rule}"))?;
                let places = &pods["namespaceSelector"]["matchExpressions"][0]["values"];
                let watched = &variant.values["operator"]["watchNamespaces"];
                variant.ensure(places == watched || (*watched == json!([]) && places.is_null()), || {
                    format!("each {part} in {places}, where {watched} is looked after")
                })?;
            }
        }
    }
    Ok(())
}
