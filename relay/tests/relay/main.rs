//! The relay as a real server on loopback, talked to over HTTP, TLS and WebSocket as clients, operator and gateway do.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod accounts;
mod admin;
mod common;
mod federation;
mod head;
mod large;
mod lifecycle;
mod links;
mod membership;
mod messages;
mod prekeys;
mod resets;
mod rotation;
mod signals;
mod suspension;
mod vaults;
