//! A folder: written aside, flushed to disk, renamed, and the folder flushed too. What is kept is never written over.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Destination, DestinationError, Object, Spooled};
use crate::name::ObjectName;

/// Where things are written before they have their name.
const ASIDE: &str = ".incoming";

/// A folder on a volume.
pub(crate) struct Folder {
    inner: Arc<Inner>,
}

struct Inner {
    root: PathBuf,
    aside: PathBuf,
    /// Folders that are known to be on disk.
    known: Mutex<HashSet<PathBuf>>,
}

impl Folder {
    /// This folder, which need not exist yet.
    pub(crate) fn new(root: PathBuf) -> Self {
        let aside = root.join(ASIDE);
        Self { inner: Arc::new(Inner { root, aside, known: Mutex::default() }) }
    }
}

impl Destination for Folder {
    fn describe(&self) -> String {
        format!("folder {}", self.inner.root.display())
    }

    fn spool(&self) -> &Path {
        &self.inner.aside
    }

    async fn store(&self, name: &ObjectName, object: Object) -> Result<(), DestinationError> {
        let (inner, name) = (self.inner.clone(), name.clone());
        tokio::task::spawn_blocking(move || inner.store(&name, &object)).await.map_err(|_| DestinationError::CutOff)?
    }
}

impl Inner {
    fn store(&self, name: &ObjectName, object: &Object) -> Result<(), DestinationError> {
        let stored = self.try_store(name, object);
        if stored.is_err() {
            // Somebody may have removed a folder.
            self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        stored
    }

    fn try_store(&self, name: &ObjectName, object: &Object) -> Result<(), DestinationError> {
        let target = self.root.join(name.as_str());
        let dir = target.parent().unwrap_or(&self.root);
        let at = |e| DestinationError::io(&target, e);
        self.make(dir).map_err(at)?;
        // What has its name is complete: a redelivery after a crash finds it. Only the folder may not be on disk yet.
        if !target.try_exists().map_err(at)? {
            let spooled;
            let ready = match object {
                Object::File(path) => {
                    File::open(path).and_then(|file| file.sync_all()).map_err(at)?;
                    path
                }
                Object::Bytes { bytes, .. } => {
                    spooled = Spooled::new(&self.aside)?;
                    write(spooled.path(), bytes).map_err(at)?;
                    spooled.path()
                }
            };
            fs::rename(ready, &target).map_err(at)?;
        }
        sync(dir).map_err(at)
    }

    /// Makes a folder and those above it, each on disk.
    fn make(&self, dir: &Path) -> io::Result<()> {
        if self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(dir) {
            return Ok(());
        }
        if dir != Path::new("") && !dir.is_dir() {
            let parent = dir.parent().unwrap_or(Path::new(""));
            self.make(parent)?;
            match fs::create_dir(dir) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists || !dir.is_dir() => return Err(e),
                _ => sync(parent)?,
            }
        } else if dir.starts_with(&self.root) && dir != self.root {
            // Found, and perhaps made by a run that was cut off before it was on disk.
            sync(dir.parent().unwrap_or(dir))?;
        }
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(dir.to_owned());
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync(dir: &Path) -> io::Result<()> {
    let dir = if dir == Path::new("") { Path::new(".") } else { dir };
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use bytes::Bytes;

    use super::*;
    use crate::name::Names;
    use crate::testing::text;

    fn bytes(content: &[u8]) -> Object {
        Object::Bytes { bytes: Bytes::copy_from_slice(content), media_type: "application/json" }
    }

    fn names() -> Names {
        Names::of(&text("x"))
    }

    /// A file system of its own. `None` where this user may not mount.
    struct Volume(tempfile::TempDir);

    impl Volume {
        fn of(size: &str) -> Option<Self> {
            let dir = tempfile::tempdir().unwrap();
            let options = format!("size={size}");
            let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(dir.path()).status();
            if mounted.is_ok_and(|s| s.success()) {
                return Some(Self(dir));
            }
            eprintln!("LEFT OUT: this user may not mount a file system, so a full or read-only one is not tried");
            None
        }

        fn remount(&self, how: &str) {
            let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(self.0.path()).status();
            assert!(done.unwrap().success());
        }
    }

    impl Drop for Volume {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
        }
    }

    #[tokio::test]
    async fn what_is_stored_is_there_under_its_name_and_nothing_is_left_aside() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().join("not/yet/there"));
        let names = names();
        folder.store(&names.record, bytes(b"{}\n")).await.unwrap();
        let spooled = Spooled::new(folder.spool()).unwrap();
        fs::write(spooled.path(), "clear").unwrap();
        folder.store(&names.attachment, Object::File(spooled.path().to_owned())).await.unwrap();
        let root = dir.path().join("not/yet/there");
        assert_eq!(fs::read(root.join(names.record.as_str())).unwrap(), b"{}\n");
        assert_eq!(fs::read(root.join(names.attachment.as_str())).unwrap(), b"clear");
        assert_eq!(fs::read_dir(root.join(ASIDE)).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_redelivery_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let names = names();
        Folder::new(dir.path().into()).store(&names.record, bytes(b"first")).await.unwrap();
        Folder::new(dir.path().into()).store(&names.record, bytes(b"again")).await.unwrap();
        let path = dir.path().join(names.record.as_str());
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_folder_that_was_removed_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().into());
        let names = names();
        folder.store(&names.record, bytes(b"1")).await.unwrap();
        fs::remove_dir_all(dir.path().join("messages")).unwrap();
        assert!(folder.store(&names.record, bytes(b"2")).await.is_err());
        folder.store(&names.record, bytes(b"3")).await.unwrap();
        assert_eq!(fs::read(dir.path().join(names.record.as_str())).unwrap(), b"3");
    }

    #[tokio::test]
    async fn something_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("messages"), "a file").unwrap();
        let folder = Folder::new(dir.path().into());
        let error = folder.store(&names().record, bytes(b"secret text")).await.unwrap_err().to_string();
        assert!(error.contains("messages/2023") && error.contains("in the way"), "{error}");
        assert!(!error.contains("secret text"), "{error}");
    }

    #[tokio::test]
    async fn leftovers_of_an_earlier_run_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path().into());
        fs::create_dir_all(folder.spool()).unwrap();
        fs::write(folder.spool().join("left"), "half").unwrap();
        folder.tidy().await;
        assert!(!folder.spool().join("left").exists());
        folder.tidy().await;
    }

    #[tokio::test]
    async fn a_full_disk_is_an_error_and_leaves_no_torn_record() {
        let Some(volume) = Volume::of("128k") else { return };
        let folder = Folder::new(volume.0.path().into());
        let names = names();
        let error = folder.store(&names.record, bytes(&vec![b'x'; 1 << 20])).await.unwrap_err();
        assert!(error.to_string().contains("make the volume larger"), "{error}");
        assert!(!volume.0.path().join(names.record.as_str()).exists());
        volume.remount("size=4m");
        folder.store(&names.record, bytes(&vec![b'x'; 1 << 20])).await.unwrap();
        assert_eq!(fs::metadata(volume.0.path().join(names.record.as_str())).unwrap().len(), 1 << 20);
    }

    #[tokio::test]
    async fn a_read_only_volume_is_an_error_with_its_remedy() {
        let Some(volume) = Volume::of("1m") else { return };
        let folder = Folder::new(volume.0.path().into());
        volume.remount("ro");
        let error = folder.store(&names().record, bytes(b"{}")).await.unwrap_err();
        assert!(error.to_string().contains("mount it for writing"), "{error}");
        volume.remount("rw");
        folder.store(&names().record, bytes(b"{}")).await.unwrap();
    }
}
