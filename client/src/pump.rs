//! The pump sends what waits in the outbox: conversations side by side, messages of one conversation one after the other.
//! Only one process at a time pumps for a profile. A message keeps its id through every attempt, so that the relay takes
//! it once however often it is tried.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use sotto_crypto::Address;
use sotto_wire::api::Accepted;
use sotto_wire::content::{Body, Content, MessageRef, ReceiptKind};
use sotto_wire::limits;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::apply;
use crate::client::Inner;
use crate::clock::now_ms;
use crate::error::{Error, Refusal, StoreError};
use crate::outbox::roll_back;
use crate::policy;
use crate::recipients::Checked;
use crate::send::BeforePost;
use crate::store::{
    Audience, MessageState, OutboxKind, OutboxRecord, PendingReceipt, Record as _, StoredMessage, Tx, outbox_all,
};
use crate::transport::retry::{Backoff, random};

/// Conversations that are sent to at the same time.
const LANES: usize = 4;
/// Between two attempts in a conversation.
const AGAIN: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// The store is looked at this often for what another process has put there, and for what has expired.
const LOOK: Duration = Duration::from_secs(1);

/// What a pump remembers between its rounds, and who wants to hear of what.
#[derive(Default)]
pub(crate) struct Pumping {
    /// One round at a time in this process.
    round: tokio::sync::Mutex<()>,
    /// Something new waits.
    pub(crate) news: Notify,
    /// Conversations that have failed, until when they are left alone.
    waits: Mutex<HashMap<String, (Backoff, Instant)>>,
    /// Who watches which upload.
    pub(crate) uploads: Mutex<HashMap<MessageRef, crate::attachments::Progress>>,
}

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

/// Before the relay may have it, the store knows that it may.
struct MarkUncertain<'a> {
    inner: &'a Inner,
    key: &'a MessageRef,
}

impl BeforePost for MarkUncertain<'_> {
    async fn before_post(&mut self) -> Result<(), Error> {
        let key = self.key.clone();
        let there = self
            .inner
            .store
            .run(move |tx| {
                let Some(mut entry) = tx.outbox_entry(&key)? else { return Ok(false) };
                entry.uncertain = true;
                tx.put_outbox(&entry)?;
                with_message(tx, &key, |message| message.state = MessageState::Sending)?;
                Ok(true)
            })
            .await?;
        // Cancelled in the last moment.
        if there { Ok(()) } else { Err(Error::Internal(CANCELLED)) }
    }
}

const CANCELLED: &str = "the message was taken out of the outbox";

impl Inner {
    /// Something waits.
    pub(crate) fn wake(&self) {
        self.pumping.news.notify_one();
    }

