//! A thief of a disk: reads every byte of every file of a profile, finds the key that the profile leaves beside its store
//! (`unlock.key`) and the keys of values that end (`store.keys`), and opens with them whatever still opens, whether the store
//! calls it deleted or not.
//!
//! What is looked for are rows of the store's table `cells`, where all secrets lie: name of the table, row key (32 bytes),
//! nonce and AES-256-GCM of the value, and the number of its slot in `store.keys`, one after the other
//! (`client/src/store/cipher.rs` says how it is sealed, `erasable.rs` what a slot is). They are found by their name in the raw
//! bytes of the database, of its log and of everything else, so that it does not matter whether anything still points to them.

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
const TABLES: [&str; 16] = [
    "account",
    "aside count",
    "batch",
    "conversation",
    "history in",
    "history out",
    "link",
    "membership",
    "peer",
    "pin",
    "policy",
    "prekey",
    "receipt",
    "room_held",
    "serials",
    "settings",
];
const ROW: usize = 32;
const NONCE: usize = 12;
const TAG: usize = 16;
/// The longest value of a row that SQLite keeps in one piece (pages of 4 KiB).
const LONGEST: usize = 1100;
/// Bytes of a slot in the file of keys.
const SLOT: usize = 32;
/// SQLite's type of a row key: a BLOB of 32 bytes.
const ROW_KIND: u8 = 2 * 32 + 12;
/// SQLite's types of the number of a slot: none; 0; 1; of one, two, three bytes.
const SLOT_KINDS: [u8; 6] = [0, 8, 9, 1, 2, 3];

/// Opens values of a store.
pub(super) struct StoreKey {
    values: Aes256Gcm,
    /// Of values that end: one for each slot that is not erased.
    ending: Vec<Option<Aes256Gcm>>,
}

impl StoreKey {
    /// The keys that lie beside the store.
    pub(super) fn of(profile: &Path) -> Outcome<Self> {
        let text = fs::read_to_string(profile.join("unlock.key"))?;
        let key = HEXLOWER.decode(text.trim().as_bytes()).map_err(|e| Failure(format!("unlock.key: {e}")))?;
        let values = cipher(&derive(&key, b"sotto/1 store values")?)?;
        let ending = derive(&key, b"sotto/1 store ending")?;
        let slots = fs::read(profile.join("store.keys"))?;
        let of_slot = |slot: &[u8]| {
            let erased = slot.iter().all(|byte| *byte == 0);
            (!erased).then(|| cipher(&derive(&ending, slot)?)).transpose()
        };
        let ending = slots.chunks_exact(SLOT).map(of_slot).collect::<Outcome<_>>()?;
        Ok(Self { values, ending })
    }

    /// Opens a value of this table and row, under the key in its slot where it has one.
    pub(super) fn open(&self, table: &str, row: &[u8], slot: Option<usize>, sealed: &[u8]) -> Option<Vec<u8>> {
        let key = match slot {
            None => &self.values,
            Some(slot) => self.ending.get(slot)?.as_ref()?,
        };
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let aad = [table.as_bytes(), &[0], row].concat();
        key.decrypt(nonce.into(), Payload { msg: sealed, aad: &aad }).ok()
    }
}

/// The first half of HMAC-SHA512.
fn derive(key: &[u8], input: &[u8]) -> Outcome<Vec<u8>> {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).map_err(|e| Failure(e.to_string()))?;
    mac.update(input);
    Ok(mac.finalize().into_bytes()[..32].to_vec())
}

