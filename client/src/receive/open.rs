//! From a delivery to what is sealed in it. Nothing is acknowledged and no secret is deleted before the receiver says so
//! ([`Receipt`]).

use sotto_crypto::{Opened, PrekeyRef, PrekeySecret, SealedHeader};
use sotto_wire::api::Delivery;

use super::message::{OpenedAllTheSame, Receipt, ReceivedMessage, Unopened, UnopenedMessage};
use super::state::Receiving;
use crate::core::error::Error;
use crate::core::task::blocking;
use crate::store::{Aside, Exact, PrekeyRecord, Reason, Seen};

/// What became of a delivery.
pub(super) enum Outcome {
    Message(Box<ReceivedMessage>),
    Unopened(Box<UnopenedMessage>),
    /// To be kept, and tried again when there is reason to.
    Aside(Box<Aside>),
    /// Nothing that anybody is told of: to be acknowledged.
    Dropped(Receipt),
    /// Received and acknowledged before.
    Repeat,
}

/// A delivery that opens under its sender's signature.
pub(super) struct Unsealed {
    pub(super) delivery: Delivery,
    pub(super) header: SealedHeader,
    pub(super) opened: Opened,
    /// Where it was sealed to a one-time prekey.
    pub(super) one_time: Option<PrekeyRef>,
    /// Its id is that of another message, which has come before.
    pub(super) conflict: bool,
}

impl Unsealed {
    pub(super) fn exact(&self) -> Exact {
        Exact::of(&self.header)
    }

    /// What acknowledges it, and keeps nothing.
    pub(super) fn receipt(&self) -> Receipt {
        Receipt { seq: self.delivery.seq, key: Some(self.exact()), one_time: self.one_time, stored: None }
    }

    /// It did open, and still cannot be shown: acknowledged, its secret ends like that of any message.
    pub(super) fn not_shown(&self, reason: Unopened) -> Outcome {
        Outcome::Unopened(Box::new(UnopenedMessage {
            opened: Some(OpenedAllTheSame::of(&self.opened)),
            receipt: self.receipt(),
            ..unopened(&self.delivery, Some(&self.header), reason)
        }))
    }

    /// It has to wait.
    pub(super) fn aside(&self, reason: Reason) -> Outcome {
        Outcome::Aside(Box::new(Aside {
            key: Aside::key_of(&self.exact()),
            reason,
            delivery: sotto_crypto::encode(&self.delivery),
            order: self.delivery.seq,
            one_time: self.one_time,
        }))
    }
}

fn unopened(delivery: &Delivery, header: Option<&SealedHeader>, reason: Unopened) -> UnopenedMessage {
    UnopenedMessage {
        message: header.map(|h| h.message),
        sender: header.map(|h| h.sender.clone()),
        sender_device: header.map(|h| h.device),
        accepted_at_ms: delivery.accepted_at_ms,
        reason,
        opened: None,
        sealed: sotto_crypto::encode(delivery),
        receipt: Receipt { seq: delivery.seq, key: None, one_time: None, stored: None },
    }
}

/// An outcome of a delivery that did not open.
fn closed(delivery: &Delivery, header: Option<&SealedHeader>, reason: Unopened) -> Outcome {
    Outcome::Unopened(Box::new(unopened(delivery, header, reason)))
}

impl Receiving {
    /// Opens a delivery, authenticates its sender, and gives it its place. An error is one of this machine (the store);
    /// everything else is an outcome.
    pub(super) async fn take_in(&self, delivery: Delivery) -> Result<Outcome, Error> {
        let opened = self.unseal(delivery).await?;
        self.take_in_opened(opened).await
    }

    /// The same, of one that was opened before.
    pub(super) async fn take_in_opened(&self, opened: Result<Unsealed, Outcome>) -> Result<Outcome, Error> {
        let unsealed = match opened {
            Ok(unsealed) => unsealed,
            Err(outcome) => return Ok(outcome),
        };
        match self.authenticate(&unsealed).await? {
            Ok(sender) => self.place(unsealed, sender).await,
            Err(outcome) => Ok(outcome),
        }
    }

    /// Opens a delivery under the prekey that it names, and verifies the signature inside.
    pub(super) async fn unseal(&self, delivery: Delivery) -> Result<Result<Unsealed, Outcome>, Error> {
        let Ok(header) = sotto_crypto::decode_strict::<SealedHeader>(&delivery.header) else {
            return Ok(Err(closed(&delivery, None, Unopened::Form)));
        };
        let exact = Exact::of(&header);
        let prekey = delivery.prekey;
        let row = PrekeyRecord::key_of(&prekey);
        let (seen, record) = self.store.run(move |tx| Ok((tx.seen(&exact)?, tx.get::<PrekeyRecord>(&row)?))).await?;
        if seen == Seen::Same {
            return Ok(Err(Outcome::Repeat));
        }
        if header.network.as_str() != header.sender.domain_str() {
            return Ok(Err(closed(&delivery, Some(&header), Unopened::Network)));
        }
        let Some(record) = record else { return Ok(Err(closed(&delivery, Some(&header), Unopened::NoKey))) };
        let one_time = record.one_time.then_some(prekey);
        let (known, account, head) = (self.known.clone(), self.account.clone(), header.clone());
        let (body, wrapped) = (delivery.body.clone(), delivery.key.clone());
        let opened = blocking(move || {
            let me = (&account.address, account.device);
            Ok(PrekeySecret::from_bytes(&record.secret).map_err(|e| e.to_string()).and_then(|secret| {
                sotto_crypto::open_with(&mut known.lock(), &head, &body, me, prekey, &secret, &wrapped)
                    .map_err(|e| e.to_string())
            }))
        })
        .await?;
        Ok(match opened {
            Ok(opened) => Ok(Unsealed { delivery, header, opened, one_time, conflict: seen == Seen::Other }),
            Err(reason) => Err(closed(&delivery, Some(&header), Unopened::Sealed(reason))),
        })
    }
}
