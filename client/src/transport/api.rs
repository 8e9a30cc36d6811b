//! The relay's interface as calls: session, retries, one method an endpoint.

use std::sync::Arc;

use minicbor::{Decode, Encode};
use reqwest::Method;
use sotto_crypto::{Address, Domain, LinkId, PrekeyBatch};
use sotto_wire::ErrorCode;
use sotto_wire::api::{
    Accepted, BlobStored, Challenge, Envelope, FetchIdentities, FetchRecipients, Identities, OpenSession, OwnDevices,
    PolicyAnswer, PrekeyCount, PutDevices, PutVault, Recipients, SESSION_LABEL, Session, SessionChallenge,
    UploadPrekeys,
};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::core::error::{Error, Refusal, TransportError};
use crate::core::retry::retrying;
use crate::store::account::Account;
use crate::transport::http::{Call, Http};
use crate::transport::ws::{Connector, Socket};

/// Calls as one device.
pub(crate) struct Api {
    account: Arc<Account>,
    pub(crate) http: Http,
    connector: Connector,
    /// The bearer token of the session, where one is open.
    token: Mutex<Option<Zeroizing<String>>>,
}

/// No body.
const NONE: Option<&()> = None;

impl Api {
    pub(crate) fn new(account: Arc<Account>) -> Result<Self, TransportError> {
        let http = Http::new(&account.endpoint)?;
        let connector = Connector::new(&account.endpoint)?;
        Ok(Self { account, http, connector, token: Mutex::new(None) })
    }

    /// The session's token; a new one where there is none, or where it is the one that was refused.
    pub(crate) async fn token(&self, refused: Option<&str>) -> Result<Zeroizing<String>, Error> {
        let mut held = self.token.lock().await;
        if let Some(token) = held.as_ref().filter(|t| Some(t.as_str()) != refused) {
            return Ok(token.clone());
        }
        let token = Zeroizing::new(self.open_session().await?.token);
        *held = Some(token.clone());
        Ok(token)
    }

    async fn open_session(&self) -> Result<Session, Error> {
        let ask = SessionChallenge { address: self.account.address.clone(), device: self.account.device };
        let opened = async {
            let call = post("/v1/session/challenge");
            let Challenge { challenge } = self.http.call(call, Some(&ask)).await?;
            let signature = self.account.device_key.sign(SESSION_LABEL, &challenge);
            self.http.call(post("/v1/session"), Some(&OpenSession { challenge, signature })).await
        };
        opened.await.map_err(|error: Error| match error.code() {
            // The key is right, so the relay does not know the device (any more).
            Some(ErrorCode::Unauthenticated | ErrorCode::NotFound) => {
                Refusal::DeviceRemoved(self.account.device).into()
            }
            _ => error,
        })
    }

