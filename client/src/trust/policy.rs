//! Policy documents: only what verifies under the pinned key counts, and nothing older than what was seen before. Pure.

use sotto_crypto::{Address, Domain, PolicyPublic, Signed};
use sotto_wire::api::NetworkInfo;
use sotto_wire::content::{Body, Content};
use sotto_wire::policy::{GroupDocument, MembershipDocument, NetworkDocument, RetentionRule, Scope};

use crate::core::error::{Refusal, TrustError};
use crate::store::{MembershipRecord, PolicyRecord, Serials};

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
    pub(crate) fn of_record(record: &PolicyRecord) -> Option<Self> {
        Some(Self {
            network: record.network.unverified().ok()?,
            group: record.group.unverified().ok()?,
            membership_serial: record.membership.unverified().ok()?.serial,
        })
    }
}

/// Verifies a network's document, and moves the serial on.
pub(crate) fn network(
    signed: &Signed<NetworkDocument>,
    key: &PolicyPublic,
    domain: &Domain,
    serials: &mut Serials,
) -> Result<NetworkDocument, TrustError> {
    const WHAT: &str = "network document";
    let document = signed.verify(key).map_err(|e| bad(WHAT, domain, e.to_string()))?;
    if document.version != 1 {
        return Err(bad(WHAT, domain, format!("version {} is newer than this program", document.version)));
    }
    if &document.domain != domain {
        return Err(bad(WHAT, domain, format!("it is that of {}", document.domain)));
    }
    if document.serial < serials.network {
        return Err(TrustError::Rollback { what: WHAT, domain: domain.clone() });
    }
    serials.network = document.serial;
    Ok(document)
}

/// Verifies a group's document, and moves its serial on.
pub(crate) fn group(
    signed: &Signed<GroupDocument>,
    key: &PolicyPublic,
    domain: &Domain,
    serials: &mut Serials,
) -> Result<GroupDocument, TrustError> {
    const WHAT: &str = "security group document";
    let document = signed.verify(key).map_err(|e| bad(WHAT, domain, e.to_string()))?;
    if document.version != 1 {
        return Err(bad(WHAT, domain, format!("version {} is newer than this program", document.version)));
    }
    if &document.domain != domain {
        return Err(bad(WHAT, domain, format!("it is that of {}", document.domain)));
    }
    match serials.groups.iter_mut().find(|(name, _)| *name == document.name) {
        Some((_, serial)) if document.serial < *serial => {
            return Err(TrustError::Rollback { what: WHAT, domain: domain.clone() });
        }
        Some((_, serial)) => *serial = document.serial,
        None => serials.groups.push((document.name.clone(), document.serial)),
    }
    Ok(document)
}

/// Verifies that `address` is in a group. `known` is what was seen before.
pub(crate) fn membership(
    signed: &Signed<MembershipDocument>,
    key: &PolicyPublic,
    address: &Address,
    known: Option<&MembershipRecord>,
    now_ms: u64,
) -> Result<(MembershipRecord, MembershipDocument), TrustError> {
    const WHAT: &str = "membership document";
    let domain = address.domain();
    let document = signed.verify(key).map_err(|e| bad(WHAT, &domain, e.to_string()))?;
    if document.version != 1 {
        return Err(bad(WHAT, &domain, format!("version {} is newer than this program", document.version)));
    }
    if &document.address != address {
        return Err(bad(WHAT, &domain, format!("it is that of {}, not of {address}", document.address)));
    }
    let policy_key = key.fingerprint();
    if known.is_some_and(|k| k.policy_key == policy_key && document.serial < k.serial) {
        return Err(TrustError::Rollback { what: WHAT, domain });
    }
    let (serial, group) = (document.serial, document.group.clone());
    let name = document.shown_name().map(str::to_owned);
    let record = MembershipRecord { address: address.clone(), policy_key, serial, group, seen_at_ms: now_ms, name };
    Ok((record, document))
}

/// The error of somebody who is written to without a word on their group.
pub(crate) fn missing_membership(address: &Address) -> TrustError {
    bad("membership document", &address.domain(), format!("the relay has left out that of {address}"))
}

