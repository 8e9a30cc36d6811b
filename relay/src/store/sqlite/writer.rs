//! The one thread that writes. It takes what has come in the meantime, up to a bound, into one transaction, and
//! answers after the commit: so many requests share one sync of the disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rusqlite::{Connection, TransactionBehavior};
use sotto_crypto::DeviceId;
use tokio::sync::{mpsc, oneshot};

use crate::store::{StoreError, Wake};

/// Operations in one transaction at most.
const MAX_BATCH: usize = 256;
/// Operations that may wait; beyond it callers wait to be let in.
const MAX_WAITING: usize = 1024;

/// Tells the caller; given how the commit went.
type Finish = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// An operation: whether to keep what it did, and how to tell its caller.
type Job = Box<dyn FnOnce(&mut Work<'_>) -> (bool, Finish) + Send>;

/// How many entries wait for each device, as far as it is on disk.
#[derive(Default)]
pub(super) struct Counts(Mutex<HashMap<DeviceId, u64>>);

impl Counts {
    fn lock(&self) -> MutexGuard<'_, HashMap<DeviceId, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them.
    pub(super) fn all(&self) -> HashMap<DeviceId, u64> {
        self.lock().clone()
    }

    fn apply(&self, changes: HashMap<DeviceId, i64>) {
        let mut counts = self.lock();
        for (device, change) in changes {
            let count = counts.get(&device).copied().unwrap_or(0).saturating_add_signed(change);
            if count == 0 {
                counts.remove(&device);
            } else {
                counts.insert(device, count);
            }
        }
    }

    fn load(&self, connection: &Connection) -> Result<(), StoreError> {
        let mut statement = connection.prepare("SELECT device, count(*) FROM mailbox GROUP BY device")?;
        let mut rows = statement.query([])?;
        let mut counts = HashMap::new();
        while let Some(row) = rows.next()? {
            counts.insert(super::device_id(row.get_ref(0)?.as_blob().unwrap_or_default())?, row.get(1)?);
        }
        *self.lock() = counts;
        Ok(())
    }
}

/// What an operation works with.
pub(super) struct Work<'c> {
    connection: &'c Connection,
    counts: &'c Counts,
    next_seq: &'c mut u64,
    /// Changes of counts by this batch, to be undone when the operation is not kept.
    batch_changes: &'c mut HashMap<DeviceId, i64>,
    /// Those by this operation.
    changes: Vec<(DeviceId, i64)>,
    wake_devices: Vec<DeviceId>,
    wake_outbox: bool,
    keep: bool,
}

impl Work<'_> {
    /// The connection, inside the transaction.
    pub(super) fn connection(&self) -> &Connection {
        self.connection
    }

    /// Takes `count` places; the first of them.
    pub(super) fn take_seqs(&mut self, count: u64) -> u64 {
        let first = *self.next_seq;
        *self.next_seq += count;
        first
    }

    /// How many entries wait for a device.
    pub(super) fn queued(&self, device: DeviceId) -> u64 {
        let on_disk = self.counts.lock().get(&device).copied().unwrap_or(0);
        on_disk.saturating_add_signed(self.batch_changes.get(&device).copied().unwrap_or(0))
    }

    /// An entry was put into a device's queue.
    pub(super) fn entered(&mut self, device: DeviceId) {
        self.count(device, 1);
        self.wake_devices.push(device);
    }

    /// Entries left a device's queue.
    pub(super) fn left(&mut self, device: DeviceId, entries: u64) {
        self.count(device, -i64::try_from(entries).unwrap_or(i64::MAX));
    }

    fn count(&mut self, device: DeviceId, change: i64) {
        *self.batch_changes.entry(device).or_default() += change;
        self.changes.push((device, change));
    }

    /// Something was put into the outbox.
    pub(super) fn outbox_changed(&mut self) {
        self.wake_outbox = true;
    }

    /// The operation has an answer, and nothing of what it did is kept.
    pub(super) fn roll_back<T>(&mut self, answer: T) -> T {
        self.keep = false;
        answer
    }
}

/// The thread's handle.
pub(super) struct Writer {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    counts: Arc<Counts>,
}

