//! Suite 1, and the only file of the crate that names algorithms.
//!
//! Suite 1 is P-521 for key agreement and signatures (ECDSA with SHA-512), HKDF-SHA512, AES-256-GCM,
//! and SHA-512/256 where a short digest is wanted. The rest of the crate speaks to [`Primitives`], so that a second
//! implementation of the same suite can stand beside this one and be held to the same vectors.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use hkdf::{Hkdf, HkdfExtract};
use p521::ecdsa::signature::{MultipartSigner, MultipartVerifier};
use p521::elliptic_curve::Generate;
use p521::elliptic_curve::sec1::ToSec1Point;
use rand_core::CryptoRng;
use sha2::{Digest, Sha512, Sha512_256};
use zeroize::{Zeroize, Zeroizing};

/// The implementation of the suite that this build uses.
pub(crate) type Current = RustCrypto;

/// Length of an uncompressed SEC1 point: `0x04 || x || y`.
pub const POINT_LEN: usize = 133;
/// Length of a secret scalar, big endian.
pub const SCALAR_LEN: usize = 66;
/// Length of a signature: `r || s`, big endian.
pub const SIGNATURE_LEN: usize = 132;
/// Length of a content or attachment key.
pub const KEY_LEN: usize = 32;
/// Length of the authentication tag.
pub const TAG_LEN: usize = 16;
/// Length of a nonce.
pub(crate) const NONCE_LEN: usize = 12;
/// Length of the output of the key derivation's extract step, and of a long digest.
pub(crate) const HASH_LEN: usize = 64;
/// Length of a short digest: fingerprints, Merkle trees, the commitment.
pub const DIGEST_LEN: usize = 32;

/// RFC 9180 identifiers of the key encapsulation, the key derivation and the cipher, in that order.
pub(crate) const KEM_ID: u16 = 0x0012;
pub(crate) const KDF_ID: u16 = 0x0003;
pub(crate) const AEAD_ID: u16 = 0x0002;

/// An operation that failed; it says nothing more on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed;

mod sealed {
    /// Keeps [`super::Primitives`] to this file.
    pub(crate) trait Sealed {}
}

/// What an implementation of the suite has to provide. Keys are kept in its own form, and cross the seam as bytes.
/// Types that hold secrets erase them when they are dropped.
pub(crate) trait Primitives: sealed::Sealed {
    /// A signing key.
    type SigningSecret;
    /// A key agreement secret.
    type AgreementSecret;

    /// Makes a signing key.
    fn signing_generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self::SigningSecret;
    /// Reads a signing key; fails unless it is in `1..n`.
    fn signing_from_bytes(bytes: &[u8; SCALAR_LEN]) -> Result<Self::SigningSecret, Failed>;
    /// The secret scalar.
    fn signing_to_bytes(key: &Self::SigningSecret) -> Zeroizing<[u8; SCALAR_LEN]>;
    /// The public point.
    fn signing_public(key: &Self::SigningSecret) -> [u8; POINT_LEN];
    /// Signs the concatenation of `parts`.
    fn sign(key: &Self::SigningSecret, parts: &[&[u8]]) -> Result<[u8; SIGNATURE_LEN], Failed>;
    /// Verifies a signature over the concatenation of `parts`.
    fn verify(point: &[u8; POINT_LEN], parts: &[&[u8]], signature: &[u8; SIGNATURE_LEN]) -> Result<(), Failed>;
    /// Checks that the bytes are an uncompressed point on the curve, and not the point at infinity.
    fn check_point(point: &[u8; POINT_LEN]) -> Result<(), Failed>;

    /// Makes a key agreement secret.
    fn agreement_generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self::AgreementSecret;
    /// Reads a key agreement secret; fails unless it is in `1..n`.
    fn agreement_from_bytes(bytes: &[u8; SCALAR_LEN]) -> Result<Self::AgreementSecret, Failed>;
    /// The secret scalar.
    fn agreement_to_bytes(key: &Self::AgreementSecret) -> Zeroizing<[u8; SCALAR_LEN]>;
    /// The public point.
    fn agreement_public(key: &Self::AgreementSecret) -> [u8; POINT_LEN];
    /// The x coordinate of the shared point; the public point is validated.
    fn agree(key: &Self::AgreementSecret, point: &[u8; POINT_LEN]) -> Result<Zeroizing<[u8; SCALAR_LEN]>, Failed>;

