use sotto_crypto::{
    DeviceList, IdentityKey, InviteKey, InviteSecret, Listed, MerkleTree, PolicyKey, Prekey, PrekeyKind,
    RetentionCertificate, Signed, SystemRng, Voucher, generate_prekeys,
};
use sotto_wire::api::NetworkInfo;
use sotto_wire::directory::{DirectoryHead, HEAD_LIFE_MS};
use sotto_wire::policy::{Established, MembershipDocument, OpenInvite, PeerRule, Scope};

use super::*;
use crate::core::error::ListProblem;
use crate::store::SeenIn;
use crate::store::account::Account;
use crate::store::account::tests::account;
use crate::trust::identity;
use crate::trust::lists::next_list;
use crate::trust::own;
use crate::trust::policy::tests::{domain, network_document};
use crate::trust::vouched::tests::vouched;

/// A network with its key, alice who asks, and what she knows.
struct World {
    policy: PolicyKey,
    alice: Account,
    document: NetworkDocument,
    lists: Vec<ListRecord>,
}

const NOW: u64 = 1_000_000;

impl World {
    fn new() -> Self {
        let policy = PolicyKey::generate(&mut SystemRng);
        let alice = account("alice@x.example", &policy);
        // Alice knows her own devices.
        let own = device_list(&[&alice], NOW);
        let known = ListRecord {
            own: Some(own.clone()),
            ..ListRecord::unseen(alice.address.clone(), alice.identity.fingerprint())
        };
        Self { alice, document: network_document("x.example", 1), policy, lists: vec![known] }
    }

    fn check(&self, asked: &[&Account], answer: &Recipients) -> Result<Checked, Error> {
        let mut answer = answer.clone();
        if answer.users.iter().all(|user| user.role != RecipientRole::Own) {
            answer.users.push(self.own());
        }
        self.check_as_shown(asked, &answer)
    }

    /// Checks the answer as it is, also where Alice's own devices are left out.
    fn check_as_shown(&self, asked: &[&Account], answer: &Recipients) -> Result<Checked, Error> {
        let key = self.policy.verifying_key();
        let view = Asker {
            address: &self.alice.address,
            device: self.alice.device,
            identity: &self.alice.identity,
            policy_key: &key,
            network: &self.document,
            group: "staff",
            lists: &self.lists,
            seen: &SeenHeads::default(),
            now_ms: NOW,
        };
        check(&view, &mut Known::new(), &asked.iter().map(|a| a.address.clone()).collect::<Vec<_>>(), answer)
    }

    /// Alice's own devices, as an honest relay shows them: there is no other.
    fn own(&self) -> RecipientUser {
        let devices = self.lists[0].own.clone().unwrap();
        RecipientUser { devices, prekeys: Vec::new(), ..user(&self.alice, RecipientRole::Own) }
    }

    /// A retention process under `policy`, with its rule.
    fn retention(address: &str, policy: &PolicyKey, expires_at_ms: u64) -> (Account, RetentionRule) {
        let process = account(address, policy);
        let certificate = RetentionCertificate {
            version: sotto_crypto::VERSION,
            suite: sotto_crypto::SUITE,
            network: process.domain(),
            address: process.address.clone(),
            identity: process.identity.clone(),
            issued_at_ms: 0,
            expires_at_ms,
        };
        let rule = RetentionRule {
            policy: "archive".into(),
            address: process.address.clone(),
            certificate: Signed::sign(&certificate, policy),
            scope: Scope::AllUsers,
            enabled: true,
        };
        (process, rule)
    }
}

fn prekey(account: &Account, expires_at_ms: u64) -> Prekey {
    let (batch, _) =
        generate_prekeys(&mut SystemRng, &account.device_key, account.device, PrekeyKind::OneTime, 1, 0, expires_at_ms);
    batch.prekey(0).unwrap()
}

/// A list of these devices, of which the first signs.
fn device_list(devices: &[&Account], serial: u64) -> Signed<DeviceList> {
    let by = devices[0];
    let list = next_list(&by.address, devices.iter().map(|one| own::listed(one)).collect(), serial - 1, 0);
    Signed::sign(&list, by.identity_key())
}

