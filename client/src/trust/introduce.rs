//! Asking the relay who somebody is. Its answer is checked from the policy key on.

use std::collections::BTreeSet;

use sotto_crypto::{Address, PolicyPublic};
use sotto_wire::api::{FoundIdentity, Identities};
use sotto_wire::policy::NetworkDocument;

use super::learned::{Learned, peer_of};
use super::policy::{self, Policy};
use super::state::Trust;
use super::vouched::Vouched;
use crate::core::clock::now_ms;
use crate::core::error::{Error, TrustError};
use crate::core::task::blocking;
use crate::store::account::Account;
use crate::store::{MembershipRecord, Serials};

/// Who those are who were asked for. Whom the relay does not know is in neither.
#[derive(Debug, Default)]
pub(crate) struct Introduced {
    pub(crate) vouched: Vec<Vouched>,
    /// Those whom the relay names an identity of that nothing vouches for.
    pub(crate) doubtful: BTreeSet<Address>,
}

impl Trust {
    /// Asks the relay who these people are. Moves no pin.
    pub(crate) async fn introduce(&self, people: Vec<Address>) -> Result<Introduced, Error> {
        let answer = self.api.identities(people.clone()).await?;
        // The network's document is needed for what comes from other networks, and for retention processes.
        let simple = answer.networks.is_empty() && answer.identities.iter().all(|found| found.membership.is_some());
        let policy = if simple { None } else { Some(self.policy().await?) };
        let serials = self.store.list::<Serials>().await?;
        let (known, account) = (self.memberships(people.clone()).await?, self.account.clone());
        let work = move || check(&account, policy.as_ref(), &serials, &known, &people, &answer, now_ms());
        let (introduced, learned) = blocking(move || work().map_err(Error::from)).await?;
        self.store.run(move |tx| learned.put(tx)).await?;
        Ok(introduced)
    }
}

fn check(
    account: &Account,
    policy: Option<&Policy>,
    serials: &[Serials],
    known: &[MembershipRecord],
    asked: &[Address],
    answer: &Identities,
    now_ms: u64,
) -> Result<(Introduced, Learned), TrustError> {
    let (mut introduced, mut learned) = (Introduced::default(), Learned::default());
    let peers = match policy {
        Some(policy) => learned.peers(&policy.network, serials, &answer.networks)?,
        None => Vec::new(),
    };
    let own = account.domain();
    // What was not asked for is nobody's business.
    for found in answer.identities.iter().filter(|found| asked.contains(&found.address)) {
        let domain = found.address.domain();
        let (network, key): (Option<&NetworkDocument>, &PolicyPublic) = if domain == own {
            (policy.map(|policy| &policy.network), &account.policy_key)
        } else {
            let peer = peer_of(&peers, &domain)?;
            (Some(&peer.document), peer.key)
        };
        let seen = known.iter().find(|m| m.address == found.address);
        match vouched(found, network, key, seen, now_ms, &mut learned) {
            Ok(vouched) => introduced.vouched.push(vouched),
            Err(TrustError::NotVouchedFor(who)) => drop(introduced.doubtful.insert(who)),
            Err(error) => return Err(error),
        }
    }
    Ok((introduced, learned))
}

fn vouched(
    found: &FoundIdentity,
    network: Option<&NetworkDocument>,
    key: &PolicyPublic,
    seen: Option<&MembershipRecord>,
    now_ms: u64,
    learned: &mut Learned,
) -> Result<Vouched, TrustError> {
    let FoundIdentity { address, identity, membership, voucher } = found;
    let Some(membership) = membership else {
        let network = network.ok_or_else(|| TrustError::NotVouchedFor(address.clone()))?;
        return Vouched::by_rule(network, key, address, identity, now_ms);
    };
    let (record, document) = policy::membership(membership, key, address, seen, now_ms)?;
    learned.memberships.push(record);
    Vouched::by_membership(&document, identity, voucher.as_ref())
}
