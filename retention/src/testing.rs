//! What the unit tests share.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use data_encoding::BASE64;
use sotto_client::{Gap, GapEvent};
use sotto_crypto::{
    Address, BlobId, DeviceId, DeviceKey, Domain, IdentityKey, MessageId, PolicyKey, RetentionCertificate, SUITE,
    Signed, SystemRng, VERSION,
};
use sotto_wire::config::{DestinationConfig, RetentionConfig, TelemetryConfig};
use sotto_wire::content::{Body, Content, Conversation, File};
use sotto_wire::policy::Anchor;
use zeroize::Zeroizing;

use crate::item::{Fault, Item, SenderKeys};
use crate::name::Names;
use crate::record::Subject;
use crate::waiting::Waiting;

/// 2023-08-04 19:10:58.901 UTC.
pub(crate) const TIME: u64 = 1_691_176_258_901;

pub(crate) fn a(name: &str) -> Address {
    Address::parse(&format!("{name}@chat.acme.example")).unwrap()
}

pub(crate) fn subject() -> Subject {
    Subject { network: Domain::parse("chat.acme.example").unwrap(), policy: "keep".into() }
}

pub(crate) fn content(members: &[&str], body: Body) -> Content {
    Content::new(Conversation::of(members.iter().map(|m| a(m))).unwrap(), TIME - 250, body)
}

/// A message of alice. Its receipt is 42.
pub(crate) fn item(content: Content) -> Item<u64> {
    let identity = IdentityKey::from_bytes(&[0; 66].with_last(5)).unwrap();
    let device = DeviceKey::from_bytes(&[0; 66].with_last(6)).unwrap();
    Item {
        accepted_at_ms: TIME,
        message: Some("3960e020ca4211e799802f2894564caa".parse::<MessageId>().unwrap()),
        conflicts_with: None,
        commitment: Some([3; 32]),
        sender: Some(a("alice")),
        device: Some(DeviceId::from_bytes([7; 16])),
        keys: Some(SenderKeys {
            identity: identity.verifying_key().fingerprint(),
            device: device.verifying_key().fingerprint(),
            established_by: Some(Anchor::Membership),
        }),
        recipients: vec![a("bob"), a("retention.keep")],
        names: BTreeMap::new(),
        late: false,
        from_removed_device: false,
        content: Some(content),
        fault: None,
        receipt: 42,
    }
}

trait WithLast {
    fn with_last(self, last: u8) -> Self;
}

impl WithLast for [u8; 66] {
    fn with_last(mut self, last: u8) -> Self {
        self[65] = last;
        self
    }
}

/// A text of alice to bob.
pub(crate) fn text(text: &str) -> Item<u64> {
    item(content(&["alice", "bob"], Body::Text(text.into())))
}

pub(crate) fn file(name: &str, caption: Option<&str>) -> File {
    File {
        name: name.into(),
        size: 5,
        media_type: "text/plain".into(),
        domain: Domain::parse("chat.acme.example").unwrap(),
        blob: BlobId::from_bytes([9; 16]),
        key: [1; 32],
        digest: [2; 32],
        caption: caption.map(str::to_owned),
        kind: None,
        duration_ms: None,
        preview: None,
    }
}

/// A file of alice that lies with a network, the `n`th of them.
pub(crate) fn waiting(network: &str, n: u32) -> Waiting {
    let item = file_item(network, n);
    Waiting::of(&item, &Names::of(&item), item.file().unwrap(), item.accepted_at_ms)
}

/// The message that it came with. Its receipt is `n`.
pub(crate) fn file_item(network: &str, n: u32) -> Item<u64> {
    let mut file = file(&format!("{n}.txt"), Some(&format!("file {n} at {network}")));
    file.domain = Domain::parse(network).unwrap();
    let id = sotto_crypto::digest(format!("{network} {n}").as_bytes());
    let mut item = item(content(&["alice", "bob"], Body::File(file)));
    item.message = Some(MessageId::from_bytes(*id.first_chunk().unwrap()));
    item.accepted_at_ms = TIME + u64::from(n);
    item.receipt = n.into();
    item
}

/// A delivery that is no message, with its clear content where it opened.
pub(crate) fn broken(raw: Option<&[u8]>) -> Item<u64> {
    Item {
        accepted_at_ms: TIME,
        message: None,
        conflicts_with: None,
        commitment: None,
        sender: None,
        device: None,
        keys: None,
        recipients: Vec::new(),
        names: BTreeMap::new(),
        late: false,
        from_removed_device: false,
        content: None,
        fault: Some(Fault {
            reason: "it does not open".into(),
            sealed: b"sealed".to_vec(),
            raw: raw.map(|raw| Zeroizing::new(raw.to_vec())),
        }),
        receipt: 42,
    }
}

/// Something that has happened to what alice's device says: to its fourth and fifth message.
pub(crate) fn gap(what: GapEvent) -> Gap {
    Gap::new("c1".into(), a("alice"), DeviceId::from_bytes([7; 16]), 3..5, TIME, what)
}

/// A configuration with everything under `dir`.
pub(crate) fn config(dir: &Path) -> RetentionConfig {
    RetentionConfig {
        address: "retention.keep@chat.acme.example".into(),
        policy: "keep".into(),
        relay: "http://127.0.0.1:1".into(),
        authority: None,
        policy_key: PolicyKey::from_bytes(&[0; 66].with_last(3)).unwrap().verifying_key().fingerprint().to_string(),
        secrets: dir.join("secrets"),
        state: dir.join("state"),
        destination: DestinationConfig::Folder { path: dir.join("records") },
        telemetry: TelemetryConfig { listen: ([127, 0, 0, 1], 0).into(), cloud_watch: None },
    }
}

/// The secrets folder as the operator makes it.
pub(crate) fn write_secrets(dir: &Path, address: &str) {
    fs::create_dir_all(dir).unwrap();
    let policy = PolicyKey::from_bytes(&[0; 66].with_last(3)).unwrap();
    let identity = IdentityKey::generate(&mut SystemRng);
    let address = Address::parse(address).unwrap();
    let certificate = RetentionCertificate {
        version: VERSION,
        suite: SUITE,
        network: address.domain(),
        address,
        identity: identity.verifying_key(),
        issued_at_ms: 0,
        expires_at_ms: u64::MAX,
    };
    fs::write(dir.join("password"), "A-good-password-1\n").unwrap();
    fs::write(dir.join("registration-code"), "code\n").unwrap();
    fs::write(dir.join("identity.key"), BASE64.encode(&identity.to_bytes())).unwrap();
    fs::write(dir.join("certificate"), BASE64.encode(&Signed::sign(&certificate, &policy).to_bytes())).unwrap();
}