fn cipher(key: &[u8]) -> Outcome<Aes256Gcm> {
    Aes256Gcm::new_from_slice(key).map_err(|e| Failure(e.to_string()))
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

/// The value whose row begins here, where one does. SQLite's types of row key, value and slot stand before it, as long as
/// SQLite has not put anything in that place; otherwise every length is tried, and every type of a slot.
fn value_at(key: &StoreKey, table: &'static str, bytes: &[u8], at: usize) -> Option<Vec<u8>> {
    let row = at + table.len();
    let (row, rest) = (bytes.get(row..row + ROW)?, bytes.get(row + ROW..)?);
    let open = |length: usize, kind: u8| {
        let (sealed, behind) = rest.split_at_checked(length)?;
        let slot = if kind == 0 { None } else { Some(number(kind, behind)?) };
        key.open(table, row, slot, sealed)
    };
    if let Some((length, kind)) = stated(bytes.get(..at)?) {
        return open(length, kind);
    }
    if is_in_index(bytes.get(..at)?, table) {
        return None;
    }
    let lengths = NONCE + TAG..=LONGEST.min(rest.len());
    lengths.flat_map(|length| SLOT_KINDS.map(|kind| (length, kind))).find_map(|(length, kind)| open(length, kind))
}

/// The length of a value and the type of its slot, as they stand before its row: after the type of the row key the type of
/// the value (twice its length, and twelve for a BLOB; as a varint of one or two bytes), then that of the slot.
fn stated(before: &[u8]) -> Option<(usize, u8)> {
    let (twice, kind) = match before {
        [.., ROW_KIND, high, low, kind] if high & 0x80 != 0 => {
            (usize::from(high & 0x7f) << 7 | usize::from(*low), *kind)
        }
        [.., ROW_KIND, low, kind] => (usize::from(*low), *kind),
        _ => return None,
    };
    Some((twice.checked_sub(12)? / 2, kind))
}

/// Whether an entry of the index of slots stands here, which has no value: the types of table and row key before the slot.
fn is_in_index(before: &[u8], table: &str) -> bool {
    let Some(kind) = u8::try_from(13 + 2 * table.len()).ok() else { return false };
    (0..=3).any(|slot| before.len() > slot + 2 && before[..before.len() - slot].ends_with(&[kind, ROW_KIND]))
}

/// The number of this type, where these bytes begin with it.
fn number(kind: u8, bytes: &[u8]) -> Option<usize> {
    match kind {
        8 | 9 => Some(usize::from(kind - 8)),
        1..=3 => Some(bytes.get(..usize::from(kind))?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))),
        _ => None,
    }
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

    /// A row as SQLite writes it: the types of row key, value and slot, the table's name, the row key, the value, the slot.
    fn row(key: &StoreKey, slot: Option<u8>, value: &[u8]) -> Vec<u8> {
        let (row, nonce) = ([7; ROW], [9; NONCE]);
        let aad = [b"prekey".as_slice(), &[0], &row].concat();
        let cipher = slot.map_or(&key.values, |slot| key.ending[usize::from(slot)].as_ref().unwrap());
        let sealed = cipher.encrypt((&nonce).into(), Payload { msg: value, aad: &aad }).unwrap();
        let kind = u8::try_from(12 + 2 * (NONCE + sealed.len())).unwrap();
        let slot: Vec<u8> = slot.into_iter().collect();
        let types = [ROW_KIND, kind, u8::try_from(slot.len()).unwrap()];
        [types.as_slice(), b"prekey", &row, &nonce, &sealed, &slot].concat()
    }

    #[test]
    fn a_value_is_found_wherever_it_lies_also_without_its_length() {
        let profile = tempfile::tempdir().unwrap();
        fs::write(profile.path().join("unlock.key"), "ab".repeat(32)).unwrap();
        let keys = profile.path().join("store.keys");
        fs::write(&keys, [[1; SLOT], [2; SLOT], [3; SLOT]].concat()).unwrap();
        let key = StoreKey::of(profile.path()).unwrap();
        let mut overwritten = row(&key, Some(2), b"second");
        overwritten[..3].fill(0xff);
        let erased = row(&key, Some(1), b"its key has ended");
        fs::write(&keys, [[1; SLOT], [0; SLOT], [3; SLOT]].concat()).unwrap();
        let first = row(&key, None, b"first");
        let bytes = [b"prekey and nothing else".to_vec(), first, erased, vec![0; 99], overwritten].concat();
        fs::create_dir(profile.path().join("spool")).unwrap();
        fs::write(profile.path().join("spool/anything"), &bytes).unwrap();
        let values: Vec<_> = steal(profile.path()).unwrap().values.into_iter().map(|v| v.value).collect();
        assert_eq!(values, [b"first".to_vec(), b"second".to_vec()]);
        assert_eq!(in_clear(profile.path(), &[b"nothing else"]).unwrap().len(), 1);
        assert!(in_clear(profile.path(), &[b"second"]).unwrap().is_empty());
    }
}
