//! What TLS is made from: certificates from files, configurations for both listeners, a client for the relay and one
//! for each peer. Made anew when the files change, so that certificates are renewed without a restart.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version::TLS13,
};
use sotto_crypto::Domain;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    error::GatewayError,
    settings::{PeerSettings, Settings},
    verifier::PeerVerifier,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the other side may be silent in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// One server that the gateway calls.
pub(crate) struct Upstream {
    pub(crate) client: Client,
    pub(crate) base: Url,
}

/// Everything that is made from the files at one time.
pub(crate) struct Material {
    settings: Arc<Settings>,
    /// When the files were changed last.
    modified: Vec<Option<SystemTime>>,
    pub(crate) relay_side: Arc<ServerConfig>,
    pub(crate) peer_side: Arc<ServerConfig>,
    pub(crate) relay: Upstream,
    pub(crate) peers: BTreeMap<Domain, Upstream>,
}

impl Material {
    pub(crate) fn load(settings: Arc<Settings>) -> Result<Self, GatewayError> {
        // Before reading: what changes while we read is read again.
        let modified = modified(&settings.files());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let own = Own::load(&settings, provider.clone())?;
        let own_authority = authority(&settings.tls.authority)?;

        let relay = Upstream {
            client: client(own.client_config(own_authority.clone())?, None)
                .map_err(|reason| tls("the relay", &reason))?,
            base: settings.relay.clone(),
        };
        let mut peers = BTreeMap::new();
        let mut verifiers = BTreeMap::new();
        for (domain, peer) in &settings.peers {
            let roots = authority(&peer.authority)?;
            verifiers.insert(domain.clone(), verifier(roots.clone(), &provider, domain.as_str())?);
            let base = format!("https://{domain}:{}/", peer.port);
            peers.insert(
                domain.clone(),
                Upstream {
                    client: client(own.client_config(roots)?, Some(peer))
                        .map_err(|reason| tls(domain.as_str(), &reason))?,
                    base: Url::parse(&base).map_err(|reason| tls(domain.as_str(), &reason))?,
                },
            );
        }
        Ok(Self {
            relay_side: own.server_config(verifier(own_authority, &provider, "the relay")?)?,
            peer_side: own.server_config(Arc::new(PeerVerifier::new(verifiers, provider)))?,
            settings,
            modified,
            relay,
            peers,
        })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    fn is_stale(&self) -> bool {
        modified(&self.settings.files()) != self.modified
    }
}

/// The gateway's own certificate and key.
struct Own {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl Own {
    fn load(settings: &Settings, provider: Arc<CryptoProvider>) -> Result<Self, GatewayError> {
        Ok(Self {
            chain: certificates(&settings.tls.certificate)?,
            key: PrivateKeyDer::from_pem_file(&settings.tls.key)
                .map_err(|error| file(&settings.tls.key, format!("no private key in PEM: {error}")))?,
            provider,
        })
    }

    fn client_config(&self, roots: RootCertStore) -> Result<ClientConfig, GatewayError> {
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(|reason| tls("clients", &reason))?
            .with_root_certificates(roots)
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .map_err(|reason| tls("clients", &reason))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    fn server_config(&self, verifier: Arc<dyn ClientCertVerifier>) -> Result<Arc<ServerConfig>, GatewayError> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(|reason| tls("listeners", &reason))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(|reason| tls("listeners", &reason))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Every connection proves itself anew: a resumed one would not see that a certificate has ended.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

fn verifier(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
    what: &str,
) -> Result<Arc<dyn ClientCertVerifier>, GatewayError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
    verifier.map(|verifier| verifier as Arc<dyn ClientCertVerifier>).map_err(|reason| tls(what, &reason))
}

fn authority(path: &Path) -> Result<RootCertStore, GatewayError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| file(path, format!("not a certificate authority: {error}")))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, GatewayError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| file(path, format!("no certificate in PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(file(path, "holds no certificate".to_owned()));
    }
    Ok(certificates)
}

/// A client that trusts what `config` trusts and goes straight to where it is sent. For a peer, the name in the URL
/// (and so the name that its certificate must have) is its domain, wherever its gateway is.
fn client(config: ClientConfig, peer: Option<&PeerSettings>) -> Result<Client, reqwest::Error> {
    let mut builder = Client::builder()
        .tls_backend_preconfigured(config)
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .pool_idle_timeout(Duration::from_mins(1));
    if let Some(peer) = peer {
        builder = builder.dns_resolver(Fixed { host: peer.host.clone(), port: peer.port });
    }
    builder.build()
}

/// Resolves every name to one host's addresses.
struct Fixed {
    host: String,
    port: u16,
}

impl Resolve for Fixed {
    fn resolve(&self, _: Name) -> Resolving {
        let (host, port) = (self.host.clone(), self.port);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn modified(files: &[PathBuf]) -> Vec<Option<SystemTime>> {
    files.iter().map(|path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok()).collect()
}

fn file(path: &Path, problem: String) -> GatewayError {
    GatewayError::File { path: path.to_owned(), problem }
}

fn tls(what: &str, reason: &impl ToString) -> GatewayError {
    GatewayError::Tls { what: what.to_owned(), reason: reason.to_string() }
}

/// The material in use. Connections made with an earlier one end when `replaced` is cancelled, so that a removed
/// authority or an old certificate does not live on in them.
#[derive(Clone)]
pub(crate) struct Current {
    inner: Arc<RwLock<(Arc<Material>, CancellationToken)>>,
    shutdown: CancellationToken,
}

impl Current {
    pub(crate) fn new(material: Material, shutdown: &CancellationToken) -> Self {
        let inner = Arc::new(RwLock::new((Arc::new(material), shutdown.child_token())));
        Self { inner, shutdown: shutdown.clone() }
    }

    pub(crate) fn get(&self) -> Arc<Material> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// The material, and what says that its connections have to end.
    pub(crate) fn for_connection(&self) -> (Arc<Material>, CancellationToken) {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, material: Material) {
        let new = (Arc::new(material), self.shutdown.child_token());
        let old = std::mem::replace(&mut *self.inner.write().unwrap_or_else(PoisonError::into_inner), new);
        old.1.cancel();
    }
}

/// Looks at the files again and again until `shutdown`. A file that cannot be used leaves everything as it was.
pub(crate) async fn reload(current: Current, every: Duration, shutdown: CancellationToken) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let material = current.get();
        if !material.is_stale() {
            continue;
        }
        match Material::load(material.settings.clone()) {
            Ok(new) => {
                failing = false;
                current.replace(new);
                tracing::info!("certificates loaded anew");
            }
            Err(error) if !failing => {
                failing = true;
                tracing::error!(%error, "changed certificates cannot be used; the earlier ones stay in use");
            }
            Err(_) => {}
        }
    }
}
