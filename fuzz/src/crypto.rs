//! The decoders of `sotto-crypto`.

use std::sync::LazyLock;

use sotto_crypto::{
    Address, AttachmentKey, BatchId, DeviceCertificate, DeviceId, DeviceList, DevicePublic, Domain, Fingerprint,
    IdentityKey, IdentityPublic, Known, OpenError, Prekey, PrekeyBatch, PrekeyPublic, PrekeyRef, PrekeySecret,
    RetentionCertificate, SEALED_CHUNK, SealedHeader, Signature, Signed, Wrap, WrappedKey, decode_strict, encode, open,
    open_stream, verify_device, verify_devices,
};

use crate::Target;
use crate::reference::{self, Draft, Pair};
use crate::seeds::{bytes, device_list, message, prekeys, refusals};

pub(crate) fn targets() -> Vec<Target> {
    let (sealed, batch) = (message(), prekeys());
    let mut points = refusals("point", "bytes");
    points.extend([bytes(&batch, "/keys/0/public"), bytes(&batch, "/keys/0/secret"), bytes(&sealed, "/signature")]);
    let mut headers = refusals("header", "bytes");
    headers.push(bytes(&sealed, "/header"));
    let mut certificates = refusals("certificate", "document");
    certificates.push(bytes(&sealed, "/sender/certificate"));
    let mut lists = refusals("device list", "document");
    lists.extend([bytes(&device_list(), "/document"), bytes(&device_list(), "/payload")]);
    let names = ["alice@chat.acme.example", "A.b+c-d_e@x", "chat.acme.example", "10.0.0.1", "a.b.@c", &"a2".repeat(26)];
    let body = bytes(&sealed, "/clear_body");
    let wrap = Wrap {
        address: Address::parse("bob@chat.acme.example").unwrap(),
        device: DeviceId::from_bytes([1; 16]),
        prekey: PrekeyRef { batch: BatchId::from_bytes([2; 16]), index: 300 },
        key: WrappedKey::from_bytes(&[3; 48]).unwrap(),
    };
    vec![
        Target::new("crypto/names", names.map(|name| name.as_bytes().to_vec()).to_vec(), fuzz_names),
        Target::new("crypto/keys", points, fuzz_keys),
        Target::new("crypto/header", headers, fuzz_header),
        Target::new("crypto/wrap", vec![encode(&wrap)], fuzz_wrap),
        Target::new("crypto/certificate", certificates, fuzz_certificate),
        Target::new("crypto/device list", lists, fuzz_device_list),
        Target::new("crypto/retention certificate", refusals("retention certificate", "document"), fuzz_retention),
        Target::new("crypto/prekey batch", vec![bytes(&batch, "/batch")], fuzz_prekey_batch),
        Target::new("crypto/prekey", vec![bytes(&batch, "/keys/2/prekey")], fuzz_prekey),
        Target::new("crypto/delivery", vec![delivery(&sealed)], fuzz_delivery),
        Target::new("crypto/body", vec![unpadded(&body)], fuzz_body),
        Target::new("crypto/clear body", vec![body], fuzz_clear_body),
        Target::new("crypto/attachment", vec![vec![7; 40], vec![]], fuzz_attachment),
    ]
}

/// Whatever decodes has been the one form.
pub(crate) fn strict<T>(data: &[u8]) -> Option<T>
where
    T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>,
{
    let value = decode_strict::<T>(data).ok()?;
    assert_eq!(encode(&value), data, "a second form was taken");
    Some(value)
}

/// Text that people type.
pub(crate) fn fuzz_names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(address) = Address::parse(text) {
        assert_eq!(address.as_str(), text.to_ascii_lowercase());
        assert_eq!(Address::new(address.local(), &address.domain()), Ok(address.clone()));
        assert!(strict::<Address>(&encode(&address)).is_some());
    }
    if let Ok(domain) = Domain::parse(text) {
        assert_eq!(domain.as_str(), text.to_ascii_lowercase());
        assert!(strict::<Domain>(&encode(&domain)).is_some());
    }
    if let Ok(fingerprint) = text.parse::<Fingerprint>() {
        assert_eq!(fingerprint.to_string(), text.to_ascii_lowercase());
    }
    if let Ok(device) = text.parse::<DeviceId>() {
        assert_eq!(device.to_string(), text);
    }
    strict::<Address>(data);
    strict::<Domain>(data);
}

