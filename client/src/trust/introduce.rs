//! Asking the relay who somebody is. Its answer is checked from the policy key on.

use std::collections::BTreeSet;

use sotto_crypto::{Address, PolicyPublic};
use sotto_wire::api::{FoundIdentity, Identities};
use sotto_wire::policy::NetworkDocument;

use super::directory::{Directory, SeenHeads};
use super::learned::{Learned, peer_of};
use super::policy::Policy;
use super::state::Trust;
use super::vouched::Vouched;
use crate::core::clock::now_ms;
use crate::core::error::{Error, TrustError};
use crate::core::task::blocking;
use crate::store::account::Account;

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
        let seen = self.heads().await?;
        let answer = self.api.identities(people.clone()).await?;
        // The network's document is needed for what comes from other networks, and for retention processes.
        let simple = answer.networks.is_empty() && answer.identities.iter().all(|found| found.membership.is_some());
        let policy = if simple { None } else { Some(self.policy().await?) };
        let account = self.account.clone();
        let work = move || check(&account, policy.as_ref(), &seen, &people, &answer, now_ms());
        let (introduced, learned) = blocking(move || work().map_err(Error::from)).await?;
        self.store.run(move |tx| learned.put(tx)).await?;
        Ok(introduced)
    }
}

fn check(
    account: &Account,
    policy: Option<&Policy>,
    seen: &SeenHeads,
    asked: &[Address],
    answer: &Identities,
    now_ms: u64,
) -> Result<(Introduced, Learned), TrustError> {
    let (mut introduced, mut learned) = (Introduced::default(), Learned::default());
    let peers = match policy {
        Some(policy) => learned.peers(&policy.network, seen, &answer.networks, now_ms)?,
        None => Vec::new(),
    };
    let own = account.domain();
    let directory = learned.own(answer.head.as_ref(), &account.policy_key, &own, seen, now_ms)?;
    // What was not asked for is nobody's business.
    for found in answer.identities.iter().filter(|found| asked.contains(&found.address)) {
        let domain = found.address.domain();
        let (network, key, directory): (Option<&NetworkDocument>, &PolicyPublic, &Directory) = if domain == own {
            (policy.map(|policy| &policy.network), &account.policy_key, &directory)
        } else {
            let peer = peer_of(&peers, &domain)?;
            (Some(&peer.document), peer.key, &peer.directory)
        };
        match vouched(found, network, key, directory, now_ms, &mut learned) {
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
    directory: &Directory,
    now_ms: u64,
    learned: &mut Learned,
) -> Result<Vouched, TrustError> {
    let FoundIdentity { address, identity, membership, voucher } = found;
    let Some(membership) = membership else {
        let network = network.ok_or_else(|| TrustError::NotVouchedFor(address.clone()))?;
        return Vouched::by_rule(network, key, address, identity, now_ms);
    };
    let (record, document) = directory.membership(membership, address, now_ms)?;
    learned.memberships.push(record);
    Vouched::by_membership(&document, identity, voucher.as_ref())
}
