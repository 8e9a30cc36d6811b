//! The relay's admin interface: JSON over mutual TLS, caller's certificate CN `operator`. Every call is an upsert or
//! an idempotent removal; a repeat changes nothing.
//!
//! | method and path | body → answer |
//! |---|---|
//! | `GET /admin/v1/state` | → [`AdminState`]: all that the relay holds, to compare with what is wanted; with an `ETag`, and 304 for `If-None-Match` |
//! | `PUT /admin/v1/network` | [`PutNetwork`] |
//! | `PUT /admin/v1/groups/{name}` | [`PutGroup`] |
//! | `DELETE /admin/v1/groups/{name}` | refused while users are in it (`invalid`) |
//! | `PUT /admin/v1/users/{local}` | [`PutUser`] |
//! | `PUT /admin/v1/head` | [`PutHead`]: over all that was put before; refused where it is not (`directory_changed`) |
//! | `DELETE /admin/v1/users/{local}` | removes user, devices, queues |
//! | `DELETE /admin/v1/users/{local}/devices` | resets: removes every device and ends sessions |
//! | `POST /admin/v1/users/{local}/unlock` | ends a lockout |

use serde::{Deserialize, Serialize};

/// Bytes as standard base64 in JSON and YAML.
pub mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// As base64.
    pub fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&STANDARD.encode(bytes))
    }

    /// From base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(d)?).map_err(|_| D::Error::custom("not standard base64"))
    }
}

/// The same of bytes that may be absent.
mod optional_base64 {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Bytes(#[serde(with = "super::base64_bytes")] Vec<u8>);

    // The type is serde's choice.
    #[expect(clippy::ref_option, reason = "what serde calls")]
    pub(super) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, s: S) -> Result<S::Ok, S::Error> {
        bytes.clone().map(Bytes).serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<Bytes>::deserialize(d)?.map(|bytes| bytes.0))
    }
}

/// The network's signed document ([`crate::policy::NetworkDocument`]). The relay checks it against the policy key of
/// its configuration and refuses one with a lower serial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutNetwork {
    /// `Signed<NetworkDocument>` as CBOR.
    #[serde(with = "base64_bytes")]
    pub document: Vec<u8>,
}

/// A group's signed document ([`crate::policy::GroupDocument`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutGroup {
    /// `Signed<GroupDocument>` as CBOR.
    #[serde(with = "base64_bytes")]
    pub document: Vec<u8>,
}

/// The signed head over all documents ([`crate::directory::DirectoryHead`]): from then on clients are shown the documents as they are
/// now, and until the next one no others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutHead {
    /// `Signed<DirectoryHead>` as CBOR. The relay checks it against the policy key, refuses one with a lower serial
    /// (`invalid`), and one that is not over the documents that it holds (`directory_changed`): they have to be put again.
    #[serde(with = "base64_bytes")]
    pub head: Vec<u8>,
}

/// What kind of account it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// A person.
    #[default]
    Person,
    /// A retention process.
    Retention,
}

/// A user as wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PutUser {
    /// Name of the security group, which must have been put before.
    pub group: String,
    /// `Signed<MembershipDocument>` as CBOR: that the user is in this group. The relay checks it against the policy key,
    /// address and group, and refuses one with a lower serial.
    #[serde(with = "base64_bytes")]
    pub membership: Vec<u8>,
    /// Suspended users are out at once: sessions end, sockets close, nothing is accepted or delivered; what is queued
    /// stays.
    pub suspended: bool,
    /// What kind of account.
    #[serde(default)]
    pub role: Role,
    /// The invite, as long as the user has not registered. For a user who has: a new one, by which the user registers
    /// again and leaves everything behind, identity, password, devices, queues and vaults. Until it is used, nothing changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite: Option<InviteGrant>,
    /// What has to be done once.
    #[serde(default, skip_serializing_if = "Resets::is_empty")]
    pub reset: Resets,
}

/// Things that are done once: each when its word is another one than that of before. A word that is left out changes
/// nothing, and the one of before stays known. For a new user nothing is done, the words are only remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resets {
    /// Removes all devices with their queues; ends sessions, links and log-in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<String>,
    /// A new invite has been made: it is in [`PutUser::invite`]. The relay only remembers the word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite: Option<String>,
    /// Ends a lockout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lockout: Option<String>,
}

impl Resets {
    /// Whether there is no word at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These words, and those of `before` where there is none.
    #[must_use]
    pub fn or(&self, before: &Self) -> Self {
        let or = |word: &Option<String>, before: &Option<String>| word.clone().or_else(|| before.clone());
        Self {
            devices: or(&self.devices, &before.devices),
            invite: or(&self.invite, &before.invite),
            lockout: or(&self.lockout, &before.lockout),
        }
    }
}

/// An invite as the relay knows it: not its secret, nor the key that comes from it, only the digest of a code that does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InviteGrant {
    /// Hex of SHA-512/256 over `"sotto/2 invite\0"` and the code ([`crate::invite::code_digest`]).
    pub code_digest: String,
    /// When it ends (milliseconds since the epoch).
    pub expires_at_ms: u64,
}

/// All that the relay holds by the admin interface, and what it knows better.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdminState {
    /// As put, or none yet.
    pub network: Option<PutNetwork>,
    /// By name.
    pub groups: std::collections::BTreeMap<String, PutGroup>,
    /// By local part.
    pub users: std::collections::BTreeMap<String, UserState>,
    /// The directory head that counts for clients, or none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<PutHead>,
    /// Messages queued for all devices.
    pub queued_messages: u64,
    /// Version of the relay.
    pub version: String,
}

/// A user as the relay has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserState {
    /// As put last; of [`PutUser::reset`] the last word of each.
    pub wanted: PutUser,
    /// Has used the invite.
    pub registered: bool,
    /// Has registered, has been given a new invite since, and has not used it.
    #[serde(default)]
    pub reinvited: bool,
    /// The [`Voucher`](sotto_crypto::Voucher) under the invite's key with which a person has registered, until the membership
    /// says the same.
    #[serde(default, with = "optional_base64", skip_serializing_if = "Option::is_none")]
    pub voucher: Option<Vec<u8>>,
    /// Is locked for a place after wrong passwords there.
    pub locked: bool,
    /// Number of devices.
    pub devices: u32,
    /// Messages queued for this user's devices.
    pub queued_messages: u64,
    /// When a device last opened a session (milliseconds since the epoch).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_ms: Option<u64>,
}