    /// What has failed is tried at once.
    pub(crate) fn forget_backoff(&self) {
        self.pumping.waits.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How many messages wait.
    pub(crate) async fn waiting(&self) -> Result<u32, Error> {
        let waiting = self.store.run(|tx| Ok(tx.outbox()?.len() + tx.list::<PendingReceipt>()?.len())).await?;
        Ok(u32::try_from(waiting).unwrap_or(u32::MAX))
    }

    /// Sends for as long as a receiver follows, and deletes what has expired.
    pub(crate) async fn keep_pumping(&self) {
        if let Err(error) = self.sweep_outgoing().await {
            tracing::warn!(%error, "the folder of outgoing files cannot be looked through");
        }
        loop {
            let far = Instant::now() + Duration::from_hours(24);
            if let Err(error) = self.pump(far, None).await {
                tracing::warn!(%error, "the outbox cannot be sent; tried again");
            }
            if let Err(error) = self.expire().await {
                tracing::warn!(%error, "what has expired cannot be deleted; tried again");
            }
            let _ = tokio::time::timeout(LOOK, self.pumping.news.notified()).await;
        }
    }

    /// Deletes what has expired.
    async fn expire(&self) -> Result<(), Error> {
        let now = now_ms();
        let ended =
            self.store.run(move |tx| if tx.has_expired(now)? { tx.expire(now) } else { Ok(Vec::new()) }).await?;
        for conversation in ended {
            self.changed(&conversation);
        }
        Ok(())
    }

    /// Before something is sent to a conversation past the outbox: what was said there before.
    pub(crate) async fn send_earlier(&self, conversation: &str) -> Result<(), Error> {
        let id = conversation.to_owned();
        let waits = move |entries: &[OutboxRecord]| entries.iter().any(|e| is_ordered(e) && e.conversation.id() == id);
        let look = || async { Ok::<_, Error>(waits(&self.store.run(outbox_all).await?)) };
        if !look().await? {
            return Ok(());
        }
        self.forget_backoff();
        self.pump(Instant::now() + Duration::from_secs(30), Some(conversation)).await?;
        if look().await? { Err(Refusal::EarlierWaits.into()) } else { Ok(()) }
    }

    /// Sends what is due, of one conversation or of all, until nothing is or the time is over. Nothing, where another
    /// process is at it.
    pub(crate) async fn pump(&self, until: Instant, only: Option<&str>) -> Result<Round, Error> {
        let mut done = Round::default();
        let Ok(_round) = timeout_at(until, self.pumping.round.lock()).await else { return Ok(done) };
        let mut running = FuturesUnordered::new();
        let mut busy = BTreeSet::new();
        let mut lock = None;
        loop {
            if self.store.run(|tx| Ok(tx.outbox_is_empty()? && tx.is_empty::<PendingReceipt>()?)).await? {
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
                for (id, lane) in self.lanes(only).await? {
                    if running.len() < LANES && busy.insert(id.clone()) {
                        running.push(async { (id.clone(), self.lane(id, lane, until).await) });
                    }
                }
            }
            let ended = tokio::select! {
                ended = running.next() => ended,
                // A long upload in one conversation holds nothing up in another.
                () = self.pumping.news.notified(), if !running.is_empty() => continue,
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
        let waits = self.pumping.waits.lock().unwrap_or_else(PoisonError::into_inner);
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
                    let mut waits = self.pumping.waits.lock().unwrap_or_else(PoisonError::into_inner);
                    let (backoff, again) = waits.entry(id).or_insert((AGAIN, Instant::now()));
                    *again = Instant::now() + backoff.next(random());
                    return Ok(done);
                }
            }
            self.pumping.waits.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
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
        let tried = self.try_entry(&mut entry).await;
        let error = match tried {
            Ok(()) => return Ok(Ended::Sent),
            Err(error) => error,
        };
        match &error {
            Error::Internal(CANCELLED) => Ok(Ended::Gone),
            Error::Store(_) => Err(error),
            error if error.is_retryable() || matches!(error, Error::Internal(_)) => {
                self.failed(&entry.key, error.to_string()).await?;
                Ok(Ended::Later)
            }
            error => {
                self.refused(&entry, error.to_string()).await?;
                Ok(Ended::Refused)
            }
        }
    }

    async fn try_entry(&self, entry: &mut OutboxRecord) -> Result<(), Error> {
        let policy = self.policy().await?;
        let content: Content = minicbor::decode(&entry.content)
            .map_err(|_| Refusal::NotPossible("what waits in the outbox cannot be read"))?;
        policy::admit(&content, &policy.group)?;
        if entry.upload.is_some() {
            self.upload_outgoing(entry, content).await?;
        }
        let key = entry.key.clone();
        let sent = self.deliver(entry, &mut MarkUncertain { inner: self, key: &key }).await;
        match sent {
            Ok((accepted, checked)) => self.accepted(entry, accepted, &checked).await,
            // A note to oneself with no other device to go to, and word for devices that there are not.
            Err(Error::Refused(Refusal::NoRecipients)) => {
                let accepted = Accepted { accepted_at_ms: now_ms() };
                self.accepted(entry, accepted, &Checked::default()).await
            }
            Err(error) => Err(error),
        }
    }

    /// The relay has it.
    pub(crate) async fn accepted(
        &self,
        entry: &OutboxRecord,
        accepted: Accepted,
        checked: &Checked,
    ) -> Result<(), Error> {
        let (key, id, kind) = (entry.key.clone(), entry.conversation.id(), entry.kind);
        let (retained, now) = (!checked.retained_by.is_empty(), now_ms());
        self.store
            .run(move |tx| {
                tx.delete_outbox(&key)?;
                with_message(tx, &key, |message| {
                    message.state = MessageState::Accepted;
                    message.accepted_at_ms = accepted.accepted_at_ms;
                    message.retained = retained;
                    let content: Option<Content> = minicbor::decode(&message.content).ok();
                    if let Some(seconds) = content.and_then(|c| c.burn_after_read_s) {
                        apply::burn(message, seconds, now);
                    }
                })?;
                if kind != OutboxKind::Receipt
                    && let Some(mut record) = apply::conversation(tx, &id)?
                {
                    record.retained = retained;
                    tx.put(&record)?;
                }
                Ok(())
            })
            .await?;
        if kind != OutboxKind::Receipt {
            self.changed(&entry.conversation.id());
        }
        Ok(())
    }

    /// It is refused for good.
    pub(crate) async fn refused(&self, entry: &OutboxRecord, reason: String) -> Result<(), Error> {
        let upload = entry.upload.clone();
        let entry = entry.clone();
        let id = entry.conversation.id();
        self.store
            .run(move |tx| {
                tx.delete_outbox(&entry.key)?;
                roll_back(tx, &entry)?;
                with_message(tx, &entry.key, |message| {
                    message.state = MessageState::Refused;
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
        self.store.run(move |tx| tx.delete_outbox(&key)).await?;
        if let Some(name) = &entry.upload {
            self.forget_outgoing(name);
        }
        Ok(())
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
        for ((conversation, sender, read, own_only), receipts) in groups {
            let id = conversation.clone();
            let Some(record) = self.store.run(move |tx| apply::conversation(tx, &id)).await? else { continue };
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

/// Whether it has to keep its place among the messages of its conversation.
fn is_ordered(entry: &OutboxRecord) -> bool {
    entry.kind != OutboxKind::Receipt
}

/// Changes a message of the history, where it is still there.
fn with_message(tx: &Tx<'_>, key: &MessageRef, change: impl FnOnce(&mut StoredMessage)) -> Result<(), StoreError> {
    let Some(mut placed) = tx.placed_message(key)? else { return Ok(()) };
    change(&mut placed.message);
    tx.put_message(&placed.message)
}
