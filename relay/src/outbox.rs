//! The worker that brings messages to other networks: each network by itself and in order, again and again with longer
//! pauses, until the message has arrived, is refused, or a day has passed.

use std::collections::HashMap;
use std::time::Duration;

use sotto_crypto::rand_core::Rng as _;
use sotto_crypto::{Domain, SystemRng, Wrap, decode_strict};
use sotto_wire::api::Envelope;
use sotto_wire::gateway::PeerEnvelope;
use sotto_wire::{ApiError, ErrorCode};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::state::Shared;
use crate::store::{OutboxEntry, Refusal, StoreError};

/// How long a message is tried.
const GIVE_UP_MS: u64 = 24 * 3600 * 1000;
/// Messages of one network that are fetched at a time.
const FETCH: usize = 16;
/// The longest pause after a failure.
const MAX_PAUSE_MS: u64 = 300_000;
/// How often to look while something waits for its time.
const LOOK: Duration = Duration::from_millis(500);

/// What came of bringing some messages to one network.
enum Drained {
    /// Nothing is due any more.
    Empty,
    /// The network cannot be reached.
    Unreachable,
}

/// A network that could not be reached.
struct Blocked {
    failures: u32,
    until_ms: u64,
}

/// Works until `shutdown`.
pub(crate) async fn run(app: Shared, shutdown: CancellationToken) {
    let mut blocked: HashMap<Domain, Blocked> = HashMap::new();
    let mut busy: JoinSet<(Domain, Result<Drained, StoreError>)> = JoinSet::new();
    let mut at_work: Vec<Domain> = Vec::new();
    loop {
        let waiting = match start_due(&app, &blocked, &mut at_work, &mut busy).await {
            Ok(waiting) => waiting,
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::error!(error = %error, "the outbox cannot be read");
                true
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = app.registry.outbox_changed() => {}
            () = tokio::time::sleep(LOOK), if waiting => {}
            Some(done) = busy.join_next() => {
                let Ok((domain, result)) = done else {
                    // Which network's task it was is not known; what is brought twice is accepted once.
                    at_work.clear();
                    continue;
                };
                at_work.retain(|other| *other != domain);
                match result {
                    Ok(Drained::Empty) => drop(blocked.remove(&domain)),
                    Ok(Drained::Unreachable) => block(&mut blocked, domain, app.now_ms()),
                    Err(StoreError::Closed) => return,
                    Err(error) => {
                        tracing::error!(error = %error, "the outbox cannot be worked on");
                        block(&mut blocked, domain, app.now_ms());
                    }
                }
            }
        }
    }
}

fn block(blocked: &mut HashMap<Domain, Blocked>, domain: Domain, now_ms: u64) {
    let entry = blocked.entry(domain).or_insert(Blocked { failures: 0, until_ms: 0 });
    entry.until_ms = now_ms.saturating_add(pause_ms(entry.failures).min(60_000));
    entry.failures += 1;
}

/// Starts on every network that has something due; whether there is anything at all.
async fn start_due(
    app: &Shared,
    blocked: &HashMap<Domain, Blocked>,
    at_work: &mut Vec<Domain>,
    busy: &mut JoinSet<(Domain, Result<Drained, StoreError>)>,
) -> Result<bool, StoreError> {
    if app.store.outbox_next_ms().await?.is_none() {
        return Ok(false);
    }
    let now_ms = app.now_ms();
    for domain in app.store.outbox_domains(now_ms).await? {
        if at_work.contains(&domain) || blocked.get(&domain).is_some_and(|entry| entry.until_ms > now_ms) {
            continue;
        }
        at_work.push(domain.clone());
        let app = Shared::clone(app);
        busy.spawn(async move {
            let result = drain(&app, &domain).await;
            (domain, result)
        });
    }
    Ok(true)
}

async fn drain(app: &Shared, domain: &Domain) -> Result<Drained, StoreError> {
    loop {
        let entries = app.store.outbox_due(domain.clone(), app.now_ms(), FETCH).await?;
        if entries.is_empty() {
            return Ok(Drained::Empty);
        }
        let mut unreachable = false;
        for entry in entries {
            // Once the network is known to be away, the rest is only looked at for those whose day is over.
            let result = if unreachable { Err(away(domain)) } else { bring(app, &entry).await };
            let Err(error) = result else {
                app.store.outbox_done(entry.id).await?;
                continue;
            };
            let now_ms = app.now_ms();
            if error.code.is_retryable() && entry.accepted_at_ms.saturating_add(GIVE_UP_MS) > now_ms {
                if error.code == ErrorCode::PeerUnavailable {
                    unreachable = true;
                } else {
                    app.store.outbox_retry(entry.id, now_ms.saturating_add(pause_ms(entry.attempts))).await?;
                }
                continue;
            }
            tracing::debug!(code = error.code.as_str(), "a message for another network will not arrive");
            let refusal = Refusal { code: error.code.as_str().to_owned(), reason: error.message };
            app.store.outbox_refused(entry.id, refusal, now_ms).await?;
        }
        if unreachable {
            return Ok(Drained::Unreachable);
        }
    }
}

fn away(domain: &Domain) -> ApiError {
    crate::gateway::unreachable_peer(domain, "it has not answered for a day")
}

async fn bring(app: &Shared, entry: &OutboxEntry) -> Result<(), ApiError> {
    let Some(gateway) = &app.gateway else {
        return Err(crate::deliver::no_gateway(app).0);
    };
    let wraps: Vec<Wrap> = decode_strict(&entry.wraps)
        .map_err(|_| ApiError::new(ErrorCode::Invalid, "the stored message cannot be read"))?;
    let left_s = entry.expires_at_ms.saturating_sub(app.now_ms()).div_ceil(1000);
    if left_s == 0 {
        return Err(ApiError::new(
            ErrorCode::Invalid,
            format!("the message expired before network {} could be reached", entry.domain),
        ));
    }
    let envelope =
        Envelope { header: entry.header.clone(), body: entry.body.clone(), wraps, expires_in_s: Some(left_s) };
    gateway.envelope(&entry.domain, &PeerEnvelope { envelope }).await.map(drop)
}

/// One second, then twice as long each time, and a random part so that not all come back at once.
fn pause_ms(failures: u32) -> u64 {
    let pause = 1000u64.saturating_mul(1 << failures.min(16)).min(MAX_PAUSE_MS);
    pause + SystemRng.next_u64() % (pause / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound() {
        assert!((1000..1250).contains(&pause_ms(0)));
        assert!((8000..10_000).contains(&pause_ms(3)));
        assert!((MAX_PAUSE_MS..=MAX_PAUSE_MS * 5 / 4).contains(&pause_ms(u32::MAX)));
    }
}
