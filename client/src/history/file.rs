//! The sealed file: `length || [kind, value]` for each record, sealed as an attachment is.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use minicbor::bytes::ByteVec;
use sha2::Digest as _;
use sotto_crypto::{AttachmentKey, SystemRng, open_stream, seal_stream};
use zeroize::Zeroizing;

use super::transfer::{Imported, KINDS, Kind};
use crate::core::clock::now_ms;
use crate::core::error::{AttachmentError, Error, StoreError};
use crate::core::platform::fs::File;
use crate::core::spool::{Digesting, unopenable};
use crate::store::{Store, Tx};

/// Largest record: a message of 64 KiB with what stands around it.
const MAX_RECORD: usize = 256 * 1024;
/// Records that are imported in one transaction.
const BATCH: usize = 200;

/// A sealed history on disk.
pub(super) struct Sealed {
    pub(super) key: AttachmentKey,
    pub(super) size: u64,
    pub(super) digest: [u8; 32],
    pub(super) records: u64,
}

/// Writes the history of a store, sealed, and makes it durable.
pub(super) fn seal(store: &Store, path: &Path) -> Result<Sealed, Error> {
    let file = File::create(path).map_err(AttachmentError::Io)?;
    let mut output = Digesting::new(BufWriter::new(file));
    let mut records = Records::new(store);
    let sealed = seal_stream(&mut SystemRng, &mut records, &mut output);
    let (key, _) = match (sealed, records.failed.take()) {
        (_, Some(error)) => return Err(error.into()),
        (Err(error), None) => return Err(unopenable(error).into()),
        (Ok(sealed), None) => sealed,
    };
    let (digest, size) = (output.digest.finalize().into(), output.size);
    let file = output.inner.into_inner().map_err(|e| AttachmentError::Io(e.into_error()))?;
    file.sync_all().map_err(AttachmentError::Io)?;
    Ok(Sealed { key, size, digest, records: records.count })
}

/// The digest of a file.
pub(super) fn digest(path: &Path) -> Result<[u8; 32], AttachmentError> {
    let mut digest = Digesting::new(io::sink());
    io::copy(&mut File::open(path)?, &mut digest)?;
    Ok(digest.digest.finalize().into())
}

/// Imports a sealed history. Can be repeated: what is there already stays. Gives how many records were new.
pub(super) fn import(
    store: &Store,
    path: &Path,
    key: &AttachmentKey,
    progress: &dyn Fn(u64),
) -> Result<(u64, u64), Error> {
    let mut input = BufReader::new(File::open(path).map_err(AttachmentError::Io)?);
    let mut importer =
        Importer { store, held: Zeroizing::default(), batch: Vec::new(), records: 0, new: 0, failed: None, progress };
    let opened = open_stream(key, &mut input, &mut importer);
    if let Some(error) = importer.failed.take() {
        return Err(error);
    }
    opened.map_err(unopenable)?;
    importer.put()?;
    if !importer.held.is_empty() {
        return Err(AttachmentError::Unopenable("a record is cut off".into()).into());
    }
    Ok((importer.records, importer.new))
}

/// The records of a store as a stream of bytes, read page by page: memory does not grow with the history.
struct Records<'a> {
    store: &'a Store,
    kinds: std::slice::Iter<'static, Kind>,
    kind: Option<(&'static Kind, Option<Vec<u8>>)>,
    buffer: Zeroizing<Vec<u8>>,
    place: usize,
    count: u64,
    failed: Option<StoreError>,
}

impl<'a> Records<'a> {
    fn new(store: &'a Store) -> Self {
        let mut kinds = KINDS.iter();
        let kind = kinds.next().map(|kind| (kind, None));
        Self { store, kinds, kind, buffer: Zeroizing::default(), place: 0, count: 0, failed: None }
    }

    /// Reads the next page. False at the end.
    fn turn(&mut self) -> Result<bool, StoreError> {
        let Some((kind, cursor)) = self.kind.take() else { return Ok(false) };
        let page = self.store.run_blocking(|tx| (kind.export)(tx, cursor.as_deref()))?;
        self.kind = match page.next {
            Some(next) => Some((kind, Some(next))),
            None => self.kinds.next().map(|kind| (kind, None)),
        };
        self.place = 0;
        self.buffer = Zeroizing::new(Vec::with_capacity(page.records.iter().map(|r| r.len() + 32).sum()));
        for record in page.records {
            let record = Zeroizing::new(record);
            let framed = Zeroizing::new(sotto_crypto::encode(&(kind.name, ByteVec::from(record.to_vec()))));
            self.buffer.extend_from_slice(&u32::try_from(framed.len()).unwrap_or(u32::MAX).to_be_bytes());
            self.buffer.extend_from_slice(&framed);
            self.count += 1;
        }
        Ok(true)
    }
}

impl Read for Records<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.place == self.buffer.len() {
            match self.turn() {
                Ok(true) => {}
                Ok(false) => return Ok(0),
                Err(error) => {
                    self.failed = Some(error);
                    return Err(io::Error::other("the local store failed"));
                }
            }
        }
        let rest = self.buffer.get(self.place..).unwrap_or_default();
        let n = rest.len().min(into.len());
        into.get_mut(..n).unwrap_or_default().copy_from_slice(rest.get(..n).unwrap_or_default());
        self.place += n;
        Ok(n)
    }
}

/// Takes the clear stream apart, and puts the records into the store in batches.
struct Importer<'a> {
    store: &'a Store,
    /// The beginning of a record whose end has not come.
    held: Zeroizing<Vec<u8>>,
    batch: Vec<Zeroizing<Vec<u8>>>,
    records: u64,
    new: u64,
    failed: Option<Error>,
    progress: &'a dyn Fn(u64),
}

impl Importer<'_> {
    /// Imports the batch in one transaction.
    fn put(&mut self) -> Result<(), Error> {
        let now = now_ms();
        let batch = std::mem::take(&mut self.batch);
        let new = self.store.run_blocking(|tx| {
            batch.iter().try_fold(0, |new, record| Ok(new + u64::from(import_one(tx, record, now)? == Imported::New)))
        })?;
        self.records += batch.len() as u64;
        self.new += new;
        (self.progress)(self.records);
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.held.extend_from_slice(bytes);
        let mut place = 0;
        while let Some((length, rest)) = self.held.get(place..).and_then(<[u8]>::split_first_chunk::<4>) {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            if length > MAX_RECORD {
                return Err(AttachmentError::Unopenable("a record is longer than any may be".into()).into());
            }
            let Some(record) = rest.get(..length) else { break };
            self.batch.push(Zeroizing::new(record.to_vec()));
            place += 4 + length;
        }
        self.held = Zeroizing::new(self.held.get(place..).unwrap_or_default().to_vec());
        if self.batch.len() >= BATCH { self.put() } else { Ok(()) }
    }
}

impl Write for Importer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.take(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                self.failed = Some(error);
                Err(io::Error::other("the import failed"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Imports one record. A kind that is not known here, or a form of one, is what a newer version has: it is left out.
fn import_one(tx: &Tx<'_>, record: &[u8], now_ms: u64) -> Result<Imported, StoreError> {
    let Ok((name, value)) = minicbor::decode::<(&str, &minicbor::bytes::ByteSlice)>(record) else {
        return Ok(Imported::Unreadable);
    };
    match KINDS.iter().find(|kind| kind.name == name) {
        Some(kind) => (kind.import)(tx, value, now_ms),
        None => Ok(Imported::Unreadable),
    }
}
