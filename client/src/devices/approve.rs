//! An existing device approves a new one: it gets what the new device offers under the code that a person has carried over,
//! shows it, and hands the identity over.

use sotto_crypto::{DeviceId, Fingerprint, LinkCode, LinkKeys, LinkOffer, LinkPurpose, SystemRng};

use super::own::Devices;
use crate::core::error::{Error, Refusal};

/// The new device's offer.
pub(crate) const OFFER: u32 = 0;
/// What is handed over.
pub(crate) const ANSWER: u32 = 1;

/// A new device that asks to be one of the user's. To be shown before it is approved.
#[derive(Debug)]
#[non_exhaustive]
pub struct DeviceRequest {
    /// Its id.
    pub device: DeviceId,
    /// Its name for people, as it says.
    pub label: String,
    /// Fingerprint of its key.
    pub fingerprint: Fingerprint,
    answer: Answer,
}

/// What approving needs. Holds keys: says nothing of them.
struct Answer {
    keys: LinkKeys,
    offer: LinkOffer,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer")
    }
}

impl Devices {
    /// The new device that shows this code. Waits some seconds for it.
    pub async fn request(&self, code: &LinkCode) -> Result<DeviceRequest, Error> {
        let keys = LinkKeys::new(code, LinkPurpose::Device);
        let bytes = self.trust.api.slot(keys.id(), OFFER).await?.ok_or(Refusal::NoSuchCode)?;
        let offer = keys.open_offer(&bytes)?;
        if offer.address != self.trust.account.address {
            return Err(sotto_crypto::LinkError::Forged.into());
        }
        let label = crate::core::text::clean_label(&offer.label);
        let (device, fingerprint) = (offer.device, offer.key.fingerprint());
        Ok(DeviceRequest { device, label, fingerprint, answer: Answer { keys, offer } })
    }

    /// Approves a new device: it gets the identity key, and with it all that the user may do. Can be repeated.
    pub async fn approve(&self, request: &DeviceRequest) -> Result<(), Error> {
        let Answer { keys, offer } = &request.answer;
        let answer = keys.answer_device(&mut SystemRng, offer, self.trust.account.identity_key())?;
        self.trust.api.put_slot_once(keys.id(), ANSWER, &answer).await
    }
}
