//! Wrapping the content key for one device: the DHKEM construction and the base-mode key schedule of RFC 9180. Handing
//! something over between two devices that share a code: HPKE itself, single-shot, in mode_psk ([`seal_psk`]).
//!
//! The ephemeral key is the message's, shared by all its recipients, which RFC 9180 does not allow to its own senders;
//! so this is our own suite and not called HPKE. What a recipient does is exactly RFC 9180, and any implementation of
//! it can open a wrap. The conditions under which sharing is sound are kept by [`crate::seal()`]: the key is fresh for
//! each message and gone when `seal` returns; recipients' keys are validated and signed; both public keys and the whole
//! context go into the derivation; each derived key seals one content key, once.

use zeroize::Zeroizing;

use crate::suite::{AEAD_ID, Failed, HASH_LEN, KDF_ID, KEM_ID, KEY_LEN, NONCE_LEN, POINT_LEN, Primitives};

/// Length of a wrapped content key.
pub(crate) const WRAP_LEN: usize = KEY_LEN + crate::suite::TAG_LEN;

const VERSION_LABEL: &[u8] = b"HPKE-v1";

/// `suite_id` of the KEM: `concat("KEM", I2OSP(kem_id, 2))`.
const fn kem_suite() -> [u8; 5] {
    let kem = KEM_ID.to_be_bytes();
    [b'K', b'E', b'M', kem[0], kem[1]]
}

/// `suite_id` of the key schedule: `concat("HPKE", I2OSP(kem_id, 2), I2OSP(kdf_id, 2), I2OSP(aead_id, 2))`.
const fn hpke_suite() -> [u8; 10] {
    let (kem, kdf, aead) = (KEM_ID.to_be_bytes(), KDF_ID.to_be_bytes(), AEAD_ID.to_be_bytes());
    [b'H', b'P', b'K', b'E', kem[0], kem[1], kdf[0], kdf[1], aead[0], aead[1]]
}

/// RFC 9180, section 4:
///
/// ```text
/// def LabeledExtract(salt, label, ikm):
///   labeled_ikm = concat("HPKE-v1", suite_id, label, ikm)
///   return Extract(salt, labeled_ikm)
/// ```
fn labeled_extract<P: Primitives>(
    suite: &[u8],
    salt: &[u8],
    label: &[u8],
    ikm: &[u8],
) -> Result<Zeroizing<[u8; HASH_LEN]>, Failed> {
    P::extract(salt, &[VERSION_LABEL, suite, label, ikm])
}

/// RFC 9180, section 4:
///
/// ```text
/// def LabeledExpand(prk, label, info, L):
///   labeled_info = concat(I2OSP(L, 2), "HPKE-v1", suite_id, label, info)
///   return Expand(prk, labeled_info, L)
/// ```
fn labeled_expand<P: Primitives, const L: usize>(
    suite: &[u8],
    prk: &[u8; HASH_LEN],
    label: &[u8],
    info: &[&[u8]],
) -> Result<Zeroizing<[u8; L]>, Failed> {
    let length = u16::try_from(L).map_err(|_| Failed)?.to_be_bytes();
    let mut labeled_info = vec![length.as_slice(), VERSION_LABEL, suite, label];
    labeled_info.extend_from_slice(info);
    let mut output = Zeroizing::new([0; L]);
    P::expand(prk, &labeled_info, output.as_mut_slice())?;
    Ok(output)
}

/// RFC 9180, section 4.1:
///
/// ```text
/// def ExtractAndExpand(dh, kem_context):
///   eae_prk = LabeledExtract("", "eae_prk", dh)
///   shared_secret = LabeledExpand(eae_prk, "shared_secret", kem_context, Nsecret)
///   return shared_secret
/// ```
///
/// with `kem_context = concat(enc, pkRm)`. `Encap(pkR)` comes here with `dh = DH(skE, pkR)`, `Decap(enc, skR)` with
/// `dh = DH(skR, pkE)`.
pub(crate) fn extract_and_expand<P: Primitives>(
    dh: &[u8],
    enc: &[u8; POINT_LEN],
    recipient: &[u8; POINT_LEN],
) -> Result<Zeroizing<[u8; HASH_LEN]>, Failed> {
    let eae_prk = labeled_extract::<P>(&kem_suite(), b"", b"eae_prk", dh)?;
    labeled_expand::<P, HASH_LEN>(&kem_suite(), &eae_prk, b"shared_secret", &[enc, recipient])
}

