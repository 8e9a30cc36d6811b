//! What is missing of what others have said, as it is used.

use std::ops::Range;
use std::sync::Arc;

use super::view::Gap;
use crate::core::error::Error;
use crate::store::{ChainKey, GapEvent, GapNews, GapsRecord, Record as _};
use crate::trust::state::Trust;

/// What is missing of what others have said. Cheap to clone.
#[derive(Clone)]
pub struct Gaps {
    trust: Arc<Trust>,
}

impl Gaps {
    pub(crate) fn new(trust: Arc<Trust>) -> Self {
        Self { trust }
    }

    /// What is missing, as far as it was noticed, and who has said something that does not follow what came before; in order.
    pub async fn list(&self) -> Result<Vec<Gap>, Error> {
        let records = self.trust.store.list::<GapsRecord>().await?;
        let mut found = Vec::new();
        for record in &records {
            let open = record.gaps.iter().filter(|gap| gap.told);
            found.extend(open.map(|open| gap(&record.key, open.from..open.to, open.since_ms, GapEvent::Missing)));
            let conflicts = record.news.iter().filter(|news| news.what == GapEvent::Conflict);
            found.extend(conflicts.map(|news| of(&record.key, news)));
        }
        found.sort();
        Ok(found)
    }

    /// All that has happened and is not [`recorded`](Self::recorded), of each device in its order: for a service, whose records
    /// are elsewhere. A person's client remembers no more of it than [`list`](Self::list) gives.
    pub async fn news(&self) -> Result<Vec<Gap>, Error> {
        let records = self.trust.store.list::<GapsRecord>().await?;
        Ok(records.iter().flat_map(|record| record.news.iter().map(|news| of(&record.key, news))).collect())
    }

    /// These pieces of news are recorded elsewhere.
    pub async fn recorded(&self, news: Vec<Gap>) -> Result<(), Error> {
        self.trust
            .store
            .run(move |tx| {
                for one in news {
                    let key = ChainKey {
                        conversation: one.conversation.clone(),
                        sender: one.sender.clone(),
                        device: one.device,
                    };
                    let Some(mut record) = tx.get::<GapsRecord>(&key.parts())? else { continue };
                    record.news.retain(|known| of(&key, known) != one);
                    if record.is_empty() {
                        tx.delete::<GapsRecord>(&record.key())?;
                    } else {
                        tx.put(&record)?;
                    }
                }
                Ok(())
            })
            .await
    }
}

fn of(key: &ChainKey, news: &GapNews) -> Gap {
    Gap { message: news.message, ..gap(key, news.from..news.to, news.at_ms, news.what) }
}

fn gap(key: &ChainKey, numbers: Range<u64>, at_ms: u64, what: GapEvent) -> Gap {
    Gap::new(key.conversation.clone(), key.sender.clone(), key.device, numbers, at_ms, what)
}
