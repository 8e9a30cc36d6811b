//! Wrong passwords count, and at the number that the security group names the profile is wiped. The count lies beside the
//! sealed store, since it has to grow while that is closed: it stops who tries by hand or by `sotto`, not who copies the
//! disk first — against that stands what a try costs.

use std::io::{self, Write as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Lock, Profile, keyring, write_durably};
use crate::core::error::ProfileError;
use crate::core::platform::fs::{self, File};
use crate::store::key::StoreKey;

/// `lockout.json`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Lockout {
    /// Wrong passwords at which the profile is wiped; 0: never.
    limit: u32,
    /// Wrong passwords since the last right one.
    failures: u32,
}

impl Lockout {
    fn reached(self) -> bool {
        self.limit > 0 && self.failures >= self.limit
    }
}

impl Profile {
    fn lockout_file(&self) -> PathBuf {
        self.dir.join("lockout.json")
    }

    fn lockout(&self) -> Result<Lockout, ProfileError> {
        let file = self.lockout_file();
        match fs::read(&file) {
            Ok(text) => {
                serde_json::from_slice(&text).map_err(|e| ProfileError::Damaged { file, reason: e.to_string() })
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Lockout::default()),
            Err(source) => Err(ProfileError::Io { file, source }),
        }
    }

    fn put_lockout(&self, lockout: Lockout) -> Result<(), ProfileError> {
        let file = self.lockout_file();
        let text = serde_json::to_vec(&lockout)
            .map_err(|e| ProfileError::Damaged { file: file.clone(), reason: e.to_string() })?;
        write_durably(&file, &text)
    }

    /// Takes over what the security group says.
    pub(crate) fn set_device_lockout(&self, limit: u32) -> Result<(), ProfileError> {
        let _one_at_a_time = self.lock_attempts()?;
        let lockout = self.lockout()?;
        if lockout.limit == limit {
            return Ok(());
        }
        self.put_lockout(Lockout { limit, ..lockout })
    }

    /// Tries a password. It counts as wrong before it is tried, so that who ends the process gains nothing.
    pub(super) fn attempt(
        &self,
        attempt: impl FnOnce() -> Result<StoreKey, ProfileError>,
    ) -> Result<StoreKey, ProfileError> {
        let _one_at_a_time = self.lock_attempts()?;
        let before = self.lockout()?;
        if before.reached() {
            return Err(self.wipe());
        }
        let counted = Lockout { failures: before.failures.saturating_add(1), ..before };
        if before.limit > 0 {
            self.put_lockout(counted)?;
        }
        match attempt() {
            Err(ProfileError::WrongPassword(_)) if counted.reached() => Err(self.wipe()),
            Err(ProfileError::WrongPassword(dir)) => Err(ProfileError::WrongPassword(dir)),
            ended => {
                if before.limit > 0 {
                    // Only a wrong password counts.
                    let failures = if ended.is_ok() { 0 } else { before.failures };
                    self.put_lockout(Lockout { failures, ..before })?;
                }
                ended
            }
        }
    }

    /// Goes on with a wipe that was interrupted.
    pub(super) fn finish_wipe(&self) -> Result<(), ProfileError> {
        if fs::is_dir(&self.dir) && self.lockout()?.reached() { Err(self.wipe()) } else { Ok(()) }
    }

    /// Deletes all that the profile holds: first what opens it, so that the rest is noise; last the count.
    fn wipe(&self) -> ProfileError {
        match self.try_wipe() {
            Ok(()) => ProfileError::Wiped(self.dir.clone()),
            Err(error) => error,
        }
    }

    fn try_wipe(&self) -> Result<(), ProfileError> {
        let io = |file: &PathBuf, source| ProfileError::Io { file: file.clone(), source };
        if let Some(name) = self.keyring_name()? {
            // One that is gone, or a kernel that has none, holds nothing.
            let _ = keyring::remove(&name);
        }
        for file in [self.key_file(), self.unlock_file(), self.keyring_file()] {
            overwrite(&file).and_then(|()| remove(fs::remove_file(&file))).map_err(|e| io(&file, e))?;
        }
        for name in ["store.keys", "store.db", "store.db-wal", "store.db-shm"] {
            let file = self.dir.join(name);
            remove(fs::remove_file(&file)).map_err(|e| io(&file, e))?;
        }
        for name in ["spool", "outgoing", "transfer"] {
            let dir = self.dir.join(name);
            remove(fs::remove_dir_all(&dir)).map_err(|e| io(&dir, e))?;
        }
        let last = self.lockout_file();
        remove(fs::remove_file(&last)).map_err(|e| io(&last, e))
    }

