//! A plan and what the relay holds → what the relay should hold: documents signed where their content changed.

use sotto_crypto::{Address, CLOCK_TOLERANCE_MS, PolicyKey, Signed, Voucher};
use sotto_wire::admin::{AdminState, PutGroup, PutNetwork, PutUser, Resets, Role, UserState};
use sotto_wire::policy::{Anchor, Established, MembershipDocument, NetworkDocument, OpenInvite};

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
        let account = have.users.get(local);
        let current = account.map(|state| state.wanted.membership.as_slice());
        let (identity, invite) = match user.role {
            Role::Person => anchors(&address, account, plan.invites.get(local), key, verified),
            // The policy key has certified it.
            Role::Retention => (None, None),
        };
        let group = user.group.clone();
        let devices_from_ms = devices_from(&address, account, &user.reset, key, now_ms, verified);
        let name = plan.names.get(local).cloned();
        let content =
            MembershipDocument { version: 1, serial: 0, address, group, identity, invite, devices_from_ms, name };
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

/// From when on lists of the user's devices count: the administrator removes all of them once with each new word. The clock of a
/// device that signs a list may be ahead, as far as the relay lets it.
fn devices_from(
    address: &Address,
    account: Option<&UserState>,
    reset: &Resets,
    key: &PolicyKey,
    now_ms: u64,
    verified: &Verified,
) -> u64 {
    let Some(account) = account else { return 0 };
    if account.registered && reset.devices.is_some() && reset.devices != account.wanted.reset.devices {
        return now_ms.saturating_add(CLOCK_TOLERANCE_MS);
    }
    membership_of(address, account, key, verified).map_or(0, |before| before.devices_from_ms)
}

/// What was signed of a user before, as the relay has it.
fn membership_of(
    address: &Address,
    account: &UserState,
    key: &PolicyKey,
    verified: &Verified,
) -> Option<MembershipDocument> {
    let document = verified.read::<MembershipDocument>(&account.wanted.membership, key)?;
    (&document.address == address).then_some(document)
}

/// Who somebody is, as their membership says it: the identity that the operator vouches for, and the invite that is open. Only
/// what the policy key has signed before counts of what the relay says, and a voucher under the key of the newest invite: then its
/// identity counts, and the invite no more.
fn anchors(
    address: &Address,
    account: Option<&UserState>,
    invite: Option<&OpenInvite>,
    key: &PolicyKey,
    verified: &Verified,
) -> (Option<Established>, Option<OpenInvite>) {
    let before = account.and_then(|account| membership_of(address, account, key, verified));
    let (established, open) = before.as_ref().map_or((None, None), |b| (b.identity.clone(), b.invite.clone()));
    let newest = established.as_ref().map_or(0, |known| known.invited_at_ms);
    let later = |invite: &&OpenInvite| invite.invited_at_ms > newest;
    let invite = [invite, open.as_ref()].into_iter().flatten().filter(later).max_by_key(|i| i.invited_at_ms).cloned();
    let voucher = account.and_then(|account| Signed::<Voucher>::from_bytes(account.voucher.as_ref()?).ok());
    let used = voucher.zip(before).and_then(|(voucher, before)| {
        let identity = voucher.unverified().ok()?.identity;
        let document = MembershipDocument { identity: None, invite: invite.clone(), ..before };
        let (Anchor::Invite, invited_at_ms) = document.establish(&identity, Some(&voucher)).ok()? else { return None };
        Some(Established { invited_at_ms, identity: identity.fingerprint() })
    });
    match used {
        Some(identity) => (Some(identity), None),
        None => (established, invite),
    }
}

#[cfg(test)]
mod tests {
    use sotto_crypto::{IdentityKey, InviteKey, InviteSecret, SystemRng};

    use super::*;

    fn ann() -> Address {
        Address::parse("ann@x.example").unwrap()
    }

    fn invite(at: u64) -> (InviteKey, OpenInvite) {
        let key = InviteSecret::generate(&mut SystemRng).key();
        let open = OpenInvite { invited_at_ms: at, key: key.verifying_key() };
        (key, open)
    }

    fn anchors_of(
        policy: &PolicyKey,
        account: Option<&UserState>,
        invite: Option<&OpenInvite>,
    ) -> (Option<Established>, Option<OpenInvite>) {
        anchors(&ann(), account, invite, policy, &Verified::default())
    }

    /// What the relay says of ann.
    fn account(document: &MembershipDocument, key: &PolicyKey, voucher: Option<&Signed<Voucher>>) -> UserState {
        let membership = Signed::sign(document, key).to_bytes();
        UserState {
            wanted: PutUser {
                group: "staff".into(),
                membership,
                suspended: false,
                role: Role::Person,
                invite: None,
                reset: sotto_wire::admin::Resets::default(),
            },
            registered: voucher.is_some(),
            reinvited: false,
            voucher: voucher.map(Signed::to_bytes),
            locked: false,
            devices: 0,
            queued_messages: 0,
            last_seen_ms: None,
        }
    }

    fn document(identity: Option<Established>, invite: Option<OpenInvite>) -> MembershipDocument {
        let group = "staff".into();
        let (address, devices_from_ms, name) = (ann(), 0, None);
        MembershipDocument { version: 1, serial: 1, address, group, identity, invite, devices_from_ms, name }
    }

