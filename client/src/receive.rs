//! The way in, the only one: what comes is opened, its sender is compared with the pin, and it gets its place; then it is
//! acknowledged. What cannot be shown yet is set aside, so that nothing from outside stops what comes after it.

mod authenticate;
pub(crate) mod download;
pub(crate) mod event;
pub(crate) mod message;
mod open;
pub(crate) mod place;
pub(crate) mod prekeys;
pub(crate) mod receiver;
mod signals;
mod socket;

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use sotto_crypto::{Address, DeviceId};

use crate::core::error::Error;
use crate::store::AsideCount;
use crate::trust::Trust;
use event::Waiting;
use place::Rooms;

/// The receiving side of an account.
pub(crate) struct Receiving {
    pub(crate) trust: Arc<Trust>,
    /// Says where messages to rooms belong.
    rooms: Arc<dyn Rooms>,
    /// When the newest signal of a device was sent: an older one is a repeat.
    newest: Mutex<HashMap<(Address, DeviceId), u64>>,
}

impl Receiving {
    pub(crate) fn new(trust: Arc<Trust>, rooms: Arc<dyn Rooms>) -> Self {
        Self { trust, rooms, newest: Mutex::default() }
    }

    /// Whose messages wait until they can be shown.
    pub(crate) async fn waiting(&self) -> Result<Vec<Waiting>, Error> {
        let mut counts = self.store.list::<AsideCount>().await?;
        counts.sort_by(|a, b| (&a.sender, a.reason).cmp(&(&b.sender, b.reason)));
        Ok(counts.iter().map(Waiting::of).collect())
    }
}

impl Deref for Receiving {
    type Target = Trust;

    fn deref(&self) -> &Trust {
        &self.trust
    }
}
