//! A network to test with: authority, policy key, clock, and a relay that can be stopped and started again.

pub(crate) mod authority;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod person;
pub(crate) mod socket;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sotto_crypto::{
    Address, Domain, IdentityKey, InviteKey, PolicyKey, RetentionCertificate, SUITE, Signed, SystemRng, VERSION,
};
use sotto_relay::Clock as _;
use sotto_relay::{ManualClock, Options, Relay, RelayError};
use sotto_wire::admin::{InviteGrant, PutGroup, PutNetwork, PutUser, Resets, Role};
use sotto_wire::config::{RelayConfig, TelemetryConfig};
use sotto_wire::invite::code_digest;
use sotto_wire::policy::{
    FederationRule, GroupDocument, GroupFederation, MembershipDocument, NetworkDocument, OpenInvite, PasswordRule,
    ReadReceipts, RetentionRule, Scope,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use authority::Authority;
use http::Http;

/// Failed log-ins that the group `staff` allows.
pub(crate) const LOCKOUT: u32 = 3;

/// A network with a running relay.
pub(crate) struct World {
    pub(crate) domain: Domain,
    pub(crate) policy_key: PolicyKey,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) authority: Authority,
    pub(crate) folder: TempDir,
    pub(crate) gateway: Option<String>,
    pub(crate) public_tls: bool,
    pub(crate) trusted_proxies: Vec<String>,
    pub(crate) link_wait: Duration,
    pub(crate) blob_quota: u64,
    /// Of memberships.
    serial: AtomicU64,
    running: Option<Running>,
}

/// A task that ends with its handle.
pub(crate) struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Running {
    public: std::net::SocketAddr,
    admin: std::net::SocketAddr,
    health: std::net::SocketAddr,
    shutdown: CancellationToken,
    finished: JoinHandle<Result<(), RelayError>>,
}

impl World {
    /// A running relay with the network's document and the group `staff`.
    pub(crate) async fn new() -> Self {
        let mut world = Self::prepared("a.example");
        world.start().await;
        world.put_network(world.network()).await;
        world.put_group(world.group("staff")).await;
        world
    }

