//! Documents and directory heads in what passes by: those that were seen are remembered, and shown again later; and where an
//! administrator helps, there are new heads over whatever the attacker likes.

use std::collections::BTreeMap;

use sotto_crypto::{Address, Document, Domain, Listed, MerkleTree, Policy, PolicyKey, Signed, decode_strict, encode};
use sotto_wire::api::{
    Identities, NetworkInfo, OwnDevices, PasswordStarted, PolicyAnswer, Recipients, RegisterStarted,
};
use sotto_wire::directory::{DirectoryHead, HEAD_LIFE_MS};
use sotto_wire::policy::{GroupDocument, MembershipDocument, NetworkDocument};

use super::{State, Trick, now_ms};

/// The documents of one network in an answer, with what vouches for them.
pub(super) struct Documents<'a> {
    head: &'a mut Signed<DirectoryHead>,
    network: Option<&'a mut Listed<NetworkDocument>>,
    group: Option<&'a mut Listed<GroupDocument>>,
    memberships: Vec<&'a mut Listed<MembershipDocument>>,
}

/// Documents of a network that have passed by under one head.
#[derive(Clone, Default)]
pub(super) struct Kept {
    head: Option<Signed<DirectoryHead>>,
    network: Option<Listed<NetworkDocument>>,
    groups: BTreeMap<String, Listed<GroupDocument>>,
    memberships: BTreeMap<Address, Listed<MembershipDocument>>,
}

/// All that have passed by.
#[derive(Default)]
pub(super) struct SeenDocuments {
    /// By domain: under the head that came last.
    newest: BTreeMap<String, Kept>,
    /// The first of each document, whatever head it was under.
    first: BTreeMap<String, Kept>,
    /// What was newest when the relay began to hold back.
    frozen: BTreeMap<String, Kept>,
    /// Heads that the attacker has made.
    made: u64,
}

impl Kept {
    fn note(&mut self, documents: &Documents<'_>, newer: bool) {
        self.head.get_or_insert_with(|| documents.head.clone());
        let network = documents.network.as_deref();
        self.network =
            if newer { network.or(self.network.as_ref()) } else { self.network.as_ref().or(network) }.cloned();
        if let Some((group, name)) = documents.group.as_deref().and_then(|g| Some((g, g.unverified().ok()?.name))) {
            self.groups.entry(name).or_insert_with(|| group.clone());
        }
        for membership in &documents.memberships {
            let Ok(document) = membership.unverified() else { continue };
            self.memberships.entry(document.address).or_insert_with(|| (**membership).clone());
        }
    }

    /// Puts what was kept in the place of what has come.
    fn put(&self, documents: &mut Documents<'_>, with_head: bool) {
        if let Some(head) = self.head.as_ref().filter(|_| with_head) {
            *documents.head = head.clone();
        }
        if let (Some(network), Some(kept)) = (documents.network.as_deref_mut(), &self.network) {
            *network = kept.clone();
        }
        if let Some(group) = documents.group.as_deref_mut()
            && let Some(kept) = group.unverified().ok().and_then(|document| self.groups.get(&document.name))
        {
            *group = kept.clone();
        }
        for membership in &mut documents.memberships {
            if let Some(kept) = membership.unverified().ok().and_then(|d| self.memberships.get(&d.address)) {
                **membership = kept.clone();
            }
        }
    }
}

impl SeenDocuments {
    /// From now on, what is newest is shown for ever.
    pub(super) fn freeze(&mut self) {
        self.frozen = self.newest.clone();
    }

    /// A group's document, with the head that it was under: the newest, where it was seen under that.
    pub(super) fn group(&self, name: &str) -> Option<(Listed<GroupDocument>, Signed<DirectoryHead>)> {
        self.newest
            .values()
            .chain(self.first.values())
            .find_map(|kept| Some((kept.groups.get(name)?.clone(), kept.head.clone()?)))
    }

    fn note(&mut self, domain: &Domain, documents: &Documents<'_>) {
        self.first.entry(domain.to_string()).or_default().note(documents, false);
        let newest = self.newest.entry(domain.to_string()).or_default();
        if newest.head.as_ref() != Some(&*documents.head) {
            *newest = Kept::default();
        }
        newest.note(documents, true);
    }
}

/// Remembers what an answer of the relay shows.
pub(super) fn note(seen: &mut SeenDocuments, path: &str, answer: &[u8]) {
    each(path, answer, |domain, documents| seen.note(domain, documents));
}

/// The answer with other heads and documents, as the tricks want it.
pub(super) fn alter(state: &mut State, path: &str, answer: Vec<u8>) -> Vec<u8> {
    let tricks = state.tricks.clone();
    let (frozen, old) = (tricks.contains(&Trick::Freeze), tricks.contains(&Trick::OldDocuments));
    let age_ms = tricks.iter().find_map(|trick| match trick {
        Trick::Aged { expired_ms } => Some(*expired_ms),
        _ => None,
    });
    if !frozen && !old && state.policy_keys.is_empty() {
        return answer;
    }
    let State { seen, policy_keys, .. } = state;
    let altered = each(path, &answer, |domain, documents| {
        let documents_seen = &mut seen.documents;
        if let Some(kept) = documents_seen.frozen.get(domain.as_str()).filter(|_| frozen) {
            kept.put(documents, true);
        } else if let Some(kept) = documents_seen.first.get(domain.as_str()).filter(|_| old) {
            kept.put(documents, false);
        } else if let Some(key) = policy_keys.get(domain.as_str()) {
            documents_seen.made += 1;
            sign(documents, domain, key, documents_seen.made, age_ms);
        }
    });
    altered.unwrap_or(answer)
}

