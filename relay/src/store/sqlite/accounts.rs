//! Users.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sotto_crypto::{DeviceId, IdentityPublic};
use sotto_wire::admin::{InviteGrant, PutUser, Resets};
use sotto_wire::api::VaultKind;

use super::{Sqlite, Work, device_id, devices, is_foreign_key, links};
use crate::store::accounts::{FORGET_MS, Strangers, role_from_sql, role_to_sql};
use crate::store::{
    Accounts, Answer, ChangePassword, Login, NewAccount, NewPassword, Origin, PutOutcome, Registration, StoreError,
    UserRecord, UserSummary,
};

impl Accounts for Sqlite {
    fn put_user(&self, local: String, wanted: PutUser, serial: u64) -> Answer<'_, PutOutcome> {
        self.write(move |work| put_user(work, &local, &wanted, serial))
    }

    fn delete_user(&self, local: String) -> Answer<'_, Vec<DeviceId>> {
        self.write(move |work| {
            let removed = devices::remove_all(work, &local, &[])?;
            work.connection().execute("DELETE FROM users WHERE local = ?1", [&local])?;
            work.connection().execute("DELETE FROM logins WHERE local = ?1", [&local])?;
            Ok(removed)
        })
    }

    fn unlock(&self, local: String) -> Answer<'_, ()> {
        self.write(move |work| {
            work.connection().execute("DELETE FROM logins WHERE local = ?1", [&local])?;
            Ok(())
        })
    }

    fn user(&self, local: String) -> Answer<'_, Option<UserRecord>> {
        self.read(move |connection| find(connection, &local))
    }

    fn users(&self) -> Answer<'_, Vec<UserSummary>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT u.local, u.grp, u.suspended, u.role, u.invite_digest, u.invite_expires_ms,
                   u.record IS NOT NULL,
                   coalesce((SELECT max(failures) FROM logins l WHERE l.local = u.local AND l.origin <> ''), 0),
                   (SELECT max(last_seen_ms) FROM devices d WHERE d.local = u.local), u.membership,
                   u.reset_devices, u.reset_invite, u.reset_lockout,
                   u.record IS NOT NULL AND u.invite_digest IS NOT NULL AND u.invite_digest IS NOT u.used_digest, u.voucher
                 FROM users u ORDER BY u.local",
            )?;
            let mut users: Vec<UserSummary> = statement.query_map([], summary)?.collect::<Result<_, _>>()?;
            let mut devices = connection.prepare_cached("SELECT device FROM devices WHERE local = ?1 ORDER BY id")?;
            for user in &mut users {
                let mut rows = devices.query([&user.local])?;
                while let Some(row) = rows.next()? {
                    user.devices.push(device_id(row.get_ref(0)?.as_blob().unwrap_or_default())?);
                }
            }
            Ok(users)
        })
    }

    fn register(&self, account: NewAccount, now_ms: u64) -> Answer<'_, Registration> {
        self.write(move |work| {
            let Some(user) = find(work.connection(), &account.local)? else { return Ok(Registration::InviteInvalid) };
            if user.invite_digest.as_ref() != Some(&account.invite_digest) {
                return Ok(Registration::InviteInvalid);
            }
            if user.has_used_invite() {
                return Ok(Registration::AlreadyRegistered);
            }
            if user.invite_expires_ms <= now_ms {
                return Ok(Registration::InviteInvalid);
            }
            if user.suspended {
                return Ok(Registration::Suspended);
            }
            let removed = reset_devices(work, &account.local)?;
            work.connection().execute(
                "UPDATE users SET record = ?2, identity = ?3, password_vault = ?4, recovery_vault = NULL,
                   used_digest = invite_digest, voucher = ?5, device_list = NULL, device_list_serial = NULL
                 WHERE local = ?1",
                params![account.local, account.record, account.identity.as_bytes(), account.vault, account.voucher],
            )?;
            work.connection().execute("DELETE FROM logins WHERE local = ?1", [&account.local])?;
            Ok(Registration::Registered(removed))
        })
    }

    fn change_password(&self, new: NewPassword) -> Answer<'_, ChangePassword> {
        self.write(move |work| {
            let found: Option<(bool, u64)> = work
                .connection()
                .query_row(
                    "SELECT suspended, generation FROM users WHERE local = ?1 AND record IS NOT NULL",
                    [&new.local],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            match found {
                Some((true, _)) => return Ok(ChangePassword::Suspended),
                Some((false, generation)) if generation == new.generation => {}
                Some(_) | None => return Ok(ChangePassword::TokenUsed),
            }
            work.connection().execute(
                "UPDATE users SET record = ?2, password_vault = ?3, generation = generation + 1 WHERE local = ?1",
                params![new.local, new.record, new.vault],
            )?;
            work.connection().execute("DELETE FROM logins WHERE local = ?1", [&new.local])?;
            Ok(ChangePassword::Changed)
        })
    }

    fn put_vault(&self, local: String, kind: VaultKind, vault: Option<Vec<u8>>) -> Answer<'_, ()> {
        self.write(move |work| {
            let statement = match kind {
                VaultKind::Password => "UPDATE users SET password_vault = ?2 WHERE local = ?1",
                VaultKind::Recovery => "UPDATE users SET recovery_vault = ?2 WHERE local = ?1",
            };
            work.connection().execute(statement, params![local, vault])?;
            Ok(())
        })
    }

    fn begin_login(&self, local: String, origin: Origin, threshold: u32, now_ms: u64) -> Answer<'_, Login> {
        self.write(move |work| {
            let connection = work.connection();
            // Failures that are far apart are a person's mistakes.
            connection
                .prepare_cached(
                    "DELETE FROM logins WHERE local = ?1 AND origin = ?2 AND updated_ms <= ?3 AND (?4 = 0 OR failures < ?4)",
                )?
                .execute(params![local, origin.key, now_ms.saturating_sub(FORGET_MS), threshold])?;
            let failures = failed(connection, &local, &origin.key)?.map_or(0, |(failures, _)| failures);
            if threshold > 0 && failures >= threshold {
                let newly = failures == threshold;
                if newly {
                    fail(connection, &local, &origin.key, failures + 1, now_ms)?;
                }
                return Ok(Login::Locked { newly });
            }
            if !origin.known {
                let (failures, at_ms) = failed(connection, &local, STRANGERS)?.unwrap_or((0, now_ms));
                let Some(strangers) = (Strangers { failures, at_ms }).fail(threshold, now_ms) else {
                    return Ok(Login::Crowded);
                };
                fail(connection, &local, STRANGERS, strangers.failures, strangers.at_ms)?;
            }
            fail(connection, &local, &origin.key, failures.saturating_add(1), now_ms)?;
            Ok(Login::Open)
        })
    }

    fn succeed_login(&self, local: String, origin: Origin) -> Answer<'_, ()> {
        self.write(move |work| {
            let connection = work.connection();
            connection.execute("DELETE FROM logins WHERE local = ?1 AND origin = ?2", [&local, &origin.key])?;
            if !origin.known {
                // It was counted there as well when it began.
                connection.execute(
                    "UPDATE logins SET failures = failures - 1 WHERE local = ?1 AND origin = ?2 AND failures > 0",
                    [&local, STRANGERS],
                )?;
            }
            Ok(())
        })
    }
}

