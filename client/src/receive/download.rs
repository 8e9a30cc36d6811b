//! Files that came with messages: downloaded into a sealed spool file, checked, opened from there. Memory does not grow
//! with the file.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use sha2::{Digest as _, Sha512_256};
use sotto_crypto::{AttachmentKey, AttachmentOpener, SEALED_CHUNK, sealed_len};
use sotto_wire::content::File;
use sotto_wire::limits;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::core::error::{AttachmentError, Error, TransportError};
use crate::core::platform::{files, timeout};
use crate::core::spool::{Spooled, too_large, unopenable};
use crate::trust::state::Trust;

/// A relay that holds a file must begin to give it out within this time.
const FIRST_ANSWER: Duration = Duration::from_secs(30);

/// Files of messages. Cheap to clone.
#[derive(Clone)]
pub struct Files {
    trust: Arc<Trust>,
}

impl Files {
    pub(crate) fn new(trust: Arc<Trust>) -> Self {
        Self { trust }
    }

    /// Downloads a file that came with a message, checks it, and writes its clear bytes. Returns how many. Nothing is
    /// written before all of it has come and fits its digest. `progress` hears of downloaded and all bytes.
    pub async fn download<W: AsyncWrite + Unpin>(
        &self,
        file: &File,
        output: &mut W,
        progress: impl Fn(u64, u64) + Send + Sync,
    ) -> Result<u64, Error> {
        let spooled = Spooled::new(&self.trust.profile.spool()?);
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
        let api = &self.trust.api;
        // However many attempts: another network's relay that is away must not keep anybody waiting for minutes.
        let asked = timeout(FIRST_ANSWER, api.blob(&file.domain, &file.blob));
        let answer =
            asked.await.map_err(|_| TransportError::Timeout { relay: self.trust.account.endpoint.url.clone() })??;
        let mut spool = files::File::create(to).await.map_err(AttachmentError::Io)?;
        let mut digest = Sha512_256::new();
        let mut total = 0_u64;
        let mut answer = pin!(answer.bytes_stream());
        while let Some(chunk) = answer.try_next().await.map_err(|e| api.http.error(&e))? {
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

pub(crate) async fn open_file<W: AsyncWrite + Unpin>(
    file: &File,
    sealed: &Path,
    output: &mut W,
) -> Result<u64, AttachmentError> {
    let key = AttachmentKey::from_bytes(&file.key).map_err(|e| AttachmentError::Unopenable(e.to_string()))?;
    let mut opener = AttachmentOpener::new(&key);
    let mut input = files::File::open(sealed).await?;
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

async fn chunk(input: &mut files::File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(SEALED_CHUNK);
    input.take(SEALED_CHUNK as u64).read_to_end(&mut bytes).await?;
    Ok(bytes)
}
