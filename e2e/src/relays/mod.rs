//! A stand-in for any number of relays: one HTTPS server that answers the admin interface of each of them. The operator under
//! test reaches it by `SOTTO_ADMIN_RESOLVE` ([`Relays::address`]); by the TLS name `NETWORK-relay-admin.NAMESPACE.svc` it knows
//! which relay is meant, presents that network's certificate from the Secret `NETWORK-relay-tls`, as the relay's pod would, and
//! asks for the operator's.

mod server;
mod store;
mod tls;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use sotto_wire::admin::AdminState;
use tokio::runtime::Runtime;

use crate::kubernetes::{client, runtime};
use crate::{ApiServer, Outcome};

use self::store::Store;
use self::tls::Certificates;

/// How a relay behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// As it should.
    #[default]
    Good,
    /// Connections are closed.
    Down,
    /// Answers come so much later.
    Slow(Duration),
    /// Answers are `200 OK` with something that is no answer.
    Nonsense,
}

/// What a relay was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Reads of the state that were answered with it.
    pub states: u64,
    /// Reads of the state that were answered with "not modified".
    pub unchanged: u64,
    /// Calls that bring or remove something.
    pub writes: u64,
    /// Of these, refused.
    pub refused: u64,
    /// TLS handshakes.
    pub handshakes: u64,
}

impl Calls {
    fn add(&mut self, other: &Self) {
        self.states += other.states;
        self.unchanged += other.unchanged;
        self.writes += other.writes;
        self.refused += other.refused;
        self.handshakes += other.handshakes;
    }

    /// All calls.
    pub fn total(&self) -> u64 {
        self.states + self.unchanged + self.writes
    }
}

/// One relay.
#[derive(Debug, Default)]
struct Relay {
    store: Store,
    /// `None`: as all the others.
    mode: Option<Mode>,
    calls: Calls,
}

/// Namespace and name of a Network.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Id {
    namespace: String,
    network: String,
}

impl Id {
    fn new(namespace: &str, network: &str) -> Self {
        Self { namespace: namespace.to_owned(), network: network.to_owned() }
    }

    /// From the name under which the operator calls.
    fn of_host(host: &str) -> Option<Self> {
        let mut parts = host.split('.');
        let network = parts.next()?.strip_suffix("-relay-admin")?;
        let namespace = parts.next()?;
        (parts.next() == Some("svc")).then(|| Self::new(namespace, network))
    }
}

#[derive(Debug, Default)]
struct All {
    relays: RwLock<HashMap<Id, Arc<Mutex<Relay>>>>,
    mode: RwLock<Mode>,
    certificates: Certificates,
}

impl All {
    fn relay(&self, id: &Id) -> Arc<Mutex<Relay>> {
        if let Some(known) = self.relays.read().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Arc::clone(known);
        }
        let mut relays = self.relays.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(relays.entry(id.clone()).or_default())
    }

    fn mode(&self, relay: &Relay) -> Mode {
        relay.mode.unwrap_or_else(|| *self.mode.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn locked(relay: &Mutex<Relay>) -> MutexGuard<'_, Relay> {
    relay.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The stand-in. It ends when dropped.
#[derive(Debug)]
pub struct Relays {
    all: Arc<All>,
    address: SocketAddr,
    // The last field: what it runs uses the others.
    _runtime: Runtime,
}

impl Relays {
    /// Starts it beside an API server, from which it reads the certificates.
    pub fn start(api: &ApiServer) -> Outcome<Self> {
        Self::start_with(&api.kubeconfig())
    }

    /// The same for any cluster.
    pub fn start_with(kubeconfig: &Path) -> Outcome<Self> {
        let runtime = runtime("relays")?;
        let all = Arc::new(All::default());
        let client = runtime.block_on(client(kubeconfig, "sotto-e2e-relays"))?;
        let listener = runtime.block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        runtime.spawn(tls::follow(client, Arc::clone(&all)));
        runtime.spawn(server::serve(listener, Arc::clone(&all)));
        Ok(Self { all, address, _runtime: runtime })
    }

    /// Value of `SOTTO_ADMIN_RESOLVE` for the operator under test.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a relay holds.
    pub fn state(&self, namespace: &str, network: &str) -> AdminState {
        locked(&self.all.relay(&Id::new(namespace, network))).store.state().clone()
    }

    /// Changes what a relay holds, behind the operator's back: users register, are locked out, the store is lost.
    pub fn edit(&self, namespace: &str, network: &str, change: impl FnOnce(&mut AdminState)) {
        locked(&self.all.relay(&Id::new(namespace, network))).store.edit(change);
    }

    /// Forgets a relay, as when its volume is deleted.
    pub fn forget(&self, namespace: &str, network: &str) {
        let mut relays = self.all.relays.write().unwrap_or_else(PoisonError::into_inner);
        relays.remove(&Id::new(namespace, network));
    }

    /// How a relay behaves from now on.
    pub fn set(&self, namespace: &str, network: &str, mode: Mode) {
        locked(&self.all.relay(&Id::new(namespace, network))).mode = Some(mode);
    }

    /// How relays behave that were not [`set`](Self::set) otherwise.
    pub fn set_all(&self, mode: Mode) {
        *self.all.mode.write().unwrap_or_else(PoisonError::into_inner) = mode;
    }

    /// What a relay was asked until now.
    pub fn calls(&self, namespace: &str, network: &str) -> Calls {
        locked(&self.all.relay(&Id::new(namespace, network))).calls
    }

    /// What all of them were asked until now.
    pub fn all_calls(&self) -> Calls {
        let relays = self.all.relays.read().unwrap_or_else(PoisonError::into_inner);
        let mut sum = Calls::default();
        for relay in relays.values() {
            sum.add(&locked(relay).calls);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_says_which_relay() {
        assert_eq!(Id::of_host("acme-relay-admin.chat.svc"), Some(Id::new("chat", "acme")));
        for other in ["acme-relay.chat.svc", "acme-relay-admin.chat", "acme-relay-admin.chat.pod", "127.0.0.1"] {
            assert_eq!(Id::of_host(other), None, "{other}");
        }
    }
}
