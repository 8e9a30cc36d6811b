//! Logs in, receives, and hands what comes to the keeper; again and again, until the end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use sotto_client::{Backoff, Client, Error, Event, Receiver, Refusal, TransportError, TrustError};
use sotto_telemetry::names;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::destination::Destination;
use crate::directory;
use crate::error::RetentionError;
use crate::gaps;
use crate::health::now_ms;
use crate::keeper::{Keeper, pause};
use crate::secrets::Secrets;
use crate::settings::Settings;
use crate::source::{self, ClientInbox};

/// Kept at the same time: as many as the relay has unacknowledged. Their flushes to disk go together.
const WINDOW: usize = 64;
/// Between two attempts to log in: the operator may not have told the relay of the account yet.
const LOG_IN: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// A removed device is believed after so many refusals in a row: a proxy can say so too.
const REFUSALS: u32 = 5;
/// A certificate that ends within this time is told about.
const EXPIRES_SOON_MS: u64 = 14 * 24 * 3_600_000;

/// Why receiving is over.
enum End {
    /// The process ends.
    Stopped,
    /// It failed. `heard` tells whether something came before.
    Failed {
        /// How.
        error: Error,
        /// Whether the connection had worked.
        heard: bool,
    },
}

/// Keeps whatever comes, until `shutdown`.
pub(crate) async fn run<D: Destination>(
    settings: &Settings,
    keeper: &Arc<Keeper<D>>,
    shutdown: &CancellationToken,
) -> Result<(), RetentionError> {
    let mut backoff = LOG_IN;
    let mut refusals = 0;
    'log_in: loop {
        let Some(client) = log_in(settings, keeper, shutdown).await? else { return Ok(()) };
        loop {
            let End::Failed { error, heard } = receive(&client, keeper, shutdown).await else { return Ok(()) };
            keeper.health.offline("receiving from the relay is interrupted");
            if heard {
                backoff.reset();
                refusals = 0;
            }
            match &error {
                Error::Refused(Refusal::DeviceRemoved(_)) => {
                    refusals += 1;
                    tracing::warn!(%error, refusals, "the relay does not know this device");
                    if refusals >= REFUSALS {
                        drop(client);
                        set_aside(settings)?;
                        refusals = 0;
                        continue 'log_in;
                    }
                }
                error if may_pass(error) => tracing::warn!(%error, "receiving is interrupted"),
                _ => return Err(RetentionError::Receive(error)),
            }
            if !pause(&mut backoff, shutdown).await {
                return Ok(());
            }
        }
    }
}

/// Registers or logs in. `None` when the process ends first.
async fn log_in<D: Destination>(
    settings: &Settings,
    keeper: &Keeper<D>,
    shutdown: &CancellationToken,
) -> Result<Option<Client>, RetentionError> {
    let mut backoff = LOG_IN;
    loop {
        // Read each time: the operator may have renewed them.
        let secrets = Secrets::load(settings)?;
        if secrets.certified_until_ms < now_ms().saturating_add(EXPIRES_SOON_MS) {
            tracing::warn!("the certificate of this process ends soon or has ended; the operator has to renew it");
        }
        let tried = tokio::select! {
            tried = Client::service(secrets.into_account(settings)) => tried,
            () = shutdown.cancelled() => return Ok(None),
        };
        let error = match tried {
            Ok(client) => {
                tracing::info!(device = %client.device(), "registered");
                return Ok(Some(client));
            }
            Err(error) => error,
        };
        metrics::counter!(names::RETENTION_LOGIN_FAILURES).increment(1);
        if !may_pass(&error) {
            return Err(RetentionError::LogIn(error));
        }
        keeper.health.offline("cannot log in at the relay; the log says why");
        tracing::warn!(%error, "cannot log in; tried again");
        if !pause(&mut backoff, shutdown).await {
            return Ok(None);
        }
    }
}

/// Whether it passes by itself, or by what an administrator does elsewhere: all that the relay says, for the operator
/// tells it of this account when it comes to it.
fn may_pass(error: &Error) -> bool {
    error.is_retryable()
        || matches!(
            error,
            Error::Relay(_)
                | Error::Transport(TransportError::Answer { .. })
                // The operator renews them, or somebody sets the clock.
                | Error::Trust(TrustError::Expired { .. } | TrustError::Clock { .. })
        )
}

