//! Text on a grid of cells: what strangers wrote made harmless, measured, cut, wrapped. Pure.

use ratatui::buffer::CellWidth as _;
use unicode_segmentation::UnicodeSegmentation as _;

use crate::ui::printable;

/// More marks on one letter than any script has would only climb over the lines around it. A flag has seven.
const MARKS: usize = 8;

/// What a stranger wrote, for the screen: no control characters, tabs as spaces, no heaps of marks; lines stay.
pub(crate) fn clean(text: &str) -> String {
    let mut marks = 0;
    let mut clean = String::with_capacity(text.len());
    for c in printable(text).chars() {
        if c == '\t' {
            clean.push_str("    ");
            continue;
        }
        let mut bytes = [0; 4];
        let mark = c != '\n' && width(c.encode_utf8(&mut bytes)) == 0;
        marks = if mark { marks + 1 } else { 0 };
        if marks <= MARKS {
            clean.push(c);
        }
    }
    clean
}

/// The same on one line.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in clean(text).split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// How many cells a text without line feeds takes.
pub(crate) fn width(text: &str) -> usize {
    text.graphemes(true).map(cells).sum()
}

/// How many cells a grapheme takes, as the screen will draw it.
pub(crate) fn cells(grapheme: &str) -> usize {
    if grapheme.chars().any(char::is_control) { 0 } else { usize::from(grapheme.cell_width()) }
}

/// As much as fits, with `…` where something is missing.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let Some(room) = most.checked_sub(1) else { return String::new() };
    let mut taken = 0;
    let mut shown: String = text
        .graphemes(true)
        .take_while(|g| {
            taken += cells(g);
            taken <= room
        })
        .collect();
    shown.push('…');
    shown
}

/// Cut or filled with spaces to exactly this width.
pub(crate) fn fit(text: &str, to: usize) -> String {
    let mut shown = cut(text, to);
    shown.extend(std::iter::repeat_n(' ', to.saturating_sub(width(&shown))));
    shown
}

/// Where the rows of a text begin and end (bytes) when it is wrapped at words to this width. Never empty; the space at
/// which a row ends belongs to it.
pub(crate) fn rows(text: &str, most: usize) -> Vec<(usize, usize)> {
    let most = most.max(2);
    let mut rows = Vec::new();
    let mut begin = 0;
    for line in text.split('\n') {
        wrap_line(line, begin, most, &mut rows);
        begin += line.len() + 1;
    }
    rows
}

fn wrap_line(line: &str, offset: usize, most: usize, rows: &mut Vec<(usize, usize)>) {
    let (mut begin, mut taken) = (0, 0);
    // After the last space of the row, and the width up to there.
    let mut space: Option<(usize, usize)> = None;
    for (at, grapheme) in line.grapheme_indices(true) {
        let wide = cells(grapheme);
        let blank = grapheme == " ";
        // A space may hang over the edge: it is not seen.
        if taken + wide > most && !blank {
            match space {
                Some((after, up_to)) if after > begin => {
                    rows.push((offset + begin, offset + after));
                    begin = after;
                    taken -= up_to;
                }
                _ => {
                    rows.push((offset + begin, offset + at));
                    begin = at;
                    taken = 0;
                }
            }
            space = None;
        }
        taken += wide;
        if blank {
            space = Some((at + grapheme.len(), taken));
        }
    }
    rows.push((offset + begin, offset + line.len()));
}

/// The text wrapped at words.
pub(crate) fn wrap(text: &str, most: usize) -> Vec<String> {
    rows(text, most)
        .into_iter()
        .map(|(from, to)| text.get(from..to).unwrap_or_default().trim_end_matches(' ').to_owned())
        .collect()
}

/// A number of bytes for people.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn bytes(n: u64) -> String {
    let mut value = n as f64;
    if n < 1000 {
        return format!("{n} bytes");
    }
    let mut unit = "bytes";
    for next in ["kB", "MB", "GB", "TB"] {
        value /= 1000.0;
        unit = next;
        if value < 999.5 {
            break;
        }
    }
    if value < 9.95 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// A length of time for people, in its two largest units.
pub(crate) fn span(seconds: u64) -> String {
    let units = [("d", 86400), ("h", 3600), ("m", 60), ("s", 1)];
    let Some(first) = units.iter().position(|(_, n)| seconds >= *n) else { return "0s".to_owned() };
    let mut rest = seconds;
    let mut shown = Vec::new();
    for (unit, n) in units.iter().skip(first).take(2) {
        if rest / n > 0 {
            shown.push(format!("{}{unit}", rest / n));
        }
        rest %= n;
    }
    shown.join(" ")
}

/// How long something plays.
pub(crate) fn clock(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    if seconds >= 3600 {
        format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    } else {
        format!("{}:{:02}", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wide_characters_take_two_cells() {
        assert_eq!(width("abc"), 3);
        assert_eq!(width("日本"), 4);
        assert_eq!(width("🎉"), 2);
        assert_eq!(width("👨‍👩‍👧"), 2);
        assert_eq!(width("e\u{301}"), 1);
    }

    #[test]
    fn a_cut_shows_that_it_is_one() {
        assert_eq!(cut("hello", 5), "hello");
        assert_eq!(cut("hello", 4), "hel…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("hello", 0), "");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(fit("ab", 4), "ab  ");
    }

    #[test]
    fn words_wrap_and_long_words_break() {
        assert_eq!(wrap("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrap("abcdefghijkl mn", 5), ["abcde", "fghij", "kl mn"]);
        assert_eq!(wrap("one\n\ntwo", 10), ["one", "", "two"]);
        assert_eq!(wrap("日本語日本語", 5), ["日本", "語日", "本語"]);
        assert_eq!(wrap("", 5), [""]);
    }

    #[test]
    fn nothing_that_moves_the_cursor_is_left() {
        assert_eq!(clean("a\x1b[2Jb\tc\r\nd"), "a\u{fffd}[2Jb    c\u{fffd}\nd");
        let heap = format!("a{}b", "\u{301}".repeat(50));
        assert_eq!(clean(&heap).chars().count(), 2 + MARKS);
        assert_eq!(one_line(" a\n b\t c "), "a b c");
    }

    #[test]
    fn amounts_are_for_people() {
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(1234), "1.2 kB");
        assert_eq!(bytes(999_900), "1.0 MB");
        assert_eq!(bytes(26_214_400), "26 MB");
        assert_eq!(span(0), "0s");
        assert_eq!(span(90), "1m 30s");
        assert_eq!(span(86400), "1d");
        assert_eq!(span(90061), "1d 1h");
        assert_eq!(clock(65_500), "1:06");
        assert_eq!(clock(3_600_000), "1:00:00");
    }

    proptest! {
        #[test]
        fn rows_hold_the_text_and_fit(text in "(.|\n){0,80}", most in 2_usize..20) {
            let text = clean(&text);
            let mut end = 0;
            for (n, (from, to)) in rows(&text, most).into_iter().enumerate() {
                let row = text.get(from..to).unwrap();
                prop_assert!(width(row.trim_end_matches(' ')) <= most, "{row:?}");
                // One follows on the other, but for the line feeds in between.
                prop_assert!(from == end || (from == end + 1 && n > 0));
                end = to;
            }
            prop_assert_eq!(end, text.len());
        }

        #[test]
        fn a_cut_fits(text in ".{0,40}", most in 0_usize..30) {
            prop_assert!(width(&cut(&text, most)) <= most);
            prop_assert_eq!(width(&fit(&clean(&text).replace('\n', ""), most)), most);
        }
    }
}
