//! One network: its Secrets, its objects, its relay.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt as _;
use sotto_crds::Network;
use sotto_wire::status::RetentionState;

use super::apply::ApplyError;
use super::context::{Context, together};
use super::labels;
use super::members::Members;
use super::queue::Unit;
use super::reconcile::{Live, accepts_new_keys, note};
use super::render::{Owner, Rendered, Scene, render};
use super::secrets;
use super::workload::part;
use crate::failpoint;
use crate::plan::{
    Kind, NetworkPlan, ObjectId, Observed, PeerFacts, Places, SecretId, Secrets, ValidNetwork, build, ensure_secrets,
    secret_ids, wanted,
};
use crate::reasons::Reason;
use crate::secret::SecretData;
use crate::sync::{self, Call};

/// The owners in a namespace, by name.
pub(super) struct Owners {
    pub(super) networks: BTreeMap<String, Owner>,
    pub(super) policies: BTreeMap<String, Owner>,
    pub(super) users: BTreeMap<String, Owner>,
}

/// How far a network was brought.
pub(super) struct Brought {
    pub(super) places: Places,
    pub(super) secrets: Secrets,
    /// Whether the Secrets are in the cluster as they are here. Otherwise nothing must be built on them.
    pub(super) keys_are_kept: bool,
    /// Whether there is a relay that may know accounts.
    pub(super) relay_is_made: bool,
    pub(super) plan: Option<NetworkPlan>,
    pub(super) observed: Observed,
    /// The relay's mark of the state that was seen.
    pub(super) etag: Option<String>,
    /// What the retention processes that are ready have said of their records, where they have said something.
    pub(super) records: BTreeMap<String, Option<RetentionState>>,
}

fn object_of(id: &SecretId, network: &str) -> ObjectId {
    match id {
        SecretId::Retention(policy) => ObjectId::new(Kind::RetentionPolicy, policy.as_str()),
        SecretId::Invite(user) => ObjectId::new(Kind::User, user.as_str()),
        _ => ObjectId::new(Kind::Network, network),
    }
}

impl Context {
    /// Asks the relay what it holds, and brings the network's Secrets about.
    pub(super) async fn secrets_of(
        &self,
        unit: &Unit,
        seen: &Members,
        network: &ValidNetwork,
        places: Places,
        owners: &Owners,
        now_ms: u64,
    ) -> Brought {
        let namespace = &*unit.namespace;
        let (mut observed, mut etag) = (Observed::default(), None);
        let existing = self.existing_secrets(namespace, &network.name, secret_ids(network));
        let relay = self.owned.get("StatefulSet").and_then(|(_, i)| i.get(namespace, &labels::relay(&network.name)));
        let running = relay.as_ref().is_some_and(|set| set.value()["status"]["replicas"].as_i64().unwrap_or(0) > 0);
        if running && let Some(identity) = existing.get(&SecretId::OperatorTls) {
            let state = match self.relay(unit, &places.relay.admin_url, identity) {
                Ok(client) => client.state_and_mark().await,
                Err(error) => Err(error),
            };
            match state {
                Ok((state, mark)) => (observed.state, etag) = (Some(state), mark),
                Err(error) => observed.unreachable = Some(error.to_string()),
            }
        }
        let lost = seen.network.as_ref().and_then(|network| lost_keys(network, &existing));
        if let Some(lost) = lost {
            note(&mut observed, ObjectId::new(Kind::Network, network.name.as_str()), Reason::KeysLost, lost);
            let secrets = Secrets::kept(existing);
            // Nothing that is built on other keys: what runs goes on with those that it has.
            let relay_is_made = relay.is_some();
            return Brought {
                places,
                secrets,
                keys_are_kept: false,
                relay_is_made,
                plan: None,
                observed,
                etag,
                records: BTreeMap::new(),
            };
        }
        let (mut secrets, failures) = ensure_secrets(network, &places, &existing, observed.state.as_ref(), now_ms);
        let mut keys_are_kept = true;
        for failure in failures {
            note(&mut observed, object_of(&failure.id, &network.name), Reason::SecretUnusable, failure.message);
        }
        if let Some(owner) = owners.networks.get(&network.name) {
            let of = secrets::Owners { network: owner, policies: &owners.policies, users: &owners.users };
            let known = observed.state.is_some();
            for (id, error) in self.write_secrets(namespace, network, &secrets, &of, known).await {
                let reason = if error.passes() { Reason::RollingOut } else { Reason::ApplyFailed };
                keys_are_kept &= matches!(id, SecretId::Invite(_));
                note(&mut observed, object_of(&id, &network.name), reason, error.to_string());
            }
        } else {
            keys_are_kept = false;
        }
        failpoint::hit("secrets");
        secrets.referenced = seen.secret_versions(self, namespace);
        Brought {
            places,
            secrets,
            keys_are_kept,
            relay_is_made: relay.is_some(),
            plan: None,
            observed,
            etag,
            records: BTreeMap::new(),
        }
    }

