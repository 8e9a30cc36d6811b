//! From configuration to a running relay, and back.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;
use std::time::Duration;

use sotto_crypto::{Domain, PolicyPublic};
use sotto_telemetry::{CloudWatchConfig, Publisher, Readiness, Telemetry, serve_health};
use sotto_wire::config::{RelayConfig, TelemetryConfig};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::RelayError;
use crate::blobs::BlobFiles;
use crate::clock::{Clock, SystemClock};
use crate::directory::ShownCell;
use crate::gateway::Gateway;
use crate::limits::RateLimits;
use crate::opaque::Opaque;
use crate::policy::PolicyCell;
use crate::registry::Registry;
use crate::routes::{blobs, links};
use crate::secrets::Secret;
use crate::source::Proxies;
use crate::state::{App, Shared};
use crate::store::sqlite::Sqlite;
use crate::store::{Store, Wake};
use crate::tls::{MutualTls, PublicTls, ServerTls};
use crate::token::Tokens;
use crate::{outbox, router, serve, sweeper, tls};

/// How long sockets may take to say goodbye.
const SOCKETS: Duration = Duration::from_secs(5);

/// What a test may set.
pub struct Options {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How often expired things are looked for.
    pub sweep_every: Duration,
    /// How long a request for an empty slot of a link waits.
    pub link_wait: Duration,
    /// Bytes that one user's attachments may take together.
    pub blob_quota: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            sweep_every: Duration::from_secs(10),
            link_wait: links::WAIT,
            blob_quota: blobs::QUOTA,
        }
    }
}

/// A running relay.
pub struct Relay {
    app: Shared,
    public: SocketAddr,
    admin: SocketAddr,
    health: SocketAddr,
    shutdown: CancellationToken,
    /// The end of everything else, once requests are done.
    stopped: CancellationToken,
    listeners: Vec<JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
    readiness: Readiness,
    publisher: Option<Publisher>,
    /// Keeps other relays out of the state folder.
    lock: File,
}

impl Relay {
    /// Opens the store, binds the listeners and serves. Returns once all of that is done.
    pub async fn start(config: RelayConfig, options: Options, shutdown: CancellationToken) -> Result<Self, RelayError> {
        let telemetry = Telemetry::install()?;
        let readiness = Readiness::new();
        let mutual = Arc::new(MutualTls::load(config.admin_tls.clone())?);
        let public_tls = config.tls.clone().map(PublicTls::load).transpose()?.map(Arc::new);
        let (public, public_address) = bind("listen", config.listen).await?;
        let (admin, admin_address) = bind("adminListen", config.admin_listen).await?;
        let (health, health_address) = bind("telemetry.listen", config.telemetry.listen).await?;
        let proxies = Arc::new(Proxies::parse(&config.trusted_proxies)?);
        let (app, lock) = open(&config, &options, &mutual).await?;

        let stopped = CancellationToken::new();
        let public_tls: Option<Arc<dyn ServerTls>> = public_tls.map(|tls| tls as Arc<dyn ServerTls>);
        let mut listeners = vec![tokio::spawn(serve::serve(
            public,
            public_tls.clone(),
            proxies,
            router::public(Shared::clone(&app)),
            shutdown.clone(),
        ))];
        listeners.push(tokio::spawn(serve::serve(
            admin,
            Some(Arc::clone(&mutual) as Arc<dyn ServerTls>),
            Arc::default(),
            router::admin(Shared::clone(&app)),
            shutdown.clone(),
        )));
        let mut workers = vec![
            tokio::spawn(tls::watch(mutual, "admin", shutdown.clone())),
            tokio::spawn(sweeper::run(Shared::clone(&app), options.sweep_every, readiness.clone(), shutdown.clone())),
            tokio::spawn(outbox::run(Shared::clone(&app), shutdown.clone())),
            tokio::spawn(health_listener(health, telemetry.clone(), readiness.clone(), stopped.clone())),
        ];
        workers.extend(public_tls.map(|tls| tokio::spawn(tls::watch(tls, "public", shutdown.clone()))));
        let publisher = publish(&telemetry, &config.telemetry, &app.domain, &stopped);
        readiness.ready();
        tracing::info!(network = %app.domain, public = %public_address, admin = %admin_address, "the relay is ready");
        Ok(Self {
            app,
            public: public_address,
            admin: admin_address,
            health: health_address,
            shutdown,
            stopped,
            listeners,
            workers,
            readiness,
            publisher,
            lock,
        })
    }

    /// Where clients connect.
    pub fn public_address(&self) -> SocketAddr {
        self.public
    }

    /// Where the operator and the gateway connect.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Where health and metrics are.
    pub fn health_address(&self) -> SocketAddr {
        self.health
    }

