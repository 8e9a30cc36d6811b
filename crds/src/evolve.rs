//! Fields that move to another place or take other words, from one version of a kind to the next.
//!
//! A definition says where its fields come from in an annotation ([`MOVES`]), so that whoever has the definition can bring objects
//! into their new form: `sotto crds migrate`, and the operator when it reads one. docs/crd-versions.md has the policy.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The annotation of a definition: its moves as JSON.
pub const MOVES: &str = "sotto.dev/moves";

/// One field that has another place or other words now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Move {
    /// The path it had, such as `spec.consentPopup.body`.
    pub from: String,
    /// The path it has; the same for a field that only takes other words.
    pub to: String,
    /// Old word → new value. Empty: the value stays. Words that are not listed are an error.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub words: BTreeMap<String, Value>,
}

/// Why moves cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvolveError {
    /// The annotation cannot be read.
    #[error("the annotation {MOVES} is not a list of moves ({0}); install the definitions of this version again")]
    Annotation(String),
    /// A path that is none, or moves that touch each other.
    #[error("the annotation {MOVES}: {0}; install the definitions of this version again")]
    Path(String),
    /// Both places are in use.
    #[error("{from} and {to} are both set and differ: {to} has taken the place of {from}; remove one of the two")]
    Both {
        /// The old path.
        from: String,
        /// The new path.
        to: String,
    },
    /// A word without a successor.
    #[error("{path}: `{word}` has no successor; choose one of {known}")]
    Word {
        /// The old path.
        path: String,
        /// What stands there.
        word: String,
        /// What would be known.
        known: String,
    },
    /// The new place is inside something that is no map.
    #[error("{0} cannot be set: what is above it is not a map of fields")]
    Blocked(String),
}

/// The moves that a definition names. None is the usual case.
pub fn moves(definition: &Value) -> Result<Vec<Move>, EvolveError> {
    let Some(text) = definition["metadata"]["annotations"][MOVES].as_str() else { return Ok(Vec::new()) };
    let moves: Vec<Move> = serde_json::from_str(text).map_err(|error| EvolveError::Annotation(error.to_string()))?;
    let mut sources = BTreeSet::new();
    for one in &moves {
        for path in [&one.from, &one.to] {
            if !path.starts_with("spec.") || path.split('.').any(str::is_empty) {
                return Err(EvolveError::Path(format!("`{path}` is not a path below spec")));
            }
        }
        if !sources.insert(&one.from) {
            return Err(EvolveError::Path(format!("{} is moved twice", one.from)));
        }
        if one.from == one.to && one.words.is_empty() {
            return Err(EvolveError::Path(format!("{} is moved to where it is", one.from)));
        }
        // Otherwise a second run would move again what the first has moved.
        let chained = |other: &&Move| other.from != one.from && inside(&one.to, &other.from);
        if let Some(other) = moves.iter().find(chained) {
            return Err(EvolveError::Path(format!("{} is moved to where {} is moved from", one.from, other.from)));
        }
        if one.from == one.to && one.words.values().filter_map(Value::as_str).any(|word| one.words.contains_key(word)) {
            return Err(EvolveError::Path(format!("{}: a new word is an old one too", one.from)));
        }
    }
    Ok(moves)
}

/// Whether `path` is `of` or below it.
fn inside(path: &str, of: &str) -> bool {
    path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Brings an object into its new form; whether anything has changed. An object in the new form stays as it is. On an error the
/// object is as it was.
pub fn evolve(object: &mut Value, moves: &[Move]) -> Result<bool, EvolveError> {
    let mut next = object.clone();
    for one in moves {
        let from: Vec<&str> = one.from.split('.').collect();
        let Some(old) = look(&next, &from).cloned() else { continue };
        let new = word(one, old)?;
        let Some(new) = new else { continue };
        if one.from != one.to {
            take(&mut next, &from);
        }
        let to: Vec<&str> = one.to.split('.').collect();
        match look(&next, &to) {
            Some(there) if one.from != one.to => {
                if *there != new {
                    return Err(EvolveError::Both { from: one.from.clone(), to: one.to.clone() });
                }
            }
            _ => put(&mut next, &to, new).ok_or_else(|| EvolveError::Blocked(one.to.clone()))?,
        }
    }
    let changed = next != *object;
    *object = next;
    Ok(changed)
}

/// The new value; none where it is a new one already.
fn word(one: &Move, old: Value) -> Result<Option<Value>, EvolveError> {
    if one.words.is_empty() {
        return Ok(Some(old));
    }
    let text = old.as_str().map_or_else(|| old.to_string(), str::to_owned);
    match one.words.get(&text) {
        Some(new) => Ok(Some(new.clone())),
        None if one.from == one.to && one.words.values().any(|new| *new == old) => Ok(None),
        None => Err(EvolveError::Word {
            path: one.from.clone(),
            word: text,
            known: one.words.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        }),
    }
}

fn look<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, name| value.get(name)).filter(|value| !value.is_null())
}

/// Takes a field out, and maps that it leaves empty, down to the spec itself.
fn take(object: &mut Value, path: &[&str]) {
    let [name, rest @ ..] = path else { return };
    let Some(map) = object.as_object_mut() else { return };
    if rest.is_empty() {
        map.remove(*name);
        return;
    }
    let Some(child) = map.get_mut(*name) else { return };
    take(child, rest);
    if *name != "spec" && child.as_object().is_some_and(Map::is_empty) {
        map.remove(*name);
    }
}

