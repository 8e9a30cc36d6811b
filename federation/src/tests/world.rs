//! Networks to test with: gateway, fake relay, and messages between their users.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::Request,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use rustls::{ServerConfig, pki_types::CertificateDer};
use sotto_crypto::{
    Address, DeviceCertificate, DeviceId, DeviceKey, Domain, IdentityKey, MessageId, PrekeyKind, Sender, Signed,
    SystemRng, encode, generate_prekeys, seal, verify_device,
};
use sotto_telemetry::Readiness;
use sotto_wire::{
    ApiError, CBOR,
    api::Envelope,
    config::MutualTlsFiles,
    gateway::{PeerEnvelope, PeerIdentities, PeerRecipients},
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::pki::Authority;
use crate::{
    carry::{self, Answer, Failure},
    listen::{self, Welcome},
    serve,
    settings::{PeerSettings, Settings},
    slots::Limits,
    tls::{Current, Material, Upstream},
    verifier::common_name,
};

pub(super) fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

pub(super) fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub(super) fn settings(
    name: &str,
    tls: MutualTlsFiles,
    relay: SocketAddr,
    peers: &[(&str, SocketAddr, &Authority)],
) -> Settings {
    let peers: BTreeMap<_, _> = peers
        .iter()
        .map(|(name, at, authority)| {
            let peer = PeerSettings { host: at.ip().to_string(), port: at.port(), authority: authority.file.clone() };
            (domain(name), peer)
        })
        .collect();
    Settings {
        domain: domain(name),
        tls,
        relay: format!("https://localhost:{}/", relay.port()).parse().unwrap(),
        peers,
    }
}

/// What a fake relay was asked, and what it answers.
#[derive(Clone, Default)]
pub(super) struct FakeRelay {
    pub(super) asked: Arc<Mutex<Vec<(String, Bytes)>>>,
    pub(super) refusal: Arc<Mutex<Option<ApiError>>>,
    pub(super) blob: Bytes,
}

impl FakeRelay {
    async fn answer(self, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
        self.asked.lock().unwrap().push((path.clone(), body));
        if let Some(error) = self.refusal.lock().unwrap().clone() {
            return (StatusCode::from_u16(error.code.status()).unwrap(), Json(error)).into_response();
        }
        if path.contains("/blobs/") {
            return ([(header::CONTENT_TYPE, "application/octet-stream")], Body::from(self.blob)).into_response();
        }
        ([(header::CONTENT_TYPE, CBOR)], format!("answer to {path}")).into_response()
    }
}

/// The relay's admin listener: mutual TLS, caller `gateway`.
impl listen::Side for FakeRelay {
    fn tls(&self, material: &Material) -> Arc<ServerConfig> {
        material.relay_side.clone()
    }

    fn welcome(&self, _: Arc<Material>, certificate: &CertificateDer<'_>) -> Welcome {
        let known = common_name(certificate);
        assert_eq!(known.as_deref(), Some("gateway"));
        let relay = self.clone();
        let router = Router::new().fallback(move |request: Request| relay.clone().answer(request));
        Welcome { known, router }
    }
}

/// A network's addresses before anything listens there, so that networks can name each other.
pub(super) struct Place {
    pub(super) name: &'static str,
    pub(super) authority: Authority,
    relay: TcpListener,
    relay_side: TcpListener,
    peer_side: TcpListener,
}

impl Place {
    pub(super) async fn new(dir: &TempDir, name: &'static str) -> Self {
        let bind = || TcpListener::bind("127.0.0.1:0");
        Self {
            name,
            authority: Authority::new(dir.path(), name),
            relay: bind().await.unwrap(),
            relay_side: bind().await.unwrap(),
            peer_side: bind().await.unwrap(),
        }
    }

    pub(super) fn peer(&self) -> (&'static str, SocketAddr, &Authority) {
        (self.name, self.peer_side.local_addr().unwrap(), &self.authority)
    }

    pub(super) fn relay_side_address(&self) -> SocketAddr {
        self.relay_side.local_addr().unwrap()
    }

    /// The gateway's certificate.
    pub(super) fn gateway_files(&self) -> MutualTlsFiles {
        self.authority.issue(&format!("{}-gateway", self.name), "gateway", &[self.name, "localhost"])
    }

    /// Starts gateway and relay.
    pub(super) fn start(self, tls: MutualTlsFiles, peers: &[(&str, SocketAddr, &Authority)]) -> Network {
        self.start_with(tls, peers, Limits::USUAL)
    }

    /// The same, with other limits of the gateway's connections.
    pub(super) fn start_with(
        self,
        tls: MutualTlsFiles,
        peers: &[(&str, SocketAddr, &Authority)],
        limits: Limits,
    ) -> Network {
        let relay_at = self.relay.local_addr().unwrap();
        let out_at = self.relay_side.local_addr().unwrap();
        let shutdown = CancellationToken::new();

        let relay_files = self.authority.issue(&format!("{}-relay", self.name), "relay", &["localhost"]);
        // As a client of its gateway, a relay needs the same as a gateway needs towards its relay.
        let relay_material = Material::load(Arc::new(settings(self.name, relay_files, out_at, &[]))).unwrap();
        let relay_material = Current::new(relay_material, &shutdown);
        let relay = FakeRelay { blob: Bytes::from(vec![7u8; 3_000_000]), ..FakeRelay::default() };
        tokio::spawn(listen::serve(self.relay, relay_material.clone(), relay.clone(), Limits::USUAL, shutdown.clone()));

        let settings = settings(self.name, tls, relay_at, peers);
        let stop = shutdown.clone();
        tokio::spawn(async move {
            let readiness = Readiness::new();
            let every = Duration::from_millis(20);
            serve(settings, self.relay_side, self.peer_side, every, limits, &readiness, stop).await.unwrap();
        });
        Network { authority: self.authority, relay, relay_material, _running: shutdown.drop_guard() }
    }
}

/// A running network.
pub(super) struct Network {
    pub(super) authority: Authority,
    pub(super) relay: FakeRelay,
    relay_material: Current,
    _running: DropGuard,
}

impl Network {
    /// What its relay asks its gateway.
    pub(super) async fn post(&self, to: &str, what: &str, body: Vec<u8>) -> Result<String, ApiError> {
        text(carry::post(&self.relay_material.get().relay, &format!("out/v1/{to}/{what}"), body.into()).await).await
    }

    /// The same, over a connection of its own.
    pub(super) async fn post_anew(&self, to: &str, what: &str, body: Vec<u8>) -> Result<String, ApiError> {
        let material = Material::load(Arc::new(self.relay_material.get().settings().clone())).unwrap();
        text(carry::post(&material.relay, &format!("out/v1/{to}/{what}"), body.into()).await).await
    }

    pub(super) async fn blob(&self, to: &str, blob: &str) -> Result<usize, ApiError> {
        let answer = carry::get_blob(&self.relay_material.get().relay, &format!("out/v1/{to}/blobs/{blob}")).await;
        text(answer).await.map(|body| body.len())
    }

    pub(super) fn asked(&self) -> Vec<(String, Bytes)> {
        self.relay.asked.lock().unwrap().clone()
    }
}

async fn text(answer: Result<Answer, Failure>) -> Result<String, ApiError> {
    match answer.expect("the gateway answers its relay") {
        Answer::Done(response) => {
            let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            Ok(String::from_utf8(bytes.to_vec()).unwrap())
        }
        Answer::Refused(error) => Err(error),
    }
}

/// A peer that is not one of our gateways, with any certificate.
pub(super) fn raw_peer(as_domain: &str, tls: MutualTlsFiles, to: (&str, SocketAddr, &Authority)) -> Upstream {
    let anywhere = "127.0.0.1:1".parse().unwrap();
    let mut material = Material::load(Arc::new(settings(as_domain, tls, anywhere, &[to]))).unwrap();
    material.peers.remove(&domain(to.0)).unwrap()
}

pub(super) fn recipients(from: &str, to: &[&str]) -> Vec<u8> {
    encode(&PeerRecipients { from: address(from), addresses: to.iter().map(|to| address(to)).collect() })
}

pub(super) fn identities(from: &str, to: &[&str]) -> Vec<u8> {
    encode(&PeerIdentities { from: address(from), addresses: to.iter().map(|to| address(to)).collect() })
}

/// A real sealed message.
pub(super) fn envelope(from: &str, to: &str) -> Vec<u8> {
    let rng = &mut SystemRng;
    let now = 1_800_000_000_000;
    let (from, to) = (address(from), address(to));
    let identity = IdentityKey::generate(rng);
    let key = DeviceKey::generate(rng);
    let device = DeviceId::generate(rng);
    let certificate = |address: &Address| {
        Signed::sign(&DeviceCertificate::new(address.clone(), device, key.verifying_key(), now), &identity)
    };
    let (batch, _) = generate_prekeys(rng, &key, device, PrekeyKind::OneTime, 1, now, now + 1_000_000);
    let recipient = verify_device(&identity.verifying_key(), &certificate(&to)).unwrap();
    let recipient = recipient.with_prekey(&batch.prekey(0).unwrap(), now).unwrap();
    let sender = Sender {
        address: &from,
        device,
        key: &key,
        identity: &identity.verifying_key(),
        certificate: &certificate(&from),
    };
    let message = MessageId::generate(rng);
    let sealed = seal(rng, &sender, message, b"hello", &[recipient]).unwrap();
    let envelope =
        Envelope { header: encode(&sealed.header), body: sealed.body, wraps: sealed.wraps, expires_in_s: None };
    encode(&PeerEnvelope { envelope })
}
