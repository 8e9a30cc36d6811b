//! A new password: at the relay, then for the profile. Each step can have been done before, by an attempt that was
//! interrupted or on another device.

use sotto_crypto::{SystemRng, VaultKey, seal_vault};
use sotto_wire::ErrorCode;
use sotto_wire::api::{PasswordFinish, PasswordStart, PasswordStarted};

use super::own::Devices;
use crate::core::clock::now_ms;
use crate::core::error::{Error, Refusal};
use crate::core::retry::retrying;
use crate::core::secret::Password;
use crate::core::task::blocking;
use crate::devices::login::{exchange, log_in};
use crate::devices::opaque::Registration;
use crate::transport::api::post;
use crate::transport::http::Call;
use crate::trust::directory::{Directory, same_group};

/// What has been done for a new password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChangedPassword {
    /// Whether the relay had the new password already: from another device, or from an attempt that was interrupted.
    pub before: bool,
}

impl Devices {
    /// Changes the password, at the relay and of this profile. The profiles of other devices keep the old one until the
    /// same is done there.
    pub async fn change_password(&self, old: Password, new: Password) -> Result<ChangedPassword, Error> {
        let trust = &self.trust;
        let account = &trust.account;
        // First of all the profile's own key: whoever knows neither password of it must not try them at the relay.
        let profile = trust.profile.clone();
        let tried = (old.clone(), new.clone());
        let key = blocking(move || Ok(profile.unlock_by_either(&tried.0, &tried.1)?)).await?;

        let log_in = |password: Password| {
            trust.api.with_session(move |session| {
                let password = password.clone();
                async move { log_in(&trust.api.http, Some(&session), &account.address, &password).await }
            })
        };
        let (token, before) = match log_in(old).await {
            Ok((logged_in, _)) => (Some(logged_in.token), false),
            Err(error) if error.code() == Some(ErrorCode::WrongCredentials) => {
                log_in(new.clone()).await?;
                (None, true)
            }
            Err(error) => return Err(error),
        };
        if let Some(token) = token {
            self.register_password(&token, &new).await?;
        }
        let profile = trust.profile.clone();
        blocking(move || Ok(profile.wrap_again(&key, &new)?)).await?;
        Ok(ChangedPassword { before })
    }

    /// Registers the new password at the relay, with the vault where the group lets a password alone add a device.
    async fn register_password(&self, token: &str, new: &Password) -> Result<(), Error> {
        let trust = &self.trust;
        let (account, http) = (&trust.account, &trust.api.http);
        let (registration, request) = Registration::start(new).map_err(exchange)?;
        let call = |path| Call { token: Some(token), ..post(path) };
        let start = PasswordStart { request };
        let seen = trust.heads().await?;
        let started: PasswordStarted = retrying(|| http.call(call("/v1/password/start"), Some(&start))).await?;
        // The rules of the group that the user is in, by the policy key's word: the relay could show another group's.
        let policy = trust.policy().await?;
        let directory = Directory::open(&started.head, &account.policy_key, &account.domain(), &seen, now_ms())?;
        let group = directory.group(&started.group)?;
        same_group(&policy.group.name, &group)?;
        if let Some(lacking) = group.password.lacking(new.expose()) {
            return Err(Refusal::WeakPassword(lacking).into());
        }
        let (password, address, response) = (new.clone(), account.address.clone(), started.response);
        let (record, export_key) =
            blocking(move || registration.finish(&password, &address, &response).map_err(exchange)).await?;
        let vault = (!group.device_approval).then(|| {
            let key = VaultKey::from_export_key(&export_key);
            seal_vault(&mut SystemRng, &key, &account.address, account.identity_key())
        });
        let finish = PasswordFinish { record, vault };
        // Not tried again by itself: the token ends with it, and what became of it shows by logging in.
        http.call_empty(call("/v1/password/finish"), Some(&finish)).await
    }
}
