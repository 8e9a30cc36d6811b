//! The sending side of an account, as a value: what is remembered between attempts.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use sotto_crypto::{Address, Recipient};
use sotto_wire::content::MessageRef;

use crate::core::error::Error;
use crate::core::platform::Instant;
use crate::core::retry::Backoff;
use crate::trust::state::Trust;

/// Hears of uploaded and all bytes.
pub(crate) type Progress = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// Recipients, and when they were asked for.
type Asked = (Instant, Vec<Recipient>);

/// What is remembered of signals, while the client lives.
#[derive(Default)]
pub(super) struct Said {
    pub(super) recipients: Mutex<HashMap<Vec<Address>, Asked>>,
    /// What was last said of typing in a conversation, and when.
    pub(super) said: Mutex<HashMap<String, (bool, Instant)>>,
}

/// The sending side of an account.
pub(crate) struct Sending {
    pub(crate) trust: Arc<Trust>,
    /// One round at a time in this process.
    pub(super) round: tokio::sync::Mutex<()>,
    /// Conversations that have failed, until when they are left alone.
    pub(super) waits: Mutex<HashMap<String, (Backoff, Instant)>>,
    /// How often the relay had been reached anew when they were last looked at.
    pub(super) connections: AtomicU64,
    /// Who watches which upload.
    pub(super) uploads: Mutex<HashMap<MessageRef, Progress>>,
    /// Why messages that somebody in this process waits for have failed.
    pub(super) failures: Mutex<HashMap<MessageRef, Option<Error>>>,
    /// What was said of typing and presence.
    pub(super) signals: Said,
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
