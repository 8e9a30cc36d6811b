//! The vectors of vaults, links and history transfer, and what is wrong with some.

use hkdf::HkdfExtract;
use serde_json::{Value, json};
use sha2::Sha512;

use crate::good::chunks;
use crate::hex;
use crate::people::{Device, signed};
use crate::reference::{Pair, array, blob, bytes, expand, gcm, int, sha512_256, text, wrap_psk};

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

fn extract(salt: &[u8], ikm: &[u8]) -> Vec<u8> {
    let mut extract = HkdfExtract::<Sha512>::new(Some(salt));
    extract.input_ikm(ikm);
    extract.finalize().0.to_vec()
}

fn grouped(digits: &[u8]) -> String {
    let characters: Vec<char> = digits.iter().map(|digit| char::from(ALPHABET[usize::from(*digit)])).collect();
    characters.chunks(5).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

/// Product in the field of 32 elements with modulus x^5 + x^2 + 1.
fn times(a: u8, b: u8) -> u8 {
    let mut product = 0_u16;
    for place in 0..5 {
        if b >> place & 1 == 1 {
            product ^= u16::from(a) << place;
        }
    }
    for place in (5..9).rev() {
        if product >> place & 1 == 1 {
            product ^= 0b10_0101 << (place - 5);
        }
    }
    u8::try_from(product).unwrap()
}

fn check(digits: &[u8]) -> u8 {
    let mut weight = 1;
    let mut sum = 0;
    for digit in digits.iter().rev() {
        weight = times(weight, 2);
        sum ^= times(weight, *digit);
    }
    sum
}

fn recovery_text(key: &[u8; 32]) -> String {
    let digest = sha512_256(&[b"sotto/2 recovery key", key]);
    let bits: Vec<u8> =
        key.iter().chain(&digest).flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1)).collect();
    let digits: Vec<u8> =
        bits[..275].chunks(5).map(|bits| bits.iter().fold(0, |digit, bit| digit << 1 | bit)).collect();
    grouped(&digits)
}

/// A link in the making.
struct Link {
    digits: [u8; 19],
    purpose: u64,
    prk: Vec<u8>,
    id: Vec<u8>,
    receiver: Pair,
    device: Device,
}

impl Link {
    fn new(name: &str, purpose: u64) -> Self {
        let digits = bytes::<19>(&format!("{name}, code")).map(|byte| byte & 31);
        let characters: Vec<u8> = digits.iter().map(|digit| ALPHABET[usize::from(*digit)]).collect();
        let salt = if purpose == 0 { "sotto/2 device link" } else { "sotto/2 history link" };
        let prk = extract(salt.as_bytes(), &characters);
        let id = expand(&prk, b"id", 16);
        let receiver = Pair::named(&format!("{name}, receiver key"));
        Self { digits, purpose, prk, id, receiver, device: Device::new("alice@chat.acme.example", "laptop", 0) }
    }

    fn code(&self) -> String {
        let mut digits = self.digits.to_vec();
        digits.push(check(&self.digits));
        grouped(&digits)
    }

    /// The fields of the offer.
    fn offer(&self, version: u64, purpose: u64, link: &[u8]) -> Vec<u8> {
        let mut fields = vec![
            int(version),
            int(1),
            int(purpose),
            blob(link),
            text(&self.device.address),
            blob(&self.device.device),
            blob(&self.device.key.point),
            blob(&self.receiver.point),
            text("laptop"),
        ];
        if self.purpose == 1 {
            fields.push(self.device.certificate());
        }
        array(&fields)
    }

    fn sealed(&self, info: &str, aad: &[Vec<u8>], clear: &[u8]) -> Vec<u8> {
        let nonce: [u8; 12] = bytes(&format!("nonce, {info}"));
        [nonce.as_slice(), &gcm(&expand(&self.prk, info.as_bytes(), 32), &nonce, &array(aad), clear)].concat()
    }

