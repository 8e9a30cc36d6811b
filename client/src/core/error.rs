//! One error enum a layer, and the one place that says what may be tried again.
//!
//! An error says what has happened. What to do about it is said by the program around this library, which knows what it offers.

use std::path::PathBuf;

use sotto_crypto::{Address, DeviceId, Domain, MessageId};
use sotto_wire::{ApiError, ErrorCode};

use super::clock::WrongClock;
use super::text::moment;

/// Why a call of the client failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The relay cannot be reached or talked to.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The relay says no.
    #[error(transparent)]
    Relay(#[from] ApiError),
    /// The profile cannot be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The local store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What came does not prove to be what it must be.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The client refuses by itself: policy or wrong use.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What came from another device of the user cannot be used.
    #[error("what came from the other device cannot be used: {0}")]
    Link(#[from] sotto_crypto::LinkError),
    /// An attachment cannot be sealed, opened, read or written.
    #[error(transparent)]
    Attachment(#[from] AttachmentError),
    /// The relay may have a message or not: the answer did not come. It stays in the outbox, and goes once at most.
    #[error(
        "nobody knows whether the relay has the message: {source}. It stays in the outbox and is tried again; it goes once at most"
    )]
    Unsettled {
        /// The message.
        message: MessageId,
        /// What went wrong.
        source: Box<Error>,
    },
    /// It was refused before it could go again, and the relay may have it from before: the answer did not come then.
    #[error("it cannot be sent (again): {source}. Nobody knows whether the relay has it from before")]
    Uncertain {
        /// The message.
        message: MessageId,
        /// Why it was refused.
        source: Box<Error>,
    },
    /// What has failed depends on the time, and the clocks of this machine and the relay are apart.
    #[error("{source}; {clock}")]
    WrongClock {
        /// How far.
        clock: WrongClock,
        /// What has failed.
        source: Box<Error>,
    },
    /// Work was cut off, by a panic or because the runtime is shutting down.
    #[error("internal: {0}")]
    Internal(&'static str),
}

impl Error {
    /// Whether the same call may succeed later without a change.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Transport(e) => e.is_retryable(),
            Self::Relay(e) => e.code.is_retryable(),
            Self::Unsettled { .. }
            | Self::Profile(ProfileError::Busy { .. })
            | Self::Store(StoreError::Busy)
            | Self::Refused(Refusal::EarlierWaits) => true,
            _ => false,
        }
    }

    /// The relay's code, where the relay has answered.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Relay(e) => Some(e.code),
            Self::Unsettled { source, .. } | Self::Uncertain { source, .. } | Self::WrongClock { source, .. } => {
                source.code()
            }
            _ => None,
        }
    }
}

