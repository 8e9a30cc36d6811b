//! A new device of a user who has one: by the password where the security group lets it, by the recovery key, or by approval
//! on an existing device. Can be interrupted anywhere and run again.

use std::path::PathBuf;
use std::sync::Arc;

use sotto_crypto::{
    DeviceId, DeviceKey, IdentityKey, LinkCode, LinkKeys, LinkOffer, LinkPurpose, LinkSecret, RecoveryKey, SUITE,
    Signed, SystemRng, VERSION, VaultKey, open_vault,
};
use sotto_wire::ErrorCode;
use sotto_wire::api::LoggedIn;
use sotto_wire::link::LinkUrl;
use zeroize::Zeroizing;

use super::join::{Joining, Progress, complete, make_profile, open_progress};
use crate::client::Client;
use crate::core::clock::now_ms;
use crate::core::endpoint::Endpoint;
use crate::core::error::{Error, ProfileError, Refusal, StoreError, TrustError};
use crate::core::platform::sleep;
use crate::core::retry::retrying;
use crate::core::secret::{Password, RegistrationCode};
use crate::core::task::blocking;
use crate::core::text::clean_label;
use crate::devices::approve::{ANSWER, OFFER};
use crate::devices::login::{log_in, network, register_device};
use crate::devices::opaque::ExportKey;
use crate::store::account::Account;
use crate::store::profile::{Lock, Profile};
use crate::store::{DirectoryRecord, PendingLink, Store};
use crate::transport::http::Http;
use crate::trust::state::Purpose;

/// What a new device joins with. Holds secrets: no Debug.
#[non_exhaustive]
pub struct LinkOptions {
    /// As `sotto devices link` prints it on an existing device.
    pub link: LinkUrl,
    /// Folder of the profile to make.
    pub profile: PathBuf,
    /// The user's password.
    pub password: Password,
    /// Name of this device for people.
    pub label: String,
    /// Leave `unlock.key` out: the password is asked for each time.
    pub require_password: bool,
    /// Instead of an approval.
    pub recovery_key: Option<RecoveryKey>,
}

impl LinkOptions {
    /// With the defaults of all that is optional.
    pub fn new(link: LinkUrl, profile: impl Into<PathBuf>, password: Password) -> Self {
        let label = "device".to_owned();
        Self { link, profile: profile.into(), password, label, require_password: false, recovery_key: None }
    }
}

/// What has become of a new device.
#[non_exhaustive]
pub enum NewDevice {
    /// It is one of the user's.
    Joined(Client),
    /// It has to be approved on an existing device.
    Pending(Box<PendingDevice>),
}

/// A new device that waits for its approval.
pub struct PendingDevice {
    http: Http,
    profile: Profile,
    joining: Joining,
    store: Store,
    pending: PendingLink,
    code: LinkCode,
    token: Zeroizing<String>,
    _lock: Arc<Lock>,
}

