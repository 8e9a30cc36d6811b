//! The list of those that a message is sealed to, in its one order.

use core::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minicbor::encode::Write;
use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::address::{self, Address};
use crate::codec;
use crate::ids::DeviceId;
use crate::message::MAX_RECIPIENTS;
use crate::suite::{Current, HASH_LEN, Primitives};

/// Those that a message was sealed to: users in the order of their addresses, each once, with their devices in order,
/// each once, and at least one. Cheap to clone, and cheap to read: it stays in its encoding, which has been checked.
#[derive(Clone)]
pub struct RecipientList(Arc<List>);

struct List {
    /// The encoding.
    encoded: Vec<u8>,
    /// Where in it each user begins.
    users: Vec<usize>,
    /// SHA-512 of the encoding, which the sender signs.
    digest: [u8; HASH_LEN],
}

/// Why devices do not make a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListError {
    Empty,
    TooMany,
    Duplicate,
}

impl RecipientList {
    /// Sorts the devices into a list; a device that is named twice is a mistake, not something to pass over.
    #[expect(clippy::expect_used, reason = "what is sorted here is a list")]
    pub(crate) fn new<'a>(devices: impl IntoIterator<Item = (&'a Address, DeviceId)>) -> Result<Self, ListError> {
        let mut users: BTreeMap<&Address, BTreeSet<DeviceId>> = BTreeMap::new();
        let mut count = 0;
        for (address, device) in devices {
            count += 1;
            if count > MAX_RECIPIENTS {
                return Err(ListError::TooMany);
            }
            if !users.entry(address).or_default().insert(device) {
                return Err(ListError::Duplicate);
            }
        }
        if count == 0 {
            return Err(ListError::Empty);
        }
        let sorted: Vec<(&Address, Vec<DeviceId>)> =
            users.into_iter().map(|(address, devices)| (address, devices.into_iter().collect())).collect();
        Ok(Self::begins(&codec::encode(&sorted)).expect("sorted devices are a list"))
    }

    /// The list that these bytes begin with.
    fn begins(input: &[u8]) -> Option<Self> {
        let (users, length) = check(input)?;
        let encoded = input.get(..length)?.to_vec();
        let digest = Current::hash(&[&encoded]);
        Some(Self(Arc::new(List { encoded, users, digest })))
    }

    pub(crate) fn digest(&self) -> &[u8; HASH_LEN] {
        &self.0.digest
    }

    /// The encoding.
    pub(crate) fn encoded(&self) -> &[u8] {
        &self.0.encoded
    }

    /// How many users are in the list: at least one.
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.0.users.len()
    }

    /// The users in the order of the list.
    pub fn users(&self) -> impl ExactSizeIterator<Item = RecipientUser<'_>> {
        self.0.users.iter().map(|start| self.user(*start))
    }

    fn user(&self, start: usize) -> RecipientUser<'_> {
        let mut reader = Reader(self.encoded().get(start..).unwrap_or_default());
        reader.user().unwrap_or(RecipientUser { address: b"", devices: b"" })
    }

    fn find(&self, address: &Address) -> Option<RecipientUser<'_>> {
        let name = address.as_str().as_bytes();
        let found = self.0.users.binary_search_by(|start| self.user(*start).address.cmp(name)).ok()?;
        self.0.users.get(found).map(|start| self.user(*start))
    }

    /// Whether a device of this user is in the list.
    pub fn has(&self, address: &Address) -> bool {
        self.find(address).is_some()
    }

    /// Whether this device is in the list.
    pub fn contains(&self, address: &Address, device: DeviceId) -> bool {
        self.find(address).is_some_and(|user| user.devices().any(|listed| listed == device))
    }

    /// Reads a list; where what is read begins with the encoding of a list that is known, it is that one: CBOR says by
    /// itself where a value ends.
    pub(crate) fn read(decoder: &mut Decoder<'_>, known: &[Self]) -> Result<Self, minicbor::decode::Error> {
        let start = decoder.position();
        let input = decoder.input().get(start..).unwrap_or_default();
        let list = match known.iter().find(|known| input.starts_with(known.encoded())) {
            Some(known) => known.clone(),
            None => Self::begins(input).ok_or_else(|| {
                codec::invalid("recipients: not the one encoding of 1 to 2,000 devices, sorted, each once")
            })?,
        };
        decoder.set_position(start + list.encoded().len());
        Ok(list)
    }
}