/// Key and nonce for one wrap; consumed by sealing or opening it.
pub(crate) struct Schedule {
    pub(crate) key: Zeroizing<[u8; KEY_LEN]>,
    pub(crate) base_nonce: Zeroizing<[u8; NONCE_LEN]>,
}

/// The two modes of RFC 9180 that are used, with what each has of a secret known beforehand.
#[derive(Clone, Copy)]
pub(crate) enum Mode<'a> {
    /// `mode_base`: `psk` and `psk_id` are empty.
    Base,
    /// `mode_psk`.
    Psk { psk: &'a [u8], id: &'a [u8] },
}

impl Mode<'_> {
    /// Mode, `psk` and `psk_id`.
    fn parts(&self) -> ([u8; 1], &[u8], &[u8]) {
        match self {
            Self::Base => ([0x00], b"", b""),
            Self::Psk { psk, id } => ([0x01], psk, id),
        }
    }
}

/// RFC 9180, section 5.1:
///
/// ```text
/// def KeySchedule<ROLE>(mode, shared_secret, info, psk, psk_id):
///   psk_id_hash = LabeledExtract("", "psk_id_hash", psk_id)
///   info_hash = LabeledExtract("", "info_hash", info)
///   key_schedule_context = concat(mode, psk_id_hash, info_hash)
///   secret = LabeledExtract(shared_secret, "secret", psk)
///   key = LabeledExpand(secret, "key", key_schedule_context, Nk)
///   base_nonce = LabeledExpand(secret, "base_nonce", key_schedule_context, Nn)
/// ```
///
/// The exporter secret is not needed here.
pub(crate) fn key_schedule<P: Primitives>(
    mode: Mode<'_>,
    shared_secret: &[u8; HASH_LEN],
    info: &[u8],
) -> Result<Schedule, Failed> {
    let (mode, psk, psk_id) = mode.parts();
    let suite = hpke_suite();
    let psk_id_hash = labeled_extract::<P>(&suite, b"", b"psk_id_hash", psk_id)?;
    let info_hash = labeled_extract::<P>(&suite, b"", b"info_hash", info)?;
    let context: [&[u8]; 3] = [&mode, psk_id_hash.as_slice(), info_hash.as_slice()];
    let secret = labeled_extract::<P>(&suite, shared_secret, b"secret", psk)?;
    Ok(Schedule {
        key: labeled_expand::<P, KEY_LEN>(&suite, &secret, b"key", &context)?,
        base_nonce: labeled_expand::<P, NONCE_LEN>(&suite, &secret, b"base_nonce", &context)?,
    })
}

/// RFC 9180, sections 4.1 and 5.2, but with the message's ephemeral key instead of a new one (see the module):
///
/// ```text
/// def Encap(pkR):                          def ContextS.Seal(aad, pt):
///   dh = DH(skE, pkR)                        ct = Seal(key, ComputeNonce(seq), aad, pt)
///   kem_context = concat(enc, pkRm)          return ct
///   shared_secret = ExtractAndExpand(dh, kem_context)
/// ```
///
/// `seq` is 0, so that the nonce is `base_nonce`; `aad` is empty.
pub(crate) fn wrap<P: Primitives>(
    ephemeral: &P::AgreementSecret,
    enc: &[u8; POINT_LEN],
    recipient: &[u8; POINT_LEN],
    info: &[u8],
    content_key: &[u8; KEY_LEN],
) -> Result<[u8; WRAP_LEN], Failed> {
    let dh = P::agree(ephemeral, recipient)?;
    let shared_secret = extract_and_expand::<P>(dh.as_slice(), enc, recipient)?;
    let Schedule { key, base_nonce } = key_schedule::<P>(Mode::Base, &shared_secret, info)?;
    let mut buffer = Vec::with_capacity(WRAP_LEN);
    buffer.extend_from_slice(content_key);
    P::aead_seal(&key, &base_nonce, b"", &mut buffer)?;
    buffer.try_into().map_err(|_| Failed)
}

