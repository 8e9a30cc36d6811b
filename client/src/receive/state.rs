//! The receiving side of an account, as a value.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use sotto_crypto::{Address, DeviceId};

use super::rooms::Rooms;
use crate::trust::state::Trust;

/// The receiving side of an account.
pub(crate) struct Receiving {
    pub(crate) trust: Arc<Trust>,
    /// Says where messages to rooms belong.
    pub(super) rooms: Arc<dyn Rooms>,
    /// When the newest signal of a device was sent: an older one is a repeat.
    pub(super) newest: Mutex<HashMap<(Address, DeviceId), u64>>,
}

impl Receiving {
    pub(crate) fn new(trust: Arc<Trust>, rooms: Arc<dyn Rooms>) -> Self {
        Self { trust, rooms, newest: Mutex::default() }
    }
}

impl Deref for Receiving {
    type Target = Trust;

    fn deref(&self) -> &Trust {
        &self.trust
    }
}
