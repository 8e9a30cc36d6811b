//! Addresses (`alice@chat.acme.example`) and the domains of networks.

use core::fmt;
use core::str::FromStr;

use minicbor::encode::Write;
use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::codec;

/// The longest domain name, and the longest address.
const MAX_LEN: usize = 253;

/// Text that is not an address or a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no `@`, or more than one.
    #[error("not an address: expected NAME@DOMAIN, such as alice@chat.acme.example")]
    Shape,
    /// The part before the `@`.
    #[error("name: 1 to 64 of a-z, 0-9, '.', '_', '+' and '-', neither starting nor ending with '.'")]
    Local,
    /// The part after the `@`, or a domain by itself.
    #[error(
        "domain: a DNS name of at most 253 characters, labels of 1 to 63 of a-z, 0-9 and '-', \
         neither starting nor ending with '-', and the last one not a number"
    )]
    Domain,
    /// The whole.
    #[error("address: {0} characters, at most 253 are allowed")]
    TooLong(usize),
}

/// The name of a network: a DNS name in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(String);

impl Domain {
    /// Parses a DNS name; capitals become lower case.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        Self::from_lower_case(text.to_ascii_lowercase())
    }

    fn from_lower_case(name: impl AsRef<str> + Into<String>) -> Result<Self, AddressError> {
        if is_domain(name.as_ref().as_bytes()) { Ok(Self(name.into())) } else { Err(AddressError::Domain) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a user: a local part and the domain of the network.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    text: String,
    /// Where the `@` is.
    at: usize,
}

impl Address {
    /// Parses `NAME@DOMAIN`; capitals become lower case.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        Self::from_lower_case(text.to_ascii_lowercase())
    }

    fn from_lower_case(text: impl AsRef<str> + Into<String>) -> Result<Self, AddressError> {
        let at = check(text.as_ref().as_bytes(), b"")?;
        Ok(Self { text: text.into(), at })
    }

    /// An address that has passed [`check`].
    pub(crate) fn checked(text: &str) -> Self {
        Self { text: text.to_owned(), at: text.find('@').unwrap_or_default() }
    }

    /// The address of a name in a network.
    pub fn new(local: &str, domain: &Domain) -> Result<Self, AddressError> {
        if local.contains('@') {
            return Err(AddressError::Local);
        }
        Self::parse(&format!("{local}@{domain}"))
    }

    /// The part before the `@`.
    pub fn local(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }

    /// The network.
    pub fn domain(&self) -> Domain {
        Domain(self.domain_str().to_owned())
    }

    /// The network's name, without making a copy.
    pub fn domain_str(&self) -> &str {
        self.text.get(self.at + 1..).unwrap_or_default()
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Whether this is an address in its one form; tells where the `@` is. `known` is the domain of another address, which has been
/// checked; or nothing.
pub(crate) fn check(text: &[u8], known: &[u8]) -> Result<usize, AddressError> {
    let mut valid = true;
    let at = text.iter().position(|b| {
        valid &= *b == b'@' || IN_LOCAL[usize::from(*b)];
        *b == b'@'
    });
    let at = at.ok_or(AddressError::Shape)?;
    let (local, domain) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
    let known = domain == known && !known.is_empty();
    if !known && domain.contains(&b'@') {
        return Err(AddressError::Shape);
    }
    if !valid || !(1..=64).contains(&local.len()) || local.starts_with(b".") || local.ends_with(b".") {
        return Err(AddressError::Local);
    }
    if !known && !is_domain(domain) {
        return Err(AddressError::Domain);
    }
    if text.len() > MAX_LEN { Err(AddressError::TooLong(text.len())) } else { Ok(at) }
}

/// The bytes of a local part.
const IN_LOCAL: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0_u8);
    while byte < 128 {
        table[byte as usize] =
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'+' | b'-');
        byte += 1;
    }
    table
};

fn is_domain(text: &[u8]) -> bool {
    let label = |label: &[u8]| match label {
        [b'-', ..] | [.., b'-'] | [] => false,
        _ => label.len() <= 63 && label.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-'),
    };
    // A last label of digits alone would make the name look like an IP address.
    let is_number = |label: &[u8]| label.iter().all(u8::is_ascii_digit);
    let mut labels = text.split(|b| *b == b'.');
    text.len() <= MAX_LEN && labels.clone().all(label) && !labels.next_back().is_some_and(is_number)
}

macro_rules! textual {
    ($name:ident, $what:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = AddressError;

            fn from_str(text: &str) -> Result<Self, AddressError> {
                Self::parse(text)
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: Write>(
                &self,
                encoder: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                encoder.str(self.as_str())?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                // Lower-casing is for people; what is on the wire is already in its one form.
                let text = decoder.str()?;
                if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
                    return Err(codec::invalid(concat!($what, ": not in lower case")));
                }
                Self::from_lower_case(text).map_err(|error| codec::invalid(format!("{}: {error}", $what)))
            }
        }
    };
}

textual!(Domain, "domain");
textual!(Address, "address");
