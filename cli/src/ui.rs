//! Standard output for results, standard error for all else, prompts only on a terminal.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;
use sotto_client::is_bidi_control;

use crate::error::CliError;

/// What commands print with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ui;

impl Ui {
    /// A line of result on standard output, written through at once.
    #[expect(clippy::unused_self, reason = "printing goes through the value that commands are given")]
    pub(crate) fn result(self, line: &str) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        Ok(out.flush()?)
    }

    /// One JSON value on one line of standard output.
    pub(crate) fn json<T: Serialize>(self, value: &T) -> Result<(), CliError> {
        let line = serde_json::to_string(value).map_err(|e| CliError::failed(format!("cannot write JSON: {e}")))?;
        self.result(&line)
    }

    /// Progress and remarks, on standard error. A closed standard error is no reason to fail.
    #[expect(clippy::unused_self, reason = "printing goes through the value that commands are given")]
    pub(crate) fn note(self, line: &str) {
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// Whether standard error is a terminal, so that progress and pictures make sense.
    #[expect(clippy::unused_self, reason = "asking goes through the value that commands are given")]
    pub(crate) fn shows(self) -> bool {
        io::stderr().is_terminal()
    }

    /// A question that only `y` or `yes` answers with yes. Without a terminal it is an error that names the option.
    pub(crate) fn confirm(self, question: &str) -> Result<bool, CliError> {
        let answer = self.read_line(&format!("{question} [y/N] "), "give --yes to answer with yes")?;
        Ok(matches!(answer.to_lowercase().as_str(), "y" | "yes"))
    }

    /// One line that a person types; `else_do` says what to do without a terminal.
    pub(crate) fn read_line(self, prompt: &str, else_do: &str) -> Result<String, CliError> {
        if !self.can_ask() {
            return Err(CliError::usage("there is no terminal to ask on").hint(else_do));
        }
        let mut err = io::stderr().lock();
        write!(err, "{prompt}")?;
        err.flush()?;
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Whether there is a person to ask.
    #[expect(clippy::unused_self, reason = "asking goes through the value that commands are given")]
    pub(crate) fn can_ask(self) -> bool {
        io::stdin().is_terminal()
    }
}

/// What a stranger wrote, made safe for a terminal: control characters (but line feed and tab) become visible.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() || is_bidi_control(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\u{202e}c\nd\te\r"), "a\u{fffd}[2Jb\u{fffd}c\nd\te\u{fffd}");
    }
}
