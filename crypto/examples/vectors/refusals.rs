//! The vectors in which one thing is wrong, with the kind of refusal that has to follow.

use serde_json::{Value, json};

use crate::people::{self, APART, Device, ENDS, MADE, WEEK, prekey, proof, root, signed};
use crate::reference::{Draft, Pair, array, blob, bytes, commitment, int, pad, text, wrap};
use crate::{devices, hex};

pub fn all() -> Value {
    let mut cases = Vec::new();
    keys(&mut cases);
    encodings(&mut cases);
    documents(&mut cases);
    prekeys(&mut cases);
    messages(&mut cases);
    attachments(&mut cases);
    devices::refusals(|input, name, kind, fields| cases.push(case(input, name, kind, &fields)));
    Value::Array(cases)
}

fn case(input: &str, name: &str, kind: &str, fields: &Value) -> Value {
    let mut case = json!({"input": input, "name": name, "kind": kind});
    case.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    case
}

/// The order of the group, and the prime of the field.
const ORDER: &str = "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409";
const PRIME: &str = "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

fn keys(cases: &mut Vec<Value>) {
    let good = Pair::named("a good key").point;
    let mut point = |name: &str, bytes: &[u8]| cases.push(case("point", name, "Public", &json!({"bytes": hex(bytes)})));
    let parity = good[132] & 1;
    point("compressed", &[&[2 | parity], &good[1..67]].concat());
    point("hybrid", &[&[6 | parity], &good[1..]].concat());
    point("another first byte", &[&[5], &good[1..]].concat());
    point("the point at infinity", &[0]);
    point("the point at infinity, padded", &[0; 133]);
    point("not on the curve", &[&good[..132], &[good[132] ^ 1]].concat());
    point("not on the curve: 0, 0", &[&[4], [0; 132].as_slice()].concat());
    point("x above the prime", &[&[4], plus(&good[1..67], PRIME).as_slice(), &good[67..]].concat());
    point("one byte short", &good[..132]);
    point("one byte long", &[good.as_slice(), &[0]].concat());
    let mut scalar = |name: &str, bytes: &str| cases.push(case("scalar", name, "Secret", &json!({"bytes": bytes})));
    scalar("zero", &"00".repeat(66));
    scalar("the order of the group", ORDER);
    scalar("all ones", &"ff".repeat(66));
    scalar("one byte short", &"01".repeat(65));
    let key = Pair::named("a good key");
    let signature = key.sign("label", b"message");
    let mut signed = |name: &str, label: &str, message: &[u8], signature: &[u8]| {
        cases.push(case(
            "signature",
            name,
            "SignatureError",
            &json!({
                "key": hex(&key.point), "label": label, "message": hex(message), "signature": hex(signature),
            }),
        ));
    };
    signed("another label", "other", b"message", &signature);
    signed("another message", "label", b"massage", &signature);
    let order = data_encoding::HEXLOWER.decode(ORDER.as_bytes()).unwrap();
    signed("r is zero", "label", b"message", &[&[0; 66], &signature[66..]].concat());
    signed("s is zero", "label", b"message", &[&signature[..66], &[0; 66]].concat());
    signed("s is the order", "label", b"message", &[&signature[..66], &order].concat());
    signed(
        "r above the order",
        "label",
        b"message",
        &[plus(&signature[..66], ORDER).as_slice(), &signature[66..]].concat(),
    );
}

fn plus(number: &[u8], other: &str) -> Vec<u8> {
    let other = data_encoding::HEXLOWER.decode(other.as_bytes()).unwrap();
    let mut sum = vec![0; 66];
    let mut carry = 0_u16;
    for place in (0..66).rev() {
        carry += u16::from(number[place]) + u16::from(other[place]);
        sum[place] = u8::try_from(carry & 0xff).unwrap();
        carry >>= 8;
    }
    sum
}

