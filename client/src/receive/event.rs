//! What is told while receiving.

use std::time::Duration;

use sotto_crypto::{Address, DeviceId, Domain, MessageId};
use sotto_wire::content::Presence;

use super::message::{ReceivedMessage, UnopenedMessage};
use super::state::Receiving;
use crate::core::error::{Error, Refusal};
use crate::store::{AsideCount, DeviceChange, DeviceNews};
use crate::talk::view::ConversationId;

/// What happens while receiving.
#[non_exhaustive]
pub enum Event {
    /// A message, to be acknowledged when it is handled.
    Message(Box<ReceivedMessage>),
    /// A delivery that cannot be shown, to be acknowledged: then the relay forgets it.
    Unopened(Box<UnopenedMessage>),
    /// Messages that have come and wait until they can be shown. Told when all that was waiting at the relay has come.
    Waiting(Vec<Waiting>),
    /// Something about the user's own devices that was found out since this was told last.
    Devices(Vec<DeviceEvent>),
    /// A message that was sent from here was refused by another network.
    Refused(RefusedElsewhere),
    /// All that was waiting when the connection was made has come.
    CaughtUp,
    /// The connection broke, and is made again after this time.
    Disconnected(Error, Duration),
    /// What is shown of this conversation has changed: [`Client::conversation`] and [`Client::messages`] give it anew.
    Changed(ConversationId),
    /// Somebody types in a conversation, or has stopped.
    Typing {
        /// Where.
        conversation: ConversationId,
        /// Who.
        who: Address,
        /// Whether they type.
        on: bool,
    },
    /// Somebody shows their presence.
    Presence {
        /// Who.
        who: Address,
        /// How.
        state: Presence,
    },
}

/// A message that was accepted by our relay and refused by another network.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RefusedElsewhere {
    /// The message.
    pub message: MessageId,
    /// Who refused it.
    pub domain: Domain,
    /// The code of the refusal.
    pub code: String,
    /// For people.
    pub reason: String,
}

/// What has become of one of the user's own devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceEvent {
    /// Which.
    pub device: DeviceId,
    /// What.
    pub change: DeviceChange,
}

/// What messages that cannot be shown yet wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitsFor {
    /// Changes of a room that their sender knew and that have not come.
    RoomEvents,
    /// The user, who has to accept that the identity of their sender has changed.
    Acknowledgement,
    /// A newer version of this program.
    NewerVersion,
}

/// Messages of one sender that cannot be shown yet. They have been acknowledged, and are kept here for 30 days.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// Whose.
    pub sender: Address,
    /// What they wait for.
    pub waits_for: WaitsFor,
    /// How many wait.
    pub count: u64,
    /// How many more were not kept, since one sender's or one network's messages may not fill the disk.
    pub dropped: u64,
}

impl Waiting {
    pub(super) fn of(count: &AsideCount) -> Self {
        let waits_for = match count.reason {
            0 => WaitsFor::RoomEvents,
            1 => WaitsFor::Acknowledgement,
            _ => WaitsFor::NewerVersion,
        };
        Self { sender: count.sender.clone(), waits_for, count: count.waiting, dropped: count.dropped }
    }
}

/// The people whom an event is about, for those who show it.
impl Event {
    /// Who sent what this event is about, where somebody did.
    pub fn sender(&self) -> Option<&Address> {
        match self {
            Self::Message(message) => Some(&message.sender),
            Self::Unopened(unopened) => unopened.sender.as_ref(),
            _ => None,
        }
    }
}

impl Receiving {
    /// Looks at the list of the own devices, and says what is new about them since it was told last. A relay that does not answer
    /// keeps nobody from receiving.
    pub(super) async fn own_devices_now(&self) -> Result<Vec<DeviceEvent>, Error> {
        match self.look_after_devices().await {
            Err(error @ (Error::Store(_) | Error::Refused(Refusal::DeviceRemoved(_)))) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "the own devices could not be looked at; tried again with the next connection");
            }
            Ok(()) => {}
        }
        let news = self.device_news().await?;
        Ok(news.into_iter().map(|DeviceNews { device, change }| DeviceEvent { device, change }).collect())
    }

    /// Whose messages wait until they can be shown.
    pub(crate) async fn waiting(&self) -> Result<Vec<Waiting>, Error> {
        let mut counts = self.store.list::<AsideCount>().await?;
        counts.sort_by(|a, b| (&a.sender, a.reason).cmp(&(&b.sender, b.reason)));
        Ok(counts.iter().map(Waiting::of).collect())
    }
}
