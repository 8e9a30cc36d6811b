//! Keys with which messages are sealed and opened: made up by an attacker, or of a real account.

use sotto_crypto::{
    Address, DeviceCertificate, DeviceId, DeviceKey, DeviceList, IdentityKey, IdentityPublic, ListedDevice, MessageId,
    Opened, Prekey, PrekeyBatch, PrekeyKind, PrekeySecret, Recipient, Sealed, SealedHeader, Sender, Signed, SystemRng,
    generate_prekeys, open, seal,
};
use sotto_wire::api::{Delivery, Envelope};
use sotto_wire::room::{RoomEvent, SignedRoomEvent};

use super::now_ms;
use crate::{Failure, Outcome};

const DAY_MS: u64 = 24 * 3600 * 1000;

/// Somebody's keys.
pub struct Person {
    /// Who they are, or claim to be.
    pub address: Address,
    /// Their device.
    pub device: DeviceId,
    /// The identity that certifies it.
    pub identity: IdentityPublic,
    pub(super) key: DeviceKey,
    pub(super) certificate: Signed<DeviceCertificate>,
    /// A list with this device alone, of who is made up.
    devices: Option<Signed<DeviceList>>,
    prekeys: PrekeyBatch,
    secrets: Vec<PrekeySecret>,
}

impl Person {
    /// New keys under an address that belongs to somebody else.
    pub(super) fn made_up(address: Address) -> Self {
        let rng = &mut SystemRng;
        let (identity, key, device) = (IdentityKey::generate(rng), DeviceKey::generate(rng), DeviceId::generate(rng));
        let certificate = DeviceCertificate::new(address.clone(), device, key.verifying_key(), now_ms());
        let certificate = Signed::sign(&certificate, &identity);
        let listed = ListedDevice { device, key: key.verifying_key(), since_ms: now_ms() };
        let list = DeviceList::new(address.clone(), now_ms(), now_ms() + 30 * DAY_MS, vec![listed]);
        let devices = Some(Signed::sign(&list, &identity));
        Self { devices, ..Self::of(address, device, identity.verifying_key(), key, certificate) }
    }

    /// The keys of an account.
    pub(super) fn of(
        address: Address,
        device: DeviceId,
        identity: IdentityPublic,
        key: DeviceKey,
        certificate: Signed<DeviceCertificate>,
    ) -> Self {
        let now = now_ms();
        let (prekeys, secrets) =
            generate_prekeys(&mut SystemRng, &key, device, PrekeyKind::MediumTerm, 1, now, now + 30 * DAY_MS);
        Self { address, device, identity, key, certificate, devices: None, prekeys, secrets }
    }

    /// As the relay names a device to those who send: always the same prekey, for the attacker keeps its secret.
    pub(super) fn as_recipient(&self) -> Option<(Signed<DeviceList>, Prekey)> {
        Some((self.devices.clone()?, self.prekeys.prekey(0)?))
    }

    /// Seals a content.
    pub fn seal(&self, content: &[u8], recipients: &[Recipient]) -> Outcome<Sealed> {
        let sender = Sender {
            address: &self.address,
            device: self.device,
            key: &self.key,
            identity: &self.identity,
            certificate: &self.certificate,
        };
        let message = MessageId::generate(&mut SystemRng);
        seal(&mut SystemRng, &sender, message, content, recipients).map_err(|e| Failure(e.to_string()))
    }

    /// Seals a content, as each device of the recipients gets it.
    pub(super) fn deliveries(&self, content: &[u8], to: &[Recipient]) -> Outcome<Vec<(DeviceId, Delivery)>> {
        let Sealed { header, body, wraps } = self.seal(content, to)?;
        let envelope = Envelope { header: sotto_crypto::encode(&header), body, wraps, expires_in_s: None };
        Ok(split(&envelope))
    }

    /// Opens what was sealed to this device, among others.
    pub(super) fn open(&self, envelope: &Envelope) -> Option<Opened> {
        let header: SealedHeader = sotto_crypto::decode_strict(&envelope.header).ok()?;
        let wrap = envelope.wraps.iter().find(|wrap| wrap.device == self.device)?;
        let secret = self.secrets.get(usize::try_from(wrap.prekey.index).ok()?)?;
        open(&header, &envelope.body, (&self.address, self.device), wrap.prekey, secret, &wrap.key).ok()
    }

    /// Signs an event of a room.
    pub fn sign(&self, event: &RoomEvent) -> SignedRoomEvent {
        SignedRoomEvent {
            event: Signed::sign(event, &self.key),
            certificate: self.certificate.clone(),
            identity: self.identity.clone(),
        }
    }
}

/// An envelope as each of its devices gets it.
pub(super) fn split(envelope: &Envelope) -> Vec<(DeviceId, Delivery)> {
    let now = now_ms();
    let delivery = |wrap: &sotto_crypto::Wrap| Delivery {
        seq: 0,
        header: envelope.header.clone(),
        body: envelope.body.clone(),
        prekey: wrap.prekey,
        key: wrap.key.clone(),
        accepted_at_ms: now,
        expires_at_ms: now + DAY_MS,
    };
    envelope.wraps.iter().map(|wrap| (wrap.device, delivery(wrap))).collect()
}
