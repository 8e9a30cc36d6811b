//! Who retains a conversation, as far as it is known before anything is said in it: by the rules of our own network, and by
//! those of the others' networks. Pure, but for reading the store.

use sotto_crypto::{Address, Domain};
use sotto_wire::policy::{NetworkDocument, RetentionRule, Scope};

use super::policy::Policy;
use crate::core::error::StoreError;
use crate::store::{MembershipRecord, PeerRecord, PolicyRecord, Tx};

/// Who retains a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retainers {
    /// Retention processes that get what is said in it.
    pub(crate) by: Vec<Address>,
    /// Networks of which it is not known.
    pub(crate) unknown: Vec<Domain>,
}

/// What is known of a conversation between these people, the user among them.
pub(crate) fn retainers(tx: &Tx<'_>, me: &Address, members: &[Address]) -> Result<Retainers, StoreError> {
    let Some(policy) = tx.get::<PolicyRecord>(&[])?.as_ref().map(Policy::of_record) else {
        return Ok(Retainers { by: Vec::new(), unknown: vec![me.domain()] });
    };
    let mut found = Retainers::default();
    let mut domains: Vec<Domain> = members.iter().map(Address::domain).chain([me.domain()]).collect();
    domains.sort();
    domains.dedup();
    for domain in domains {
        let own = domain == policy.network.domain;
        let mut groups = Vec::new();
        let mut all_known = true;
        for who in members.iter().filter(|who| **who != *me && who.domain() == domain) {
            match tx.get::<MembershipRecord>(&MembershipRecord::key_of(who))? {
                Some(known) => groups.push(known.group),
                None => all_known = false,
            }
        }
        if own {
            groups.push(policy.group.name.clone());
            covered(&policy.network, &groups, all_known, &mut found);
            continue;
        }
        // Only a document under the key that our own network's policy names today.
        let peer = tx.get::<PeerRecord>(&[domain.as_str().as_bytes().to_vec()])?;
        let named = policy.network.peer(&domain).map(|rule| rule.policy_key);
        let document = peer.filter(|peer| Some(peer.policy_key) == named).map(|peer| peer.document);
        match document {
            Some(document) => covered(&document, &groups, all_known, &mut found),
            None => found.unknown.push(domain),
        }
    }
    found.by.sort();
    found.by.dedup();
    Ok(found)
}

/// Adds the processes whose rules cover one of these groups. Where the group of somebody is not known and a rule goes by
/// groups, neither is the network's retention.
fn covered(network: &NetworkDocument, groups: &[String], all_known: bool, found: &mut Retainers) {
    let covers =
        |rule: &RetentionRule| groups.iter().any(|group| rule.scope.covers(group)) || rule.scope == Scope::AllUsers;
    let on = network.retention.iter().filter(|rule| rule.enabled);
    let (covering, others): (Vec<_>, Vec<_>) = on.partition(|rule| covers(rule));
    found.by.extend(covering.iter().map(|rule| rule.address.clone()));
    if !all_known && !others.is_empty() {
        found.unknown.push(network.domain.clone());
    }
}

/// Every retention process that our own network or one that is known names, whatever its rules cover: none of them is
/// anybody's partner in a conversation.
pub(crate) fn processes(tx: &Tx<'_>) -> Result<Vec<Address>, StoreError> {
    let own = tx.get::<PolicyRecord>(&[])?.as_ref().map(Policy::of_record).map(|policy| policy.network);
    let peers = tx.list::<PeerRecord>()?.into_iter().map(|peer| peer.document);
    let rules = own.into_iter().chain(peers).flat_map(|network| network.retention);
    Ok(rules.map(|rule| rule.address).collect())
}
