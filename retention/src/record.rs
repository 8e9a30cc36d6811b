//! From what has come to the JSON document that is kept. Pure.
//!
//! The documented fields are those that administrators know (`message_id`, `msg_ts`, `msgtype`, …, `file`); times in them
//! are the relay's, in UTC. The others are ours, for an auditor: who vouches for it, and who got it; `sent_at` and `expires_at` are
//! its sender's word, which is signed, and `retained_at` is this process's.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::Serialize;
use sotto_client::Gap;
use sotto_crypto::{Address, CLOCK_TOLERANCE_MS, Domain};
use sotto_wire::content::{Body, Conversation, File, FileKind};
use sotto_wire::limits::MAX_QUEUE_SECONDS;
use sotto_wire::policy::Anchor;

use control::{Control, Deed, Edit, Receipt};

use crate::item::Item;
use crate::name::{ObjectName, gap_word, seconds, timestamp};
use crate::waiting::Waiting;

/// `msgtype` of a text.
const TEXT: u16 = 1000;
/// `msgtype` of a file.
const FILE: u16 = 6000;
/// `msgtype` of what is missing: not one of the documented ones.
const GAP: u16 = 9300;
/// `msgtype` of what cannot be read: not one of the documented ones.
const UNREADABLE: u16 = 0;

/// For whom records are made.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// The network of the retention process.
    pub(crate) network: Domain,
    /// Name of its policy.
    pub(crate) policy: String,
}

/// What became of the attachment of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attachment {
    /// It has none.
    None,
    /// It is fetched next, and will have this name; [`Outcome`] says when.
    Pending(ObjectName),
    /// It is not tried to fetch it.
    Missing(String),
}

/// What became of a file that its record calls pending: a document of its own, since what is kept is never written over.
#[derive(Serialize)]
pub(crate) struct Outcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    msg_ts: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<String>,
    /// The name of the message's own document.
    record: String,
    file: OutcomeFile,
    network: String,
    policy: String,
    retained_at: String,
}

#[derive(Serialize)]
struct OutcomeFile {
    filename: String,
    guid: String,
    size: u64,
    /// Where it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    localfilename: Option<String>,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob: Option<BlobRecord>,
}

impl Outcome {
    /// `missing`: why it cannot be had; without, it is kept.
    pub(crate) fn of(subject: &Subject, waiting: &Waiting, missing: Option<String>, now_ms: u64) -> Self {
        let file = &waiting.file;
        Self {
            message_id: waiting.message.map(|id| id.to_string()),
            msg_ts: seconds(waiting.accepted_at_ms),
            sender: text(waiting.sender.as_ref()),
            record: waiting.names.record.as_str().to_owned(),
            file: OutcomeFile {
                filename: file.name.clone(),
                guid: file.blob.to_string(),
                size: file.size,
                localfilename: missing.is_none().then(|| waiting.names.attachment.as_str().to_owned()),
                blob: missing.is_some().then(|| BlobRecord::of(file)),
                error: missing,
            },
            network: subject.network.to_string(),
            policy: subject.policy.clone(),
            retained_at: rfc3339(now_ms),
        }
    }

    /// As it is kept: one line.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        line(self)
    }
}

/// One document. Holds clear text: no Debug.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each a field of the document")]
#[derive(Serialize)]
pub(crate) struct Record {
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    /// The id that it bears, where its sender's device has used that for another message before.
    #[serde(skip_serializing_if = "Option::is_none")]
    conflicts_with: Option<String>,
    msg_ts: String,
    msgtype: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<String>,
    /// How the sender was called that day, as the administrator of their network has signed it. Only of a verified sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_name: Option<String>,
    sender_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    receiver: Option<String>,
    time: String,
    time_iso: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vgroupid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<FileRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edit: Option<Edit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Receipt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    control: Option<Control>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<Control>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mentions: Vec<String>,
    /// As the forwarder says.
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarded_from: Option<String>,
    network: String,
    policy: String,
    retained_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    burn_after_read_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_device_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_identity: Option<String>,
    /// By what it is known that the identity is the sender's: `membership` (their administrator has signed it) or `invite` (it was
    /// registered with their invite). Absent where nothing says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_identity_by: Option<&'static str>,
    /// Whether the message bears a signature under an identity that is known to be the sender's.
    sender_verified: bool,
    /// Its number, of all that the device has said to everybody in the conversation, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    /// Whether it was recorded as missing before it came.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    late: bool,
    /// Whether the times cannot all be right: the relay's (`time`), the sender's (`sent_at`) and this process's (`retained_at`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    times_disagree: bool,
    /// Whether the device that it is from is none of its sender's any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sender_device_removed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    members: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recipients: Vec<String>,
    /// How the other members and recipients were called that day, by address, as far as it was known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    names: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
    /// The clear content (CBOR, base64), where this version cannot read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
}

