//! The configuration, parsed into types that cannot be wrong.

use std::{collections::BTreeMap, path::PathBuf};

use reqwest::Url;
use sotto_crypto::Domain;
use sotto_wire::config::{GatewayConfig, MutualTlsFiles, PeerConfig};

use crate::error::GatewayError;

/// What the gateway was told.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) domain: Domain,
    pub(crate) tls: MutualTlsFiles,
    pub(crate) relay: Url,
    pub(crate) peers: BTreeMap<Domain, PeerSettings>,
}

/// What it was told of one peer.
#[derive(Clone, Debug)]
pub(crate) struct PeerSettings {
    /// Where its gateway is.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) authority: PathBuf,
}

impl Settings {
    pub(crate) fn parse(config: &GatewayConfig) -> Result<Self, GatewayError> {
        let domain = domain("domain", &config.domain)?;
        let relay = url("relay", &config.relay)?;
        let mut peers = BTreeMap::new();
        for (at, peer) in config.peers.iter().enumerate() {
            let field = format!("peers[{at}]");
            let (name, settings) = parse_peer(&field, peer)?;
            if name == domain {
                return Err(wrong(format!("{field}.domain"), "is the network itself; remove this peer"));
            }
            if peers.insert(name, settings).is_some() {
                return Err(wrong(format!("{field}.domain"), "is in the list twice; keep one"));
            }
        }
        Ok(Self { domain, tls: config.tls.clone(), relay, peers })
    }

    /// Every file that TLS is made from.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let own = [&self.tls.certificate, &self.tls.key, &self.tls.authority];
        own.into_iter().chain(self.peers.values().map(|peer| &peer.authority)).cloned().collect()
    }
}

fn parse_peer(field: &str, peer: &PeerConfig) -> Result<(Domain, PeerSettings), GatewayError> {
    let name = domain(&format!("{field}.domain"), &peer.domain)?;
    let url = url(&format!("{field}.url"), &peer.url)?;
    let missing = || wrong(format!("{field}.url"), "has no host; expected https://HOST:PORT");
    let host = url.host_str().ok_or_else(missing)?.trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().ok_or_else(missing)?;
    Ok((name, PeerSettings { host, port, authority: peer.authority.clone() }))
}

fn domain(field: &str, text: &str) -> Result<Domain, GatewayError> {
    Domain::parse(text).map_err(|error| wrong(field, format!("`{text}`: {error}")))
}

fn url(field: &str, text: &str) -> Result<Url, GatewayError> {
    let url =
        Url::parse(text).map_err(|error| wrong(field, format!("`{text}`: {error}; expected https://HOST:PORT")))?;
    if url.scheme() != "https" || url.path() != "/" || url.query().is_some() || !url.username().is_empty() {
        return Err(wrong(field, format!("`{text}`: expected https://HOST:PORT and nothing else")));
    }
    Ok(url)
}

fn wrong(field: impl Into<String>, problem: impl Into<String>) -> GatewayError {
    GatewayError::Config { field: field.into(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(change: impl FnOnce(&mut GatewayConfig)) -> Result<Settings, String> {
        let mut config: GatewayConfig = serde_yaml::from_str(
            "
            domain: a.example
            listen: 127.0.0.1:0
            peerListen: 127.0.0.1:0
            tls: {certificate: c, key: k, authority: ca}
            relay: https://relay:8444
            peers:
            - {domain: b.example, url: 'https://10.0.0.1:8446', authority: b}
            telemetry: {listen: '127.0.0.1:0'}
            ",
        )
        .unwrap();
        change(&mut config);
        Settings::parse(&config).map_err(|error| error.to_string())
    }

    #[test]
    fn good_settings() {
        let settings = config(|_| ()).unwrap();
        let peer = &settings.peers[&Domain::parse("b.example").unwrap()];
        assert_eq!((peer.host.as_str(), peer.port), ("10.0.0.1", 8446));
        assert_eq!(settings.files().len(), 4);
        let settings = config(|c| c.peers[0].url = "https://[::1]:1".into()).unwrap();
        assert_eq!(settings.peers.values().next().unwrap().host, "::1");
    }

    #[test]
    fn errors_name_the_field() {
        let error = config(|c| c.domain = "not a domain".into()).unwrap_err();
        assert!(error.contains("domain: `not a domain`"), "{error}");
        let error = config(|c| c.relay = "http://relay".into()).unwrap_err();
        assert!(error.contains("relay: `http://relay`: expected https://"), "{error}");
        let error = config(|c| c.peers[0].url = "https://b.example/path".into()).unwrap_err();
        assert!(error.contains("peers[0].url"), "{error}");
        let error = config(|c| c.peers[0].domain = "A.example".into()).unwrap_err();
        assert!(error.contains("peers[0].domain: is the network itself"), "{error}");
        let error = config(|c| c.peers.push(c.peers[0].clone())).unwrap_err();
        assert!(error.contains("peers[1].domain: is in the list twice"), "{error}");
    }
}
