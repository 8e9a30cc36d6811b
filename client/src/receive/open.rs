//! From a delivery to what is sealed in it. Nothing is acknowledged and no secret is deleted before the receiver says so
//! ([`Receipt`]).

use std::sync::Arc;

use sotto_crypto::{Known, MessageId, Opened, PrekeyRef, PrekeySecret, SealedHeader};
use sotto_wire::api::Delivery;
use sotto_wire::content::Content;
use sotto_wire::policy::Anchor;

use super::gaps::Noted;
use super::lost::Lost;
use super::message::{OpenedAllTheSame, Receipt, ReceivedMessage, Unopened, UnopenedMessage};
use super::state::Receiving;
use crate::core::error::{Error, StoreError};
use crate::core::task::blocking;
use crate::store::account::Account;
use crate::store::{Aside, BatchRecord, Exact, PrekeyRecord, Reason, Seen, Tx};

/// What became of a delivery.
pub(super) enum Outcome {
    Message(Box<ReceivedMessage>),
    Unopened(Box<UnopenedMessage>),
    /// To be kept, and tried again when there is reason to.
    Aside(Box<Aside>, Option<Arc<Noted>>),
    /// Nothing that anybody is told of: to be acknowledged.
    Dropped(Box<Receipt>),
    /// Received and acknowledged before.
    Repeat,
    /// Given out before, and not acknowledged yet.
    GivenOut,
}

/// What became of opening a delivery.
pub(super) type Opening = Result<Unsealed, Outcome>;

/// A delivery that opens under its sender's signature.
pub(super) struct Unsealed {
    pub(super) delivery: Arc<Delivery>,
    pub(super) header: SealedHeader,
    pub(super) opened: Opened,
    /// What is said, of whatever version; `None` where it has no form that this program knows.
    pub(super) content: Option<Content>,
    /// By what it is known that the identity is the sender's, as soon as that is known.
    pub(super) established_by: Option<Anchor>,
    /// Another message of its id has come before.
    pub(super) conflict: bool,
    /// Where it was sealed to a one-time prekey.
    pub(super) one_time: Option<PrekeyRef>,
    /// Otherwise when the secret ends that opens it.
    pub(super) secret_ends_at_ms: Option<u64>,
    /// Its place behind what the same device has said before.
    pub(super) noted: Option<Arc<Noted>>,
    /// The message that it says again: then `opened` is what that says.
    pub(super) again: Option<MessageId>,
}

impl Unsealed {
    pub(super) fn exact(&self) -> Exact {
        Exact::of(&self.header)
    }

    /// What acknowledges it, and keeps nothing.
    pub(super) fn receipt(&self) -> Receipt {
        Receipt::new(self.delivery.seq, Some(self.exact()), self.one_time).sealed_until(self.secret_ends_at_ms)
    }

    /// It did open, and still cannot be shown: acknowledged, its secret ends like that of any message.
    pub(super) fn not_shown(&self, reason: Unopened) -> Outcome {
        // What is refused for what it says has come all the same; a stranger's says nothing of what anybody misses.
        let counts = matches!(reason, Unopened::RoomAuthor(_) | Unopened::NewerContent);
        let noted = self.noted.clone().filter(|_| counts);
        Outcome::Unopened(Box::new(UnopenedMessage {
            opened: Some(OpenedAllTheSame::of(&self.opened, self.established_by)),
            receipt: Receipt { noted, ..self.receipt() },
            ..unopened(&self.delivery, Some(&self.header), reason)
        }))
    }

    /// It has to wait.
    pub(super) fn aside(&self, reason: Reason) -> Outcome {
        // Whose identity is not accepted does not count yet; what was said again is missing until it is shown.
        let noted = self.noted.clone().filter(|_| reason != Reason::Identity && self.again.is_none());
        let aside = Box::new(Aside {
            key: Aside::key_of(&self.exact()),
            reason,
            delivery: sotto_crypto::encode(&*self.delivery),
            order: self.delivery.seq,
            one_time: self.one_time,
        });
        Outcome::Aside(aside, noted)
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
        receipt: Receipt::new(delivery.seq, None, None),
    }
}

