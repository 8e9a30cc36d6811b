//! The way to the relay: TLS, HTTP, WebSocket, and what is tried again.

pub(crate) mod api;
pub(crate) mod http;
// What stands on the sockets of an operating system; a page in a browser has the browser's own.
#[cfg_attr(target_family = "wasm", path = "transport/web/tls.rs")]
mod tls;
#[cfg_attr(target_family = "wasm", path = "transport/web/ws.rs")]
pub(crate) mod ws;

pub(crate) use tls::body_of;
use url::Url;

use crate::core::endpoint::{Endpoint, Tls};
use crate::core::error::TransportError;

/// Checks URL and TLS against each other.
pub(crate) fn target_of(endpoint: &Endpoint) -> Result<Target, TransportError> {
    let wrong = || TransportError::Url(endpoint.url.clone());
    let url = Url::parse(&endpoint.url).map_err(|_| wrong())?;
    let secure = match url.scheme() {
        "http" => false,
        "https" => true,
        _ => return Err(wrong()),
    };
    // A certificate that is asked for must not be lost by a URL without TLS.
    if secure == (endpoint.tls == Tls::Off) || url.query().is_some() || url.path() != "/" {
        return Err(wrong());
    }
    let host = url.host_str().ok_or_else(wrong)?.to_owned();
    let port = url.port_or_known_default().ok_or_else(wrong)?;
    Ok(Target { base: endpoint.url.trim_end_matches('/').to_owned(), host, port, secure })
}

/// An endpoint that has been checked.
#[derive(Clone, Debug)]
#[cfg_attr(target_family = "wasm", expect(dead_code, reason = "a browser takes the whole URL"))]
pub(crate) struct Target {
    /// Without a slash at the end.
    pub(crate) base: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) secure: bool,
}

/// Why a certificate is refused.
#[cfg_attr(target_family = "wasm", expect(dead_code, reason = "a browser does not tell"))]
enum Refused {
    /// It is not valid at this time.
    Time { expired: bool },
    /// It is not good, for this reason.
    Not(String),
}

/// What a failed connection was: a refusal of the certificate is told apart, since trying again does not help.
pub(crate) fn connection_error(relay: &str, error: &(dyn std::error::Error + 'static)) -> TransportError {
    let mut next = Some(error);
    let mut last = error.to_string();
    while let Some(e) = next {
        match tls::refusal(e) {
            Some(Refused::Time { expired }) => {
                return TransportError::CertificateTime { relay: relay.to_owned(), expired };
            }
            Some(Refused::Not(reason)) => return TransportError::Certificate { relay: relay.to_owned(), reason },
            None => {}
        }
        last = e.to_string();
        next = e.source();
    }
    TransportError::Unreachable { relay: relay.to_owned(), reason: last }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_and_tls_must_agree() {
        let parse = |url: &str, tls| target_of(&Endpoint { url: url.into(), tls });
        let target = parse("https://relay.acme.example", Tls::Public).unwrap();
        assert_eq!((target.host.as_str(), target.port, target.secure), ("relay.acme.example", 443, true));
        assert_eq!(parse("http://127.0.0.1:7443/", Tls::Off).unwrap().base, "http://127.0.0.1:7443");
        for (url, tls) in [
            ("http://h", Tls::Public),
            ("https://h", Tls::Off),
            ("ftp://h", Tls::Off),
            ("h:80", Tls::Off),
            ("http://h/path", Tls::Off),
        ] {
            assert!(matches!(parse(url, tls), Err(TransportError::Url(_))), "{url}");
        }
    }
}
