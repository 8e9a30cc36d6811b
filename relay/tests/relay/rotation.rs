//! Certificates change under open connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use sotto_wire::api::NetworkInfo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::common::World;
use crate::common::http::Http;
use crate::common::person::Person;

/// The relay looks at its files every ten seconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// The certificate that a listener shows to a new connection, which it does not refuse.
async fn shown(address: SocketAddr, config: ClientConfig) -> Vec<u8> {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.expect("a handshake");
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn certificates_change_without_a_refused_or_a_dropped_connection() {
    let mut world = World::prepared("a.example");
    world.public_tls = true;
    world.start().await;
    world.put_network(world.network()).await;
    world.put_group(world.group("staff")).await;
    let (alice, bob) = (Person::ready(&world, "alice").await, Person::ready(&world, "bob").await);
    let mut socket = bob.socket(&world).await;
    socket.caught_up().await;
    // Two callers of the admin interface that keep their connection, with the certificates that they have now.
    let (old_operator, old_gateway) = (world.authority.issue("operator"), world.authority.issue("gateway"));
    let kept = Http::mutual(world.admin_address(), &world.authority, Some(&old_operator));
    kept.get("/admin/v1/state").await;

    let public = || shown(world.public_address(), world.authority.client(None));
    let admin = || shown(world.admin_address(), world.authority.client(Some(&old_gateway)));
    let before = (public().await, admin().await);
    assert!(before.0 == before.1, "one certificate for both");
    world.authority.issue("relay").write(world.folder.path(), "relay");
    let begin = Instant::now();
    let (mut calls, mut messages) = (0, 0);
    loop {
        // Who comes now is let in, whichever certificate is shown: clients, the operator with its old certificate and a new one.
        let now = (public().await, admin().await);
        let _: NetworkInfo = world.public().get("/v1/network").await.ok();
        let old = Http::mutual(world.admin_address(), &world.authority, Some(&old_operator));
        for operator in [&old, &world.admin(), &kept] {
            assert_eq!(operator.get("/admin/v1/state").await.status, 200);
        }
        calls += 6;
        // And who is there stays: the socket that was opened before delivers.
        if messages == calls / 60 {
            alice.send(&world, &format!("message {messages}"), &[&bob.address]).await;
            let delivery = socket.delivery().await;
            assert_eq!(bob.open(&delivery), format!("message {messages}"));
            socket.ack(&[delivery.seq]).await;
            messages += 1;
        }
        if now.0 != before.0 && now.1 != before.1 {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "the certificates were not taken up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    alice.send(&world, "afterwards", &[&bob.address]).await;
    assert_eq!(bob.open(&socket.delivery().await), "afterwards");
    assert_eq!(kept.get("/admin/v1/state").await.status, 200);
    assert!(calls > 6 && messages > 0, "{calls} calls, {messages} messages while the certificates changed");
    world.stop().await;
}
