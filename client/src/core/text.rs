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

/// A moment (milliseconds since the epoch) for people, to the minute.
pub(crate) fn moment(ms: u64) -> String {
    let (days, minutes) = (ms / 86_400_000, ms / 60_000 % 1_440);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", minutes / 60, minutes % 60)
}

/// The date of a day since 1970-01-01, in the calendar that is in use (a cycle of 400 years has 146,097 days).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days.saturating_add(719_468);
    let (cycle, of_cycle) = (shifted / 146_097, shifted % 146_097);
    let year_of_cycle = (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    // Years begin in March, so that the day that some have more comes last.
    let of_year = of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (cycle * 400 + year_of_cycle + u64::from(month <= 2), month, day)
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

    #[test]
    fn moments_are_told_to_the_minute() {
        assert_eq!(moment(0), "1970-01-01 00:00 UTC");
        assert_eq!(moment(951_782_399_999), "2000-02-28 23:59 UTC");
        assert_eq!(moment(951_782_400_000), "2000-02-29 00:00 UTC");
        assert_eq!(moment(1_795_935_592_000), "2026-11-29 06:59 UTC");
        assert!(moment(u64::MAX).ends_with("UTC"));
    }
}
