//! What it means that somebody shows an identity. Decided here, and only here. Pure.

use sotto_crypto::Fingerprint;

use super::vouched::Vouched;
use crate::store::{Change, Pin, SeenIn};

/// What an identity that was shown means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Seen for the first time: pinned now.
    First,
    /// The pinned one.
    Same,
    /// Another one than was pinned, of somebody who was never verified: it counts now, and a person has to be told.
    Replaced,
    /// Another one than the user has verified: nothing goes on until the user accepts it.
    Blocked,
}

/// A verdict, and the pin to store where it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    pub(crate) pin: Option<Pin>,
}

/// Compares an identity with the pin. That it has changed stays in the pin until a person has acknowledged it.
pub(crate) fn judge(pin: Option<&Pin>, vouched: &Vouched, now_ms: u64, seen_in: SeenIn) -> Judgement {
    let (shown, established) = (vouched.identity(), vouched.established());
    let Some(pin) = pin else {
        let (address, identity) = (vouched.address().clone(), shown.clone());
        let first = Pin { address, identity, verified: false, since_ms: now_ms, change: None, established };
        return Judgement { verdict: Verdict::First, pin: Some(first) };
    };
    if &pin.identity == shown {
        // By its invite first, and then by the operator's word.
        let better = established.filter(|_| pin.established != established);
        let known = better.map(|better| Pin { established: Some(better), ..pin.clone() });
        return Judgement { verdict: Verdict::Same, pin: known };
    }
    if pin.verified {
        let known = pin.change.as_ref().is_some_and(|change| &change.other == shown);
        let change = Change { other: shown.clone(), since_ms: now_ms, seen_in, established };
        let noted = (!known).then(|| Pin { change: Some(change), ..pin.clone() });
        return Judgement { verdict: Verdict::Blocked, pin: noted };
    }
    // The identity that a person last knew of stays beside the newest, however often it changes meanwhile; but one that
    // comes back was another one in between.
    let change = match &pin.change {
        Some(change) if &change.other != shown => change.clone(),
        Some(change) => Change { other: pin.identity.clone(), ..change.clone() },
        None => Change { other: pin.identity.clone(), since_ms: now_ms, seen_in, established: pin.established },
    };
    let replaced = Pin { identity: shown.clone(), since_ms: now_ms, change: Some(change), established, ..pin.clone() };
    Judgement { verdict: Verdict::Replaced, pin: Some(replaced) }
}

/// How far the identity of somebody is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrustState {
    /// Pinned when it was first seen; nobody has compared it.
    Pinned,
    /// The user has compared the safety number.
    Verified,
    /// Was pinned, and another identity counts since, which the user has not acknowledged: sending goes on, with a warning.
    Replaced,
    /// Was verified, and another identity has been shown since: sending is blocked.
    Changed,
}

/// A change of identity that the user has not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityChange {
    /// Fingerprint of the identity before.
    pub old: Fingerprint,
    /// Fingerprint of the identity since.
    pub new: Fingerprint,
    /// When it was first seen (milliseconds since the epoch).
    pub since_ms: u64,
    /// Where it was first seen.
    pub seen_in: SeenIn,
    /// When the invite was made by which the identity since came (milliseconds since the epoch), where that is known.
    pub invited_at_ms: Option<u64>,
}

impl Pin {
    pub(crate) fn state(&self) -> TrustState {
        match (self.verified, &self.change) {
            (true, Some(_)) => TrustState::Changed,
            (true, None) => TrustState::Verified,
            (false, Some(_)) => TrustState::Replaced,
            (false, None) => TrustState::Pinned,
        }
    }

    /// Whether it is known to be theirs: vouched for, or compared by the user. Otherwise it counts in rooms only.
    pub(crate) fn is_known(&self) -> bool {
        self.established.is_some() || self.verified
    }

    /// The change that nobody has acknowledged.
    pub(crate) fn unacknowledged(&self) -> Option<IdentityChange> {
        let change = self.change.as_ref()?;
        let (known, other) = (self.identity.fingerprint(), change.other.fingerprint());
        let (old, new, by) =
            if self.verified { (known, other, change.established) } else { (other, known, self.established) };
        let invited_at_ms = by.map(|by| by.invited_at_ms);
        Some(IdentityChange { old, new, since_ms: change.since_ms, seen_in: change.seen_in, invited_at_ms })
    }

    /// The user accepts the identity that was shown since: it counts, and is not verified. `None` where none was.
    pub(crate) fn accept(&self, now_ms: u64) -> Option<Self> {
        let change = self.change.as_ref()?;
        let accepted = if self.verified {
            let established = change.established;
            Self { identity: change.other.clone(), verified: false, since_ms: now_ms, established, ..self.clone() }
        } else {
            self.clone()
        };
        Some(Self { change: None, ..accepted })
    }
}

