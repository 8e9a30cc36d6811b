//! What a room is like, and what one event does to it.

use std::collections::BTreeMap;

use sotto_crypto::Address;
use sotto_wire::room::{MAX_MEMBERS, RoomChange, RoomEvent};

/// A place in the order of events, and within one event: since then somebody is something. Who is something since an
/// earlier place is senior.
pub(crate) type Place = (usize, usize);

/// A member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) since: Place,
    /// Since when a moderator, where one.
    pub(crate) moderator: Option<Place>,
}

/// What a room is like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) members: BTreeMap<Address, Member>,
    pub(crate) expires_in_s: Option<u64>,
    pub(crate) burn_after_read_s: Option<u64>,
    pub(crate) closed: bool,
}

impl State {
    /// Everybody in it, by address.
    pub(crate) fn people(&self) -> Vec<Address> {
        self.members.keys().cloned().collect()
    }

    /// The moderators, the most senior first.
    pub(crate) fn moderators(&self) -> Vec<Address> {
        let mut found: Vec<(Place, &Address)> =
            self.members.iter().filter_map(|(who, member)| member.moderator.map(|since| (since, who))).collect();
        found.sort();
        found.into_iter().map(|(_, who)| who.clone()).collect()
    }

    /// Whether this person is in it.
    pub(crate) fn has(&self, who: &Address) -> bool {
        self.members.contains_key(who)
    }

    /// Since when this person is a moderator, where one.
    pub(crate) fn rank(&self, who: &Address) -> Option<Place> {
        self.members.get(who).and_then(|member| member.moderator)
    }

    /// Whether the first may put out or demote the second: everybody but moderators who are senior, or the same.
    pub(crate) fn outranks(&self, who: &Address, other: &Address) -> bool {
        match (self.rank(who), self.rank(other)) {
            (Some(rank), Some(other)) => rank < other,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// Does what the event says, where its author may do it; otherwise nothing, and it does not count. `at` is its place
    /// in the order, `ended` whether an event before it has closed the room.
    pub(crate) fn apply(&mut self, event: &RoomEvent, at: usize, ended: bool) -> bool {
        let author = &event.author;
        let may = match &event.change {
            RoomChange::Create(_) => self.members.is_empty(),
            RoomChange::Leave => self.has(author),
            _ => !ended && self.rank(author).is_some(),
        };
        if may {
            self.change(event, at);
            self.succeed(at);
        }
        may
    }

    fn change(&mut self, event: &RoomEvent, at: usize) {
        let author = &event.author;
        match &event.change {
            RoomChange::Create(created) => {
                let founder = Member { since: (at, 0), moderator: Some((at, 0)) };
                self.members.insert(author.clone(), founder);
                for (n, who) in created.members.iter().enumerate() {
                    let since = (at, n + 1);
                    let moderator = created.moderators.binary_search(who).is_ok().then_some(since);
                    self.members.insert(who.clone(), Member { since, moderator });
                }
                self.title.clone_from(&created.title);
                self.expires_in_s = created.expires_in_s;
                self.burn_after_read_s = created.burn_after_read_s;
            }
            RoomChange::Add(people) => {
                for (n, who) in people.iter().enumerate() {
                    if self.members.len() < MAX_MEMBERS && !self.has(who) {
                        self.members.insert(who.clone(), Member { since: (at, n), moderator: None });
                    }
                }
            }
            RoomChange::Remove(people) => {
                for who in people {
                    if self.outranks(author, who) {
                        self.members.remove(who);
                    }
                }
            }
            RoomChange::Leave => {
                self.members.remove(author);
            }
            RoomChange::Moderator(who, true) => {
                if let Some(member) = self.members.get_mut(who) {
                    member.moderator.get_or_insert((at, 0));
                }
            }
            RoomChange::Moderator(who, false) => {
                if (who == author || self.outranks(author, who))
                    && let Some(member) = self.members.get_mut(who)
                {
                    member.moderator = None;
                }
            }
            RoomChange::Title(title) => self.title.clone_from(title),
            RoomChange::Description(text) => self.description.clone_from(text),
            RoomChange::Expiry(time) => self.expires_in_s = *time,
            RoomChange::Burn(time) => self.burn_after_read_s = *time,
            RoomChange::Close => self.closed = true,
        }
    }

    /// Where the last moderator is gone, the longest-standing member is one.
    fn succeed(&mut self, at: usize) {
        if self.members.values().any(|member| member.moderator.is_some()) {
            return;
        }
        if let Some(oldest) = self.members.values_mut().min_by_key(|member| member.since) {
            oldest.moderator = Some((at, 0));
        }
    }
}