impl Writer {
    pub(super) fn start(connection: Connection, wake: Arc<dyn Wake>) -> Result<Self, StoreError> {
        let counts = Arc::new(Counts::default());
        counts.load(&connection)?;
        let next_seq = connection.query_row("SELECT value FROM meta WHERE name = 'next_seq'", [], |row| row.get(0))?;
        let (jobs, receiver) = mpsc::channel(MAX_WAITING);
        let state = State { connection, counts: Arc::clone(&counts), next_seq, saved_seq: next_seq, wake };
        let thread = std::thread::Builder::new()
            .name("sotto-store".to_owned())
            .spawn(move || state.serve(receiver))
            .map_err(|error| StoreError::Engine(Box::new(error)))?;
        Ok(Self { jobs: Mutex::new(Some(jobs)), thread: Mutex::new(Some(thread)), counts })
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) async fn run<T, F>(&self, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Work<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |work| {
            let answer = operation(work);
            let keep = answer.is_ok() && work.keep;
            let finish: Finish = Box::new(move |committed| {
                // Nobody listens any more when the request was given up; what was done stays done.
                let _ = sender.send(committed.and(answer));
            });
            (keep, finish)
        });
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StoreError::Closed)?;
        jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        drop(jobs);
        receiver.await.map_err(|_| StoreError::Closed)?
    }

    /// Lets the thread finish what waits, and waits for it.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
        tokio::task::spawn_blocking(move || thread.join())
            .await
            .map_err(|error| StoreError::Engine(Box::new(error)))?
            .map_err(|_| StoreError::Corrupt("the writer thread ended by a panic"))
    }
}

struct State {
    connection: Connection,
    counts: Arc<Counts>,
    next_seq: u64,
    saved_seq: u64,
    wake: Arc<dyn Wake>,
}

/// What is to be told once a batch is on disk.
#[derive(Default)]
struct Pending {
    finish: Vec<Finish>,
    changes: HashMap<DeviceId, i64>,
    wake_devices: Vec<DeviceId>,
    wake_outbox: bool,
}

impl State {
    fn serve(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            let mut pending = Pending::default();
            let result = self.batch(first, &mut jobs, &mut pending);
            if let Err(error) = &result {
                tracing::error!(error = %error, "a batch of writes failed");
            } else {
                self.counts.apply(pending.changes);
                if !pending.wake_devices.is_empty() {
                    self.wake.devices(&pending.wake_devices);
                }
                if pending.wake_outbox {
                    self.wake.outbox();
                }
            }
            let message = result.err().map(|error| error.to_string());
            for finish in pending.finish {
                finish(message.clone().map_or(Ok(()), |message| Err(StoreError::Engine(message.into()))));
            }
        }
        // Readers may still be open: a failed truncation costs nothing but a longer file.
        let _ = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA optimize;");
    }

    fn batch(&mut self, first: Job, jobs: &mut mpsc::Receiver<Job>, pending: &mut Pending) -> Result<(), StoreError> {
        let mut transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(job) = next {
            let savepoint = transaction.savepoint()?;
            let mut work = Work {
                connection: &savepoint,
                counts: &self.counts,
                next_seq: &mut self.next_seq,
                batch_changes: &mut pending.changes,
                changes: Vec::new(),
                wake_devices: Vec::new(),
                wake_outbox: false,
                keep: true,
            };
            let (keep, finish) = job(&mut work);
            pending.finish.push(finish);
            let Work { changes, wake_devices, wake_outbox, .. } = work;
            if keep {
                pending.wake_devices.extend(wake_devices);
                pending.wake_outbox |= wake_outbox;
                savepoint.commit()?;
            } else {
                for (device, change) in changes {
                    *pending.changes.entry(device).or_default() -= change;
                }
                // Fails when the engine has rolled the whole transaction back (disk full); then all of the batch fails.
                savepoint.finish()?;
            }
            taken += 1;
            next = if taken < MAX_BATCH { jobs.try_recv().ok() } else { None };
        }
        if self.next_seq != self.saved_seq {
            transaction
                .prepare_cached("UPDATE meta SET value = ?1 WHERE name = 'next_seq'")?
                .execute([self.next_seq])?;
        }
        transaction.commit()?;
        self.saved_seq = self.next_seq;
        Ok(())
    }
}
