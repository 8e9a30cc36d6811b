//! From the policy key to somebody's identity. What is here is the only way to a [`Vouched`], and only that moves a pin: nobody is
//! trusted because the relay has named them first.

use sotto_crypto::{Address, IdentityPublic, PolicyPublic, Signed, Voucher, verify_retention};
use sotto_wire::policy::{Anchor, MembershipDocument, NetworkDocument, RetentionRule};

use crate::core::error::TrustError;
use crate::store::Established;

/// An identity, and how it is known to be that of this person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vouched {
    address: Address,
    identity: IdentityPublic,
    established: Option<Established>,
}

impl Vouched {
    /// By a membership that has been verified: it names the identity, or the key of the invite whose owner does.
    pub(crate) fn by_membership(
        document: &MembershipDocument,
        identity: &IdentityPublic,
        voucher: Option<&Signed<Voucher>>,
    ) -> Result<Self, TrustError> {
        let address = document.address.clone();
        match document.establish(identity, voucher) {
            Ok((anchor, invited_at_ms)) => {
                let established = Some(Established { anchor, invited_at_ms });
                Ok(Self { address, identity: identity.clone(), established })
            }
            Err(_) => Err(TrustError::NotVouchedFor(address)),
        }
    }

    /// A retention process, which a rule of its network certifies.
    pub(crate) fn by_rule(
        network: &NetworkDocument,
        key: &PolicyPublic,
        address: &Address,
        identity: &IdentityPublic,
        now_ms: u64,
    ) -> Result<Self, TrustError> {
        let mut rules = network.retention.iter().filter(|rule| &rule.address == address);
        if rules.any(|rule| is_certified(rule, key, address, identity, now_ms)) {
            let established = Some(Established { anchor: Anchor::Policy, invited_at_ms: 0 });
            Ok(Self { address: address.clone(), identity: identity.clone(), established })
        } else {
            Err(TrustError::NotVouchedFor(address.clone()))
        }
    }

    /// Somebody who has made changes in a room, and whom their network does not know any more: nobody is left who could vouch for
    /// them. Only for what they have done there: nothing else that comes under this identity is believed.
    pub(crate) fn gone(address: Address, identity: IdentityPublic) -> Self {
        Self { address, identity, established: None }
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn identity(&self) -> &IdentityPublic {
        &self.identity
    }

    pub(crate) fn established(&self) -> Option<Established> {
        self.established
    }
}

/// Whether a rule's certificate is for this process of the network whose policy key it is.
pub(crate) fn is_certified(
    rule: &RetentionRule,
    key: &PolicyPublic,
    address: &Address,
    identity: &IdentityPublic,
    now_ms: u64,
) -> bool {
    verify_retention(key, &rule.certificate, now_ms)
        .is_ok_and(|c| &c.address == address && &c.identity == identity && c.network == address.domain())
}

#[cfg(test)]
pub(crate) mod tests {
    use sotto_crypto::{IdentityKey, InviteSecret, SystemRng};
    use sotto_wire::policy::OpenInvite;

    use super::*;

    fn bob() -> Address {
        Address::parse("bob@x.example").unwrap()
    }

    /// As if the operator had said so.
    pub(crate) fn vouched(address: &Address, identity: &IdentityPublic) -> Vouched {
        let established = Some(Established { anchor: Anchor::Membership, invited_at_ms: 1 });
        Vouched { address: address.clone(), identity: identity.clone(), established }
    }

    fn document() -> MembershipDocument {
        MembershipDocument {
            version: 1,
            serial: 1,
            address: bob(),
            group: "staff".into(),
            identity: None,
            invite: None,
            devices_from_ms: 0,
            name: None,
        }
    }

    #[test]
    fn only_the_operator_or_who_has_the_invite_says_who_somebody_is() {
        let identity = || IdentityKey::generate(&mut SystemRng).verifying_key();
        let (his, other, invite) = (identity(), identity(), InviteSecret::generate(&mut SystemRng).key());
        let refused = |document: &MembershipDocument, identity: &IdentityPublic, voucher: Option<&Signed<Voucher>>| matches!(Vouched::by_membership(document, identity, voucher), Err(TrustError::NotVouchedFor(a)) if a == bob());
        assert!(refused(&document(), &his, None), "nobody has said so");

        let voucher = Signed::sign(&Voucher::new(bob(), his.clone()), &invite);
        let open = OpenInvite { invited_at_ms: 5, key: invite.verifying_key() };
        let invited = MembershipDocument { invite: Some(open), ..document() };
        let by = Vouched::by_membership(&invited, &his, Some(&voucher)).unwrap().established().unwrap();
        assert_eq!((by.anchor, by.invited_at_ms), (Anchor::Invite, 5));
        assert!(refused(&invited, &his, None), "held back");
        assert!(refused(&invited, &other, Some(&voucher)), "for another identity");
        let forged = Signed::sign(&Voucher::new(bob(), other.clone()), &InviteSecret::generate(&mut SystemRng).key());
        assert!(refused(&invited, &other, Some(&forged)), "under another key");
        let carols = Signed::sign(&Voucher::new(Address::parse("carol@x.example").unwrap(), other.clone()), &invite);
        assert!(refused(&invited, &other, Some(&carols)), "for somebody else");

        let known = sotto_wire::policy::Established { invited_at_ms: 5, identity: his.fingerprint() };
        let established = MembershipDocument { identity: Some(known), ..document() };
        let by = Vouched::by_membership(&established, &his, None).unwrap().established().unwrap();
        assert_eq!((by.anchor, by.invited_at_ms), (Anchor::Membership, 5));
        assert!(refused(&established, &other, Some(&Signed::sign(&Voucher::new(bob(), other.clone()), &invite))));
    }
}
