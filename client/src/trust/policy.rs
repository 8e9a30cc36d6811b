//! What the documents that a user obeys ask for. Pure.

use sotto_crypto::Address;
use sotto_wire::content::{Body, Content};
use sotto_wire::policy::{GroupDocument, NetworkDocument, RetentionRule, Scope};

use crate::core::error::Refusal;
use crate::store::PolicyRecord;

/// The documents that this user obeys, verified.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// The network's.
    pub network: NetworkDocument,
    /// The security group's.
    pub group: GroupDocument,
    /// Serial of the document that puts the user into this group.
    pub(crate) membership_serial: u64,
}

impl Policy {
    /// From what was verified when it was stored.
    pub(crate) fn of_record(record: &PolicyRecord) -> Self {
        Self {
            network: record.network.clone(),
            group: record.group.clone(),
            membership_serial: record.membership_serial,
        }
    }
}

/// The rules that cover a member of the network who is in one of these groups, and are switched on.
pub(crate) fn covering<'a>(
    network: &'a NetworkDocument,
    groups: &'a [&'a str],
) -> impl Iterator<Item = &'a RetentionRule> {
    let covers = |rule: &RetentionRule| rule.scope == Scope::AllUsers || groups.iter().any(|g| rule.scope.covers(g));
    network.retention.iter().filter(move |rule| rule.enabled && covers(rule))
}

/// For this long (milliseconds) after a document was signed, messages may still have been accepted under the one before.
const SPREADING_MS: u64 = 60_000;
/// For this long (milliseconds) what is known of a sender's group is taken to be so still.
pub(crate) const GROUP_KNOWN_MS: u64 = 24 * 3600 * 1000;

/// Names of our network's policies that cover us or the sender of a message (`senders_group`, where it is known), and whose
/// process is not among its recipients. Nothing is said of messages that were sent before the documents of today.
pub(crate) fn retention_missing(
    policy: &Policy,
    me: &Address,
    senders_group: Option<&str>,
    sent_at_ms: u64,
    has: impl Fn(&Address) -> bool,
) -> Vec<String> {
    let since = policy.network.serial.max(policy.membership_serial);
    if sent_at_ms < since.saturating_add(SPREADING_MS) {
        return Vec::new();
    }
    let groups: Vec<&str> = std::iter::once(policy.group.name.as_str()).chain(senders_group).collect();
    let missing = covering(&policy.network, &groups).filter(|rule| &rule.address != me && !has(&rule.address));
    missing.map(|rule| rule.policy.clone()).collect()
}

/// The expiry of a message: as chosen, within the group's cap; the cap itself where nothing was chosen.
pub(crate) fn expiry(chosen_s: Option<u64>, group: &GroupDocument) -> Result<Option<u64>, Refusal> {
    match (chosen_s, group.max_expiry_seconds) {
        (chosen, 0) => Ok(chosen),
        (None, cap) => Ok(Some(cap)),
        (Some(chosen), cap) if chosen <= cap => Ok(Some(chosen)),
        (Some(_), cap) => Err(Refusal::ExpiryTooLong { max_seconds: cap }),
    }
}

/// The time from reading to burning: as chosen, within the group's cap.
pub(crate) fn burn(chosen_s: Option<u64>, group: &GroupDocument) -> Result<Option<u64>, Refusal> {
    match (chosen_s, group.max_burn_seconds) {
        (Some(chosen), cap) if cap > 0 && chosen > cap => Err(Refusal::BurnTooLong { max_seconds: cap }),
        (chosen, _) => Ok(chosen),
    }
}

