//! `User`: a person, or a program, with an address in a network.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{NamedRef, conditions};
use crate::duration::{self, Duration};

/// A person's place in a network.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "sotto.dev",
    version = "v1alpha1",
    kind = "User",
    namespaced,
    plural = "users",
    shortname = "suser",
    category = "sotto",
    status = "UserStatus",
    derive = "PartialEq",
    cel,
    doc = "A User is a person with an address in a Network: username@domain. The operator makes an invite for each new user, in the Secret that status.inviteSecretName names; who opens it chooses a password that no server ever sees.",
    printcolumn(name = "Address", type_ = "string", json_path = ".status.address"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Group", type_ = "string", json_path = ".spec.securityGroupRef.name"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Devices", type_ = "integer", json_path = ".status.devices"),
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.networkRef.name", priority = "1"),
    printcolumn(name = "Invite", type_ = "string", json_path = ".status.inviteSecretName", priority = "1"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = "1"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.username) == has(oldSelf.username) && (!has(self.username) || self.username == oldSelf.username)")
    .message("username cannot be changed: keys and conversations belong to the address; make a new User and suspend this one")
    .field_path(".username").reason(Reason::FieldValueForbidden))]
pub struct UserSpec {
    /// The Network, in the same namespace, that the user belongs to. It cannot be changed.
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("networkRef cannot be changed: the address belongs to its network; make a new User in the other network")
        .reason(Reason::FieldValueForbidden))]
    pub network_ref: NamedRef,
    /// The part of the address before the @, 1 to 64 characters of a-z, 0-9 and . _ + - (no dot at either end). It is not an
    /// e-mail address: the address is username@domain, with the domain of the Network. It cannot be changed.
    /// Default: the object's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9_+\-]([a-z0-9._+\-]*[a-z0-9_+\-])?$"))]
    pub username: Option<String>,
    /// First name, up to 100 characters. First and last name are shown to everybody beside the address, never in its place,
    /// and kept in records: signed by the operator, so that no relay can change them. No characters that are not seen, and none
    /// of @ < > ( ) [ ] { } " : ; | and backslash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub first_name: Option<String>,
    /// Last name, up to 100 characters; the same as of the first name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub last_name: Option<String>,
    /// The e-mail address that an invite is meant for. It is not the user's address in the network, and the relay does not
    /// learn it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 254), regex(pattern = r"^[^@\s]+@[^@\s]+$"))]
    pub email: Option<String>,
    /// The user's SecurityGroup, in the same namespace and of the same network. Default: the network's default group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_group_ref: Option<NamedRef>,
    /// Whether clients show the user as an administrator of the network. It gives no right in Kubernetes. Default: false.
    /// This version keeps the setting, but nothing acts on it yet.
    #[serde(default)]
    pub admin: bool,
    /// A suspended user is out within seconds and stays out; nothing is deleted. Default: false.
    #[serde(default)]
    pub suspended: bool,
    /// The invite that a new user registers with.
    #[serde(default)]
    pub invite: InviteSpec,
    /// What has to be done once: for a lost device, a lost password, a lockout. Each field takes a word of your choice, such
    /// as a date. The operator acts once when the word is another one than that of status.reset, where it writes down what
    /// it has done; removing a word does nothing, and so do words that a User has from its beginning.
    #[serde(default, skip_serializing_if = "Reset::is_empty")]
    pub reset: Reset,
}

const WORD: &str = "self.matches('^[A-Za-z0-9][A-Za-z0-9._:+-]*$')";
const WORD_MESSAGE: &str = "must be one word of letters, digits and . _ : + - that begins with a letter or digit; write one of your choice, such as the date: 2026-11-23";

/// Words that ask for something to be done once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reset {
    /// Removes all devices of the user and ends their sessions. What waited for them is lost. The user adds devices again
    /// with the password, and where the security group wants approval of devices, with the recovery key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new(WORD).message(WORD_MESSAGE))]
    pub devices: Option<String>,
    /// Makes a new invite, in the Secret that status.inviteSecretName names; one that is still open ends. Who has registered
    /// and opens it gets a new password and a new identity, which the user's contacts are shown, and loses devices and
    /// what waited for them. Until the new invite is opened nothing changes; without the word it is withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new(WORD).message(WORD_MESSAGE))]
    pub invite: Option<String>,
    /// Ends a lockout after wrong passwords.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new(WORD).message(WORD_MESSAGE))]
    pub lockout: Option<String>,
}

impl Reset {
    /// Whether there is no word at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The invite that a new user registers with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct InviteSpec {
    /// How long an invite can be used, 1h to 90d; then the operator makes a new one, as long as the user has not registered.
    /// Default: 7d.
    #[serde(default = "week")]
    #[x_kube(validation = Rule::new(format!("{d} >= 3600 && {d} <= 7776000", d = duration::cel("self")))
        .message("ttl must be from 1h to 90d"))]
    pub ttl: Duration,
}

impl Default for InviteSpec {
    fn default() -> Self {
        Self { ttl: week() }
    }
}

fn week() -> Duration {
    Duration::from("7d")
}

/// Where a user stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UserState {
    /// Has not opened the invite yet.
    Pending,
    /// Has registered.
    Active,
    /// Is shut out.
    Suspended,
}

/// What the operator has made of a User.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserStatus {
    /// The generation of the spec that this status is about; -1 before the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: the relay knows the user as this spec says. Progressing: the operator is at work on it. Degraded: something is
    /// wrong; the message says what and how to put it right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// The user's address: username@domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Pending: has not opened the invite yet. Active: has registered. Suspended: is shut out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<UserState>,
    /// How many devices the user has registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<i32>,
    /// What has been done of spec.reset: the last word of each.
    #[serde(default, skip_serializing_if = "Reset::is_empty")]
    pub reset: Reset,
    /// The Secret with the invite, with the keys url, address and code, as long as it has not been opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite_secret_name: Option<String>,
    /// Until when the invite can be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite_expires_at: Option<Time>,
}
