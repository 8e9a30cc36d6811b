//! The own gateway, by which this relay reaches other networks.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};
use http::header;
use minicbor::{Decode, Encode};
use reqwest::{Client, RequestBuilder, Response};
use sotto_crypto::{BlobId, Domain, decode_strict, encode};
use sotto_wire::api::{Accepted, Identities, Recipients};
use sotto_wire::gateway::{PeerEnvelope, PeerIdentities, PeerRecipients};
use sotto_wire::limits::MAX_REQUEST;
use sotto_wire::{ApiError, CBOR, ErrorCode};

use crate::RelayError;
use crate::tls::MutualTls;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take; the gateway itself gives up earlier.
const ANSWER: Duration = Duration::from_secs(30);
/// Bytes of an answer: two thousand devices with certificate and prekey.
const MAX_ANSWER: usize = 8 * MAX_REQUEST;

/// The way to other networks.
pub(crate) struct Gateway {
    base: String,
    tls: Arc<MutualTls>,
    /// The client and the generation of certificates that it was made with.
    client: RwLock<(u64, Client)>,
}

impl Gateway {
    pub(crate) fn new(url: &str, tls: Arc<MutualTls>) -> Result<Self, RelayError> {
        if !url.starts_with("https://") {
            return Err(RelayError::Config(format!("gateway: `{url}` must start with https://")));
        }
        let client = RwLock::new(build(&tls)?);
        Ok(Self { base: url.trim_end_matches('/').to_owned(), tls, client })
    }

    pub(crate) async fn recipients(&self, domain: &Domain, request: &PeerRecipients) -> Result<Recipients, ApiError> {
        self.call(domain, "recipients", request).await
    }

    pub(crate) async fn identities(&self, domain: &Domain, request: &PeerIdentities) -> Result<Identities, ApiError> {
        self.call(domain, "identities", request).await
    }

    pub(crate) async fn envelope(&self, domain: &Domain, request: &PeerEnvelope) -> Result<Accepted, ApiError> {
        self.call(domain, "envelopes", request).await
    }

    /// A blob of another network as it comes in.
    pub(crate) async fn blob(
        &self,
        domain: &Domain,
        blob: BlobId,
    ) -> Result<impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static, ApiError> {
        let url = format!("{}/out/v1/{domain}/blobs/{blob}", self.base);
        // No bound on the whole: a large file takes its time.
        let answer = self.send(domain, self.client().get(url)).await?;
        Ok(answer.bytes_stream().map_err(std::io::Error::other))
    }

    async fn call<Q, A>(&self, domain: &Domain, what: &str, request: &Q) -> Result<A, ApiError>
    where
        Q: Encode<()>,
        A: Encode<()> + for<'b> Decode<'b, ()>,
    {
        let url = format!("{}/out/v1/{domain}/{what}", self.base);
        let request = self.client().post(url).header(header::CONTENT_TYPE, CBOR).timeout(ANSWER).body(encode(request));
        let answer = self.send(domain, request).await?;
        let bytes =
            collect(answer).await.map_err(|()| unreachable_peer(domain, "its answer broke off or is too large"))?;
        decode_strict(&bytes).map_err(|_| unreachable_peer(domain, "its answer cannot be read"))
    }

    async fn send(&self, domain: &Domain, request: RequestBuilder) -> Result<Response, ApiError> {
        let answer = request.send().await.map_err(|error| {
            // The URL holds no more than domain and operation, but a blob's id is nobody's business.
            tracing::debug!(error = %error.without_url(), "the gateway cannot be reached");
            unreachable_peer(domain, "the own gateway cannot be reached")
        })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let bytes = collect(answer).await.unwrap_or_default();
        Err(serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| unreachable_peer(domain, &format!("it answered with HTTP status {}", status.as_u16()))))
    }

    /// The client with the current certificates. When new ones cannot be used, the old ones go on.
    fn client(&self) -> Client {
        {
            let current = self.client.read().unwrap_or_else(PoisonError::into_inner);
            if current.0 == self.tls.generation() {
                return current.1.clone();
            }
        }
        let mut current = self.client.write().unwrap_or_else(PoisonError::into_inner);
        match build(&self.tls) {
            Ok(fresh) => *current = fresh,
            Err(error) => {
                tracing::error!(error = %error, "the new certificates cannot be used towards the gateway");
                current.0 = self.tls.generation();
            }
        }
        current.1.clone()
    }
}

fn build(tls: &MutualTls) -> Result<(u64, Client), RelayError> {
    let generation = tls.generation();
    let client = Client::builder()
        .tls_backend_preconfigured(tls.client_config())
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .read_timeout(ANSWER)
        .build()
        .map_err(|error| RelayError::Config(format!("gateway: {error}")))?;
    Ok((generation, client))
}

async fn collect(mut answer: Response) -> Result<Vec<u8>, ()> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|_| ())? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Err(());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The error for a network that does not answer as it should.
pub(crate) fn unreachable_peer(domain: &Domain, why: &str) -> ApiError {
    ApiError::new(
        ErrorCode::PeerUnavailable,
        format!("network {domain} cannot be reached now ({why}); try again later"),
    )
}
