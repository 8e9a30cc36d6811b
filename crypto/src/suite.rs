//! Suite 1; this file and those under it are the only ones of the crate that name algorithms.
//!
//! Suite 1 is P-521 for key agreement and signatures (ECDSA with SHA-512), HKDF-SHA512, AES-256-GCM,
//! and SHA-512/256 where a short digest is wanted. The rest of the crate speaks to [`Primitives`]. There are two
//! implementations, which open each other's output and are held to the same vectors (`suite/tests.rs`): AWS-LC, the
//! default, and RustCrypto, which the feature `rustcrypto` selects.

use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

mod form;

#[cfg(all(feature = "aws-lc", any(test, feature = "fips", not(feature = "rustcrypto"))))]
pub(crate) mod aws_lc;
#[cfg(any(test, all(feature = "rustcrypto", not(feature = "fips"))))]
pub(crate) mod rustcrypto;
#[cfg(all(test, feature = "aws-lc"))]
mod tests;

/// The implementation of the suite that this build uses.
#[cfg(all(feature = "aws-lc", any(feature = "fips", not(feature = "rustcrypto"))))]
pub(crate) type Current = aws_lc::AwsLc;
/// The implementation of the suite that this build uses.
#[cfg(all(feature = "rustcrypto", not(feature = "fips")))]
pub(crate) type Current = rustcrypto::RustCrypto;
#[cfg(not(any(feature = "aws-lc", feature = "rustcrypto")))]
compile_error!("sotto-crypto needs the feature `aws-lc` (default, `fips` for its FIPS module) or `rustcrypto`");

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
    /// Keeps [`super::Primitives`] to this file and those under it.
    pub(crate) trait Sealed {}
}

/// What an implementation of the suite has to provide. Keys are kept in its own form, and cross the seam as bytes.
/// Types that hold secrets erase them when they are dropped.
pub(crate) trait Primitives: sealed::Sealed {
    /// A signing key.
    type SigningSecret;
    /// A key agreement secret.
    type AgreementSecret;
    /// An AES-256-GCM key, ready for use.
    type Cipher;

    /// Makes a signing key: from `rng`, or from a generator of the implementation's own.
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

    /// Makes a key agreement secret: from `rng`, or from a generator of the implementation's own.
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
    fn extract(salt: &[u8], ikm: &[&[u8]]) -> Result<Zeroizing<[u8; HASH_LEN]>, Failed>;
    /// RFC 5869 expand with the concatenation of `info`; `okm` is at most 255 times [`HASH_LEN`].
    fn expand(prk: &[u8; HASH_LEN], info: &[&[u8]], okm: &mut [u8]) -> Result<(), Failed>;

    /// Makes a key ready for use.
    fn cipher(key: &[u8; KEY_LEN]) -> Result<Self::Cipher, Failed>;
    /// Encrypts `buffer` in place; returns the tag.
    fn encrypt(
        cipher: &Self::Cipher,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        buffer: &mut [u8],
    ) -> Result<[u8; TAG_LEN], Failed>;
    /// Checks the tag at the end of `sealed`, and decrypts what is before it in place; returns its length. On failure the
    /// content of `sealed` is meaningless.
    fn decrypt(cipher: &Self::Cipher, nonce: &[u8; NONCE_LEN], aad: &[u8], sealed: &mut [u8]) -> Result<usize, Failed>;

    /// Encrypts `buffer` in place and appends the tag, under a key that is used once.
    fn aead_seal(key: &[u8; KEY_LEN], nonce: &[u8; NONCE_LEN], aad: &[u8], buffer: &mut Vec<u8>) -> Result<(), Failed> {
        // Room for the tag first, so that the clear text is not left behind by a reallocation.
        if buffer.capacity() < buffer.len() + TAG_LEN {
            let mut roomy = Vec::with_capacity(buffer.len() + TAG_LEN);
            roomy.extend_from_slice(buffer);
            std::mem::swap(buffer, &mut roomy);
            roomy.zeroize();
        }
        let tag = Self::encrypt(&Self::cipher(key)?, nonce, aad, buffer)?;
        buffer.extend_from_slice(&tag);
        Ok(())
    }

    /// Checks the tag at the end of `sealed` and decrypts what is before it.
    fn aead_open(
        key: &[u8; KEY_LEN],
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Failed> {
        let mut clear = Zeroizing::new(sealed.to_vec());
        let length = Self::decrypt(&Self::cipher(key)?, nonce, aad, &mut clear)?;
        clear.truncate(length);
        Ok(clear)
    }
}