impl Client {
    /// Makes a new device of a user who has one. An interrupted attempt is run again with the same options.
    pub async fn link(options: LinkOptions) -> Result<NewDevice, Error> {
        let profile = Profile::at(options.profile);
        let (link, identity) = (&options.link, options.link.identity);
        let joining = Joining {
            address: link.address.clone(),
            endpoint: Endpoint::of_link(link),
            policy_key: link.policy_key,
            invite: None,
            code: RegistrationCode::new(String::new()),
            password: options.password,
            label: clean_label(&options.label),
            identity: None,
            require_password: options.require_password,
            person: true,
        };
        let lock = Arc::new(profile.lock_for_joining()?);
        let http = Http::new(&joining.endpoint)?;
        let (store, progress) = open_progress(&profile, &joining).await?;
        match progress {
            Progress::Complete(_, account) => {
                let taken = ProfileError::Taken { dir: profile.dir().to_owned(), address: account.address.clone() };
                return Err(taken.into());
            }
            Progress::Begun(store, account) => {
                if account.identity.fingerprint() != identity {
                    return Err(TrustError::AnotherIdentity.into());
                }
                let client = complete(&http, profile, &joining, store.clone(), account, true, Purpose::Person).await?;
                finish_link(&client, &store).await?;
                return Ok(NewDevice::Joined(client));
            }
            Progress::Fresh => {}
        }
        let (policy_key, head) = network(&http, &joining.address, &joining.policy_key).await?;
        let (logged_in, export_key) = log_in(&http, None, &joining.address, &joining.password).await?;
        if logged_in.identity.fingerprint() != identity {
            return Err(TrustError::AnotherIdentity.into());
        }
        let waiting = match &store {
            Some(store) => store.run(|tx| tx.get::<PendingLink>(&[])).await?,
            None => None,
        };
        if let Some(key) = identity_of(&joining, &logged_in, &export_key, options.recovery_key.as_ref())? {
            let account = Account::new_device(
                &mut SystemRng,
                joining.address.clone(),
                joining.endpoint.clone(),
                policy_key,
                key,
                joining.label.clone(),
                now_ms(),
            );
            let (store, account) = make_profile(&joining, &profile, account, head, &lock).await?;
            register_device(&http, &logged_in.token, &store, &account).await?;
            let record = account.to_record(true);
            store.run(move |tx| tx.put(&record)).await?;
            let client = Client::assemble(profile, store.clone(), account, Purpose::Person)?;
            // As for any new profile: how many wrong passwords there may be.
            if let Err(error) = client.policy().await {
                tracing::debug!(%error, "no policy yet");
            }
            client.trust.forget_policy().await;
            finish_link(&client, &store).await?;
            return Ok(NewDevice::Joined(client));
        }
        let (store, pending) = match (store, waiting) {
            (Some(store), Some(pending))
                if pending.policy_key == policy_key && pending.identity == logged_in.identity =>
            {
                (store, pending)
            }
            _ => {
                let pending = new_pending(&joining, policy_key, &logged_in)?;
                (store_pending(&joining, &profile, &pending, head, &lock).await?, pending)
            }
        };
        let code = LinkCode::parse(&pending.code).map_err(|e| damaged(&e))?;
        let token = Zeroizing::new(logged_in.token);
        let link = LinkKeys::new(&code, LinkPurpose::Device).id();
        retrying(|| http.put_slot(&token, link, OFFER, &pending.offer)).await?;
        let pending = PendingDevice { http, profile, joining, store, pending, code, token, _lock: lock };
        Ok(NewDevice::Pending(Box::new(pending)))
    }
}

impl PendingDevice {
    /// The code to type or scan on an existing device (`sotto devices approve CODE`).
    pub fn code(&self) -> Zeroizing<String> {
        self.code.to_text()
    }

    /// Fingerprint of this device's key, which the existing device shows too.
    pub fn fingerprint(&self) -> Result<sotto_crypto::Fingerprint, Error> {
        Ok(device_key(&self.pending)?.verifying_key().fingerprint())
    }

    /// Waits for the approval, for as long as it takes, and becomes one of the user's devices.
    pub async fn wait(mut self) -> Result<Client, Error> {
        let keys = LinkKeys::new(&self.code, LinkPurpose::Device);
        let answer = loop {
            match self.http.slot(&self.token, keys.id(), ANSWER).await {
                Ok(Some(answer)) => break answer,
                Ok(None) => {}
                // A log-in is good for some minutes, and an approval may take longer.
                Err(error) if error.code() == Some(ErrorCode::Unauthenticated) => {
                    let (logged_in, _) =
                        log_in(&self.http, None, &self.joining.address, &self.joining.password).await?;
                    self.token = Zeroizing::new(logged_in.token);
                }
                Err(error) if error.is_retryable() => {
                    tracing::debug!(%error, "asking again");
                    sleep(std::time::Duration::from_secs(1)).await;
                }
                Err(error) => return Err(error),
            }
        };
        let secret = LinkSecret::from_bytes(&self.pending.secret).map_err(|e| damaged(&e))?;
        let offer = offer_of(&self.pending, &keys, &secret)?;
        let identity = keys.open_device(&secret, &offer, &answer)?;
        if identity.verifying_key() != self.pending.identity {
            return Err(TrustError::AnotherIdentity.into());
        }
        let account = Account::with_device(
            self.joining.address.clone(),
            self.joining.endpoint.clone(),
            self.pending.policy_key.clone(),
            identity,
            (self.pending.device, device_key(&self.pending)?),
            self.pending.label.clone(),
            now_ms(),
        );
        let account = Arc::new(account);
        let record = account.to_record(false);
        self.store.run(move |tx| tx.put(&record)).await?;
        let store = self.store.clone();
        let client =
            complete(&self.http, self.profile, &self.joining, self.store, account, false, Purpose::Person).await?;
        finish_link(&client, &store).await?;
        Ok(client)
    }
}

