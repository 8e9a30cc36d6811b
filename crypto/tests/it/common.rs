//! People with keys, for tests.
#![allow(dead_code, unreachable_pub, reason = "each user of this file uses a part of it")]

use std::convert::Infallible;

use sotto_crypto::rand_core::{TryCryptoRng, TryRng};
use sotto_crypto::*;

/// A time at which everything below is valid.
pub const NOW: u64 = 1_700_000_000_000;
pub const DAY: u64 = 86_400_000;

/// Repeatable numbers (SplitMix64). For tests only: nothing about it is secret.
pub struct TestRng(pub u64);

impl TryRng for TestRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|value| u32::try_from(value >> 32).unwrap())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(value ^ (value >> 31))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        for chunk in dst.chunks_mut(8) {
            let bytes = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for TestRng {}

/// A user with one device and a batch of prekeys.
pub struct Person {
    pub address: Address,
    pub identity: IdentityKey,
    pub identity_public: IdentityPublic,
    pub device: DeviceId,
    pub key: DeviceKey,
    pub certificate: Signed<DeviceCertificate>,
    pub batch: PrekeyBatch,
    pub secrets: Vec<PrekeySecret>,
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Person({})", self.address)
    }
}

impl Person {
    pub fn new(rng: &mut TestRng, address: &str) -> Self {
        let identity = IdentityKey::generate(rng);
        Self::with_identity(rng, address, identity)
    }

    /// Another device of the same user.
    pub fn another_device(&self, rng: &mut TestRng) -> Self {
        let identity = IdentityKey::from_bytes(&self.identity.to_bytes()).unwrap();
        Self::with_identity(rng, self.address.as_str(), identity)
    }

    fn with_identity(rng: &mut TestRng, address: &str, identity: IdentityKey) -> Self {
        let address = Address::parse(address).unwrap();
        let device = DeviceId::generate(rng);
        let key = DeviceKey::generate(rng);
        let certificate =
            Signed::sign(&DeviceCertificate::new(address.clone(), device, key.verifying_key(), NOW), &identity);
        let (batch, secrets) = generate_prekeys(rng, &key, device, PrekeyKind::OneTime, 3, NOW, NOW + DAY);
        let identity_public = identity.verifying_key();
        Self { address, identity, identity_public, device, key, certificate, batch, secrets }
    }

    pub fn sender(&self) -> Sender<'_> {
        Sender {
            address: &self.address,
            device: self.device,
            key: &self.key,
            identity: &self.identity_public,
            certificate: &self.certificate,
        }
    }

    pub fn verified(&self) -> VerifiedDevice {
        verify_device(&self.identity_public, &self.certificate).unwrap()
    }

    /// A list of this device alone.
    pub fn devices(&self) -> Signed<DeviceList> {
        let listed = ListedDevice { device: self.device, key: self.key.verifying_key(), since_ms: NOW };
        Signed::sign(&DeviceList::new(self.address.clone(), NOW, NOW + DAY, vec![listed]), &self.identity)
    }

    pub fn recipient(&self, index: u32) -> Recipient {
        self.verified().with_prekey(&self.batch.prekey(index).unwrap(), NOW).unwrap()
    }

    /// Opens with the prekey that the wrap names.
    pub fn open(&self, header: &SealedHeader, body: &[u8], wrap: &Wrap) -> Result<Opened, OpenError> {
        let secret = &self.secrets[wrap.prekey.index as usize];
        open(header, body, (&self.address, self.device), wrap.prekey, secret, &wrap.key)
    }

    /// This person's wrap of a message.
    pub fn wrap<'a>(&self, sealed: &'a Sealed) -> &'a Wrap {
        sealed.wraps.iter().find(|wrap| wrap.address == self.address && wrap.device == self.device).unwrap()
    }
}
