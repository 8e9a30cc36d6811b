//! Joining: from an invite (or a service's secrets) to a registered device. Can be interrupted anywhere and run again:
//! the keys are in the profile before the relay hears of them.

use std::path::PathBuf;
use std::sync::Arc;

use sotto_crypto::{
    Address, Fingerprint, IdentityKey, InviteKey, PolicyPublic, Signed, SystemRng, VaultKey, Voucher, seal_vault,
};
use sotto_wire::ErrorCode;
use sotto_wire::api::{RegisterFinish, RegisterStart, RegisterStarted};
use sotto_wire::invite::Invite;

use crate::client::{Client, account_of, open_store};
use crate::core::clock::now_ms;
use crate::core::endpoint::Endpoint;
use crate::core::error::{Error, ProfileError, Refusal, TrustError};
use crate::core::retry::retrying;
use crate::core::secret::{Password, RegistrationCode};
use crate::core::task::blocking;
use crate::core::text::clean_label;
use crate::devices::login::{exchange, log_in, network, register_device};
use crate::devices::opaque::Registration;
use crate::store::account::Account;
use crate::store::profile::{Lock, Profile, Unlock};
use crate::store::{AccountRecord, DirectoryRecord, Store};
use crate::transport::api::{Api, post};
use crate::transport::http::Http;
use crate::trust::directory::{Directory, SeenHeads, same_group};
use crate::trust::state::Purpose;

/// What a person joins with. Holds secrets: no Debug.
#[non_exhaustive]
pub struct JoinOptions {
    /// As the administrator gave it.
    pub invite: Invite,
    /// Folder of the profile to make.
    pub profile: PathBuf,
    /// The password to register with.
    pub password: Password,
    /// Name of this device for people.
    pub label: String,
    /// Leave `unlock.key` out: the password is asked for each time.
    pub require_password: bool,
    /// With a new invite, after the password was lost: the profile that is there is set aside, and what it holds is taken
    /// over where it opens without the password.
    pub replace: bool,
}

impl JoinOptions {
    /// With the defaults of all that is optional.
    pub fn new(invite: Invite, profile: impl Into<PathBuf>, password: Password) -> Self {
        let label = "device".to_owned();
        Self { invite, profile: profile.into(), password, label, require_password: false, replace: false }
    }
}

/// An account that no person registers: its identity was made for it and certified (a retention process). Holds
/// secrets: no Debug.
pub struct ServiceAccount {
    /// Its address.
    pub address: Address,
    /// Its network's relay.
    pub endpoint: Endpoint,
    /// Fingerprint of the policy key.
    pub policy_key: Fingerprint,
    /// Its identity, as certified.
    pub identity: IdentityKey,
    /// Its password; also opens its profile.
    pub password: Password,
    /// Registers it, the first time.
    pub registration_code: RegistrationCode,
    /// Folder of its profile. When it is lost, the service logs in and adds a new device.
    pub profile: PathBuf,
    /// Name of its device for people.
    pub label: String,
}

/// All ways of joining, as one.
pub(crate) struct Joining {
    pub(crate) address: Address,
    pub(crate) endpoint: Endpoint,
    pub(crate) policy_key: Fingerprint,
    pub(crate) code: RegistrationCode,
    /// Vouches for the identity. A service's is certified.
    pub(crate) invite: Option<InviteKey>,
    pub(crate) password: Password,
    pub(crate) label: String,
    /// Where there is one already; else it is made.
    pub(crate) identity: Option<IdentityKey>,
    pub(crate) require_password: bool,
    /// A person's account: the password vault is stored where the group allows it. A service's identity is a secret that
    /// its owner has.
    pub(crate) person: bool,
}

/// What is in the profile already.
pub(crate) enum Progress {
    /// Nothing of this account.
    Fresh,
    /// Keys, but the relay may not have the device.
    Begun(Store, Arc<Account>),
    /// All done.
    Complete(Store, Arc<Account>),
}

/// Joins by an invite.
pub(super) async fn join(options: JoinOptions) -> Result<Client, Error> {
    let profile = Profile::at(options.profile);
    let joining = Joining {
        endpoint: Endpoint::of_invite(&options.invite),
        address: options.invite.address.clone(),
        policy_key: options.invite.policy_key,
        code: RegistrationCode::new(options.invite.secret.registration_code().to_string()),
        invite: Some(options.invite.secret.key()),
        password: options.password,
        label: clean_label(&options.label),
        identity: None,
        require_password: options.require_password,
        person: true,
    };
    let lock = Arc::new(profile.lock_for_joining()?);
    match progress(&profile, &joining).await? {
        Progress::Complete(_, account) => {
            Err(ProfileError::Taken { dir: profile.dir().to_owned(), address: account.address.clone() }.into())
        }
        begun => run(profile, joining, begun, Purpose::Person, &lock).await,
    }
}