/// The identity, where password or recovery key give it.
fn identity_of(
    joining: &Joining,
    logged_in: &LoggedIn,
    export_key: &ExportKey,
    recovery_key: Option<&RecoveryKey>,
) -> Result<Option<IdentityKey>, Error> {
    let open = |key: &VaultKey, vault: &[u8]| {
        let identity = open_vault(key, &joining.address, vault).ok();
        identity.filter(|identity| identity.verifying_key() == logged_in.identity)
    };
    if let Some(key) = recovery_key {
        let vault = logged_in.recovery_vault.as_ref().ok_or(Refusal::NoRecoveryKey)?;
        let identity = open(&VaultKey::from_recovery_key(key), vault);
        return identity.map(Some).ok_or_else(|| Refusal::WrongRecoveryKey.into());
    }
    // A vault that does not open is that of a password from before: then an approval does it.
    Ok(logged_in.password_vault.as_ref().and_then(|vault| open(&VaultKey::from_export_key(export_key), vault)))
}

fn new_pending(
    joining: &Joining,
    policy_key: sotto_crypto::PolicyPublic,
    logged_in: &LoggedIn,
) -> Result<PendingLink, Error> {
    let rng = &mut SystemRng;
    let (code, secret) = (LinkCode::generate(rng), LinkSecret::generate(rng));
    let (device, key) = (DeviceId::generate(rng), DeviceKey::generate(rng));
    let mut pending = PendingLink {
        code: code.to_text().to_string(),
        address: joining.address.clone(),
        policy_key,
        identity: logged_in.identity.clone(),
        device,
        device_key: key.to_bytes().to_vec(),
        secret: secret.to_bytes().to_vec(),
        label: joining.label.clone(),
        offer: Vec::new(),
    };
    let keys = LinkKeys::new(&code, LinkPurpose::Device);
    let offer = offer_of(&pending, &keys, &secret)?;
    pending.offer = keys.seal_offer(rng, &Signed::sign(&offer, &key));
    Ok(pending)
}

fn offer_of(pending: &PendingLink, keys: &LinkKeys, secret: &LinkSecret) -> Result<LinkOffer, Error> {
    Ok(LinkOffer {
        version: VERSION,
        suite: SUITE,
        purpose: LinkPurpose::Device,
        link: keys.id(),
        address: pending.address.clone(),
        device: pending.device,
        key: device_key(pending)?.verifying_key(),
        receiver: secret.public(),
        label: pending.label.clone(),
        certificate: None,
    })
}

fn device_key(pending: &PendingLink) -> Result<DeviceKey, Error> {
    DeviceKey::from_bytes(&pending.device_key).map_err(|e| damaged(&e))
}

fn damaged(error: &dyn std::error::Error) -> Error {
    StoreError::Value { table: "link", reason: error.to_string() }.into()
}

/// Makes the profile, with what is offered in it before the relay hears of it.
async fn store_pending(
    joining: &Joining,
    profile: &Profile,
    pending: &PendingLink,
    head: DirectoryRecord,
    lock: &Arc<Lock>,
) -> Result<Store, Error> {
    let (profile, password, require_password) = (profile.clone(), joining.password.clone(), joining.require_password);
    let (pending, lock) = (pending.clone(), lock.clone());
    blocking(move || {
        let key = profile.create(&password, require_password)?;
        let store = Store::open(&profile.store_file(), &key)?;
        store.run_blocking(|tx| tx.put(&pending).and_then(|()| tx.put(&head)))?;
        drop(lock);
        Ok(store)
    })
    .await
}

/// Removes what an approval leaves, at the relay (which forgets it by itself in a day) and then here.
async fn finish_link(client: &Client, store: &Store) -> Result<(), Error> {
    let Some(pending) = store.run(|tx| tx.get::<PendingLink>(&[])).await? else { return Ok(()) };
    if let Ok(code) = LinkCode::parse(&pending.code)
        && let Err(error) = client.trust.api.delete_link(LinkKeys::new(&code, LinkPurpose::Device).id()).await
    {
        tracing::debug!(%error, "the link stays at the relay until its time is over");
    }
    store.run(|tx| tx.delete::<PendingLink>(&[])).await
}
