//! Users: as wanted by the administrator, registered by invite, locked by failed log-ins.

use minicbor::{Decode, Encode};
use sotto_crypto::{DeviceId, DeviceList, IdentityPublic, Signed};
use sotto_wire::Source;
use sotto_wire::admin::{PutUser, Role};
use sotto_wire::api::VaultKind;

use super::Answer;

/// A user.
#[derive(Clone)]
pub(crate) struct UserRecord {
    /// Security group.
    pub(crate) group: String,
    /// The signed document of this membership, as put.
    pub(crate) membership: Vec<u8>,
    /// Out by order of the administrator.
    pub(crate) suspended: bool,
    /// Digest (hex) of the invite's code, kept when it has been used.
    pub(crate) invite_digest: Option<String>,
    /// When the invite ends.
    pub(crate) invite_expires_ms: u64,
    /// Digest (hex) of the code of the invite that the user registered with last.
    pub(crate) used_digest: Option<String>,
    /// OPAQUE password file, once registered.
    pub(crate) record: Option<Vec<u8>>,
    /// Identity, once registered.
    pub(crate) identity: Option<IdentityPublic>,
    /// Kind of account.
    pub(crate) role: Role,
    /// Grows when log-in tokens that are out must not count any more.
    pub(crate) generation: u64,
    /// The identity's secret under the password.
    pub(crate) password_vault: Option<Vec<u8>>,
    /// The identity's secret under the recovery key.
    pub(crate) recovery_vault: Option<Vec<u8>>,
    /// All devices, as the user has signed them; none before the first.
    pub(crate) list: Option<Signed<DeviceList>>,
}

/// A user as the administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UserSummary {
    /// Local part.
    pub(crate) local: String,
    /// As put last.
    pub(crate) wanted: PutUser,
    /// Has used an invite.
    pub(crate) registered: bool,
    /// Has been given another invite since.
    pub(crate) reinvited: bool,
    /// The signed voucher that the user registered with last.
    pub(crate) voucher: Option<Vec<u8>>,
    /// Failed log-ins from where most have failed, since the last success there or unlocking.
    pub(crate) failures: u32,
    /// Devices.
    pub(crate) devices: Vec<DeviceId>,
    /// When a device last opened a session.
    pub(crate) last_seen_ms: Option<u64>,
}

/// What came of putting a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PutOutcome {
    /// Stored, or was like this already; the devices that were removed.
    Stored(Vec<DeviceId>),
    /// There is no such group.
    NoSuchGroup,
    /// There is a newer membership, or one of another group with the same serial.
    StaleMembership,
}

/// A registration by invite.
pub(crate) struct NewAccount {
    /// Local part.
    pub(crate) local: String,
    /// Digest (hex) of the code that was shown.
    pub(crate) invite_digest: String,
    /// OPAQUE password file.
    pub(crate) record: Vec<u8>,
    /// Identity.
    pub(crate) identity: IdentityPublic,
    /// A person's signed voucher for it.
    pub(crate) voucher: Option<Vec<u8>>,
    /// The identity's secret under the password.
    pub(crate) vault: Option<Vec<u8>>,
}

/// A new password.
pub(crate) struct NewPassword {
    /// Local part.
    pub(crate) local: String,
    /// [`UserRecord::generation`] that the log-in token was made for; it is used up.
    pub(crate) generation: u64,
    /// OPAQUE password file.
    pub(crate) record: Vec<u8>,
    /// The identity's secret under the new password; the one under the old password goes in any case.
    pub(crate) vault: Option<Vec<u8>>,
}

/// What came of changing a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangePassword {
    /// The new one holds.
    Changed,
    /// The log-in token has been used, or the user is gone.
    TokenUsed,
    /// The user is suspended.
    Suspended,
}

/// What came of registering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Registration {
    /// The invite is used up; the devices of before, which were removed.
    Registered(Vec<DeviceId>),
    /// The invite is unknown, or has expired.
    InviteInvalid,
    /// The invite has been used.
    AlreadyRegistered,
    /// The user is suspended.
    Suspended,
}

/// After so long without another one, failed log-ins that have not locked do not count any more.
pub(crate) const FORGET_MS: u64 = 24 * 3600 * 1000;
/// After so long a lockout ends by itself.
pub(crate) const FORGET_LOCKED_MS: u64 = 30 * FORGET_MS;
/// So many times the threshold may fail from all unknown origins of an account together, and as much more a day. With the usual
/// threshold of ten it is the hundred that NIST SP 800-63B allows.
const STRANGERS_FACTOR: u32 = 10;

/// From where a log-in is tried, as its failures are counted: what fails at one origin locks no other.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Origin {
    /// Its name among those of the account.
    #[n(0)]
    pub(crate) key: String,
    /// A device of the account, or a source that one has come from: strangers' failures do not hold it up.
    #[n(1)]
    pub(crate) known: bool,
}

impl Origin {
    /// A device of the account, by its session.
    pub(crate) fn device(device: DeviceId) -> Self {
        Self { key: device.to_string(), known: true }
    }

    /// Anybody else.
    pub(crate) fn source(source: Source, known: bool) -> Self {
        Self { key: source.to_string(), known }
    }
}