fn user(account: &Account, role: RecipientRole) -> RecipientUser {
    RecipientUser {
        address: account.address.clone(),
        identity: account.identity.clone(),
        role,
        devices: device_list(&[account], NOW),
        prekeys: vec![prekey(account, u64::MAX)],
        membership: None,
        voucher: None,
    }
}

/// What the operator says of somebody who has registered.
fn membership(account: &Account) -> MembershipDocument {
    let identity = Established { invited_at_ms: 3, identity: account.identity.fingerprint() };
    MembershipDocument {
        version: 1,
        serial: 5,
        address: account.address.clone(),
        group: "staff".into(),
        identity: Some(identity),
        invite: None,
        devices_from_ms: 0,
        name: None,
    }
}

/// Somebody who is written to, in the group `staff`.
fn member(account: &Account) -> RecipientUser {
    RecipientUser { membership: Some(listed(&membership(account))), ..user(account, RecipientRole::Addressed) }
}

/// A document in a directory of its own.
fn listed(document: &MembershipDocument) -> Listed<MembershipDocument> {
    let payload = sotto_crypto::encode(document);
    let tree = MerkleTree::new(vec![Listed::<MembershipDocument>::leaf(&payload)]);
    Listed::new(&tree, 0, payload).unwrap()
}

/// Puts the memberships of this network's users into one directory with the network's document.
fn list(
    users: &mut [RecipientUser],
    network: &NetworkDocument,
    key: &PolicyKey,
) -> (Listed<NetworkDocument>, Signed<DirectoryHead>) {
    let payload = sotto_crypto::encode(network);
    let mut leaves = vec![Listed::<NetworkDocument>::leaf(&payload)];
    let mut of_network: Vec<_> = users.iter_mut().filter(|user| user.address.domain() == network.domain).collect();
    let known: Vec<_> = of_network.iter_mut().filter_map(|user| user.membership.as_mut()).collect();
    leaves.extend(known.iter().map(|listed| Listed::<MembershipDocument>::leaf(listed.payload())));
    let tree = MerkleTree::new(leaves);
    for (index, membership) in (1..).zip(known) {
        *membership = Listed::new(&tree, index, membership.payload().to_vec()).unwrap();
    }
    let head = DirectoryHead {
        version: 1,
        domain: network.domain.clone(),
        serial: 1,
        count: tree.count(),
        root: tree.root(),
        created_at_ms: NOW,
        expires_at_ms: NOW + HEAD_LIFE_MS,
    };
    (Listed::new(&tree, 0, payload).unwrap(), Signed::sign(&head, key))
}

/// What our own relay answers.
fn answer(mut users: Vec<RecipientUser>, key: &PolicyKey) -> Recipients {
    let (_, head) = list(&mut users, &network_document("x.example", 1), key);
    Recipients { users, networks: Vec::new(), head: Some(head) }
}

fn other_identity(of: &Account, policy: &PolicyKey) -> Account {
    account(of.address.as_str(), policy)
}

#[test]
fn a_good_answer_pins_and_gives_recipients() {
    let world = World::new();
    let bob = account("bob@x.example", &world.policy);
    let checked = world.check(&[&bob], &answer(vec![member(&bob)], &world.policy)).unwrap();
    assert_eq!(checked.recipients.len(), 1);
    assert_eq!((checked.identities[0].address(), checked.identities[0].identity()), (&bob.address, &bob.identity));
    assert!(checked.retained_by.is_empty());
}

