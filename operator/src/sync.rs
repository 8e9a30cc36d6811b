//! What the relay should hold against what it holds: the calls that make the difference, and their execution.

use std::collections::{BTreeMap, BTreeSet};

use sotto_crypto::{Domain, PolicyKey};
use sotto_wire::admin::{AdminState, PutGroup, PutHead, PutNetwork, PutUser, UserState};

use crate::admin::{AdminClient, AdminError};
use crate::documents::Verified;
use crate::head::{Heads, NotOurs, documents};

/// All that a relay should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The network's document.
    pub network: Option<PutNetwork>,
    /// By name of the security group.
    pub groups: BTreeMap<String, PutGroup>,
    /// By local part.
    pub users: BTreeMap<String, PutUser>,
    /// Groups and users that stay as the relay has them although they are not wanted as above: their objects are there
    /// but cannot be read just now. A mistake in a manifest must never delete a user.
    pub untouched: Untouched,
}

/// What a synchronisation leaves alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Untouched {
    /// Names of security groups.
    pub groups: BTreeSet<String>,
    /// Local parts of users.
    pub users: BTreeSet<String>,
    /// Nothing at all is removed: not every object could be read.
    pub everything: bool,
}

/// One call of the admin interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Puts the network's document.
    PutNetwork(PutNetwork),
    /// Puts a group's document.
    PutGroup(String, PutGroup),
    /// Puts a user.
    PutUser(String, PutUser),
    /// Removes a user with devices and queues.
    DeleteUser(String),
    /// Removes a group.
    DeleteGroup(String),
    /// Puts the directory head over all that was put before.
    PutHead(PutHead),
}

impl Call {
    /// The object that the call is about, for conditions: kind and name (of a user the local part).
    pub fn subject(&self) -> (&'static str, &str) {
        match self {
            Self::PutNetwork(_) | Self::PutHead(_) => ("Network", ""),
            Self::PutGroup(name, _) | Self::DeleteGroup(name) => ("SecurityGroup", name),
            Self::PutUser(local, _) | Self::DeleteUser(local) => ("User", local),
        }
    }
}

/// The calls that bring the relay from `have` to `wanted`, in the order in which they have to be made: network before
/// groups before users, then removals the other way round. Nothing to do: no calls.
pub fn diff(wanted: &Wanted, have: &AdminState) -> Vec<Call> {
    let mut calls = Vec::new();
    if let Some(network) = &wanted.network
        && have.network.as_ref() != Some(network)
    {
        calls.push(Call::PutNetwork(network.clone()));
    }
    for (name, group) in &wanted.groups {
        if have.groups.get(name) != Some(group) {
            calls.push(Call::PutGroup(name.clone(), group.clone()));
        }
    }
    for (local, user) in &wanted.users {
        if let Some(user) = user_to_put(user, have.users.get(local)) {
            calls.push(Call::PutUser(local.clone(), user));
        }
    }
    let keep = &wanted.untouched;
    if keep.everything {
        return calls;
    }
    for local in have.users.keys().filter(|l| !wanted.users.contains_key(*l) && !keep.users.contains(*l)) {
        calls.push(Call::DeleteUser(local.clone()));
    }
    for name in have.groups.keys().filter(|n| !wanted.groups.contains_key(*n) && !keep.groups.contains(*n)) {
        calls.push(Call::DeleteGroup(name.clone()));
    }
    calls
}

/// The user as it has to be put, if at all. Whoever has registered needs no invite any more, unless a new one was asked for.
fn user_to_put(wanted: &PutUser, have: Option<&UserState>) -> Option<PutUser> {
    let Some(have) = have else { return Some(wanted.clone()) };
    // A word that was removed is no wish: the relay keeps the one of before.
    let wanted = PutUser { reset: wanted.reset.or(&have.wanted.reset), ..wanted.clone() };
    let asked = wanted.invite.is_some() && wanted.reset.invite != have.wanted.reset.invite;
    if !have.registered || have.reinvited || asked {
        return (have.wanted != wanted).then_some(wanted);
    }
    let without_invite = |user: &PutUser| PutUser { invite: None, ..user.clone() };
    let wanted = without_invite(&wanted);
    (without_invite(&have.wanted) != wanted).then_some(wanted)
}

