//! Which namespaces have to be looked at, and when. A namespace is looked at by one worker at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    due: BTreeMap<String, Instant>,
    running: BTreeSet<String>,
}

impl Queue {
    /// Has the namespace looked at after `delay`, or earlier where that is due already.
    pub(super) fn add(&self, namespace: &str, delay: Duration) {
        let at = Instant::now() + delay;
        let mut state = self.lock();
        let due = state.due.entry(namespace.to_owned()).or_insert(at);
        *due = at.min(*due);
        drop(state);
        self.changed.notify_one();
    }

    /// Waits for the next namespace. It is not given out again before [`Queue::done`].
    pub(super) async fn next(&self) -> String {
        loop {
            let changed = self.changed.notified();
            let at = {
                let mut state = self.lock();
                let next = state
                    .due
                    .iter()
                    .filter(|(name, _)| !state.running.contains(*name))
                    .min_by_key(|(_, at)| **at)
                    .map(|(name, at)| (name.clone(), *at));
                match next {
                    Some((name, at)) if at <= Instant::now() => {
                        state.due.remove(&name);
                        state.running.insert(name.clone());
                        return name;
                    }
                    Some((_, at)) => Some(at),
                    None => None,
                }
            };
            match at {
                Some(at) => tokio::select! { () = changed => {}, () = sleep_until(at) => {} },
                None => changed.await,
            }
        }
    }

    /// The namespace has been looked at.
    pub(super) fn done(&self, namespace: &str) {
        self.lock().running.remove(namespace);
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

    async fn soon<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(Duration::from_millis(200), future).await.ok()
    }

    #[tokio::test]
    async fn the_earliest_comes_first_and_once() {
        let queue = Queue::default();
        queue.add("later", LONG);
        queue.add("now", Duration::ZERO);
        queue.add("now", LONG);
        assert_eq!(soon(queue.next()).await.as_deref(), Some("now"));
        assert_eq!(soon(queue.next()).await, None);
        queue.add("later", Duration::ZERO);
        assert_eq!(soon(queue.next()).await.as_deref(), Some("later"));
    }

    #[tokio::test]
    async fn one_worker_a_namespace() {
        let queue = Queue::default();
        queue.add("a", Duration::ZERO);
        assert_eq!(soon(queue.next()).await.as_deref(), Some("a"));
        queue.add("a", Duration::ZERO);
        assert_eq!(soon(queue.next()).await, None, "it is being looked at");
        queue.done("a");
        assert_eq!(soon(queue.next()).await.as_deref(), Some("a"), "what changed meanwhile is not lost");
    }

    #[tokio::test]
    async fn a_waiting_worker_wakes() {
        let queue = std::sync::Arc::new(Queue::default());
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.next().await }
        });
        tokio::task::yield_now().await;
        queue.add("a", Duration::from_millis(20));
        assert_eq!(soon(waiting).await.and_then(Result::ok).as_deref(), Some("a"));
    }
}
