//! The library as a service of JSON lines, for implementations in other languages to talk to: one request a line on standard
//! input, one answer a line on standard output. Byte strings are hexadecimal; an answer is `{"error": KIND}` where the
//! library refuses. Used by `e2e/interop/`. Keeps nothing and is no tool for real keys: secrets travel in clear.
//!
//! | op | fields | answer |
//! |---|---|---|
//! | `about` | | `implementation` |
//! | `device` | `address`, `identity_secret`, `count`, `now_ms`, `expires_ms` | `identity`, `device`, `device_secret`, `certificate`, `batch`, `prekeys`, `prekey_secrets` |
//! | `check_prekey` | `identity`, `certificate`, `prekey`, `now_ms` | `index` |
//! | `check_batch` | `device_key`, `batch` | `count` |
//! | `seal` | `sender` (a device), `content`, `recipients` (`identity`, `certificate`, `prekey`), `now_ms` | `header`, `body`, `wraps` |
//! | `open` | `header`, `body`, `wrap`, `prekey_secret` | `content`, `identity`, `recipients` |
//! | `names` | `a`, `b` (`address`, `identity`) | `fingerprint` of a, `safety_number` |
//! | `seal_attachment` | `clear` | `key`, `sealed` |
//! | `open_attachment` | `key`, `sealed` | `clear` |
//! | `seal_vault` | `kind`, `secret`, `address`, `identity_secret` | `vault` |
//! | `open_vault` | `kind`, `secret`, `address`, `vault` | `identity_secret` |
//! | `recovery_key` | `text` | `text` |
//! | `new_code` | | `code` |
//! | `link` | `code`, `purpose` | `code`, `link`, `further` (number 3) |
//! | `offer` | `code`, `purpose`, `device` | `document`, `offer`, `receiver_secret` |
//! | `open_offer` | `code`, `purpose`, `offer` | `document` |
//! | `answer_device` | `code`, `document`, `identity_secret` | `answer` |
//! | `open_device` | `code`, `document`, `receiver_secret`, `answer` | `identity_secret` |
//! | `answer_history` | `code`, `document`, `file_key`, `device`, `size`, `digest`, `records` | `answer` |
//! | `open_history` | `code`, `document`, `receiver_secret`, `identity`, `answer` | `file_key`, `answer_document` |
//! | `note` | `code`, `slot`, `note` | `sealed` |
//! | `open_note` | `code`, `slot`, `sealed` | `note` |

use std::error::Error;
use std::fmt::Debug;
use std::io::{BufRead, Write};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sotto_crypto::{
    Address, AttachmentKey, CertificateError, DeviceCertificate, DeviceId, DeviceKey, DevicePublic, HistoryAnswer,
    IdentityKey, IdentityPublic, LinkCode, LinkKeys, LinkOffer, LinkPurpose, LinkSecret, MessageId, Prekey,
    PrekeyBatch, PrekeyError, PrekeyKind, PrekeySecret, Recipient, RecoveryKey, SealedHeader, Sender, Signed,
    SystemRng, VaultError, VaultKey, Wrap, decode_strict, encode, generate_prekeys, open, open_stream, open_vault,
    safety_number, seal, seal_stream, seal_vault, verify_device,
};

type Answer = Result<Value, Box<dyn Error>>;

/// A refusal of the library; its text is the kind.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refusal(String);

/// The name of the error alone: `Unopenable`, `Proof`.
fn refused(error: impl Debug) -> Refusal {
    let debug = format!("{error:?}");
    Refusal(debug.split(['(', ' ', '{']).next().unwrap_or_default().to_owned())
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn text<'a>(request: &'a Value, name: &str) -> Result<&'a str, Box<dyn Error>> {
    request[name].as_str().ok_or_else(|| format!("the field `{name}` is missing").into())
}

fn bytes(request: &Value, name: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    Ok(HEXLOWER.decode(text(request, name)?.as_bytes())?)
}

fn number(request: &Value, name: &str) -> Result<u64, Box<dyn Error>> {
    request[name].as_u64().ok_or_else(|| format!("the field `{name}` is missing").into())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let answer = match answer(&request) {
            Ok(answer) => answer,
            Err(error) => match error.downcast::<Refusal>() {
                Ok(refusal) => json!({"error": refusal.0}),
                Err(error) => return Err(error),
            },
        };
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}