#[test]
fn nobody_may_be_added_left_out_or_repeated() {
    let world = World::new();
    let (bob, eve) = (account("bob@x.example", &world.policy), account("eve@x.example", &world.policy));
    let both = answer(vec![member(&bob), member(&eve)], &world.policy);
    assert!(
        matches!(world.check(&[&bob], &both), Err(Error::Trust(TrustError::AddedRecipient(a))) if a == eve.address)
    );
    let as_own = answer(vec![member(&bob), user(&eve, RecipientRole::Own)], &world.policy);
    assert!(matches!(world.check(&[&bob], &as_own), Err(Error::Trust(TrustError::AddedRecipient(_)))));
    let twice = answer(vec![member(&bob), member(&bob)], &world.policy);
    assert!(matches!(world.check(&[&bob], &twice), Err(Error::Trust(TrustError::RepeatedRecipient(_)))));
    let missing = answer(vec![member(&bob)], &world.policy);
    assert!(
        matches!(world.check(&[&bob, &eve], &missing), Err(Error::Refused(Refusal::Unregistered(a))) if a == [eve.address.clone()])
    );
    let mut without_device = answer(vec![member(&bob)], &world.policy);
    without_device.users[0].prekeys.clear();
    assert!(matches!(world.check(&[&bob], &without_device), Err(Error::Refused(Refusal::Unregistered(_)))));
    assert!(matches!(world.check(&[], &answer(Vec::new(), &world.policy)), Err(Error::Refused(Refusal::NoRecipients))));
}

#[test]
fn devices_must_be_certified_by_the_identity_and_prekeys_by_the_device() {
    let world = World::new();
    let (bob, eve) = (account("bob@x.example", &world.policy), account("eve@x.example", &world.policy));
    let mut foreign = answer(vec![member(&bob)], &world.policy);
    foreign.users[0].devices = device_list(&[&eve], NOW);
    assert!(matches!(world.check(&[&bob], &foreign), Err(Error::Trust(TrustError::Device { .. }))));
    let mut others = answer(vec![member(&bob)], &world.policy);
    others.users[0].prekeys = vec![prekey(&eve, u64::MAX)];
    assert!(matches!(world.check(&[&bob], &others), Err(Error::Trust(TrustError::Device { .. }))));
    let mut expired = answer(vec![member(&bob)], &world.policy);
    expired.users[0].prekeys = vec![prekey(&bob, NOW)];
    let late = world.check(&[&bob], &expired);
    assert!(matches!(late, Err(Error::Trust(TrustError::PrekeyTime { expired: true, .. }))));
    let mut twice = answer(vec![member(&bob)], &world.policy);
    twice.users[0].prekeys.push(prekey(&bob, u64::MAX));
    assert!(matches!(world.check(&[&bob], &twice), Err(Error::Trust(TrustError::Device { .. }))));
}

/// Another device of the same user.
fn another(of: &Account) -> Account {
    let identity = IdentityKey::from_bytes(&of.identity_key().to_bytes()).unwrap();
    let (address, endpoint, policy_key) = (of.address.clone(), of.endpoint.clone(), of.policy_key.clone());
    Account::new_device(&mut SystemRng, address, endpoint, policy_key, identity, "another".into(), 1)
}

#[test]
fn a_device_that_was_removed_is_not_sealed_to_again() {
    let mut world = World::new();
    let bob = account("bob@x.example", &world.policy);
    let stolen = another(&bob);
    let shown = |devices: &[&Account], serial| {
        let prekeys = devices.iter().map(|one| prekey(one, u64::MAX)).collect();
        let devices = device_list(devices, serial);
        answer(vec![RecipientUser { devices, prekeys, ..member(&bob) }], &world.policy)
    };
    let both = shown(&[&bob, &stolen], NOW);
    let checked = world.check(&[&bob], &both).unwrap();
    assert_eq!(checked.recipients.len(), 2);
    world.lists.extend(checked.learned.lists);
    let checked = world.check(&[&bob], &shown(&[&bob], NOW + 1)).unwrap();
    assert_eq!(checked.recipients.len(), 1);
    world.lists.retain(|known| known.address != bob.address);
    world.lists.extend(checked.learned.lists);
    let refused = |answer: &Recipients, why: ListProblem| {
        let checked = world.check(&[&bob], answer);
        matches!(checked, Err(Error::Trust(TrustError::Devices { address, problem })) if address == bob.address && problem == why)
    };
    // The relay shows the list of before, or another one of the same time; or a prekey of who is not in the list.
    assert!(refused(&both, ListProblem::Older));
    assert!(refused(&shown(&[&bob, &stolen], NOW + 1), ListProblem::Other));
    // Or a newer one, which a new device has made from the one before.
    assert!(refused(&shown(&[&bob, &stolen, &another(&bob)], NOW + 2), ListProblem::PutBack));
    let mut put_back = shown(&[&bob], NOW + 1);
    put_back.users[0].devices = device_list(&[&bob], NOW + 2);
    put_back.users[0].prekeys.push(prekey(&stolen, u64::MAX));
    assert!(matches!(world.check(&[&bob], &put_back), Err(Error::Trust(TrustError::Device { .. }))));
    // The administrator has removed all devices since.
    let document = MembershipDocument { devices_from_ms: NOW + 3, ..membership(&bob) };
    let membership = Some(listed(&document));
    let user = shown(&[&bob], NOW + 2).users.remove(0);
    assert!(refused(&answer(vec![RecipientUser { membership, ..user }], &world.policy), ListProblem::Reset));
}

