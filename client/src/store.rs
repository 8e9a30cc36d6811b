//! The local store: SQLite, every value sealed, every row key hidden. Safe for several processes and for kill -9: each
//! change is one transaction that is on disk when it returns.

pub(crate) mod account;
mod annotations;
mod aside;
pub(crate) mod chains;
mod cipher;
mod db;
mod documents;
mod erasable;
pub(crate) mod key;
mod links;
mod lists;
mod messages;
mod migrate;
mod open;
mod outbox;
pub(crate) mod profile;
mod quota;
mod records;
mod rooms;
mod sweep;
mod talk;

pub(crate) use aside::{Aside, AsideCount, Reason};
pub use chains::GapEvent;
pub(crate) use chains::{
    AnsweredRecord, ChainKey, ChainRecord, Gap, GapNews, GapsRecord, HeadRecord, OwnChainRecord, SentRecord,
};
pub(crate) use db::{Store, Tx, list_all};
pub(crate) use documents::{DirectoryRecord, MembershipRecord, PeerRecord, PolicyRecord};
pub(crate) use links::{HistoryIn, HistoryOffered, HistoryOut, PendingLink};
pub use lists::DeviceChange;
pub(crate) use lists::{DeviceNews, GoneDevice, ListRecord};
pub(crate) use messages::{Exact, Placed, Seen, Unread};
pub(crate) use outbox::outbox_all;
pub(crate) use records::{
    AccountRecord, BatchRecord, Change, Established, MessageState, Pin, PrekeyRecord, Record, StoredMessage,
};
pub use records::{LeftOut, Missing, RemovedDevices, SeenIn};
pub(crate) use rooms::RoomEventRecord;
pub(crate) use sweep::sweep;
pub(crate) use talk::{
    Annotation, Audience, ConversationRecord, Mark, OutboxKind, OutboxRecord, PendingReceipt, SettingsRecord,
    conversation, parts_of,
};

#[cfg(test)]
pub(crate) mod tests;
