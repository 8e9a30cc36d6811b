//! Files: sealed chunk by chunk into a spool file, uploaded from there; downloaded into a spool file, checked, opened
//! from there. What lies in the spool is sealed; memory does not grow with the file.

use std::ffi::OsStr;
use std::fs::{self, File as StdFile};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use sha2::{Digest as _, Sha512_256};
use sotto_crypto::{AttachmentKey, AttachmentOpener, BlobId, Domain, SEALED_CHUNK, SystemRng, seal_stream, sealed_len};
use sotto_wire::content::{Body, Content, File, MessageRef};
use sotto_wire::limits;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_util::io::ReaderStream;
use zeroize::Zeroizing;

use crate::client::{Client, Inner};
use crate::error::{AttachmentError, Error, Refusal, TransportError};
use crate::registration::blocking;
use crate::send::{SendOptions, Sent};
use crate::store::{OutboxRecord, outbox_all};
use crate::view::FileDraft;

/// A sealed file that is deleted when it is no longer needed.
struct Spooled(PathBuf);

impl Spooled {
    fn new(dir: &Path) -> Self {
        Self(dir.join(BlobId::generate(&mut SystemRng).to_string()))
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Counts and digests what goes through.
struct Digesting<W> {
    inner: W,
    digest: Sha512_256,
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.digest.update(bytes.get(..n).unwrap_or_default());
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Hears of uploaded and all bytes.
pub(crate) type Progress = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// What stands in a message for a blob that is not uploaded yet.
const NOT_YET: BlobId = BlobId::from_bytes([0; 16]);
/// A relay that holds a file must begin to give it out within this time.
const FIRST_ANSWER: Duration = Duration::from_secs(30);
/// Sealed files that no entry names are deleted after this time.
const SWEEP_AFTER: Duration = Duration::from_hours(24);

/// A sealed file with what opens it.
pub(crate) struct SealedFile {
    spooled: Spooled,
    key: Zeroizing<Vec<u8>>,
    size: u64,
    digest: [u8; 32],
}

impl Client {
    /// Sends a file, with words where there are some.
    pub async fn send_file(
        &self,
        to: &[sotto_crypto::Address],
        path: &Path,
        caption: Option<String>,
        options: SendOptions,
    ) -> Result<Sent, Error> {
        if !self.policy().await?.group.files_enabled {
            return Err(Refusal::FilesDisabled.into());
        }
        let file = self.upload_file(path, FileDraft { caption, ..FileDraft::default() }, |_, _| {}).await?;
        self.send(to, Body::File(file), options).await
    }

    /// Seals and uploads a file, for a message to carry ([`Draft::file`](crate::Draft::file)): for who waits for the relay
    /// to have it. The options of `about` go with the draft, not with the file. `progress` hears of uploaded and all bytes.
    pub async fn upload_file(
        &self,
        path: &Path,
        about: FileDraft,
        progress: impl Fn(u64, u64) + Send + Sync + 'static,
    ) -> Result<File, Error> {
        if !self.policy().await?.group.files_enabled {
            return Err(Refusal::FilesDisabled.into());
        }
        let name = name_of(path)?;
        let (path, spool) = (path.to_owned(), self.inner.profile.spool()?);
        let sealed = blocking(move || Ok(seal_file(&path, &spool)?)).await?;
        let mut file = sealed.file(name, self.inner.account.domain())?;
        file.blob = self.inner.upload(&sealed.spooled.0, Some(Arc::new(progress))).await?;
        (file.caption, file.kind, file.duration_ms, file.preview) =
            (about.caption, about.kind, about.duration_ms, about.preview);
        Ok(file)
    }

    /// Downloads a file that came with a message, checks it, and writes its clear bytes. Returns how many. Nothing is
    /// written before all of it has come and fits its digest.
    pub async fn download<W: AsyncWrite + Unpin>(&self, file: &File, output: &mut W) -> Result<u64, Error> {
        self.download_file(file, output, |_, _| {}).await
    }

    /// The same; `progress` hears of downloaded and all bytes.
    pub async fn download_file<W: AsyncWrite + Unpin>(
        &self,
        file: &File,
        output: &mut W,
        progress: impl Fn(u64, u64) + Send + Sync,
    ) -> Result<u64, Error> {
        let spooled = Spooled::new(&self.inner.profile.spool()?);
        let most = sealed_len(file.size).filter(|len| *len <= limits::MAX_BLOB).ok_or_else(|| too_large(file.size))?;
        let digest = self.fetch(file, &spooled.0, most, &progress).await?;
        if digest != file.digest {
            return Err(AttachmentError::Unopenable("its digest is not the one that the message names".into()).into());
        }
        let written = open_file(file, &spooled.0, output).await?;
        if written != file.size {
            return Err(AttachmentError::Unopenable("its size is not the one that the message names".into()).into());
        }
        Ok(written)
    }

    async fn fetch(
        &self,
        file: &File,
        to: &Path,
        most: u64,
        progress: &(impl Fn(u64, u64) + Sync),
    ) -> Result<[u8; 32], Error> {
        let api = &self.inner.api;
        // However many attempts: another network's relay that is away must not keep anybody waiting for minutes.
        let asked = tokio::time::timeout(FIRST_ANSWER, api.blob(&file.domain, &file.blob));
        let mut answer =
            asked.await.map_err(|_| TransportError::Timeout { relay: self.inner.account.endpoint.url.clone() })??;
        let mut spool = tokio::fs::File::create(to).await.map_err(AttachmentError::Io)?;
        let mut digest = Sha512_256::new();
        let mut total = 0_u64;
        while let Some(chunk) = answer.chunk().await.map_err(|e| api.http.error(&e))? {
            total = total.saturating_add(chunk.len() as u64);
            if total > most {
                return Err(AttachmentError::Unopenable("it is larger than the message says".into()).into());
            }
            digest.update(&chunk);
            spool.write_all(&chunk).await.map_err(AttachmentError::Io)?;
            progress(total, most);
        }
        spool.flush().await.map_err(AttachmentError::Io)?;
        Ok(digest.finalize().into())
    }
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

impl Inner {
    /// Uploads sealed bytes.
    async fn upload(&self, sealed: &Path, progress: Option<Progress>) -> Result<BlobId, Error> {
        let all = tokio::fs::metadata(sealed).await.map_err(AttachmentError::Io)?.len();
        let stored = self
            .api
            .upload(|| async {
                let file = tokio::fs::File::open(sealed).await.map_err(AttachmentError::Io)?;
                let (progress, mut sent) = (progress.clone(), 0);
                let chunks = ReaderStream::with_capacity(file, SEALED_CHUNK).inspect_ok(move |chunk: &Bytes| {
                    sent += chunk.len() as u64;
                    if let Some(progress) = &progress {
                        progress(sent, all);
                    }
                });
                Ok(reqwest::Body::wrap_stream(chunks))
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
        let mut uploads = self.pumping.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.insert(key, Arc::new(progress));
    }

    /// Uploads the file of an entry, and names the blob in its content: durable before the message goes, so that it is not
    /// uploaded again.
    pub(crate) async fn upload_outgoing(&self, entry: &mut OutboxRecord, mut content: Content) -> Result<(), Error> {
        let (Some(name), Body::File(file)) = (entry.upload.clone(), &mut content.body) else { return Ok(()) };
        let progress = {
            let uploads = self.pumping.uploads.lock().unwrap_or_else(PoisonError::into_inner);
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
        self.pumping.uploads.lock().unwrap_or_else(PoisonError::into_inner).remove(&entry.key);
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
        let old = |e: &fs::DirEntry| {
            let age = e.metadata().and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
            age.is_some_and(|age| age > SWEEP_AFTER)
        };
        let files: Vec<_> = fs::read_dir(&dir).map_err(AttachmentError::Io)?.flatten().filter(old).collect();
        let entries = self.store.run(outbox_all).await?;
        for file in files {
            if !entries.iter().any(|e| e.upload.as_deref().map(OsStr::new) == Some(file.file_name().as_os_str())) {
                let _ = fs::remove_file(file.path());
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

fn too_large(size: u64) -> AttachmentError {
    AttachmentError::TooLarge { size, max: limits::MAX_BLOB }
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
    let mut output = Digesting { inner: io::BufWriter::new(StdFile::create(&spooled.0)?), digest: Sha512_256::new() };
    // One byte more than is allowed: a file that grows meanwhile is noticed.
    let mut input = input.take(limits::MAX_BLOB + 1);
    let (key, size) = seal_stream(&mut SystemRng, &mut input, &mut output).map_err(unopenable)?;
    output.flush()?;
    if sealed_len(size).is_none_or(|len| len > limits::MAX_BLOB) {
        return Err(too_large(size));
    }
    Ok(SealedFile { spooled, key: key.to_bytes(), size, digest: output.digest.finalize().into() })
}

fn unopenable(error: sotto_crypto::StreamError) -> AttachmentError {
    match error {
        sotto_crypto::StreamError::Io(error) => AttachmentError::Io(error),
        other => AttachmentError::Unopenable(other.to_string()),
    }
}

async fn open_file<W: AsyncWrite + Unpin>(file: &File, sealed: &Path, output: &mut W) -> Result<u64, AttachmentError> {
    let key = AttachmentKey::from_bytes(&file.key).map_err(|e| AttachmentError::Unopenable(e.to_string()))?;
    let mut opener = AttachmentOpener::new(&key);
    let mut input = tokio::fs::File::open(sealed).await?;
    let mut current = chunk(&mut input).await?;
    let mut total = 0;
    loop {
        // One chunk is read ahead, for only so does it show which one is the last.
        let next = if current.len() == SEALED_CHUNK { chunk(&mut input).await? } else { Vec::new() };
        let clear = opener.open_chunk(&current, next.is_empty()).map_err(unopenable)?;
        output.write_all(&clear).await?;
        total += clear.len() as u64;
        if next.is_empty() {
            output.flush().await?;
            return Ok(total);
        }
        current = next;
    }
}

async fn chunk(input: &mut tokio::fs::File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(SEALED_CHUNK);
    input.take(SEALED_CHUNK as u64).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// A file name without folders and without characters that move a terminal's cursor or turn the direction of text around;
/// never one that names a folder.
pub fn clean_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last.chars().filter(|c| !c.is_control() && !is_bidi_control(*c)).collect();
    let clean = clean.trim().trim_start_matches('.');
    let mut end = clean.len().min(200);
    while !clean.is_char_boundary(end) {
        end -= 1;
    }
    clean.get(..end).unwrap_or_default().to_owned()
}

/// Characters that reorder what stands around them: with them `exe.pdf` can be shown for `fdp.exe`.
pub fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
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
    use proptest::prelude::*;

    use super::*;

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
            fs::write(&path, &clear).unwrap();
            let sealed = seal_file(&path, dir.path()).unwrap();
            let bytes = fs::read(&sealed.spooled.0).unwrap();
            assert_eq!(Some(bytes.len() as u64), sealed_len(size.into()));
            assert_eq!(sealed.digest, sotto_crypto::digest(&bytes));
            let mut opened = Vec::new();
            assert_eq!(open_file(&file(&sealed), &sealed.spooled.0, &mut opened).await.unwrap(), u64::from(size));
            assert_eq!(opened, clear);
            fs::write(&sealed.spooled.0, &bytes[..bytes.len() - 1]).unwrap();
            assert!(open_file(&file(&sealed), &sealed.spooled.0, &mut Vec::new()).await.is_err());
            let spooled = sealed.spooled.0.clone();
            drop(sealed);
            assert!(!spooled.exists());
        }
        assert!(matches!(seal_file(dir.path(), dir.path()), Err(AttachmentError::Name)));
        assert!(matches!(seal_file(&dir.path().join("none"), dir.path()), Err(AttachmentError::Io(_))));
    }

    #[test]
    fn names_lose_folders_and_control_characters() {
        assert_eq!(clean_name("../../etc/passwd"), "passwd");
        assert_eq!(clean_name("C:\\x\\a\x1b[2J.txt"), "a[2J.txt");
        assert_eq!(clean_name(".."), "");
        assert_eq!(clean_name(".bashrc"), "bashrc");
        assert_eq!(clean_name("a\u{202e}fdp.exe\u{2066}"), "afdp.exe");
        assert_eq!(media_type("a.PDF"), "application/pdf");
        assert_eq!(media_type("noending"), "application/octet-stream");
    }

    proptest! {
        #[test]
        fn a_clean_name_is_a_plain_name(name in ".{0,300}") {
            let clean = clean_name(&name);
            prop_assert!(!clean.contains(['/', '\\', '\0']) && clean != ".." && clean != "." && clean.len() <= 200);
        }
    }
}
