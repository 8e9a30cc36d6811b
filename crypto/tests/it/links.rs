//! Vaults, links and what is handed over on them.

use crate::common::{Person, TestRng};
use sotto_crypto::*;

fn offer(person: &Person, keys: &LinkKeys, purpose: LinkPurpose, secret: &LinkSecret) -> LinkOffer {
    LinkOffer {
        version: VERSION,
        suite: SUITE,
        purpose,
        link: keys.id(),
        address: person.address.clone(),
        device: person.device,
        key: person.key.verifying_key(),
        receiver: secret.public(),
        label: "laptop".into(),
        certificate: Some(person.certificate.clone()),
    }
}

#[test]
fn a_vault_opens_with_its_key_for_its_user_only() {
    let mut rng = TestRng(70);
    let alice = Person::new(&mut rng, "alice@a.example");
    let bob = Address::parse("bob@a.example").unwrap();
    let (password, other) = (VaultKey::from_export_key(&[1; 64]), VaultKey::from_export_key(&[2; 64]));
    let recovery = RecoveryKey::generate(&mut rng);
    let typed = VaultKey::from_recovery_key(&RecoveryKey::parse(&recovery.to_text()).unwrap());
    for (key, wrong) in [(&password, &other), (&typed, &password)] {
        let vault = seal_vault(&mut rng, key, &alice.address, &alice.identity);
        assert!(vault.len() < 128);
        let opened = open_vault(key, &alice.address, &vault).unwrap();
        assert_eq!(opened.verifying_key(), alice.identity.verifying_key());
        assert_eq!(open_vault(wrong, &alice.address, &vault).err(), Some(VaultError::Unopenable));
        assert_eq!(open_vault(key, &bob, &vault).err(), Some(VaultError::Unopenable));
        let mut changed = vault.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(open_vault(key, &alice.address, &changed).err(), Some(VaultError::Unopenable));
        changed[1] = 1;
        assert!(matches!(open_vault(key, &alice.address, &changed), Err(VaultError::Unsupported(_))));
        assert!(matches!(open_vault(key, &alice.address, &vault[1..]), Err(VaultError::Decode(_))));
    }
}

#[test]
fn an_identity_is_handed_over_to_who_has_the_code() {
    let mut rng = TestRng(71);
    let alice = Person::new(&mut rng, "alice@a.example");
    let code = LinkCode::generate(&mut rng);
    let keys = LinkKeys::new(&code, LinkPurpose::Device);
    let secret = LinkSecret::generate(&mut rng);
    let made = LinkOffer { certificate: None, ..offer(&alice, &keys, LinkPurpose::Device, &secret) };
    let sealed = keys.seal_offer(&mut rng, &Signed::sign(&made, &alice.key));

    let typed = LinkKeys::new(&LinkCode::parse(&code.to_text().to_lowercase()).unwrap(), LinkPurpose::Device);
    let seen = typed.open_offer(&sealed).unwrap();
    assert_eq!(seen, made);
    assert_eq!(seen.certified(&alice.identity.verifying_key()), Err(LinkError::Forged), "it has no certificate yet");
    let answer = typed.answer_device(&mut rng, &seen, &alice.identity).unwrap();
    let taken = keys.open_device(&secret, &made, &answer).unwrap();
    assert_eq!(taken.verifying_key(), alice.identity.verifying_key());

    // Another code, another purpose, another receiver, another offer.
    let other_code = LinkCode::generate(&mut rng);
    let another = LinkKeys::new(&other_code, LinkPurpose::Device);
    let history = LinkKeys::new(&code, LinkPurpose::History);
    assert!(another.id() != keys.id() && history.id() != keys.id() && keys.further_id(1) != keys.further_id(2));
    assert_eq!(another.open_offer(&sealed), Err(LinkError::Unopenable));
    assert_eq!(history.open_offer(&sealed), Err(LinkError::Unopenable));
    assert_eq!(another.open_device(&secret, &made, &answer).err(), Some(LinkError::Unopenable));
    assert!(keys.open_device(&LinkSecret::generate(&mut rng), &made, &answer).is_err());
    let relabelled = LinkOffer { label: "phone".into(), ..made.clone() };
    assert!(keys.open_device(&secret, &relabelled, &answer).is_err());
    for place in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[place] ^= 1;
        assert_eq!(keys.open_offer(&changed), Err(LinkError::Unopenable));
    }
    // Under the code, but not by the key that it names; or for another link.
    let other_key = DeviceKey::generate(&mut rng);
    let forged = keys.seal_offer(&mut rng, &Signed::sign(&made, &other_key));
    assert_eq!(keys.open_offer(&forged), Err(LinkError::Forged));
    let elsewhere = LinkOffer { link: another.id(), ..made.clone() };
    let forged = keys.seal_offer(&mut rng, &Signed::sign(&elsewhere, &alice.key));
    assert_eq!(keys.open_offer(&forged), Err(LinkError::Forged));
    let newer = keys.seal_offer(&mut rng, &Signed::sign(&LinkOffer { suite: 2, ..made }, &alice.key));
    assert!(matches!(keys.open_offer(&newer), Err(LinkError::Unsupported(_))));
}

