//! The vectors of `crypto/vectors`: the library agrees with all of them, whichever implementation of the suite it uses.

use data_encoding::HEXLOWER;
use serde_json::Value;
use sotto_crypto::*;

fn read(name: &str) -> Value {
    let path = format!("{}/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} is missing in {value}"))
}

fn bytes(value: &Value, pointer: &str) -> Vec<u8> {
    HEXLOWER.decode(text(value, pointer).as_bytes()).unwrap()
}

fn array<const N: usize>(value: &Value, pointer: &str) -> [u8; N] {
    bytes(value, pointer).try_into().unwrap()
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer} is missing in {value}"))
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).unwrap_or_else(|| panic!("{pointer} is missing"))
}

fn prekey_ref(value: &Value) -> PrekeyRef {
    let index = u32::try_from(number(value, "/index")).unwrap();
    PrekeyRef { batch: BatchId::from_bytes(array(value, "/batch")), index }
}

/// Opens with what a vector gives a device: secret, wrap, address, device.
fn open_for(header: &SealedHeader, body: &[u8], to: &Value) -> Result<Opened, OpenError> {
    let address = Address::parse(text(to, "/address")).unwrap();
    let device = DeviceId::from_bytes(array(to, "/device"));
    let secret = PrekeySecret::from_bytes(&bytes(to, "/prekey_secret")).unwrap();
    let wrap = WrappedKey::from_bytes(&bytes(to, "/wrap")).unwrap();
    open(header, body, (&address, device), prekey_ref(to), &secret, &wrap)
}

#[test]
fn keys_signatures_fingerprints_and_safety_numbers() {
    let vector = read("derivation");
    for key in list(&vector, "/keys") {
        let secret = PrekeySecret::from_bytes(&bytes(key, "/secret")).unwrap();
        assert_eq!(secret.public().as_bytes().as_slice(), bytes(key, "/public"));
        assert_eq!(*secret.to_bytes(), bytes(key, "/secret"));
    }
    let signature = &vector["signature"];
    let key = DeviceKey::from_bytes(&bytes(signature, "/secret")).unwrap();
    assert_eq!(key.verifying_key().as_bytes().as_slice(), bytes(signature, "/public"));
    let (label, message) = (text(signature, "/label"), bytes(signature, "/message"));
    let given = Signature::from_bytes(&bytes(signature, "/signature")).unwrap();
    assert_eq!(key.verifying_key().verify(label, &message, &given), Ok(()));
    assert_eq!(key.verifying_key().verify(label, &message, &key.sign(label, &message)), Ok(()));

    for fingerprint in list(&vector, "/fingerprints") {
        let key = bytes(fingerprint, "/key");
        let ours = match text(fingerprint, "/role") {
            "identity" => IdentityPublic::from_bytes(&key).unwrap().fingerprint(),
            "device" => DevicePublic::from_bytes(&key).unwrap().fingerprint(),
            "policy" => PolicyPublic::from_bytes(&key).unwrap().fingerprint(),
            other => panic!("what role is {other}?"),
        };
        assert_eq!(ours.to_string(), text(fingerprint, "/fingerprint"));
        assert_eq!(ours.as_bytes().as_slice(), bytes(fingerprint, "/digest"));
    }
    let person = |name: &str| {
        let address = Address::parse(text(&vector, &format!("/safety_number/{name}/address"))).unwrap();
        (address, IdentityPublic::from_bytes(&bytes(&vector, &format!("/safety_number/{name}/identity"))).unwrap())
    };
    let (a, b) = (person("a"), person("b"));
    assert_eq!(safety_number(&a.0, &a.1, &b.0, &b.1).to_string(), text(&vector, "/safety_number/number"));
}

fn verified(value: &Value) -> VerifiedDevice {
    let identity = IdentityPublic::from_bytes(&bytes(value, "/identity")).unwrap();
    verify_device(&identity, &Signed::from_bytes(&bytes(value, "/certificate")).unwrap()).unwrap()
}