fn put(object: &mut Value, path: &[&str], value: Value) -> Option<()> {
    let (name, above) = path.split_last()?;
    let mut place = object;
    for name in above {
        place = place.as_object_mut()?.entry(*name).or_insert_with(|| Value::Object(Map::new()));
    }
    place.as_object_mut()?.insert((*name).to_owned(), value);
    Some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(moves: &Value) -> Value {
        json!({"metadata": {"annotations": {MOVES: moves.to_string()}}})
    }

    /// As a second version of Network might have it.
    fn second() -> Vec<Move> {
        moves(&definition(&json!([
            {"from": "spec.consentPopup.header", "to": "spec.signIn.notice.title"},
            {"from": "spec.consentPopup.body", "to": "spec.signIn.notice.text"},
            {"from": "spec.clientMetrics", "to": "spec.metrics.clients", "words": {"true": "Anonymous", "false": "None"}},
            {"from": "spec.tier", "to": "spec.tier", "words": {"Standard": "Basic", "Premium": "Full"}},
        ])))
        .unwrap()
    }

    #[test]
    fn fields_move_and_take_other_words() {
        let mut network = json!({"metadata": {"name": "acme"}, "spec": {
            "domain": "chat.acme.example", "tier": "Premium", "clientMetrics": false,
            "consentPopup": {"header": "Notice", "body": "Be kind."}, "metrics": {"prometheus": {"enabled": true}},
        }});
        assert_eq!(evolve(&mut network, &second()), Ok(true));
        let wanted = json!({"metadata": {"name": "acme"}, "spec": {
            "domain": "chat.acme.example", "tier": "Full",
            "metrics": {"clients": "None", "prometheus": {"enabled": true}},
            "signIn": {"notice": {"title": "Notice", "text": "Be kind."}},
        }});
        assert_eq!(network, wanted);
        // A second time there is nothing to do.
        assert_eq!(evolve(&mut network, &second()), Ok(false));
        assert_eq!(network, wanted);
    }

    #[test]
    fn what_is_not_there_is_not_made() {
        let mut network = json!({"spec": {"domain": "chat.acme.example"}});
        assert_eq!(evolve(&mut network, &second()), Ok(false));
        let mut empty = json!({"spec": {"consentPopup": null}});
        assert_eq!(evolve(&mut empty, &second()), Ok(false));
    }

    #[test]
    fn the_way_back_gives_what_was_there() {
        let there = vec![
            Move { from: "spec.a.b".into(), to: "spec.c".into(), words: BTreeMap::new() },
            Move {
                from: "spec.mode".into(),
                to: "spec.how.mode".into(),
                words: BTreeMap::from([("On".into(), json!("Yes")), ("Off".into(), json!("No"))]),
            },
        ];
        let back: Vec<Move> = there
            .iter()
            .map(|one| Move {
                from: one.to.clone(),
                to: one.from.clone(),
                words: one.words.iter().map(|(old, new)| (new.as_str().unwrap().to_owned(), json!(old))).collect(),
            })
            .collect();
        for (b, mode) in
            [(json!(1), json!("On")), (json!([1, {"x": null}]), json!("Off")), (json!({"deep": 1}), json!("On"))]
        {
            let before = json!({"spec": {"a": {"b": b}, "mode": mode, "other": [1, 2]}, "status": {"x": 1}});
            let mut object = before.clone();
            assert_eq!(evolve(&mut object, &there), Ok(true));
            assert_ne!(object, before);
            assert_eq!(evolve(&mut object, &back), Ok(true));
            assert_eq!(object, before);
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_and_nothing_is_changed() {
        let both = json!({"spec": {"clientMetrics": true, "metrics": {"clients": "None"}, "tier": "Standard"}});
        let mut object = both.clone();
        let error = evolve(&mut object, &second()).unwrap_err().to_string();
        assert!(error.contains("spec.clientMetrics") && error.contains("remove one"), "{error}");
        assert_eq!(object, both);
        let mut agreed = json!({"spec": {"clientMetrics": true, "metrics": {"clients": "Anonymous"}}});
        assert_eq!(evolve(&mut agreed, &second()), Ok(true));
        assert_eq!(agreed, json!({"spec": {"metrics": {"clients": "Anonymous"}}}));
        let error = evolve(&mut json!({"spec": {"tier": "Gold"}}), &second()).unwrap_err().to_string();
        assert!(error.contains("spec.tier") && error.contains("Premium, Standard"), "{error}");
        let error = evolve(&mut json!({"spec": {"clientMetrics": true, "metrics": 1}}), &second()).unwrap_err();
        assert_eq!(error, EvolveError::Blocked("spec.metrics.clients".into()));
    }

    #[test]
    fn moves_that_are_none_are_refused() {
        for (moves, word) in [
            (json!([{"from": "spec.a"}]), "missing field"),
            (json!([{"from": "spec.a", "to": "spec.b", "too": 1}]), "unknown field"),
            (json!([{"from": "status.a", "to": "spec.b"}]), "below spec"),
            (json!([{"from": "spec.a", "to": "spec..b"}]), "below spec"),
            (json!([{"from": "spec.a", "to": "spec.a"}]), "where it is"),
            (json!([{"from": "spec.a", "to": "spec.b"}, {"from": "spec.a", "to": "spec.c"}]), "twice"),
            (json!([{"from": "spec.a", "to": "spec.b.c"}, {"from": "spec.b", "to": "spec.d"}]), "moved from"),
            (json!([{"from": "spec.a", "to": "spec.a", "words": {"X": "Y", "Y": "X"}}]), "old one too"),
        ] {
            let error = super::moves(&definition(&moves)).unwrap_err().to_string();
            assert!(error.contains(word), "{moves}: {error}");
        }
    }

    /// What the definitions of this version say: read here, so that a mistake in them is found before they are installed.
    #[test]
    fn our_own_definitions_name_good_moves() {
        for definition in crate::crds() {
            super::moves(definition).unwrap();
        }
    }
}
