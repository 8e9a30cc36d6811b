//! What somebody has sent and this process has not got: each thing that happens is a record, and how much is missing now is a
//! metric. The client library notices, and asks the sender's device for it.

use std::sync::Arc;
use std::time::Duration;

use sotto_client::{Client, Gap, GapEvent};
use sotto_telemetry::names;
use sotto_wire::status::RetentionState;
use tokio::time::{MissedTickBehavior, interval};

use crate::destination::Destination;
use crate::keeper::Keeper;
use crate::name::{ObjectName, gap_word};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);

/// Keeps records of what is missing, for as long as it is polled.
pub(crate) async fn keep<D: Destination>(client: Client, keeper: Arc<Keeper<D>>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = look(&client, &keeper).await {
            tracing::warn!(%error, "it cannot be looked up what is missing; tried again");
        }
    }
}

async fn look<D: Destination>(client: &Client, keeper: &Keeper<D>) -> Result<(), sotto_client::Error> {
    let news = client.gaps().news().await?;
    let mut recorded = Vec::new();
    for gap in news {
        // Where the process ends first, it is written again, under the same name.
        if keeper.keep_gap(&gap).await.is_none() {
            break;
        }
        told(&gap);
        recorded.push(gap);
    }
    if !recorded.is_empty() {
        client.gaps().recorded(recorded).await?;
    }
    let open = client.gaps().list().await?;
    keeper.health.missing(missing(&open));
    Ok(())
}

/// How many messages are missing now, and since when.
fn missing(open: &[Gap]) -> RetentionState {
    let open = || open.iter().filter(|gap| gap.what == GapEvent::Missing);
    RetentionState {
        missing: open().fold(0, |sum, gap| sum.saturating_add(gap.to.saturating_sub(gap.from))),
        missing_since_ms: open().map(|gap| gap.at_ms).min(),
    }
}

/// The log names the record: whose messages they are stands there.
fn told(gap: &Gap) {
    let (kept, count) = (ObjectName::of_gap(gap), gap.to.saturating_sub(gap.from));
    let kept = kept.as_str();
    match gap.what {
        GapEvent::Missing => tracing::error!(
            kept,
            count,
            "messages have not come: somebody keeps them from the record, or they come late; their sender's device is asked for them"
        ),
        GapEvent::Conflict => {
            metrics::counter!(names::RETENTION_CONFLICTS).increment(1);
            tracing::error!(
                kept,
                "a message does not follow what the same device has said before: there are two of it, or it was put back"
            );
        }
        _ => tracing::info!(
            kept,
            count,
            event = gap_word(gap.what),
            "of messages that were missing nothing more is waited for"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::gap;

    #[test]
    fn only_what_is_missing_counts() {
        assert_eq!(missing(&[]), RetentionState::default());
        let earlier = Gap { at_ms: 5, ..gap(GapEvent::Missing) };
        let some = missing(&[gap(GapEvent::Missing), gap(GapEvent::Conflict), earlier]);
        assert_eq!(some, RetentionState { missing: 4, missing_since_ms: Some(5) });
        let all = Gap { from: 0, to: u64::MAX, ..gap(GapEvent::Missing) };
        assert_eq!(missing(&[all, gap(GapEvent::Missing)]).missing, u64::MAX);
    }
}
