//! Work beside the caller's: what keeps a processor busy, and tasks that must not end.

use std::time::Duration;

use super::error::Error;
use super::platform::{self, JoinHandle, MaybeSend, life, spawn};
use super::retry::Backoff;

/// Between two lives of a task that has panicked.
const AGAIN: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));

/// Keeps a task going: one that panics is told of, counted, and started again after a while. Ends when it is aborted, or
/// when the work ends by itself.
pub(crate) fn keep<F, Fut>(name: &'static str, mut work: F) -> JoinHandle<()>
where
    F: FnMut() -> Fut + MaybeSend + 'static,
    Fut: Future<Output = ()> + MaybeSend + 'static,
{
    spawn(async move {
        let (mut backoff, mut panics) = (AGAIN, 0_u64);
        loop {
            // Aborted with this one: a task that nobody holds must not go on.
            if life(work()).await.is_ok() {
                return;
            }
            panics += 1;
            tracing::error!(name, panics, "a task has panicked; it is started again");
            backoff.pause().await;
        }
    })
}

/// Runs work that keeps a processor busy off the async threads.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Error> + Send + 'static,
{
    platform::blocking(work).await.map_err(|_| Error::Internal("work in the background was cut off"))?
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_started_again() {
        let lives = Arc::new(AtomicU32::new(0));
        let counted = lives.clone();
        let task = keep("test", move || {
            let life = counted.fetch_add(1, Ordering::Relaxed);
            async move { assert!(life == 1, "a panic that the test wants") }
        });
        task.await.unwrap();
        assert_eq!(lives.load(Ordering::Relaxed), 2);
    }
}
