//! The pump sends what waits in the outbox: conversations side by side, messages of one conversation one after the other.
//! Only one process at a time pumps for a profile. A message keeps its id through every attempt, so that the relay takes
//! it once however often it is tried.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use sotto_crypto::Address;
use sotto_wire::content::{Body, Content, MessageRef, ReceiptKind};
use sotto_wire::limits;
use tokio::sync::MutexGuard;
use zeroize::Zeroizing;

use super::chain;
use super::compose::roll_back;
use super::deliver::{Accepted, Delivered};
use super::lost;
use super::settle::uncertain;
use super::state::Sending;
use crate::core::clock::now_ms;
use crate::core::error::{Error, Refusal, StoreError};
use crate::core::platform::{Instant, timeout, timeout_at};
use crate::core::retry::{Backoff, random};
use crate::store::{
    Audience, MessageState, OutboxKind, OutboxRecord, PendingReceipt, Record as _, StoredMessage, Tx, conversation,
    outbox_all, sweep,
};
use crate::talk::apply;
use crate::trust::policy;

/// Conversations that are sent to at the same time.
const LANES: usize = 4;
/// Between two attempts in a conversation.
const AGAIN: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// The store is looked at this often for what another process has put there, and for what has expired.
const LOOK: Duration = Duration::from_secs(1);

/// What a round has done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Round {
    pub(crate) sent: u32,
    pub(crate) refused: u32,
}

/// How an attempt has ended.
enum Ended {
    Sent,
    Refused,
    /// Nobody wants it any more.
    Gone,
    /// To be tried again later.
    Later,
}

/// Sends for as long as it lives, and ends what has had its time. Nothing where the receiver does not follow: then what waits
/// is sent at its end.
pub(crate) async fn keep_sending(sending: Arc<Sending>, follow: bool) {
    if !follow {
        return;
    }
    if let Err(error) = sending.sweep_outgoing().await {
        tracing::warn!(%error, "the folder of outgoing files cannot be looked through");
    }
    loop {
        let far = Instant::now() + Duration::from_hours(24);
        if let Err(error) = sending.pump(far, None).await {
            tracing::warn!(%error, "the outbox cannot be sent; tried again");
        }
        if let Err(error) = sending.expire().await {
            tracing::warn!(%error, "what has expired cannot be deleted; tried again");
        }
        let _ = timeout(LOOK, sending.news.notified()).await;
    }
}

impl Sending {
    /// Notes whether the relay may have a message: as it was posted, and as it is posted again where it has a place in a chain; or
    /// that it has not, and then its place is free again. False where it was cancelled meanwhile.
    pub(super) async fn mark_uncertain(
        &self,
        entry: &mut OutboxRecord,
        posted: Option<&Zeroizing<Vec<u8>>>,
    ) -> Result<bool, Error> {
        let (key, posted, uncertain) = (entry.key.clone(), posted.cloned(), posted.is_some());
        entry.uncertain = uncertain;
        self.store
            .run(move |tx| {
                let Some(mut entry) = tx.outbox_entry(&key)? else { return Ok(false) };
                let moves = entry.uncertain != uncertain;
                let differs = posted.filter(|posted| entry.linked && entry.content != **posted);
                if moves || differs.is_some() {
                    entry.uncertain = uncertain;
                    if let Some(posted) = differs {
                        entry.content = posted.to_vec();
                    }
                    tx.put_outbox(&entry)?;
                }
                if moves {
                    let state = if uncertain { MessageState::Sending } else { MessageState::Queued };
                    with_message(tx, &key, |message| message.state = state)?;
                }
                Ok(true)
            })
            .await
    }

    /// What has failed is tried at once.
    pub(crate) fn forget_backoff(&self) {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How many messages wait.
    pub(crate) async fn waiting(&self) -> Result<u32, Error> {
        let waiting = self.store.run(|tx| Ok(tx.outbox()?.len() + tx.list::<PendingReceipt>()?.len())).await?;
        Ok(u32::try_from(waiting).unwrap_or(u32::MAX))
    }

    /// What has failed in one conversation is tried at once.
    pub(super) fn forget_backoff_of(&self, conversation: &str) {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).remove(conversation);
    }