/// One life of a receiver.
async fn receive<D: Destination>(client: &Client, keeper: &Arc<Keeper<D>>, shutdown: &CancellationToken) -> End {
    let mut receiver = match client.receive(true) {
        Ok(receiver) => receiver,
        Err(error) => return End::Failed { error, heard: false },
    };
    let inbox = Arc::new(ClientInbox { client: client.clone(), acker: receiver.acker() });
    let files = AbortOnDrop(tokio::spawn(Arc::clone(keeper).fetch_files(Arc::clone(&inbox))));
    let mut tasks = JoinSet::new();
    let mut missing = pin!(gaps::keep(client.clone(), keeper.clone()));
    let mut stale = Box::pin(directory::watch(client.clone()));
    let mut heard = false;
    let end = loop {
        let event = tokio::select! {
            biased;
            () = shutdown.cancelled() => break End::Stopped,
            Some(done) = tasks.join_next(), if !tasks.is_empty() => {
                if let Err(error) = done {
                    // The relay has the message still, and delivers it with the next connection.
                    tracing::error!(%error, "keeping a message ended unexpectedly");
                }
                continue;
            }
            event = receiver.next(), if tasks.len() < WINDOW => event,
            () = &mut missing => continue,
            () = &mut stale => continue,
        };
        let item = match event {
            Some(Ok(Event::Message(message))) => Some(source::message(*message)),
            Some(Ok(Event::Unopened(unopened))) => Some(source::unopened(*unopened)),
            Some(Ok(Event::Disconnected(error, wait))) => {
                keeper.health.offline("the relay cannot be reached");
                tracing::warn!(%error, again_in_ms = wait.as_millis(), "disconnected");
                continue;
            }
            Some(Ok(_)) => None,
            Some(Err(error)) => break End::Failed { error, heard },
            None => break End::Failed { error: Error::Internal("receiving ended without a reason"), heard },
        };
        heard = true;
        keeper.health.online();
        if let Some(item) = item {
            let (keeper, inbox) = (keeper.clone(), inbox.clone());
            tasks.spawn(async move { keeper.keep(&*inbox, item).await });
        }
    };
    // What is being fetched is on the list still.
    drop(files);
    drain(tasks, receiver, keeper.timing.drain).await;
    end
}

/// A task that lives no longer than this.
struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Finishes what is in hand, and has the relay hear of it. Not for longer than `patience`: what is not finished then stays
/// at the relay, and comes again.
async fn drain<T: Send + 'static>(mut tasks: JoinSet<T>, receiver: Receiver, patience: Duration) {
    let in_time = timeout(patience, async { while tasks.join_next().await.is_some() {} }).await;
    if in_time.is_err() {
        tracing::warn!(left = tasks.len(), "not everything in hand could be stored; the relay still has the rest");
        tasks.shutdown().await;
    }
    receiver.close().await;
}

/// Puts the profile of a removed device aside, so that the next log-in makes a new one.
fn set_aside(settings: &Settings) -> Result<(), RetentionError> {
    let profile = settings.profile();
    let aside = settings.state.join(format!("profile-removed-{}", now_ms()));
    tracing::error!(to = %aside.display(), "this device was removed; its profile is put aside, and a new device registered");
    std::fs::rename(&profile, aside).map_err(|source| RetentionError::State { path: profile, source })
}

#[cfg(test)]
mod tests {
    use sotto_client::ProfileError;
    use sotto_wire::{ApiError, ErrorCode};

    use super::*;
    use crate::testing::config;

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        for code in
            [ErrorCode::InviteInvalid, ErrorCode::WrongCredentials, ErrorCode::Suspended, ErrorCode::Unavailable]
        {
            assert!(may_pass(&ApiError::new(code, "no").into()), "{code:?}");
        }
        let busy = ProfileError::Busy { dir: "p".into(), doing: "receiving" };
        assert!(may_pass(&busy.into()));
        assert!(!may_pass(&TrustError::PolicyKey.into()));
        assert!(!may_pass(&ProfileError::WrongPassword("p".into()).into()));
    }

    #[test]
    fn a_profile_is_put_aside_and_not_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings::parse(&config(dir.path())).unwrap();
        std::fs::create_dir_all(settings.profile()).unwrap();
        std::fs::write(settings.profile().join("store.db"), "x").unwrap();
        set_aside(&settings).unwrap();
        assert!(!settings.profile().exists());
        let left: Vec<_> = std::fs::read_dir(&settings.state).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(left.len() == 1 && left[0].join("store.db").exists(), "{left:?}");
        assert!(set_aside(&settings).unwrap_err().to_string().starts_with("state folder, "));
    }
}
