//! Running a program: with a time limit, with its whole process group ended when the limit is over, and with an error that
//! shows the command line, the exit code and what was printed.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use crate::{Failure, Outcome, ensure, fail};

/// How much of an output an error shows.
const SHOWN: usize = 4000;

/// A command to run.
#[derive(Clone, Debug)]
pub struct Run {
    program: OsString,
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    input: Vec<u8>,
    limit: Duration,
    /// Arguments from this number on are not shown: they hold a secret.
    secret_from: Option<usize>,
    tied: bool,
}

/// What a program that was run to its end has printed.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// The program, looked up on PATH when it is no path. The time limit is one minute.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            variables: Vec::new(),
            folder: None,
            input: Vec::new(),
            limit: Duration::from_mins(1),
            secret_from: None,
            tied: false,
        }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// An argument that errors do not show.
    #[must_use]
    pub fn secret_arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.secret_from.get_or_insert(self.arguments.len());
        self.arg(argument)
    }

    /// An environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The working folder.
    #[must_use]
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.folder = Some(folder.as_ref().to_owned());
        self
    }

    /// What the program reads from standard input.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Another time limit.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// In the background it ends also when the test process is killed, and has no chance to end anything: for servers.
    #[must_use]
    pub fn tied(mut self) -> Self {
        self.tied = true;
        self
    }

    /// Runs it to its end; an error only when it cannot be started or takes too long.
    pub fn finish(&self) -> Outcome<Finished> {
        let mut child = self.start()?;
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = child.child.try_wait()? {
                break status;
            }
            if begin.elapsed() > self.limit {
                child.kill();
                let told = child.printed()?;
                return fail(format!("`{self}` did not end within {} s\n{}", self.limit.as_secs(), told.shown()));
            }
            sleep(Duration::from_millis(5));
        };
        let printed = child.printed()?;
        Ok(Finished { status, ..printed })
    }

    /// Runs it and gives its standard output; an error when it fails.
    pub fn output(&self) -> Outcome<String> {
        let finished = self.finish()?;
        ensure(finished.status.success(), || format!("`{self}` failed: {}\n{}", finished.status, finished.shown()))?;
        Ok(finished.stdout)
    }

    /// Runs it and gives its standard error; an error when it succeeds, or does not end by itself.
    pub fn refused(&self) -> Outcome<String> {
        let finished = self.finish()?;
        ensure(!finished.status.success(), || {
            format!("`{self}` was expected to be refused, but succeeded\n{}", finished.shown())
        })?;
        Ok(finished.stderr)
    }

    /// Runs it and reads its standard output as JSON.
    pub fn json(&self) -> Outcome<serde_json::Value> {
        let text = self.output()?;
        serde_json::from_str(&text).map_err(|error| Failure(format!("`{self}`: no JSON: {error}\n{text}")))
    }

    /// Starts it in the background; it ends at the latest when the returned value is dropped.
    pub fn start(&self) -> Outcome<Background> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.variables.iter().map(|(n, v)| (n, v)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        // Files and not pipes: nothing has to be read while it runs, and nobody else holds an end open.
        let (stdout, stderr) = (scratch_file()?, scratch_file()?);
        // A process group of its own, so that its children end with it.
        command.stdout(stdout.try_clone()?).stderr(stderr.try_clone()?).process_group(0);
        if self.input.is_empty() {
            command.stdin(Stdio::null());
        } else {
            let mut input = scratch_file()?;
            input.write_all(&self.input)?;
            input.seek(SeekFrom::Start(0))?;
            command.stdin(input);
        }
        let child = command.spawn().map_err(|error| Failure(format!("`{self}` could not be started: {error}")))?;
        let mut background = Background { child, watchdog: None, stdout, stderr, name: self.to_string() };
        if self.tied {
            background.watchdog = Some(watchdog(background.id())?);
        }
        Ok(background)
    }
}

/// The command line, without its secrets.
impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", Path::new(&self.program).file_name().unwrap_or(&self.program).display())?;
        for (index, argument) in self.arguments.iter().enumerate() {
            if self.secret_from.is_some_and(|from| index >= from) {
                return write!(f, " …");
            }
            write!(f, " {}", argument.display())?;
        }
        Ok(())
    }
}

impl Finished {
    /// Both outputs for an error, the end of each.
    pub fn shown(&self) -> String {
        let mut text = String::new();
        for (name, content) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            let content = content.trim_end();
            if !content.is_empty() {
                let from = content.len().saturating_sub(SHOWN);
                let from = (from..content.len()).find(|i| content.is_char_boundary(*i)).unwrap_or(0);
                let _ = write!(text, "--- {name}\n{}\n", &content[from..]);
            }
        }
        text
    }
}

