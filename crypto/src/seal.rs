//! Sealing a message.

use std::collections::HashMap;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::address::Address;
use crate::agreement::EphemeralSecret;
use crate::certificate::DeviceCertificate;
use crate::ids::{DeviceId, MessageId};
use crate::message::{
    Body, ContentKey, MAX_CONTENT, MESSAGE_LABEL, Sealed, SealedHeader, Wrap, WrappedKey, transcript, wrap_info,
};
use crate::prekey::Recipient;
use crate::recipients::{ListError, RecipientList};
use crate::signed::Signed;
use crate::signing::{DeviceKey, IdentityPublic};
use crate::suite::{Current, KEY_LEN, NONCE_LEN, Primitives};
use crate::{SUITE, VERSION, codec, kem, padding};

/// A message that cannot be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There is nobody to seal to.
    #[error("recipients: none given")]
    NoRecipients,
    /// There are too many devices.
    #[error("recipients: more than 2,000 devices; send to fewer people at once")]
    TooManyRecipients,
    /// A device is named twice.
    #[error("recipients: a device is named twice")]
    DuplicateRecipient,
    /// The content is too large.
    #[error("content: {0} bytes, at most {MAX_CONTENT} are allowed; send it as an attachment")]
    ContentTooLarge(usize),
    /// Address, device or key of the sender are not those of the certificate.
    #[error("sender: the certificate is not for this address, device and key")]
    SenderMismatch,
    /// The implementation of the suite failed. It does not, for valid keys.
    #[error("sealing failed")]
    Internal,
}

impl From<ListError> for SealError {
    fn from(error: ListError) -> Self {
        match error {
            ListError::Empty => Self::NoRecipients,
            ListError::TooMany => Self::TooManyRecipients,
            ListError::Duplicate => Self::DuplicateRecipient,
        }
    }
}

impl From<crate::suite::Failed> for SealError {
    fn from(_: crate::suite::Failed) -> Self {
        Self::Internal
    }
}

/// Who seals.
#[derive(Clone, Copy)]
pub struct Sender<'a> {
    /// The sender.
    pub address: &'a Address,
    /// The sender's device.
    pub device: DeviceId,
    /// The device's signing key.
    pub key: &'a DeviceKey,
    /// The sender's identity.
    pub identity: &'a IdentityPublic,
    /// The device's certificate under that identity.
    pub certificate: &'a Signed<DeviceCertificate>,
}

/// Seals content to devices. A fresh content key and a fresh ephemeral key are made for this message, and are gone when
/// this returns; the content key seals one body.
///
/// The sender's signature is inside the body. It covers the content, the recipients, the ephemeral key and the commitment
/// to the content key, so that no recipient can pass the message on as sealed to somebody else, and no relay can show
/// two devices two different contents.
pub fn seal<R: CryptoRng + ?Sized>(
    rng: &mut R,
    sender: &Sender<'_>,
    message: MessageId,
    content: &[u8],
    recipients: &[Recipient],
) -> Result<Sealed, SealError> {
    if content.len() > MAX_CONTENT {
        return Err(SealError::ContentTooLarge(content.len()));
    }
    check_sender(sender)?;
    let list = RecipientList::new(recipients.iter().map(|to| (to.device.address(), to.device.device())))?;

    let ephemeral = EphemeralSecret::generate(rng);
    let mut content_key = ContentKey(Zeroizing::new([0; KEY_LEN]));
    rng.fill_bytes(content_key.0.as_mut_slice());

    let header = SealedHeader {
        version: VERSION,
        suite: SUITE,
        network: sender.address.domain(),
        message,
        sender: sender.address.clone(),
        device: sender.device,
        ephemeral: ephemeral.public(),
        commitment: content_key.commitment()?,
    };
    let wraps = wraps(&header, &ephemeral, &content_key, &list, recipients)?;
    drop(ephemeral);

    let signature = sender.key.sign(MESSAGE_LABEL, &transcript(&header, &list, content));
    let body = Body {
        content: Zeroizing::new(content.to_vec()),
        recipients: list,
        identity: sender.identity.clone(),
        certificate: sender.certificate.clone(),
        signature,
    };
    let plain = Zeroizing::new(codec::encode_with_room(&body, body.encoded_bound()));
    let mut body = padding::pad(&plain).ok_or(SealError::Internal)?;
    // The content key is random and used for this one encryption, so that a constant nonce is as good as any.
    Current::aead_seal(&content_key.0, &[0; NONCE_LEN], &codec::encode(&header), &mut body)?;
    Ok(Sealed { header, body, wraps })
}

fn check_sender(sender: &Sender<'_>) -> Result<(), SealError> {
    // Recipients would refuse the message; better to say so here.
    let certificate = sender.certificate.unverified().map_err(|_| SealError::SenderMismatch)?;
    let same = certificate.address == *sender.address
        && certificate.device == sender.device
        && certificate.key == sender.key.verifying_key();
    if same { Ok(()) } else { Err(SealError::SenderMismatch) }
}

/// One wrap for each recipient, in the order of the list.
fn wraps(
    header: &SealedHeader,
    ephemeral: &EphemeralSecret,
    content_key: &ContentKey,
    list: &RecipientList,
    recipients: &[Recipient],
) -> Result<Vec<Wrap>, SealError> {
    let by_device: HashMap<_, _> =
        recipients.iter().map(|to| ((to.device.address(), to.device.device()), to)).collect();
    let each = list.users().flat_map(|user| user.devices().map(move |device| (user.address(), device)));
    each.map(|(address, device)| {
        let recipient = by_device.get(&(&address, device)).copied().ok_or(SealError::Internal)?;
        let info = wrap_info(header, &address, device, recipient.prekey);
        let key = kem::wrap::<Current>(
            &ephemeral.0,
            header.ephemeral.as_bytes(),
            recipient.key.as_bytes(),
            &info,
            &content_key.0,
        )?;
        Ok(Wrap { address, device, prekey: recipient.prekey, key: WrappedKey(key) })
    })
    .collect()
}
