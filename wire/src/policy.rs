//! Documents under the policy key: what clients and relay obey and can verify for themselves.
//!
//! The operator signs them; the relay stores and serves them and cannot change them.

use minicbor::{Decode, Encode};
use sotto_crypto::{
    Address, Document, Domain, Fingerprint, IdentityPublic, InvitePublic, Policy, RetentionCertificate, Signed,
    Voucher, verify_voucher,
};

use crate::name;

/// What a whole network obeys. `serial` only grows: a client refuses a document older than the one it has seen.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct NetworkDocument {
    /// Document version, 1.
    #[n(0)]
    pub version: u8,
    /// The network's address space.
    #[n(1)]
    pub domain: Domain,
    /// Grows with every change (milliseconds since the epoch at signing).
    #[n(2)]
    pub serial: u64,
    /// Name for people, 1 to 20 characters.
    #[n(3)]
    pub display_name: String,
    /// Whose conversations are retained, by which process.
    #[n(4)]
    pub retention: Vec<RetentionRule>,
    /// Which other networks may be talked to.
    #[n(5)]
    pub federation: FederationRule,
    /// Read receipts in this network.
    #[n(6)]
    pub read_receipts: ReadReceipts,
    /// For so many days after a directory head has expired, messages may still be sent; 0: for ever.
    #[n(7)]
    pub refuse_sending_after_days: u32,
}

impl Document for NetworkDocument {
    const LABEL: &'static str = "sotto/2 network document";
    type Signer = Policy;
}

impl NetworkDocument {
    /// The retention processes that must be among the recipients of what a member of `group` sends or gets.
    /// Rules that are switched off do not count.
    pub fn retention_for<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a RetentionRule> + 'a {
        self.retention.iter().filter(move |r| r.enabled && r.scope.covers(group))
    }

    /// The rule of the peer network `domain`, where federation is on and lists it.
    pub fn peer(&self, domain: &Domain) -> Option<&PeerRule> {
        self.federation.peers.iter().find(|p| &p.domain == domain).filter(|_| self.federation.enabled)
    }
}

/// Read receipts: the words of settings.md.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ReadReceipts {
    /// Never sent.
    #[n(0)]
    Disabled,
    /// As the user chooses.
    #[default]
    #[n(1)]
    Enabled,
    /// Always sent.
    #[n(2)]
    ForceEnabled,
}

/// One retention policy as clients and relay apply it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RetentionRule {
    /// Name of the `RetentionPolicy` object.
    #[n(0)]
    pub policy: String,
    /// The retention process as a recipient.
    #[n(1)]
    pub address: Address,
    /// Its identity under the policy key.
    #[n(2)]
    pub certificate: Signed<RetentionCertificate>,
    /// Whose conversations.
    #[n(3)]
    pub scope: Scope,
    /// The administrator's switch. Off: the process is no recipient.
    #[n(4)]
    pub enabled: bool,
}

/// Whom a rule covers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Scope {
    /// Everybody in the network.
    #[n(0)]
    AllUsers,
    /// The members of these security groups.
    #[n(1)]
    Groups(#[n(0)] Vec<String>),
}

impl Scope {
    /// Whether a member of `group` is covered.
    pub fn covers(&self, group: &str) -> bool {
        match self {
            Self::AllUsers => true,
            Self::Groups(groups) => groups.iter().any(|g| g == group),
        }
    }
}

/// Which networks may be talked to. Both sides must allow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct FederationRule {
    /// Off: nobody outside.
    #[n(0)]
    pub enabled: bool,
    /// The networks that may be talked to.
    #[n(1)]
    pub peers: Vec<PeerRule>,
}

/// One peer network.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PeerRule {
    /// Its address space.
    #[n(0)]
    pub domain: Domain,
    /// Fingerprint of its policy key: by it clients verify the peer's documents and retention certificates.
    #[n(1)]
    pub policy_key: Fingerprint,
}

