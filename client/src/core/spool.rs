//! Sealed files on their way: what they are while they lie on this machine's disk.

use std::path::{Path, PathBuf};

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
