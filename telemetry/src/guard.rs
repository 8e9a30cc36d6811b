//! What stands before all exporters: removes labels that are not in the allow-list, and bounds how many series one
//! metric can have, so that neither a mistake in the code nor a stranger's input can leak names or fill memory.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Metadata, Recorder, SharedString, Unit};

use crate::labels::{ALLOWED, MAX_SERIES, MAX_VALUE, NETWORK, OVERFLOW};

/// A recorder that passes on only what may be passed on.
pub(crate) struct Guard<R> {
    inner: R,
    /// The label sets seen so far, by metric.
    seen: RwLock<HashMap<String, HashSet<Vec<Label>>>>,
    warned: AtomicBool,
}

impl<R: Recorder> Guard<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, seen: RwLock::default(), warned: AtomicBool::new(false) }
    }

    /// The key as it may be recorded; `None` if it may as it is.
    fn sanitised(&self, key: &Key) -> Option<Key> {
        if key.labels().len() == 0 {
            return None;
        }
        let mut labels: Vec<Label> = Vec::with_capacity(2);
        for label in key.labels() {
            let second = label.key() != NETWORK && labels.iter().any(|kept| kept.key() != NETWORK);
            if second || !ALLOWED.iter().any(|(name, _)| *name == label.key()) {
                if !self.warned.swap(true, Ordering::Relaxed) {
                    // The label's value may be what must not be told.
                    tracing::warn!(
                        metric = key.name(),
                        label = label.key(),
                        "a label that metrics may not have was removed"
                    );
                }
                continue;
            }
            labels.push(if label.value().len() > MAX_VALUE || !label.value().is_ascii() {
                Label::new(label.key().to_owned(), OVERFLOW)
            } else {
                label.clone()
            });
        }
        labels.sort();
        if !self.known(key.name(), &labels) {
            for label in labels.iter_mut().filter(|label| label.key() != NETWORK) {
                *label = Label::new(label.key().to_owned(), OVERFLOW);
            }
        }
        Some(Key::from_parts(key.name().to_owned(), labels))
    }

    /// Whether this label set has been seen or could be added.
    fn known(&self, name: &str, labels: &[Label]) -> bool {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(sets) = seen.get(name) {
            if sets.contains(labels) {
                return true;
            }
            if sets.len() >= MAX_SERIES {
                return false;
            }
        }
        drop(seen);
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        let sets = seen.entry(name.to_owned()).or_default();
        if sets.len() >= MAX_SERIES {
            return sets.contains(labels);
        }
        sets.insert(labels.to_vec());
        true
    }
}

impl<R: Recorder> Recorder for Guard<R> {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.inner.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.inner.register_counter(self.sanitised(key).as_ref().unwrap_or(key), metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.inner.register_gauge(self.sanitised(key).as_ref().unwrap_or(key), metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.inner.register_histogram(self.sanitised(key).as_ref().unwrap_or(key), metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels;

    fn labels_of(key: &Key) -> Vec<(String, String)> {
        key.labels().map(|l| (l.key().to_owned(), l.value().to_owned())).collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    #[test]
    fn only_allowed_labels_pass() {
        let guard = Guard::new(metrics::NoopRecorder);
        assert!(guard.sanitised(&Key::from_name("m")).is_none());
        let key = Key::from_parts("m", &[("user", "alice@a.example"), (labels::PEER, "b.example")]);
        assert_eq!(labels_of(&guard.sanitised(&key).unwrap()), [pair("peer", "b.example")]);
        let key = Key::from_parts("m", &[("device", "1"), ("room", "2")]);
        assert!(labels_of(&guard.sanitised(&key).unwrap()).is_empty());
    }

    #[test]
    fn one_label_besides_the_network() {
        let guard = Guard::new(metrics::NoopRecorder);
        let key =
            Key::from_parts("m", &[(labels::KIND, "User"), (labels::NETWORK, "a.example"), (labels::REASON, "x")]);
        let kept = labels_of(&guard.sanitised(&key).unwrap());
        assert_eq!(kept, [pair("kind", "User"), pair("network", "a.example")]);
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let guard = Guard::new(metrics::NoopRecorder);
        let key = |n: usize| Key::from_parts("m", &[(labels::PEER, format!("{n}.example"))]);
        for n in 0..MAX_SERIES {
            assert_eq!(labels_of(&guard.sanitised(&key(n)).unwrap()), [pair("peer", &format!("{n}.example"))]);
        }
        assert_eq!(labels_of(&guard.sanitised(&key(MAX_SERIES)).unwrap()), [pair("peer", OVERFLOW)]);
        // Known ones stay known, and another metric has its own bound.
        assert_eq!(labels_of(&guard.sanitised(&key(0)).unwrap()), [pair("peer", "0.example")]);
        let other = Key::from_parts("n", &[(labels::PEER, "z.example")]);
        assert_eq!(labels_of(&guard.sanitised(&other).unwrap()), [pair("peer", "z.example")]);
    }

    #[test]
    fn long_or_foreign_values_are_replaced() {
        let guard = Guard::new(metrics::NoopRecorder);
        for value in ["x".repeat(MAX_VALUE + 1), "bücher.example".to_owned()] {
            let key = Key::from_parts("m", &[(labels::PEER, value)]);
            assert_eq!(labels_of(&guard.sanitised(&key).unwrap()), [pair("peer", OVERFLOW)]);
        }
    }
}
