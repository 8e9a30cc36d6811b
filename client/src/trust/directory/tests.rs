use sotto_crypto::{CLOCK_TOLERANCE_MS, PolicyKey, SystemRng};
use sotto_wire::directory::{Directory as Documents, HEAD_LIFE_MS};

use super::*;
use crate::trust::policy::tests::{domain, group_document, network_document};

mod vectors;

const NOW: u64 = 10_000_000_000;

/// A network whose operator signs what it is told to.
pub(crate) struct Signer {
    pub(crate) key: PolicyKey,
    pub(crate) network: NetworkDocument,
    pub(crate) groups: Vec<GroupDocument>,
    pub(crate) memberships: Vec<MembershipDocument>,
}

impl Signer {
    pub(crate) fn new(name: &str) -> Self {
        let groups = vec![group_document(name, 1)];
        let key = PolicyKey::generate(&mut SystemRng);
        Self { key, network: network_document(name, 1), groups, memberships: Vec::new() }
    }

    pub(crate) fn documents(&self) -> Documents {
        let groups: Vec<_> =
            self.groups.iter().map(|g| (g.name.as_str(), Signed::sign(g, &self.key).to_bytes())).collect();
        let members: Vec<_> =
            self.memberships.iter().map(|m| (m.address.local(), Signed::sign(m, &self.key).to_bytes())).collect();
        let network = Signed::sign(&self.network, &self.key).to_bytes();
        let groups = groups.iter().map(|(name, bytes)| (*name, bytes.as_slice()));
        Documents::new(&network, groups, members.iter().map(|(name, bytes)| (*name, bytes.as_slice()))).unwrap()
    }

    /// The head of this serial, signed at this time.
    pub(crate) fn head(&self, serial: u64, created_at_ms: u64) -> Signed<DirectoryHead> {
        let head = self.documents().head(self.network.domain.clone(), serial, created_at_ms, HEAD_LIFE_MS);
        Signed::sign(&head, &self.key)
    }

    fn open(&self, head: &Signed<DirectoryHead>, seen: &SeenHeads, now_ms: u64) -> Result<Directory, TrustError> {
        Directory::open(head, &self.key.verifying_key(), &self.network.domain, seen, now_ms)
    }
}

pub(crate) fn seen(directory: &Directory) -> SeenHeads {
    SeenHeads::new(vec![directory.record().clone()])
}

fn member(name: &str) -> MembershipDocument {
    let address = Address::parse(name).unwrap();
    MembershipDocument {
        version: 1,
        serial: 5,
        address,
        group: "staff".into(),
        identity: None,
        invite: None,
        devices_from_ms: 0,
        name: None,
    }
}

#[test]
fn a_head_is_of_its_key_and_network_and_never_goes_back() {
    let signer = Signer::new("x.example");
    let nothing = SeenHeads::default();
    let first = signer.open(&signer.head(5, NOW), &nothing, NOW).unwrap();
    // The same again, and a newer one.
    signer.open(&signer.head(5, NOW), &seen(&first), NOW).unwrap();
    signer.open(&first.record().head, &seen(&first), NOW).unwrap();
    signer.open(&signer.head(6, NOW), &seen(&first), NOW).unwrap();
    let rolled_back = |head| matches!(signer.open(&head, &seen(&first), NOW), Err(TrustError::Rollback { .. }));
    assert!(rolled_back(signer.head(4, NOW)));
    let other = Signer {
        groups: Vec::new(),
        key: PolicyKey::from_bytes(&signer.key.to_bytes()).unwrap(),
        ..Signer::new("x.example")
    };
    assert!(rolled_back(other.head(5, NOW)), "two truths of one serial");

    let elsewhere = Signer::new("x.example");
    let under_another_key = signer.open(&elsewhere.head(9, NOW), &nothing, NOW);
    assert!(matches!(under_another_key, Err(TrustError::Document { what: HEAD, .. })));
    let of_y = Signer {
        network: network_document("y.example", 1),
        key: PolicyKey::from_bytes(&signer.key.to_bytes()).unwrap(),
        groups: Vec::new(),
        memberships: Vec::new(),
    };
    assert!(matches!(signer.open(&of_y.head(9, NOW), &nothing, NOW), Err(TrustError::Document { .. })));
    let newer = DirectoryHead { version: 2, ..signer.head(9, NOW).unverified().unwrap() };
    assert!(matches!(signer.open(&Signed::sign(&newer, &signer.key), &nothing, NOW), Err(TrustError::Document { .. })));
    // Another policy key, where it is the right one, counts anew.
    elsewhere.open(&elsewhere.head(1, NOW), &seen(&first), NOW).unwrap();
}