#[test]
fn prekeys_and_their_proofs() {
    let vector = read("prekeys");
    let batch: PrekeyBatch = decode_strict(&bytes(&vector, "/batch")).unwrap();
    assert_eq!(encode(&batch.header), bytes(&vector, "/signed_header"));
    assert_eq!(batch.header.payload(), bytes(&vector, "/payload"));
    let header = batch.verify(&DevicePublic::from_bytes(&bytes(&vector, "/device/device_key")).unwrap()).unwrap();
    assert_eq!(header.root, array(&vector, "/header/root"));
    assert_eq!(header.device, DeviceId::from_bytes(array(&vector, "/header/device")));
    assert_eq!(header.batch, BatchId::from_bytes(array(&vector, "/header/batch")));
    assert_eq!(u64::from(header.count), number(&vector, "/header/count"));
    assert_eq!(header.created_at_ms, number(&vector, "/header/created_at_ms"));
    assert_eq!(header.expires_at_ms, number(&vector, "/header/expires_at_ms"));
    let device = verified(&vector["device"]);
    for (index, key) in (0..).zip(list(&vector, "/keys")) {
        let ours = batch.prekey(index).unwrap();
        assert_eq!(encode(&ours), bytes(key, "/prekey"));
        assert_eq!(ours.proof.len(), list(key, "/proof").len());
        assert_eq!(ours.key, PrekeySecret::from_bytes(&bytes(key, "/secret")).unwrap().public());
        let given: Prekey = decode_strict(&bytes(key, "/prekey")).unwrap();
        let recipient = device.with_prekey(&given, number(&vector, "/now_ms")).unwrap();
        assert_eq!(recipient.prekey().index, index);
    }
}

#[test]
fn a_list_of_devices() {
    let vector = read("device_list");
    let document: Signed<DeviceList> = decode_strict(&bytes(&vector, "/document")).unwrap();
    assert_eq!(document.payload(), bytes(&vector, "/payload"));
    let identity = IdentityPublic::from_bytes(&bytes(&vector, "/identity")).unwrap();
    let devices = verify_devices(&identity, &document).unwrap();
    assert_eq!(devices.address().as_str(), text(&vector, "/list/address"));
    assert_eq!(devices.serial(), number(&vector, "/list/serial"));
    assert_eq!(devices.expires_at_ms(), number(&vector, "/list/expires_at_ms"));
    let listed: Vec<ListedDevice> = list(&vector, "/list/devices")
        .iter()
        .map(|one| ListedDevice {
            device: DeviceId::from_bytes(array(one, "/device")),
            key: DevicePublic::from_bytes(&bytes(one, "/device_key")).unwrap(),
            since_ms: number(one, "/since_ms"),
        })
        .collect();
    for one in &listed {
        let device = devices.device(one.device).unwrap();
        assert_eq!((device.key(), device.created_at_ms()), (&one.key, one.since_ms));
    }
    let ours = DeviceList::new(devices.address().clone(), devices.serial(), devices.expires_at_ms(), listed);
    assert_eq!(encode(&ours), bytes(&vector, "/payload"));
}

#[test]
fn a_message_for_three_devices() {
    let vector = read("message");
    let header: SealedHeader = decode_strict(&bytes(&vector, "/header")).unwrap();
    let body = bytes(&vector, "/body");
    let sender = verified(&vector["sender"]);
    assert_eq!((&header.sender, header.device), (sender.address(), sender.device()));
    for to in list(&vector, "/recipients") {
        let opened = open_for(&header, &body, to).unwrap();
        assert_eq!(*opened.content, bytes(&vector, "/content"));
        assert_eq!(opened.identity.as_bytes().as_slice(), bytes(&vector, "/sender/identity"));
        assert_eq!(opened.certificate, sender);
        assert_eq!(encode(&opened.recipients), bytes(&vector, "/recipient_list"));
        let prekey: Prekey = decode_strict(&bytes(to, "/prekey")).unwrap();
        assert_eq!(verified(to).with_prekey(&prekey, number(&vector, "/now_ms")).unwrap().prekey(), prekey_ref(to));
    }
}

