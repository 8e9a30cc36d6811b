//! A device's socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use sotto_crypto::{decode_strict, encode};
use sotto_wire::api::{ClientFrame, Delivery, Notice, ServerFrame, Signal};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};

use super::http::Http;

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Plain, or in TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub(crate) struct Socket(WebSocketStream<Box<dyn Stream>>);

impl Socket {
    /// The status when it is refused.
    pub(crate) async fn open(address: SocketAddr, http: &Http) -> Result<Self, u16> {
        let mut request = format!("ws://{address}/v1/socket").into_client_request().unwrap();
        if let Some(token) = http.token() {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let stream = TcpStream::connect(address).await.unwrap();
        let stream: Box<dyn Stream> = match &http.tls {
            None => Box::new(stream),
            Some(config) => {
                let connector = TlsConnector::from(Arc::new(config.clone()));
                Box::new(connector.connect("localhost".try_into().unwrap(), stream).await.unwrap())
            }
        };
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    async fn message(&mut self) -> Message {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("something in time");
            match next.expect("not the end").expect("no error") {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    pub(crate) async fn frame(&mut self) -> ServerFrame {
        match self.message().await {
            Message::Binary(bytes) => decode_strict(&bytes).unwrap(),
            other => panic!("not a frame: {other:?}"),
        }
    }

    pub(crate) async fn delivery(&mut self) -> Delivery {
        match self.frame().await {
            ServerFrame::Delivery(delivery) => delivery,
            other => panic!("not a delivery: {other:?}"),
        }
    }

    pub(crate) async fn signal(&mut self) -> Signal {
        match self.frame().await {
            ServerFrame::Signal(signal) => signal,
            other => panic!("not a signal: {other:?}"),
        }
    }

    pub(crate) async fn notice(&mut self) -> Notice {
        match self.frame().await {
            ServerFrame::Notice(notice) => notice,
            other => panic!("not a notice: {other:?}"),
        }
    }

    pub(crate) async fn caught_up(&mut self) {
        match self.frame().await {
            ServerFrame::CaughtUp => {}
            other => panic!("not caught up: {other:?}"),
        }
    }

    /// The code of the closing frame.
    pub(crate) async fn closed(&mut self) -> u16 {
        match self.message().await {
            Message::Close(Some(frame)) => frame.code.into(),
            other => panic!("not closed: {other:?}"),
        }
    }

    pub(crate) async fn ack(&mut self, seqs: &[u64]) {
        self.send(Message::Binary(encode(&ClientFrame::Ack(seqs.to_vec())).into())).await;
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    /// Goes away without a word.
    pub(crate) fn vanish(self) {
        drop(self.0);
    }
}
