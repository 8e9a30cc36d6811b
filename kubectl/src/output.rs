//! How what others wrote reaches a terminal or a file: the only place that makes JSON and YAML for people and programs.
//!
//! A message, a name or a condition may hold characters that a terminal obeys, that turn the direction of text around, or that
//! nobody sees. In JSON and YAML they are escaped, so that whoever parses it gets the same value and whoever looks at it sees what
//! is there. Plain text has no escapes: there [`printable`] puts a mark in the place of those that do harm.

use std::fmt::Write as _;

use serde::Serialize;
use serde_yaml::Value;

/// What a stranger wrote, made safe for a terminal: what steers it becomes visible. Line feeds and tabs stay, and so does what
/// is part of words and emoji without being seen, such as joiners and soft hyphens.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// One JSON value on one line.
pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    serde_json::to_string(value).map(|text| escaped(&text, json_escape))
}

/// The same on several lines.
pub fn json_pretty<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(value).map(|text| escaped(&text, json_escape))
}

/// A YAML document. Texts in it that hold what has to be escaped stand in double quotes, for only there YAML has escapes.
pub fn yaml<T: Serialize + ?Sized>(value: &T) -> Result<String, serde_yaml::Error> {
    let text = serde_yaml::to_string(value)?;
    if !text.contains(hidden) {
        return Ok(text);
    }
    // The library quotes as it sees fit. It is given a word in the place of each such text, which needs no quotes and stands
    // nowhere else, and the text is put there afterwards.
    let mut mark = String::from("text");
    while text.contains(&mark) {
        mark.push('x');
    }
    let mut value = serde_yaml::to_value(value)?;
    let mut quoted = Vec::new();
    set_aside(&mut value, &mark, &mut quoted);
    let mut text = serde_yaml::to_string(&value)?;
    for (n, original) in quoted.iter().enumerate() {
        let original = serde_json::to_string(original).map_err(<serde_yaml::Error as serde::ser::Error>::custom)?;
        text = text.replacen(&place(&mark, n), &escaped(&original, yaml_escape), 1);
    }
    Ok(text)
}

fn place(mark: &str, n: usize) -> String {
    format!("{mark}-{n}-")
}

fn set_aside(value: &mut Value, mark: &str, quoted: &mut Vec<String>) {
    match value {
        Value::String(text) if text.contains(hidden) => {
            let word = place(mark, quoted.len());
            quoted.push(std::mem::replace(text, word));
        }
        Value::Sequence(items) => items.iter_mut().for_each(|item| set_aside(item, mark, quoted)),
        Value::Mapping(fields) => {
            *fields = std::mem::take(fields)
                .into_iter()
                .map(|(mut name, mut value)| {
                    set_aside(&mut name, mark, quoted);
                    set_aside(&mut value, mark, quoted);
                    (name, value)
                })
                .collect();
        }
        Value::Tagged(tagged) => set_aside(&mut tagged.value, mark, quoted),
        _ => {}
    }
}

/// JSON with all of it escaped that has to be. Outside of strings JSON has none of these characters, and inside of them none
/// follows on a backslash, for what needs one is ASCII.
fn escaped(json: &str, escape: fn(&mut String, char)) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if hidden(c) {
            escape(&mut text, c);
        } else {
            text.push(c);
        }
    }
    text
}

fn json_escape(text: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing to a text does not fail.
        let _ = write!(text, "\\u{unit:04x}");
    }
}

/// YAML has no surrogate pairs.
fn yaml_escape(text: &mut String, c: char) {
    let _ = if u32::from(c) > 0xffff {
        write!(text, "\\U{:08x}", u32::from(c))
    } else {
        write!(text, "\\u{:04x}", u32::from(c))
    };
}

/// What a terminal, or what lays out text, obeys instead of showing it: the controls of C0 and C1 and U+007F, the controls of
/// direction, and the separators of lines and paragraphs, at which many a program ends a line. Line feeds and tabs do no harm.
pub fn steers(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{2028}' | '\u{2029}')
}

