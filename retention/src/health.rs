//! Whether the process can do its work, for `/readyz`, the log and the metrics; and a watch over what is in hand.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use sotto_telemetry::{Readiness, names};
use sotto_wire::status::{RetentionState, STATUS_PATH};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::keeper::Timing;

/// Shared by everything that finds out whether things work. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Health {
    state: Arc<Mutex<Known>>,
    readiness: Readiness,
}

struct Known {
    /// Why nothing can be received now; `None` when it can.
    offline: Option<&'static str>,
    /// What fails now.
    failing: BTreeSet<&'static str>,
    /// What is missing, once it has been looked up.
    record: Option<RetentionState>,
    /// What is being stored: when the relay accepted it, and since when.
    in_hand: HashMap<u64, (u64, Instant)>,
    next: u64,
}

/// Something is in hand for as long as this lives.
pub(crate) struct InHand {
    health: Health,
    id: u64,
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.health.lock().in_hand.remove(&self.id);
    }
}

impl Health {
    /// Not ready yet.
    pub(crate) fn new(readiness: Readiness) -> Self {
        // So that each is published from the first interval on.
        for name in [
            names::RETENTION_MESSAGES_RX,
            names::RETENTION_MESSAGES_RX_FAILED,
            names::RETENTION_MESSAGES_SAVED,
            names::RETENTION_MESSAGES_SAVED_FAILED,
            names::RETENTION_FILES_SAVED,
            names::RETENTION_FILES_SAVED_BYTES,
            names::RETENTION_FILES_SAVED_FAILED,
            names::RETENTION_LOGINS,
            names::RETENTION_LOGIN_FAILURES,
            names::RETENTION_S3_POST_ERRORS,
            names::RETENTION_WATCHDOG_FAILURES,
            names::RETENTION_WATCHDOG_WARNINGS,
            names::RETENTION_CONFLICTS,
        ] {
            metrics::counter!(name).increment(0);
        }
        metrics::gauge!(names::RETENTION_LAG).set(0.0);
        metrics::gauge!(names::RETENTION_MISSING).set(0.0);
        metrics::gauge!(names::RETENTION_FILES_WAITING).set(0.0);
        let state = Known {
            offline: Some("logging in at the relay"),
            failing: BTreeSet::new(),
            record: None,
            in_hand: HashMap::new(),
            next: 0,
        };
        let health = Self { state: Arc::new(Mutex::new(state)), readiness };
        health.publish(&health.lock());
        health
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, state: &Known) {
        match (state.offline, state.failing.first()) {
            (Some(reason), _) => self.readiness.not_ready(reason),
            (None, Some(what)) => self.readiness.not_ready(format!("{what} fails; the log says why")),
            (None, None) => self.readiness.ready(),
        }
    }

    /// Logged in and receiving.
    pub(crate) fn online(&self) {
        let mut state = self.lock();
        if state.offline.take().is_some() {
            metrics::counter!(names::RETENTION_LOGINS).increment(1);
            tracing::info!("logged in and receiving");
        }
        self.publish(&state);
    }

    /// Nothing can be received, for this reason.
    pub(crate) fn offline(&self, reason: &'static str) {
        let mut state = self.lock();
        state.offline = Some(reason);
        self.publish(&state);
    }

    /// Something fails and is tried again. The first failure is in the log at once, the others at a lower level.
    pub(crate) fn failing(&self, what: &'static str, error: &dyn Display) {
        let mut state = self.lock();
        if state.failing.insert(what) {
            tracing::error!(%error, "{what} fails; it is tried again, and nothing is acknowledged to the relay before");
        } else {
            tracing::debug!(%error, "{what} fails again");
        }
        self.publish(&state);
    }

    /// Something works.
    pub(crate) fn works(&self, what: &'static str) {
        let mut state = self.lock();
        if state.failing.remove(what) {
            tracing::info!("{what} works again");
            self.publish(&state);
        }
    }

