//! One local site of a test: manifests, state and profiles in a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use sotto_e2e::{Background, Failure, Finished, Outcome, Run, ensure, fail, repository, sotto_program, wait_until};
use tempfile::TempDir;

/// Good enough for the password rules of the examples.
const PASSWORD: &str = "Correct-Horse-7-Battery-Staple";
/// How long starting everything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// A site; what runs of it ends with it.
pub(crate) struct Site {
    folder: TempDir,
    /// How long directory heads live, in seconds, where it is not a day.
    head_life: Option<u64>,
}

impl Site {
    /// With a copy of the examples.
    pub(crate) fn new() -> Outcome<Self> {
        let site = Self { folder: TempDir::new()?, head_life: None };
        fs::create_dir(site.manifests())?;
        for entry in fs::read_dir(repository().join("examples/manifests"))? {
            let entry = entry?;
            fs::copy(entry.path(), site.manifests().join(entry.file_name()))?;
        }
        fs::write(site.password_file(), PASSWORD)?;
        Ok(site)
    }

    /// With these manifests only.
    pub(crate) fn with(manifests: &str) -> Outcome<Self> {
        let site = Self { folder: TempDir::new()?, head_life: None };
        fs::create_dir(site.manifests())?;
        site.save("site.yaml", manifests)?;
        fs::write(site.password_file(), PASSWORD)?;
        Ok(site)
    }

    /// The same, whose directory heads live for so many seconds only.
    pub(crate) fn with_heads_of(mut self, seconds: u64) -> Self {
        self.head_life = Some(seconds);
        self
    }

    pub(crate) fn manifests(&self) -> PathBuf {
        self.folder.path().join("manifests")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of a profile.
    pub(crate) fn profile(&self, user: &str) -> PathBuf {
        self.folder.path().join("home/profiles").join(user)
    }

    fn password_file(&self) -> PathBuf {
        self.folder.path().join("password")
    }

    /// Saves a manifest.
    pub(crate) fn save(&self, file: &str, text: &str) -> Outcome {
        Ok(fs::write(self.manifests().join(file), text)?)
    }

    /// Changes a manifest; the text to replace must be there.
    pub(crate) fn edit(&self, file: &str, from: &str, to: &str) -> Outcome {
        let text = fs::read_to_string(self.manifests().join(file))?;
        ensure(text.contains(from), || format!("{file} has no `{from}`"))?;
        self.save(file, &text.replacen(from, to, 1))
    }

    /// `sotto VERB`, in the site's folder and with its profiles.
    pub(crate) fn sotto(&self, verb: &str) -> Outcome<Run> {
        let run = Run::new(sotto_program()?).arg(verb).folder(self.folder.path());
        Ok(run.env("SOTTO_HOME", self.folder.path().join("home")).limit(PATIENCE))
    }

    /// `sotto up manifests --state state --until-ready`.
    pub(crate) fn up(&self) -> Outcome<Run> {
        let run = self.sotto("up")?.arg("manifests").args(["--state", "state", "--until-ready"]);
        Ok(self.head_life.iter().fold(run, |run, life| run.env("SOTTO_HEAD_LIFE_SECONDS", life.to_string())))
    }

    /// `sotto down --state state`.
    pub(crate) fn down(&self) -> Outcome<Finished> {
        self.sotto("down")?.args(["--state", "state"]).finish()
    }

    /// The invite of a user.
    pub(crate) fn invite(&self, user: &str) -> Outcome<String> {
        Ok(self.sotto("invite")?.args([user, "--state", "state"]).output()?.trim().to_owned())
    }

    /// The user joins, with a profile of the same name.
    pub(crate) fn join(&self, user: &str) -> Outcome {
        self.join_by(user, self.invite(user)?)
    }

    /// The user joins by an invite that may have been changed on its way.
    pub(crate) fn join_by(&self, user: &str, invite: String) -> Outcome {
        let run = self.sotto("join")?.args(["--profile", user, "--password-file", "password"]);
        run.secret_arg(invite).output().map(drop)
    }

    /// `sotto send`; done once the relay has accepted the message.
    pub(crate) fn send(&self, from: &str, to: &str, text: &str) -> Outcome<Run> {
        Ok(self.sotto("send")?.args(["--profile", from, to, text]))
    }

    /// Receives until a message with this text is there; gives the message.
    pub(crate) fn receive(&self, user: &str, text: &str) -> Outcome<Value> {
        let run = self.sotto("receive")?.args(["--profile", user, "--timeout", "10s", "-o", "json"]);
        let mut seen = Vec::new();
        wait_until(&format!("`{text}` at {user}"), PATIENCE, || {
            let printed = run.output()?;
            seen.extend(printed.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?);
            match seen.iter().find(|message| message.to_string().contains(text)) {
                Some(message) => Ok(message.clone()),
                None => fail(format!("{} other messages came", seen.len())),
            }
        })
    }

    /// Receives what waits.
    pub(crate) fn receive_all(&self, user: &str) -> Outcome {
        self.sotto("receive")?.args(["--profile", user]).output().map(drop)
    }

    /// Follows what comes in.
    pub(crate) fn follow(&self, user: &str) -> Outcome<Background> {
        self.sotto("receive")?.args(["--profile", user, "--follow", "-o", "json"]).start()
    }

    /// The objects with their status.
    pub(crate) fn objects(&self) -> Outcome<Vec<Value>> {
        let list = self.sotto("status")?.args(["--state", "state", "-o", "json"]).json()?;
        ensure(list["kind"] == "List" && list["apiVersion"] == "v1", || format!("no List: {list}"))?;
        list["items"].as_array().cloned().ok_or_else(|| Failure(format!("no items: {list}")))
    }

    /// One object with its status.
    pub(crate) fn object(&self, kind: &str, name: &str) -> Outcome<Value> {
        let found = self.objects()?.into_iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == name);
        found.ok_or_else(|| Failure(format!("there is no {kind} {name}")))
    }

    /// The process id of a child of the runner.
    pub(crate) fn pid(&self, process: &str) -> Outcome<i32> {
        let text = fs::read_to_string(self.state().join("pids").join(format!("{process}.pid")))?;
        text.trim().parse().map_err(|_| Failure(format!("{process}.pid: {text}")))
    }

    /// The command lines of running processes that name the site's folder.
    pub(crate) fn processes(&self) -> Outcome<Vec<String>> {
        let folder = self.folder.path().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let bytes = fs::read(entry?.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&bytes).replace('\0', " ");
            if line.contains(&folder) {
                found.push(line);
            }
        }
        Ok(found)
    }

    /// All retained records.
    pub(crate) fn records(&self) -> Outcome<Vec<Value>> {
        let mut found = Vec::new();
        json_files(&self.state().join("volumes"), &mut found)?;
        Ok(found)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.down();
    }
}

/// Every JSON file below a folder, parsed.
fn json_files(folder: &Path, found: &mut Vec<Value>) -> Outcome {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            json_files(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "json") {
            found.push(serde_json::from_slice(&fs::read(&path)?)?);
        }
    }
    Ok(())
}

/// The condition of an object.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}
