//! The network's certificate authority and its leaf certificates (ECDSA: P-384 for the authority, P-256 for leaves).
//!
//! Every function here takes a Secret as it is and gives it as it has to be: what is good is kept, what is missing is
//! made, what is close to its end or no longer fits is renewed. No clock, no I/O.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SanType,
};
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use zeroize::Zeroizing;

use crate::secret::{Change, Ensured, SecretData};

/// Key of the authority's certificate, in its own Secret and in every leaf's.
pub const CA_CERTIFICATE: &str = "ca.crt";
/// Key of the authority's private key. Only the operator has it.
pub const CA_KEY: &str = "ca.key";
/// Key of a leaf's chain: the leaf, then the authority.
pub const TLS_CERTIFICATE: &str = "tls.crt";
/// Key of a leaf's private key.
pub const TLS_KEY: &str = "tls.key";

/// Key of the word for which a leaf was made anew, where it was asked for.
pub const ROTATED: &str = "rotated";

/// Clocks of machines differ a little: certificates begin this much earlier.
const CLOCK_SKEW: u64 = 300;

/// How long certificates are good, and how long before their end they are renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Of the authority.
    pub authority: Duration,
    /// Of leaves.
    pub leaf: Duration,
    /// A certificate that has less than this left is renewed (the authority: less than a leaf's whole life and this).
    pub renew_before: Duration,
}

impl Default for Validity {
    /// Ten years, ninety days, thirty days.
    fn default() -> Self {
        const DAY: u64 = 24 * 3600;
        Self {
            authority: Duration::from_secs(3650 * DAY),
            leaf: Duration::from_secs(90 * DAY),
            renew_before: Duration::from_secs(30 * DAY),
        }
    }
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The authority's Secret holds something else. Making a new authority silently would cut off every client that
    /// has pinned it, so a person has to decide.
    #[error(
        "the network's certificate authority cannot be read ({0}): restore its Secret from a backup, or delete it to get \
         a new authority (every client then needs a new invite)"
    )]
    Authority(&'static str),
    /// A name that cannot stand in a certificate.
    #[error("`{0}` cannot stand in a certificate: use a DNS name or an IP address")]
    Name(String),
    /// The library refused.
    #[error("a certificate could not be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// A leaf certificate as wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafRequest {
    common_name: &'static str,
    names: BTreeSet<String>,
    /// A leaf that was not made for this word is made anew.
    rotate: Option<String>,
}

impl LeafRequest {
    /// With the word for which it has to be made anew, once.
    #[must_use]
    pub fn rotated(mut self, word: Option<&str>) -> Self {
        self.rotate = word.map(str::to_owned);
        self
    }

    /// The relay's public listener: `names` (Service names, host of the public URL), this machine.
    pub fn relay_server<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        Self::new("relay", names)
    }

    /// The relay's admin listener, and the relay as a client of its gateway.
    pub fn relay_admin<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        Self::new("relay", names)
    }

    /// The gateway: peers check `domain`, the relay one of `names`.
    pub fn gateway<S: AsRef<str>>(domain: &str, names: impl IntoIterator<Item = S>) -> Self {
        let mut request = Self::new("gateway", names);
        request.names.insert(domain.to_owned());
        request
    }

    /// The operator as a client of the relay's admin listener.
    pub fn operator() -> Self {
        Self { common_name: "operator", names: BTreeSet::new(), rotate: None }
    }

    fn new<S: AsRef<str>>(common_name: &'static str, names: impl IntoIterator<Item = S>) -> Self {
        let mut names: BTreeSet<String> = names.into_iter().map(|n| n.as_ref().to_owned()).collect();
        names.extend(["127.0.0.1".to_owned(), "localhost".to_owned()]);
        Self { common_name, names, rotate: None }
    }
}

