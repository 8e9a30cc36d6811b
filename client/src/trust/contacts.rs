//! The people whom this user knows, and what a person decides about them.

use std::collections::BTreeMap;
use std::sync::Arc;

use sotto_crypto::{Address, Fingerprint, IdentityPublic, SafetyNumber, safety_number};
use sotto_wire::policy::Anchor;

use super::identity::{IdentityChange, TrustState};
use super::pins::{decide, see};
use super::state::Trust;
use crate::core::clock::now_ms;
use crate::core::error::{Error, Refusal, TrustError};
use crate::store::{Change, Pin, SeenIn};

/// What is known of somebody's identity.
#[derive(Clone, Debug)]
pub struct Contact {
    /// Who.
    pub address: Address,
    /// How people call them, as the administrator of their network says: to be shown beside the address.
    pub name: Option<String>,
    /// Fingerprint of the identity that counts.
    pub fingerprint: Fingerprint,
    /// To compare with them.
    pub safety_number: SafetyNumber,
    /// How far it is known.
    pub state: TrustState,
    /// By what it is known that the identity is theirs.
    pub established_by: Option<Anchor>,
    /// Since when it counts (milliseconds since the epoch).
    pub since_ms: u64,
    /// The change that the user has not acknowledged, where there is one.
    pub change: Option<IdentityChange>,
    /// The safety number with the identity that was shown since, of a verified contact.
    pub new_safety_number: Option<SafetyNumber>,
}

/// The people whom this user knows. Cheap to clone.
#[derive(Clone)]
pub struct Contacts {
    trust: Arc<Trust>,
}

impl Contacts {
    pub(crate) fn new(trust: Arc<Trust>) -> Self {
        Self { trust }
    }

    /// Everybody whose identity is pinned, by address.
    pub async fn list(&self) -> Result<Vec<Contact>, Error> {
        let mut contacts = self.contacts(self.trust.store.list::<Pin>().await?).await?;
        contacts.sort_by(|a, b| a.address.cmp(&b.address));
        Ok(contacts)
    }

    /// What is known of these people. Asks nobody.
    pub async fn known(&self, people: &[Address]) -> Result<Vec<Contact>, Error> {
        self.contacts(self.trust.pins(people.to_vec()).await?).await
    }

    /// How these people are called, as far as it is known, whether they are pinned or not. Asks nobody.
    pub async fn names(&self, people: &[Address]) -> Result<BTreeMap<Address, String>, Error> {
        self.trust.names(people.to_vec()).await
    }

    /// The same, after having asked the relay for those of whom nothing is known yet: seconds at the most.
    pub async fn learn_names(&self, people: &[Address]) -> Result<BTreeMap<Address, String>, Error> {
        self.trust.learn_names(people.to_vec()).await
    }

    /// Asks the relay who somebody is, and compares it with what is known.
    pub async fn look_up(&self, address: &Address) -> Result<Contact, Error> {
        let introduced = self.trust.introduce(vec![address.clone()]).await?;
        if introduced.doubtful.contains(address) {
            return Err(TrustError::NotVouchedFor(address.clone()).into());
        }
        let shown = introduced.vouched.into_iter().next().ok_or_else(|| Refusal::NoIdentity(address.clone()))?;
        if address == &self.trust.account.address && shown.identity() != &self.trust.account.identity {
            return Err(TrustError::OwnIdentity.into());
        }
        let now = now_ms();
        let seen = self.trust.store.run(move |tx| see(tx, &shown, now, SeenIn::Lookup)).await?;
        self.named(seen.pin).await
    }

    /// The user has compared the safety number of this contact, as it is given here: acknowledged, and verified from now on.
    pub async fn mark_verified(&self, compared: &Contact) -> Result<Contact, Error> {
        let fingerprint = compared.fingerprint;
        self.decide(&compared.address, move |pin| {
            if pin.state() == TrustState::Changed {
                return Err(TrustError::IdentityChanged(pin.address.clone()).into());
            }
            if pin.identity.fingerprint() != fingerprint {
                return Err(TrustError::NotTheCompared(pin.address.clone()).into());
            }
            Ok(Pin { verified: true, change: None, ..pin.clone() })
        })
        .await
    }

    /// Takes the mark away. A change that was not acknowledged stays one.
    pub async fn unmark_verified(&self, address: &Address) -> Result<Contact, Error> {
        self.decide(address, |pin| {
            // What a verified contact has shown since counts from now on, as for everybody who is not verified: still to be
            // acknowledged.
            Ok(match &pin.change {
                Some(change) if pin.verified => {
                    let before = Change { other: pin.identity.clone(), established: pin.established, ..change.clone() };
                    let established = change.established;
                    Pin {
                        verified: false,
                        identity: change.other.clone(),
                        change: Some(before),
                        established,
                        ..pin.clone()
                    }
                }
                _ => Pin { verified: false, ..pin.clone() },
            })
        })
        .await
    }

    /// Acknowledges that somebody has another identity: it counts from now on, not verified.
    /// `told` is the new identity that the person was told of, where they were told of one: a change to another one is not
    /// accepted with it.
    pub async fn accept_change(&self, address: &Address, told: Option<Fingerprint>) -> Result<Contact, Error> {
        let now = now_ms();
        self.decide(address, move |pin| match pin.unacknowledged() {
            Some(change) if Some(change.new) != told => Err(TrustError::NotTheCompared(pin.address.clone()).into()),
            _ => pin.accept(now).ok_or_else(|| Refusal::NotChanged(pin.address.clone()).into()),
        })
        .await
    }

    async fn decide(
        &self,
        address: &Address,
        decision: impl FnOnce(&Pin) -> Result<Pin, Error> + Send + 'static,
    ) -> Result<Contact, Error> {
        let who = address.clone();
        let decided = self.trust.store.run(move |tx| decide(tx, &who, decision)).await?;
        let pin = decided.ok_or_else(|| Refusal::NoIdentity(address.clone()))??;
        // What was held back because of it may go on.
        self.trust.acknowledged.notify_one();
        self.named(pin).await
    }

    async fn contacts(&self, pins: Vec<Pin>) -> Result<Vec<Contact>, Error> {
        let mut names = self.trust.names(pins.iter().map(|pin| pin.address.clone()).collect()).await?;
        Ok(pins.iter().map(|pin| self.contact(pin, names.remove(&pin.address))).collect())
    }

    async fn named(&self, pin: Pin) -> Result<Contact, Error> {
        let name = self.trust.names(vec![pin.address.clone()]).await?.remove(&pin.address);
        Ok(self.contact(&pin, name))
    }

    fn contact(&self, pin: &Pin, name: Option<String>) -> Contact {
        let account = &self.trust.account;
        let number = |theirs: &IdentityPublic| safety_number(&account.address, &account.identity, &pin.address, theirs);
        let shown = pin.change.as_ref().filter(|_| pin.verified);
        Contact {
            address: pin.address.clone(),
            name,
            fingerprint: pin.identity.fingerprint(),
            safety_number: number(&pin.identity),
            state: pin.state(),
            established_by: pin.established.map(|by| by.anchor),
            since_ms: pin.since_ms,
            change: pin.unacknowledged(),
            new_safety_number: shown.map(|change| number(&change.other)),
        }
    }
}