fn answer(request: &Value) -> Answer {
    match text(request, "op")? {
        "about" => Ok(json!({"implementation": if cfg!(feature = "rustcrypto") { "rustcrypto" } else { "aws-lc" }})),
        "device" => device(request),
        "check_prekey" => Ok(json!({"index": recipient(request, number(request, "now_ms")?)?.prekey().index})),
        "check_batch" => {
            let batch: PrekeyBatch = decode_strict(&bytes(request, "batch")?).map_err(refused)?;
            let key = DevicePublic::from_bytes(&bytes(request, "device_key")?).map_err(refused)?;
            Ok(json!({"count": batch.verify(&key).map_err(refused)?.count}))
        }
        "seal" => sealed(request),
        "open" => opened(request),
        "names" => names(request),
        "seal_attachment" => {
            let (clear, mut sealed) = (bytes(request, "clear")?, Vec::new());
            let (key, _) = seal_stream(&mut SystemRng, &mut clear.as_slice(), &mut sealed).map_err(refused)?;
            Ok(json!({"key": hex(&key.to_bytes()), "sealed": hex(&sealed)}))
        }
        "open_attachment" => {
            let key = AttachmentKey::from_bytes(&bytes(request, "key")?).map_err(refused)?;
            let (sealed, mut clear) = (bytes(request, "sealed")?, Vec::new());
            open_stream(&key, &mut sealed.as_slice(), &mut clear).map_err(refused)?;
            Ok(json!({"clear": hex(&clear)}))
        }
        _ => devices(request),
    }
}

/// What is between two devices of one user.
fn devices(request: &Value) -> Answer {
    let rng = &mut SystemRng;
    let purpose = if request["purpose"] == 0 { LinkPurpose::Device } else { LinkPurpose::History };
    let keys = |purpose| -> Result<LinkKeys, Refusal> {
        let code = LinkCode::parse(request["code"].as_str().unwrap_or_default()).map_err(refused)?;
        Ok(LinkKeys::new(&code, purpose))
    };
    let document = || -> Result<LinkOffer, Box<dyn Error>> { Ok(decode_strict(&bytes(request, "document")?)?) };
    let receiver =
        || -> Result<LinkSecret, Box<dyn Error>> { Ok(LinkSecret::from_bytes(&bytes(request, "receiver_secret")?)?) };
    match text(request, "op")? {
        "seal_vault" => {
            let identity = IdentityKey::from_bytes(&bytes(request, "identity_secret")?)?;
            let address = Address::parse(text(request, "address")?)?;
            Ok(json!({"vault": hex(&seal_vault(rng, &vault_key(request)?, &address, &identity))}))
        }
        "open_vault" => {
            let address = Address::parse(text(request, "address")?)?;
            let identity =
                open_vault(&vault_key(request)?, &address, &bytes(request, "vault")?).map_err(|error| match error {
                    VaultError::Unsupported(inner) => refused(inner),
                    other => refused(other),
                })?;
            Ok(json!({"identity_secret": hex(&identity.to_bytes())}))
        }
        "recovery_key" => {
            let key = RecoveryKey::parse(text(request, "text")?).map_err(refused)?;
            Ok(json!({"text": *key.to_text()}))
        }
        "new_code" => Ok(json!({"code": *LinkCode::generate(rng).to_text()})),
        "link" => {
            let (code, keys) = (LinkCode::parse(text(request, "code")?).map_err(refused)?, keys(purpose)?);
            let (link, further) = (keys.id().to_string(), keys.further_id(3).to_string());
            Ok(json!({"code": *code.to_text(), "link": link, "further": further}))
        }
        "offer" => offer(request, &keys(purpose)?, purpose),
        "open_offer" => {
            let offer = keys(purpose)?.open_offer(&bytes(request, "offer")?).map_err(refused)?;
            Ok(json!({"document": hex(&encode(&offer))}))
        }
        "answer_device" => {
            let identity = IdentityKey::from_bytes(&bytes(request, "identity_secret")?)?;
            let answer = keys(LinkPurpose::Device)?.answer_device(rng, &document()?, &identity).map_err(refused)?;
            Ok(json!({"answer": hex(&answer)}))
        }
        "open_device" => {
            let keys = keys(LinkPurpose::Device)?;
            let identity = keys.open_device(&receiver()?, &document()?, &bytes(request, "answer")?).map_err(refused)?;
            Ok(json!({"identity_secret": hex(&identity.to_bytes())}))
        }
        "answer_history" => answer_history(request, &keys(LinkPurpose::History)?, &document()?),
        "open_history" => {
            let identity = IdentityPublic::from_bytes(&bytes(request, "identity")?)?;
            let (key, answer) = keys(LinkPurpose::History)?
                .open_history(&receiver()?, &document()?, &identity, &bytes(request, "answer")?)
                .map_err(refused)?;
            Ok(json!({"file_key": hex(&key.to_bytes()), "answer_document": hex(&encode(&answer))}))
        }
        "note" => {
            let (slot, note) = (u32::try_from(number(request, "slot")?)?, number(request, "note")?);
            Ok(json!({"sealed": hex(&keys(LinkPurpose::History)?.seal_note(rng, slot, note))}))
        }
        "open_note" => {
            let (slot, sealed) = (u32::try_from(number(request, "slot")?)?, bytes(request, "sealed")?);
            let note = keys(LinkPurpose::History)?.open_note(slot, &sealed).map_err(refused)?;
            Ok(json!({"note": note}))
        }
        other => Err(format!("no such operation: {other}").into()),
    }
}

