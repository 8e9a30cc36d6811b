//! What is missing, in the store: noted in the transaction that settles a message, and told as soon as nothing of it is here and
//! about to be settled.

use std::collections::BTreeMap;
use std::sync::Arc;

use sotto_crypto::SealedHeader;
use sotto_wire::content::{Content, Conversation, Link};
use sotto_wire::limits::MAX_RESEND;

use super::state::Receiving;
use crate::core::clock::now_ms;
use crate::core::error::{Error, StoreError};
use crate::store::{ChainKey, ChainRecord, ConversationRecord, GapEvent, GapsRecord, Tx, conversation};
use crate::talk::apply::{Class, class};
use crate::talk::chain::{Come, follow, head, tell};

/// What a person's client keeps of conflicts. Who keeps records keeps all that has happened, until it is recorded.
const CONFLICTS: usize = 16;

/// The place of a message in its chain.
pub(super) struct Noted {
    pub(super) key: ChainKey,
    pub(super) come: Come,
    conversation: Conversation,
}

/// What a message has come to.
#[derive(Clone, Copy, Default)]
pub(super) struct Came {
    /// It was missing, and somebody was told.
    pub(super) late: bool,
    /// It does not follow what the same device has said before.
    pub(super) conflict: bool,
}

impl Noted {
    /// The place of a message, where it has one: what goes to some members only has none.
    pub(super) fn of(header: &SealedHeader, content: &Content, sealed: &[u8]) -> Option<Arc<Self>> {
        let link = content.link.filter(|_| matches!(class(&content.body), Class::Said | Class::Done | Class::Room))?;
        Some(Arc::new(Self {
            key: ChainKey {
                conversation: content.conversation.id(),
                sender: header.sender.clone(),
                device: header.device,
            },
            come: Come { link, digest: Link::digest_of(sealed), message: header.message, now_ms: now_ms() },
            conversation: content.conversation.clone(),
        }))
    }

    /// Whether it is told as missing.
    pub(super) fn is_late(&self, tx: &Tx<'_>) -> Result<bool, StoreError> {
        let gaps = tx.get::<GapsRecord>(&self.key.parts())?;
        Ok(gaps.is_some_and(|gaps| gaps.gap_of(self.come.link.index).is_some_and(|gap| gap.told)))
    }

    /// Whether it is missing, and was asked for.
    pub(super) fn is_missing(&self, tx: &Tx<'_>) -> Result<bool, StoreError> {
        let gaps = tx.get::<GapsRecord>(&self.key.parts())?;
        Ok(gaps.is_some_and(|gaps| gaps.gap_of(self.come.link.index).is_some_and(|gap| gap.told && gap.asked > 0)))
    }

    /// It has come: durably, when the transaction is.
    pub(super) fn note(&self, tx: &Tx<'_>, around: &Around<'_>) -> Result<Came, StoreError> {
        let parts = self.key.parts();
        if around.keeps_history && conversation(tx, &self.key.conversation)?.is_none() {
            match &self.conversation {
                // Nothing is shown of a room that nobody here is in.
                Conversation::Room(_) => return Ok(Came::default()),
                people => tx.put(&ConversationRecord::of(people))?,
            }
        }
        let chain = tx.get::<ChainRecord>(&parts)?;
        let known = tx.get::<GapsRecord>(&parts)?;
        let gaps = known.clone().unwrap_or_else(|| GapsRecord::none(&self.key));
        let late = gaps.gap_of(self.come.link.index).is_some_and(|gap| gap.told);
        let mut step = follow(&self.key, chain.as_ref(), gaps, &Come { now_ms: around.now_ms, ..self.come });
        tx.put(&step.chain)?;
        let told = tell(&mut step.gaps, around.now_ms, |index| (around.is_here)(&self.key, index));
        let changed = told.into_iter().chain(step.filled.filter(|_| late));
        around.put(tx, known.as_ref(), step.gaps, changed.map(|place| (place, 0)))?;
        Ok(Came { late, conflict: step.conflict })
    }
}

/// How far somebody's device has come, as it says.
pub(super) struct Head {
    pub(super) key: ChainKey,
    pub(super) head: Link,
}