/// The row of all unknown origins together. No origin has this name.
const STRANGERS: &str = "";

/// What has failed at an origin, and when last.
fn failed(connection: &Connection, local: &str, origin: &str) -> Result<Option<(u32, u64)>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT failures, updated_ms FROM logins WHERE local = ?1 AND origin = ?2")?
        .query_row([local, origin], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?)
}

fn fail(connection: &Connection, local: &str, origin: &str, failures: u32, at_ms: u64) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO logins (local, origin, failures, updated_ms) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![local, origin, failures, at_ms])?;
    Ok(())
}

fn put_user(work: &mut Work<'_>, local: &str, wanted: &PutUser, serial: u64) -> Result<PutOutcome, StoreError> {
    let before: Option<(u64, String, Resets)> = work
        .connection()
        .query_row(
            "SELECT membership_serial, grp, reset_devices, reset_invite, reset_lockout FROM users WHERE local = ?1",
            [local],
            |row| {
                let words = Resets { devices: row.get(2)?, invite: row.get(3)?, lockout: row.get(4)? };
                Ok((row.get(0)?, row.get(1)?, words))
            },
        )
        .optional()?;
    if let Some((known, group, _)) = &before
        && (*known > serial || (*known == serial && *group != wanted.group))
    {
        return Ok(PutOutcome::StaleMembership);
    }
    // The end of a suspension is also the end of a lockout: the administrator has looked at the account.
    work.connection().execute(
        "DELETE FROM logins WHERE local = ?1 AND NOT ?2
           AND EXISTS (SELECT 1 FROM users u WHERE u.local = ?1 AND u.suspended)",
        params![local, wanted.suspended],
    )?;
    let put = work.connection().execute(
        "INSERT INTO users
           (local, grp, suspended, role, invite_digest, invite_expires_ms, membership, membership_serial,
            reset_devices, reset_invite, reset_lockout)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (local) DO UPDATE SET grp = excluded.grp, suspended = excluded.suspended,
           role = excluded.role, invite_digest = excluded.invite_digest,
           invite_expires_ms = excluded.invite_expires_ms, membership = excluded.membership,
           membership_serial = excluded.membership_serial,
           reset_devices = coalesce(excluded.reset_devices, reset_devices),
           reset_invite = coalesce(excluded.reset_invite, reset_invite),
           reset_lockout = coalesce(excluded.reset_lockout, reset_lockout)",
        params![
            local,
            wanted.group,
            wanted.suspended,
            role_to_sql(wanted.role),
            wanted.invite.as_ref().map(|invite| &invite.code_digest),
            wanted.invite.as_ref().map(|invite| invite.expires_at_ms),
            wanted.membership,
            serial,
            wanted.reset.devices,
            wanted.reset.invite,
            wanted.reset.lockout,
        ],
    );
    match put {
        Ok(_) => {}
        Err(error) if is_foreign_key(&error) => return Ok(work.roll_back(PutOutcome::NoSuchGroup)),
        Err(error) => return Err(error.into()),
    }
    let Some((_, _, before)) = before else { return Ok(PutOutcome::Stored(Vec::new())) };
    let is_new = |word: &Option<String>, before: &Option<String>| word.is_some() && word != before;
    if is_new(&wanted.reset.lockout, &before.lockout) {
        work.connection().execute("DELETE FROM logins WHERE local = ?1", [local])?;
    }
    let removed = if is_new(&wanted.reset.devices, &before.devices) { reset_devices(work, local)? } else { Vec::new() };
    Ok(PutOutcome::Stored(removed))
}

