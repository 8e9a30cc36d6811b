//! Tokens without memory: claims with a MAC (HMAC-SHA512, RFC 2104), one key a kind, so that one kind is never taken
//! for another. Whether device and user still exist is looked up on every use.

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use minicbor::{Decode, Encode};
use sha2::Sha512;
use sotto_crypto::rand_core::Rng as _;
use sotto_crypto::{Address, DeviceId, SystemRng, decode_strict, encode};
use zeroize::Zeroizing;

use crate::secrets::Secret;

/// Bytes of the (truncated) MAC.
const MAC_LEN: usize = 32;
/// Longer ones are not looked at.
const MAX_TOKEN: usize = 1024;

/// What a log-in token says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct LoginClaims {
    /// Who has proven the password.
    #[n(0)]
    pub(crate) address: Address,
    /// The account's generation: registering a device moves it on, so that a token registers one.
    #[n(1)]
    pub(crate) generation: u64,
    /// When it ends.
    #[n(2)]
    pub(crate) expires_at_ms: u64,
}

/// What a session token and a challenge say.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct DeviceClaims {
    /// Whose device.
    #[n(0)]
    pub(crate) address: Address,
    /// Which device.
    #[n(1)]
    pub(crate) device: DeviceId,
    /// When it ends.
    #[n(2)]
    pub(crate) expires_at_ms: u64,
    /// Makes every challenge another one.
    #[n(3)]
    pub(crate) nonce: u64,
}

impl DeviceClaims {
    pub(crate) fn new(address: Address, device: DeviceId, expires_at_ms: u64) -> Self {
        Self { address, device, expires_at_ms, nonce: SystemRng.next_u64() }
    }
}

/// Claims that end.
trait Claims: Encode<()> + for<'b> Decode<'b, ()> {
    fn expires_at_ms(&self) -> u64;
}

impl Claims for LoginClaims {
    fn expires_at_ms(&self) -> u64 {
        self.expires_at_ms
    }
}

impl Claims for DeviceClaims {
    fn expires_at_ms(&self) -> u64 {
        self.expires_at_ms
    }
}

struct Key(Zeroizing<[u8; 64]>);

impl Key {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    fn mac(&self, payload: &[u8]) -> Hmac<Sha512> {
        Hmac::<Sha512>::new_from_slice(self.0.as_slice()).expect("HMAC takes keys of any length").chain_update(payload)
    }

    fn issue(&self, claims: &impl Claims) -> Vec<u8> {
        let mut bytes = encode(claims);
        let tag = self.mac(&bytes).finalize().into_bytes();
        bytes.extend(tag.iter().take(MAC_LEN));
        bytes
    }

    fn check<T: Claims>(&self, bytes: &[u8], now_ms: u64) -> Option<T> {
        let (payload, tag) = bytes.split_last_chunk::<MAC_LEN>()?;
        self.mac(payload).verify_truncated_left(tag).ok()?;
        let claims: T = decode_strict(payload).ok()?;
        (claims.expires_at_ms() > now_ms).then_some(claims)
    }
}

/// Issues and checks tokens.
pub(crate) struct Tokens {
    login: Key,
    session: Key,
    challenge: Key,
}

impl Tokens {
    pub(crate) fn new(secret: &Secret) -> Self {
        Self {
            login: Key(secret.derive("log-in token")),
            session: Key(secret.derive("session token")),
            challenge: Key(secret.derive("session challenge")),
        }
    }

    pub(crate) fn issue_login(&self, claims: &LoginClaims) -> String {
        BASE64URL_NOPAD.encode(&self.login.issue(claims))
    }

    pub(crate) fn check_login(&self, token: &str, now_ms: u64) -> Option<LoginClaims> {
        self.login.check(&decode(token)?, now_ms)
    }

    pub(crate) fn issue_session(&self, claims: &DeviceClaims) -> String {
        BASE64URL_NOPAD.encode(&self.session.issue(claims))
    }

    pub(crate) fn check_session(&self, token: &str, now_ms: u64) -> Option<DeviceClaims> {
        self.session.check(&decode(token)?, now_ms)
    }

    pub(crate) fn issue_challenge(&self, claims: &DeviceClaims) -> Vec<u8> {
        self.challenge.issue(claims)
    }

    pub(crate) fn check_challenge(&self, challenge: &[u8], now_ms: u64) -> Option<DeviceClaims> {
        (challenge.len() <= MAX_TOKEN).then(|| self.challenge.check(challenge, now_ms)).flatten()
    }
}

fn decode(token: &str) -> Option<Vec<u8>> {
    (token.len() <= MAX_TOKEN).then(|| BASE64URL_NOPAD.decode(token.as_bytes()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sotto_crypto::Domain;

    use super::*;

    fn tokens() -> Tokens {
        Tokens::new(&Secret::new(&[7; 64], &Domain::parse("a.example").unwrap()))
    }

    fn claims(expires_at_ms: u64) -> DeviceClaims {
        DeviceClaims::new(Address::parse("alice@a.example").unwrap(), DeviceId::from_bytes([3; 16]), expires_at_ms)
    }

    #[test]
    fn a_token_holds_until_it_ends_and_only_as_its_kind() {
        let tokens = tokens();
        let claims = claims(1000);
        let token = tokens.issue_session(&claims);
        assert_eq!(tokens.check_session(&token, 999), Some(claims.clone()));
        assert_eq!(tokens.check_session(&token, 1000), None);
        assert_eq!(tokens.check_login(&token, 0), None);
        assert_eq!(tokens.check_challenge(&BASE64URL_NOPAD.decode(token.as_bytes()).unwrap(), 0), None);
        let login = LoginClaims { address: claims.address, generation: 4, expires_at_ms: 1000 };
        assert_eq!(tokens.check_login(&tokens.issue_login(&login), 0), Some(login));
    }

    #[test]
    fn a_token_of_another_secret_or_network_is_nothing() {
        let other = Tokens::new(&Secret::new(&[7; 64], &Domain::parse("b.example").unwrap()));
        assert_eq!(tokens().check_session(&other.issue_session(&claims(1000)), 0), None);
    }

    proptest! {
        #[test]
        fn any_changed_byte_breaks_a_token(place in 0usize..10_000, change in 1u8..) {
            let tokens = tokens();
            let mut bytes = tokens.issue_challenge(&claims(1000));
            let place = place % bytes.len();
            bytes[place] ^= change;
            prop_assert_eq!(tokens.check_challenge(&bytes, 0), None);
        }

        #[test]
        fn whatever_comes_is_read_without_harm(text in ".{0,2000}", bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let tokens = tokens();
            prop_assert_eq!(tokens.check_session(&text, 0), None);
            prop_assert_eq!(tokens.check_login(&text, 0), None);
            prop_assert_eq!(tokens.check_challenge(&bytes, 0), None);
        }
    }
}
