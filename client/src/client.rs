//! The handle: an account on this machine, with a door to each of the things that one does with it.

use std::path::PathBuf;
use std::sync::Arc;

use sotto_crypto::{Address, DeviceId, Domain, Fingerprint, VERSION};

use crate::core::clock::WrongClock;
use crate::core::clock::now_ms;
use crate::core::error::{Error, ProfileError, StoreError};
use crate::core::platform::{Instant, boxed};
use crate::core::task;
use crate::devices::own::Devices;
use crate::history::History;
use crate::receive::download::Files;
use crate::receive::event::Waiting;
use crate::receive::receiver::{Beside, Receiver};
use crate::receive::state::Receiving;
use crate::rooms::keeper::{RoomKeeper, Rooms};
use crate::send::outbox::Outbox;
use crate::send::signals::Signals;
use crate::send::state::Sending;
use crate::send::worker::keep_sending;
use crate::store::account::Account;
use crate::store::profile::{Profile, Unlock};
use crate::store::{AccountRecord, Store, sweep};
use crate::talk::conversations::Conversations;
use crate::talk::gaps::Gaps;
use crate::trust::contacts::Contacts;
use crate::trust::directory::{DirectoryTimes, StaleNetwork};
use crate::trust::policy::Policy;
use crate::trust::state::{Purpose, Trust};

/// A client on one profile. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    pub(crate) trust: Arc<Trust>,
    sending: Arc<Sending>,
    receiving: Arc<Receiving>,
    contacts: Contacts,
    conversations: Conversations,
    outbox: Outbox,
    rooms: Rooms,
    devices: Devices,
    history: History,
    gaps: Gaps,
    files: Files,
    signals: Signals,
}

/// Who this profile is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WhoAmI {
    /// The user.
    pub address: Address,
    /// The network.
    pub network: Domain,
    /// This device.
    pub device: DeviceId,
    /// Name of this device for people.
    pub label: String,
    /// The relay's URL.
    pub relay: String,
    /// Fingerprint of the user's identity.
    pub fingerprint: Fingerprint,
    /// Fingerprint of this device's key.
    pub device_fingerprint: Fingerprint,
    /// Fingerprint of the network's policy key.
    pub policy_key: Fingerprint,
}

impl Client {
    /// Opens a profile. Does not talk to the relay.
    pub async fn open(profile: impl Into<PathBuf>, unlock: Unlock) -> Result<Self, Error> {
        let profile = Profile::at(profile);
        let store = open_store(&profile, unlock).await?;
        let now = now_ms();
        let record = store.run(move |tx| sweep(tx, now).and_then(|_| tx.get::<AccountRecord>(&[]))).await?;
        match record {
            Some(record) if record.complete => {
                let account = Arc::new(account_of(&record)?);
                Self::assemble(profile, store, account, Purpose::Person)
            }
            _ => Err(ProfileError::Unfinished(profile.dir().to_owned()).into()),
        }
    }

    pub(crate) fn assemble(
        profile: Profile,
        store: Store,
        account: Arc<Account>,
        purpose: Purpose,
    ) -> Result<Self, Error> {
        let trust = Arc::new(Trust::new(profile, store, account, purpose)?);
        let sending = Arc::new(Sending::new(trust.clone()));
        let keeper = Arc::new(RoomKeeper::new(sending.clone()));
        let receiving = Arc::new(Receiving::new(trust.clone(), keeper.clone()));
        Ok(Self {
            contacts: Contacts::new(trust.clone()),
            conversations: Conversations::new(trust.clone()),
            outbox: Outbox::new(sending.clone()),
            rooms: Rooms::new(keeper),
            devices: Devices::new(trust.clone()),
            history: History::new(trust.clone()),
            gaps: Gaps::new(trust.clone()),
            files: Files::new(trust.clone()),
            signals: Signals::new(sending.clone()),
            trust,
            sending,
            receiving,
        })
    }

    /// The people whom this user knows, and what the user decides about them.
    pub fn contacts(&self) -> &Contacts {
        &self.contacts
    }

    /// Conversations and their messages, as they are here.
    pub fn conversations(&self) -> &Conversations {
        &self.conversations
    }

    /// What this user says and does.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The user's rooms.
    pub fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// The user's devices, the password and the recovery key.
    pub fn devices(&self) -> &Devices {
        &self.devices
    }