/// An outcome of a delivery that did not open.
fn closed(delivery: &Delivery, header: Option<&SealedHeader>, reason: Unopened) -> Outcome {
    Outcome::Unopened(Box::new(unopened(delivery, header, reason)))
}

impl Receiving {
    /// Opens deliveries under the prekeys that they name, and verifies the signatures inside: one look into the store for
    /// all, then one after the other on a thread for such work. An error is one of this machine (the store); everything else is
    /// an outcome.
    pub(super) async fn unseal(&self, deliveries: Vec<Arc<Delivery>>) -> Result<Vec<Opening>, Error> {
        let (store, known, account) = (self.store.clone(), self.known.clone(), self.account.clone());
        blocking(move || {
            let headers: Vec<Option<SealedHeader>> =
                deliveries.iter().map(|delivery| sotto_crypto::decode_strict(&delivery.header).ok()).collect();
            let secrets = store.run_blocking(|tx| {
                let looked_up = deliveries.iter().zip(&headers).map(|(delivery, header)| {
                    let Some(header) = header else { return Ok(Secret::None) };
                    if tx.seen(&Exact::of(header))? == Seen::Same {
                        return Ok(Secret::Seen);
                    }
                    Secret::of(tx, delivery.prekey)
                });
                looked_up.collect::<Result<Vec<_>, _>>()
            })?;
            let mut known = known.lock();
            let each = deliveries.into_iter().zip(headers).zip(secrets);
            Ok(each.map(|((delivery, header), secret)| open(&mut known, &account, delivery, header, &secret)).collect())
        })
        .await
    }
}

/// What the store has for a delivery.
enum Secret {
    None,
    /// With when it ends, where it does not end with the message.
    Here(PrekeyRecord, Option<u64>),
    /// The message has come before.
    Seen,
}

impl Secret {
    fn of(tx: &Tx<'_>, prekey: PrekeyRef) -> Result<Self, StoreError> {
        let Some(record) = tx.get::<PrekeyRecord>(&PrekeyRecord::key_of(&prekey))? else { return Ok(Self::None) };
        if record.one_time {
            return Ok(Self::Here(record, None));
        }
        let batch = tx.get::<BatchRecord>(&BatchRecord::key_of(prekey.batch))?;
        Ok(Self::Here(record, batch.map(|batch| batch.ends_at_ms(prekey.index))))
    }
}

fn open(
    known: &mut Known,
    account: &Account,
    delivery: Arc<Delivery>,
    header: Option<SealedHeader>,
    secret: &Secret,
) -> Opening {
    let Some(header) = header else { return Err(closed(&delivery, None, Unopened::Form)) };
    let (record, secret_ends_at_ms) = match secret {
        Secret::Seen => return Err(Outcome::Repeat),
        _ if header.network.as_str() != header.sender.domain_str() => {
            return Err(closed(&delivery, Some(&header), Unopened::Network));
        }
        Secret::None => {
            let mut unopened = unopened(&delivery, Some(&header), Unopened::NoKey);
            unopened.receipt.lost = Some(Arc::new(Lost::unopened(&account.address, &header)));
            return Err(Outcome::Unopened(Box::new(unopened)));
        }
        Secret::Here(record, ends_at_ms) => (record, *ends_at_ms),
    };
    let (me, prekey) = ((&account.address, account.device), delivery.prekey);
    let opened = PrekeySecret::from_bytes(&record.secret).map_err(|e| e.to_string()).and_then(|secret| {
        sotto_crypto::open_with(known, &header, &delivery.body, me, prekey, &secret, &delivery.key)
            .map_err(|e| e.to_string())
    });
    match opened {
        Ok(opened) => {
            let content: Option<Content> = minicbor::decode(&opened.content).ok();
            let noted = content.as_ref().and_then(|content| Noted::of(&header, content, &opened.content));
            let one_time = record.one_time.then_some(prekey);
            Ok(Unsealed {
                delivery,
                header,
                opened,
                content,
                conflict: false,
                established_by: None,
                one_time,
                secret_ends_at_ms,
                noted,
                again: None,
            })
        }
        Err(reason) => Err(closed(&delivery, Some(&header), Unopened::Sealed(reason))),
    }
}
