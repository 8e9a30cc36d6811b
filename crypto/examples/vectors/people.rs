//! Who is in the vectors.

use serde_json::{Value, json};

use crate::hex;
use crate::reference::{Draft, Id, Pair, array, blob, bytes, commitment, int, sha512_256, text};

/// When everything was made, in milliseconds since 1970.
pub const MADE: u64 = 1_700_000_000_000;
/// When prekeys end.
pub const ENDS: u64 = MADE + 7 * 86_400_000;
/// How long one medium-term prekey is used.
pub const WEEK: u64 = 604_800_000;
/// How far clocks may be apart.
pub const APART: u64 = 300_000;

/// Payload and signature.
pub fn signed(label: &str, payload: &[u8], key: &Pair) -> Vec<u8> {
    array(&[blob(payload), blob(&key.sign(label, payload))])
}

/// A device of a user, with a batch of prekeys.
pub struct Device {
    pub address: String,
    pub identity: Pair,
    pub device: Id,
    pub key: Pair,
    pub batch: Id,
    pub prekeys: Vec<Pair>,
}

impl Device {
    pub fn new(address: &str, name: &str, count: usize) -> Self {
        let name = format!("{address}, {name}");
        Self {
            address: address.to_owned(),
            identity: Pair::named(&format!("{address}, identity")),
            device: bytes(&format!("{name}, device id")),
            key: Pair::named(&format!("{name}, device key")),
            batch: bytes(&format!("{name}, batch id")),
            prekeys: (0..count).map(|index| Pair::named(&format!("{name}, prekey {index}"))).collect(),
        }
    }

    pub fn certificate_payload(&self, version: u64) -> Vec<u8> {
        array(&[int(version), int(1), text(&self.address), blob(&self.device), blob(&self.key.point), int(MADE)])
    }

    pub fn certificate(&self) -> Vec<u8> {
        signed("sotto/2 device certificate", &self.certificate_payload(2), &self.identity)
    }

    /// A list of the devices of this one's user.
    pub fn list_payload(&self, version: u64, devices: &[&Self]) -> Vec<u8> {
        let devices: Vec<_> =
            devices.iter().map(|one| array(&[blob(&one.device), blob(&one.key.point), int(MADE)])).collect();
        array(&[int(version), int(1), text(&self.address), int(MADE), int(ENDS), array(&devices)])
    }

    pub fn leaves(&self) -> Vec<[u8; 32]> {
        (0_u32..).zip(&self.prekeys).map(|(index, key)| sha512_256(&[&[0], &index.to_be_bytes(), &key.point])).collect()
    }

    pub fn batch_payload(&self, count: u64, root: &[u8; 32]) -> Vec<u8> {
        self.payload(0, count, root, ENDS)
    }

    /// The header of its keys as medium-term ones, a key a week, that end at this time.
    pub fn weekly_header(&self, ends: u64) -> Vec<u8> {
        let payload = self.payload(1, self.prekeys.len() as u64, &root(&self.leaves()), ends);
        signed("sotto/2 prekey batch", &payload, &self.key)
    }

    fn payload(&self, kind: u64, count: u64, root: &[u8; 32], ends: u64) -> Vec<u8> {
        array(&[
            int(2),
            int(1),
            blob(&self.device),
            blob(&self.batch),
            int(kind),
            int(count),
            blob(root),
            int(MADE),
            int(ends),
        ])
    }

    pub fn batch_header(&self) -> Vec<u8> {
        let payload = self.batch_payload(self.prekeys.len() as u64, &root(&self.leaves()));
        signed("sotto/2 prekey batch", &payload, &self.key)
    }

    pub fn prekey(&self, index: usize) -> Vec<u8> {
        prekey(&self.batch_header(), index, &self.prekeys[index].point, &proof(&self.leaves(), index))
    }

    pub fn json(&self) -> Value {
        json!({
            "address": self.address,
            "device": hex(&self.device),
            "identity_secret": hex(&self.identity.secret),
            "identity": hex(&self.identity.point),
            "device_secret": hex(&self.key.secret),
            "device_key": hex(&self.key.point),
            "certificate": hex(&self.certificate()),
        })
    }
}

/// A prekey as a relay hands it out.
pub fn prekey(header: &[u8], index: usize, point: &[u8; 133], proof: &[[u8; 32]]) -> Vec<u8> {
    let proof: Vec<_> = proof.iter().map(|node| blob(node)).collect();
    array(&[header.to_vec(), int(index as u64), blob(point), array(&proof)])
}

/// RFC 9162, section 2.1.1.
pub fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    if let [leaf] = leaves {
        return *leaf;
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    sha512_256(&[&[1], &root(left), &root(right)])
}

/// RFC 9162, section 2.1.3.1.
pub fn proof(leaves: &[[u8; 32]], index: usize) -> Vec<[u8; 32]> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let (mut path, sibling) = if index < left.len() {
        (proof(left, index), root(right))
    } else {
        (proof(right, index - left.len()), root(left))
    };
    path.push(sibling);
    path
}

/// The sender and the three devices that the vectors' message is for: two of one user, one of another network.
pub fn cast() -> (Device, [Device; 3]) {
    let mut recipients = [
        Device::new("bob@chat.acme.example", "phone", 1),
        Device::new("bob@chat.acme.example", "laptop", 3),
        Device::new("carol@other.example", "phone", 2),
    ];
    recipients.sort_by(|a, b| (&a.address, a.device).cmp(&(&b.address, b.device)));
    (Device::new("alice@chat.acme.example", "phone", 1), recipients)
}

/// The vectors' message, before sealing.
pub fn draft(sender: &Device, recipients: &[Device]) -> Draft {
    let content_key = bytes("content key");
    let mut list: Vec<(String, Vec<Id>)> = Vec::new();
    for device in recipients {
        match list.last_mut() {
            Some((address, devices)) if *address == device.address => devices.push(device.device),
            _ => list.push((device.address.clone(), vec![device.device])),
        }
    }
    Draft {
        version: 2,
        suite: 1,
        network: "chat.acme.example".to_owned(),
        message: bytes("message id"),
        sender: sender.address.clone(),
        device: sender.device,
        ephemeral: Pair::named("ephemeral key"),
        content_key,
        commitment: commitment(&content_key),
        content: "For those who come later: grüß Gott.".as_bytes().to_vec(),
        recipients: list,
        identity: sender.identity.point,
        certificate: sender.certificate(),
        signer: sender.key.clone(),
    }
}
