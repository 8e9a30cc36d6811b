//! Which events could overrule which, by what they say and by what their authors knew; whether they do is for `resolve` to
//! say. Kept as events come in, so that it needs no search later: most rooms have next to none of these pairs.

use std::collections::BTreeMap;

use sotto_wire::room::RoomChange;

use super::bits::{Bits, Index};
use super::people::{PerPerson, Person};
use super::state::Act;

/// How an event ends what somebody is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// They are put out.
    Out,
    /// They are demoted, and may still leave.
    Down,
    /// They leave or step down themselves.
    Own,
}

/// A removal, demotion or leaving, with what it could overrule.
pub(super) struct Contest {
    /// Whether it ends what its own author is.
    pub(super) own: bool,
    /// Concurrent acts of those whom it names.
    pub(super) acts: Bits,
}

/// The pairs of a room.
#[derive(Default)]
pub(super) struct Contests {
    /// The events of each author, and whether they are leavings.
    acts: PerPerson<(Index, bool)>,
    /// The events that end what somebody is.
    ends: PerPerson<(Index, Way)>,
    pairs: BTreeMap<Index, Contest>,
    /// All acts that could be overruled.
    contested: Bits,
}

impl Contests {
    /// What this event could overrule, where anything.
    pub(super) fn of(&self, n: Index) -> Option<&Contest> {
        self.pairs.get(&n)
    }

    /// Whether nothing could overrule anything.
    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Whether this event could be overruled.
    pub(super) fn is_contested(&self, n: Index) -> bool {
        self.contested.has(n)
    }

    /// Whether this event could be overruled, or overrule another.
    pub(super) fn involve(&self, n: Index) -> bool {
        self.pairs.contains_key(&n) || self.is_contested(n)
    }

    /// Takes in an event that is an ancestor of none that is here: what is here and not its ancestor is concurrent.
    pub(super) fn add(&mut self, n: Index, act: &Act<'_, Person>, ancestors: &Bits) {
        let (author, leaves) = (*act.author, *act.change == RoomChange::Leave);
        let mut pair = |end: Index, act: Index, way: Way, leaves: bool| {
            if way == Way::Out || !leaves {
                let new = || Contest { own: way == Way::Own, acts: Bits::default() };
                self.pairs.entry(end).or_insert_with(new).acts.add(act);
                self.contested.add(act);
            }
        };
        for &(end, way) in self.ends.of(author).iter().filter(|(end, _)| !ancestors.has(*end)) {
            pair(end, n, way, leaves);
        }
        let (people, way) = ends(act);
        let people = people.iter().filter(|who| way == Way::Own || **who != author);
        for who in people.clone() {
            for &(act, leaves) in self.acts.of(*who).iter().filter(|(act, _)| !ancestors.has(*act)) {
                pair(n, act, way, leaves);
            }
        }
        for who in people {
            self.ends.add(*who, (n, way));
        }
        self.acts.add(author, (n, leaves));
    }
}

/// Whom the event ends as what they are, and how; most end nobody.
fn ends<'a>(act: &Act<'a, Person>) -> (&'a [Person], Way) {
    match act.change {
        RoomChange::Remove(_) => (act.people, Way::Out),
        RoomChange::Leave => (std::slice::from_ref(act.author), Way::Own),
        RoomChange::Moderator(_, false) if act.people == [*act.author] => (act.people, Way::Own),
        RoomChange::Moderator(_, false) => (act.people, Way::Down),
        _ => (&[], Way::Down),
    }
}