/// What the members of one security group may do.
#[expect(clippy::struct_excessive_bools, reason = "independent switches of the administrator, each with its own name")]
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct GroupDocument {
    /// Document version, 1.
    #[n(0)]
    pub version: u8,
    /// The network's address space.
    #[n(1)]
    pub domain: Domain,
    /// As in [`NetworkDocument::serial`].
    #[n(2)]
    pub serial: u64,
    /// Name of the `SecurityGroup` object.
    #[n(3)]
    pub name: String,
    /// Failed passwords from one place before the account locks for it; 0: never.
    #[n(4)]
    pub lockout_threshold: u32,
    /// Failed passwords before the device wipes its local data; 0: never.
    #[n(5)]
    pub force_device_lockout: u32,
    /// What a password must have.
    #[n(6)]
    pub password: PasswordRule,
    /// Cap in seconds on the expiry that a user may choose, counted from sending; 0: none.
    #[n(7)]
    pub max_expiry_seconds: u64,
    /// Cap in seconds on burn-on-read, counted from reading; 0: none.
    #[n(8)]
    pub max_burn_seconds: u64,
    /// Federation with other networks.
    #[n(9)]
    pub federation: GroupFederation,
    /// Whether files may be sent.
    #[n(10)]
    pub files_enabled: bool,
    /// Whether files may be saved, not just looked at.
    #[n(11)]
    pub file_download_enabled: bool,
    /// Whether messages may be forwarded.
    #[n(12)]
    pub forwarding_enabled: bool,
    /// Whether presence and typing are shown.
    #[n(13)]
    pub presence_enabled: bool,
    /// Whether adding a device needs approval on an existing one.
    #[n(14)]
    pub device_approval: bool,
    /// Texts that members may send with a choice.
    #[n(15)]
    pub quick_responses: Vec<String>,
}

impl Document for GroupDocument {
    const LABEL: &'static str = "sotto/2 group document";
    type Signer = Policy;
}

/// That a user is in a security group: without it the relay could show one group's members another group's rules.
/// Clients show it to each other, so that a sender knows which retention rules cover a recipient.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct MembershipDocument {
    /// Document version, 1.
    #[n(0)]
    pub version: u8,
    /// As in [`NetworkDocument::serial`]; counted by address.
    #[n(1)]
    pub serial: u64,
    /// Who.
    #[n(2)]
    pub address: Address,
    /// Name of the `SecurityGroup` object, of the address's network.
    #[n(3)]
    pub group: String,
    /// Whose identity it is, where somebody has registered and the operator has seen by which invite.
    #[n(4)]
    pub identity: Option<Established>,
    /// The invite that is open: who has its key may say whose identity it is from now on.
    #[n(5)]
    pub invite: Option<OpenInvite>,
    /// Lists of the member's devices with a serial below this (milliseconds since the epoch) do not count: the administrator has
    /// removed all devices then. 0: never.
    #[n(6)]
    pub devices_from_ms: u64,
    /// The member's name for people, where the administrator gives one. [`shown_name`](Self::shown_name) is what is shown.
    #[n(7)]
    pub name: Option<String>,
}

/// An identity that the operator vouches for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Established {
    /// When the invite was made by which it came (milliseconds since the epoch): grows with each new one.
    #[n(0)]
    pub invited_at_ms: u64,
    /// The identity.
    #[n(1)]
    pub identity: Fingerprint,
}

/// An invite that nobody has used, as far as the operator knows.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct OpenInvite {
    /// When it was made (milliseconds since the epoch): later than those of before.
    #[n(0)]
    pub invited_at_ms: u64,
    /// Its key, which signs the [`Voucher`](sotto_crypto::Voucher) of who uses it.
    #[n(1)]
    pub key: InvitePublic,
}

/// How an identity was established.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Anchor {
    /// The operator has signed it into the membership.
    #[n(0)]
    Membership,
    /// Who registered it had the invite: their voucher is under its key, which is in the membership.
    #[n(1)]
    Invite,
    /// It is a retention process, which the network's policy certifies.
    #[n(2)]
    Policy,
}

impl Anchor {
    /// The word for it, in JSON of clients and in records.
    pub fn word(self) -> &'static str {
        match self {
            Self::Membership => "membership",
            Self::Invite => "invite",
            Self::Policy => "policy",
        }
    }
}

/// An identity is not the one that a membership is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither the membership nor the key of an open invite vouches for this identity")]
pub struct NotVouchedFor;