#[test]
fn only_the_own_list_that_is_known_counts() {
    let world = World::new();
    let bob = account("bob@x.example", &world.policy);
    let laptop = another(&world.alice);
    let own = |devices: &[&Account], serial| RecipientUser {
        devices: device_list(devices, serial),
        prekeys: vec![prekey(&laptop, u64::MAX)],
        ..user(&world.alice, RecipientRole::Own)
    };
    for shown in [own(&[&world.alice, &laptop], NOW + 1), own(&[&world.alice], NOW - 1)] {
        let users = vec![member(&bob), shown];
        assert!(matches!(
            world.check(&[&bob], &answer(users, &world.policy)),
            Err(Error::Trust(TrustError::OwnDevices))
        ));
    }
    // Nor does it help to leave them out.
    let without = answer(vec![member(&bob)], &world.policy);
    assert!(matches!(world.check_as_shown(&[&bob], &without), Err(Error::Trust(TrustError::OwnDevices))));
}

#[test]
fn own_devices_stand_under_the_own_identity() {
    let world = World::new();
    let (bob, impostor) = (account("bob@x.example", &world.policy), other_identity(&world.alice, &world.policy));
    let users = vec![member(&bob), user(&impostor, RecipientRole::Own)];
    assert!(matches!(world.check(&[&bob], &answer(users, &world.policy)), Err(Error::Trust(TrustError::OwnIdentity))));
    // The sending device itself is no recipient.
    let prekeys = vec![prekey(&world.alice, u64::MAX)];
    let users = vec![member(&bob), RecipientUser { prekeys, ..world.own() }];
    assert!(matches!(
        world.check(&[&bob], &answer(users, &world.policy)),
        Err(Error::Trust(TrustError::Device { .. }))
    ));
}

