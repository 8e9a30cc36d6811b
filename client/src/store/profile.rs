//! A profile folder: `key.json` (the store key under the password), `unlock.key` (the store key itself, mode 0600,
//! unless the user wants to be asked each time), `store.db`, and lock files.

mod keyring;
mod lockout;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sotto_crypto::SystemRng;
use zeroize::Zeroizing;

use crate::core::error::ProfileError;
use crate::core::platform::fs::{self, File, OpenOptions};
use crate::core::secret::Password;
use crate::store::key::{KeyFile, StoreKey, UnwrapError};

/// How a profile is opened.
#[derive(Clone)]
#[non_exhaustive]
pub enum Unlock {
    /// By its `unlock.key` file.
    KeyFile,
    /// By the password.
    Password(Password),
    /// By the system's keyring.
    Keyring,
}

/// What opens a profile beside its password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnlockWay {
    /// Its `unlock.key` file: whoever can read that can read the store.
    KeyFile,
    /// Nothing: the password is asked for each time.
    Password,
    /// The system's keyring, until the machine restarts; then the password.
    Keyring,
}

/// Where a profile lives.
#[derive(Clone, Debug)]
pub struct Profile {
    dir: PathBuf,
}

impl Profile {
    /// The profile in this folder, which need not exist yet.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether there is one.
    pub fn exists(&self) -> bool {
        fs::exists(&self.key_file())
    }

    /// Whether it can only be opened by its password.
    pub fn needs_password(&self) -> bool {
        self.unlock_way() == UnlockWay::Password
    }

    /// What opens it beside its password.
    pub fn unlock_way(&self) -> UnlockWay {
        match (fs::exists(&self.unlock_file()), fs::exists(&self.keyring_file())) {
            (true, _) => UnlockWay::KeyFile,
            (false, true) => UnlockWay::Keyring,
            (false, false) => UnlockWay::Password,
        }
    }

    /// Changes what opens it beside its password, which must be right.
    pub fn set_unlock_way(&self, password: &Password, way: UnlockWay) -> Result<(), ProfileError> {
        let key = self.unlock(&Unlock::Password(password.clone()))?;
        self.put_unlock_way(&key, way)
    }

    fn put_unlock_way(&self, key: &StoreKey, way: UnlockWay) -> Result<(), ProfileError> {
        // First the new way, then the old one away: interrupted, there are both.
        match way {
            UnlockWay::KeyFile => write_durably(&self.unlock_file(), key.to_hex().as_bytes())?,
            UnlockWay::Keyring => {
                let name = match self.keyring_name()? {
                    Some(name) => name,
                    None => format!("sotto:profile:{}", sotto_crypto::DeviceId::generate(&mut SystemRng)),
                };
                keyring::put(&name, key.bytes()).map_err(|e| self.keyring_error(&e))?;
                write_durably(&self.keyring_file(), name.as_bytes())?;
            }
            UnlockWay::Password => {}
        }
        if way != UnlockWay::KeyFile {
            remove_if_there(&self.unlock_file())?;
        }
        if way != UnlockWay::Keyring {
            if let Some(name) = self.keyring_name()? {
                let _ = keyring::remove(&name);
            }
            remove_if_there(&self.keyring_file())?;
        }
        Ok(())
    }

    /// The name of its key in the system's keyring, where it has one.
    fn keyring_name(&self) -> Result<Option<String>, ProfileError> {
        let file = self.keyring_file();
        match fs::read_to_string(&file) {
            Ok(name) => Ok(Some(name)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ProfileError::Io { file, source }),
        }
    }

    fn keyring_error(&self, error: &keyring::KeyringError) -> ProfileError {
        match error {
            keyring::KeyringError::Absent => ProfileError::PasswordNeeded(self.dir.clone()),
            keyring::KeyringError::Failed(reason) => ProfileError::Keyring(reason.clone()),
        }
    }

    pub(crate) fn store_file(&self) -> PathBuf {
        self.dir.join("store.db")
    }

    /// Folder for sealed attachments on their way.
    pub(crate) fn spool(&self) -> Result<PathBuf, ProfileError> {
        let dir = self.dir.join("spool");
        make_dir(&dir)?;
        Ok(dir)
    }

    /// Folder for sealed attachments that wait in the outbox.
    pub(crate) fn outgoing(&self) -> Result<PathBuf, ProfileError> {
        let dir = self.dir.join("outgoing");
        make_dir(&dir)?;
        Ok(dir)
    }

    /// Folder for a sealed history on its way.
    pub(crate) fn transfer(&self) -> Result<PathBuf, ProfileError> {
        let dir = self.dir.join("transfer");
        make_dir(&dir)?;
        Ok(dir)
    }

    fn key_file(&self) -> PathBuf {
        self.dir.join("key.json")
    }

    fn unlock_file(&self) -> PathBuf {
        self.dir.join("unlock.key")
    }

