//! Documents under the policy key: signed when, and only when, their content differs from what the relay has.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use sotto_crypto::{Document, Policy, PolicyKey, PolicyPublic, Signed};
use sotto_wire::policy::{GroupDocument, MembershipDocument, NetworkDocument};

/// A document with a serial that only grows.
pub trait Serial: Document<Signer = Policy> + PartialEq {
    /// The serial.
    fn serial(&self) -> u64;
    /// Sets the serial.
    fn set_serial(&mut self, serial: u64);
}

impl Serial for NetworkDocument {
    fn serial(&self) -> u64 {
        self.serial
    }
    fn set_serial(&mut self, serial: u64) {
        self.serial = serial;
    }
}

impl Serial for GroupDocument {
    fn serial(&self) -> u64 {
        self.serial
    }
    fn set_serial(&mut self, serial: u64) {
        self.serial = serial;
    }
}

impl Serial for MembershipDocument {
    fn serial(&self) -> u64 {
        self.serial
    }
    fn set_serial(&mut self, serial: u64) {
        self.serial = serial;
    }
}

/// Signatures that were found good. Checking one on P-521 takes about a millisecond, and a pass over ten thousand users would
/// check ten thousand that it has checked before. Bounded; when it is full it starts again.
#[derive(Default)]
pub struct Verified(Mutex<HashSet<[u8; 16]>>);

impl Verified {
    /// About 10 MB.
    const MOST: usize = 200_000;

    fn is_good<T: Serial>(&self, signed: &Signed<T>, bytes: &[u8], key: &PolicyKey) -> bool {
        let key = key.verifying_key();
        let mark = Self::mark::<T>(bytes, &key);
        if self.lock().contains(&mark) {
            return true;
        }
        let good = signed.verify(&key).is_ok();
        if good {
            self.remember(mark);
        }
        good
    }

    /// The document, where this key has signed it.
    pub fn read<T: Serial>(&self, bytes: &[u8], key: &PolicyKey) -> Option<T> {
        let signed = Signed::<T>::from_bytes(bytes).ok()?;
        self.is_good(&signed, bytes, key).then(|| signed.unverified().ok()).flatten()
    }

    /// Of a kind of document: bytes of one kind say nothing of another.
    fn mark<T: Serial>(bytes: &[u8], key: &PolicyPublic) -> [u8; 16] {
        let kind = Sha256::digest(T::LABEL);
        let digest = Sha256::new().chain_update(kind).chain_update(key.as_bytes()).chain_update(bytes).finalize();
        let mut mark = [0; 16];
        mark.copy_from_slice(&digest[..16]);
        mark
    }

    fn remember(&self, mark: [u8; 16]) {
        let mut marks = self.lock();
        if marks.len() >= Self::MOST {
            marks.clear();
        }
        marks.insert(mark);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<[u8; 16]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The signed document to put: `current` (as the relay has it) where it is good and says the same as `content`,
/// otherwise `content` signed anew with a higher serial. The serial in `content` does not count.
///
/// Signing again without need would make every client fetch and check for nothing, and an ECDSA signature differs each
/// time, so that relay and operator would never agree that there is nothing to do.
pub fn sign_if_changed<T: Serial>(
    mut content: T,
    current: Option<&[u8]>,
    key: &PolicyKey,
    now_ms: u64,
    verified: &Verified,
) -> Vec<u8> {
    let current = current.and_then(|bytes| Some((Signed::<T>::from_bytes(bytes).ok()?, bytes)));
    let mut serial = now_ms;
    if let Some((current, bytes)) = &current {
        // One that this key has not signed counts for its serial all the same: clients may have seen it.
        if let Ok(seen) = current.unverified() {
            content.set_serial(seen.serial());
            if seen == content && verified.is_good(current, bytes, key) {
                return current.to_bytes();
            }
            serial = serial.max(seen.serial().saturating_add(1));
        }
    }
    content.set_serial(serial);
    let bytes = Signed::sign(&content, key).to_bytes();
    verified.remember(Verified::mark::<T>(&bytes, &key.verifying_key()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use sotto_crypto::{Domain, SystemRng};
    use sotto_wire::policy::{FederationRule, ReadReceipts};

    const NOW: u64 = 1_800_000_000_000;

    fn content(name: &str) -> NetworkDocument {
        NetworkDocument {
            version: 1,
            domain: Domain::parse("chat.acme.example").unwrap(),
            serial: 0,
            display_name: name.into(),
            retention: Vec::new(),
            federation: FederationRule::default(),
            read_receipts: ReadReceipts::Enabled,
            refuse_sending_after_days: 7,
        }
    }
    fn read(bytes: &[u8], key: &PolicyKey) -> NetworkDocument {
        Signed::<NetworkDocument>::from_bytes(bytes).unwrap().verify(&key.verifying_key()).unwrap()
    }

    #[test]
    fn same_content_is_not_signed_again() {
        let key = PolicyKey::generate(&mut SystemRng);
        let first = sign_if_changed(content("Acme"), None, &key, NOW, &Verified::default());
        assert_eq!(read(&first, &key).serial, NOW);
        assert_eq!(sign_if_changed(content("Acme"), Some(&first), &key, NOW + 5, &Verified::default()), first);
    }

    #[test]
    fn only_what_this_key_has_signed_as_this_kind_is_read() {
        let (key, other) = (PolicyKey::generate(&mut SystemRng), PolicyKey::generate(&mut SystemRng));
        let verified = Verified::default();
        let signed = sign_if_changed(content("Acme"), None, &key, NOW, &verified);
        // The first time from memory, and the same without.
        for verified in [&verified, &Verified::default()] {
            assert_eq!(verified.read::<NetworkDocument>(&signed, &key), Some(read(&signed, &key)));
            assert_eq!(verified.read::<NetworkDocument>(&signed, &other), None);
            assert_eq!(verified.read::<MembershipDocument>(&signed, &key), None);
        }
        let public = key.verifying_key();
        let (one, another) = (
            Verified::mark::<NetworkDocument>(&signed, &public),
            Verified::mark::<MembershipDocument>(&signed, &public),
        );
        assert_ne!(one, another, "what was good as one kind is not taken for another");
    }

    #[test]
    fn serial_grows_even_when_the_clock_goes_back() {
        let key = PolicyKey::generate(&mut SystemRng);
        let first = sign_if_changed(content("Acme"), None, &key, NOW, &Verified::default());
        let second = sign_if_changed(content("Acme & Co"), Some(&first), &key, NOW - 1_000, &Verified::default());
        assert_eq!(read(&second, &key).serial, NOW + 1);
        assert_eq!(read(&second, &key).display_name, "Acme & Co");
        assert_eq!(
            read(&sign_if_changed(content("Acme"), Some(&second), &key, NOW + 9, &Verified::default()), &key).serial,
            NOW + 9
        );
    }

    #[test]
    fn another_key_or_rubbish_is_signed_anew() {
        let (key, other) = (PolicyKey::generate(&mut SystemRng), PolicyKey::generate(&mut SystemRng));
        let foreign = sign_if_changed(content("Acme"), None, &other, NOW + 10, &Verified::default());
        let own = sign_if_changed(content("Acme"), Some(&foreign), &key, NOW, &Verified::default());
        assert_eq!(read(&own, &key).serial, NOW + 11);
        assert_eq!(
            read(&sign_if_changed(content("Acme"), Some(b"rubbish"), &key, NOW, &Verified::default()), &key).serial,
            NOW
        );
    }
}