/// The authority's Secret (`ca.crt`, `ca.key`). A renewal keeps the key.
pub fn authority(existing: &SecretData, network: &str, now_s: u64, validity: &Validity) -> Result<Ensured, PkiError> {
    let (key, change) = match (existing.text(CA_KEY), existing.text(CA_CERTIFICATE)) {
        (Some(key), Some(pem)) => {
            let key = KeyPair::from_pem(key).map_err(|_| PkiError::Authority("ca.key"))?;
            let seen = Seen::read(pem).ok_or(PkiError::Authority("ca.crt"))?;
            if seen.public_key != key.public_key_raw() {
                return Err(PkiError::Authority("ca.crt and ca.key do not belong together"));
            }
            if !seen.ends_within(now_s, validity.leaf + validity.renew_before) {
                return Ok(Ensured::kept(existing));
            }
            (key, Change::Renewed("its end is near"))
        }
        (None, None) if existing.is_empty() => (KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?, Change::Created),
        _ => return Err(PkiError::Authority("ca.crt or ca.key is missing")),
    };
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, format!("Sotto network {network}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, now_s, validity.authority);
    let certificate = params.self_signed(&key)?;
    let mut data = SecretData::default();
    data.insert(CA_CERTIFICATE, certificate.pem());
    data.insert(CA_KEY, Zeroizing::new(key.serialize_pem()).as_bytes());
    Ok(Ensured { data, change })
}

/// A leaf's Secret (`tls.crt`: leaf and authority, `tls.key`, `ca.crt`) under the authority's Secret.
pub fn leaf(
    existing: &SecretData,
    authority: &SecretData,
    request: &LeafRequest,
    now_s: u64,
    validity: &Validity,
) -> Result<Ensured, PkiError> {
    let change = match stale(existing, authority, request, now_s, validity) {
        None => return Ok(Ensured::kept(existing)),
        Some(_) if existing.is_empty() => Change::Created,
        Some(why) => Change::Renewed(why),
    };
    let ca_pem = authority.text(CA_CERTIFICATE).ok_or(PkiError::Authority("ca.crt"))?;
    let ca_key = authority.text(CA_KEY).ok_or(PkiError::Authority("ca.key"))?;
    let ca_key = KeyPair::from_pem(ca_key).map_err(|_| PkiError::Authority("ca.key"))?;
    let issuer = Issuer::from_ca_cert_pem(ca_pem, ca_key).map_err(|_| PkiError::Authority("ca.crt"))?;

    let mut params = CertificateParams::default();
    for name in &request.names {
        params.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName(name.as_str().try_into().map_err(|_| PkiError::Name(name.clone()))?),
        });
    }
    params.distinguished_name.push(DnType::CommonName, request.common_name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if !request.names.is_empty() {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now_s, validity.leaf);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = params.signed_by(&key, &issuer)?;

    let mut data = SecretData::default();
    data.insert(TLS_CERTIFICATE, format!("{}{ca_pem}", certificate.pem()));
    data.insert(TLS_KEY, Zeroizing::new(key.serialize_pem()).as_bytes());
    data.insert(CA_CERTIFICATE, ca_pem);
    // In the Secret itself: it then is done once, whatever happens between two steps.
    if let Some(word) = request.rotate.as_deref().or(existing.text(ROTATED)) {
        data.insert(ROTATED, word);
    }
    Ok(Ensured { data, change })
}

/// SHA-256 of the authority's certificate (DER), as invites pin it.
pub fn authority_digest(authority: &SecretData) -> Result<[u8; 32], PkiError> {
    let pem = authority.text(CA_CERTIFICATE).ok_or(PkiError::Authority("ca.crt"))?;
    let first = Pem::iter_from_buffer(pem.as_bytes()).next();
    let first = first.and_then(Result::ok).ok_or(PkiError::Authority("ca.crt"))?;
    Ok(Sha256::digest(&first.contents).into())
}

