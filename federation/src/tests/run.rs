//! The gateway as its command starts it.

use std::{net::SocketAddr, path::Path, time::Duration};

use sotto_wire::config::{GatewayConfig, MutualTlsFiles, PeerConfig, TelemetryConfig};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use super::pki::Authority;

async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

async fn config(tls: MutualTlsFiles, peer_authority: &Path) -> GatewayConfig {
    let peer = PeerConfig {
        domain: "b.example".into(),
        url: "https://127.0.0.1:1".into(),
        authority: peer_authority.to_owned(),
    };
    GatewayConfig {
        domain: "a.example".into(),
        listen: free_address().await,
        peer_listen: free_address().await,
        tls,
        relay: "https://localhost:1".into(),
        peers: vec![peer],
        telemetry: TelemetryConfig { listen: free_address().await, cloud_watch: None },
    }
}

async fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

#[tokio::test]
async fn it_becomes_ready_and_ends_when_told() {
    let dir = TempDir::new().unwrap();
    let authority = Authority::new(dir.path(), "a.example");
    let config = config(authority.issue("gateway", "gateway", &["a.example"]), &authority.file).await;
    let (health, relay_side) = (config.telemetry.listen, config.listen);
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(crate::run(config, shutdown.clone()));
    tokio::time::timeout(Duration::from_secs(20), async {
        while !get(health, "/readyz").await.is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("it becomes ready");
    assert!(get(health, "/metrics").await.unwrap().contains("sotto_federation_denied_total"));
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(20), running).await.expect("it ends").unwrap().unwrap();
    assert!(TcpStream::connect(relay_side).await.is_err());
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let dir = TempDir::new().unwrap();
    let authority = Authority::new(dir.path(), "a.example");
    let files = authority.issue("gateway", "gateway", &["a.example"]);
    let error = |config| async { crate::run(config, CancellationToken::new()).await.unwrap_err().to_string() };

    let missing = dir.path().join("b.pem");
    let message = error(config(files.clone(), &missing).await).await;
    assert!(message.contains("b.pem: no certificate in PEM"), "{message}");

    std::fs::write(&missing, "").unwrap();
    let message = error(config(files.clone(), &missing).await).await;
    assert!(message.contains("b.pem: holds no certificate"), "{message}");

    let other = authority.issue("other", "gateway", &["a.example"]);
    let mixed = MutualTlsFiles { key: other.key, ..files.clone() };
    let message = error(config(mixed, &authority.file).await).await;
    assert!(message.contains("TLS cannot be set up"), "{message}");

    let mut taken = config(files, &authority.file).await;
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    taken.peer_listen = holder.local_addr().unwrap();
    let message = error(taken).await;
    assert!(message.contains("peerListen: cannot listen on"), "{message}");
}