    /// Builds and applies the network's objects, and tells the relay what it should hold.
    #[expect(clippy::too_many_arguments, reason = "one call, from one place")]
    pub(super) async fn run_network(
        &self,
        unit: &Unit,
        network: &ValidNetwork,
        brought: &mut Brought,
        peers: &BTreeMap<String, PeerFacts>,
        owners: &Owners,
        slow: &BTreeSet<ObjectId>,
        now_ms: u64,
    ) {
        let plan = brought.keys_are_kept.then(|| build(network, &brought.places, &brought.secrets, peers)).flatten();
        let Some(plan) = plan else {
            // The relay is not told of what is wanted now, so what it says is about something else.
            brought.observed.state = None;
            return;
        };
        for (id, problem) in &plan.problems {
            note(&mut brought.observed, id.clone(), problem.reason, problem.to_string());
        }
        let live = self.apply_all(unit, network, &plan, brought, owners).await;
        observe(network, &live, &mut brought.observed, slow);
        let ready = brought.observed.retention.iter().filter(|(_, part)| part.ready).map(|(policy, _)| policy);
        brought.records = self.records(&unit.namespace, ready).await;
        let said = brought.records.iter().filter_map(|(policy, said)| Some((policy.clone(), (*said)?)));
        brought.observed.records = said.collect();
        certificate(network, &live, &mut brought.observed, slow);
        self.tell_relay(unit, network, &plan, brought, now_ms).await;
        brought.plan = Some(plan);
    }

    async fn apply_all(
        &self,
        unit: &Unit,
        network: &ValidNetwork,
        plan: &NetworkPlan,
        brought: &mut Brought,
        owners: &Owners,
    ) -> Live {
        let namespace = &*unit.namespace;
        let mut live = Live::new();
        let this = ObjectId::new(Kind::Network, network.name.as_str());
        let Some(owner) = owners.networks.get(&network.name) else { return live };
        let scene = Scene {
            namespace,
            network,
            plan,
            secrets: &brought.secrets,
            owner,
            policies: &owners.policies,
            image: &self.options.image,
            pull_policy: &self.options.pull_policy,
            operator_namespace: self.options.namespace.as_deref(),
        };
        let rendered = match render(&scene) {
            Ok(rendered) => rendered,
            Err(error) => {
                note(&mut brought.observed, this, Reason::ApplyFailed, error.to_string());
                return live;
            }
        };
        let (mut wanted, mut complete) = (BTreeSet::new(), true);
        // What workloads need comes before them.
        let is_workload =
            |item: &Rendered| ["StatefulSet", "Deployment"].iter().any(|kind| item.object["kind"] == *kind);
        let (workloads, rest): (Vec<_>, Vec<_>) = rendered.into_iter().partition(is_workload);
        for items in [rest, workloads] {
            let work = items.into_iter().map(|item| {
                async move {
                    let text = |pointer: &str| {
                        item.object.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
                    };
                    let key = (text("/kind"), text("/metadata/name"));
                    (key, item.policy, self.apply(namespace, item.object).await)
                }
                .boxed()
            });
            let results = together(work.collect()).await;
            for (key, policy, result) in results {
                wanted.insert(key.clone());
                match result {
                    Ok(object) => drop(live.insert(key, object)),
                    Err(error) => {
                        // What the cluster does not know has left nothing behind either.
                        complete &= matches!(error, ApplyError::Unknown { .. });
                        let id = policy.map_or_else(|| this.clone(), |p| ObjectId::new(Kind::RetentionPolicy, p));
                        note(&mut brought.observed, id, reason_of(&error), error.to_string());
                    }
                }
            }
        }
        failpoint::hit("objects");
        if complete && let Err(error) = self.prune(unit, &wanted, &plan.kept_policies).await {
            note(&mut brought.observed, this, Reason::ApplyFailed, error.to_string());
        }
        live
    }

