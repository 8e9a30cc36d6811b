//! The embedded engine: one SQLite file in WAL mode, one writer thread with group commit, a few readers.

mod accounts;
mod blobs;
mod devices;
mod links;
mod mailboxes;
mod outbox;
mod policies;
mod readers;
mod schema;
mod writer;

use std::path::Path;
use std::sync::Arc;

use futures::FutureExt as _;
use rusqlite::Connection;
use sotto_crypto::DeviceId;

use super::{Answer, Store, StoreError, Wake};
use readers::Readers;
use writer::{Work, Writer};

/// Connections for reading.
const READERS: usize = 4;

/// The engine.
pub(crate) struct Sqlite {
    writer: Writer,
    readers: Arc<Readers>,
}

impl Sqlite {
    /// Opens or makes the file. Blocks; call it from a thread that may.
    pub(crate) fn open(path: &Path, wake: Arc<dyn Wake>) -> Result<Self, StoreError> {
        let mut connection = Connection::open(path)?;
        schema::configure(&connection)?;
        schema::prepare(&mut connection)?;
        let mut idle = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            let reader = Connection::open(path)?;
            schema::configure(&reader)?;
            reader.pragma_update(None, "query_only", true)?;
            idle.push(reader);
        }
        Ok(Self { writer: Writer::start(connection, wake)?, readers: Arc::new(Readers::new(idle)) })
    }

    /// Runs one operation in the writer; answers once it is on disk.
    fn write<T, F>(&self, operation: F) -> Answer<'_, T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Work<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.run(operation).boxed()
    }

    /// Runs one operation on a reading connection.
    fn read<T, F>(&self, operation: F) -> Answer<'_, T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        Arc::clone(&self.readers).run(operation).boxed()
    }
}

impl Store for Sqlite {
    fn close(&self) -> Answer<'_, ()> {
        async {
            self.readers.close();
            self.writer.close().await
        }
        .boxed()
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(Box::new(error))
    }
}

/// Whether a statement failed because what it refers to is gone.
fn is_foreign_key(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::SqliteFailure(inner, _)
        if inner.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY)
}

/// A 16-byte identifier from a column.
fn id16(bytes: &[u8]) -> Result<[u8; 16], StoreError> {
    bytes.try_into().map_err(|_| StoreError::Corrupt("an identifier"))
}

fn device_id(bytes: &[u8]) -> Result<DeviceId, StoreError> {
    id16(bytes).map(DeviceId::from_bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::store::conformance;

    #[derive(Default)]
    pub(crate) struct Recorder {
        pub(crate) devices: Mutex<Vec<DeviceId>>,
    }

    impl Wake for Recorder {
        fn devices(&self, devices: &[DeviceId]) {
            self.devices.lock().unwrap().extend_from_slice(devices);
        }
        fn outbox(&self) {}
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite_conforms() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.sqlite");
        conformance::run(|wake| Arc::new(Sqlite::open(&path, wake).unwrap())).await;
    }

    #[tokio::test]
    async fn a_closed_store_says_so_and_a_failed_operation_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("s"), Arc::new(Recorder::default())).unwrap();
        let failed = store
            .write(|work| -> Result<(), StoreError> {
                work.connection().execute("INSERT INTO groups VALUES ('g', x'00', 1)", [])?;
                Err(StoreError::Corrupt("on purpose"))
            })
            .await;
        assert!(failed.is_err());
        let count: i64 =
            store.read(|c| Ok(c.query_row("SELECT count(*) FROM groups", [], |r| r.get(0))?)).await.unwrap();
        assert_eq!(count, 0);
        store.close().await.unwrap();
        assert!(matches!(store.write(|_| Ok(())).await, Err(StoreError::Closed)));
        assert!(matches!(store.read(|_| Ok(())).await, Err(StoreError::Closed)));
    }

    #[tokio::test]
    async fn what_was_answered_is_on_disk_when_the_process_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Sqlite::open(&folder.path().join("s"), Arc::new(Recorder::default())).unwrap();
        let left = conformance::leave_something(&store).await;
        // The files as a killed process leaves them: nothing was closed, the log was not folded in.
        let killed = tempfile::tempdir().unwrap();
        for name in ["s", "s-wal"] {
            std::fs::copy(folder.path().join(name), killed.path().join(name)).unwrap();
        }
        let again = Sqlite::open(&killed.path().join("s"), Arc::new(Recorder::default())).unwrap();
        conformance::find_it_again(&again, left).await;
    }
}
