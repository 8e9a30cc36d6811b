//! Chains, on the way out. The own one: which place a message has behind what this device has said before in its conversation. It
//! is given when the message is about to be posted; one that the relay may have keeps it, one that the relay has refused gives it
//! back. And asking for what is missing of those of others, and answering.

use sotto_crypto::{Address, DeviceId, Recipient};
use sotto_wire::content::{Body, Content, Conversation, Link, MessageRef};
use sotto_wire::limits::MAX_RESEND;
use zeroize::Zeroizing;

use super::compose::{entry, is_said};
use crate::core::error::{Error, StoreError};
use crate::store::account::Account;
use crate::store::{
    AnsweredRecord, Audience, GapsRecord, HeadRecord, OutboxKind, OutboxRecord, OwnChainRecord, SentRecord, Tx,
    conversation, list_all, sweep,
};
use crate::trust::retention::{processes, retainers};

/// What is said again to the same asker in an hour.
const MOST_AGAIN: u64 = 256;
const HOUR_MS: u64 = 3_600_000;
/// After the first message since it was last said, it is said this much later how far the chain has come; and once an hour at most.
const HEAD_AFTER_MS: u64 = 600_000;

/// What was posted, as it was sealed.
pub(super) struct Posted {
    pub(super) content: Zeroizing<Vec<u8>>,
    /// The devices that it was sealed to, in order.
    pub(super) devices: Vec<DeviceId>,
    /// The people, in order.
    pub(super) people: Vec<Address>,
}

impl Posted {
    pub(super) fn new(content: Zeroizing<Vec<u8>>, recipients: &[Recipient]) -> Self {
        let mut devices: Vec<DeviceId> = recipients.iter().map(|r| r.device().device()).collect();
        let mut people: Vec<Address> = recipients.iter().map(|r| r.device().address().clone()).collect();
        devices.sort_unstable();
        people.sort();
        people.dedup();
        Self { content, devices, people }
    }
}

/// The place of a message that goes to these devices (in order), behind this one.
pub(super) fn next(chain: Option<&OwnChainRecord>, devices: &[DeviceId]) -> Link {
    let Some(chain) = chain else { return Link { index: 0, since: 0, previous: [0; 32] } };
    let all_had = devices.iter().all(|device| chain.devices.binary_search(device).is_ok());
    let since = if all_had { chain.since } else { chain.next };
    Link { index: chain.next, since, previous: chain.last }
}

/// The relay has it: the chain goes on behind it, and it can be asked for again for as long as what it is about is here.
pub(super) fn keep(tx: &Tx<'_>, entry: &OutboxRecord, posted: Posted, now_ms: u64) -> Result<(), StoreError> {
    let id = entry.conversation.id();
    let Posted { content, devices, people } = posted;
    let link = if entry.linked { tx.move_own_chain(&id, &content, Some(devices))? } else { None };
    if link.is_some() {
        let known = tx.get::<HeadRecord>(&HeadRecord::key_of(&id))?;
        tx.put(&after_message(known, &entry.conversation, now_ms))?;
    } else if entry.kind != OutboxKind::Receipt {
        // Questions and answers, and what rooms ask for again by themselves.
        return tx.put_sent_nothing(&entry.key, now_ms);
    }
    let Some(about) = about(tx, entry, &content)? else { return Ok(()) };
    let sent = SentRecord { message: entry.key.message, content: content.to_vec(), people };
    tx.put_sent(link.map(|link| (id.as_str(), link.index)), &about, &sent, now_ms)
}

/// The message that this one is, or is about, where it is still there.
fn about(tx: &Tx<'_>, entry: &OutboxRecord, content: &[u8]) -> Result<Option<MessageRef>, StoreError> {
    let Ok(content) = minicbor::decode::<Content>(content) else { return Ok(None) };
    let (about, takes_back) = match content.body {
        _ if is_said(entry.kind) || matches!(entry.kind, OutboxKind::Room | OutboxKind::Receipt) => {
            (entry.key.clone(), false)
        }
        Body::Delete(target) => (target, true),
        Body::Edit(target, _) | Body::React(target, ..) | Body::Pin(target, _) => (target, false),
        _ => return Ok(None),
    };
    if matches!(entry.kind, OutboxKind::Room | OutboxKind::Receipt) {
        return Ok(Some(about));
    }
    let Some(placed) = tx.placed_message(&about)? else { return Ok(None) };
    let is_gone = minicbor::decode::<Content>(&placed.message.content).is_ok_and(|c| matches!(c.body, Body::Delete(_)));
    Ok((takes_back || !is_gone).then_some(about))
}

