//! What one relay of the stand-in holds: the semantic of the real relay's admin interface, as a value. Signatures are not
//! checked; serials are.

use sotto_crypto::Signed;
use sotto_wire::admin::{AdminState, InviteGrant, PutGroup, PutNetwork, PutUser, Role, UserState};
use sotto_wire::policy::{GroupDocument, MembershipDocument, NetworkDocument};
use sotto_wire::{ApiError, ErrorCode};

type Answer = Result<(), ApiError>;

/// One relay's state, with a number that grows with each change.
#[derive(Debug)]
pub(super) struct Store {
    state: AdminState,
    version: u64,
}

impl Default for Store {
    fn default() -> Self {
        let state = AdminState { version: env!("CARGO_PKG_VERSION").to_owned(), ..AdminState::default() };
        Self { state, version: 0 }
    }
}

impl Store {
    pub(super) fn state(&self) -> &AdminState {
        &self.state
    }

    /// Changes whatever a test wants to be otherwise.
    pub(super) fn edit(&mut self, change: impl FnOnce(&mut AdminState)) {
        change(&mut self.state);
        self.version += 1;
    }

    /// As the real relay's: strong, and another one after each change.
    pub(super) fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }

    pub(super) fn put_network(&mut self, put: PutNetwork) -> Answer {
        let document = read::<NetworkDocument>(&put.document)?;
        if let Some(before) = &self.state.network {
            let before = read::<NetworkDocument>(&before.document)?;
            if before == document {
                return Ok(());
            }
            newer(before.serial, document.serial)?;
        }
        self.edit(|state| state.network = Some(put));
        Ok(())
    }

    pub(super) fn put_group(&mut self, name: &str, put: PutGroup) -> Answer {
        let document = read::<GroupDocument>(&put.document)?;
        if document.name != name {
            return invalid(format!("document.name: `{}` is not the name in the path", document.name));
        }
        if let Some(before) = self.state.groups.get(name) {
            let before = read::<GroupDocument>(&before.document)?;
            if before == document {
                return Ok(());
            }
            newer(before.serial, document.serial)?;
        }
        self.edit(|state| {
            state.groups.insert(name.to_owned(), put);
        });
        Ok(())
    }

    pub(super) fn delete_group(&mut self, name: &str) -> Answer {
        if self.state.users.values().any(|user| user.wanted.group == name) {
            return invalid("group: there are users in it; move or remove them first");
        }
        if self.state.groups.contains_key(name) {
            self.edit(|state| {
                state.groups.remove(name);
            });
        }
        Ok(())
    }

    /// `registers`: accounts of retention processes register at once, as such a process does when it starts.
    pub(super) fn put_user(&mut self, local: &str, put: PutUser, registers: bool) -> Answer {
        let membership = read::<MembershipDocument>(&put.membership)?;
        if membership.address.local() != local || membership.group != put.group {
            return invalid("membership: of another user or group");
        }
        if let Some(invite) = &put.invite {
            check_invite(invite)?;
        }
        if !self.state.groups.contains_key(&put.group) {
            return invalid(format!("group: there is no group `{}`; put it first", put.group));
        }
        let before = self.state.users.get(local);
        if let Some(before) = before {
            let known = read::<MembershipDocument>(&before.wanted.membership)?;
            if known.serial > membership.serial || (known.serial == membership.serial && known.group != put.group) {
                return invalid("membership.serial: the relay holds a newer one; sign again with a higher serial");
            }
        }
        let user = next(before, put, registers);
        if before != Some(&user) {
            self.edit(|state| {
                state.users.insert(local.to_owned(), user);
            });
        }
        Ok(())
    }

    pub(super) fn delete_user(&mut self, local: &str) {
        if self.state.users.contains_key(local) {
            self.edit(|state| {
                state.users.remove(local);
            });
        }
    }

    pub(super) fn reset_devices(&mut self, local: &str) {
        self.change_user(local, |user| (user.devices, user.queued_messages) = (0, 0));
    }

    pub(super) fn unlock(&mut self, local: &str) {
        self.change_user(local, |user| user.locked = false);
    }

    fn change_user(&mut self, local: &str, change: impl FnOnce(&mut UserState)) {
        if let Some(before) = self.state.users.get(local) {
            let mut user = before.clone();
            change(&mut user);
            if &user != before {
                self.edit(|state| {
                    state.users.insert(local.to_owned(), user);
                });
            }
        }
    }
}

/// The user after `put`.
fn next(before: Option<&UserState>, mut put: PutUser, registers: bool) -> UserState {
    let Some(before) = before else {
        let registered = registers && put.role == Role::Retention;
        return UserState {
            wanted: put,
            registered,
            reinvited: false,
            voucher: None,
            locked: false,
            devices: u32::from(registered),
            queued_messages: 0,
            last_seen_ms: None,
        };
    };
    let words = &before.wanted.reset;
    let is_new = |word: &Option<String>, known: &Option<String>| word.is_some() && word != known;
    let devices_go = is_new(&put.reset.devices, &words.devices);
    let unlocks = is_new(&put.reset.lockout, &words.lockout) || (before.wanted.suspended && !put.suspended);
    // A code that has not been used yet: of a user who has registered it is a new one.
    let code = |user: &PutUser| user.invite.as_ref().map(|invite| invite.code_digest.clone());
    let another = put.invite.is_some() && code(&put) != code(&before.wanted);
    put.reset = put.reset.or(words);
    UserState {
        registered: before.registered,
        reinvited: before.registered && put.invite.is_some() && (before.reinvited || another),
        voucher: before.voucher.clone(),
        locked: before.locked && !unlocks,
        devices: if devices_go { 0 } else { before.devices },
        queued_messages: if devices_go { 0 } else { before.queued_messages },
        last_seen_ms: before.last_seen_ms,
        wanted: put,
    }
}

