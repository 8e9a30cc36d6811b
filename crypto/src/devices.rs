//! The devices of a user, signed as a whole by the user's identity: who knows a list knows that no device is missing from it, and
//! that none was put back that was removed.

use minicbor::{Decode, Encode};

use crate::address::Address;
use crate::certificate::{CertificateError, VerifiedDevice};
use crate::ids::DeviceId;
use crate::signed::{Document, Signed};
use crate::signing::{DevicePublic, Identity, IdentityPublic};
use crate::{SUITE, VERSION, check_version};

/// The most devices that a list may name.
pub const MAX_LISTED_DEVICES: usize = 64;

/// All devices of a user, as one of them has signed it with the user's identity key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct DeviceList {
    /// Protocol version.
    #[n(0)]
    pub version: u8,
    /// Suite of the keys.
    #[n(1)]
    pub suite: u16,
    /// Whose devices they are.
    #[n(2)]
    pub address: Address,
    /// Grows with every list: when it was signed, in milliseconds since 1970, or one more than that of the list before.
    #[n(3)]
    pub serial: u64,
    /// Until when (not including) it counts, in milliseconds since 1970; a device renews it before.
    #[n(4)]
    pub expires_at_ms: u64,
    /// The devices, ascending by their ids as bytes, each once; 1 to [`MAX_LISTED_DEVICES`].
    #[n(5)]
    pub devices: Vec<ListedDevice>,
}

/// One device of a [`DeviceList`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ListedDevice {
    /// The device.
    #[n(0)]
    pub device: DeviceId,
    /// Its signing key.
    #[n(1)]
    pub key: DevicePublic,
    /// When it became one of the user's, in milliseconds since 1970.
    #[n(2)]
    pub since_ms: u64,
}

impl DeviceList {
    /// A list of this version and suite, with the devices in their order.
    pub fn new(address: Address, serial: u64, expires_at_ms: u64, mut devices: Vec<ListedDevice>) -> Self {
        devices.sort_by_key(|listed| listed.device);
        Self { version: VERSION, suite: SUITE, address, serial, expires_at_ms, devices }
    }
}

impl Document for DeviceList {
    const LABEL: &'static str = "sotto/2 device list";
    type Signer = Identity;
}

/// A list of devices whose signature has been verified; there is no other way to make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedDevices {
    address: Address,
    serial: u64,
    expires_at_ms: u64,
    devices: Vec<VerifiedDevice>,
}

impl VerifiedDevices {
    /// Whose devices they are. The caller has to compare it with whom it asked for.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// See [`DeviceList::serial`].
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// See [`DeviceList::expires_at_ms`].
    pub fn expires_at_ms(&self) -> u64 {
        self.expires_at_ms
    }

    /// The devices, ascending by their ids.
    pub fn devices(&self) -> &[VerifiedDevice] {
        &self.devices
    }

    /// The device with this id.
    pub fn device(&self, device: DeviceId) -> Option<&VerifiedDevice> {
        let place = self.devices.binary_search_by_key(&device, VerifiedDevice::device).ok()?;
        self.devices.get(place)
    }
}

/// Verifies a list of devices under its user's identity key: one signature for all of them. Whether it has ended, and whether there
/// is a newer one, is for the caller to see.
pub fn verify_devices(
    identity: &IdentityPublic,
    list: &Signed<DeviceList>,
) -> Result<VerifiedDevices, CertificateError> {
    let DeviceList { version, suite, address, serial, expires_at_ms, devices } = list.verify(identity)?;
    check_version(version, suite)?;
    let ordered = devices.is_sorted_by(|a, b| a.device < b.device);
    if !ordered || !(1..=MAX_LISTED_DEVICES).contains(&devices.len()) {
        return Err(CertificateError::Devices);
    }
    let devices = devices
        .into_iter()
        .map(|ListedDevice { device, key, since_ms }| VerifiedDevice::listed(&address, device, key, since_ms))
        .collect();
    Ok(VerifiedDevices { address, serial, expires_at_ms, devices })
}
