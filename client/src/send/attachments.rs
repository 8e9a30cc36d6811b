//! Files that are sent: sealed chunk by chunk into a file beside the outbox, uploaded from there. Memory does not grow with
//! the file.

use std::ffi::OsStr;
use std::io::{self, Read as _, Write};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use sha2::Digest as _;
use sotto_crypto::{BlobId, Domain, SEALED_CHUNK, SystemRng, seal_stream, sealed_len};
use sotto_wire::content::{Body, Content, File, MessageRef};
use sotto_wire::limits;
use tokio_util::io::ReaderStream;
use zeroize::Zeroizing;

use super::state::{Progress, Sending};
use crate::core::error::{AttachmentError, Error};
use crate::core::platform::files;
use crate::core::platform::fs::{self, File as StdFile};
use crate::core::spool::{Digesting, Spooled, too_large, unopenable};
use crate::core::task::blocking;
use crate::core::text::clean_name;
use crate::store::{OutboxRecord, outbox_all};
use crate::transport::body_of;

/// What stands in a message for a blob that is not uploaded yet.
const NOT_YET: BlobId = BlobId::from_bytes([0; 16]);
/// Sealed files that no entry names are deleted after this time.
const SWEEP_AFTER: Duration = Duration::from_hours(24);

/// A sealed file with what opens it.
pub(crate) struct SealedFile {
    spooled: Spooled,
    key: Zeroizing<Vec<u8>>,
    size: u64,
    digest: [u8; 32],
}

impl SealedFile {
    /// As a message carries it. The blob is named when it is uploaded.
    pub(crate) fn file(&self, name: String, domain: Domain) -> Result<File, Error> {
        let mut key = [0; 32];
        key.copy_from_slice(self.key.get(..32).ok_or(Error::Internal("an attachment key of another length"))?);
        Ok(File {
            media_type: media_type(&name).to_owned(),
            name,
            size: self.size,
            domain,
            blob: NOT_YET,
            key,
            digest: self.digest,
            caption: None,
            kind: None,
            duration_ms: None,
            preview: None,
        })
    }

    /// Leaves the sealed bytes where they are, and gives their name there.
    pub(crate) fn keep(self) -> Option<String> {
        let name = self.spooled.0.file_name()?.to_str()?.to_owned();
        std::mem::forget(self.spooled);
        Some(name)
    }
}

impl Sending {
    /// Uploads sealed bytes.
    async fn upload(&self, sealed: &Path, progress: Option<Progress>) -> Result<BlobId, Error> {
        let all = files::metadata(sealed).await.map_err(AttachmentError::Io)?.len();
        let stored = self
            .api
            .upload(|| async {
                let file = files::File::open(sealed).await.map_err(AttachmentError::Io)?;
                let (progress, mut sent) = (progress.clone(), 0);
                let chunks = ReaderStream::with_capacity(file, SEALED_CHUNK).inspect_ok(move |chunk: &Bytes| {
                    sent += chunk.len() as u64;
                    if let Some(progress) = &progress {
                        progress(sent, all);
                    }
                });
                Ok(body_of(chunks).await.map_err(AttachmentError::Io)?)
            })
            .await?;
        Ok(stored.blob)
    }

    /// Seals a file into the folder of those that wait in the outbox.
    pub(crate) async fn seal_outgoing(&self, path: &Path, outgoing: &Path) -> Result<SealedFile, Error> {
        let (path, outgoing) = (path.to_owned(), outgoing.to_owned());
        blocking(move || {
            let sealed = seal_file(&path, &outgoing)?;
            // The entry that names it is durable when `post_file` returns, so it has to be as well.
            StdFile::open(&sealed.spooled.0).and_then(|f| f.sync_all()).map_err(AttachmentError::Io)?;
            StdFile::open(&outgoing).and_then(|dir| dir.sync_all()).map_err(AttachmentError::Io)?;
            Ok(sealed)
        })
        .await
    }

    /// Hears of the upload of this message's file.
    pub(crate) fn watch_upload(&self, key: MessageRef, progress: impl Fn(u64, u64) + Send + Sync + 'static) {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.insert(key, Arc::new(progress));
    }

