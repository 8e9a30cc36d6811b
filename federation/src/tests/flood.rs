//! Floods of connections over real sockets: each is limited to its author. Every address in 127.0.0.0/8 is a source of its own.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::TLS13,
};
use sotto_wire::{Source, config::MutualTlsFiles};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    pki::Authority,
    world::{Network, Place, raw_peer, recipients},
};
use crate::{
    carry::{self, Answer},
    slots::Limits,
};

/// Long lives, so that nobody goes but by being displaced.
const LONG: Limits = Limits {
    strangers: 16,
    strangers_a_source: 4,
    a_known_caller: 2,
    handshake: Duration::from_mins(10),
    stranger: Duration::from_mins(10),
};

/// A gateway of b.example that knows a.example and c.example, and what it takes to be a caller.
struct World {
    dir: TempDir,
    at: SocketAddr,
    b: Network,
    a: Authority,
    c: Authority,
}

impl World {
    async fn new(limits: Limits) -> Self {
        let dir = TempDir::new().unwrap();
        let place = Place::new(&dir, "b.example").await;
        let at = place.peer().1;
        let (a, c) = (Authority::new(dir.path(), "a.example"), Authority::new(dir.path(), "c.example"));
        let nowhere = "127.0.0.1:1".parse().unwrap();
        let files = place.gateway_files();
        let b = place.start_with(files, &[("a.example", nowhere, &a), ("c.example", nowhere, &c)], limits);
        Self { dir, at, b, a, c }
    }

    /// A certificate that proves nothing.
    fn stranger(&self) -> MutualTlsFiles {
        Authority::new(self.dir.path(), "evil").issue("evil", "gateway", &["evil.example"])
    }

    async fn tcp(&self, source: u8) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::new(127, 0, 0, source), 0).into()).unwrap();
        socket.connect(self.at).await.unwrap()
    }

    /// TLS that has shaken hands; an error when the gateway did not want to.
    async fn tls(&self, source: u8, files: &MutualTlsFiles) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.b.authority.file).unwrap()).unwrap();
        let chain = CertificateDer::pem_file_iter(&files.certificate).unwrap().map(Result::unwrap).collect();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&files.key).unwrap())
            .unwrap();
        let name = ServerName::try_from("b.example").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, self.tcp(source).await).await
    }

    /// What a peer's gateway asks, over a connection of its own.
    async fn asks(&self, domain: &str, authority: &Authority) {
        let files = authority.issue("peer", "gateway", &[domain]);
        let peer = raw_peer(domain, files, ("b.example", self.at, &self.b.authority));
        let body = recipients(&format!("alice@{domain}"), &["bob@b.example"]);
        let answer = timeout(Duration::from_secs(10), carry::post(&peer, "in/v1/recipients", body.into())).await;
        assert!(matches!(answer, Ok(Ok(Answer::Done(_)))), "{domain} is carried");
    }
}

/// Whether the other side still holds this connection.
async fn is_open(stream: &mut (impl AsyncRead + Unpin)) -> bool {
    timeout(Duration::from_millis(50), stream.read_u8()).await.is_err()
}

#[tokio::test]
async fn idle_strangers_fill_their_own_slots_and_peers_get_in() {
    let world = World::new(LONG).await;
    let files = world.stranger();
    let mut strangers = Vec::new();
    for source in 2..10 {
        for _ in 0..8 {
            strangers.push((source, world.tls(source, &files).await.unwrap()));
        }
    }
    // And some who say nothing at all.
    let mut silent = Vec::new();
    for source in 10..14 {
        silent.push(world.tcp(source).await);
    }
    world.asks("a.example", &world.a).await;
    world.asks("c.example", &world.c).await;

    let mut open: Vec<Source> = Vec::new();
    for (source, stream) in &mut strangers {
        if is_open(stream).await {
            open.push(Source::from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, *source))));
        }
    }
    for source in &open {
        assert!(open.iter().filter(|other| *other == source).count() <= LONG.strangers_a_source, "{source}");
    }
    let mut waiting = 0;
    for stream in &mut silent {
        waiting += usize::from(is_open(stream).await);
    }
    assert_eq!(waiting, silent.len(), "who has not shown a certificate may still be a peer");
    assert!(!open.is_empty() && open.len() + waiting <= LONG.strangers, "{} strangers", open.len());
}

