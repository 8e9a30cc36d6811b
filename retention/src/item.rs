//! What has come and is to be kept, apart from how it came.

use std::collections::BTreeMap;

use sotto_crypto::{Address, DeviceId, Fingerprint, MessageId};
use sotto_wire::content::{Body, Content, File};
use sotto_wire::policy::Anchor;
use zeroize::Zeroizing;

/// One delivery. Holds clear text: no Debug.
pub(crate) struct Item<R> {
    /// When the relay accepted it (milliseconds since the epoch).
    pub(crate) accepted_at_ms: u64,
    /// Its id, where it bears one.
    pub(crate) message: Option<MessageId>,
    /// The id that it bears, where that is another message's: then `message` is one of its own.
    pub(crate) conflicts_with: Option<MessageId>,
    /// Commitment to the key that it was sealed under, where it is a good message: no other message has it.
    pub(crate) commitment: Option<[u8; 32]>,
    /// Who sent it; only claimed where `keys` is empty.
    pub(crate) sender: Option<Address>,
    /// From which device.
    pub(crate) device: Option<DeviceId>,
    /// Whose signature it bears, where it opened.
    pub(crate) keys: Option<SenderKeys>,
    /// Everybody whom it was sealed to.
    pub(crate) recipients: Vec<Address>,
    /// How people are called as it is kept, by address, as far as it is known.
    pub(crate) names: BTreeMap<Address, String>,
    /// Whether it was missing before it came.
    pub(crate) late: bool,
    /// Whether the device that it is from is none of its sender's any more.
    pub(crate) from_removed_device: bool,
    /// What was said, where it can be read.
    pub(crate) content: Option<Content>,
    /// What is wrong with it, where something is.
    pub(crate) fault: Option<Fault>,
    /// To acknowledge it with.
    pub(crate) receipt: R,
}

/// The keys that a message was verified under.
pub(crate) struct SenderKeys {
    pub(crate) identity: Fingerprint,
    pub(crate) device: Fingerprint,
    /// By what it is known that the identity is the sender's; absent where nothing says so.
    pub(crate) established_by: Option<Anchor>,
}

/// What is wrong with a delivery.
pub(crate) struct Fault {
    /// For people.
    pub(crate) reason: String,
    /// The delivery as it came.
    pub(crate) sealed: Vec<u8>,
    /// Its clear content, where it opened and cannot be read.
    pub(crate) raw: Option<Zeroizing<Vec<u8>>>,
}

impl<R> Item<R> {
    /// Everybody whom it names as sender, member or recipient; each once.
    pub(crate) fn people(&self) -> Vec<Address> {
        let members = self.content.as_ref().map(|content| content.conversation.members()).unwrap_or_default();
        let mut people: Vec<Address> = self.sender.iter().cloned().chain(members).collect();
        people.extend(self.recipients.iter().cloned());
        people.sort();
        people.dedup();
        people
    }

    /// The file that it carries.
    pub(crate) fn file(&self) -> Option<&File> {
        match self.content.as_ref()?.body {
            Body::File(ref file) => Some(file),
            _ => None,
        }
    }
}
