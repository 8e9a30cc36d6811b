//! The way out, the only one: what is said or done is composed, put into the outbox, and sent from there by the worker.
//! Who waits for a message waits for its state in the store.

mod act;
mod attachments;
pub(crate) mod compose;
mod deliver;
pub(crate) mod outbox;
pub(crate) mod settle;
pub(crate) mod signals;
mod worker;

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use sotto_wire::content::MessageRef;

use crate::core::error::Error;
use crate::core::platform::Instant;
use crate::core::retry::Backoff;
use crate::trust::Trust;
use signals::Said;

pub(crate) use worker::keep_sending;

/// The sending side of an account.
pub(crate) struct Sending {
    pub(crate) trust: Arc<Trust>,
    /// One round at a time in this process.
    round: tokio::sync::Mutex<()>,
    /// Conversations that have failed, until when they are left alone.
    waits: Mutex<HashMap<String, (Backoff, Instant)>>,
    /// How often the relay had been reached anew when they were last looked at.
    connections: AtomicU64,
    /// Who watches which upload.
    uploads: Mutex<HashMap<MessageRef, attachments::Progress>>,
    /// Why messages that somebody in this process waits for have failed.
    failures: Mutex<HashMap<MessageRef, Option<Error>>>,
    /// What was said of typing and presence.
    signals: Said,
}

impl Sending {
    pub(crate) fn new(trust: Arc<Trust>) -> Self {
        Self {
            trust,
            round: tokio::sync::Mutex::default(),
            waits: Mutex::default(),
            connections: AtomicU64::new(0),
            uploads: Mutex::default(),
            failures: Mutex::default(),
            signals: Said::default(),
        }
    }
}

impl Deref for Sending {
    type Target = Trust;

    fn deref(&self) -> &Trust {
        &self.trust
    }
}
