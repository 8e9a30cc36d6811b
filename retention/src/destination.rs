//! Where records go: one interface, two implementations. What `store` has returned from is durable.

mod folder;
mod s3;

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sotto_crypto::{BlobId, SystemRng};

use crate::name::ObjectName;

pub(crate) use folder::Folder;
#[cfg(test)]
pub(crate) use s3::tests as tests_s3;
pub(crate) use s3::{Bucket, S3};

/// Keeps objects for good.
pub(crate) trait Destination: Send + Sync + 'static {
    /// For the log.
    fn describe(&self) -> String;

    /// Where clear attachments are written on their way.
    fn spool(&self) -> &Path;

    /// Returns when the object is durable under this name. Storing a name again is no error.
    fn store(&self, name: &ObjectName, object: Object) -> impl Future<Output = Result<(), DestinationError>> + Send;

    /// Removes what an earlier run has left behind on its way.
    fn tidy(&self) -> impl Future<Output = ()> + Send {
        let spool = self.spool().to_owned();
        async move {
            if let Err(error) = tokio::fs::remove_dir_all(&spool).await
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(folder = %spool.display(), %error, "what an earlier run left behind cannot be removed");
            }
        }
    }
}

/// What is stored. Holds clear text: no Debug.
pub(crate) enum Object {
    /// A document.
    Bytes {
        /// All of it.
        bytes: Bytes,
        /// Its media type.
        media_type: &'static str,
    },
    /// A file in the spool, which may be moved away.
    File(PathBuf),
}

/// Why an object could not be stored. Names no content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DestinationError {
    /// The file system says no.
    #[error("cannot write {path}: {source}; {remedy}")]
    Io {
        /// Where.
        path: PathBuf,
        /// What it says.
        source: io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// The object store says no.
    #[error("cannot write to s3://{bucket}: {reason}; {remedy}")]
    S3 {
        /// Where.
        bucket: String,
        /// What it says.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Work was cut off.
    #[error("storing was cut off")]
    CutOff,
}

impl DestinationError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        let remedy = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free space, or make the volume larger",
            io::ErrorKind::ReadOnlyFilesystem => "the volume is mounted read-only: mount it for writing",
            io::ErrorKind::PermissionDenied => "let the user of the retention process write there",
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "something else is in the way: move it",
            _ => "see that the volume is there and sound",
        };
        Self::Io { path: path.to_owned(), source, remedy }
    }
}

/// A file in the spool; removed when dropped, if it is still there.
pub(crate) struct Spooled(PathBuf);

impl Spooled {
    /// A fresh name in the spool, which is made where it is missing.
    pub(crate) fn new(spool: &Path) -> Result<Self, DestinationError> {
        make_private(spool).map_err(|e| DestinationError::io(spool, e))?;
        Ok(Self(spool.join(BlobId::generate(&mut SystemRng).to_string())))
    }

    /// Where.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn make_private(dir: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(dir)
}
