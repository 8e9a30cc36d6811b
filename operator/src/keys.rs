//! Secrets that are made once: the network's policy key, the relay's own secret, the accounts of retention processes.
//!
//! As in [`crate::pki`]: a Secret as it is → the Secret as it has to be. What exists is never replaced by chance.

use std::time::Duration;

use data_encoding::BASE64;
use sotto_crypto::{
    Address, IdentityKey, InviteSecret, PolicyKey, RetentionCertificate, SUITE, Signed, SystemRng, VERSION,
    verify_retention,
};
use zeroize::Zeroizing;

use crate::secret::{Change, Ensured, SecretData};

/// Key of the policy key's secret half (66 bytes, base64). Only the operator has it.
pub const POLICY_KEY: &str = "policy.key";
/// Key of the policy key's public half (SEC1, base64).
pub const POLICY_PUBLIC: &str = "policy.pub";
/// Key of the relay's own secret.
pub const RELAY_SECRET: &str = "secret";
/// Key of a retention account's address.
pub const USERNAME: &str = "username";
/// Key of a retention account's password.
pub const PASSWORD: &str = "password";
/// Key of the code by which a retention account registers.
pub const REGISTRATION_CODE: &str = "registration-code";
/// Key of a retention account's identity key (66 bytes, base64).
pub const IDENTITY_KEY: &str = "identity.key";
/// Key of a retention account's certificate (`Signed<RetentionCertificate>`, base64).
pub const CERTIFICATE: &str = "certificate";

/// How long a retention certificate is good, and how long before its end it is signed anew.
pub const RETENTION_CERTIFICATE_LIFE: Duration = Duration::from_hours(365 * 24);
const RENEW_BEFORE: Duration = Duration::from_hours(90 * 24);

/// A Secret that holds something else than it should. None is replaced silently: clients have pinned these keys.
#[derive(Debug, thiserror::Error)]
#[error("the Secret of {what} has no good `{key}`: restore it from a backup, or delete it to get a new one ({loss})")]
pub struct KeysError {
    what: &'static str,
    key: &'static str,
    loss: &'static str,
}

impl KeysError {
    fn policy(key: &'static str) -> Self {
        Self { what: "the policy key", key, loss: "every client then needs a new invite" }
    }
    fn relay(key: &'static str) -> Self {
        Self { what: "the relay", key, loss: "every user then needs a new invite" }
    }
    fn retention(key: &'static str) -> Self {
        Self { what: "the retention process", key, loss: "the relay's account of it has to be removed too" }
    }
}

/// The policy key's Secret.
pub fn policy(existing: &SecretData) -> Result<Ensured, KeysError> {
    if existing.is_empty() {
        let key = PolicyKey::generate(&mut SystemRng);
        let mut data = SecretData::default();
        data.insert(POLICY_KEY, base64(&key.to_bytes()).as_bytes());
        data.insert(POLICY_PUBLIC, BASE64.encode(key.verifying_key().as_bytes()));
        return Ok(Ensured { data, change: Change::Created });
    }
    let key = policy_key(existing)?;
    let public = BASE64.encode(key.verifying_key().as_bytes());
    if existing.text(POLICY_PUBLIC) == Some(&public) {
        return Ok(Ensured::kept(existing));
    }
    let mut data = existing.clone();
    data.insert(POLICY_PUBLIC, public);
    Ok(Ensured { data, change: Change::Renewed("its public half did not fit") })
}

/// Reads the policy key from its Secret.
pub fn policy_key(secret: &SecretData) -> Result<PolicyKey, KeysError> {
    let bytes = unbase64(secret, POLICY_KEY).ok_or(KeysError::policy(POLICY_KEY))?;
    PolicyKey::from_bytes(&bytes).map_err(|_| KeysError::policy(POLICY_KEY))
}

/// The relay's own secret: 64 random bytes, from which it derives session and OPAQUE keys.
pub fn relay(existing: &SecretData) -> Result<Ensured, KeysError> {
    match existing.get(RELAY_SECRET) {
        Some(secret) if secret.len() >= 64 => Ok(Ensured::kept(existing)),
        None if existing.is_empty() => {
            let mut data = SecretData::default();
            data.insert(RELAY_SECRET, random::<64>().as_slice());
            Ok(Ensured { data, change: Change::Created })
        }
        _ => Err(KeysError::relay(RELAY_SECRET)),
    }
}

