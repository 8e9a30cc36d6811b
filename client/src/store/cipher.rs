//! Seals values and hides row keys: whoever has the file alone learns how many rows there are, and how long.

use std::borrow::Cow;

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use hmac::{Hmac, Mac as _};
use sha2::Sha512;
use sotto_crypto::SystemRng;
use sotto_crypto::rand_core::Rng as _;
use zeroize::Zeroizing;

use super::erasable::SlotKey;
use super::key::StoreKey;
use crate::core::error::StoreError;

/// What a row is found by: a keyed digest of its clear key.
pub(crate) type RowKey = [u8; 32];

const NONCE: usize = 12;

/// Keys from the store key: one seals, one makes row keys, one makes keys of values that end.
pub(crate) struct Cipher {
    values: Aes256Gcm,
    index: Zeroizing<[u8; 32]>,
    ending: Zeroizing<[u8; 32]>,
}

impl Cipher {
    pub(crate) fn new(key: &StoreKey) -> Self {
        let values = derive(key.bytes(), &[b"sotto/1 store values"]);
        let index = derive(key.bytes(), &[b"sotto/1 store index"]);
        let ending = derive(key.bytes(), &[b"sotto/1 store ending"]);
        Self { values: Aes256Gcm::new((&*values).into()), index, ending }
    }

    /// What a value is sealed under: the store's key, or one that ends with the value and that needs both the store's key
    /// and the key in its slot.
    fn aead(&self, slot: Option<&SlotKey>) -> Cow<'_, Aes256Gcm> {
        match slot {
            None => Cow::Borrowed(&self.values),
            Some(slot) => Cow::Owned(Aes256Gcm::new((&*derive(&self.ending, &[slot.as_slice()])).into())),
        }
    }

    /// The row key of `parts` in `table`. Parts are told apart by their lengths.
    pub(crate) fn row(&self, table: &'static str, parts: &[&[u8]]) -> RowKey {
        let mut input: Vec<u8> = Vec::new();
        for part in std::iter::once(&table.as_bytes()).chain(parts) {
            input.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            input.extend_from_slice(part);
        }
        *derive(&self.index, &[&input])
    }

    /// `nonce || AES-256-GCM(value)` with table and row key as associated data.
    pub(crate) fn seal(
        &self,
        table: &'static str,
        row: &RowKey,
        slot: Option<&SlotKey>,
        value: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let mut nonce = [0; NONCE];
        SystemRng.fill_bytes(&mut nonce);
        let sealed = self
            .aead(slot)
            .encrypt((&nonce).into(), Payload { msg: value, aad: &aad(table, row) })
            .map_err(|_| StoreError::Sealed { table })?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`seal`](Self::seal) made for the same table and row.
    pub(crate) fn open(
        &self,
        table: &'static str,
        row: &RowKey,
        slot: Option<&SlotKey>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let damaged = || StoreError::Sealed { table };
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or_else(damaged)?;
        self.aead(slot)
            .decrypt(nonce.into(), Payload { msg: sealed, aad: &aad(table, row) })
            .map(Zeroizing::new)
            .map_err(|_| damaged())
    }
}

fn aad(table: &'static str, row: &RowKey) -> Vec<u8> {
    [table.as_bytes(), &[0], row].concat()
}

/// The first half of HMAC-SHA512.
#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn derive(key: &[u8; 32], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    let full = mac.finalize().into_bytes();
    let mut half = Zeroizing::new([0; 32]);
    half.copy_from_slice(&full[..32]);
    half
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_opens_only_in_its_place_and_under_its_key() {
        let cipher = Cipher::new(&StoreKey::generate(&mut SystemRng));
        let row = cipher.row("pin", &[b"alice"]);
        let sealed = cipher.seal("pin", &row, None, b"value").unwrap();
        assert_eq!(cipher.open("pin", &row, None, &sealed).unwrap().as_slice(), b"value");
        assert!(cipher.open("account", &row, None, &sealed).is_err());
        assert!(cipher.open("pin", &cipher.row("pin", &[b"bob"]), None, &sealed).is_err());
        assert!(Cipher::new(&StoreKey::generate(&mut SystemRng)).open("pin", &row, None, &sealed).is_err());
        assert!(cipher.open("pin", &row, None, &sealed[..5]).is_err());
    }

    #[test]
    fn a_value_that_ends_needs_its_slot_too() {
        let cipher = Cipher::new(&StoreKey::generate(&mut SystemRng));
        let (row, slot) = (cipher.row("t", &[b"k"]), Zeroizing::new([7; 32]));
        let sealed = cipher.seal("t", &row, Some(&slot), b"value").unwrap();
        assert_eq!(cipher.open("t", &row, Some(&slot), &sealed).unwrap().as_slice(), b"value");
        assert!(cipher.open("t", &row, None, &sealed).is_err());
        assert!(cipher.open("t", &row, Some(&Zeroizing::new([8; 32])), &sealed).is_err());
    }

    #[test]
    fn parts_of_a_row_key_are_told_apart() {
        let cipher = Cipher::new(&StoreKey::generate(&mut SystemRng));
        assert_ne!(cipher.row("t", &[b"ab", b"c"]), cipher.row("t", &[b"a", b"bc"]));
        assert_ne!(cipher.row("ta", &[b"b"]), cipher.row("t", &[b"ab"]));
    }

    proptest! {
        #[test]
        fn changed_values_do_not_open(value in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>()) {
            let cipher = Cipher::new(&StoreKey::generate(&mut SystemRng));
            let row = cipher.row("t", &[b"k"]);
            let mut sealed = cipher.seal("t", &row, None, &value).unwrap();
            let opened = cipher.open("t", &row, None, &sealed).unwrap();
            prop_assert_eq!(opened.as_slice(), value.as_slice());
            let at = at.index(sealed.len());
            sealed[at] ^= 1;
            prop_assert!(cipher.open("t", &row, None, &sealed).is_err());
        }
    }
}
