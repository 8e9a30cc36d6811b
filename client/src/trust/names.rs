//! How people are called, as the administrators of their networks say it in their memberships. A name is shown beside the address,
//! never in its place, and decides nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use sotto_crypto::{Address, Domain};
use sotto_wire::limits;
use sotto_wire::policy::Anchor;

use super::policy::GROUP_KNOWN_MS;
use super::state::Trust;
use crate::core::clock::now_ms;
use crate::core::error::{Error, StoreError};
use crate::core::platform::timeout;
use crate::store::{MembershipRecord, Pin, Tx};

/// Whoever waits for a name waits this long.
const PATIENCE: Duration = Duration::from_secs(5);
/// Who was asked for is not asked for again within this time (milliseconds), and neither is a network that gave no answer.
const ASKED_MS: u64 = 3_600_000;
/// Who was asked for, and is remembered.
const MOST_ASKED: usize = 20_000;

/// How somebody is called.
pub(crate) fn name_of(tx: &Tx<'_>, who: &Address) -> Result<Option<String>, StoreError> {
    Ok(tx.get::<MembershipRecord>(&MembershipRecord::key_of(who))?.and_then(|known| known.name))
}

impl Trust {
    /// What is known of the memberships of these people.
    async fn memberships(&self, people: Vec<Address>) -> Result<Vec<MembershipRecord>, Error> {
        self.store.run(move |tx| tx.those(people.iter().map(MembershipRecord::key_of))).await
    }

    /// How these people are called, as far as it is known. Asks nobody.
    pub(crate) async fn names(&self, people: Vec<Address>) -> Result<BTreeMap<Address, String>, Error> {
        Ok(named(self.memberships(people).await?))
    }