    /// Uploads the file of an entry, and names the blob in its content: durable before the message goes, so that it is not
    /// uploaded again.
    pub(crate) async fn upload_outgoing(&self, entry: &mut OutboxRecord, mut content: Content) -> Result<(), Error> {
        let (Some(name), Body::File(file)) = (entry.upload.clone(), &mut content.body) else { return Ok(()) };
        let progress = {
            let uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
            uploads.get(&entry.key).cloned()
        };
        file.blob = self.upload(&self.profile.outgoing()?.join(&name), progress).await?;
        entry.content = sotto_crypto::encode(&content);
        entry.upload = None;
        let uploaded = entry.clone();
        self.store
            .run(move |tx| {
                if tx.outbox_entry(&uploaded.key)?.is_some() {
                    tx.put_outbox(&uploaded)?;
                }
                if let Some(mut placed) = tx.placed_message(&uploaded.key)? {
                    placed.message.content.clone_from(&uploaded.content);
                    tx.put_message(&placed.message)?;
                }
                Ok(())
            })
            .await?;
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner).remove(&entry.key);
        self.forget_outgoing(&name);
        Ok(())
    }

    /// The sealed file of an entry is not needed any more.
    pub(crate) fn forget_outgoing(&self, name: &str) {
        if let Ok(dir) = self.profile.outgoing() {
            let _ = fs::remove_file(dir.join(name));
        }
    }

    /// Deletes sealed files that no entry names: left by a process that was killed between the two, or by an entry that
    /// has expired.
    pub(crate) async fn sweep_outgoing(&self) -> Result<(), Error> {
        let dir = self.profile.outgoing()?;
        // Listed before the entries: a file is there before the entry that names it.
        let old = fs::older_than(&dir, SWEEP_AFTER).map_err(AttachmentError::Io)?;
        let entries = self.store.run(outbox_all).await?;
        for file in old {
            if !entries.iter().any(|e| e.upload.as_deref().map(OsStr::new) == file.file_name()) {
                let _ = fs::remove_file(file);
            }
        }
        Ok(())
    }
}

/// The name that a file is sent under.
pub(crate) fn name_of(path: &Path) -> Result<String, AttachmentError> {
    let name = path.file_name().and_then(|n| n.to_str()).map(clean_name).ok_or(AttachmentError::Name)?;
    if name.is_empty() || name.len() > 255 { Err(AttachmentError::Name) } else { Ok(name) }
}

fn seal_file(path: &Path, spool: &Path) -> Result<SealedFile, AttachmentError> {
    let input = StdFile::open(path)?;
    let metadata = input.metadata()?;
    if metadata.is_dir() {
        return Err(AttachmentError::Name);
    }
    if sealed_len(metadata.len()).is_none_or(|len| len > limits::MAX_BLOB) {
        return Err(too_large(metadata.len()));
    }
    let spooled = Spooled::new(spool);
    let mut output = Digesting::new(io::BufWriter::new(StdFile::create(&spooled.0)?));
    // One byte more than is allowed: a file that grows meanwhile is noticed.
    let mut input = input.take(limits::MAX_BLOB + 1);
    let (key, size) = seal_stream(&mut SystemRng, &mut input, &mut output).map_err(unopenable)?;
    output.flush()?;
    if sealed_len(size).is_none_or(|len| len > limits::MAX_BLOB) {
        return Err(too_large(size));
    }
    Ok(SealedFile { spooled, key: key.to_bytes(), size, digest: output.digest.finalize().into() })
}

/// The media type by the name's ending; what is not known is bytes.
fn media_type(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "txt" | "log" => "text/plain",
        "md" => "text/markdown",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "json" => "application/json",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "svg" => "image/svg+xml",
        "mp3" => "audio/mpeg",
        "ogg" | "opus" => "audio/ogg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive::download::open_file;

    fn file(sealed: &SealedFile) -> File {
        File {
            name: "f".into(),
            size: sealed.size,
            media_type: String::new(),
            domain: Domain::parse("x.example").unwrap(),
            blob: BlobId::from_bytes([0; 16]),
            key: sealed.key.as_slice().try_into().unwrap(),
            digest: sealed.digest,
            caption: None,
            kind: None,
            duration_ms: None,
            preview: None,
        }
    }

    #[tokio::test]
    async fn what_is_sealed_opens_and_what_was_cut_does_not() {
        let dir = tempfile::tempdir().unwrap();
        for size in [0, 1, 65_536, 200_000] {
            let clear: Vec<u8> = (0..size).map(|n: u32| n.to_le_bytes()[0]).collect();
            let path = dir.path().join("clear");
            std::fs::write(&path, &clear).unwrap();
            let sealed = seal_file(&path, dir.path()).unwrap();
            let bytes = std::fs::read(&sealed.spooled.0).unwrap();
            assert_eq!(Some(bytes.len() as u64), sealed_len(size.into()));
            assert_eq!(sealed.digest, sotto_crypto::digest(&bytes));
            let mut opened = Vec::new();
            assert_eq!(open_file(&file(&sealed), &sealed.spooled.0, &mut opened).await.unwrap(), u64::from(size));
            assert_eq!(opened, clear);
            std::fs::write(&sealed.spooled.0, &bytes[..bytes.len() - 1]).unwrap();
            assert!(open_file(&file(&sealed), &sealed.spooled.0, &mut Vec::new()).await.is_err());
            let spooled = sealed.spooled.0.clone();
            drop(sealed);
            assert!(!spooled.exists());
        }
        assert!(matches!(seal_file(dir.path(), dir.path()), Err(AttachmentError::Name)));
        assert!(matches!(seal_file(&dir.path().join("none"), dir.path()), Err(AttachmentError::Io(_))));
    }

    #[test]
    fn the_media_type_is_that_of_the_ending() {
        assert_eq!(media_type("a.PDF"), "application/pdf");
        assert_eq!(media_type("noending"), "application/octet-stream");
    }
}
