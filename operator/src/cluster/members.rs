//! What a unit consists of: a Network with the groups, users and policies that refer to it, and what else of its namespace it has to know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt as _};
use sotto_crds::{FederationMode, Network, RetentionPolicy, SecurityGroup, User};

use super::context::Context;
use super::index::Index;
use super::kept::{Belongs, Entry, Holds, Kept as _};
use super::queue::Unit;
use super::render::Owner;
use super::watch::{secrets_of_network, secrets_of_policy};
use crate::plan::{Kind, ObjectId, Objects, SecretId, is_paused};

/// The objects of one kind: wanted, and being deleted.
pub(super) struct Sorted<K> {
    pub(super) wanted: Vec<Arc<K>>,
    pub(super) ending: Vec<Arc<K>>,
}

fn sort<K: Belongs>(entries: Vec<impl Holds<K>>) -> Sorted<K> {
    let mut sorted = Sorted { wanted: Vec::new(), ending: Vec::new() };
    for entry in entries {
        match entry.open() {
            Entry::Good(object) if object.meta().deletion_timestamp.is_none() => sorted.wanted.push(object),
            Entry::Good(object) => sorted.ending.push(object),
            Entry::Bad(_) => {}
        }
    }
    sorted
}

/// What of a namespace cannot be read.
pub(super) struct Unreadable {
    pub(super) networks: Vec<Arc<ObjectMeta>>,
    pub(super) groups: Vec<Arc<ObjectMeta>>,
    pub(super) users: Vec<Arc<ObjectMeta>>,
    pub(super) policies: Vec<Arc<ObjectMeta>>,
}

fn bad<K>(index: &Index<impl Holds<K>>, unit: &Unit) -> Vec<Arc<ObjectMeta>> {
    let metas = index.of(unit).into_iter().filter_map(|entry| match entry.open() {
        Entry::Bad(meta) => Some(meta),
        Entry::Good(_) => None,
    });
    metas.collect()
}

impl Unreadable {
    pub(super) fn read(context: &Context, namespace: &str) -> Self {
        let unit = Unit::new(namespace, "");
        Self {
            networks: bad(&context.networks, &unit),
            groups: bad(&context.groups, &unit),
            users: bad(&context.users, &unit),
            policies: bad(&context.policies, &unit),
        }
    }

    pub(super) fn ids(&self) -> BTreeSet<ObjectId> {
        let names = |kind, metas: &[Arc<ObjectMeta>]| {
            metas.iter().filter_map(move |m| Some(ObjectId::new(kind, m.name.clone()?))).collect::<Vec<_>>()
        };
        let all = [
            names(Kind::Network, &self.networks),
            names(Kind::SecurityGroup, &self.groups),
            names(Kind::User, &self.users),
            names(Kind::RetentionPolicy, &self.policies),
        ];
        all.concat().into_iter().collect()
    }
}

/// The objects of a unit.
pub(super) struct Members {
    /// The Network itself, where it is there and stays.
    pub(super) network: Option<Arc<Network>>,
    pub(super) groups: Sorted<SecurityGroup>,
    pub(super) users: Sorted<User>,
    pub(super) policies: Sorted<RetentionPolicy>,
}

impl Members {
    pub(super) fn read(context: &Context, unit: &Unit) -> Self {
        Self {
            network: sort(context.networks.of(unit)).wanted.pop(),
            groups: sort(context.groups.of(unit)),
            users: sort(context.users.of(unit)),
            policies: sort(context.policies.of(unit)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.network.is_none()
            && self.groups.wanted.is_empty()
            && self.users.wanted.is_empty()
            && self.policies.wanted.is_empty()
            && self.users.ending.is_empty()
            && self.policies.ending.is_empty()
    }

    /// Whether somebody wants this network left as it is.
    pub(super) fn is_paused(&self) -> bool {
        self.network.as_ref().is_some_and(|network| is_paused(&network.metadata))
    }

    /// Secrets that objects name.
    fn referenced(&self) -> BTreeSet<&str> {
        let networks = self.network.iter().flat_map(|network| secrets_of_network(network));
        networks.chain(self.policies.wanted.iter().flat_map(|policy| secrets_of_policy(policy))).collect()
    }

    /// The versions of the Secrets that objects name and that are there, by name.
    pub(super) fn secret_versions(&self, context: &Context, namespace: &str) -> BTreeMap<String, String> {
        let found = |name: &&str| {
            let mark = context.others.get(namespace, name)?;
            Some(((*name).to_owned(), mark.version.to_string()))
        };
        self.referenced().iter().filter_map(found).collect()
    }

    /// Everything that the unit is judged by: its own objects, and of the rest of the namespace what they refer to.
    pub(super) fn objects(&self, context: &Context, unit: &Unit, unreadable: &Unreadable) -> Objects {
        let namespace = &*unit.namespace;
        let networks = sort(context.networks.list(namespace)).wanted;
        let mut only = BTreeSet::from([unit.network.to_string()]);
        if let Some(network) = self.network.as_ref().filter(|n| n.spec.federation.mode != FederationMode::Disabled) {
            let domains: BTreeSet<&str> = network.spec.federation.peers.iter().map(|p| p.domain.as_str()).collect();
            only.extend(networks.iter().filter(|n| domains.contains(n.spec.domain.as_str())).map(|n| n.name_any()));
        }
        let mut groups = self.groups.wanted.clone();
        let named: BTreeSet<&str> =
            self.users.wanted.iter().filter_map(|u| Some(u.spec.security_group_ref.as_ref()?.name.as_str())).collect();
        groups.extend(named.into_iter().filter_map(|name| match context.groups.get(namespace, name)?.open() {
            // Groups of other networks: a user who names one is told so.
            Entry::Good(group) if group.spec.network_ref.name != *unit.network => Some(group),
            _ => None,
        }));
        let referenced = self.referenced();
        let own: BTreeSet<String> =
            referenced.iter().filter(|name| is_own(context, namespace, name)).map(|&name| name.to_owned()).collect();
        let there = referenced.iter().filter(|name| {
            context.others.get(namespace, name).is_some() || context.secrets.get(namespace, name).is_some()
        });
        Objects {
            networks,
            groups,
            users: self.users.wanted.clone(),
            policies: self.policies.wanted.clone(),
            only: Some(only),
            unreadable: unreadable.ids(),
            secret_names: Some(there.map(|&name| name.to_owned()).collect()),
            own_secrets: own,
        }
    }
}

/// Whether a Secret of this name is the operator's own, now or as soon as it makes it.
fn is_own(context: &Context, namespace: &str, name: &str) -> bool {
    let made_for = |id: SecretId, there: bool| there && id.object_name("") == name;
    if context.secrets.get(namespace, name).is_some() {
        return true;
    }
    let user = name.strip_suffix("-invite").unwrap_or_default();
    if made_for(SecretId::Invite(user.to_owned()), context.users.get(namespace, user).is_some()) {
        return true;
    }
    context.policies.list(namespace).iter().any(|policy| made_for(SecretId::Retention(policy.name().to_owned()), true))
}

/// The objects as owners of what is made for them, by name.
pub(super) fn owners<K: Resource<DynamicType = ()>>(
    kind: &'static str,
    objects: impl IntoIterator<Item = impl AsRef<K>>,
) -> BTreeMap<String, Owner> {
    let owner = |object: &K| {
        let (name, uid) = (object.name_any(), object.uid().unwrap_or_default());
        (name.clone(), Owner { kind, name, uid })
    };
    objects.into_iter().map(|object| owner(object.as_ref())).collect()
}
