//! One error for all commands: what kind it is, what happened, what to do. The kind decides the exit code.

use std::process::ExitCode;

/// What kind of failure, and so which exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something went wrong here or at the other end.
    Failed,
    /// The command line or a file is not as it should be.
    Usage,
    /// Policy, or a check of trust, says no; the same command will not succeed without a change.
    Refused,
    /// The other end cannot be reached or cannot serve now: try again.
    Unreachable,
}

impl Kind {
    /// The exit code; documented in `--help`.
    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Unreachable => 4,
        })
    }

    fn word(self) -> &'static str {
        match self {
            Self::Failed => "error",
            Self::Usage => "usage error",
            Self::Refused => "refused",
            Self::Unreachable => "not reachable",
        }
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct CliError {
    /// Decides the exit code.
    pub(crate) kind: Kind,
    /// What happened. Never holds secrets.
    pub(crate) message: String,
    /// What to do, where there is more to say than the message does.
    pub(crate) hint: Option<String>,
}

impl CliError {
    /// An error of this kind.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// Something went wrong.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// Wrong usage.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Adds what to do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The lines for standard error.
    pub(crate) fn render(&self) -> String {
        let mut text = format!("sotto: {}: {}", self.kind.word(), self.message);
        if let Some(hint) = &self.hint {
            text.push_str("\n  hint: ");
            text.push_str(hint);
        }
        text
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_kind_and_hint() {
        let error = CliError::usage("no text").hint("add one");
        assert_eq!(error.render(), "sotto: usage error: no text\n  hint: add one");
    }
}
