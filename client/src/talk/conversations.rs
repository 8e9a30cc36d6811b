//! What is there: conversations and messages as they are shown, reading, searching.

use std::collections::BTreeMap;
use std::sync::Arc;

use sotto_crypto::Address;
use sotto_wire::content::{Conversation, MessageRef};
use sotto_wire::limits;
use sotto_wire::policy::ReadReceipts;

use super::apply;
use super::fold::{Around, fold};
use super::view::{ConversationKind, ConversationView, MessageView, ViewBody};
use crate::core::clock::now_ms;
use crate::core::error::{Error, Refusal, StoreError};
use crate::store::{ConversationRecord, Pin, Placed, SettingsRecord, Tx, conversation, sweep};
use crate::trust::identity::TrustState;
use crate::trust::names::name_of;
use crate::trust::policy::Policy;
use crate::trust::retention::retainers;
use crate::trust::state::Trust;

/// Messages that are opened at a time while searching.
const PAGE: u32 = 500;

/// Conversations and their messages, as they are here. Cheap to clone.
#[derive(Clone)]
pub struct Conversations {
    trust: Arc<Trust>,
}

impl Conversations {
    pub(crate) fn new(trust: Arc<Trust>) -> Self {
        Self { trust }
    }

    /// Every conversation, the one in which something was last said first.
    pub async fn list(&self) -> Result<Vec<ConversationView>, Error> {
        self.look(|look| {
            let mut records: Vec<ConversationRecord> = look.tx.list()?;
            records.sort_by_key(|r| std::cmp::Reverse(r.last));
            records.iter().map(|record| look.conversation(record)).collect()
        })
        .await
    }

    /// One conversation.
    pub async fn get(&self, id: &str) -> Result<Option<ConversationView>, Error> {
        let id = id.to_owned();
        self.look(move |look| conversation(look.tx, &id)?.map(|record| look.conversation(&record)).transpose()).await
    }

    /// The conversation with these people: as it is or, where nothing was said in it yet, as it would be.
    pub async fn with(&self, people: &[Address]) -> Result<ConversationView, Error> {
        let everybody = people.iter().chain([&self.trust.account.address]).cloned();
        let between = Conversation::of(everybody).ok_or(Refusal::NoRecipients)?;
        self.look(move |look| {
            let known = conversation(look.tx, &between.id())?;
            look.conversation(&known.unwrap_or_else(|| ConversationRecord::of(&between)))
        })
        .await
    }

    /// The last `limit` messages of a conversation that stand before a position, oldest first.
    pub async fn messages(&self, id: &str, before: Option<u64>, limit: u32) -> Result<Vec<MessageView>, Error> {
        let id = id.to_owned();
        self.look(move |look| {
            let page = look.tx.page(Some(&id), before, limit)?;
            page.iter().map(|placed| look.message(placed)).collect()
        })
        .await
    }

    /// The last `limit` messages of all conversations that stand before a position, oldest first.
    pub async fn all_messages(&self, before: Option<u64>, limit: u32) -> Result<Vec<MessageView>, Error> {
        self.look(move |look| look.tx.page(None, before, limit)?.iter().map(|placed| look.message(placed)).collect())
            .await
    }

    /// One message.
    pub async fn message(&self, key: &MessageRef) -> Result<Option<MessageView>, Error> {
        let key = key.clone();
        self.look(move |look| look.tx.placed_message(&key)?.map(|placed| look.message(&placed)).transpose()).await
    }

    /// The newest messages with all of these words in them, newest first. Capitals do not matter.
    pub async fn search(&self, words: &str, limit: u32) -> Result<Vec<MessageView>, Error> {
        let words: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (mut found, mut before) = (Vec::new(), None);
        if words.is_empty() {
            return Ok(found);
        }
        // Page by page, so that others come to the store in between.
        loop {
            let wanted = words.clone();
            let (views, first) = self
                .look(move |look| {
                    let page = look.tx.page(None, before, PAGE)?;
                    let first = page.first().map(|placed| placed.position);
                    let views = page.iter().map(|placed| look.message(placed)).collect::<Result<Vec<_>, _>>()?;
                    Ok((views.into_iter().filter(|view| holds(view, &wanted)).collect::<Vec<_>>(), first))
                })
                .await?;
            found.extend(views.into_iter().rev());
            if found.len() >= limit || first.is_none() {
                found.truncate(limit);
                return Ok(found);
            }
            before = first;
        }
    }

