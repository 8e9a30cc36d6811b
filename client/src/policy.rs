//! Policy documents: only what verifies under the pinned key counts, and nothing older than what was seen before. Pure.

use sotto_crypto::{Domain, PolicyPublic, Signed};
use sotto_wire::api::NetworkInfo;
use sotto_wire::policy::{GroupDocument, NetworkDocument};

use crate::error::{Refusal, TrustError};
use crate::store::Serials;

/// The documents that this user obeys, verified.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Policy {
    /// The network's.
    pub network: NetworkDocument,
    /// The security group's.
    pub group: GroupDocument,
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
    fn expiry_keeps_to_the_cap() {
        let mut group = group_document("x.example", 1);
        assert_eq!(expiry(None, &group).unwrap(), None);
        assert_eq!(expiry(Some(9), &group).unwrap(), Some(9));
        group.max_expiry_seconds = 60;
        assert_eq!(expiry(None, &group).unwrap(), Some(60));
        assert_eq!(expiry(Some(60), &group).unwrap(), Some(60));
        assert!(matches!(expiry(Some(61), &group), Err(Refusal::ExpiryTooLong { max_seconds: 60 })));
    }
}
