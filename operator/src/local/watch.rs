//! Watches the folder of manifests.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Saving a file is several events: this much quiet means that it is done.
const QUIET: Duration = Duration::from_millis(150);
/// But nobody waits longer than this.
const LONGEST: Duration = Duration::from_secs(2);

/// Tells when something in a folder changes, where the system can tell. The runner looks from time to time as well.
pub struct DirWatch {
    events: Arc<Notify>,
    _watcher: Option<RecommendedWatcher>,
}

impl DirWatch {
    /// Begins to watch.
    pub fn start(dir: &Path) -> Self {
        let events = Arc::new(Notify::new());
        let sender = events.clone();
        let handler = move |event: notify::Result<notify::Event>| {
            // Reading the folder is an event too, and ours.
            if !matches!(event, Ok(notify::Event { kind: EventKind::Access(_), .. })) {
                sender.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(handler).and_then(|mut watcher| {
            watcher.watch(dir, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!(%error, "the folder cannot be watched; changes are seen a few seconds later");
        });
        Self { events, _watcher: watcher.ok() }
    }

    /// Waits for a change, and until the writer seems to be done.
    pub async fn changed(&self) {
        self.events.notified().await;
        let _ = timeout(LONGEST, async { while timeout(QUIET, self.events.notified()).await.is_ok() {} }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_saved_file_is_noticed_and_reading_is_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.yaml"), "a").unwrap();
        let watch = DirWatch::start(dir.path());
        std::fs::read(dir.path().join("a.yaml")).unwrap();
        assert!(timeout(Duration::from_millis(300), watch.changed()).await.is_err());
        std::fs::write(dir.path().join("a.yaml"), "b").unwrap();
        timeout(Duration::from_secs(10), watch.changed()).await.unwrap();
    }
}