/// A process that ends the process group `group` once this process is no more: its end of the pipe is then closed.
fn watchdog(group: u32) -> Outcome<Child> {
    Ok(Command::new("sh")
        .args(["-c", "cat; kill -s KILL -- -$1", "watchdog"])
        .arg(group.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?)
}

/// A program that runs in the background.
#[derive(Debug)]
pub struct Background {
    child: Child,
    watchdog: Option<Child>,
    stdout: File,
    stderr: File,
    name: String,
}

impl Background {
    /// What it has printed until now.
    pub fn printed(&mut self) -> Outcome<Finished> {
        let status = self.child.try_wait()?.unwrap_or_default();
        Ok(Finished { status, stdout: content(&self.stdout)?, stderr: content(&self.stderr)? })
    }

    /// Its standard output until now.
    pub fn stdout(&mut self) -> Outcome<String> {
        content(&self.stdout)
    }

    /// How it ended, when it has.
    pub fn ended(&mut self) -> Outcome<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// An error when it has ended.
    pub fn still_runs(&mut self) -> Outcome {
        match self.ended()? {
            None => Ok(()),
            Some(status) => {
                let shown = self.printed()?.shown();
                fail(format!("`{}` has ended early: {status}\n{shown}", self.name))
            }
        }
    }

    /// Both outputs until now, for an error.
    pub fn log(&mut self) -> Outcome<String> {
        let printed = self.printed()?;
        Ok(format!("{}{}", printed.stdout, printed.stderr))
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end, at most this long.
    pub fn wait(&mut self, limit: Duration) -> Outcome<ExitStatus> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            ensure(begin.elapsed() <= limit, || format!("`{}` did not end within {} s", self.name, limit.as_secs()))?;
            sleep(Duration::from_millis(5));
        }
    }

    /// Asks it to end (SIGTERM to its process group), and ends it by force after five seconds. Waits for the whole group: what leads
    /// into a cluster's namespaces ends sooner than what it has started there.
    pub fn stop(&mut self) -> Outcome {
        self.signal(Signal::TERM);
        let begin = Instant::now();
        while self.ended()?.is_none() || self.has_group() {
            if begin.elapsed() > Duration::from_secs(5) {
                self.kill();
                break;
            }
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Whether a process of its group is still there.
    fn has_group(&self) -> bool {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        pid.is_some_and(|pid| test_kill_process_group(pid).is_ok())
    }

    /// Sends a signal to its process group.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // An error means that the group has ended by itself.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Ends it and its children by force.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
        }
        // By its number and not by closing its pipe: the number of the group may belong to somebody else by now.
        if let Some(mut watchdog) = self.watchdog.take() {
            let _ = watchdog.kill();
            let _ = watchdog.wait();
        }
    }
}

/// A file that has no name and is gone with its last handle.
fn scratch_file() -> Outcome<File> {
    Ok(tempfile::tempfile()?)
}

/// The whole file. Its position is shared with the program that writes it, so it is read by offset.
fn content(file: &File) -> Outcome<String> {
    let length = usize::try_from(file.metadata()?.len()).map_err(|_| Failure("too much output".into()))?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_was_printed() {
        assert_eq!(Run::new("cat").input("hello").output().unwrap(), "hello");
    }

    #[test]
    fn an_error_shows_command_and_output_but_no_secret() {
        let error = Run::new("sh").args(["-c", "echo why >&2; exit 3"]).secret_arg("hush").output().unwrap_err().0;
        assert!(
            error.contains("sh -c echo why") && error.contains("exit status: 3") && error.contains("--- stderr\nwhy"),
            "{error}"
        );
        assert!(!error.contains("hush"), "{error}");
    }

    #[test]
    fn a_program_that_takes_too_long_ends_with_its_children() {
        let begin = Instant::now();
        let run = Run::new("sh").args(["-c", "echo begun; sleep 60 & wait"]).limit(Duration::from_millis(200));
        let error = run.output().unwrap_err().0;
        assert!(error.contains("did not end within") && error.contains("begun"), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_tied_program_ends_with_the_end_of_the_pipe() {
        let mut background = Run::new("sleep").arg("60").tied().start().unwrap();
        // As it is when this process is killed.
        drop(background.watchdog.as_mut().and_then(|dog| dog.stdin.take()));
        let status = background.wait(Duration::from_secs(10)).unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    }

    #[test]
    fn refusal_is_expected() {
        assert_eq!(Run::new("sh").args(["-c", "echo no >&2; exit 1"]).refused().unwrap().trim(), "no");
        assert!(Run::new("true").refused().unwrap_err().0.contains("expected to be refused"));
    }

    #[test]
    fn output_of_a_background_program_is_read_while_it_runs() {
        let mut background = Run::new("sh").args(["-c", "echo one; sleep 60"]).start().unwrap();
        crate::wait_until("the line", Duration::from_secs(5), || {
            let text = background.stdout()?;
            ensure(text == "one\n", || text.clone())
        })
        .unwrap();
        background.still_runs().unwrap();
        background.stop().unwrap();
        assert!(background.still_runs().unwrap_err().0.contains("has ended early"));
    }
}