    /// The same, after having asked the relay for those of whom nothing is known. Of whom no answer comes in time nothing is known
    /// still.
    pub(crate) async fn learn_names(&self, people: Vec<Address>) -> Result<BTreeMap<Address, String>, Error> {
        let known = self.memberships(people.clone()).await?;
        let me = &self.account.address;
        let unknown: Vec<Address> = unseen(people.clone(), &known).filter(|who| who != me).collect();
        if unknown.is_empty() {
            return Ok(named(known));
        }
        for (domain, unknown) in by_network(unknown) {
            let mut asked = if domain == self.account.domain() {
                self.asked.own.lock().await
            } else {
                // Nobody waits behind others for a network that is slow.
                let Ok(asked) = self.asked.abroad.try_lock() else { continue };
                asked
            };
            let people = to_ask(&mut asked, &domain, unknown, now_ms());
            for some in people.chunks(limits::MAX_RECIPIENT_ADDRESSES) {
                match timeout(PATIENCE, self.introduce(some.to_vec())).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(Error::Store(error))) => return Err(error.into()),
                    failed => {
                        let error = failed.ok().and_then(Result::err).map(|error| error.to_string());
                        tracing::debug!(%domain, error, "nobody says how people are called");
                        asked.insert(domain.to_string(), now_ms());
                        break;
                    }
                }
            }
        }
        self.names(people).await
    }

    /// Asks for the memberships that were last seen more than a day ago, so that also who only receives hears of another name; and for
    /// those of pinned people that were never seen, as on a device that has its history from another one.
    pub(crate) async fn refresh_memberships(&self) -> Result<(), Error> {
        let now = now_ms();
        let (known, pins) = (self.store.list::<MembershipRecord>().await?, self.store.list::<Pin>().await?);
        let is_process = |pin: &Pin| pin.established.is_some_and(|by| by.anchor == Anchor::Policy);
        let pinned = pins.into_iter().filter(|pin| !is_process(pin)).map(|pin| pin.address).collect();
        let unseen = unseen(pinned, &known);
        let old = known.into_iter().filter(|one| now >= one.seen_at_ms.saturating_add(GROUP_KNOWN_MS));
        let old = old.map(|one| one.address).filter(|who| *who != self.account.address).chain(unseen).collect();
        for (domain, people) in by_network(old) {
            let mut asked = self.asked.anew.lock().await;
            let people = to_ask(&mut asked, &domain, people, now);
            for some in people.chunks(limits::MAX_RECIPIENT_ADDRESSES) {
                match self.introduce(some.to_vec()).await {
                    Ok(_) => {}
                    Err(Error::Store(error)) => return Err(error.into()),
                    Err(error) => {
                        tracing::info!(%domain, %error, "what was known of people could not be asked for anew");
                        asked.insert(domain.to_string(), now);
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

fn named(known: Vec<MembershipRecord>) -> BTreeMap<Address, String> {
    known.into_iter().filter_map(|one| Some((one.address, one.name?))).collect()
}

/// Those of whom no membership was seen.
fn unseen(people: Vec<Address>, known: &[MembershipRecord]) -> impl Iterator<Item = Address> + use<> {
    let seen: BTreeSet<Address> = known.iter().map(|one| one.address.clone()).collect();
    people.into_iter().filter(move |who| !seen.contains(who))
}

fn by_network(people: Vec<Address>) -> BTreeMap<Domain, Vec<Address>> {
    let mut networks: BTreeMap<Domain, Vec<Address>> = BTreeMap::new();
    for who in people {
        networks.entry(who.domain()).or_default().push(who);
    }
    networks
}

/// Those who were not asked for lately; they are now. `asked` has when, by address, and by domain where no answer came.
fn to_ask(asked: &mut HashMap<String, u64>, domain: &Domain, people: Vec<Address>, now_ms: u64) -> Vec<Address> {
    asked.retain(|_, at| now_ms.abs_diff(*at) < ASKED_MS);
    if asked.contains_key(domain.as_str()) {
        return Vec::new();
    }
    if asked.len() > MOST_ASKED {
        asked.clear();
    }
    let new = people.into_iter().filter(|who| !asked.contains_key(who.as_str())).collect::<Vec<_>>();
    asked.extend(new.iter().map(|who| (who.to_string(), now_ms)));
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{Network, address};
    use crate::store::Record as _;

    #[test]
    fn nobody_is_asked_for_again_and_again() {
        let (mut asked, domain) = (HashMap::new(), address("bob").domain());
        let mut ask = |people: &[&str], now| {
            let people = people.iter().map(|name| address(name)).collect();
            to_ask(&mut asked, &domain, people, now).iter().map(|who| who.local().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(ask(&["bob", "carol"], 5), ["bob", "carol"]);
        assert_eq!(ask(&["bob", "dave"], 6), ["dave"]);
        assert_eq!(ask(&["bob"], 5 + ASKED_MS), ["bob"]);
        asked.insert(domain.to_string(), 7);
        assert!(to_ask(&mut asked, &domain, vec![address("erin")], 8).is_empty(), "a network that gave no answer");
        assert_eq!(to_ask(&mut asked, &domain, vec![address("erin")], 7 + ASKED_MS), [address("erin")]);
    }

    #[tokio::test]
    async fn a_name_that_was_last_seen_long_ago_is_asked_for_anew() {
        let network = Network::start(false).await;
        network.call("bob", "Bob Brown").await;
        let (alice, bob) = (network.member("alice").await, network.member("bob").await);
        let who = bob.address().clone();
        let names = async || alice.trust.names(vec![who.clone()]).await.unwrap();
        assert_eq!(names().await, BTreeMap::new(), "nobody was asked");
        let learned = alice.trust.learn_names(vec![who.clone(), address("nobody")]).await.unwrap();
        assert_eq!(learned, BTreeMap::from([(who.clone(), "Bob Brown".to_owned())]));
        assert_eq!(names().await, learned);

        network.call("bob", "Bob Baker").await;
        alice.trust.refresh_memberships().await.unwrap();
        alice.trust.learn_names(vec![who.clone()]).await.unwrap();
        assert_eq!(names().await, learned, "it was seen just now");
        let key = MembershipRecord::key_of(&who);
        let aged = move |tx: &Tx<'_>| {
            let known = tx.get::<MembershipRecord>(&key)?.unwrap();
            assert_eq!(known.key(), key);
            tx.put(&MembershipRecord { seen_at_ms: known.seen_at_ms - GROUP_KNOWN_MS, ..known })
        };
        alice.trust.store.run(aged).await.unwrap();
        alice.trust.refresh_memberships().await.unwrap();
        assert_eq!(names().await, BTreeMap::from([(who, "Bob Baker".to_owned())]));

        // Carol is pinned, and nothing else is known of her: as on a new device.
        network.call("carol", "Carol Clark").await;
        let carol = network.member("carol").await.address().clone();
        alice.contacts().look_up(&carol).await.unwrap();
        let key = MembershipRecord::key_of(&carol);
        alice.trust.store.run(move |tx| tx.delete::<MembershipRecord>(&key)).await.unwrap();
        assert!(alice.contacts().known(std::slice::from_ref(&carol)).await.unwrap()[0].name.is_none());
        alice.trust.refresh_memberships().await.unwrap();
        let known = alice.contacts().known(&[carol]).await.unwrap();
        assert_eq!(known[0].name.as_deref(), Some("Carol Clark"));
    }
}
