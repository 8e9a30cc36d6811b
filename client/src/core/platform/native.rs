//! With an operating system: tokio's tasks and timers, the system's clock and files.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) use futures::future::BoxFuture;
pub(crate) use tokio::spawn;
pub(crate) use tokio::task::JoinHandle;
pub(crate) use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::CutOff;

/// Files, from a thread that may wait for a disk.
pub(crate) mod fs {
    use std::io;
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    pub(crate) use std::fs::{
        File, OpenOptions, TryLockError, metadata, read, read_to_string, remove_dir_all, remove_file, rename,
    };
    pub(crate) use std::os::unix::fs::FileExt;

    /// How a file is opened that its owner alone may read when it is made.
    pub(crate) fn private() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.mode(0o600);
        options
    }

    /// Makes a folder that its owner alone may look into, and those above it.
    pub(crate) fn make_private_dir(dir: &Path) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
    }

    /// Whether there is something at this place.
    pub(crate) fn exists(path: &Path) -> bool {
        path.exists()
    }

    /// Whether there is a folder at this place.
    pub(crate) fn is_dir(path: &Path) -> bool {
        path.is_dir()
    }

    /// The files in a folder that nobody has written to for this long.
    pub(crate) fn older_than(dir: &Path, age: Duration) -> io::Result<Vec<PathBuf>> {
        let old = |e: &std::fs::DirEntry| {
            let modified = e.metadata().and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
            modified.is_some_and(|since| since > age)
        };
        Ok(std::fs::read_dir(dir)?.flatten().filter(old).map(|e| e.path()).collect())
    }
}

/// Files, from a task: the same ones.
pub(crate) mod files {
    pub(crate) use tokio::fs::{File, OpenOptions, metadata};
}

/// What a task has to be: any thread may run it.
pub(crate) trait MaybeSend: Send {}
impl<T: Send> MaybeSend for T {}

/// A future whose type is not told.
pub(crate) fn boxed<'a, T>(future: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T> {
    Box::pin(future)
}

/// How long the epoch is ago.
pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Something that is done again and again: at once, and then so long after the last time.
pub(crate) struct Interval(tokio::time::Interval);

/// See [`Interval`].
pub(crate) fn interval(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    Interval(interval)
}

impl Interval {
    /// Until it is time again. Cancel-safe.
    pub(crate) async fn tick(&mut self) {
        self.0.tick().await;
    }
}

/// How many threads can work at the same time.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs work that keeps a processor or a disk busy on a thread for such work.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, CutOff> {
    tokio::task::spawn_blocking(work).await.map_err(|_| CutOff)
}

/// Runs a task to its end: it ends with the one that waits for it. An error when it panics.
pub(crate) async fn life(work: impl Future<Output = ()> + Send + 'static) -> Result<(), CutOff> {
    let mut life = tokio::task::JoinSet::new();
    life.spawn(work);
    match life.join_next().await {
        Some(Err(error)) if error.is_panic() => Err(CutOff),
        _ => Ok(()),
    }
}
