//! TLS towards the relay, and HTTP's connections over it. The provider is always named: more than one is in the dependency tree.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest as _, Sha256};

use super::Refused;
use crate::core::endpoint::Tls;
use crate::core::error::TransportError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The configuration for HTTP or WebSocket; `alpn` says which protocols.
pub(super) fn config(tls: &Tls, alpn: &[&[u8]]) -> Result<ClientConfig, TransportError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match tls {
        // Never used for a connection; a client without TLS still wants a configuration, and this one trusts nobody.
        Tls::Off => Arc::new(PinnedAuthority { sha256: [0; 32], provider: provider.clone() }),
        Tls::PinnedAuthority(sha256) => Arc::new(PinnedAuthority { sha256: *sha256, provider: provider.clone() }),
        Tls::Public => Arc::new(rustls_platform_verifier::Verifier::new(provider.clone()).map_err(|e| setup(&e))?),
        Tls::Authority(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                roots
                    .add(certificate.map_err(|e| TransportError::Tls(format!("authority file: {e}")))?)
                    .map_err(|e| setup(&e))?;
            }
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .map_err(|e| TransportError::Tls(format!("authority file: {e}")))?
        }
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| setup(&e))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    Ok(config)
}

/// The pool of connections to a relay.
pub(super) fn http_client(tls: &Tls) -> Result<reqwest::Client, TransportError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(config(tls, &[b"h2", b"http/1.1"])?)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("sotto/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| TransportError::Tls(e.to_string()))
}

/// The body of a request that is sent as it comes.
pub(crate) fn body_of<S>(stream: S) -> impl Future<Output = std::io::Result<reqwest::Body>>
where
    S: futures::TryStream<Ok = Bytes, Error = std::io::Error> + Send + 'static,
{
    std::future::ready(Ok(reqwest::Body::wrap_stream(stream)))
}

/// Why a certificate is refused, where an error says so.
pub(super) fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<Refused> {
    let Some(rustls::Error::InvalidCertificate(reason)) = as_rustls(error) else { return None };
    Some(match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Refused::Time { expired: true },
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Refused::Time { expired: false },
        reason => Refused::Not(certificate_reason(reason)),
    })
}

/// An I/O error hides what it wraps from `source`, and may wrap another one.
fn as_rustls<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    error.downcast_ref::<rustls::Error>().or_else(|| as_rustls(error.downcast_ref::<std::io::Error>()?.get_ref()?))
}

fn certificate_reason(error: &rustls::CertificateError) -> String {
    match error {
        rustls::CertificateError::Other(other) => other.0.to_string(),
        rustls::CertificateError::UnknownIssuer => "its certificate comes from an unknown authority".to_owned(),
        other => format!("its certificate is not valid ({other:?})"),
    }
}

fn setup(error: &rustls::Error) -> TransportError {
    TransportError::Tls(error.to_string())
}

/// Accepts a chain only when it leads to the one authority that the invite names. The relay presents its authority with
/// its certificate; the client has only the digest.
#[derive(Debug)]
struct PinnedAuthority {
    sha256: [u8; 32],
    provider: Arc<CryptoProvider>,
}

#[derive(Debug, thiserror::Error)]
#[error("its certificate does not come from the authority that the invite names")]
struct NotThePinnedAuthority;

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let pinned = intermediates
            .iter()
            .find(|c| Sha256::digest(c.as_ref()).as_slice() == self.sha256)
            .ok_or_else(|| CertificateError::Other(OtherError(Arc::new(NotThePinnedAuthority))))?;
        let mut roots = RootCertStore::empty();
        roots.add(pinned.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|e| rustls::Error::General(e.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    use super::*;

    fn authority() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn leaf(issuer: &CertifiedIssuer<'static, KeyPair>, name: &str) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, issuer).unwrap().der().clone()
    }

    fn check(
        pin: &CertificateDer<'_>,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verifier = PinnedAuthority {
            sha256: Sha256::digest(pin.as_ref()).into(),
            provider: Arc::new(aws_lc_rs::default_provider()),
        };
        let name = ServerName::try_from("relay.acme.example").unwrap();
        verifier.verify_server_cert(leaf, chain, &name, &[], UnixTime::now())
    }

    #[test]
    fn only_a_chain_to_the_pinned_authority_passes() {
        let (ours, theirs) = (authority(), authority());
        let good = leaf(&ours, "relay.acme.example");
        check(ours.der(), &good, std::slice::from_ref(ours.der())).unwrap();
        // Another name, another authority, an authority that is only put beside, a chain without the authority.
        assert!(check(ours.der(), &leaf(&ours, "other.example"), std::slice::from_ref(ours.der())).is_err());
        let foreign = leaf(&theirs, "relay.acme.example");
        assert!(check(ours.der(), &foreign, std::slice::from_ref(theirs.der())).is_err());
        assert!(check(ours.der(), &foreign, &[theirs.der().clone(), ours.der().clone()]).is_err());
        assert!(check(ours.der(), &good, &[]).is_err());
    }

    #[test]
    fn a_refused_certificate_is_found_under_what_wraps_it() {
        let refused = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let wrapped = std::io::Error::other(std::io::Error::new(std::io::ErrorKind::InvalidData, refused));
        assert!(matches!(super::super::connection_error("r", &wrapped), TransportError::Certificate { .. }));
        let other = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(matches!(super::super::connection_error("r", &other), TransportError::Unreachable { .. }));
    }

    #[test]
    fn a_certificate_of_another_time_is_told_from_a_wrong_one() {
        let of = |reason| {
            let refused = std::io::Error::other(rustls::Error::InvalidCertificate(reason));
            match super::super::connection_error("r", &refused) {
                TransportError::CertificateTime { expired, .. } => Some(expired),
                _ => None,
            }
        };
        let (time, not_after) = (UnixTime::now(), UnixTime::since_unix_epoch(Duration::from_secs(9)));
        assert_eq!(of(CertificateError::ExpiredContext { time, not_after }), Some(true));
        let not_before = UnixTime::since_unix_epoch(Duration::from_secs(1 << 40));
        assert_eq!(of(CertificateError::NotValidYetContext { time, not_before }), Some(false));
        assert_eq!(of(CertificateError::UnknownIssuer), None);
    }

    #[test]
    fn an_authority_file_must_hold_a_certificate() {
        config(&Tls::Authority(authority().pem()), &[]).unwrap();
        for bad in ["", "nonsense"] {
            assert!(matches!(config(&Tls::Authority(bad.into()), &[]), Err(TransportError::Tls(_))));
        }
    }
}
