//! Drops what has expired, and measures what waits.

use std::time::Duration;

use sotto_telemetry::{Readiness, names};
use tokio_util::sync::CancellationToken;

use crate::state::{App, Shared};
use crate::store::StoreError;

/// Attachments that are removed at a time.
const BLOBS: usize = 100;

/// Works every `period` until `shutdown`, and says whether the store can be written.
pub(crate) async fn run(app: Shared, period: Duration, readiness: Readiness, shutdown: CancellationToken) {
    if let Err(error) = remove_orphans(&app).await {
        tracing::warn!(error = %error, "attachments that nobody knows cannot be looked for");
    }
    loop {
        match sweep(&app).await {
            Err(StoreError::Closed) => return,
            // Each sweep writes: so it shows whether the relay can do its work.
            _ if shutdown.is_cancelled() => return,
            Ok(()) => readiness.ready(),
            Err(error) => {
                tracing::error!(error = %error, "the store fails");
                readiness.not_ready("the store fails; the log has the details");
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(period) => {}
        }
    }
}

async fn remove_orphans(app: &App) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    for blob in app.blobs.settled().await? {
        // Recorded and expired ones are the sweep's.
        if app.store.blob(blob, 0).await?.is_none() {
            app.blobs.remove(blob).await?;
        }
    }
    Ok(())
}

async fn sweep(app: &App) -> Result<(), StoreError> {
    let now_ms = app.now_ms();
    loop {
        let swept = app.store.sweep(now_ms).await?;
        if swept.expired > 0 {
            metrics::counter!(names::MESSAGES_EXPIRED).increment(swept.expired);
        }
        if !swept.more {
            break;
        }
    }
    loop {
        let expired = app.store.expired_blobs(now_ms, BLOBS).await?;
        if expired.is_empty() {
            break;
        }
        for blob in &expired {
            if let Err(error) = app.blobs.remove(*blob).await {
                // Forgotten all the same: a file that stays costs space, a loop that never ends costs more.
                tracing::warn!(error = %error, "an expired attachment cannot be removed");
            }
        }
        app.store.forget_blobs(expired).await?;
    }
    measure(app).await
}

#[expect(clippy::cast_precision_loss, reason = "a gauge need not be exact beyond 2^52")]
async fn measure(app: &App) -> Result<(), StoreError> {
    let stats = app.store.queue_stats().await?;
    metrics::gauge!(names::MESSAGES_QUEUED).set(stats.by_device.values().sum::<u64>() as f64);
    let age_ms = stats.oldest_ms.map_or(0, |oldest| app.now_ms().saturating_sub(oldest));
    metrics::gauge!(names::OLDEST_MESSAGE_AGE).set(age_ms as f64 / 1000.0);
    metrics::gauge!(names::ACTIVE_CONNECTIONS).set(app.registry.connected() as f64);
    Ok(())
}
