//! The files of the secrets folder, parsed and compared with each other.

use std::fs;
use std::path::Path;

use data_encoding::BASE64;
use sotto_client::{Password, RegistrationCode, ServiceAccount};
use sotto_crypto::{IdentityKey, RetentionCertificate, Signed};
use zeroize::Zeroizing;

use crate::error::RetentionError;
use crate::settings::Settings;

/// Good enough for every form of the files; protects from reading something else by mistake.
const MAX_FILE: u64 = 64 * 1024;

/// What the operator made for this process. Holds secrets: no Debug.
pub(crate) struct Secrets {
    password: Password,
    registration_code: RegistrationCode,
    identity: IdentityKey,
    /// When the certificate ends (milliseconds since the epoch).
    pub(crate) certified_until_ms: u64,
}

impl Secrets {
    /// Reads and checks the files.
    pub(crate) fn load(settings: &Settings) -> Result<Self, RetentionError> {
        let folder = Folder(&settings.secrets);
        let password = Password::from_file_text(&folder.text("password")?);
        if password.is_empty() {
            return Err(folder.wrong("password", "is empty"));
        }
        let code = folder.text("registration-code")?;
        if code.trim().is_empty() {
            return Err(folder.wrong("registration-code", "is empty"));
        }
        let identity = IdentityKey::from_bytes(&folder.base64("identity.key")?)
            .map_err(|e| folder.wrong("identity.key", &e.to_string()))?;
        let certificate = Signed::<RetentionCertificate>::from_bytes(&folder.base64("certificate")?)
            .and_then(|signed| signed.unverified())
            .map_err(|e| folder.wrong("certificate", &format!("is no retention certificate: {e}")))?;
        // The signature is for those who write to us. What would make all of them refuse is told here.
        if certificate.address != settings.address {
            let problem = format!("is for {}, not for {}", certificate.address, settings.address);
            return Err(folder.wrong("certificate", &problem));
        }
        if certificate.identity != identity.verifying_key() {
            return Err(folder.wrong("certificate", "is for another identity than identity.key"));
        }
        Ok(Self {
            password,
            registration_code: RegistrationCode::new(code.trim().to_owned()),
            identity,
            certified_until_ms: certificate.expires_at_ms,
        })
    }

    /// As the client library takes it.
    pub(crate) fn into_account(self, settings: &Settings) -> ServiceAccount {
        ServiceAccount {
            address: settings.address.clone(),
            endpoint: settings.endpoint.clone(),
            policy_key: settings.policy_key,
            identity: self.identity,
            password: self.password,
            registration_code: self.registration_code,
            profile: settings.profile(),
            label: "retention".to_owned(),
        }
    }
}

struct Folder<'a>(&'a Path);

impl Folder<'_> {
    fn wrong(&self, name: &str, problem: &str) -> RetentionError {
        RetentionError::Secret { path: self.0.join(name), problem: problem.to_owned() }
    }

    fn text(&self, name: &str) -> Result<Zeroizing<String>, RetentionError> {
        let path = self.0.join(name);
        let size = fs::metadata(&path).map_err(|e| self.wrong(name, &format!("cannot be read: {e}")))?.len();
        if size > MAX_FILE {
            return Err(self.wrong(name, "is far too large"));
        }
        fs::read_to_string(&path)
            .map(Zeroizing::new)
            .map_err(|e| self.wrong(name, &format!("cannot be read: {}", e.kind())))
    }

    fn base64(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, RetentionError> {
        let text = self.text(name)?;
        // The decoder's error names a place, never what stands there.
        BASE64
            .decode(text.trim().as_bytes())
            .map(Zeroizing::new)
            .map_err(|e| self.wrong(name, &format!("is not base64: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use sotto_crypto::SystemRng;

    use super::*;
    use crate::testing::{config, write_secrets};

    #[test]
    fn good_secrets_are_read() {
        let dir = tempfile::tempdir().unwrap();
        write_secrets(&dir.path().join("secrets"), "retention.keep@chat.acme.example");
        let settings = Settings::parse(&config(dir.path())).unwrap();
        let secrets = Secrets::load(&settings).unwrap();
        assert!(secrets.certified_until_ms > 0);
        let account = secrets.into_account(&settings);
        assert_eq!(account.profile, dir.path().join("state/profile"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_with_its_remedy_and_without_its_content() {
        let other = BASE64.encode(&IdentityKey::generate(&mut SystemRng).to_bytes());
        let cases = [
            ("password", None, "cannot be read"),
            ("registration-code", None, "cannot be read"),
            ("identity.key", None, "cannot be read"),
            ("certificate", None, "cannot be read"),
            ("password", Some("\n"), "is empty"),
            ("registration-code", Some(" "), "is empty"),
            ("identity.key", Some("TOPSECRET!"), "is not base64"),
            ("identity.key", Some("AAAA"), "identity.key"),
            ("identity.key", Some(other.as_str()), "another identity"),
            ("certificate", Some("AAAA"), "is no retention certificate"),
        ];
        for (name, content, expected) in cases {
            let dir = tempfile::tempdir().unwrap();
            let secrets = dir.path().join("secrets");
            write_secrets(&secrets, "retention.keep@chat.acme.example");
            match content {
                None => fs::remove_file(secrets.join(name)).unwrap(),
                Some(content) => fs::write(secrets.join(name), content).unwrap(),
            }
            let settings = Settings::parse(&config(dir.path())).unwrap();
            let error = Secrets::load(&settings).err().unwrap().to_string();
            assert!(error.contains(expected) && error.contains("the operator makes a new one"), "{name}: {error}");
            assert!(!error.contains("TOPSECRET") && !error.contains(&other), "{error}");
        }
    }

    #[test]
    fn a_certificate_for_another_address_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        write_secrets(&dir.path().join("secrets"), "retention.other@chat.acme.example");
        let settings = Settings::parse(&config(dir.path())).unwrap();
        let error = Secrets::load(&settings).err().unwrap().to_string();
        assert!(error.contains("is for retention.other@chat.acme.example, not for"), "{error}");
    }
}