    /// Calls with the session's token, and once more with a new one where it is refused.
    pub(crate) async fn with_session<T, F, Fut>(&self, mut call: F) -> Result<T, Error>
    where
        F: FnMut(Zeroizing<String>) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        let token = self.token(None).await?;
        match call(token.clone()).await {
            Err(error) if error.code() == Some(ErrorCode::Unauthenticated) => {
                call(self.token(Some(&token)).await?).await
            }
            ended => ended,
        }
    }

    async fn call<Q, A>(&self, method: &Method, path: &str, name: &'static str, body: Option<&Q>) -> Result<A, Error>
    where
        Q: Encode<()>,
        A: for<'b> Decode<'b, ()>,
    {
        retrying(|| {
            self.with_session(|token| async move {
                self.http.call(Call { method, path, name, token: Some(&token) }, body).await
            })
        })
        .await
    }

    async fn post<Q: Encode<()>, A: for<'b> Decode<'b, ()>>(&self, path: &'static str, body: &Q) -> Result<A, Error> {
        self.call(&Method::POST, path, path, Some(body)).await
    }

    async fn get<A: for<'b> Decode<'b, ()>>(&self, path: &'static str) -> Result<A, Error> {
        self.call(&Method::GET, path, path, NONE).await
    }

    pub(crate) async fn policy(&self) -> Result<PolicyAnswer, Error> {
        self.get("/v1/policy").await
    }

    pub(crate) async fn devices(&self) -> Result<OwnDevices, Error> {
        self.get("/v1/devices").await
    }

    pub(crate) async fn prekeys(&self) -> Result<PrekeyCount, Error> {
        self.get("/v1/prekeys").await
    }

    pub(crate) async fn upload_prekeys(&self, batches: Vec<PrekeyBatch>) -> Result<PrekeyCount, Error> {
        self.post("/v1/prekeys", &UploadPrekeys { batches }).await
    }

    pub(crate) async fn identities(&self, addresses: Vec<Address>) -> Result<Identities, Error> {
        self.post("/v1/identities", &FetchIdentities { addresses }).await
    }

    pub(crate) async fn recipients(&self, addresses: Vec<Address>) -> Result<Recipients, Error> {
        self.post("/v1/recipients", &FetchRecipients { addresses, signal: None }).await
    }

    /// Whom a signal goes to. Once: a signal that is late is none.
    pub(crate) async fn signal_recipients(&self, addresses: Vec<Address>) -> Result<Recipients, Error> {
        const PATH: &str = "/v1/recipients";
        let ask = FetchRecipients { addresses, signal: Some(true) };
        self.with_session(|token| {
            let ask = &ask;
            async move {
                let call = Call { method: &Method::POST, path: PATH, name: PATH, token: Some(&token) };
                self.http.call(call, Some(ask)).await
            }
        })
        .await
    }

    /// A signal: now or never.
    pub(crate) async fn signal(&self, envelope: &Envelope) -> Result<(), Error> {
        const PATH: &str = "/v1/signals";
        self.with_session(|token| async move {
            let call = Call { method: &Method::POST, path: PATH, name: PATH, token: Some(&token) };
            self.http.call_empty(call, Some(envelope)).await
        })
        .await
    }

    /// Safe to repeat: the message id is the key.
    pub(crate) async fn send(&self, envelope: &Envelope) -> Result<Accepted, Error> {
        self.post("/v1/envelopes", envelope).await
    }

    /// Uploads a blob; `body` makes the body anew for each attempt.
    pub(crate) async fn upload<F, Fut>(&self, mut body: F) -> Result<BlobStored, Error>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<reqwest::Body, Error>>,
    {
        const PATH: &str = "/v1/blobs";
        // A body that is a stream is used up by an attempt, so the session is renewed around the whole attempt.
        let mut refused: Option<Zeroizing<String>> = None;
        loop {
            let token = self.token(refused.as_deref().map(String::as_str)).await?;
            let call = Call { method: &Method::POST, path: PATH, name: PATH, token: Some(&token) };
            let sent = self.http.send(call, Some(body().await?), "application/octet-stream").await;
            match sent {
                Ok(answer) => {
                    let bytes = self.http.read(PATH, answer, 1024).await?;
                    return minicbor::decode(&bytes)
                        .map_err(|e| TransportError::Answer { what: PATH, reason: e.to_string() }.into());
                }
                Err(error) if error.code() == Some(ErrorCode::Unauthenticated) && refused.is_none() => {
                    refused = Some(token);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts to download a blob; the caller reads it.
    pub(crate) async fn blob(&self, domain: &Domain, blob: &sotto_crypto::BlobId) -> Result<reqwest::Response, Error> {
        let path = format!("/v1/blobs/{domain}/{blob}");
        let path = path.as_str();
        retrying(|| {
            self.with_session(|token| async move {
                let call = Call { method: &Method::GET, path, name: "/v1/blobs", token: Some(&token) };
                self.http.send(call, None, "application/octet-stream").await
            })
        })
        .await
    }

    /// Replaces the list of the own devices. Not repeated when the answer is lost: then it looks as if another device had made
    /// one, and the caller looks again.
    pub(crate) async fn put_devices(&self, list: &PutDevices) -> Result<(), Error> {
        let call = |token| async move {
            let token: Zeroizing<String> = token;
            let call = Call { method: &Method::PUT, path: "/v1/devices", name: "PUT /v1/devices", token: Some(&token) };
            self.http.call_empty(call, Some(list)).await
        };
        retrying(|| self.with_session(call)).await
    }

    /// Stores a vault, or removes it.
    pub(crate) async fn put_vault(&self, vault: &PutVault) -> Result<(), Error> {
        let call = |token| async move {
            let token: Zeroizing<String> = token;
            let call = Call { method: &Method::PUT, path: "/v1/vault", name: "PUT /v1/vault", token: Some(&token) };
            self.http.call_empty(call, Some(vault)).await
        };
        retrying(|| self.with_session(call)).await
    }

    /// A call without body and answer.
    async fn bare(&self, method: &Method, path: &str, name: &'static str) -> Result<(), Error> {
        let call = |token| async move {
            let token: Zeroizing<String> = token;
            self.http.call_empty(Call { method, path, name, token: Some(&token) }, NONE).await
        };
        retrying(|| self.with_session(call)).await
    }

    /// Puts bytes into a slot of a link. Each slot is written once; the same bytes may come again.
    pub(crate) async fn put_slot(&self, link: LinkId, slot: u32, bytes: &[u8]) -> Result<(), Error> {
        let call = |token| async move {
            let token: Zeroizing<String> = token;
            self.http.put_slot(&token, link, slot, bytes).await
        };
        retrying(|| self.with_session(call)).await
    }

    /// Puts what may have been put before by an attempt that was interrupted: a slot is written once, and what is sealed anew
    /// has other bytes.
    pub(crate) async fn put_slot_once(&self, link: LinkId, slot: u32, bytes: &[u8]) -> Result<(), Error> {
        match self.put_slot(link, slot, bytes).await {
            Err(error) if error.code() == Some(ErrorCode::Invalid) => match self.slot(link, slot).await? {
                Some(_) => Ok(()),
                None => Err(error),
            },
            put => put,
        }
    }

    /// What is in a slot of a link; waits for it, to the relay's bound. `None` when nothing has come.
    pub(crate) async fn slot(&self, link: LinkId, slot: u32) -> Result<Option<Vec<u8>>, Error> {
        let call = |token| async move {
            let token: Zeroizing<String> = token;
            self.http.slot(&token, link, slot).await
        };
        retrying(|| self.with_session(call)).await
    }

    /// Removes a link with all that is in it.
    pub(crate) async fn delete_link(&self, link: LinkId) -> Result<(), Error> {
        self.bare(&Method::DELETE, &format!("/v1/links/{link}"), "DELETE /v1/links").await
    }

    /// Opens the socket.
    pub(crate) async fn socket(&self) -> Result<Socket, Error> {
        self.with_session(|token| async move { self.connector.connect(&token).await }).await
    }
}

/// A POST without a session.
pub(crate) fn post(path: &'static str) -> Call<'static> {
    Call { method: &Method::POST, path, name: path, token: None }
}