    #[test]
    fn a_reset_of_devices_ends_all_lists_of_before_and_stays() {
        let (policy, verified) = (PolicyKey::generate(&mut SystemRng), Verified::default());
        let from = |document: &MembershipDocument, before: Option<&str>, now: Option<&str>| {
            let mut account = UserState { registered: true, ..account(document, &policy, None) };
            account.wanted.reset.devices = before.map(str::to_owned);
            let reset = Resets { devices: now.map(str::to_owned), ..Resets::default() };
            devices_from(&ann(), Some(&account), &reset, &policy, 100, &verified)
        };
        let reset = MembershipDocument { devices_from_ms: 7, ..document(None, None) };
        assert_eq!(from(&document(None, None), None, None), 0);
        assert_eq!(from(&document(None, None), None, Some("lost")), 100 + CLOCK_TOLERANCE_MS);
        assert_eq!(from(&reset, Some("lost"), Some("lost")), 7, "once");
        assert_eq!(from(&reset, Some("lost"), None), 7, "and it stays");
        assert_eq!(from(&reset, Some("lost"), Some("again")), 100 + CLOCK_TOLERANCE_MS);
        let carols = MembershipDocument { address: Address::parse("carol@x.example").unwrap(), ..reset };
        assert_eq!(from(&carols, Some("lost"), None), 0);
        assert_eq!(devices_from(&ann(), None, &Resets::default(), &policy, 100, &verified), 0);
    }

    #[test]
    fn an_identity_counts_by_its_invite_and_the_invite_counts_no_more() {
        let policy = PolicyKey::generate(&mut SystemRng);
        let (key, open) = invite(5);
        assert_eq!(anchors_of(&policy, None, Some(&open)), (None, Some(open.clone())), "nobody yet");
        let identity = IdentityKey::generate(&mut SystemRng).verifying_key();
        let voucher = Signed::sign(&Voucher::new(ann(), identity.clone()), &key);
        let invited = document(None, Some(open.clone()));
        let registered = account(&invited, &policy, Some(&voucher));
        let known = Established { invited_at_ms: 5, identity: identity.fingerprint() };
        let want = (Some(known.clone()), None);
        assert_eq!(anchors_of(&policy, Some(&registered), Some(&open)), want);
        assert_eq!(anchors_of(&policy, Some(&registered), None), want, "its Secret is gone already");

        // Whoever reads the invite later, with a relay that helps: nothing.
        let mallory = IdentityKey::generate(&mut SystemRng).verifying_key();
        let later = Signed::sign(&Voucher::new(ann(), mallory), &key);
        let done = document(Some(known.clone()), None);
        assert_eq!(anchors_of(&policy, Some(&account(&done, &policy, Some(&later))), Some(&open)), want);

        // A new invite stands beside the identity until it is used.
        let (second, newer) = invite(9);
        let both = (Some(known.clone()), Some(newer.clone()));
        assert_eq!(anchors_of(&policy, Some(&account(&done, &policy, Some(&voucher))), Some(&newer)), both);
        let again = IdentityKey::generate(&mut SystemRng).verifying_key();
        let anew = Signed::sign(&Voucher::new(ann(), again.clone()), &second);
        let reinvited = account(&document(Some(known), Some(newer)), &policy, Some(&anew));
        let want = Established { invited_at_ms: 9, identity: again.fingerprint() };
        assert_eq!(anchors_of(&policy, Some(&reinvited), None), (Some(want), None));
    }

    #[test]
    fn what_the_relay_makes_up_counts_for_nothing() {
        let (policy, other) = (PolicyKey::generate(&mut SystemRng), PolicyKey::generate(&mut SystemRng));
        let (key, open) = invite(5);
        let (forged, mine) = invite(50);
        let identity = IdentityKey::generate(&mut SystemRng).verifying_key();
        let voucher = |key: &InviteKey, who: &str| {
            Signed::sign(&Voucher::new(Address::parse(who).unwrap(), identity.clone()), key)
        };
        let want = (None, Some(open.clone()));
        let of = |account: &UserState| anchors_of(&policy, Some(account), Some(&open));
        // A membership with another invite, or identity, that the policy key has not signed.
        let false_invite = document(None, Some(mine.clone()));
        assert_eq!(of(&account(&false_invite, &other, Some(&voucher(&forged, "ann@x.example")))), want);
        let established = Established { invited_at_ms: 99, identity: identity.fingerprint() };
        assert_eq!(of(&account(&document(Some(established.clone()), None), &other, None)), want);
        // One of somebody else.
        let bens = MembershipDocument {
            address: Address::parse("ben@x.example").unwrap(),
            ..document(Some(established), None)
        };
        assert_eq!(of(&account(&bens, &policy, None)), want);
        // Vouchers of others, for others.
        let invited = document(None, Some(open.clone()));
        assert_eq!(of(&account(&invited, &policy, Some(&voucher(&forged, "ann@x.example")))), want);
        assert_eq!(of(&account(&invited, &policy, Some(&voucher(&key, "ben@x.example")))), want);
    }
}
