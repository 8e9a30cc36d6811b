//! What is carried, and what happens to certificates on the way.

use std::time::Duration;

use sotto_wire::{ApiError, ErrorCode};
use tempfile::TempDir;

use super::{
    pki::Authority,
    world::{Network, Place, envelope, identities, recipients},
};

pub(super) async fn two_networks(dir: &TempDir) -> (Network, Network) {
    let a = Place::new(dir, "a.example").await;
    let b = Place::new(dir, "b.example").await;
    let (a_files, b_files) = (a.gateway_files(), b.gateway_files());
    let (a_name, a_at, _) = a.peer();
    let a = a.start(a_files, &[b.peer()]);
    let b = b.start(b_files, &[(a_name, a_at, &a.authority)]);
    (a, b)
}

#[tokio::test]
async fn requests_reach_the_other_relay_unchanged() {
    let dir = TempDir::new().unwrap();
    let (a, b) = two_networks(&dir).await;
    let bodies = [
        ("recipients", recipients("alice@a.example", &["bob@b.example", "carol@b.example"])),
        ("identities", identities("alice@a.example", &["bob@b.example"])),
        ("envelopes", envelope("alice@a.example", "bob@b.example")),
    ];
    for (what, body) in &bodies {
        let answer = a.post("b.example", what, body.clone()).await.unwrap();
        assert_eq!(answer, format!("answer to /peer/v1/a.example/{what}"));
    }
    let carried: Vec<Vec<u8>> = b.asked().into_iter().map(|(_, body)| body.to_vec()).collect();
    assert_eq!(carried, bodies.map(|(_, body)| body));
    assert!(a.asked().is_empty());
    // And the other way.
    b.post("a.example", "recipients", recipients("bob@b.example", &["alice@a.example"])).await.unwrap();
    assert_eq!(a.asked()[0].0, "/peer/v1/b.example/recipients");
}

#[tokio::test]
async fn blobs_are_carried() {
    let dir = TempDir::new().unwrap();
    let (a, b) = two_networks(&dir).await;
    let blob = "00112233445566778899aabbccddeeff";
    assert_eq!(a.blob("b.example", blob).await.unwrap(), 3_000_000);
    assert_eq!(b.asked()[0].0, format!("/peer/v1/a.example/blobs/{blob}"));
    let error = a.blob("b.example", "..%2F..%2Fadmin").await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
    *b.relay.refusal.lock().unwrap() = Some(ApiError::new(ErrorCode::NotFound, "no such blob"));
    assert_eq!(a.blob("b.example", blob).await.unwrap_err(), ApiError::new(ErrorCode::NotFound, "no such blob"));
}

#[tokio::test]
async fn changed_certificates_are_taken_up_without_a_restart() {
    let dir = TempDir::new().unwrap();
    let (a, b) = two_networks(&dir).await;
    let body = recipients("alice@a.example", &["bob@b.example"]);
    a.post("b.example", "recipients", body.clone()).await.unwrap();

    // Network a gets a new authority: same files, new content. Its relay too (a fake one, so it keeps the old one and
    // asks b instead).
    let renewed = Authority::new(dir.path(), "a.example");
    renewed.issue("a.example-gateway", "gateway", &["a.example", "localhost"]);
    let back = recipients("bob@b.example", &["alice@a.example"]);
    // b's gateway sees the new authority for a, a's gateway shows a certificate of it; only then does it say that its
    // own relay (which still has the old authority) is out of reach.
    tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            match b.post("a.example", "recipients", back.clone()).await {
                Err(error) if error.code == ErrorCode::Unavailable => break,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    })
    .await
    .expect("the new certificates are used");
}

#[tokio::test]
async fn a_connection_made_while_certificates_change_is_answered() {
    let dir = TempDir::new().unwrap();
    let (a, _b) = two_networks(&dir).await;
    let body = recipients("alice@a.example", &["bob@b.example"]);
    let done = tokio_util::sync::CancellationToken::new();
    // Changed faster than a handshake is done.
    let file = dir.path().join("a.example-gateway.pem");
    let stop = done.clone();
    let changing = tokio::task::spawn_blocking(move || {
        while !stop.is_cancelled() {
            let file = std::fs::File::options().append(true).open(&file).unwrap();
            file.set_modified(std::time::SystemTime::now()).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let mut calls = tokio::task::JoinSet::new();
    let a = std::sync::Arc::new(a);
    for _ in 0..200 {
        // A new client each, so that none finds a connection in its pool.
        let (a, body) = (a.clone(), body.clone());
        calls.spawn(async move { a.post_anew("b.example", "recipients", body).await.unwrap() });
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let answered = calls.join_all().await;
    done.cancel();
    changing.await.unwrap();
    assert_eq!(answered.len(), 200);
}
