//! What has been verified, remembered: signatures are by far the most expensive part of sealing and opening, and the same
//! certificates and prekey batches come again with every message.

use std::collections::HashMap;
use std::sync::Arc;

use crate::address::Address;
use crate::certificate::{CertificateError, DeviceCertificate, VerifiedDevice, verify_device};
use crate::devices::{DeviceList, VerifiedDevices, verify_devices};
use crate::ids::DeviceId;
use crate::message::SealedHeader;
use crate::prekey::{Prekey, PrekeyBatchHeader, PrekeyError, Recipient, VerifiedBatch};
use crate::recipients::RecipientList;
use crate::signed::Signed;
use crate::signing::IdentityPublic;
use crate::suite::{Current, DIGEST_LEN, Primitives};

/// The most certificates, lists of devices and batches that are remembered, each; enough for a few rooms of the largest size.
const LIMIT: usize = 8 * 1024;

/// Lists of recipients that are worth remembering have at least so many bytes, and at most so many are remembered, of as many
/// rooms that a device writes to in turn: those of a large room are 50 KiB each.
const LONG_LIST: usize = 1024;
const SENDERS: usize = 128;
const LISTS: usize = 4;

/// Certificates, lists of devices and batches that have been verified. Each is remembered by the exact bytes of the key, the payload and the
/// signature, so that what comes from here is what verifying again would say. Holds no secrets.
#[derive(Default)]
pub struct Known {
    devices: HashMap<[u8; DIGEST_LEN], VerifiedDevice>,
    users: HashMap<[u8; DIGEST_LEN], Arc<VerifiedDevices>>,
    batches: HashMap<[u8; DIGEST_LEN], VerifiedBatch>,
    /// To whom a device's last messages were sealed, where they were many: in a room the next one says the same. The newest
    /// first.
    lists: HashMap<(Address, DeviceId), Vec<RecipientList>>,
}

impl core::fmt::Debug for Known {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "Known({} devices, {} users, {} batches, {} lists)",
            self.devices.len(),
            self.users.len(),
            self.batches.len(),
            self.lists.values().map(Vec::len).sum::<usize>()
        )
    }
}

impl Known {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// As [`verify_device`], but the signature is checked the first time only.
    pub fn device(
        &mut self,
        identity: &IdentityPublic,
        certificate: &Signed<DeviceCertificate>,
    ) -> Result<VerifiedDevice, CertificateError> {
        let name = name(identity.as_bytes(), certificate);
        if let Some(device) = self.devices.get(&name) {
            return Ok(device.clone());
        }
        let device = verify_device(identity, certificate)?;
        make_room(&mut self.devices);
        self.devices.insert(name, device.clone());
        Ok(device)
    }

    /// The lists that came with the last messages of this message's sender.
    pub(crate) fn recipients(&self, header: &SealedHeader) -> &[RecipientList] {
        self.lists.get(&(header.sender.clone(), header.device)).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn remember_recipients(&mut self, header: &SealedHeader, list: &RecipientList) {
        let sender = (header.sender.clone(), header.device);
        if list.encoded().len() < LONG_LIST {
            return;
        }
        if self.lists.len() >= SENDERS && !self.lists.contains_key(&sender) {
            self.lists.clear();
        }
        let lists = self.lists.entry(sender).or_default();
        lists.retain(|known| known != list);
        lists.truncate(LISTS - 1);
        lists.insert(0, list.clone());
    }

    /// As [`verify_devices`], but the signature is checked the first time only.
    pub fn devices(
        &mut self,
        identity: &IdentityPublic,
        list: &Signed<DeviceList>,
    ) -> Result<Arc<VerifiedDevices>, CertificateError> {
        let name = name(identity.as_bytes(), list);
        if let Some(devices) = self.users.get(&name) {
            return Ok(devices.clone());
        }
        let devices = Arc::new(verify_devices(identity, list)?);
        make_room(&mut self.users);
        self.users.insert(name, devices.clone());
        Ok(devices)
    }

    /// As [`VerifiedDevice::with_prekey`], but the signature of the batch is checked the first time only. Time and proof are
    /// checked always.
    pub fn recipient(
        &mut self,
        device: &VerifiedDevice,
        prekey: &Prekey,
        now_ms: u64,
    ) -> Result<Recipient, PrekeyError> {
        let name = batch_name(device, &prekey.header);
        if let Some(batch) = self.batches.get(&name).filter(|batch| batch.is_of(device)) {
            return batch.with_prekey(prekey, now_ms);
        }
        let batch = device.with_batch(&prekey.header)?;
        let recipient = batch.with_prekey(prekey, now_ms)?;
        make_room(&mut self.batches);
        self.batches.insert(name, batch);
        Ok(recipient)
    }
}

fn batch_name(device: &VerifiedDevice, header: &Signed<PrekeyBatchHeader>) -> [u8; DIGEST_LEN] {
    name(device.key().as_bytes(), header)
}

/// Key and signature have a fixed length, so that nothing can be moved from one to the other.
fn name<T>(key: &[u8], signed: &Signed<T>) -> [u8; DIGEST_LEN] {
    Current::short_hash(&[key, signed.signature().as_bytes(), signed.payload()])
}

/// Forgets everything when there is too much: it can all be verified again.
fn make_room<T>(map: &mut HashMap<[u8; DIGEST_LEN], T>) {
    if map.len() >= LIMIT {
        map.clear();
    }
}
