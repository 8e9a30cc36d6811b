//! Those who attack: a relay's operator ([`Hostile`], a proxy before a real relay that does on command what a malicious one
//! would), a colleague with an account of their own ([`Colleague`]), and a thief of a disk ([`thief`]).
//!
//! A test starts a real relay (`sotto up`), puts a [`Hostile`] before it, and has people join by invites that lead there
//! ([`Hostile::invite`]). Without tricks it passes everything on as it is: the same steps with an honest relay. Tricks begin
//! with [`Hostile::play`] and end with [`Hostile::honest`], at any time. What can be forged is put into a device's queue
//! with [`Hostile::forge`], beside what the relay has for it.

mod alter;
mod colleague;
mod person;
mod proxy;
mod seen;
mod socket;
pub mod thief;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sotto_crypto::{Address, DeviceId, MessageId, PolicyKey, SealedHeader, Signed, SystemRng};
use sotto_wire::api::Delivery;
use sotto_wire::content::{Body, Content, Conversation, MessageRef, ReceiptKind};
use sotto_wire::invite::Invite;
use sotto_wire::policy::{Established, MembershipDocument};
use tokio::runtime::{Builder, Runtime};

pub use self::colleague::Colleague;
pub use self::person::Person;
use self::proxy::Upstream;
use self::seen::Seen;

use crate::{Failure, Outcome};

/// What a malicious relay does until it is honest again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trick {
    /// Whoever asks for this person is shown an identity, a device and prekeys of the attacker. Who answers with it
    /// ([`Shown`]) can be chosen, to know which of a client's ways it was that saw it. Where the administrator helps
    /// ([`Hostile::collude`]), their word comes with it.
    FalseIdentity {
        /// Whose identity is false.
        victim: Address,
        /// Where it is shown.
        shown: Shown,
    },
    /// So many times, whoever sends is told that the recipients have changed, and asks again.
    RecipientsChange(u32),
    /// Messages of this sender are not delivered.
    Drop(Address),
    /// Messages are accepted, and go to everybody but the devices of this person or process, for good.
    KeepFrom(Address),
    /// Whoever asks for this person as a recipient is told that they cannot be written to.
    MemberGone(Address),
    /// In what the relay says of people this name stands in the place of that one. Both are of one length, so that all around them
    /// stays as it is.
    Call(String, String),
    /// The documents of policy are those that were seen first, however often they change.
    HoldBack,
    /// Everybody, also this person, is shown the list of their devices before the last one: a device that was removed is in it again.
    OldDevices(Address),
    /// Whoever changes their password is given the rules of this group, of which somebody was seen to be.
    RulesOfGroup(String),
}

/// Where a false identity is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Everywhere.
    Everywhere,
    /// To those who send.
    Recipients,
    /// To those who look an identity up.
    Lookup,
}

/// What the attacker says in the name of somebody.
#[derive(Clone)]
pub enum Forged {
    /// A text.
    Text(String),
    /// A text whose time was over before it came.
    Expired(String),
    /// A receipt for some message.
    Receipt,
    /// A content of a version that nobody knows yet.
    Newer,
    /// Anything.
    Content(Box<Content>),
}

/// A malicious relay. It ends when dropped.
pub struct Hostile {
    shared: Arc<Shared>,
    address: SocketAddr,
    // The last field: what it runs uses the others.
    _runtime: Runtime,
}

/// What the proxy's tasks and the test share.
struct Shared {
    upstream: Upstream,
    state: Mutex<State>,
    /// Something was put into a queue.
    news: tokio::sync::watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    tricks: Vec<Trick>,
    seen: Seen,
    /// Policy keys of administrators who help, by domain.
    policy_keys: BTreeMap<String, PolicyKey>,
    /// Those whom the attacker pretends to be.
    impostors: BTreeMap<Address, Arc<Person>>,
    /// What could be read that was sealed to them.
    opened: Vec<(Address, Vec<u8>)>,
    /// By device: what is delivered beside what the relay has, until it is acknowledged.
    forged: BTreeMap<DeviceId, BTreeMap<u64, Delivery>>,
    next: u64,
}