    /// So much is missing of what the record should have.
    pub(crate) fn missing(&self, record: RetentionState) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        metrics::gauge!(names::RETENTION_MISSING).set(record.missing as f64);
        self.lock().record = Some(record);
    }

    /// What it says of itself, for the operator: [`RetentionState`] as JSON, once that is known.
    pub(crate) fn status_router(&self) -> Router {
        Router::new().route(STATUS_PATH, get(status).with_state(self.clone()))
    }

    /// Something is in hand from now on.
    pub(crate) fn take(&self, accepted_at_ms: u64) -> InHand {
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        state.in_hand.insert(id, (accepted_at_ms, Instant::now()));
        InHand { health: self.clone(), id }
    }

    /// One look of the watchdog.
    fn look(&self, timing: &Timing, now_ms: u64) {
        let oldest = self.lock().in_hand.values().min_by_key(|(_, since)| *since).copied();
        let Some((accepted_at_ms, since)) = oldest else { return };
        lag(now_ms, accepted_at_ms);
        let time = since.elapsed();
        if time > timing.stuck {
            metrics::counter!(names::RETENTION_WATCHDOG_FAILURES).increment(1);
            tracing::error!(seconds = time.as_secs(), "a message cannot be stored");
        } else if time > timing.slow {
            metrics::counter!(names::RETENTION_WATCHDOG_WARNINGS).increment(1);
            tracing::warn!(seconds = time.as_secs(), "storing a message takes long");
        }
    }
}

async fn status(State(health): State<Health>) -> Response {
    match health.lock().record {
        Some(record) => Json(record).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "not known yet\n").into_response(),
    }
}

/// Publishes how far behind storing is.
pub(crate) fn lag(now_ms: u64, accepted_at_ms: u64) {
    let lag = Duration::from_millis(now_ms.saturating_sub(accepted_at_ms));
    metrics::gauge!(names::RETENTION_LAG).set(lag.as_secs_f64());
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Looks at what is in hand until `shutdown`.
pub(crate) async fn watch(health: Health, timing: Timing, shutdown: CancellationToken) {
    let mut ticks = interval(timing.look);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => health.look(&timing, now_ms()),
        }
    }
}

#[cfg(test)]
mod tests {
    use sotto_telemetry::Telemetry;

    use super::*;

    #[test]
    fn ready_is_only_who_receives_and_can_store() {
        let readiness = Readiness::new();
        let health = Health::new(readiness.clone());
        assert_eq!(readiness.reason().unwrap(), "logging in at the relay");
        health.online();
        assert_eq!(readiness.reason(), None);
        health.failing("storing", &"disk full");
        assert_eq!(readiness.reason().unwrap(), "storing fails; the log says why");
        health.offline("the relay cannot be reached");
        health.works("storing");
        assert_eq!(readiness.reason().unwrap(), "the relay cannot be reached");
        health.online();
        assert_eq!(readiness.reason(), None);
    }

    fn counted(telemetry: &Telemetry, name: &str) -> u64 {
        let text = telemetry.render();
        let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')).unwrap_or("0");
        line.parse().unwrap()
    }

    #[test]
    fn the_watchdog_tells_what_is_slow_from_what_is_stuck() {
        let telemetry = Telemetry::install().unwrap();
        let health = Health::new(Readiness::new());
        let now = |slow, stuck| Timing { slow, stuck, ..Timing::default() };
        let (none, long) = (Duration::ZERO, Duration::from_hours(1));
        let counts =
            || [names::RETENTION_WATCHDOG_WARNINGS, names::RETENTION_WATCHDOG_FAILURES].map(|n| counted(&telemetry, n));
        let before = counts();
        health.look(&now(none, none), 9000);
        assert_eq!(counts(), before, "nothing in hand");
        let held = health.take(4000);
        health.look(&now(long, long), 9000);
        assert_eq!(counts(), before);
        health.look(&now(none, long), 9000);
        health.look(&now(none, none), 9000);
        assert_eq!(counts(), [before[0] + 1, before[1] + 1]);
        drop(held);
        health.look(&now(none, none), 9000);
        assert_eq!(counts(), [before[0] + 1, before[1] + 1]);
    }
}
