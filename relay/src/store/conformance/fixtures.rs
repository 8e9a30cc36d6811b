//! People, devices and messages to test with.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sotto_crypto::{
    Address, BatchId, DeviceId, DeviceKey, DeviceList, Domain, IdentityKey, ListedDevice, MessageId, PrekeyKind,
    PrekeyRef, Signed, SystemRng, WrappedKey, generate_prekeys,
};
use sotto_wire::admin::{InviteGrant, PutUser, Resets, Role};

use crate::store::{
    AddDevice, LocalWrap, NewAccount, NewBatch, NewDevice, NewList, NewMessage, NewPrekey, PutDocument, PutOutcome,
    QueueBounds, Registration, Store, Wake,
};

/// The time in these tests.
pub(super) const NOW: u64 = 1_000_000_000;
/// When prekeys end.
pub(super) const LATER: u64 = NOW + 1_000_000;

/// Remembers who was woken.
#[derive(Default)]
pub(crate) struct Recorder {
    devices: Mutex<Vec<DeviceId>>,
    outbox: AtomicUsize,
}

impl Wake for Recorder {
    fn devices(&self, devices: &[DeviceId]) {
        self.devices.lock().unwrap().extend_from_slice(devices);
    }

    fn outbox(&self) {
        self.outbox.fetch_add(1, Ordering::SeqCst);
    }
}

impl Recorder {
    pub(super) fn woken(&self) -> Vec<DeviceId> {
        std::mem::take(&mut *self.devices.lock().unwrap())
    }

    pub(super) fn outbox_woken(&self) -> usize {
        self.outbox.swap(0, Ordering::SeqCst)
    }
}

/// As much of everything.
pub(super) const fn up_to(n: u64) -> QueueBounds {
    QueueBounds { mailbox: n, sender: n, network: n }
}

/// A registered user.
pub(super) struct Person {
    pub(super) address: Address,
    pub(super) identity: IdentityKey,
}

pub(super) fn wanted(group: &str) -> PutUser {
    let invite = InviteGrant { code_digest: "ab".repeat(32), expires_at_ms: NOW + 1000 };
    PutUser {
        group: group.to_owned(),
        membership: group.as_bytes().to_vec(),
        suspended: false,
        role: Role::Person,
        invite: Some(invite),
        reset: Resets::default(),
    }
}

pub(super) fn account(person: &Person) -> NewAccount {
    NewAccount {
        local: person.address.local().to_owned(),
        invite_digest: "ab".repeat(32),
        record: vec![1, 2, 3],
        identity: person.identity.verifying_key(),
        voucher: None,
        vault: None,
    }
}

impl Person {
    pub(super) fn new(local: &str) -> Self {
        let address = Address::new(local, &Domain::parse("a.example").unwrap()).unwrap();
        Self { address, identity: IdentityKey::generate(&mut SystemRng) }
    }

    /// In group `staff`, which is made when it is not there, and registered.
    pub(super) async fn registered(store: &impl Store, local: &str) -> Self {
        let person = Self::new(local);
        assert_eq!(store.put_group("staff".into(), vec![7], 1).await.unwrap(), PutDocument::Stored);
        assert_eq!(store.put_user(local.into(), wanted("staff"), 1).await.unwrap(), PutOutcome::Stored(Vec::new()));
        assert_eq!(store.register(account(&person), NOW).await.unwrap(), Registration::Registered(Vec::new()));
        person
    }

    /// With one device.
    pub(super) async fn with_device(store: &impl Store, local: &str, one_time: u32) -> (Self, DeviceId) {
        let person = Self::registered(store, local).await;
        let device = person.add_device(store, one_time).await;
        (person, device)
    }

    /// A device that is to be added to those that are there.
    pub(super) async fn new_device(&self, store: &impl Store, one_time: u32) -> NewDevice {
        let user = store.user(self.address.local().into()).await.unwrap().unwrap();
        let key = DeviceKey::generate(&mut SystemRng);
        let device = DeviceId::generate(&mut SystemRng);
        let before = user.list.map(|list| list.unverified().unwrap());
        let mut devices = before.as_ref().map(|list| list.devices.clone()).unwrap_or_default();
        devices.push(ListedDevice { device, key: key.verifying_key(), since_ms: NOW });
        NewDevice {
            address: self.address.clone(),
            generation: user.generation,
            device,
            key: key.verifying_key(),
            list: self.list(before.map(|list| list.serial), devices),
            label: "laptop".into(),
            batches: vec![
                batch(device, &key, PrekeyKind::OneTime, one_time, LATER),
                batch(device, &key, PrekeyKind::MediumTerm, 1, LATER),
            ],
        }
    }

    /// A list that is made from the one with the serial `before`.
    pub(super) fn list(&self, before: Option<u64>, devices: Vec<ListedDevice>) -> NewList {
        let serial = before.map_or(NOW, |before| before + 1);
        let ids = devices.iter().map(|listed| listed.device).collect();
        let list = DeviceList::new(self.address.clone(), serial, LATER, devices);
        NewList { list: Signed::sign(&list, &self.identity), serial, before, devices: ids }
    }

    pub(super) async fn add_device(&self, store: &impl Store, one_time: u32) -> DeviceId {
        let new = self.new_device(store, one_time).await;
        let device = new.device;
        assert_eq!(store.add_device(new).await.unwrap(), AddDevice::Added(Vec::new()));
        device
    }
}

pub(super) fn batch(device: DeviceId, key: &DeviceKey, kind: PrekeyKind, count: u32, expires_at_ms: u64) -> NewBatch {
    let (batch, _) = generate_prekeys(&mut SystemRng, key, device, kind, count.max(1), NOW, expires_at_ms);
    let header = batch.header.unverified().unwrap();
    let keys = (0..count)
        .map(|index| batch.prekey(index).unwrap())
        .map(|prekey| NewPrekey {
            index: prekey.index,
            key: prekey.key.as_bytes().to_vec(),
            proof: prekey.proof.concat(),
        })
        .collect();
    NewBatch { kind, batch: header.batch, header: batch.header.to_bytes(), expires_at_ms, keys }
}

/// A message for these devices.
pub(super) fn message(sender: Option<DeviceId>, to: &[DeviceId]) -> NewMessage {
    let message = MessageId::generate(&mut SystemRng);
    NewMessage {
        key: sotto_crypto::digest(message.as_bytes()),
        message,
        sender,
        header: b"header".to_vec(),
        body: vec![9; 100],
        local: to
            .iter()
            .map(|device| LocalWrap {
                device: *device,
                prekey: PrekeyRef { batch: BatchId::from_bytes([4; 16]), index: 3 },
                key: WrappedKey::from_bytes(&[5; 48]).unwrap(),
            })
            .collect(),
        remote: Vec::new(),
        expires_at_ms: LATER,
    }
}