    /// Holds the name of the key in the system's keyring.
    fn keyring_file(&self) -> PathBuf {
        self.dir.join("unlock.keyring")
    }

    /// Makes the profile's key, or opens the one that an interrupted attempt made.
    pub(crate) fn create(&self, password: &Password, ask_each_time: bool) -> Result<StoreKey, ProfileError> {
        make_dir(&self.dir)?;
        let key = if self.exists() {
            self.unlock(&Unlock::Password(password.clone()))?
        } else {
            let key = StoreKey::generate(&mut SystemRng);
            self.wrap_again(&key, password)?;
            key
        };
        if ask_each_time {
            remove_if_there(&self.unlock_file())?;
        } else if self.needs_password() {
            self.put_unlock_way(&key, UnlockWay::KeyFile)?;
        }
        Ok(key)
    }

    /// Opens the store key.
    pub(crate) fn unlock(&self, unlock: &Unlock) -> Result<StoreKey, ProfileError> {
        if !self.exists() {
            self.finish_wipe()?;
            return Err(ProfileError::Missing(self.dir.clone()));
        }
        match unlock {
            Unlock::KeyFile => {
                let file = self.unlock_file();
                let text = match fs::read_to_string(&file) {
                    Ok(text) => Zeroizing::new(text),
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {
                        return Err(ProfileError::PasswordNeeded(self.dir.clone()));
                    }
                    Err(source) => return Err(ProfileError::Io { file, source }),
                };
                StoreKey::from_hex(&text).ok_or(ProfileError::Damaged {
                    file,
                    reason: "expected 64 hexadecimal digits; delete the file and use the password".into(),
                })
            }
            Unlock::Password(password) => {
                let key = self.attempt(|| self.unwrap_key(password))?;
                // The keyring has forgotten it when the machine restarted.
                if self.unlock_way() == UnlockWay::Keyring
                    && let Err(error) = self.put_unlock_way(&key, UnlockWay::Keyring)
                {
                    tracing::warn!(%error, "the keyring does not take the key of the profile");
                }
                Ok(key)
            }
            Unlock::Keyring => {
                let name = self.keyring_name()?.ok_or_else(|| ProfileError::PasswordNeeded(self.dir.clone()))?;
                let key = keyring::get(&name).map_err(|e| self.keyring_error(&e))?;
                StoreKey::from_slice(&key).ok_or_else(|| ProfileError::PasswordNeeded(self.dir.clone()))
            }
        }
    }

    /// Takes the key out of `key.json`.
    fn unwrap_key(&self, password: &Password) -> Result<StoreKey, ProfileError> {
        let file = self.key_file();
        let text = fs::read(&file).map_err(|source| ProfileError::Io { file: file.clone(), source })?;
        let wrapped: KeyFile =
            serde_json::from_slice(&text).map_err(|e| ProfileError::Damaged { file, reason: e.to_string() })?;
        wrapped.unwrap(password).map_err(|e| self.unwrap_error(&e))
    }

    /// Opens the store key by one of two passwords: the second may have come into force already.
    pub(crate) fn unlock_by_either(&self, first: &Password, second: &Password) -> Result<StoreKey, ProfileError> {
        match self.unlock(&Unlock::Password(first.clone())) {
            Err(ProfileError::WrongPassword(_)) => self.unlock(&Unlock::Password(second.clone())),
            opened => opened,
        }
    }

    /// Puts the store key under a new password. It is under the old or the new one at every moment.
    pub(crate) fn wrap_again(&self, key: &StoreKey, password: &Password) -> Result<(), ProfileError> {
        let file = KeyFile::wrap(&mut SystemRng, key, password).map_err(|e| self.unwrap_error(&e))?;
        let text = serde_json::to_vec_pretty(&file)
            .map_err(|e| ProfileError::Damaged { file: self.key_file(), reason: e.to_string() })?;
        write_durably(&self.key_file(), &text)
    }

    fn unwrap_error(&self, error: &UnwrapError) -> ProfileError {
        match error {
            UnwrapError::WrongPassword => ProfileError::WrongPassword(self.dir.clone()),
            UnwrapError::Damaged(reason) => {
                ProfileError::Damaged { file: self.key_file(), reason: (*reason).to_owned() }
            }
        }
    }

    /// Holds the profile for one `join`.
    pub(crate) fn lock_for_joining(&self) -> Result<Lock, ProfileError> {
        make_dir(&self.dir)?;
        self.lock("join.lock", "joining")
    }

    /// Holds the profile's place at the relay's socket: the relay pushes to one connection of a device.
    pub(crate) fn lock_for_receiving(&self) -> Result<Lock, ProfileError> {
        self.lock("socket.lock", "receiving")
    }

