//! Sealed files on their way: what they are while they lie on this machine's disk.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha512_256};
use sotto_crypto::{BlobId, SystemRng};
use sotto_wire::limits;

use super::error::AttachmentError;
use super::platform::fs;

/// A sealed file that is deleted when it is no longer needed.
pub(crate) struct Spooled(pub(crate) PathBuf);

impl Spooled {
    pub(crate) fn new(dir: &Path) -> Self {
        Self(dir.join(BlobId::generate(&mut SystemRng).to_string()))
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

pub(crate) fn too_large(size: u64) -> AttachmentError {
    AttachmentError::TooLarge { size, max: limits::MAX_BLOB }
}

pub(crate) fn unopenable(error: sotto_crypto::StreamError) -> AttachmentError {
    match error {
        sotto_crypto::StreamError::Io(error) => AttachmentError::Io(error),
        other => AttachmentError::Unopenable(other.to_string()),
    }
}

/// Counts and digests what goes through.
pub(crate) struct Digesting<W> {
    pub(crate) inner: W,
    pub(crate) digest: Sha512_256,
    /// Bytes so far.
    pub(crate) size: u64,
}

impl<W: Write> Digesting<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, digest: Sha512_256::new(), size: 0 }
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.digest.update(bytes.get(..n).unwrap_or_default());
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
