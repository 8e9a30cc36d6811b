//! What `make wasm` runs under Node: that the library as WebAssembly, with RustCrypto and the host's random numbers, does what the
//! native one does. An ordinary program, since a host can call the `main` of one as it is: nothing to export, so nothing unsafe.
//! It has no output there; the number that it ends with is the place of the failed check in [`CHECKS`], from 1.

use std::error::Error;
use std::process::ExitCode;

use data_encoding::HEXLOWER;
use serde_json::Value;
use sotto_crypto::{
    Address, BatchId, DeviceCertificate, DeviceId, DeviceKey, IdentityKey, IdentityPublic, MessageId, PrekeyKind,
    PrekeyRef, PrekeySecret, SealedHeader, Sender, Signed, SystemRng, WrappedKey, decode_strict, encode,
    generate_prekeys, open, safety_number, seal, verify_device,
};
use sotto_wire::content::{Body, Content, Conversation};

type Checked = Result<(), Box<dyn Error>>;

/// What it shows, and how.
type Check = (&'static str, fn() -> Checked);

const CHECKS: [Check; 3] =
    [("a safety number", a_safety_number), ("a message of the vectors", a_known_message), ("a new message", a_message)];

fn main() -> ExitCode {
    for (number, (name, check)) in (1..).zip(CHECKS) {
        if let Err(error) = check() {
            eprintln!("{name}: {error}");
            return ExitCode::from(number);
        }
    }
    ExitCode::SUCCESS
}

fn ensure(holds: bool, what: &str) -> Checked {
    if holds { Ok(()) } else { Err(what.into()) }
}

fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str, Box<dyn Error>> {
    value.pointer(pointer).and_then(Value::as_str).ok_or_else(|| format!("no {pointer}").into())
}

fn bytes(value: &Value, pointer: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    Ok(HEXLOWER.decode(text(value, pointer)?.as_bytes())?)
}

fn id(value: &Value, pointer: &str) -> Result<[u8; 16], Box<dyn Error>> {
    Ok(bytes(value, pointer)?.as_slice().try_into()?)
}

/// Two people see the number that they see on any other device.
fn a_safety_number() -> Checked {
    let vector: Value = serde_json::from_str(include_str!("../../../crypto/vectors/derivation.json"))?;
    let person = |name: &str| -> Result<_, Box<dyn Error>> {
        let person = &vector["safety_number"][name];
        Ok((Address::parse(text(person, "/address")?)?, IdentityPublic::from_bytes(&bytes(person, "/identity")?)?))
    };
    let (a, b) = (person("a")?, person("b")?);
    let number = safety_number(&a.0, &a.1, &b.0, &b.1).to_string();
    ensure(number == text(&vector, "/safety_number/number")?, "another number")
}

/// A message that was sealed elsewhere opens.
fn a_known_message() -> Checked {
    let vector: Value = serde_json::from_str(include_str!("../../../crypto/vectors/message.json"))?;
    let header: SealedHeader = decode_strict(&bytes(&vector, "/header")?)?;
    let to = &vector["recipients"][0];
    let (address, device) = (Address::parse(text(to, "/address")?)?, DeviceId::from_bytes(id(to, "/device")?));
    let index = u32::try_from(to["index"].as_u64().ok_or("no index")?)?;
    let prekey = PrekeyRef { batch: BatchId::from_bytes(id(to, "/batch")?), index };
    let secret = PrekeySecret::from_bytes(&bytes(to, "/prekey_secret")?)?;
    let wrap = WrappedKey::from_bytes(&bytes(to, "/wrap")?)?;
    let opened = open(&header, &bytes(&vector, "/body")?, (&address, device), prekey, &secret, &wrap)?;
    ensure(*opened.content == bytes(&vector, "/content")?, "another content")
}

/// A content travels from one new device to another: random numbers, signatures, prekeys, both directions of sealing, documents.
fn a_message() -> Checked {
    let rng = &mut SystemRng;
    let now_ms = 1_700_000_000_000;
    let device = |address: &str| -> Result<_, Box<dyn Error>> {
        let (address, identity) = (Address::parse(address)?, IdentityKey::generate(&mut SystemRng));
        let (id, key) = (DeviceId::generate(&mut SystemRng), DeviceKey::generate(&mut SystemRng));
        let certificate = DeviceCertificate::new(address.clone(), id, key.verifying_key(), now_ms);
        let certificate = Signed::sign(&certificate, &identity);
        Ok((address, identity.verifying_key(), id, key, certificate))
    };
    let (alice, alice_identity, alice_device, alice_key, alice_certificate) = device("alice@chat.acme.example")?;
    let (bob, bob_identity, bob_device, bob_key, bob_certificate) = device("bob@chat.acme.example")?;
    ensure(alice_identity != bob_identity && alice_device != bob_device, "numbers that are not random")?;
    let (batch, secrets) =
        generate_prekeys(rng, &bob_key, bob_device, PrekeyKind::OneTime, 4, now_ms, now_ms + 86_400_000);
    batch.verify(&bob_key.verifying_key())?;
    let prekey = batch.prekey(3).ok_or("no prekey")?;
    let recipient = verify_device(&bob_identity, &bob_certificate)?.with_prekey(&prekey, now_ms)?;

    let conversation = Conversation::of([alice.clone(), bob.clone()]).ok_or("no conversation")?;
    let content = Content::new(conversation, now_ms, Body::Text("grüß Gott".to_owned()));
    let sender = Sender {
        address: &alice,
        device: alice_device,
        key: &alice_key,
        identity: &alice_identity,
        certificate: &alice_certificate,
    };
    let message = MessageId::generate(rng);
    let sealed = seal(rng, &sender, message, &encode(&content), &[recipient])?;
    let header: SealedHeader = decode_strict(&encode(&sealed.header))?;
    let wrap = sealed.wraps.first().ok_or("no wrap")?;
    let secret = secrets.get(usize::try_from(wrap.prekey.index)?).ok_or("no secret")?;
    let to = (&bob, bob_device);
    let opened = open(&header, &sealed.body, to, wrap.prekey, secret, &wrap.key)?;
    ensure(decode_strict::<Content>(&opened.content)? == content, "another content")?;
    ensure(opened.identity == alice_identity, "another sender")?;

    let mut body = sealed.body.clone();
    *body.last_mut().ok_or("no body")? ^= 1;
    ensure(open(&header, &body, to, wrap.prekey, secret, &wrap.key).is_err(), "a changed message opens")
}
