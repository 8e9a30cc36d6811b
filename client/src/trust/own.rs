//! The list of the own devices: looked at whenever this device connects, put right where the relay shows another one than the one
//! that counts, and changed.

use sotto_crypto::{Address, DeviceId, ListedDevice, Signed, verify_devices};
use sotto_wire::ErrorCode;
use sotto_wire::api::{OwnDevices, PutDevices};

use super::directory::{Directory, SeenHeads, put_head};
use super::lists::{Looking, Own, judge, next_list, own, put_list};
use super::pins::put_membership;
use super::state::Trust;
use crate::core::clock::now_ms;
use crate::core::error::{Error, Refusal, TrustError};
use crate::core::task::blocking;
use crate::store::account::Account;
use crate::store::{DeviceNews, DirectoryRecord, ListRecord, MembershipRecord};

/// How often a list is made again because another device has made one meanwhile.
const ROUNDS: u32 = 4;

/// What has been found out about the own list.
struct Found {
    own: Own,
    head: DirectoryRecord,
    membership: MembershipRecord,
    /// Serial of the list that the relay has.
    before: Option<u64>,
}

impl Trust {
    /// Looks at the list of the own devices, and puts the relay right where it has to be. What is new is kept until somebody is
    /// told.
    pub(crate) async fn look_after_devices(&self) -> Result<(), Error> {
        self.change_devices(|_| false).await
    }

    /// Signs a list with other devices, where `change` says that it has changed them.
    pub(crate) async fn change_devices(&self, change: impl Fn(&mut Vec<ListedDevice>) -> bool) -> Result<(), Error> {
        for _ in 0..ROUNDS {
            let seen = self.heads().await?;
            let answer = self.api.devices().await?;
            let (known, account) = (self.own_list().await?, self.account.clone());
            let found = blocking(move || find_out(&account, &answer, known.as_ref(), &seen, now_ms())).await?;
            let (mut devices, above, news, record) = match found.own {
                Own::Removed => return Err(Refusal::DeviceRemoved(self.account.device).into()),
                Own::Counts(record, news) => {
                    let (devices, above) = listed_in(record.own.as_ref());
                    (devices, above, news, Some(record))
                }
                Own::Put(devices, above, news) => (devices, above, news, None),
            };
            // Before the relay is put right: whatever it answers, somebody has to hear of it.
            let (head, membership) = (found.head, found.membership);
            self.store
                .run(move |tx| {
                    put_head(tx, &head)?;
                    put_membership(tx, &membership)?;
                    news.into_iter().try_for_each(|(device, change)| tx.put(&DeviceNews { device, change }))
                })
                .await?;
            let changed = change(&mut devices);
            let record = match record.filter(|_| !changed) {
                Some(record) => *record,
                None => match self.put_devices(devices, above, found.before).await {
                    Err(error) if error.code() == Some(ErrorCode::DevicesChanged) => continue,
                    put => put?,
                },
            };
            return self.store.run(move |tx| put_list(tx, &record)).await;
        }
        Err(TrustError::OwnDevices.into())
    }

    /// Signs a list and gives it to the relay; what is known of it then.
    async fn put_devices(
        &self,
        devices: Vec<ListedDevice>,
        above: u64,
        before: Option<u64>,
    ) -> Result<ListRecord, Error> {
        let (account, known, now) = (self.account.clone(), self.own_list().await?, now_ms());
        let (list, record) = blocking(move || signed(&account, devices, above, known.as_ref(), now)).await?;
        self.api.put_devices(&PutDevices { list, before }).await?;
        Ok(record)
    }

    /// What is known of the devices of these people.
    pub(crate) async fn lists(&self, people: Vec<Address>) -> Result<Vec<ListRecord>, Error> {
        self.store.run(move |tx| tx.those(people.iter().map(ListRecord::key_of))).await
    }

    /// What is known of the own devices.
    async fn own_list(&self) -> Result<Option<ListRecord>, Error> {
        let me = self.account.address.clone();
        self.store.run(move |tx| tx.get::<ListRecord>(&ListRecord::key_of(&me))).await
    }

    /// The own devices, by the list that counts.
    pub(crate) async fn own_devices(&self) -> Result<Vec<ListedDevice>, Error> {
        Ok(listed_in(self.own_list().await?.and_then(|known| known.own).as_ref()).0)
    }

