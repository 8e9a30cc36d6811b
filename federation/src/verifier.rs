//! Which network a caller is: its certificate claims a domain, and must chain to the authority configured for exactly
//! that domain.

use std::{collections::BTreeMap, fmt, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use sotto_crypto::Domain;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

/// What a certificate says about who holds it. Nothing of it is proven before the chain has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It names exactly one of the configured domains.
    Peer(Domain),
    /// It names none of them. The names that it has, for the refusal.
    Unlisted(String),
    /// It names several, so that it does not say who calls.
    Ambiguous,
    /// It cannot be read.
    Unreadable,
}

/// What a certificate claims, given the domains that are known.
pub(crate) fn claim<'a>(certificate: &CertificateDer<'_>, mut known: impl Iterator<Item = &'a Domain>) -> Claim {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Claim::Unreadable };
    let Ok(names) = parsed.subject_alternative_name() else { return Claim::Unreadable };
    let names: Vec<Domain> = names
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| if let GeneralName::DNSName(name) = name { Domain::parse(name).ok() } else { None })
        .collect();
    let mut matches = known.by_ref().filter(|domain| names.contains(domain));
    match (matches.next(), matches.next()) {
        (Some(domain), None) => Claim::Peer(domain.clone()),
        (Some(_), Some(_)) => Claim::Ambiguous,
        (None, _) => {
            let first: Vec<&str> = names.iter().take(3).map(Domain::as_str).collect();
            Claim::Unlisted(if first.is_empty() { "a network without a name".to_owned() } else { first.join(", ") })
        }
    }
}

/// The common name of a certificate that has been verified.
pub(crate) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let mut names = parsed.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?.to_owned();
    // More than one would not say which counts.
    names.next().is_none().then_some(name)
}

/// Verifies peer gateways. Who claims a configured domain without its authority's signature does not get past the
/// handshake; who claims none gets in as a stranger and is told by the first answer why nothing is done for it (see
/// [`crate::inbound`]), which a broken handshake could not say.
pub(crate) struct PeerVerifier {
    by_domain: BTreeMap<Domain, Arc<dyn ClientCertVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl PeerVerifier {
    pub(crate) fn new(by_domain: BTreeMap<Domain, Arc<dyn ClientCertVerifier>>, provider: Arc<CryptoProvider>) -> Self {
        Self { by_domain, provider }
    }
}

impl fmt::Debug for PeerVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PeerVerifier").field(&self.by_domain.keys()).finish()
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Peers have one certificate; whom else we know is not their business.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match claim(end_entity, self.by_domain.keys()) {
            Claim::Peer(domain) => match self.by_domain.get(&domain) {
                Some(verifier) => verifier.verify_client_cert(end_entity, intermediates, now),
                None => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
            },
            Claim::Unlisted(_) => Ok(ClientCertVerified::assertion()),
            Claim::Ambiguous => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
            Claim::Unreadable => Err(Error::InvalidCertificate(CertificateError::BadEncoding)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
