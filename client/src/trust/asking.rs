//! Asking the relay whom to write to: the answer is checked, compared with the pins, and kept, whatever becomes of the
//! message. The only way from an address to devices.

use sotto_crypto::{Address, Recipient};
use sotto_wire::api::Recipients;

use super::directory::SeenHeads;
use super::identity::{TrustState, Verdict};
use super::pins::see;
use super::recipients::{Asker, Checked, check};
use super::state::Trust;
use crate::core::clock::now_ms;
use crate::core::error::{Error, TrustError};
use crate::core::task::blocking;
use crate::store::SeenIn;

/// Whom to seal to.
pub(crate) struct Believed {
    pub(crate) recipients: Vec<Recipient>,
    /// The retention processes among them.
    pub(crate) retained_by: Vec<Address>,
}

impl Trust {
    /// Believes an answer to a question for `asked`, before which these heads had been seen, or says why not: nobody is written to whose changed identity the user
    /// has to accept first.
    pub(crate) async fn believe(
        &self,
        asked: &[Address],
        seen: SeenHeads,
        answer: Recipients,
    ) -> Result<Believed, Error> {
        let policy = self.policy().await?;
        let lists = self.lists(answer.users.iter().map(|user| user.address.clone()).collect()).await?;
        let (account, known, asked) = (self.account.clone(), self.known.clone(), asked.to_vec());
        let checked = blocking(move || {
            let view = Asker {
                address: &account.address,
                device: account.device,
                identity: &account.identity,
                policy_key: &account.policy_key,
                network: &policy.network,
                group: &policy.group.name,
                seen: &seen,
                lists: &lists,
                now_ms: now_ms(),
            };
            check(&view, &mut known.lock(), &asked, &answer)
        })
        .await?;
        let Checked { recipients, retained_by, identities, learned } = checked;
        let now = now_ms();
        let blocked = self
            .store
            .run(move |tx| {
                let mut blocked = None;
                for vouched in &identities {
                    let seen = see(tx, vouched, now, SeenIn::Recipients)?;
                    // Also where the old identity is shown again: somebody else has been shown since it was verified.
                    if seen.verdict == Verdict::Blocked || seen.pin.state() == TrustState::Changed {
                        blocked.get_or_insert_with(|| vouched.address().clone());
                    }
                }
                learned.put(tx)?;
                Ok(blocked)
            })
            .await?;
        match blocked {
            Some(who) => Err(TrustError::IdentityChanged(who).into()),
            None => Ok(Believed { recipients, retained_by }),
        }
    }
}