    /// One password is tried at a time.
    fn lock_attempts(&self) -> Result<Lock, ProfileError> {
        let path = self.dir.join("attempts.lock");
        let io = |source| ProfileError::Io { file: path.clone(), source };
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(io)?;
        file.lock().map_err(io)?;
        Ok(Lock { _file: file })
    }
}

/// Zeros over a small file. Whether they reach the place where it was is up to the disk.
fn overwrite(path: &PathBuf) -> io::Result<()> {
    let length = match fs::metadata(path) {
        Ok(metadata) => usize::try_from(metadata.len()).unwrap_or(0).min(64 * 1024),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    let mut file = File::options().write(true).open(path)?;
    file.write_all(&vec![0; length])?;
    file.sync_all()
}

fn remove(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::secret::Password;
    use crate::store::profile::{Unlock, UnlockWay};

    fn try_out(profile: &Profile, password: &str) -> Result<StoreKey, ProfileError> {
        profile.unlock(&Unlock::Password(Password::new(password.into())))
    }

    #[test]
    fn so_many_wrong_passwords_in_a_row_wipe_the_profile() {
        let dir = tempfile::tempdir().unwrap();
        let profile = Profile::at(dir.path().join("alice"));
        profile.create(&Password::new("right".into()), false).unwrap();
        profile.set_device_lockout(3).unwrap();
        for name in ["store.db", "store.db-wal"] {
            std::fs::write(profile.dir().join(name), b"sealed").unwrap();
        }
        std::fs::write(profile.spool().unwrap().join("f"), b"sealed").unwrap();
        let wrong = || matches!(try_out(&profile, "wrong"), Err(ProfileError::WrongPassword(_)));
        assert!(wrong() && wrong());
        try_out(&profile, "right").unwrap();
        // In a row: the right one begins anew. And over processes: nothing of it is in memory.
        assert!(wrong() && wrong());
        let again = Profile::at(profile.dir());
        assert!(matches!(try_out(&again, "wrong"), Err(ProfileError::Wiped(_))));
        let left: Vec<_> = std::fs::read_dir(profile.dir()).unwrap().map(|f| f.unwrap().file_name()).collect();
        assert_eq!(left, ["attempts.lock"]);
        assert!(matches!(try_out(&profile, "right"), Err(ProfileError::Missing(_))));
    }

    #[test]
    fn a_try_counts_before_it_is_made_and_a_wipe_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let profile = Profile::at(dir.path());
        profile.create(&Password::new("right".into()), true).unwrap();
        profile.set_device_lockout(2).unwrap();
        // Ended in the middle of a try.
        let cut = profile.attempt(|| {
            assert_eq!(profile.lockout().unwrap().failures, 1);
            Err(ProfileError::PasswordNeeded(profile.dir().to_owned()))
        });
        assert!(matches!(cut, Err(ProfileError::PasswordNeeded(_))));
        assert_eq!(profile.lockout().unwrap().failures, 0, "what was not a wrong password does not count");
        // Ended in the middle of a wipe: the key is gone, the rest is not.
        profile.put_lockout(Lockout { limit: 2, failures: 2 }).unwrap();
        std::fs::write(profile.dir().join("store.db"), b"sealed").unwrap();
        std::fs::remove_file(profile.key_file()).unwrap();
        assert!(matches!(try_out(&profile, "right"), Err(ProfileError::Wiped(_))));
        assert!(!profile.dir().join("store.db").exists() && !profile.lockout_file().exists());
        assert_eq!(profile.unlock_way(), UnlockWay::Password);
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let profile = Profile::at(dir.path());
        profile.create(&Password::new("right".into()), true).unwrap();
        for _ in 0..4 {
            assert!(matches!(try_out(&profile, "wrong"), Err(ProfileError::WrongPassword(_))));
        }
        assert!(!profile.lockout_file().exists());
    }
}