fn encodings(cases: &mut Vec<Value>) {
    let (sender, recipients) = people::cast();
    let draft = people::draft(&sender, &recipients);
    let good = draft.header();
    let mut header = |name: &str, kind: &str, bytes: &[u8]| {
        cases.push(case("header", name, kind, &json!({"bytes": hex(bytes)})));
    };
    header("nothing", "Malformed", b"");
    header("cut off", "Malformed", &good[..good.len() - 1]);
    header("something follows", "TrailingBytes", &[good.as_slice(), &[0]].concat());
    header("indefinite length", "NotDeterministic", &[&[0x9f], &good[1..], &[0xff]].concat());
    header("a longer integer than need be", "NotDeterministic", &[&good[..1], &[0x18, 1], &good[2..]].concat());
    header("a longer length than need be", "NotDeterministic", &[&[0x98, 8], &good[1..]].concat());
    header("one more field", "NotDeterministic", &[&[0x89], &good[1..], &[0]].concat());
    header("one field less", "Malformed", &[&[0x87], &good[1..good.len() - 34]].concat());
    let edited = |edit: &dyn Fn(&mut Draft)| {
        let mut draft = draft.clone();
        edit(&mut draft);
        draft.header()
    };
    header("a version that does not fit into a byte", "Malformed", &edited(&|draft| draft.version = 256));
    header("capitals in an address", "Malformed", &edited(&|draft| draft.sender = "Alice@chat.acme.example".into()));
    header("an address without a network", "Malformed", &edited(&|draft| draft.sender = "alice".into()));
    header("a network that is a number", "Malformed", &edited(&|draft| draft.network = "10.0.0.1".into()));
    header("a commitment of 31 bytes", "Malformed", &edited(&|draft| draft.commitment.truncate(31)));
    header("an ephemeral key off the curve", "Malformed", &edited(&|draft| draft.ephemeral.point[132] ^= 1));
    header(
        "an ephemeral key in hybrid form",
        "Malformed",
        &edited(&|draft| {
            draft.ephemeral.point[0] = 6 | draft.ephemeral.point[132] & 1;
        }),
    );
}

fn documents(cases: &mut Vec<Value>) {
    let (alice, [bob, ..]) = people::cast();
    let label = "sotto/2 device certificate";
    let mut certificate = |name: &str, kind: &str, bytes: &[u8]| {
        let fields = json!({"identity": hex(&alice.identity.point), "document": hex(bytes)});
        cases.push(case("certificate", name, kind, &fields));
    };
    let good = alice.certificate_payload(2);
    certificate("signed by another identity", "Signature", &signed(label, &good, &bob.identity));
    certificate("signed by the device itself", "Signature", &signed(label, &good, &alice.key));
    certificate("signed under another label", "Signature", &signed("sotto/2 prekey batch", &good, &alice.identity));
    certificate("another version", "Unsupported", &signed(label, &alice.certificate_payload(1), &alice.identity));
    let longer = [&good[..1], &[0x18, 1], &good[2..]].concat();
    certificate("signed, but not deterministic", "Payload", &signed(label, &longer, &alice.identity));
    certificate(
        "signed, but something follows",
        "Payload",
        &signed(label, &[good.as_slice(), &[0]].concat(), &alice.identity),
    );
    let mut off = Pair { ..alice.key.clone() };
    off.point[132] ^= 1;
    let with_bad_key = Device { key: off, ..people::cast().0 };
    certificate(
        "certifies a key off the curve",
        "Payload",
        &signed(label, &with_bad_key.certificate_payload(2), &alice.identity),
    );

    device_lists(cases, &alice, &bob);

    let policy = Pair::named("policy key");
    let retention = |from: u64, until: u64, key: &Pair| {
        let payload = array(&[
            int(2),
            int(1),
            text("chat.acme.example"),
            text("retention@chat.acme.example"),
            blob(&bob.identity.point),
            int(from),
            int(until),
        ]);
        signed("sotto/2 retention certificate", &payload, key)
    };
    let mut retained = |name: &str, kind: &str, bytes: &[u8]| {
        let fields = json!({"policy": hex(&policy.point), "document": hex(bytes), "now_ms": MADE});
        cases.push(case("retention certificate", name, kind, &fields));
    };
    retained("ended now", "NotNow", &retention(MADE - 5, MADE, &policy));
    retained("not yet valid", "NotNow", &retention(MADE + 1, MADE + 5, &policy));
    retained("signed by a user", "Signature", &retention(MADE, MADE + 5, &bob.identity));
}

