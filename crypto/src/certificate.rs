//! Certificates: of devices by their user's identity, and of retention processes by the network's policy key.

use minicbor::{Decode, Encode};

use crate::address::{Address, Domain};
use crate::ids::DeviceId;
use crate::signed::{Document, Signed, VerifyError};
use crate::signing::{DevicePublic, Identity, IdentityPublic, Policy, PolicyPublic};
use crate::{SUITE, Unsupported, VERSION, check_version};

/// A certificate that cannot be relied on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The signature or the form.
    #[error("certificate: {0}")]
    Verify(#[from] VerifyError),
    /// Made for another version or suite.
    #[error("certificate: {0}")]
    Unsupported(#[from] Unsupported),
    /// Not valid at this time.
    #[error("certificate: not valid at this time; it has to be issued again, or a clock is wrong")]
    NotNow,
    /// A list of devices that names none, too many, or one twice, or does not have them in their order.
    #[error("list of devices: it is not of the one form")]
    Devices,
}

/// Says that a device key belongs to a user. Signed by the user's identity key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct DeviceCertificate {
    /// Protocol version.
    #[n(0)]
    pub version: u8,
    /// Suite of the key.
    #[n(1)]
    pub suite: u16,
    /// Whose device it is.
    #[n(2)]
    pub address: Address,
    /// The device.
    #[n(3)]
    pub device: DeviceId,
    /// The device's signing key.
    #[n(4)]
    pub key: DevicePublic,
    /// When it was issued, in milliseconds since 1970.
    #[n(5)]
    pub created_at_ms: u64,
}

impl DeviceCertificate {
    /// A certificate of this version and suite.
    pub fn new(address: Address, device: DeviceId, key: DevicePublic, created_at_ms: u64) -> Self {
        Self { version: VERSION, suite: SUITE, address, device, key, created_at_ms }
    }
}

impl Document for DeviceCertificate {
    const LABEL: &'static str = "sotto/2 device certificate";
    type Signer = Identity;
}

/// Says that an account is a network's retention process. Signed by the network's policy key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RetentionCertificate {
    /// Protocol version.
    #[n(0)]
    pub version: u8,
    /// Suite of the key.
    #[n(1)]
    pub suite: u16,
    /// The network whose policy asks for it.
    #[n(2)]
    pub network: Domain,
    /// The account of the retention process.
    #[n(3)]
    pub address: Address,
    /// The identity of the retention process.
    #[n(4)]
    pub identity: IdentityPublic,
    /// Valid from, in milliseconds since 1970.
    #[n(5)]
    pub issued_at_ms: u64,
    /// Valid until (not including), in milliseconds since 1970.
    #[n(6)]
    pub expires_at_ms: u64,
}

impl Document for RetentionCertificate {
    const LABEL: &'static str = "sotto/2 retention certificate";
    type Signer = Policy;
}

/// Verifies a retention certificate under the policy key, and that it is valid now.
pub fn verify_retention(
    policy: &PolicyPublic,
    certificate: &Signed<RetentionCertificate>,
    now_ms: u64,
) -> Result<RetentionCertificate, CertificateError> {
    let certificate = certificate.verify(policy)?;
    check_version(certificate.version, certificate.suite)?;
    if (certificate.issued_at_ms..certificate.expires_at_ms).contains(&now_ms) {
        Ok(certificate)
    } else {
        Err(CertificateError::NotNow)
    }
}

/// A device whose certificate, or whose user's list of devices, has been verified; there is no other way to make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedDevice {
    address: Address,
    device: DeviceId,
    key: DevicePublic,
    created_at_ms: u64,
}

impl VerifiedDevice {
    /// Whose device it is. The caller has to compare it with whom it asked for.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The device.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// The device's signing key.
    pub fn key(&self) -> &DevicePublic {
        &self.key
    }

    /// When it became one of the user's, in milliseconds since 1970.
    pub fn created_at_ms(&self) -> u64 {
        self.created_at_ms
    }

    /// One of a list that has been verified.
    pub(crate) fn listed(address: &Address, device: DeviceId, key: DevicePublic, created_at_ms: u64) -> Self {
        Self { address: address.clone(), device, key, created_at_ms }
    }
}

/// Verifies a device's certificate under its user's identity key.
pub fn verify_device(
    identity: &IdentityPublic,
    certificate: &Signed<DeviceCertificate>,
) -> Result<VerifiedDevice, CertificateError> {
    let DeviceCertificate { version, suite, address, device, key, created_at_ms } = certificate.verify(identity)?;
    check_version(version, suite)?;
    Ok(VerifiedDevice { address, device, key, created_at_ms })
}
