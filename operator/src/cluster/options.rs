//! The operator's options, from the environment that its Deployment sets.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::head::{self, BadLife};
use crate::lease::{LeaseOptions, LeaseOptionsError};

/// Options of the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The image of relays, gateways and retention processes, where a Network names none (`SOTTO_IMAGE`).
    pub image: String,
    /// Their pull policy (`SOTTO_IMAGE_PULL_POLICY`).
    pub pull_policy: String,
    /// The namespaces to look after; empty: all (`SOTTO_WATCH_NAMESPACES`, separated by commas).
    pub namespaces: Vec<String>,
    /// Where health and metrics are served (`SOTTO_LISTEN`).
    pub listen: SocketAddr,
    /// The name of the operator's own pod, for events (`POD_NAME`).
    pub pod_name: Option<String>,
    /// The leader election; `None`: this process is the only one.
    pub lease: Option<LeaseOptions>,
    /// Its namespace (`POD_NAMESPACE`).
    pub namespace: Option<String>,
    /// The name of its service account (`SOTTO_SERVICE_ACCOUNT`), for `secrets_role`.
    pub service_account: Option<String>,
    /// A ClusterRole with the rights over Secrets, that the operator binds to its service account in each namespace that has a
    /// Network (`SOTTO_SECRETS_ROLE`). Without it the operator has these rights already.
    pub secrets_role: Option<String>,
    /// How long directory heads live (`SOTTO_HEAD_LIFE_SECONDS`): for tests, which cannot wait for a day.
    pub head_life: Duration,
    /// Where every relay's admin interface is reached instead of at its Service (`SOTTO_ADMIN_RESOLVE`): for tests and benches.
    pub admin_resolve: Option<SocketAddr>,
}

/// A variable that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment variable {name} is `{value}`; {remedy}")]
pub struct OptionsError {
    name: &'static str,
    value: String,
    remedy: &'static str,
}

impl From<LeaseOptionsError> for OptionsError {
    fn from(error: LeaseOptionsError) -> Self {
        Self { name: error.name, value: error.value, remedy: error.remedy }
    }
}

impl From<BadLife> for OptionsError {
    fn from(error: BadLife) -> Self {
        Self { name: BadLife::VARIABLE, value: error.value, remedy: BadLife::REMEDY }
    }
}

impl Options {
    /// Reads the environment of this process.
    pub fn from_env() -> Result<Self, OptionsError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, OptionsError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let pull_policy = set("SOTTO_IMAGE_PULL_POLICY").unwrap_or_else(|| "IfNotPresent".into());
        if !["Always", "IfNotPresent", "Never"].contains(&pull_policy.as_str()) {
            let remedy = "write Always, IfNotPresent or Never";
            return Err(OptionsError { name: "SOTTO_IMAGE_PULL_POLICY", value: pull_policy, remedy });
        }
        let listen = match set("SOTTO_LISTEN") {
            None => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)),
            Some(value) => value.parse().map_err(|_| OptionsError {
                name: "SOTTO_LISTEN",
                value,
                remedy: "write an address and a port, such as 0.0.0.0:8080",
            })?,
        };
        let admin_resolve = set("SOTTO_ADMIN_RESOLVE").map(|value| {
            let remedy = "write an address and a port, such as 127.0.0.1:9443";
            value.parse().map_err(|_| OptionsError { name: "SOTTO_ADMIN_RESOLVE", value, remedy })
        });
        let secrets_role = set("SOTTO_SECRETS_ROLE");
        let (namespace, service_account) = (set("POD_NAMESPACE"), set("SOTTO_SERVICE_ACCOUNT"));
        if let Some(role) = &secrets_role
            && (namespace.is_none() || service_account.is_none())
        {
            let remedy = "set POD_NAMESPACE and SOTTO_SERVICE_ACCOUNT too: the role is bound to that account";
            return Err(OptionsError { name: "SOTTO_SECRETS_ROLE", value: role.clone(), remedy });
        }
        let namespaces = set("SOTTO_WATCH_NAMESPACES").unwrap_or_default();
        Ok(Self {
            image: set("SOTTO_IMAGE")
                .unwrap_or_else(|| format!("ghcr.io/sotto-dev/sotto:{}", env!("CARGO_PKG_VERSION"))),
            pull_policy,
            namespaces: namespaces.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect(),
            listen,
            pod_name: set("POD_NAME"),
            lease: LeaseOptions::from_variables(&variable)?,
            namespace,
            service_account,
            secrets_role,
            head_life: head::life(&variable)?,
            admin_resolve: admin_resolve.transpose()?,
        })
    }
}

impl Options {
    /// Whether Secrets are watched in the namespaces that have a Network alone.
    pub(super) fn secrets_by_namespace(&self) -> bool {
        self.secrets_role.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Options, OptionsError> {
        Options::from_variables(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn nothing_set_is_good() {
        let options = read(&[("SOTTO_WATCH_NAMESPACES", "")]).unwrap();
        assert!(options.namespaces.is_empty() && options.image.contains("sotto"));
        assert_eq!(options.listen.port(), 8080);
    }

    #[test]
    fn namespaces_are_listed() {
        let options = read(&[("SOTTO_WATCH_NAMESPACES", "chat, chat-test,")]).unwrap();
        assert_eq!(options.namespaces, ["chat", "chat-test"]);
    }

    #[test]
    fn bad_values_are_named() {
        let said = read(&[("SOTTO_LISTEN", "8080")]).unwrap_err().to_string();
        assert!(said.contains("SOTTO_LISTEN") && said.contains("0.0.0.0:8080"), "{said}");
        assert!(read(&[("SOTTO_IMAGE_PULL_POLICY", "Sometimes")]).is_err());
        let said = read(&[("SOTTO_HEAD_LIFE_SECONDS", "1d")]).unwrap_err().to_string();
        assert!(said.contains("SOTTO_HEAD_LIFE_SECONDS") && said.contains("number of seconds"), "{said}");
        let said = read(&[("SOTTO_SECRETS_ROLE", "sotto-secrets")]).unwrap_err().to_string();
        assert!(said.contains("POD_NAMESPACE") && said.contains("SOTTO_SERVICE_ACCOUNT"), "{said}");
        let account = [("POD_NAMESPACE", "a"), ("SOTTO_SERVICE_ACCOUNT", "b"), ("SOTTO_SECRETS_ROLE", "c")];
        assert!(read(&account).unwrap().secrets_by_namespace());
    }
}
