//! Loopback ports: chosen once by name and kept, because invites and peers name them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use serde::{Deserialize, Serialize};
use sotto_crypto::SystemRng;
use sotto_crypto::rand_core::Rng as _;

/// Below the range from which systems take the ports of outgoing connections, which could be in the way at any time.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

/// Ports by what they are for, such as `default.acme/relay`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ports(BTreeMap<String, u16>);

/// There is none.
#[derive(Debug, thiserror::Error)]
#[error("no free loopback port between {FIRST} and {LAST}: end some of the programs that listen there")]
pub struct NoPort;

impl Ports {
    /// The port for `name`; chosen, among those that are free now, when it is asked for the first time.
    pub fn get(&mut self, name: &str) -> Result<u16, NoPort> {
        if let Some(port) = self.0.get(name) {
            return Ok(*port);
        }
        let taken: BTreeSet<u16> = self.0.values().copied().collect();
        let count = u32::from(LAST - FIRST);
        let start = SystemRng.next_u32() % count;
        for step in 0..count {
            let offset = u16::try_from((start + step) % count).map_err(|_| NoPort)?;
            let port = FIRST + offset;
            if !taken.contains(&port) && is_free(port) {
                self.0.insert(name.to_owned(), port);
                return Ok(port);
            }
        }
        Err(NoPort)
    }

    /// The loopback address for `name`.
    pub fn address(&mut self, name: &str) -> Result<SocketAddr, NoPort> {
        self.get(name).map(loopback)
    }

    /// Forgets the ports whose name `keep` does not want.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| keep(name));
    }
}

/// The loopback address with this port.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Whether nobody listens on this loopback port.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind(loopback(port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_once_free_and_different() {
        let mut ports = Ports::default();
        let (a, b) = (ports.get("a").unwrap(), ports.get("b").unwrap());
        assert_ne!(a, b);
        assert!((FIRST..LAST).contains(&a));
        let _taken = TcpListener::bind(loopback(a)).unwrap();
        assert!(!is_free(a));
        assert_eq!(ports.get("a").unwrap(), a, "kept although somebody listens: that is our own process");
        let json = serde_json::to_string(&ports).unwrap();
        assert_eq!(serde_json::from_str::<Ports>(&json).unwrap(), ports);
        ports.retain(|name| name == "b");
        assert_eq!(serde_json::to_string(&ports).unwrap(), format!("{{\"b\":{b}}}"));
    }
}
