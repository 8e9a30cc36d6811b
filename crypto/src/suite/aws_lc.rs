//! Suite 1 by AWS-LC: the fast one, of which there is a FIPS module.
//!
//! What AWS-LC takes beyond the suite (compressed, hybrid and DER points) is refused before it is asked. Its keys come
//! from its own random number generator, which is also where FIPS 140-3 wants them made; secrets inside it are erased by
//! its allocator when they are freed. ECDSA is randomised here, and deterministic (RFC 6979) in the other
//! implementation: signatures are to be verified, never compared.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, ECDH_P521, ParsedPublicKey, PrivateKey};
use aws_lc_rs::digest::{self, SHA512, SHA512_256};
use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};
use aws_lc_rs::hkdf::{self, HKDF_SHA512, Prk};
use aws_lc_rs::hmac::{self, HMAC_SHA512};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    DIGEST_LEN, Failed, HASH_LEN, KEY_LEN, NONCE_LEN, POINT_LEN, Primitives, SCALAR_LEN, SIGNATURE_LEN, TAG_LEN, form,
};

/// The fast implementation.
pub(crate) enum AwsLc {}

impl super::sealed::Sealed for AwsLc {}

/// A key agreement secret with its public point, which opening needs each time.
pub(crate) struct Agreement {
    key: PrivateKey,
    public: [u8; POINT_LEN],
}

impl Agreement {
    fn new(key: PrivateKey) -> Result<Self, Failed> {
        let public = key.compute_public_key().map_err(|_| Failed)?;
        let public = public.as_ref().try_into().map_err(|_| Failed)?;
        Ok(Self { key, public })
    }
}

impl Primitives for AwsLc {
    type SigningSecret = EcdsaKeyPair;
    type AgreementSecret = Agreement;
    type Cipher = LessSafeKey;

    #[expect(clippy::expect_used, reason = "without memory or randomness there is no way on, as in `SystemRng`")]
    fn signing_generate<R: CryptoRng + ?Sized>(_: &mut R) -> Self::SigningSecret {
        EcdsaKeyPair::generate(&ECDSA_P521_SHA512_FIXED_SIGNING).expect("AWS-LC could not make a key")
    }

    fn signing_from_bytes(bytes: &[u8; SCALAR_LEN]) -> Result<Self::SigningSecret, Failed> {
        form::scalar(bytes)?;
        let der = private_key_der(bytes);
        EcdsaKeyPair::from_private_key_der(&ECDSA_P521_SHA512_FIXED_SIGNING, der.as_slice()).map_err(|_| Failed)
    }

    fn signing_to_bytes(key: &Self::SigningSecret) -> Zeroizing<[u8; SCALAR_LEN]> {
        scalar_of(&key.private_key())
    }

    fn signing_public(key: &Self::SigningSecret) -> [u8; POINT_LEN] {
        let mut point = [0; POINT_LEN];
        point.copy_from_slice(key.public_key().as_ref());
        point
    }

    fn sign(key: &Self::SigningSecret, parts: &[&[u8]]) -> Result<[u8; SIGNATURE_LEN], Failed> {
        let message = Zeroizing::new(parts.concat());
        let signature = key.sign(&SystemRandom::new(), &message).map_err(|_| Failed)?;
        signature.as_ref().try_into().map_err(|_| Failed)
    }

