//! Where a relay is, and how it proves to be the network's.

use minicbor::{Decode, Encode};
use sotto_wire::invite::Transport;

/// How the relay is reached.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Tls {
    /// Plain HTTP.
    #[n(0)]
    Off,
    /// Certificates of the public authorities, as this machine trusts them.
    #[n(1)]
    Public,
    /// The network's own authority, by the SHA-256 of its certificate (DER).
    #[n(2)]
    PinnedAuthority(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32]),
    /// The network's own authority, as PEM text.
    #[n(3)]
    Authority(#[n(0)] String),
}

/// Where the relay is and how it proves to be it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Base URL, `http://…` or `https://…`.
    pub url: String,
    /// How it proves to be the network's.
    pub tls: Tls,
}

impl Endpoint {
    /// The endpoint that an invite names.
    pub fn of_invite(invite: &sotto_wire::invite::Invite) -> Self {
        Self { url: invite.base_url(), tls: tls_of(&invite.transport) }
    }

    /// The endpoint that a link names.
    pub fn of_link(link: &sotto_wire::link::LinkUrl) -> Self {
        Self { url: link.base_url(), tls: tls_of(&link.transport) }
    }
}

fn tls_of(transport: &Transport) -> Tls {
    match transport {
        Transport::Plain => Tls::Off,
        Transport::PublicTls => Tls::Public,
        Transport::NetworkTls(ca) => Tls::PinnedAuthority(*ca),
    }
}
