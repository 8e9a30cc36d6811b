//! A recorded message. Every implementation of the suite has to open it, and so has every later version of this crate.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sotto_crypto::*;

use crate::common::{Person, TestRng};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/message.json");

fn record() -> Value {
    let mut rng = TestRng(70);
    let alice = Person::new(&mut rng, "alice@chat.acme.example");
    let bob = Person::new(&mut rng, "bob@chat.acme.example");
    let carol = Person::new(&mut rng, "carol@other.example");
    let recipients = [bob.recipient(0), carol.recipient(2)];
    let message = MessageId::generate(&mut rng);
    let content = b"recorded for those who come later";
    let sealed = seal(&mut rng, &alice.sender(), message, content, &recipients).unwrap();
    let (mut attachment, clear) = (Vec::new(), b"a small attachment");
    let (attachment_key, _) = seal_stream(&mut rng, &mut clear.as_slice(), &mut attachment).unwrap();
    let recipient = |person: &Person| {
        let wrap = person.wrap(&sealed);
        json!({
            "wrap": HEXLOWER.encode(&encode(wrap)),
            "prekey_secret": HEXLOWER.encode(&person.secrets[wrap.prekey.index as usize].to_bytes()),
            "prekey": HEXLOWER.encode(&encode(&person.batch.prekey(wrap.prekey.index).unwrap())),
            "identity": HEXLOWER.encode(person.identity_public.as_bytes()),
            "certificate": HEXLOWER.encode(&person.certificate.to_bytes()),
        })
    };
    json!({
        "note": "Test keys. Hexadecimal; header, wrap, prekey and certificate are CBOR.",
        "sender": {
            "address": alice.address.as_str(),
            "identity": HEXLOWER.encode(alice.identity_public.as_bytes()),
            "fingerprint": alice.identity_public.fingerprint().to_string(),
        },
        "header": HEXLOWER.encode(&encode(&sealed.header)),
        "body": HEXLOWER.encode(&sealed.body),
        "content": HEXLOWER.encode(content),
        "recipients": [recipient(&bob), recipient(&carol)],
        "safety_number":
            safety_number(&alice.address, &alice.identity_public, &bob.address, &bob.identity_public).to_string(),
        "attachment": {
            "key": HEXLOWER.encode(&attachment_key.to_bytes()),
            "sealed": HEXLOWER.encode(&attachment),
            "clear": HEXLOWER.encode(clear),
        },
    })
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} is missing"))
}

fn bytes(value: &Value, pointer: &str) -> Vec<u8> {
    HEXLOWER.decode(text(value, pointer).as_bytes()).unwrap()
}

fn read() -> Value {
    serde_json::from_str(&std::fs::read_to_string(PATH).unwrap()).unwrap()
}

/// To make a new record, on a change of the protocol only: `cargo test -p sotto-crypto -- --ignored record_anew`.
#[test]
#[ignore = "writes the vector"]
fn record_anew() {
    std::fs::write(PATH, serde_json::to_string_pretty(&record()).unwrap() + "\n").unwrap();
}

#[test]
fn the_recorded_message_opens() {
    let vector = read();
    let header: SealedHeader = decode_strict(&bytes(&vector, "/header")).unwrap();
    let body = bytes(&vector, "/body");
    let sender = IdentityPublic::from_bytes(&bytes(&vector, "/sender/identity")).unwrap();
    assert_eq!(sender.fingerprint().to_string(), text(&vector, "/sender/fingerprint"));
    assert_eq!(header.sender.as_str(), text(&vector, "/sender/address"));

    for recipient in vector["recipients"].as_array().unwrap() {
        let wrap: Wrap = decode_strict(&bytes(recipient, "/wrap")).unwrap();
        let secret = PrekeySecret::from_bytes(&bytes(recipient, "/prekey_secret")).unwrap();
        let opened = open(&header, &body, (&wrap.address, wrap.device), wrap.prekey, &secret, &wrap.key).unwrap();
        assert_eq!(*opened.content, bytes(&vector, "/content"));
        assert_eq!(opened.identity, sender);

        let identity = IdentityPublic::from_bytes(&bytes(recipient, "/identity")).unwrap();
        let certificate = Signed::from_bytes(&bytes(recipient, "/certificate")).unwrap();
        let device = verify_device(&identity, &certificate).unwrap();
        let prekey: Prekey = decode_strict(&bytes(recipient, "/prekey")).unwrap();
        assert_eq!(prekey.key, secret.public());
        assert_eq!(device.with_prekey(&prekey, device.created_at_ms()).unwrap().prekey(), wrap.prekey);
    }

    let bob: Wrap = decode_strict(&bytes(&vector, "/recipients/0/wrap")).unwrap();
    let identity = IdentityPublic::from_bytes(&bytes(&vector, "/recipients/0/identity")).unwrap();
    let number = safety_number(&header.sender, &sender, &bob.address, &identity);
    assert_eq!(number.to_string(), text(&vector, "/safety_number"));
}

#[test]
fn the_recorded_attachment_opens() {
    let vector = read();
    let key = AttachmentKey::from_bytes(&bytes(&vector, "/attachment/key")).unwrap();
    let mut clear = Vec::new();
    open_stream(&key, &mut bytes(&vector, "/attachment/sealed").as_slice(), &mut clear).unwrap();
    assert_eq!(clear, bytes(&vector, "/attachment/clear"));
}