/// Opens a service's profile, and registers it before where it has to be.
pub(super) async fn service(account: ServiceAccount) -> Result<Client, Error> {
    let profile = Profile::at(account.profile);
    let joining = Joining {
        address: account.address,
        endpoint: account.endpoint,
        policy_key: account.policy_key,
        code: account.registration_code,
        invite: None,
        password: account.password,
        label: account.label,
        identity: Some(account.identity),
        require_password: true,
        person: false,
    };
    let lock = Arc::new(profile.lock_for_joining()?);
    match progress(&profile, &joining).await? {
        Progress::Complete(store, account) => {
            // The relay may have moved since.
            let mut account =
                Arc::try_unwrap(account).map_err(|_| Error::Internal("the account is in use while it is opened"))?;
            account.endpoint = joining.endpoint;
            let record = account.to_record(true);
            store.run(move |tx| tx.put(&record)).await?;
            Client::assemble(profile, store, Arc::new(account), Purpose::Archive)
        }
        begun => run(profile, joining, begun, Purpose::Archive, &lock).await,
    }
}

/// Looks into the profile.
async fn progress(profile: &Profile, joining: &Joining) -> Result<Progress, Error> {
    Ok(open_progress(profile, joining).await?.1)
}

/// Looks into the profile; with its store where there is one.
pub(crate) async fn open_progress(profile: &Profile, joining: &Joining) -> Result<(Option<Store>, Progress), Error> {
    if !profile.exists() {
        return Ok((None, Progress::Fresh));
    }
    let store = open_store(profile, Unlock::Password(joining.password.clone())).await?;
    let Some(record) = store.run(|tx| tx.get::<AccountRecord>(&[])).await? else {
        return Ok((Some(store), Progress::Fresh));
    };
    let account = account_of(&record)?;
    let foreign = account.address != joining.address
        || account.policy_key.fingerprint() != joining.policy_key
        || joining.identity.as_ref().is_some_and(|i| i.verifying_key() != account.identity);
    if foreign {
        return Err(ProfileError::Taken { dir: profile.dir().to_owned(), address: account.address }.into());
    }
    let account = Arc::new(account);
    let progress = if record.complete {
        Progress::Complete(store.clone(), account)
    } else {
        Progress::Begun(store.clone(), account)
    };
    Ok((Some(store), progress))
}

/// Registers where that is not done yet, and adds the device.
async fn run(
    profile: Profile,
    joining: Joining,
    begun: Progress,
    purpose: Purpose,
    lock: &Arc<Lock>,
) -> Result<Client, Error> {
    let http = Http::new(&joining.endpoint)?;
    let (policy_key, head) = network(&http, &joining.address, &joining.policy_key).await?;
    let (store, account, resumed) = match begun {
        Progress::Begun(store, account) | Progress::Complete(store, account) => {
            let keys = Keys::Kept(store, account);
            let (store, account) = register(&http, &joining, &policy_key, &head, keys).await?;
            (store, account, true)
        }
        Progress::Fresh => {
            let make = Keys::Make { profile: &profile, lock };
            let (store, account) = register(&http, &joining, &policy_key, &head, make).await?;
            (store, account, false)
        }
    };
    let client = complete(&http, profile, &joining, store, account, resumed, purpose).await?;
    tracing::debug!("joined");
    Ok(client)
}

/// Adds the device that is in the profile, where the relay does not have it yet.
pub(crate) async fn complete(
    http: &Http,
    profile: Profile,
    joining: &Joining,
    store: Store,
    account: Arc<Account>,
    resumed: bool,
    purpose: Purpose,
) -> Result<Client, Error> {
    // Interrupted after the relay had the device: then its key opens a session, and nothing is left to do.
    let known = resumed && Api::new(account.clone())?.token(None).await.is_ok();
    if !known {
        add_device(http, joining, &store, &account).await?;
    }
    let record = account.to_record(true);
    store.run(move |tx| tx.put(&record)).await?;
    let client = Client::assemble(profile, store, account, purpose)?;
    if purpose == Purpose::Person
        && let Err(error) = client.policy().await
    {
        // Fetched again with the first message; until then wrong passwords are not counted.
        tracing::debug!(%error, "no policy yet");
    }
    // What is sent next goes by what the network says then.
    client.trust.forget_policy().await;
    Ok(client)
}

/// Where the keys are that get registered.
enum Keys<'a> {
    /// In a profile that is still to be made, between the two steps of registration.
    Make {
        /// To make.
        profile: &'a Profile,
        /// Held until it is made.
        lock: &'a Arc<Lock>,
    },
    /// In the profile that an interrupted attempt has made.
    Kept(Store, Arc<Account>),
}