/// The sealed bytes of an attachment; the long ones are not in the file, but follow from key and clear text.
fn sealed_attachment(vector: &Value, name: &str) -> (AttachmentKey, Vec<u8>, Vec<u8>) {
    use aes_gcm::aead::Aead;
    use aes_gcm::{Aes256Gcm, KeyInit};

    let attachment = &vector[name];
    let key = bytes(attachment, "/key");
    let attachment_key = AttachmentKey::from_bytes(&key).unwrap();
    if name != "long" {
        return (attachment_key, bytes(attachment, "/clear"), bytes(attachment, "/sealed"));
    }
    let length = usize::try_from(number(attachment, "/clear_length")).unwrap();
    let clear: Vec<u8> = (0..length).map(|place| u8::try_from(place % 251).unwrap()).collect();
    let cipher = Aes256Gcm::new_from_slice(&key).unwrap();
    let mut sealed = Vec::new();
    for (part, chunk) in list(attachment, "/chunks").iter().zip(clear.chunks(CHUNK)) {
        let nonce: [u8; 12] = array(part, "/nonce");
        let chunk = cipher.encrypt(&nonce.into(), chunk).unwrap();
        assert_eq!(chunk.len() as u64, number(part, "/length"));
        assert_eq!(digest(&chunk), array(part, "/digest"));
        assert!(chunk.ends_with(&bytes(part, "/tag")));
        sealed.extend(chunk);
    }
    assert_eq!(digest(&sealed), array(attachment, "/sealed_digest"));
    (attachment_key, clear, sealed)
}

#[test]
fn attachments() {
    let vector = read("attachment");
    for name in ["short", "empty", "long"] {
        let (key, clear, sealed) = sealed_attachment(&vector, name);
        assert_eq!(sealed_len(clear.len() as u64), Some(sealed.len() as u64));
        let mut opened = Vec::new();
        open_stream(&key, &mut sealed.as_slice(), &mut opened).unwrap();
        assert_eq!(opened, clear, "{name}");
    }
}