/// Why the relay cannot be reached or talked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection, or it broke.
    #[error("cannot reach the relay at {relay}: {reason}")]
    Unreachable {
        /// Where.
        relay: String,
        /// What the network said.
        reason: String,
    },
    /// No answer in time.
    #[error("the relay at {relay} does not answer in time")]
    Timeout {
        /// Where.
        relay: String,
    },
    /// The relay's certificate is not the one that was pinned, or is not valid.
    #[error("the relay at {relay} does not prove to be the network's: {reason}")]
    Certificate {
        /// Where.
        relay: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The relay's certificate is not valid at this time, by this machine's clock.
    #[error("the certificate of the relay at {relay} {} by this machine's clock", if *expired { "has expired" } else { "is not valid yet" })]
    CertificateTime {
        /// Where.
        relay: String,
        /// Whether its time is over; otherwise it has not begun.
        expired: bool,
    },
    /// An answer that cannot be read.
    #[error("the relay's answer to {what} cannot be read: {reason}")]
    Answer {
        /// Method and path.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS cannot be set up on this machine.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The relay's address is no URL.
    #[error("`{0}` is no relay address; expected http://HOST:PORT or https://HOST:PORT")]
    Url(String),
}

impl TransportError {
    /// Whether trying again may help.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Timeout { .. })
    }
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// There is none.
    #[error("there is no profile in {0}")]
    Missing(PathBuf),
    /// Its registration was interrupted.
    #[error("the profile in {0} has not finished joining")]
    Unfinished(PathBuf),
    /// It belongs to somebody already.
    #[error("the profile in {dir} already belongs to {address}")]
    Taken {
        /// Where.
        dir: PathBuf,
        /// Whose.
        address: Address,
    },
    /// It asks for its password.
    #[error("the profile in {0} asks for its password")]
    PasswordNeeded(PathBuf),
    /// The password does not open it.
    #[error("the password does not open the profile in {0}")]
    WrongPassword(PathBuf),
    /// Too many wrong passwords.
    #[error("too many wrong passwords: the profile in {0} has been wiped, as your security group asks")]
    Wiped(PathBuf),
    /// Made for a version of the protocol that is not spoken any more.
    #[error("the profile of {address} was made for version {version} of the protocol, which nobody speaks any more")]
    OldProtocol {
        /// Whose.
        address: Address,
        /// Which version.
        version: u8,
    },
    /// The system's keyring does not serve.
    #[error("the system's keyring cannot be used: {0}")]
    Keyring(String),
    /// Another process is using it for the same thing.
    #[error("another process is {doing} with the profile in {dir}")]
    Busy {
        /// Where.
        dir: PathBuf,
        /// What it does.
        doing: &'static str,
    },
    /// A file of it is damaged.
    #[error("the file {file} is damaged: {reason}")]
    Damaged {
        /// Which.
        file: PathBuf,
        /// How.
        reason: String,
    },
    /// The file system says no.
    #[error("{file}: {source}")]
    Io {
        /// Which file.
        file: PathBuf,
        /// What it says.
        source: std::io::Error,
    },
}

/// Why the local store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process holds it for too long.
    #[error("the local store is busy: another process holds it")]
    Busy,
    /// The file of its keys cannot be read or written.
    #[error("the file of the local store's keys: {0}")]
    Keys(#[from] std::io::Error),
    /// SQLite failed.
    #[error("the local store failed: {0}")]
    Sqlite(rusqlite::Error),
    /// A value does not open: wrong key, or damaged.
    #[error("a value in the local store ({table}) does not open: the store is damaged or belongs to another key")]
    Sealed {
        /// In which table.
        table: &'static str,
    },
    /// A value opens but cannot be read.
    #[error("a value in the local store ({table}) cannot be read: {reason}")]
    Value {
        /// In which table.
        table: &'static str,
        /// Why.
        reason: String,
    },
    /// Written by a newer version.
    #[error("the local store was written by a newer version (form {0})")]
    Newer(i64),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::Sqlite(error),
        }
    }
}

/// Why a list of somebody's devices does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListProblem {
    /// A newer one was seen.
    #[error("the relay shows an older list of them than there is: a device that was removed could be in it")]
    Older,
    /// Another list was seen with the same serial.
    #[error("the relay shows two lists of them for the same time")]
    Other,
    /// A device is in it again that was removed.
    #[error("the list of them that the relay shows has a device in it that was removed: it was made from an old one")]
    PutBack,
    /// The administrator has removed all devices since.
    #[error("the relay shows a list of them from before the administrator removed them all")]
    Reset,
    /// Its time is over.
    #[error("their list has ended: none of them has connected for a long time")]
    Ended,
    /// It is made for a later time.
    #[error("their list is from the future: one of the two clocks is wrong")]
    Future,
}