#[tokio::test]
async fn peers_get_in_while_strangers_come_without_end() {
    let world = Arc::new(World::new(LONG).await);
    let files = world.stranger();
    let mut flood = JoinSet::new();
    for source in 2..12 {
        let (world, files) = (Arc::clone(&world), files.clone());
        flood.spawn(async move {
            let mut held = Vec::new();
            loop {
                // A handshake may be the one that has to go.
                held.extend(world.tls(source, &files).await);
                let silent = world.tcp(source).await;
                sleep(Duration::from_millis(1)).await;
                drop(silent);
                // Within the file handles of a test.
                if held.len() > LONG.strangers_a_source {
                    held.remove(0);
                }
            }
        });
    }
    for _ in 0..10 {
        world.asks("a.example", &world.a).await;
    }
    world.asks("c.example", &world.c).await;
    assert_eq!(world.b.asked().len(), 11);
    flood.abort_all();
}

#[tokio::test]
async fn strangers_are_let_go_soon_and_an_idle_peer_is_not() {
    let short = Duration::from_millis(400);
    let world = World::new(Limits { handshake: short, stranger: short, ..LONG }).await;
    let files = world.a.issue("peer", "gateway", &["a.example"]);
    let mut peer = world.tls(3, &files).await.unwrap();
    let began = Instant::now();
    let mut silent = world.tcp(2).await;
    let mut stranger = world.tls(2, &world.stranger()).await.unwrap();
    for (what, ended) in [
        ("a handshake that does not come", timeout(Duration::from_secs(5), silent.read_u8()).await),
        ("a stranger who is idle", timeout(Duration::from_secs(5), stranger.read_u8()).await),
    ] {
        assert!(ended.is_ok_and(|ended| ended.is_err()), "{what}");
    }
    assert!(began.elapsed() >= short, "not at once either: a stranger is told why");
    peer.write_all(b"GET /in/v1/nothing HTTP/1.1\r\nHost: b.example\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    timeout(Duration::from_secs(5), peer.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 404");
}

#[tokio::test]
async fn a_stranger_is_told_why_within_its_time() {
    let world = World::new(Limits::USUAL).await;
    let mut stranger = world.tls(2, &world.stranger()).await.unwrap();
    stranger.write_all(b"GET /in/v1/recipients HTTP/1.1\r\nHost: b.example\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // It is closed after that, though it asks for nothing of the kind.
    let began = Instant::now();
    let _ = timeout(Duration::from_secs(9), stranger.read_to_end(&mut answer)).await.expect("closed");
    assert!(began.elapsed() <= Limits::USUAL.stranger + Duration::from_secs(2));
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains("b.example does not federate with evil.example"), "{answer}");
}

#[tokio::test]
async fn a_peer_that_floods_takes_its_own_slots_only() {
    let world = World::new(LONG).await;
    let files = world.a.issue("flood", "gateway", &["a.example"]);
    let mut held = Vec::new();
    for _ in 0..LONG.a_known_caller {
        held.push(world.tls(3, &files).await.unwrap());
    }
    let mut refused = world.tls(3, &files).await.unwrap();
    assert!(timeout(Duration::from_secs(5), refused.read_u8()).await.expect("it is closed").is_err());
    world.asks("c.example", &world.c).await;
    for stream in &mut held {
        assert!(is_open(stream).await);
    }
    held.pop();
    sleep(Duration::from_millis(100)).await;
    world.asks("a.example", &world.a).await;
}