    /// Holds the profile's outbox: one process sends from it at a time. `None` while another one does.
    pub(crate) fn lock_for_sending(&self) -> Result<Option<Lock>, ProfileError> {
        match self.lock("outbox.lock", "sending") {
            Ok(lock) => Ok(Some(lock)),
            Err(ProfileError::Busy { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Holds the profile for one history transfer.
    pub(crate) fn lock_for_history(&self) -> Result<Lock, ProfileError> {
        self.lock("history.lock", "moving the history")
    }

    fn lock(&self, name: &str, doing: &'static str) -> Result<Lock, ProfileError> {
        let path = self.dir.join(name);
        let io = |source| ProfileError::Io { file: path.clone(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(fs::TryLockError::WouldBlock) => Err(ProfileError::Busy { dir: self.dir.clone(), doing }),
            Err(fs::TryLockError::Error(source)) => Err(io(source)),
        }
    }
}

/// A lock that ends when it is dropped, or when the process ends in any way.
pub(crate) struct Lock {
    _file: File,
}

fn remove_if_there(file: &Path) -> Result<(), ProfileError> {
    match fs::remove_file(file) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(ProfileError::Io { file: file.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn make_dir(dir: &Path) -> Result<(), ProfileError> {
    fs::make_private_dir(dir).map_err(|source| ProfileError::Io { file: dir.to_owned(), source })
}

/// Writes a file that is there whole or not at all, readable by its owner only.
fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), ProfileError> {
    let temporary = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = fs::private().create(true).truncate(true).write(true).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    };
    write().map_err(|source| ProfileError::Io { file: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.into())
    }

    #[test]
    fn the_key_opens_by_file_and_by_password() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let profile = Profile::at(dir.path().join("alice"));
        assert!(matches!(profile.unlock(&Unlock::KeyFile), Err(ProfileError::Missing(_))));
        let key = profile.create(&password("one"), false).unwrap();
        assert_eq!(profile.unlock(&Unlock::KeyFile).ok().unwrap().bytes(), key.bytes());
        assert_eq!(profile.unlock(&Unlock::Password(password("one"))).ok().unwrap().bytes(), key.bytes());
        assert!(matches!(profile.unlock(&Unlock::Password(password("two"))), Err(ProfileError::WrongPassword(_))));
        let mode = std::fs::metadata(profile.unlock_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::metadata(profile.dir()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn an_interrupted_creation_goes_on_with_the_same_key() {
        let dir = tempfile::tempdir().unwrap();
        let profile = Profile::at(dir.path());
        let first = profile.create(&password("one"), true).unwrap();
        assert!(profile.needs_password());
        let second = profile.create(&password("one"), false).unwrap();
        assert_eq!(first.bytes(), second.bytes());
        assert!(!profile.needs_password());
        assert!(matches!(profile.create(&password("two"), false), Err(ProfileError::WrongPassword(_))));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_keyring_opens_it_until_it_forgets() {
        let dir = tempfile::tempdir().unwrap();
        let profile = Profile::at(dir.path());
        let key = profile.create(&password("one"), false).unwrap();
        match profile.set_unlock_way(&password("one"), UnlockWay::Keyring) {
            Ok(()) => {}
            // A container may be without: then it says so, and the profile stays as it was.
            Err(error) => {
                assert!(matches!(error, ProfileError::Keyring(_)), "{error}");
                assert_eq!(profile.unlock_way(), UnlockWay::KeyFile);
                assert!(keyring::put("sotto:test", b"x").is_err());
                return;
            }
        }
        assert_eq!(profile.unlock_way(), UnlockWay::Keyring);
        assert!(!profile.unlock_file().exists());
        assert_eq!(profile.unlock(&Unlock::Keyring).ok().unwrap().bytes(), key.bytes());
        // As after a restart: the password, and then it is there again.
        keyring::remove(&profile.keyring_name().unwrap().unwrap()).unwrap();
        assert!(matches!(profile.unlock(&Unlock::Keyring), Err(ProfileError::PasswordNeeded(_))));
        profile.unlock(&Unlock::Password(password("one"))).unwrap();
        assert_eq!(profile.unlock(&Unlock::Keyring).ok().unwrap().bytes(), key.bytes());
        let name = profile.keyring_name().unwrap().unwrap();
        profile.set_unlock_way(&password("one"), UnlockWay::Password).unwrap();
        assert!(profile.needs_password() && keyring::get(&name).is_err());
        profile.set_unlock_way(&password("one"), UnlockWay::KeyFile).unwrap();
        assert_eq!(profile.unlock(&Unlock::KeyFile).ok().unwrap().bytes(), key.bytes());
    }

    #[test]
    fn one_receiver_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let profile = Profile::at(dir.path());
        let held = profile.lock_for_receiving().unwrap();
        assert!(matches!(profile.lock_for_receiving(), Err(ProfileError::Busy { doing: "receiving", .. })));
        drop(held);
        profile.lock_for_receiving().unwrap();
    }
}