/// What came does not prove to be what it must be. Nothing was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The policy key is another one.
    #[error(
        "the relay shows another policy key than the invite names: this is not the network that you were invited to, or \
         somebody is in between"
    )]
    PolicyKey,
    /// A policy document does not verify.
    #[error("the {what} of {domain} does not verify under its policy key ({reason}); nothing was sent")]
    Document {
        /// Which document.
        what: &'static str,
        /// Whose.
        domain: Domain,
        /// Why.
        reason: String,
    },
    /// An older document than one seen before.
    #[error("the relay shows an older {what} of {domain} than before: it is held back or set back")]
    Rollback {
        /// Which document.
        what: &'static str,
        /// Whose.
        domain: Domain,
    },
    /// A directory head that was signed in the future, by this machine's clock.
    #[error(
        "the directory head of {domain} was signed {} min after the time of this machine's clock: the clock is slow, or that of the \
         network's operator is fast; nothing was sent",
        .ahead_ms / 60_000
    )]
    Clock {
        /// Whose.
        domain: Domain,
        /// By how much (milliseconds).
        ahead_ms: u64,
    },
    /// A directory head that has expired, of a network of which none was seen before.
    #[error(
        "the relay shows documents of {domain} that counted until {}, and has shown no others before: they may be old, or the clock of \
         this machine is fast; nothing of them is believed",
        moment(*since_ms)
    )]
    Expired {
        /// Whose.
        domain: Domain,
        /// Since when (milliseconds since the epoch).
        since_ms: u64,
    },
    /// A verified contact has another identity.
    #[error("the identity of {0} has CHANGED since you verified it: they registered anew, or somebody is in between")]
    IdentityChanged(Address),
    /// Another identity than the one whose safety number was compared.
    #[error(
        "the identity of {0} is not the one whose safety number you have seen: it has changed since, or none was shown before"
    )]
    NotTheCompared(Address),
    /// Nothing that the policy key signs vouches for the identity.
    #[error(
        "the relay names an identity of {0} that neither their network's administrator nor their invite vouches for; nothing was sent"
    )]
    NotVouchedFor(Address),
    /// The membership is not about this invite.
    #[error("the relay does not show that the administrator has made this invite, or there is a newer one")]
    NotThisInvite,
    /// The account's own identity is another one.
    #[error("the relay names another identity for your own address; nothing was sent")]
    OwnIdentity,
    /// A device or prekey does not verify.
    #[error("a device of {address} does not verify: {reason}; nothing was sent")]
    Device {
        /// Whose.
        address: Address,
        /// Why.
        reason: String,
    },
    /// A prekey is not valid at this time, by this machine's clock.
    #[error(
        "the key of a device of {address} {} by this machine's clock; nothing was sent",
        if *expired { "has expired" } else { "is not valid yet" }
    )]
    PrekeyTime {
        /// Whose.
        address: Address,
        /// Whether its time is over; otherwise it has not begun.
        expired: bool,
    },
    /// The certificate of a retention process is not valid at this time, by this machine's clock.
    #[error(
        "the certificate of {address}, which is named as retention process, is not valid now by this machine's clock; nothing was sent"
    )]
    RetentionTime {
        /// Which.
        address: Address,
    },
    /// The list of somebody's devices does not count.
    #[error("the devices of {address}: {problem}; nothing was sent")]
    Devices {
        /// Whose.
        address: Address,
        /// Why not.
        problem: ListProblem,
    },
    /// The list of the own devices is not the one that counts.
    #[error("the relay keeps showing another list of your own devices than the one that counts; nothing was sent")]
    OwnDevices,
    /// Somebody was added.
    #[error("the relay added a recipient that you did not ask for and no policy names: {0}; nothing was sent")]
    AddedRecipient(Address),
    /// Somebody is named twice.
    #[error("the relay names the recipient {0} twice; nothing was sent")]
    RepeatedRecipient(Address),
    /// A retention process without a valid certificate.
    #[error("{address} is named as retention process, but {reason}; nothing was sent")]
    Retention {
        /// Which.
        address: Address,
        /// What is wrong.
        reason: &'static str,
    },
    /// The address has been registered with another identity.
    #[error("{0} has been registered with another identity, on another device or by somebody else")]
    RegisteredElsewhere(Address),
    /// Another identity than a new device expects.
    #[error(
        "the relay names another identity for you than the link does: you have registered anew since it was made, or \
         somebody is in between"
    )]
    AnotherIdentity,
    /// The password exchange failed to prove the relay.
    #[error("the password is wrong, or the relay does not hold your registration")]
    PasswordExchange,
}

