//! The relay as a real server on loopback, talked to over HTTP, TLS and WebSocket as clients, operator and gateway do.

mod accounts;
mod admin;
mod common;
mod federation;
mod lifecycle;
mod messages;
mod prekeys;
mod suspension;
