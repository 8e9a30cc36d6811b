//! Which devices are connected: the socket of each is woken when something waits for it, and closed when it must go.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sotto_crypto::DeviceId;
use sotto_wire::close::CloseCode;
use tokio::sync::futures::Notified;
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc, watch};

use crate::store::Wake;

/// Why the relay closes a socket; the code of the closing frame (RFC 6455 §7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// The relay is stopping.
    GoingAway,
    /// The same device has opened another socket.
    Replaced,
    /// A frame could not be read.
    BadFrame,
    /// The user is suspended.
    Suspended,
    /// The device has been removed.
    Removed,
    /// A fault of the relay.
    Internal,
}

impl CloseReason {
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::GoingAway => 1001,
            Self::Internal => 1011,
            Self::Replaced => CloseCode::Replaced.number(),
            Self::BadFrame => CloseCode::BadFrame.number(),
            Self::Suspended => CloseCode::Suspended.number(),
            Self::Removed => CloseCode::Removed.number(),
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::GoingAway => "the relay is stopping; connect again",
            Self::Internal => "the relay failed; connect again",
            Self::Replaced => "the device has opened another socket",
            Self::BadFrame => "a frame could not be read",
            Self::Suspended => "the user is suspended",
            Self::Removed => "the device has been removed",
        }
    }
}

struct Entry {
    id: u64,
    wake: Arc<Notify>,
    signals: mpsc::Sender<Bytes>,
    close: watch::Sender<Option<CloseReason>>,
}

#[derive(Default)]
struct Inner {
    devices: HashMap<DeviceId, Entry>,
    next: u64,
    closing: bool,
}

/// The connected devices of this process.
pub(crate) struct Registry {
    inner: Mutex<Inner>,
    outbox: Notify,
    /// By a hash of the account whose links changed: who shares one looks in vain, no more.
    links: [Notify; LINKS],
    hasher: RandomState,
}

/// Signals that may wait for one socket.
const MAX_SIGNALS: usize = 32;
/// Bells for links.
const LINKS: usize = 32;

/// A connection's place in the registry; leaves it when dropped.
pub(crate) struct Connection {
    registry: Arc<Registry>,
    device: DeviceId,
    id: u64,
    wake: Arc<Notify>,
    signals: AsyncMutex<mpsc::Receiver<Bytes>>,
    close: watch::Receiver<Option<CloseReason>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            outbox: Notify::new(),
            links: std::array::from_fn(|_| Notify::new()),
            hasher: RandomState::new(),
        }
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a connection; an older one of the same device has to go.
    pub(crate) fn enter(self: &Arc<Self>, device: DeviceId) -> Connection {
        let mut inner = self.lock();
        let id = inner.next;
        inner.next += 1;
        let (close, closed) = watch::channel(inner.closing.then_some(CloseReason::GoingAway));
        let wake = Arc::new(Notify::new());
        let (signals, pending) = mpsc::channel(MAX_SIGNALS);
        let entry = Entry { id, wake: Arc::clone(&wake), signals, close };
        if let Some(older) = inner.devices.insert(device, entry) {
            older.close.send_replace(Some(CloseReason::Replaced));
        }
        Connection { registry: Arc::clone(self), device, id, wake, signals: AsyncMutex::new(pending), close: closed }
    }

    /// Passes a frame on to a device that is connected. One that does not keep up misses it.
    pub(crate) fn signal(&self, device: DeviceId, frame: impl FnOnce() -> Bytes) {
        let signals = self.lock().devices.get(&device).map(|entry| entry.signals.clone());
        if let Some(signals) = signals {
            // Full or gone: now or never.
            let _ = signals.try_send(frame());
        }
    }

    /// Closes the sockets of these devices.
    pub(crate) fn close(&self, devices: &[DeviceId], reason: CloseReason) {
        let inner = self.lock();
        for entry in devices.iter().filter_map(|device| inner.devices.get(device)) {
            entry.close.send_replace(Some(reason));
        }
    }

    /// Closes all sockets, also those that will be opened.
    pub(crate) fn close_all(&self) {
        let mut inner = self.lock();
        inner.closing = true;
        for entry in inner.devices.values() {
            entry.close.send_replace(Some(CloseReason::GoingAway));
        }
        drop(inner);
        self.links.iter().for_each(Notify::notify_waiters);
    }

    /// Whether the relay is stopping.
    pub(crate) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    fn bell(&self, local: &str) -> &Notify {
        let place = self.hasher.hash_one(local) % LINKS as u64;
        &self.links[usize::try_from(place).unwrap_or_default()]
    }

    /// A slot of a link of this account was written.
    pub(crate) fn link_written(&self, local: &str) {
        self.bell(local).notify_waiters();
    }

    /// Ends when a slot of a link of this account was written, or the relay is stopping.
    pub(crate) fn link_changed(&self, local: &str) -> Notified<'_> {
        self.bell(local).notified()
    }

    /// How many devices are connected.
    pub(crate) fn connected(&self) -> usize {
        self.lock().devices.len()
    }

    /// Waits until something may have been put into the outbox.
    pub(crate) async fn outbox_changed(&self) {
        self.outbox.notified().await;
    }
}

