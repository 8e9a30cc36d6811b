//! Client of a relay's admin interface: JSON over mutual TLS, every call bounded in time and size.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ETAG, IF_NONE_MATCH};
use reqwest::{Method, Response, StatusCode};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use sotto_wire::admin::{AdminState, PutGroup, PutHead, PutNetwork, PutUser};
use sotto_wire::{ApiError, ErrorCode};

use crate::lease::Fence;
use crate::pki;
use crate::secret::SecretData;

const CONNECT: Duration = Duration::from_secs(3);
const CALL: Duration = Duration::from_secs(15);
/// How long a connection is kept for the next call: those of one look follow each other.
const IDLE: Duration = Duration::from_secs(2);
/// A state of 100,000 users is about 30 MB.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Why a call failed. Every variant names the relay, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The operator's own certificate cannot be used.
    #[error(
        "relay {relay}: the operator's client certificate cannot be used ({why}); delete its Secret to get a new one"
    )]
    Identity {
        /// Name of the relay.
        relay: String,
        /// What is wrong.
        why: String,
    },
    /// No answer.
    #[error("relay {relay} cannot be reached at {url} ({why}); see whether it runs and what its log says")]
    Unreachable {
        /// Name of the relay.
        relay: String,
        /// The admin URL.
        url: String,
        /// What went wrong.
        why: String,
    },
    /// An error answer.
    #[error("relay {relay} refused to {action}: {error}")]
    Refused {
        /// Name of the relay.
        relay: String,
        /// What was asked for.
        action: String,
        /// Its words.
        error: ApiError,
    },
    /// An answer that cannot be read.
    #[error(
        "relay {relay} answered to {action} with something that cannot be read ({why}); are relay and operator of one version?"
    )]
    Answer {
        /// Name of the relay.
        relay: String,
        /// What was asked for.
        action: String,
        /// What is wrong.
        why: String,
    },
}

impl AdminError {
    /// Whether the same call may succeed later without a change.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { error, .. } => error.code.is_retryable(),
            Self::Identity { .. } | Self::Answer { .. } => false,
        }
    }

    /// The relay's error code, where it answered with one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { error, .. } => Some(error.code),
            _ => None,
        }
    }
}

/// What asking for the state is called in errors.
const TELL: &str = "tell its state";

/// A relay's answer to the question what it holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// What it held when it was asked last.
    Same,
    /// This, and a mark to ask for changes with.
    State(AdminState, Option<String>),
}

/// One relay's admin interface.
#[derive(Clone)]
pub struct AdminClient {
    relay: String,
    url: String,
    http: reqwest::Client,
    /// Writes only while this is open.
    fence: Option<Fence>,
}

impl AdminClient {
    /// A client for the relay called `relay` at `url` (`https://HOST:PORT`), with the operator's leaf Secret
    /// ([`pki::LeafRequest::operator`]).
    pub fn new(relay: &str, url: &str, identity: &SecretData) -> Result<Self, AdminError> {
        let bad = |why: String| AdminError::Identity { relay: relay.to_owned(), why };
        let tls = tls(identity).map_err(bad)?;
        let http = Self::builder(tls).build().map_err(|e| bad(e.to_string()))?;
        Ok(Self { relay: relay.to_owned(), url: url.trim_end_matches('/').to_owned(), http, fence: None })
    }

    /// The same, with every connection going to `address`; name and certificate are checked as ever.
    pub fn resolved(relay: &str, url: &str, identity: &SecretData, address: SocketAddr) -> Result<Self, AdminError> {
        let bad = |why: String| AdminError::Identity { relay: relay.to_owned(), why };
        let mut url = reqwest::Url::parse(url).map_err(|e| bad(e.to_string()))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        // What is here cannot fail: an https URL takes a port.
        let _ = url.set_port(Some(address.port()));
        let tls = tls(identity).map_err(bad)?;
        let http = Self::builder(tls).resolve(&host, address).build().map_err(|e| bad(e.to_string()))?;
        Ok(Self { relay: relay.to_owned(), url: url.as_str().trim_end_matches('/').to_owned(), http, fence: None })
    }

    fn builder(tls: rustls::ClientConfig) -> reqwest::ClientBuilder {
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(CALL)
            // A connection takes 30 KB: a thousand that wait for the next question are more than all else that is known.
            .pool_idle_timeout(IDLE)
    }

    /// The same, that changes nothing once the fence is closed: another operator leads then.
    pub(crate) fn held_to(self, fence: &Fence) -> Self {
        Self { fence: Some(fence.clone()), ..self }
    }

