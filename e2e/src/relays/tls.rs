//! The certificates of all relays, from their Secrets.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::watch;

use super::{All, Id};

/// How long a caller waits for a certificate that is on its way.
const PATIENCE: Duration = Duration::from_secs(5);
/// The Secrets of networks, and not the invites of users.
const LABELS: &str = "app.kubernetes.io/managed-by=sotto-operator,sotto.dev/component=keys";

#[derive(Debug)]
pub(super) struct Certificates {
    known: RwLock<HashMap<Id, Arc<ServerConfig>>>,
    changes: watch::Sender<u64>,
}

impl Default for Certificates {
    fn default() -> Self {
        Self { known: RwLock::default(), changes: watch::channel(0).0 }
    }
}

impl Certificates {
    /// For a handshake with the relay `id`; waits a little when the watch has not brought it yet.
    pub(super) async fn get(&self, id: &Id) -> Option<Arc<ServerConfig>> {
        let mut changes = self.changes.subscribe();
        let find = |_: &u64| self.known.read().unwrap_or_else(PoisonError::into_inner).contains_key(id);
        let _ = tokio::time::timeout(PATIENCE, changes.wait_for(find)).await;
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn put(&self, id: Id, config: Option<Arc<ServerConfig>>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match config {
            Some(config) => known.insert(id, config),
            None => known.remove(&id),
        };
        drop(known);
        self.changes.send_modify(|n| *n += 1);
    }
}

/// Keeps the certificates current, for as long as the stand-in lives.
pub(super) async fn follow(client: Client, all: Arc<All>) {
    let config = watcher::Config::default().labels(LABELS);
    let mut stream = std::pin::pin!(watcher(Api::<Secret>::all(client), config));
    while let Some(event) = stream.next().await {
        match event {
            Ok(Event::Apply(secret) | Event::InitApply(secret)) => {
                if let Some(id) = id(&secret) {
                    let config = config_of(&secret);
                    if config.is_none() {
                        eprintln!("relays: {id:?}: its certificate cannot be used");
                    }
                    all.certificates.put(id, config.map(Arc::new));
                }
            }
            // A relay keeps the certificate that it has read; but a network that is gone has no relay.
            Ok(Event::Delete(secret)) => {
                if let Some(id) = id(&secret) {
                    all.certificates.put(id, None);
                }
            }
            Ok(Event::Init | Event::InitDone) => {}
            // It lists anew by itself; the API server may be away because a test wants it so.
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

fn id(secret: &Secret) -> Option<Id> {
    let name = secret.metadata.name.as_deref()?;
    Some(Id::new(&secret.namespace()?, name.strip_suffix("-relay-tls")?))
}

fn config_of(secret: &Secret) -> Option<ServerConfig> {
    let data = secret.data.as_ref()?;
    let pem = |key: &str| data.get(key).map(|bytes| bytes.0.as_slice());
    let certificates = |pem| CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().ok();
    let mut roots = RootCertStore::empty();
    for root in certificates(pem("ca.crt")?)? {
        roots.add(root).ok()?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().ok()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(pem("tls.crt")?)?, PrivateKeyDer::from_pem_slice(pem("tls.key")?).ok()?)
        .ok()?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Some(config)
}

/// Whether the common name of the caller's certificate is the operator's.
pub(super) fn is_operator(certificate: &CertificateDer<'_>) -> bool {
    x509_parser::parse_x509_certificate(certificate).is_ok_and(|(_, certificate)| {
        let names: Vec<&str> =
            certificate.subject().iter_common_name().map(|name| name.as_str().unwrap_or_default()).collect();
        names == ["operator"]
    })
}