/// What has happened to the chain of messages of one device in one conversation: some are missing, or one of them has come after
/// all, or its sender says that it will not; or two contradict each other.
#[derive(Serialize)]
pub(crate) struct GapRecord {
    msg_ts: String,
    msgtype: u16,
    sender: String,
    sender_type: &'static str,
    time: String,
    time_iso: String,
    vgroupid: String,
    gap: Missing,
    network: String,
    policy: String,
    retained_at: String,
    sender_device: String,
}

/// The `gap` of a document.
#[derive(Serialize)]
struct Missing {
    /// `missing`, `came`, `gone`, `not_for_us` or `conflict`.
    event: &'static str,
    /// The number of the first message, of all that the device has said to everybody in the conversation, from 0.
    first: u64,
    count: u64,
    /// The message that has come, or that contradicts.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
}

impl GapRecord {
    pub(crate) fn of(subject: &Subject, gap: &Gap, now_ms: u64) -> Self {
        Self {
            msg_ts: seconds(gap.at_ms),
            msgtype: GAP,
            sender: gap.sender.to_string(),
            sender_type: "normal",
            time: display(gap.at_ms),
            time_iso: iso(gap.at_ms),
            vgroupid: gap.conversation.clone(),
            gap: Missing {
                event: gap_word(gap.what),
                first: gap.from,
                count: gap.to.saturating_sub(gap.from),
                message_id: gap.message.map(|id| id.to_string()),
            },
            network: subject.network.to_string(),
            policy: subject.policy.clone(),
            retained_at: rfc3339(now_ms),
            sender_device: gap.device.to_string(),
        }
    }

    /// As it is kept: one line.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        line(self)
    }
}

fn line(document: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec(document)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The `file` of a document.
#[derive(Serialize)]
struct FileRecord {
    filename: String,
    guid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    localfilename: Option<String>,
    uploadedbyuser: Option<String>,
    uploadedtimestamp: String,
    size: u64,
    media_type: String,
    /// `voice` or `video`, where it is a recorded message.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    /// It is still to be fetched to `localfilename`: a document of the same name under `files/` tells the end.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pending: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Where it is and what opens it, whatever becomes of this process.
    blob: BlobRecord,
}

/// A sealed attachment that is still elsewhere.
#[derive(Serialize)]
struct BlobRecord {
    network: String,
    key: String,
    digest: String,
}

impl BlobRecord {
    fn of(file: &File) -> Self {
        Self {
            network: file.domain.to_string(),
            key: data_encoding::BASE64.encode(&file.key),
            digest: data_encoding::BASE64.encode(&file.digest),
        }
    }
}

impl Record {
    /// The document of an item.
    pub(crate) fn of<R>(
        subject: &Subject,
        item: &Item<R>,
        attachment: &Attachment,
        sealed: Option<&ObjectName>,
        now_ms: u64,
    ) -> Self {
        let content = item.content.as_ref();
        let conversation = content.map(|c| &c.conversation);
        let body = content.map(|c| &c.body);
        let deed = body.map(|body| Deed::of(body, item.sender.as_ref())).unwrap_or_default();
        let (message, file) = match body {
            Some(Body::Text(text)) => (Some(text.clone()), None),
            Some(Body::File(file)) => (file.caption.clone(), Some(file_record(item, file, attachment))),
            _ => (None, None),
        };
        let established_by = item.keys.as_ref().and_then(|keys| keys.established_by);
        // By its sender's word, which is signed, and the own clock.
        let expires = content.and_then(|c| c.ends_at_ms(now_ms));
        let sender = item.sender.as_ref();
        let others = item.names.iter().filter(|(who, _)| Some(*who) != sender);
        Self {
            message_id: item.message.map(|id| id.to_string()),
            conflicts_with: item.conflicts_with.map(|id| id.to_string()),
            msg_ts: seconds(item.accepted_at_ms),
            msgtype: deed.msgtype,
            sender: text(sender),
            sender_name: established_by.and(sender).and_then(|who| item.names.get(who)).cloned(),
            sender_type: "normal",
            receiver: receiver(sender, conversation),
            time: display(item.accepted_at_ms),
            time_iso: iso(item.accepted_at_ms),
            ttl: expires.map(display),
            vgroupid: conversation.map(Conversation::id),
            message,
            file,
            edit: deed.edit,
            receipt: deed.receipt,
            control: deed.control,
            events: deed.events,
            reply_to: content.and_then(|c| c.reply_to.as_ref()).map(|m| m.message.to_string()),
            mentions: content.and_then(|c| c.mentions.as_deref()).map(texts).unwrap_or_default(),
            forwarded_from: content.and_then(|c| c.forwarded.as_ref()).map(|f| f.from.to_string()),
            network: subject.network.to_string(),
            policy: subject.policy.clone(),
            retained_at: rfc3339(now_ms),
            sent_at: content.map(|c| rfc3339(c.sent_at_ms)),
            expires_at: expires.map(rfc3339),
            burn_after_read_seconds: content.and_then(|c| c.burn_after_read_s),
            sender_device: item.device.map(|d| d.to_string()),
            sender_device_key: item.keys.as_ref().map(|k| k.device.to_string()),
            sender_identity: item.keys.as_ref().map(|k| k.identity.to_string()),
            sender_identity_by: established_by.map(Anchor::word),
            sender_verified: established_by.is_some(),
            number: content.and_then(|c| c.link.as_ref()).map(|link| link.index),
            late: item.late,
            times_disagree: times_disagree(item.accepted_at_ms, content.map(|c| c.sent_at_ms), now_ms),
            sender_device_removed: item.from_removed_device,
            members: conversation.map(|c| texts(&c.members())).unwrap_or_default(),
            recipients: texts(&item.recipients),
            names: others.map(|(who, name)| (who.to_string(), name.clone())).collect(),
            error: item.fault.as_ref().map(|f| f.reason.clone()),
            sealed: sealed.map(|name| name.as_str().to_owned()),
            content: item.fault.as_ref().and_then(|f| f.raw.as_ref()).map(|raw| data_encoding::BASE64.encode(raw)),
        }
    }

    /// As it is kept: one line.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        line(self)
    }
}

