//! The vectors in which everything is as it ought to be.

use data_encoding::BASE32_NOPAD;
use serde_json::{Value, json};

use crate::hex;
use crate::people::{self, APART, Device, ENDS, MADE, WEEK, prekey, proof, root};
use crate::reference::{Pair, array, blob, bytes, commitment, expand, gcm, list, pad, padme, sha512, sha512_256, wrap};

pub fn derivation() -> Value {
    let (sender, recipients) = people::cast();
    let draft = people::draft(&sender, &recipients);
    let recipient = &recipients[0];
    let info = draft.info(&recipient.address, &recipient.device, &recipient.batch, 0);
    let wrapped = wrap(&draft.ephemeral, &recipient.prekeys[0].point, &info, &draft.content_key);
    let prk = [draft.content_key.as_slice(), &[0; 32]].concat();
    let fingerprint = |role: &str, key: &Pair| {
        let label = format!("sotto/2 {role} key");
        let digest = sha512_256(&[label.as_bytes(), &key.point]);
        json!({
            "role": role, "label": label, "key": hex(&key.point),
            "digest": hex(&digest), "fingerprint": BASE32_NOPAD.encode(&digest).to_lowercase(),
        })
    };
    let message = "a message";
    let lengths = [0_usize, 1, 2, 9, 15, 100, 1000, 1025, 70_000]
        .map(|length| json!({"length": length, "padded": padme(length)}));
    json!({
        "keys": [{
            "name": "ephemeral key", "secret": hex(&draft.ephemeral.secret), "public": hex(&draft.ephemeral.point),
        }],
        "commitment": {
            "content_key": hex(&draft.content_key), "prk": hex(&prk),
            "info": "sotto/2 commitment", "commitment": hex(&expand(&prk, b"sotto/2 commitment", 32)),
        },
        "wrap": {
            "ephemeral_secret": hex(&draft.ephemeral.secret),
            "ephemeral": hex(&draft.ephemeral.point),
            "prekey_secret": hex(&recipient.prekeys[0].secret),
            "prekey": hex(&recipient.prekeys[0].point),
            "suite": 1, "network": draft.network, "message": hex(&draft.message),
            "sender": draft.sender, "sender_device": hex(&draft.device),
            "recipient": recipient.address, "recipient_device": hex(&recipient.device),
            "batch": hex(&recipient.batch), "index": 0,
            "info": hex(&info),
            "dh": hex(&wrapped.dh), "eae_prk": hex(&wrapped.eae_prk), "shared_secret": hex(&wrapped.shared_secret),
            "psk_id_hash": hex(&wrapped.psk_id_hash), "info_hash": hex(&wrapped.info_hash),
            "secret": hex(&wrapped.secret), "key": hex(&wrapped.key), "base_nonce": hex(&wrapped.base_nonce),
            "content_key": hex(&draft.content_key), "wrap": hex(&wrapped.wrap),
        },
        "signature": {
            "label": "sotto/2 session", "message": hex(message.as_bytes()), "secret": hex(&sender.key.secret),
            "public": hex(&sender.key.point),
            "signed_bytes": hex(&[b"sotto/2 session\0", message.as_bytes()].concat()),
            "signature": hex(&sender.key.sign("sotto/2 session", message.as_bytes())),
        },
        "fingerprints": [
            fingerprint("identity", &sender.identity), fingerprint("device", &sender.identity),
            fingerprint("policy", &sender.identity), fingerprint("identity", &recipient.identity),
        ],
        "safety_number": safety_number(&sender, recipient),
        "padding": lengths,
    })
}

fn safety_number(a: &Device, b: &Device) -> Value {
    let half = |who: &Device| {
        let digest = sha512(&[b"sotto/2 safety number\0", who.address.as_bytes(), &[0], &who.identity.point]);
        let group = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap()) % 100_000;
        (digest[..48].chunks(8).map(group).collect::<Vec<_>>(), digest)
    };
    let (groups_a, digest_a) = half(a);
    let (groups_b, digest_b) = half(b);
    let mut halves = [groups_a, groups_b];
    halves.sort();
    let number: Vec<_> = halves.concat().iter().map(|group| format!("{group:05}")).collect();
    let person = |who: &Device, digest: &[u8]| {
        json!({
            "address": who.address, "identity": hex(&who.identity.point), "digest": hex(digest),
        })
    };
    json!({"a": person(a, &digest_a), "b": person(b, &digest_b), "number": number.join(" ")})
}

/// Five keys: a tree that is not full.
pub fn device_list() -> Value {
    let mut devices = ["phone", "laptop"].map(|name| Device::new("dora@chat.acme.example", name, 0));
    devices.sort_by_key(|device| device.device);
    let [first, second] = &devices;
    let payload = first.list_payload(2, &[first, second]);
    let listed = devices
        .each_ref()
        .map(|one| json!({"device": hex(&one.device), "device_key": hex(&one.key.point), "since_ms": MADE}));
    json!({
        "identity_secret": hex(&first.identity.secret),
        "identity": hex(&first.identity.point),
        "list": {
            "version": 2, "suite": 1, "address": first.address, "serial": MADE, "expires_at_ms": ENDS, "devices": listed,
        },
        "payload": hex(&payload),
        "document": hex(&people::signed("sotto/2 device list", &payload, &first.identity)),
    })
}