/// When it is said how far the chain has come, after a message.
fn after_message(known: Option<HeadRecord>, conversation: &Conversation, now_ms: u64) -> HeadRecord {
    let due_at_ms = match known {
        // What follows soon says it by itself, but not for ever.
        Some(known) if known.news => known.due_at_ms,
        Some(known) => known.due_at_ms.max(now_ms.saturating_add(HEAD_AFTER_MS)),
        None => now_ms.saturating_add(HEAD_AFTER_MS),
    };
    HeadRecord { conversation: conversation.clone(), due_at_ms, news: true }
}

/// Whether something is to be asked for now, or to be said of the own chains.
pub(super) fn is_due(tx: &Tx<'_>, now_ms: u64) -> Result<bool, StoreError> {
    Ok(list_all::<GapsRecord>(tx)?.iter().any(|gaps| gaps.asks(now_ms))
        || list_all::<HeadRecord>(tx)?.iter().any(|head| head.due_at_ms <= now_ms))
}

/// Puts into the outbox how far the own chains have come, where it is time to say it.
pub(super) fn say_heads(tx: &Tx<'_>, account: &Account, now_ms: u64) -> Result<(), StoreError> {
    for head in list_all::<HeadRecord>(tx)?.into_iter().filter(|head| head.due_at_ms <= now_ms) {
        let id = head.conversation.id();
        let own = tx.get::<OwnChainRecord>(&OwnChainRecord::key_of(&id))?.filter(|_| head.news);
        let left = conversation(tx, &id)?.is_none_or(|record| record.left);
        let Some(own) = own.filter(|_| !left) else {
            tx.delete::<HeadRecord>(&HeadRecord::key_of(&id))?;
            continue;
        };
        let body = Body::Head(Link { index: own.next, since: own.since, previous: own.last });
        let content = Content::new(head.conversation.clone(), now_ms, body);
        if let Ok(entry) = entry(account, &content, OutboxKind::Chain, Audience::Members, now_ms) {
            tx.put_outbox(&entry)?;
        }
        tx.put(&HeadRecord { due_at_ms: now_ms.saturating_add(HOUR_MS), news: false, ..head })?;
    }
    Ok(())
}

/// The relay was restored from a backup, and what was said last may be gone with it: it is said now how far each of the own chains has
/// come, where its last message can still be asked for.
pub(crate) fn say_all_heads(tx: &Tx<'_>, now_ms: u64) -> Result<(), StoreError> {
    for own in list_all::<OwnChainRecord>(tx)? {
        let Some(last) = own.next.checked_sub(1) else { continue };
        if tx.sent(&own.conversation, last)?.is_none() {
            continue;
        }
        if let Some(record) = conversation(tx, &own.conversation)?.filter(|record| !record.left) {
            tx.put(&HeadRecord { conversation: record.conversation, due_at_ms: now_ms, news: true })?;
        }
    }
    Ok(())
}

/// Puts questions for what is missing into the outbox.
pub(super) fn ask(tx: &Tx<'_>, account: &Account, now_ms: u64) -> Result<(), StoreError> {
    for mut gaps in list_all::<GapsRecord>(tx)? {
        let numbers = gaps.ask(now_ms);
        if numbers.is_empty() {
            continue;
        }
        let key = gaps.key.clone();
        let body = Body::Resend(key.conversation, key.device, numbers);
        put(tx, account, &key.sender, Audience::Only(vec![key.sender.clone()]), body, now_ms)?;
        tx.put(&gaps)?;
    }
    Ok(())
}

/// Puts something about what is missing into the outbox, for the devices of this person.
pub(super) fn put(
    tx: &Tx<'_>,
    account: &Account,
    to: &Address,
    audience: Audience,
    body: Body,
    now_ms: u64,
) -> Result<(), StoreError> {
    let Some(between) = Conversation::of([account.address.clone(), to.clone()]) else { return Ok(()) };
    match entry(account, &Content::new(between, now_ms, body), OutboxKind::Chain, audience, now_ms) {
        Ok(entry) => tx.put_outbox(&entry),
        // What was sealed once is not too long; if it were, it would stay missing, and be told.
        Err(Error::Store(error)) => Err(error),
        Err(_) => Ok(()),
    }
}