impl Head {
    pub(super) fn note(&self, tx: &Tx<'_>, around: &Around<'_>) -> Result<(), StoreError> {
        let parts = self.key.parts();
        // Somebody who has said nothing here that is kept shows nothing.
        if around.keeps_history && conversation(tx, &self.key.conversation)?.is_none() {
            return Ok(());
        }
        let known = tx.get::<GapsRecord>(&parts)?;
        let mut gaps = known.clone().unwrap_or_else(|| GapsRecord::none(&self.key));
        let chain = tx.get::<ChainRecord>(&parts)?;
        let Some(moved) = head(&self.key, chain.as_ref(), &mut gaps, self.head, around.now_ms) else { return Ok(()) };
        tx.put(&moved)?;
        let told = tell(&mut gaps, around.now_ms, |index| (around.is_here)(&self.key, index));
        around.put(tx, known.as_ref(), gaps, told.into_iter().map(|place| (place, 0)))
    }
}

/// Messages that will not come: their sender's device says so.
pub(super) struct Gone {
    pub(super) key: ChainKey,
    /// Those that it does not have any more, and those that were not sent here.
    pub(super) numbers: [(GapEvent, Vec<u64>); 2],
}

impl Gone {
    pub(super) fn note(&self, tx: &Tx<'_>, around: &Around<'_>) -> Result<(), StoreError> {
        let Some(known) = tx.get::<GapsRecord>(&self.key.parts())? else { return Ok(()) };
        let mut gaps = known.clone();
        let mut places: BTreeMap<u64, u64> = BTreeMap::new();
        for (what, numbers) in &self.numbers {
            for number in numbers.iter().take(MAX_RESEND) {
                if let Some(place) = gaps.give_up(*number, *what, around.now_ms) {
                    *places.entry(place).or_default() += u64::from(*what == GapEvent::Gone);
                }
            }
        }
        around.put(tx, Some(&known), gaps, places.into_iter())
    }
}

/// What is to be known beside a message that has come.
pub(super) struct Around<'a> {
    pub(super) now_ms: u64,
    /// Whether a place in the history is kept for what is missing.
    pub(super) keeps_history: bool,
    /// Whether a message of a chain is here and about to be settled.
    pub(super) is_here: &'a dyn Fn(&ChainKey, u64) -> bool,
}

impl Around<'_> {
    /// Writes what is missing of a chain, and changes what is shown of the gaps with these places, of which so much more will not
    /// come.
    fn put(
        &self,
        tx: &Tx<'_>,
        known: Option<&GapsRecord>,
        mut gaps: GapsRecord,
        changed: impl Iterator<Item = (u64, u64)>,
    ) -> Result<(), StoreError> {
        if self.keeps_history {
            gaps.news.retain(|news| news.what == GapEvent::Conflict);
            let more = gaps.news.len().saturating_sub(CONFLICTS);
            gaps.news.drain(..more);
            for (place, gone) in changed {
                tx.place_gap(&gaps.key, place, (gaps.left(place), gone), self.now_ms)?;
            }
        }
        match known {
            Some(_) if gaps.is_empty() => tx.delete::<GapsRecord>(&gaps.key.parts()),
            None if gaps.is_empty() => Ok(()),
            Some(known) if *known == gaps => Ok(()),
            _ => tx.put(&gaps),
        }
    }
}

impl Receiving {
    /// All that was waiting has come: what is missing of what was noticed before, by whoever received then, is told now.
    pub(super) async fn tell_gaps<F>(&self, is_here: F) -> Result<(), Error>
    where
        F: Fn(&ChainKey, u64) -> bool + Send + 'static,
    {
        let (now_ms, keeps_history) = (now_ms(), self.purpose.keeps_history());
        let told = self
            .store
            .run(move |tx| {
                let around = Around { now_ms, keeps_history, is_here: &is_here };
                let mut told = Vec::new();
                for known in tx.list::<GapsRecord>()?.into_iter().filter(|gaps| gaps.gaps.iter().any(|gap| !gap.told)) {
                    let mut gaps = known.clone();
                    let places = tell(&mut gaps, now_ms, |index| (around.is_here)(&known.key, index));
                    if !places.is_empty() {
                        told.push(known.key.conversation.clone());
                    }
                    around.put(tx, Some(&known), gaps, places.into_iter().map(|place| (place, 0)))?;
                }
                Ok(told)
            })
            .await?;
        for conversation in told {
            self.changed(&conversation);
        }
        Ok(())
    }
}