/// Whether the time at which the relay says that it has accepted a message does not fit: it waits there for as long as a queue may be,
/// and comes here afterwards; it was sent before. Five minutes are no matter.
fn times_disagree(accepted_at_ms: u64, sent_at_ms: Option<u64>, now_ms: u64) -> bool {
    let accepted = accepted_at_ms.saturating_add(CLOCK_TOLERANCE_MS);
    let too_old = accepted.saturating_add(MAX_QUEUE_SECONDS * 1000) < now_ms;
    let to_come = accepted_at_ms > now_ms.saturating_add(CLOCK_TOLERANCE_MS);
    too_old
        || to_come
        || sent_at_ms.is_some_and(|sent| sent > accepted || sent > now_ms.saturating_add(CLOCK_TOLERANCE_MS))
}

fn file_record<R>(item: &Item<R>, file: &File, attachment: &Attachment) -> FileRecord {
    let (local, error) = match attachment {
        Attachment::Pending(name) => (Some(name.as_str().to_owned()), None),
        Attachment::Missing(reason) => (None, Some(reason.clone())),
        Attachment::None => (None, None),
    };
    FileRecord {
        filename: file.name.clone(),
        guid: file.blob.to_string(),
        localfilename: local,
        uploadedbyuser: text(item.sender.as_ref()),
        uploadedtimestamp: iso(item.accepted_at_ms),
        size: file.size,
        media_type: file.media_type.clone(),
        kind: file.kind.map(|kind| match kind {
            FileKind::Voice => "voice",
            FileKind::Video => "video",
        }),
        duration_ms: file.duration_ms,
        pending: matches!(attachment, Attachment::Pending(_)),
        error,
        blob: BlobRecord::of(file),
    }
}

/// The other one, in a conversation of two; oneself in a note to oneself.
fn receiver(sender: Option<&Address>, conversation: Option<&Conversation>) -> Option<String> {
    match conversation? {
        Conversation::Direct(a, b) if Some(a) == sender => Some(b.to_string()),
        Conversation::Direct(a, b) if Some(b) == sender => Some(a.to_string()),
        _ => None,
    }
}

fn text(address: Option<&Address>) -> Option<String> {
    address.map(ToString::to_string)
}

fn texts(addresses: &[Address]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

/// "8/4/23 7:10 PM", for people.
fn display(ms: u64) -> String {
    format_utc(ms, "%-m/%-d/%y %-I:%M %p")
}

/// "2023-08-04 19:10:58.901".
fn iso(ms: u64) -> String {
    format_utc(ms, "%Y-%m-%d %H:%M:%S.%3f")
}

/// "2023-08-04T19:10:58.901Z".
fn rfc3339(ms: u64) -> String {
    format_utc(ms, "%Y-%m-%dT%H:%M:%S.%3fZ")
}

fn format_utc(ms: u64, format: &str) -> String {
    timestamp(ms).to_zoned(TimeZone::UTC).strftime(format).to_string()
}

mod control;
#[cfg(test)]
mod tests;
