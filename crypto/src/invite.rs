//! Invites as keys. From an invite's secret both sides derive a registration code, which the relay takes, and a signing key,
//! which the relay never sees. The operator puts the public half into the user's signed membership; the client signs its new
//! identity with the secret half. So everybody verifies who somebody is from the policy key on, and a relay that registers
//! whom it likes convinces nobody.

use data_encoding::HEXLOWER;
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::address::Address;
use crate::certificate::CertificateError;
use crate::code::{CodeError, character_of, digits};
use crate::signed::{Document, Signed};
use crate::signing::{IdentityPublic, Invite, InviteKey, InvitePublic};
use crate::suite::{Current, DIGEST_LEN, Failed, HASH_LEN, Primitives, SCALAR_LEN};
use crate::{SUITE, VERSION, check_version};

/// Base32 digits of an invite's secret: 140 bits.
const DIGITS: usize = 28;
/// Digits of a group, as it is written.
const GROUP: usize = 4;
const SALT: &[u8] = b"sotto/2 invite";

/// The secret of an invite. Erased when dropped; no Debug.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteSecret(Zeroizing<[u8; DIGITS]>);

impl InviteSecret {
    /// Makes a secret.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut secret = Zeroizing::new([0; DIGITS]);
        rng.fill_bytes(secret.as_mut_slice());
        secret.iter_mut().for_each(|digit| *digit &= 31);
        Self(secret)
    }

    /// Reads a secret as a person types it: capitals or not, with dashes and spaces or without, O for 0, I or L for 1.
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let typed = digits(text)?;
        if typed.len() != DIGITS {
            return Err(CodeError::Length { given: typed.len(), wanted: DIGITS });
        }
        let mut secret = Zeroizing::new([0; DIGITS]);
        secret.copy_from_slice(&typed);
        Ok(Self(secret))
    }

    /// The secret as it is written: seven groups of four, in lower case.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(DIGITS + DIGITS / GROUP));
        for (place, character) in self.characters().iter().enumerate() {
            if place > 0 && place.is_multiple_of(GROUP) {
                text.push('-');
            }
            text.push(char::from(character.to_ascii_lowercase()));
        }
        text
    }

    /// What the client shows the relay to register: 64 lower-case hexadecimal digits. Says nothing about the key.
    ///
    /// # Panics
    /// Never: the lengths are those that HKDF takes.
    #[expect(clippy::expect_used, reason = "HKDF takes these lengths")]
    pub fn registration_code(&self) -> Zeroizing<String> {
        let mut code = Zeroizing::new([0; DIGEST_LEN]);
        self.expand(&[b"registration"], code.as_mut_slice()).expect("HKDF takes these lengths");
        Zeroizing::new(HEXLOWER.encode(code.as_slice()))
    }

    /// The key that vouches for the identity of who is invited. As in RFC 9180 §7.1.3 (`DeriveKeyPair`) for P-521: candidates of
    /// 521 bits, of which the first that is a scalar in 1..n-1 is taken.
    ///
    /// # Panics
    /// Never: no candidate is a scalar with a chance below 2^-60,000.
    #[expect(clippy::expect_used, reason = "256 candidates, each of which is good with a chance of 1 - 2^-250")]
    pub fn key(&self) -> InviteKey {
        (0..=u8::MAX)
            .find_map(|counter| {
                let mut candidate = Zeroizing::new([0; SCALAR_LEN]);
                self.expand(&[b"key", &[counter]], candidate.as_mut_slice()).ok()?;
                candidate[0] &= 0x01;
                InviteKey::from_bytes(candidate.as_slice()).ok()
            })
            .expect("one of 256 candidates is a scalar")
    }

    fn characters(&self) -> Zeroizing<[u8; DIGITS]> {
        let mut characters = Zeroizing::new([0; DIGITS]);
        for (character, digit) in characters.iter_mut().zip(self.0.iter()) {
            *character = character_of(*digit);
        }
        characters
    }

    fn expand(&self, info: &[&[u8]], output: &mut [u8]) -> Result<(), Failed> {
        let prk: Zeroizing<[u8; HASH_LEN]> = Current::extract(SALT, &[self.characters().as_slice()])?;
        Current::expand(&prk, info, output)
    }
}