impl Wake for Registry {
    fn devices(&self, devices: &[DeviceId]) {
        let inner = self.lock();
        for entry in devices.iter().filter_map(|device| inner.devices.get(device)) {
            entry.wake.notify_one();
        }
    }

    fn outbox(&self) {
        self.outbox.notify_one();
    }
}

impl Connection {
    /// Waits until something may have been put into the queue.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// The next signal for the device.
    pub(crate) async fn signal(&self) -> Option<Bytes> {
        self.signals.lock().await.recv().await
    }

    /// Waits until the socket has to be closed.
    pub(crate) async fn closed(&self) -> CloseReason {
        match self.close.clone().wait_for(Option::is_some).await {
            Ok(reason) => reason.unwrap_or(CloseReason::Internal),
            // The entry was taken out together with its sender: only a newer connection does that.
            Err(_) => CloseReason::Replaced,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut inner = self.registry.lock();
        if inner.devices.get(&self.device).is_some_and(|entry| entry.id == self.id) {
            inner.devices.remove(&self.device);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DeviceId = DeviceId::from_bytes([1; 16]);

    #[tokio::test]
    async fn the_newest_connection_wins_and_leaving_is_tidy() {
        let registry = Arc::new(Registry::default());
        let first = registry.enter(DEVICE);
        let second = registry.enter(DEVICE);
        assert_eq!(first.closed().await, CloseReason::Replaced);
        drop(first);
        assert_eq!(registry.connected(), 1, "the newer one stays");
        registry.devices(&[DEVICE, DeviceId::from_bytes([2; 16])]);
        second.woken().await;
        drop(second);
        assert_eq!(registry.connected(), 0);
    }

    #[tokio::test]
    async fn signals_reach_who_is_connected_and_do_not_pile_up() {
        let registry = Arc::new(Registry::default());
        registry.signal(DEVICE, || panic!("nobody is there"));
        let connection = registry.enter(DEVICE);
        for n in 0..=u8::try_from(MAX_SIGNALS).unwrap() {
            registry.signal(DEVICE, || Bytes::from(vec![n]));
        }
        for n in 0..u8::try_from(MAX_SIGNALS).unwrap() {
            assert_eq!(connection.signal().await, Some(Bytes::from(vec![n])));
        }
        registry.signal(DEVICE, || Bytes::from_static(b"later"));
        assert_eq!(connection.signal().await.as_deref(), Some(&b"later"[..]), "the one too many was dropped");
    }

    #[tokio::test]
    async fn closing_reaches_all_and_those_that_come_later() {
        let registry = Arc::new(Registry::default());
        let early = registry.enter(DEVICE);
        registry.close(&[DEVICE], CloseReason::Suspended);
        assert_eq!(early.closed().await, CloseReason::Suspended);
        registry.close_all();
        assert_eq!(registry.enter(DEVICE).closed().await, CloseReason::GoingAway);
    }
}
