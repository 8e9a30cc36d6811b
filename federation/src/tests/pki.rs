//! Certificate authorities of networks, in a temporary folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use sotto_wire::config::MutualTlsFiles;

/// An authority, its certificate in a file.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    dir: PathBuf,
    pub(super) file: PathBuf,
}

impl Authority {
    pub(super) fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("authority of {name}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let file = dir.join(format!("{name}.ca.pem"));
        fs::write(&file, &pem).unwrap();
        Self { issuer: Issuer::new(params, key), pem, dir: dir.to_owned(), file }
    }

    /// A certificate for `names`, in files.
    pub(super) fn issue(&self, file: &str, common_name: &str, names: &[&str]) -> MutualTlsFiles {
        let mut params = CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap().pem();
        let files = MutualTlsFiles {
            certificate: self.dir.join(format!("{file}.pem")),
            key: self.dir.join(format!("{file}.key")),
            authority: self.file.clone(),
        };
        fs::write(&files.certificate, format!("{leaf}{}", self.pem)).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }
}