#[test]
fn a_history_comes_from_a_device_of_the_same_user() {
    let mut rng = TestRng(72);
    let (alice, eve) = (Person::new(&mut rng, "alice@a.example"), Person::new(&mut rng, "alice@a.example"));
    let keys = LinkKeys::new(&LinkCode::generate(&mut rng), LinkPurpose::History);
    let secret = LinkSecret::generate(&mut rng);
    let made = offer(&alice, &keys, LinkPurpose::History, &secret);
    let identity = alice.identity.verifying_key();
    let sent = keys.seal_offer(&mut rng, &Signed::sign(&made, &alice.key));
    let seen = keys.open_offer(&sent).unwrap();
    seen.certified(&identity).unwrap();
    assert_eq!(seen.certified(&eve.identity.verifying_key()), Err(LinkError::Forged));
    let other = LinkOffer { device: DeviceId::generate(&mut rng), ..seen.clone() };
    assert_eq!(other.certified(&identity), Err(LinkError::Forged));

    let mut sealed = Vec::new();
    let (key, _) = seal_stream(&mut rng, &mut b"history".as_slice(), &mut sealed).unwrap();
    let answer = |by: &Person, link| HistoryAnswer {
        version: VERSION,
        suite: SUITE,
        link,
        address: by.address.clone(),
        device: by.device,
        certificate: by.certificate.clone(),
        label: "old".into(),
        size: sealed.len() as u64,
        digest: digest(&sealed),
        records: 1,
    };
    let said = answer(&alice, keys.id());
    let good = keys.answer_history(&mut rng, &seen, &key, Signed::sign(&said, &alice.key)).unwrap();
    let (taken, heard) = keys.open_history(&secret, &made, &identity, &good).unwrap();
    assert_eq!(heard, said);
    let mut clear = Vec::new();
    open_stream(&taken, &mut sealed.as_slice(), &mut clear).unwrap();
    assert_eq!(clear, b"history");

    let refused = |said: &HistoryAnswer, key_of: &Person| {
        let bytes = keys.answer_history(&mut TestRng(73), &seen, &key, Signed::sign(said, &key_of.key)).unwrap();
        keys.open_history(&secret, &made, &identity, &bytes).err()
    };
    assert_eq!(refused(&answer(&eve, keys.id()), &eve), Some(LinkError::Forged), "under another identity");
    assert_eq!(refused(&said, &eve), Some(LinkError::Forged), "signed by another key");
    assert_eq!(refused(&answer(&alice, keys.further_id(1)), &alice), Some(LinkError::Forged), "of another link");
    assert_eq!(
        keys.open_history(&LinkSecret::generate(&mut rng), &made, &identity, &good).err(),
        Some(LinkError::Unopenable)
    );
}

#[test]
fn notes_are_for_their_slot() {
    let mut rng = TestRng(74);
    let keys = LinkKeys::new(&LinkCode::generate(&mut rng), LinkPurpose::History);
    let note = keys.seal_note(&mut rng, 2, 7);
    assert_eq!(keys.open_note(2, &note), Ok(7));
    assert_eq!(keys.open_note(3, &note), Err(LinkError::Unopenable));
    assert_eq!(keys.open_note(2, &note[..5]), Err(LinkError::Unopenable));
}