/// What became of one call.
#[derive(Debug)]
pub struct Outcome {
    /// The call.
    pub call: Call,
    /// Its result.
    pub result: Result<(), AdminError>,
}

/// With what the directory head of a network is signed.
pub struct Signer<'a> {
    /// What was signed before.
    pub heads: &'a Heads,
    /// Names the network among them.
    pub network: &'a str,
    /// Its address space.
    pub domain: &'a Domain,
    /// Its policy key.
    pub key: &'a PolicyKey,
    /// Documents that were found good.
    pub verified: &'a Verified,
    /// Milliseconds since the epoch.
    pub now_ms: u64,
}

/// Brings the relay from `have` to `wanted`, and then the directory head over all of it, where one is due. No outcomes: there was nothing
/// to do. There is no head over a relay that has refused something: what clients were shown before goes on, until it expires.
pub async fn bring(
    client: &AdminClient,
    wanted: &Wanted,
    have: &AdminState,
    signer: &Signer<'_>,
) -> (Vec<Outcome>, Result<(), NotOurs>) {
    let mut outcomes = execute(client, diff(wanted, have)).await;
    let Some(kept) = kept_groups(&outcomes) else { return (outcomes, Ok(())) };
    let over = match documents(wanted, have, &kept, signer.key, signer.verified) {
        Ok(Some(over)) => over,
        Ok(None) => return (outcomes, Ok(())),
        Err(not_ours) => return (outcomes, Err(not_ours)),
    };
    let (network, domain) = (signer.network, signer.domain);
    let due = signer.heads.due(network, domain, &over, have.head.as_ref(), signer.key, signer.now_ms);
    if let Some(head) = due {
        let put = execute(client, vec![Call::PutHead(head.clone())]).await;
        if put.iter().all(|outcome| outcome.result.is_ok()) {
            signer.heads.taken(network, &head);
        }
        outcomes.extend(put);
    }
    (outcomes, Ok(()))
}

/// The groups that the relay has not let go, since there are users in them whose objects cannot be read; `None` where something else
/// was refused.
fn kept_groups(outcomes: &[Outcome]) -> Option<BTreeSet<String>> {
    let failed =
        outcomes.iter().filter_map(|outcome| outcome.result.as_ref().err().map(|error| (&outcome.call, error)));
    failed
        .map(|failed| match failed {
            (Call::DeleteGroup(name), AdminError::Refused { .. }) => Some(name.clone()),
            _ => None,
        })
        .collect()
}