    /// A network whose relay has not been started.
    pub(crate) fn prepared(domain: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), [42; 64]).unwrap();
        let authority = Authority::new();
        authority.issue("relay").write(folder.path(), "relay");
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        Self {
            domain: Domain::parse(domain).unwrap(),
            policy_key: PolicyKey::generate(&mut SystemRng),
            clock: Arc::default(),
            authority,
            folder,
            gateway: None,
            public_tls: false,
            trusted_proxies: Vec::new(),
            link_wait: Duration::from_secs(15),
            blob_quota: 10_000_000,
            serial: AtomicU64::new(1),
            running: None,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self) -> RelayConfig {
        let any = "127.0.0.1:0".parse().unwrap();
        let files = serde_json::json!({
            "certificate": self.path("relay.pem"), "key": self.path("relay.key"), "authority": self.path("ca.pem"),
        });
        RelayConfig {
            domain: self.domain.to_string(),
            listen: any,
            tls: self.public_tls.then(|| sotto_wire::config::TlsFiles {
                certificate: self.path("relay.pem"),
                key: self.path("relay.key"),
            }),
            trusted_proxies: self.trusted_proxies.clone(),
            admin_listen: any,
            admin_tls: serde_json::from_value(files).unwrap(),
            state: self.path("state"),
            secret: self.path("secret"),
            policy_key: self.policy_key.verifying_key().as_bytes().to_vec(),
            gateway: self.gateway.clone(),
            telemetry: TelemetryConfig { listen: any, cloud_watch: None },
        }
    }

    pub(crate) async fn start(&mut self) {
        let shutdown = CancellationToken::new();
        let options = Options {
            clock: Arc::clone(&self.clock) as _,
            sweep_every: Duration::from_millis(50),
            link_wait: self.link_wait,
            blob_quota: self.blob_quota,
        };
        let relay = Relay::start(self.config(), options, shutdown.clone()).await.unwrap();
        self.running = Some(Running {
            public: relay.public_address(),
            admin: relay.admin_address(),
            health: relay.health_address(),
            shutdown,
            finished: tokio::spawn(relay.finished()),
        });
    }

    pub(crate) async fn stop(&mut self) {
        let running = self.running.take().unwrap();
        running.shutdown.cancel();
        running.finished.await.unwrap().unwrap();
    }

    /// Begins to stop, without waiting for the end.
    pub(crate) fn begin_stop(&self) {
        self.running.as_ref().unwrap().shutdown.cancel();
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Lets time pass, two hundred times as fast as it does, until the answer is dropped: pauses end, whenever the relay
    /// began them.
    pub(crate) fn time_passes(&self) -> AbortOnDrop {
        let clock = Arc::clone(&self.clock);
        AbortOnDrop(tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(5)).await;
                clock.advance_ms(1000);
            }
        }))
    }

    pub(crate) fn public_address(&self) -> std::net::SocketAddr {
        self.running.as_ref().unwrap().public
    }

    pub(crate) fn admin_address(&self) -> std::net::SocketAddr {
        self.running.as_ref().unwrap().admin
    }

    pub(crate) fn health_address(&self) -> std::net::SocketAddr {
        self.running.as_ref().unwrap().health
    }

    pub(crate) fn public(&self) -> Http {
        if self.public_tls {
            Http::tls(self.public_address(), &self.authority)
        } else {
            Http::plain(self.public_address())
        }
    }

    pub(crate) fn admin(&self) -> Http {
        self.admin_as("operator")
    }

    pub(crate) fn admin_as(&self, name: &str) -> Http {
        Http::mutual(self.admin_address(), &self.authority, Some(&self.authority.issue(name)))
    }

    pub(crate) fn address(&self, local: &str) -> Address {
        Address::new(local, &self.domain).unwrap()
    }

    pub(crate) fn network(&self) -> NetworkDocument {
        NetworkDocument {
            version: 1,
            domain: self.domain.clone(),
            serial: 1,
            display_name: "Test".into(),
            retention: Vec::new(),
            federation: FederationRule::default(),
            read_receipts: ReadReceipts::Enabled,
        }
    }

    pub(crate) fn group(&self, name: &str) -> GroupDocument {
        GroupDocument {
            version: 1,
            domain: self.domain.clone(),
            serial: 1,
            name: name.into(),
            lockout_threshold: LOCKOUT,
            force_device_lockout: 0,
            password: PasswordRule { min_length: 8, lowercase: 0, uppercase: 0, numbers: 0, symbols: 0 },
            max_expiry_seconds: 0,
            max_burn_seconds: 0,
            federation: GroupFederation::All,
            files_enabled: true,
            file_download_enabled: true,
            forwarding_enabled: true,
            presence_enabled: true,
            device_approval: false,
            quick_responses: Vec::new(),
        }
    }

    pub(crate) fn retention_rule(&self, local: &str, identity: &IdentityKey, scope: Scope) -> RetentionRule {
        let certificate = RetentionCertificate {
            version: VERSION,
            suite: SUITE,
            network: self.domain.clone(),
            address: self.address(local),
            identity: identity.verifying_key(),
            issued_at_ms: self.now_ms(),
            expires_at_ms: self.now_ms() + 1_000_000_000,
        };
        RetentionRule {
            policy: "records".into(),
            address: self.address(local),
            certificate: Signed::sign(&certificate, &self.policy_key),
            scope,
            enabled: true,
        }
    }

    pub(crate) async fn put_network(&self, document: NetworkDocument) {
        let put = PutNetwork { document: Signed::sign(&document, &self.policy_key).to_bytes() };
        self.admin().put("/admin/v1/network", &put).await.done();
    }

    pub(crate) async fn put_group(&self, document: GroupDocument) {
        let put = PutGroup { document: Signed::sign(&document, &self.policy_key).to_bytes() };
        self.admin().put(&format!("/admin/v1/groups/{}", document.name), &put).await.done();
    }

    /// Without a membership: see [`Self::signed`].
    pub(crate) fn wanted(&self, code: &str) -> PutUser {
        let invite = InviteGrant { code_digest: code_digest(code), expires_at_ms: self.now_ms() + 3_600_000 };
        PutUser {
            group: "staff".into(),
            membership: Vec::new(),
            suspended: false,
            role: Role::Person,
            invite: Some(invite),
            reset: Resets::default(),
        }
    }

    /// With a membership of a serial that grows.
    pub(crate) fn signed(&self, local: &str, put: &PutUser) -> PutUser {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let invite = OpenInvite { invited_at_ms: serial, key: invite_key().verifying_key() };
        let document = MembershipDocument {
            version: 1,
            serial,
            address: self.address(local),
            group: put.group.clone(),
            identity: None,
            invite: Some(invite),
            devices_from_ms: 0,
            name: None,
        };
        PutUser { membership: Signed::sign(&document, &self.policy_key).to_bytes(), ..put.clone() }
    }

    pub(crate) async fn put_user(&self, local: &str, put: &PutUser) {
        let put = self.signed(local, put);
        self.admin().put(&format!("/admin/v1/users/{local}"), &put).await.done();
    }
}

/// The key of every invite of the tests' worlds.
pub(crate) fn invite_key() -> &'static InviteKey {
    static KEY: std::sync::LazyLock<InviteKey> = std::sync::LazyLock::new(|| InviteKey::generate(&mut SystemRng));
    &KEY
}
