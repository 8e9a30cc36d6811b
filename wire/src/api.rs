//! The relay's client interface.
//!
//! | method and path | body → answer | caller |
//! |---|---|---|
//! | `GET /v1/network` | → [`NetworkInfo`] | anybody |
//! | `POST /v1/register/start` | [`RegisterStart`] → [`RegisterStarted`] | invite |
//! | `POST /v1/register/finish` | [`RegisterFinish`] → empty | invite |
//! | `POST /v1/login/start` | [`LoginStart`] → [`LoginStarted`] | anybody |
//! | `POST /v1/login/finish` | [`LoginFinish`] → [`LoggedIn`] | password |
//! | `POST /v1/devices` | [`RegisterDevice`] → empty | log-in token |
//! | `POST /v1/session/challenge` | [`SessionChallenge`] → [`Challenge`] | anybody |
//! | `POST /v1/session` | [`OpenSession`] → [`Session`] | device key |
//! | `GET /v1/policy` | → [`PolicyAnswer`] | session |
//! | `GET /v1/devices` | → [`OwnDevices`] | session or log-in token |
//! | `PUT /v1/devices` | [`PutDevices`] → empty: removes what is not in the list any more | session |
//! | `PUT /v1/vault` | [`PutVault`] → empty | session |
//! | `POST /v1/password/start` | [`PasswordStart`] → [`PasswordStarted`] | log-in token |
//! | `POST /v1/password/finish` | [`PasswordFinish`] → empty; ends the log-in token | log-in token |
//! | `PUT /v1/links/{link}/{slot}` | bytes → empty | session or log-in token |
//! | `GET /v1/links/{link}/{slot}` | → bytes; waits up to [`crate::limits::LINK_WAIT_SECONDS`], then 404 | session or log-in token |
//! | `DELETE /v1/links/{link}` | → empty | session or log-in token |
//! | `GET /v1/prekeys` | → [`PrekeyCount`] | session |
//! | `POST /v1/prekeys` | [`UploadPrekeys`] → [`PrekeyCount`] | session |
//! | `POST /v1/identities` | [`FetchIdentities`] → [`Identities`] | session |
//! | `POST /v1/recipients` | [`FetchRecipients`] → [`Recipients`] | session |
//! | `POST /v1/envelopes` | [`Envelope`] → [`Accepted`] | session |
//! | `POST /v1/signals` | [`Envelope`] → empty: to devices that are connected now, own network only, never stored | session |
//! | `POST /v1/blobs` | bytes → [`BlobStored`] | session |
//! | `GET /v1/blobs/{domain}/{blob}` | → bytes | session |
//! | `GET /v1/socket` | WebSocket: [`ServerFrame`], [`ClientFrame`] (one binary frame each) | session |
//!
//! Tokens travel as `Authorization: Bearer …`. Answers without content are 204.

use minicbor::{Decode, Encode};
use sotto_crypto::{
    Address, BatchId, BlobId, DeviceId, DeviceList, Domain, IdentityPublic, Listed, MessageId, PolicyPublic, Prekey,
    PrekeyBatch, PrekeyRef, Signature, Signed, Voucher, Wrap, WrappedKey,
};

use crate::directory::DirectoryHead;
use crate::policy::{GroupDocument, MembershipDocument, NetworkDocument};

/// Label of the signature that opens a session: over the challenge.
pub const SESSION_LABEL: &str = "sotto/2 session";

/// What anybody may know of a network. The client compares the key's fingerprint with its invite's.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(array)]
pub struct NetworkInfo {
    /// The key that signs policy.
    #[n(0)]
    pub policy_key: PolicyPublic,
    /// The network's document.
    #[n(1)]
    pub document: Listed<NetworkDocument>,
    /// What vouches for it, and for all documents of this network that come along.
    #[n(2)]
    pub head: Signed<DirectoryHead>,
}

/// First step of OPAQUE registration (RFC 9807 §5).
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct RegisterStart {
    /// Who registers.
    #[n(0)]
    pub address: Address,
    /// The registration code: of a person's invite what comes from its secret, never the secret itself.
    #[n(1)]
    pub invite: String,
    /// OPAQUE `RegistrationRequest`.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub request: Vec<u8>,
}

