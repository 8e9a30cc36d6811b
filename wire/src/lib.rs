//! What travels between client, relay, gateway and operator: types, encoding, limits.
//!
//! - [`api`]: the relay's client interface. Bodies are deterministic CBOR arrays (RFC 8949 §4.2) of type
//!   [`CBOR`]; errors are JSON ([`ApiError`]), so that a person with `curl` can read them.
//! - [`close`]: why a relay closes a socket.
//! - [`policy`]: documents under the policy key, which clients verify themselves.
//! - [`content`]: what is inside a sealed message; the relay never sees it.
//! - [`room`]: the signed events that a room is.
//! - [`admin`]: the relay's admin interface (JSON, mutual TLS), used by the operator.
//! - [`gateway`]: what relays and gateways say to each other.
//! - [`invite`]: the URL by which a user registers.
//! - [`link`]: the URL by which a new device of a user finds its network.
//! - [`config`]: the configuration files of relay, gateway and retention process.
//! - [`name`]: what may be the name of a person.
//! - [`status`]: what a retention process says of its work.
//! - [`limits`]: every bound in one place.

pub mod admin;
pub mod api;
pub mod close;
pub mod config;
pub mod content;
mod error;
pub mod gateway;
pub mod invite;
pub mod limits;
pub mod link;
pub mod name;
pub mod password;
pub mod policy;
pub mod room;
mod source;
pub mod status;

pub use error::{ApiError, ErrorCode};
pub use source::Source;

/// Media type of request and answer bodies of the client and gateway interfaces.
pub const CBOR: &str = "application/cbor";