/// Whether the group lets its members say this.
pub(crate) fn admit(content: &Content, group: &GroupDocument) -> Result<(), Refusal> {
    if matches!(content.body, Body::File(_)) && !group.files_enabled {
        return Err(Refusal::FilesDisabled);
    }
    if content.forwarded.is_some() && !group.forwarding_enabled {
        return Err(Refusal::ForwardingDisabled);
    }
    burn(content.burn_after_read_s, group)?;
    match content.expires_in_s {
        Some(chosen) => expiry(Some(chosen), group).map(drop),
        None => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use sotto_crypto::{Domain, PolicyKey, Signed, SystemRng};
    use sotto_wire::policy::{FederationRule, GroupFederation, PasswordRule, ReadReceipts};

    use super::*;

    pub(crate) fn domain(name: &str) -> Domain {
        Domain::parse(name).unwrap()
    }

    pub(crate) fn network_document(name: &str, serial: u64) -> NetworkDocument {
        NetworkDocument {
            version: 1,
            domain: domain(name),
            serial,
            display_name: "Test".into(),
            retention: Vec::new(),
            federation: FederationRule::default(),
            read_receipts: ReadReceipts::default(),
            refuse_sending_after_days: 7,
        }
    }

    pub(crate) fn group_document(name: &str, serial: u64) -> GroupDocument {
        GroupDocument {
            version: 1,
            domain: domain(name),
            serial,
            name: "staff".into(),
            lockout_threshold: 10,
            force_device_lockout: 0,
            password: PasswordRule { min_length: 8, lowercase: 0, uppercase: 0, numbers: 0, symbols: 0 },
            max_expiry_seconds: 0,
            max_burn_seconds: 0,
            federation: GroupFederation::All,
            files_enabled: true,
            file_download_enabled: true,
            forwarding_enabled: true,
            presence_enabled: true,
            device_approval: false,
            quick_responses: Vec::new(),
        }
    }

    #[test]
    fn a_policy_whose_process_was_left_out_is_named() {
        use sotto_crypto::{IdentityKey, RetentionCertificate};
        use sotto_wire::policy::Scope;
        let key = PolicyKey::generate(&mut SystemRng);
        let me = Address::parse("alice@x.example").unwrap();
        let archive = Address::parse("archive@x.example").unwrap();
        let certificate = RetentionCertificate {
            version: sotto_crypto::VERSION,
            suite: sotto_crypto::SUITE,
            network: domain("x.example"),
            address: archive.clone(),
            identity: IdentityKey::generate(&mut SystemRng).verifying_key(),
            issued_at_ms: 0,
            expires_at_ms: 1,
        };
        let rule = RetentionRule {
            policy: "archive".into(),
            address: archive.clone(),
            certificate: Signed::sign(&certificate, &key),
            scope: Scope::Groups(vec!["traders".into()]),
            enabled: true,
        };
        let mut network = network_document("x.example", 1000);
        network.retention.push(rule);
        let mut policy = Policy { network, group: group_document("x.example", 1), membership_serial: 0 };
        let late = 1000 + SPREADING_MS;
        let missing = |policy: &Policy, group, at, there: bool| {
            retention_missing(policy, &me, group, at, |who| there && who == &archive)
        };
        assert!(missing(&policy, None, late, false).is_empty(), "covers neither");
        assert_eq!(missing(&policy, Some("traders"), late, false), ["archive"]);
        assert!(missing(&policy, Some("traders"), late, true).is_empty());
        policy.group.name = "traders".into();
        assert_eq!(missing(&policy, None, late, false), ["archive"]);
        assert!(missing(&policy, None, late - 1, false).is_empty(), "older than the rule");
        policy.membership_serial = 5000;
        assert!(missing(&policy, None, late, false).is_empty(), "older than the membership");
        policy.membership_serial = 0;
        policy.network.retention[0].enabled = false;
        assert!(missing(&policy, None, late, false).is_empty(), "switched off");
    }

    #[test]
    fn expiry_keeps_to_the_cap() {
        let mut group = group_document("x.example", 1);
        assert_eq!(expiry(None, &group).unwrap(), None);
        assert_eq!(expiry(Some(9), &group).unwrap(), Some(9));
        group.max_expiry_seconds = 60;
        assert_eq!(expiry(None, &group).unwrap(), Some(60));
        assert_eq!(expiry(Some(60), &group).unwrap(), Some(60));
        assert!(matches!(expiry(Some(61), &group), Err(Refusal::ExpiryTooLong { max_seconds: 60 })));
    }

    #[test]
    fn a_group_admits_what_its_switches_and_caps_allow() {
        use sotto_crypto::Address;
        use sotto_wire::content::{Conversation, Forwarded};
        let a = Address::parse("a@x.example").unwrap();
        let plain = Content::new(Conversation::Direct(a.clone(), a.clone()), 1, Body::Text("x".into()));
        let mut group = group_document("x.example", 1);
        let forwarded = Content { forwarded: Some(Forwarded { from: a, sent_at_ms: 1 }), ..plain.clone() };
        let burns = Content { burn_after_read_s: Some(9), ..plain.clone() };
        assert!([&plain, &forwarded, &burns].iter().all(|c| admit(c, &group).is_ok()));
        group.forwarding_enabled = false;
        group.max_burn_seconds = 8;
        assert!(admit(&plain, &group).is_ok());
        assert!(matches!(admit(&forwarded, &group), Err(Refusal::ForwardingDisabled)));
        assert!(matches!(admit(&burns, &group), Err(Refusal::BurnTooLong { max_seconds: 8 })));
    }
}
