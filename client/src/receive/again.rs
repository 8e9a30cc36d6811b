//! What was set aside, tried again when there is reason to.

use std::sync::PoisonError;

use sotto_crypto::SealedHeader;
use sotto_wire::api::Delivery;

use super::event::Event;
use super::line::{Again, Broken, Line};
use super::open::Outcome;
use super::place::CONTENT;
use crate::core::error::Error;
use crate::store::{Aside, Exact, Reason};
use crate::transport::ws::Socket;
use crate::trust::identity::TrustState;
use crate::trust::state::Purpose;

impl Line {
    /// A delivery that could not be taken in must not keep what comes after it. One that makes this program panic waits for a
    /// version that it does not; what somebody else can make fail (a network that may not be asked, or does not answer) is tried
    /// again with each connection. A store that fails is this machine's, and ends the receiver.
    pub(super) fn or_aside(&self, taken: Result<Outcome, Error>, delivery: &Delivery) -> Result<Outcome, Error> {
        let error = match taken {
            Err(error) if self.receiving.purpose == Purpose::Person && !matches!(error, Error::Store(_)) => error,
            taken => return taken,
        };
        let reason = if let Error::Internal(what) = error {
            tracing::error!(what, "a message cannot be opened; it is set aside");
            Reason::Newer(CONTENT)
        } else {
            tracing::warn!(%error, "a message cannot be placed now; it is set aside");
            Reason::Newer(0)
        };
        let header = sotto_crypto::decode_strict::<SealedHeader>(&delivery.header).map_err(|_| error)?;
        let key = Aside::key_of(&Exact::of(&header));
        let (order, delivery) = (delivery.seq, sotto_crypto::encode(delivery));
        Ok(Outcome::Aside(Box::new(Aside { key, reason, delivery, order, one_time: None }), None))
    }

    /// Tries again what was set aside, in the order in which it came.
    pub(super) async fn try_again(&mut self, socket: &mut Socket, which: Again) -> Result<(), Broken> {
        /// Looked at in one piece of work.
        const PAGE: u32 = 50;
        let mut after = Some(0);
        while let Some(at) = after {
            let (page, next) = self.receiving.store.run(move |tx| tx.aside(at, PAGE)).await?;
            after = next;
            for aside in page {
                if !self.has_reason(&aside, which).await? {
                    continue;
                }
                let Some(exact) = aside.exact() else { continue };
                // Looked at before the store is: what is acknowledged is there before it is not in flight any more.
                let given_out =
                    self.shared.in_flight.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&exact);
                if let Some(delivery) = minicbor::decode(&aside.delivery).ok().filter(|_| !given_out) {
                    self.delivery(socket, delivery).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether a message that was set aside may be shown now.
    async fn has_reason(&self, aside: &Aside, which: Again) -> Result<bool, Error> {
        Ok(match (which, aside.reason) {
            // Of a room of which nothing is here yet, nothing has come that it could have waited for.
            (Again::All, Reason::RoomEvents(room)) => {
                self.receiving.store.run(move |tx| tx.has_room_events(&room)).await?
            }
            (Again::Room(room), Reason::RoomEvents(waits)) => room == waits,
            (Again::All, Reason::Newer(known)) => known < CONTENT,
            (Again::All | Again::Accepted, Reason::Identity) => {
                let pins = self.receiving.pins(vec![aside.key.sender.clone()]).await?;
                pins.iter().all(|pin| pin.state() != TrustState::Changed)
            }
            _ => false,
        })
    }

    /// Tells whose messages wait.
    pub(super) async fn tell_waiting(&mut self, socket: &mut Socket) -> Result<(), Broken> {
        let waiting = self.receiving.waiting().await?;
        if waiting.is_empty() { Ok(()) } else { self.emit(socket, Event::Waiting(waiting)).await }
    }
}