/// What is to be believed of somebody whom two devices of the user know; `None` where that is what is here. An identity
/// that was compared on either device counts, and where the other one has seen another, it has changed.
pub(crate) fn merge(here: Option<&Pin>, theirs: &Pin, now_ms: u64) -> Option<Pin> {
    let Some(here) = here else { return Some(theirs.clone()) };
    let seen = |other: &Pin| Change {
        other: other.identity.clone(),
        since_ms: now_ms,
        seen_in: SeenIn::OtherDevice,
        established: other.established,
    };
    let same = here.identity == theirs.identity;
    let change = |first: &Pin, second: &Pin| first.change.clone().or_else(|| second.change.clone());
    let merged = match (here.verified, theirs.verified) {
        (a, b) if a == b && same => Pin { change: change(here, theirs), ..here.clone() },
        (false, false) => Pin { change: here.change.clone().or_else(|| Some(seen(theirs))), ..here.clone() },
        (true, _) if same => here.clone(),
        (true, _) => Pin { change: here.change.clone().or_else(|| Some(seen(theirs))), ..here.clone() },
        (false, true) if same => theirs.clone(),
        (false, true) => Pin { change: theirs.change.clone().or_else(|| Some(seen(here))), ..theirs.clone() },
    };
    (&merged != here).then_some(merged)
}

#[cfg(test)]
mod tests {
    use sotto_crypto::IdentityPublic;

    use super::*;
    use crate::store::tests::pin;
    use crate::trust::vouched::tests::vouched;

    fn see(pin: &Pin, shown: &IdentityPublic, now_ms: u64) -> Judgement {
        judge(Some(pin), &vouched(&pin.address, shown), now_ms, SeenIn::Message)
    }

    #[test]
    fn first_is_pinned_and_the_same_goes_on() {
        let known = pin("bob", false);
        let first = judge(None, &vouched(&known.address, &known.identity), 3, SeenIn::Lookup);
        assert_eq!(first.verdict, Verdict::First);
        assert_eq!(first.pin.unwrap().state(), TrustState::Pinned);
        // How it is known gets better, and nothing else moves.
        let by_the_operator = see(&known, &known.identity, 3);
        let better = by_the_operator.pin.unwrap();
        assert_eq!((by_the_operator.verdict, better.established.is_some()), (Verdict::Same, true));
        assert_eq!(Pin { established: None, ..better.clone() }, known);
        assert_eq!(see(&better, &known.identity, 4), Judgement { verdict: Verdict::Same, pin: None });
    }

    #[test]
    fn a_change_of_a_verified_contact_blocks_until_it_is_accepted() {
        let (other, verified) = (pin("bob", false).identity, pin("bob", true));
        let blocked = see(&verified, &other, 3);
        assert_eq!(blocked.verdict, Verdict::Blocked);
        let noted = blocked.pin.unwrap();
        assert_eq!((noted.state(), &noted.identity), (TrustState::Changed, &verified.identity));
        assert_eq!(see(&noted, &other, 4), Judgement { verdict: Verdict::Blocked, pin: None });
        let told = noted.unacknowledged().unwrap();
        assert_eq!((told.old, told.new), (verified.identity.fingerprint(), other.fingerprint()));
        let accepted = noted.accept(5).unwrap();
        assert_eq!((accepted.state(), &accepted.identity), (TrustState::Pinned, &other));
        assert_eq!(verified.accept(5), None);
    }

    #[test]
    fn a_change_of_another_contact_counts_and_is_told_until_it_is_acknowledged() {
        let (loose, second, third) = (pin("bob", false), pin("bob", false).identity, pin("bob", false).identity);
        let replaced = see(&loose, &second, 3);
        assert_eq!(replaced.verdict, Verdict::Replaced);
        let replaced = replaced.pin.unwrap();
        assert_eq!((replaced.state(), &replaced.identity), (TrustState::Replaced, &second));
        // The same again changes nothing and takes nothing back.
        assert_eq!(see(&replaced, &second, 4), Judgement { verdict: Verdict::Same, pin: None });
        // Once more: what is told is from the one that was known, to the one that counts.
        let again = see(&replaced, &third, 5).pin.unwrap();
        let told = again.unacknowledged().unwrap();
        assert_eq!((told.old, told.new, told.since_ms), (loose.identity.fingerprint(), third.fingerprint(), 3));
        // Back to the first one: somebody else was in between, and that is told as well.
        let back = see(&replaced, &loose.identity, 6).pin.unwrap();
        assert_eq!((back.state(), &back.identity), (TrustState::Replaced, &loose.identity));
        // It began where it was first seen.
        assert_eq!(back.unacknowledged().unwrap().since_ms, 3);
        let acknowledged = again.accept(7).unwrap();
        assert_eq!((acknowledged.state(), &acknowledged.identity), (TrustState::Pinned, &third));
    }

    #[test]
    fn what_was_compared_on_either_device_counts() {
        let (loose, verified) = (pin("bob", false), pin("bob", true));
        assert_eq!(merge(None, &verified, 9), Some(verified.clone()));
        let other = merge(Some(&loose), &pin("bob", false), 9).unwrap();
        assert_eq!((other.state(), &other.identity), (TrustState::Replaced, &loose.identity), "two have been seen");
        let same = Pin { verified: true, ..loose.clone() };
        assert_eq!(merge(Some(&loose), &same, 9).unwrap().state(), TrustState::Verified);
        assert_eq!(merge(Some(&same), &loose, 9), None);
        // The old device has compared another identity than the new one has seen.
        let changed = merge(Some(&loose), &verified, 9).unwrap();
        assert_eq!((changed.state(), &changed.identity), (TrustState::Changed, &verified.identity));
        assert_eq!(changed.unacknowledged().unwrap().new, loose.identity.fingerprint());
        assert_eq!(merge(Some(&verified), &loose, 9).unwrap().state(), TrustState::Changed);
        assert_eq!(merge(Some(&changed), &verified, 9), None, "once more changes nothing");
    }
}
