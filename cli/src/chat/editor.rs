//! A text being written, with a cursor that moves over whole graphemes. Pure.

use unicode_segmentation::UnicodeSegmentation as _;

use super::text::{rows, width};

/// A text being written.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Editor {
    text: String,
    /// Byte offset, always between two graphemes.
    cursor: usize,
}

impl Editor {
    /// With this text, the cursor at its end.
    pub(crate) fn with(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { cursor: text.len(), text }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// What stands before the cursor.
    pub(crate) fn before(&self) -> &str {
        self.text.get(..self.cursor).unwrap_or_default()
    }

    fn after(&self) -> &str {
        self.text.get(self.cursor..).unwrap_or_default()
    }

    /// The text, leaving nothing.
    pub(crate) fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    /// Writes at the cursor. Line ends of other systems become line feeds; other control characters are left out.
    pub(crate) fn insert(&mut self, words: &str) {
        let words: String = words
            .replace("\r\n", "\n")
            .replace('\r', "\n")
            .chars()
            .filter(|c| matches!(c, '\n' | '\t') || !c.is_control())
            .collect();
        self.text.insert_str(self.cursor, &words);
        self.cursor += words.len();
        self.settle();
    }

    /// A mark that was typed after its letter joins it: the cursor goes behind both.
    fn settle(&mut self) {
        let edges = self.text.grapheme_indices(true).map(|(at, _)| at).chain([self.text.len()]);
        self.cursor = edges.filter(|at| *at >= self.cursor).min().unwrap_or(self.text.len());
    }

    /// Replaces the last `bytes` before the cursor.
    pub(crate) fn replace_before(&mut self, bytes: usize, words: &str) {
        let from = self.cursor.saturating_sub(bytes);
        if self.text.is_char_boundary(from) {
            self.text.replace_range(from..self.cursor, "");
            self.cursor = from;
            self.insert(words);
        }
    }

    pub(crate) fn left(&mut self) {
        self.cursor -= self.before().graphemes(true).next_back().map_or(0, str::len);
    }

    pub(crate) fn right(&mut self) {
        self.cursor += self.after().graphemes(true).next().map_or(0, str::len);
    }

    /// Where the word before the cursor begins.
    fn word_begin(&self) -> usize {
        let before = self.before().trim_end();
        before
            .rfind(char::is_whitespace)
            .map_or(0, |at| at + before.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8))
    }

    pub(crate) fn word_left(&mut self) {
        self.cursor = self.word_begin();
    }

    pub(crate) fn word_right(&mut self) {
        let after = self.after();
        let blank = after.len() - after.trim_start().len();
        let word = after.trim_start();
        self.cursor += blank + word.find(char::is_whitespace).unwrap_or(word.len());
    }

    /// To the begin of the line.
    pub(crate) fn home(&mut self) {
        self.cursor = self.before().rfind('\n').map_or(0, |at| at + 1);
    }

    /// To the end of the line.
    pub(crate) fn end(&mut self) {
        self.cursor += self.after().find('\n').unwrap_or(self.after().len());
    }

    pub(crate) fn backspace(&mut self) {
        let to = self.cursor;
        self.left();
        self.remove(self.cursor, to);
    }

    pub(crate) fn delete(&mut self) {
        let from = self.cursor;
        self.right();
        let to = self.cursor;
        self.cursor = from;
        self.remove(from, to);
    }

    pub(crate) fn delete_word(&mut self) {
        let to = self.cursor;
        self.cursor = self.word_begin();
        self.remove(self.cursor, to);
    }

    pub(crate) fn delete_to_begin(&mut self) {
        let to = self.cursor;
        self.home();
        self.remove(self.cursor, to);
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.text.replace_range(from..to, "");
        self.settle();
    }