/// Somebody asks for what this device has said: what it still has goes to them again, what it has not is said.
pub(crate) fn answer(
    tx: &Tx<'_>,
    account: &Account,
    asker: &Address,
    (id, numbers): (&str, &[u64]),
    now_ms: u64,
) -> Result<(), StoreError> {
    let Some(own) = tx.get::<OwnChainRecord>(&OwnChainRecord::key_of(id))? else { return Ok(()) };
    // What has had its time is not said again.
    if tx.has_expired(now_ms)? {
        sweep(tx, now_ms)?;
    }
    let is_process = processes(tx)?.contains(asker);
    let members = conversation(tx, id)?.map(|record| record.members).unwrap_or_default();
    // Who is in the conversation no more, or never was, is told nothing of it.
    if asker != &account.address && !is_process && !members.contains(asker) {
        return Ok(());
    }
    let mut answering = Answering::begin(tx, asker, now_ms)?;
    let audience = answering.audience(tx, account, &members)?;
    let (mut gone, mut not_for) = (Vec::new(), Vec::new());
    for number in numbers.iter().copied().filter(|number| *number < own.next).take(MAX_RESEND) {
        if !answering.one_more() {
            break;
        }
        match tx.sent(id, number)? {
            None => gone.push(number),
            Some(sent) if !sent.people.contains(asker) => not_for.push(number),
            Some(sent) => {
                let again = Body::Again(sent.message, sent.content.clone());
                put(tx, account, asker, audience.clone(), again, now_ms)?;
            }
        }
    }
    if !gone.is_empty() || !not_for.is_empty() {
        put(tx, account, asker, audience, Body::Gone(id.to_owned(), gone, not_for), now_ms)?;
    }
    answering.end(tx)
}

/// Answering somebody, within bounds.
pub(super) struct Answering {
    answered: AnsweredRecord,
}

impl Answering {
    pub(super) fn begin(tx: &Tx<'_>, asker: &Address, now_ms: u64) -> Result<Self, StoreError> {
        let known = tx.get::<AnsweredRecord>(&[asker.as_str().as_bytes().to_vec()])?;
        let fresh = AnsweredRecord { asker: asker.clone(), since_ms: now_ms, count: 0 };
        let answered = known.filter(|known| now_ms < known.since_ms.saturating_add(HOUR_MS)).unwrap_or(fresh);
        Ok(Self { answered })
    }

    /// Whether one more may be said again.
    pub(super) fn one_more(&mut self) -> bool {
        let more = self.answered.count < MOST_AGAIN;
        self.answered.count += u64::from(more);
        more
    }

    /// Who an answer goes to: the asker. A retention process is nobody to write to; it gets what goes to those whom its rule covers,
    /// who drop what they have.
    pub(super) fn audience(&self, tx: &Tx<'_>, account: &Account, members: &[Address]) -> Result<Audience, StoreError> {
        let asker = &self.answered.asker;
        if !processes(tx)?.contains(asker) {
            return Ok(Audience::Only(vec![asker.clone()]));
        }
        let covers_me = retainers(tx, &account.address, &[])?.by.contains(asker);
        Ok(Audience::Only(if covers_me { Vec::new() } else { members.to_vec() }))
    }

    pub(super) fn end(self, tx: &Tx<'_>) -> Result<(), StoreError> {
        tx.put(&self.answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(numbers: &[u8]) -> Vec<DeviceId> {
        numbers.iter().map(|n| DeviceId::from_bytes([*n; 16])).collect()
    }

    #[test]
    fn it_is_said_how_far_a_chain_has_come_a_while_after_a_message_and_once_an_hour() {
        let between = Conversation::Room(sotto_wire::room::RoomId::from_bytes([1; 32]));
        let after = |known: Option<(u64, bool)>| {
            let known = known.map(|(due_at_ms, news)| HeadRecord { conversation: between.clone(), due_at_ms, news });
            let head = after_message(known, &between, 1_000);
            assert!(head.news);
            head.due_at_ms
        };
        assert_eq!(after(None), 1_000 + HEAD_AFTER_MS);
        assert_eq!(after(Some((7_000, true))), 7_000, "others do not put it off");
        assert_eq!(after(Some((HOUR_MS, false))), HOUR_MS, "it was said within the hour");
        assert_eq!(after(Some((5, false))), 1_000 + HEAD_AFTER_MS);
    }

    #[test]
    fn a_place_says_since_when_everybody_who_gets_it_was_sent_to() {
        assert_eq!(next(None, &devices(&[1])), Link { index: 0, since: 0, previous: [0; 32] });
        let chain =
            OwnChainRecord { conversation: "c".into(), next: 5, last: [4; 32], since: 2, devices: devices(&[1, 3, 5]) };
        for (to, since) in [
            (&[1, 3, 5][..], 2),
            // Fewer: whoever is left was there.
            (&[3], 2),
            (&[], 2),
            // Somebody is new.
            (&[1, 3, 4, 5], 5),
            (&[9], 5),
        ] {
            assert_eq!(next(Some(&chain), &devices(to)), Link { index: 5, since, previous: [4; 32] }, "{to:?}");
        }
    }
}
