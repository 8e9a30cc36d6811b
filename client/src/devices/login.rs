//! What comes before a session: the network's key, the log-in by password, and a new device by its token.

use std::sync::Arc;

use sotto_crypto::{Address, Fingerprint, PolicyPublic, PrekeyKind, SystemRng};
use sotto_wire::api::{
    LoggedIn, LoginFinish, LoginStart, LoginStarted, NetworkInfo, OwnDevices, PutDevices, RegisterDevice,
};
use sotto_wire::{ApiError, ErrorCode};

use crate::core::clock::now_ms;
use crate::core::error::{Error, TransportError, TrustError};
use crate::core::retry::retrying;
use crate::core::secret::Password;
use crate::core::task::blocking;
use crate::devices::opaque::{ExchangeError, ExportKey, Login};
use crate::receive::prekeys::NewBatch;
use crate::store::account::Account;
use crate::store::{DirectoryRecord, Store};
use crate::transport::api::post;
use crate::transport::http::{Call, Http};
use crate::trust::directory::{Directory, SeenHeads};
use crate::trust::lists::put_list;
use crate::trust::own::first_list;

/// The network's policy key, which must be the one that was given, and its directory head.
pub(crate) async fn network(
    http: &Http,
    address: &Address,
    policy_key: &Fingerprint,
) -> Result<(PolicyPublic, DirectoryRecord), Error> {
    const PATH: &str = "/v1/network";
    let call = Call { method: &reqwest::Method::GET, path: PATH, name: PATH, token: None };
    let info: NetworkInfo = retrying(|| http.call(call, None::<&()>)).await?;
    if &info.policy_key.fingerprint() != policy_key {
        return Err(TrustError::PolicyKey.into());
    }
    let domain = address.domain();
    let directory = Directory::open(&info.head, &info.policy_key, &domain, &SeenHeads::default(), now_ms())?;
    directory.network(&info.document)?;
    let head = directory.record().clone();
    Ok((info.policy_key, head))
}

/// Logs in by password; the export key opens the password vault. A device shows its session, so that the relay does not take it for
/// the strangers who try passwords of this account.
pub(crate) async fn log_in(
    http: &Http,
    session: Option<&str>,
    address: &Address,
    password: &Password,
) -> Result<(LoggedIn, ExportKey), Error> {
    let (login, request) = Login::start(password).map_err(exchange)?;
    let start = LoginStart { address: address.clone(), request };
    let call = Call { token: session, ..post("/v1/login/start") };
    let started: LoginStarted = retrying(|| http.call(call, Some(&start))).await?;
    let (password, address) = (password.clone(), address.clone());
    let (finalization, export_key) =
        blocking(move || login.finish(&password, &address, &started.response).map_err(exchange)).await?;
    let finish = LoginFinish { attempt: started.attempt, finalization };
    let logged_in = http.call(post("/v1/login/finish"), Some(&finish)).await?;
    Ok((logged_in, export_key))
}

/// Registers the device with its first prekeys, whose secrets are stored before.
pub(crate) async fn register_device(
    http: &Http,
    token: &str,
    store: &Store,
    account: &Arc<Account>,
) -> Result<(), Error> {
    let mut batches = None;
    for _ in 0..ROUNDS {
        const PATH: &str = "/v1/devices";
        let call = Call { method: &reqwest::Method::GET, path: PATH, name: "GET /v1/devices", token: Some(token) };
        let seen = SeenHeads::new(store.list::<DirectoryRecord>().await?);
        let there: OwnDevices = retrying(|| http.call(call, None::<&()>)).await?;
        let (account, keys, made) = (account.clone(), store.clone(), batches.take());
        let (body, list) = blocking(move || {
            let now = now_ms();
            let (PutDevices { list, before }, record) = first_list(&account, &there, &seen, now)?;
            let (one_time, medium_term) = if let Some(made) = made {
                made
            } else {
                let one_time = NewBatch::generate(&mut SystemRng, &account, PrekeyKind::OneTime, now);
                let medium_term = NewBatch::generate(&mut SystemRng, &account, PrekeyKind::MediumTerm, now);
                keys.run_blocking(|tx| one_time.store(tx).and_then(|()| medium_term.store(tx)))?;
                (one_time.public, medium_term.public)
            };
            let (device, label) = (account.device, account.label.clone());
            Ok((RegisterDevice { device, list, label, one_time, medium_term, before }, record))
        })
        .await?;
        let call = Call { token: Some(token), ..post(PATH) };
        match retrying(|| http.call_empty(call, Some(&body))).await {
            // Another device has made a list meanwhile.
            Err(error) if error.code() == Some(ErrorCode::DevicesChanged) => {
                batches = Some((body.one_time, body.medium_term));
            }
            registered => {
                registered?;
                // What it has registered with is the list that counts from now on.
                return store.run(move |tx| put_list(tx, &list)).await;
            }
        }
    }
    Err(TrustError::OwnDevices.into())
}

/// How often a list is made again because another device has made one meanwhile.
const ROUNDS: u32 = 4;

/// What a failed exchange means.
pub(crate) fn exchange(error: ExchangeError) -> Error {
    match error {
        ExchangeError::WrongPassword => ApiError::new(
            ErrorCode::WrongCredentials,
            "the password is not the one that this address was registered with",
        )
        .into(),
        ExchangeError::Answer(reason) => TransportError::Answer { what: "the password exchange", reason }.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{Network, PASSWORD, address};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_device_changes_its_password_though_strangers_at_its_own_source_have_used_that_up() {
        let network = Network::start(false).await;
        let alice = network.member("alice").await;
        let http = &alice.trust.api.http;
        let password = |text: &str| Password::new(text.to_owned());
        let refused = loop {
            let (_, request) = Login::start(&password("a guess")).unwrap();
            let start = LoginStart { address: address("alice"), request };
            if let Err(error) = http.call::<_, LoginStarted>(post("/v1/login/start"), Some(&start)).await {
                break error;
            }
        };
        assert!(matches!(refused.code(), Some(ErrorCode::RateLimited | ErrorCode::Locked)), "{refused}");
        let changed = alice.devices().change_password(password(PASSWORD), password("another long password")).await;
        assert!(!changed.unwrap().before);
    }
}
