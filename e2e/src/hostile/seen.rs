//! What an operator learns from what passes by.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use minicbor::Decode;
use sotto_crypto::{
    Address, DeviceId, DeviceList, IdentityPublic, Prekey, PrekeyBatch, PrekeyKind, Recipient, Signed, verify_devices,
};
use sotto_wire::api::{
    Challenge, Delivery, OpenSession, PolicyAnswer, PutDevices, RegisterDevice, RegisterFinish, Session,
    SessionChallenge, UploadPrekeys,
};

use super::directory::{self, SeenDocuments};
use super::now_ms;
use super::proxy::Call;
use crate::{Failure, Outcome};

/// A device as it was registered.
struct Device {
    address: Address,
    batches: Vec<PrekeyBatch>,
}

/// All of it.
#[derive(Default)]
pub(super) struct Seen {
    identities: BTreeMap<Address, IdentityPublic>,
    devices: BTreeMap<DeviceId, Device>,
    /// All lists of somebody's devices, in their order.
    lists: BTreeMap<Address, Vec<Signed<DeviceList>>>,
    challenges: HashMap<Vec<u8>, DeviceId>,
    sessions: HashMap<String, DeviceId>,
    pub(super) documents: SeenDocuments,
    /// The first answer that each device got about its rules.
    policies: BTreeMap<DeviceId, PolicyAnswer>,
    delivered: Vec<(DeviceId, Delivery)>,
    /// Positions in the queues of devices that were acknowledged.
    acknowledged: BTreeSet<(DeviceId, u64)>,
}

impl Seen {
    /// Looks at a request that was answered well.
    pub(super) fn note(&mut self, call: &Call, asked: &[u8], answer: &[u8]) {
        directory::note(&mut self.documents, &call.path, answer);
        match call.path.as_str() {
            "/v1/register/finish" => {
                if let Some(finish) = read::<RegisterFinish>(asked) {
                    self.identities.insert(finish.address, finish.identity);
                }
            }
            "/v1/devices" => {
                if let Some(put) = read::<PutDevices>(asked) {
                    self.note_list(put.list);
                } else if let Some(device) = read::<RegisterDevice>(asked)
                    && let Some(address) = self.note_list(device.list)
                {
                    let batches = vec![device.medium_term, device.one_time];
                    self.devices.insert(device.device, Device { address, batches });
                }
            }
            "/v1/session/challenge" => {
                if let (Some(ask), Some(answer)) = (read::<SessionChallenge>(asked), read::<Challenge>(answer)) {
                    self.challenges.insert(answer.challenge, ask.device);
                }
            }
            "/v1/session" => {
                let (Some(ask), Some(answer)) = (read::<OpenSession>(asked), read::<Session>(answer)) else { return };
                if let Some(device) = self.challenges.remove(&ask.challenge) {
                    self.sessions.insert(answer.token, device);
                }
            }
            "/v1/prekeys" => {
                let Some(upload) = read::<UploadPrekeys>(asked) else { return };
                for batch in upload.batches {
                    let of = batch.header.unverified().ok().map(|header| header.device);
                    if let Some(device) = of.and_then(|device| self.devices.get_mut(&device)) {
                        device.batches.push(batch);
                    }
                }
            }
            "/v1/policy" => {
                let Some(policy) = read::<PolicyAnswer>(answer) else { return };
                if let Some(device) = self.caller(call) {
                    self.policies.entry(device).or_insert(policy);
                }
            }
            _ => {}
        }
    }

    fn note_list(&mut self, list: Signed<DeviceList>) -> Option<Address> {
        let address = list.unverified().ok()?.address;
        self.lists.entry(address.clone()).or_default().push(list);
        Some(address)
    }

    /// The list of somebody's devices before the last one.
    pub(super) fn list_before(&self, of: &Address) -> Option<Signed<DeviceList>> {
        self.lists.get(of)?.iter().rev().nth(1).cloned()
    }

    /// The medium-term prekey that a device has uploaded last.
    pub(super) fn medium_term(&self, device: DeviceId) -> Option<Prekey> {
        let medium =
            |batch: &&PrekeyBatch| batch.header.unverified().is_ok_and(|header| header.kind == PrekeyKind::MediumTerm);
        self.devices.get(&device)?.batches.iter().rev().find(medium)?.prekey(0)
    }

    pub(super) fn note_delivery(&mut self, device: DeviceId, delivery: &Delivery) {
        self.delivered.push((device, delivery.clone()));
    }

    pub(super) fn note_acknowledged(&mut self, device: DeviceId, positions: &[u64]) {
        self.acknowledged.extend(positions.iter().map(|seq| (device, *seq)));
    }

    /// How much of what was delivered to somebody is not acknowledged.
    pub(super) fn unacknowledged(&self, of: &Address) -> usize {
        let places: BTreeSet<_> = self.delivered(of).into_iter().map(|(device, d)| (device, d.seq)).collect();
        places.difference(&self.acknowledged).count()
    }

    /// Which device calls.
    pub(super) fn caller(&self, call: &Call) -> Option<DeviceId> {
        self.sessions.get(call.token.as_deref()?).copied()
    }

    /// The oldest documents of a device.
    pub(super) fn first_policy(&self, device: DeviceId) -> Option<PolicyAnswer> {
        self.policies.get(&device).cloned()
    }

    /// The devices of somebody.
    pub(super) fn devices(&self, of: &Address) -> Vec<DeviceId> {
        self.devices.iter().filter(|(_, device)| &device.address == of).map(|(id, _)| *id).collect()
    }

    /// What was delivered to somebody.
    pub(super) fn delivered(&self, to: &Address) -> Vec<(DeviceId, Delivery)> {
        let devices = self.devices(to);
        self.delivered.iter().filter(|(device, _)| devices.contains(device)).cloned().collect()
    }

    /// The devices of somebody, to seal to. By the medium-term prekey: a one-time one might be handed out to others, too.
    pub(super) fn recipients(&self, of: &Address) -> Outcome<Vec<Recipient>> {
        let identity = self.identities.get(of).ok_or_else(|| Failure(format!("{of} did not register here")))?;
        let list = self.lists.get(of).and_then(|lists| lists.last());
        let list = list.ok_or_else(|| Failure(format!("no device of {of} was seen")))?;
        let list = verify_devices(identity, list).map_err(|e| Failure(e.to_string()))?;
        let recipient = |device: &sotto_crypto::VerifiedDevice| -> Outcome<Recipient> {
            let prekey = self.medium_term(device.device());
            let prekey = prekey.ok_or_else(|| Failure(format!("no prekey of {of} was seen")))?;
            device.with_prekey(&prekey, now_ms()).map_err(|e| Failure(e.to_string()))
        };
        list.devices().iter().map(recipient).collect()
    }
}

/// Reads CBOR, where it is that.
pub(super) fn read<T: for<'b> Decode<'b, ()>>(bytes: &[u8]) -> Option<T> {
    minicbor::decode(bytes).ok()
}
