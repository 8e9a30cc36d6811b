//! Who this device is: address, keys, and the relay it belongs to.

use sotto_crypto::rand_core::CryptoRng;
use sotto_crypto::{
    Address, DeviceCertificate, DeviceId, DeviceKey, Domain, IdentityKey, IdentityPublic, KeyError, PolicyPublic,
    Sender, Signed,
};

use crate::core::endpoint::Endpoint;
use crate::store::AccountRecord;

/// An account on this device. Its keys are erased when it is dropped.
pub(crate) struct Account {
    pub(crate) address: Address,
    pub(crate) endpoint: Endpoint,
    /// Pinned when joining.
    pub(crate) policy_key: PolicyPublic,
    identity_key: IdentityKey,
    pub(crate) identity: IdentityPublic,
    pub(crate) device: DeviceId,
    pub(crate) device_key: DeviceKey,
    pub(crate) certificate: Signed<DeviceCertificate>,
    pub(crate) label: String,
}

impl Account {
    /// A new device of a user with this identity.
    pub(crate) fn new_device<R: CryptoRng + ?Sized>(
        rng: &mut R,
        address: Address,
        endpoint: Endpoint,
        policy_key: PolicyPublic,
        identity_key: IdentityKey,
        label: String,
        now_ms: u64,
    ) -> Self {
        let (device, device_key) = (DeviceId::generate(rng), DeviceKey::generate(rng));
        Self::with_device(address, endpoint, policy_key, identity_key, (device, device_key), label, now_ms)
    }

    /// The device with this id and key, certified by the identity.
    pub(crate) fn with_device(
        address: Address,
        endpoint: Endpoint,
        policy_key: PolicyPublic,
        identity_key: IdentityKey,
        (device, device_key): (DeviceId, DeviceKey),
        label: String,
        now_ms: u64,
    ) -> Self {
        let certificate = DeviceCertificate::new(address.clone(), device, device_key.verifying_key(), now_ms);
        let certificate = Signed::sign(&certificate, &identity_key);
        let identity = identity_key.verifying_key();
        Self { address, endpoint, policy_key, identity_key, identity, device, device_key, certificate, label }
    }

    pub(crate) fn domain(&self) -> Domain {
        self.address.domain()
    }

    /// The identity key, for what is sealed with it inside.
    pub(crate) fn identity_key(&self) -> &IdentityKey {
        &self.identity_key
    }

    /// As the sender of a message.
    pub(crate) fn sender(&self) -> Sender<'_> {
        Sender {
            address: &self.address,
            device: self.device,
            key: &self.device_key,
            identity: &self.identity,
            certificate: &self.certificate,
        }
    }

    /// As it is stored.
    pub(crate) fn to_record(&self, complete: bool) -> AccountRecord {
        AccountRecord {
            address: self.address.clone(),
            relay: self.endpoint.url.clone(),
            tls: self.endpoint.tls.clone(),
            policy_key: self.policy_key.clone(),
            identity: self.identity_key.to_bytes().to_vec(),
            device: self.device,
            device_key: self.device_key.to_bytes().to_vec(),
            certificate: self.certificate.clone(),
            label: self.label.clone(),
            complete,
        }
    }

    /// From what is stored.
    pub(crate) fn from_record(record: &AccountRecord) -> Result<Self, KeyError> {
        let identity_key = IdentityKey::from_bytes(&record.identity)?;
        Ok(Self {
            address: record.address.clone(),
            endpoint: Endpoint { url: record.relay.clone(), tls: record.tls.clone() },
            policy_key: record.policy_key.clone(),
            identity: identity_key.verifying_key(),
            identity_key,
            device: record.device,
            device_key: DeviceKey::from_bytes(&record.device_key)?,
            certificate: record.certificate.clone(),
            label: record.label.clone(),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use sotto_crypto::{PolicyKey, SystemRng, verify_device};

    use super::*;
    use crate::core::endpoint::Tls;

    pub(crate) fn account(address: &str, policy: &PolicyKey) -> Account {
        Account::new_device(
            &mut SystemRng,
            Address::parse(address).unwrap(),
            Endpoint { url: "http://127.0.0.1:1".into(), tls: Tls::Off },
            policy.verifying_key(),
            IdentityKey::generate(&mut SystemRng),
            "test".into(),
            1,
        )
    }

    #[test]
    fn an_account_comes_back_from_its_record() {
        let account = account("alice@x.example", &PolicyKey::generate(&mut SystemRng));
        let back = Account::from_record(&account.to_record(true)).unwrap();
        assert_eq!(back.identity, account.identity);
        assert_eq!(back.device_key.verifying_key(), account.device_key.verifying_key());
        let device = verify_device(&back.identity, &back.certificate).unwrap();
        assert_eq!((device.address(), device.device()), (&back.address, back.device));
    }
}
