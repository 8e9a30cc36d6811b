//! The relay: stores and forwards sealed messages. It sees who, when and how large, never what.
//!
//! A message's path, module by module: `serve` accepts the connection, `router` finds the handler, `auth` finds the
//! calling device, `routes/envelopes` reads the body, `deliver` checks what can be checked (recipients complete,
//! retention present, federation allowed), `store` makes it durable, `registry` wakes the recipients' sockets, `socket`
//! sends it and takes the acknowledgement; `outbox` brings it to other networks by way of `gateway`; `sweeper` drops
//! what has expired.

mod auth;
mod blobs;
mod clock;
mod deliver;
mod directory;
mod error;
mod extract;
mod gateway;
mod limits;
mod observe;
mod opaque;
mod outbox;
mod policy;
mod recipients;
mod registry;
mod router;
mod routes;
mod running;
mod secrets;
mod serve;
mod shares;
mod signals;
mod socket;
mod source;
mod state;
mod store;
mod sweeper;
mod tls;
mod token;
mod uploads;

use sotto_wire::config::RelayConfig;
use tokio_util::sync::CancellationToken;

pub use clock::{Clock, ManualClock, SystemClock};
pub use error::RelayError;
pub use running::{Options, Relay};

/// Runs a relay until `shutdown`: then it stops accepting, finishes requests, closes sockets so that devices connect
/// again elsewhere, and closes the store.
pub async fn run(config: RelayConfig, shutdown: CancellationToken) -> Result<(), RelayError> {
    Relay::start(config, Options::default(), shutdown).await?.finished().await
}
