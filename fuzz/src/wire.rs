//! The decoders of `sotto-wire`: every message, and the text forms.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sotto_crypto::{Document, Signed, decode_strict};
use sotto_wire::ApiError;
use sotto_wire::admin;
use sotto_wire::api::{NetworkInfo, RegisterStarted};
use sotto_wire::invite::Invite;
use sotto_wire::policy::{GroupDocument, NetworkDocument};

use crate::Target;
use crate::crypto::strict;
use crate::wire_samples::SAMPLES;

pub(crate) fn targets() -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for sample in SAMPLES.iter() {
        let name = format!("wire/{}", sample.name);
        if let Some(target) = targets.iter_mut().find(|target| target.name == name) {
            target.seeds.push(sample.bytes.clone());
            continue;
        }
        let again = sample.again;
        targets.push(Target::new(name, vec![sample.bytes.clone()], move |data| fuzz_message(again, data)));
    }
    let network = sample::<NetworkInfo>("NetworkInfo").document;
    let group = sample::<RegisterStarted>("RegisterStarted").group;
    targets.push(Target::new(
        "wire/network document",
        vec![network.payload().to_vec()],
        fuzz_document::<NetworkDocument>,
    ));
    targets.push(Target::new("wire/group document", vec![group.payload().to_vec()], fuzz_document::<GroupDocument>));
    let key = "aebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4qa";
    let invites = [
        format!("sotto://relay.example:8443/join?user=alice@chat.acme.example&code=abcd-efgh&key={key}"),
        format!("sotto://127.0.0.1:1/join?user=a@b&code=x&key={key}&tls=off"),
        format!("sotto://[::1]:1/join?user=a@b&code=x&key={key}&ca={}", "0f".repeat(32)),
    ];
    targets.push(Target::new("wire/invite", invites.map(String::into_bytes).to_vec(), fuzz_invite));
    let errors =
        [r#"{"code":"recipients_changed","message":"x"}"#, r#"{"code":"new","message":"","retryAfterSeconds":5}"#];
    targets.push(Target::new("wire/error", errors.map(|text| text.as_bytes().to_vec()).to_vec(), fuzz_api_error));
    let user = br#"{"group":"staff","suspended":false,"role":"Person","invite":{"codeDigest":"00","expiresAtMs":5}}"#;
    targets.push(Target::new("wire/admin", vec![br#"{"document":"AAEC"}"#.to_vec(), user.to_vec()], fuzz_admin));
    targets
}

fn sample<T>(name: &str) -> T
where
    T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>,
{
    decode_strict(&SAMPLES.iter().find(|sample| sample.name == name).unwrap().bytes).unwrap()
}

/// The payload of a signed document.
fn fuzz_document<T: Document>(data: &[u8]) {
    strict::<T>(data);
    // As it is looked at before it is verified.
    if let Ok(signed) = Signed::<T>::from_bytes(data) {
        drop(signed.unverified());
    }
}

/// A binary message: whatever decodes has been the one form.
fn fuzz_message(again: fn(&[u8]) -> Option<Vec<u8>>, data: &[u8]) {
    if let Some(again) = again(data) {
        assert_eq!(again, data, "a second form was taken");
    }
}

/// An invite: what is read is what would be written.
pub(crate) fn fuzz_invite(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(invite) = text.parse::<Invite>() {
        let url = invite.to_url();
        assert!(
            url.parse::<Invite>().is_ok_and(|again| again == invite),
            "an invite changes when it is written: {url}"
        );
    }
}

/// The relay's error answers.
pub(crate) fn fuzz_api_error(data: &[u8]) {
    json::<ApiError>(data);
}

/// What the operator sends to the relay.
pub(crate) fn fuzz_admin(data: &[u8]) {
    json::<admin::PutNetwork>(data);
    json::<admin::PutGroup>(data);
    json::<admin::PutUser>(data);
}

/// What is read, written and read again is the same.
fn json<T: Serialize + DeserializeOwned + PartialEq>(data: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<T>(data) {
        let text = serde_json::to_vec(&value).unwrap();
        assert!(
            serde_json::from_slice::<T>(&text).is_ok_and(|again| again == value),
            "JSON changes when it is written"
        );
    }
}