    /// All that the relay holds.
    pub async fn state(&self) -> Result<AdminState, AdminError> {
        Ok(self.state_and_mark().await?.0)
    }

    /// All that the relay holds, and the mark to ask for changes with.
    pub(crate) async fn state_and_mark(&self) -> Result<(AdminState, Option<String>), AdminError> {
        match self.state_since(None).await? {
            Answer::State(state, mark) => Ok((state, mark)),
            Answer::Same => Err(self.answer(TELL, "304 without a question for changes".to_owned())),
        }
    }

    /// All that the relay holds, unless it still has the mark that it gave last time.
    pub async fn state_since(&self, mark: Option<&str>) -> Result<Answer, AdminError> {
        let mut request = self.http.request(Method::GET, format!("{}/admin/v1/state", self.url));
        if let Some(mark) = mark {
            request = request.header(IF_NONE_MATCH, mark);
        }
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(Answer::Same);
        }
        let response = self.checked(response, TELL).await?;
        let mark = response.headers().get(ETAG).and_then(|mark| mark.to_str().ok()).map(str::to_owned);
        let bytes = self.body(response, TELL).await?;
        let state = serde_json::from_slice(&bytes).map_err(|e| self.answer(TELL, e.to_string()))?;
        Ok(Answer::State(state, mark))
    }

    /// Puts the network's document.
    pub async fn put_network(&self, network: &PutNetwork) -> Result<(), AdminError> {
        self.call(Method::PUT, "network", Some(network), "take the network's document").await.map(drop)
    }

    /// Puts the directory head.
    pub async fn put_head(&self, head: &PutHead) -> Result<(), AdminError> {
        self.call(Method::PUT, "head", Some(head), "take the directory head").await.map(drop)
    }

    /// Puts a group's document.
    pub async fn put_group(&self, name: &str, group: &PutGroup) -> Result<(), AdminError> {
        let action = format!("take security group {name}");
        self.call(Method::PUT, &format!("groups/{}", segment(name)), Some(group), &action).await.map(drop)
    }

    /// Removes a group; gone already is fine.
    pub async fn delete_group(&self, name: &str) -> Result<(), AdminError> {
        self.delete(&format!("groups/{}", segment(name)), &format!("remove security group {name}")).await
    }

    /// Puts a user.
    pub async fn put_user(&self, local: &str, user: &PutUser) -> Result<(), AdminError> {
        let action = format!("take user {local}");
        self.call(Method::PUT, &format!("users/{}", segment(local)), Some(user), &action).await.map(drop)
    }

    /// Removes a user with devices and queues; gone already is fine.
    pub async fn delete_user(&self, local: &str) -> Result<(), AdminError> {
        self.delete(&format!("users/{}", segment(local)), &format!("remove user {local}")).await
    }

    /// Removes every device of a user and ends the sessions.
    pub async fn reset_devices(&self, local: &str) -> Result<(), AdminError> {
        self.delete(&format!("users/{}/devices", segment(local)), &format!("reset the devices of user {local}")).await
    }

    /// Ends a lockout.
    pub async fn unlock(&self, local: &str) -> Result<(), AdminError> {
        let path = format!("users/{}/unlock", segment(local));
        self.call(Method::POST, &path, None::<&()>, &format!("unlock user {local}")).await.map(drop)
    }

    async fn delete(&self, path: &str, action: &str) -> Result<(), AdminError> {
        match self.call(Method::DELETE, path, None::<&()>, action).await {
            Err(AdminError::Refused { error, .. }) if error.code == ErrorCode::NotFound => Ok(()),
            other => other.map(drop),
        }
    }

    async fn call<B: Serialize + ?Sized>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
        action: &str,
    ) -> Result<Response, AdminError> {
        let mut request = self.http.request(method.clone(), format!("{}/admin/v1/{path}", self.url));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = match self.fence.as_ref().filter(|_| method != Method::GET) {
            None => request.send().await,
            Some(fence) => fence.hold(request.send()).await.map_err(|fenced| AdminError::Unreachable {
                relay: self.relay.clone(),
                url: self.url.clone(),
                why: fenced.to_string(),
            })?,
        };
        self.checked(response.map_err(|e| self.unreachable(&e))?, action).await
    }

    async fn checked(&self, response: Response, action: &str) -> Result<Response, AdminError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = self.body(response, action).await?;
        let error = serde_json::from_slice(&bytes).unwrap_or_else(|_| without_body(status));
        Err(AdminError::Refused { relay: self.relay.clone(), action: action.to_owned(), error })
    }

    async fn body(&self, mut response: Response, action: &str) -> Result<Vec<u8>, AdminError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(self.answer(action, format!("longer than {MAX_ANSWER} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn unreachable(&self, error: &reqwest::Error) -> AdminError {
        // reqwest's own words say only "error sending request"; the cause is at the end of the chain.
        let mut why = if error.is_timeout() { "no answer in time".to_owned() } else { error.to_string() };
        let mut source = error.source();
        while let Some(next) = source {
            why = next.to_string();
            source = next.source();
        }
        AdminError::Unreachable { relay: self.relay.clone(), url: self.url.clone(), why }
    }

    fn answer(&self, action: &str, why: String) -> AdminError {
        AdminError::Answer { relay: self.relay.clone(), action: action.to_owned(), why }
    }
}

fn without_body(status: StatusCode) -> ApiError {
    let code = match status.as_u16() {
        400..=499 => ErrorCode::Invalid,
        503 => ErrorCode::Unavailable,
        _ => ErrorCode::Internal,
    };
    ApiError::new(code, format!("HTTP {status}"))
}

/// One path segment, percent-encoded.
fn segment(name: &str) -> String {
    use std::fmt::Write as _;
    name.bytes().fold(String::with_capacity(name.len()), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
        out
    })
}

