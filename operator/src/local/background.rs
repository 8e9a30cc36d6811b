//! A runner in the background: started, waited for, ended.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::LocalError;
use super::folder::Folder;
use super::processes::{end_left_behind, terminate};
use super::report::{Lines, Progress, reasons};
use super::snapshot::{INFO, RunnerInfo, Snapshot};

/// Something that cannot become ready is given up after this time.
const LONGEST: Duration = Duration::from_mins(3);
/// When nothing is on its way any more and it stays so for this long, waiting longer is of no use.
const SETTLED: Duration = Duration::from_secs(3);
/// A log that is longer is put aside.
const MAX_LOG: u64 = 1024 * 1024;
const LOOK: Duration = Duration::from_millis(50);
/// Children have their own time to finish; this is for all of them and the runner.
const ENDING: Duration = Duration::from_mins(1);

/// Starts a runner in a session of its own and waits until all is ready. `tell` gets the lines as things become ready.
/// The runner goes on also where something does not become ready: it applies what a person puts right.
pub(super) async fn start(
    folder: &Folder,
    dir: &Path,
    tell: &mut (dyn FnMut(Lines) + Send),
) -> Result<Snapshot, LocalError> {
    drop(folder.lock()?);
    folder.remove(INFO)?;
    let log = folder.log("runner");
    super::folder::make_dir(&folder.path("logs"))?;
    if std::fs::metadata(&log).is_ok_and(|old| old.len() > MAX_LOG) {
        let _ = std::fs::rename(&log, folder.log("runner.1"));
    }
    let output = OpenOptions::new().create(true).append(true).mode(0o600).open(&log);
    let output = output.map_err(|e| LocalError::Start(format!("{}: {e}", log.display())))?;
    let error = output.try_clone().map_err(|e| LocalError::Start(e.to_string()))?;
    let program = std::env::current_exe().map_err(|e| LocalError::Start(e.to_string()))?;
    let mut runner = Command::new(program)
        .arg("up")
        .arg(dir)
        .arg("--state")
        .arg(folder.root())
        .arg("--in-background")
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(error)
        .spawn()
        .map_err(|e| LocalError::Start(e.to_string()))?;
    wait_until_ready(folder, &mut runner, tell).await
}

async fn wait_until_ready(
    folder: &Folder,
    runner: &mut Child,
    tell: &mut (dyn FnMut(Lines) + Send),
) -> Result<Snapshot, LocalError> {
    let deadline = Instant::now() + LONGEST;
    let mut progress = Progress::default();
    let mut settled_since: Option<Instant> = None;
    loop {
        if let Ok(Some(status)) = runner.try_wait() {
            let log = folder.log("runner");
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let words = text.trim().lines().last().unwrap_or_default().to_owned();
            return Err(LocalError::Start(format!(
                "the runner ended ({status}): {words}; its log is {}",
                log.display()
            )));
        }
        let snapshot = match folder.read_json::<RunnerInfo>(INFO)? {
            Some(info) if Some(info.pid) == runner.id() && info.reported => Snapshot::read(folder)?,
            _ => Snapshot::default(),
        };
        tell(progress.update(&snapshot));
        if snapshot.info.ready {
            return Ok(snapshot);
        }
        settled_since = snapshot.info.settled.then(|| settled_since.unwrap_or_else(Instant::now));
        let stuck = settled_since.is_some_and(|since| since.elapsed() > SETTLED);
        if stuck || Instant::now() > deadline {
            return Err(LocalError::NotReady(reasons(&snapshot)));
        }
        sleep(LOOK).await;
    }
}

/// Makes this process, started by [`start`], the leader of a session of its own, so that it stays when the terminal goes.
pub(super) fn detach() {
    // It fails where the process leads a group already, and then it is detached enough.
    let _ = rustix::process::setsid();
}

/// Whether the process is a `sotto up`: ids of processes are used again.
fn is_runner(pid: u32) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    command.split(|b| *b == 0).any(|argument| argument == b"up")
}

/// Ends the runner of a folder and waits until it has ended. `false`: none ran.
pub(super) async fn stop(folder: &Folder) -> Result<bool, LocalError> {
    let running = folder.is_locked();
    if running {
        let pid = folder.read_json::<RunnerInfo>(INFO)?.map_or(0, |info| info.pid);
        if pid == 0 || !is_runner(pid) {
            return Err(LocalError::Stop("the runner has only just begun; try again".into()));
        }
        if !terminate(pid, ENDING).await {
            return Err(LocalError::Stop(format!(
                "process {pid} does not end; its log is {}",
                folder.log("runner").display()
            )));
        }
        let deadline = Instant::now() + ENDING;
        while folder.is_locked() {
            if Instant::now() > deadline {
                return Err(LocalError::Stop("the state folder is still in use".into()));
            }
            sleep(LOOK).await;
        }
    }
    end_left_behind(&folder.path("pids"), folder.root()).await;
    Ok(running)
}