fn vault_key(request: &Value) -> Result<VaultKey, Box<dyn Error>> {
    let secret = bytes(request, "secret")?;
    if number(request, "kind")? == 0 {
        return Ok(VaultKey::from_export_key(secret.as_slice().try_into()?));
    }
    let key = RecoveryKey::from_bytes(secret.as_slice().try_into()?);
    Ok(VaultKey::from_recovery_key(&key))
}

type OwnDevice = (Address, DeviceId, DeviceKey, Signed<DeviceCertificate>);

/// A device as the operation `device` has made it.
fn own_device(request: &Value) -> Result<OwnDevice, Box<dyn Error>> {
    let device = &request["device"];
    let id: [u8; 16] = bytes(device, "device")?.as_slice().try_into()?;
    let key = DeviceKey::from_bytes(&bytes(device, "device_secret")?)?;
    let certificate = Signed::from_bytes(&bytes(device, "certificate")?)?;
    Ok((Address::parse(text(device, "address")?)?, DeviceId::from_bytes(id), key, certificate))
}

fn offer(request: &Value, keys: &LinkKeys, purpose: LinkPurpose) -> Answer {
    let (address, device, key, certificate) = own_device(request)?;
    let secret = LinkSecret::generate(&mut SystemRng);
    let offer = LinkOffer {
        version: 2,
        suite: 1,
        purpose,
        link: keys.id(),
        address,
        device,
        key: key.verifying_key(),
        receiver: secret.public(),
        label: "laptop".into(),
        certificate: (purpose == LinkPurpose::History).then_some(certificate),
    };
    let sealed = keys.seal_offer(&mut SystemRng, &Signed::sign(&offer, &key));
    Ok(json!({"document": hex(&encode(&offer)), "offer": hex(&sealed), "receiver_secret": hex(&secret.to_bytes())}))
}

fn answer_history(request: &Value, keys: &LinkKeys, offer: &LinkOffer) -> Answer {
    let (address, device, key, certificate) = own_device(request)?;
    let answer = HistoryAnswer {
        version: 2,
        suite: 1,
        link: keys.id(),
        address,
        device,
        certificate,
        label: "phone".into(),
        size: number(request, "size")?,
        digest: bytes(request, "digest")?.as_slice().try_into()?,
        records: number(request, "records")?,
    };
    let file_key = AttachmentKey::from_bytes(&bytes(request, "file_key")?)?;
    let signed = Signed::sign(&answer, &key);
    let answer = keys.answer_history(&mut SystemRng, offer, &file_key, signed).map_err(refused)?;
    Ok(json!({"answer": hex(&answer)}))
}