/// Why a leaf's Secret cannot stay, if so.
fn stale(
    existing: &SecretData,
    authority: &SecretData,
    request: &LeafRequest,
    now_s: u64,
    validity: &Validity,
) -> Option<&'static str> {
    let (Some(pem), Some(key)) = (existing.text(TLS_CERTIFICATE), existing.text(TLS_KEY)) else {
        return Some("a part of it was missing");
    };
    let ca = authority.get(CA_CERTIFICATE).unwrap_or_default();
    if existing.get(CA_CERTIFICATE) != Some(ca) || !pem.as_bytes().ends_with(ca) {
        return Some("the authority is a new one");
    }
    let Some(seen) = Seen::read(pem) else { return Some("it could not be read") };
    if KeyPair::from_pem(key).ok().is_none_or(|key| key.public_key_raw() != seen.public_key) {
        return Some("certificate and key did not belong together");
    }
    if seen.names != request.names || seen.common_name != request.common_name {
        return Some("its names changed");
    }
    if request.rotate.is_some() && existing.text(ROTATED) != request.rotate.as_deref() {
        return Some("it was asked for");
    }
    seen.ends_within(now_s, validity.renew_before).then_some("its end is near")
}

fn set_validity(params: &mut CertificateParams, now_s: u64, life: Duration) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now_s.saturating_sub(CLOCK_SKEW));
    params.not_after = epoch + Duration::from_secs(now_s) + life;
}

/// What matters of the first certificate of a PEM text.
struct Seen {
    common_name: String,
    names: BTreeSet<String>,
    public_key: Vec<u8>,
    not_after_s: i64,
}

impl Seen {
    fn read(pem: &str) -> Option<Self> {
        let pem = Pem::iter_from_buffer(pem.as_bytes()).next()?.ok()?;
        let certificate = pem.parse_x509().ok()?;
        let mut names = BTreeSet::new();
        if let Some(san) = certificate.subject_alternative_name().ok()? {
            for name in &san.value.general_names {
                match name {
                    GeneralName::DNSName(name) => names.insert((*name).to_owned()),
                    GeneralName::IPAddress(bytes) => names.insert(ip(bytes)?.to_string()),
                    _ => return None,
                };
            }
        }
        Some(Self {
            common_name: certificate.subject().iter_common_name().next()?.as_str().ok()?.to_owned(),
            names,
            public_key: certificate.public_key().subject_public_key.data.to_vec(),
            not_after_s: certificate.validity().not_after.timestamp(),
        })
    }

    fn ends_within(&self, now_s: u64, time: Duration) -> bool {
        self.not_after_s <= i64::try_from(now_s.saturating_add(time.as_secs())).unwrap_or(i64::MAX)
    }
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;
    const DAY: u64 = 86_400;

    fn fresh() -> (SecretData, SecretData, LeafRequest) {
        let ca = authority(&SecretData::default(), "acme", NOW, &Validity::default()).unwrap();
        assert_eq!(ca.change, Change::Created);
        let request = LeafRequest::gateway("chat.acme.example", ["acme-gateway.team.svc"]);
        let made = leaf(&SecretData::default(), &ca.data, &request, NOW, &Validity::default()).unwrap();
        assert_eq!(made.change, Change::Created);
        (ca.data, made.data, request)
    }

    #[test]
    fn made_once_and_kept() {
        let (ca, gateway, request) = fresh();
        assert!(!authority(&ca, "acme", NOW + 100 * DAY, &Validity::default()).unwrap().changed());
        assert!(!leaf(&gateway, &ca, &request, NOW + 59 * DAY, &Validity::default()).unwrap().changed());
    }