/// One user of a list, with devices.
#[derive(Clone, Copy)]
pub struct RecipientUser<'a> {
    address: &'a [u8],
    /// Encoded.
    devices: &'a [u8],
}

impl<'a> RecipientUser<'a> {
    /// The address as text.
    pub fn as_str(&self) -> &'a str {
        core::str::from_utf8(self.address).unwrap_or_default()
    }

    /// The address.
    pub fn address(&self) -> Address {
        Address::checked(self.as_str())
    }

    /// The devices in the order of the list.
    pub fn devices(&self) -> impl ExactSizeIterator<Item = DeviceId> + use<'a> {
        self.devices.chunks_exact(DEVICE).map(|device| {
            let id = device.last_chunk().copied();
            DeviceId::from_bytes(id.unwrap_or_default())
        })
    }
}

impl core::fmt::Debug for RecipientUser<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        (self.address(), self.devices().collect::<Vec<_>>()).fmt(f)
    }
}

/// An encoded device: the head of a byte string of 16 bytes, and those.
const DEVICE: usize = 17;
const DEVICE_HEAD: u8 = 0x50;

const TEXT: u8 = 0x60;
const ARRAY: u8 = 0x80;

/// Reads deterministic CBOR where it lies.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The head of a value of this kind in its shortest form; of more than 16 bits nothing is in a list.
    fn head(&mut self, kind: u8) -> Option<usize> {
        let (first, rest) = self.0.split_first()?;
        let (value, rest) = match first ^ kind {
            small @ 0..=23 => (u16::from(small), rest),
            24 => {
                let (byte, rest) = rest.split_first()?;
                (Some(u16::from(*byte)).filter(|value| *value > 23)?, rest)
            }
            25 => {
                let (bytes, rest) = rest.split_first_chunk()?;
                (Some(u16::from_be_bytes(*bytes)).filter(|value| *value > 255)?, rest)
            }
            _ => return None,
        };
        self.0 = rest;
        Some(usize::from(value))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// An array of an address and an array of devices, which are not looked into.
    fn user(&mut self) -> Option<RecipientUser<'a>> {
        if self.head(ARRAY)? != 2 {
            return None;
        }
        let length = self.head(TEXT)?;
        let address = self.take(length)?;
        let count = self.head(ARRAY)?;
        let devices = self.take(count * DEVICE)?;
        Some(RecipientUser { address, devices })
    }
}

/// Checks that these bytes begin with the one encoding of a list: where its users begin, and how long it is.
fn check(input: &[u8]) -> Option<(Vec<usize>, usize)> {
    let mut reader = Reader(input);
    let count = reader.head(ARRAY).filter(|count| *count <= MAX_RECIPIENTS)?;
    let mut users = Vec::with_capacity(count);
    let (mut devices, mut before, mut domain): (usize, &[u8], &[u8]) = (0, b"", b"");
    for _ in 0..count {
        users.push(input.len() - reader.0.len());
        let user = reader.user()?;
        let at = address::check(user.address, domain).ok()?;
        domain = user.address.get(at + 1..)?;
        if user.address.cmp(before) != Ordering::Greater || user.devices.is_empty() {
            return None;
        }
        before = user.address;
        devices += in_order(user.devices)?;
    }
    (1..=MAX_RECIPIENTS).contains(&devices).then(|| (users, input.len() - reader.0.len()))
}

/// How many devices these are, where each is greater than the one before.
fn in_order(devices: &[u8]) -> Option<usize> {
    let (mut count, mut before) = (0, None);
    for device in devices.chunks_exact(DEVICE) {
        let (head, id) = device.split_first()?;
        let id = Some(u128::from_be_bytes(id.try_into().ok()?));
        if *head != DEVICE_HEAD || id <= before {
            return None;
        }
        (count, before) = (count + 1, id);
    }
    Some(count)
}

impl PartialEq for RecipientList {
    fn eq(&self, other: &Self) -> bool {
        self.encoded() == other.encoded()
    }
}

impl Eq for RecipientList {}

impl core::fmt::Debug for RecipientList {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.users()).finish()
    }
}

impl<C> Encode<C> for RecipientList {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>, _: &mut C) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.writer_mut().write_all(self.encoded()).map_err(minicbor::encode::Error::write)
    }
}

