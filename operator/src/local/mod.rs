//! The local runner: `sotto up DIR` does without a cluster what the operator does in one.
//!
//! It reads the same manifests, admits them by the same schema and rules ([`objects`]), validates and builds with the same
//! code ([`crate::plan`]), and differs in *apply*: relay, gateway and retention run as child processes ([`processes`])
//! with their files in one state folder ([`folder`]). [`runner`] goes round: read, admit, validate, build, apply,
//! synchronise, status.

mod background;
pub mod folder;
mod leftovers;
mod logs;
pub mod manifests;
mod network;
pub mod objects;
mod places;
pub mod ports;
pub mod processes;
pub mod report;
mod runner;
pub mod snapshot;
mod status;
pub mod watch;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use folder::{Folder, FolderError};
use report::{Invocation, Lines, Progress, next_steps};
use snapshot::{OpenInvite, Snapshot, open_invites};

/// Why the local runner, or a question to it, failed.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The state folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The folder of manifests.
    #[error("{path}: {why}; name a folder with manifests, such as examples/manifests")]
    Manifests {
        /// As it was given.
        path: String,
        /// Why.
        why: String,
    },
    /// The runner did not start.
    #[error("the runner could not be started: {0}")]
    Start(String),
    /// The runner did not end.
    #[error("the runner could not be ended: {0}")]
    Stop(String),
    /// Something did not become ready.
    #[error("not everything is ready:\n  {}", .0.join("\n  "))]
    NotReady(Vec<String>),
    /// There is no such state folder.
    #[error("there is no state of `sotto up` in {0}; start one with `sotto up DIR --state {0}`")]
    NoState(String),
    /// No such invite.
    #[error("{0}")]
    Invite(String),
    /// A connection inside this machine cannot be made.
    #[error("the client of health listeners cannot be made: {0}")]
    Http(#[from] reqwest::Error),
    /// How long directory heads live.
    #[error(transparent)]
    Life(#[from] crate::head::BadLife),
    /// There are no ports.
    #[error(transparent)]
    Port(#[from] ports::NoPort),
}

/// How `sotto up` runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In this process, until it is asked to stop.
    Foreground,
    /// In the background; returns when all is ready.
    UntilReady,
    /// This process is the one in the background.
    Background,
}

/// `sotto up`.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// The folder of manifests.
    pub dir: PathBuf,
    /// The state folder.
    pub state: PathBuf,
    /// How to run.
    pub mode: Mode,
}

/// Runs the networks of a folder of manifests. `tell` gets the lines for people; `shutdown` ends it.
pub async fn up(
    options: &UpOptions,
    shutdown: CancellationToken,
    tell: &mut (dyn FnMut(Lines) + Send),
) -> Result<(), LocalError> {
    let bad_dir = |why: String| LocalError::Manifests { path: options.dir.display().to_string(), why };
    let dir = options.dir.canonicalize().map_err(|e| bad_dir(e.to_string()))?;
    if !dir.is_dir() {
        return Err(bad_dir("is not a folder".into()));
    }
    let call = Invocation::current(&options.state);
    let folder = Folder::create(&options.state)?;
    match options.mode {
        Mode::UntilReady => {
            let snapshot = background::start(&folder, &dir, tell).await?;
            let invites = open_invites(&folder, &snapshot.items)?;
            let mut lines = vec![String::new()];
            lines.extend(next_steps(&snapshot, &invites, &call));
            lines.push(format!("  {} down{}   # ends what runs in the background", call.program, call.state));
            tell(Lines { results: lines, notes: Vec::new() });
            Ok(())
        }
        Mode::Foreground => {
            let mut progress = Progress::default();
            let mut greeted = false;
            let mut shown: BTreeSet<String> = BTreeSet::new();
            let place = folder.clone();
            let mut on_pass = |snapshot: &Snapshot| {
                let mut lines = progress.update(snapshot);
                let invites = open_invites(&place, &snapshot.items).unwrap_or_default();
                // Invites are shown once all is well, or once waiting is of no use; later those of new users.
                if greeted {
                    let new = invites.iter().filter(|i| !shown.contains(&i.url));
                    lines.results.extend(new.map(|i| format!("Invite of {}:\n    {}", i.address, i.url)));
                } else if snapshot.info.ready || snapshot.info.settled {
                    greeted = true;
                    lines.results.push(String::new());
                    lines.results.extend(next_steps(snapshot, &invites, &call));
                    let dir = dir.display();
                    lines.results.push(format!("Changes in {dir} are applied as they are saved. Ctrl-C ends it.\n"));
                }
                if greeted {
                    shown = invites.into_iter().map(|i| i.url).collect();
                }
                tell(lines);
            };
            runner::run(&folder, &dir, shutdown, &mut on_pass).await
        }
        Mode::Background => {
            background::detach();
            let mut progress = Progress::default();
            // The log gets no invites.
            runner::run(&folder, &dir, shutdown, &mut |snapshot| tell(progress.update(snapshot))).await
        }
    }
}

