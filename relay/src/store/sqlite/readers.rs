//! A few connections that only read. WAL lets them read while the writer writes.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::store::StoreError;

/// The pool.
pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(idle: Vec<Connection>) -> Self {
        let permits = Arc::new(Semaphore::new(idle.len()));
        Self { idle: Mutex::new(idle), permits }
    }

    /// Runs `operation` on a thread that may block, in one read transaction.
    pub(super) async fn run<T, F>(self: Arc<Self>, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        // The permit goes with the work: when the caller gives up, the connection is still in use.
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let connection =
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().ok_or(StoreError::Closed)?;
            let answer = in_transaction(&connection, operation);
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            answer
        })
        .await
        .map_err(|error| StoreError::Engine(Box::new(error)))?
    }

    /// No new reads.
    pub(super) fn close(&self) {
        self.permits.close();
    }
}

fn in_transaction<T>(
    connection: &Connection,
    operation: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let transaction = connection.unchecked_transaction()?;
    let answer = operation(&transaction)?;
    transaction.finish()?;
    Ok(answer)
}
