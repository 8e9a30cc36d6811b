use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws_sdk_s3::config::Credentials;
use aws_sdk_s3::config::SharedCredentialsProvider;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

use super::*;
use crate::destination::Spooled;
use crate::name::Names;
use crate::testing::text;

/// What came.
#[derive(Clone)]
pub(crate) struct Put {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// A little object store on the loopback interface: says what it is told to say, then 200.
#[derive(Clone, Default)]
pub(crate) struct Store {
    pub(crate) puts: Arc<Mutex<Vec<Put>>>,
    pub(crate) answers: Arc<Mutex<VecDeque<(u16, &'static str)>>>,
}

impl Store {
    pub(crate) async fn start(answers: &[(u16, &'static str)]) -> (Self, String) {
        let store = Self::default();
        store.answers.lock().unwrap().extend(answers);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(store.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (store, url)
    }
}

async fn answer(State(store): State<Store>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    assert_eq!(head.method, "PUT");
    let body = axum::body::to_bytes(body, 1 << 24).await.unwrap().to_vec();
    store.puts.lock().unwrap().push(Put { path: head.uri.path().to_owned(), headers: head.headers, body });
    match store.answers.lock().unwrap().pop_front() {
        None => ([("etag", "\"1\"")], "").into_response(),
        Some((status, code)) => {
            let xml =
                format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no, says {code}</Message></Error>");
            (StatusCode::from_u16(status).unwrap(), xml).into_response()
        }
    }
}

pub(crate) fn s3(endpoint: &str, kms_key: Option<&str>, spool: &Path) -> S3 {
    let credentials = Credentials::new("key", "secret", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    let target = Bucket {
        name: "records".into(),
        prefix: "acme/keep".into(),
        kms_key: kms_key.map(str::to_owned),
        spool: spool.to_owned(),
    };
    S3::with_config(target, &config, true)
}

fn json(content: &'static str) -> Object {
    Object::Bytes { bytes: Bytes::from_static(content.as_bytes()), media_type: "application/json" }
}

#[tokio::test]
async fn an_object_is_put_under_prefix_and_name() {
    let dir = tempfile::tempdir().unwrap();
    let (store, url) = Store::start(&[]).await;
    let names = Names::of(&text("x"));
    let s3 = s3(&url, Some("arn:aws:kms:eu-central-1:1:key/k"), &dir.path().join("spool"));
    s3.store(&names.record, json("{\"message\":\"hello\"}\n")).await.unwrap();
    let spooled = Spooled::new(s3.spool()).unwrap();
    std::fs::write(spooled.path(), vec![b'x'; 200_000]).unwrap();
    s3.store(&names.attachment, Object::File(spooled.path().to_owned())).await.unwrap();

    let puts = store.puts.lock().unwrap().clone();
    assert_eq!(puts[0].path, format!("/records/acme/keep/{}", names.record.as_str()));
    assert_eq!(puts[0].body, b"{\"message\":\"hello\"}\n");
    assert_eq!(puts[0].headers["content-type"], "application/json");
    assert_eq!(puts[0].headers["x-amz-server-side-encryption"], "aws:kms");
    assert_eq!(puts[0].headers["x-amz-server-side-encryption-aws-kms-key-id"], "arn:aws:kms:eu-central-1:1:key/k");
    assert_eq!(puts[1].path, format!("/records/acme/keep/{}", names.attachment.as_str()));
    assert_eq!(
        (puts[1].body.len(), &puts[1].headers["content-type"]),
        (200_000, &"application/octet-stream".parse().unwrap())
    );
    // Without a key, the bucket's own setting counts.
    let plain = super::tests::s3(&url, None, dir.path());
    plain.store(&names.record, json("{}")).await.unwrap();
    assert!(!store.puts.lock().unwrap()[2].headers.contains_key("x-amz-server-side-encryption"));
}

#[tokio::test]
async fn failures_are_told_with_their_remedy_and_without_content() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [
        (503, "SlowDown", "tried again"),
        (404, "NoSuchBucket", "create the bucket"),
        (403, "AccessDenied", "s3:PutObject"),
        (400, "KMS.DisabledException", "KMS key is enabled"),
        (403, "ExpiredToken", "credentials"),
    ];
    let (store, url) = Store::start(&cases.map(|(status, code, _)| (status, code))).await;
    let s3 = s3(&url, None, dir.path());
    let names = Names::of(&text("x"));
    for (_, code, remedy) in cases {
        let error = s3.store(&names.record, json("a secret text")).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot write to s3://records: {code}: no, says")), "{error}");
        assert!(error.contains(remedy) && !error.contains("secret text"), "{error}");
    }
    assert_eq!(store.puts.lock().unwrap().len(), cases.len(), "one attempt each");
    s3.store(&names.record, json("a secret text")).await.unwrap();
}

#[tokio::test]
async fn an_absent_endpoint_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let s3 = s3(&url, None, dir.path());
    let error = s3.store(&Names::of(&text("x")).record, json("{}")).await.unwrap_err().to_string();
    assert!(error.contains("can be reached"), "{error}");
}

#[test]
fn a_body_does_not_show_its_content() {
    let shown = format!("{:?}", hidden(Bytes::from_static(b"a secret text")));
    assert!(!shown.contains("secret") && !shown.contains("97, 32"), "{shown}");
}

#[test]
fn without_a_prefix_there_is_no_slash() {
    let target = Bucket { name: "b".into(), prefix: String::new(), kms_key: None, spool: "s".into() };
    let config = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build();
    let name = Names::of(&text("x")).record;
    assert_eq!(S3::with_config(target, &config, false).key(&name), name.as_str());
}
