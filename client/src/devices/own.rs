//! Which devices the user has, removing them, the link and the recovery key for new ones.

use std::sync::Arc;

use sotto_crypto::{DeviceId, Fingerprint, RecoveryKey, SystemRng, VaultKey, seal_vault, verify_device};
use sotto_wire::api::{DeviceEntry, PutVault, VaultKind};
use sotto_wire::invite::Transport;
use sotto_wire::link::LinkUrl;

use crate::core::endpoint::Tls;
use crate::core::error::{Error, Refusal};
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
    /// When its certificate was made (milliseconds since the epoch).
    pub created_at_ms: u64,
    /// When it last opened a session (milliseconds since the epoch).
    pub last_seen_ms: Option<u64>,
    /// Whether it is this one.
    pub this: bool,
    /// Whether it stands under the user's identity. One that does not is not the user's: the relay made it up.
    pub genuine: bool,
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

    /// The user's devices, as the relay has them, checked against the user's identity.
    pub async fn list(&self) -> Result<Vec<DeviceInfo>, Error> {
        let list = self.trust.api.devices().await?;
        Ok(list.devices.iter().filter_map(|entry| self.info(entry)).collect())
    }

    fn info(&self, entry: &DeviceEntry) -> Option<DeviceInfo> {
        let account = &self.trust.account;
        let claimed = entry.certificate.unverified().ok()?;
        let genuine =
            claimed.address == account.address && verify_device(&account.identity, &entry.certificate).is_ok();
        Some(DeviceInfo {
            device: claimed.device,
            label: entry.label.clone(),
            fingerprint: claimed.key.fingerprint(),
            created_at_ms: claimed.created_at_ms,
            last_seen_ms: entry.last_seen_ms,
            this: claimed.device == account.device,
            genuine,
        })
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
        self.trust.api.remove_device(device).await
    }

    /// Removes every device but this one.
    pub async fn reset(&self) -> Result<(), Error> {
        self.trust.api.remove_other_devices().await
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
