//! A bad network in front of a relay: it refuses, delays, cuts and says things twice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// What has happened to connections.
#[derive(Debug, Default)]
pub(crate) struct Happened {
    pub(crate) refused: AtomicU64,
    pub(crate) cut: AtomicU64,
    pub(crate) twice: AtomicU64,
    pub(crate) connections: AtomicU64,
}

/// A listener that passes on to the relay, badly.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) happened: Arc<Happened>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(relay: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let happened = Arc::new(Happened::default());
        let told = happened.clone();
        let task = tokio::spawn(async move {
            let mut chance = Chance(seed);
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                told.connections.fetch_add(1, Ordering::Relaxed);
                let chance = Chance(chance.next());
                connections.spawn(pass(client, relay, chance, told.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, happened, task }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A good line to the relay, until it is cut.
pub(crate) struct Line {
    pub(crate) address: SocketAddr,
    cut: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Line {
    pub(crate) async fn start(relay: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cut = Arc::new(Notify::new());
        let cuts = cut.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let cuts = cuts.clone();
                connections.spawn(async move {
                    let cut = cuts.notified();
                    let mut server = TcpStream::connect(relay).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        () = cut => {}
                    }
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, cut, task }
    }

    /// Cuts all connections. New ones are made.
    pub(crate) fn cut(&self) {
        self.cut.notify_waiters();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Numbers that look random and are the same in each run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 11
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }
}

async fn pass(mut client: TcpStream, relay: SocketAddr, mut chance: Chance, happened: Arc<Happened>) {
    if chance.one_in(8) {
        happened.refused.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let Ok(mut server) = TcpStream::connect(relay).await else { return };
    // After so many bytes, in either direction, the line is cut: in the middle of whatever it is.
    let mut left = 8_000 + chance.next() % 200_000;
    let mut said = Vec::new();
    let (mut up, mut down) = ([0; 4096], [0; 4096]);
    loop {
        let (n, upwards) = tokio::select! {
            n = client.read(&mut up) => (n, true),
            n = server.read(&mut down) => (n, false),
        };
        let Ok(n @ 1..) = n else { break };
        if chance.one_in(6) {
            tokio::time::sleep(Duration::from_millis(chance.next() % 60)).await;
        }
        if left < n as u64 {
            happened.cut.fetch_add(1, Ordering::Relaxed);
            break;
        }
        left -= n as u64;
        let written = if upwards {
            said.extend_from_slice(&up[..n]);
            server.write_all(&up[..n]).await
        } else {
            client.write_all(&down[..n]).await
        };
        if written.is_err() {
            break;
        }
    }
    drop((client, server));
    // A socket is not said twice: the relay pushes to one connection of a device.
    if chance.one_in(3) && !said.windows(9).any(|w| w.eq_ignore_ascii_case(b"websocket")) {
        happened.twice.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut again) = TcpStream::connect(relay).await {
            let _ = again.write_all(&said).await;
            let _ = again.shutdown().await;
            let mut nobody = Vec::new();
            let _ = tokio::time::timeout(Duration::from_secs(5), again.read_to_end(&mut nobody)).await;
        }
    }
}
