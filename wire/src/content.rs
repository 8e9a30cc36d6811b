//! What is inside a sealed message: known to sender and recipients, never to the relay.

use minicbor::{Decode, Encode};
use sotto_crypto::{Address, BlobId, Domain};

/// The clear content of a message.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Content {
    /// Content version, 1. A reader shows a newer one as "needs a newer client" and keeps it.
    #[n(0)]
    pub version: u8,
    /// Which conversation it belongs to.
    #[n(1)]
    pub conversation: Conversation,
    /// When it was sent by the sender's clock (milliseconds since the epoch).
    #[n(2)]
    pub sent_at_ms: u64,
    /// Seconds from sending after which every copy but the retained one is deleted.
    #[n(3)]
    pub expires_in_s: Option<u64>,
    /// Seconds from reading after which the reader's copy is deleted.
    #[n(4)]
    pub burn_after_read_s: Option<u64>,
    /// What was said.
    #[n(5)]
    pub body: Body,
}

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Conversation {
    /// Between two people. Identified by the two addresses in order.
    #[n(0)]
    Direct(#[n(0)] Address, #[n(1)] Address),
    /// Between these people (with the sender, in order, no repeats), without moderation.
    #[n(1)]
    Group(#[n(0)] Vec<Address>),
}

impl Conversation {
    /// The conversation of these people: direct for two (or a note to oneself), a group for more.
    pub fn of(people: impl IntoIterator<Item = Address>) -> Option<Self> {
        let mut members: Vec<Address> = people.into_iter().collect();
        members.sort();
        members.dedup();
        match members.as_slice() {
            [] => None,
            [only] => Some(Self::Direct(only.clone(), only.clone())),
            [a, b] => Some(Self::Direct(a.clone(), b.clone())),
            _ => Some(Self::Group(members)),
        }
    }

    /// Everybody in it.
    pub fn members(&self) -> Vec<Address> {
        match self {
            Self::Direct(a, b) if a == b => vec![a.clone()],
            Self::Direct(a, b) => vec![a.clone(), b.clone()],
            Self::Group(members) => members.clone(),
        }
    }

    /// 64 characters that name it, the same on every device (settings.md: 64 hex; "G…" for a group): SHA-512/256
    /// over label, kind and members in hex, for a group with its first digit replaced by `G`.
    pub fn id(&self) -> String {
        let mut input = b"sotto/1 conversation\0".to_vec();
        input.extend_from_slice(&sotto_crypto::encode(self));
        let mut id = data_encoding::HEXLOWER.encode(&sotto_crypto::digest(&input));
        if matches!(self, Self::Group(_)) {
            id.replace_range(0..1, "G");
        }
        id
    }
}

/// What was said.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub enum Body {
    /// Text.
    #[n(0)]
    Text(#[n(0)] String),
    /// A file.
    #[n(1)]
    File(#[n(0)] File),
}

/// A file that travels as a sealed blob.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct File {
    /// Name without folders.
    #[n(0)]
    pub name: String,
    /// Clear size in bytes.
    #[n(1)]
    pub size: u64,
    /// Media type.
    #[n(2)]
    pub media_type: String,
    /// The network whose relay holds the blob.
    #[n(3)]
    pub domain: Domain,
    /// The blob there.
    #[n(4)]
    pub blob: BlobId,
    /// Opens the blob ([`sotto_crypto::AttachmentKey`]).
    #[cbor(n(5), with = "minicbor::bytes")]
    pub key: [u8; 32],
    /// SHA-512/256 of the sealed bytes.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub digest: [u8; 32],
    /// Words that came with it.
    #[n(7)]
    pub caption: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a(s: &str) -> Address {
        Address::parse(s).unwrap()
    }

    #[test]
    fn a_conversation_is_the_same_from_both_sides() {
        let one = Conversation::of([a("a@x.example"), a("b@x.example")]).unwrap();
        let two = Conversation::of([a("b@x.example"), a("a@x.example"), a("b@x.example")]).unwrap();
        assert_eq!(one, two);
        assert_eq!(one.id(), two.id());
        assert_eq!(one.id().len(), 64);
    }

    #[test]
    fn a_group_says_so_in_its_id() {
        let g = Conversation::of([a("a@x.example"), a("b@x.example"), a("c@y.example")]).unwrap();
        assert!(g.id().starts_with('G'));
        assert_eq!(g.id().len(), 64);
        assert_eq!(g.members().len(), 3);
        assert_eq!(Conversation::of([]), None);
    }
}