/// The group whose document has come must be the one that the user is in.
pub(crate) fn same_group(mine: &str, group: &GroupDocument) -> Result<(), TrustError> {
    if mine == group.name {
        return Ok(());
    }
    let reason = format!("you are in the group {mine}, not in {}", group.name);
    Err(bad("security group document", &group.domain, reason))
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

/// Verifies a peer network's document: our own names the peer, and the fingerprint of its policy key.
pub(crate) fn peer(
    own: &NetworkDocument,
    info: &NetworkInfo,
    known: Option<Serials>,
) -> Result<(NetworkDocument, Serials), TrustError> {
    const WHAT: &str = "network document";
    let claimed = info.document.unverified().map_err(|e| bad(WHAT, &own.domain, e.to_string()))?.domain;
    let rule = own
        .peer(&claimed)
        .ok_or_else(|| bad(WHAT, &claimed, "our network's policy does not name this network".to_owned()))?;
    let fingerprint = info.policy_key.fingerprint();
    if fingerprint != rule.policy_key {
        return Err(bad(WHAT, &claimed, "its policy key is not the one that our network's policy names".to_owned()));
    }
    let mut serials = serials_for(known, &claimed, &info.policy_key);
    let document = network(&info.document, &info.policy_key, &claimed, &mut serials)?;
    Ok((document, serials))
}

/// The serials seen under this key, or none when the key is another one than before.
pub(crate) fn serials_for(known: Option<Serials>, domain: &Domain, key: &PolicyPublic) -> Serials {
    let policy_key = key.fingerprint();
    known.filter(|s| s.policy_key == policy_key && &s.domain == domain).unwrap_or_else(|| Serials {
        domain: domain.clone(),
        policy_key,
        network: 0,
        groups: Vec::new(),
    })
}

/// The error of a network that is written to and whose document did not come along.
pub(crate) fn missing(domain: &Domain) -> TrustError {
    bad("network document", domain, "the relay has left it out".to_owned())
}

fn bad(what: &'static str, domain: &Domain, reason: String) -> TrustError {
    TrustError::Document { what, domain: domain.clone(), reason }
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
    use sotto_crypto::{PolicyKey, SystemRng};
    use sotto_wire::policy::{FederationRule, GroupFederation, PasswordRule, PeerRule, ReadReceipts};

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
    fn only_the_pinned_key_counts_and_no_document_goes_back() {
        let (key, other) = (PolicyKey::generate(&mut SystemRng), PolicyKey::generate(&mut SystemRng));
        let (public, x) = (key.verifying_key(), domain("x.example"));
        let mut serials = serials_for(None, &x, &public);
        let new = Signed::sign(&network_document("x.example", 5), &key);
        let old = Signed::sign(&network_document("x.example", 4), &key);
        network(&new, &public, &x, &mut serials).unwrap();
        network(&new, &public, &x, &mut serials).unwrap();
        assert!(matches!(network(&old, &public, &x, &mut serials), Err(TrustError::Rollback { .. })));
        assert!(matches!(network(&new, &other.verifying_key(), &x, &mut serials), Err(TrustError::Document { .. })));
        assert!(network(&new, &public, &domain("y.example"), &mut serials).is_err());

        group(&Signed::sign(&group_document("x.example", 9), &key), &public, &x, &mut serials).unwrap();
        let old = Signed::sign(&group_document("x.example", 8), &key);
        assert!(matches!(group(&old, &public, &x, &mut serials), Err(TrustError::Rollback { .. })));
    }

    #[test]
    fn a_peer_is_known_by_the_fingerprint_in_our_own_document() {
        let (key, other) = (PolicyKey::generate(&mut SystemRng), PolicyKey::generate(&mut SystemRng));
        let mut own = network_document("x.example", 1);
        let info = |key: &PolicyKey, serial| NetworkInfo {
            policy_key: key.verifying_key(),
            document: Signed::sign(&network_document("y.example", serial), key),
        };
        assert!(peer(&own, &info(&key, 1), None).is_err(), "not named");
        own.federation.enabled = true;
        own.federation
            .peers
            .push(PeerRule { domain: domain("y.example"), policy_key: key.verifying_key().fingerprint() });
        let (_, serials) = peer(&own, &info(&key, 7), None).unwrap();
        assert!(matches!(peer(&own, &info(&key, 6), Some(serials.clone())), Err(TrustError::Rollback { .. })));
        assert!(peer(&own, &info(&other, 7), None).is_err(), "another key");
        // A new policy key of the peer, which our own document names, counts anew.
        own.federation.peers[0].policy_key = other.verifying_key().fingerprint();
        assert_eq!(peer(&own, &info(&other, 2), Some(serials)).unwrap().1.network, 2);
    }

    #[test]
    fn a_membership_is_of_its_address_and_never_goes_back() {
        let (key, other) = (PolicyKey::generate(&mut SystemRng), PolicyKey::generate(&mut SystemRng));
        let public = key.verifying_key();
        let [alice, bob] = ["alice@x.example", "bob@x.example"].map(|a| Address::parse(a).unwrap());
        let document = |serial| MembershipDocument {
            version: 1,
            serial,
            address: alice.clone(),
            group: "staff".into(),
            identity: None,
            invite: None,
            devices_from_ms: 0,
            name: None,
        };
        let signed = Signed::sign(&document(5), &key);
        let (known, _) = membership(&signed, &public, &alice, None, 9).unwrap();
        assert_eq!((known.serial, known.group.as_str(), known.seen_at_ms), (5, "staff", 9));
        membership(&signed, &public, &alice, Some(&known), 10).unwrap();
        let older = Signed::sign(&document(4), &key);
        let refused = membership(&older, &public, &alice, Some(&known), 10);
        assert!(matches!(refused, Err(TrustError::Rollback { .. })));
        assert!(membership(&signed, &public, &bob, None, 9).is_err(), "of somebody else");
        assert!(membership(&signed, &other.verifying_key(), &alice, None, 9).is_err(), "under another key");
        let newer = MembershipDocument { version: 2, ..document(6) };
        assert!(membership(&Signed::sign(&newer, &key), &public, &alice, None, 9).is_err());
        let called = |name: &str| Signed::sign(&MembershipDocument { name: Some(name.into()), ..document(6) }, &key);
        let name = |name: &str| membership(&called(name), &public, &alice, Some(&known), 10).unwrap().0.name;
        assert_eq!((known.name.as_deref(), name("Alice Archer").as_deref()), (None, Some("Alice Archer")));
        for misleading in ["bob@x.example", "Alice\u{202e}", "Alice\nbob", ""] {
            assert_eq!(name(misleading), None, "who signs such names has them shown nowhere: {misleading:?}");
        }
        assert!(
            membership(&called("Mallory"), &other.verifying_key(), &alice, None, 9).is_err(),
            "nobody else names her"
        );
        let mut group = group_document("x.example", 1);
        same_group(&known.group, &group).unwrap();
        group.name = "traders".into();
        assert!(matches!(same_group(&known.group, &group), Err(TrustError::Document { .. })));
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