/// Makes the calls in their order. One that is refused does not stop the others; when the relay cannot be reached, the
/// rest is not tried.
pub async fn execute(client: &AdminClient, calls: Vec<Call>) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(calls.len());
    for call in calls {
        let result = match &call {
            Call::PutNetwork(network) => client.put_network(network).await,
            Call::PutGroup(name, group) => client.put_group(name, group).await,
            Call::PutUser(local, user) => client.put_user(local, user).await,
            Call::DeleteUser(local) => client.delete_user(local).await,
            Call::DeleteGroup(name) => client.delete_group(name).await,
            Call::PutHead(head) => client.put_head(head).await,
        };
        crate::failpoint::hit("relay-call");
        let out_of_reach = matches!(result, Err(AdminError::Unreachable { .. }));
        outcomes.push(Outcome { call, result });
        if out_of_reach {
            break;
        }
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;
    use sotto_wire::admin::{InviteGrant, Resets, Role};

    fn user(group: &str) -> PutUser {
        PutUser {
            group: group.into(),
            membership: Vec::new(),
            suspended: false,
            role: Role::Person,
            invite: None,
            reset: Resets::default(),
        }
    }
    fn invited(group: &str) -> PutUser {
        let invite = Some(InviteGrant { code_digest: "d".into(), expires_at_ms: 5 });
        PutUser { invite, ..user(group) }
    }
    fn group(n: u8) -> PutGroup {
        PutGroup { document: vec![n] }
    }
    fn state(wanted: PutUser, registered: bool) -> UserState {
        UserState {
            wanted,
            registered,
            reinvited: false,
            voucher: None,
            locked: false,
            devices: 0,
            queued_messages: 0,
            last_seen_ms: None,
        }
    }
    fn wanted() -> Wanted {
        Wanted {
            network: Some(PutNetwork { document: vec![1] }),
            groups: [("a".to_owned(), group(1)), ("b".to_owned(), group(2))].into(),
            users: [("alice".to_owned(), invited("a")), ("bob".to_owned(), user("b"))].into(),
            untouched: Untouched::default(),
        }
    }
    fn names(calls: &[Call]) -> Vec<String> {
        calls
            .iter()
            .map(|c| match c {
                Call::PutNetwork(_) => "+network".to_owned(),
                Call::PutGroup(n, _) => format!("+group {n}"),
                Call::PutUser(n, _) => format!("+user {n}"),
                Call::DeleteUser(n) => format!("-user {n}"),
                Call::DeleteGroup(n) => format!("-group {n}"),
                Call::PutHead(_) => "+head".to_owned(),
            })
            .collect()
    }

    #[test]
    fn network_then_groups_then_users_and_removals_in_reverse() {
        let have = AdminState {
            groups: [("old".to_owned(), group(9))].into(),
            users: [("gone".to_owned(), state(user("old"), true))].into(),
            ..AdminState::default()
        };
        assert_eq!(
            names(&diff(&wanted(), &have)),
            ["+network", "+group a", "+group b", "+user alice", "+user bob", "-user gone", "-group old"]
        );
    }

    #[test]
    fn nothing_to_do_when_all_is_there_and_an_invite_was_used() {
        let wanted = wanted();
        let have = AdminState {
            network: wanted.network.clone(),
            groups: wanted.groups.clone(),
            users: [("alice".to_owned(), state(invited("a"), true)), ("bob".to_owned(), state(user("b"), false))]
                .into(),
            ..AdminState::default()
        };
        assert_eq!(diff(&wanted, &have), []);
    }

    #[test]
    fn suspension_of_a_registered_user_carries_no_invite() {
        let mut wanted = wanted();
        wanted.users.get_mut("alice").unwrap().suspended = true;
        let have = AdminState {
            network: wanted.network.clone(),
            groups: wanted.groups.clone(),
            users: [("alice".to_owned(), state(invited("a"), true)), ("bob".to_owned(), state(user("b"), false))]
                .into(),
            ..AdminState::default()
        };
        let expected = PutUser { suspended: true, ..user("a") };
        assert_eq!(diff(&wanted, &have), [Call::PutUser("alice".into(), expected)]);
    }

    #[test]
    fn a_group_that_is_still_in_use_stays_under_the_head_and_all_else_holds_it_up() {
        use sotto_wire::{ApiError, ErrorCode};
        let refused = || AdminError::Refused {
            relay: "acme".into(),
            action: "x".into(),
            error: ApiError::new(ErrorCode::Invalid, "no"),
        };
        let good = || Outcome { call: Call::DeleteUser("a".into()), result: Ok(()) };
        let in_use = || Outcome { call: Call::DeleteGroup("old".into()), result: Err(refused()) };
        assert_eq!(kept_groups(&[]), Some(BTreeSet::new()));
        assert_eq!(kept_groups(&[good(), in_use()]), Some(["old".to_owned()].into()));
        let other = Outcome { call: Call::DeleteUser("b".into()), result: Err(refused()) };
        assert_eq!(kept_groups(&[in_use(), other]), None);
        let away = AdminError::Unreachable { relay: "acme".into(), url: String::new(), why: String::new() };
        assert_eq!(kept_groups(&[Outcome { result: Err(away), ..in_use() }]), None);
    }

    #[test]
    fn what_cannot_be_read_is_left_alone() {
        let have = AdminState {
            groups: [("kept".to_owned(), group(9)), ("old".to_owned(), group(9))].into(),
            users: [("carol".to_owned(), state(user("kept"), true)), ("gone".to_owned(), state(user("old"), true))]
                .into(),
            ..AdminState::default()
        };
        let mut wanted = Wanted {
            untouched: Untouched {
                groups: ["kept".to_owned()].into(),
                users: ["carol".to_owned()].into(),
                everything: false,
            },
            ..Wanted::default()
        };
        assert_eq!(names(&diff(&wanted, &have)), ["-user gone", "-group old"]);
        wanted.untouched.everything = true;
        assert_eq!(diff(&wanted, &have), []);
    }
}