/// What has failed from unknown origins together: it leaks away, `capacity` a day, so that it needs no administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strangers {
    /// How many count now.
    pub(crate) failures: u32,
    /// At which moment.
    pub(crate) at_ms: u64,
}

impl Strangers {
    /// One more at `now_ms`; `None`: there is no room for it now.
    pub(crate) fn fail(self, threshold: u32, now_ms: u64) -> Option<Self> {
        if threshold == 0 {
            return Some(Self { failures: 0, at_ms: now_ms });
        }
        let capacity = threshold.saturating_mul(STRANGERS_FACTOR);
        let passed_ms = now_ms.saturating_sub(self.at_ms);
        let leaked = passed_ms.saturating_mul(capacity.into()) / FORGET_MS;
        let left = self.failures.saturating_sub(u32::try_from(leaked).unwrap_or(u32::MAX));
        // What is left of the time towards the next one stays.
        let at_ms =
            if left == 0 { now_ms } else { self.at_ms.saturating_add(leaked * FORGET_MS / u64::from(capacity)) };
        (left < capacity).then_some(Self { failures: left + 1, at_ms })
    }
}

/// Whether a log-in may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// Yes; the attempt counts as failed until it succeeds.
    Open,
    /// Too many have failed lately from unknown origins; time helps.
    Crowded,
    /// Too many have failed from this origin.
    Locked {
        /// This is the first attempt that is turned away.
        newly: bool,
    },
}

/// Operations on users.
pub(crate) trait Accounts {
    /// Creates or changes a user, and does what a new word in `wanted.reset` asks for; `serial` is that of the
    /// membership. The registration stays as it is. The end of a suspension also ends a lockout.
    fn put_user(&self, local: String, wanted: PutUser, serial: u64) -> Answer<'_, PutOutcome>;
    /// Removes a user with devices and queues; the devices that were removed.
    fn delete_user(&self, local: String) -> Answer<'_, Vec<DeviceId>>;
    /// Ends all lockouts of a user.
    fn unlock(&self, local: String) -> Answer<'_, ()>;
    /// One user.
    fn user(&self, local: String) -> Answer<'_, Option<UserRecord>>;
    /// All users.
    fn users(&self) -> Answer<'_, Vec<UserSummary>>;
    /// Uses an invite up. Who had registered before leaves all of that behind: identity, password, devices, queues,
    /// vaults, links.
    fn register(&self, account: NewAccount, now_ms: u64) -> Answer<'_, Registration>;
    /// Replaces password file and password vault.
    fn change_password(&self, new: NewPassword) -> Answer<'_, ChangePassword>;
    /// Stores or removes a vault; nothing happens when the user is gone.
    fn put_vault(&self, local: String, kind: VaultKind, vault: Option<Vec<u8>>) -> Answer<'_, ()>;
    /// Counts an attempt to log in, for users that exist and for those that do not; `threshold` 0 never locks. As long as
    /// it does not lock, what failed more than [`FORGET_MS`] before the next failure is forgotten.
    fn begin_login(&self, local: String, origin: Origin, threshold: u32, now_ms: u64) -> Answer<'_, Login>;
    /// An attempt from this origin succeeded: nothing has failed there any more.
    fn succeed_login(&self, local: String, origin: Origin) -> Answer<'_, ()>;
}

impl UserRecord {
    /// Whether the user has registered with the invite as it is now.
    pub(crate) fn has_used_invite(&self) -> bool {
        self.record.is_some() && self.used_digest == self.invite_digest
    }
}

/// Roles as they are stored.
pub(super) fn role_to_sql(role: Role) -> i64 {
    match role {
        Role::Person => 0,
        Role::Retention => 1,
    }
}

/// The reverse of [`role_to_sql`].
pub(super) fn role_from_sql(value: i64) -> Role {
    if value == 1 { Role::Retention } else { Role::Person }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_fail_leaks_away_within_a_day() {
        let mut strangers = Strangers { failures: 0, at_ms: 0 };
        for _ in 0..30 {
            strangers = strangers.fail(3, 1_000).unwrap();
        }
        assert_eq!(strangers.fail(3, 1_000), None);
        let one = FORGET_MS / 30;
        assert_eq!(strangers.fail(3, 1_000 + one - 1), None);
        let next = strangers.fail(3, 1_000 + one + one / 2).unwrap();
        assert_eq!(next.failures, 30);
        assert_eq!(next.fail(3, 1_000 + 2 * one - 1), None, "and the half that was left counts");
        assert!(next.fail(3, 1_000 + 2 * one).is_some());
        assert_eq!(next.fail(3, 1_000 + 9 * FORGET_MS), Some(Strangers { failures: 1, at_ms: 1_000 + 9 * FORGET_MS }));
        assert_eq!(strangers.fail(3, 0), None, "a clock that goes back gives nothing");
        assert!(Strangers { failures: u32::MAX, at_ms: 0 }.fail(0, 0).is_some(), "0 never locks");
        assert!(Strangers { failures: 9, at_ms: u64::MAX }.fail(u32::MAX, u64::MAX).is_some());
    }
}