fn device(request: &Value) -> Answer {
    let rng = &mut SystemRng;
    let address = Address::parse(text(request, "address")?)?;
    let identity = IdentityKey::from_bytes(&bytes(request, "identity_secret")?)?;
    let (device, key) = (DeviceId::generate(rng), DeviceKey::generate(rng));
    let (now, expires) = (number(request, "now_ms")?, number(request, "expires_ms")?);
    let certificate = DeviceCertificate::new(address, device, key.verifying_key(), now);
    let count = u32::try_from(number(request, "count")?)?;
    let (batch, secrets) = generate_prekeys(rng, &key, device, PrekeyKind::OneTime, count, now, expires);
    let prekeys: Vec<_> = (0..count).filter_map(|index| batch.prekey(index)).map(|key| hex(&encode(&key))).collect();
    Ok(json!({
        "address": text(request, "address")?,
        "identity": hex(identity.verifying_key().as_bytes()),
        "device": hex(device.as_bytes()),
        "device_secret": hex(&key.to_bytes()),
        "certificate": hex(&Signed::sign(&certificate, &identity).to_bytes()),
        "batch": hex(&encode(&batch)),
        "prekeys": prekeys,
        "prekey_secrets": secrets.iter().map(|secret| hex(&secret.to_bytes())).collect::<Vec<_>>(),
    }))
}

fn recipient(request: &Value, now_ms: u64) -> Result<Recipient, Box<dyn Error>> {
    let identity = IdentityPublic::from_bytes(&bytes(request, "identity")?).map_err(refused)?;
    let certificate = Signed::from_bytes(&bytes(request, "certificate")?).map_err(refused)?;
    let prekey: Prekey = decode_strict(&bytes(request, "prekey")?).map_err(refused)?;
    let device = verify_device(&identity, &certificate).map_err(|error| match error {
        CertificateError::Verify(inner) => refused(inner),
        other => refused(other),
    })?;
    device.with_prekey(&prekey, now_ms).map_err(|error| match error {
        PrekeyError::Verify(inner) => refused(inner).into(),
        other => refused(other).into(),
    })
}

fn sealed(request: &Value) -> Answer {
    let sender = &request["sender"];
    let address = Address::parse(text(sender, "address")?)?;
    let key = DeviceKey::from_bytes(&bytes(sender, "device_secret")?)?;
    let identity = IdentityPublic::from_bytes(&bytes(sender, "identity")?)?;
    let certificate = Signed::from_bytes(&bytes(sender, "certificate")?)?;
    let device: [u8; 16] = bytes(sender, "device")?.as_slice().try_into()?;
    let device = DeviceId::from_bytes(device);
    let sender = Sender { address: &address, device, key: &key, identity: &identity, certificate: &certificate };
    let now = number(request, "now_ms")?;
    let recipients = request["recipients"].as_array().ok_or("the field `recipients` is missing")?;
    let recipients = recipients.iter().map(|to| recipient(to, now)).collect::<Result<Vec<_>, _>>()?;
    let message = MessageId::generate(&mut SystemRng);
    let content = bytes(request, "content")?;
    let sealed = seal(&mut SystemRng, &sender, message, &content, &recipients).map_err(refused)?;
    Ok(json!({
        "header": hex(&encode(&sealed.header)),
        "body": hex(&sealed.body),
        "wraps": sealed.wraps.iter().map(|wrap| hex(&encode(wrap))).collect::<Vec<_>>(),
    }))
}

fn opened(request: &Value) -> Answer {
    let header: SealedHeader = decode_strict(&bytes(request, "header")?).map_err(refused)?;
    let wrap: Wrap = decode_strict(&bytes(request, "wrap")?).map_err(refused)?;
    let secret = PrekeySecret::from_bytes(&bytes(request, "prekey_secret")?).map_err(refused)?;
    let me = (&wrap.address, wrap.device);
    let opened = open(&header, &bytes(request, "body")?, me, wrap.prekey, &secret, &wrap.key).map_err(refused)?;
    Ok(json!({
        "content": hex(&opened.content),
        "identity": hex(opened.identity.as_bytes()),
        "recipients": hex(&encode(&opened.recipients)),
    }))
}

fn names(request: &Value) -> Answer {
    let person = |name: &str| -> Result<(Address, IdentityPublic), Box<dyn Error>> {
        let person = &request[name];
        Ok((Address::parse(text(person, "address")?)?, IdentityPublic::from_bytes(&bytes(person, "identity")?)?))
    };
    let (a, b) = (person("a")?, person("b")?);
    Ok(json!({
        "fingerprint": a.1.fingerprint().to_string(),
        "safety_number": safety_number(&a.0, &a.1, &b.0, &b.1).to_string(),
    }))
}