#[test]
fn retention_needs_a_rule_and_a_certificate() {
    let mut world = World::new();
    let bob = account("bob@x.example", &world.policy);
    let (process, rule) = World::retention("retention@x.example", &world.policy, u64::MAX);
    let with = |process: &Account| answer(vec![member(&bob), user(process, RecipientRole::Retention)], &world.policy);
    // Without a rule it is just somebody added.
    assert!(matches!(world.check(&[&bob], &with(&process)), Err(Error::Trust(TrustError::Retention { .. }))));
    world.document.retention = vec![rule.clone()];
    assert_eq!(world.check(&[&bob], &with(&process)).unwrap().retained_by, std::slice::from_ref(&process.address));
    // Another identity than the certified one.
    let impostor = other_identity(&process, &world.policy);
    assert!(matches!(world.check(&[&bob], &with(&impostor)), Err(Error::Trust(TrustError::Retention { .. }))));
    // Left out: refused by ourselves, as long as the rule covers us.
    let without = answer(vec![member(&bob)], &world.policy);
    assert!(matches!(world.check(&[&bob], &without), Err(Error::Refused(Refusal::RetentionMissing { .. }))));
    world.document.retention[0].scope = Scope::Groups(vec!["others".into()]);
    world.check(&[&bob], &without).unwrap();
    world.check(&[&bob], &with(&process)).unwrap();
    // It covers bob's group, so that it may not be left out either; and only the policy key says what his group is.
    let in_group = |group: &str| {
        let document = MembershipDocument { group: group.into(), ..membership(&bob) };
        let membership = Some(listed(&document));
        answer(vec![RecipientUser { membership, ..member(&bob) }], &world.policy)
    };
    let left_out = world.check(&[&bob], &in_group("others"));
    assert!(matches!(left_out, Err(Error::Refused(Refusal::RetentionMissing { .. }))));
    let checked = world.check(&[&bob], &in_group("staff")).unwrap();
    assert_eq!((checked.learned.memberships[0].group.as_str(), checked.learned.memberships[0].serial), ("staff", 5));
    let mut forged = in_group("staff");
    forged.users[0].membership = Some(listed(&MembershipDocument { group: "others".into(), ..membership(&bob) }));
    assert!(matches!(world.check(&[&bob], &forged), Err(Error::Trust(TrustError::Document { .. }))));
    let mut without_head = in_group("staff");
    without_head.head = None;
    assert!(matches!(world.check(&[&bob], &without_head), Err(Error::Trust(TrustError::Document { .. }))));
    let mut under_another_key = in_group("staff");
    under_another_key.head = answer(Vec::new(), &PolicyKey::generate(&mut SystemRng)).head;
    assert!(matches!(world.check(&[&bob], &under_another_key), Err(Error::Trust(TrustError::Document { .. }))));
    let mut unknown = answer(vec![user(&bob, RecipientRole::Addressed)], &world.policy);
    unknown.users[0].membership = None;
    assert!(matches!(world.check(&[&bob], &unknown), Err(Error::Trust(TrustError::Document { .. }))));
    // Switched off, it is no recipient.
    world.document.retention[0].enabled = false;
    assert!(matches!(world.check(&[&bob], &with(&process)), Err(Error::Trust(TrustError::Retention { .. }))));
    // Expired, or under another policy key.
    let (expired, rule) = World::retention("retention@x.example", &world.policy, NOW);
    world.document.retention = vec![rule];
    assert!(matches!(world.check(&[&bob], &with(&expired)), Err(Error::Trust(TrustError::RetentionTime { .. }))));
    let (foreign, rule) = World::retention("retention@x.example", &PolicyKey::generate(&mut SystemRng), u64::MAX);
    world.document.retention = vec![rule];
    assert!(matches!(world.check(&[&bob], &with(&foreign)), Err(Error::Trust(TrustError::Retention { .. }))));
}

#[test]
fn the_retention_process_of_a_peer_stands_under_the_peers_policy_key() {
    let mut world = World::new();
    let theirs = PolicyKey::generate(&mut SystemRng);
    let bob = account("bob@y.example", &theirs);
    let (process, rule) = World::retention("retention@y.example", &theirs, u64::MAX);
    let mut document = network_document("y.example", 1);
    document.retention = vec![rule];
    let mut users = vec![member(&bob), user(&process, RecipientRole::Retention)];
    let (document, head) = list(&mut users, &document, &theirs);
    let info = NetworkInfo { policy_key: theirs.verifying_key(), document, head };
    let own = answer(Vec::new(), &world.policy).head;
    let with = Recipients { users: users.clone(), networks: vec![info.clone()], head: own.clone() };
    // Our own network must name the peer.
    assert!(matches!(world.check(&[&bob], &with), Err(Error::Trust(TrustError::Document { .. }))));
    world.document.federation.enabled = true;
    let rule = PeerRule { domain: domain("y.example"), policy_key: theirs.verifying_key().fingerprint() };
    world.document.federation.peers = vec![rule];
    let checked = world.check(&[&bob], &with).unwrap();
    assert_eq!((checked.retained_by.len(), checked.learned.heads.len()), (1, 2));
    // Without its network's document nothing of it can be checked.
    assert!(matches!(
        world.check(&[&bob], &answer(users.clone(), &world.policy)),
        Err(Error::Trust(TrustError::Document { .. }))
    ));
    // It listens to everybody over there, so it may be left out neither with the document nor without.
    let without = |networks| Recipients { users: users[..1].to_vec(), networks, head: own.clone() };
    let left_out = world.check(&[&bob], &without(vec![info.clone()]));
    assert!(matches!(left_out, Err(Error::Refused(Refusal::RetentionMissing { .. }))));
    assert!(matches!(world.check(&[&bob], &without(Vec::new())), Err(Error::Trust(TrustError::Document { .. }))));
    // Among ourselves it has no business.
    let carol = account("carol@x.example", &world.policy);
    let among = answer(vec![member(&carol), user(&process, RecipientRole::Retention)], &world.policy);
    let added = world.check(&[&carol], &Recipients { networks: vec![info], ..among });
    assert!(matches!(added, Err(Error::Trust(TrustError::Retention { .. }))));
    let mut forged = with;
    forged.networks[0].policy_key = world.policy.verifying_key();
    assert!(matches!(world.check(&[&bob], &forged), Err(Error::Trust(TrustError::Document { .. }))));
}

