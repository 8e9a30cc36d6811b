//! A plan and what the relay holds → what the relay should hold: documents signed where their content changed.

use sotto_crypto::{Address, PolicyKey, Signed};
use sotto_wire::admin::{AdminState, PutGroup, PutNetwork, PutUser};
use sotto_wire::policy::{MembershipDocument, NetworkDocument};

use super::build::NetworkPlan;
use crate::documents::{Verified, sign_if_changed};
use crate::sync::Wanted;

/// What the relay should hold. Rules of policies that are there but not good stay as the relay has them.
pub fn wanted(plan: &NetworkPlan, have: &AdminState, key: &PolicyKey, now_ms: u64, verified: &Verified) -> Wanted {
    let current = have.network.as_ref().map(|put| put.document.as_slice());
    let mut document = plan.document.clone();
    if !plan.kept_policies.is_empty()
        && let Some(current) = current.and_then(|bytes| Signed::<NetworkDocument>::from_bytes(bytes).ok())
        && let Ok(current) = current.verify(&key.verifying_key())
    {
        document.retention.extend(current.retention.into_iter().filter(|r| plan.kept_policies.contains(&r.policy)));
        document.retention.sort_by(|a, b| a.policy.cmp(&b.policy));
    }
    let groups = plan.groups.iter().map(|(name, content)| {
        let current = have.groups.get(name).map(|put| put.document.as_slice());
        (name.clone(), PutGroup { document: sign_if_changed(content.clone(), current, key, now_ms, verified) })
    });
    // A name that makes no address is in no plan: it would have no account.
    let users = plan.users.iter().filter_map(|(local, user)| {
        let address = Address::new(local, &plan.document.domain).ok()?;
        let content = MembershipDocument { version: 1, serial: 0, address, group: user.group.clone() };
        let current = have.users.get(local).map(|state| state.wanted.membership.as_slice());
        let membership = sign_if_changed(content, current, key, now_ms, verified);
        Some((local.clone(), PutUser { membership, ..user.clone() }))
    });
    Wanted {
        network: Some(PutNetwork { document: sign_if_changed(document, current, key, now_ms, verified) }),
        groups: groups.collect(),
        users: users.collect(),
        untouched: plan.untouched.clone(),
    }
}
