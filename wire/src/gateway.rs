//! What relays and gateways say to each other: CBOR over mutual TLS.
//!
//! | from → to | method and path | body → answer |
//! |---|---|---|
//! | relay → own gateway | `POST /out/v1/{domain}/recipients` | [`PeerRecipients`] → [`crate::api::Recipients`] |
//! | | `POST /out/v1/{domain}/identities` | [`PeerIdentities`] → [`crate::api::Identities`] |
//! | | `POST /out/v1/{domain}/envelopes` | [`PeerEnvelope`] → [`crate::api::Accepted`] |
//! | | `GET /out/v1/{domain}/blobs/{blob}` | → bytes |
//! | gateway → peer gateway | the same under `/in/v1/…` without the domain; the client certificate says who calls | |
//! | gateway → own relay (admin listener, CN `gateway`) | the same under `/peer/v1/{calling domain}/…` | |
//!
//! A refusal travels back unchanged as [`crate::ApiError`].

use minicbor::{Decode, Encode};
use sotto_crypto::Address;

use crate::api::Envelope;

/// Asks a peer network for what is needed to write to its users.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct PeerRecipients {
    /// Who wants to write; of the calling network.
    #[n(0)]
    pub from: Address,
    /// Of the called network.
    #[n(1)]
    pub addresses: Vec<Address>,
}

/// Asks a peer network for identities.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct PeerIdentities {
    /// Who asks; of the calling network.
    #[n(0)]
    pub from: Address,
    /// Of the called network.
    #[n(1)]
    pub addresses: Vec<Address>,
}

/// A message for users of the called network: its wraps are theirs only.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct PeerEnvelope {
    /// With the wraps of the called network's devices.
    #[n(0)]
    pub envelope: Envelope,
}
