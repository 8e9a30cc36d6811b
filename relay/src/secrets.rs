//! The relay's own keys, all from one secret file (HKDF-SHA512, RFC 5869). No Debug: nothing here is ever shown.

use std::path::Path;

use hkdf::Hkdf;
use sha2::Sha512;
use sotto_crypto::Domain;
use zeroize::Zeroizing;

use crate::RelayError;

/// Bytes that the secret file has at least.
const MIN_LEN: usize = 64;

/// Derives keys; each has its label, and all are bound to the network.
pub(crate) struct Secret {
    hkdf: Hkdf<Sha512>,
    domain: Domain,
}

impl Secret {
    /// Reads the secret file.
    pub(crate) fn read(path: &Path, domain: &Domain) -> Result<Self, RelayError> {
        let bytes =
            Zeroizing::new(std::fs::read(path).map_err(|source| RelayError::File { path: path.to_owned(), source })?);
        if bytes.len() < MIN_LEN {
            return Err(RelayError::Config(format!(
                "secret: {} holds {} bytes, {MIN_LEN} or more random ones are needed \
                 (head -c {MIN_LEN} /dev/urandom > {})",
                path.display(),
                bytes.len(),
                path.display(),
            )));
        }
        Ok(Self::new(&bytes, domain))
    }

    pub(crate) fn new(bytes: &[u8], domain: &Domain) -> Self {
        Self { hkdf: Hkdf::new(Some(b"sotto/2 relay secret"), bytes), domain: domain.clone() }
    }

    /// The key with this label.
    #[expect(clippy::expect_used, reason = "HKDF-SHA512 gives up to 16,320 bytes, and no key is longer than 64")]
    pub(crate) fn derive<const N: usize>(&self, label: &str) -> Zeroizing<[u8; N]> {
        let mut key = Zeroizing::new([0; N]);
        self.hkdf
            .expand_multi_info(&[label.as_bytes(), &[0], self.domain.as_str().as_bytes()], key.as_mut_slice())
            .expect("key lengths are constants within the bounds of HKDF");
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_label_network_and_secret() {
        let a = Domain::parse("a.example").unwrap();
        let b = Domain::parse("b.example").unwrap();
        let of = |bytes: &[u8], domain: &Domain, label: &str| *Secret::new(bytes, domain).derive::<32>(label);
        let key = of(&[1; 64], &a, "x");
        assert_eq!(key, of(&[1; 64], &a, "x"));
        assert_ne!(key, of(&[1; 64], &a, "y"));
        assert_ne!(key, of(&[1; 64], &b, "x"));
        assert_ne!(key, of(&[2; 64], &a, "x"));
    }

    #[test]
    fn a_short_secret_file_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, b"short").unwrap();
        let Err(error) = Secret::read(&path, &Domain::parse("a.example").unwrap()) else { panic!("accepted") };
        assert!(error.to_string().contains("5 bytes, 64 or more"), "{error}");
    }
}
