//! A real terminal (tmux) in which a program runs: keys go in, the screen comes out.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::{Failure, Outcome, Run, ensure, release_folder, wait_until};

/// How long a screen is waited for on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A terminal with a shell in it. It ends with this value, and with it what runs in it.
#[derive(Debug)]
pub struct Terminal {
    /// Holds the socket of a tmux server of its own.
    folder: TempDir,
}

impl Terminal {
    /// Of this size, with these variables for what runs in it.
    pub fn start(columns: u16, rows: u16, variables: &[(&str, &str)]) -> Outcome<Self> {
        let terminal = Self { folder: TempDir::new()? };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        // A prompt that can be told from everything else, and no files of whoever runs the test.
        let shell = ["env", "ENV=", "PS1=ready$ ", "LC_ALL=C.UTF-8", "TZ=UTC"];
        let variables: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let run = terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &rows]).args(shell);
        run.args(&variables).arg("sh").output().map_err(|Failure(why)| {
            Failure(format!("{why}\ntmux is needed to look at the screen: `make debian` installs it"))
        })?;
        // The window keeps its size although nobody looks at it.
        terminal.tmux(&["set-option", "-g", "window-size", "manual"]).output()?;
        terminal.tmux(&["set-option", "-g", "focus-events", "off"]).output()?;
        terminal.wait("the shell", |screen| screen.contains("ready$"))?;
        Ok(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> Run {
        Run::new("tmux").args(["-u", "-S"]).arg(self.socket()).args(arguments).limit(PATIENCE)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("tmux")
    }

    /// Presses keys, by tmux's names: `Enter`, `Escape`, `C-q`, `M-v`, `F1`, `PPage`.
    pub fn keys(&self, keys: &[&str]) -> Outcome {
        self.tmux(&["send-keys"]).args(keys).output().map(drop)
    }

    /// Types a text.
    pub fn text(&self, text: &str) -> Outcome {
        self.tmux(&["send-keys", "-l", "--", text]).output().map(drop)
    }

    /// Types a line into the shell.
    pub fn line(&self, line: &str) -> Outcome {
        self.text(line)?;
        self.keys(&["Enter"])
    }

    /// Gives the window another size.
    pub fn resize(&self, columns: u16, rows: u16) -> Outcome {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &rows.to_string()]).output().map(drop)
    }

    /// What is on the screen, row by row.
    pub fn screen(&self) -> Outcome<String> {
        self.tmux(&["capture-pane", "-p"]).output()
    }

    /// Waits for a screen; gives it.
    pub fn wait(&self, what: &str, shows: impl Fn(&str) -> bool) -> Outcome<String> {
        wait_until(what, PATIENCE, || {
            let screen = self.screen()?;
            ensure(shows(&screen), || format!("the screen is\n{screen}"))?;
            Ok(screen)
        })
    }

    /// Waits until all these words are on the screen; gives it.
    pub fn shows(&self, words: &[&str]) -> Outcome<String> {
        self.wait(&format!("{words:?} on the screen"), |screen| words.iter().all(|w| screen.contains(w)))
    }

    /// Keeps a picture of the screen for `docs/screens`.
    pub fn keep(&self, name: &str) -> Outcome {
        let folder = release_folder()?.join("../e2e/screens");
        std::fs::create_dir_all(&folder)?;
        Ok(std::fs::write(folder.join(format!("{name}.txt")), self.screen()?)?)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]).output();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_in_and_the_screen_comes_out() {
        let terminal = Terminal::start(40, 10, &[("GREETING", "hello")]).unwrap();
        terminal.line("echo $GREETING-$(tput cols 2>/dev/null || stty size | cut -d' ' -f2)").unwrap();
        terminal.shows(&["hello-40"]).unwrap();
        terminal.resize(50, 12).unwrap();
        terminal.line("stty size").unwrap();
        terminal.shows(&["12 50"]).unwrap();
    }
}
