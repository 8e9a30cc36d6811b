//! Identities are pinned when they are first seen. What a changed one means is decided here, and only here. Pure.

use sotto_crypto::{Address, IdentityPublic};

use crate::store::Pin;

/// What an identity that was shown means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Seen for the first time: pinned now.
    First,
    /// The pinned one.
    Same,
    /// Another one than was pinned, of somebody who was never verified: pinned now, and to be told.
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

/// Compares an identity with the pin.
pub(crate) fn judge(pin: Option<&Pin>, address: &Address, shown: &IdentityPublic, now_ms: u64) -> Judgement {
    let fresh =
        || Pin { address: address.clone(), identity: shown.clone(), verified: false, since_ms: now_ms, shown: None };
    match pin {
        None => Judgement { verdict: Verdict::First, pin: Some(fresh()) },
        Some(pin) if &pin.identity == shown => Judgement { verdict: Verdict::Same, pin: None },
        Some(pin) if pin.verified => {
            let known = pin.shown.as_ref() == Some(shown);
            let noted = (!known).then(|| Pin { shown: Some(shown.clone()), ..pin.clone() });
            Judgement { verdict: Verdict::Blocked, pin: noted }
        }
        Some(_) => Judgement { verdict: Verdict::Replaced, pin: Some(fresh()) },
    }
}

/// How far the identity of somebody is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrustState {
    /// Pinned when it was first seen; nobody has compared it.
    Pinned,
    /// The user has compared the safety number.
    Verified,
    /// Was verified, and another identity has been shown since: sending is blocked.
    Changed,
}

impl Pin {
    pub(crate) fn state(&self) -> TrustState {
        match (self.verified, &self.shown) {
            (true, Some(_)) => TrustState::Changed,
            (true, None) => TrustState::Verified,
            (false, _) => TrustState::Pinned,
        }
    }

    /// The user accepts the identity that was shown: pinned, not verified. `None` where none was shown.
    pub(crate) fn accept(&self, now_ms: u64) -> Option<Self> {
        let identity = self.shown.clone()?;
        Some(Self { address: self.address.clone(), identity, verified: false, since_ms: now_ms, shown: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::pin;

    #[test]
    fn first_is_pinned_and_the_same_goes_on() {
        let known = pin("bob", false);
        let first = judge(None, &known.address, &known.identity, 3);
        assert_eq!(first.verdict, Verdict::First);
        assert_eq!(first.pin.unwrap().state(), TrustState::Pinned);
        let same = judge(Some(&known), &known.address, &known.identity, 3);
        assert_eq!(same, Judgement { verdict: Verdict::Same, pin: None });
    }

    #[test]
    fn a_change_replaces_what_nobody_verified_and_blocks_what_somebody_did() {
        let other = pin("bob", false).identity;
        let (loose, verified) = (pin("bob", false), pin("bob", true));
        let replaced = judge(Some(&loose), &loose.address, &other, 3);
        assert_eq!(replaced.verdict, Verdict::Replaced);
        assert_eq!(replaced.pin.unwrap().identity, other);

        let blocked = judge(Some(&verified), &verified.address, &other, 3);
        assert_eq!(blocked.verdict, Verdict::Blocked);
        let noted = blocked.pin.unwrap();
        assert_eq!((noted.state(), &noted.identity), (TrustState::Changed, &verified.identity));
        assert_eq!(judge(Some(&noted), &noted.address, &other, 4), Judgement { verdict: Verdict::Blocked, pin: None });

        let accepted = noted.accept(5).unwrap();
        assert_eq!((accepted.state(), &accepted.identity), (TrustState::Pinned, &other));
        assert_eq!(verified.accept(5), None);
    }
}