/// Answer to [`RegisterStart`].
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct RegisterStarted {
    /// OPAQUE `RegistrationResponse`.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub response: Vec<u8>,
    /// What a password must have, for the client to check before it goes on.
    #[n(1)]
    pub group: Listed<GroupDocument>,
    /// That the user is in this group.
    #[n(2)]
    pub membership: Listed<MembershipDocument>,
    /// What vouches for the documents.
    #[n(3)]
    pub head: Signed<DirectoryHead>,
}

/// Second step: stores the password file and the identity, and uses the invite up.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct RegisterFinish {
    /// Who registers.
    #[n(0)]
    pub address: Address,
    /// As in [`RegisterStart::invite`].
    #[n(1)]
    pub invite: String,
    /// OPAQUE `RegistrationRecord`.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub record: Vec<u8>,
    /// The user's identity key.
    #[n(3)]
    pub identity: IdentityPublic,
    /// The identity's secret under the password ([`VaultKind::Password`]), where the group lets a password alone add a
    /// device.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub vault: Option<Vec<u8>>,
    /// The identity under the invite's key. Absent for a retention process, whose identity the policy key has certified.
    #[n(5)]
    pub voucher: Option<Signed<Voucher>>,
}

/// First step of OPAQUE log-in (RFC 9807 §6).
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct LoginStart {
    /// Who logs in.
    #[n(0)]
    pub address: Address,
    /// OPAQUE `KE1`.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub request: Vec<u8>,
}

/// Answer to [`LoginStart`]; the same shape for unknown users, so that it tells nobody who exists.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct LoginStarted {
    /// Names this attempt.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub attempt: Vec<u8>,
    /// OPAQUE `KE2`.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub response: Vec<u8>,
}

/// Second step of log-in.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct LoginFinish {
    /// As answered.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub attempt: Vec<u8>,
    /// OPAQUE `KE3`.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub finalization: Vec<u8>,
}

/// Answer to [`LoginFinish`]: a token that registers one device.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct LoggedIn {
    /// Bearer token, good for [`crate::limits::LOGIN_SECONDS`].
    #[n(0)]
    pub token: String,
    /// The identity that the user has registered.
    #[n(1)]
    pub identity: IdentityPublic,
    /// The identity's secret under the password; absent where the group wants approval or a recovery key.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub password_vault: Option<Vec<u8>>,
    /// The identity's secret under the recovery key, where the user has made one.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub recovery_vault: Option<Vec<u8>>,
}

/// What a vault opens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum VaultKind {
    /// The password, through OPAQUE's export key. Refused and not served where the group has `device_approval`.
    #[n(0)]
    Password,
    /// The recovery key.
    #[n(1)]
    Recovery,
}

/// Stores the identity's secret, sealed so that the relay cannot open it; or removes it.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct PutVault {
    /// Which.
    #[n(0)]
    pub kind: VaultKind,
    /// At most [`crate::limits::MAX_VAULT`] bytes; absent: remove.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub vault: Option<Vec<u8>>,
}

/// First step of a new password: OPAQUE registration again, by who has just logged in with the old one.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct PasswordStart {
    /// OPAQUE `RegistrationRequest`.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub request: Vec<u8>,
}

/// Answer to [`PasswordStart`].
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct PasswordStarted {
    /// OPAQUE `RegistrationResponse`.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub response: Vec<u8>,
    /// What a password must have.
    #[n(1)]
    pub group: Listed<GroupDocument>,
    /// What vouches for the documents.
    #[n(2)]
    pub head: Signed<DirectoryHead>,
}

/// Second step of a new password: replaces password file and password vault together.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct PasswordFinish {
    /// OPAQUE `RegistrationRecord`.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub record: Vec<u8>,
    /// As in [`RegisterFinish::vault`].
    #[cbor(n(1), with = "minicbor::bytes")]
    pub vault: Option<Vec<u8>>,
}

