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
        if is_domain(name.as_ref()) { Ok(Self(name.into())) } else { Err(AddressError::Domain) }
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
        let (local, domain) = text.as_ref().split_once('@').ok_or(AddressError::Shape)?;
        if domain.contains('@') {
            return Err(AddressError::Shape);
        }
        if !is_local(local) {
            return Err(AddressError::Local);
        }
        if !is_domain(domain) {
            return Err(AddressError::Domain);
        }
        if text.as_ref().len() > MAX_LEN {
            return Err(AddressError::TooLong(text.as_ref().len()));
        }
        let at = local.len();
        Ok(Self { text: text.into(), at })
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

fn is_local(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && !text.starts_with('.')
        && !text.ends_with('.')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._+-".contains(&b))
}

fn is_domain(text: &str) -> bool {
    let label = |label: &[u8]| match label {
        [b'-', ..] | [.., b'-'] | [] => false,
        _ => label.len() <= 63 && label.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-'),
    };
    // A last label of digits alone would make the name look like an IP address.
    let is_number = |label: &[u8]| label.iter().all(u8::is_ascii_digit);
    let mut labels = text.as_bytes().split(|b| *b == b'.');
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
