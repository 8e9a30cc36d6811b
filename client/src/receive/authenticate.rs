//! Who a message is from: the identity under which it opened, compared with the pin.

use super::message::Unopened;
use super::open::{Outcome, Unsealed};
use crate::core::error::StoreError;
use crate::store::account::Account;
use crate::store::{Reason, SeenIn, Tx};
use crate::talk::apply::{Class, class};
use crate::trust::identity::{TrustState, Verdict};
use crate::trust::pins::see;
use crate::trust::state::Purpose;

/// What is known of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sender {
    /// It is this user, from another device.
    pub(super) mine: bool,
    /// Compared by the user.
    pub(super) verified: bool,
    /// Another identity than the user has last acknowledged.
    pub(super) changed: bool,
}

/// Compares the sender's identity with the pin. A change is durable before anything else happens with the message: also
/// where it is a receipt, an event of a room, or one whose time is over.
pub(super) fn authenticate(
    tx: &Tx<'_>,
    account: &Account,
    purpose: Purpose,
    unsealed: &Unsealed,
    now_ms: u64,
) -> Result<Result<Sender, Outcome>, StoreError> {
    let (header, identity) = (&unsealed.header, &unsealed.opened.identity);
    if header.sender == account.address {
        let me = Sender { mine: true, verified: true, changed: false };
        return Ok(if identity == &account.identity { Ok(me) } else { Err(unsealed.not_shown(Unopened::NotMine)) });
    }
    let seen_in = match unsealed.content.as_ref().map(|content| class(&content.body)) {
        Some(Class::Receipt | Class::Signal) => SeenIn::Receipt,
        Some(Class::Room) => SeenIn::Room,
        _ => SeenIn::Message,
    };
    let seen = see(tx, &header.sender, identity, now_ms, seen_in)?;
    if seen.verdict == Verdict::Blocked {
        return Ok(Err(match purpose {
            Purpose::Person => unsealed.aside(Reason::Identity),
            Purpose::Archive => unsealed.not_shown(Unopened::IdentityChanged),
        }));
    }
    let state = seen.pin.state();
    let (verified, changed) = (state == TrustState::Verified, state == TrustState::Replaced);
    Ok(Ok(Sender { mine: false, verified, changed }))
}
