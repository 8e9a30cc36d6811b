//! Which devices are somebody's: what a signed list says, compared with what was seen before. Pure; what is written is written by
//! [`put_list`], in the transaction in which it was compared.

use sotto_crypto::{
    Address, CLOCK_TOLERANCE_MS, DeviceId, DeviceList, Fingerprint, ListedDevice, Signed, VerifiedDevices,
};

use crate::core::error::{ListProblem, StoreError};
use crate::store::{DeviceChange, GoneDevice, ListRecord, Record as _, Tx};

/// Days that a list counts: who connects with no device for longer cannot be written to.
const LIFE_MS: u64 = 60 * 24 * 3600 * 1000;
/// A device that connects renews a list that is older than this.
const RENEW_MS: u64 = 7 * 24 * 3600 * 1000;
/// Removed devices that are remembered of one person.
const GONE: usize = 64;

/// What a list says, compared with what is known: what is to be kept. `from_ms` is [`MembershipDocument::devices_from_ms`].
///
/// [`MembershipDocument::devices_from_ms`]: sotto_wire::policy::MembershipDocument::devices_from_ms
pub(crate) fn judge(
    identity: Fingerprint,
    signed: &Signed<DeviceList>,
    list: &VerifiedDevices,
    known: Option<&ListRecord>,
    from_ms: u64,
    now_ms: u64,
) -> Result<ListRecord, ListProblem> {
    let known = known.filter(|known| known.identity == identity);
    let digest = sotto_crypto::digest(signed.payload());
    if let Some(known) = known {
        if list.serial() < known.serial.max(known.heard) {
            return Err(ListProblem::Older);
        }
        if list.serial() == known.serial && digest != known.digest {
            return Err(ListProblem::Other);
        }
    }
    if list.serial() < from_ms {
        return Err(ListProblem::Reset);
    }
    // A new device that was shown an old list signs a newer one with all that was in it.
    if known.is_some_and(|known| list.devices().iter().any(|device| known.gone_at_ms(device.device()).is_some())) {
        return Err(ListProblem::PutBack);
    }
    if list.expires_at_ms() <= now_ms {
        return Err(ListProblem::Ended);
    }
    // After a reset it may have to be a little ahead, to count.
    if list.serial() > now_ms.max(from_ms).saturating_add(CLOCK_TOLERANCE_MS) {
        return Err(ListProblem::Future);
    }
    let unseen = || ListRecord::unseen(list.address().clone(), identity);
    Ok(after(known.cloned().unwrap_or_else(unseen), list, digest))
}

/// What is known after this list.
fn after(known: ListRecord, list: &VerifiedDevices, digest: [u8; 32]) -> ListRecord {
    let there = |device: &DeviceId| list.device(*device).is_some();
    let newly = known.devices.iter().filter(|device| !there(device));
    let newly = newly.map(|device| GoneDevice { device: *device, at_ms: list.serial() });
    let mut gone: Vec<_> = known.gone.iter().copied().chain(newly).collect();
    gone.drain(..gone.len().saturating_sub(GONE));
    let devices = list.devices().iter().map(sotto_crypto::VerifiedDevice::device).collect();
    ListRecord { serial: list.serial(), digest, devices, gone, ..known }
}

/// Stores what is known of somebody's devices, unless another process has seen something newer.
pub(crate) fn put_list(tx: &Tx<'_>, list: &ListRecord) -> Result<(), StoreError> {
    let known: Option<ListRecord> = tx.get(&list.key())?;
    let newer = known.as_ref().is_some_and(|known| known.identity == list.identity && known.serial > list.serial);
    if newer || known.as_ref() == Some(list) { Ok(()) } else { tx.put(list) }
}

/// A message of theirs has named the serial of their list: from now on the relay shows no older one. One from the future would keep
/// everybody from writing to them.
pub(crate) fn hear(
    tx: &Tx<'_>,
    address: &Address,
    identity: Fingerprint,
    serial: u64,
    now_ms: u64,
) -> Result<(), StoreError> {
    let known = known_list(tx, address, identity)?;
    if serial > known.heard.max(known.serial) && serial <= now_ms.saturating_add(CLOCK_TOLERANCE_MS) {
        tx.put(&ListRecord { heard: serial, ..known })?;
    }
    Ok(())
}

/// What is known of somebody's devices under this identity.
pub(crate) fn known_list(tx: &Tx<'_>, address: &Address, identity: Fingerprint) -> Result<ListRecord, StoreError> {
    let known = tx.get::<ListRecord>(&ListRecord::key_of(address))?.filter(|known| known.identity == identity);
    Ok(known.unwrap_or_else(|| ListRecord::unseen(address.clone(), identity)))
}

