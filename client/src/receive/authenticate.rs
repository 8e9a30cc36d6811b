//! Who a message is from: the identity under which it opened, compared with the pin.

use sotto_wire::content::Content;

use super::message::Unopened;
use super::open::{Outcome, Unsealed};
use super::state::Receiving;
use crate::core::clock::now_ms;
use crate::core::error::Error;
use crate::store::{Reason, SeenIn};
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

impl Receiving {
    /// Compares the sender's identity with the pin. A change is durable before anything else happens with the message: also
    /// where it is a receipt, an event of a room, or one whose time is over.
    pub(super) async fn authenticate(&self, unsealed: &Unsealed) -> Result<Result<Sender, Outcome>, Error> {
        let (header, identity) = (&unsealed.header, &unsealed.opened.identity);
        if header.sender == self.account.address {
            let mine = identity == &self.account.identity;
            let me = Sender { mine: true, verified: true, changed: false };
            return Ok(if mine { Ok(me) } else { Err(unsealed.not_shown(Unopened::NotMine)) });
        }
        let seen_in = match minicbor::decode::<Content>(&unsealed.opened.content).map(|content| class(&content.body)) {
            Ok(Class::Receipt | Class::Signal) => SeenIn::Receipt,
            Ok(Class::Room) => SeenIn::Room,
            _ => SeenIn::Message,
        };
        let (who, identity, now) = (header.sender.clone(), identity.clone(), now_ms());
        let seen = self.store.run(move |tx| see(tx, &who, &identity, now, seen_in)).await?;
        if seen.verdict == Verdict::Blocked {
            return Ok(Err(match self.purpose {
                Purpose::Person => unsealed.aside(Reason::Identity),
                Purpose::Archive => unsealed.not_shown(Unopened::IdentityChanged),
            }));
        }
        let state = seen.pin.state();
        let (verified, changed) = (state == TrustState::Verified, state == TrustState::Replaced);
        Ok(Ok(Sender { mine: false, verified, changed }))
    }
}
