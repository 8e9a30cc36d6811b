//! Child processes: started, watched, started again when they end, stopped with time to finish. Their output goes to
//! bounded logs; their readiness is asked over HTTP.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sotto_wire::status::{RetentionState, STATUS_PATH};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::folder;
use super::logs::Log;
use super::ports::is_free;
use crate::probe;

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Whoever ran this long starts with the first pause again.
const HEALTHY: Duration = Duration::from_secs(20);
/// Time to finish what is under way before a process is killed.
const GRACE: Duration = Duration::from_secs(20);
const PROBE_UNTIL_READY: Duration = Duration::from_millis(100);
const PROBE: Duration = Duration::from_secs(2);

/// A process as wanted. When anything of it changes, the process is started anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Arguments of our own binary.
    pub arguments: Vec<OsString>,
    /// Where its output goes.
    pub log: PathBuf,
    /// Where its process id is kept, for whoever comes after a crash of ours.
    pub pid_file: PathBuf,
    /// Loopback ports that it listens on.
    pub ports: Vec<u16>,
    /// Port of its health listener.
    pub health_port: u16,
    /// Digest of everything that it reads at start: configuration and secrets.
    pub inputs: [u8; 32],
}

/// How a process does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Starting, or it says itself that it is not ready, and why.
    Starting(String),
    /// Ready.
    Ready,
    /// It ended, why as far as known, and is started again after a pause.
    Failed(String),
}

/// The processes of the runner.
pub struct Processes {
    program: PathBuf,
    http: reqwest::Client,
    changed: Arc<Notify>,
    running: BTreeMap<String, Running>,
}

struct Running {
    spec: Spec,
    stop: CancellationToken,
    state: watch::Receiver<State>,
    task: JoinHandle<()>,
}

impl Processes {
    /// None yet. `changed` is told whenever the state of one changes.
    pub fn new(program: PathBuf, changed: Arc<Notify>) -> Result<Self, reqwest::Error> {
        Ok(Self { program, http: probe::client(None)?, changed, running: BTreeMap::new() })
    }

    /// Brings the processes to what is wanted: others are stopped, changed ones started anew, missing ones started.
    pub async fn apply(&mut self, wanted: BTreeMap<String, Spec>) {
        let (keep, stop): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(|(name, running)| wanted.get(name) == Some(&running.spec));
        self.running = keep;
        stop_all(stop).await;
        for (name, spec) in wanted {
            if !self.running.contains_key(&name) {
                let running = self.start(name.clone(), spec);
                self.running.insert(name, running);
            }
        }
    }

    /// How the process `name` does; `None` where it is not wanted.
    pub fn state(&self, name: &str) -> Option<State> {
        self.running.get(name).map(|running| running.state.borrow().clone())
    }

    /// What a retention process says of its record, where it is ready and says it.
    pub(crate) async fn record(&self, name: &str) -> Option<RetentionState> {
        let running = self.running.get(name).filter(|running| *running.state.borrow() == State::Ready)?;
        let url = format!("http://127.0.0.1:{}{STATUS_PATH}", running.spec.health_port);
        probe::retention(&self.http, &url).await
    }

    /// Stops all of them.
    pub async fn stop(mut self) {
        stop_all(std::mem::take(&mut self.running)).await;
    }

    fn start(&self, name: String, spec: Spec) -> Running {
        let stop = CancellationToken::new();
        let (sender, state) = watch::channel(State::Starting("starting".into()));
        let keeper = Keeper {
            name,
            spec: spec.clone(),
            program: self.program.clone(),
            http: self.http.clone(),
            changed: self.changed.clone(),
            state: sender,
            stop: stop.clone(),
        };
        Running { spec, stop, state, task: tokio::spawn(keeper.run()) }
    }
}

async fn stop_all(running: BTreeMap<String, Running>) {
    for one in running.values() {
        one.stop.cancel();
    }
    for (_, running) in running {
        let _ = running.task.await;
    }
}

/// Keeps one process running until it is asked to stop.
struct Keeper {
    name: String,
    spec: Spec,
    program: PathBuf,
    http: reqwest::Client,
    changed: Arc<Notify>,
    state: watch::Sender<State>,
    stop: CancellationToken,
}

