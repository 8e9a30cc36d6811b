//! The contents of a Secret as a value, whatever keeps it: a Kubernetes Secret or a folder of files.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

/// Named secret bytes; erased when dropped. No Debug, no Display, no Serialize: nothing of it slips into a log.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretData(BTreeMap<String, Zeroizing<Vec<u8>>>);

impl SecretData {
    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.0.get(key).map(|v| v.as_slice())
    }

    /// The value under `key` where it is text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// Sets a value.
    pub fn insert(&mut self, key: &str, value: impl Into<Vec<u8>>) {
        self.0.insert(key.to_owned(), Zeroizing::new(value.into()));
    }

    /// Names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_slice()))
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, Vec<u8>)> for SecretData {
    fn from_iter<T: IntoIterator<Item = (String, Vec<u8>)>>(iter: T) -> Self {
        Self(iter.into_iter().map(|(k, v)| (k, Zeroizing::new(v))).collect())
    }
}

/// What an `ensure…` function did to a Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was good as it was.
    Kept,
    /// There was none.
    Created,
    /// It was replaced, and why.
    Renewed(&'static str),
}

/// A Secret as it has to be, and whether that is new. Only a new one needs to be written.
#[derive(Clone, PartialEq, Eq)]
pub struct Ensured {
    /// All of its contents.
    pub data: SecretData,
    /// What was done.
    pub change: Change,
}

impl Ensured {
    /// As it was.
    pub fn kept(data: &SecretData) -> Self {
        Self { data: data.clone(), change: Change::Kept }
    }

    /// Whether the contents have to be written.
    pub fn changed(&self) -> bool {
        self.change != Change::Kept
    }
}