#[test]
fn an_old_head_counts_for_who_has_seen_the_network_and_is_told_and_limited() {
    let signer = Signer::new("x.example");
    let head = signer.head(5, NOW);
    let end = NOW + HEAD_LIFE_MS;
    let nothing = SeenHeads::default();
    signer.open(&head, &nothing, end - 1).unwrap();
    let refused = signer.open(&head, &nothing, end);
    assert!(
        matches!(refused, Err(TrustError::Expired { since_ms, .. }) if since_ms == end),
        "for who has seen nothing"
    );
    let known = seen(&signer.open(&head, &nothing, NOW).unwrap());
    let later = |now_ms| signer.open(&head, &known, now_ms).unwrap();
    let own = |days| NetworkDocument { refuse_sending_after_days: days, ..signer.network.clone() };
    assert!(StaleNetwork::of(&later(end - 1).head, &own(7), end - 1).is_none());
    let stale = StaleNetwork::of(&later(end).head, &own(7), end).unwrap();
    assert_eq!((stale.since_ms, stale.refused_from_ms), (end, Some(end + 7 * DAY_MS)));
    later(end).permit(&own(7), end + 7 * DAY_MS - 1).unwrap();
    let refused = later(end).permit(&own(7), end + 7 * DAY_MS);
    assert!(matches!(refused, Err(Refusal::DirectoryExpired { since_ms, .. }) if since_ms == end));
    later(end).permit(&own(0), u64::MAX).unwrap();
    assert_eq!(StaleNetwork::of(&later(end).head, &own(0), end).unwrap().refused_from_ms, None);
}

#[test]
fn a_head_from_the_future_is_a_matter_of_clocks() {
    let signer = Signer::new("x.example");
    let nothing = SeenHeads::default();
    signer.open(&signer.head(5, NOW + CLOCK_TOLERANCE_MS), &nothing, NOW).unwrap();
    let refused = signer.open(&signer.head(5, NOW + CLOCK_TOLERANCE_MS + 60_000), &nothing, NOW).unwrap_err();
    assert!(matches!(refused, TrustError::Clock { ahead_ms, .. } if ahead_ms == CLOCK_TOLERANCE_MS + 60_000));
    assert!(refused.to_string().contains("6 min after the time of this machine's clock"), "{refused}");
}

#[test]
fn documents_are_those_of_the_head_and_of_whom_they_should_be() {
    let mut signer = Signer::new("x.example");
    signer.memberships = vec![member("alice@x.example"), member("bob@x.example")];
    let directory = signer.open(&signer.head(5, NOW), &SeenHeads::default(), NOW).unwrap();
    let documents = signer.documents();
    assert_eq!(directory.network(&documents.network().unwrap()).unwrap(), signer.network);
    assert_eq!(directory.group(&documents.group("staff").unwrap()).unwrap().name, "staff");
    let alices = documents.membership("alice").unwrap();
    let [alice, bob] = ["alice@x.example", "bob@x.example"].map(|a| Address::parse(a).unwrap());
    let (record, _) = directory.membership(&alices, &alice, 9).unwrap();
    assert_eq!((record.serial, record.group.as_str(), record.seen_at_ms), (5, "staff", 9));
    assert!(directory.membership(&alices, &bob, 9).is_err(), "of somebody else");

    // An older document than the one under the head, though the key has signed it.
    let mut before = Signer { key: PolicyKey::from_bytes(&signer.key.to_bytes()).unwrap(), ..Signer::new("x.example") };
    before.memberships = vec![MembershipDocument { serial: 4, group: "traders".into(), ..member("alice@x.example") }];
    before.network.serial = 0;
    before.groups[0].files_enabled = false;
    let old = before.documents();
    let is_refused = |error: TrustError| matches!(error, TrustError::Document { .. });
    assert!(is_refused(directory.membership(&old.membership("alice").unwrap(), &alice, 9).unwrap_err()));
    assert!(is_refused(directory.network(&old.network().unwrap()).unwrap_err()));
    assert!(is_refused(directory.group(&old.group("staff").unwrap()).unwrap_err()));

    // What the operator should never have signed.
    signer.memberships = vec![MembershipDocument { version: 2, ..member("alice@x.example") }];
    signer.network.domain = domain("x.example");
    signer.groups = vec![group_document("y.example", 1)];
    let odd = signer.open(&signer.head(6, NOW), &SeenHeads::default(), NOW).unwrap();
    let documents = signer.documents();
    assert!(odd.membership(&documents.membership("alice").unwrap(), &alice, 9).is_err(), "of another version");
    assert!(odd.group(&documents.group("staff").unwrap()).is_err(), "of another network");
}

#[test]
fn the_group_that_is_shown_is_the_own_one() {
    let mut group = group_document("x.example", 1);
    same_group("staff", &group).unwrap();
    group.name = "traders".into();
    assert!(matches!(same_group("staff", &group), Err(TrustError::Document { .. })));
}

#[test]
fn the_newest_head_is_kept() {
    use crate::store::Store;
    use crate::store::key::StoreKey;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("s.db"), &StoreKey::generate(&mut SystemRng)).unwrap();
    let (signer, other) = (Signer::new("x.example"), Signer::new("x.example"));
    let record =
        |signer: &Signer, serial| signer.open(&signer.head(serial, NOW), &SeenHeads::default(), NOW).unwrap().record;
    let kept = |put: DirectoryRecord| {
        store
            .run_blocking(|tx| {
                put_head(tx, &put)?;
                tx.get::<DirectoryRecord>(&DirectoryRecord::key_of(&put.domain))
            })
            .unwrap()
            .unwrap()
    };
    let (five, six) = (record(&signer, 5), record(&signer, 6));
    assert_eq!(kept(five.clone()), five);
    assert_eq!(kept(six.clone()), six);
    assert_eq!(kept(five), six, "another process has seen a newer one");
    let anew = record(&other, 1);
    assert_eq!(kept(anew.clone()), anew, "a new policy key counts anew");
}
