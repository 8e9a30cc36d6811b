//! What an operator learns from what passes by.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use minicbor::Decode;
use sotto_crypto::{
    Address, DeviceCertificate, DeviceId, IdentityPublic, PrekeyBatch, PrekeyKind, Recipient, Signed, verify_device,
};
use sotto_wire::api::{
    Challenge, Delivery, OpenSession, PolicyAnswer, RegisterDevice, RegisterFinish, Session, SessionChallenge,
    UploadPrekeys,
};

use super::directory::{self, SeenDocuments};
use super::now_ms;
use super::proxy::Call;
use crate::{Failure, Outcome};

/// A device as it was registered.
struct Device {
    address: Address,
    certificate: Signed<DeviceCertificate>,
    batches: Vec<PrekeyBatch>,
}

/// All of it.
#[derive(Default)]
pub(super) struct Seen {
    identities: BTreeMap<Address, IdentityPublic>,
    devices: BTreeMap<DeviceId, Device>,
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
                let Some(device) = read::<RegisterDevice>(asked) else { return };
                let Ok(certificate) = device.certificate.unverified() else { return };
                let batches = vec![device.medium_term, device.one_time];
                let entry = Device { address: certificate.address, certificate: device.certificate, batches };
                self.devices.insert(certificate.device, entry);
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
        let of_device = |device: &Device| -> Outcome<Recipient> {
            let verified = verify_device(identity, &device.certificate).map_err(|e| Failure(e.to_string()))?;
            let medium = |batch: &&PrekeyBatch| {
                batch.header.unverified().is_ok_and(|header| header.kind == PrekeyKind::MediumTerm)
            };
            let prekey = device.batches.iter().rev().find(medium).and_then(|batch| batch.prekey(0));
            let prekey = prekey.ok_or_else(|| Failure(format!("no prekey of {of} was seen")))?;
            verified.with_prekey(&prekey, now_ms()).map_err(|e| Failure(e.to_string()))
        };
        self.devices.values().filter(|device| &device.address == of).map(of_device).collect()
    }
}

/// Reads CBOR, where it is that.
pub(super) fn read<T: for<'b> Decode<'b, ()>>(bytes: &[u8]) -> Option<T> {
    minicbor::decode(bytes).ok()
}