/// Forged deliveries are numbered from here: no queue of a real relay comes so far in a test.
const FORGED_FROM: u64 = 1 << 40;

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a delivery into the queue of a device.
    fn put(&self, state: &mut State, device: DeviceId, mut delivery: Delivery) {
        delivery.seq = FORGED_FROM + state.next;
        state.next += 1;
        state.forged.entry(device).or_default().insert(delivery.seq, delivery);
        self.news.send_modify(|count| *count += 1);
    }
}

impl State {
    fn impostor(&mut self, victim: &Address) -> Arc<Person> {
        let made = || Arc::new(Person::made_up(victim.clone()));
        Arc::clone(self.impostors.entry(victim.clone()).or_insert_with(made))
    }

    /// Whether something in the name of this person is waiting to be taken in.
    fn is_forged(&self, victim: &Address) -> bool {
        let of = |delivery: &Delivery| {
            sotto_crypto::decode_strict::<SealedHeader>(&delivery.header).is_ok_and(|header| &header.sender == victim)
        };
        self.forged.values().flat_map(BTreeMap::values).any(of)
    }

    /// What the administrator of a victim says of them, where they help: that the false identity is theirs.
    fn word_of_the_administrator(
        &mut self,
        victim: &Address,
        honest: Option<&Signed<MembershipDocument>>,
    ) -> Option<Signed<MembershipDocument>> {
        let identity = self.impostor(victim).identity.fingerprint();
        let key = self.policy_keys.get(victim.domain_str())?;
        let document = honest?.unverified().ok()?;
        let identity = Some(Established { invited_at_ms: now_ms(), identity });
        Some(Signed::sign(&MembershipDocument { identity, invite: None, ..document }, key))
    }

    /// A device has these forged deliveries durably.
    fn acknowledged(&mut self, device: DeviceId, positions: &[u64]) {
        if let Some(queue) = self.forged.get_mut(&device) {
            queue.retain(|seq, _| !positions.contains(seq));
        }
    }
}

