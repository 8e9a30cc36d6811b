//! Places where a test can have the operator die: `SOTTO_FAILPOINT=NAME`, or `NAME@3` for the third time that it gets there. Whatever
//! was half done then, the next start has to bring to its end.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Every place, in the order of a reconciliation.
pub const ALL: [&str; 10] = [
    "finalizer",  // after each finalizer that was added
    "secret",     // after each Secret that was written
    "secrets",    // after all Secrets
    "object",     // after each object that was applied
    "objects",    // after all objects, before what is no longer wanted is deleted
    "pruned",     // after that
    "relay-call", // after each call that changes the relay
    "relay",      // after all of them
    "let-go",     // after each finalizer that was removed
    "status",     // after each status that was written
];

struct Place {
    name: String,
    left: AtomicU32,
}

static PLACE: OnceLock<Option<Place>> = OnceLock::new();

/// Ends the process here where the environment asks for it, as `kill -9` would: nothing is flushed, nothing is said.
pub fn hit(name: &str) {
    debug_assert!(ALL.contains(&name), "{name} is not in the list");
    let place = PLACE.get_or_init(|| std::env::var("SOTTO_FAILPOINT").ok().and_then(|text| parse(&text)));
    if let Some(place) = place
        && place.name == name
        && place.left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        std::process::abort();
    }
}

fn parse(text: &str) -> Option<Place> {
    let (name, count) = text.split_once('@').unwrap_or((text, "1"));
    let count = count.parse().ok().filter(|count| *count > 0)?;
    ALL.contains(&name).then(|| Place { name: name.to_owned(), left: AtomicU32::new(count) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_named_with_a_count() {
        assert_eq!(parse("secret").unwrap().left.load(Ordering::SeqCst), 1);
        assert_eq!(parse("status@3").unwrap().left.load(Ordering::SeqCst), 3);
        for bad in ["", "nowhere", "secret@", "secret@0"] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
