//! What the relay remembers, as operations: [`Store`] is the seam between the relay and its engines.
//!
//! An operation is one transaction: when it answers, its effect is durable (on disk, or on a quorum), and what it
//! checked held at that moment. Time is always given by the caller. Outcomes that a client can cause are values;
//! [`StoreError`] is for faults of the engine only.
//!
//! Every engine passes the same suite, `conformance.rs`.

mod accounts;
mod blobs;
#[cfg(test)]
pub(crate) mod conformance;
mod devices;
mod links;
mod mailboxes;
mod outbox;
mod policies;
pub(crate) mod sqlite;

use std::error::Error;

use futures::future::BoxFuture;
use sotto_crypto::DeviceId;

pub(crate) use accounts::{
    Accounts, ChangePassword, Login, NewAccount, NewPassword, Origin, PutOutcome, Registration, UserRecord, UserSummary,
};
pub(crate) use blobs::{BlobMeta, Blobs};
pub(crate) use devices::{
    AddDevice, Claim, Claimed, DeviceRecord, Devices, DirectoryUser, NewBatch, NewDevice, NewList, NewPrekey, PutList,
};
pub(crate) use links::{LinkBounds, LinkId, Links, NewSlot, PutSlot};
pub(crate) use mailboxes::{
    Acceptance, LocalWrap, Mailboxes, NewMessage, QueueBounds, QueueStats, Queued, QueuedItem, Swept,
};
pub(crate) use outbox::{Outbox, OutboxEntry, Refusal};
pub(crate) use policies::{DeleteGroup, Policies, PutDocument, StoredDirectory, StoredDocuments, StoredPolicy};

/// A fault of the engine. The relay logs it and tells clients no more than `unavailable` or `internal`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The engine failed: disk full, disk broken, a lock that does not come free.
    #[error("the store failed: {0}")]
    Engine(#[source] Box<dyn Error + Send + Sync>),
    /// What is stored cannot be read back.
    #[error("the store holds something that cannot be read: {0}")]
    Corrupt(&'static str),
    /// Made by a newer version of this program.
    #[error(
        "the store has schema version {found}, this program knows {known}: run the newer version, or restore a backup"
    )]
    Newer {
        /// What the file says.
        found: i64,
        /// What this program knows.
        known: i64,
    },
    /// Made for a version of the protocol that is not spoken any more.
    #[error(
        "the store is of version 1 of the protocol (schema version {found}), which nobody speaks any more; nothing was changed in it: set the state folder aside and start with an empty one, and give each user a new invite"
    )]
    OldProtocol {
        /// What the file says.
        found: i64,
    },
    /// The relay is stopping.
    #[error("the store is closed")]
    Closed,
}

/// The answer of an operation.
pub(crate) type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Told by an engine when something is durable that somebody may be waiting for. Must not block.
pub(crate) trait Wake: Send + Sync {
    /// There is something new in these devices' queues.
    fn devices(&self, devices: &[DeviceId]);
    /// There is something new for other networks.
    fn outbox(&self);
}

/// An engine.
pub(crate) trait Store:
    Policies + Accounts + Devices + Mailboxes + Outbox + Blobs + Links + Send + Sync
{
    /// Finishes what was begun and closes; everything after it answers [`StoreError::Closed`].
    fn close(&self) -> Answer<'_, ()>;
}
