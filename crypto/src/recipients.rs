//! The list of those that a message is sealed to, in its one order.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::encode::Write;
use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::address::Address;
use crate::codec;
use crate::ids::DeviceId;
use crate::message::MAX_RECIPIENTS;

/// Users in the order of their addresses, each once, with their devices in order, each once, and at least one.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RecipientList(Vec<(Address, Vec<DeviceId>)>);

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
        Ok(Self(sorted.collect()))
    }

    pub(crate) fn contains(&self, address: &Address, device: DeviceId) -> bool {
        self.0.iter().any(|(user, devices)| user == address && devices.contains(&device))
    }

    /// The devices in the order of the list.
    pub(crate) fn devices(&self) -> impl Iterator<Item = (&Address, DeviceId)> {
        self.0.iter().flat_map(|(address, devices)| devices.iter().map(move |device| (address, *device)))
    }

    pub(crate) fn into_inner(self) -> Vec<(Address, Vec<DeviceId>)> {
        self.0
    }

    fn is_canonical(&self) -> bool {
        let count: usize = self.0.iter().map(|(_, devices)| devices.len()).sum();
        (1..=MAX_RECIPIENTS).contains(&count)
            && self.0.is_sorted_by(|(a, _), (b, _)| a < b)
            && self.0.iter().all(|(_, devices)| !devices.is_empty() && devices.is_sorted_by(|a, b| a < b))
    }
}

impl<C> Encode<C> for RecipientList {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>, ctx: &mut C) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.0.encode(encoder, ctx)
    }
}

impl<'b, C> Decode<'b, C> for RecipientList {
    fn decode(decoder: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let list = Self(Vec::decode(decoder, ctx)?);
        if list.is_canonical() {
            Ok(list)
        } else {
            Err(codec::invalid("recipients: 1 to 2,000 devices, sorted, each once"))
        }
    }
}