impl MembershipDocument {
    /// The member's name, where it has one that is fit to be shown beside the address. Who signs others has them shown nowhere, and
    /// keeps nobody from being written to.
    pub fn shown_name(&self) -> Option<&str> {
        self.name.as_deref().filter(|name| name::check(name).is_ok())
    }

    /// Whether an identity is that of this member, and how that is known: with when the invite was made (milliseconds since
    /// the epoch). The document has been verified.
    pub fn establish(
        &self,
        identity: &IdentityPublic,
        voucher: Option<&Signed<Voucher>>,
    ) -> Result<(Anchor, u64), NotVouchedFor> {
        if let Some(known) = self.identity.as_ref().filter(|known| known.identity == identity.fingerprint()) {
            return Ok((Anchor::Membership, known.invited_at_ms));
        }
        let (invite, voucher) = self.invite.as_ref().zip(voucher).ok_or(NotVouchedFor)?;
        let voucher = verify_voucher(&invite.key, voucher).map_err(|_| NotVouchedFor)?;
        let fits = voucher.address == self.address && &voucher.identity == identity;
        if fits { Ok((Anchor::Invite, invite.invited_at_ms)) } else { Err(NotVouchedFor) }
    }
}

impl Document for MembershipDocument {
    const LABEL: &'static str = "sotto/2 membership document";
    type Signer = Policy;
}

/// Minimum counts; the client checks them, since the relay never sees a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PasswordRule {
    /// Characters in all.
    #[n(0)]
    pub min_length: u32,
    /// Lower-case letters.
    #[n(1)]
    pub lowercase: u32,
    /// Upper-case letters.
    #[n(2)]
    pub uppercase: u32,
    /// Digits.
    #[n(3)]
    pub numbers: u32,
    /// Anything else.
    #[n(4)]
    pub symbols: u32,
}

impl PasswordRule {
    /// What `password` lacks, in words that never repeat it; `None` when it is good.
    pub fn lacking(&self, password: &str) -> Option<String> {
        let count = |f: fn(char) -> bool| u32::try_from(password.chars().filter(|c| f(*c)).count()).unwrap_or(u32::MAX);
        let wants = [
            ("characters", self.min_length, count(|_| true)),
            ("lower-case letters", self.lowercase, count(char::is_lowercase)),
            ("upper-case letters", self.uppercase, count(char::is_uppercase)),
            ("digits", self.numbers, count(|c| c.is_ascii_digit())),
            ("symbols", self.symbols, count(|c| !c.is_alphanumeric())),
        ];
        let missing: Vec<String> = wants
            .iter()
            .filter(|(_, want, have)| have < want)
            .map(|(what, want, _)| format!("at least {want} {what}"))
            .collect();
        (!missing.is_empty()).then(|| format!("the password needs {}", missing.join(", ")))
    }
}

/// A group's federation: the words of settings.md.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum GroupFederation {
    /// Nobody outside the network.
    #[n(0)]
    None,
    /// Only these networks.
    #[n(1)]
    Restricted(#[n(0)] Vec<Domain>),
    /// Every network that the network itself allows.
    #[n(2)]
    All,
}

impl GroupFederation {
    /// Whether members may talk to `domain`.
    pub fn allows(&self, domain: &Domain) -> bool {
        match self {
            Self::None => false,
            Self::Restricted(domains) => domains.contains(domain),
            Self::All => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_rule_names_all_that_is_missing_and_not_the_password() {
        let rule = PasswordRule { min_length: 12, lowercase: 1, uppercase: 1, numbers: 1, symbols: 1 };
        let said = rule.lacking("secretword").unwrap();
        assert_eq!(
            said,
            "the password needs at least 12 characters, at least 1 upper-case letters, at least 1 digits, at least 1 symbols"
        );
        assert_eq!(rule.lacking("Correct horse 9!"), None);
    }

    #[test]
    fn group_federation_allows_what_it_lists() {
        let d = |s: &str| Domain::parse(s).unwrap();
        assert!(GroupFederation::Restricted(vec![d("b.example")]).allows(&d("b.example")));
        assert!(!GroupFederation::Restricted(vec![d("b.example")]).allows(&d("c.example")));
        assert!(!GroupFederation::None.allows(&d("b.example")));
        assert!(GroupFederation::All.allows(&d("c.example")));
    }
}
