//! Which networks have to be looked at, and when. A network is looked at by one worker at a time.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// What is looked at together: a Network with the groups, users and policies that refer to it, whether it is there or not. The
/// empty name stands for the objects of the namespace that cannot be read, of which nobody knows where they belong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Unit {
    pub(super) namespace: Arc<str>,
    pub(super) network: Arc<str>,
}

impl Unit {
    pub(super) fn new(namespace: &str, network: &str) -> Self {
        Self { namespace: namespace.into(), network: network.into() }
    }
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.network)
    }
}

/// Why a unit is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// Some time has passed.
    Timer,
    /// Something has changed in the cluster.
    Change,
}

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<Unit, (Instant, Cause)>,
    /// The same, without those that are being looked at, by time.
    order: BTreeSet<(Instant, Unit)>,
    running: HashSet<Unit>,
}

impl State {
    fn put(&mut self, unit: &Unit, at: Instant, cause: Cause) {
        let before = self.waiting.get(unit).copied();
        let (at, cause) = before.map_or((at, cause), |(then, why)| (then.min(at), why.max(cause)));
        if let Some((then, _)) = before {
            self.order.remove(&(then, unit.clone()));
        }
        self.waiting.insert(unit.clone(), (at, cause));
        if !self.running.contains(unit) {
            self.order.insert((at, unit.clone()));
        }
    }
}

impl Queue {
    /// Has the unit looked at after `delay`, or earlier where that is due already.
    pub(super) fn add(&self, unit: &Unit, delay: Duration, cause: Cause) {
        self.lock().put(unit, Instant::now() + delay, cause);
        self.changed.notify_one();
    }

    /// Waits for the next unit. It is not given out again before [`Queue::done`].
    pub(super) async fn next(&self) -> (Unit, Cause) {
        loop {
            let changed = self.changed.notified();
            let at = {
                let mut state = self.lock();
                match state.order.first().cloned() {
                    Some((at, unit)) if at <= Instant::now() => {
                        state.order.remove(&(at, unit.clone()));
                        let cause = state.waiting.remove(&unit).map_or(Cause::Timer, |(_, cause)| cause);
                        state.running.insert(unit.clone());
                        return (unit, cause);
                    }
                    Some((at, _)) => Some(at),
                    None => None,
                }
            };
            match at {
                Some(at) => tokio::select! { () = changed => {}, () = sleep_until(at) => {} },
                None => changed.await,
            }
        }
    }

    /// The unit has been looked at.
    pub(super) fn done(&self, unit: &Unit) {
        let mut state = self.lock();
        state.running.remove(unit);
        if let Some((at, _)) = state.waiting.get(unit).copied() {
            state.order.insert((at, unit.clone()));
        }
        drop(state);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    fn unit(name: &str) -> Unit {
        Unit::new("chat", name)
    }
    async fn soon<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(Duration::from_millis(200), future).await.ok()
    }

    #[tokio::test]
    async fn the_earliest_comes_first_and_once() {
        let queue = Queue::default();
        queue.add(&unit("later"), LONG, Cause::Timer);
        queue.add(&unit("now"), Duration::ZERO, Cause::Change);
        queue.add(&unit("now"), LONG, Cause::Timer);
        assert_eq!(soon(queue.next()).await, Some((unit("now"), Cause::Change)));
        assert_eq!(soon(queue.next()).await, None);
        queue.add(&unit("later"), Duration::ZERO, Cause::Change);
        assert_eq!(soon(queue.next()).await, Some((unit("later"), Cause::Change)), "a change outweighs the timer");
        assert_eq!(soon(queue.next()).await, None);
    }

    #[tokio::test]
    async fn one_worker_a_network() {
        let queue = Queue::default();
        queue.add(&unit("a"), Duration::ZERO, Cause::Timer);
        assert_eq!(soon(queue.next()).await, Some((unit("a"), Cause::Timer)));
        queue.add(&unit("a"), Duration::ZERO, Cause::Change);
        queue.add(&unit("b"), Duration::ZERO, Cause::Timer);
        assert_eq!(soon(queue.next()).await, Some((unit("b"), Cause::Timer)));
        assert_eq!(soon(queue.next()).await, None, "it is being looked at");
        queue.done(&unit("a"));
        assert_eq!(soon(queue.next()).await, Some((unit("a"), Cause::Change)), "what changed meanwhile is not lost");
    }

    #[tokio::test]
    async fn a_waiting_worker_wakes() {
        let queue = std::sync::Arc::new(Queue::default());
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.next().await }
        });
        tokio::task::yield_now().await;
        queue.add(&unit("a"), Duration::from_millis(20), Cause::Timer);
        assert_eq!(soon(waiting).await.and_then(Result::ok), Some((unit("a"), Cause::Timer)));
    }
}
