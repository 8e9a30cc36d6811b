//! What is known of the devices of people: the newest list of each that was seen, and what is no device of theirs any more.

use minicbor::{Decode, Encode};
use sotto_crypto::{Address, DeviceId, DeviceList, Fingerprint, Signed};

use super::records::Record;

/// The newest list of somebody's devices that was seen, and of what was heard of newer ones.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct ListRecord {
    #[n(0)]
    pub(crate) address: Address,
    /// The identity that it is under: that of somebody who has registered anew begins anew.
    #[n(1)]
    pub(crate) identity: Fingerprint,
    /// See [`DeviceList::serial`]; 0 where none was seen yet.
    #[n(2)]
    pub(crate) serial: u64,
    /// Digest of its payload: two lists with one serial are not the same.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub(crate) digest: [u8; 32],
    #[n(4)]
    pub(crate) devices: Vec<DeviceId>,
    /// The last that were in a list and are in none any more.
    #[n(5)]
    pub(crate) gone: Vec<GoneDevice>,
    /// The greatest serial that a message of theirs has named.
    #[n(6)]
    pub(crate) heard: u64,
    /// The list itself, of the own devices: to put the relay right.
    #[n(7)]
    pub(crate) own: Option<Signed<DeviceList>>,
}

/// A device that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct GoneDevice {
    #[n(0)]
    pub(crate) device: DeviceId,
    /// Serial of the first list without it: about when that was (milliseconds since the epoch).
    #[n(1)]
    pub(crate) at_ms: u64,
}

impl ListRecord {
    /// Nothing was seen yet.
    pub(crate) fn unseen(address: Address, identity: Fingerprint) -> Self {
        let (devices, gone) = (Vec::new(), Vec::new());
        Self { address, identity, serial: 0, digest: [0; 32], devices, gone, heard: 0, own: None }
    }

    /// Key of the row of this person.
    pub(crate) fn key_of(address: &Address) -> [Vec<u8>; 1] {
        [address.as_str().as_bytes().to_vec()]
    }

    /// When a device was removed, where it was.
    pub(crate) fn gone_at_ms(&self, device: DeviceId) -> Option<u64> {
        self.gone.iter().find(|gone| gone.device == device).map(|gone| gone.at_ms)
    }
}

impl Record for ListRecord {
    const TABLE: &'static str = "list";
    fn key(&self) -> Vec<Vec<u8>> {
        Self::key_of(&self.address).to_vec()
    }
}

/// What has become of the own devices since this one has last looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum DeviceChange {
    /// There is another one.
    #[n(0)]
    Added,
    /// One was removed.
    #[n(1)]
    Removed,
    /// The relay showed one again that was removed, or an older list: it has been put right.
    #[n(2)]
    PutRight,
}

/// Something about the own devices that nobody has been told of yet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct DeviceNews {
    #[n(0)]
    pub(crate) device: DeviceId,
    #[n(1)]
    pub(crate) change: DeviceChange,
}

impl Record for DeviceNews {
    const TABLE: &'static str = "device_news";
    fn key(&self) -> Vec<Vec<u8>> {
        vec![self.device.as_bytes().to_vec(), vec![self.change as u8]]
    }
}
