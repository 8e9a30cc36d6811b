//! Bytes of attachments as files: `blobs/ab/ab34…`. A file gets its name only when all of it is on disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use sotto_crypto::BlobId;
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt as _;

/// An upload is recorded long before this has passed.
const SETTLED: Duration = Duration::from_hours(1);

/// Why bytes were not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    /// More than the bound.
    #[error("larger than allowed")]
    TooLarge,
    /// The sender's stream broke off.
    #[error("the upload broke off")]
    Broken,
    /// The disk.
    #[error(transparent)]
    Disk(#[from] std::io::Error),
}

/// The folder.
pub(crate) struct BlobFiles {
    folder: PathBuf,
}

impl BlobFiles {
    /// Opens or makes the folder, and removes what uploads left behind when the relay last ended.
    pub(crate) fn open(folder: PathBuf) -> std::io::Result<Self> {
        let incoming = folder.join("incoming");
        if incoming.exists() {
            std::fs::remove_dir_all(&incoming)?;
        }
        std::fs::create_dir_all(&incoming)?;
        Ok(Self { folder })
    }

    fn shelf(&self, blob: BlobId) -> PathBuf {
        let name = blob.to_string();
        self.folder.join(name.get(..2).unwrap_or("00"))
    }

    fn path(&self, blob: BlobId) -> PathBuf {
        self.shelf(blob).join(blob.to_string())
    }

    /// Stores what comes, at most `limit` bytes; how many it were. Durable when it returns.
    pub(crate) async fn store<S, E>(&self, blob: BlobId, bytes: S, limit: u64) -> Result<u64, BlobError>
    where
        S: Stream<Item = Result<Bytes, E>>,
    {
        let incoming = self.folder.join("incoming").join(blob.to_string());
        let result = self.write(blob, &incoming, bytes, limit).await;
        if result.is_err() {
            // What cannot be removed now is removed at the next start.
            let _ = fs::remove_file(&incoming).await;
        }
        result
    }

    async fn write<S, E>(&self, blob: BlobId, incoming: &Path, bytes: S, limit: u64) -> Result<u64, BlobError>
    where
        S: Stream<Item = Result<Bytes, E>>,
    {
        let mut file = File::create_new(incoming).await?;
        let mut size = 0u64;
        let mut bytes = std::pin::pin!(bytes);
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk.map_err(|_| BlobError::Broken)?;
            size += chunk.len() as u64;
            if size > limit {
                return Err(BlobError::TooLarge);
            }
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        file.sync_all().await?;
        let folder = self.shelf(blob);
        fs::create_dir_all(&folder).await?;
        fs::rename(incoming, self.path(blob)).await?;
        sync_folder(&folder).await?;
        sync_folder(&self.folder).await?;
        Ok(size)
    }

    /// Files that have been there for an hour, by id: those that nobody knows were left by a relay that ended between
    /// storing and recording them.
    pub(crate) async fn settled(&self) -> std::io::Result<Vec<BlobId>> {
        let mut found = Vec::new();
        let mut folders = fs::read_dir(&self.folder).await?;
        while let Some(folder) = folders.next_entry().await? {
            if folder.file_name().len() != 2 {
                continue;
            }
            let mut entries = fs::read_dir(folder.path()).await?;
            while let Some(entry) = entries.next_entry().await? {
                let age = entry.metadata().await?.modified()?.elapsed().unwrap_or_default();
                if age > SETTLED
                    && let Some(blob) = entry.file_name().to_str().and_then(|name| name.parse().ok())
                {
                    found.push(blob);
                }
            }
        }
        Ok(found)
    }

    /// Opens a stored file.
    pub(crate) async fn read(&self, blob: BlobId) -> std::io::Result<File> {
        File::open(self.path(blob)).await
    }

    /// Removes a file; one that is gone already is no error.
    pub(crate) async fn remove(&self, blob: BlobId) -> std::io::Result<()> {
        match fs::remove_file(self.path(blob)).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// A name is durable when its folder is.
async fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder).await?.sync_all().await
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn chunks(parts: &[&'static [u8]]) -> impl Stream<Item = Result<Bytes, &'static str>> {
        stream::iter(parts.iter().map(|part| Ok(Bytes::from_static(part))).collect::<Vec<_>>())
    }

    #[tokio::test]
    async fn stores_reads_and_removes() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobFiles::open(folder.path().join("blobs")).unwrap();
        let blob = BlobId::from_bytes([0xab; 16]);
        assert_eq!(blobs.store(blob, chunks(&[b"one", b"two"]), 6).await.unwrap(), 6);
        let mut text = String::new();
        blobs.read(blob).await.unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "onetwo");
        assert!(blobs.settled().await.unwrap().is_empty(), "too young");
        let hours_ago = std::time::SystemTime::now() - 2 * SETTLED;
        std::fs::File::options().write(true).open(blobs.path(blob)).unwrap().set_modified(hours_ago).unwrap();
        assert_eq!(blobs.settled().await.unwrap(), [blob]);
        blobs.remove(blob).await.unwrap();
        blobs.remove(blob).await.unwrap();
        assert!(blobs.read(blob).await.is_err());
    }

    #[tokio::test]
    async fn too_much_or_broken_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blobs");
        let blobs = BlobFiles::open(path.clone()).unwrap();
        let blob = BlobId::from_bytes([1; 16]);
        assert!(matches!(blobs.store(blob, chunks(&[b"1234", b"5"]), 4).await, Err(BlobError::TooLarge)));
        let broken = stream::iter([Ok(Bytes::from_static(b"1")), Err("gone")]);
        assert!(matches!(blobs.store(blob, broken, 4).await, Err(BlobError::Broken)));
        assert_eq!(std::fs::read_dir(path.join("incoming")).unwrap().count(), 0);
        assert!(blobs.read(blob).await.is_err());
        std::fs::write(path.join("incoming/left-behind"), b"x").unwrap();
        BlobFiles::open(path.clone()).unwrap();
        assert_eq!(std::fs::read_dir(path.join("incoming")).unwrap().count(), 0);
    }
}