    /// Waits for `shutdown`, and then until everything is finished.
    pub async fn finished(self) -> Result<(), RelayError> {
        self.shutdown.cancelled().await;
        self.readiness.not_ready("stopping");
        // Sockets first: their devices connect elsewhere while requests are finished here.
        self.app.registry.close_all();
        for listener in self.listeners {
            join(listener, "a listener").await;
        }
        self.app.tasks.close();
        if tokio::time::timeout(SOCKETS, self.app.tasks.wait()).await.is_err() {
            tracing::warn!("some sockets did not close in time");
        }
        self.stopped.cancel();
        for worker in self.workers {
            join(worker, "a worker").await;
        }
        let closed = self.app.store.close().await;
        if let Some(publisher) = self.publisher {
            publisher.finished().await;
        }
        drop(self.lock);
        tracing::info!("the relay has stopped");
        Ok(closed?)
    }
}

async fn join(task: JoinHandle<()>, what: &'static str) {
    if let Err(error) = task.await {
        tracing::error!(error = %error, "{what} ended badly");
    }
}

async fn bind(what: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), RelayError> {
    let failed = |source| RelayError::Listen { what, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

async fn health_listener(
    listener: TcpListener,
    telemetry: Telemetry,
    readiness: Readiness,
    stopped: CancellationToken,
) {
    if let Err(error) = serve_health(listener, telemetry, readiness, stopped).await {
        tracing::error!(error = %error, "the health listener failed");
    }
}

fn publish(
    telemetry: &Telemetry,
    config: &TelemetryConfig,
    domain: &Domain,
    stopped: &CancellationToken,
) -> Option<Publisher> {
    let cloud_watch = config.cloud_watch.as_ref()?;
    let settings = CloudWatchConfig {
        namespace: cloud_watch.namespace.clone(),
        interval: Duration::from_secs(cloud_watch.interval_seconds.max(1)),
        region: cloud_watch.region.clone(),
        endpoint: cloud_watch.endpoint_url.clone(),
        ..CloudWatchConfig::new(Some(domain.to_string()))
    };
    Some(telemetry.publish(settings, stopped.clone()))
}

/// Reads the secrets and opens the store.
async fn open(config: &RelayConfig, options: &Options, mutual: &Arc<MutualTls>) -> Result<(Shared, File), RelayError> {
    let domain = Domain::parse(&config.domain).map_err(|error| RelayError::Config(format!("domain: {error}")))?;
    let policy_key = PolicyPublic::from_bytes(&config.policy_key)
        .map_err(|error| RelayError::Config(format!("policyKey: {error}")))?;
    let gateway = config.gateway.as_deref().map(|url| Gateway::new(url, Arc::clone(mutual))).transpose()?;
    let secret = Secret::read(&config.secret, &domain)?;
    let registry = Arc::new(Registry::default());
    let Files { store, blobs, lock } = open_files(config, Arc::clone(&registry) as Arc<dyn Wake>).await?;
    let app = App {
        tokens: Tokens::new(&secret),
        opaque: Opaque::new(&secret, &domain),
        domain,
        policy_key,
        store,
        policy: PolicyCell::default(),
        shown: ShownCell::default(),
        putting: tokio::sync::Mutex::default(),
        clock: Arc::clone(&options.clock),
        registry,
        limits: RateLimits::new(),
        shares: crate::shares::Shares::default(),
        blobs,
        gateway,
        uploads: Arc::default(),
        blob_quota: options.blob_quota,
        link_wait: options.link_wait,
        tasks: TaskTracker::new(),
    };
    app.reload_policy().await?;
    app.reload_shown().await?;
    Ok((Arc::new(app), lock))
}

/// What is in the state folder.
struct Files {
    store: Arc<dyn Store>,
    blobs: BlobFiles,
    /// Held as long as the folder is in use: two writers would take each other's places in queues.
    lock: File,
}

async fn open_files(config: &RelayConfig, wake: Arc<dyn Wake>) -> Result<Files, RelayError> {
    let state = config.state.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let failed = |source| RelayError::File { path: state.clone(), source };
        // Nobody else on the machine needs to see who talks to whom.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&state).map_err(failed)?;
        let lock = File::create(state.join("relay.lock")).map_err(failed)?;
        if lock.try_lock().is_err() {
            return Err(RelayError::Config(format!(
                "state: another relay is using {}; stop it first, or use another folder",
                state.display()
            )));
        }
        let store = Sqlite::open(&state.join("relay.sqlite"), wake)?;
        let blobs = BlobFiles::open(state.join("blobs")).map_err(failed)?;
        Ok(Files { store: Arc::new(store), blobs, lock })
    });
    opened.await.map_err(|error| RelayError::Store(error.to_string()))?
}
