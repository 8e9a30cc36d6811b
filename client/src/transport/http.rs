//! HTTP towards the relay: CBOR bodies, JSON errors, bounded answers.

use std::pin::pin;

use futures::TryStreamExt as _;
use minicbor::{Decode, Encode};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Method, Response, StatusCode};
use sotto_crypto::LinkId;
use sotto_wire::{ApiError, CBOR, ErrorCode, limits};

use super::{Target, connection_error, target_of, tls};
use crate::core::endpoint::Endpoint;
use crate::core::error::{Error, TransportError};

/// Largest answer that is read: 2,000 devices with certificate and prekey are about 3 MiB.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// A pool of connections to one relay.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    target: Target,
}

/// One call: method and path for errors, and the path with its parameters.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    /// Method and path without parameters.
    pub(crate) name: &'static str,
    pub(crate) token: Option<&'a str>,
}

impl Http {
    pub(crate) fn new(endpoint: &Endpoint) -> Result<Self, TransportError> {
        let target = target_of(endpoint)?;
        Ok(Self { client: tls::http_client(&endpoint.tls)?, target })
    }

    /// Calls with a CBOR body and reads a CBOR answer.
    pub(crate) async fn call<Q, A>(&self, call: Call<'_>, body: Option<&Q>) -> Result<A, Error>
    where
        Q: Encode<()>,
        A: for<'b> Decode<'b, ()>,
    {
        let answer = self.bytes(call, body.map(sotto_crypto::encode)).await?;
        minicbor::decode(&answer).map_err(|e| TransportError::Answer { what: call.name, reason: e.to_string() }.into())
    }

    /// Calls with a CBOR body; the answer is empty.
    pub(crate) async fn call_empty<Q: Encode<()>>(&self, call: Call<'_>, body: Option<&Q>) -> Result<(), Error> {
        self.bytes(call, body.map(sotto_crypto::encode)).await.map(drop)
    }

    /// Puts bytes into a slot of a link.
    pub(crate) async fn put_slot(&self, token: &str, link: LinkId, slot: u32, bytes: &[u8]) -> Result<(), Error> {
        let path = format!("/v1/links/{link}/{slot}");
        let call = Call { method: &Method::PUT, path: &path, name: "PUT /v1/links", token: Some(token) };
        self.send(call, Some(bytes.to_vec().into()), "application/octet-stream").await.map(drop)
    }

    /// What is in a slot of a link. `None` when nothing has come within the time that the relay waits.
    pub(crate) async fn slot(&self, token: &str, link: LinkId, slot: u32) -> Result<Option<Vec<u8>>, Error> {
        let path = format!("/v1/links/{link}/{slot}");
        let call = Call { method: &Method::GET, path: &path, name: "GET /v1/links", token: Some(token) };
        match self.send(call, None, "application/octet-stream").await {
            Ok(answer) => Ok(Some(self.read(call.name, answer, limits::MAX_LINK_SLOT).await?)),
            Err(error) if error.code() == Some(ErrorCode::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn bytes(&self, call: Call<'_>, body: Option<Vec<u8>>) -> Result<Vec<u8>, Error> {
        let answer = self.send(call, body.map(reqwest::Body::from), CBOR).await?;
        self.read(call.name, answer, MAX_ANSWER).await
    }

    /// Sends a body of any kind, and returns the answer when its status is good.
    pub(crate) async fn send(
        &self,
        call: Call<'_>,
        body: Option<reqwest::Body>,
        media_type: &'static str,
    ) -> Result<Response, Error> {
        let mut request = self.client.request(call.method.clone(), format!("{}{}", self.target.base, call.path));
        if let Some(token) = call.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, media_type).body(body);
        }
        let answer = request.send().await.map_err(|e| self.error(&e))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = self.read(call.name, answer, 64 * 1024).await?;
        Err(api_error(status, call.name, &text).into())
    }

    /// Reads an answer, to `max` bytes.
    pub(crate) async fn read(&self, name: &'static str, answer: Response, max: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let mut answer = pin!(answer.bytes_stream());
        while let Some(chunk) = answer.try_next().await.map_err(|e| self.error(&e))? {
            if bytes.len() + chunk.len() > max {
                return Err(TransportError::Answer { what: name, reason: format!("more than {max} bytes") }.into());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    pub(crate) fn error(&self, error: &reqwest::Error) -> TransportError {
        if error.is_timeout() {
            return TransportError::Timeout { relay: self.target.base.clone() };
        }
        connection_error(&self.target.base, error)
    }
}

/// The error that an answer means. Proxies in front of a relay answer in their own way.
pub(crate) fn api_error(status: StatusCode, name: &'static str, body: &[u8]) -> ApiError {
    if let Ok(error) = serde_json::from_slice::<ApiError>(body) {
        // Shown on terminals: what a relay says cannot move the cursor.
        let message = error.message.chars().filter(|c| !c.is_control()).take(2000).collect();
        return ApiError { message, ..error };
    }
    let code = match status.as_u16() {
        401 => ErrorCode::Unauthenticated,
        403 => ErrorCode::Forbidden,
        404 => ErrorCode::NotFound,
        413 => ErrorCode::TooLarge,
        429 => ErrorCode::RateLimited,
        400..=499 => ErrorCode::Invalid,
        502..=504 => ErrorCode::Unavailable,
        _ => ErrorCode::Internal,
    };
    ApiError::new(code, format!("{name} was answered with HTTP status {status}, not by a Sotto relay"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_relays_and_of_proxies_are_understood() {
        let ours = br#"{"code":"suspended","message":"you\u001b[2J are suspended"}"#;
        let error = api_error(StatusCode::FORBIDDEN, "GET /v1/policy", ours);
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::Suspended, "you[2J are suspended"));
        let proxy = api_error(StatusCode::BAD_GATEWAY, "GET /v1/policy", b"<html>");
        assert_eq!(proxy.code, ErrorCode::Unavailable);
        assert!(proxy.message.contains("GET /v1/policy"));
    }

    #[tokio::test]
    async fn an_absent_relay_is_unreachable() {
        let http =
            Http::new(&Endpoint { url: "http://127.0.0.1:1".into(), tls: crate::core::endpoint::Tls::Off }).unwrap();
        let call = Call { method: &Method::GET, path: "/v1/network", name: "GET /v1/network", token: None };
        let error = http.call::<(), ()>(call, None).await.unwrap_err();
        assert!(matches!(&error, Error::Transport(TransportError::Unreachable { .. })), "{error}");
        assert!(error.is_retryable());
    }
}
