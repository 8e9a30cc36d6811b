//! The list of those that a message is sealed to, in its one order.

use core::ops::Deref;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minicbor::encode::Write;
use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::address::Address;
use crate::codec;
use crate::ids::DeviceId;
use crate::message::MAX_RECIPIENTS;
use crate::suite::{Current, HASH_LEN, Primitives};

/// Those that a message was sealed to: users in the order of their addresses, each once, with their devices in order,
/// each once, and at least one. Cheap to clone.
#[derive(Clone)]
pub struct RecipientList(Arc<List>);

struct List {
    users: Vec<(Address, Vec<DeviceId>)>,
    /// The encoding.
    encoded: Vec<u8>,
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
        let sorted = users.into_iter().map(|(address, devices)| (address.clone(), devices.into_iter().collect()));
        let users: Vec<_> = sorted.collect();
        let encoded = codec::encode(&users);
        Ok(Self::of(users, encoded))
    }

    fn of(users: Vec<(Address, Vec<DeviceId>)>, encoded: Vec<u8>) -> Self {
        let digest = Current::hash(&[&encoded]);
        Self(Arc::new(List { users, encoded, digest }))
    }

    pub(crate) fn digest(&self) -> &[u8; HASH_LEN] {
        &self.0.digest
    }

    /// The encoding.
    pub(crate) fn encoded(&self) -> &[u8] {
        &self.0.encoded
    }

    /// Whether this device is in the list.
    pub fn contains(&self, address: &Address, device: DeviceId) -> bool {
        let user = self.binary_search_by(|(user, _)| user.cmp(address)).ok().and_then(|at| self.get(at));
        user.is_some_and(|(_, devices)| devices.binary_search(&device).is_ok())
    }

    /// The devices in the order of the list.
    pub(crate) fn devices(&self) -> impl Iterator<Item = (&Address, DeviceId)> {
        self.iter().flat_map(|(address, devices)| devices.iter().map(move |device| (address, *device)))
    }

    /// Reads a list; where what is read begins with the encoding of the list that is known, it is that one: CBOR says by
    /// itself where a value ends.
    pub(crate) fn read(decoder: &mut Decoder<'_>, known: Option<&Self>) -> Result<Self, minicbor::decode::Error> {
        let start = decoder.position();
        let input = decoder.input().get(start..).unwrap_or_default();
        if let Some(known) = known.filter(|known| input.starts_with(known.encoded())) {
            decoder.set_position(start + known.encoded().len());
            return Ok(known.clone());
        }
        let users: Vec<_> = decoder.decode()?;
        if !is_canonical(&users) {
            return Err(codec::invalid("recipients: 1 to 2,000 devices, sorted, each once"));
        }
        let encoded = codec::encode(&users);
        if !input.starts_with(&encoded) || decoder.position() != start + encoded.len() {
            return Err(codec::invalid("recipients: not the one encoding"));
        }
        Ok(Self::of(users, encoded))
    }
}

impl Deref for RecipientList {
    type Target = [(Address, Vec<DeviceId>)];

    fn deref(&self) -> &Self::Target {
        &self.0.users
    }
}

impl PartialEq for RecipientList {
    fn eq(&self, other: &Self) -> bool {
        self.encoded() == other.encoded()
    }
}

impl Eq for RecipientList {}

impl core::fmt::Debug for RecipientList {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

fn is_canonical(users: &[(Address, Vec<DeviceId>)]) -> bool {
    let count: usize = users.iter().map(|(_, devices)| devices.len()).sum();
    (1..=MAX_RECIPIENTS).contains(&count)
        && users.is_sorted_by(|(a, _), (b, _)| a < b)
        && users.iter().all(|(_, devices)| !devices.is_empty() && devices.is_sorted_by(|a, b| a < b))
}

impl<C> Encode<C> for RecipientList {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>, _: &mut C) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.writer_mut().write_all(self.encoded()).map_err(minicbor::encode::Error::write)
    }
}

impl<'b, C> Decode<'b, C> for RecipientList {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::read(decoder, None)
    }
}
