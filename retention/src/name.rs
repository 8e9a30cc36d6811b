//! Where things are kept: names under the destination. Pure. Made from times and digests alone: nothing that a sender has
//! chosen can name a path, or the place of somebody else's record.

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use minicbor::{Decode, Encode};
use sotto_client::{Gap, GapEvent};

use crate::item::Item;

/// A name under the destination, with `/` between folders.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub(crate) struct ObjectName(#[n(0)] String);

impl ObjectName {
    /// Of the record of what has happened to somebody's chain of messages: the same however often it is written.
    pub(crate) fn of_gap(gap: &Gap) -> Self {
        let day = timestamp(gap.at_ms).to_zoned(TimeZone::UTC).strftime("%Y/%m/%d").to_string();
        let mut chain = b"sotto/2 gap\0".to_vec();
        chain.extend_from_slice(gap.conversation.as_bytes());
        chain.push(0);
        chain.extend_from_slice(gap.sender.as_str().as_bytes());
        chain.push(0);
        chain.extend_from_slice(gap.device.as_bytes());
        let mut mark = HEXLOWER.encode(&sotto_crypto::digest(&chain));
        mark.truncate(32);
        let message = gap.message.map_or_else(String::new, |id| format!("-{id}"));
        let (word, from, to) = (gap_word(gap.what), gap.from, gap.to);
        Self(format!("missing/{day}/{}-{mark}-{from}-{to}-{word}{message}.json", seconds(gap.at_ms)))
    }

    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The word for what has happened.
pub(crate) fn gap_word(what: GapEvent) -> &'static str {
    match what {
        GapEvent::Missing => "missing",
        GapEvent::Came => "came",
        GapEvent::Gone => "gone",
        GapEvent::NotForUs => "not_for_us",
        GapEvent::Conflict => "conflict",
    }
}

/// The names of one message. The same for a redelivery.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Names {
    /// What they have in common, without folders.
    #[n(0)]
    mark: String,
    /// The JSON document.
    #[n(1)]
    pub(crate) record: ObjectName,
    /// The file that came with it.
    #[n(2)]
    pub(crate) attachment: ObjectName,
    /// The JSON document that says what became of that file.
    #[n(3)]
    pub(crate) outcome: ObjectName,
    /// The delivery as it came, where it cannot be read.
    #[n(4)]
    pub(crate) sealed: ObjectName,
}

impl Names {
    /// The names of this one.
    pub(crate) fn of<R>(item: &Item<R>) -> Self {
        let day = timestamp(item.accepted_at_ms).to_zoned(TimeZone::UTC).strftime("%Y/%m/%d").to_string();
        // Senders choose message ids, and who has got a message knows its id: the mark keeps the records of different
        // senders apart, so that nobody can write over somebody else's.
        let mark = mark(item);
        let id = item.message.map_or_else(|| mark.clone(), |id| id.to_string());
        let mark = format!("{}-{id}-{mark}", seconds(item.accepted_at_ms));
        let stem = format!("{day}/{mark}");
        Self {
            mark,
            record: ObjectName(format!("messages/{stem}.json")),
            attachment: ObjectName(format!("attachments/{stem}")),
            outcome: ObjectName(format!("files/{stem}.json")),
            sealed: ObjectName(format!("unreadable/{stem}.cbor")),
        }
    }

    /// By which the message is known here.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }
}

/// 32 digits: for a good message from its verified sender and device and its commitment, for another delivery from all of it.
fn mark<R>(item: &Item<R>) -> String {
    let digest = match (&item.fault, &item.sender, &item.device) {
        (None, Some(sender), Some(device)) => {
            let mut input = b"sotto/2 record\0".to_vec();
            input.extend_from_slice(sender.as_str().as_bytes());
            input.push(0);
            input.extend_from_slice(device.as_bytes());
            // Two messages under one id are two records, whatever the relay made of them.
            input.extend_from_slice(item.commitment.as_ref().map(<[u8; 32]>::as_slice).unwrap_or_default());
            sotto_crypto::digest(&input)
        }
        (Some(fault), ..) => sotto_crypto::digest(&fault.sealed),
        // No good message lacks a sender; if one did, it would still get a name.
        (None, ..) => sotto_crypto::digest(&item.accepted_at_ms.to_be_bytes()),
    };
    let mut text = HEXLOWER.encode(&digest);
    text.truncate(32);
    text
}

/// "seconds.microseconds".
pub(crate) fn seconds(ms: u64) -> String {
    format!("{}.{:03}000", ms / 1000, ms % 1000)
}

/// The moment; one beyond the year 9999 is the last moment of it.
pub(crate) fn timestamp(ms: u64) -> Timestamp {
    i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{broken, text};

    #[test]
    fn a_name_has_day_time_id_and_mark() {
        let item = text("hello");
        let names = Names::of(&item);
        let (record, id) = (names.record.as_str(), item.message.unwrap().to_string());
        assert!(record.starts_with(&format!("messages/2023/08/04/1691176258.901000-{id}-")), "{record}");
        assert_eq!(record.len(), "messages/2023/08/04/1691176258.901000-".len() + 32 + 1 + 32 + ".json".len());
        assert!(names.attachment.as_str().starts_with("attachments/2023/08/04/1691176258.901000-"));
        assert_eq!(names, Names::of(&text("hello")), "the same for a redelivery");
    }

    #[test]
    fn nobody_can_take_the_name_of_somebody_elses_record() {
        let mut mallory = text("hello");
        mallory.sender = Some(sotto_crypto::Address::parse("mallory@chat.acme.example").unwrap());
        assert_ne!(Names::of(&mallory).record, Names::of(&text("hello")).record);
        // Nor one's own of before, by using its id again.
        let mut again = text("never mind");
        again.commitment = Some([4; 32]);
        assert_ne!(Names::of(&again).record, Names::of(&text("hello")).record);
        // Nor by something that does not open and claims to be from alice.
        let mut forged = broken(None);
        forged.message = text("hello").message;
        assert_ne!(Names::of(&forged).record, Names::of(&text("hello")).record);
    }

    #[test]
    fn what_happens_to_a_chain_has_one_name_each() {
        let gap = crate::testing::gap(GapEvent::Missing);
        let name = ObjectName::of_gap(&gap);
        assert!(name.as_str().starts_with("missing/2023/08/04/1691176258.901000-"), "{}", name.as_str());
        assert!(name.as_str().ends_with("-3-5-missing.json"), "{}", name.as_str());
        assert_eq!(name, ObjectName::of_gap(&crate::testing::gap(GapEvent::Missing)));
        let others = [
            crate::testing::gap(GapEvent::Gone),
            crate::testing::gap(GapEvent::Conflict),
            sotto_client::Gap { conversation: "other".into(), ..crate::testing::gap(GapEvent::Missing) },
        ];
        assert!(others.iter().all(|other| ObjectName::of_gap(other) != name));
    }

    #[test]
    fn seconds_have_six_digits_behind_the_point() {
        assert_eq!(seconds(1_691_176_258_901), "1691176258.901000");
        assert_eq!(seconds(7), "0.007000");
        assert_eq!(seconds(u64::MAX), "18446744073709551.615000");
    }

    proptest! {
        #[test]
        fn a_name_is_made_of_safe_characters(ms in any::<u64>(), sealed in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut item = broken(None);
            item.accepted_at_ms = ms;
            if let Some(fault) = &mut item.fault { fault.sealed = sealed; }
            let name = Names::of(&item).sealed;
            prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b"/.-".contains(&b)));
            prop_assert!(!name.as_str().contains("..") && name.as_str().split('/').count() == 5);
        }
    }
}