fn read<T: sotto_crypto::Document>(bytes: &[u8]) -> Result<T, ApiError> {
    let document = Signed::<T>::from_bytes(bytes).and_then(|signed| signed.unverified());
    document.map_err(|error| ApiError::new(ErrorCode::Invalid, format!("document: {error}")))
}

fn newer(before: u64, now: u64) -> Answer {
    if now > before {
        return Ok(());
    }
    invalid("document.serial: the relay holds a newer document, or another one with the same serial")
}

fn check_invite(invite: &InviteGrant) -> Answer {
    let is_digest = invite.code_digest.len() == 64 && invite.code_digest.bytes().all(|b| b.is_ascii_hexdigit());
    if is_digest { Ok(()) } else { invalid("invite.codeDigest: 64 lower-case hexadecimal digits are expected") }
}

fn invalid(message: impl Into<String>) -> Answer {
    Err(ApiError::new(ErrorCode::Invalid, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sotto_crypto::{Address, PolicyKey, SystemRng};
    use sotto_wire::admin::Resets;

    fn membership(local: &str, group: &str, serial: u64, key: &PolicyKey) -> Vec<u8> {
        let address = Address::new(local, &"chat.acme.example".parse().unwrap()).unwrap();
        let (version, group) = (sotto_crypto::VERSION, group.to_owned());
        let (identity, invite, devices_from_ms, name) = (None, None, 0, None);
        let document = MembershipDocument { version, serial, address, group, identity, invite, devices_from_ms, name };
        Signed::sign(&document, key).to_bytes()
    }

    fn user(local: &str, group: &str, serial: u64, key: &PolicyKey) -> PutUser {
        PutUser {
            group: group.to_owned(),
            membership: membership(local, group, serial, key),
            suspended: false,
            role: Role::Person,
            invite: None,
            reset: Resets::default(),
        }
    }

    fn with_group() -> Store {
        let mut store = Store::default();
        store.edit(|state| {
            state.groups.insert("staff".into(), PutGroup { document: vec![1] });
        });
        store
    }

    #[test]
    fn a_repeat_changes_nothing_and_each_change_gives_another_etag() {
        let (mut store, key) = (with_group(), PolicyKey::generate(&mut SystemRng));
        let first = store.etag();
        let alice = user("alice", "staff", 1, &key);
        store.put_user("alice", alice.clone(), true).unwrap();
        let second = store.etag();
        assert_ne!(first, second);
        store.put_user("alice", alice, true).unwrap();
        store.unlock("alice");
        store.reset_devices("nobody");
        store.delete_user("nobody");
        store.delete_group("none").unwrap();
        assert_eq!(store.etag(), second);
    }

    #[test]
    fn refuses_what_the_relay_refuses() {
        let (mut store, key) = (with_group(), PolicyKey::generate(&mut SystemRng));
        let refused = |answer: Answer, word: &str| {
            let error = answer.unwrap_err();
            assert!(error.code == ErrorCode::Invalid && error.message.contains(word), "{error}");
        };
        refused(store.put_user("alice", user("alice", "none", 1, &key), true), "there is no group");
        store.put_user("alice", user("alice", "staff", 2, &key), true).unwrap();
        refused(store.put_user("alice", user("alice", "staff", 1, &key), true), "serial");
        refused(store.put_user("bob", user("alice", "staff", 1, &key), true), "another user");
        refused(store.delete_group("staff"), "users in it");
        refused(store.put_network(PutNetwork { document: vec![7] }), "document");
        store.delete_user("alice");
        store.delete_group("staff").unwrap();
        assert!(store.state().groups.is_empty() && store.state().users.is_empty());
    }

    #[test]
    fn retention_accounts_register_and_words_reset_once() {
        let (mut store, key) = (with_group(), PolicyKey::generate(&mut SystemRng));
        let account = PutUser { role: Role::Retention, ..user("recorder", "staff", 1, &key) };
        store.put_user("recorder", account.clone(), true).unwrap();
        let known = |store: &Store| store.state().users["recorder"].clone();
        assert!(known(&store).registered && known(&store).devices == 1);
        let reset = Resets { devices: Some("one".into()), ..Resets::default() };
        store.put_user("recorder", PutUser { reset, ..account.clone() }, true).unwrap();
        assert_eq!(known(&store).devices, 0);
        store.edit(|state| state.users.get_mut("recorder").unwrap().devices = 2);
        store.put_user("recorder", account, true).unwrap();
        assert_eq!((known(&store).devices, known(&store).wanted.reset.devices.as_deref()), (2, Some("one")));
    }
}
