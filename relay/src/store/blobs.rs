//! What is known of stored attachments; their bytes are files.

use sotto_crypto::BlobId;

use super::Answer;

/// A stored attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlobMeta {
    /// Bytes.
    pub(crate) size: u64,
    /// When it is deleted.
    pub(crate) expires_at_ms: u64,
}

/// Operations on attachments.
pub(crate) trait Blobs {
    /// Records an attachment whose bytes are durable. `false`: its owner would have more than `quota` bytes.
    fn add_blob(&self, blob: BlobId, owner: String, meta: BlobMeta, quota: u64) -> Answer<'_, bool>;
    /// Bytes that an owner's attachments take together.
    fn blob_bytes(&self, owner: String) -> Answer<'_, u64>;
    /// An attachment whose time is not over.
    fn blob(&self, blob: BlobId, now_ms: u64) -> Answer<'_, Option<BlobMeta>>;
    /// Attachments whose time is over.
    fn expired_blobs(&self, now_ms: u64, count: usize) -> Answer<'_, Vec<BlobId>>;
    /// Forgets attachments whose bytes are gone.
    fn forget_blobs(&self, blobs: Vec<BlobId>) -> Answer<'_, ()>;
}
