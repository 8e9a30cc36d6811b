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

use std::error::Error;
use std::fmt::Debug;
use std::io::{BufRead, Write};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sotto_crypto::{
    Address, AttachmentKey, CertificateError, DeviceCertificate, DeviceId, DeviceKey, DevicePublic, IdentityKey,
    IdentityPublic, MessageId, Prekey, PrekeyBatch, PrekeyError, PrekeyKind, PrekeySecret, Recipient, SealedHeader,
    Sender, Signed, SystemRng, Wrap, decode_strict, encode, generate_prekeys, open, open_stream, safety_number, seal,
    seal_stream, verify_device,
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
        other => Err(format!("no such operation: {other}").into()),
    }
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
