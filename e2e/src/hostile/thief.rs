//! A thief of a disk: reads every byte of every file of a profile, finds the key that the profile leaves beside its store
//! (`unlock.key`), and opens with it whatever still opens, whether the store calls it deleted or not.
//!
//! What is looked for are rows of the store's table `cells`, where all secrets lie: name of the table, row key (32 bytes), and
//! nonce and AES-256-GCM of the value, one after the other (`client/src/store/cipher.rs` says how it is sealed). They are found by
//! their name in the raw bytes of the database, of its log and of everything else, so that it does not matter whether anything
//! still points to them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use data_encoding::HEXLOWER;
use hmac::{Hmac, Mac as _};
use minicbor::Decode;
use sha2::Sha512;
use sotto_crypto::{Address, BatchId, DeviceId, PrekeyRef, PrekeySecret, SealedHeader, open};
use sotto_wire::api::Delivery;

use crate::{Failure, Outcome};

/// The tables whose values lie in `cells`.
const TABLES: [&str; 13] = [
    "account",
    "batch",
    "conversation",
    "history in",
    "history out",
    "link",
    "membership",
    "pin",
    "policy",
    "prekey",
    "room_held",
    "serials",
    "settings",
];
const ROW: usize = 32;
const NONCE: usize = 12;
const TAG: usize = 16;
/// The longest value of a row that SQLite keeps in one piece (pages of 4 KiB).
const LONGEST: usize = 1100;

/// Opens values of a store.
pub(super) struct StoreKey(Aes256Gcm);

impl StoreKey {
    /// The key that lies beside the store.
    pub(super) fn of(profile: &Path) -> Outcome<Self> {
        let text = fs::read_to_string(profile.join("unlock.key"))?;
        let key = HEXLOWER.decode(text.trim().as_bytes()).map_err(|e| Failure(format!("unlock.key: {e}")))?;
        let mut mac = Hmac::<Sha512>::new_from_slice(&key).map_err(|e| Failure(e.to_string()))?;
        mac.update(b"sotto/1 store values");
        let digest = mac.finalize().into_bytes();
        Aes256Gcm::new_from_slice(&digest[..32]).map(Self).map_err(|e| Failure(e.to_string()))
    }

    /// Opens a value of this table and row.
    pub(super) fn open(&self, table: &str, row: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let aad = [table.as_bytes(), &[0], row].concat();
        self.0.decrypt(nonce.into(), Payload { msg: sealed, aad: &aad }).ok()
    }
}

/// A value that opens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recovered {
    /// The table that it belongs to.
    pub table: &'static str,
    /// The file that it lies in.
    pub file: PathBuf,
    /// In clear.
    pub value: Vec<u8>,
}

/// The secret of a prekey that opens.
pub struct Prekey {
    /// Which.
    pub reference: PrekeyRef,
    /// Whether it was for one message only.
    pub one_time: bool,
    /// The file that it lies in.
    pub file: PathBuf,
    secret: Vec<u8>,
}

/// As the store keeps it (`client/src/store/records.rs`).
#[derive(Decode)]
#[cbor(array)]
struct PrekeyRecord {
    #[n(0)]
    batch: BatchId,
    #[n(1)]
    index: u32,
    #[n(2)]
    one_time: bool,
    #[cbor(n(3), with = "minicbor::bytes")]
    secret: Vec<u8>,
}

/// Everything that a thief has made of a profile.
pub struct Loot {
    /// Values that open, each once for each file.
    pub values: BTreeSet<Recovered>,
}

/// Takes all that opens.
pub fn steal(profile: &Path) -> Outcome<Loot> {
    let key = StoreKey::of(profile)?;
    let mut values = BTreeSet::new();
    for file in files(profile)? {
        let bytes = fs::read(&file)?;
        for table in TABLES {
            for at in occurrences(&bytes, table.as_bytes()) {
                if let Some(value) = value_at(&key, table, &bytes, at) {
                    values.insert(Recovered { table, file: file.clone(), value });
                }
            }
        }
    }
    Ok(Loot { values })
}

