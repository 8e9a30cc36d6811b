//! `SecurityGroup`: the permissions of a set of users.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::{DOMAIN_PATTERN, NamedRef, conditions};
use crate::duration::{self, Duration};

/// The permissions of a set of users: sign-in, messages, calls, federation.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "sotto.dev",
    version = "v1alpha1",
    kind = "SecurityGroup",
    namespaced,
    plural = "securitygroups",
    shortname = "ssg",
    category = "sotto",
    status = "SecurityGroupStatus",
    derive = "PartialEq",
    cel,
    doc = "A SecurityGroup is the permissions of a set of a network's users: sign-in, messages, calls, federation. A user is in exactly one group; without one the network's default group, or our defaults, apply.",
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.networkRef.name"),
    printcolumn(name = "Default", type_ = "boolean", json_path = ".spec.default"),
    printcolumn(name = "Federation", type_ = "string", json_path = ".spec.federation.mode"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Users", type_ = "integer", json_path = ".status.users"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = "1"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.forceDeviceLockout) || self.forceDeviceLockout < self.lockoutThreshold")
    .message("forceDeviceLockout must be below lockoutThreshold: a device wipes itself before the account locks; lower the one or raise the other")
    .field_path(".forceDeviceLockout"))]
pub struct SecurityGroupSpec {
    /// The Network, in the same namespace, whose users this group is for. It cannot be changed.
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("networkRef cannot be changed: make a new SecurityGroup for the other network")
        .reason(Reason::FieldValueForbidden))]
    pub network_ref: NamedRef,
    /// Whether users without a securityGroupRef are in this group. At most one group of a network. Default: false.
    #[serde(default)]
    pub default: bool,
    /// Failed passwords from one place (address, IPv6 /64 or device) before the account locks for that place, 1 to 100. Default: 10.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100))]
    pub lockout_threshold: i32,
    /// Failed passwords before the device wipes its local data, 1 to 99, below lockoutThreshold. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 99))]
    pub force_device_lockout: Option<i32>,
    /// What a new password must have.
    #[serde(default)]
    pub password_requirements: PasswordRequirements,
    /// How long a sign-in lasts.
    #[serde(default)]
    pub sessions: SessionSpec,
    /// How a further device joins an account.
    #[serde(default)]
    pub devices: DeviceSpec,
    /// What users may send, and how long it lives.
    #[serde(default)]
    pub messaging: MessagingSpec,
    /// Which calls users may make.
    #[serde(default)]
    pub calling: CallingSpec,
    /// Whom users may talk to outside of their network.
    #[serde(default)]
    pub federation: GroupFederation,
}

fn ten() -> i32 {
    10
}

/// What a new password must have: minimum counts of characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.lowercase + self.uppercase + self.numbers + self.symbols <= self.minLength")
    .message("lowercase, uppercase, numbers and symbols ask for more characters than minLength: raise minLength to at least their sum")
    .field_path(".minLength"))]
pub struct PasswordRequirements {
    /// Characters altogether, 8 to 128. Default: 12.
    #[serde(default = "twelve")]
    #[schemars(range(min = 8, max = 128))]
    pub min_length: i32,
    /// Lower-case letters, 0 to 32. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 32))]
    pub lowercase: i32,
    /// Upper-case letters, 0 to 32. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 32))]
    pub uppercase: i32,
    /// Digits, 0 to 32. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 32))]
    pub numbers: i32,
    /// Other characters, 0 to 32. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 32))]
    pub symbols: i32,
}

impl Default for PasswordRequirements {
    fn default() -> Self {
        Self { min_length: twelve(), lowercase: 0, uppercase: 0, numbers: 0, symbols: 0 }
    }
}

fn twelve() -> i32 {
    12
}

