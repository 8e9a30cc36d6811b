//! The state folder: where everything of the local runner lives, written so that a crash leaves old or new, never half.
//!
//! ```text
//! .sotto/lock                held while a runner works on the folder
//! .sotto/runner.json         who runs, on which manifests, and what is wrong with them
//! .sotto/objects.json        the admitted objects; what etcd is to a cluster
//! .sotto/status.json         the objects with their status, a Kubernetes List
//! .sotto/ports.json          loopback ports, chosen once
//! .sotto/logs, .sotto/pids   of the processes
//! .sotto/networks/NAME/      secrets, configuration and data of a network
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::snapshot::{INFO, RunnerInfo};
use crate::secret::SecretData;

/// Something about the state folder failed.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Reading or writing.
    #[error("{path}: {error}; see that the folder is yours and the disk is not full")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// A file holds something else.
    #[error(
        "{path} cannot be read ({why}); it is written by `sotto up`: restore it, or remove the state folder to start anew"
    )]
    Content {
        /// Which file.
        path: String,
        /// Why.
        why: String,
    },
    /// Another runner has it.
    #[error("a runner works on {path} already (process {pid}); `sotto down --state {path}` ends it")]
    Busy {
        /// The folder.
        path: String,
        /// The other runner, as far as known.
        pid: u32,
    },
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> FolderError + '_ {
    move |error| FolderError::Io { path: path.display().to_string(), error }
}

/// A state folder.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

/// Held by the one runner of a folder, until it is dropped or its process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Folder {
    /// The folder at `root`, made (for this user only) where it is not there.
    pub fn create(root: &Path) -> Result<Self, FolderError> {
        make_dir(root)?;
        let root = root.canonicalize().map_err(io_error(root))?;
        Ok(Self { root })
    }

    /// The folder at `root` where there is one.
    pub fn open(root: &Path) -> Option<Self> {
        let root = root.canonicalize().ok()?;
        root.join("lock").exists().then_some(Self { root })
    }

    /// Its path, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path of something in it.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// The log of the process `name`.
    pub fn log(&self, name: &str) -> PathBuf {
        self.path("logs").join(format!("{name}.log"))
    }

    /// The file with the process id of the process `name`.
    pub fn pid_file(&self, name: &str) -> PathBuf {
        self.path("pids").join(format!("{name}.pid"))
    }

    /// Takes the folder for this process.
    pub fn lock(&self) -> Result<Lock, FolderError> {
        // Whoever only looks whether it is taken holds it for a moment.
        for _ in 0..20 {
            match self.try_lock() {
                Err(FolderError::Busy { .. }) => std::thread::sleep(std::time::Duration::from_millis(10)),
                other => return other,
            }
        }
        self.try_lock()
    }

    fn try_lock(&self) -> Result<Lock, FolderError> {
        let path = self.path("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(io_error(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(fs::TryLockError::WouldBlock) => Err(FolderError::Busy {
                path: self.root.display().to_string(),
                pid: self.read_json::<RunnerInfo>(INFO).ok().flatten().map_or(0, |info| info.pid),
            }),
            Err(fs::TryLockError::Error(error)) => Err(io_error(&path)(error)),
        }
    }

    /// Whether a runner has the folder.
    pub fn is_locked(&self) -> bool {
        matches!(self.try_lock(), Err(FolderError::Busy { .. }))
    }

    /// Reads a JSON file; `None` where there is none.
    pub fn read_json<T: DeserializeOwned>(&self, relative: impl AsRef<Path>) -> Result<Option<T>, FolderError> {
        let path = self.path(relative);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(&path)(error)),
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| FolderError::Content { path: path.display().to_string(), why: e.to_string() })
    }

    /// Writes a JSON file as a whole, where its contents differ.
    pub fn write_json(&self, relative: impl AsRef<Path>, value: &impl Serialize) -> Result<(), FolderError> {
        let path = self.path(relative);
        let mut bytes = serde_json::to_vec_pretty(value)
            .map_err(|e| FolderError::Content { path: path.display().to_string(), why: e.to_string() })?;
        bytes.push(b'\n');
        write_if_changed(&path, &bytes).map(drop)
    }

    /// Reads a Secret: a folder with one file a key. Empty where there is none.
    pub fn read_secret(&self, relative: impl AsRef<Path>) -> Result<SecretData, FolderError> {
        let dir = self.path(relative);
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(SecretData::default()),
            Err(error) => return Err(io_error(&dir)(error)),
        };
        let mut data = SecretData::default();
        for entry in entries {
            let path = entry.map_err(io_error(&dir))?.path();
            // Names with a dot in front are of writes that were interrupted.
            if let Some(name) = path.file_name().and_then(|n| n.to_str()).filter(|n| !n.starts_with('.')) {
                data.insert(name, fs::read(&path).map_err(io_error(&path))?);
            }
        }
        Ok(data)
    }

    /// Writes a Secret: files for this user only.
    pub fn write_secret(&self, relative: impl AsRef<Path>, data: &SecretData) -> Result<(), FolderError> {
        let dir = self.path(relative);
        make_dir(&dir)?;
        for (name, value) in data.iter() {
            write(&dir.join(name), value)?;
        }
        Ok(())
    }

    /// Removes a folder or file of the state; gone already is fine.
    pub fn remove(&self, relative: impl AsRef<Path>) -> Result<(), FolderError> {
        let path = self.path(relative);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(&path)(error)),
            _ => Ok(()),
        }
    }

    /// The names of the folders in a folder.
    pub fn folders(&self, relative: impl AsRef<Path>) -> Vec<String> {
        let entries = fs::read_dir(self.path(relative)).into_iter().flatten().flatten();
        entries.filter(|e| e.path().is_dir()).filter_map(|e| e.file_name().into_string().ok()).collect()
    }
}

/// Makes a folder that only this user can look into.
pub fn make_dir(path: &Path) -> Result<(), FolderError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_error(path))
}

/// Writes a file for this user only, as a whole: on a crash it is the old one or the new one.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    make_dir(dir)?;
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("file");
    let temporary = dir.join(format!(".{name}.new"));
    let result = (|| {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(dir)?.sync_all()
    })();
    result.map_err(io_error(path))
}

/// Writes a file where its contents differ; says whether they did.
pub fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<bool, FolderError> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    write(path, bytes).map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn secrets_come_back_and_are_for_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(&dir.path().join("state")).unwrap();
        assert!(folder.read_secret("a/b").unwrap().is_empty());
        let secret: SecretData = [("key".to_owned(), vec![1, 2])].into_iter().collect();
        folder.write_secret("a/b", &secret).unwrap();
        assert!(folder.read_secret("a/b").unwrap() == secret);
        let mode = |p: &str| fs::metadata(folder.path(p)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("a/b/key"), mode("a/b"), mode("")), (0o600, 0o700, 0o700));
    }

    #[test]
    fn one_runner_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(dir.path()).unwrap();
        assert!(!folder.is_locked());
        let lock = folder.lock().unwrap();
        assert!(folder.is_locked());
        assert!(folder.lock().unwrap_err().to_string().contains("sotto down"));
        drop(lock);
        // Not `is_locked`: a child that another test is starting has a copy of the lock until it runs its program.
        assert!(folder.lock().is_ok());
    }

    #[test]
    fn damaged_json_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::create(dir.path()).unwrap();
        assert_eq!(folder.read_json::<Vec<u8>>("x.json").unwrap(), None);
        write(&folder.path("x.json"), b"{").unwrap();
        assert!(folder.read_json::<Vec<u8>>("x.json").unwrap_err().to_string().contains("x.json"));
    }
}
