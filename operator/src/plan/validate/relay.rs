//! The relay: how it is reached, and by what certificate.

use std::net::IpAddr;

use ipnet::IpNet;
use sotto_crds::{RelaySpec, RouteKind, TlsMode};

use super::network::port;
use super::{secret_is_free, secret_is_there};
use crate::plan::objects::Objects;
use crate::plan::problem::Problem;
use crate::plan::valid::{ValidRelay, ValidTls, ValidWays};
use crate::reasons::Reason;

pub(super) fn relay(
    network: &str,
    spec: &RelaySpec,
    scraped: bool,
    objects: &Objects,
    problems: &mut Vec<Problem>,
) -> Option<ValidRelay> {
    let tls = match (spec.tls.mode, &spec.tls.secret_name) {
        (TlsMode::Disabled, _) => ValidTls::Disabled,
        (TlsMode::NetworkAuthority, _) => ValidTls::NetworkAuthority,
        (TlsMode::Secret, Some(name)) => {
            if let Err(problem) = secret_is_free(objects, "spec.relay.tls.secretName", name) {
                problems.push(problem);
                return None;
            }
            problems.extend(secret_is_there(objects, "spec.relay.tls.secretName", name));
            ValidTls::Secret(name.clone())
        }
        (TlsMode::CertManager, _) if spec.tls.issuer_ref.is_some() => ValidTls::Secret(certificate_secret(network)),
        (TlsMode::CertManager, _) => {
            let remedy = "name an Issuer or ClusterIssuer of cert-manager, or choose another mode";
            let field = "spec.relay.tls.issuerRef";
            problems.push(Problem::new(Reason::InvalidSpec, field, "is missing with mode CertManager", remedy));
            return None;
        }
        (TlsMode::Secret, None) => {
            problems.push(Problem::new(
                Reason::InvalidSpec,
                "spec.relay.tls.secretName",
                "is missing with mode Secret",
                "name a Secret of type kubernetes.io/tls, or choose another mode",
            ));
            return None;
        }
    };
    if matches!(tls, ValidTls::Secret(_)) && spec.public_url.is_none() {
        let message = "is missing with tls.mode Secret or CertManager";
        let remedy = "write the address that the certificate is for, such as https://chat.acme.example";
        problems.push(Problem::new(Reason::InvalidSpec, "spec.relay.publicURL", message, remedy));
        return None;
    }
    if let Some(url) = &spec.public_url {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.contains(['/', '?', '#', '@'])) {
            problems.push(Problem::new(
                Reason::InvalidSpec,
                "spec.relay.publicURL",
                format!("`{url}` is not http(s)://HOST[:PORT]"),
                "write scheme, host and where needed port, and nothing else",
            ));
            return None;
        }
    }
    let ways = ways(spec, problems)?;
    let pod = super::pod::pod("spec.relay.pod", &spec.pod, scraped, problems)?;
    super::pod::annotations("spec.relay.service", &spec.service.annotations, problems)?;
    trusted_proxies(&spec.trusted_proxies, problems)?;
    Some(ValidRelay {
        public_url: spec.public_url.clone(),
        port: port("spec.relay.port", spec.port, problems)?,
        tls,
        storage: spec.storage.clone(),
        resources: spec.resources.clone(),
        pod,
        service: spec.service.clone(),
        trusted_proxies: spec.trusted_proxies.clone(),
        ways,
    })
}

/// The schema lets through what only looks like a network.
fn trusted_proxies(networks: &[String], problems: &mut Vec<Problem>) -> Option<()> {
    let wrong = networks.iter().enumerate().find(|(_, text)| text.parse::<IpNet>().is_err());
    let Some((at, text)) = wrong else { return Some(()) };
    problems.push(Problem::new(
        Reason::InvalidSpec,
        format!("spec.relay.trustedProxies[{at}]"),
        format!("`{text}` is no network"),
        "write one such as 10.0.0.0/8 or fd00::/8",
    ));
    None
}

/// The Secret in which cert-manager keeps the relay's certificate.
fn certificate_secret(network: &str) -> String {
    format!("{network}-relay-certificate")
}

/// `Some(None)`: nothing leads to the relay but its Service. `None`: what is said does not fit together.
#[expect(clippy::option_option, reason = "the outer one is as of all readers here")]
fn ways(spec: &RelaySpec, problems: &mut Vec<Problem>) -> Option<Option<ValidWays>> {
    let issuer = spec.tls.issuer_ref.clone().filter(|_| spec.tls.mode == TlsMode::CertManager);
    if spec.ingress.is_none() && spec.route.is_none() && issuer.is_none() {
        return Some(None);
    }
    let mut fail = |field: &str, message: &str, remedy: &str| {
        problems.push(Problem::new(Reason::InvalidSpec, field, message, remedy));
    };
    let host = spec.public_url.as_deref().and_then(|url| url.split_once("://")).map(|(_, rest)| rest);
    let host = host.map(|rest| rest.split_once(':').map_or(rest, |(host, _)| host).to_ascii_lowercase());
    let Some(host) = host.filter(|host| host.contains('.') && host.parse::<IpAddr>().is_err()) else {
        let remedy = "write an address with a DNS name, such as https://chat.acme.example";
        fail("spec.relay.publicURL", "has no DNS name for spec.relay.ingress, route or tls.issuerRef", remedy);
        return None;
    };
    if spec.ingress.is_some() && spec.tls.mode == TlsMode::NetworkAuthority {
        let message = "ends TLS with another certificate than the one that clients know from their invite";
        let remedy = "set tls.mode Disabled, Secret or CertManager, or use spec.relay.route with kind TLSRoute";
        fail("spec.relay.ingress", message, remedy);
        return None;
    }
    let plain = spec.tls.mode == TlsMode::Disabled;
    if spec.route.as_ref().is_some_and(|route| (route.kind == RouteKind::Http) != plain) {
        let remedy = "set kind HTTPRoute with tls.mode Disabled, or TLSRoute with another mode";
        fail("spec.relay.route.kind", "does not go with spec.relay.tls.mode", remedy);
        return None;
    }
    if let Some(ingress) = &spec.ingress {
        super::pod::annotations("spec.relay.ingress", &ingress.annotations, problems)?;
    }
    if let Some(route) = &spec.route {
        super::pod::annotations("spec.relay.route", &route.annotations, problems)?;
    }
    Some(Some(ValidWays { host, ingress: spec.ingress.clone(), route: spec.route.clone(), issuer }))
}
