//! Vaults: a user's identity key, sealed so that the relay can keep it and not open it. What opens one is the password (by
//! the export key that OPAQUE gives to who knows it) or the recovery key.

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::address::Address;
use crate::code::RecoveryKey;
use crate::signing::IdentityKey;
use crate::suite::{Current, Failed, KEY_LEN, NONCE_LEN, Primitives, SCALAR_LEN, TAG_LEN};
use crate::{SUITE, Unsupported, VERSION, check_version, codec};

const LABEL: &str = "sotto/2 vault";

/// A vault that does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// Not the encoding of a vault.
    #[error(transparent)]
    Decode(#[from] codec::DecodeError),
    /// Made for a version or a suite that this build does not know.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// The key does not fit, the vault is another user's or of another kind, or it was changed.
    #[error("the vault does not open: it is sealed with another password or recovery key, or was changed")]
    Unopenable,
}

impl From<Failed> for VaultError {
    fn from(_: Failed) -> Self {
        Self::Unopenable
    }
}

/// What seals and opens a vault; erased when dropped.
pub struct VaultKey {
    kind: u8,
    key: Zeroizing<[u8; KEY_LEN]>,
}

impl VaultKey {
    /// From OPAQUE's export key (RFC 9807 §3), which follows from password and registration.
    ///
    /// # Panics
    /// When there is no memory left.
    pub fn from_export_key(export_key: &[u8; 64]) -> Self {
        Self::derive(0, "password", export_key)
    }

    /// From the recovery key.
    ///
    /// # Panics
    /// When there is no memory left.
    pub fn from_recovery_key(key: &RecoveryKey) -> Self {
        Self::derive(1, "recovery", key.bytes())
    }

    #[expect(clippy::expect_used, reason = "HKDF takes keys of any length, and gives 32 bytes")]
    fn derive(kind: u8, info: &str, secret: &[u8]) -> Self {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        Current::extract(LABEL.as_bytes(), &[secret])
            .and_then(|prk| Current::expand(&prk, &[info.as_bytes()], key.as_mut_slice()))
            .expect("HKDF cannot fail");
        Self { kind, key }
    }

    /// What the sealed bytes are bound to.
    fn aad(&self, address: &Address) -> Vec<u8> {
        codec::encode(&(LABEL, VERSION, SUITE, self.kind, address))
    }
}

/// A vault as it is stored.
#[derive(Encode, Decode)]
#[cbor(array)]
struct Vault {
    #[n(0)]
    version: u8,
    #[n(1)]
    suite: u16,
    #[cbor(n(2), with = "minicbor::bytes")]
    nonce: [u8; NONCE_LEN],
    #[cbor(n(3), with = "minicbor::bytes")]
    sealed: [u8; SCALAR_LEN + TAG_LEN],
}

/// Seals the identity key of `address`.
///
/// # Panics
/// When there is no memory left.
#[expect(clippy::expect_used, reason = "AES-GCM takes any 66 bytes")]
pub fn seal_vault<R: CryptoRng + ?Sized>(
    rng: &mut R,
    key: &VaultKey,
    address: &Address,
    identity: &IdentityKey,
) -> Vec<u8> {
    // Random, since the key seals again when the identity does not change and the vault was lost.
    let mut nonce = [0; NONCE_LEN];
    rng.fill_bytes(&mut nonce);
    let mut buffer = Zeroizing::new(Vec::with_capacity(SCALAR_LEN + TAG_LEN));
    buffer.extend_from_slice(&identity.to_bytes());
    let sealed = Current::aead_seal(&key.key, &nonce, &key.aad(address), &mut buffer)
        .and_then(|()| buffer.as_slice().try_into().map_err(|_| Failed))
        .expect("sealing 66 bytes cannot fail");
    codec::encode(&Vault { version: VERSION, suite: SUITE, nonce, sealed })
}

/// Opens a vault. The caller compares the identity with the one that it expects.
pub fn open_vault(key: &VaultKey, address: &Address, vault: &[u8]) -> Result<IdentityKey, VaultError> {
    let vault: Vault = codec::decode_strict(vault)?;
    check_version(vault.version, vault.suite)?;
    let clear = Current::aead_open(&key.key, &vault.nonce, &key.aad(address), &vault.sealed)?;
    IdentityKey::from_bytes(&clear).map_err(|_| VaultError::Unopenable)
}