    fn sealed_offer(&self, payload: &[u8], key: &Pair) -> Vec<u8> {
        let aad = [text("sotto/2 link offer"), blob(&self.id)];
        self.sealed("offer", &aad, &signed("sotto/2 link offer", payload, key))
    }

    fn note(&self, slot: u64, note: u64) -> Vec<u8> {
        self.sealed("note", &[text("sotto/2 link note"), blob(&self.id), int(slot)], &int(note))
    }

    fn answer_info(&self) -> Vec<u8> {
        array(&[
            text("sotto/2 link answer"),
            int(1),
            int(self.purpose),
            blob(&self.id),
            text(&self.device.address),
            blob(&self.device.device),
            blob(&sha512_256(&[&self.offer(2, self.purpose, &self.id)])),
        ])
    }

    fn answer(&self, clear: &[u8]) -> Vec<u8> {
        let ephemeral = Pair::named("answer, ephemeral key");
        let psk = expand(&self.prk, b"psk", 32);
        let sealed = wrap_psk(&ephemeral, &self.receiver.point, &self.answer_info(), &psk, &self.id, clear);
        array(&[int(2), int(1), blob(&ephemeral.point), blob(&sealed)])
    }

    fn json(&self, answer: &[u8]) -> Value {
        let payload = self.offer(2, self.purpose, &self.id);
        json!({
            "code": self.code(), "purpose": self.purpose, "prk": hex(&self.prk), "link": hex(&self.id),
            "further_link_1": hex(&expand(&self.prk, b"more\0\0\0\x01", 16)),
            "offer_key": hex(&expand(&self.prk, b"offer", 32)), "note_key": hex(&expand(&self.prk, b"note", 32)),
            "psk": hex(&expand(&self.prk, b"psk", 32)),
            "receiver_secret": hex(&self.receiver.secret), "receiver": hex(&self.receiver.point),
            "device": self.device.json(), "offer_document": hex(&payload),
            "offer": hex(&self.sealed_offer(&payload, &self.device.key)),
            "answer_info": hex(&self.answer_info()), "answer": hex(answer),
        })
    }
}

/// The sender of a history: another device of the same user.
fn old_device() -> Device {
    Device::new("alice@chat.acme.example", "phone", 1)
}

fn history_file() -> (Vec<u8>, [u8; 32], Vec<u8>) {
    let key = bytes("history key");
    let framed = |kind: &str, value: &[u8]| {
        let record = array(&[text(kind), blob(value)]);
        [u32::try_from(record.len()).unwrap().to_be_bytes().as_slice(), &record].concat()
    };
    let clear = [framed("message", b"the value of a record"), framed("of a newer version", b"\x80")].concat();
    let sealed = chunks(&key, &clear).concat();
    (clear, key, sealed)
}

fn history_answer(link: &[u8], device: &Device) -> Vec<u8> {
    let (_, _, sealed) = history_file();
    array(&[
        int(2),
        int(1),
        blob(link),
        text(&device.address),
        blob(&device.device),
        device.certificate(),
        text("phone"),
        int(sealed.len() as u64),
        blob(&sha512_256(&[&sealed])),
        int(2),
    ])
}

fn history_clear(payload: &[u8], key: &Pair) -> Vec<u8> {
    let (_, file_key, _) = history_file();
    array(&[blob(&file_key), signed("sotto/2 history answer", payload, key)])
}

pub fn vault() -> Value {
    let alice = old_device();
    let export_key: [u8; 64] = bytes("export key");
    let recovery: [u8; 32] = bytes("recovery key");
    let case = |kind: u64, info: &str, secret: &[u8]| {
        let prk = extract(b"sotto/2 vault", secret);
        let key = expand(&prk, info.as_bytes(), 32);
        json!({
            "kind": kind, "secret": hex(secret), "prk": hex(&prk), "key": hex(&key),
            "address": alice.address, "identity_secret": hex(&alice.identity.secret),
            "identity": hex(&alice.identity.point), "vault": hex(&sealed_vault(2, kind, &key, &alice.address)),
        })
    };
    json!({
        "password": case(0, "password", &export_key),
        "recovery": case(1, "recovery", &recovery),
        "recovery_key": recovery_text(&recovery),
    })
}