/// Ends the runner of a state folder. `false`: none ran.
pub async fn down(state: &Path) -> Result<bool, LocalError> {
    match Folder::open(state) {
        Some(folder) => background::stop(&folder).await,
        None => Ok(false),
    }
}

/// The objects with their status, as the runner of `state` told last. `None`: there is no such state.
pub fn status(state: &Path) -> Result<Option<(Snapshot, bool)>, LocalError> {
    let Some(folder) = Folder::open(state) else { return Ok(None) };
    let mut snapshot = Snapshot::read(&folder)?;
    let running = folder.is_locked();
    if !running {
        status::not_running(&mut snapshot.items);
    }
    Ok(Some((snapshot, running)))
}

/// The invite of a user who has not registered: by name of the object or by address.
pub fn invite(state: &Path, user: &str, network: Option<&str>) -> Result<String, LocalError> {
    let folder = Folder::open(state).ok_or_else(|| LocalError::NoState(state.display().to_string()))?;
    let snapshot = Snapshot::read(&folder)?;
    let open = open_invites(&folder, &snapshot.items)?;
    choose_invite(&open, &snapshot.items, user, network).map_err(LocalError::Invite)
}

/// Finds the one invite that is meant, or says why there is none.
fn choose_invite(
    open: &[OpenInvite],
    items: &[serde_json::Value],
    user: &str,
    network: Option<&str>,
) -> Result<String, String> {
    let meant = |i: &&OpenInvite| (i.user == user || i.address == user) && network.is_none_or(|n| n == i.network);
    let found: Vec<&OpenInvite> = open.iter().filter(meant).collect();
    match found.as_slice() {
        [one] => return Ok(one.url.clone()),
        [] => {}
        [first, ..] => {
            return Err(format!(
                "{user} is in more than one network; add --network, such as --network {}",
                first.network
            ));
        }
    }
    let known = items.iter().filter(|i| i["kind"] == "User").find(|i| {
        (i["metadata"]["name"] == user || i["status"]["address"] == user)
            && network.is_none_or(|n| i["spec"]["networkRef"]["name"] == n)
    });
    Err(match known.map(|user| user["status"]["state"].as_str().unwrap_or_default()) {
        Some("Active") => format!(
            "{user} has used the invite; a further device of theirs logs in with the password, and for a lost password spec.reset.invite makes a new invite"
        ),
        Some("Suspended") => format!("{user} is suspended, and has no invite; set suspended to false first"),
        Some(_) => format!("{user} has no invite yet; see `sotto status`"),
        None => {
            let names: Vec<&str> = open.iter().map(|i| i.user.as_str()).collect();
            let others = if names.is_empty() { "nobody".into() } else { names.join(", ") };
            format!("there is no User {user}; invites are open for {others}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn open(user: &str, network: &str) -> OpenInvite {
        OpenInvite {
            user: user.into(),
            network: network.into(),
            address: format!("{user}@{network}.example"),
            url: format!("sotto://{user}.{network}"),
        }
    }

    #[test]
    fn the_invite_that_is_meant_or_why_there_is_none() {
        let invites = [open("alice", "a"), open("bob", "a"), open("bob", "b")];
        let active = json!({ "kind": "User", "metadata": { "name": "carol" }, "status": { "state": "Active" } });
        let choose =
            |user: &str, network: Option<&str>| choose_invite(&invites, std::slice::from_ref(&active), user, network);
        assert_eq!(choose("alice", None), Ok("sotto://alice.a".into()));
        assert_eq!(choose("bob", Some("b")), Ok("sotto://bob.b".into()));
        assert_eq!(choose("bob@a.example", None), Ok("sotto://bob.a".into()));
        assert!(choose("bob", None).unwrap_err().contains("--network"));
        assert!(choose("carol", None).unwrap_err().contains("has used the invite"));
        assert!(choose("mallory", None).unwrap_err().contains("alice, bob"));
    }
}