fn device_lists(cases: &mut Vec<Value>, alice: &Device, bob: &Device) {
    let label = "sotto/2 device list";
    let (tablet, phone) = (Device::new("alice@chat.acme.example", "tablet", 0), alice);
    let (first, second) = if tablet.device < phone.device { (&tablet, phone) } else { (phone, &tablet) };
    let mut list = |name: &str, kind: &str, bytes: &[u8]| {
        let fields = json!({"identity": hex(&alice.identity.point), "document": hex(bytes)});
        cases.push(case("device list", name, kind, &fields));
    };
    let good = alice.list_payload(2, &[first, second]);
    list("signed by another identity", "Signature", &signed(label, &good, &bob.identity));
    list("signed by a device", "Signature", &signed(label, &good, &alice.key));
    list("signed under another label", "Signature", &signed("sotto/2 device certificate", &good, &alice.identity));
    list("another version", "Unsupported", &signed(label, &alice.list_payload(1, &[first]), &alice.identity));
    list("no device", "Devices", &signed(label, &alice.list_payload(2, &[]), &alice.identity));
    list("a device twice", "Devices", &signed(label, &alice.list_payload(2, &[first, first]), &alice.identity));
    list("in another order", "Devices", &signed(label, &alice.list_payload(2, &[second, first]), &alice.identity));
    let cut = &good[..good.len() - 1];
    list("signed, but cut off", "Payload", &signed(label, cut, &alice.identity));
}

fn prekeys(cases: &mut Vec<Value>) {
    let device = Device::new("bob@chat.acme.example", "tablet", 5);
    let leaves = device.leaves();
    let good = device.batch_header();
    let path = proof(&leaves, 2);
    let mut handed =
        |name: &str, kind: &str, now_ms: u64, header: &[u8], index: usize, key: usize, proof: &[[u8; 32]]| {
            cases.push(case("prekey", name, kind, &json!({
            "identity": hex(&device.identity.point), "certificate": hex(&device.certificate()), "now_ms": now_ms,
            "prekey": hex(&prekey(header, index, &device.prekeys[key].point, proof)),
        })));
        };
    handed("ended now", "Expired", ENDS, &good, 2, 2, &path);
    let weekly = device.weekly_header(MADE + 5 * WEEK);
    handed("its week is over", "Expired", MADE + 3 * WEEK + APART, &weekly, 2, 2, &path);
    handed("its week has not begun", "NotYet", MADE + 2 * WEEK - APART - 1, &weekly, 2, 2, &path);
    let ends = device.weekly_header(MADE + 2 * WEEK + 1);
    handed("its batch ends within its week", "Expired", MADE + 2 * WEEK + 1 + APART, &ends, 2, 2, &path);
    handed("the key of another week", "Proof", MADE + 3 * WEEK, &weekly, 3, 2, &path);
    handed("another place", "Proof", MADE, &good, 3, 2, &path);
    handed("another key", "Proof", MADE, &good, 2, 3, &path);
    handed("place behind the end", "Proof", MADE, &good, 5, 2, &path);
    handed("proof too short", "Proof", MADE, &good, 2, 2, &path[..2]);
    handed("proof too long", "Proof", MADE, &good, 2, 2, &[path.as_slice(), &[[0; 32]]].concat());
    let mut wrong = path.clone();
    wrong[1][0] ^= 1;
    handed("proof changed", "Proof", MADE, &good, 2, 2, &wrong);
    let label = "sotto/2 prekey batch";
    let payload = device.batch_payload(5, &root(&leaves));
    handed("signed by the identity", "Signature", MADE, &signed(label, &payload, &device.identity), 2, 2, &path);
    let other = Device { device: bytes("another device id"), ..Device::new("bob@chat.acme.example", "tablet", 5) };
    handed("made for another device", "OtherDevice", MADE, &other.batch_header(), 2, 2, &path);
    for (name, count) in [("no keys", 0), ("too many keys", 1025)] {
        let payload = device.batch_payload(count, &root(&leaves));
        handed(name, "Count", MADE, &signed(label, &payload, &device.key), 2, 2, &path);
    }

    let mut batch = |name: &str, kind: &str, header: &[u8], order: &[usize]| {
        let keys: Vec<_> = order.iter().map(|index| blob(&device.prekeys[*index].point)).collect();
        let fields =
            json!({"device_key": hex(&device.key.point), "batch": hex(&array(&[header.to_vec(), array(&keys)]))});
        cases.push(case("prekey batch", name, kind, &fields));
    };
    batch("two keys have changed places", "Root", &good, &[1, 0, 2, 3, 4]);
    batch("a key is missing", "Count", &good, &[0, 1, 2, 3]);
    batch("a key comes twice", "Count", &good, &[0, 1, 2, 3, 4, 4]);
    batch("signed by another key", "Signature", &signed(label, &payload, &device.identity), &[0, 1, 2, 3, 4]);
}