    /// Whether something in a conversation has failed and waits for its next attempt.
    pub(super) fn is_waiting(&self, conversation: &str) -> bool {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).contains_key(conversation)
    }

    /// Deletes what has expired.
    async fn expire(&self) -> Result<(), Error> {
        let now = now_ms();
        let ended =
            self.store.run(move |tx| if tx.has_expired(now)? { sweep(tx, now) } else { Ok(Vec::new()) }).await?;
        for conversation in ended {
            self.changed(&conversation);
        }
        Ok(())
    }

    /// Sends what is due, of one conversation or of all, until nothing is or the time is over. Nothing, where another
    /// process is at it.
    pub(crate) async fn pump(&self, until: Instant, only: Option<&str>) -> Result<Round, Error> {
        match timeout_at(until, self.round.lock()).await {
            Ok(round) => self.pump_with(&round, until, only).await,
            Err(_) => Ok(Round::default()),
        }
    }

    /// The same, by who holds the round.
    pub(super) async fn pump_with(
        &self,
        _round: &MutexGuard<'_, ()>,
        until: Instant,
        only: Option<&str>,
    ) -> Result<Round, Error> {
        let mut done = Round::default();
        let mut running = FuturesUnordered::new();
        let mut busy = BTreeSet::new();
        let mut lock = None;
        loop {
            let now = now_ms();
            let nothing = move |tx: &Tx<'_>| {
                Ok(tx.outbox_is_empty()?
                    && tx.is_empty::<PendingReceipt>()?
                    && !chain::is_due(tx, now)?
                    && !lost::is_due(tx, now)?)
            };
            if self.store.run(nothing).await? {
                return Ok(done);
            }
            if lock.is_none() {
                lock = self.profile.lock_for_sending()?;
            }
            if lock.is_none() {
                return Ok(done);
            }
            if Instant::now() < until {
                self.gather_receipts().await?;
                self.gather_chains().await?;
                for (id, lane) in self.lanes(only).await? {
                    if running.len() < LANES && busy.insert(id.clone()) {
                        running.push(async { (id.clone(), self.lane(id, lane, until).await) });
                    }
                }
            }
            let ended = tokio::select! {
                ended = running.next() => ended,
                // A long upload in one conversation holds nothing up in another.
                () = self.news.notified(), if !running.is_empty() => continue,
            };
            let Some((id, round)) = ended else { return Ok(done) };
            busy.remove(&id);
            let round = round?;
            done.sent += round.sent;
            done.refused += round.refused;
        }
    }

    /// What is due, by conversation, each in its order.
    async fn lanes(&self, only: Option<&str>) -> Result<BTreeMap<String, Vec<OutboxRecord>>, Error> {
        let mut lanes: BTreeMap<String, Vec<OutboxRecord>> = BTreeMap::new();
        for entry in self.store.run(outbox_all).await? {
            lanes.entry(entry.conversation.id()).or_default().push(entry);
        }
        let connections = self.trust.connections.load(Ordering::Relaxed);
        if self.connections.swap(connections, Ordering::Relaxed) != connections {
            self.forget_backoff();
        }
        let waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        lanes
            .retain(|id, _| only.is_none_or(|only| only == id) && waits.get(id).is_none_or(|(_, until)| *until <= now));
        Ok(lanes)
    }

    /// One conversation, until something has to wait.
    async fn lane(&self, id: String, entries: Vec<OutboxRecord>, until: Instant) -> Result<Round, Error> {
        let mut done = Round::default();
        for entry in entries {
            let ended = match timeout_at(until, self.attempt(&entry)).await {
                Ok(ended) => ended?,
                Err(_) => return Ok(done),
            };
            match ended {
                Ended::Sent => done.sent += 1,
                Ended::Refused => done.refused += 1,
                Ended::Gone => {}
                Ended::Later => {
                    let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
                    let (backoff, again) = waits.entry(id).or_insert((AGAIN, Instant::now()));
                    *again = Instant::now() + backoff.next(random());
                    return Ok(done);
                }
            }
            self.waits.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        }
        Ok(done)
    }

    /// One attempt at one entry. An error is one of this machine.
    async fn attempt(&self, entry: &OutboxRecord) -> Result<Ended, Error> {
        let key = entry.key.clone();
        // As it is now: it may have been cancelled, or sent by another process.
        let Some(mut entry) = self.store.run(move |tx| tx.outbox_entry(&key)).await? else { return Ok(Ended::Gone) };
        if entry.expires_at_ms.is_some_and(|end| end <= now_ms()) {
            self.drop_entry(&entry).await?;
            return Ok(Ended::Gone);
        }
        let error = match self.try_entry(&mut entry).await {
            Ok(Delivered::Accepted(accepted)) => {
                self.accepted(&entry, accepted).await?;
                return Ok(Ended::Sent);
            }
            Ok(Delivered::Cancelled) => return Ok(Ended::Gone),
            Err(error) => self.api.with_clock(error),
        };
        match &error {
            Error::Store(_) => Err(error),
            failed if failed.is_retryable() || matches!(failed, Error::Internal(_)) => {
                self.failed(&entry.key, error.to_string()).await?;
                self.fail(&entry.key, error);
                Ok(Ended::Later)
            }
            _ => {
                self.refused(&entry, error.to_string()).await?;
                self.fail(&entry.key, if entry.uncertain { uncertain(&entry.key, error) } else { error });
                Ok(Ended::Refused)
            }
        }
    }

    async fn try_entry(&self, entry: &mut OutboxRecord) -> Result<Delivered, Error> {
        let policy = self.policy().await?;
        let content: Content = minicbor::decode(&entry.content)
            .map_err(|_| Refusal::NotPossible("what waits in the outbox cannot be read"))?;
        policy::admit(&content, &policy.group)?;
        if entry.upload.is_some() {
            self.upload_outgoing(entry, content).await?;
        }
        self.deliver(entry).await
    }

    /// The relay has it.
    async fn accepted(&self, entry: &OutboxRecord, accepted: Accepted) -> Result<(), Error> {
        let (key, id, kind, now) = (entry.key.clone(), entry.conversation.id(), entry.kind, now_ms());
        let sent = entry.clone();
        self.store
            .run(move |tx| {
                let Accepted { at_ms, devices, retained_by, left_out, posted } = accepted;
                tx.delete_outbox(&key)?;
                with_message(tx, &key, |message| {
                    message.state = MessageState::Accepted;
                    message.accepted_at_ms = at_ms;
                    message.retained = !retained_by.is_empty();
                    message.retained_by.clone_from(&retained_by);
                    (message.devices, message.left_out) = (devices, left_out);
                    let content: Option<Content> = minicbor::decode(&message.content).ok();
                    if let Some(seconds) = content.and_then(|c| c.burn_after_read_s) {
                        apply::burn(message, seconds, now);
                    }
                })?;
                if let Some(posted) = posted {
                    chain::keep(tx, &sent, posted, now)?;
                }
                if !kind.is_quiet()
                    && let Some(mut record) = conversation(tx, &id)?
                {
                    record.retained = !retained_by.is_empty();
                    record.retained_by = retained_by;
                    tx.put(&record)?;
                }
                Ok(())
            })
            .await?;
        if !kind.is_quiet() {
            self.changed(&entry.conversation.id());
        }
        Ok(())
    }

    /// It is refused for good. Where the relay may have it from before, what it has done here stays: others may hear of it.
    async fn refused(&self, entry: &OutboxRecord, reason: String) -> Result<(), Error> {
        let upload = entry.upload.clone();
        let entry = entry.clone();
        let id = entry.conversation.id();
        self.store
            .run(move |tx| {
                tx.give_up_outbox(&entry.key)?;
                if !entry.uncertain {
                    roll_back(tx, &entry)?;
                }
                with_message(tx, &entry.key, |message| {
                    message.state = if entry.uncertain { MessageState::Uncertain } else { MessageState::Refused };
                    message.reason = Some(reason);
                })
            })
            .await?;
        if let Some(name) = upload {
            self.forget_outgoing(&name);
        }
        self.changed(&id);
        Ok(())
    }

    /// It was tried and has to wait.
    async fn failed(&self, key: &MessageRef, reason: String) -> Result<(), Error> {
        let key = key.clone();
        let conversation = self
            .store
            .run(move |tx| {
                let Some(mut entry) = tx.outbox_entry(&key)? else { return Ok(None) };
                entry.attempts = entry.attempts.saturating_add(1);
                entry.reason = Some(reason);
                tx.put_outbox(&entry)?;
                Ok(Some(entry.conversation.id()))
            })
            .await?;
        if let Some(id) = conversation {
            self.changed(&id);
        }
        Ok(())
    }

    async fn drop_entry(&self, entry: &OutboxRecord) -> Result<(), Error> {
        let key = entry.key.clone();
        self.store.run(move |tx| tx.give_up_outbox(&key)).await?;
        if let Some(name) = &entry.upload {
            self.forget_outgoing(name);
        }
        Ok(())
    }

    /// What is missing, and is to be asked for now, and what is to be said of the own chains becomes entries.
    async fn gather_chains(&self) -> Result<(), Error> {
        let (account, now) = (self.account.clone(), now_ms());
        let gather = move |tx: &Tx<'_>| {
            chain::ask(tx, &account, now)?;
            lost::ask(tx, &account, now)?;
            chain::say_heads(tx, &account, now)
        };
        self.store.run(gather).await
    }

    /// Receipts that are due become entries: by conversation and sender, many in one.
    async fn gather_receipts(&self) -> Result<(), Error> {
        let (account, now) = (self.account.clone(), now_ms());
        let pending = self.store.list::<PendingReceipt>().await?;
        let mut groups: BTreeMap<(String, Address, bool, bool), Vec<PendingReceipt>> = BTreeMap::new();
        for receipt in pending {
            let read = receipt.kind == ReceiptKind::Read;
            let group = (receipt.conversation.clone(), receipt.target.sender.clone(), read, receipt.own_only);
            groups.entry(group).or_default().push(receipt);
        }
        for ((id, sender, read, own_only), receipts) in groups {
            let Some(record) = self.store.run(move |tx| conversation(tx, &id)).await? else { continue };
            for some in receipts.chunks(limits::MAX_RECEIPTS) {
                let kind = if read { ReceiptKind::Read } else { ReceiptKind::Delivered };
                let named = some.iter().map(|r| r.target.clone()).collect();
                let content = Content::new(record.conversation.clone(), now, Body::Receipt(kind, named));
                let people = if own_only || sender == account.address { Vec::new() } else { vec![sender.clone()] };
                let entry = self.entry(&content, OutboxKind::Receipt, Audience::Only(people), now)?;
                let some = some.to_vec();
                self.store
                    .run(move |tx| {
                        tx.put_outbox(&entry)?;
                        some.iter().try_for_each(|r| tx.delete::<PendingReceipt>(&r.key()))
                    })
                    .await?;
            }
        }
        Ok(())
    }
}

/// Changes a message of the history, where it is still there.
fn with_message(tx: &Tx<'_>, key: &MessageRef, change: impl FnOnce(&mut StoredMessage)) -> Result<(), StoreError> {
    let Some(mut placed) = tx.placed_message(key)? else { return Ok(()) };
    change(&mut placed.message);
    tx.put_message(&placed.message)
}