fn tls(identity: &SecretData) -> Result<rustls::ClientConfig, String> {
    let pem = |key: &str| identity.get(key).ok_or_else(|| format!("{key} is missing"));
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem(pki::CA_CERTIFICATE)?) {
        let certificate = certificate.map_err(|e| format!("{}: {e}", pki::CA_CERTIFICATE))?;
        roots.add(certificate).map_err(|e| format!("{}: {e}", pki::CA_CERTIFICATE))?;
    }
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem(pki::TLS_CERTIFICATE)?)
        .collect::<Result<_, _>>()
        .map_err(|e| format!("{}: {e}", pki::TLS_CERTIFICATE))?;
    let key = PrivateKeyDer::from_pem_slice(pem(pki::TLS_KEY)?).map_err(|e| format!("{}: {e}", pki::TLS_KEY))?;
    let mut config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| e.to_string())?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|e| e.to_string())?;
    // Room for sessions to take up again is 14 KB for each relay, and one handshake in a while is cheaper.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{LeafRequest, Validity, authority, leaf};

    fn identity() -> SecretData {
        let (none, now, validity) = (SecretData::default(), 1_800_000_000, Validity::default());
        let ca = authority(&none, "acme", now, &validity).unwrap().data;
        leaf(&none, &ca, &LeafRequest::operator(), now, &validity).unwrap().data
    }

    #[tokio::test]
    async fn a_relay_that_does_not_answer_is_named_with_the_cause() {
        // A port that was free a moment ago, and nobody listens on.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        drop(listener);
        let client = AdminClient::new("acme", &url, &identity()).unwrap();
        let error = client.state().await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains("relay acme") && said.contains(&url) && said.contains("refused"), "{said}");
        assert!(error.is_retryable());
    }

    #[tokio::test]
    async fn who_does_not_lead_changes_nothing_at_a_relay() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let fence = Fence::closed(std::sync::Arc::new(crate::lease::BootClock), Duration::ZERO);
        let client = AdminClient::new("acme", &url, &identity()).unwrap().held_to(&fence);
        let said = client.delete_user("alice").await.unwrap_err().to_string();
        assert!(said.contains("not the leader"), "{said}");
        // Asking is allowed: that one comes to the relay, which is not there.
        let (asked, came) = tokio::join!(client.state(), async { drop(listener.accept().await.unwrap()) });
        assert!(!asked.unwrap_err().to_string().contains("not the leader"));
        let () = came;
    }

    #[test]
    fn a_damaged_certificate_is_named() {
        let mut identity = identity();
        identity.insert(pki::TLS_KEY, "rubbish");
        let said = AdminClient::new("acme", "https://127.0.0.1:1", &identity).err().unwrap().to_string();
        assert!(said.contains("relay acme") && said.contains("tls.key") && !said.contains("rubbish"), "{said}");
    }

    #[test]
    fn names_stay_one_path_segment() {
        assert_eq!(segment("a.b+c/d é"), "a.b%2Bc%2Fd%20%C3%A9");
    }
}