    /// What is new about the own devices; told once.
    pub(crate) async fn device_news(&self) -> Result<Vec<DeviceNews>, Error> {
        self.store
            .run(|tx| {
                let news = crate::store::list_all::<DeviceNews>(tx)?;
                news.iter().try_for_each(|one| tx.delete::<DeviceNews>(&crate::store::Record::key(one)))?;
                Ok(news)
            })
            .await
    }
}

/// The devices in a list, and its serial; none where there is no list.
fn listed_in(list: Option<&Signed<sotto_crypto::DeviceList>>) -> (Vec<ListedDevice>, u64) {
    list.and_then(|list| list.unverified().ok()).map(|list| (list.devices, list.serial)).unwrap_or_default()
}

/// This device, as it is listed.
pub(crate) fn listed(account: &Account) -> ListedDevice {
    let since_ms = account.certificate.unverified().map(|certificate| certificate.created_at_ms).unwrap_or_default();
    ListedDevice { device: account.device, key: account.device_key.verifying_key(), since_ms }
}

/// Signs a list of the own devices that follows one with the serial `above`, with what is known of it then.
fn signed(
    account: &Account,
    devices: Vec<ListedDevice>,
    above: u64,
    known: Option<&ListRecord>,
    now_ms: u64,
) -> Result<(Signed<sotto_crypto::DeviceList>, ListRecord), Error> {
    let list = Signed::sign(&next_list(&account.address, devices, above, now_ms), account.identity_key());
    let verified = verify_devices(&account.identity, &list).map_err(|_| TrustError::OwnDevices)?;
    // A clock that has gone back does not keep the own list from being the newest.
    let now_ms = now_ms.max(verified.serial());
    let record = judge(account.identity.fingerprint(), &list, &verified, known, 0, now_ms);
    let record = record.map_err(|problem| TrustError::Devices { address: account.address.clone(), problem })?;
    Ok((list.clone(), ListRecord { own: Some(list), ..record }))
}

/// Verifies what the relay says of the own devices.
fn find_out(
    account: &Account,
    answer: &OwnDevices,
    known: Option<&ListRecord>,
    seen: &SeenHeads,
    now_ms: u64,
) -> Result<Found, Error> {
    let directory = Directory::open(&answer.head, &account.policy_key, &account.domain(), seen, now_ms)?;
    let (membership, document) = directory.membership(&answer.membership, &account.address, now_ms)?;
    let shown = answer
        .list
        .as_ref()
        .map(|list| verify_devices(&account.identity, list).map(|verified| (list, verified)))
        .transpose()
        .map_err(|error| TrustError::Device { address: account.address.clone(), reason: error.to_string() })?;
    if shown.as_ref().is_some_and(|(_, list)| list.address() != &account.address) {
        return Err(TrustError::OwnDevices.into());
    }
    let me = listed(account);
    let looking =
        Looking { identity: account.identity.fingerprint(), me: &me, from_ms: document.devices_from_ms, now_ms };
    let own = own(&looking, shown.as_ref().map(|(list, verified)| (*list, verified)), known);
    Ok(Found { own, head: directory.record().clone(), membership, before: shown.map(|(_, list)| list.serial()) })
}

/// The list with which a new device registers: what the relay has, and this one.
pub(crate) fn first_list(
    account: &Account,
    answer: &OwnDevices,
    seen: &SeenHeads,
    now_ms: u64,
) -> Result<(PutDevices, ListRecord), Error> {
    let found = find_out(account, answer, None, seen, now_ms)?;
    let (mut devices, above) = match found.own {
        Own::Put(devices, above, _) => (devices, above),
        // This device is in it already, where it has registered before and not heard of it; or not yet.
        Own::Counts(..) | Own::Removed => listed_in(answer.list.as_ref()),
    };
    if !devices.iter().any(|listed| listed.device == account.device) {
        devices.push(listed(account));
    }
    let (list, record) = signed(account, devices, above, None, now_ms)?;
    Ok((PutDevices { list, before: found.before }, record))
}

/// Whether a list of the own devices, that came beside something else, is the one that is known.
pub(super) fn is_known(list: &Signed<sotto_crypto::DeviceList>, known: Option<&ListRecord>) -> bool {
    known.is_some_and(|known| known.own.as_ref().is_some_and(|own| own.payload() == list.payload()))
}

/// Takes a device out of a list; whether it was in it.
pub(crate) fn take_out(devices: &mut Vec<ListedDevice>, device: DeviceId) -> bool {
    let before = devices.len();
    devices.retain(|listed| listed.device != device);
    devices.len() < before
}