    #[test]
    fn chain_is_accepted_by_rustls_for_the_names_and_roles_asked_for() {
        use rustls::pki_types::pem::PemObject as _;
        use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
        let (ca, gateway, _) = fresh();
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(gateway.get(TLS_CERTIFICATE).unwrap()).collect::<Result<_, _>>().unwrap();
        assert_eq!(chain.len(), 2);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.get(CA_CERTIFICATE).unwrap()).unwrap()).unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let roots = std::sync::Arc::new(roots);
        let server = rustls::client::WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
        for (name, good) in [("chat.acme.example", true), ("127.0.0.1", true), ("other.example", false)] {
            use rustls::client::danger::ServerCertVerifier as _;
            let name = ServerName::try_from(name).unwrap();
            assert_eq!(server.verify_server_cert(&chain[0], &chain[1..], &name, &[], now).is_ok(), good, "{name:?}");
        }
        let operator =
            leaf(&SecretData::default(), &ca, &LeafRequest::operator(), NOW, &Validity::default()).unwrap().data;
        let operator = CertificateDer::from_pem_slice(operator.get(TLS_CERTIFICATE).unwrap()).unwrap();
        let client = rustls::server::WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap();
        client.verify_client_cert(&operator, &[], now).unwrap();
        client.verify_client_cert(&chain[0], &chain[1..], now).unwrap();
    }

    #[test]
    fn renewed_when_close_to_its_end_or_no_longer_fitting() {
        let (ca, gateway, request) = fresh();
        let v = Validity::default();
        let renewed = leaf(&gateway, &ca, &request, NOW + 61 * DAY, &v).unwrap();
        assert_eq!(renewed.change, Change::Renewed("its end is near"));
        let renamed = LeafRequest::gateway("chat.acme.example", ["another.team.svc"]);
        assert_eq!(leaf(&gateway, &ca, &renamed, NOW, &v).unwrap().change, Change::Renewed("its names changed"));
        let other = authority(&SecretData::default(), "acme", NOW, &v).unwrap().data;
        let moved = leaf(&gateway, &other, &request, NOW, &v).unwrap();
        assert_eq!(moved.change, Change::Renewed("the authority is a new one"));
        let mut broken = gateway.clone();
        broken.insert(TLS_KEY, "no key");
        assert!(leaf(&broken, &ca, &request, NOW, &v).unwrap().changed());
    }

    #[test]
    fn made_anew_once_for_each_word() {
        let (ca, gateway, request) = fresh();
        let make = |have: &SecretData, word: Option<&str>, days: u64| {
            leaf(have, &ca, &request.clone().rotated(word), NOW + days * DAY, &Validity::default()).unwrap()
        };
        let first = make(&gateway, Some("monday"), 0);
        assert_eq!(first.change, Change::Renewed("it was asked for"));
        assert!(first.data.get(TLS_KEY) != gateway.get(TLS_KEY) && first.data.text(ROTATED) == Some("monday"));
        assert!(!make(&first.data, Some("monday"), 1).changed(), "once a word");
        assert!(!make(&first.data, None, 1).changed(), "taking the word away asks for nothing");
        // On schedule the word stays, so that it is not taken for a new one afterwards.
        let scheduled = make(&first.data, None, 61);
        assert!(scheduled.changed() && !make(&scheduled.data, Some("monday"), 62).changed());
        assert!(make(&scheduled.data, Some("tuesday"), 62).changed());
    }

    #[test]
    fn renewed_authority_keeps_its_key() {
        let (ca, gateway, request) = fresh();
        let renewed = authority(&ca, "acme", NOW + 3600 * DAY, &Validity::default()).unwrap();
        assert_eq!(renewed.change, Change::Renewed("its end is near"));
        assert!(renewed.data.get(CA_KEY) == ca.get(CA_KEY));
        assert_ne!(authority_digest(&renewed.data).unwrap(), authority_digest(&ca).unwrap());
        assert!(leaf(&gateway, &renewed.data, &request, NOW, &Validity::default()).unwrap().changed());
    }

    #[test]
    fn damaged_authority_is_not_replaced_silently() {
        let (mut ca, _, _) = fresh();
        ca.insert(CA_CERTIFICATE, "rubbish");
        let said = authority(&ca, "acme", NOW, &Validity::default()).err().unwrap().to_string();
        assert!(said.contains("ca.crt") && said.contains("backup"), "{said}");
        assert!(
            authority(&[("ca.crt".into(), vec![1])].into_iter().collect(), "a", NOW, &Validity::default()).is_err()
        );
    }

    #[test]
    fn bad_name_is_named() {
        let (ca, _, _) = fresh();
        let request = LeafRequest::relay_server(["ümlaut.example"]);
        let said = leaf(&SecretData::default(), &ca, &request, NOW, &Validity::default()).err().unwrap().to_string();
        assert!(said.contains("ümlaut.example"), "{said}");
    }
}
