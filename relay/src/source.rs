//! Where a request comes from, also behind proxies.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use sotto_wire::Source;

use crate::error::RelayError;

const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies that are believed when they say whom they speak for: nobody, unless the configuration names them.
#[derive(Debug, Default)]
pub(crate) struct Proxies(Vec<IpNet>);

impl Proxies {
    pub(crate) fn parse(networks: &[String]) -> Result<Self, RelayError> {
        let parse = |(at, text): (usize, &String)| {
            text.parse().map_err(|_| {
                RelayError::Config(format!("trustedProxies[{at}]: `{text}` is no network such as 10.0.0.0/8"))
            })
        };
        networks.iter().enumerate().map(parse).collect::<Result<_, _>>().map(Self)
    }

    fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// From the nearest backwards: the first that is no trusted proxy is who calls. What stands before it in the header, that one may
    /// have made up.
    pub(crate) fn source(&self, peer: IpAddr, headers: &HeaderMap) -> Source {
        let mut caller = peer;
        if self.trust(caller) {
            let values: Vec<&str> = headers.get_all(FORWARDED).iter().filter_map(|value| value.to_str().ok()).collect();
            for hop in values.iter().rev().flat_map(|value| value.rsplit(',')) {
                let Some(hop) = address(hop.trim()) else { break };
                caller = hop;
                if !self.trust(caller) {
                    break;
                }
            }
        }
        caller.into()
    }
}

/// With or without a port, as proxies differ.
fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|at| at.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(peer: &str, forwarded: &[&str]) -> String {
        let proxies = Proxies::parse(&["10.0.0.0/8".to_owned(), "fd00::/8".to_owned()]).unwrap();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED, value.parse().unwrap());
        }
        proxies.source(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_nobody_else() {
        assert_eq!(source("10.1.2.3", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(source("::ffff:10.1.2.3", &["192.0.2.7:4711"]), "192.0.2.7");
        assert_eq!(source("10.1.2.3", &["[2001:db8::1]:80"]), "2001:db8::/64");
        assert_eq!(source("192.0.2.1", &["198.51.100.1"]), "192.0.2.1", "a stranger says that it is another");
        assert_eq!(source("10.1.2.3", &[]), "10.1.2.3");
    }

    #[test]
    fn what_a_caller_writes_before_the_proxy_does_not_count() {
        assert_eq!(source("10.1.2.3", &["198.51.100.1, 192.0.2.7"]), "192.0.2.7");
        assert_eq!(source("10.1.2.3", &["198.51.100.1", "192.0.2.7, 10.9.9.9"]), "192.0.2.7", "two proxies");
        assert_eq!(source("10.1.2.3", &["10.0.0.1, nonsense"]), "10.1.2.3", "nothing behind what cannot be read");
        assert_eq!(source("10.1.2.3", &["10.0.0.1, 10.0.0.2"]), "10.0.0.1", "who calls from inside");
    }

    #[test]
    fn by_default_no_proxy_is_trusted_and_what_is_no_network_is_named() {
        let headers = HeaderMap::from_iter([(FORWARDED, "192.0.2.7".parse().unwrap())]);
        assert_eq!(Proxies::default().source("10.1.2.3".parse().unwrap(), &headers).to_string(), "10.1.2.3");
        let error = Proxies::parse(&["10.0.0.0/8".to_owned(), "10.0.0.1".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("trustedProxies[1]: `10.0.0.1`"), "{error}");
    }
}