/// The client refuses by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The password is too weak.
    #[error("{0}")]
    WeakPassword(String),
    /// Policy asks for a retention process that the relay left out.
    #[error("policy {policy} retains your conversations, but the relay left {address} out; nothing was sent")]
    RetentionMissing {
        /// The rule's name.
        policy: String,
        /// The retention process.
        address: Address,
    },
    /// Nobody has vouched for the documents of a network for too long.
    #[error(
        "what is known of {domain} has not been confirmed by its administrator since {}, which is longer than your network allows: the \
         relay may be holding changes back; nothing was sent",
        moment(*since_ms)
    )]
    DirectoryExpired {
        /// Which network.
        domain: Domain,
        /// Since when (milliseconds since the epoch).
        since_ms: u64,
    },
    /// The expiry is beyond the cap.
    #[error("your security group allows messages to live {max_seconds} s at most")]
    ExpiryTooLong {
        /// The cap.
        max_seconds: u64,
    },
    /// The time until burning is beyond the cap.
    #[error("your security group allows messages to burn {max_seconds} s after reading at most")]
    BurnTooLong {
        /// The cap.
        max_seconds: u64,
    },
    /// Forwarding is off.
    #[error("your security group does not allow messages to be forwarded")]
    ForwardingDisabled,
    /// Presence is off.
    #[error("your security group does not show presence and typing")]
    PresenceDisabled,
    /// No such conversation.
    #[error("there is no conversation {0} here")]
    NoConversation(String),
    /// The user is not in it any more.
    #[error("you are not in the conversation {0} any more, or it has ended: nothing can be sent to it")]
    Left(String),
    /// No such message.
    #[error("this message is not here: it has not come, has expired, or was deleted")]
    NoMessage,
    /// Only its sender may do this.
    #[error("only who sent a message can edit it; only who sent it and a room's moderators can delete it")]
    NotYours,
    /// What is named cannot be changed in this way.
    #[error("{0}")]
    NotPossible(&'static str),
    /// The outbox is not empty.
    #[error("what was said to this conversation before still waits in the outbox")]
    EarlierWaits,
    /// A name in a message that means nobody there.
    #[error("{0} is not in the conversation, so a message in it cannot name them")]
    NotAMember(Address),
    /// Only moderators may do this.
    #[error("only a moderator of the room can do this")]
    NotModerator,
    /// A moderator who is senior.
    #[error("{0} became a moderator before you did, so you can neither remove nor demote them")]
    Senior(Address),
    /// A process that keeps records, where people are wanted.
    #[error("{0} is a retention process: it keeps what a policy asks for, and is no member of any room")]
    RetentionProcess(Address),
    /// Refused when another process of this profile sent it.
    #[error("{0}")]
    Elsewhere(String),
    /// Somebody who is not in the room.
    #[error("{0} is not in the room")]
    NotInRoom(Address),
    /// A room that cannot be worked out.
    #[error(
        "nothing can be changed in this room any more: {0} made too many changes that contradict others; make a new room without them"
    )]
    RoomStopped(Address),
    /// An event of a room that nobody would take.
    #[error("the room cannot be changed like this: {0}")]
    RoomForm(String),
    /// Files are off.
    #[error("your security group does not allow files")]
    FilesDisabled,
    /// Nobody to send to.
    #[error("there is nobody to send to")]
    NoRecipients,
    /// Some cannot be written to.
    #[error("cannot write to {}: not registered yet, or without a device", list(.0))]
    Unregistered(Vec<Address>),
    /// Too long.
    #[error("the message has {size} bytes, {max} are allowed")]
    TooLong {
        /// Of the content.
        size: usize,
        /// The bound.
        max: usize,
    },
    /// The sender's client seals no empty message.
    #[error("the message is empty")]
    Empty,
    /// Too many people.
    #[error("a message goes to {max} addresses at most, {asked} were given")]
    TooManyAddresses {
        /// How many were given.
        asked: usize,
        /// The bound.
        max: usize,
    },
    /// The list of devices kept changing.
    #[error("the recipients' devices changed with every attempt to send")]
    RecipientsKeepChanging,
    /// This device was removed.
    #[error("this device ({0}) is not registered any more: it was removed or reset")]
    DeviceRemoved(DeviceId),
    /// There is no such device.
    #[error("there is no device {0} of yours")]
    NoDevice(DeviceId),
    /// More than a transfer can carry.
    #[error("the history is too large for a transfer")]
    HistoryTooLarge,
    /// The other side said no.
    #[error("the other device does not want the history: it was declined there")]
    HistoryDeclined,
    /// Nobody waits under this code.
    #[error("no device waits under this code")]
    NoSuchCode,
    /// The device that one works with.
    #[error("this is the device that you work with, and it cannot remove itself")]
    OwnDevice,
    /// No recovery key was made.
    #[error("no recovery key was made for this user")]
    NoRecoveryKey,
    /// Another recovery key.
    #[error("this is not the recovery key that was made last")]
    WrongRecoveryKey,
    /// Nothing to verify.
    #[error("{0} has not registered, so there is no identity to verify")]
    NoIdentity(Address),
    /// Nothing to accept.
    #[error("the identity of {0} has not changed")]
    NotChanged(Address),
    /// Sealing failed.
    #[error("the message cannot be sealed: {0}")]
    Seal(String),
}

