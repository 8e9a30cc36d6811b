//! Secrets that people type: no Debug, no Display, erased when dropped.

use zeroize::Zeroizing;

/// A password.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Takes a password over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The first line of a file's text, without the line's end: editors and `echo` add one.
    pub fn from_file_text(text: &str) -> Self {
        Self::new(text.lines().next().unwrap_or_default().to_owned())
    }

    /// The password itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether two are the same: for a password that is typed twice.
    pub fn same_as(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// Whether nothing was typed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A one-time registration code.
#[derive(Clone)]
pub struct RegistrationCode(Zeroizing<String>);

impl RegistrationCode {
    /// Takes a code over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The code itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_file_is_read_without_its_line_end() {
        assert_eq!(Password::from_file_text("pass word\r\nmore").expose(), "pass word");
        assert!(Password::from_file_text("").is_empty());
    }
}