/// Keys and signatures as bytes.
pub(crate) fn fuzz_keys(data: &[u8]) {
    let point = PrekeyPublic::from_bytes(data);
    assert_eq!(point.is_ok(), IdentityPublic::from_bytes(data).is_ok());
    if let Ok(point) = point {
        assert_eq!(point.as_bytes().as_slice(), data);
    }
    if let Ok(secret) = PrekeySecret::from_bytes(data) {
        assert_eq!(secret.to_bytes().as_slice(), data);
        assert!(PrekeyPublic::from_bytes(secret.public().as_bytes()).is_ok());
    }
    if let Ok(signature) = Signature::from_bytes(data) {
        static KEY: LazyLock<DevicePublic> =
            LazyLock::new(|| DevicePublic::from_bytes(&Pair::named("fuzz").point).unwrap());
        assert!(KEY.verify("label", b"message", &signature).is_err(), "a forged signature");
    }
}

/// The header of a message.
pub(crate) fn fuzz_header(data: &[u8]) {
    strict::<SealedHeader>(data);
}

/// The wrap of a message.
pub(crate) fn fuzz_wrap(data: &[u8]) {
    strict::<Wrap>(data);
}

/// A device's certificate.
pub(crate) fn fuzz_certificate(data: &[u8]) {
    if let Some(signed) = strict::<Signed<DeviceCertificate>>(data)
        && let Ok(certificate) = signed.unverified()
    {
        assert_eq!(encode(&certificate), signed.payload());
    }
    strict::<DeviceCertificate>(data);
}

/// A retention certificate.
pub(crate) fn fuzz_retention(data: &[u8]) {
    if let Some(signed) = strict::<Signed<RetentionCertificate>>(data)
        && let Ok(certificate) = signed.unverified()
    {
        assert_eq!(encode(&certificate), signed.payload());
    }
    strict::<RetentionCertificate>(data);
}

/// A list of devices: nothing but what was signed verifies; and whatever is signed has the one form, or does not count.
pub(crate) fn fuzz_device_list(data: &[u8]) {
    let vector = device_list();
    let identity = IdentityKey::from_bytes(&bytes(&vector, "/identity_secret")).unwrap();
    let public = identity.verifying_key();
    if let Some(signed) = strict::<Signed<DeviceList>>(data)
        && verify_devices(&public, &signed).is_ok()
    {
        assert_eq!(signed.payload(), bytes(&vector, "/payload"), "another list than the one that was signed");
    }
    if let Some(list) = strict::<DeviceList>(data)
        && let Ok(devices) = verify_devices(&public, &Signed::sign(&list, &identity))
    {
        assert!(devices.devices().is_sorted_by(|a, b| a.device() < b.device()), "a device twice");
    }
}

/// A batch of prekeys, as a device uploads it.
pub(crate) fn fuzz_prekey_batch(data: &[u8]) {
    if let Some(batch) = strict::<PrekeyBatch>(data) {
        let key = DevicePublic::from_bytes(&bytes(&prekeys(), "/device/device_key")).unwrap();
        if batch.verify(&key).is_ok() {
            assert_eq!(batch.keys.len(), 5, "another batch than the one that was signed");
        }
    }
}

/// A prekey, as a relay hands it out: nothing verifies but the keys of the batch.
pub(crate) fn fuzz_prekey(data: &[u8]) {
    let Some(prekey) = strict::<Prekey>(data) else { return };
    let vector = prekeys();
    let identity = IdentityPublic::from_bytes(&bytes(&vector, "/device/identity")).unwrap();
    let certificate = Signed::from_bytes(&bytes(&vector, "/device/certificate")).unwrap();
    let now = vector["now_ms"].as_u64().unwrap();
    let device = verify_device(&identity, &certificate).unwrap();
    let Ok(recipient) = Known::new().recipient(&device, &prekey, now) else { return };
    let key = &vector["keys"][recipient.prekey().index as usize];
    assert_eq!(prekey.key.as_bytes().as_slice(), bytes(key, "/public"), "a key that was not signed");
}

/// Lengths of header and wrap, header, wrap, body: what a device gets.
fn delivery(sealed: &serde_json::Value) -> Vec<u8> {
    let (header, wrap) = (bytes(sealed, "/header"), bytes(sealed, "/recipients/0/wrap"));
    let lengths = [u8::try_from(header.len() - 200).unwrap(), u8::try_from(wrap.len()).unwrap()];
    [lengths.as_slice(), &header, &wrap, &bytes(sealed, "/body")].concat()
}

