//! What is refused, by whom, and how it is told.

use sotto_wire::{ApiError, ErrorCode, limits::MAX_REQUEST};
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::{
    path::two_networks,
    pki::Authority,
    world::{Place, envelope, raw_peer, recipients},
};
use crate::carry::{self, Answer, Failure};

const HELLO: (&str, &[&str]) = ("alice@a.example", &["bob@b.example"]);

fn hello() -> Vec<u8> {
    recipients(HELLO.0, HELLO.1)
}

fn refused(answer: Result<Answer, Failure>) -> ApiError {
    match answer {
        Ok(Answer::Refused(error)) => error,
        Ok(Answer::Done(_)) => panic!("it was done"),
        Err(failure) => panic!("no answer: it {failure}"),
    }
}

#[tokio::test]
async fn a_refusal_of_the_other_relay_is_passed_on_as_it_is() {
    let dir = TempDir::new().unwrap();
    let (a, b) = two_networks(&dir).await;
    for code in [ErrorCode::RetentionRequired, ErrorCode::NotFound, ErrorCode::MailboxFull, ErrorCode::Internal] {
        let error = ApiError::new(code, "in the words of the other relay");
        *b.relay.refusal.lock().unwrap() = Some(error.clone());
        assert_eq!(a.post("b.example", "recipients", hello()).await.unwrap_err(), error);
    }
}

#[tokio::test]
async fn a_network_that_is_no_peer_is_refused_by_the_own_gateway() {
    let dir = TempDir::new().unwrap();
    let (a, b) = two_networks(&dir).await;
    let error = a.post("c.example", "recipients", recipients("alice@a.example", &["x@c.example"])).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::FederationDenied);
    assert!(error.message.contains("a.example does not federate with c.example"), "{error}");
    assert!(b.asked().is_empty());
}

#[tokio::test]
async fn a_network_that_the_other_side_does_not_list_is_told_why() {
    let dir = TempDir::new().unwrap();
    let a = Place::new(&dir, "a.example").await;
    let b = Place::new(&dir, "b.example").await;
    let (files, b_files) = (a.gateway_files(), b.gateway_files());
    let a = a.start(files, &[b.peer()]);
    let b = b.start(b_files, &[]);
    for (what, body) in [("recipients", hello()), ("envelopes", envelope("alice@a.example", "bob@b.example"))] {
        let error = a.post("b.example", what, body).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::FederationDenied);
        assert!(error.message.contains("b.example does not federate with a.example"), "{error}");
    }
    assert!(b.asked().is_empty());
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_does_not_get_in() {
    let dir = TempDir::new().unwrap();
    let place = Place::new(&dir, "b.example").await;
    let to = (place.name, place.peer().1);
    let a_authority = Authority::new(dir.path(), "a.example");
    let c_authority = Authority::new(dir.path(), "c.example");
    let files = place.gateway_files();
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let b = place.start(files, &[("a.example", nowhere, &a_authority), ("c.example", nowhere, &c_authority)]);

    // Of nobody's authority, and of another peer's authority: both claim to be a.
    let evil = Authority::new(dir.path(), "evil");
    for authority in [&evil, &c_authority] {
        let files = authority.issue("impostor", "gateway", &["a.example"]);
        let peer = raw_peer("a.example", files, (to.0, to.1, &b.authority));
        let answer = carry::post(&peer, "in/v1/recipients", hello().into()).await;
        assert!(matches!(answer, Err(Failure::Unwelcome | Failure::Unreachable)), "{:?}", answer.err());
    }
    // Of the right authority, but both peers' names at once.
    let files = a_authority.issue("both", "gateway", &["a.example", "c.example"]);
    let peer = raw_peer("a.example", files, (to.0, to.1, &b.authority));
    assert!(carry::post(&peer, "in/v1/recipients", hello().into()).await.is_err());
    // The right one gets in.
    let files = a_authority.issue("right", "gateway", &["a.example"]);
    let peer = raw_peer("a.example", files, (to.0, to.1, &b.authority));
    assert!(matches!(carry::post(&peer, "in/v1/recipients", hello().into()).await, Ok(Answer::Done(_))));
    assert_eq!(b.asked().len(), 1);
}

