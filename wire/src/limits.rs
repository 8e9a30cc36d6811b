//! Every bound that client, relay and gateway agree on.

/// Recipient devices of one message.
pub const MAX_RECIPIENT_DEVICES: usize = 2_000;
/// Addresses in one request for recipients.
pub const MAX_RECIPIENT_ADDRESSES: usize = 500;
/// Bytes of a sealed body: 64 KiB of content, the recipient list of a large room, padding.
pub const MAX_SEALED_BODY: usize = 256 * 1024;
/// Bytes of clear content in one message; longer things travel as attachments.
pub const MAX_CONTENT: usize = 64 * 1024;
/// Bytes of one client request other than a blob.
pub const MAX_REQUEST: usize = 1024 * 1024;
/// Bytes of one sealed attachment.
pub const MAX_BLOB: u64 = 100 * 1024 * 1024;
/// One-time prekeys in one batch.
pub const MAX_PREKEYS_A_BATCH: usize = 256;
/// One-time prekeys that a device uploads at a time.
pub const PREKEYS_A_BATCH: u32 = 64;
/// A device uploads a new batch when fewer one-time prekeys than this are left: a quarter is the most that one sender gets of what is
/// there, and more come before a conversation has used that.
pub const PREKEYS_LOW: u32 = 128;
/// Medium-term prekeys of a batch, one a week: so long a device that is away can be written to.
pub const MEDIUM_TERM_WEEKS: u32 = 9;
/// The secret of a medium-term prekey is kept for so long from the begin of its week (seconds): the week and the queue. 37 days.
pub const MEDIUM_TERM_SECONDS: u64 = sotto_crypto::MEDIUM_TERM_MS / 1000 + MAX_QUEUE_SECONDS;
/// Devices of one user.
pub const MAX_DEVICES_A_USER: usize = 10;
/// Messages queued for one device; beyond it senders are told `mailbox_full`.
pub const MAX_QUEUED_A_DEVICE: u64 = 100_000;
/// Messages of one device that wait for other networks; beyond it the device is told `mailbox_full`.
pub const MAX_OUTBOX_A_DEVICE: u64 = 1_000;
/// Messages of all that wait for one other network; beyond it senders are told `mailbox_full`.
pub const MAX_OUTBOX_A_NETWORK: u64 = 20_000;
/// Longest life of a queued message, and the life of one that names none (seconds): 30 days.
pub const MAX_QUEUE_SECONDS: u64 = 30 * 24 * 3600;
/// So long after it has come a client knows a message again (seconds), and longer where it was sealed to a prekey of weeks to come: until
/// no secret is left that could open a repeat, and a day for clocks that differ. 38 days.
pub const REPLAY_SECONDS: u64 = MEDIUM_TERM_SECONDS + 24 * 3600;
/// So long after it has accepted a message a relay knows its id again (seconds): as long as any recipient, who may have got it at the
/// end of its time in the queue. 68 days.
pub const REMEMBER_SECONDS: u64 = MAX_QUEUE_SECONDS + REPLAY_SECONDS;
/// Life of a session token (seconds).
pub const SESSION_SECONDS: u64 = 3600;
/// Life of a log-in token and of an unanswered challenge (seconds).
pub const LOGIN_SECONDS: u64 = 300;
/// Bytes of a vault.
pub const MAX_VAULT: usize = 1024;
/// Bytes in one slot of a link.
pub const MAX_LINK_SLOT: usize = 64 * 1024;
/// Slots of one link, numbered from 0.
pub const MAX_LINK_SLOTS: u32 = 4096;
/// Bytes in all links of one user together: what does not fit waits until a link is removed.
pub const MAX_LINK_BYTES_A_USER: u64 = 256 * 1024 * 1024;
/// Links of one user at a time.
pub const MAX_LINKS_A_USER: u32 = 16;
/// Life of a link since it was last written to (seconds).
pub const LINK_SECONDS: u64 = 24 * 3600;
/// Longest wait for a slot that is empty (seconds).
pub const LINK_WAIT_SECONDS: u64 = 20;
/// Bytes of the sealed body of a signal.
pub const MAX_SIGNAL: usize = 16 * 1024;
/// Devices that a signal goes to.
pub const MAX_SIGNAL_DEVICES: usize = 64;
/// Messages that are asked for again at a time.
pub const MAX_RESEND: usize = 64;
/// Messages that one receipt names.
pub const MAX_RECEIPTS: usize = 256;

/// Longest name of a person, in characters: a first and a last name of 100 each, and the space between them.
pub const MAX_NAME_CHARS: usize = 201;
