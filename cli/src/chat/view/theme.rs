//! Styles. With colours only where they are wanted; all that they say is said without them too.

use ratatui::style::{Color, Modifier, Style};
use sotto_crypto::Address;

/// Which styles there are.
#[derive(Clone, Copy)]
pub(crate) struct Theme {
    pub(crate) color: bool,
}

/// The sixteen colours of the terminal's own palette, so that its owner's choice counts.
const NAMES: [Color; 6] = [Color::Cyan, Color::Green, Color::Yellow, Color::Magenta, Color::Blue, Color::LightRed];

#[expect(clippy::unused_self, reason = "some styles need no colour")]
impl Theme {
    fn or(self, color: Style, plain: Style) -> Style {
        if self.color { color } else { plain }
    }

    /// The bars at the top and the bottom.
    pub(crate) fn bar(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// What is wrong, in the bar.
    pub(crate) fn bar_warning(self) -> Style {
        self.or(Style::new().fg(Color::Black).bg(Color::Yellow), self.bar().add_modifier(Modifier::BOLD))
    }

    /// What must be seen.
    pub(crate) fn alarm(self) -> Style {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        self.or(bold.fg(Color::White).bg(Color::Red), bold.add_modifier(Modifier::REVERSED))
    }

    /// That somebody else keeps what is said.
    pub(crate) fn retained(self) -> Style {
        self.or(Style::new().fg(Color::Black).bg(Color::Yellow), self.bar())
    }

    /// Something in passing.
    pub(crate) fn note(self) -> Style {
        self.or(Style::new().fg(Color::Black).bg(Color::Cyan), self.bar())
    }

    /// Less important.
    pub(crate) fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// What lies over other text.
    pub(crate) fn bar_quiet(self) -> Style {
        self.or(Style::new().fg(Color::White).bg(Color::DarkGray), Style::new().add_modifier(Modifier::UNDERLINED))
    }

    pub(crate) fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(crate) fn plain(self) -> Style {
        Style::new()
    }

    /// What names the user, or waits for them.
    pub(crate) fn mention(self) -> Style {
        self.or(self.bold().fg(Color::Yellow), self.bold())
    }

    /// What is under the cursor.
    pub(crate) fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// What is good.
    pub(crate) fn good(self) -> Style {
        self.or(Style::new().fg(Color::Green), Style::new())
    }

    /// A person's name, always in the same colour.
    pub(crate) fn name(self, who: &Address, own: bool) -> Style {
        let sum: usize = who.as_str().bytes().map(usize::from).sum();
        let color = NAMES.get(sum % NAMES.len()).copied().unwrap_or(Color::Cyan);
        if own { self.bold() } else { self.or(self.bold().fg(color), self.bold()) }
    }
}