/// A new device with its keys.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct RegisterDevice {
    /// The device.
    #[n(0)]
    pub device: DeviceId,
    /// The user's devices with this one. Its serial is above that of the list before.
    #[n(1)]
    pub list: Signed<DeviceList>,
    /// Name for people, such as "laptop"; at most 60 characters.
    #[n(2)]
    pub label: String,
    /// One-time prekeys.
    #[n(3)]
    pub one_time: PrekeyBatch,
    /// The prekey that is used when the one-time ones are gone.
    #[n(4)]
    pub medium_term: PrekeyBatch,
    /// Serial of the list that the new one was made from; absent where there was none.
    #[n(5)]
    pub before: Option<u64>,
}

/// Asks for something to sign.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct SessionChallenge {
    /// Whose device.
    #[n(0)]
    pub address: Address,
    /// Which device.
    #[n(1)]
    pub device: DeviceId,
}

/// To be signed with the device key under [`SESSION_LABEL`].
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct Challenge {
    /// Opaque; binds network, address, device and time.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub challenge: Vec<u8>,
}

/// Opens a session.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct OpenSession {
    /// As answered.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub challenge: Vec<u8>,
    /// By the device key over the challenge.
    #[n(1)]
    pub signature: Signature,
}

/// A session.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct Session {
    /// Bearer token.
    #[n(0)]
    pub token: String,
    /// When it ends (milliseconds since the epoch, by the relay's clock).
    #[n(1)]
    pub expires_at_ms: u64,
    /// The relay's clock (milliseconds since the epoch): so that a client whose clock is wrong can say so. Nothing else depends on it.
    #[n(2)]
    pub now_ms: u64,
}

/// The documents that the caller obeys.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(array)]
pub struct PolicyAnswer {
    /// The network's.
    #[n(0)]
    pub network: Listed<NetworkDocument>,
    /// The caller's security group's.
    #[n(1)]
    pub group: Listed<GroupDocument>,
    /// That the caller is in this group.
    #[n(2)]
    pub membership: Listed<MembershipDocument>,
    /// What vouches for the documents.
    #[n(3)]
    pub head: Signed<DirectoryHead>,
}

/// The caller's devices.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(array)]
pub struct OwnDevices {
    /// The list that senders are shown; absent before the first device.
    #[n(0)]
    pub list: Option<Signed<DeviceList>>,
    /// What the relay knows of each, in the order of registration.
    #[n(1)]
    pub devices: Vec<DeviceEntry>,
    /// What the operator says of the caller, who may be a new device that has seen nothing yet.
    #[n(2)]
    pub membership: Listed<MembershipDocument>,
    /// The network's directory head, which vouches for that.
    #[n(3)]
    pub head: Signed<DirectoryHead>,
}

/// Replaces the list of the caller's devices.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(array)]
pub struct PutDevices {
    /// With the caller. Its serial is above that of the one before.
    #[n(0)]
    pub list: Signed<DeviceList>,
    /// Serial of the list that it was made from.
    #[n(1)]
    pub before: Option<u64>,
}

/// One device of the caller.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(array)]
pub struct DeviceEntry {
    /// The device.
    #[n(0)]
    pub device: DeviceId,
    /// Name for people.
    #[n(1)]
    pub label: String,
    /// When it last opened a session (milliseconds since the epoch).
    #[n(2)]
    pub last_seen_ms: Option<u64>,
}

/// How many one-time prekeys are left.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(array)]
pub struct PrekeyCount {
    /// One-time ones that are not handed out yet.
    #[n(0)]
    pub one_time: u32,
    /// What is left, by batch: those of which nothing is are not named. The device knows which of its secrets are gone; a relay that
    /// would hand those out has forgotten something.
    #[n(1)]
    pub batches: Vec<BatchLeft>,
}

/// What is left of a batch of prekeys: of a medium-term one, those whose week is not over.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct BatchLeft {
    /// The batch.
    #[n(0)]
    pub batch: BatchId,
    /// Bit n modulo 8 of byte n / 8 is set where key n is left.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub left: Vec<u8>,
}

