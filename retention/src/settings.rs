//! The configuration, parsed into types.

use std::path::PathBuf;

use sotto_client::{Endpoint, Tls};
use sotto_crypto::{Address, Fingerprint};
use sotto_wire::config::{DestinationConfig, RetentionConfig};

use crate::error::RetentionError;

/// A configuration that has been checked.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) address: Address,
    pub(crate) policy: String,
    pub(crate) policy_key: Fingerprint,
    pub(crate) endpoint: Endpoint,
    pub(crate) secrets: PathBuf,
    /// The folder of the device's own state.
    pub(crate) state: PathBuf,
    /// For clear attachments on their way to a bucket.
    pub(crate) spool: PathBuf,
}

impl Settings {
    /// Checks a configuration.
    pub(crate) fn parse(config: &RetentionConfig) -> Result<Self, RetentionError> {
        let wrong = |field, problem: String| RetentionError::Config { field, problem };
        let address = Address::parse(&config.address).map_err(|e| wrong("address", e.to_string()))?;
        if config.policy.is_empty() {
            return Err(wrong("policy", "is empty; expected the name of the RetentionPolicy".into()));
        }
        let policy_key = config
            .policy_key
            .parse()
            .map_err(|e| wrong("policyKey", format!("{e}; `status.policyKey` of the Network has the right one")))?;
        if let DestinationConfig::S3 { bucket, prefix, .. } = &config.destination {
            if bucket.is_empty() {
                return Err(wrong("destination.bucket", "is empty; expected the name of a bucket".into()));
            }
            if prefix.starts_with('/') || prefix.ends_with('/') {
                return Err(wrong("destination.prefix", format!("`{prefix}`: leave out the slash at the end")));
            }
        }
        Ok(Self {
            address,
            policy: config.policy.clone(),
            policy_key,
            endpoint: Endpoint { url: config.relay.clone(), tls: tls(config)? },
            secrets: config.secrets.clone(),
            state: config.state.clone(),
            spool: config.state.join("spool"),
        })
    }

    /// Files that are still to be fetched.
    pub(crate) fn waiting(&self) -> PathBuf {
        self.state.join("files")
    }

    /// The client library's profile.
    pub(crate) fn profile(&self) -> PathBuf {
        self.state.join("profile")
    }
}

fn tls(config: &RetentionConfig) -> Result<Tls, RetentionError> {
    let wrong = |field, problem: String| RetentionError::Config { field, problem };
    match (&config.authority, config.relay.starts_with("https://")) {
        (None, true) => Ok(Tls::Public),
        (None, false) => Ok(Tls::Off),
        (Some(path), true) => std::fs::read_to_string(path)
            .map(Tls::Authority)
            .map_err(|e| wrong("authority", format!("{}: {e}; expected a PEM file", path.display()))),
        (Some(_), false) => {
            Err(wrong("authority", format!("is set, but relay is `{}`: use https:// or leave it out", config.relay)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::config;

    fn refused(change: impl FnOnce(&mut RetentionConfig)) -> String {
        let mut config = config("/nowhere".as_ref());
        change(&mut config);
        Settings::parse(&config).unwrap_err().to_string()
    }

    #[test]
    fn a_good_configuration_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let authority = dir.path().join("ca.crt");
        std::fs::write(&authority, "PEM").unwrap();
        let mut config = config(dir.path());
        assert_eq!(Settings::parse(&config).unwrap().endpoint.tls, Tls::Off);
        config.relay = "https://relay.chat.acme.example".into();
        assert_eq!(Settings::parse(&config).unwrap().endpoint.tls, Tls::Public);
        config.authority = Some(authority);
        let settings = Settings::parse(&config).unwrap();
        assert_eq!(settings.endpoint.tls, Tls::Authority("PEM".into()));
        assert_eq!(settings.profile(), dir.path().join("state/profile"));
    }

    #[test]
    fn bad_fields_are_named() {
        assert!(refused(|c| c.address = "no".into()).starts_with("retention configuration, address: "));
        assert!(refused(|c| c.policy.clear()).contains("policy: is empty"));
        assert!(refused(|c| c.policy_key = "abc".into()).contains("policyKey: not a fingerprint"));
        assert!(refused(|c| c.authority = Some("/ca".into())).contains("authority: is set, but relay is `http://"));
        let missing = refused(|c| {
            c.relay = "https://r".into();
            c.authority = Some("/nowhere/ca.crt".into());
        });
        assert!(missing.contains("authority: /nowhere/ca.crt: "), "{missing}");
        let s3 = |bucket: &str, prefix: &str| DestinationConfig::S3 {
            bucket: bucket.into(),
            prefix: prefix.into(),
            region: None,
            endpoint_url: None,
            kms_key_arn: None,
        };
        assert!(refused(|c| c.destination = s3("", "p")).contains("destination.bucket: is empty"));
        assert!(refused(|c| c.destination = s3("b", "p/")).contains("destination.prefix: `p/`"));
    }
}
