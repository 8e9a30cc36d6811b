//! Starting, stopping, certificates, health.

use sotto_relay::{Options, Relay, RelayError};
use sotto_wire::ErrorCode;
use sotto_wire::api::NetworkInfo;
use tokio_util::sync::CancellationToken;

use crate::common::World;
use crate::common::http::Http;
use crate::common::person::Person;

#[tokio::test]
async fn stopping_closes_sockets_so_that_devices_connect_again() {
    let mut world = World::new().await;
    let bob = Person::ready(&world, "bob").await;
    let mut socket = bob.socket(&world).await;
    socket.caught_up().await;
    world.begin_stop();
    assert_eq!(socket.closed().await, 1001);
    world.stop().await;
}

#[tokio::test]
async fn it_is_ready_before_the_network_is_put_and_says_so() {
    let mut world = World::prepared("a.example");
    world.start().await;
    let health = Http::plain(world.health_address());
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(health.get(path).await.status, 200, "{path}");
    }
    world.public().get("/v1/network").await.refused(ErrorCode::Unavailable);
    world.put_network(world.network()).await;
    let _: NetworkInfo = world.public().get("/v1/network").await.ok();
    let metrics = String::from_utf8(health.get("/metrics").await.body).unwrap();
    assert!(metrics.contains("sotto_latency_seconds_count{operation=\"GetNetwork\"}"), "{metrics}");
    world.stop().await;
}

#[tokio::test]
async fn the_public_listener_speaks_tls() {
    let mut world = World::prepared("a.example");
    world.public_tls = true;
    world.start().await;
    world.put_network(world.network()).await;
    let https = Http::tls(world.public_address(), &world.authority);
    let _: NetworkInfo = https.get("/v1/network").await.ok();
    let plain = Http::plain(world.public_address());
    assert!(plain.request(reqwest::Method::GET, "/v1/network").send().await.is_err(), "no plain HTTP");
    // Somebody who opens a connection and says nothing holds nobody up.
    let silent = tokio::net::TcpStream::connect(world.public_address()).await.unwrap();
    let _: NetworkInfo = https.get("/v1/network").await.ok();
    drop(silent);
    world.stop().await;
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused_with_a_remedy() {
    let world = World::prepared("a.example");
    let refused = async |change: &dyn Fn(&mut sotto_wire::config::RelayConfig)| -> RelayError {
        let mut config = world.config();
        change(&mut config);
        match Relay::start(config, Options::default(), CancellationToken::new()).await {
            Ok(_) => panic!("it started"),
            Err(error) => error,
        }
    };
    assert!(refused(&|c| c.domain = "not a domain".into()).await.to_string().contains("domain"));
    assert!(refused(&|c| c.policy_key = vec![4; 10]).await.to_string().contains("policyKey"));
    assert!(refused(&|c| c.gateway = Some("http://x".into())).await.to_string().contains("gateway"));
    assert!(refused(&|c| c.secret = world.path("ca.key")).await.to_string().contains("ca.key"));
    assert!(refused(&|c| c.admin_tls.key = world.path("ca.pem")).await.to_string().contains("TLS"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    assert!(refused(&|c| c.listen = address).await.to_string().contains("listen"));

    let mut running = World::prepared("a.example");
    running.start().await;
    let Err(second) = Relay::start(running.config(), Options::default(), CancellationToken::new()).await else {
        panic!("two relays in one folder");
    };
    assert!(second.to_string().contains("another relay"), "{second}");
    running.stop().await;
}
