//! From a draft to a message: where it goes, what it may be. Asks nobody but the local store.

use sotto_crypto::{Address, MessageId, SystemRng};
use sotto_wire::content::{Body, Content, Conversation, MessageRef};
use sotto_wire::limits;
use zeroize::Zeroizing;

use super::state::Sending;
use crate::core::clock::now_ms;
use crate::core::error::{Error, Refusal, StoreError};
use crate::store::account::Account;
use crate::store::{
    Annotation, Audience, ConversationRecord, MessageState, OutboxKind, OutboxRecord, StoredMessage, Tx, conversation,
};
use crate::talk::apply;
use crate::talk::view::{DraftOptions, Target};
use crate::trust::policy::{self, Policy};

/// Longest preview of a file in bytes.
const MAX_PREVIEW: usize = 16 * 1024;

/// A message that is ready to be sealed, as it is kept while it waits and as it stands in the history.
pub(crate) struct Composed {
    pub(crate) entry: OutboxRecord,
    pub(crate) stored: StoredMessage,
}

impl Sending {
    /// The conversation that a target means.
    pub(crate) async fn resolve(&self, target: Target) -> Result<ConversationRecord, Error> {
        let between = match target {
            Target::Conversation(id) => {
                let known = id.clone();
                let record = self.store.run(move |tx| conversation(tx, &known)).await?;
                let record = record.ok_or(Refusal::NoConversation(id))?;
                return if record.left { Err(Refusal::Left(record.id).into()) } else { Ok(record) };
            }
            Target::People(people) => self.between(people)?,
        };
        let id = between.id();
        let known = self.store.run(move |tx| conversation(tx, &id)).await?;
        Ok(known.unwrap_or_else(|| ConversationRecord::of(&between)))
    }

    /// The conversation of these people and the user.
    fn between(&self, people: Vec<Address>) -> Result<Conversation, Refusal> {
        if people.is_empty() {
            return Err(Refusal::NoRecipients);
        }
        let conversation = Conversation::of(people.into_iter().chain([self.account.address.clone()]));
        let conversation = conversation.ok_or(Refusal::NoRecipients)?;
        let (asked, max) = (conversation.members().len() - 1, limits::MAX_RECIPIENT_ADDRESSES);
        if asked > max {
            return Err(Refusal::TooManyAddresses { asked, max });
        }
        Ok(conversation)
    }

    /// Makes a message of a text or a file, and checks all that can be checked without asking.
    pub(crate) fn compose(
        &self,
        record: &ConversationRecord,
        body: Body,
        options: DraftOptions,
        policy: &Policy,
    ) -> Result<Composed, Error> {
        let kind = match &body {
            Body::Text(text) if text.is_empty() => return Err(Refusal::Empty.into()),
            Body::Text(_) => OutboxKind::Text,
            Body::File(file) => {
                if file.preview.as_ref().is_some_and(|p| p.len() > MAX_PREVIEW) {
                    return Err(
                        Refusal::NotPossible("the preview is larger than 16 KiB; make a smaller picture").into()
                    );
                }
                OutboxKind::File
            }
            _ => {
                return Err(Refusal::NotPossible(
                    "only a text or a file can be said; what is done to a message has its own call",
                )
                .into());
            }
        };
        let seconds = |time: std::time::Duration| time.as_secs().max(1);
        let expires_in_s = policy::expiry(options.expires_in.map(seconds).or(record.expires_in_s), &policy.group)?;
        let burn = options.burn_after_read.map(seconds).or(record.burn_after_read_s);
        let mut mentions = options.mentions;
        mentions.sort();
        mentions.dedup();
        if let Some(stranger) = mentions.iter().find(|who| !record.members.contains(who)) {
            return Err(Refusal::NotAMember(stranger.clone()).into());
        }
        let now = now_ms();
        let content = Content {
            expires_in_s,
            burn_after_read_s: policy::burn(burn, &policy.group)?,
            reply_to: options.reply_to,
            mentions: (!mentions.is_empty()).then_some(mentions),
            forwarded: options.forwarded,
            ..Content::new(record.conversation.clone(), now, body)
        };
        policy::admit(&content, &policy.group)?;
        let entry = self.entry(&content, kind, Audience::Members, now)?;
        let stored = StoredMessage {
            content: entry.content.clone(),
            accepted_at_ms: 0,
            expires_at_ms: entry.expires_at_ms,
            retained: record.retained,
            state: MessageState::Queued,
            retained_by: record.retained_by.clone(),
            ..StoredMessage::bare(&entry.key, &record.id, now)
        };
        Ok(Composed { entry, stored })
    }

    /// A new entry for the outbox.
    pub(crate) fn entry(
        &self,
        content: &Content,
        kind: OutboxKind,
        audience: Audience,
        now_ms: u64,
    ) -> Result<OutboxRecord, Error> {
        entry(&self.account, content, kind, audience, now_ms)
    }
}

/// A new entry for the outbox of this account.
pub(crate) fn entry(
    account: &Account,
    content: &Content,
    kind: OutboxKind,
    audience: Audience,
    now_ms: u64,
) -> Result<OutboxRecord, Error> {
    let bytes = Zeroizing::new(sotto_crypto::encode(content));
    // What is said again was within it, and has a little around it now.
    let most = if kind == OutboxKind::Chain { sotto_crypto::MAX_CONTENT } else { limits::MAX_CONTENT };
    if bytes.len() > most {
        return Err(Refusal::TooLong { size: bytes.len(), max: most }.into());
    }
    Ok(OutboxRecord {
        key: MessageRef {
            sender: account.address.clone(),
            device: account.device,
            message: MessageId::generate(&mut SystemRng),
        },
        conversation: content.conversation.clone(),
        audience,
        kind,
        content: bytes.to_vec(),
        queued_at_ms: now_ms,
        expires_at_ms: content.expires_in_s.map(|s| now_ms.saturating_add(s.saturating_mul(1000))),
        attempts: 0,
        uncertain: false,
        reason: None,
        upload: None,
        linked: !kind.is_quiet() && kind != OutboxKind::Room,
    })
}

/// Whom an entry is addressed to now, without the user.
pub(crate) fn audience(tx: &Tx<'_>, me: &Address, entry: &OutboxRecord) -> Result<Vec<Address>, StoreError> {
    let mut people = match &entry.audience {
        Audience::Only(people) => people.clone(),
        Audience::Members => match conversation(tx, &entry.conversation.id())? {
            Some(record) => record.members,
            None => entry.conversation.members(),
        },
    };
    people.retain(|who| who != me);
    Ok(people)
}

/// Whether an entry has a message in the history.
pub(crate) fn is_said(kind: OutboxKind) -> bool {
    matches!(kind, OutboxKind::Text | OutboxKind::File)
}

/// What an entry has done here is taken back: nobody else will hear of it.
pub(crate) fn roll_back(tx: &Tx<'_>, entry: &OutboxRecord) -> Result<(), StoreError> {
    let Ok(content) = minicbor::decode::<Content>(&entry.content) else { return Ok(()) };
    let marks: Vec<Annotation> = apply::marks(&entry.key, &entry.conversation.id(), content.sent_at_ms, &content.body);
    marks.iter().try_for_each(|mark| tx.unannotate(mark))
}