impl Keeper {
    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        while !self.stop.is_cancelled() {
            let started = Instant::now();
            match self.once().await {
                None => break,
                Some(why) => self.tell(State::Failed(why)),
            }
            if started.elapsed() > HEALTHY {
                pause = FIRST_PAUSE;
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        let _ = std::fs::remove_file(&self.spec.pid_file);
    }

    fn tell(&self, state: State) {
        let changed = self.state.send_if_modified(|old| {
            let changed = *old != state;
            *old = state;
            changed
        });
        if changed {
            self.changed.notify_one();
        }
    }

    /// Runs the process once. `None`: it was asked to stop. Otherwise why it ended.
    async fn once(&self) -> Option<String> {
        if let Some(port) = self.spec.ports.iter().find(|port| !is_free(**port)) {
            return Some(format!(
                "another program listens on 127.0.0.1:{port}; end it, or remove the port from ports.json in the state \
                 folder to get another one (invites then change)"
            ));
        }
        let (mut child, log) = match self.spawn() {
            Ok(started) => started,
            Err(error) => return Some(format!("cannot be started: {error}")),
        };
        let pid = child.id();
        if let Some(pid) = pid {
            let _ = folder::write(&self.spec.pid_file, pid.to_string().as_bytes());
        }
        let ended = tokio::select! {
            status = child.wait() => Some(status),
            () = self.stop.cancelled() => None,
            () = self.probe() => None,
        };
        let Some(status) = ended else {
            stop_child(&mut child, pid).await;
            log.finish().await;
            return None;
        };
        let last = log.finish().await;
        let how = status.map_or_else(|e| e.to_string(), |s| s.to_string());
        tracing::warn!(process = %self.name, %how, "ended, and is started again");
        let said = if last.is_empty() { String::new() } else { format!("; its last words: {last}") };
        Some(format!("ended ({how}){said}; its log is {}", self.spec.log.display()))
    }

    fn spawn(&self) -> std::io::Result<(Child, Log)> {
        let mut child = Command::new(&self.program)
            .args(&self.spec.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Its own process group: Ctrl-C in the terminal is for us, and we ask the children to stop, once.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let log = Log::start(&self.spec.log, child.stdout.take(), child.stderr.take());
        Ok((child, log))
    }

    /// Asks for readiness for as long as the process runs; never ends.
    async fn probe(&self) {
        let url = format!("http://127.0.0.1:{}/readyz", self.spec.health_port);
        loop {
            let state = match self.http.get(&url).send().await {
                Ok(answer) if answer.status().is_success() => State::Ready,
                Ok(answer) => {
                    let why = answer.text().await.unwrap_or_default();
                    State::Starting(why.trim().chars().take(300).collect())
                }
                Err(_) => State::Starting("its health listener does not answer yet".into()),
            };
            let ready = state == State::Ready;
            self.tell(state);
            sleep(if ready { PROBE } else { PROBE_UNTIL_READY }).await;
        }
    }
}

/// Asks a child to end and, when it does not in time, ends it.
async fn stop_child(child: &mut Child, pid: Option<u32>) {
    if let Some(pid) = pid.and_then(to_pid) {
        let _ = kill_process(pid, Signal::TERM);
    }
    if timeout(GRACE, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Ends processes that a runner of this state folder has left behind when it was killed. Only such whose command line
/// names the state folder: process ids are used again.
pub async fn end_left_behind(pids: &Path, state: &Path) {
    let mut left = Vec::new();
    for entry in std::fs::read_dir(pids).into_iter().flatten().flatten() {
        let pid = std::fs::read_to_string(entry.path()).ok().and_then(|t| t.trim().parse::<u32>().ok());
        if let Some(pid) = pid.filter(|pid| is_ours(*pid, state)).and_then(to_pid) {
            let _ = kill_process(pid, Signal::TERM);
            left.push(pid);
        }
        let _ = std::fs::remove_file(entry.path());
    }
    let deadline = Instant::now() + GRACE;
    for pid in left {
        while test_kill_process(pid).is_ok() && !is_zombie(pid) {
            if Instant::now() > deadline {
                let _ = kill_process(pid, Signal::KILL);
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Whether the process runs and its command line names the state folder.
fn is_ours(pid: u32, state: &Path) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let state = state.as_os_str().as_encoded_bytes();
    !state.is_empty() && command.windows(state.len()).any(|part| part == state)
}

fn is_zombie(pid: Pid) -> bool {
    std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
        .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

/// Asks the process to stop, and waits until it has. `false`: it did not within the time.
pub async fn terminate(pid: u32, wait: Duration) -> bool {
    let Some(pid) = to_pid(pid) else { return true };
    let _ = kill_process(pid, Signal::TERM);
    let deadline = Instant::now() + wait;
    while test_kill_process(pid).is_ok() && !is_zombie(pid) {
        if Instant::now() > deadline {
            return false;
        }
        sleep(Duration::from_millis(50)).await;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(dir: &Path, script: &str) -> Spec {
        Spec {
            arguments: vec!["-c".into(), script.into()],
            log: dir.join("p.log"),
            pid_file: dir.join("p.pid"),
            ports: Vec::new(),
            health_port: 1,
            inputs: [0; 32],
        }
    }

    async fn until(processes: &Processes, changed: &Notify, good: impl Fn(&State) -> bool) -> State {
        timeout(Duration::from_secs(20), async {
            loop {
                if let Some(state) = processes.state("p").filter(&good) {
                    return state;
                }
                changed.notified().await;
            }
        })
        .await
        .unwrap()
    }

    #[tokio::test]
    async fn failure_is_told_with_the_last_words_and_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let changed = Arc::new(Notify::new());
        let mut processes = Processes::new("/bin/sh".into(), changed.clone()).unwrap();
        let script = format!("echo x >> {}; echo cannot do it >&2; exit 3", dir.path().join("starts").display());
        processes.apply([("p".to_owned(), spec(dir.path(), &script))].into()).await;
        let state = until(&processes, &changed, |s| matches!(s, State::Failed(_))).await;
        let State::Failed(why) = state else { unreachable!() };
        assert!(why.contains("cannot do it") && why.contains("p.log") && why.contains('3'), "{why}");
        timeout(Duration::from_secs(20), async {
            while std::fs::read_to_string(dir.path().join("starts")).unwrap_or_default().len() < 4 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        processes.stop().await;
        assert!(!dir.path().join("p.pid").exists());
    }

    #[tokio::test]
    async fn stopped_with_time_to_finish() {
        let dir = tempfile::tempdir().unwrap();
        let changed = Arc::new(Notify::new());
        let mut processes = Processes::new("/bin/sh".into(), changed).unwrap();
        let (begun, done) = (dir.path().join("begun"), dir.path().join("done"));
        let script = format!(
            "trap 'echo bye > {}; exit 0' TERM; touch {}; while :; do sleep 0.05; done",
            done.display(),
            begun.display()
        );
        processes.apply([("p".to_owned(), spec(dir.path(), &script))].into()).await;
        timeout(Duration::from_secs(20), async {
            while !begun.exists() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        processes.apply(BTreeMap::new()).await;
        assert!(done.exists());
        assert_eq!(processes.state("p"), None);
    }

    #[tokio::test]
    async fn what_was_left_behind_is_ended_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let pids = dir.path().join("pids");
        std::fs::create_dir(&pids).unwrap();
        // It waits without a child of its own, which would outlive it and hold the output of `cargo test` open.
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "read -r line; :"]).arg(dir.path()).stdin(Stdio::piped()).kill_on_drop(true);
        let mut child = shell.spawn().unwrap();
        let _open = child.stdin.take().unwrap();
        std::fs::write(pids.join("p.pid"), child.id().unwrap().to_string()).unwrap();
        std::fs::write(pids.join("self.pid"), std::process::id().to_string()).unwrap();
        // A process that has only just begun shows no command line yet.
        while !is_ours(child.id().unwrap(), dir.path()) {
            tokio::task::yield_now().await;
        }
        end_left_behind(&pids, dir.path()).await;
        timeout(Duration::from_secs(20), child.wait()).await.unwrap().unwrap();
        assert_eq!(std::fs::read_dir(&pids).unwrap().count(), 0);
    }
}
