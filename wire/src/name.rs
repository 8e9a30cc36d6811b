//! Names of people: what an administrator gives somebody beside the address, and what a client shows of it.
//!
//! A name stands beside an address and never in its place. So nothing may be in it that moves what stands around it, that is not
//! seen, or by which it could pass for an address or for what a program says itself.

use crate::limits::MAX_NAME_CHARS;

/// Why a text is not shown as a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is nothing to see.
    #[error("it is empty")]
    Empty,
    /// It is too long.
    #[error("it has more than {MAX_NAME_CHARS} characters")]
    TooLong,
    /// Spaces at an end, two in a row, or white space of another kind.
    #[error("its words are not separated by single spaces")]
    Spaces,
    /// A control character, one that turns the direction of text around, or one that is not seen.
    #[error("it has the character U+{:04X}, which is not seen or moves what stands around it", u32::from(*.0))]
    Hidden(char),
    /// It separates names from addresses and from what programs say.
    #[error("it has the character {0}, which is not for names")]
    Mark(char),
}

/// Whether a text is shown as a name, as it is.
pub fn check(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.chars().count() > MAX_NAME_CHARS {
        return Err(NameError::TooLong);
    }
    for c in name.chars() {
        if c.is_control() || is_hidden(c) {
            return Err(NameError::Hidden(c));
        }
        if is_mark(c) {
            return Err(NameError::Mark(c));
        }
    }
    // Ends, neighbours, and spaces of other kinds at once.
    if name.split(' ').any(|word| word.is_empty() || word.contains(char::is_whitespace)) {
        return Err(NameError::Spaces);
    }
    Ok(())
}

/// Characters with a meaning where names are shown: with them `bob@x.example` could be anybody's name, or `Bob) [verified` an end of it.
fn is_mark(c: char) -> bool {
    matches!(
        c,
        '@' | '\u{fe6b}' | '\u{ff20}' | '<' | '>' | '(' | ')' | '[' | ']' | '{' | '}' | '"' | ':' | ';' | '\\' | '|'
    )
}

/// What is not seen, or turns the direction of text around: the default-ignorable characters of Unicode (UAX #44), separators of
/// lines, annotations, and those that are drawn as nothing.
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_people_are_names() {
        for name in
            ["Alice", "Alice Archer", "Jean-Luc d'Été", "O’Neill, Jr.", "山田 太郎", "नरेन्द्र मोदी", "محمد علي", "Ann 2"]
        {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        assert_eq!(check(&"x".repeat(MAX_NAME_CHARS)), Ok(()));
    }

    #[test]
    fn what_could_mislead_is_no_name() {
        assert_eq!(check(""), Err(NameError::Empty));
        assert_eq!(check(&"é".repeat(MAX_NAME_CHARS + 1)), Err(NameError::TooLong));
        for spaces in [" Bob", "Bob ", "Bob  Baker", " ", "Bob\u{a0}Baker", "Bob\u{3000}Baker"] {
            assert_eq!(check(spaces), Err(NameError::Spaces), "{spaces:?}");
        }
        let hidden = [
            '\n',
            '\t',
            '\u{1b}',
            '\u{7f}',
            '\u{9b}',
            '\u{ad}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{202e}',
            '\u{2066}',
            '\u{2028}',
            '\u{feff}',
            '\u{e0041}',
            '\u{3164}',
        ];
        for c in hidden {
            assert_eq!(check(&format!("Bob{c}Baker")), Err(NameError::Hidden(c)), "{c:?}");
        }
        for (name, mark) in
            [("bob@x.example", '@'), ("bob＠x.example", '＠'), ("Bob) [verified]", ')'), ("Bob: pay", ':')]
        {
            assert_eq!(check(name), Err(NameError::Mark(mark)));
        }
        assert!(NameError::Hidden('\u{202e}').to_string().contains("U+202E"));
    }
}