/// Every file below a folder.
pub fn files(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

/// How many bytes there are in all files.
pub fn size(folder: &Path) -> Outcome<u64> {
    files(folder)?.iter().try_fold(0, |sum, file| Ok(sum + fs::metadata(file)?.len()))
}

/// The files that hold one of these secrets in clear.
pub fn in_clear(folder: &Path, secrets: &[&[u8]]) -> Outcome<Vec<PathBuf>> {
    let mut found = files(folder)?;
    let mut error = None;
    found.retain(|file| match fs::read(file) {
        Ok(bytes) => secrets.iter().any(|secret| occurrences(&bytes, secret).next().is_some()),
        Err(e) => {
            error = Some(e);
            false
        }
    });
    error.map_or(Ok(found), |e| Err(e.into()))
}

fn occurrences<'a>(bytes: &'a [u8], word: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let first = word.first().copied();
    let starts = bytes.iter().enumerate().filter(move |(_, byte)| Some(**byte) == first).map(|(at, _)| at);
    starts.filter(move |at| bytes[*at..].starts_with(word))
}

/// The value whose row begins here, where one does. Its length stands before it, as long as SQLite has not put anything in
/// that place; otherwise every length is tried.
fn value_at(key: &StoreKey, table: &'static str, bytes: &[u8], at: usize) -> Option<Vec<u8>> {
    let row = at + table.len();
    let (row, rest) = (bytes.get(row..row + ROW)?, bytes.get(row + ROW..)?);
    let short = bytes.get(at.checked_sub(1)?).copied()?;
    let long = bytes.get(at.checked_sub(2)?).copied()?;
    // SQLite's type of a value: twice its length, and twelve for a BLOB; as a varint of one or two bytes.
    let kind = if long & 0x80 == 0 { usize::from(short) } else { usize::from(long & 0x7f) << 7 | usize::from(short) };
    let stated = kind.checked_sub(12).map(|twice| twice / 2);
    let lengths = stated.into_iter().chain(NONCE + TAG..=LONGEST.min(rest.len()));
    lengths.filter_map(|length| rest.get(..length)).find_map(|sealed| key.open(table, row, sealed))
}

impl Loot {
    /// Secrets of prekeys.
    pub fn prekeys(&self) -> Vec<Prekey> {
        let prekeys = self.values.iter().filter(|value| value.table == "prekey");
        prekeys
            .filter_map(|found| {
                let record: PrekeyRecord = minicbor::decode(&found.value).ok()?;
                let PrekeyRecord { batch, index, one_time, secret } = record;
                Some(Prekey { reference: PrekeyRef { batch, index }, one_time, file: found.file.clone(), secret })
            })
            .collect()
    }

    /// What a recorded message says, and the file that gave it away, where any secret that was found opens it.
    pub fn read(&self, me: (&Address, DeviceId), recorded: &Delivery) -> Option<(Vec<u8>, PathBuf)> {
        let header: SealedHeader = sotto_crypto::decode_strict(&recorded.header).ok()?;
        let fitting = self.prekeys().into_iter().filter(|prekey| prekey.reference == recorded.prekey);
        let mut opened = fitting.filter_map(|prekey| {
            let secret = PrekeySecret::from_bytes(&prekey.secret).ok()?;
            let opened = open(&header, &recorded.body, me, recorded.prekey, &secret, &recorded.key).ok()?;
            Some((opened.content.to_vec(), prekey.file))
        });
        opened.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row as SQLite writes it: the type of the value, the table's name, the row key, the value.
    fn row(key: &StoreKey, value: &[u8]) -> Vec<u8> {
        let (row, nonce) = ([7; ROW], [9; NONCE]);
        let aad = [b"prekey".as_slice(), &[0], &row].concat();
        let sealed = key.0.encrypt((&nonce).into(), Payload { msg: value, aad: &aad }).unwrap();
        let kind = u8::try_from(12 + 2 * (NONCE + sealed.len())).unwrap();
        [&[0, kind], b"prekey".as_slice(), &row, &nonce, &sealed].concat()
    }

    #[test]
    fn a_value_is_found_wherever_it_lies_also_without_its_length() {
        let profile = tempfile::tempdir().unwrap();
        fs::write(profile.path().join("unlock.key"), "ab".repeat(32)).unwrap();
        let key = StoreKey::of(profile.path()).unwrap();
        let mut overwritten = row(&key, b"second");
        overwritten[..2].fill(0xff);
        let bytes = [b"prekey and nothing else".to_vec(), row(&key, b"first"), vec![0; 99], overwritten].concat();
        fs::create_dir(profile.path().join("spool")).unwrap();
        fs::write(profile.path().join("spool/anything"), &bytes).unwrap();
        let values: Vec<_> = steal(profile.path()).unwrap().values.into_iter().map(|v| v.value).collect();
        assert_eq!(values, [b"first".to_vec(), b"second".to_vec()]);
        assert_eq!(in_clear(profile.path(), &[b"nothing else"]).unwrap().len(), 1);
        assert!(in_clear(profile.path(), &[b"second"]).unwrap().is_empty());
    }
}
