//! The user's devices: removing them, and what adds one — a link, an approval, the recovery key, the password.

pub(crate) mod approve;
mod join;
mod password;

use sotto_crypto::{DeviceId, RecoveryKey, SystemRng, VaultKey, seal_vault};
use sotto_wire::api::{PutVault, VaultKind};
use sotto_wire::invite::Transport;
use sotto_wire::link::LinkUrl;

pub use approve::DeviceRequest;
pub use join::{LinkOptions, NewDevice, PendingDevice};
pub use password::ChangedPassword;

use crate::client::Client;
use crate::error::{Error, Refusal};
use crate::store::Tls;

impl Client {
    /// The URL by which a new device of this user finds relay and network. Nothing in it is secret.
    pub fn link_url(&self) -> Result<LinkUrl, Error> {
        let account = &self.inner.account;
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
    pub async fn remove_device(&self, device: DeviceId) -> Result<(), Error> {
        if device == self.device() {
            return Err(Refusal::OwnDevice.into());
        }
        self.inner.api.remove_device(device).await
    }

    /// Removes every device but this one.
    pub async fn reset_devices(&self) -> Result<(), Error> {
        self.inner.api.remove_other_devices().await
    }

    /// Makes a recovery key, and stores the identity under it at the relay; one that was made before opens nothing from
    /// now on.
    pub async fn new_recovery_key(&self) -> Result<RecoveryKey, Error> {
        let account = &self.inner.account;
        let key = RecoveryKey::generate(&mut SystemRng);
        let sealing = VaultKey::from_recovery_key(&key);
        let vault = seal_vault(&mut SystemRng, &sealing, &account.address, account.identity_key());
        self.inner.api.put_vault(&PutVault { kind: VaultKind::Recovery, vault: Some(vault) }).await?;
        Ok(key)
    }

    /// Takes the recovery key away.
    pub async fn remove_recovery_key(&self) -> Result<(), Error> {
        self.inner.api.put_vault(&PutVault { kind: VaultKind::Recovery, vault: None }).await
    }
}