impl<'b, C> Decode<'b, C> for RecipientList {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::read(decoder, &[])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same by decoding everything and encoding it again.
    fn slowly(input: &[u8]) -> Option<Vec<(Address, Vec<DeviceId>)>> {
        let users: Vec<(Address, Vec<DeviceId>)> = minicbor::decode(input).ok()?;
        let count: usize = users.iter().map(|(_, devices)| devices.len()).sum();
        let canonical = (1..=MAX_RECIPIENTS).contains(&count)
            && users.is_sorted_by(|(a, _), (b, _)| a < b)
            && users.iter().all(|(_, devices)| !devices.is_empty() && devices.is_sorted_by(|a, b| a < b));
        (canonical && input.starts_with(&codec::encode(&users))).then_some(users)
    }

    fn compare(input: &[u8]) {
        let list = RecipientList::begins(input);
        let users = list.as_ref().map(|list| {
            assert!(input.starts_with(list.encoded()));
            list.users().map(|user| (user.address(), user.devices().collect())).collect()
        });
        assert_eq!(users, slowly(input), "{input:?}");
        for user in list.iter().flat_map(RecipientList::users) {
            assert_eq!(Address::parse(user.as_str()), Ok(user.address()));
        }
    }

    fn lists() -> impl Strategy<Value = Vec<(String, Vec<DeviceId>)>> {
        let name = prop_oneof!["[a-c]{1,2}@[a-b][.]example", "[A-a.@_-]{0,4}@[a-b.@-]{0,3}", "a{240,260}@x"];
        let device = (0..4_u8, 0..2_u8).prop_map(|(first, last)| {
            let mut id = [0; 16];
            (id[0], id[15]) = (first * 80, last);
            DeviceId::from_bytes(id)
        });
        prop::collection::vec((name, prop::collection::vec(device, 0..4)), 0..30)
    }

    proptest! {
        #[test]
        fn reading_where_it_lies_says_the_same_as_decoding(mut users in lists(), sort in 0..3_u8, more in any::<[u8; 2]>()) {
            if sort > 0 {
                users.sort();
                users.dedup_by(|a, b| a.0 == b.0);
                for (_, devices) in &mut users {
                    devices.sort();
                    devices.dedup();
                }
            }
            if sort > 1 {
                users.retain(|(name, devices)| Address::parse(name).is_ok() && !devices.is_empty());
            }
            let mut encoded = codec::encode(&users);
            encoded.extend(more);
            compare(&encoded);
        }

        #[test]
        fn any_changed_byte_says_the_same_as_decoding(mut users in lists(), at in any::<prop::sample::Index>(), by in any::<u8>()) {
            users.sort();
            users.retain(|(name, devices)| Address::parse(name).is_ok() && !devices.is_empty());
            let mut encoded = codec::encode(&users);
            let at = at.index(encoded.len());
            encoded[at] ^= by;
            compare(&encoded);
            encoded.truncate(at);
            compare(&encoded);
        }

        #[test]
        fn arbitrary_bytes_say_the_same_as_decoding(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            compare(&bytes);
        }
    }

    #[test]
    fn heads_have_one_form_and_lists_a_limit() {
        let device = |number: usize| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&(number as u64).to_be_bytes());
            DeviceId::from_bytes(id)
        };
        let address = Address::parse("a@a.example").unwrap();
        for count in [1, 23, 24, 255, 256, 2000, 2001, 70_000] {
            compare(&codec::encode(&vec![(&address, (0..count).map(device).collect::<Vec<_>>())]));
            let each = (0..count).map(|n| (Address::parse(&format!("u{n:06}@a.example")).unwrap(), vec![device(n)]));
            compare(&codec::encode(&each.collect::<Vec<_>>()));
        }
        let good = codec::encode(&vec![(&address, vec![device(1)])]);
        assert_eq!(good[..2], [0x81, 0x82]);
        for longer in [vec![0x98, 1], vec![0x99, 0, 1], vec![0x9a, 0, 0, 0, 1], vec![0x9f]] {
            let bytes = [longer.as_slice(), &good[1..], &[0xff]].concat();
            compare(&bytes);
            assert!(RecipientList::begins(&bytes).is_none());
        }
    }
}