/// Puts the documents under a new head. Where it is to be old, it has expired so long ago (milliseconds); its serial is the newest all the
/// same, as that of a head which nobody has seen a newer one of.
fn sign(documents: &mut Documents<'_>, domain: &Domain, key: &PolicyKey, number: u64, expired_ms: Option<u64>) {
    fn leaf<T: Document<Signer = Policy>>(listed: &Listed<T>) -> sotto_crypto::Node {
        Listed::<T>::leaf(listed.payload())
    }
    fn list<T: Document<Signer = Policy>>(listed: &mut Listed<T>, tree: &MerkleTree, next: &mut u32) {
        if let Some(anew) = Listed::new(tree, *next, listed.payload().to_vec()) {
            *listed = anew;
        }
        *next += 1;
    }
    let mut leaves = Vec::new();
    leaves.extend(documents.network.as_deref().map(leaf));
    leaves.extend(documents.group.as_deref().map(leaf));
    leaves.extend(documents.memberships.iter().map(|membership| leaf(membership)));
    let tree = MerkleTree::new(leaves);
    let mut next = 0;
    if let Some(network) = documents.network.as_deref_mut() {
        list(network, &tree, &mut next);
    }
    if let Some(group) = documents.group.as_deref_mut() {
        list(group, &tree, &mut next);
    }
    for membership in &mut documents.memberships {
        list(membership, &tree, &mut next);
    }
    let now = now_ms();
    let expires_at_ms = expired_ms.map_or(now + HEAD_LIFE_MS, |ago| now.saturating_sub(ago));
    let head = DirectoryHead {
        version: 1,
        domain: domain.clone(),
        // Later than what the operator has signed until now.
        serial: now + 1_000_000 + number,
        count: tree.count(),
        root: tree.root(),
        created_at_ms: expires_at_ms.saturating_sub(HEAD_LIFE_MS),
        expires_at_ms,
    };
    *documents.head = Signed::sign(&head, key);
}

/// Does something with the documents of each network in an answer; the answer as it is then, where it is one with documents.
fn each(path: &str, answer: &[u8], mut work: impl FnMut(&Domain, &mut Documents<'_>)) -> Option<Vec<u8>> {
    let mut work = |mut documents: Documents<'_>| {
        if let Ok(head) = documents.head.unverified() {
            work(&head.domain, &mut documents);
        }
    };
    match path {
        "/v1/network" => {
            let mut info: NetworkInfo = decode_strict(answer).ok()?;
            work(of_network(&mut info, Vec::new()));
            Some(encode(&info))
        }
        "/v1/policy" => {
            let mut policy: PolicyAnswer = decode_strict(answer).ok()?;
            let PolicyAnswer { network, group, membership, head } = &mut policy;
            work(Documents { head, network: Some(network), group: Some(group), memberships: vec![membership] });
            Some(encode(&policy))
        }
        "/v1/register/start" => {
            let mut started: RegisterStarted = decode_strict(answer).ok()?;
            let RegisterStarted { group, membership, head, .. } = &mut started;
            work(Documents { head, network: None, group: Some(group), memberships: vec![membership] });
            Some(encode(&started))
        }
        "/v1/password/start" => {
            let mut started: PasswordStarted = decode_strict(answer).ok()?;
            let PasswordStarted { group, head, .. } = &mut started;
            work(Documents { head, network: None, group: Some(group), memberships: Vec::new() });
            Some(encode(&started))
        }
        "/v1/devices" => {
            // Registering a device is answered with nothing.
            let mut own: OwnDevices = decode_strict(answer).ok()?;
            let OwnDevices { membership, head, .. } = &mut own;
            work(Documents { head, network: None, group: None, memberships: vec![membership] });
            Some(encode(&own))
        }
        "/v1/identities" => {
            let mut found: Identities = decode_strict(answer).ok()?;
            let Identities { identities, networks, head } = &mut found;
            let members = identities.iter_mut().filter_map(|one| Some((&one.address, one.membership.as_mut()?)));
            in_networks(members.collect(), networks, head.as_mut(), &mut work);
            Some(encode(&found))
        }
        "/v1/recipients" => {
            let mut recipients: Recipients = decode_strict(answer).ok()?;
            let Recipients { users, networks, head } = &mut recipients;
            let members = users.iter_mut().filter_map(|one| Some((&one.address, one.membership.as_mut()?)));
            in_networks(members.collect(), networks, head.as_mut(), &mut work);
            Some(encode(&recipients))
        }
        _ => None,
    }
}

fn of_network<'a>(info: &'a mut NetworkInfo, memberships: Vec<&'a mut Listed<MembershipDocument>>) -> Documents<'a> {
    Documents { head: &mut info.head, network: Some(&mut info.document), group: None, memberships }
}

fn in_networks(
    members: Vec<(&Address, &mut Listed<MembershipDocument>)>,
    networks: &mut [NetworkInfo],
    own: Option<&mut Signed<DirectoryHead>>,
    work: &mut impl FnMut(Documents<'_>),
) {
    let mut by_domain: BTreeMap<String, Vec<&mut Listed<MembershipDocument>>> = BTreeMap::new();
    for (address, membership) in members {
        by_domain.entry(address.domain_str().to_owned()).or_default().push(membership);
    }
    for info in networks {
        let domain = info.head.unverified().map(|head| head.domain.to_string()).unwrap_or_default();
        let memberships = by_domain.remove(&domain).unwrap_or_default();
        work(of_network(info, memberships));
    }
    if let Some(head) = own {
        let domain = head.unverified().map(|head| head.domain.to_string()).unwrap_or_default();
        let memberships = by_domain.remove(&domain).unwrap_or_default();
        work(Documents { head, network: None, group: None, memberships });
    }
}