    /// A long digest (64 bytes) of the concatenation of `parts`.
    fn hash(parts: &[&[u8]]) -> [u8; HASH_LEN];
    /// A short digest (32 bytes) of the concatenation of `parts`.
    fn short_hash(parts: &[&[u8]]) -> [u8; DIGEST_LEN];

    /// RFC 5869 extract over the concatenation of `ikm`.
    fn extract(salt: &[u8], ikm: &[&[u8]]) -> Zeroizing<[u8; HASH_LEN]>;
    /// RFC 5869 expand with the concatenation of `info`; `okm` is at most 255 times [`HASH_LEN`].
    fn expand(prk: &[u8; HASH_LEN], info: &[&[u8]], okm: &mut [u8]) -> Result<(), Failed>;

    /// Encrypts `buffer` in place and appends the tag.
    fn aead_seal(key: &[u8; KEY_LEN], nonce: &[u8; NONCE_LEN], aad: &[u8], buffer: &mut Vec<u8>) -> Result<(), Failed>;
    /// Checks and removes the tag and decrypts `buffer` in place; on failure the content of `buffer` is meaningless.
    fn aead_open(key: &[u8; KEY_LEN], nonce: &[u8; NONCE_LEN], aad: &[u8], buffer: &mut Vec<u8>) -> Result<(), Failed>;
}

/// Suite 1 by the RustCrypto crates: portable, readable, and constant time by design.
pub(crate) enum RustCrypto {}

impl sealed::Sealed for RustCrypto {}

impl Primitives for RustCrypto {
    type SigningSecret = p521::ecdsa::SigningKey;
    type AgreementSecret = p521::SecretKey;

    fn signing_generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self::SigningSecret {
        p521::ecdsa::SigningKey::generate_from_rng(rng)
    }

    fn signing_from_bytes(bytes: &[u8; SCALAR_LEN]) -> Result<Self::SigningSecret, Failed> {
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

    fn extract(salt: &[u8], ikm: &[&[u8]]) -> Zeroizing<[u8; HASH_LEN]> {
        let mut extract = HkdfExtract::<Sha512>::new(Some(salt));
        for part in ikm {
            extract.input_ikm(part);
        }
        let (mut output, _) = extract.finalize();
        let prk = Zeroizing::new(output.into());
        output.zeroize();
        prk
    }

    fn expand(prk: &[u8; HASH_LEN], info: &[&[u8]], okm: &mut [u8]) -> Result<(), Failed> {
        let hkdf = Hkdf::<Sha512>::from_prk(prk).map_err(|_| Failed)?;
        hkdf.expand_multi_info(info, okm).map_err(|_| Failed)
    }

    fn aead_seal(key: &[u8; KEY_LEN], nonce: &[u8; NONCE_LEN], aad: &[u8], buffer: &mut Vec<u8>) -> Result<(), Failed> {
        // Room for the tag first, so that the clear text is not left behind by a reallocation.
        if buffer.capacity() < buffer.len() + TAG_LEN {
            let mut roomy = Vec::with_capacity(buffer.len() + TAG_LEN);
            roomy.extend_from_slice(buffer);
            std::mem::swap(buffer, &mut roomy);
            roomy.zeroize();
        }
        Aes256Gcm::new(key.into()).encrypt_in_place(nonce.into(), aad, buffer).map_err(|_| Failed)
    }

    fn aead_open(key: &[u8; KEY_LEN], nonce: &[u8; NONCE_LEN], aad: &[u8], buffer: &mut Vec<u8>) -> Result<(), Failed> {
        Aes256Gcm::new(key.into()).decrypt_in_place(nonce.into(), aad, buffer).map_err(|_| Failed)
    }
}

/// The form is checked here: the parser below would also take compressed points and the point at infinity.
fn parse(point: &[u8; POINT_LEN]) -> Result<p521::PublicKey, Failed> {
    if point[0] != 4 {
        return Err(Failed);
    }
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