    async fn tell_relay(
        &self,
        unit: &Unit,
        network: &ValidNetwork,
        plan: &NetworkPlan,
        brought: &mut Brought,
        now_ms: u64,
    ) {
        let Some(have) = brought.observed.state.clone() else { return };
        let Some(key) = brought.secrets.policy_key() else { return };
        let Some(identity) = brought.secrets.get(&SecretId::OperatorTls) else { return };
        let url = &brought.places.relay.admin_url;
        let Ok(client) = self.relay(unit, url, identity) else { return };
        let calls = sync::diff(&wanted(plan, &have, &key, now_ms, &self.verified), &have);
        if calls.is_empty() {
            return;
        }
        tracing::info!(%unit, calls = calls.len(), "tell the relay");
        for outcome in sync::execute(&client, calls).await {
            if let Err(error) = outcome.result {
                let id = subject(&outcome.call, network);
                let reason = if error.code().is_some() { Reason::RelayRefused } else { Reason::RelayUnreachable };
                note(&mut brought.observed, id, reason, error.to_string());
            }
        }
        failpoint::hit("relay");
        match client.state_and_mark().await {
            Ok((state, mark)) => (brought.observed.state, brought.etag) = (Some(state), mark),
            Err(error) => {
                brought.observed.state = None;
                brought.observed.unreachable = Some(error.to_string());
            }
        }
    }
}

fn reason_of(error: &ApplyError) -> Reason {
    match error {
        ApplyError::Ending { .. } => Reason::RollingOut,
        ApplyError::Unknown { .. } => Reason::KindMissing,
        ApplyError::Refused { .. } | ApplyError::Foreign { .. } | ApplyError::Timeout => Reason::ApplyFailed,
    }
}

/// Keys that the network had, and that are not there any more. Making others silently would cut off every client, so a person
/// has to decide.
fn lost_keys(network: &Network, existing: &BTreeMap<SecretId, SecretData>) -> Option<String> {
    let status = network.status.as_ref().filter(|_| !accepts_new_keys(network))?;
    let name = network.metadata.name.as_deref().unwrap_or_default();
    let had = [
        (SecretId::Authority, status.ca_certificate.is_some(), "the certificate authority"),
        (SecretId::PolicyKey, status.policy_key_fingerprint.is_some(), "the policy key"),
    ];
    let (id, _, what) = had.into_iter().find(|(id, had, _)| *had && !existing.contains_key(id))?;
    Some(format!(
        "Secret {} with {what} of the network is gone; restore it from a backup and everything goes on, or annotate the Network with {}=true \
         to have a new one made: then every client needs a new invite",
        id.object_name(name),
        labels::NEW_KEYS,
    ))
}