/// The account of a retention process: all that it needs to register and to be a recipient under the policy key.
/// Address and certificate follow what is wanted; password, code and identity stay.
pub fn retention(
    existing: &SecretData,
    policy: &PolicyKey,
    address: &Address,
    now_ms: u64,
) -> Result<Ensured, KeysError> {
    let mut data = existing.clone();
    let mut change = Change::Kept;
    if existing.is_empty() {
        data.insert(PASSWORD, password().as_bytes());
        data.insert(REGISTRATION_CODE, InviteSecret::generate(&mut SystemRng).registration_code().as_bytes());
        data.insert(IDENTITY_KEY, base64(&IdentityKey::generate(&mut SystemRng).to_bytes()).as_bytes());
        change = Change::Created;
    }
    for key in [PASSWORD, REGISTRATION_CODE] {
        data.text(key).filter(|text| !text.is_empty()).ok_or(KeysError::retention(key))?;
    }
    let identity = unbase64(&data, IDENTITY_KEY).and_then(|bytes| IdentityKey::from_bytes(&bytes).ok());
    let identity = identity.ok_or(KeysError::retention(IDENTITY_KEY))?.verifying_key();
    if data.text(USERNAME) != Some(address.as_str()) {
        data.insert(USERNAME, address.as_str());
    }
    let good = retention_certificate(&data).is_some_and(|signed| {
        let until = now_ms.saturating_add(millis(RENEW_BEFORE));
        verify_retention(&policy.verifying_key(), &signed, now_ms)
            .is_ok_and(|c| &c.address == address && c.identity == identity && c.expires_at_ms > until)
    });
    if !good {
        let certificate = RetentionCertificate {
            version: VERSION,
            suite: SUITE,
            network: address.domain(),
            address: address.clone(),
            identity,
            // Clocks of machines differ a little.
            issued_at_ms: now_ms.saturating_sub(300_000),
            expires_at_ms: now_ms.saturating_add(millis(RETENTION_CERTIFICATE_LIFE)),
        };
        data.insert(CERTIFICATE, BASE64.encode(&Signed::sign(&certificate, policy).to_bytes()));
        if change == Change::Kept {
            change = Change::Renewed("its certificate no longer fitted");
        }
    }
    Ok(Ensured { data, change })
}

/// The certificate in a retention account's Secret.
pub fn retention_certificate(secret: &SecretData) -> Option<Signed<RetentionCertificate>> {
    Signed::from_bytes(&unbase64(secret, CERTIFICATE)?).ok()
}

/// The public half of the identity in a retention account's Secret, as text.
pub fn retention_identity(secret: &SecretData) -> Option<String> {
    Some(BASE64.encode(retention_certificate(secret)?.unverified().ok()?.identity.as_bytes()))
}

fn base64(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(BASE64.encode(bytes))
}

fn unbase64(secret: &SecretData, key: &str) -> Option<Zeroizing<Vec<u8>>> {
    BASE64.decode(secret.text(key)?.trim().as_bytes()).ok().map(Zeroizing::new)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    use sotto_crypto::rand_core::Rng as _;
    let mut bytes = Zeroizing::new([0; N]);
    SystemRng.fill_bytes(bytes.as_mut_slice());
    bytes
}

/// Forty characters, ten of each class, so that every password rule of an administrator is met.
fn password() -> Zeroizing<String> {
    const CLASSES: [&[u8; 8]; 4] = [b"bdfghkmp", b"BDFGHKMP", b"23456789", b"-_.+=,:@"];
    let random = random::<40>();
    Zeroizing::new(random.iter().enumerate().map(|(i, b)| char::from(CLASSES[i % 4][usize::from(b & 7)])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn address() -> Address {
        Address::parse("retention-all@chat.acme.example").unwrap()
    }

    #[test]
    fn policy_key_is_made_once() {
        let made = policy(&SecretData::default()).unwrap();
        assert_eq!(made.change, Change::Created);
        let again = policy(&made.data).unwrap();
        assert!(!again.changed() && again.data == made.data);
        let mut lost = made.data.clone();
        lost.insert(POLICY_KEY, "");
        assert!(policy(&lost).err().unwrap().to_string().contains("backup"));
    }

    #[test]
    fn relay_secret_is_made_once() {
        let made = relay(&SecretData::default()).unwrap();
        assert_eq!(made.data.get(RELAY_SECRET).unwrap().len(), 64);
        assert!(!relay(&made.data).unwrap().changed());
        assert!(relay(&[("secret".to_owned(), vec![1; 5])].into_iter().collect()).is_err());
    }

    #[test]
    fn retention_account_keeps_its_identity_and_renews_its_certificate() {
        let key = PolicyKey::generate(&mut SystemRng);
        let made = retention(&SecretData::default(), &key, &address(), NOW).unwrap();
        assert_eq!(made.change, Change::Created);
        assert!(!retention(&made.data, &key, &address(), NOW + 1).unwrap().changed());
        let later = NOW + millis(Duration::from_hours(300 * 24));
        let renewed = retention(&made.data, &key, &address(), later).unwrap();
        assert!(renewed.changed());
        for kept in [PASSWORD, REGISTRATION_CODE, IDENTITY_KEY] {
            assert!(renewed.data.get(kept) == made.data.get(kept), "{kept}");
        }
        let signed = retention_certificate(&renewed.data).unwrap();
        let certificate = verify_retention(&key.verifying_key(), &signed, later).unwrap();
        assert_eq!(certificate.address, address());
        // A certificate under another policy key is no good.
        let other = PolicyKey::generate(&mut SystemRng);
        assert!(retention(&made.data, &other, &address(), NOW).unwrap().changed());
    }

    #[test]
    fn retention_account_without_its_identity_is_refused() {
        let key = PolicyKey::generate(&mut SystemRng);
        let mut data = retention(&SecretData::default(), &key, &address(), NOW).unwrap().data;
        data.insert(IDENTITY_KEY, "AAAA");
        let said = retention(&data, &key, &address(), NOW).err().unwrap().to_string();
        assert!(said.contains("identity.key"), "{said}");
    }

    #[test]
    fn password_meets_strict_rules() {
        let rule =
            sotto_wire::policy::PasswordRule { min_length: 40, lowercase: 10, uppercase: 10, numbers: 10, symbols: 10 };
        assert_eq!(rule.lacking(&password()), None);
        assert_ne!(*password(), *password());
    }
}
