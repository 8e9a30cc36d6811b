//! What has come and could not be opened, in the store: noted in the transaction that acknowledges it.

use sotto_crypto::{Address, MessageId, SealedHeader};
use sotto_wire::content::{Body, MessageRef};
use sotto_wire::limits::MAX_RESEND;

use super::gaps::Around;
use crate::core::error::StoreError;
use crate::store::{Tx, between};

/// Something about messages that could not be opened.
pub(super) struct Lost {
    me: Address,
    news: News,
    /// Where it is shown.
    pub(super) conversation: String,
}

enum News {
    /// This one could not be opened.
    Unopened(MessageRef),
    /// Of those that were asked for: those that their sender does not have any more, and those that have said nothing.
    Answered(Vec<MessageRef>, Vec<MessageRef>),
}

impl Lost {
    /// A message whose secret is gone.
    pub(super) fn unopened(me: &Address, header: &SealedHeader) -> Self {
        Self::new(me, header, News::Unopened(name_of(header, header.message)))
    }

    /// What its sender says of messages that were asked for.
    pub(super) fn answered(me: &Address, header: &SealedHeader, body: &Body) -> Option<Self> {
        let Body::GoneById(gone, nothing) = body else { return None };
        let names = |ids: &[MessageId]| ids.iter().take(MAX_RESEND).map(|id| name_of(header, *id)).collect::<Vec<_>>();
        Some(Self::new(me, header, News::Answered(names(gone), names(nothing))))
    }

    fn new(me: &Address, header: &SealedHeader, news: News) -> Self {
        let conversation = between(me, &header.sender).map(|between| between.id()).unwrap_or_default();
        Self { me: me.clone(), news, conversation }
    }

    pub(super) fn note(&self, tx: &Tx<'_>, around: &Around<'_>) -> Result<(), StoreError> {
        match &self.news {
            News::Unopened(key) => tx.lose(key, (&self.me, around.keeps_history), around.now_ms),
            News::Answered(gone, nothing) => {
                gone.iter().try_for_each(|key| tx.give_up_lost(key))?;
                nothing.iter().try_for_each(|key| tx.find_lost(key).map(drop))
            }
        }
    }
}

/// Names a message of a sender's device.
pub(super) fn name_of(sender: &SealedHeader, message: MessageId) -> MessageRef {
    MessageRef { sender: sender.sender.clone(), device: sender.device, message }
}
