//! How far something is, for a person who waits: one line on standard error, only on a terminal, only after a second.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::chat::text::{bytes, cut};
use crate::ui::printable;

/// What is done sooner needs no line.
const QUIET: Duration = Duration::from_secs(1);
/// The line is written this often at most.
const OFTEN: Duration = Duration::from_millis(100);
/// The name is cut to this width, so that the line fits a narrow terminal.
const NAME: usize = 30;

/// A line that is written over until it is dropped.
pub(crate) struct Progress {
    what: String,
    state: Option<Mutex<State>>,
}

struct State {
    begin: Instant,
    last: Option<Instant>,
    out: Box<dyn io::Write + Send>,
}

impl Progress {
    /// For this piece of work; silent where standard error is no terminal.
    pub(crate) fn of(what: &str) -> Self {
        let shown = io::stderr().is_terminal();
        Self::on(what, shown.then(|| Box::new(io::stderr()) as Box<dyn io::Write + Send>), Instant::now())
    }

    fn on(what: &str, out: Option<Box<dyn io::Write + Send>>, begin: Instant) -> Self {
        let state = out.map(|out| Mutex::new(State { begin, last: None, out }));
        Self { what: cut(&printable(what), NAME), state }
    }

    /// So many bytes of so many.
    pub(crate) fn at(&self, done: u64, total: u64) {
        let Some(state) = &self.state else { return };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let soon = state.last.is_some_and(|last| now < last + OFTEN && done < total);
        if now < state.begin + QUIET || soon {
            return;
        }
        state.last = Some(now);
        let percent = if total == 0 { 100 } else { u128::from(done.min(total)) * 100 / u128::from(total) };
        let line = format!("\r{}  {percent:3} %  {} of {}\x1b[K", self.what, bytes(done), bytes(total));
        let _ = state.out.write_all(line.as_bytes()).and_then(|()| state.out.flush());
    }
}

impl Drop for Progress {
    /// What comes next stands in a line of its own, in place of this one.
    fn drop(&mut self) {
        let Some(state) = &self.state else { return };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some() {
            let _ = state.out.write_all(b"\r\x1b[K").and_then(|()| state.out.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_after_a_second_and_none_left() {
        let written = Written::default();
        let text = || String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let quick = Progress::on("report.pdf", Some(Box::new(written.clone())), Instant::now());
        quick.at(1, 10);
        drop(quick);
        assert_eq!(text(), "");
        let long_ago = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
        let slow = Progress::on("report.pdf", Some(Box::new(written.clone())), long_ago);
        slow.at(500, 1000);
        // Too soon after the last one, and the end all the same.
        slow.at(501, 1000);
        slow.at(1000, 1000);
        drop(slow);
        assert_eq!(
            text(),
            "\rreport.pdf   50 %  500 bytes of 1.0 kB\x1b[K\rreport.pdf  100 %  1.0 kB of 1.0 kB\x1b[K\r\x1b[K"
        );
    }

    #[test]
    fn nothing_without_a_terminal() {
        // Tests have no terminal, or one: only that it can be called.
        let silent = Progress::on("x", None, Instant::now());
        silent.at(1, 2);
    }
}
