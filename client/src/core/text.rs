//! Texts from outside, made fit to be shown: no folders in names of files, nothing that moves a cursor or turns text around.

/// A name of a device, without what moves a terminal's cursor.
pub(crate) fn clean_label(label: &str) -> String {
    label.chars().filter(|c| !c.is_control()).take(60).collect()
}

/// A file name without folders and without characters that move a terminal's cursor or turn the direction of text around;
/// never one that names a folder.
pub fn clean_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last.chars().filter(|c| !c.is_control() && !is_bidi_control(*c)).collect();
    let clean = clean.trim().trim_start_matches('.');
    let mut end = clean.len().min(200);
    while !clean.is_char_boundary(end) {
        end -= 1;
    }
    clean.get(..end).unwrap_or_default().to_owned()
}

/// Characters that reorder what stands around them: with them `exe.pdf` can be shown for `fdp.exe`.
pub fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_lose_folders_and_control_characters() {
        assert_eq!(clean_name("../../etc/passwd"), "passwd");
        assert_eq!(clean_name("C:\\x\\a\x1b[2J.txt"), "a[2J.txt");
        assert_eq!(clean_name(".."), "");
        assert_eq!(clean_name(".bashrc"), "bashrc");
        assert_eq!(clean_name("a\u{202e}fdp.exe\u{2066}"), "afdp.exe");
    }

    proptest! {
        #[test]
        fn a_clean_name_is_a_plain_name(name in ".{0,300}") {
            let clean = clean_name(&name);
            prop_assert!(!clean.contains(['/', '\\', '\0']) && clean != ".." && clean != "." && clean.len() <= 200);
        }
    }
}
