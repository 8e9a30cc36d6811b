//! Where pins and memberships are written: each in the transaction in which it was compared with what is there, so that no
//! other process can come in between.

use sotto_crypto::Address;

use super::identity::{Verdict, judge, merge};
use super::state::Trust;
use super::vouched::Vouched;
use crate::core::error::{Error, StoreError};
use crate::store::{MembershipRecord, Pin, Record as _, SeenIn, Tx};

/// A known membership is written anew when it was last seen this long (milliseconds) ago.
const MEMBERSHIP_NOTED_MS: u64 = 3_600_000;

/// What has become of somebody's pin.
pub(crate) struct Seen {
    pub(crate) verdict: Verdict,
    /// As it is now.
    pub(crate) pin: Pin,
}

/// Somebody has shown an identity that is vouched for: compares it with the pin, and moves the pin where it has to be moved.
pub(crate) fn see(tx: &Tx<'_>, shown: &Vouched, now_ms: u64, seen_in: SeenIn) -> Result<Seen, StoreError> {
    let pin: Option<Pin> = tx.get(&Pin::key_of(shown.address()))?;
    let judgement = judge(pin.as_ref(), shown, now_ms, seen_in);
    if let Some(moved) = &judgement.pin {
        tx.put(moved)?;
    }
    match judgement.pin.or(pin) {
        Some(pin) => Ok(Seen { verdict: judgement.verdict, pin }),
        None => Err(StoreError::Value { table: Pin::TABLE, reason: "a first identity makes a pin".to_owned() }),
    }
}

/// Takes over what another device of the user knows of somebody. False where it says nothing new.
pub(crate) fn take_over(tx: &Tx<'_>, theirs: &Pin, now_ms: u64) -> Result<bool, StoreError> {
    let here = tx.get::<Pin>(&Pin::key_of(&theirs.address))?;
    match merge(here.as_ref(), theirs, now_ms) {
        Some(merged) => tx.put(&merged).map(|()| true),
        None => Ok(false),
    }
}

/// A person has decided about somebody: `None` where nobody is pinned.
pub(crate) fn decide(
    tx: &Tx<'_>,
    address: &Address,
    decision: impl FnOnce(&Pin) -> Result<Pin, Error>,
) -> Result<Option<Result<Pin, Error>>, StoreError> {
    let Some(pin) = tx.get::<Pin>(&Pin::key_of(address))? else { return Ok(None) };
    let decided = decision(&pin);
    if let Ok(pin) = &decided {
        tx.put(pin)?;
    }
    Ok(Some(decided))
}

/// Stores what is known of somebody's group, unless another process has seen something newer; not for every message.
pub(crate) fn put_membership(tx: &Tx<'_>, membership: &MembershipRecord) -> Result<(), StoreError> {
    let known: Option<MembershipRecord> = tx.get(&membership.key())?;
    let current = known.is_some_and(|known| {
        let newer = known.policy_key == membership.policy_key && known.serial > membership.serial;
        let same = MembershipRecord { seen_at_ms: membership.seen_at_ms, ..known.clone() } == *membership;
        newer || same && membership.seen_at_ms < known.seen_at_ms.saturating_add(MEMBERSHIP_NOTED_MS)
    });
    if current { Ok(()) } else { tx.put(membership) }
}

impl Trust {
    /// The pins of these people.
    pub(crate) async fn pins(&self, addresses: Vec<Address>) -> Result<Vec<Pin>, Error> {
        self.store.run(move |tx| tx.those(addresses.iter().map(Pin::key_of))).await
    }
}