impl BatchLeft {
    /// With these keys left.
    pub fn new(batch: BatchId, left: impl IntoIterator<Item = u32>) -> Self {
        let mut bits = Vec::new();
        for index in left {
            let byte = usize::try_from(index / 8).unwrap_or(usize::MAX);
            if bits.len() <= byte {
                bits.resize(byte.saturating_add(1), 0u8);
            }
            if let Some(byte) = bits.get_mut(byte) {
                *byte |= 1 << (index % 8);
            }
        }
        Self { batch, left: bits }
    }

    /// The keys that are left, in order.
    pub fn indices(&self) -> impl Iterator<Item = u32> {
        let bits = (0u32..).zip(&self.left).flat_map(|(n, byte)| (0..8).map(move |bit| (n * 8 + bit, byte >> bit & 1)));
        bits.filter(|(_, bit)| *bit == 1).map(|(index, _)| index)
    }
}

/// New prekeys; a medium-term batch replaces the one before.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct UploadPrekeys {
    /// Any number of batches.
    #[n(0)]
    pub batches: Vec<PrekeyBatch>,
    /// Whether they replace all that are there.
    #[n(1)]
    pub replace: bool,
}

/// Asks for identities without using prekeys up.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct FetchIdentities {
    /// Own network or federated.
    #[n(0)]
    pub addresses: Vec<Address>,
}

/// Answer to [`FetchIdentities`].
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(array)]
pub struct Identities {
    /// Users who have not registered are left out.
    #[n(0)]
    pub identities: Vec<FoundIdentity>,
    /// Documents of the other networks that are involved; checked against the own network's document.
    #[n(1)]
    pub networks: Vec<NetworkInfo>,
    /// What vouches for the documents of the caller's own network. Absent in what one network answers to another: there it is with
    /// the network's document.
    #[n(2)]
    pub head: Option<Signed<DirectoryHead>>,
}

/// Whose identity it is, with what vouches for it.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(array)]
pub struct FoundIdentity {
    /// Who.
    #[n(0)]
    pub address: Address,
    /// The identity that they have registered.
    #[n(1)]
    pub identity: IdentityPublic,
    /// What their network's operator says of them; absent for retention processes, which the network document certifies.
    #[n(2)]
    pub membership: Option<Listed<MembershipDocument>>,
    /// Their word under the key of their invite.
    #[n(3)]
    pub voucher: Option<Signed<Voucher>>,
}

/// Asks for all that is needed to write to these addresses.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct FetchRecipients {
    /// Without the sender's own and without retention processes: the relay adds both. Empty: only the sender's own
    /// other devices (and retention).
    #[n(0)]
    pub addresses: Vec<Address>,
    /// For signals: medium-term prekeys only, no retention processes, own network only; uses nothing up.
    #[n(1)]
    pub signal: Option<bool>,
}

/// Everybody to whom the message must be sealed.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(array)]
pub struct Recipients {
    /// The addressed users, the sender's own other devices, the retention processes.
    #[n(0)]
    pub users: Vec<RecipientUser>,
    /// Documents of the other networks that are involved; checked against the own network's document.
    #[n(1)]
    pub networks: Vec<NetworkInfo>,
    /// What vouches for the documents of the caller's own network. Absent in what one network answers to another: there it is with
    /// the network's document.
    #[n(2)]
    pub head: Option<Signed<DirectoryHead>>,
}

/// One user to seal to.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(array)]
pub struct RecipientUser {
    /// Who.
    #[n(0)]
    pub address: Address,
    /// The identity under which their devices stand.
    #[n(1)]
    pub identity: IdentityPublic,
    /// Why this user is a recipient.
    #[n(2)]
    pub role: RecipientRole,
    /// All devices of the user, under that identity.
    #[n(3)]
    pub devices: Signed<DeviceList>,
    /// A prekey for this message of each of them that can be written to; a one-time one was handed out to nobody else.
    #[n(6)]
    pub prekeys: Vec<Prekey>,
    /// Which group the user is in; absent for retention processes and for the own devices.
    #[n(4)]
    pub membership: Option<Listed<MembershipDocument>>,
    /// As in [`FoundIdentity::voucher`].
    #[n(5)]
    pub voucher: Option<Signed<Voucher>>,
}