/// Says that an identity is that of who was invited. Signed by the invite's key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Voucher {
    /// Protocol version.
    #[n(0)]
    pub version: u8,
    /// Suite of the keys.
    #[n(1)]
    pub suite: u16,
    /// Who was invited.
    #[n(2)]
    pub address: Address,
    /// Their identity.
    #[n(3)]
    pub identity: IdentityPublic,
}

impl Document for Voucher {
    const LABEL: &'static str = "sotto/2 voucher";
    type Signer = Invite;
}

impl Voucher {
    /// A voucher of this version and suite.
    pub fn new(address: Address, identity: IdentityPublic) -> Self {
        Self { version: VERSION, suite: SUITE, address, identity }
    }
}

/// Verifies a voucher under the invite's key.
pub fn verify_voucher(key: &InvitePublic, voucher: &Signed<Voucher>) -> Result<Voucher, CertificateError> {
    let voucher = voucher.verify(key)?;
    check_version(voucher.version, voucher.suite)?;
    Ok(voucher)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IdentityKey, SystemRng};

    #[test]
    fn both_sides_derive_the_same_and_a_secret_is_read_as_it_is_typed() {
        let secret = InviteSecret::generate(&mut SystemRng);
        let text = secret.to_text();
        assert_eq!(text.len(), 34);
        for typed in [text.to_uppercase(), text.replace('-', ""), text.replace('0', "o").replace('1', "l")] {
            let read = InviteSecret::parse(&typed).unwrap();
            assert_eq!(*read.registration_code(), *secret.registration_code());
            assert_eq!(read.key().verifying_key(), secret.key().verifying_key());
        }
        assert_eq!(InviteSecret::parse("abcd").err(), Some(CodeError::Length { given: 4, wanted: DIGITS }));
        assert!(matches!(InviteSecret::parse(&text.replace('-', "!")), Err(CodeError::Character('!'))));
        let other = InviteSecret::generate(&mut SystemRng);
        assert_ne!(*other.registration_code(), *secret.registration_code());
        assert_ne!(other.key().verifying_key(), secret.key().verifying_key());
    }

    #[test]
    fn a_known_secret_has_known_keys() {
        let secret = InviteSecret::parse("0123-4567-89ab-cdef-ghjk-mnpq-rstv").unwrap();
        // Made by e2e/interop/sotto.py from docs/protocol.md.
        assert_eq!(&secret.registration_code()[..16], REGISTRATION);
        assert_eq!(secret.key().verifying_key().fingerprint().to_string(), FINGERPRINT);
    }

    const REGISTRATION: &str = "183ba898bb4fb5b6";
    const FINGERPRINT: &str = "dr46ehzpnhiw2pyse5dknhamy2vxwhv2qpyia5ebzpmcg2a55oxq";

    #[test]
    fn a_voucher_holds_under_its_invite_only() {
        let (invite, other) =
            (InviteSecret::generate(&mut SystemRng).key(), InviteSecret::generate(&mut SystemRng).key());
        let identity = IdentityKey::generate(&mut SystemRng).verifying_key();
        let voucher = Voucher::new(Address::parse("ann@x.example").unwrap(), identity);
        let signed = Signed::sign(&voucher, &invite);
        assert_eq!(verify_voucher(&invite.verifying_key(), &signed).unwrap(), voucher);
        assert!(verify_voucher(&other.verifying_key(), &signed).is_err());
        let newer = Signed::sign(&Voucher { version: VERSION + 1, ..voucher }, &invite);
        assert!(matches!(verify_voucher(&invite.verifying_key(), &newer), Err(CertificateError::Unsupported(_))));
    }
}