/// RFC 9180, sections 4.1 and 5.2:
///
/// ```text
/// def Decap(enc, skR):                     def ContextR.Open(aad, ct):
///   pkE = DeserializePublicKey(enc)          pt = Open(key, ComputeNonce(seq), aad, ct)
///   dh = DH(skR, pkE)                        if pt == OpenError: raise OpenError
///   kem_context = concat(enc, pkRm)          return pt
///   shared_secret = ExtractAndExpand(dh, kem_context)
/// ```
pub(crate) fn unwrap<P: Primitives>(
    secret: &P::AgreementSecret,
    enc: &[u8; POINT_LEN],
    info: &[u8],
    wrapped: &[u8; WRAP_LEN],
) -> Result<Zeroizing<[u8; KEY_LEN]>, Failed> {
    let recipient = P::agreement_public(secret);
    let dh = P::agree(secret, enc)?;
    let shared_secret = extract_and_expand::<P>(dh.as_slice(), enc, &recipient)?;
    let Schedule { key, base_nonce } = key_schedule::<P>(Mode::Base, &shared_secret, info)?;
    let clear = P::aead_open(&key, &base_nonce, b"", wrapped)?;
    let mut content_key = Zeroizing::new([0; KEY_LEN]);
    if clear.len() != KEY_LEN {
        return Err(Failed);
    }
    content_key.copy_from_slice(&clear);
    Ok(content_key)
}

/// RFC 9180, section 6.1: `SealPSK(pkR, info, aad = "", pt, psk, psk_id)`. The ephemeral key is new and for this alone,
/// as the RFC has it; `enc` is its public point.
pub(crate) fn seal_psk<P: Primitives>(
    ephemeral: &P::AgreementSecret,
    recipient: &[u8; POINT_LEN],
    info: &[u8],
    (psk, id): (&[u8], &[u8]),
    plain: &[u8],
) -> Result<Vec<u8>, Failed> {
    let enc = P::agreement_public(ephemeral);
    let dh = P::agree(ephemeral, recipient)?;
    let shared_secret = extract_and_expand::<P>(dh.as_slice(), &enc, recipient)?;
    let Schedule { key, base_nonce } = key_schedule::<P>(Mode::Psk { psk, id }, &shared_secret, info)?;
    let mut buffer = Vec::with_capacity(plain.len() + crate::suite::TAG_LEN);
    buffer.extend_from_slice(plain);
    P::aead_seal(&key, &base_nonce, b"", &mut buffer)?;
    Ok(buffer)
}

/// RFC 9180, section 6.1: `OpenPSK(enc, skR, info, aad = "", ct, psk, psk_id)`.
pub(crate) fn open_psk<P: Primitives>(
    secret: &P::AgreementSecret,
    enc: &[u8; POINT_LEN],
    info: &[u8],
    (psk, id): (&[u8], &[u8]),
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Failed> {
    let recipient = P::agreement_public(secret);
    let dh = P::agree(secret, enc)?;
    let shared_secret = extract_and_expand::<P>(dh.as_slice(), enc, &recipient)?;
    let Schedule { key, base_nonce } = key_schedule::<P>(Mode::Psk { psk, id }, &shared_secret, info)?;
    P::aead_open(&key, &base_nonce, b"", sealed)
}

#[cfg(test)]
#[path = "kem_tests.rs"]
mod tests;
