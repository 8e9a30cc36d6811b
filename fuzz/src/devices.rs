//! The decoders of what goes between two devices of one user.

use sotto_crypto::{
    Address, HistoryAnswer, IdentityPublic, LinkCode, LinkKeys, LinkOffer, LinkPurpose, LinkSecret, RecoveryKey,
    Signed, VaultKey, decode_strict, open_vault,
};
use sotto_wire::link::LinkUrl;

use crate::Target;
use crate::crypto::strict;
use crate::seeds::{bytes, read, refusals};

pub(crate) fn targets() -> Vec<Target> {
    let vault = read(include_str!("../../crypto/vectors/vault.json"));
    let link = read(include_str!("../../crypto/vectors/link.json"));
    let history = read(include_str!("../../crypto/vectors/history.json"));
    let text = |value: &serde_json::Value, field: &str| value[field].as_str().unwrap().to_owned();
    let names =
        [text(&link, "code"), text(&vault, "recovery_key"), "sotto://h:1/link?user=a@x&identity=a&key=b".into()];
    let key = VaultKey::from_export_key(&bytes(&vault, "/password/secret").try_into().unwrap());
    let address = Address::parse(vault["password"]["address"].as_str().unwrap()).unwrap();
    let good_vault = bytes(&vault, "/password/vault");
    let mut vaults = refusals("vault", "vault");
    vaults.push(good_vault.clone());
    let keys =
        |value: &serde_json::Value, purpose| LinkKeys::new(&LinkCode::parse(&text(value, "code")).unwrap(), purpose);
    let secret = |value: &serde_json::Value| LinkSecret::from_bytes(&bytes(value, "/receiver_secret")).unwrap();
    let offer = |value: &serde_json::Value| decode_strict::<LinkOffer>(&bytes(value, "/offer_document")).unwrap();
    let (device_keys, device_secret, device_offer) = (keys(&link, LinkPurpose::Device), secret(&link), offer(&link));
    let (history_keys, history_secret, history_offer) =
        (keys(&history, LinkPurpose::History), secret(&history), offer(&history));
    let identity = IdentityPublic::from_bytes(&bytes(&history, "/device/identity")).unwrap();
    let good = [
        bytes(&link, "/offer"),
        bytes(&link, "/answer"),
        bytes(&history, "/answer"),
        bytes(&history, "/notes/0/sealed"),
    ];
    let mut sealed = refusals("link offer", "bytes");
    sealed.extend(refusals("link answer", "bytes"));
    sealed.extend(good.clone());
    let documents =
        vec![bytes(&link, "/offer_document"), bytes(&history, "/offer_document"), bytes(&history, "/answer_document")];
    vec![
        Target::new("crypto/codes", names.map(String::into_bytes).to_vec(), fuzz_codes),
        Target::new("crypto/vault", vaults, move |data| {
            assert!(open_vault(&key, &address, data).is_err() || data == good_vault, "a forged vault");
        }),
        Target::new("crypto/link", sealed, move |data| {
            let forged = device_keys.open_offer(data).is_ok()
                || device_keys.open_device(&device_secret, &device_offer, data).is_ok()
                || history_keys.open_history(&history_secret, &history_offer, &identity, data).is_ok()
                || history_keys.open_note(2, data).is_ok();
            assert!(!forged || good.iter().any(|good| good == data), "forged without the code");
        }),
        Target::new("crypto/link documents", documents, |data| {
            strict::<LinkOffer>(data);
            strict::<HistoryAnswer>(data);
            strict::<Signed<LinkOffer>>(data);
        }),
    ]
}

/// Text that people type or paste.
fn fuzz_codes(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(code) = LinkCode::parse(text) {
        let shown = code.to_text();
        assert_eq!(*LinkCode::parse(&shown).unwrap().to_text(), *shown);
    }
    if let Ok(key) = RecoveryKey::parse(text) {
        let shown = key.to_text();
        assert_eq!(*RecoveryKey::parse(&shown).unwrap().to_text(), *shown);
    }
    if let Ok(link) = text.parse::<LinkUrl>() {
        assert_eq!(link.to_url().parse::<LinkUrl>(), Ok(link));
    }
}
