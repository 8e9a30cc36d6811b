//! Asking processes over plain HTTP, on their telemetry ports: their readiness, and what retention processes say of their record.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sotto_wire::status::RetentionState;

/// A process that does not answer in this time does not.
const PATIENCE: Duration = Duration::from_secs(2);
/// What a process says of itself is short.
const MOST: usize = 4096;

/// A client for that. With `to`, whatever the name, it asks there.
pub(crate) fn client(to: Option<(&str, SocketAddr)>) -> Result<reqwest::Client, reqwest::Error> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(no_tls())
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE);
    if let Some((host, address)) = to {
        builder = builder.resolve(host, address);
    }
    builder.build()
}

/// What a retention process says of its record; `None` where it says nothing, now or a moment later.
pub(crate) async fn retention(http: &reqwest::Client, url: &str) -> Option<RetentionState> {
    for _ in 0..2 {
        if let Some(state) = once(http, url).await {
            return Some(state);
        }
    }
    None
}

async fn once(http: &reqwest::Client, url: &str) -> Option<RetentionState> {
    let mut answer = http.get(url).send().await.ok().filter(|answer| answer.status().is_success())?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.ok()? {
        body.extend_from_slice(&chunk);
        if body.len() > MOST {
            return None;
        }
    }
    serde_json::from_slice(&body).ok()
}

/// Telemetry ports speak plain HTTP; a client without a root store asks no system for one.
fn no_tls() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    #[expect(
        clippy::expect_used,
        reason = "the provider supports the default versions; there is no input that could change it"
    )]
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs supports the default protocol versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Asks somebody who gives these answers, one after the other.
    async fn ask(answers: &'static [&'static str]) -> Option<RetentionState> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = vec![0; 1024];
                let n = stream.read(&mut asked).await.unwrap();
                assert!(asked[..n].starts_with(b"GET /status HTTP/1.1\r\n"));
                let head =
                    format!("HTTP/1.1 {}\r\nConnection: close\r\n\r\n", answer.replacen('|', "\r\nX: y\r\n\r\n", 1));
                stream.write_all(head.trim_end_matches("\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
            }
        });
        let http = client(Some(("keep-retention.chat.svc", address))).unwrap();
        retention(&http, &format!("http://keep-retention.chat.svc:{}/status", address.port())).await
    }

    #[tokio::test]
    async fn what_a_process_says_is_read_and_what_is_no_answer_is_asked_for_once_more() {
        const GOOD: &str = "200 OK|{\"missing\":3,\"missingSinceMs\":7}";
        let said = Some(RetentionState { missing: 3, missing_since_ms: Some(7) });
        assert_eq!(ask(&[GOOD]).await, said);
        assert_eq!(ask(&["503 Service Unavailable|not yet", GOOD]).await, said);
        assert_eq!(ask(&["200 OK|nonsense", "404 Not Found|"]).await, None);
        assert_eq!(ask(&[]).await, None);
    }
}
