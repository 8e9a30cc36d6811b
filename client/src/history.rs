//! The history, from one device of a user to another: sealed into a file, through the relay's link slots in pieces, and
//! imported record by record. A code that a person carries over makes sure who talks to whom; both sides confirm. Either
//! side may be killed at any moment and run again.

mod file;
pub(crate) mod receive;
pub(crate) mod send;
mod transfer;

use std::sync::Arc;
use std::time::Duration;

use sotto_crypto::{DeviceId, Fingerprint, LinkId, LinkKeys};
use sotto_wire::limits;

use crate::core::error::Error;
use crate::core::platform::{fs, sleep};
use crate::core::task::blocking;
use crate::store::Store;
use crate::trust::state::Trust;

/// Slots of the first link: the receiving device's offer, the sending one's answer, and how it goes on.
const OFFER: u32 = 0;
const ANSWER: u32 = 1;
/// Note of the receiver: 1 to go on, 0 to leave it.
const ACCEPT: u32 = 2;
/// Note of the receiver: all is imported; how many records there were.
const DONE: u32 = 3;
/// Note of the receiver for each further link: it has all of it. At this slot plus the link's number.
const RECEIVED: u32 = 16;

/// Slots of a further link that are used: 32 MiB, so that two fit into what the relay holds for a user, many times over.
const SLOTS_A_LINK: u64 = 512;
/// Links that the sender is ahead of the receiver.
const LINKS_AHEAD: u64 = 2;
/// Most links: the notes of all have their slots in the first one.
const MAX_LINKS: u64 = (limits::MAX_LINK_SLOTS - RECEIVED - 1) as u64;
/// Bytes of a slot.
const PIECE: u64 = limits::MAX_LINK_SLOT as u64;

/// The device at the other end, to be shown before it is confirmed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OtherDevice {
    /// Its id.
    pub device: DeviceId,
    /// Its name for people, as it says.
    pub label: String,
    /// Fingerprint of its key.
    pub fingerprint: Fingerprint,
}

/// The history of messages, from one device of the user to another. Cheap to clone.
#[derive(Clone)]
pub struct History {
    trust: Arc<Trust>,
}

impl History {
    pub(crate) fn new(trust: Arc<Trust>) -> Self {
        Self { trust }
    }
}

/// What has come over, or gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transferred {
    /// Records in all.
    pub records: u64,
    /// Records that were not here before; on the sending side 0.
    pub new: u64,
    /// Sealed bytes.
    pub bytes: u64,
}

/// Takes over what another store of the same user on this machine holds.
pub(crate) async fn take_over(trust: &Trust, from: Store) -> Result<(), Error> {
    let (path, to) = (trust.profile.transfer()?.join("old"), trust.store.clone());
    blocking(move || {
        let sealed = file::seal(&from, &path)?;
        let taken = file::import(&to, &path, &sealed.key, &|_| ());
        let _ = fs::remove_file(&path);
        taken.map(drop)
    })
    .await
}

/// Where a piece of the sealed file lies: number of its link (from 1) and slot.
fn place(piece: u64) -> (u64, u32) {
    (piece / SLOTS_A_LINK + 1, u32::try_from(piece % SLOTS_A_LINK).unwrap_or_default())
}

/// The link with a number.
fn link(keys: &LinkKeys, number: u64) -> LinkId {
    keys.further_id(u32::try_from(number).unwrap_or(u32::MAX))
}

/// The slot of the note that a further link was received.
fn received(number: u64) -> u32 {
    RECEIVED.saturating_add(u32::try_from(number).unwrap_or(u32::MAX))
}

/// What is in a slot, for as long as it takes to come; a relay that is away is waited for.
async fn wait_for(trust: &Trust, link: LinkId, slot: u32) -> Result<Vec<u8>, Error> {
    loop {
        match trust.api.slot(link, slot).await {
            Ok(Some(bytes)) => return Ok(bytes),
            Ok(None) => {}
            Err(error) if error.is_retryable() => {
                tracing::debug!(%error, "asking again");
                sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// A note in a slot, for as long as it takes to come.
async fn wait_for_note(trust: &Trust, keys: &LinkKeys, slot: u32) -> Result<u64, Error> {
    Ok(keys.open_note(slot, &wait_for(trust, keys.id(), slot).await?)?)
}

#[cfg(test)]
mod tests;
