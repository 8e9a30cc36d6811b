//! Suite 1 by the RustCrypto crates: portable, readable, and constant time by design.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use hkdf::{Hkdf, HkdfExtract};
use p521::ecdsa::signature::{MultipartSigner, MultipartVerifier};
use p521::elliptic_curve::Generate;
use p521::elliptic_curve::sec1::ToSec1Point;
use rand_core::CryptoRng;
use sha2::{Digest, Sha512, Sha512_256};
use zeroize::{Zeroize, Zeroizing};

use super::{
    DIGEST_LEN, Failed, HASH_LEN, KEY_LEN, NONCE_LEN, POINT_LEN, Primitives, SCALAR_LEN, SIGNATURE_LEN, TAG_LEN, form,
};

/// The readable implementation, which runs anywhere.
pub(crate) enum RustCrypto {}

impl super::sealed::Sealed for RustCrypto {}

impl Primitives for RustCrypto {
    type SigningSecret = p521::ecdsa::SigningKey;
    type AgreementSecret = p521::SecretKey;
    type Cipher = Aes256Gcm;

    fn signing_generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self::SigningSecret {
        p521::ecdsa::SigningKey::generate_from_rng(rng)
    }

    fn signing_from_bytes(bytes: &[u8; SCALAR_LEN]) -> Result<Self::SigningSecret, Failed> {
        form::scalar(bytes)?;
        p521::ecdsa::SigningKey::from_slice(bytes).map_err(|_| Failed)
    }

    fn signing_to_bytes(key: &Self::SigningSecret) -> Zeroizing<[u8; SCALAR_LEN]> {
        let mut scalar = key.to_bytes();
        let bytes = Zeroizing::new(scalar.into());
        scalar.zeroize();
        bytes
    }

    fn signing_public(key: &Self::SigningSecret) -> [u8; POINT_LEN] {
        uncompressed(&key.verifying_key().to_sec1_point(false))
    }

    fn sign(key: &Self::SigningSecret, parts: &[&[u8]]) -> Result<[u8; SIGNATURE_LEN], Failed> {
        let signature: p521::ecdsa::Signature = key.try_multipart_sign(parts).map_err(|_| Failed)?;
        Ok(signature.to_bytes().into())
    }

    fn verify(point: &[u8; POINT_LEN], parts: &[&[u8]], signature: &[u8; SIGNATURE_LEN]) -> Result<(), Failed> {
        form::signature(signature)?;
        let public = parse(point)?;
        let signature = p521::ecdsa::Signature::from_slice(signature).map_err(|_| Failed)?;
        p521::ecdsa::VerifyingKey::from(public).multipart_verify(parts, &signature).map_err(|_| Failed)
    }

    fn check_point(point: &[u8; POINT_LEN]) -> Result<(), Failed> {
        parse(point).map(|_| ())
    }

    fn agreement_generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self::AgreementSecret {
        p521::SecretKey::generate_from_rng(rng)
    }

    fn agreement_from_bytes(bytes: &[u8; SCALAR_LEN]) -> Result<Self::AgreementSecret, Failed> {
        form::scalar(bytes)?;
        p521::SecretKey::from_bytes(bytes.into()).map_err(|_| Failed)
    }

    fn agreement_to_bytes(key: &Self::AgreementSecret) -> Zeroizing<[u8; SCALAR_LEN]> {
        let mut scalar = key.to_bytes();
        let bytes = Zeroizing::new(scalar.into());
        scalar.zeroize();
        bytes
    }

    fn agreement_public(key: &Self::AgreementSecret) -> [u8; POINT_LEN] {
        uncompressed(&key.public_key().to_sec1_point(false))
    }

    fn agree(key: &Self::AgreementSecret, point: &[u8; POINT_LEN]) -> Result<Zeroizing<[u8; SCALAR_LEN]>, Failed> {
        let shared = key.diffie_hellman(&parse(point)?);
        let mut bytes = Zeroizing::new([0; SCALAR_LEN]);
        bytes.copy_from_slice(shared.raw_secret_bytes());
        Ok(bytes)
    }

    fn hash(parts: &[&[u8]]) -> [u8; HASH_LEN] {
        digest::<Sha512>(parts).into()
    }

    fn short_hash(parts: &[&[u8]]) -> [u8; DIGEST_LEN] {
        digest::<Sha512_256>(parts).into()
    }

    fn extract(salt: &[u8], ikm: &[&[u8]]) -> Result<Zeroizing<[u8; HASH_LEN]>, Failed> {
        let mut extract = HkdfExtract::<Sha512>::new(Some(salt));
        for part in ikm {
            extract.input_ikm(part);
        }
        let (mut output, _) = extract.finalize();
        let prk = Zeroizing::new(output.into());
        output.zeroize();
        Ok(prk)
    }

    fn expand(prk: &[u8; HASH_LEN], info: &[&[u8]], okm: &mut [u8]) -> Result<(), Failed> {
        let hkdf = Hkdf::<Sha512>::from_prk(prk).map_err(|_| Failed)?;
        hkdf.expand_multi_info(info, okm).map_err(|_| Failed)
    }

    fn cipher(key: &[u8; KEY_LEN]) -> Result<Self::Cipher, Failed> {
        Ok(Aes256Gcm::new(key.into()))
    }

    fn encrypt(
        cipher: &Self::Cipher,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        buffer: &mut [u8],
    ) -> Result<[u8; TAG_LEN], Failed> {
        cipher.encrypt_inout_detached(nonce.into(), aad, buffer.into()).map(Into::into).map_err(|_| Failed)
    }

    fn decrypt(cipher: &Self::Cipher, nonce: &[u8; NONCE_LEN], aad: &[u8], sealed: &mut [u8]) -> Result<usize, Failed> {
        let (text, tag) = sealed.split_last_chunk_mut::<TAG_LEN>().ok_or(Failed)?;
        let tag = *tag;
        cipher.decrypt_inout_detached(nonce.into(), aad, (&mut *text).into(), &tag.into()).map_err(|_| Failed)?;
        Ok(text.len())
    }
}

/// The form is checked here: the parser would also take compressed points and the point at infinity.
fn parse(point: &[u8; POINT_LEN]) -> Result<p521::PublicKey, Failed> {
    form::point(point)?;
    p521::PublicKey::from_sec1_bytes(point).map_err(|_| Failed)
}

fn uncompressed(point: &p521::Sec1Point) -> [u8; POINT_LEN] {
    let mut bytes = [0; POINT_LEN];
    // A public key is never the point at infinity, so that its uncompressed form always has the full length.
    bytes.copy_from_slice(point.as_bytes());
    bytes
}

fn digest<D: Digest>(parts: &[&[u8]]) -> sha2::digest::Output<D> {
    let mut hasher = D::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}