/// Removes a user's devices, and ends what log-in tokens and links are out.
pub(super) fn reset_devices(work: &mut Work<'_>, local: &str) -> Result<Vec<DeviceId>, StoreError> {
    end_tokens(work, local)?;
    devices::remove_all(work, local, &[])
}

/// Ends what log-in tokens and links are out.
pub(super) fn end_tokens(work: &mut Work<'_>, local: &str) -> Result<(), StoreError> {
    work.connection().execute("UPDATE users SET generation = generation + 1 WHERE local = ?1", [local])?;
    links::end_all(work.connection(), local)
}

fn find(connection: &Connection, local: &str) -> Result<Option<UserRecord>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT u.grp, u.suspended, u.invite_digest, u.invite_expires_ms, u.record, u.identity, u.generation,
           u.membership, u.password_vault, u.recovery_vault, u.used_digest, u.role, u.device_list
         FROM users u WHERE u.local = ?1",
    )?;
    let mut rows = statement.query([local])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(UserRecord {
        group: row.get(0)?,
        suspended: row.get(1)?,
        invite_digest: row.get(2)?,
        invite_expires_ms: row.get::<_, Option<u64>>(3)?.unwrap_or(0),
        record: row.get(4)?,
        identity: row.get::<_, Option<Vec<u8>>>(5)?.map(|bytes| identity(&bytes)).transpose()?,
        generation: row.get(6)?,
        membership: row.get(7)?,
        password_vault: row.get(8)?,
        recovery_vault: row.get(9)?,
        used_digest: row.get(10)?,
        role: role_from_sql(row.get(11)?),
        list: row.get::<_, Option<Vec<u8>>>(12)?.map(|bytes| devices::list(&bytes)).transpose()?,
    }))
}

fn summary(row: &Row<'_>) -> rusqlite::Result<UserSummary> {
    let digest: Option<String> = row.get(4)?;
    let expires: Option<u64> = row.get(5)?;
    Ok(UserSummary {
        local: row.get(0)?,
        wanted: PutUser {
            group: row.get(1)?,
            membership: row.get(9)?,
            suspended: row.get(2)?,
            role: role_from_sql(row.get(3)?),
            reset: Resets { devices: row.get(10)?, invite: row.get(11)?, lockout: row.get(12)? },
            invite: digest.map(|code_digest| InviteGrant { code_digest, expires_at_ms: expires.unwrap_or(0) }),
        },
        registered: row.get(6)?,
        reinvited: row.get(13)?,
        voucher: row.get(14)?,
        failures: row.get(7)?,
        devices: Vec::new(),
        last_seen_ms: row.get(8)?,
    })
}

pub(super) fn identity(bytes: &[u8]) -> Result<IdentityPublic, StoreError> {
    IdentityPublic::from_bytes(bytes).map_err(|_| StoreError::Corrupt("an identity key"))
}