#[tokio::test]
async fn a_peer_speaks_for_its_own_users_only() {
    let dir = TempDir::new().unwrap();
    let (a, b) = two_networks(&dir).await;
    // The own gateway does not carry it …
    let body = recipients("mallory@c.example", &["bob@b.example"]);
    let error = a.post("b.example", "recipients", body.clone()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::FederationDenied);

    // … and the other does not take it from one that does.
    let place = Place::new(&dir, "d.example").await;
    let to = (place.name, place.peer().1);
    let files = place.gateway_files();
    let d = place.start(files, &[("b.example", to.1, &b.authority)]);
    let peer = raw_peer("b.example", b.authority.issue("b", "gateway", &["b.example"]), (to.0, to.1, &d.authority));
    for (path, body) in [
        ("in/v1/recipients", recipients("mallory@c.example", &["x@d.example"])),
        ("in/v1/envelopes", envelope("mallory@c.example", "x@d.example")),
    ] {
        let error = refused(carry::post(&peer, path, body.into()).await);
        assert_eq!(error.code, ErrorCode::FederationDenied);
        assert!(error.message.contains("b.example may speak for its own users only"), "{error}");
    }
    // Nor does it take what is for somebody else.
    let error =
        refused(carry::post(&peer, "in/v1/recipients", recipients("b@b.example", &["x@a.example"]).into()).await);
    assert_eq!(error.code, ErrorCode::Invalid);
    let body = envelope("b@b.example", "x@a.example");
    assert_eq!(refused(carry::post(&peer, "in/v1/envelopes", body.into()).await).code, ErrorCode::Invalid);
    assert!(d.asked().is_empty());
}

#[tokio::test]
async fn a_peer_that_is_down_or_is_somebody_else_can_be_tried_again() {
    let dir = TempDir::new().unwrap();
    let a = Place::new(&dir, "a.example").await;
    let b = Place::new(&dir, "b.example").await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = gone.local_addr().unwrap();
    drop(gone);
    let files = a.gateway_files();
    let (_, b_at, b_authority) = b.peer();
    // c is where b is, but b does not have c's certificate.
    let a = a.start(files, &[("b.example", nobody, b_authority), ("c.example", b_at, b_authority)]);
    let b_files = b.gateway_files();
    let _b = b.start(b_files, &[]);
    let error = a.post("b.example", "recipients", hello()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::PeerUnavailable);
    assert!(error.code.is_retryable());
    assert!(error.message.contains("b.example cannot be reached"), "{error}");
    let error = a.post("c.example", "recipients", recipients("alice@a.example", &["x@c.example"])).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::PeerUnavailable);
    assert!(error.message.contains("does not prove who it is"), "{error}");
}

#[tokio::test]
async fn only_the_relay_may_use_the_inner_listener() {
    let dir = TempDir::new().unwrap();
    let place = Place::new(&dir, "a.example").await;
    let relay_side = place.relay_side_address();
    let (files, operator) = (place.gateway_files(), place.authority.issue("operator", "operator", &["localhost"]));
    let stranger = Authority::new(dir.path(), "stranger").issue("stranger", "relay", &["localhost"]);
    let a = place.start(files, &[]);
    let to = ("localhost", relay_side, &a.authority);
    let error =
        refused(carry::post(&raw_peer("a.example", operator, to), "out/v1/b.example/recipients", hello().into()).await);
    assert_eq!(error.code, ErrorCode::Forbidden);
    assert!(error.message.contains("not `operator`"), "{error}");
    assert!(
        carry::post(&raw_peer("a.example", stranger, to), "out/v1/b.example/recipients", hello().into()).await.is_err()
    );
}

#[tokio::test]
async fn what_cannot_be_read_or_is_too_large_is_refused() {
    let dir = TempDir::new().unwrap();
    let (a, b) = two_networks(&dir).await;
    let error = a.post("b.example", "recipients", b"no cbor".to_vec()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
    assert!(error.message.contains("PeerRecipients cannot be read"), "{error}");
    let error = a.post("b.example", "envelopes", vec![0; MAX_REQUEST + 1]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::TooLarge);
    let error = a.post("b.example", "nonsense", vec![]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::NotFound);
    let error = a.post("not a domain", "recipients", hello()).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
    assert!(b.asked().is_empty());
}
