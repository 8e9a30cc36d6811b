//! Emoji by name, as GitHub names them: `:tada:` is 🎉. Pure.

use unicode_segmentation::UnicodeSegmentation as _;

/// What the picker offers before anything is typed.
const USUAL: [&str; 8] = ["👍", "❤️", "😂", "🎉", "😮", "😢", "🙏", "✅"];
/// The longest reaction that the protocol carries.
const MAX_REACTION: usize = 64;

/// The emoji with this name.
pub(crate) fn by_name(name: &str) -> Option<&'static str> {
    emojis::get_by_shortcode(name).map(emojis::Emoji::as_str)
}

/// Emoji whose name holds these letters, best first: names that begin with them, then names that hold them, then what
/// the standard calls them.
pub(crate) fn find(letters: &str, most: usize) -> Vec<(&'static str, &'static str)> {
    if letters.is_empty() {
        let usual = USUAL.iter().filter_map(|e| emojis::get(e));
        return usual.filter_map(|e| Some((e.as_str(), e.shortcode()?))).take(most).collect();
    }
    let letters = letters.to_lowercase();
    let mut found: Vec<(usize, usize, &'static str, &'static str)> = Vec::new();
    for emoji in emojis::iter() {
        let best = emoji
            .shortcodes()
            .filter_map(|name| match name.find(letters.as_str())? {
                0 => Some((0, name.len(), name)),
                _ => Some((1, name.len(), name)),
            })
            .min();
        let best = best.or_else(|| {
            let name = emoji.shortcode()?;
            emoji.name().contains(letters.as_str()).then_some((2, name.len(), name))
        });
        if let Some((rank, length, name)) = best {
            found.push((rank, length, emoji.as_str(), name));
        }
    }
    // Stable: within a rank and length the order of the standard stays.
    found.sort_by_key(|(rank, length, ..)| (*rank, *length));
    found.into_iter().take(most).map(|(_, _, emoji, name)| (emoji, name)).collect()
}

/// What was typed as a reaction: an emoji, or the name of one.
pub(crate) fn reaction(text: &str) -> Option<String> {
    let text = text.trim();
    if let Some(emoji) = emojis::get(text) {
        return Some(emoji.as_str().to_owned());
    }
    let name = text.trim_matches(':');
    by_name(name).map(str::to_owned).or_else(|| {
        // One that this list is too old for.
        let foreign = text.graphemes(true).count() == 1 && !text.is_ascii() && text.len() <= MAX_REACTION;
        foreign.then(|| text.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emoji_have_names() {
        assert_eq!(by_name("tada"), Some("🎉"));
        assert_eq!(by_name("+1"), Some("👍"));
        assert_eq!(by_name("no such thing"), None);
    }

    #[test]
    fn the_best_name_comes_first() {
        assert_eq!(find("tad", 3).first(), Some(&("🎉", "tada")));
        assert_eq!(find("rocket", 1), [("🚀", "rocket")]);
        assert_eq!(find("", 20).len(), USUAL.len());
        assert!(find("zzzz", 5).is_empty());
        assert!(find("a", 5).len() == 5);
    }

    #[test]
    fn a_reaction_is_one_emoji() {
        assert_eq!(reaction("🎉").as_deref(), Some("🎉"));
        assert_eq!(reaction(":tada:").as_deref(), Some("🎉"));
        assert_eq!(reaction("tada").as_deref(), Some("🎉"));
        assert_eq!(reaction("hello world"), None);
        assert_eq!(reaction("q!"), None);
        assert_eq!(reaction(""), None);
    }
}
