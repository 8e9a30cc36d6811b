//! A profile whose password was lost, and a new invite for it: the new profile is made beside the old one and put into its
//! place when it is complete; the old one stays, set aside, and what it holds is taken over where it opens without the
//! password. Each step can be run again.

use std::path::{Path, PathBuf};

use super::join::{JoinOptions, join};
use crate::client::Client;
use crate::client::open_store;
use crate::core::clock::now_ms;
use crate::core::error::{Error, ProfileError};
use crate::core::platform::fs;
use crate::core::task::blocking;
use crate::history::take_over;
use crate::store::AccountRecord;
use crate::store::profile::{Profile, Unlock, UnlockWay};

/// Joins by a new invite in the place of a profile that is there.
pub(crate) async fn join_in_place(mut options: JoinOptions) -> Result<Client, Error> {
    options.replace = false;
    let place = options.profile.clone();
    let (beside, password) = (suffixed(&place, ".new"), options.password.clone());
    if !Profile::at(&place).exists() && !fs::is_dir(&beside) {
        return join(options).await;
    }
    let address = options.invite.address.clone();
    options.profile.clone_from(&beside);
    match join(options).await {
        Ok(client) => drop(client),
        // Complete since an attempt that was interrupted.
        Err(Error::Profile(ProfileError::Taken { address: taken, .. })) if taken == address => {}
        Err(error) => return Err(error),
    }
    let aside = suffixed(&place, &format!(".before-{}", now_ms()));
    let (from, to, old) = (beside, place.clone(), aside.clone());
    blocking(move || {
        let io = |file: &Path, source| ProfileError::Io { file: file.to_owned(), source };
        if Profile::at(&to).exists() {
            fs::rename(&to, &old).map_err(|e| io(&to, e))?;
        }
        fs::rename(&from, &to).map_err(|e| io(&from, e))?;
        Ok(())
    })
    .await?;
    let client = Client::open(&place, Unlock::Password(password)).await?;
    if let Err(error) = from_old(&client, &aside).await {
        tracing::warn!(%error, folder = %aside.display(), "the history of the old profile was not taken over");
    }
    Ok(client)
}

/// Takes over what the old profile holds, where it opens by its file or by the keyring.
async fn from_old(client: &Client, aside: &Path) -> Result<(), Error> {
    let old = Profile::at(aside);
    let unlock = match old.unlock_way() {
        UnlockWay::KeyFile => Unlock::KeyFile,
        UnlockWay::Keyring => Unlock::Keyring,
        UnlockWay::Password => return Ok(()),
    };
    if !old.exists() {
        return Ok(());
    }
    let store = open_store(&old, unlock).await?;
    let account = store.run(|tx| tx.get::<AccountRecord>(&[])).await?;
    // Of somebody else it is none of this user's business.
    if account.is_some_and(|account| &account.address == client.address()) {
        take_over(&client.trust, store).await?;
    }
    Ok(())
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

impl JoinOptions {
    /// With a new invite, after the password was lost: the profile that is there is set aside.
    #[must_use]
    pub fn replacing(mut self) -> Self {
        self.replace = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_stands_beside() {
        assert_eq!(suffixed(Path::new("a/b"), ".new"), Path::new("a/b.new"));
    }
}
