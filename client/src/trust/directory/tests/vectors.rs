//! `crypto/vectors/directory.json`: heads and documents with proofs, good ones and such as have to be refused. Written by
//! `SOTTO_WRITE_VECTORS=1 cargo test --release -p sotto-client --lib trust::directory`; otherwise checked. The Python implementation in
//! `e2e/interop` decides the same from docs/protocol.md alone.

use std::path::PathBuf;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sotto_crypto::{Address, CLOCK_TOLERANCE_MS, Listed, decode_strict, encode};
use sotto_wire::directory::HEAD_LIFE_MS;
use sotto_wire::policy::MembershipDocument;

use super::super::*;
use super::Signer;

const NOW: u64 = 1_800_000_000_000;

fn member(local: &str, group: &str) -> MembershipDocument {
    let address = Address::parse(&format!("{local}@x.example")).unwrap();
    MembershipDocument {
        version: 1,
        serial: NOW,
        address,
        group: group.into(),
        identity: None,
        invite: None,
        devices_from_ms: 0,
        name: None,
    }
}

fn hex(value: &impl minicbor::Encode<()>) -> String {
    HEXLOWER.encode(&encode(value))
}

/// What becomes of a head, and of a membership under it, of somebody who has seen `seen`.
fn decide(key: &PolicyPublic, case: &Value) -> &'static str {
    let bytes = |name: &str| case[name].as_str().map(|text| HEXLOWER.decode(text.as_bytes()).unwrap());
    let domain = Domain::parse("x.example").unwrap();
    let seen = bytes("seen").map_or_else(SeenHeads::default, |seen| {
        let (head, policy_key) = (decode_strict(&seen).unwrap(), key.fingerprint());
        SeenHeads::new(vec![DirectoryRecord { domain: domain.clone(), policy_key, head }])
    });
    let head: Signed<DirectoryHead> = decode_strict(&bytes("head").unwrap()).unwrap();
    let directory = match Directory::open(&head, key, &domain, &seen, case["now_ms"].as_u64().unwrap()) {
        Ok(directory) => directory,
        Err(TrustError::Rollback { .. }) => return "Rollback",
        Err(TrustError::Expired { .. }) => return "Expired",
        Err(TrustError::Clock { .. }) => return "Clock",
        Err(_) => return "Document",
    };
    let listed: Listed<MembershipDocument> = decode_strict(&bytes("membership").unwrap()).unwrap();
    match directory.membership(&listed, &Address::parse("bob@x.example").unwrap(), NOW) {
        Ok(_) => "ok",
        Err(_) => "Document",
    }
}

fn make() -> Value {
    let mut signer = Signer::new("x.example");
    signer.memberships = ["alice", "bob", "carol", "dave"].map(|name| member(name, "staff")).to_vec();
    let documents = signer.documents();
    let bob = documents.membership("bob").unwrap();
    let old = {
        let memberships = vec![member("alice", "staff"), member("bob", "traders")];
        let key = sotto_crypto::PolicyKey::from_bytes(&signer.key.to_bytes()).unwrap();
        Signer { key, memberships, ..Signer::new("x.example") }
    };
    let other = Signer::new("x.example");
    let head = |serial| signer.head(serial, NOW);
    let edited = |change: fn(&mut DirectoryHead)| {
        let mut edited = head(5).unverified().unwrap();
        change(&mut edited);
        Signed::sign(&edited, &signer.key)
    };
    let mut cases = Vec::new();
    let mut case = |name: &str,
                    head: &Signed<DirectoryHead>,
                    membership: &Listed<MembershipDocument>,
                    seen: Option<&Signed<DirectoryHead>>,
                    now_ms: u64,
                    result: &str| {
        cases.push(json!({
            "name": name, "head": hex(head), "membership": hex(membership), "seen": seen.map(hex), "now_ms": now_ms,
            "result": result,
        }));
    };
    let (five, six, end) = (head(5), head(6), NOW + HEAD_LIFE_MS);
    case("good", &five, &bob, None, NOW, "ok");
    case("a newer one", &six, &bob, Some(&five), NOW, "ok");
    case("older than seen", &five, &bob, Some(&six), NOW, "Rollback");
    case("two of one serial", &edited(|head| head.expires_at_ms += 1), &bob, Some(&five), NOW, "Rollback");
    case("expired, and nothing was seen", &five, &bob, None, end, "Expired");
    case("expired, and the network is known", &five, &bob, Some(&five), end, "ok");
    case("signed in the future", &signer.head(5, NOW + CLOCK_TOLERANCE_MS + 1), &bob, None, NOW, "Clock");
    case("clocks that are five minutes apart", &signer.head(5, NOW + CLOCK_TOLERANCE_MS), &bob, None, NOW, "ok");
    case("under another key", &other.head(5, NOW), &bob, None, NOW, "Document");
    case(
        "of another network",
        &edited(|head| head.domain = Domain::parse("y.example").unwrap()),
        &bob,
        None,
        NOW,
        "Document",
    );
    case("of another version", &edited(|head| head.version = 2), &bob, None, NOW, "Document");
    case("another root", &edited(|head| head.root[0] ^= 1), &bob, None, NOW, "Document");
    case("another count", &edited(|head| head.count = 2), &bob, None, NOW, "Document");
    case("an older document", &five, &old.documents().membership("bob").unwrap(), None, NOW, "Document");
    case("of somebody else", &five, &documents.membership("alice").unwrap(), None, NOW, "Document");
    let group: Listed<MembershipDocument> = decode_strict(&encode(&documents.group("staff").unwrap())).unwrap();
    case("another kind of document", &five, &group, None, NOW, "Document");
    json!({ "policy_key": HEXLOWER.encode(signer.key.verifying_key().as_bytes()), "member": "bob@x.example", "cases": cases })
}

#[test]
fn heads_and_documents_are_as_in_the_vectors() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crypto/vectors/directory.json");
    if std::env::var_os("SOTTO_WRITE_VECTORS").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&make()).unwrap() + "\n").unwrap();
    }
    let there: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let key = HEXLOWER.decode(there["policy_key"].as_str().unwrap().as_bytes()).unwrap();
    let key = PolicyPublic::from_bytes(&key).unwrap();
    let cases = there["cases"].as_array().unwrap();
    // What is made today is decided as what is there.
    let made = make();
    let made_key = HEXLOWER.decode(made["policy_key"].as_str().unwrap().as_bytes()).unwrap();
    let made_key = PolicyPublic::from_bytes(&made_key).unwrap();
    assert_eq!(cases.len(), made["cases"].as_array().unwrap().len());
    for (case, anew) in cases.iter().zip(made["cases"].as_array().unwrap()) {
        assert_eq!(case["name"], anew["name"]);
        assert_eq!(decide(&key, case), case["result"], "{}", case["name"]);
        assert_eq!(decide(&made_key, anew), anew["result"], "{}", anew["name"]);
    }
}
