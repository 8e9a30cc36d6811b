//! The client library: account, devices, conversations, rooms. Everything that talks to a relay as a user does so through it:
//! the `sotto` command, the retention process, bots.
//!
//! # A bot
//!
//! `examples/echo_bot.rs`, which the tests run against a real relay:
//!
//! ```no_run
#![doc = include_str!("../examples/echo_bot.rs")]
//! ```
//!
//! To make its profile without the `sotto` command, and to say something first:
//!
//! ```no_run
//! # async fn example() -> Result<(), sotto_client::Error> {
//! use sotto_client::{Address, Client, JoinOptions, Password};
//! # let invite = "sotto://…".parse().map_err(|_| sotto_client::Error::Internal("no invite"))?;
//!
//! // Registers, makes the keys, makes the profile. Can be interrupted, and run again.
//! let bot = Client::join(JoinOptions::new(invite, "profiles/bot", Password::new("a good one".into()))).await?;
//! let Ok(bob) = Address::parse("bob@chat.acme.example") else { return Ok(()) };
//! // Returns when the relay has the message durably, or says why not.
//! let sent = bot.outbox().send_text(&[bob], "Good morning").await?;
//! for who in &sent.changed {
//!     eprintln!("{who} has another identity than before");
//! }
//! # Ok(()) }
//! ```
//!
//! # By topic
//!
//! | topic | what |
//! |---|---|
//! | [`Client::outbox`] | says things, and does things to messages: [`send`](Outbox::send) waits for the relay, [`post`](Outbox::post) does not |
//! | [`Client::receive`] | what comes, as [`Event`]s |
//! | [`Client::conversations`] | what is there: lists, pages, search, what was read, who retains it |
//! | [`Client::contacts`] | who people are: safety numbers, and changes that wait for an acknowledgement |
//! | [`Client::rooms`] | rooms with members and moderators |
//! | [`Client::devices`] | the user's devices, the password, the recovery key |
//! | [`Client::history`] | the history, from one device to another |
//! | [`Client::gaps`] | what is missing of what others have said |
//! | [`Client::files`] | files that came with messages |
//! | [`Client::signals`] | typing and presence |
//!
//! # Who somebody is
//!
//! The relay is not trusted to say it. An identity is pinned when it is first seen; when another one shows, by whatever way,
//! that is a state ([`TrustState::Replaced`], or [`TrustState::Changed`] for who was verified) until a person has
//! acknowledged it: sending to the verified is refused, and everything else says so.
//!
//! ```no_run
//! # async fn example(client: sotto_client::Client) -> Result<(), sotto_client::Error> {
//! use sotto_client::TrustState;
//!
//! for contact in client.contacts().list().await? {
//!     if let Some(change) = &contact.change {
//!         println!("{}: {} is now {}", contact.address, change.old, change.new);
//!     }
//!     // After a person has compared the number with theirs:
//!     if contact.state == TrustState::Pinned {
//!         client.contacts().mark_verified(&contact).await?;
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! # How it is made
//!
//! Layers that import downwards only, which `tests/it/layers.rs` watches: `core`; `store` (encrypted, with keys that are really
//! erased); `transport`; `trust` (the only one that decides who somebody is); `talk` (what messages do, and how they are
//! shown); `send` (through the outbox, always); `receive` (open, authenticate, place; what cannot be shown is set aside);
//! `rooms`, `devices`, `history`; `client` (the handle); `enroll` (join, link, replace, service).

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

// What a bot needs of the crates below.
pub use sotto_crypto::{Address, DeviceId, Domain, Fingerprint, MessageId, SafetyNumber};
pub use sotto_wire::content::{Body, Content, Conversation, File, FileKind, Forwarded, MessageRef, Presence};
pub use sotto_wire::invite::Invite;
pub use sotto_wire::link::LinkUrl;
pub use sotto_wire::policy::Anchor;
pub use sotto_wire::room::{RoomChange, RoomId};
pub use sotto_wire::{ApiError, ErrorCode};

pub use client::{Client, WhoAmI};
pub use core::clock::now_ms;
pub use core::endpoint::{Endpoint, Tls};
pub use core::error::{
    AttachmentError, Error, ListProblem, ProfileError, Refusal, StoreError, TransportError, TrustError,
};
pub use core::retry::Backoff;
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
pub use receive::event::{DeviceEvent, Event, RefusedElsewhere, Waiting, WaitsFor};
pub use receive::message::{OpenedAllTheSame, Receipt, ReceivedMessage, Unopened, UnopenedMessage};
pub use receive::receiver::{Acker, Receiver};
pub use rooms::change::{NewRoom, RoomView};
pub use rooms::keeper::Rooms;
pub use send::outbox::Outbox;
pub use send::settle::Sent;
pub use send::signals::Signals;
pub use store::profile::{Profile, Unlock, UnlockWay};
pub use store::{DeviceChange, GapEvent, LeftOut, Missing, RemovedDevices, SeenIn};
pub use talk::conversations::Conversations;
pub use talk::gaps::Gaps;
pub use talk::view::{
    ConversationId, ConversationKind, ConversationView, DeliveryState, Draft, FileDraft, Flushed, Gap, MessageView,
    OutboxEntry, Target, ViewBody,
};
pub use trust::contacts::{Contact, Contacts};
pub use trust::directory::{DirectoryTimes, StaleNetwork};
pub use trust::identity::{IdentityChange, TrustState};
pub use trust::policy::Policy;