/// What to do about the list of the own devices that the relay shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// It is the one that counts; with what is new in it.
    Counts(Box<ListRecord>, Vec<(DeviceId, DeviceChange)>),
    /// The relay is to have another one, with these devices and a serial above this one's.
    Put(Vec<ListedDevice>, u64, Vec<(DeviceId, DeviceChange)>),
    /// This device was removed.
    Removed,
}

/// Who looks at the own list.
pub(crate) struct Looking<'a> {
    pub(crate) identity: Fingerprint,
    /// This device, as it is listed.
    pub(crate) me: &'a ListedDevice,
    pub(crate) from_ms: u64,
    pub(crate) now_ms: u64,
}

/// Compares the list of the own devices that the relay shows with the one that is known here.
///
/// The newest list counts. Whatever the relay shows instead, an older one or one that was made from an older one, a device that was
/// removed does not come back by it.
pub(crate) fn own(
    looking: &Looking<'_>,
    shown: Option<(&Signed<DeviceList>, &VerifiedDevices)>,
    known: Option<&ListRecord>,
) -> Own {
    let Looking { identity, me, from_ms, now_ms } = *looking;
    // Where a list does not count any more, its devices are none.
    let counted = |serial: u64| serial >= from_ms;
    let known = known.filter(|known| known.identity == identity && counted(known.serial));
    let ours: Vec<ListedDevice> =
        known.and_then(|known| known.own.as_ref()?.unverified().ok()).map(|list| list.devices).unwrap_or_default();
    let theirs: Vec<ListedDevice> = shown
        .filter(|(_, list)| counted(list.serial()))
        .and_then(|(signed, _)| signed.unverified().ok())
        .map(|list| list.devices)
        .unwrap_or_default();
    let removed = |device: DeviceId| known.is_some_and(|known| known.gone_at_ms(device).is_some());
    let is_new = |listed: &&ListedDevice| !ours.iter().any(|one| one.device == listed.device);
    let back: Vec<_> = theirs.iter().filter(|listed| removed(listed.device)).map(|listed| listed.device).collect();
    let added = theirs.iter().filter(is_new).filter(|listed| !removed(listed.device) && listed.device != me.device);
    let mut news: Vec<_> = match known {
        // At first everything is new, and nothing is news.
        None => Vec::new(),
        Some(_) => added.clone().map(|listed| (listed.device, DeviceChange::Added)).collect(),
    };
    let above = shown.map_or(0, |(_, list)| list.serial()).max(known.map_or(0, |known| known.serial.max(known.heard)));
    let above = above.max(from_ms);
    let put = |mut devices: Vec<ListedDevice>, news| {
        if !devices.iter().any(|listed| listed.device == me.device) {
            devices.push(me.clone());
        }
        Own::Put(devices, above, news)
    };
    let judged = shown.map(|(signed, list)| (judge(identity, signed, list, known, from_ms, now_ms), signed, list));
    match judged {
        Some((Ok(_), _, list)) if list.device(me.device).is_none() => Own::Removed,
        Some((Ok(record), signed, list)) => {
            let gone = ours.iter().filter(|listed| list.device(listed.device).is_none());
            news.extend(gone.map(|listed| (listed.device, DeviceChange::Removed)));
            if now_ms >= list.serial().saturating_add(RENEW_MS) {
                return put(theirs, news);
            }
            Own::Counts(Box::new(ListRecord { own: Some(signed.clone()), ..record }), news)
        }
        // A newer list, that was made from one with devices that are removed.
        Some((Err(ListProblem::PutBack), ..)) => {
            news.extend(back.iter().map(|device| (*device, DeviceChange::PutRight)));
            put(theirs.iter().filter(|listed| !removed(listed.device)).cloned().collect(), news)
        }
        // Its time is over, and nothing else is wrong with it.
        Some((Err(ListProblem::Ended), ..)) => put(if ours.is_empty() { theirs } else { ours.clone() }, news),
        _ => {
            let devices: Vec<_> = ours.iter().chain(added).cloned().collect();
            if known.is_some() {
                let wrong = if back.is_empty() { vec![me.device] } else { back };
                news.extend(wrong.into_iter().map(|device| (device, DeviceChange::PutRight)));
            }
            put(devices, news)
        }
    }
}

/// The list with these devices that follows one with the serial `above`.
pub(crate) fn next_list(address: &Address, devices: Vec<ListedDevice>, above: u64, now_ms: u64) -> DeviceList {
    let serial = now_ms.max(above.saturating_add(1));
    DeviceList::new(address.clone(), serial, now_ms.saturating_add(LIFE_MS), devices)
}

#[cfg(test)]
mod tests;
