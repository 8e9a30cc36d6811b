//! Devices and their prekeys.

use sotto_crypto::{Address, DeviceId, DeviceList, DevicePublic, IdentityPublic, Prekey, PrekeyKind, Signed};
use sotto_wire::admin::Role;
use sotto_wire::api::PrekeyCount;

use super::Answer;

/// A device with what every request needs to know of its user.
#[derive(Clone, Debug)]
pub(crate) struct DeviceRecord {
    /// The device.
    pub(crate) device: DeviceId,
    /// Its user's local part.
    pub(crate) local: String,
    /// Its user's group.
    pub(crate) group: String,
    /// Whether its user is suspended.
    pub(crate) suspended: bool,
    /// Its key.
    pub(crate) key: DevicePublic,
    /// Name for people.
    pub(crate) label: String,
    /// When it last opened a session.
    pub(crate) last_seen_ms: Option<u64>,
}

/// A registered user with devices, as others see it.
#[derive(Clone, Debug)]
pub(crate) struct DirectoryUser {
    /// Local part.
    pub(crate) local: String,
    /// Security group.
    pub(crate) group: String,
    /// Kind of account.
    pub(crate) role: Role,
    /// Identity.
    pub(crate) identity: IdentityPublic,
    /// The signed voucher that it was registered with.
    pub(crate) voucher: Option<Vec<u8>>,
    /// All devices, as the user has signed them; none before the first.
    pub(crate) list: Option<Signed<DeviceList>>,
    /// Those that can be written to, in the order of registration: the others have no valid medium-term prekey.
    pub(crate) devices: Vec<DeviceId>,
}

/// A list of a user's devices; everything in it has been verified.
#[derive(Clone)]
pub(crate) struct NewList {
    /// As signed.
    pub(crate) list: Signed<DeviceList>,
    /// Its serial.
    pub(crate) serial: u64,
    /// The serial of the list that it was made from.
    pub(crate) before: Option<u64>,
    /// Those in it.
    pub(crate) devices: Vec<DeviceId>,
}

/// A device to add; everything in it has been verified.
#[derive(Clone)]
pub(crate) struct NewDevice {
    /// Whose.
    pub(crate) address: Address,
    /// [`super::UserRecord::generation`] that the log-in token was made for; it is used up.
    pub(crate) generation: u64,
    /// The device.
    pub(crate) device: DeviceId,
    /// Its key.
    pub(crate) key: DevicePublic,
    /// The user's devices with this one.
    pub(crate) list: NewList,
    /// Name for people.
    pub(crate) label: String,
    /// Prekeys.
    pub(crate) batches: Vec<NewBatch>,
}

/// A verified batch of prekeys.
#[derive(Clone)]
pub(crate) struct NewBatch {
    /// How its keys are used. A medium-term batch replaces the one before.
    pub(crate) kind: PrekeyKind,
    /// Its id.
    pub(crate) batch: sotto_crypto::BatchId,
    /// The signed header as CBOR.
    pub(crate) header: Vec<u8>,
    /// When it ends.
    pub(crate) expires_at_ms: u64,
    /// Its keys with their proofs.
    pub(crate) keys: Vec<NewPrekey>,
}

/// One key of a batch.
#[derive(Clone)]
pub(crate) struct NewPrekey {
    /// Place in the batch.
    pub(crate) index: u32,
    /// The point.
    pub(crate) key: Vec<u8>,
    /// The Merkle path, concatenated.
    pub(crate) proof: Vec<u8>,
}

/// What came of adding a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AddDevice {
    /// It is there, or was there with the same key; these devices went, which are not in its list.
    Added(Vec<DeviceId>),
    /// There is another device with this id.
    IdTaken,
    /// The list was made from another one than the current one.
    ListChanged,
    /// The log-in token has been used, or the user is gone.
    TokenUsed,
    /// The user is suspended.
    Suspended,
}

/// What came of a new list of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PutList {
    /// It is the current one, and these devices went, which are not in it.
    Stored(Vec<DeviceId>),
    /// It was made from another one than the current one.
    Changed,
}

/// Asks for a prekey of a device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    /// The device.
    pub(crate) device: DeviceId,
    /// Whether a one-time prekey may be used up for it.
    pub(crate) one_time: bool,
}

/// A prekey that was handed out.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    /// The device.
    pub(crate) device: DeviceId,
    /// The prekey.
    pub(crate) prekey: Prekey,
    /// A one-time prekey was allowed, but none was left.
    pub(crate) exhausted: bool,
}

/// Operations on devices and prekeys.
pub(crate) trait Devices {
    /// Adds a device with its prekeys, and puts the list.
    fn add_device(&self, device: NewDevice) -> Answer<'_, AddDevice>;
    /// Puts a user's list. Where devices go by it, what log-in tokens and links are out end as well.
    fn put_list(&self, local: String, list: NewList) -> Answer<'_, PutList>;
    /// One device.
    fn device(&self, device: DeviceId) -> Answer<'_, Option<DeviceRecord>>;
    /// A user's devices in the order of registration.
    fn devices_of(&self, local: String) -> Answer<'_, Vec<DeviceRecord>>;
    /// Removes all devices of a user, and ends what log-in tokens and links are out; the devices that were removed. The list
    /// stays, so that the next device makes a newer one.
    fn reset_devices(&self, local: String) -> Answer<'_, Vec<DeviceId>>;
    /// A device opened a session.
    fn touch_device(&self, device: DeviceId, now_ms: u64) -> Answer<'_, ()>;
    /// Those of these users who are registered and not suspended.
    fn directory(&self, locals: Vec<String>, now_ms: u64) -> Answer<'_, Vec<DirectoryUser>>;
    /// Adds prekeys; at most `limit` one-time ones may wait. `None`: the device is gone; `Some(false)`: too many.
    fn add_prekeys(
        &self,
        device: DeviceId,
        batches: Vec<NewBatch>,
        limit: usize,
        now_ms: u64,
    ) -> Answer<'_, Option<bool>>;
    /// How many prekeys are left.
    fn prekey_count(&self, device: DeviceId, now_ms: u64) -> Answer<'_, PrekeyCount>;
    /// Hands prekeys out: a one-time one to nobody else ever again, otherwise the medium-term one. Devices that are
    /// gone or have no valid prekey are left out of the answer.
    fn claim_prekeys(&self, claims: Vec<Claim>, now_ms: u64) -> Answer<'_, Vec<Claimed>>;
}