/// Why somebody is a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum RecipientRole {
    /// Was asked for.
    #[n(0)]
    Addressed,
    /// The sender's own other devices.
    #[n(1)]
    Own,
    /// A policy asks for it; the certificate is in the network document's rule.
    #[n(2)]
    Retention,
}

/// One message as the relay sees it.
#[derive(Clone, Encode, Decode)]
#[cbor(array)]
pub struct Envelope {
    /// The sealed header's CBOR, carried as it was sealed.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub header: Vec<u8>,
    /// The sealed body.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub body: Vec<u8>,
    /// One wrap a recipient device.
    #[n(2)]
    pub wraps: Vec<Wrap>,
    /// Seconds from acceptance after which an undelivered copy is dropped; at most
    /// [`crate::limits::MAX_QUEUE_SECONDS`].
    #[n(3)]
    pub expires_in_s: Option<u64>,
}

/// The message is durable. A repeat of the same message id by the same device gets the same answer.
#[derive(Clone, Copy, Debug, Encode, Decode)]
#[cbor(array)]
pub struct Accepted {
    /// By the relay's clock (milliseconds since the epoch).
    #[n(0)]
    pub accepted_at_ms: u64,
}

/// A blob is durable.
#[derive(Clone, Copy, Debug, Encode, Decode)]
#[cbor(array)]
pub struct BlobStored {
    /// Names it in this network.
    #[n(0)]
    pub blob: BlobId,
}

/// From relay to device. Binary WebSocket frames, one value each.
#[derive(Clone, Debug, Encode, Decode)]
pub enum ServerFrame {
    /// A message for this device.
    #[n(0)]
    Delivery(#[n(0)] Delivery),
    /// Word about a message that this device sent.
    #[n(1)]
    Notice(#[n(0)] Notice),
    /// All that was queued when the socket opened has been sent.
    #[n(2)]
    CaughtUp,
    /// A signal (typing, presence): now or never, not acknowledged.
    #[n(3)]
    Signal(#[n(0)] Signal),
}

/// A signal with this device's wrap only.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(array)]
pub struct Signal {
    /// The sealed header's CBOR.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub header: Vec<u8>,
    /// The sealed body.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub body: Vec<u8>,
    /// Which prekey it is wrapped to.
    #[n(2)]
    pub prekey: PrekeyRef,
    /// The wrapped content key.
    #[n(3)]
    pub key: WrappedKey,
    /// When the relay passed it on (milliseconds since the epoch).
    #[n(4)]
    pub accepted_at_ms: u64,
}

/// A message with this device's wrap only.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(array)]
pub struct Delivery {
    /// Position in the device's queue; grows.
    #[n(0)]
    pub seq: u64,
    /// The sealed header's CBOR.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub header: Vec<u8>,
    /// The sealed body.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub body: Vec<u8>,
    /// Which prekey it is wrapped to.
    #[n(3)]
    pub prekey: PrekeyRef,
    /// The wrapped content key.
    #[n(4)]
    pub key: WrappedKey,
    /// When the relay accepted it (milliseconds since the epoch).
    #[n(5)]
    pub accepted_at_ms: u64,
    /// When an undelivered copy is dropped.
    #[n(6)]
    pub expires_at_ms: u64,
}

/// Word about a message sent to another network, which was accepted here and then refused there.
#[derive(Clone, Debug, Encode, Decode)]
#[cbor(array)]
pub struct Notice {
    /// Position in the device's queue, acknowledged like a delivery.
    #[n(0)]
    pub seq: u64,
    /// The message.
    #[n(1)]
    pub message: MessageId,
    /// The network that refused it.
    #[n(2)]
    pub domain: Domain,
    /// The code of the refusal, as in [`crate::ErrorCode::as_str`].
    #[n(3)]
    pub code: String,
    /// For people.
    #[n(4)]
    pub reason: String,
}

/// From device to relay.
#[derive(Clone, Debug, Encode, Decode)]
pub enum ClientFrame {
    /// These are durable on the device; the relay forgets them.
    #[n(0)]
    Ack(#[n(0)] Vec<u64>),
}
