//! Completion of the word at the cursor: `:name` to an emoji, `@name` to a member. Pure.

use sotto_crypto::Address;

use super::editor::Editor;
use super::emoji;

/// How many are offered.
const OFFERED: usize = 6;

/// What is offered for the word at the cursor.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Completion {
    /// How many bytes before the cursor are replaced.
    typed: usize,
    /// What is shown, and what is written for it.
    pub(crate) choices: Vec<(String, String)>,
    /// The one that Tab takes.
    pub(crate) cursor: usize,
}

impl Completion {
    /// What to offer, if anything. Members: everybody but the writer.
    pub(crate) fn at(editor: &Editor, members: &[Address], cursor: usize) -> Option<Self> {
        let word = word(editor.before());
        let mut choices = match (word.strip_prefix(':'), word.strip_prefix('@')) {
            (Some(name), _) if name.len() >= 2 && name.chars().all(in_name) => emoji::find(name, OFFERED)
                .into_iter()
                .map(|(emoji, name)| (format!("{emoji} :{name}:"), emoji.to_owned()))
                .collect::<Vec<_>>(),
            (_, Some(name)) => {
                let name = name.to_lowercase();
                let fitting = members.iter().filter(|m| m.as_str().starts_with(&name));
                fitting.map(|m| (m.to_string(), mention_of(m, members))).collect()
            }
            _ => return None,
        };
        choices.truncate(OFFERED);
        let last = choices.len().checked_sub(1)?;
        Some(Self { typed: word.len(), choices, cursor: cursor.min(last) })
    }

    /// Writes the chosen one in place of what was typed.
    pub(crate) fn accept(&self, editor: &mut Editor) {
        if let Some((_, words)) = self.choices.get(self.cursor) {
            editor.replace_before(self.typed, &format!("{words} "));
        }
    }

    /// The next one, or the one before.
    pub(crate) fn step(&mut self, down: bool) {
        let n = self.choices.len().max(1);
        self.cursor = if down { (self.cursor + 1) % n } else { (self.cursor + n - 1) % n };
    }
}

/// Puts the emoji in place of a whole `:name:` that was just closed.
pub(crate) fn close_name(editor: &mut Editor) {
    let word = word(editor.before());
    let name = word.strip_prefix(':').and_then(|w| w.strip_suffix(':')).unwrap_or_default();
    if let Some(emoji) = emoji::by_name(name) {
        let typed = word.len();
        editor.replace_before(typed, emoji);
    }
}

/// How a member is named in a text: by the name alone where no other member has it.
pub(crate) fn mention_of(who: &Address, members: &[Address]) -> String {
    let alone = members.iter().filter(|m| m.local() == who.local()).count() <= 1;
    if alone { format!("@{}", who.local()) } else { format!("@{who}") }
}

/// The members whom a text names, in order, no repeats.
pub(crate) fn mentioned(text: &str, members: &[Address]) -> Vec<Address> {
    let mut named: Vec<Address> = Vec::new();
    for word in text.split_whitespace() {
        named.extend(mention_in(word, members).cloned());
    }
    named.sort();
    named.dedup();
    named
}

/// The member whom this word names: `@bob`, `(@bob)`, `@bob,`, `@bob@chat.acme.example`.
pub(crate) fn mention_in<'a>(word: &str, members: &'a [Address]) -> Option<&'a Address> {
    let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '@');
    let name = word.strip_prefix('@')?.to_lowercase();
    let mut by_name = members.iter().filter(|m| m.local() == name);
    match (members.iter().find(|m| m.as_str() == name), by_name.next(), by_name.next()) {
        (Some(whole), ..) => Some(whole),
        (None, Some(only), None) => Some(only),
        _ => None,
    }
}

fn word(before: &str) -> &str {
    before.rsplit(char::is_whitespace).next().unwrap_or_default()
}

fn in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_+-".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a(address: &str) -> Address {
        Address::parse(address).unwrap()
    }

    #[test]
    fn an_emoji_by_its_name() {
        let mut e = Editor::with("well done :tad");
        let completion = Completion::at(&e, &[], 0).unwrap();
        assert_eq!(completion.choices[0], ("🎉 :tada:".into(), "🎉".into()));
        completion.accept(&mut e);
        assert_eq!(e.text(), "well done 🎉 ");
        assert_eq!(Completion::at(&Editor::with("at 10:30"), &[], 0), None);
        assert_eq!(Completion::at(&Editor::with("so :t"), &[], 0), None);
        let mut e = Editor::with("yes :+1:");
        close_name(&mut e);
        assert_eq!(e.text(), "yes 👍");
        let mut e = Editor::with("10:30:");
        close_name(&mut e);
        assert_eq!(e.text(), "10:30:");
    }

    #[test]
    fn a_member_by_name() {
        let members = [a("bob@x.example"), a("carol@x.example"), a("bob@y.example")];
        let mut e = Editor::with("ask @car");
        Completion::at(&e, &members, 0).unwrap().accept(&mut e);
        assert_eq!(e.text(), "ask @carol ");
        let mut e = Editor::with("ask @bo");
        let mut completion = Completion::at(&e, &members, 0).unwrap();
        completion.step(true);
        completion.accept(&mut e);
        assert_eq!(e.text(), "ask @bob@y.example ");
        assert_eq!(Completion::at(&Editor::with("@zoe"), &members, 0), None);
    }

    #[test]
    fn who_is_named() {
        let members = [a("bob@x.example"), a("carol@x.example"), a("bob@y.example")];
        assert_eq!(mentioned("hi (@carol), and @bob@y.example!", &members), [a("bob@y.example"), a("carol@x.example")]);
        // Two bobs: neither is meant for sure. A mail address is no mention.
        assert!(mentioned("@bob, me@carol", &members).is_empty());
    }
}
