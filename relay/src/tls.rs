//! Certificates: read from files, and read again when the files change, without a restart.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sotto_wire::config::{MutualTlsFiles, TlsFiles};
use tokio_util::sync::CancellationToken;

use crate::RelayError;

/// How often files are looked at. By content: Kubernetes changes them by swapping a symbolic link.
const LOOK: Duration = Duration::from_secs(10);

/// Who calls on the admin listener, by the certificate's common name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerRole {
    /// The operator or the local runner.
    Operator,
    /// The own gateway.
    Gateway,
    /// A certificate of our authority that has no business here.
    Stranger,
}

impl PeerRole {
    /// From the certificate that the handshake has verified.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else { return Self::Stranger };
        let names: Vec<&str> =
            certificate.subject().iter_common_name().map(|name| name.as_str().unwrap_or_default()).collect();
        match names.as_slice() {
            ["operator"] => Self::Operator,
            ["gateway"] => Self::Gateway,
            _ => Self::Stranger,
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The bytes of some files.
type Contents = Vec<Vec<u8>>;

fn read(paths: &[&Path]) -> Result<Contents, RelayError> {
    paths
        .iter()
        .map(|path| std::fs::read(path).map_err(|source| RelayError::File { path: path.to_path_buf(), source }))
        .collect()
}

fn chain(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, RelayError> {
    let certificates =
        CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|e| wrong(path, &e))?;
    if certificates.is_empty() {
        return Err(wrong(path, &"there is no certificate in it"));
    }
    Ok(certificates)
}

fn key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, RelayError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| wrong(path, &error))
}

fn wrong(path: &Path, reason: &dyn std::fmt::Display) -> RelayError {
    RelayError::Tls { path: path.to_owned(), reason: reason.to_string() }
}

/// Something made of files.
struct Reloading<T> {
    current: RwLock<Arc<T>>,
    seen: Mutex<Contents>,
    generation: AtomicU64,
}

impl<T> Reloading<T> {
    fn new(contents: Contents, value: T) -> Self {
        Self { current: RwLock::new(Arc::new(value)), seen: Mutex::new(contents), generation: AtomicU64::new(0) }
    }

    fn get(&self) -> Arc<T> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether there is something new in use now.
    fn look(
        &self,
        read: impl FnOnce() -> Result<Contents, RelayError>,
        make: impl FnOnce(&Contents) -> Result<T, RelayError>,
    ) -> Result<bool, RelayError> {
        let contents = read()?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == contents {
            return Ok(false);
        }
        // A half-written set of files does not fit together; the next look sees the rest.
        let value = make(&contents)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
        *seen = contents;
        self.generation.fetch_add(1, Ordering::SeqCst);
        Ok(true)
    }
}

/// TLS of the public listener.
pub(crate) struct PublicTls {
    files: TlsFiles,
    state: Reloading<ServerConfig>,
}

impl PublicTls {
    pub(crate) fn load(files: TlsFiles) -> Result<Self, RelayError> {
        let contents = Self::read(&files)?;
        let config = Self::make(&files, &contents)?;
        Ok(Self { files, state: Reloading::new(contents, config) })
    }

    fn read(files: &TlsFiles) -> Result<Contents, RelayError> {
        read(&[&files.certificate, &files.key])
    }

    fn make(files: &TlsFiles, contents: &Contents) -> Result<ServerConfig, RelayError> {
        let [certificate, private] = contents.as_slice() else {
            return Err(wrong(&files.certificate, &"files are missing"));
        };
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| wrong(&files.certificate, &e))?
            .with_no_client_auth()
            .with_single_cert(chain(&files.certificate, certificate)?, key(&files.key, private)?)
            .map_err(|e| wrong(&files.certificate, &e))?;
        Ok(http1(config))
    }
}

/// TLS of the admin listener, and of this relay as a client of its gateway.
pub(crate) struct MutualTls {
    files: MutualTlsFiles,
    state: Reloading<(Arc<ServerConfig>, ClientConfig)>,
}

impl MutualTls {
    pub(crate) fn load(files: MutualTlsFiles) -> Result<Self, RelayError> {
        let contents = Self::read(&files)?;
        let configs = Self::make(&files, &contents)?;
        Ok(Self { files, state: Reloading::new(contents, configs) })
    }

    fn read(files: &MutualTlsFiles) -> Result<Contents, RelayError> {
        read(&[&files.certificate, &files.key, &files.authority])
    }

