//! Ports of loopback for servers that a test starts.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use crate::{Outcome, fail};

/// Below the range from which the system takes ports for outgoing connections: a port of ours stays free while its server
/// is stopped for a while.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port on which nobody listens, given to nobody else in this process.
pub fn free_port() -> Outcome<u16> {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    // Other test processes look for ports as well: each begins elsewhere.
    let begin = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(COUNT)).unwrap_or_default();
    for step in 0..COUNT {
        let port = FIRST + (begin + step) % COUNT;
        if !given.contains(&port) && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            given.insert(port);
            return Ok(port);
        }
    }
    fail("no port of loopback is free")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let (one, other) = (free_port().unwrap(), free_port().unwrap());
        assert_ne!(one, other);
        TcpListener::bind((Ipv4Addr::LOCALHOST, one)).unwrap();
    }
}