/// Registers password and identity, where that is not done yet. Makes the profile before the second step.
async fn register(
    http: &Http,
    joining: &Joining,
    policy_key: &PolicyPublic,
    head: &DirectoryRecord,
    keys: Keys<'_>,
) -> Result<(Store, Arc<Account>), Error> {
    let (registration, request) = Registration::start(&joining.password).map_err(exchange)?;
    let start = RegisterStart { address: joining.address.clone(), invite: joining.code.expose().to_owned(), request };
    let started: Result<RegisterStarted, Error> =
        retrying(|| http.call(post("/v1/register/start"), Some(&start))).await;
    let started = match started {
        Ok(started) => Some(started),
        // Our own attempt may have come through before it was interrupted; the log-in will tell.
        Err(e) if is_done(&e) => None,
        Err(e) if e.code() == Some(ErrorCode::InviteInvalid) && matches!(keys, Keys::Kept(..)) => None,
        Err(e) => return Err(e),
    };
    let mut vaulted = joining.person;
    if let Some(started) = &started {
        let domain = joining.address.domain();
        let seen = SeenHeads::new(vec![head.clone()]);
        let directory = Directory::open(&started.head, policy_key, &domain, &seen, now_ms())?;
        let group = directory.group(&started.group)?;
        let (membership, document) = directory.membership(&started.membership, &joining.address, now_ms())?;
        same_group(&membership.group, &group)?;
        // Before a password is set for an account that nobody would believe.
        let ours = |key: &InviteKey| document.invite.as_ref().is_some_and(|open| open.key == key.verifying_key());
        if !joining.invite.as_ref().is_none_or(ours) {
            return Err(TrustError::NotThisInvite.into());
        }
        if let Some(lacking) = group.password.lacking(joining.password.expose()) {
            return Err(Refusal::WeakPassword(lacking).into());
        }
        vaulted &= !group.device_approval;
    }
    let (store, account) = match keys {
        Keys::Make { profile, lock } => {
            let account = new_account(joining, policy_key)?;
            make_profile(joining, profile, account, head.clone(), lock).await?
        }
        Keys::Kept(store, account) => (store, account),
    };
    let Some(started) = started else { return Ok((store, account)) };
    let (password, address) = (joining.password.clone(), joining.address.clone());
    let (record, export_key) =
        blocking(move || registration.finish(&password, &address, &started.response).map_err(exchange)).await?;
    // Where the group wants a new device to be approved, the password alone must not be enough.
    let vault = vaulted.then(|| {
        let key = VaultKey::from_export_key(&export_key);
        seal_vault(&mut SystemRng, &key, &joining.address, account.identity_key())
    });
    let voucher = joining
        .invite
        .as_ref()
        .map(|invite| Signed::sign(&Voucher::new(joining.address.clone(), account.identity.clone()), invite));
    let finish = RegisterFinish {
        address: joining.address.clone(),
        invite: joining.code.expose().to_owned(),
        record,
        identity: account.identity.clone(),
        vault,
        voucher,
    };
    match retrying(|| http.call_empty(post("/v1/register/finish"), Some(&finish))).await {
        // A repeat after a broken connection finds the invite used up: by ourselves, as the log-in will tell.
        Err(e) if !is_done(&e) && e.code() != Some(ErrorCode::InviteInvalid) => Err(e),
        _ => Ok((store, account)),
    }
}

fn is_done(error: &Error) -> bool {
    error.code() == Some(ErrorCode::AlreadyRegistered)
}

/// A new device, under the identity that was given or a new one.
fn new_account(joining: &Joining, policy_key: &PolicyPublic) -> Result<Account, Error> {
    let identity = match &joining.identity {
        Some(given) => IdentityKey::from_bytes(&given.to_bytes())
            .map_err(|_| Error::Internal("an identity key that cannot be copied"))?,
        None => IdentityKey::generate(&mut SystemRng),
    };
    let (address, endpoint, label) = (joining.address.clone(), joining.endpoint.clone(), joining.label.clone());
    Ok(Account::new_device(&mut SystemRng, address, endpoint, policy_key.clone(), identity, label, now_ms()))
}

/// Makes the profile in one piece of work that holds the lock itself: work in the background goes on when the attempt
/// that began it is dropped, and must not meet the next attempt's.
pub(crate) async fn make_profile(
    joining: &Joining,
    profile: &Profile,
    account: Account,
    head: DirectoryRecord,
    lock: &Arc<Lock>,
) -> Result<(Store, Arc<Account>), Error> {
    let account = Arc::new(account);
    let (profile, password, require_password) = (profile.clone(), joining.password.clone(), joining.require_password);
    let (record, lock) = (account.to_record(false), lock.clone());
    let store = blocking(move || {
        let key = profile.create(&password, require_password)?;
        let store = Store::open(&profile.store_file(), &key)?;
        store.run_blocking(|tx| tx.put(&record).and_then(|()| tx.put(&head)))?;
        drop(lock);
        Ok(store)
    })
    .await?;
    Ok((store, account))
}

/// Logs in by password, and registers the device with its first prekeys.
async fn add_device(http: &Http, joining: &Joining, store: &Store, account: &Arc<Account>) -> Result<(), Error> {
    let (logged_in, _) = log_in(http, None, &joining.address, &joining.password).await?;
    if logged_in.identity != account.identity {
        return Err(TrustError::RegisteredElsewhere(joining.address.clone()).into());
    }
    register_device(http, &logged_in.token, store, account).await
}
