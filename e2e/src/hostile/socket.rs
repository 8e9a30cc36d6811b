//! The socket of a device: what the relay delivers, and what the attacker adds and keeps back.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures::{SinkExt as _, StreamExt as _};
use sotto_crypto::{DeviceId, SealedHeader};
use sotto_wire::api::{ClientFrame, ServerFrame};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::{self, Message as Frame};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::proxy::Call;
use super::seen::read;
use super::{FORGED_FROM, Shared, Trick};

type Relay = WebSocketStream<TcpStream>;

/// `GET /v1/socket`: the relay decides whether it opens.
pub(super) async fn open(State(shared): State<Arc<Shared>>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    let device = shared.state().seen.caller(&Call::new(&Method::GET, "/v1/socket", &headers));
    match connect(&shared, &headers).await {
        Ok(relay) => upgrade.on_upgrade(move |client| Bridge { shared, device, sent: 0 }.run(client, relay)),
        Err(tungstenite::Error::Http(refused)) => {
            let status = StatusCode::from_u16(refused.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
            (status, refused.body().clone().unwrap_or_default()).into_response()
        }
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

async fn connect(shared: &Shared, headers: &HeaderMap) -> Result<Relay, tungstenite::Error> {
    let authority = shared.upstream.authority();
    let mut request = format!("ws://{authority}/v1/socket").into_client_request()?;
    if let Some(token) = headers.get(AUTHORIZATION) {
        request.headers_mut().insert(AUTHORIZATION, token.clone());
    }
    let stream = TcpStream::connect(authority).await?;
    Ok(client_async(request, stream).await?.0)
}

struct Bridge {
    shared: Arc<Shared>,
    device: Option<DeviceId>,
    /// The next forged delivery that this connection has not brought.
    sent: u64,
}

impl Bridge {
    async fn run(mut self, mut client: WebSocket, mut relay: Relay) {
        let mut news = self.shared.news.subscribe();
        // What was forged before comes before the relay says that this is all.
        let mut going = self.bring(&mut client).await.is_some();
        while going {
            going = tokio::select! {
                from = client.recv() => self.up(from, &mut relay).await.is_some(),
                from = relay.next() => self.down(from, &mut client).await.is_some(),
                changed = news.changed() => changed.is_ok() && self.bring(&mut client).await.is_some(),
            };
        }
        // Both learn that it is over; the relay has then read all that was acknowledged.
        let _ = client.send(Message::Close(None)).await;
        let _ = relay.close(None).await;
    }

    /// Forged deliveries, until they are acknowledged once in each connection.
    async fn bring(&mut self, client: &mut WebSocket) -> Option<()> {
        let Some(device) = self.device else { return Some(()) };
        let from = self.sent;
        let waiting: Vec<_> = {
            let state = self.shared.state();
            state
                .forged
                .get(&device)
                .into_iter()
                .flat_map(|queue| queue.range(from..))
                .map(|(_, d)| d.clone())
                .collect()
        };
        for delivery in waiting {
            self.sent = delivery.seq + 1;
            let frame = sotto_crypto::encode(&ServerFrame::Delivery(delivery));
            client.send(Message::Binary(frame.into())).await.ok()?;
        }
        Some(())
    }

    /// From the device: the relay hears of its own deliveries only.
    async fn up(&mut self, from: Option<Result<Message, axum::Error>>, relay: &mut Relay) -> Option<()> {
        match from?.ok()? {
            Message::Binary(bytes) => {
                let Some(ClientFrame::Ack(positions)) = read(&bytes) else {
                    return relay.send(Frame::Binary(bytes)).await.ok();
                };
                let (forged, real): (Vec<u64>, Vec<u64>) = positions.into_iter().partition(|seq| *seq >= FORGED_FROM);
                if let Some(device) = self.device {
                    let mut state = self.shared.state();
                    state.acknowledged(device, &forged);
                    state.seen.note_acknowledged(device, &real);
                }
                if real.is_empty() {
                    return Some(());
                }
                let frame = sotto_crypto::encode(&ClientFrame::Ack(real));
                relay.send(Frame::Binary(frame.into())).await.ok()
            }
            Message::Close(_) => None,
            _ => Some(()),
        }
    }

    /// From the relay.
    async fn down(&mut self, from: Option<Result<Frame, tungstenite::Error>>, client: &mut WebSocket) -> Option<()> {
        match from?.ok()? {
            Frame::Binary(bytes) => {
                if let (Some(device), Some(ServerFrame::Delivery(delivery))) = (self.device, read(&bytes)) {
                    let sender =
                        sotto_crypto::decode_strict::<SealedHeader>(&delivery.header).map(|header| header.sender);
                    let mut state = self.shared.state();
                    if sender.is_ok_and(|sender| state.tricks.contains(&Trick::Drop(sender))) {
                        return Some(());
                    }
                    state.seen.note_delivery(device, &delivery);
                }
                client.send(Message::Binary(bytes)).await.ok()
            }
            Frame::Close(frame) => {
                let frame = frame.map(|f| CloseFrame { code: f.code.into(), reason: f.reason.as_str().into() });
                let _ = client.send(Message::Close(frame)).await;
                None
            }
            _ => Some(()),
        }
    }
}
