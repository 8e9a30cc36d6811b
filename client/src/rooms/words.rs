//! What happened in a room, in words for its history.

use sotto_crypto::Address;
use sotto_wire::room::{RoomChange, RoomEvent};

/// Names that are spelled out; the rest are counted.
const NAMES: usize = 5;

/// One line. People of the network `home` are named without it.
pub(crate) fn describe(event: &RoomEvent, home: &str) -> String {
    let name = |who: &Address| if who.domain_str() == home { who.local().to_owned() } else { who.to_string() };
    let list = |people: &[Address]| {
        let mut words: Vec<String> = people.iter().take(NAMES).map(name).collect();
        if let Some(more) = people.len().checked_sub(NAMES).filter(|more| *more > 0) {
            words.push(format!("{more} more"));
        }
        words.join(", ")
    };
    let by = name(&event.author);
    match &event.change {
        RoomChange::Create(created) => format!("{by} made the room “{}”", created.title),
        RoomChange::Add(people) => format!("{by} added {}", list(people)),
        RoomChange::Remove(people) => format!("{by} removed {}", list(people)),
        RoomChange::Leave => format!("{by} left"),
        RoomChange::Moderator(who, true) => format!("{by} made {} a moderator", name(who)),
        RoomChange::Moderator(who, false) if who == &event.author => format!("{by} is no moderator any more"),
        RoomChange::Moderator(who, false) => format!("{by} took the moderator's rights from {}", name(who)),
        RoomChange::Title(title) => format!("{by} named the room “{title}”"),
        RoomChange::Description(_) => format!("{by} changed the description"),
        RoomChange::Expiry(Some(s)) => format!("{by} set messages to be deleted after {}", time(*s)),
        RoomChange::Expiry(None) => format!("{by} set messages to be kept"),
        RoomChange::Burn(Some(s)) => format!("{by} set messages to be deleted {} after reading", time(*s)),
        RoomChange::Burn(None) => format!("{by} set messages not to be deleted after reading"),
        RoomChange::Close => format!("{by} closed the room"),
    }
}

/// A length of time in its largest whole unit.
fn time(seconds: u64) -> String {
    let (count, unit) = match seconds {
        s if s % 86_400 == 0 => (s / 86_400, "d"),
        s if s % 3600 == 0 => (s / 3600, "h"),
        s if s % 60 == 0 => (s / 60, "min"),
        s => (s, "s"),
    };
    format!("{count} {unit}")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{all, create, event};
    use super::*;

    #[test]
    fn what_happened_is_said_in_one_line() {
        let first = create("alice", &["bob"], &[]);
        assert_eq!(describe(&first.event, "x.example"), "alice made the room “plans”");
        let say = |change| describe(&event(Some(first.room()), &[first.id], "alice", change).event, "x.example");
        assert_eq!(say(RoomChange::Add(all(&["bob", "carol"]))), "alice added bob, carol");
        assert_eq!(
            say(RoomChange::Remove(all(&["a", "b", "c", "d", "e", "f", "g"]))),
            "alice removed a, b, c, d, e, 2 more"
        );
        assert_eq!(say(RoomChange::Burn(Some(90))), "alice set messages to be deleted 90 s after reading");
        assert_eq!(say(RoomChange::Expiry(Some(7 * 86_400))), "alice set messages to be deleted after 7 d");
        let abroad = event(Some(first.room()), &[first.id], "alice", RoomChange::Leave).event;
        assert_eq!(describe(&abroad, "y.example"), "alice@x.example left");
    }
}
