//! Whom a limit takes for one caller.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Where a connection comes from, as limits see it: an IPv4 address, or the /64 of an IPv6 address. Whoever has one address of a
/// /64 has all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source(IpAddr);

/// The first 64 bits.
const NETWORK: u128 = !(u64::MAX as u128);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        // A socket for both families writes IPv4 callers as `::ffff:a.b.c.d`, all of one /64.
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK)),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(address) => write!(f, "{address}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> String {
        Source::from(text.parse::<IpAddr>().unwrap()).to_string()
    }

    #[test]
    fn an_ipv4_address_and_an_ipv6_network_are_one_each() {
        assert_eq!(source("192.0.2.7"), "192.0.2.7");
        assert_eq!(source("::ffff:192.0.2.7"), "192.0.2.7", "as a socket for both families writes it");
        assert_eq!(source("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(source("2001:db8:1:2::"), source("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
        assert_ne!(source("192.0.2.7"), source("192.0.2.8"));
        assert_ne!(source("::ffff:192.0.2.7"), source("::ffff:192.0.2.8"));
    }
}