/// A message to the first of the three devices, as that device gets it.
struct Delivery<'a> {
    draft: Draft,
    to: &'a Device,
}

impl Delivery<'_> {
    fn wrap(&self) -> Vec<u8> {
        let Self { draft, to } = self;
        let info = draft.info(&to.address, &to.device, &to.batch, 0);
        wrap(&draft.ephemeral, &to.prekeys[0].point, &info, &draft.content_key).wrap
    }

    fn json(&self, body: &[u8]) -> Value {
        self.json_with(&self.draft.header(), body, &self.wrap())
    }

    fn json_with(&self, header: &[u8], body: &[u8], wrap: &[u8]) -> Value {
        json!({
            "header": hex(header), "body": hex(body), "wrap": hex(wrap),
            "address": self.to.address, "device": hex(&self.to.device),
            "batch": hex(&self.to.batch), "index": 0, "prekey_secret": hex(&self.to.prekeys[0].secret),
        })
    }
}

fn messages(cases: &mut Vec<Value>) {
    let (alice, recipients) = people::cast();
    let draft = people::draft(&alice, &recipients);
    let good = Delivery { draft: draft.clone(), to: &recipients[0] };
    let mut message = |name: &str, kind: &str, fields: Value| cases.push(case("message", name, kind, &fields));
    // Sealed from the start with something wrong in it, so that everything else about it is right.
    let made = |edit: &dyn Fn(&mut Draft)| {
        let mut draft = draft.clone();
        edit(&mut draft);
        let body = draft.sealed();
        Delivery { draft, to: &recipients[0] }.json(&body)
    };
    message("another version", "Unsupported", made(&|draft| draft.version = 1));
    message("another suite", "Unsupported", made(&|draft| draft.suite = 2));
    message("another network than the sender's", "Unopenable", made(&|draft| draft.network = "other.example".into()));
    message("a commitment to another key", "Unopenable", made(&|draft| draft.commitment = commitment(&[7; 32])));

    // Right when it was sealed, and changed on the way.
    let (header, body, wrapped) = (draft.header(), draft.sealed(), good.wrap());
    let flipped = |bytes: &[u8], place: usize| {
        let mut bytes = bytes.to_vec();
        bytes[place] ^= 1;
        bytes
    };
    message("the wrap has been changed", "Unopenable", good.json_with(&header, &body, &flipped(&wrapped, 47)));
    message("the body has been changed", "Unopenable", good.json_with(&header, &flipped(&body, 9), &wrapped));
    message("the body has been cut off", "Unopenable", good.json_with(&header, &body[..body.len() - 1], &wrapped));
    message("no body", "Unopenable", good.json_with(&header, b"", &wrapped));
    let mut other = draft.clone();
    other.message[0] ^= 1;
    message("the message id has been changed", "Unopenable", good.json_with(&other.header(), &body, &wrapped));
    let mut other = draft.clone();
    other.ephemeral = Pair::named("another ephemeral key");
    message("the ephemeral key has been changed", "Unopenable", good.json_with(&other.header(), &body, &wrapped));
    let neighbour = Delivery { draft: draft.clone(), to: &recipients[1] };
    message("the wrap of another device", "Unopenable", good.json_with(&header, &body, &neighbour.wrap()));
    let mut fields = good.json(&body);
    fields["index"] = json!(1);
    message("another prekey is named", "Unopenable", fields);
    let mut fields = good.json(&body);
    fields["prekey_secret"] = json!(hex(&recipients[1].prekeys[0].secret));
    message("another prekey's secret", "Unopenable", fields);

    // The clear text of the body is not in its one form.
    let clear = draft.body(&draft.signature());
    let padded = pad(&clear);
    let mut sealed = |name: &str, clear: &[u8]| message(name, "Unopenable", good.json(&draft.sealed_as(clear)));
    sealed("padding that is not zero", &flipped(&padded, padded.len() - 1));
    sealed("one byte more of padding", &[padded.as_slice(), &[0]].concat());
    sealed("no padding", &padded[..4 + clear.len()]);
    sealed("a length behind the end", &[&[0, 0, 255, 255], &padded[4..]].concat());
    sealed("shorter than a length", &[0, 0, 0]);
    sealed("something follows in the body", &pad(&[clear.as_slice(), &[0]].concat()));
    sealed("a body of indefinite length", &pad(&[&[0x9f], &clear[1..], &[0xff]].concat()));
    let content = draft.content.len();
    let longer = [&clear[..1], &[0x59, 0, u8::try_from(content).unwrap()], &clear[3..]].concat();
    sealed("a longer length than need be in the body", &pad(&longer));

    // The list is not in its one form, though signed so.
    let listed = |edit: &dyn Fn(&mut Draft)| made(edit);
    message("an empty list", "Unopenable", listed(&|draft| draft.recipients.clear()));
    message("users out of order", "Unopenable", listed(&|draft| draft.recipients.reverse()));
    message("devices out of order", "Unopenable", listed(&|draft| draft.recipients[0].1.reverse()));
    message(
        "a device twice",
        "Unopenable",
        listed(&|draft| {
            let first = draft.recipients[0].1[0];
            draft.recipients[0].1.insert(0, first);
        }),
    );
    message("a user without devices", "Unopenable", listed(&|draft| draft.recipients[1].1.clear()));

    // Made by somebody who had the content key.
    let bob = &recipients[0];
    message("signed by another device", "Forged", made(&|draft| draft.signer = bob.key.clone()));
    message("signed by the identity", "Forged", made(&|draft| draft.signer = alice.identity.clone()));
    message("a certificate under another identity", "Forged", made(&|draft| draft.identity = bob.identity.point));
    message(
        "a certificate of somebody else",
        "Forged",
        made(&|draft| {
            draft.identity = bob.identity.point;
            draft.certificate = bob.certificate();
            draft.signer = bob.key.clone();
        }),
    );
    message(
        "a certificate of another device",
        "Forged",
        made(&|draft| {
            let laptop = Device::new("alice@chat.acme.example", "laptop", 0);
            draft.certificate = laptop.certificate();
            draft.signer = laptop.key;
        }),
    );
    message(
        "a certificate of another version",
        "Forged",
        made(&|draft| {
            draft.certificate = signed("sotto/2 device certificate", &alice.certificate_payload(1), &alice.identity);
        }),
    );
    let resealed = |name: &str, edit: &dyn Fn(&mut Draft)| {
        let mut draft = draft.clone();
        let signature = draft.signature();
        edit(&mut draft);
        let body = draft.sealed_as(&pad(&draft.body(&signature)));
        case("message", name, "Forged", &Delivery { draft, to: &recipients[0] }.json(&body))
    };
    let forged = [
        resealed("other content under the signature", &|draft| draft.content.push(b'!')),
        resealed("another list under the signature", &|draft| drop(draft.recipients.pop())),
        resealed("another message id under the signature", &|draft| draft.message[0] ^= 1),
        resealed("another content key under the signature", &|draft| {
            draft.content_key = [9; 32];
            draft.commitment = commitment(&draft.content_key);
        }),
        resealed("another ephemeral key under the signature", &|draft| {
            draft.ephemeral = Pair::named("another ephemeral key");
        }),
    ];
    let body = draft.sealed_as(&pad(&draft.body(&[0; 132])));
    message("a signature of zeros", "Forged", good.json(&body));
    message(
        "this device is not in the list",
        "NotListed",
        made(&|draft| {
            draft.recipients.remove(0);
        }),
    );
    cases.extend(forged);
}

fn attachments(cases: &mut Vec<Value>) {
    let mut attachment = |of: &str, name: &str, edit: Value| {
        cases.push(case("attachment", name, "Unopenable", &json!({"of": of, "edit": edit})));
    };
    attachment("short", "nothing", json!({"cut_to": 0}));
    attachment("short", "cut inside the tag", json!({"cut_to": 20}));
    attachment("short", "a bit changed", json!({"flip": 3}));
    attachment("short", "a byte added", json!({"append": "00"}));
    attachment("long", "cut off after a chunk", json!({"cut_to": 65_552}));
    attachment("long", "cut off after two chunks", json!({"cut_to": 2 * 65_552}));
    attachment("long", "two chunks have changed places", json!({"swap_chunks": [0, 1]}));
    attachment("long", "a chunk comes twice", json!({"repeat_chunk": 0}));
    attachment("long", "a chunk is missing", json!({"remove_chunk": 0}));
    attachment("long", "a bit of the last tag changed", json!({"flip": 2 * 65_552 + 1000 + 15}));
}
