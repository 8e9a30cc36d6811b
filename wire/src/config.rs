//! Configuration files of relay, gateway and retention process (YAML, camelCase). The operator and the local runner
//! write them; a person may read them: they hold no secret, only paths to secrets.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Certificate files of one TLS endpoint (PEM).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsFiles {
    /// Certificate chain.
    pub certificate: PathBuf,
    /// Private key (PKCS #8).
    pub key: PathBuf,
}

/// Certificate files of an endpoint with mutual TLS: its own, and the authority of its callers and servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MutualTlsFiles {
    /// Certificate chain.
    pub certificate: PathBuf,
    /// Private key (PKCS #8).
    pub key: PathBuf,
    /// The network's certificate authority.
    pub authority: PathBuf,
}

/// Where health and metrics are served, and whether CloudWatch gets them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TelemetryConfig {
    /// `/healthz`, `/readyz`, `/metrics` over plain HTTP.
    pub listen: SocketAddr,
    /// Off when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_watch: Option<CloudWatchConfig>,
}

/// How CloudWatch is reached. Credentials come from the environment as the AWS SDK finds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CloudWatchConfig {
    /// Metric namespace.
    pub namespace: String,
    /// Seconds between two calls.
    pub interval_seconds: u64,
    /// AWS region; the SDK's default chain when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Another endpoint; `AWS_ENDPOINT_URL` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
}

/// `sotto relay --config FILE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RelayConfig {
    /// The network's address space.
    pub domain: String,
    /// Public listener: the client interface.
    pub listen: SocketAddr,
    /// TLS of the public listener; plain HTTP when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// Networks of proxies before the public listener (`10.0.0.0/8`), which are believed when they say for whom they call
    /// (`X-Forwarded-For`). Limits by source need it behind a proxy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<String>,
    /// Admin listener (mutual TLS; callers `operator` and `gateway`).
    pub admin_listen: SocketAddr,
    /// Its files; also the relay's client certificate (CN `relay`) towards its gateway.
    pub admin_tls: MutualTlsFiles,
    /// Folder of store and blobs.
    pub state: PathBuf,
    /// File with the relay's own secret (64 bytes or more, from which session and OPAQUE keys are derived).
    pub secret: PathBuf,
    /// The policy public key (SEC1, base64): only documents under it are accepted.
    #[serde(with = "crate::admin::base64_bytes")]
    pub policy_key: Vec<u8>,
    /// The gateway's internal URL (`https://…`); no federation when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Health and metrics.
    pub telemetry: TelemetryConfig,
}

/// `sotto gateway --config FILE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayConfig {
    /// The network's address space.
    pub domain: String,
    /// Internal listener, for the own relay.
    pub listen: SocketAddr,
    /// Listener for peer gateways.
    pub peer_listen: SocketAddr,
    /// Certificate of the network's authority (CN `gateway`, SAN the network's domain and the Service names), for both
    /// listeners and as client certificate.
    pub tls: MutualTlsFiles,
    /// The relay's admin URL (`https://…`).
    pub relay: String,
    /// The peers.
    pub peers: Vec<PeerConfig>,
    /// Health and metrics.
    pub telemetry: TelemetryConfig,
}

/// One peer network of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PeerConfig {
    /// Its address space.
    pub domain: String,
    /// Its gateway's URL (`https://…`). The TLS server name that is checked is the domain, whatever the URL's host is.
    pub url: String,
    /// Its certificate authority (PEM file).
    pub authority: PathBuf,
}

/// `sotto retention --config FILE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetentionConfig {
    /// Its address as a recipient.
    pub address: String,
    /// Name of the `RetentionPolicy` object.
    pub policy: String,
    /// The relay's client URL (`http://…` or `https://…`).
    pub relay: String,
    /// Certificate authority of the relay (PEM file), where it is the network's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<PathBuf>,
    /// Fingerprint of the policy key.
    pub policy_key: String,
    /// Folder with the files `password`, `registration-code`, `identity.key` (66 bytes, base64), `certificate`
    /// (`Signed<RetentionCertificate>`, base64).
    pub secrets: PathBuf,
    /// Folder of the device's own state.
    pub state: PathBuf,
    /// Where records go.
    pub destination: DestinationConfig,
    /// Health and metrics.
    pub telemetry: TelemetryConfig,
}

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
pub enum DestinationConfig {
    /// A folder.
    #[serde(rename_all = "camelCase")]
    Folder {
        /// Holds `messages/`, `attachments/`, `files/` and `unreadable/`.
        path: PathBuf,
    },
    /// An S3 bucket. Credentials come from the environment as the AWS SDK finds them.
    #[serde(rename_all = "camelCase")]
    S3 {
        /// Bucket name.
        bucket: String,
        /// Key prefix, without a slash at the end.
        prefix: String,
        /// AWS region; the SDK's default chain when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
        /// Another endpoint; path-style addressing then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint_url: Option<String>,
        /// Key for server-side encryption (SSE-KMS).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kms_key_arn: Option<String>,
    },
}
