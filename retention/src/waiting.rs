//! Files that are still to be fetched, on disk: each in a file of its own beside the process's state, written before the record that
//! promises it, and removed when the document that tells its end is durable.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use minicbor::{Decode, Encode};
use sotto_crypto::{Address, BlobId, MessageId, SystemRng, decode_strict, encode};
use sotto_wire::content::File;
use sotto_wire::limits::MAX_QUEUE_SECONDS;

use crate::item::Item;
use crate::name::Names;

/// One that waits. Holds the file's key: no Debug.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Waiting {
    #[n(0)]
    version: u8,
    /// Of the message that it came with.
    #[n(1)]
    pub(crate) names: Names,
    #[n(2)]
    pub(crate) message: Option<MessageId>,
    #[n(3)]
    pub(crate) sender: Option<Address>,
    #[n(4)]
    pub(crate) accepted_at_ms: u64,
    /// Until when it is tried: as long as a relay keeps a sealed attachment.
    #[n(5)]
    pub(crate) ends_at_ms: u64,
    #[n(6)]
    pub(crate) file: File,
}

const VERSION: u8 = 1;
const SUFFIX: &str = ".cbor";
/// Of what is being written.
const ASIDE: &str = ".tmp";

impl Waiting {
    /// The file that came with an item at this time, without what is not needed to fetch it. For as long as a relay keeps a file, by
    /// this machine's clock: a relay that lies about the time cannot end that.
    pub(crate) fn of<R>(item: &Item<R>, names: &Names, file: &File, now_ms: u64) -> Self {
        Self {
            version: VERSION,
            names: names.clone(),
            message: item.message,
            sender: item.sender.clone(),
            accepted_at_ms: item.accepted_at_ms,
            ends_at_ms: now_ms.saturating_add(MAX_QUEUE_SECONDS * 1000),
            file: File { caption: None, preview: None, ..file.clone() },
        }
    }

    /// By which it is known: of its message, so that a redelivery is the same.
    pub(crate) fn mark(&self) -> &str {
        self.names.mark()
    }
}

/// The folder of them.
#[derive(Clone, Debug)]
pub(crate) struct WaitingFolder(PathBuf);

impl WaitingFolder {
    /// This folder, which is made where it is missing; and all that is in it.
    pub(crate) fn open(path: PathBuf) -> io::Result<(Self, Vec<Waiting>)> {
        let mut builder = std::fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(&path)?;
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&path)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(ASIDE) {
                // Cut off before its message was acknowledged, which therefore comes again.
                std::fs::remove_file(&path)?;
            } else if name.ends_with(SUFFIX) {
                match decode_strict::<Waiting>(&std::fs::read(&path)?) {
                    Ok(waiting) if waiting.version == VERSION => found.push(waiting),
                    // The record names the file and what opens it.
                    _ => {
                        tracing::error!(path = %path.display(), "a file that waits cannot be read; it stays there and is not fetched");
                    }
                }
            }
        }
        found.sort_by(|a, b| (a.accepted_at_ms, a.mark()).cmp(&(b.accepted_at_ms, b.mark())));
        Ok((Self(path), found))
    }

    fn path(&self, waiting: &Waiting) -> PathBuf {
        self.0.join(format!("{}{SUFFIX}", waiting.mark()))
    }

    /// Returns when it is durable. Adding it again is no error.
    pub(crate) async fn add(&self, waiting: &Waiting) -> io::Result<()> {
        let (folder, target, bytes) = (self.0.clone(), self.path(waiting), encode(waiting));
        off_thread(move || {
            let aside = folder.join(format!("{}{ASIDE}", BlobId::generate(&mut SystemRng)));
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&aside)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&aside, &target)?;
            sync(&folder)
        })
        .await
    }

    /// Returns when it is durably gone. Removing what is gone is no error.
    pub(crate) async fn remove(&self, waiting: &Waiting) -> io::Result<()> {
        let (folder, target) = (self.0.clone(), self.path(waiting));
        off_thread(move || match std::fs::remove_file(&target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => sync(&folder),
        })
        .await
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

async fn off_thread(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::waiting;

    #[tokio::test]
    async fn what_is_added_is_there_after_a_restart_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("not/yet");
        let (folder, none) = WaitingFolder::open(path.clone()).unwrap();
        assert!(none.is_empty());
        let (one, two) = (waiting("a.example", 1), waiting("b.example", 2));
        for add in [&two, &one, &one] {
            folder.add(add).await.unwrap();
        }
        let (again, found) = WaitingFolder::open(path.clone()).unwrap();
        assert!(found == [one.clone(), two.clone()]);
        again.remove(&one).await.unwrap();
        again.remove(&one).await.unwrap();
        assert!(WaitingFolder::open(path.clone()).unwrap().1 == [two]);
        #[cfg(unix)]
        for entry in std::fs::read_dir(&path).unwrap() {
            let mode = std::os::unix::fs::PermissionsExt::mode(&entry.unwrap().metadata().unwrap().permissions());
            assert_eq!(mode & 0o077, 0, "keys are in it");
        }
    }

    #[tokio::test]
    async fn what_was_cut_off_is_removed_and_what_cannot_be_read_stays_and_stops_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, _) = WaitingFolder::open(dir.path().into()).unwrap();
        folder.add(&waiting("a.example", 1)).await.unwrap();
        let mut newer = waiting("a.example", 2);
        newer.version = 2;
        folder.add(&newer).await.unwrap();
        std::fs::write(dir.path().join("half.tmp"), "half").unwrap();
        std::fs::write(dir.path().join("broken.cbor"), "no").unwrap();
        assert!(WaitingFolder::open(dir.path().into()).unwrap().1 == [waiting("a.example", 1)]);
        assert!(!dir.path().join("half.tmp").exists());
        assert!(dir.path().join("broken.cbor").exists() && folder.path(&newer).exists());
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_used_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "x").unwrap();
        assert!(WaitingFolder::open(dir.path().join("file")).is_err());
        let (folder, _) = WaitingFolder::open(dir.path().join("waiting")).unwrap();
        std::fs::remove_dir(dir.path().join("waiting")).unwrap();
        assert!(folder.add(&waiting("a.example", 1)).await.is_err());
    }
}
