//! The store key under a password: Argon2id (RFC 9106) makes a wrapping key, AES-256-GCM wraps. Pure: bytes in, bytes
//! out; `profile.rs` does the files.

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sotto_crypto::rand_core::CryptoRng;
use sotto_wire::password;
use zeroize::Zeroizing;

use crate::core::secret::Password;

/// The key of the local store; erased when dropped.
#[derive(Clone)]
pub(crate) struct StoreKey(Zeroizing<[u8; 32]>);

impl StoreKey {
    /// A new key.
    pub(crate) fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(key.as_mut_slice());
        Self(key)
    }

    /// The key itself.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As it stands in `unlock.key`.
    pub(crate) fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(HEXLOWER.encode(self.0.as_slice()))
    }

    /// From `unlock.key`.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(HEXLOWER.decode(text.trim().as_bytes()).ok()?);
        Self::from_slice(&bytes)
    }

    /// From its bytes.
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != 32 {
            return None;
        }
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(bytes);
        Some(Self(key))
    }
}

/// The wrapped key as it stands in `key.json`. Holds nothing that opens the store without the password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct KeyFile {
    /// Form of this file, 1.
    version: u8,
    /// Argon2id: memory in KiB.
    memory_kib: u32,
    /// Argon2id: passes.
    passes: u32,
    /// Argon2id: lanes.
    lanes: u32,
    /// Hex, 16 bytes.
    salt: String,
    /// Hex, 12 bytes.
    nonce: String,
    /// Hex: the store key under AES-256-GCM.
    wrapped: String,
}

/// Why a key does not come out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum UnwrapError {
    /// The password is another one.
    WrongPassword,
    /// The file is damaged, or from a newer version.
    Damaged(&'static str),
}

/// Most memory that a key file may ask for, so that a forged one cannot exhaust the machine: 1 GiB.
const MAX_MEMORY_KIB: u32 = 1024 * 1024;
const LABEL: &[u8] = b"sotto/1 profile key";

impl KeyFile {
    /// Wraps `key` under `password`.
    pub(crate) fn wrap<R: CryptoRng + ?Sized>(
        rng: &mut R,
        key: &StoreKey,
        password: &Password,
    ) -> Result<Self, UnwrapError> {
        Self::wrap_with(
            rng,
            key,
            password,
            (password::ARGON2_MEMORY_KIB, password::ARGON2_PASSES, password::ARGON2_LANES),
        )
    }

    fn wrap_with<R: CryptoRng + ?Sized>(
        rng: &mut R,
        key: &StoreKey,
        password: &Password,
        (memory_kib, passes, lanes): (u32, u32, u32),
    ) -> Result<Self, UnwrapError> {
        let (mut salt, mut nonce) = ([0; 16], [0; 12]);
        rng.fill_bytes(&mut salt);
        rng.fill_bytes(&mut nonce);
        let wrapping = stretch(password, &salt, memory_kib, passes, lanes)?;
        let wrapped = Aes256Gcm::new((&*wrapping).into())
            .encrypt((&nonce).into(), Payload { msg: key.bytes(), aad: LABEL })
            .map_err(|_| UnwrapError::Damaged("the key cannot be wrapped"))?;
        Ok(Self {
            version: 1,
            memory_kib,
            passes,
            lanes,
            salt: HEXLOWER.encode(&salt),
            nonce: HEXLOWER.encode(&nonce),
            wrapped: HEXLOWER.encode(&wrapped),
        })
    }

    /// Unwraps the key.
    pub(crate) fn unwrap(&self, password: &Password) -> Result<StoreKey, UnwrapError> {
        if self.version != 1 {
            return Err(UnwrapError::Damaged("it is from a newer version"));
        }
        if self.memory_kib > MAX_MEMORY_KIB || self.passes > 64 || self.lanes > 64 {
            return Err(UnwrapError::Damaged("it asks for too much work"));
        }
        let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).map_err(|_| UnwrapError::Damaged("not hexadecimal"));
        let (salt, nonce, wrapped) = (hex(&self.salt)?, hex(&self.nonce)?, hex(&self.wrapped)?);
        let nonce: [u8; 12] = nonce.try_into().map_err(|_| UnwrapError::Damaged("`nonce` has another length"))?;
        let wrapping = stretch(password, &salt, self.memory_kib, self.passes, self.lanes)?;
        let key = Aes256Gcm::new((&*wrapping).into())
            .decrypt((&nonce).into(), Payload { msg: &wrapped, aad: LABEL })
            .map(Zeroizing::new)
            .map_err(|_| UnwrapError::WrongPassword)?;
        StoreKey::from_slice(&key).ok_or(UnwrapError::Damaged("the key has another length"))
    }
}

fn stretch(
    password: &Password,
    salt: &[u8],
    memory_kib: u32,
    passes: u32,
    lanes: u32,
) -> Result<Zeroizing<[u8; 32]>, UnwrapError> {
    let params = Params::new(memory_kib, passes, lanes, Some(32))
        .map_err(|_| UnwrapError::Damaged("its parameters are not allowed"))?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.expose().as_bytes(), salt, key.as_mut_slice())
        .map_err(|_| UnwrapError::Damaged("its salt or parameters are not allowed"))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sotto_crypto::SystemRng;

    use super::*;

    fn wrapped() -> (StoreKey, KeyFile) {
        let key = StoreKey::generate(&mut SystemRng);
        let file = KeyFile::wrap_with(&mut SystemRng, &key, &Password::new("right".into()), (64, 1, 1)).unwrap();
        (key, file)
    }

    #[test]
    fn only_the_password_unwraps() {
        let (key, file) = wrapped();
        let text = serde_json::to_string(&file).unwrap();
        let file: KeyFile = serde_json::from_str(&text).unwrap();
        assert_eq!(file.unwrap(&Password::new("right".into())).ok().unwrap().bytes(), key.bytes());
        assert_eq!(file.unwrap(&Password::new("wrong".into())).err(), Some(UnwrapError::WrongPassword));
    }

    #[test]
    fn a_forged_file_cannot_exhaust_the_machine() {
        let (_, mut file) = wrapped();
        file.memory_kib = u32::MAX;
        assert!(matches!(file.unwrap(&Password::new("right".into())).err(), Some(UnwrapError::Damaged(_))));
    }

    #[test]
    fn hex_round_trip() {
        let key = StoreKey::generate(&mut SystemRng);
        assert_eq!(StoreKey::from_hex(&format!("{}\n", *key.to_hex())).unwrap().bytes(), key.bytes());
        assert!(StoreKey::from_hex("abcd").is_none());
    }

    proptest! {
        #[test]
        fn no_file_panics(salt in ".{0,40}", nonce in ".{0,40}", wrapped in "[0-9a-f]{0,80}", memory in 0u32..200) {
            let file = KeyFile { version: 1, memory_kib: memory, passes: 1, lanes: 1, salt, nonce, wrapped };
            prop_assert!(file.unwrap(&Password::new("x".into())).is_err());
        }
    }
}