    fn verify(point: &[u8; POINT_LEN], parts: &[&[u8]], signature: &[u8; SIGNATURE_LEN]) -> Result<(), Failed> {
        form::point(point)?;
        form::signature(signature)?;
        let message = Zeroizing::new(parts.concat());
        let key = UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point);
        key.verify(&message, signature).map_err(|_| Failed)
    }

    fn check_point(point: &[u8; POINT_LEN]) -> Result<(), Failed> {
        form::point(point)?;
        let point = agreement::UnparsedPublicKey::new(&ECDH_P521, point);
        ParsedPublicKey::try_from(point).map(|_| ()).map_err(|_| Failed)
    }

    #[expect(clippy::expect_used, reason = "without memory or randomness there is no way on, as in `SystemRng`")]
    fn agreement_generate<R: CryptoRng + ?Sized>(_: &mut R) -> Self::AgreementSecret {
        let key = PrivateKey::generate(&ECDH_P521).map_err(|_| Failed).and_then(Agreement::new);
        key.expect("AWS-LC could not make a key")
    }

    fn agreement_from_bytes(bytes: &[u8; SCALAR_LEN]) -> Result<Self::AgreementSecret, Failed> {
        form::scalar(bytes)?;
        Agreement::new(PrivateKey::from_private_key(&ECDH_P521, bytes).map_err(|_| Failed)?)
    }

    fn agreement_to_bytes(key: &Self::AgreementSecret) -> Zeroizing<[u8; SCALAR_LEN]> {
        scalar_of(&key.key)
    }

    fn agreement_public(key: &Self::AgreementSecret) -> [u8; POINT_LEN] {
        key.public
    }

    fn agree(key: &Self::AgreementSecret, point: &[u8; POINT_LEN]) -> Result<Zeroizing<[u8; SCALAR_LEN]>, Failed> {
        form::point(point)?;
        let mut bytes = Zeroizing::new([0; SCALAR_LEN]);
        agreement::agree(&key.key, agreement::UnparsedPublicKey::new(&ECDH_P521, point), Failed, |shared| {
            if shared.len() != SCALAR_LEN {
                return Err(Failed);
            }
            bytes.copy_from_slice(shared);
            Ok(())
        })?;
        Ok(bytes)
    }

    fn hash(parts: &[&[u8]]) -> [u8; HASH_LEN] {
        digest(&SHA512, parts)
    }

    fn short_hash(parts: &[&[u8]]) -> [u8; DIGEST_LEN] {
        digest(&SHA512_256, parts)
    }

    fn extract(salt: &[u8], ikm: &[&[u8]]) -> Result<Zeroizing<[u8; HASH_LEN]>, Failed> {
        // RFC 5869, section 2.2: PRK = HMAC-Hash(salt, IKM). Into our own buffer, since a tag is not erased.
        let key = hmac::Key::new(HMAC_SHA512, salt);
        let ikm = Zeroizing::new(ikm.concat());
        let mut prk = Zeroizing::new([0; HASH_LEN]);
        hmac::sign_to_buffer(&key, &ikm, prk.as_mut_slice()).map_err(|_| Failed)?;
        Ok(prk)
    }

    fn expand(prk: &[u8; HASH_LEN], info: &[&[u8]], okm: &mut [u8]) -> Result<(), Failed> {
        let prk = Prk::new_less_safe(HKDF_SHA512, prk);
        prk.expand(info, Length(okm.len())).and_then(|expanded| expanded.fill(okm)).map_err(|_| Failed)
    }

    fn cipher(key: &[u8; KEY_LEN]) -> Result<Self::Cipher, Failed> {
        UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| Failed)
    }

    fn encrypt(
        cipher: &Self::Cipher,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        buffer: &mut [u8],
    ) -> Result<[u8; TAG_LEN], Failed> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let tag = cipher.seal_in_place_separate_tag(nonce, Aad::from(aad), buffer).map_err(|_| Failed)?;
        tag.as_ref().try_into().map_err(|_| Failed)
    }

    fn decrypt(cipher: &Self::Cipher, nonce: &[u8; NONCE_LEN], aad: &[u8], sealed: &mut [u8]) -> Result<usize, Failed> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        cipher.open_in_place(nonce, Aad::from(aad), sealed).map(|clear| clear.len()).map_err(|_| Failed)
    }

    /// From one place to another: what is long need not be copied first.
    fn aead_open(
        key: &[u8; KEY_LEN],
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Failed> {
        let (sealed, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(Failed)?;
        let mut clear = Zeroizing::new(vec![0; sealed.len()]);
        let nonce = Nonce::assume_unique_for_key(*nonce);
        Self::cipher(key)?.open_separate_gather(nonce, Aad::from(aad), sealed, tag, &mut clear).map_err(|_| Failed)?;
        Ok(clear)
    }
}

/// A length for HKDF-Expand.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// `ECPrivateKey` (RFC 5915) with version and key alone: a sequence of the integer 1 and an octet string. AWS-LC makes the
/// public point.
fn private_key_der(scalar: &[u8; SCALAR_LEN]) -> Zeroizing<[u8; 7 + SCALAR_LEN]> {
    let mut der = Zeroizing::new([0; 7 + SCALAR_LEN]);
    let (head, tail) = der.split_at_mut(7);
    head.copy_from_slice(&[0x30, 0x47, 0x02, 0x01, 0x01, 0x04, 0x42]);
    tail.copy_from_slice(scalar);
    der
}

#[expect(clippy::expect_used, reason = "AWS-LC writes a P-521 scalar in its full length, unless there is no memory")]
fn scalar_of(key: &impl AsBigEndian<EcPrivateKeyBin<'static>>) -> Zeroizing<[u8; SCALAR_LEN]> {
    let scalar = key.as_be_bytes().expect("AWS-LC could not write a key");
    let mut bytes = Zeroizing::new([0; SCALAR_LEN]);
    bytes.copy_from_slice(scalar.as_ref());
    bytes
}

fn digest<const N: usize>(algorithm: &'static digest::Algorithm, parts: &[&[u8]]) -> [u8; N] {
    let mut context = digest::Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    let mut bytes = [0; N];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}