/// All of that, and what is not shown at all and so can hide text, or tell apart what looks the same: Unicode's
/// property `Default_Ignorable_Code_Point` and the marks of interlinear annotation. Joiners, soft hyphens and the selectors of
/// emoji are among them; the value stays the same, so that nothing is lost, and a shorter list would leave a way to hide something.
fn hidden(c: char) -> bool {
    steers(c)
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// One of each kind, and each end of a range.
    const STEERING: &str = "\0\x07\x08\r\x1b\x1f\x7f\u{80}\u{85}\u{9b}\u{9f}\u{61c}\u{200e}\u{200f}\u{202a}\u{202e}\
                            \u{2066}\u{2069}\u{2028}\u{2029}";
    const UNSEEN: &str =
        "\u{ad}\u{200b}\u{200c}\u{200d}\u{2060}\u{206f}\u{fe0f}\u{feff}\u{fff9}\u{fffb}\u{e0001}\u{e007f}";

    fn all() -> String {
        format!("a{STEERING}{UNSEEN}\n\tz \"quoted\" \\u202e ü 日本 🎉")
    }

    #[test]
    fn json_holds_the_same_and_shows_everything() {
        let value = BTreeMap::from([(all(), vec![all(), "plain".to_owned()])]);
        for text in [json(&value).unwrap(), json_pretty(&value).unwrap()] {
            assert!(!text.contains(hidden), "{text:?}");
            assert_eq!(serde_json::from_str::<BTreeMap<String, Vec<String>>>(&text).unwrap(), value);
        }
        assert_eq!(json("\u{202e}\u{9b}\x7f\u{e0041}é").unwrap(), r#""\u202e\u009b\u007f\udb40\udc41é""#);
        assert_eq!(json(&value).unwrap().lines().count(), 1);
    }

    #[test]
    fn yaml_holds_the_same_and_shows_everything() {
        let value = serde_json::json!({
            "apiVersion": "v1", "items": [{ "name": all(), (all()): "yes" }, "text-0-", "textx", true, null, 1.5],
            "script": "one\ntwo\n",
        });
        let text = yaml(&value).unwrap();
        assert!(!text.contains(hidden), "{text:?}");
        assert_eq!(serde_yaml::from_str::<serde_json::Value>(&text).unwrap(), value);
        assert!(text.contains("script: |\n  one\n  two\n"), "what needs no escape is written as ever: {text}");
        let plain = BTreeMap::from([("b", "x: y"), ("a", "yes")]);
        assert_eq!(yaml(&plain).unwrap(), serde_yaml::to_string(&plain).unwrap());
    }

    #[test]
    fn text_shows_a_mark_where_something_steers() {
        let text = printable(&all());
        assert!(text.starts_with(&format!("a{}", "\u{fffd}".repeat(STEERING.chars().count()))), "{text:?}");
        assert!(text.contains("\u{200d}\u{2060}") && text.contains("\n\tz"), "{text:?}");
        assert_eq!(printable("a\x1b[2Jb\u{202e}c\nd\te\r"), "a\u{fffd}[2Jb\u{fffd}c\nd\te\u{fffd}");
        assert_eq!(printable(&text), text);
    }

    proptest! {
        #[test]
        fn whatever_is_written_comes_back(texts in proptest::collection::vec("(.|\n|\u{202e}|\u{9b}|\u{ad}){0,12}", 0..6)) {
            let shown = json(&texts).unwrap();
            prop_assert!(!shown.contains(hidden));
            prop_assert_eq!(&serde_json::from_str::<Vec<String>>(&shown).unwrap(), &texts);
            let shown = yaml(&texts).unwrap();
            prop_assert!(!shown.contains(hidden));
            prop_assert_eq!(&serde_yaml::from_str::<Vec<String>>(&shown).unwrap(), &texts);
        }
    }
}
