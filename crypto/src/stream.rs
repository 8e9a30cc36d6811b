//! Attachments: the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015) over chunks of 64 KiB. Chunks that are
//! missing, moved, repeated or added are detected.

use std::io::{self, Read, Write};

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::signing::KeyError;
use crate::suite::{Current, Failed, KEY_LEN, NONCE_LEN, Primitives, TAG_LEN};

/// Length of a clear chunk; only the last one of a stream may be shorter.
pub const CHUNK: usize = 64 * 1024;
/// Length of a sealed chunk; only the last one of a stream may be shorter.
pub const SEALED_CHUNK: usize = CHUNK + TAG_LEN;

/// An attachment that cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// A chunk of a length that it cannot have at its place.
    #[error("attachment: every chunk but the last has 65,536 bytes, and only the only chunk may be empty")]
    ChunkLength,
    /// A chunk after the last one, or more than 2^32 chunks.
    #[error("attachment: no chunk may follow the last one, and there are at most 2^32")]
    Ended,
    /// The key does not fit, or the attachment has been changed, cut off or extended.
    #[error("attachment: the key does not fit, or it has been changed, cut off or extended")]
    Unopenable,
    /// Reading or writing failed.
    #[error("attachment: {0}")]
    Io(#[from] io::Error),
}

impl From<Failed> for StreamError {
    fn from(_: Failed) -> Self {
        Self::Unopenable
    }
}

/// A key ready for use; erased when dropped.
type Cipher = <Current as Primitives>::Cipher;

/// The key of one attachment; erased when dropped. [`AttachmentSealer::new`] makes it, so that no key seals two.
pub struct AttachmentKey(Zeroizing<[u8; KEY_LEN]>);

impl AttachmentKey {
    /// Reads a key that [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() != KEY_LEN {
            return Err(KeyError::Length { expected: KEY_LEN });
        }
        let mut key = Zeroizing::new([0; KEY_LEN]);
        key.copy_from_slice(bytes);
        Ok(Self(key))
    }

    /// The key, to be sent inside a sealed message: 32 bytes.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.to_vec())
    }
}

/// Counts chunks, and makes sure that no nonce comes twice.
#[derive(Clone, Copy)]
struct Position {
    /// The next chunk; `None` after the last one.
    next: Option<u32>,
}

impl Position {
    /// The nonce of the next chunk: `7 zero bytes || u32 counter || last`.
    fn advance(&mut self, clear_len: usize, last: bool) -> Result<[u8; NONCE_LEN], StreamError> {
        let counter = self.next.ok_or(StreamError::Ended)?;
        let fits = if last { clear_len <= CHUNK && (clear_len > 0 || counter == 0) } else { clear_len == CHUNK };
        if !fits {
            return Err(StreamError::ChunkLength);
        }
        self.next = if last { None } else { counter.checked_add(1) };
        let mut nonce = [0; NONCE_LEN];
        nonce[7..11].copy_from_slice(&counter.to_be_bytes());
        nonce[11] = u8::from(last);
        Ok(nonce)
    }
}

/// Seals one attachment, chunk by chunk.
pub struct AttachmentSealer {
    cipher: Cipher,
    position: Position,
}

impl AttachmentSealer {
    /// Starts an attachment under a new key.
    ///
    /// # Panics
    /// When there is no memory left for the key's schedule.
    #[expect(clippy::expect_used, reason = "a key of the right length is always taken")]
    pub fn new<R: CryptoRng + ?Sized>(rng: &mut R) -> (Self, AttachmentKey) {
        let mut key = AttachmentKey(Zeroizing::new([0; KEY_LEN]));
        rng.fill_bytes(key.0.as_mut_slice());
        let cipher = Current::cipher(&key.0).expect("a key of the right length is taken");
        (Self { cipher, position: Position { next: Some(0) } }, key)
    }

    /// Seals the next chunk: [`CHUNK`] bytes, or fewer when it is the last one.
    pub fn seal_chunk(&mut self, data: &[u8], last: bool) -> Result<Vec<u8>, StreamError> {
        let mut buffer = Vec::with_capacity(data.len() + TAG_LEN);
        buffer.extend_from_slice(data);
        let tag = self.seal_in_place(&mut buffer, last)?;
        buffer.extend_from_slice(&tag);
        Ok(buffer)
    }

    /// Seals the next chunk where it is, and returns the tag that comes after it.
    pub fn seal_in_place(&mut self, data: &mut [u8], last: bool) -> Result<[u8; TAG_LEN], StreamError> {
        let nonce = self.position.advance(data.len(), last)?;
        Ok(Current::encrypt(&self.cipher, &nonce, b"", data)?)
    }
}

/// Opens one attachment, chunk by chunk. What it returns before the last chunk has been opened is genuine, but may not
/// be all.
pub struct AttachmentOpener {
    cipher: Cipher,
    position: Position,
}