    /// The history, from one device of the user to another.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What is missing of what others have said.
    pub fn gaps(&self) -> &Gaps {
        &self.gaps
    }

    /// Files that came with messages.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Typing and presence.
    pub fn signals(&self) -> &Signals {
        &self.signals
    }

    /// The user's address.
    pub fn address(&self) -> &Address {
        &self.trust.account.address
    }

    /// This device.
    pub fn device(&self) -> DeviceId {
        self.trust.account.device
    }

    /// Who this profile is.
    pub fn whoami(&self) -> WhoAmI {
        let account = &self.trust.account;
        WhoAmI {
            address: account.address.clone(),
            network: account.domain(),
            device: account.device,
            label: account.label.clone(),
            relay: account.endpoint.url.clone(),
            fingerprint: account.identity.fingerprint(),
            device_fingerprint: account.device_key.verifying_key().fingerprint(),
            policy_key: account.policy_key.fingerprint(),
        }
    }

    /// The policy that this user obeys, verified under the pinned policy key, and not older than any seen before.
    pub async fn policy(&self) -> Result<Policy, Error> {
        self.trust.policy().await
    }

    /// Whether the documents of the own network are of a time that is over: whoever runs the relay may be holding changes back, or the
    /// network's operator has stood still. Asks the relay for newer ones first, where it can be asked.
    pub async fn stale(&self) -> Result<Option<StaleNetwork>, Error> {
        self.trust.policy_at_hand().await?;
        self.trust.stale().await
    }

    /// From when what is known of the own network is. Asks nobody.
    pub async fn directory_times(&self) -> Result<Option<DirectoryTimes>, Error> {
        self.trust.directory_times().await
    }

    /// Starts to receive. With `follow`, a broken connection is made again for as long as the receiver lives, and what waits
    /// in the outbox is sent; without, the receiver gives up after a few attempts.
    pub fn receive(&self, follow: bool) -> Result<Receiver, Error> {
        let sending = self.sending.clone();
        Receiver::start(&self.receiving, follow, || {
            let last = sending.clone();
            let task = task::keep("sending", move || keep_sending(sending.clone(), follow));
            let last =
                Box::new(move |within| boxed(async move { drop(last.pump(Instant::now() + within, None).await) }));
            Beside { task, last }
        })
    }

    /// Whether the clocks of this machine and the relay are apart, as far as it was talked to.
    pub fn wrong_clock(&self) -> Option<WrongClock> {
        self.trust.api.wrong_clock()
    }

    /// Whose messages have come and wait until they can be shown.
    pub async fn waiting(&self) -> Result<Vec<Waiting>, Error> {
        self.receiving.waiting().await
    }
}

/// Opens the store, off the async threads: stretching a password takes its time.
pub(crate) async fn open_store(profile: &Profile, unlock: Unlock) -> Result<Store, Error> {
    let profile = profile.clone();
    task::blocking(move || {
        let key = profile.unlock(&unlock)?;
        Ok(Store::open(&profile.store_file(), &key)?)
    })
    .await
}

pub(crate) fn account_of(record: &AccountRecord) -> Result<Account, Error> {
    let certificate = record.certificate.unverified();
    if let Some(other) = certificate.ok().filter(|made| made.version != VERSION) {
        return Err(ProfileError::OldProtocol { address: other.address, version: other.version }.into());
    }
    Account::from_record(record).map_err(|e| StoreError::Value { table: "account", reason: e.to_string() }.into())
}

#[cfg(test)]
mod tests {
    use sotto_crypto::{DeviceCertificate, PolicyKey, Signed, SystemRng};

    use super::*;
    use crate::store::account::tests::account;

    #[test]
    fn a_profile_of_another_version_of_the_protocol_is_told_apart() {
        let account = account("alice@x.example", &PolicyKey::generate(&mut SystemRng));
        let mut record = account.to_record(true);
        assert!(account_of(&record).is_ok());
        let certificate = DeviceCertificate { version: 1, ..record.certificate.unverified().unwrap() };
        record.certificate = Signed::sign(&certificate, account.identity_key());
        let refused = account_of(&record).err().unwrap();
        let told = |address: &Address| address == &account.address;
        assert!(matches!(&refused, Error::Profile(ProfileError::OldProtocol { address, version: 1 }) if told(address)));
    }
}
