//! What a gateway checks of a request before it carries it: pure.
//!
//! A network speaks for its own users only, and to the users of the network that it calls. Both gateways check, the
//! sender's and the recipient's; the second does not trust the first.

use minicbor::Decode;
use sotto_crypto::{Address, Domain, SealedHeader, decode_strict};
use sotto_wire::{
    ApiError, ErrorCode,
    gateway::{PeerEnvelope, PeerIdentities, PeerRecipients},
    limits::{MAX_RECIPIENT_ADDRESSES, MAX_RECIPIENT_DEVICES, MAX_SEALED_BODY},
};

/// What is asked of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Recipients,
    Identities,
    Envelopes,
}

impl Operation {
    /// The last part of its path.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Recipients => "recipients",
            Self::Identities => "identities",
            Self::Envelopes => "envelopes",
        }
    }
}

/// Checks a request from users of `from` to users of `to`.
pub(crate) fn check(operation: Operation, body: &[u8], from: &Domain, to: &Domain) -> Result<(), ApiError> {
    match operation {
        Operation::Recipients => {
            let request: PeerRecipients = decode(body, "PeerRecipients")?;
            asked(&request.from, &request.addresses, from, to)
        }
        Operation::Identities => {
            let request: PeerIdentities = decode(body, "PeerIdentities")?;
            asked(&request.from, &request.addresses, from, to)
        }
        Operation::Envelopes => {
            let envelope = decode::<PeerEnvelope>(body, "PeerEnvelope")?.envelope;
            let header: SealedHeader = decode(&envelope.header, "envelope.header")?;
            speaks(&header.sender, from)?;
            if header.network != *from {
                return Err(ApiError::new(
                    ErrorCode::FederationDenied,
                    format!("envelope.header.network is {}, but {from} sends it", header.network),
                ));
            }
            if envelope.body.len() > MAX_SEALED_BODY {
                return Err(ApiError::new(
                    ErrorCode::TooLarge,
                    format!("envelope.body has {} bytes, {MAX_SEALED_BODY} are allowed", envelope.body.len()),
                ));
            }
            bounded("envelope.wraps", envelope.wraps.len(), MAX_RECIPIENT_DEVICES)?;
            envelope.wraps.iter().try_for_each(|wrap| belongs("envelope.wraps", &wrap.address, to))
        }
    }
}

fn asked(asker: &Address, addresses: &[Address], from: &Domain, to: &Domain) -> Result<(), ApiError> {
    speaks(asker, from)?;
    bounded("addresses", addresses.len(), MAX_RECIPIENT_ADDRESSES)?;
    addresses.iter().try_for_each(|address| belongs("addresses", address, to))
}

fn speaks(sender: &Address, from: &Domain) -> Result<(), ApiError> {
    if sender.domain_str() == from.as_str() {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::FederationDenied,
        format!("{from} may speak for its own users only, not for one of {}", sender.domain_str()),
    ))
}

fn belongs(field: &str, address: &Address, to: &Domain) -> Result<(), ApiError> {
    if address.domain_str() == to.as_str() {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::Invalid, format!("{field}: {address} is no user of {to}; ask its own network")))
}

fn bounded(field: &str, length: usize, most: usize) -> Result<(), ApiError> {
    if (1..=most).contains(&length) {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::Invalid, format!("{field}: has {length} entries, 1 to {most} are allowed")))
}

fn decode<T>(bytes: &[u8], what: &str) -> Result<T, ApiError>
where
    T: for<'b> Decode<'b, ()> + minicbor::Encode<()>,
{
    decode_strict(bytes).map_err(|error| ApiError::new(ErrorCode::Invalid, format!("{what} cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever a stranger sends, it is refused in words and nothing breaks.
        #[test]
        fn arbitrary_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let (a, b) = (Domain::parse("a.example").unwrap(), Domain::parse("b.example").unwrap());
            for operation in [Operation::Recipients, Operation::Identities, Operation::Envelopes] {
                let error = check(operation, &bytes, &a, &b).unwrap_err();
                prop_assert_eq!(error.code, ErrorCode::Invalid);
            }
        }
    }

    #[test]
    fn counts_are_bounded() {
        let (a, b) = (Domain::parse("a.example").unwrap(), Domain::parse("b.example").unwrap());
        let from = Address::parse("alice@a.example").unwrap();
        let to = Address::parse("bob@b.example").unwrap();
        for (count, good) in
            [(0, false), (1, true), (MAX_RECIPIENT_ADDRESSES, true), (MAX_RECIPIENT_ADDRESSES + 1, false)]
        {
            let request = PeerRecipients { from: from.clone(), addresses: vec![to.clone(); count] };
            let checked = check(Operation::Recipients, &sotto_crypto::encode(&request), &a, &b);
            assert_eq!(checked.is_ok(), good, "{count}");
        }
    }
}
