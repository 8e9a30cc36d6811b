//! Which devices the user has, removing them, the link and the recovery key for new ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sotto_crypto::{DeviceId, Fingerprint, ListedDevice, RecoveryKey, SystemRng, VaultKey, seal_vault};
use sotto_wire::api::{PutVault, VaultKind};
use sotto_wire::invite::Transport;
use sotto_wire::link::LinkUrl;

use crate::core::endpoint::Tls;
use crate::core::error::{Error, Refusal};
use crate::trust::own::take_out;
use crate::trust::state::Trust;

/// One of the user's devices.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Its id.
    pub device: DeviceId,
    /// Name for people.
    pub label: String,
    /// Fingerprint of its key.
    pub fingerprint: Fingerprint,
    /// Since when it is one of the user's (milliseconds since the epoch).
    pub created_at_ms: u64,
    /// When it last opened a session (milliseconds since the epoch).
    pub last_seen_ms: Option<u64>,
    /// Whether it is this one.
    pub this: bool,
}

/// The user's devices, and what adds one. Cheap to clone.
#[derive(Clone)]
pub struct Devices {
    pub(super) trust: Arc<Trust>,
}

impl Devices {
    pub(crate) fn new(trust: Arc<Trust>) -> Self {
        Self { trust }
    }

    /// The user's devices, as their list says. Names, and when they were last there, are the relay's word.
    pub async fn list(&self) -> Result<Vec<DeviceInfo>, Error> {
        self.trust.look_after_devices().await?;
        let (account, answer) = (&self.trust.account, self.trust.api.devices().await?);
        let devices = self.trust.own_devices().await?;
        let info = |listed: ListedDevice| {
            let entry = answer.devices.iter().find(|entry| entry.device == listed.device);
            DeviceInfo {
                device: listed.device,
                label: entry.map(|entry| entry.label.clone()).unwrap_or_default(),
                fingerprint: listed.key.fingerprint(),
                created_at_ms: listed.since_ms,
                last_seen_ms: entry.and_then(|entry| entry.last_seen_ms),
                this: listed.device == account.device,
            }
        };
        let mut devices: Vec<_> = devices.into_iter().map(info).collect();
        devices.sort_by_key(|device| device.created_at_ms);
        Ok(devices)
    }

    /// The URL by which a new device of this user finds relay and network. Nothing in it is secret.
    pub fn link_url(&self) -> Result<LinkUrl, Error> {
        let account = &self.trust.account;
        let authority = account.endpoint.url.split("://").nth(1).unwrap_or_default().trim_end_matches('/').to_owned();
        let transport = match &account.endpoint.tls {
            Tls::Off => Transport::Plain,
            Tls::Public => Transport::PublicTls,
            Tls::PinnedAuthority(sha256) => Transport::NetworkTls(*sha256),
            Tls::Authority(_) => return Err(Error::Internal("a service account has no link")),
        };
        Ok(LinkUrl {
            authority,
            transport,
            address: account.address.clone(),
            identity: account.identity.fingerprint(),
            policy_key: account.policy_key.fingerprint(),
        })
    }

    /// Removes one of the user's devices: it gets nothing from now on, and what waits for it is deleted.
    pub async fn remove(&self, device: DeviceId) -> Result<(), Error> {
        if device == self.trust.account.device {
            return Err(Refusal::OwnDevice.into());
        }
        let there = AtomicBool::new(false);
        self.trust
            .change_devices(|devices| {
                let taken = take_out(devices, device);
                there.fetch_or(taken, Ordering::Relaxed);
                taken
            })
            .await?;
        if there.into_inner() { Ok(()) } else { Err(Refusal::NoDevice(device).into()) }
    }

    /// Removes every device but this one.
    pub async fn reset(&self) -> Result<(), Error> {
        let this = self.trust.account.device;
        self.trust
            .change_devices(|devices| {
                let before = devices.len();
                devices.retain(|listed| listed.device == this);
                devices.len() < before
            })
            .await
    }

    /// Makes a recovery key, and stores the identity under it at the relay; one that was made before opens nothing from
    /// now on.
    pub async fn new_recovery_key(&self) -> Result<RecoveryKey, Error> {
        let account = &self.trust.account;
        let key = RecoveryKey::generate(&mut SystemRng);
        let sealing = VaultKey::from_recovery_key(&key);
        let vault = seal_vault(&mut SystemRng, &sealing, &account.address, account.identity_key());
        self.trust.api.put_vault(&PutVault { kind: VaultKind::Recovery, vault: Some(vault) }).await?;
        Ok(key)
    }

    /// Takes the recovery key away.
    pub async fn remove_recovery_key(&self) -> Result<(), Error> {
        self.trust.api.put_vault(&PutVault { kind: VaultKind::Recovery, vault: None }).await
    }
}
