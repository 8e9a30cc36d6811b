//! What a room is like, and what one event does to it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use sotto_crypto::Address;
use sotto_wire::room::{MAX_MEMBERS, RoomChange};

use super::people::{People, Person};

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

/// What somebody does to a room.
pub(crate) struct Act<'a, P> {
    pub(crate) author: &'a P,
    /// Whom the change names.
    pub(crate) people: &'a [P],
    pub(crate) change: &'a RoomChange,
}

/// What a room is like. Its people go by address or by number.
#[derive(Clone, Debug)]
pub(crate) struct State<P = Address> {
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) members: BTreeMap<P, Member>,
    /// The members by how long they have been there, among others that went: who came since then, in order of coming.
    standing: VecDeque<(Place, P)>,
    /// The moderators by seniority.
    ranks: BTreeMap<Place, P>,
    pub(crate) expires_in_s: Option<u64>,
    pub(crate) burn_after_read_s: Option<u64>,
    pub(crate) closed: bool,
}

impl<P: Clone + Ord> State<P> {
    /// Everybody in it, by address.
    pub(crate) fn people(&self) -> Vec<P> {
        self.members.keys().cloned().collect()
    }

    /// The moderators, the most senior first.
    pub(crate) fn moderators(&self) -> Vec<P> {
        self.ranks.values().cloned().collect()
    }

    /// Whether this person is in it.
    pub(crate) fn has(&self, who: &P) -> bool {
        self.members.contains_key(who)
    }

    /// Since when this person is a moderator, where one.
    pub(crate) fn rank(&self, who: &P) -> Option<Place> {
        self.members.get(who).and_then(|member| member.moderator)
    }

    /// Whether the first may put out or demote the second: everybody but moderators who are senior, or the same.
    pub(crate) fn outranks(&self, who: &P, other: &P) -> bool {
        is_senior(self.rank(who), self.rank(other))
    }

    /// Does what the event says, where its author may do it; otherwise nothing, and it does not count. `at` is its place
    /// in the order, `ended` whether an event before it has closed the room.
    pub(crate) fn apply(&mut self, act: &Act<'_, P>, at: usize, ended: bool) -> bool {
        let author = act.author;
        let may = match act.change {
            RoomChange::Create(_) => self.members.is_empty(),
            RoomChange::Leave => self.has(author),
            _ => !ended && self.rank(author).is_some(),
        };
        if may {
            self.change(act, at);
            self.succeed(at);
        }
        may
    }

    fn change(&mut self, act: &Act<'_, P>, at: usize) {
        let (author, people) = (act.author, act.people);
        match act.change {
            RoomChange::Create(created) => {
                self.join(author, (at, 0));
                self.promote(author, (at, 0));
                for (n, (who, address)) in people.iter().zip(&created.members).enumerate() {
                    self.join(who, (at, n + 1));
                    if created.moderators.binary_search(address).is_ok() {
                        self.promote(who, (at, n + 1));
                    }
                }
                self.title.clone_from(&created.title);
                self.expires_in_s = created.expires_in_s;
                self.burn_after_read_s = created.burn_after_read_s;
            }
            RoomChange::Add(_) => {
                for (n, who) in people.iter().enumerate() {
                    if self.members.len() < MAX_MEMBERS {
                        self.join(who, (at, n));
                    }
                }
            }
            RoomChange::Remove(_) => {
                let rank = self.rank(author);
                for who in people {
                    if let Entry::Occupied(found) = self.members.entry(who.clone())
                        && is_senior(rank, found.get().moderator)
                    {
                        let gone = found.remove();
                        gone.moderator.map(|since| self.ranks.remove(&since));
                    }
                }
            }
            RoomChange::Leave => self.go(author),
            RoomChange::Moderator(_, true) => people.iter().for_each(|who| self.promote(who, (at, 0))),
            RoomChange::Moderator(_, false) => {
                for who in people {
                    if who == author || self.outranks(author, who) {
                        self.demote(who);
                    }
                }
            }
            RoomChange::Title(title) => self.title.clone_from(title),
            RoomChange::Description(text) => self.description.clone_from(text),
            RoomChange::Expiry(time) => self.expires_in_s = *time,
            RoomChange::Burn(time) => self.burn_after_read_s = *time,
            RoomChange::Close => self.closed = true,
        }
    }

    fn join(&mut self, who: &P, since: Place) {
        if let Entry::Vacant(place) = self.members.entry(who.clone()) {
            place.insert(Member { since, moderator: None });
            self.standing.push_back((since, who.clone()));
        }
        // So that it does not grow with all who ever came.
        if self.standing.len() > 2 * MAX_MEMBERS {
            let members = &self.members;
            self.standing.retain(|(since, who)| members.get(who).is_some_and(|member| member.since == *since));
        }
    }

    fn go(&mut self, who: &P) {
        if let Some(since) = self.members.remove(who).and_then(|member| member.moderator) {
            self.ranks.remove(&since);
        }
    }

    fn promote(&mut self, who: &P, since: Place) {
        if let Some(member) = self.members.get_mut(who)
            && member.moderator.is_none()
        {
            member.moderator = Some(since);
            self.ranks.insert(since, who.clone());
        }
    }

    fn demote(&mut self, who: &P) {
        if let Some(since) = self.members.get_mut(who).and_then(|member| member.moderator.take()) {
            self.ranks.remove(&since);
        }
    }

    /// Where the last moderator is gone, the longest-standing member is one.
    fn succeed(&mut self, at: usize) {
        while self.ranks.is_empty()
            && let Some((since, who)) = self.standing.front().cloned()
        {
            if self.members.get(&who).is_some_and(|member| member.since == since) {
                self.promote(&who, (at, 0));
            } else {
                self.standing.pop_front();
            }
        }
    }
}

/// Whether the first of two ranks is above the second.
fn is_senior(rank: Option<Place>, other: Option<Place>) -> bool {
    match (rank, other) {
        (Some(rank), Some(other)) => rank < other,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

impl<P> Default for State<P> {
    fn default() -> Self {
        Self {
            title: String::new(),
            description: String::new(),
            members: BTreeMap::new(),
            standing: VecDeque::new(),
            ranks: BTreeMap::new(),
            expires_in_s: None,
            burn_after_read_s: None,
            closed: false,
        }
    }
}

impl State<Person> {
    /// The same by address, to be shown.
    pub(super) fn by_address(&self, people: &People) -> State {
        let address = |who: &Person| people.address(*who).cloned();
        State {
            title: self.title.clone(),
            description: self.description.clone(),
            members: self.members.iter().filter_map(|(who, member)| Some((address(who)?, *member))).collect(),
            standing: VecDeque::new(),
            ranks: self.ranks.iter().filter_map(|(since, who)| Some((*since, address(who)?))).collect(),
            expires_in_s: self.expires_in_s,
            burn_after_read_s: self.burn_after_read_s,
            closed: self.closed,
        }
    }
}
