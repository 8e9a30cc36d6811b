//! Whether what this process knows of its network is of today: by the rules and memberships that the relay shows, it believes who has
//! said something.

use std::time::Duration;

use sotto_client::{Client, StaleNetwork};
use sotto_telemetry::names;
use tokio::time::{MissedTickBehavior, interval};

use crate::health::now_ms;

/// Between two looks. The relay is asked for something newer less often.
const LOOK: Duration = Duration::from_secs(15);

/// Publishes for how long the newest directory head has been over, for as long as it is polled; the log has it once.
pub(crate) async fn watch(client: Client) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = false;
    loop {
        ticks.tick().await;
        match client.stale().await {
            Ok(stale) => told = publish(stale.as_ref(), told, now_ms()),
            Err(error) => {
                tracing::warn!(%error, "it cannot be looked up whether the documents of the network are of today");
            }
        }
    }
}

/// Answers whether it has been told.
fn publish(stale: Option<&StaleNetwork>, told: bool, now_ms: u64) -> bool {
    let over = stale.map_or(0, |stale| now_ms.saturating_sub(stale.since_ms));
    metrics::gauge!(names::RETENTION_DIRECTORY_EXPIRED).set(Duration::from_millis(over).as_secs_f64());
    match (stale, told) {
        (Some(_), false) => tracing::error!(
            seconds = over / 1000,
            "nothing confirms any more what the relay shows of the network: it holds back what is new, or the operator stands still; \
             what comes is kept all the same"
        ),
        (None, true) => tracing::info!("what the relay shows of the network is confirmed again"),
        _ => {}
    }
    stale.is_some()
}
