//! Opening a message.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::address::Address;
use crate::agreement::PrekeySecret;
use crate::certificate::{VerifiedDevice, verify_device};
use crate::ids::DeviceId;
use crate::message::{
    Body, ContentKey, MAX_BODY, MAX_CONTENT, MESSAGE_LABEL, Opened, SealedHeader, WrappedKey, transcript, wrap_info,
};
use crate::prekey::PrekeyRef;
use crate::suite::{Current, NONCE_LEN, Primitives};
use crate::{Unsupported, check_version, codec, kem, padding};

/// A message that cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Made for another version or suite.
    #[error("message: {0}")]
    Unsupported(#[from] Unsupported),
    /// The body is larger than any that is sealed.
    #[error("message: the body has {0} bytes, at most {MAX_BODY} are allowed")]
    TooLarge(usize),
    /// Not sealed to this device and prekey, or changed on the way. Which of them is not said on purpose.
    #[error("message: it was not sealed to this device, or it has been changed")]
    Unopenable,
    /// It opens, but the sender's certificate or signature is not right: somebody who had the key has forged it.
    #[error("message: the sender's certificate or signature does not verify")]
    Forged,
    /// It opens, but this device is not among those that the sender says it was sealed to.
    #[error("message: this device is not in the sender's list of recipients")]
    NotListed,
}

impl From<crate::suite::Failed> for OpenError {
    fn from(_: crate::suite::Failed) -> Self {
        Self::Unopenable
    }
}

/// Opens a message with the secret of the prekey that it was sealed to, and verifies everything that can be verified
/// without knowing the sender. **The caller has to compare [`Opened::identity`] with the identity that it has pinned for
/// `header.sender`.**
pub fn open(
    header: &SealedHeader,
    body: &[u8],
    me: (&Address, DeviceId),
    prekey: PrekeyRef,
    secret: &PrekeySecret,
    wrap: &WrappedKey,
) -> Result<Opened, OpenError> {
    check_version(header.version, header.suite)?;
    if body.len() > MAX_BODY {
        return Err(OpenError::TooLarge(body.len()));
    }
    if header.network.as_str() != header.sender.domain_str() {
        return Err(OpenError::Unopenable);
    }
    let (address, device) = me;
    let info = wrap_info(header, address, device, prekey);
    let key = kem::unwrap::<Current>(&secret.0, header.ephemeral.as_bytes(), &info, &wrap.0)?;
    let body = open_body(header, body, &ContentKey(key))?;
    let certificate = check_signature(header, &body)?;
    if !body.recipients.contains(address, device) {
        return Err(OpenError::NotListed);
    }
    let Body { content, recipients, identity, .. } = body;
    Ok(Opened { content, identity, certificate, recipients: recipients.into_inner() })
}

fn open_body(header: &SealedHeader, body: &[u8], key: &ContentKey) -> Result<Body, OpenError> {
    if !bool::from(key.commitment()?.ct_eq(&header.commitment)) {
        return Err(OpenError::Unopenable);
    }
    let mut plain = Zeroizing::new(body.to_vec());
    Current::aead_open(&key.0, &[0; NONCE_LEN], &codec::encode(header), &mut plain)?;
    let encoded = padding::unpad(&plain).ok_or(OpenError::Unopenable)?;
    let body: Body = codec::decode_strict(encoded).map_err(|_| OpenError::Unopenable)?;
    if body.content.len() > MAX_CONTENT {
        return Err(OpenError::Unopenable);
    }
    Ok(body)
}

fn check_signature(header: &SealedHeader, body: &Body) -> Result<VerifiedDevice, OpenError> {
    let device = verify_device(&body.identity, &body.certificate).map_err(|_| OpenError::Forged)?;
    if *device.address() != header.sender || device.device() != header.device {
        return Err(OpenError::Forged);
    }
    let transcript = transcript(header, &body.recipients, &body.content);
    device.key().verify(MESSAGE_LABEL, &transcript, &body.signature).map_err(|_| OpenError::Forged)?;
    Ok(device)
}
