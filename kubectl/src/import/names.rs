//! The name of the object of a user.

use sha2::{Digest as _, Sha256};

/// Letters of the ending that keeps names apart: no two of them are mistaken for one another.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// How many of them; 40 bits.
const ENDING: usize = 8;

/// The name of the User object for a username: the username itself where Kubernetes takes it as a name; otherwise the same with
/// what it does not take replaced, and an ending that depends on the whole username, so that `a_b` and `a+b` stay two.
/// It is always the same for the same username.
pub fn object_name(username: &str) -> String {
    if is_name(username) {
        return username.to_owned();
    }
    let mut base: String =
        username.chars().map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' }).take(64).collect();
    while base.contains("--") {
        base = base.replace("--", "-");
    }
    let base = base.trim_matches('-');
    let digest = Sha256::digest(username.as_bytes());
    let ending: String = digest.iter().take(ENDING).map(|b| char::from(ALPHABET[usize::from(b & 31)])).collect();
    if base.is_empty() { format!("user-{ending}") } else { format!("{base}-{ending}") }
}

/// Whether Kubernetes takes it as a name: labels of a-z, 0-9 and -, with a letter or digit at either end, separated by dots.
pub(super) fn is_name(text: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let label = |label: &str| {
        let bytes = label.as_bytes();
        let inner = bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
        inner && edge(bytes.first().copied()) && edge(bytes.last().copied())
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_good_name_stays_and_others_get_an_ending() {
        for name in ["alice", "alice.adams", "a-b", "7up"] {
            assert_eq!(object_name(name), name);
        }
        let named = object_name("alice_adams");
        assert!(named.starts_with("alice-adams-") && named.len() == "alice-adams-".len() + ENDING, "{named}");
        assert_ne!(object_name("a_b"), object_name("a+b"));
        assert_eq!(object_name("a_b"), object_name("a_b"));
        assert!(object_name("_").starts_with("user-"));
        // Good for our own check of manifests, but not for an API server.
        assert_ne!(object_name("a..b"), "a..b");
        assert_ne!(object_name("a.-b"), "a.-b");
    }

    proptest! {
        #[test]
        fn names_are_names_and_different(usernames in proptest::collection::btree_set("[a-z0-9._+-]{1,64}", 1..40)) {
            let mut taken = BTreeMap::new();
            for username in usernames {
                let name = object_name(&username);
                prop_assert!(is_name(&name), "{}", name);
                prop_assert!(name.len() + "-invite".len() <= 253);
                prop_assert!(taken.insert(name, username).is_none());
            }
        }
    }
}