    /// The messages whose id begins like this, newest first: for people, who do not type whole ids.
    pub async fn find(&self, id: &str) -> Result<Vec<MessageView>, Error> {
        let (wanted, mut found, mut before) = (id.to_lowercase(), Vec::new(), None);
        if wanted.is_empty() {
            return Ok(found);
        }
        loop {
            let beginning = wanted.clone();
            let (views, first) = self
                .look(move |look| {
                    let page = look.tx.page(None, before, PAGE)?;
                    let first = page.first().map(|placed| placed.position);
                    let these = page.iter().filter(|placed| placed.message.id.to_string().starts_with(&beginning));
                    Ok((these.map(|placed| look.message(placed)).collect::<Result<Vec<_>, _>>()?, first))
                })
                .await?;
            found.extend(views.into_iter().rev());
            if first.is_none() {
                return Ok(found);
            }
            before = first;
        }
    }

    /// The user has read a conversation up to this position: messages begin to burn, the user's other devices hear of it,
    /// and the senders where the network and the user's choice say so.
    pub async fn mark_read(&self, id: &str, up_to: u64) -> Result<(), Error> {
        let policy = self.trust.known_policy().await?;
        let (conversation, now) = (id.to_owned(), now_ms());
        let any = self
            .trust
            .store
            .run(move |tx| {
                let chosen = tx.get::<SettingsRecord>(&[])?.unwrap_or_default().read_receipts;
                apply::read_up_to(tx, &conversation, up_to, tells_senders(&policy, chosen), now)
            })
            .await?;
        if any {
            self.trust.changed(id);
        }
        Ok(())
    }

    /// Whether senders are told that their messages were read: as the user has chosen, where the network leaves it to
    /// the user.
    pub async fn read_receipts(&self) -> Result<bool, Error> {
        let policy = self.trust.known_policy().await?;
        let chosen = self.trust.store.run(|tx| tx.get::<SettingsRecord>(&[])).await?;
        Ok(tells_senders(&policy, chosen.unwrap_or_default().read_receipts))
    }

    /// The user's choice. Counts where the network leaves it to the user.
    pub async fn set_read_receipts(&self, on: bool) -> Result<(), Error> {
        self.trust.store.run(move |tx| tx.put(&SettingsRecord { read_receipts: on })).await
    }

    /// Texts that the security group offers, to be sent with a choice.
    pub async fn quick_responses(&self) -> Result<Vec<String>, Error> {
        Ok(self.trust.known_policy().await?.group.quick_responses)
    }

    /// Asks the relay what is needed to say who retains a conversation, where that is not known: the rules of other networks,
    /// and the groups of their members. Uses up a prekey of each device, as sending does. Whether it is known now.
    pub async fn learn(&self, id: &str) -> Result<bool, Error> {
        let Some(view) = self.get(id).await? else { return Ok(false) };
        if view.retention_unknown.is_empty() || view.left {
            return Ok(true);
        }
        self.ask_about(&view).await?;
        Ok(self.get(id).await?.is_some_and(|view| view.retention_unknown.is_empty()))
    }

    /// The same for the conversation with these people, in which nothing need have been said yet.
    pub async fn learn_with(&self, people: &[Address]) -> Result<ConversationView, Error> {
        let view = self.with(people).await?;
        if view.retention_unknown.is_empty() {
            return Ok(view);
        }
        self.ask_about(&view).await?;
        self.with(people).await
    }

    async fn ask_about(&self, view: &ConversationView) -> Result<(), Error> {
        let me = &self.trust.account.address;
        self.trust.policy().await?;
        let unknown = |who: &&Address| *who != me && view.retention_unknown.contains(&who.domain());
        let people: Vec<Address> = view.members.iter().filter(unknown).cloned().collect();
        for some in people.chunks(limits::MAX_RECIPIENT_ADDRESSES) {
            let answer = self.trust.api.recipients(some.to_vec()).await?;
            self.trust.believe(some, answer).await?;
        }
        self.trust.changed(&view.id);
        Ok(())
    }