#[test]
fn an_identity_key_of_ones_own_making_is_no_retention_certificate() {
    // The type of the signer keeps the roles apart; this pins that the label does too.
    let world = World::new();
    assert_ne!(
        world.policy.verifying_key().fingerprint(),
        IdentityKey::from_bytes(&world.policy.to_bytes()).unwrap().verifying_key().fingerprint()
    );
}

#[test]
fn nobody_is_written_to_under_an_identity_that_nobody_vouches_for() {
    let world = World::new();
    let bob = account("bob@x.example", &world.policy);
    // The relay shows an identity of its own making, with devices that it certifies.
    let false_bob = other_identity(&bob, &world.policy);
    let RecipientUser { identity, devices, .. } = member(&false_bob);
    let refused = |user: RecipientUser| {
        let checked = world.check(&[&bob], &answer(vec![user], &world.policy));
        matches!(checked, Err(Error::Trust(TrustError::NotVouchedFor(who))) if who == bob.address)
    };
    let forged = || RecipientUser { identity: identity.clone(), devices: devices.clone(), ..member(&bob) };
    assert!(refused(forged()));
    // With a voucher, while an invite is open: only under its key.
    let (invite, other) = (InviteSecret::generate(&mut SystemRng).key(), InviteSecret::generate(&mut SystemRng).key());
    let open = OpenInvite { invited_at_ms: 9, key: invite.verifying_key() };
    let document = MembershipDocument { identity: None, invite: Some(open), ..membership(&bob) };
    let invited = Some(listed(&document));
    let with = |key: &InviteKey, of: &Account, user: RecipientUser| {
        let voucher = Some(Signed::sign(&Voucher::new(bob.address.clone(), of.identity.clone()), key));
        RecipientUser { membership: invited.clone(), voucher, ..user }
    };
    assert!(refused(with(&other, &false_bob, forged())));
    assert!(refused(with(&invite, &bob, forged())));
    assert!(refused(RecipientUser { membership: invited.clone(), ..member(&bob) }), "held back");
    let good = with(&invite, &bob, member(&bob));
    let checked = world.check(&[&bob], &answer(vec![good], &world.policy)).unwrap();
    assert_eq!(checked.identities[0].identity(), &bob.identity);
}

#[test]
fn who_counts_in_rooms_only_is_told_nothing_by_signals() {
    let world = World::new();
    let bob = account("bob@x.example", &world.policy);
    let answer = answer(vec![user(&bob, RecipientRole::Addressed)], &world.policy);
    let asked = [bob.address.clone()];
    let pin = |vouched: &Vouched| identity::judge(None, vouched, 1, SeenIn::Room).pin.unwrap();
    let reached =
        |pin: Pin| signalled(&world.alice, &mut Known::new(), (&[pin], &[]), &asked, &answer, NOW).unwrap().len();
    assert_eq!(reached(pin(&vouched(&bob.address, &bob.identity))), 1);
    assert_eq!(reached(pin(&Vouched::gone(bob.address.clone(), bob.identity.clone()))), 0);
}