/// How long a sign-in lasts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionSpec {
    /// Whether the client asks for the password at every start. Default: false.
    /// This version keeps the setting, but nothing acts on it yet.
    #[serde(default)]
    pub always_reauthenticate: bool,
    /// How long one sign-in lasts, 60m to 365d. Default: without end.
    /// This version keeps the setting, but nothing acts on it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(format!("{d} >= 3600 && {d} <= 31536000", d = duration::cel("self")))
        .message("maxSession must be from 60m to 365d; leave it out for sessions without end"))]
    pub max_session: Option<Duration>,
}

/// How a further device joins an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceSpec {
    /// Whether a further device must be approved by a second factor. Default: false.
    #[serde(default)]
    pub approval_required: bool,
    /// Whether a recovery key is shown, with which a user signs in without another device. Default: false.
    /// This version keeps the setting, but nothing acts on it yet.
    #[serde(default)]
    pub recovery_key_enabled: bool,
}

/// What users may send, and how long it lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(format!("!has(self.maxBor) || {} <= {}", duration::cel("self.maxBor"), duration::cel("self.maxTtl")))
    .message("maxBor must not be longer than maxTtl: burn-on-read never extends the expiry; lower maxBor or raise maxTtl")
    .field_path(".maxBor"))]
#[x_kube(validation = Rule::new("!self.locationAllowMaps || self.locationEnabled")
    .message("locationAllowMaps needs locationEnabled: set locationEnabled to true, or locationAllowMaps to false")
    .field_path(".locationAllowMaps"))]
pub struct MessagingSpec {
    /// The longest expiry that users may choose, counted from sending: up to 90d in a Standard network and 365d in a Premium
    /// one, at least 60s. Default: 30d.
    #[serde(default = "month")]
    #[x_kube(validation = Rule::new(format!("{d} >= 60 && {d} <= 31536000", d = duration::cel("self")))
        .message("maxTtl must be from 60s to 365d (90d in a Standard network)"))]
    pub max_ttl: Duration,
    /// The longest burn-on-read that users may choose, counted from reading; not longer than maxTtl, because it never extends
    /// the expiry. Default: maxTtl.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bor: Option<Duration>,
    /// Whether files may be sent. Default: true.
    #[serde(default = "yes")]
    pub files_enabled: bool,
    /// Whether received files may be saved; otherwise clients only preview them. Default: true.
    #[serde(default = "yes")]
    pub file_download_enabled: bool,
    /// Files up to this size are fetched without asking: 500Ki or 7Mi. Default: 500Ki.
    /// This version keeps the setting, but nothing acts on it yet.
    #[serde(default)]
    pub max_auto_download_size: AutoDownload,
    /// Whether messages may be forwarded. Default: true.
    #[serde(default = "yes")]
    pub message_forwarding_enabled: bool,
    /// Whether clients fetch previews of links. Default: false.
    /// This version keeps the setting, but nothing acts on it yet.
    #[serde(default)]
    pub link_preview_enabled: bool,
    /// Whether others see who is online. Default: true.
    #[serde(default = "yes")]
    pub presence_enabled: bool,
    /// Whether notifications show the text. Default: true.
    /// This version keeps the setting, but nothing acts on it yet.
    #[serde(default = "yes")]
    pub notification_preview_enabled: bool,
    /// Whether locations may be sent. Default: false.
    /// This version keeps the setting, but nothing acts on it yet.
    #[serde(default)]
    pub location_enabled: bool,
    /// Whether clients draw locations on a map, which asks a map service. Needs locationEnabled. Default: false.
    /// This version keeps the setting, but nothing acts on it yet.
    #[serde(default)]
    pub location_allow_maps: bool,
    /// Overwriting of deleted data on the device.
    #[serde(default)]
    pub shredder: ShredderSpec,
    /// Texts offered as answers, up to 10, each up to 8000 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(min = 1, max = 8000)))]
    pub quick_responses: Vec<String>,
}

