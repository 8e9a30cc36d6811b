//! Who a message is from: the identity under which it opened, compared with the pin. One that is not known yet is looked up, and
//! counts only where it is vouched for.

use sotto_wire::policy::Anchor;

use super::message::Unopened;
use super::open::{Outcome, Unsealed};
use super::state::Receiving;
use crate::core::clock::now_ms;
use crate::core::error::{Error, StoreError};
use crate::store::account::Account;
use crate::store::{Pin, Reason, SeenIn, Tx};
use crate::talk::apply::{Class, class};
use crate::trust::identity::TrustState;
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
    /// By what it is known that the identity is theirs.
    pub(super) anchor: Option<Anchor>,
}

/// What an identity that a message has is to us.
enum Recognised {
    Sender(Sender),
    /// It is what a verified contact has shown since.
    Blocked,
    /// It is neither the one that counts nor the one that has been shown since; or it counts in rooms only, for nothing vouches for
    /// it.
    Unknown,
}

fn recognise(pin: Option<&Pin>, unsealed: &Unsealed) -> Recognised {
    let shown = &unsealed.opened.identity;
    match pin {
        Some(pin) if pin.is_known() && &pin.identity == shown => {
            let state = pin.state();
            let (verified, changed) = (state == TrustState::Verified, state == TrustState::Replaced);
            let anchor = pin.established.map(|by| by.anchor);
            Recognised::Sender(Sender { mine: false, verified, changed, anchor })
        }
        Some(pin) if pin.verified && pin.change.as_ref().is_some_and(|change| &change.other == shown) => {
            Recognised::Blocked
        }
        _ => Recognised::Unknown,
    }
}

/// Compares the sender's identity with the pin. `None` where it is one that nobody has heard of yet.
pub(super) fn authenticate(
    tx: &Tx<'_>,
    account: &Account,
    purpose: Purpose,
    unsealed: &Unsealed,
) -> Result<Option<Result<Sender, Outcome>>, StoreError> {
    let (header, identity) = (&unsealed.header, &unsealed.opened.identity);
    if header.sender == account.address {
        let me = Sender { mine: true, verified: true, changed: false, anchor: None };
        let mine = identity == &account.identity;
        return Ok(Some(if mine { Ok(me) } else { Err(unsealed.not_shown(Unopened::NotMine)) }));
    }
    let pin = tx.get::<Pin>(&Pin::key_of(&header.sender))?;
    Ok(match (recognise(pin.as_ref(), unsealed), purpose) {
        (Recognised::Sender(sender), _) => Some(Ok(sender)),
        (Recognised::Blocked, Purpose::Person) => Some(Err(unsealed.aside(Reason::Identity))),
        (Recognised::Blocked, Purpose::Archive) => Some(Err(unsealed.not_shown(Unopened::IdentityChanged))),
        (Recognised::Unknown, _) => None,
    })
}

impl Receiving {
    /// Asks who the sender of a message is that came under an identity nobody has heard of. A change is durable before anything
    /// else happens with the message: also where it is a receipt, an event of a room, or one whose time is over. False where
    /// nothing vouches for the identity.
    pub(super) async fn meet(&self, unsealed: &Unsealed) -> Result<bool, Error> {
        let seen_in = match unsealed.content.as_ref().map(|content| class(&content.body)) {
            Some(Class::Receipt | Class::Signal) => SeenIn::Receipt,
            Some(Class::Room) => SeenIn::Room,
            _ => SeenIn::Message,
        };
        let sender = &unsealed.header.sender;
        let introduced = match self.introduce(vec![sender.clone()]).await {
            // Who keeps records keeps them whoever does not answer.
            Err(error) if self.purpose == Purpose::Archive && !matches!(error, Error::Store(_)) => {
                tracing::warn!(%error, "nobody says who the sender of a message is");
                return Ok(false);
            }
            introduced => introduced?,
        };
        let now = now_ms();
        let pins = self
            .store
            .run(move |tx| {
                let seen = introduced.vouched.iter().map(|vouched| Ok(see(tx, vouched, now, seen_in)?.pin));
                seen.collect::<Result<Vec<_>, StoreError>>()
            })
            .await?;
        let pin = pins.iter().find(|pin| &pin.address == sender);
        Ok(!matches!(recognise(pin, unsealed), Recognised::Unknown))
    }
}