/// What refuses a vector, by the name of its error; empty when nothing does.
fn refusal(case: &Value) -> String {
    fn name(error: &dyn std::fmt::Debug) -> String {
        let debug = format!("{error:?}");
        debug.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
    }
    fn inner<T>(result: Result<T, CertificateError>) -> String {
        match result {
            Ok(_) => String::new(),
            Err(CertificateError::Verify(error)) => name(&error),
            Err(error) => name(&error),
        }
    }
    fn of<T, E: std::fmt::Debug>(result: Result<T, E>) -> String {
        result.err().map_or_else(String::new, |error| name(&error))
    }
    fn prekey<T>(result: Result<T, PrekeyError>) -> String {
        match result {
            Ok(_) => String::new(),
            Err(PrekeyError::Verify(error)) => name(&error),
            Err(error) => name(&error),
        }
    }
    match text(case, "/input") {
        "point" => {
            let bytes = bytes(case, "/bytes");
            let said = of(PrekeyPublic::from_bytes(&bytes));
            assert_eq!(said, of(IdentityPublic::from_bytes(&bytes)));
            assert_eq!(said, of(EphemeralPublic::from_bytes(&bytes)));
            said
        }
        "scalar" => {
            let said = of(PrekeySecret::from_bytes(&bytes(case, "/bytes")));
            assert_eq!(said, of(DeviceKey::from_bytes(&bytes(case, "/bytes"))));
            said
        }
        "signature" => {
            let key = DevicePublic::from_bytes(&bytes(case, "/key")).unwrap();
            let signature = Signature::from_bytes(&bytes(case, "/signature")).unwrap();
            of(key.verify(text(case, "/label"), &bytes(case, "/message"), &signature))
        }
        "header" => of(decode_strict::<SealedHeader>(&bytes(case, "/bytes"))),
        "certificate" => {
            let identity = IdentityPublic::from_bytes(&bytes(case, "/identity")).unwrap();
            inner(verify_device(&identity, &Signed::from_bytes(&bytes(case, "/document")).unwrap()))
        }
        "device list" => {
            let identity = IdentityPublic::from_bytes(&bytes(case, "/identity")).unwrap();
            inner(verify_devices(&identity, &Signed::from_bytes(&bytes(case, "/document")).unwrap()))
        }
        "retention certificate" => {
            let policy = PolicyPublic::from_bytes(&bytes(case, "/policy")).unwrap();
            let document = Signed::from_bytes(&bytes(case, "/document")).unwrap();
            inner(verify_retention(&policy, &document, number(case, "/now_ms")))
        }
        "prekey" => {
            let handed: Prekey = decode_strict(&bytes(case, "/prekey")).unwrap();
            prekey(verified(case).with_prekey(&handed, number(case, "/now_ms")))
        }
        "prekey batch" => {
            let batch: PrekeyBatch = decode_strict(&bytes(case, "/batch")).unwrap();
            prekey(batch.verify(&DevicePublic::from_bytes(&bytes(case, "/device_key")).unwrap()))
        }
        "message" => {
            let header: SealedHeader = decode_strict(&bytes(case, "/header")).unwrap();
            of(open_for(&header, &bytes(case, "/body"), case))
        }
        "attachment" => {
            let (key, _, sealed) = sealed_attachment(&read("attachment"), text(case, "/of"));
            of(open_stream(&key, &mut edited(sealed, &case["edit"]).as_slice(), &mut std::io::sink()))
        }
        "link code" => of(LinkCode::parse(text(case, "/text"))),
        "recovery key" => of(RecoveryKey::parse(text(case, "/text"))),
        "vault" => {
            let key = VaultKey::from_export_key(&array(case, "/export_key"));
            of(open_vault(&key, &Address::parse(text(case, "/address")).unwrap(), &bytes(case, "/vault")))
        }
        "link offer" => of(keys_of(case).open_offer(&bytes(case, "/bytes"))),
        "link answer" => {
            let secret = LinkSecret::from_bytes(&bytes(case, "/receiver_secret")).unwrap();
            let offer: LinkOffer = decode_strict(&bytes(case, "/offer_document")).unwrap();
            of(link_keys(case, LinkPurpose::Device).open_device(&secret, &offer, &bytes(case, "/bytes")))
        }
        "history answer" => {
            let secret = LinkSecret::from_bytes(&bytes(case, "/receiver_secret")).unwrap();
            let offer: LinkOffer = decode_strict(&bytes(case, "/offer_document")).unwrap();
            let identity = IdentityPublic::from_bytes(&bytes(case, "/identity")).unwrap();
            let keys = link_keys(case, LinkPurpose::History);
            of(keys.open_history(&secret, &offer, &identity, &bytes(case, "/bytes")).map(|(_, answer)| answer))
        }
        "link note" => {
            let slot = u32::try_from(number(case, "/slot")).unwrap();
            of(link_keys(case, LinkPurpose::History).open_note(slot, &bytes(case, "/bytes")))
        }
        other => panic!("what is a {other}?"),
    }
}

fn link_keys(vector: &Value, purpose: LinkPurpose) -> LinkKeys {
    LinkKeys::new(&LinkCode::parse(text(vector, "/code")).unwrap(), purpose)
}

/// With the purpose that the vector names.
fn keys_of(vector: &Value) -> LinkKeys {
    let purpose = if number(vector, "/purpose") == 0 { LinkPurpose::Device } else { LinkPurpose::History };
    link_keys(vector, purpose)
}

#[test]
fn vaults_and_the_recovery_key() {
    let vector = read("vault");
    let recovery = RecoveryKey::parse(text(&vector, "/recovery_key")).unwrap();
    assert_eq!(*recovery.to_text(), text(&vector, "/recovery_key"));
    let keys = [
        ("password", VaultKey::from_export_key(&array(&vector, "/password/secret"))),
        ("recovery", VaultKey::from_recovery_key(&recovery)),
    ];
    for (name, key) in keys {
        let case = &vector[name];
        let address = Address::parse(text(case, "/address")).unwrap();
        let identity = open_vault(&key, &address, &bytes(case, "/vault")).unwrap();
        assert_eq!(*identity.to_bytes(), bytes(case, "/identity_secret"));
        let ours = seal_vault(&mut SystemRng, &key, &address, &identity);
        assert_eq!(ours.len(), bytes(case, "/vault").len());
    }
}