/// An attachment cannot be handled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachmentError {
    /// Too large.
    #[error("the file has {size} bytes, {max} are allowed")]
    TooLarge {
        /// Of the file.
        size: u64,
        /// The bound.
        max: u64,
    },
    /// The name cannot be used.
    #[error("the file needs a name of 1 to 255 bytes without folders")]
    Name,
    /// Reading or writing failed.
    #[error("file: {0}")]
    Io(#[from] std::io::Error),
    /// It does not open.
    #[error("the attachment was changed or cut off on its way: {0}")]
    Unopenable(String),
}

fn list(addresses: &[Address]) -> String {
    addresses.iter().map(Address::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_tried_again() {
        let relay = String::from("http://127.0.0.1:1");
        assert!(Error::from(TransportError::Timeout { relay: relay.clone() }).is_retryable());
        assert!(!Error::from(TransportError::Certificate { relay, reason: "no".into() }).is_retryable());
        assert!(Error::from(ApiError::new(ErrorCode::PeerUnavailable, "later")).is_retryable());
        assert!(!Error::from(ApiError::new(ErrorCode::Suspended, "no")).is_retryable());
        assert!(!Error::from(TrustError::PolicyKey).is_retryable());
    }

    #[test]
    fn an_error_names_everybody_concerned() {
        let who = ["a@x.example", "b@x.example"].map(|a| Address::parse(a).unwrap()).to_vec();
        assert!(Refusal::Unregistered(who).to_string().contains("a@x.example, b@x.example"));
    }

    /// Whoever else uses the library has other commands, or none. Tests and comments may name them.
    #[test]
    fn no_text_names_a_command_or_a_flag() {
        let flag =
            |line: &str| line.split("--").skip(1).any(|after| after.starts_with(|c: char| c.is_ascii_lowercase()));
        let command = |line: &str| ["`sotto", "\"sotto ", " sotto "].iter().any(|word| line.contains(word));
        let mut folders = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        let mut lines = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
                for line in code.lines().filter(|_| !path.ends_with("tests.rs")) {
                    let line = line.trim();
                    assert!(line.starts_with("//") || !flag(line) && !command(line), "{}: {line}", path.display());
                    lines += 1;
                }
            }
        }
        assert!(lines > 5000, "the sources are not where they were");
    }
}
