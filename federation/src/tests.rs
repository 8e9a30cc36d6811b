//! Two gateways with real TLS between them, and fake relays at both ends.

mod flood;
mod path;
mod pki;
mod refusals;
mod run;
mod world;