impl Hostile {
    /// Starts before the relay with this URL (`http://HOST:PORT`), honest.
    pub fn before(relay: &str) -> Outcome<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let shared = Arc::new(Shared {
            upstream: Upstream::new(relay)?,
            state: Mutex::default(),
            news: tokio::sync::watch::Sender::default(),
        });
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = runtime.block_on(tokio::net::TcpListener::bind(any))?;
        let address = listener.local_addr()?;
        runtime.spawn(proxy::serve(listener, Arc::clone(&shared)));
        Ok(Self { shared, address, _runtime: runtime })
    }

    /// The invite, so that it leads here.
    pub fn invite(&self, invite: &str) -> Outcome<String> {
        let mut invite: Invite = invite.parse().map_err(|e| Failure(format!("{e}")))?;
        invite.authority = self.address.to_string();
        Ok(invite.to_url())
    }

    /// Begins a trick, beside those that are played.
    pub fn play(&self, trick: Trick) {
        self.shared.state().tricks.push(trick);
    }

    /// Ends all tricks. What was forged and not acknowledged stays in its queue.
    pub fn honest(&self) {
        self.shared.state().tricks.clear();
    }

    /// From now on the administrator of this network helps: `folder` is the Secret with its policy key, as the operator keeps it.
    pub fn collude(&self, domain: &str, folder: &std::path::Path) -> Outcome {
        let text = std::fs::read_to_string(folder.join("policy.key"))?;
        let bytes = data_encoding::BASE64.decode(text.trim().as_bytes()).map_err(|e| Failure(e.to_string()))?;
        let key = PolicyKey::from_bytes(&bytes).map_err(|e| Failure(e.to_string()))?;
        self.shared.state().policy_keys.insert(domain.to_owned(), key);
        Ok(())
    }

    /// Shows a false identity for somebody, everywhere.
    pub fn pretend_to_be(&self, victim: &str) -> Outcome {
        self.show_false(victim, Shown::Everywhere)
    }

    /// Shows a false identity for somebody, here or there.
    pub fn show_false(&self, victim: &str, shown: Shown) -> Outcome {
        let victim = address(victim)?;
        self.play(Trick::FalseIdentity { victim, shown });
        Ok(())
    }

    /// The false identity of somebody.
    pub fn impostor(&self, victim: &str) -> Outcome<Arc<Person>> {
        Ok(self.shared.state().impostor(&address(victim)?))
    }

    /// The texts that the attacker could read because they were sealed to a false identity.
    pub fn opened(&self) -> Vec<String> {
        let state = self.shared.state();
        let contents = state.opened.iter().filter_map(|(_, content)| minicbor::decode::<Content>(content).ok());
        contents
            .filter_map(|content| match content.body {
                Body::Text(text) => Some(text),
                _ => None,
            })
            .collect()
    }

    /// How many messages of any kind the attacker could read.
    pub fn opened_count(&self) -> usize {
        self.shared.state().opened.len()
    }

    /// Says something in the name of `victim` to every device of `to`, sealed under the false identity.
    pub fn forge(&self, victim: &str, to: &str, what: Forged) -> Outcome {
        let (victim, to) = (address(victim)?, address(to)?);
        let content = content(&victim, &to, what);
        let mut state = self.shared.state();
        let impostor = state.impostor(&victim);
        let recipients = state.seen.recipients(&to)?;
        let deliveries = impostor.deliveries(&content, &recipients)?;
        for (device, delivery) in deliveries {
            self.shared.put(&mut state, device, delivery);
        }
        Ok(())
    }

    /// Delivers everything again that was ever delivered to somebody. Says how many messages that are.
    pub fn replay(&self, to: &str) -> Outcome<usize> {
        let to = address(to)?;
        let mut state = self.shared.state();
        let all = state.seen.delivered(&to);
        for (device, delivery) in &all {
            self.shared.put(&mut state, *device, delivery.clone());
        }
        Ok(all.len())
    }

    /// What the relay has delivered to somebody since the proxy began, each time that it was.
    pub fn delivered(&self, to: &str) -> Outcome<Vec<Delivery>> {
        let all = self.shared.state().seen.delivered(&address(to)?);
        Ok(all.into_iter().map(|(_, delivery)| delivery).collect())
    }

    /// How many of these deliveries were not acknowledged.
    pub fn unacknowledged(&self, to: &str) -> Outcome<usize> {
        Ok(self.shared.state().seen.unacknowledged(&address(to)?))
    }

    /// How many forged deliveries wait for somebody.
    pub fn forged_left(&self, to: &str) -> Outcome<usize> {
        let to = address(to)?;
        let state = self.shared.state();
        let devices = state.seen.devices(&to);
        Ok(devices.iter().filter_map(|device| state.forged.get(device)).map(BTreeMap::len).sum())
    }

    /// The one device of somebody, as it was registered through the proxy.
    pub fn device(&self, of: &str) -> Outcome<DeviceId> {
        let of = address(of)?;
        let devices = self.shared.state().seen.devices(&of);
        devices.first().copied().ok_or_else(|| Failure(format!("no device of {of} was registered here")))
    }
}

/// An address.
pub fn address(text: &str) -> Outcome<Address> {
    Address::parse(text).map_err(|e| Failure(format!("{text}: {e}")))
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The content of what is forged, as it is sealed.
fn content(from: &Address, to: &Address, what: Forged) -> Vec<u8> {
    let conversation = Conversation::of([from.clone(), to.clone()]).unwrap_or(Conversation::Group(Vec::new()));
    let now = now_ms();
    let said = |body| Content::new(conversation.clone(), now, body);
    let content = match what {
        Forged::Text(text) => said(Body::Text(text)),
        Forged::Expired(text) => {
            Content { sent_at_ms: now.saturating_sub(600_000), expires_in_s: Some(1), ..said(Body::Text(text)) }
        }
        Forged::Receipt => {
            // Of a message that nobody knows: a receipt may come before what it is for.
            let message = MessageId::generate(&mut SystemRng);
            let named = MessageRef { sender: to.clone(), device: DeviceId::generate(&mut SystemRng), message };
            said(Body::Receipt(ReceiptKind::Delivered, vec![named]))
        }
        Forged::Newer => Content { version: 99, ..said(Body::Text("from the future".to_owned())) },
        Forged::Content(content) => *content,
    };
    sotto_crypto::encode(&content)
}