/// The object of ours that a call is about.
fn subject(call: &Call, network: &ValidNetwork) -> ObjectId {
    match call.subject() {
        ("SecurityGroup", name) if !name.starts_with('_') => ObjectId::new(Kind::SecurityGroup, name),
        ("User", local) => {
            let user = network.users.iter().find(|(_, user)| user.address.local() == local);
            let policy = network.policies.iter().find(|(_, policy)| policy.address.local() == local);
            match (user, policy) {
                (Some((name, _)), _) => ObjectId::new(Kind::User, name.as_str()),
                (None, Some((name, _))) => ObjectId::new(Kind::RetentionPolicy, name.as_str()),
                // Removed objects have no status any more.
                (None, None) => ObjectId::new(Kind::Network, network.name.as_str()),
            }
        }
        _ => ObjectId::new(Kind::Network, network.name.as_str()),
    }
}

/// Whether cert-manager has made the relay's certificate, without which its pod does not start.
fn certificate(network: &ValidNetwork, live: &Live, observed: &mut Observed, slow: &BTreeSet<ObjectId>) {
    let name = labels::relay(&network.name);
    let Some(certificate) = live.get(&("Certificate".to_owned(), name.clone())) else { return };
    let conditions = certificate["status"]["conditions"].as_array();
    let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
    if ready.is_some_and(|ready| ready["status"] == "True") {
        return;
    }
    let this = ObjectId::new(Kind::Network, network.name.as_str());
    let said = ready.and_then(|ready| ready["message"].as_str()).unwrap_or("it has not been looked at");
    let reason = if slow.contains(&this) { Reason::WorkloadFailing } else { Reason::WaitingForCertificate };
    let message =
        format!("cert-manager has not made the certificate yet: {said}; see `kubectl describe certificate {name}`");
    note(observed, this, reason, message);
}

/// Whether the workloads serve what was applied.
fn observe(network: &ValidNetwork, live: &Live, observed: &mut Observed, slow: &BTreeSet<ObjectId>) {
    let policy_is_slow = |name: &str| slow.contains(&ObjectId::new(Kind::RetentionPolicy, name));
    let slow = slow.contains(&ObjectId::new(Kind::Network, network.name.as_str()));
    let get = |kind: &str, name: String| live.get(&(kind.to_owned(), name));
    observed.relay = part("relay", get("StatefulSet", labels::relay(&network.name)), slow);
    observed.gateway =
        network.federation.is_some().then(|| part("gateway", get("Deployment", labels::gateway(&network.name)), slow));
    observed.retention = network
        .policies
        .keys()
        .map(|policy| {
            let set = get("StatefulSet", labels::retention(policy));
            (policy.clone(), part("retention process", set, policy_is_slow(policy)))
        })
        .collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use sotto_wire::admin::{PutUser, Resets, Role};

    #[test]
    fn a_call_is_about_an_object() {
        let objects = crate::plan::Objects {
            networks: vec![std::sync::Arc::new(sotto_crds::Network::new(
                "acme",
                serde_json::from_value(serde_json::json!({"domain": "chat.acme.example"})).unwrap(),
            ))],
            users: vec![std::sync::Arc::new(sotto_crds::User::new(
                "alice-object",
                serde_json::from_value(serde_json::json!({"networkRef": {"name": "acme"}, "username": "alice"}))
                    .unwrap(),
            ))],
            ..crate::plan::Objects::default()
        };
        let network = &crate::plan::validate(&objects).networks["acme"];
        let put = PutUser {
            group: "x".into(),
            membership: Vec::new(),
            suspended: false,
            role: Role::Person,
            invite: None,
            reset: Resets::default(),
        };
        assert_eq!(subject(&Call::PutUser("alice".into(), put), network).to_string(), "User/alice-object");
        assert_eq!(subject(&Call::DeleteUser("gone".into()), network).to_string(), "Network/acme");
        assert_eq!(subject(&Call::DeleteGroup("staff".into()), network).to_string(), "SecurityGroup/staff");
        assert_eq!(subject(&Call::DeleteGroup("_standard".into()), network).to_string(), "Network/acme");
    }
}
