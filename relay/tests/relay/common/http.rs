//! Requests and what came back.

use std::net::{IpAddr, SocketAddr};

use http::HeaderName;
use minicbor::{Decode, Encode};
use reqwest::{Client, Method, RequestBuilder};
use sotto_crypto::{decode_strict, encode};
use sotto_wire::{ApiError, CBOR, ErrorCode};

use super::authority::{Authority, Issued};

pub(crate) struct Http {
    pub(crate) base: String,
    client: Client,
    token: Option<String>,
    /// What a socket needs beside.
    pub(crate) tls: Option<rustls::ClientConfig>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Http {
    pub(crate) fn plain(address: SocketAddr) -> Self {
        // Plain HTTP only: the authority is there because a client must have some.
        Self::new(format!("http://{address}"), Authority::new().client(None))
    }

    pub(crate) fn tls(address: SocketAddr, authority: &Authority) -> Self {
        Self::new(format!("https://{address}"), authority.client(None))
    }

    pub(crate) fn mutual(address: SocketAddr, authority: &Authority, issued: Option<&Issued>) -> Self {
        Self::new(format!("https://{address}"), authority.client(issued))
    }

    /// Plain HTTP from an address of this machine, or behind a proxy that says so.
    pub(crate) fn from(address: SocketAddr, local: [u8; 4], forwarded_for: Option<&str>) -> Self {
        let mut headers = http::HeaderMap::new();
        headers.extend(forwarded_for.map(|by| (HeaderName::from_static("x-forwarded-for"), by.parse().unwrap())));
        let client = Client::builder().tls_backend_preconfigured(Authority::new().client(None)).no_proxy();
        let client = client.local_address(IpAddr::from(local)).default_headers(headers);
        Self { base: format!("http://{address}"), client: client.build().unwrap(), token: None, tls: None }
    }

    fn new(base: String, config: rustls::ClientConfig) -> Self {
        let tls = base.starts_with("https:").then(|| config.clone());
        let client = Client::builder().tls_backend_preconfigured(config).no_proxy().build().unwrap();
        Self { base, client, token: None, tls }
    }

    pub(crate) fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = request.send().await.expect("an answer");
        Answer { status: answer.status().as_u16(), body: answer.bytes().await.unwrap().to_vec() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// CBOR.
    pub(crate) async fn post(&self, path: &str, body: &impl Encode<()>) -> Answer {
        self.post_bytes(path, encode(body)).await
    }

    pub(crate) async fn post_bytes(&self, path: &str, body: Vec<u8>) -> Answer {
        self.send(self.request(Method::POST, path).header("content-type", CBOR).body(body)).await
    }

    /// CBOR.
    pub(crate) async fn put_cbor(&self, path: &str, body: &impl Encode<()>) -> Answer {
        self.send(self.request(Method::PUT, path).header("content-type", CBOR).body(encode(body))).await
    }

    /// Bytes.
    pub(crate) async fn put_bytes(&self, path: &str, body: Vec<u8>) -> Answer {
        self.send(self.request(Method::PUT, path).body(body)).await
    }

    /// JSON.
    pub(crate) async fn put(&self, path: &str, body: &impl serde::Serialize) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }
}

impl Answer {
    /// Decodes a good answer.
    #[track_caller]
    pub(crate) fn ok<T: Encode<()> + for<'b> Decode<'b, ()>>(self) -> T {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        decode_strict(&self.body).expect("CBOR")
    }

    #[track_caller]
    pub(crate) fn done(self) {
        assert_eq!(self.status, 204, "{}", String::from_utf8_lossy(&self.body));
        assert!(self.body.is_empty());
    }

    /// The error that is expected; its message.
    #[track_caller]
    pub(crate) fn refused(self, code: ErrorCode) -> String {
        let error: ApiError = serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("status {}, no error: {}", self.status, String::from_utf8_lossy(&self.body)));
        assert_eq!(error.code, code, "{}", error.message);
        assert_eq!(self.status, code.status());
        error.message
    }
}
