//! In a browser: no socket yet. A browser's WebSocket cannot send the `Authorization` header that the relay asks for, so
//! that the relay has to take the token in another way first. Until then a receiver gets an error that says so.

use std::convert::Infallible;
use std::time::Duration;

use sotto_wire::api::ServerFrame;
use sotto_wire::close::CloseCode;

use super::target_of;
use crate::core::endpoint::Endpoint;
use crate::core::error::{Error, TransportError};

/// Opens sockets to one relay.
#[derive(Clone)]
pub(crate) struct Connector;

/// An open socket: there is none.
pub(crate) struct Socket(Infallible);

/// What a socket brings.
#[expect(dead_code, reason = "nothing comes yet")]
pub(crate) enum Incoming {
    /// A frame of ours.
    Frame(Box<ServerFrame>),
    /// A sign of life.
    Alive,
    /// The relay closes, with its code where it gave one of ours.
    Closed(Option<CloseCode>),
}

impl Connector {
    pub(crate) fn new(endpoint: &Endpoint) -> Result<Self, TransportError> {
        target_of(endpoint).map(|_| Self)
    }

    /// Opens the socket under a session token.
    pub(crate) async fn connect(&self, _: &str) -> Result<Socket, Error> {
        Err(TransportError::Tls("a browser cannot open the relay's socket yet".to_owned()).into())
    }
}

impl Socket {
    pub(crate) async fn next(&mut self) -> Result<Incoming, Error> {
        match self.0 {}
    }

    pub(crate) async fn ack(&mut self, _: Vec<u64>) -> Result<(), Error> {
        match self.0 {}
    }

    pub(crate) async fn ping(&mut self) -> Result<(), Error> {
        match self.0 {}
    }

    pub(crate) async fn close(self, _: Duration) {
        match self.0 {}
    }
}