#[test]
fn a_link_for_a_new_device_and_a_history() {
    for (name, purpose) in [("link", LinkPurpose::Device), ("history", LinkPurpose::History)] {
        let vector = read(name);
        let code = LinkCode::parse(text(&vector, "/code")).unwrap();
        assert_eq!(*code.to_text(), text(&vector, "/code"));
        let keys = link_keys(&vector, purpose);
        assert_eq!(keys.id(), LinkId::from_bytes(array(&vector, "/link")));
        assert_eq!(keys.further_id(1), LinkId::from_bytes(array(&vector, "/further_link_1")));
        let offer = keys.open_offer(&bytes(&vector, "/offer")).unwrap();
        assert_eq!(encode(&offer), bytes(&vector, "/offer_document"));
        let secret = LinkSecret::from_bytes(&bytes(&vector, "/receiver_secret")).unwrap();
        assert_eq!(secret.public(), offer.receiver);
        let identity = IdentityPublic::from_bytes(&bytes(&vector, "/device/identity")).unwrap();
        let answer = bytes(&vector, "/answer");
        if purpose == LinkPurpose::Device {
            let taken = keys.open_device(&secret, &offer, &answer).unwrap();
            assert_eq!(*taken.to_bytes(), bytes(&vector, "/device/identity_secret"));
            continue;
        }
        offer.certified(&identity).unwrap();
        let (key, said) = keys.open_history(&secret, &offer, &identity, &answer).unwrap();
        assert_eq!(encode(&said), bytes(&vector, "/answer_document"));
        let sealed = bytes(&vector, "/file");
        assert_eq!((said.size, said.digest), (sealed.len() as u64, digest(&sealed)));
        let mut clear = Vec::new();
        open_stream(&key, &mut sealed.as_slice(), &mut clear).unwrap();
        assert_eq!(clear, bytes(&vector, "/clear_file"));
        for note in list(&vector, "/notes") {
            let slot = u32::try_from(number(note, "/slot")).unwrap();
            assert_eq!(keys.open_note(slot, &bytes(note, "/sealed")), Ok(number(note, "/note")));
        }
    }
}

fn edited(mut sealed: Vec<u8>, edit: &Value) -> Vec<u8> {
    let place = |name: &str| edit.get(name).and_then(Value::as_u64).map(|place| usize::try_from(place).unwrap());
    let mut chunks: Vec<Vec<u8>> = sealed.chunks(SEALED_CHUNK).map(<[u8]>::to_vec).collect();
    if let Some(length) = place("cut_to") {
        sealed.truncate(length);
    } else if let Some(place) = place("flip") {
        sealed[place] ^= 1;
    } else if edit.get("append").is_some() {
        sealed.extend(bytes(edit, "/append"));
    } else if edit.get("swap_chunks").is_some() {
        chunks.swap(0, 1);
        return chunks.concat();
    } else if let Some(number) = place("repeat_chunk") {
        chunks.insert(number, chunks[number].clone());
        return chunks.concat();
    } else if let Some(number) = place("remove_chunk") {
        chunks.remove(number);
        return chunks.concat();
    } else {
        panic!("what edit is {edit}?");
    }
    sealed
}

#[test]
fn everything_that_is_wrong_is_refused_for_its_reason() {
    let vectors = read("refusals");
    let cases = vectors.as_array().unwrap();
    assert!(cases.len() > 120, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let said = refusal(case);
        if said != text(case, "/kind") {
            wrong.push(format!(
                "{}: {}: {said}, not {}",
                text(case, "/input"),
                text(case, "/name"),
                text(case, "/kind")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