impl AttachmentOpener {
    /// Starts at the first chunk.
    ///
    /// # Panics
    /// When there is no memory left for the key's schedule.
    #[expect(clippy::expect_used, reason = "a key of the right length is always taken")]
    pub fn new(key: &AttachmentKey) -> Self {
        let cipher = Current::cipher(&key.0).expect("a key of the right length is taken");
        Self { cipher, position: Position { next: Some(0) } }
    }

    /// Opens the next chunk: [`SEALED_CHUNK`] bytes, or fewer when it is the last one. `last` says that the input ends
    /// here; if that is not where the sealer ended, this fails.
    pub fn open_chunk(&mut self, chunk: &[u8], last: bool) -> Result<Zeroizing<Vec<u8>>, StreamError> {
        let mut buffer = Zeroizing::new(chunk.to_vec());
        let clear_len = self.open_in_place(&mut buffer, last)?;
        buffer.truncate(clear_len);
        Ok(buffer)
    }

    /// Opens the next chunk where it is, and returns the length of the clear text. After an error, what is in `chunk` has
    /// no meaning.
    pub fn open_in_place(&mut self, chunk: &mut [u8], last: bool) -> Result<usize, StreamError> {
        let clear_len = chunk.len().checked_sub(TAG_LEN).ok_or(StreamError::Unopenable)?;
        let nonce = self.position.advance(clear_len, last)?;
        Ok(Current::decrypt(&self.cipher, &nonce, b"", chunk)?)
    }
}

/// The length of a sealed attachment; `None` when there would be too many chunks.
pub fn sealed_len(clear: u64) -> Option<u64> {
    let chunks = clear.div_ceil(CHUNK as u64).max(1);
    if chunks > 1 << 32 { None } else { Some(clear + chunks * TAG_LEN as u64) }
}

/// Seals all of a reader into a writer, and returns the key and the number of clear bytes. Needs the memory of two chunks,
/// whatever the length.
pub fn seal_stream<G: CryptoRng + ?Sized>(
    rng: &mut G,
    input: &mut dyn Read,
    output: &mut dyn Write,
) -> Result<(AttachmentKey, u64), StreamError> {
    let (mut sealer, key) = AttachmentSealer::new(rng);
    let mut total = 0;
    chunked(input, CHUNK, |chunk, last| {
        total += chunk.len() as u64;
        let tag = sealer.seal_in_place(chunk, last)?;
        output.write_all(chunk)?;
        Ok(output.write_all(&tag)?)
    })?;
    Ok((key, total))
}

/// Opens all of a reader into a writer, and returns the number of clear bytes. After an error, what has been written
/// must be thrown away: it is genuine, but not all. Needs the memory of two chunks, whatever the length.
pub fn open_stream(key: &AttachmentKey, input: &mut dyn Read, output: &mut dyn Write) -> Result<u64, StreamError> {
    let mut opener = AttachmentOpener::new(key);
    let mut total = 0;
    chunked(input, SEALED_CHUNK, |chunk, last| {
        // Chunks are cut here as they have to be; one of an impossible length is what was cut off or extended.
        let clear_len = opener.open_in_place(chunk, last).map_err(|_| StreamError::Unopenable)?;
        let clear = chunk.get(..clear_len).ok_or(StreamError::Unopenable)?;
        total += clear.len() as u64;
        Ok(output.write_all(clear)?)
    })?;
    Ok(total)
}

/// Cuts a reader into chunks. One chunk is read ahead, for only so does it show which one is the last.
fn chunked(
    input: &mut dyn Read,
    size: usize,
    mut each: impl FnMut(&mut [u8], bool) -> Result<(), StreamError>,
) -> Result<(), StreamError> {
    let mut current = Zeroizing::new(vec![0; size]);
    let mut ahead = Zeroizing::new(vec![0; size]);
    let mut length = fill(input, &mut current)?;
    loop {
        let next = if length == size { fill(input, &mut ahead)? } else { 0 };
        each(current.get_mut(..length).unwrap_or_default(), next == 0)?;
        if next == 0 {
            return Ok(());
        }
        std::mem::swap(&mut current, &mut ahead);
        length = next;
    }
}

/// Reads until the buffer is full or the input ends.
fn fill(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(count) if count <= rest.len() => filled += count,
            Ok(_) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the reader says that it has read too much"));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_are_counter_and_end() {
        let mut position = Position { next: Some(0) };
        assert_eq!(position.advance(CHUNK, false).unwrap(), [0; NONCE_LEN]);
        position.next = Some(0x0102_0304);
        assert_eq!(position.advance(CHUNK, false).unwrap(), [0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0]);
        assert_eq!(position.advance(9, true).unwrap(), [0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 5, 1]);
        assert!(matches!(position.advance(9, true), Err(StreamError::Ended)));
    }

    #[test]
    fn the_counter_does_not_wrap_around() {
        let mut position = Position { next: Some(u32::MAX) };
        assert!(position.advance(CHUNK, false).is_ok());
        assert!(matches!(position.advance(CHUNK, false), Err(StreamError::Ended)));
        assert!(matches!(position.advance(1, true), Err(StreamError::Ended)));
    }
}