    fn make(files: &MutualTlsFiles, contents: &Contents) -> Result<(Arc<ServerConfig>, ClientConfig), RelayError> {
        let [certificate, private, authority] = contents.as_slice() else {
            return Err(wrong(&files.certificate, &"files are missing"));
        };
        let mut roots = RootCertStore::empty();
        for root in chain(&files.authority, authority)? {
            roots.add(root).map_err(|e| wrong(&files.authority, &e))?;
        }
        let roots = Arc::new(roots);
        let own = chain(&files.certificate, certificate)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider())
            .build()
            .map_err(|e| wrong(&files.authority, &e))?;
        let server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| wrong(&files.certificate, &e))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(own.clone(), key(&files.key, private)?)
            .map_err(|e| wrong(&files.certificate, &e))?;
        let client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| wrong(&files.certificate, &e))?
            .with_root_certificates(roots)
            .with_client_auth_cert(own, key(&files.key, private)?)
            .map_err(|e| wrong(&files.certificate, &e))?;
        Ok((Arc::new(http1(server)), client))
    }

    /// Changes when the certificates do.
    pub(crate) fn generation(&self) -> u64 {
        self.state.generation.load(Ordering::SeqCst)
    }

    pub(crate) fn client_config(&self) -> ClientConfig {
        self.state.get().1.clone()
    }
}

fn http1(mut config: ServerConfig) -> ServerConfig {
    // WebSockets need it, and nothing here is faster over HTTP/2.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Gives the current configuration to each handshake.
pub(crate) trait ServerTls: Send + Sync + 'static {
    /// For the next handshake.
    fn server_config(&self) -> Arc<ServerConfig>;
    /// Reads the files again when they have changed; whether they have.
    fn look(&self) -> Result<bool, RelayError>;
}

impl ServerTls for PublicTls {
    fn server_config(&self) -> Arc<ServerConfig> {
        self.state.get()
    }

    fn look(&self) -> Result<bool, RelayError> {
        self.state.look(|| Self::read(&self.files), |contents| Self::make(&self.files, contents))
    }
}

impl ServerTls for MutualTls {
    fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.state.get().0)
    }

    fn look(&self) -> Result<bool, RelayError> {
        self.state.look(|| Self::read(&self.files), |contents| Self::make(&self.files, contents))
    }
}

/// Looks at the files now and then until `shutdown`.
pub(crate) async fn watch(tls: Arc<dyn ServerTls>, what: &'static str, shutdown: CancellationToken) {
    let mut warned = false;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        match tls.look() {
            Ok(true) => tracing::info!(listener = what, "new certificates are in use"),
            Ok(false) => warned = false,
            Err(error) if !warned => {
                warned = true;
                tracing::warn!(listener = what, error = %error, "changed certificates cannot be used; the old ones stay");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn issue(name: Option<&str>) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        (params.self_signed(&key).unwrap(), key)
    }

    fn write(certificate: &Path, key: &Path) {
        let (issued, private) = issue(Some("relay"));
        std::fs::write(certificate, issued.pem()).unwrap();
        std::fs::write(key, private.serialize_pem()).unwrap();
    }

    #[test]
    fn changed_files_are_used_and_broken_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| -> PathBuf { folder.path().join(name) };
        let files = TlsFiles { certificate: path("c"), key: path("k") };
        write(&files.certificate, &files.key);
        let tls = PublicTls::load(files.clone()).unwrap();
        let first = tls.server_config();
        assert!(!tls.look().unwrap(), "nothing has changed");
        assert!(Arc::ptr_eq(&first, &tls.server_config()));

        // The certificate is new, its key is not there yet.
        write(&files.certificate, &path("new-key"));
        assert!(tls.look().is_err());
        assert!(Arc::ptr_eq(&first, &tls.server_config()), "the old ones stay");
        std::fs::rename(path("new-key"), &files.key).unwrap();
        assert!(tls.look().unwrap());
        assert!(!Arc::ptr_eq(&first, &tls.server_config()));
        std::fs::remove_file(&files.key).unwrap();
        assert!(tls.look().unwrap_err().to_string().contains('k'));
    }

    #[test]
    fn roles_are_the_whole_common_name() {
        let role = |name| PeerRole::of(issue(name).0.der());
        assert_eq!(role(Some("operator")), PeerRole::Operator);
        assert_eq!(role(Some("gateway")), PeerRole::Gateway);
        for name in [Some("Operator"), Some("operator "), Some("operator,gateway"), Some("relay"), None] {
            assert_eq!(role(name), PeerRole::Stranger);
        }
        assert_eq!(PeerRole::of(&CertificateDer::from(vec![1, 2, 3])), PeerRole::Stranger);
    }
}
