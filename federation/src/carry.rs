//! Carries one request to another server and its answer back.

use std::{error::Error, io, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use futures::StreamExt;
use sotto_wire::{
    ApiError, CBOR, ErrorCode,
    limits::{MAX_BLOB, MAX_REQUEST},
};
use tokio::time::timeout;

use crate::tls::Upstream;

/// From sending the request to the whole answer, other than a blob.
const CALL: Duration = Duration::from_secs(30);
/// The largest answer other than a blob: prekeys with proofs for the most devices.
const MAX_ANSWER: usize = 8 * MAX_REQUEST;
/// The largest error answer.
const MAX_ERROR: usize = 16 * 1024;
/// A message for people, not for pages.
const MAX_MESSAGE: usize = 1_000;

/// Why there is no answer to pass on. The other server's own refusals are not among them: those are answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot be reached")]
    Unreachable,
    #[error("does not answer in time")]
    Slow,
    /// Its certificate.
    #[error("does not prove who it is (its certificate is not of the configured authority, or for another name)")]
    Unproven,
    /// Our certificate.
    #[error("does not accept our certificate (has it our current authority?)")]
    Unwelcome,
    #[error("answers something that cannot be read")]
    Unreadable,
}

/// An answer to pass on.
pub(crate) enum Answer {
    /// It did what was asked.
    Done(Response),
    /// It says no, in its own words.
    Refused(ApiError),
}

/// Posts a body and reads the whole answer.
pub(crate) async fn post(upstream: &Upstream, path: &str, body: Bytes) -> Result<Answer, Failure> {
    let call = async {
        let request = request(upstream, Method::POST, path)?.header(header::CONTENT_TYPE, CBOR).body(body);
        let answer = request.send().await.map_err(failure)?;
        let status = answer.status();
        if !status.is_success() {
            return refused(answer).await;
        }
        let bytes = read(answer, MAX_ANSWER).await?;
        Ok(Answer::Done(response(status, CBOR, Body::from(bytes))))
    };
    timeout(CALL, call).await.unwrap_or(Err(Failure::Slow))
}

/// Gets a blob; it is passed on as it comes.
pub(crate) async fn get_blob(upstream: &Upstream, path: &str) -> Result<Answer, Failure> {
    let send = request(upstream, Method::GET, path)?.send();
    let answer = timeout(CALL, send).await.map_err(|_| Failure::Slow)?.map_err(failure)?;
    let status = answer.status();
    if !status.is_success() {
        return timeout(CALL, refused(answer)).await.unwrap_or(Err(Failure::Slow));
    }
    let length = answer.content_length();
    if length.is_some_and(|length| length > MAX_BLOB) {
        return Err(Failure::Unreadable);
    }
    let mut left = MAX_BLOB;
    let stream = answer.bytes_stream().map(move |chunk| {
        let chunk = chunk.map_err(io::Error::other)?;
        left = left.checked_sub(chunk.len() as u64).ok_or_else(|| io::Error::other("the blob is too large"))?;
        Ok::<_, io::Error>(chunk)
    });
    let mut response = response(status, "application/octet-stream", Body::from_stream(stream));
    if let Some(length) = length {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(Answer::Done(response))
}

fn request(upstream: &Upstream, method: Method, path: &str) -> Result<reqwest::RequestBuilder, Failure> {
    // Paths are made of checked parts, so joining cannot lead elsewhere.
    let url = upstream.base.join(path).map_err(|_| Failure::Unreadable)?;
    Ok(upstream.client.request(method, url))
}

fn response(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

async fn read(mut answer: reqwest::Response, most: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failure)? {
        if bytes.len() + chunk.len() > most {
            return Err(Failure::Unreadable);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

async fn refused(answer: reqwest::Response) -> Result<Answer, Failure> {
    let bytes = read(answer, MAX_ERROR).await?;
    let error: ApiError = serde_json::from_slice(&bytes).map_err(|_| Failure::Unreadable)?;
    // It is shown to people, so it may not do anything to their terminals.
    let message = error.message.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE).collect::<String>();
    Ok(Answer::Refused(ApiError { message, ..error }))
}

fn failure(error: reqwest::Error) -> Failure {
    // Without its URL: who knows the id of a blob may fetch it, so that it is nobody else's business.
    let error = error.without_url();
    tracing::debug!(?error, "a call failed");
    match tls_error(&error) {
        Some(rustls::Error::AlertReceived(_)) => return Failure::Unwelcome,
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            return Failure::Unproven;
        }
        _ => {}
    }
    if error.is_timeout() { Failure::Slow } else { Failure::Unreachable }
}

/// The TLS error somewhere below, which I/O errors hide from `source`.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// How a failed call to the own relay is told: nothing about what is behind this gateway.
pub(crate) fn relay_refusal(failure: Failure) -> ApiError {
    tracing::warn!(%failure, "the relay cannot be used");
    ApiError::new(ErrorCode::Unavailable, "the network's relay cannot be reached by its gateway now; try again later")
}