    /// Row and column of the cursor when the text is wrapped to this width.
    pub(crate) fn place(&self, most: usize) -> (usize, usize) {
        let rows = rows(&self.text, most);
        // At the end of a row that goes on in the next one, the cursor stands in the next.
        let row = rows.iter().rposition(|(from, _)| *from <= self.cursor).unwrap_or(0);
        let from = rows.get(row).map_or(0, |r| r.0);
        (row, width(self.text.get(from..self.cursor).unwrap_or_default()).min(most))
    }

    /// A row up or down; false where there is none.
    pub(crate) fn vertical(&mut self, down: bool, most: usize) -> bool {
        let (row, column) = self.place(most);
        let rows = rows(&self.text, most);
        let Some(next) = (if down { row.checked_add(1) } else { row.checked_sub(1) }) else { return false };
        let Some((from, to)) = rows.get(next).copied() else { return false };
        let line = self.text.get(from..to).unwrap_or_default();
        let mut taken = 0;
        let mut at = from;
        for grapheme in line.graphemes(true) {
            if taken >= column {
                break;
            }
            taken += width(grapheme);
            at += grapheme.len();
        }
        // The end of a wrapped row is the begin of the next one.
        let wrapped = rows.get(next + 1).is_some_and(|(begin, _)| *begin == to);
        if at == to && wrapped && at > from {
            at -= line.graphemes(true).next_back().map_or(0, str::len);
        }
        self.cursor = at;
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_cursor_moves_over_whole_graphemes() {
        let mut e = Editor::with("a👨‍👩‍👧e\u{301}");
        e.backspace();
        assert_eq!(e.text(), "a👨‍👩‍👧");
        e.left();
        assert_eq!(e.before(), "a");
        e.delete();
        assert_eq!(e.text(), "a");
    }

    #[test]
    fn words_and_lines() {
        let mut e = Editor::with("one two\nthree four");
        e.delete_word();
        assert_eq!(e.text(), "one two\nthree ");
        e.delete_to_begin();
        assert_eq!(e.text(), "one two\n");
        e.backspace();
        e.word_left();
        assert_eq!(e.before(), "one ");
        assert_eq!(e.text(), "one two");
        e.home();
        e.word_right();
        assert_eq!(e.before(), "one");
    }

    #[test]
    fn what_is_pasted_has_no_control_characters() {
        let mut e = Editor::default();
        e.insert("a\r\nb\x1b[31mc\rd");
        assert_eq!(e.text(), "a\nb[31mc\nd");
    }

    #[test]
    fn rows_up_and_down() {
        let mut e = Editor::with("the quick brown\nfox");
        assert_eq!(e.place(10), (2, 3));
        assert!(e.vertical(false, 10));
        assert_eq!(e.place(10), (1, 3));
        assert_eq!(e.before(), "the quick bro");
        assert!(e.vertical(false, 10));
        assert_eq!(e.before(), "the");
        assert!(!e.vertical(false, 10));
        e.end();
        assert_eq!(e.before(), "the quick brown");
        e.replace_before(5, "red");
        assert_eq!(e.text(), "the quick red\nfox");
    }

    proptest! {
        #[test]
        fn nothing_breaks(keys in prop::collection::vec((0_u8..14, ".{0,3}"), 0..60), most in 2_usize..12) {
            let mut e = Editor::default();
            for (key, words) in keys {
                match key {
                    0 => e.left(),
                    1 => e.right(),
                    2 => e.word_left(),
                    3 => e.word_right(),
                    4 => e.home(),
                    5 => e.end(),
                    6 => e.backspace(),
                    7 => e.delete(),
                    8 => e.delete_word(),
                    9 => e.delete_to_begin(),
                    10 | 11 => {
                        e.vertical(key == 10, most);
                    }
                    12 => e.insert("\n"),
                    _ => e.insert(&words),
                }
                prop_assert!(e.text().is_char_boundary(e.before().len()));
                let (row, column) = e.place(most);
                prop_assert!(row < rows(e.text(), most).len() && column <= most);
            }
        }
    }
}