    async fn look<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Look<'_, '_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (me, now) = (self.trust.account.address.clone(), now_ms());
        self.trust
            .store
            .run(move |tx| {
                if tx.has_expired(now)? {
                    sweep(tx, now)?;
                }
                work(&mut Look { tx, me: &me, people: BTreeMap::new(), conversations: BTreeMap::new() })
            })
            .await
    }
}

/// What the network says counts, and what the user has chosen where it says nothing.
pub(crate) fn tells_senders(policy: &Policy, chosen: bool) -> bool {
    match policy.network.read_receipts {
        ReadReceipts::Disabled => false,
        ReadReceipts::Enabled => chosen,
        ReadReceipts::ForceEnabled => true,
    }
}

fn holds(view: &MessageView, words: &[String]) -> bool {
    let text = match &view.body {
        ViewBody::Text(text) | ViewBody::Event(text) => text.to_lowercase(),
        ViewBody::File(file) => format!("{} {}", file.name, file.caption.as_deref().unwrap_or("")).to_lowercase(),
        ViewBody::Deleted | ViewBody::Unknown | ViewBody::Missing(_) => return false,
    };
    words.iter().all(|word| text.contains(word))
}

/// What is known of somebody.
#[derive(Clone, Default)]
struct Person {
    trust: Option<TrustState>,
    name: Option<String>,
}

/// One look at the store, which asks for nothing twice.
struct Look<'a, 't> {
    tx: &'a Tx<'t>,
    me: &'a Address,
    people: BTreeMap<Address, Person>,
    conversations: BTreeMap<String, (Vec<Address>, Vec<Address>)>,
}

impl Look<'_, '_> {
    fn message(&mut self, placed: &Placed) -> Result<MessageView, StoreError> {
        let annotations = self.tx.annotations(&placed.message.key())?;
        let sender = self.person(&placed.message.sender)?;
        let id = &placed.message.conversation;
        if !self.conversations.contains_key(id) {
            let record = conversation(self.tx, id)?;
            let people = record.map(|r| (r.members, r.moderators)).unwrap_or_default();
            self.conversations.insert(id.clone(), people);
        }
        let none = (Vec::new(), Vec::new());
        let (members, moderators) = self.conversations.get(id).unwrap_or(&none);
        let (sender, sender_name) = (sender.trust, sender.name.as_deref());
        Ok(fold(placed, &annotations, &Around { me: self.me, members, moderators, sender, sender_name }))
    }

    fn person(&mut self, who: &Address) -> Result<Person, StoreError> {
        if let Some(known) = self.people.get(who) {
            return Ok(known.clone());
        }
        let trust = self.tx.get::<Pin>(&Pin::key_of(who))?.map(|pin| pin.state());
        let person = Person { trust, name: name_of(self.tx, who)? };
        self.people.insert(who.clone(), person.clone());
        Ok(person)
    }

    fn conversation(&mut self, record: &ConversationRecord) -> Result<ConversationView, StoreError> {
        let (unread, mentioned) = self.tx.unread(&record.id)?;
        let last = self.tx.page(Some(&record.id), None, 1)?;
        let retainers = retainers(self.tx, self.me, &record.members)?;
        // What the last message showed counts too: a rule that is not known here has brought it there.
        let mut retained_by = [retainers.by, record.retained_by.clone()].concat();
        retained_by.sort();
        retained_by.dedup();
        let (mut changed, mut names) = (Vec::new(), BTreeMap::new());
        let me = self.me;
        for who in &record.members {
            let Person { trust, name } = self.person(who)?;
            if who != me && matches!(trust, Some(TrustState::Replaced | TrustState::Changed)) {
                changed.push(who.clone());
            }
            names.extend(name.map(|name| (who.clone(), name)));
        }
        Ok(ConversationView {
            id: record.id.clone(),
            kind: match record.conversation {
                Conversation::Direct(..) => ConversationKind::Direct,
                Conversation::Group(_) => ConversationKind::Group,
                Conversation::Room(_) => ConversationKind::Room,
            },
            title: record.title.clone(),
            members: record.members.clone(),
            moderators: record.moderators.clone(),
            names,
            unread,
            mentioned,
            last: last.first().map(|placed| self.message(placed)).transpose()?,
            retained: record.retained || !retained_by.is_empty(),
            retained_by,
            retention_unknown: retainers.unknown,
            changed,
            left: record.left,
            expires_in_s: record.expires_in_s,
            burn_after_read_s: record.burn_after_read_s,
        })
    }
}
