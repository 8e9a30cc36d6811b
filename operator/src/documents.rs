//! Documents under the policy key: signed when, and only when, their content differs from what the relay has.

use sotto_crypto::{Document, Policy, PolicyKey, Signed};
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

/// The signed document to put: `current` (as the relay has it) where it is good and says the same as `content`,
/// otherwise `content` signed anew with a higher serial. The serial in `content` does not count.
///
/// Signing again without need would make every client fetch and check for nothing, and an ECDSA signature differs each
/// time, so that relay and operator would never agree that there is nothing to do.
pub fn sign_if_changed<T: Serial>(mut content: T, current: Option<&[u8]>, key: &PolicyKey, now_ms: u64) -> Vec<u8> {
    let current = current.and_then(|bytes| Signed::<T>::from_bytes(bytes).ok());
    let mut serial = now_ms;
    if let Some(current) = &current {
        // One that this key has not signed counts for its serial all the same: clients may have seen it.
        if let Ok(seen) = current.unverified() {
            content.set_serial(seen.serial());
            if seen == content && current.verify(&key.verifying_key()).is_ok() {
                return current.to_bytes();
            }
            serial = serial.max(seen.serial().saturating_add(1));
        }
    }
    content.set_serial(serial);
    Signed::sign(&content, key).to_bytes()
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
        }
    }
    fn read(bytes: &[u8], key: &PolicyKey) -> NetworkDocument {
        Signed::<NetworkDocument>::from_bytes(bytes).unwrap().verify(&key.verifying_key()).unwrap()
    }

    #[test]
    fn same_content_is_not_signed_again() {
        let key = PolicyKey::generate(&mut SystemRng);
        let first = sign_if_changed(content("Acme"), None, &key, NOW);
        assert_eq!(read(&first, &key).serial, NOW);
        assert_eq!(sign_if_changed(content("Acme"), Some(&first), &key, NOW + 5), first);
    }

    #[test]
    fn serial_grows_even_when_the_clock_goes_back() {
        let key = PolicyKey::generate(&mut SystemRng);
        let first = sign_if_changed(content("Acme"), None, &key, NOW);
        let second = sign_if_changed(content("Acme & Co"), Some(&first), &key, NOW - 1_000);
        assert_eq!(read(&second, &key).serial, NOW + 1);
        assert_eq!(read(&second, &key).display_name, "Acme & Co");
        assert_eq!(read(&sign_if_changed(content("Acme"), Some(&second), &key, NOW + 9), &key).serial, NOW + 9);
    }

    #[test]
    fn another_key_or_rubbish_is_signed_anew() {
        let (key, other) = (PolicyKey::generate(&mut SystemRng), PolicyKey::generate(&mut SystemRng));
        let foreign = sign_if_changed(content("Acme"), None, &other, NOW + 10);
        let own = sign_if_changed(content("Acme"), Some(&foreign), &key, NOW);
        assert_eq!(read(&own, &key).serial, NOW + 11);
        assert_eq!(read(&sign_if_changed(content("Acme"), Some(b"rubbish"), &key, NOW), &key).serial, NOW);
    }
}
