//! The way to the relay: TLS, HTTP, WebSocket, and what is tried again.

pub(crate) mod api;
pub(crate) mod http;
pub(crate) mod tls;
pub(crate) mod ws;

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
pub(crate) struct Target {
    /// Without a slash at the end.
    pub(crate) base: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) secure: bool,
}

/// What a failed connection was: a refusal of the certificate is told apart, since trying again does not help.
pub(crate) fn connection_error(relay: &str, error: &(dyn std::error::Error + 'static)) -> TransportError {
    let mut next = Some(error);
    let mut last = error.to_string();
    while let Some(e) = next {
        if let Some(rustls::Error::InvalidCertificate(reason)) = as_rustls(e) {
            return TransportError::Certificate { relay: relay.to_owned(), reason: certificate_reason(reason) };
        }
        last = e.to_string();
        next = e.source();
    }
    TransportError::Unreachable { relay: relay.to_owned(), reason: last }
}

/// An I/O error hides what it wraps from `source`, and may wrap another one.
fn as_rustls<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    error.downcast_ref::<rustls::Error>().or_else(|| as_rustls(error.downcast_ref::<std::io::Error>()?.get_ref()?))
}

fn certificate_reason(error: &rustls::CertificateError) -> String {
    match error {
        rustls::CertificateError::Other(other) => other.0.to_string(),
        rustls::CertificateError::UnknownIssuer => "its certificate comes from an unknown authority".to_owned(),
        rustls::CertificateError::Expired | rustls::CertificateError::ExpiredContext { .. } => {
            "its certificate has expired (is this machine's clock right?)".to_owned()
        }
        other => format!("its certificate is not valid ({other:?})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_certificate_is_found_under_what_wraps_it() {
        let refused = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let wrapped = std::io::Error::other(std::io::Error::new(std::io::ErrorKind::InvalidData, refused));
        assert!(matches!(connection_error("r", &wrapped), TransportError::Certificate { .. }));
        let other = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(matches!(connection_error("r", &other), TransportError::Unreachable { .. }));
    }

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