/// A message as it comes from the relay: only the one that was sealed opens.
pub(crate) fn fuzz_delivery(data: &[u8]) {
    let Some(([header, wrap], rest)) = data.split_first_chunk::<2>() else { return };
    let Some((header, rest)) = rest.split_at_checked(usize::from(*header) + 200) else { return };
    let Some((wrap, body)) = rest.split_at_checked(usize::from(*wrap)) else { return };
    let (Some(header), Ok(wrap)) = (strict::<SealedHeader>(header), WrappedKey::from_bytes(wrap)) else { return };
    let vector = message();
    let to = &vector["recipients"][0];
    let address = Address::parse(to["address"].as_str().unwrap()).unwrap();
    let device = DeviceId::from_bytes(bytes(to, "/device").try_into().unwrap());
    let batch = BatchId::from_bytes(bytes(to, "/batch").try_into().unwrap());
    let index = u32::try_from(to["index"].as_u64().unwrap()).unwrap();
    let secret = PrekeySecret::from_bytes(&bytes(to, "/prekey_secret")).unwrap();
    if let Ok(opened) = open(&header, body, (&address, device), PrekeyRef { batch, index }, &secret, &wrap) {
        assert_eq!(*opened.content, bytes(&vector, "/content"), "another message than the one that was sealed");
    }
}

/// Somebody who has a content key, and a message of theirs in which everything fits but the body.
struct Forger {
    draft: Draft,
    address: Address,
    device: DeviceId,
    prekey: PrekeyRef,
    secret: PrekeySecret,
    wrap: WrappedKey,
    header: SealedHeader,
    body: Vec<u8>,
}

static FORGER: LazyLock<Forger> = LazyLock::new(|| {
    let vector = message();
    let to = &vector["recipients"][0];
    let text = |pointer: &str| vector.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let key: [u8; 32] = bytes(&vector, "/content_key").try_into().unwrap();
    let header: SealedHeader = decode_strict(&bytes(&vector, "/header")).unwrap();
    let draft = Draft {
        version: 2,
        suite: 1,
        network: header.network.to_string(),
        message: *header.message.as_bytes(),
        sender: text("/sender/address"),
        device: *header.device.as_bytes(),
        ephemeral: Pair::named("ephemeral key"),
        content_key: key,
        commitment: reference::commitment(&key),
        content: Vec::new(),
        recipients: Vec::new(),
        identity: [0; 133],
        certificate: Vec::new(),
        signer: Pair::named("nobody"),
    };
    assert_eq!(draft.header(), encode(&header));
    Forger {
        draft,
        address: Address::parse(to["address"].as_str().unwrap()).unwrap(),
        device: DeviceId::from_bytes(bytes(to, "/device").try_into().unwrap()),
        prekey: PrekeyRef {
            batch: BatchId::from_bytes(bytes(to, "/batch").try_into().unwrap()),
            index: u32::try_from(to["index"].as_u64().unwrap()).unwrap(),
        },
        secret: PrekeySecret::from_bytes(&bytes(to, "/prekey_secret")).unwrap(),
        wrap: WrappedKey::from_bytes(&bytes(to, "/wrap")).unwrap(),
        header,
        body: bytes(&vector, "/clear_body"),
    }
});

fn unpadded(clear: &[u8]) -> Vec<u8> {
    let (length, rest) = clear.split_first_chunk::<4>().unwrap();
    rest[..u32::from_be_bytes(*length) as usize].to_vec()
}

/// What is inside a body, under a content key that fits: nothing but the body that was signed is taken.
pub(crate) fn fuzz_body(data: &[u8]) {
    fuzz_clear_body(&reference::pad(data));
}

/// The same with the padding.
pub(crate) fn fuzz_clear_body(data: &[u8]) {
    let forger = &*FORGER;
    let body = forger.draft.sealed_as(data);
    let me = (&forger.address, forger.device);
    let opened = open(&forger.header, &body, me, forger.prekey, &forger.secret, &forger.wrap);
    match opened {
        // The other form of the signature (`n - s`) would be good too, but nothing here finds it.
        Ok(_) => assert_eq!(data, forger.body, "another body than the one that was signed"),
        Err(error) => assert!(matches!(error, OpenError::Unopenable | OpenError::Forged | OpenError::NotListed)),
    }
}

/// An attachment: the key is fixed, so that nothing opens.
pub(crate) fn fuzz_attachment(data: &[u8]) {
    let key = AttachmentKey::from_bytes(&[5; 32]).unwrap();
    assert!(open_stream(&key, &mut &data[..], &mut std::io::sink()).is_err());
    // Long ones from short ones, so that chunks are cut.
    if let Some(byte) = data.first() {
        let long = vec![*byte; SEALED_CHUNK * 2 + data.len()];
        assert!(open_stream(&key, &mut long.as_slice(), &mut std::io::sink()).is_err());
    }
    if let Ok(certificate) = Signed::from_bytes(data) {
        let identity = IdentityPublic::from_bytes(&Pair::named("fuzz").point).unwrap();
        assert!(verify_device(&identity, &certificate).is_err());
    }
}
