//! The client library: account, devices, conversations, sync. Everything that talks to a relay as a user does so
//! through it: the `sotto` command, the retention process, bots.
//!
//! ```no_run
//! # async fn example() -> Result<(), sotto_client::Error> {
//! use sotto_client::{Client, Event, JoinOptions, Password, SendOptions};
//! # let invite = "sotto://…".parse().map_err(|_| sotto_client::Error::Internal("no invite"))?;
//! # let bob = sotto_crypto::Address::parse("bob@chat.acme.example").map_err(|_| sotto_client::Error::Internal("no address"))?;
//!
//! // Once: registers, makes the keys, makes the profile. Later: `Client::open`.
//! let alice = Client::join(JoinOptions::new(invite, "profiles/alice", Password::new("a good one".into()))).await?;
//! // Returns when the relay has the message durably.
//! alice.send_text(&[bob], "Good morning", SendOptions::default()).await?;
//! // One receiver at a time. What is not acknowledged comes again.
//! let mut receiver = alice.receive(true)?;
//! while let Some(event) = receiver.next().await {
//!     if let Event::Message(message) = event? {
//!         receiver.ack(message.receipt()).await?;
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! There are two ways to say something. [`Client::send_text`], [`Client::send_file`] and [`Client::send_draft`] return when
//! the relay has it, or say why not. [`Client::post`] and its like return when it is durable in the outbox: a receiver that
//! follows sends it as soon as it can, in order, over restarts and bad networks. `examples/echo_bot.rs` is a whole bot.
//!
//! Module by module: `registration` joins; `compose` makes messages; `send` asks for recipients, has `recipients` check them
//! (pure: identities are pinned, devices certified, nobody added, retention as the signed policy says), seals and posts;
//! `outbox` and `pump` do so for what waits; `receiver` holds the socket, has `inbox` open what comes, and acknowledges what
//! the caller has handled; `apply` is what a message does to the store, `fold` (pure) makes of it what is shown, and `talk`
//! shows it; `signals` sends and hears
//! typing and presence; `prekeys` keeps the published keys fresh; `store` is the encrypted local store; `transport` is HTTP, WebSocket
//! and TLS.

// The tests' network is shared with the tests in `tests/`, which name the crate from outside.
#[cfg(test)]
extern crate self as sotto_client;
#[cfg(test)]
#[path = "../tests/it/common/mod.rs"]
mod common;

mod client;
mod core;
mod devices;
mod enroll;
mod history;
mod receive;
mod rooms;
mod send;
mod store;
mod talk;
mod transport;
mod trust;

pub use client::{Client, WhoAmI};
pub use core::clock::now_ms;
pub use core::endpoint::{Endpoint, Tls};
pub use core::error::{AttachmentError, Error, ProfileError, Refusal, StoreError, TransportError, TrustError};
pub use core::secret::{Password, RegistrationCode};
pub use core::text::{clean_name, is_bidi_control};
pub use devices::approve::DeviceRequest;
pub use devices::own::{DeviceInfo, Devices};
pub use devices::password::ChangedPassword;
pub use enroll::join::{JoinOptions, ServiceAccount};
pub use enroll::link::{LinkOptions, NewDevice, PendingDevice};
pub use history::receive::HistoryReceiver;
pub use history::send::HistorySender;
pub use history::{History, OtherDevice, Transferred};
pub use receive::download::Files;
pub use receive::event::{Event, RefusedElsewhere, Waiting, WaitsFor};
pub use receive::message::{OpenedAllTheSame, Receipt, ReceivedMessage, Unopened, UnopenedMessage};
pub use receive::receiver::{Acker, Receiver};
pub use rooms::change::{NewRoom, RoomView};
pub use rooms::keeper::Rooms;
pub use send::outbox::Outbox;
pub use send::settle::Sent;
pub use send::signals::Signals;
pub use store::profile::{Profile, Unlock, UnlockWay};
pub use store::{LeftOut, SeenIn};
pub use talk::conversations::Conversations;
pub use talk::view::{
    ConversationId, ConversationKind, ConversationView, DeliveryState, Draft, FileDraft, Flushed, MessageView,
    OutboxEntry, Target, ViewBody,
};
pub use trust::contacts::{Contact, Contacts};
pub use trust::identity::{IdentityChange, TrustState};
pub use trust::policy::Policy;