pub fn prekeys() -> Value {
    let device = Device::new("bob@chat.acme.example", "tablet", 5);
    let leaves = device.leaves();
    let keys: Vec<_> = device
        .prekeys
        .iter()
        .enumerate()
        .map(|(index, key)| {
            let proof: Vec<_> = proof(&leaves, index).iter().map(|node| hex(node)).collect();
            json!({
                "index": index, "secret": hex(&key.secret), "public": hex(&key.point), "leaf": hex(&leaves[index]),
                "proof": proof, "prekey": hex(&device.prekey(index)),
            })
        })
        .collect();
    let points: Vec<_> = device.prekeys.iter().map(|key| blob(&key.point)).collect();
    json!({
        "device": device.json(),
        "now_ms": MADE,
        "header": {
            "version": 2, "suite": 1, "device": hex(&device.device), "batch": hex(&device.batch), "kind": 0,
            "count": 5, "root": hex(&root(&leaves)), "created_at_ms": MADE, "expires_at_ms": ENDS,
        },
        "payload": hex(&device.batch_payload(5, &root(&leaves))),
        "signed_header": hex(&device.batch_header()),
        "batch": hex(&array(&[device.batch_header(), array(&points)])),
        "keys": keys,
        "weeks": weeks(&device),
    })
}

/// The keys of a device as medium-term ones, with the first and the last moment of each.
fn weeks(device: &Device) -> Vec<Value> {
    let (header, leaves) = (device.weekly_header(MADE + 5 * WEEK), device.leaves());
    (0..device.prekeys.len())
        .map(|index| {
            let week = |n: usize| MADE + n as u64 * WEEK;
            // The first one also by a clock that is behind the device's.
            let first = if index == 0 { 0 } else { week(index) - APART };
            let prekey = prekey(&header, index, &device.prekeys[index].point, &proof(&leaves, index));
            json!({"prekey": hex(&prekey), "first_ms": first, "last_ms": week(index + 1) + APART - 1})
        })
        .collect()
}

pub fn message() -> Value {
    let (sender, recipients) = people::cast();
    let draft = people::draft(&sender, &recipients);
    let wraps: Vec<_> = recipients
        .iter()
        .map(|device| {
            let index = device.prekeys.len() - 1;
            let info = draft.info(&device.address, &device.device, &device.batch, index as u64);
            let wrap = wrap(&draft.ephemeral, &device.prekeys[index].point, &info, &draft.content_key).wrap;
            let mut value = device.json();
            let more = json!({
                "batch": hex(&device.batch), "index": index,
                "prekey": hex(&device.prekey(index)), "prekey_secret": hex(&device.prekeys[index].secret),
                "info": hex(&info), "wrap": hex(&wrap),
            });
            value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            value
        })
        .collect();
    json!({
        "now_ms": MADE,
        "sender": sender.json(),
        "recipients": wraps,
        "message": hex(&draft.message),
        "content": hex(&draft.content),
        "content_key": hex(&draft.content_key),
        "commitment": hex(&commitment(&draft.content_key)),
        "ephemeral_secret": hex(&draft.ephemeral.secret),
        "ephemeral": hex(&draft.ephemeral.point),
        "header": hex(&draft.header()),
        "recipient_list": hex(&list(&draft.recipients)),
        "transcript": hex(&draft.transcript()),
        "signature": hex(&draft.signature()),
        "clear_body": hex(&pad(&draft.body(&draft.signature()))),
        "body": hex(&draft.sealed()),
    })
}

/// The clear text of the long attachment: every byte is its place modulo 251.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|place| u8::try_from(place % 251).unwrap()).collect()
}

/// Nonce of a chunk.
pub fn nonce(counter: u32, last: bool) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[7..11].copy_from_slice(&counter.to_be_bytes());
    nonce[11] = u8::from(last);
    nonce
}

/// The sealed chunks of a clear text.
pub fn chunks(key: &[u8; 32], clear: &[u8]) -> Vec<Vec<u8>> {
    let count = clear.len().div_ceil(65_536).max(1);
    (0..count)
        .map(|number| {
            let chunk = &clear[number * 65_536..clear.len().min((number + 1) * 65_536)];
            gcm(key, &nonce(u32::try_from(number).unwrap(), number + 1 == count), b"", chunk)
        })
        .collect()
}

pub fn attachment() -> Value {
    let short: [u8; 32] = bytes("attachment key, short");
    let empty: [u8; 32] = bytes("attachment key, empty");
    let long: [u8; 32] = bytes("attachment key, long");
    let length = 2 * 65_536 + 1000;
    let sealed = chunks(&long, &pattern(length));
    let parts: Vec<_> = sealed
        .iter()
        .enumerate()
        .map(|(number, chunk)| {
            json!({
                "nonce": hex(&nonce(u32::try_from(number).unwrap(), number + 1 == sealed.len())),
                "length": chunk.len(), "tag": hex(&chunk[chunk.len() - 16..]), "digest": hex(&sha512_256(&[chunk])),
            })
        })
        .collect();
    let whole = sealed.concat();
    json!({
        "short": {"key": hex(&short), "clear": hex(b"a small attachment"), "sealed": hex(&chunks(&short, b"a small attachment").concat())},
        "empty": {"key": hex(&empty), "clear": "", "sealed": hex(&chunks(&empty, b"").concat())},
        "long": {
            "key": hex(&long), "clear_length": length, "clear": "each byte is its place modulo 251",
            "sealed_length": whole.len(), "sealed_digest": hex(&sha512_256(&[&whole])), "chunks": parts,
        },
    })
}
