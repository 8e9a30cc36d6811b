//! A real relay in this process, with what the operator would have given it.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests, which the lint does not know as such")]

pub(crate) mod proxy;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use sha2::{Digest as _, Sha256};
use sotto_client::{Client, Contact, Error, Event, JoinOptions, Password, ReceivedMessage, Receiver};
use sotto_crypto::{
    Address, Domain, Fingerprint, IdentityKey, InviteSecret, PolicyKey, RetentionCertificate, Signed, SystemRng,
};
use sotto_relay::{Clock, Options, Relay, SystemClock};
use sotto_wire::admin::{InviteGrant, PutGroup, PutNetwork, PutUser, Resets, Role};
use sotto_wire::config::{MutualTlsFiles, RelayConfig, TelemetryConfig, TlsFiles};
use sotto_wire::invite::{Invite, Transport, code_digest};
use sotto_wire::policy::{
    Established, FederationRule, GroupDocument, GroupFederation, MembershipDocument, NetworkDocument, OpenInvite,
    PasswordRule, ReadReceipts, RetentionRule, Scope,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const DOMAIN: &str = "chat.acme.example";

type Authority = CertifiedIssuer<'static, KeyPair>;

/// A network with its relay.
pub(crate) struct Network {
    pub(crate) folder: TempDir,
    pub(crate) policy: PolicyKey,
    pub(crate) document: NetworkDocument,
    authority: Authority,
    config: RelayConfig,
    tls: bool,
    clock: Arc<dyn Clock>,
    running: Option<Running>,
    admin: reqwest::Client,
    /// The invites that were made last, by name, each with its number.
    invites: Mutex<BTreeMap<String, (u64, InviteSecret)>>,
    established: Mutex<BTreeMap<String, Established>>,
    /// How people call somebody, where the administrator says so.
    names: Mutex<BTreeMap<String, String>>,
}

struct Running {
    public: SocketAddr,
    admin: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Network {
    /// Starts a relay with one security group, `staff`.
    pub(crate) async fn start(tls: bool) -> Self {
        Self::start_at(tls, Arc::new(SystemClock)).await
    }

    /// The same, with a relay whose clock is this one.
    pub(crate) async fn start_at(tls: bool, clock: Arc<dyn Clock>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = authority();
        let policy = PolicyKey::generate(&mut SystemRng);
        let config = config(folder.path(), &authority, &policy, tls);
        let admin = admin_client(&authority);
        let document = NetworkDocument {
            version: 1,
            domain: Domain::parse(DOMAIN).unwrap(),
            serial: 0,
            display_name: "Acme".into(),
            retention: Vec::new(),
            federation: FederationRule::default(),
            read_receipts: ReadReceipts::default(),
        };
        let (invites, established, names) = (Mutex::default(), Mutex::default(), Mutex::default());
        let mut network = Self {
            folder,
            policy,
            document,
            authority,
            config,
            tls,
            clock,
            running: None,
            admin,
            invites,
            established,
            names,
        };
        network.run().await;
        network.put_document().await;
        network.put_group(group()).await;
        network
    }

    /// Starts the relay, again where it was stopped: at the same address, with the same state.
    pub(crate) async fn run(&mut self) {
        let shutdown = CancellationToken::new();
        let relay = Relay::start(
            self.config.clone(),
            Options { clock: self.clock.clone(), ..Options::default() },
            shutdown.clone(),
        )
        .await
        .unwrap();
        self.config.listen = relay.public_address();
        let (public, admin) = (relay.public_address(), relay.admin_address());
        let task = tokio::spawn(async move { relay.finished().await.unwrap() });
        self.running = Some(Running { public, admin, shutdown, task });
    }

    pub(crate) async fn stop(&mut self) {
        let running = self.running.take().unwrap();
        running.shutdown.cancel();
        running.task.await.unwrap();
    }

    /// The folder of the relay's store.
    pub(crate) fn store(&self) -> PathBuf {
        self.config.state.clone()
    }

    pub(crate) fn domain(&self) -> Domain {
        self.document.domain.clone()
    }

    pub(crate) fn authority_pem(&self) -> String {
        self.authority.pem()
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.running.as_ref().unwrap().public)
    }

    async fn put<T: serde::Serialize>(&self, path: &str, body: &T) {
        let url = format!("https://{}{path}", self.running.as_ref().unwrap().admin);
        let answer = self.admin.put(url).json(body).send().await.unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{path}: {status} {}", answer.text().await.unwrap());
    }

    /// Signs and puts the network's document, with a serial that grows.
    pub(crate) async fn put_document(&mut self) {
        self.document.serial += 1;
        let document = Signed::sign(&self.document, &self.policy).to_bytes();
        self.put("/admin/v1/network", &PutNetwork { document }).await;
    }

    pub(crate) async fn put_group(&self, document: GroupDocument) {
        let document = Signed::sign(&document, &self.policy).to_bytes();
        self.put("/admin/v1/groups/staff", &PutGroup { document }).await;
    }

    pub(crate) async fn delete_user(&self, name: &str) {
        let url = format!("https://{}/admin/v1/users/{name}", self.running.as_ref().unwrap().admin);
        assert!(self.admin.delete(url).send().await.unwrap().status().is_success());
    }

    /// With the invite that was made last, if any.
    pub(crate) async fn put_user(&self, name: &str, role: Role, suspended: bool) {
        let code = match role {
            Role::Person => {
                let invites = self.invites.lock().unwrap();
                invites.get(name).map(|(_, secret)| secret.registration_code().to_string())
            }
            Role::Retention => Some("retention-code".to_owned()),
        };
        let expires_at_ms = 4_000_000_000_000;
        let invite = code.map(|code| InviteGrant { code_digest: code_digest(&code), expires_at_ms });
        let group = "staff".to_owned();
        let document = self.membership(name);
        let membership = Signed::sign(&document, &self.policy).to_bytes();
        let user = PutUser { group, membership, suspended, role, invite, reset: Resets::default() };
        self.put(&format!("/admin/v1/users/{name}"), &user).await;
    }

    /// What the operator says of somebody: the identity that it has seen registered, and the invite that was made last.
    fn membership(&self, name: &str) -> MembershipDocument {
        let invites = self.invites.lock().unwrap();
        let identity = self.established.lock().unwrap().get(name).cloned();
        let invite =
            invites.get(name).map(|(at, secret)| OpenInvite { invited_at_ms: *at, key: secret.key().verifying_key() });
        let newest = identity.as_ref().map_or(0, |known: &Established| known.invited_at_ms);
        let invite = invite.filter(|invite| invite.invited_at_ms > newest);
        let shown = self.names.lock().unwrap().get(name).cloned();
        MembershipDocument {
            version: 1,
            serial: 1,
            address: address(name),
            group: "staff".into(),
            identity,
            invite,
            devices_from_ms: 0,
            name: shown,
        }
    }

    /// What the operator says vouches for nobody any more: as of somebody who has registered by no invite of its making.
    pub(crate) async fn vouch_no_more(&self, name: &str) {
        self.invites.lock().unwrap().remove(name);
        self.established.lock().unwrap().remove(name);
        self.put_user(name, Role::Person, false).await;
    }

    /// The administrator gives somebody a name.
    pub(crate) async fn call(&self, who: &str, name: &str) {
        self.names.lock().unwrap().insert(who.to_owned(), name.to_owned());
        self.put_user(who, Role::Person, false).await;
    }

    /// As the operator does when it has seen that somebody has registered: from now on this identity counts by its word.
    pub(crate) async fn establish(&self, name: &str, identity: Fingerprint) {
        let invited_at_ms = self.invites.lock().unwrap()[name].0;
        self.established.lock().unwrap().insert(name.to_owned(), Established { invited_at_ms, identity });
        self.put_user(name, Role::Person, false).await;
    }

    /// Makes a user, and the invite.
    pub(crate) async fn invite(&self, name: &str) -> Invite {
        let secret = InviteSecret::generate(&mut SystemRng);
        {
            let mut invites = self.invites.lock().unwrap();
            let number = invites.get(name).map_or(1, |(number, _)| number + 1);
            invites.insert(name.to_owned(), (number, secret.clone()));
        }
        self.put_user(name, Role::Person, false).await;
        let transport = if self.tls {
            Transport::NetworkTls(Sha256::digest(self.authority.der()).into())
        } else {
            Transport::Plain
        };
        Invite {
            authority: self.running.as_ref().unwrap().public.to_string(),
            transport,
            address: address(name),
            secret,
            policy_key: self.policy.verifying_key().fingerprint(),
        }
    }

    pub(crate) fn profile(&self, name: &str) -> PathBuf {
        self.folder.path().join("profiles").join(name)
    }

    pub(crate) fn join_options(&self, invite: Invite, profile: &str) -> JoinOptions {
        JoinOptions::new(invite, self.profile(profile), Password::new(PASSWORD.into()))
    }

    /// A user who has joined by another way to the relay, such as a proxy.
    pub(crate) async fn member_by(&self, name: &str, way: SocketAddr) -> Client {
        let mut invite = self.invite(name).await;
        invite.authority = way.to_string();
        let joined = || Client::join(self.join_options(invite.clone(), name));
        loop {
            match joined().await {
                Ok(client) => return client,
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        }
    }

    /// Where the relay listens.
    pub(crate) fn relay(&self) -> SocketAddr {
        self.running.as_ref().unwrap().public
    }

    /// A user who has joined.
    pub(crate) async fn member(&self, name: &str) -> Client {
        let invite = self.invite(name).await;
        Client::join(self.join_options(invite, name)).await.unwrap()
    }

    /// A certified identity for a retention process, in the network's document.
    pub(crate) async fn retention(&mut self, name: &str) -> IdentityKey {
        let identity = IdentityKey::generate(&mut SystemRng);
        let certificate = RetentionCertificate {
            version: sotto_crypto::VERSION,
            suite: sotto_crypto::SUITE,
            network: self.domain(),
            address: address(name),
            identity: identity.verifying_key(),
            issued_at_ms: 0,
            expires_at_ms: u64::MAX,
        };
        self.document.retention.push(RetentionRule {
            policy: "archive".into(),
            address: address(name),
            certificate: Signed::sign(&certificate, &self.policy),
            scope: Scope::AllUsers,
            enabled: true,
        });
        self.put_user(name, Role::Retention, false).await;
        self.put_document().await;
        identity
    }
}

pub(crate) fn address(name: &str) -> Address {
    Address::parse(&format!("{name}@{DOMAIN}")).unwrap()
}

pub(crate) fn group() -> GroupDocument {
    GroupDocument {
        version: 1,
        domain: Domain::parse(DOMAIN).unwrap(),
        serial: 1,
        name: "staff".into(),
        lockout_threshold: 0,
        force_device_lockout: 0,
        password: PasswordRule { min_length: 12, lowercase: 0, uppercase: 0, numbers: 0, symbols: 0 },
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

/// Accepts the change of identity that is told with a contact.
pub(crate) async fn accept(client: &Client, told: &Contact) -> Result<Contact, Error> {
    client.contacts().accept_change(&told.address, told.change.as_ref().map(|change| change.new)).await
}

/// The next event, which must come soon.
pub(crate) async fn next(receiver: &mut Receiver) -> Event {
    tokio::time::timeout(Duration::from_mins(1), receiver.next())
        .await
        .expect("an event in time")
        .expect("the receiver goes on")
        .unwrap()
}

/// The next message.
pub(crate) async fn message(receiver: &mut Receiver) -> ReceivedMessage {
    loop {
        match next(receiver).await {
            Event::Message(message) => return *message,
            Event::Unopened(unopened) => panic!("not opened: {}", unopened.reason),
            _ => {}
        }
    }
}

/// All that waits for a client: received and acknowledged.
pub(crate) async fn drain(client: &Client) -> Vec<ReceivedMessage> {
    let mut receiver = client.receive(false).unwrap();
    let mut messages = Vec::new();
    loop {
        match next(&mut receiver).await {
            Event::Message(message) => {
                receiver.ack(message.receipt()).await.unwrap();
                messages.push(*message);
            }
            Event::CaughtUp => break,
            Event::Unopened(unopened) => panic!("not opened: {}", unopened.reason),
            _ => {}
        }
    }
    receiver.close().await;
    messages
}

pub(crate) fn text(message: &ReceivedMessage) -> &str {
    match &message.content.body {
        sotto_wire::content::Body::Text(text) => text,
        _ => panic!("no text"),
    }
}

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "Acme authority");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate (with the authority behind it) and key, as PEM.
fn leaf(authority: &Authority, name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, authority).unwrap();
    (format!("{}{}", certificate.pem(), authority.pem()), key.serialize_pem())
}

fn config(folder: &Path, authority: &Authority, policy: &PolicyKey, tls: bool) -> RelayConfig {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (certificate, key) = leaf(authority, "relay");
    let (certificate, key) = (write("relay.crt", &certificate), write("relay.key", &key));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    RelayConfig {
        domain: DOMAIN.into(),
        listen: any,
        tls: tls.then(|| TlsFiles { certificate: certificate.clone(), key: key.clone() }),
        trusted_proxies: Vec::new(),
        admin_listen: any,
        admin_tls: MutualTlsFiles { certificate, key, authority: write("ca.crt", &authority.pem()) },
        state: folder.join("state"),
        secret: write("secret", &"s".repeat(64)),
        policy_key: policy.verifying_key().as_bytes().to_vec(),
        gateway: None,
        telemetry: TelemetryConfig { listen: any, cloud_watch: None },
    }
}

fn admin_client(authority: &Authority) -> reqwest::Client {
    use rustls_pki_types::pem::PemObject as _;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};
    let (certificate, key) = leaf(authority, "operator");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
    let config = rustls::ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
        .unwrap();
    reqwest::Client::builder().tls_backend_preconfigured(config).build().unwrap()
}
