//! Standard output for results, standard error for all else, prompts only on a terminal.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;
use sotto_kubectl::output;
pub(crate) use sotto_kubectl::output::printable;

use crate::error::CliError;

/// What commands print with.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ui;

impl Ui {
    /// A line of result on standard output, written through at once. What strangers wrote in it does not steer the terminal.
    #[expect(clippy::unused_self, reason = "printing goes through the value that commands are given")]
    pub(crate) fn result(self, line: &str) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", printable(line))?;
        Ok(out.flush()?)
    }

    /// One JSON value on one line of standard output.
    pub(crate) fn json<T: Serialize>(self, value: &T) -> Result<(), CliError> {
        self.made(output::json(value))
    }

    /// One JSON value for people, on several lines.
    pub(crate) fn json_pretty<T: Serialize>(self, value: &T) -> Result<(), CliError> {
        self.made(output::json_pretty(value))
    }

    /// One YAML document.
    pub(crate) fn yaml<T: Serialize>(self, value: &T) -> Result<(), CliError> {
        self.made(output::yaml(value))
    }

    fn made<E: std::fmt::Display>(self, text: Result<String, E>) -> Result<(), CliError> {
        self.result(text.map_err(|e| CliError::failed(format!("the result cannot be written: {e}")))?.trim_end())
    }

    /// Progress and remarks, on standard error. A closed standard error is no reason to fail. What strangers wrote in it does
    /// not steer the terminal.
    #[expect(clippy::unused_self, reason = "printing goes through the value that commands are given")]
    pub(crate) fn note(self, line: &str) {
        let _ = writeln!(io::stderr().lock(), "{}", printable(line));
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
        write!(err, "{}", printable(prompt))?;
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Where the module that a rule is about may do what no other may.
    const JSON: &[&str] = &["kubectl/src/output.rs"];
    const TEXT: &[&str] =
        &["cli/src/ui.rs", "cli/src/progress.rs", "cli/src/chat/driver.rs", "cli/src/commands/users.rs"];

    /// Files of the two crates without their tests, as path and text.
    fn sources() -> Vec<(String, String)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut folders = vec![root.join("cli/src"), root.join("kubectl/src")];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
                if !name.ends_with("tests.rs") && !name.contains("/tests/") {
                    found.push((name, code));
                }
            }
        }
        assert!(found.len() > 80, "the sources are not where they were");
        found
    }

    /// Whoever makes JSON or YAML in another way does not escape what [`sotto_kubectl::output`] does, and whoever writes past
    /// [`Ui`] writes what strangers wrote as it is.
    #[test]
    fn there_is_one_way_to_print() {
        let made = ["serde_json::to_string", "serde_json::to_writer", "serde_json::to_vec", "serde_json::Serializer"];
        let yaml = ["serde_yaml::to_string", "serde_yaml::to_writer", "serde_yaml::Serializer"];
        let printed = ["print!(", "println!(", "stdout()", "stderr()"];
        for (file, code) in sources() {
            let json: Vec<&&str> = made.iter().chain(&yaml).filter(|word| code.contains(**word)).collect();
            assert!(json.is_empty() || JSON.contains(&&*file), "{file} has {json:?}: use sotto_kubectl::output");
            // Asking whether it is a terminal writes nothing.
            let code = code.replace("stdout().is_terminal()", "").replace("stderr().is_terminal()", "");
            let text: Vec<&&str> = printed.iter().filter(|word| code.contains(**word)).collect();
            assert!(text.is_empty() || TEXT.contains(&&*file), "{file} has {text:?}: use Ui");
        }
    }

    /// A file's name loses what a text is marked for.
    #[test]
    fn the_library_knows_the_same_controls_of_direction() {
        for c in ('\0'..=char::MAX).filter(|c| sotto_client::is_bidi_control(*c)) {
            assert_eq!(printable(&c.to_string()), "\u{fffd}", "{c:?}");
        }
    }
}
