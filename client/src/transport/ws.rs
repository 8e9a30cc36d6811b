//! The WebSocket towards the relay, over the same TLS as HTTP.

use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use rustls_pki_types::ServerName;
use sotto_wire::api::{ClientFrame, ServerFrame};
use sotto_wire::close::CloseCode;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::http::api_error;
use super::{Target, connection_error, target_of, tls};
use crate::core::endpoint::Endpoint;
use crate::core::error::{Error, TransportError};
use crate::core::platform::timeout;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Room for the largest body and what stands around it.
const MAX_FRAME: usize = sotto_crypto::MAX_BODY + 64 * 1024;

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Opens sockets to one relay.
#[derive(Clone)]
pub(crate) struct Connector {
    target: Target,
    tls: tokio_rustls::TlsConnector,
}

/// An open socket.
pub(crate) struct Socket {
    stream: WebSocketStream<Box<dyn Duplex>>,
    relay: String,
}

impl Connector {
    pub(crate) fn new(endpoint: &Endpoint) -> Result<Self, TransportError> {
        let config = tls::config(&endpoint.tls, &[b"http/1.1"])?;
        Ok(Self { target: target_of(endpoint)?, tls: tokio_rustls::TlsConnector::from(Arc::new(config)) })
    }

    /// Opens the socket under a session token.
    pub(crate) async fn connect(&self, token: &str) -> Result<Socket, Error> {
        match timeout(CONNECT_TIMEOUT, self.open(token)).await {
            Ok(opened) => opened,
            Err(_) => Err(TransportError::Timeout { relay: self.target.base.clone() }.into()),
        }
    }

    async fn open(&self, token: &str) -> Result<Socket, Error> {
        let Target { base, host, port, secure } = &self.target;
        let broken = |e: &(dyn std::error::Error + 'static)| Error::from(connection_error(base, e));
        let wrong_url = || Error::from(TransportError::Url(base.clone()));
        // A URL writes an IPv6 address in brackets, sockets and certificates do not.
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let tcp = TcpStream::connect((name, *port)).await.map_err(|e| broken(&e))?;
        tcp.set_nodelay(true).map_err(|e| broken(&e))?;
        let stream: Box<dyn Duplex> = if *secure {
            let name = ServerName::try_from(name.to_owned()).map_err(|_| wrong_url())?;
            Box::new(self.tls.connect(name, tcp).await.map_err(|e| broken(&e))?)
        } else {
            Box::new(tcp)
        };
        let url = format!("{}/v1/socket", base.replacen("http", "ws", 1));
        let mut request = url.into_client_request().map_err(|_| wrong_url())?;
        let bearer = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| Error::Internal("a token with characters that no header may have"))?;
        request.headers_mut().insert(AUTHORIZATION, bearer);
        let config = WebSocketConfig::default().max_message_size(Some(MAX_FRAME)).max_frame_size(Some(MAX_FRAME));
        let (stream, _) =
            client_async_with_config(request, stream, Some(config)).await.map_err(|e| handshake_error(base, e))?;
        Ok(Socket { stream, relay: base.clone() })
    }
}

/// The relay answers a refused upgrade as it answers any request.
fn handshake_error(relay: &str, error: tungstenite::Error) -> Error {
    let tungstenite::Error::Http(answer) = error else { return connection_error(relay, &error).into() };
    let body = answer.body().as_deref().unwrap_or_default();
    api_error(answer.status(), "GET /v1/socket", body).into()
}

/// What a socket brings.
pub(crate) enum Incoming {
    /// A frame of ours.
    Frame(Box<ServerFrame>),
    /// A sign of life.
    Alive,
    /// The relay closes, with its code where it gave one of ours.
    Closed(Option<CloseCode>),
}

impl Socket {
    /// The next thing that comes. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Incoming, Error> {
        match self.stream.next().await {
            Some(Ok(Message::Binary(bytes))) => {
                let frame: ServerFrame = minicbor::decode(&bytes)
                    .map_err(|e| TransportError::Answer { what: "GET /v1/socket", reason: e.to_string() })?;
                Ok(Incoming::Frame(Box::new(frame)))
            }
            Some(Ok(Message::Close(frame))) => Ok(Incoming::Closed(frame.and_then(|f| CloseCode::of(f.code.into())))),
            Some(Ok(_)) => Ok(Incoming::Alive),
            Some(Err(error)) => Err(connection_error(&self.relay, &error).into()),
            None => Ok(Incoming::Closed(None)),
        }
    }

    /// Acknowledges.
    pub(crate) async fn ack(&mut self, positions: Vec<u64>) -> Result<(), Error> {
        let frame = sotto_crypto::encode(&ClientFrame::Ack(positions));
        self.put(Message::Binary(frame.into())).await
    }

    /// Asks for a sign of life.
    pub(crate) async fn ping(&mut self) -> Result<(), Error> {
        self.put(Message::Ping(Vec::new().into())).await
    }

    /// Closes, and waits until the relay has closed too: then it has read all that was sent before.
    pub(crate) async fn close(mut self, patience: Duration) {
        let _ = self.stream.close(None).await;
        let _ = timeout(patience, async { while let Some(Ok(_)) = self.stream.next().await {} }).await;
    }

    async fn put(&mut self, message: Message) -> Result<(), Error> {
        self.stream.send(message).await.map_err(|e| connection_error(&self.relay, &e).into())
    }
}

#[cfg(test)]
mod tests {
    use sotto_wire::ErrorCode;
    use tokio_tungstenite::tungstenite::http::Response;

    use super::*;

    #[test]
    fn a_refused_upgrade_cannot_move_the_cursor() {
        let body = br#"{"code":"suspended","message":"you\u001b[2J are suspended"}"#.to_vec();
        let answer = Response::builder().status(403).body(Some(body)).unwrap();
        let error = handshake_error("r", tungstenite::Error::Http(Box::new(answer)));
        assert_eq!(error.code(), Some(ErrorCode::Suspended));
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
}
