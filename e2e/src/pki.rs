//! Certificates of a test's own API server.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SanType,
};

use crate::{Failure, Outcome};

impl From<rcgen::Error> for Failure {
    fn from(error: rcgen::Error) -> Self {
        Self(format!("a certificate could not be made: {error}"))
    }
}

/// A certificate authority that lives as long as its test.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Outcome<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "sotto-e2e");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A key for signing tokens: `NAME.key`, `NAME.pub`.
    pub(crate) fn write_key(folder: &Path, name: &str) -> Outcome {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem())?;
        fs::write(folder.join(format!("{name}.pub")), key.public_key_pem())?;
        Ok(())
    }

    /// Writes `NAME.crt` and `NAME.key`: good for this machine, and as a client with this name and group.
    pub(crate) fn write_leaf(&self, folder: &Path, name: &str, user: &str, group: &str) -> Outcome {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        params.distinguished_name.push(DnType::OrganizationName, group);
        params.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into()?),
            SanType::IpAddress([127, 0, 0, 1].into()),
            SanType::DnsName("kubernetes.default.svc".try_into()?),
        ];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        fs::write(folder.join(format!("{name}.crt")), certificate.pem())?;
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem())?;
        Ok(())
    }
}