fn sealed_vault(version: u64, kind: u64, key: &[u8], address: &str) -> Vec<u8> {
    let nonce: [u8; 12] = bytes(&format!("vault nonce {kind}"));
    let aad = array(&[text("sotto/2 vault"), int(2), int(1), int(kind), text(address)]);
    let sealed = gcm(key, &nonce, &aad, &old_device().identity.secret);
    array(&[int(version), int(1), blob(&nonce), blob(&sealed)])
}

pub fn link() -> Value {
    let link = Link::new("link", 0);
    link.json(&link.answer(&link.device.identity.secret))
}

pub fn history() -> Value {
    let link = Link::new("history", 1);
    let old = old_device();
    let (clear, key, sealed) = history_file();
    let mut value = link.json(&link.answer(&history_clear(&history_answer(&link.id, &old), &old.key)));
    let more = json!({
        "sender": old.json(), "answer_document": hex(&history_answer(&link.id, &old)),
        "file_key": hex(&key), "clear_file": hex(&clear), "file": hex(&sealed),
        "notes": [
            {"slot": 2, "note": 1, "sealed": hex(&link.note(2, 1))},
            {"slot": 3, "note": 10_000, "sealed": hex(&link.note(3, 10_000))},
        ],
    });
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

/// What has to be refused.
pub fn refusals(mut case: impl FnMut(&str, &str, &str, Value)) {
    let good = Link::new("link", 0).code();
    let mut code = |input: &str, name: &str, kind: &str, typed: &str| case(input, name, kind, json!({"text": typed}));
    code("link code", "too short", "Length", &good[..22]);
    code("link code", "too long", "Length", &format!("{good}0"));
    code("link code", "a letter that is in no code", "Character", &good.replacen(&good[..1], "U", 1));
    let other = |digit: char| if digit == '7' { '8' } else { '7' };
    let mut wrong: Vec<char> = good.chars().collect();
    wrong[7] = other(wrong[7]);
    code("link code", "a wrong digit", "Check", &wrong.iter().collect::<String>());
    let mut swapped: Vec<char> = good.chars().collect();
    let second = (1..23).find(|place| swapped[*place] != '-' && swapped[*place] != swapped[0]).unwrap();
    swapped.swap(0, second);
    code("link code", "two have changed places", "Check", &swapped.iter().collect::<String>());
    let recovery = recovery_text(&bytes("recovery key"));
    code("recovery key", "too short", "Length", &recovery[..64]);
    code("recovery key", "a letter that is in no key", "Character", &format!("U{}", &recovery[1..]));
    let first = recovery.chars().next().unwrap();
    code("recovery key", "a wrong digit", "Check", &format!("{}{}", other(first), &recovery[1..]));

    let vault = vault();
    let (key, address) = (bytes::<64>("export key"), "alice@chat.acme.example");
    let derived = expand(&extract(b"sotto/2 vault", &key), b"password", 32);
    let mut open = |name: &str, kind: &str, export_key: &[u8], address: &str, vault: &[u8]| {
        let fields = json!({"export_key": hex(export_key), "address": address, "vault": hex(vault)});
        case("vault", name, kind, fields);
    };
    let right = data_encoding::HEXLOWER.decode(vault["password"]["vault"].as_str().unwrap().as_bytes()).unwrap();
    open("another password", "Unopenable", &bytes::<64>("another export key"), address, &right);
    open("another user", "Unopenable", &key, "bob@chat.acme.example", &right);
    open("another kind", "Unopenable", &key, address, &sealed_vault(2, 1, &derived, address));
    open("another version", "Unsupported", &key, address, &sealed_vault(1, 0, &derived, address));
    let mut flipped = right.clone();
    *flipped.last_mut().unwrap() ^= 1;
    open("changed", "Unopenable", &key, address, &flipped);
    open("cut off", "Decode", &key, address, &right[..right.len() - 1]);
    open("something follows", "Decode", &key, address, &[right.as_slice(), &[0]].concat());
    links(&mut case);
    histories(&mut case);
}

fn links(case: &mut impl FnMut(&str, &str, &str, Value)) {
    let link = Link::new("link", 0);
    let mut offer = |name: &str, kind: &str, bytes: &[u8]| {
        case("link offer", name, kind, json!({"code": link.code(), "purpose": 0, "bytes": hex(bytes)}));
    };
    let payload = link.offer(2, 0, &link.id);
    let good = link.sealed_offer(&payload, &link.device.key);
    let mut flipped = good.clone();
    flipped[40] ^= 1;
    offer("changed", "Unopenable", &flipped);
    offer("shorter than a nonce", "Unopenable", &good[..11]);
    let another = Link::new("another link", 0);
    offer("under another code", "Unopenable", &another.sealed_offer(&payload, &link.device.key));
    offer("a payload that is no offer", "Unopenable", &link.sealed_offer(&[0x80], &link.device.key));
    offer("another version", "Unsupported", &link.sealed_offer(&link.offer(1, 0, &link.id), &link.device.key));
    offer("signed by another key", "Forged", &link.sealed_offer(&payload, &link.device.identity));
    offer("for another link", "Forged", &link.sealed_offer(&link.offer(2, 0, &another.id), &link.device.key));
    offer("for another purpose", "Forged", &link.sealed_offer(&link.offer(2, 1, &link.id), &link.device.key));
    let history = Link::new("link", 1);
    offer("under the code's other purpose", "Unopenable", &history.sealed_offer(&payload, &link.device.key));

    let mut answer = |name: &str, kind: &str, receiver: &Pair, bytes: &[u8]| {
        let fields = json!({
            "code": link.code(), "receiver_secret": hex(&receiver.secret), "offer_document": hex(&payload),
            "bytes": hex(bytes),
        });
        case("link answer", name, kind, fields);
    };
    let good = link.answer(&link.device.identity.secret);
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    answer("changed", "Unopenable", &link.receiver, &flipped);
    answer("another receiver", "Unopenable", &another.receiver, &good);
    answer("made with another code", "Unopenable", &link.receiver, &another.answer(&link.device.identity.secret));
    answer("no identity key", "Unopenable", &link.receiver, &link.answer(b"not a key"));
    answer("another version", "Unsupported", &link.receiver, &[&[good[0], 1], &good[2..]].concat());
    answer("something follows", "Unopenable", &link.receiver, &[good.as_slice(), &[0]].concat());
}

fn histories(case: &mut impl FnMut(&str, &str, &str, Value)) {
    let link = Link::new("history", 1);
    let (old, bob) = (old_device(), Device::new("bob@chat.acme.example", "phone", 1));
    let mut answer = |name: &str, kind: &str, clear: &[u8]| {
        let fields = json!({
            "code": link.code(), "receiver_secret": hex(&link.receiver.secret),
            "offer_document": hex(&link.offer(2, 1, &link.id)), "identity": hex(&old.identity.point),
            "bytes": hex(&link.answer(clear)),
        });
        case("history answer", name, kind, fields);
    };
    let payload = history_answer(&link.id, &old);
    answer("signed by another key", "Forged", &history_clear(&payload, &old.identity));
    answer("of another user's device", "Forged", &history_clear(&history_answer(&link.id, &bob), &bob.key));
    answer("of another link", "Forged", &history_clear(&history_answer(&[7; 16], &old), &old.key));
    answer("another version", "Unsupported", &history_clear(&[&[payload[0], 1], &payload[2..]].concat(), &old.key));
    answer("no history's answer", "Unopenable", &old.identity.secret);
    let note = link.note(2, 1);
    let mut wrong = |name: &str, slot: u64, bytes: &[u8]| {
        case("link note", name, "Unopenable", json!({"code": link.code(), "slot": slot, "bytes": hex(bytes)}));
    };
    wrong("of another slot", 3, &note);
    wrong("cut off", 2, &note[..note.len() - 1]);
}