impl Default for MessagingSpec {
    fn default() -> Self {
        Self {
            max_ttl: month(),
            max_bor: None,
            files_enabled: true,
            file_download_enabled: true,
            max_auto_download_size: AutoDownload::Small,
            message_forwarding_enabled: true,
            link_preview_enabled: false,
            presence_enabled: true,
            notification_preview_enabled: true,
            location_enabled: false,
            location_allow_maps: false,
            shredder: ShredderSpec::default(),
            quick_responses: Vec::new(),
        }
    }
}

fn month() -> Duration {
    Duration::from("30d")
}
fn yes() -> bool {
    true
}

/// Up to which size files are fetched without asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AutoDownload {
    /// 512,000 bytes.
    #[default]
    #[serde(rename = "500Ki")]
    Small,
    /// 7,340,032 bytes.
    #[serde(rename = "7Mi")]
    Large,
}

/// Overwriting of deleted data on the device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShredderSpec {
    /// How eagerly freed storage is overwritten: 0 (not at all), 20, 60 or 100. Default: 20.
    /// This version keeps the setting, but nothing acts on it yet.
    #[serde(default = "twenty")]
    #[schemars(range(min = 0, max = 100))]
    #[x_kube(validation = Rule::new("self in [0, 20, 60, 100]").message("intensity must be 0, 20, 60 or 100"))]
    pub intensity: i32,
    /// Whether users may start it by hand. Default: true.
    /// This version keeps the setting, but nothing acts on it yet.
    #[serde(default = "yes")]
    pub can_process_manually: bool,
}

impl Default for ShredderSpec {
    fn default() -> Self {
        Self { intensity: twenty(), can_process_manually: true }
    }
}

fn twenty() -> i32 {
    20
}

/// Which calls users may make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.canVideoCall || self.canStart11Call")
    .message("canVideoCall needs canStart11Call: set canStart11Call to true, or canVideoCall to false")
    .field_path(".canVideoCall"))]
pub struct CallingSpec {
    /// Whether users may start calls. Default: true.
    /// This version keeps the setting, but nothing acts on it yet.
    #[serde(default = "yes", rename = "canStart11Call")]
    pub can_start_call: bool,
    /// Whether calls may have video. Needs canStart11Call. Default: true.
    /// This version keeps the setting, but nothing acts on it yet.
    #[serde(default = "yes")]
    pub can_video_call: bool,
    /// Whether calls go over TCP only. Default: false.
    /// This version keeps the setting, but nothing acts on it yet.
    #[serde(default)]
    pub force_tcp_call: bool,
}

impl Default for CallingSpec {
    fn default() -> Self {
        Self { can_start_call: true, can_video_call: true, force_tcp_call: false }
    }
}

/// Whom users may talk to outside of their network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.mode == 'Restricted') == (has(self.permittedNetworks) && size(self.permittedNetworks) > 0)")
    .message("permittedNetworks goes with mode Restricted: list at least one domain there, and none with None or All")
    .field_path(".permittedNetworks"))]
pub struct GroupFederation {
    /// None: with nobody. Restricted: with the networks in permittedNetworks. All: with every peer of the network. The network
    /// itself and the other side must allow it too. Default: None.
    #[serde(default)]
    pub mode: GroupFederationMode,
    /// With mode Restricted: the domains of the networks, up to 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 3, max = 253), regex(pattern = DOMAIN_PATTERN)), extend("x-kubernetes-list-type" = "set"))]
    pub permitted_networks: Vec<String>,
}

/// Whom users may talk to outside of their network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GroupFederationMode {
    /// Nobody.
    #[default]
    None,
    /// The networks that are listed.
    Restricted,
    /// Every peer of the network.
    All,
}

/// What the operator has made of a SecurityGroup.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroupStatus {
    /// The generation of the spec that this status is about; -1 before the operator has seen the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: the relay applies this spec. Progressing: the operator is at work on it. Degraded: something is wrong; the
    /// message says what and how to put it right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// How many User objects are in the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<i32>,
}
