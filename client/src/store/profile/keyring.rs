//! The system's keyring: the kernel's on Linux. It forgets when the machine restarts; then the password is asked for once.

use zeroize::Zeroizing;

/// Why the keyring does not serve.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyringError {
    /// There is no such key: the machine has restarted since it was put.
    #[error("it holds no key of this profile")]
    Absent,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

#[cfg(target_os = "linux")]
mod system {
    use linux_keyutils::{KeyError, KeyPermissionsBuilder, KeyRing, KeyRingIdentifier, Permission};

    use super::{KeyringError, Zeroizing};

    fn failed(error: KeyError) -> KeyringError {
        match error {
            KeyError::KeyDoesNotExist | KeyError::KeyExpired | KeyError::KeyRevoked => KeyringError::Absent,
            other => KeyringError::Failed(format!("the kernel's keyring: {other}")),
        }
    }

    /// The user's, so that it is there for every session of the user.
    fn ring() -> Result<KeyRing, KeyringError> {
        KeyRing::from_special_id(KeyRingIdentifier::User, true).map_err(failed)
    }

    pub(in super::super) fn put(name: &str, secret: &[u8]) -> Result<(), KeyringError> {
        let key = ring()?.add_key(name, secret).map_err(failed)?;
        // Nobody but the user; also for sessions that the user's keyring is not linked to.
        let permissions = KeyPermissionsBuilder::builder().posessor(Permission::ALL).user(Permission::ALL).build();
        key.set_perms(permissions).map_err(failed)
    }

    pub(in super::super) fn get(name: &str) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        ring()?.search(name).and_then(|key| key.read_to_vec()).map(Zeroizing::new).map_err(failed)
    }

    pub(in super::super) fn remove(name: &str) -> Result<(), KeyringError> {
        ring()?.search(name).and_then(|key| key.invalidate()).map_err(failed)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{KeyringError, Zeroizing};

    fn none() -> KeyringError {
        KeyringError::Failed("there is none on this system that this program knows".to_owned())
    }

    pub(in super::super) fn put(_: &str, _: &[u8]) -> Result<(), KeyringError> {
        Err(none())
    }

    pub(in super::super) fn get(_: &str) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        // A profile that another system has made: its password opens it.
        Err(KeyringError::Absent)
    }

    pub(in super::super) fn remove(_: &str) -> Result<(), KeyringError> {
        Err(none())
    }
}

pub(super) use system::{get, put, remove};
