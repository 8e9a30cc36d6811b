//! What ends, ends here: messages whose time is over with all that was done to them, the memory of messages of which no
//! repeat can come, secrets that nothing is sealed to any more, and what has waited for too long.

use super::db::Tx;
use super::records::{BatchRecord, PrekeyRecord, Record as _};
use crate::core::error::StoreError;

/// Ends what has had its time. Gives the conversations that look different.
pub(crate) fn sweep(tx: &Tx<'_>, now_ms: u64) -> Result<Vec<String>, StoreError> {
    // Secrets first: what they open must not outlive the memory that it has been received.
    for batch in tx.list::<BatchRecord>()? {
        for index in (0..batch.count).filter(|index| batch.ends_at_ms(*index) <= now_ms) {
            tx.delete::<PrekeyRecord>(&PrekeyRecord::key_of(&batch.prekey(index)))?;
        }
        if batch.forget_at_ms <= now_ms {
            tx.delete::<BatchRecord>(&batch.key())?;
        }
    }
    tx.end_aside(now_ms)?;
    tx.end_lost(now_ms)?;
    tx.end_pending_events(now_ms)?;
    tx.expire(now_ms)
}
